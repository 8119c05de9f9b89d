"""A job: slices of experiments that train as one batch, from the data on disk to recordings in the store."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from ilr.lab.cost import work
from ilr.lab.data_folder import DataFolder
from ilr.lab.hardware import peak_memory, processor
from ilr.lab.store import Facts, Key, Store
from ilr.nn.base import FusedNet
from ilr.nn.execution import Formulation, fastest
from ilr.training.trainers import trainer_of
from ilr.version import __version__

WORK_UNIT = 1000.0
"""Floating-point operations: in these, the longest run has a number that fits 64 bits."""


@dataclass(frozen=True)
class Job:
    """What one worker does at a time: plain data, for any process or machine that sees the store."""

    keys: tuple[Key, ...]
    store: Path
    data: DataFolder
    device: str
    choose: bool = True
    """Take the fastest way to compute the replicas, which takes time to find; otherwise all at once."""

    @property
    def replica_steps(self) -> int:
        """Steps summed over replicas."""
        return sum(key.experiment.steps * key.experiment.replicas for key in self.keys)

    @property
    def work(self) -> int:
        """What it takes, in units of `WORK_UNIT`: steps differ too much to tell how far a run is."""
        return math.ceil(work(self.keys[0].experiment, self.replicas) / WORK_UNIT)

    @property
    def replicas(self) -> int:
        """Networks trained."""
        return sum(key.experiment.replicas for key in self.keys)

    def run(self, tick: Callable[[int], None]) -> None:
        """Trains and stores every slice; `tick` is told of the work done since the last call."""
        slices = [key.experiment for key in self.keys]
        chooser = _Chooser(self)
        started = time.perf_counter()
        results = trainer_of(slices[0]).train(slices, self.data.load, self.device, self._in_work(tick), chooser)
        seconds = time.perf_counter() - started
        facts = Facts(
            ilr=__version__,
            torch=str(torch.__version__),
            batch=self.replicas,
            formulation=str(chooser.chosen or ""),
            peak_memory_bytes=peak_memory(),
            trained=datetime.now(UTC).replace(microsecond=0),
            device=self.device,
            processor=processor(self.device),
        )
        for key, arrays in zip(self.keys, results, strict=True):
            share = key.experiment.replicas / self.replicas
            Store(self.store).save(key, arrays, msgspec.structs.replace(facts, seconds=seconds * share))

    def _in_work(self, tick: Callable[[int], None]) -> Callable[[int], None]:
        """A tick that takes replica-steps, and tells the other one of the work in them."""
        work_of_a_step = self.work / max(self.replica_steps, 1)
        steps = told = 0

        def count(replica_steps: int) -> None:
            nonlocal steps, told
            steps += replica_steps
            work = round(steps * work_of_a_step)
            tick(work - told)
            told = work

        return count


class _Chooser:
    """Chooses how the replicas of a job are computed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.chosen: Formulation | None = None
        """What was chosen last; the toy loss has no choice."""

    def __call__(self, net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, *rest: Any) -> Formulation:
        """The fastest formulation for tensors like these on this machine: measured once, then remembered."""
        self.chosen = Formulation(len(weights))
        if self.job.choose:
            # Kept under this text: under another, every machine would measure anew and might choose otherwise.
            job = self.job
            what = (
                f"{job.keys[0].experiment}; weights {[*weights.shape]}, images {[*images.shape]}, {weights.dtype}; "
                f"{processor(job.device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
            )
            found = Store(job.store).remember(what, lambda: asdict(fastest(net, weights, head, images, *rest)))
            self.chosen = Formulation(**found)
        return self.chosen
