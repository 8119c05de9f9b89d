"""A job: slices of experiments that train as one batch, from the data on disk to recordings in the store."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ilr.data.catalog import DataUnavailableError
from ilr.data.dataset import Dataset, load, synthetic
from ilr.experiments.experiment import Data
from ilr.lab.hardware import peak_memory, processor
from ilr.lab.store import Key, Store
from ilr.nn.base import FusedNet
from ilr.nn.execution import Formulation, fastest
from ilr.training.trainers import trainer_of
from ilr.version import __version__


@dataclass(frozen=True)
class Job:
    """What one worker does at a time: plain data, for any process or machine that sees the store."""

    keys: tuple[Key, ...]
    store: Path
    data_root: Path | None
    device: str
    rehearsal: bool = False
    """Random data may stand in for files that are absent, and no time goes into choosing how replicas are computed."""

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
        store = Store(self.store)
        facts: dict[str, Any] = {"ilr": __version__, "torch": torch.__version__, "batch": self.replicas}

        def choose(net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, *rest: Any) -> Formulation:
            """The fastest formulation for tensors like these on this machine: measured once, then remembered."""
            what = (
                f"{slices[0]}; weights {[*weights.shape]}, images {[*images.shape]}, {weights.dtype}; "
                f"{processor(self.device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
            )
            found = store.remember(what, lambda: asdict(fastest(net, weights, head, images, *rest)))
            facts["formulation"] = str(Formulation(**found))
            return Formulation(**found)

        started = time.perf_counter()
        how = {} if self.rehearsal else {"choose": choose}
        results = trainer_of(slices[0]).train(slices, self._load, self.device, tick, **how)
        seconds = time.perf_counter() - started
        facts["peak_memory_bytes"] = peak_memory()
        for key, arrays in zip(self.keys, results, strict=True):
            share = key.experiment.replicas / self.replicas
            store.save(key, arrays, {**facts, "seconds": seconds * share})

    def _load(self, data: Data) -> Dataset:
        try:
            return load(data, self.data_root)
        except DataUnavailableError:
            if not self.rehearsal:
                raise
            return synthetic(data)
