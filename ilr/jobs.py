"""A job: slices of experiments that train as one batch, from the data on disk to recordings in the store."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ilr.data import load
from ilr.store import Key, Store
from ilr.training import train
from ilr.version import __version__


@dataclass(frozen=True)
class Job:
    """What one worker does at a time: plain data, for any process or machine that sees the store."""

    keys: tuple[Key, ...]
    store: Path
    data_root: Path | None
    device: str

    @property
    def replica_steps(self) -> int:
        """Steps summed over replicas."""
        return sum(key.experiment.steps * key.experiment.replicas for key in self.keys)

    @property
    def replicas(self) -> int:
        """Networks trained."""
        return sum(key.experiment.replicas for key in self.keys)

    def run(self, tick: Callable[[int], None]) -> None:
        """Trains and stores every slice; `tick` is told of replica-steps done."""
        slices = [key.experiment for key in self.keys]
        source = slices[0].data
        started = time.perf_counter()
        results = train(slices, load(source, self.data_root) if source else None, self.device, tick)
        seconds = time.perf_counter() - started
        for key, arrays in zip(self.keys, results, strict=True):
            share = key.experiment.replicas / self.replicas
            facts = {"seconds": seconds * share, "ilr": __version__, "torch": torch.__version__, "batch": self.replicas}
            Store(self.store).save(key, arrays, facts)
