"""How fast training is on this machine, measured."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import msgspec
import torch

from ilr.experiments.experiment import Experiment, kind_of
from ilr.lab.cost import OPERATIONS_PER_SECOND
from ilr.lab.gpus import gpu_called
from ilr.lab.hardware import gpus, is_gpu, processor
from ilr.lab.store import Store
from ilr.nn.cuda_graph import capturable
from ilr.nn.execution import seconds, seconds_replayed
from ilr.serialization import canonical
from ilr.training.trainers import trainer_of

SECONDS = 3.0
"""No measurement starts later than this after the first, so that a plan takes seconds."""

SAMPLE, SAMPLE_ON_GPU = 5e8, 1e12
"""A measurement takes about so many floating-point operations. A GPU would spend so few as a core on launching them."""


class Rates:
    """Floating-point operations a second of one worker on this machine, measured once for each kind of step.

    Args:
        store: where measurements are kept for the next time.
        device: a torch device.
        threads: of one worker.
    """

    def __init__(self, store: Store, device: str, threads: int) -> None:
        self.store = store
        self.device = device
        self.threads = threads
        self.measured: dict[Experiment, float] = {}
        self.assumed: set[Experiment] = set()
        """Kinds of steps for which no time was left."""
        self._until = time.monotonic() + SECONDS

    def of(self, experiment: Experiment, replicas: int) -> float:
        """The rate for steps like an experiment's: kept from before, measured now, or, without time, assumed."""
        step = replace(kind_of(experiment), steps=1, observe=(), augmentation=None)
        if step not in self.measured and step not in self.assumed:
            what = (
                f"rate of {replicas} × {canonical(step)}; "
                f"{processor(self.device)}, {self.threads} threads, torch {torch.__version__}"
            )
            try:
                kept = self.store.remember(what, lambda: _Rate(self._measure(step, replicas)), _Rate)
                self.measured[step] = kept.rate
            except _NoTimeError:
                self.assumed.add(step)
        return self.measured.get(step) or self.assumed_rate(experiment)

    def assumed_rate(self, experiment: Experiment) -> float:
        """The rate of steps that there was no time to measure."""
        if is_gpu(self.device):
            return gpu_called(processor(self.device)).rate(experiment)
        return OPERATIONS_PER_SECOND

    def _measure(self, step: Experiment, replicas: int) -> float:
        elsewhere = is_gpu(self.device) and not gpus(self.device)
        if elsewhere or time.monotonic() > self._until:
            raise _NoTimeError
        sample = SAMPLE_ON_GPU if is_gpu(self.device) else SAMPLE
        rate = trainer_of(step).rate(replicas, self.device, sample, self._seconds)
        if not rate > 0:  # a GPU had no room for so many
            raise _NoTimeError
        return rate

    def _seconds(self, run: Callable[[], object]) -> float:
        """The shorter time of two, the first of which warms up; on a GPU that of a graph, as training replays it."""
        if capturable(torch.device(self.device)):
            return seconds_replayed(run)
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return min(seconds(run, torch.device(self.device)) for _ in range(2))
        finally:
            torch.set_num_threads(threads)


class _Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate as it is kept in the store."""

    rate: Annotated[float, msgspec.Meta(gt=0)]


class _NoTimeError(Exception):
    """Measuring has taken long enough, or would take more than there is."""
