"""Engines run jobs: here in this process, in worker processes of one thread each, or on a Slurm cluster."""

from ilr.lab.engines.engine import Engine, InProcess
from ilr.lab.engines.processes import Processes
from ilr.lab.engines.slurm import Request, Slurm

__all__ = ["Engine", "InProcess", "Processes", "Request", "Slurm"]
