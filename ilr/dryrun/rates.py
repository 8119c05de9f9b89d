"""How fast training is: measured on this machine, stated for GPUs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import get_args

import torch

from ilr.data.catalog import info_of
from ilr.experiments.experiment import Experiment, Observe
from ilr.lab.cost import OPERATIONS_PER_SECOND, operations
from ilr.lab.hardware import processor
from ilr.lab.store import Store
from ilr.nn.architectures import build
from ilr.nn.execution import Formulation, seconds
from ilr.nn.layers import ConvolutionKernel
from ilr.nn.norms import in_training
from ilr.serialization import canonical
from ilr.training.loop import fusion_key
from ilr.training.toy import train_toy

SECONDS = 3.0
"""No measurement starts later than this after the first, so that a plan takes seconds."""

SAMPLE = 5e8
"""A measurement takes about so many floating-point operations: replicas, then examples, are cut down to them."""

TOY_STEPS = 200
"""Steps of the toy loss in a measurement."""


EFFICIENCY = 0.1
"""The share of a GPU's peak that small nets are assumed to reach. Not measured."""

LAYER_SECONDS = 1e-4
"""What a layer's forward and backward pass is assumed to take at least on a GPU: some fifteen kernels. Not measured."""


@dataclass(frozen=True)
class GPU:
    """A kind of GPU, with the peak its maker states."""

    name: str
    peak: float
    """Floating-point operations a second in float32, without tensor cores. In float64 it is half as many on all of
    these, as `ilr.lab.cost.operations` counts."""

    def seconds(self, operations: float, least: float) -> float:
        """Time for so many operations, and at least so many seconds."""
        return max(operations / (EFFICIENCY * self.peak), least)


GPUS = (GPU("V100", 15.7e12), GPU("A100", 19.5e12), GPU("H100", 67e12))
"""NVIDIA's data sheets: V100 SXM2, A100, H100 SXM."""


def least_seconds(experiment: Experiment) -> float:
    """Time below which no batch of replicas trains on a GPU, however few they are."""
    layers = 1
    if experiment.data is not None:
        form = info_of(experiment.data)
        layers += len(build(experiment, form.image_shape, form.classes).layers)
    return LAYER_SECONDS * layers * experiment.steps


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
        step = replace(fusion_key(experiment), steps=1, observe=(), augmentation=None)
        if step not in self.measured and step not in self.assumed:
            what = (
                f"rate of {replicas} × {canonical(step)}; "
                f"{processor(self.device)}, {self.threads} threads, torch {torch.__version__}"
            )
            try:
                self.measured[step] = self.store.remember(what, lambda: {"rate": self._measure(step, replicas)})["rate"]
            except _NoTimeError:
                self.assumed.add(step)
        return self.measured.get(step, OPERATIONS_PER_SECOND)

    def _measure(self, step: Experiment, replicas: int) -> float:
        if time.monotonic() > self._until:
            raise _NoTimeError
        if step.data is None:
            return self._toy_rate(step, replicas)
        form = info_of(step.data)
        net = build(step, form.image_shape, form.classes)
        batch = step.batch_size or form.train
        share = SAMPLE / operations(step)
        count = max(1, min(replicas, int(share)))
        examples = max(2, min(batch, int(share * batch)))
        dtype: torch.dtype = getattr(torch, step.precision)
        stream = torch.Generator(self.device).manual_seed(0)

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=stream, device=self.device, dtype=dtype)

        weights, head = noise(count, sum(net.sizes)) / 10, noise(count, *net.head)
        own = 1 if step.batch_size is None else count
        images = noise(own, examples, *form.image_shape)
        labels = torch.zeros(own, examples, dtype=torch.int64, device=self.device)

        def run(formulation: Formulation) -> None:
            formulation.loss_and_gradients(net, weights, head, images, labels, in_training(step.norm))

        formulations = [Formulation(*one) for one in product({1, count}, get_args(ConvolutionKernel))]
        fastest = min(self._seconds(partial(run, one)) for one in formulations)
        return operations(step) * count * examples / batch / fastest

    def _toy_rate(self, step: Experiment, replicas: int) -> float:
        short = replace(step, steps=TOY_STEPS, replicas=replicas, observe=(Observe("weight_norm", (0,)),))
        return operations(short) * replicas / self._seconds(lambda: train_toy([short], lambda _: None))

    def _seconds(self, run: Callable[[], object]) -> float:
        """The shorter time of two, the first of which warms up."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return min(seconds(run, torch.device(self.device)) for _ in range(2))
        finally:
            torch.set_num_threads(threads)


class _NoTimeError(Exception):
    """Measuring has taken long enough."""
