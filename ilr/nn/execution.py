"""How a batch of replicas is computed: all at once or some at a time, and by which convolution.

No formulation wins everywhere. A loop over replicas is fastest for large layers, whose products fill a core's units
and cache; all at once for small ones, whose time goes into starting kernels; a convolution with groups or one batched
product of unfolded patches, depending on channels and device. So the candidates are timed, shortly, on a GPU as the
graphs that training replays. The fastest of them can be tried compiled, where training is long enough to be worth it.
"""

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import torch
from torch import Tensor

from ilr.nn.base import FusedConvolutionalNet, FusedNet
from ilr.nn.cuda_graph import CaptureError, Replay, capturable, free_bytes
from ilr.nn.gradients import NotCompiledWarning, compilable, loss_and_gradients
from ilr.nn.layers import ConvolutionKernel, Layers
from ilr.nn.norms import Normalise
from ilr.nn.own.modules import FusedModule

AT_ONCE = (1, 4, 16, 64)
"""Replicas at once that are tried, besides all."""
TIMINGS = 3
"""Timed runs of each candidate, after one to warm up; the fastest counts."""
HOPELESS = 1.5
"""A candidate whose first timed run takes this multiple of the best so far is not timed further."""


@dataclass(frozen=True)
class Formulation:
    """How R replicas are computed."""

    at_once: int
    """Replicas that one forward and backward pass takes."""
    kernel: ConvolutionKernel = "grouped"
    compiled: bool = False
    """Whether what lies between convolutions is compiled: not of the few replicas that may remain for a last pass."""

    def __str__(self) -> str:
        return f"{self.at_once} at once, {self.kernel} convolutions{', compiled' if self.compiled else ''}"

    def loss_and_gradients(
        self, net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor, normalise: Normalise
    ) -> tuple[Tensor, list[Tensor]]:
        """Each replica's loss [R] and the gradient of each layer's weights [R, out, in, ...], in the layers' order.

        Args:
            net: the architecture.
            weights: [R, weight].
            head: [R, class, feature].
            images: [R or 1, N, channel, row, column].
            labels: [R or 1, N].
            normalise: how the layers are normalised.
        """
        if self.at_once >= len(weights):
            return loss_and_gradients(net, weights, head, images, labels, self._layers(len(weights), normalise))
        losses = weights.new_empty(len(weights))
        gradients = net.layers_of(torch.empty_like(weights))
        for start in range(0, len(weights), self.at_once):
            part = slice(start, start + self.at_once)
            batch = _batch_of(part, images)
            layers = self._layers(len(weights[part]), normalise)
            losses[part], computed = loss_and_gradients(
                net, weights[part], head[part], images[batch], labels[batch], layers
            )
            for gradient, one in zip(gradients, computed, strict=True):
                gradient[part] = one
        return losses, gradients

    def _layers(self, replicas: int, normalise: Normalise) -> Layers:
        """How a pass of so many replicas computes its layers."""
        # Every other number of replicas is another half minute of compiling, which a few of them are not worth.
        return Layers(normalise, self.kernel, self.compiled and 2 * replicas >= self.at_once)


def _batch_of(part: slice, images: Tensor) -> slice:
    """Where the batches of some replicas are among images [R or 1, N, ...]: one that all replicas share is theirs."""
    return part if len(images) > 1 else slice(None)


def kernels(device: torch.device) -> tuple[ConvolutionKernel, ...]:
    """The convolutions worth trying on a device."""
    # On an H100 unfolding took twice as long as groups, for every net; which layout is faster depends on the net.
    return ("grouped", "channels-first") if device.type == "cuda" else ("grouped", "unfolded")


def candidates(net: FusedNet, replicas: int, device: torch.device) -> list[Formulation]:
    """The formulations worth trying for so many replicas, those that need least memory first."""
    counts = [count for count in AT_ONCE if count < replicas]
    # A net that vmap declines is computed one by one, whatever number at a time it is asked for.
    if isinstance(net, FusedModule) and net.blueprint.forward[True].declined:
        counts.clear()
    counts.append(replicas)
    # Other nets have no convolution of ours that could differ.
    convolutions = kernels(device) if isinstance(net, FusedConvolutionalNet) else ("grouped",)
    return [Formulation(at_once, kernel) for at_once, kernel in product(counts, convolutions)]


def fastest(
    net: FusedNet,
    weights: Tensor,
    head: Tensor,
    images: Tensor,
    labels: Tensor,
    normalise: Normalise,
    *,
    compiling: bool = False,
) -> Formulation:
    """The fastest formulation for these tensors, measured; arguments as `Formulation.loss_and_gradients`.

    One that a GPU has no room for is passed over: one that certainly has none is not tried. With `compiling`, for which
    half a minute or more is needed, the best is also tried compiled, and so is the next with more replicas at once.
    """
    tried = candidates(net, len(weights), weights.device)
    best, least = tried[0], float("inf")
    # What each layer makes is kept for the way back, under autocast in bfloat16.
    number = 2 if torch.is_autocast_enabled(weights.device.type) else weights.element_size()
    of_one = net.activations() * images.shape[1] * number
    room = free_bytes(weights.device) if capturable(weights.device) else None

    def timed(formulation: Formulation) -> float:
        """Seconds of a replica: one pass is timed, of as many as it takes; others would only take as much again."""
        part = slice(formulation.at_once)
        batch = _batch_of(part, images)
        given = weights[part], head[part], images[batch], labels[batch]
        run = partial(formulation.loss_and_gradients, net, *given, normalise)
        if capturable(weights.device):
            return seconds_replayed(run) / formulation.at_once
        run()  # to warm up
        taken = seconds(run, weights.device)
        if taken < HOPELESS * least * formulation.at_once:
            for _ in range(TIMINGS - 1):
                taken = min(taken, seconds(run, weights.device))
        return taken / formulation.at_once

    def fits(formulation: Formulation) -> bool:
        """Whether there may be room."""
        return room is None or min(formulation.at_once, len(weights)) * of_one <= room

    for formulation in filter(fits, tried):
        taken = timed(formulation)
        if taken < least:
            best, least = formulation, taken
    if compiling and compilable(net):
        alike = [one for one in tried if one.kernel == best.kernel and one.at_once >= best.at_once]
        for formulation in filter(fits, alike[:2]):
            faster = replace(formulation, compiled=True)
            # Nobody needs a compiler, so that there is none is worth no word.
            with suppress(NotCompiledWarning), warnings.catch_warnings(action="error", category=NotCompiledWarning):
                taken = timed(faster)
                if taken < least:
                    best, least = faster, taken
    return best


def seconds_replayed(run: Callable[[], object]) -> float:
    """Seconds of a call as a graph; endless where there is no room for it, or no graph of it."""
    try:
        return Replay(run, (), ()).seconds()
    except (torch.OutOfMemoryError, CaptureError):
        return float("inf")


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time that a call takes on a device, to the end of what it started there."""
    if device.type == "cuda":
        # What was started before is not its own.
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
