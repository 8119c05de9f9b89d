"""Fused layers: one call computes a layer of R replicas, each with its own weights.

A normalisation over R replicas of C channels is one over R·C channels, or over R times as many groups; a linear layer
a batched matrix product, a convolution one with R groups. Inputs that all replicas share have a replica axis of length
1.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Statistics = list[tuple[Tensor, Tensor]]
"""Mean and variance [R·C] of each normalisation of a net, in the order the forward pass meets them."""

ConvolutionKernel = Literal["grouped", "unfolded"]


class Normalise(ABC):
    """How the layers of R replicas are normalised."""

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N] of fully connected layers."""

    @abstractmethod
    def maps(self, inputs: Tensor, replicas: int) -> Tensor:
        """Feature maps [N, R·C, H, W] of convolutions."""

    def weights(self, weights: Tensor) -> Tensor:
        """The weights [R, out, in, ...] that a layer below the head applies, of those that are trained."""
        return weights


class Unchanged(Normalise):
    """No normalisation."""

    def features(self, inputs: Tensor) -> Tensor:
        """The inputs."""
        return inputs

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:  # noqa: ARG002 - the interface's
        """The inputs."""
        return inputs


class ByWeights(Unchanged):
    """Weight normalisation: each output unit's weights have the norm √2, activations are left alone.

    If a layer's inputs have the mean square 1, so has what ReLU makes of its outputs: √2 makes up for the half that
    ReLU drops.
    """

    def weights(self, weights: Tensor) -> Tensor:
        """The trained weights' directions, all of one length."""
        return math.sqrt(2) * F.normalize(weights.flatten(2), dim=2, eps=0.0).view_as(weights)


class ByExample(Normalise):
    """Normalises groups of channels of each example, over all their pixels.

    Args:
        groups: how many groups a replica's channels make, of their number.
        eps: added to the variance.
    """

    def __init__(self, groups: Callable[[int], int], eps: float) -> None:
        self.groups = groups
        self.eps = eps

    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N], which are maps without pixels."""
        return self.maps(inputs.flatten(0, 1).T, len(inputs)).T.view_as(inputs)

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:
        """Feature maps [N, R·C, H, W].

        Raises:
            ValueError: a group is a single number.
        """
        groups = replicas * self.groups(inputs.shape[1] // replicas)
        if inputs[0].numel() == groups:
            raise ValueError(
                f"normalisation over the pixels of maps of {inputs.shape[2]}×{inputs.shape[3]} makes every number 0: "
                "take larger images, fewer layers or another norm"
            )
        return torch.group_norm(inputs, groups, None, None, self.eps, torch.backends.cudnn.enabled)


class _OverBatch(Normalise):
    """Normalises every channel over all examples and pixels."""

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N]; as [1, R·C, N] they are what the kernel takes, without a copy."""
        return self._normalised(inputs.flatten(0, 1)[None]).view_as(inputs)

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:  # noqa: ARG002 - the interface's
        """Feature maps [N, R·C, H, W]."""
        return self._normalised(inputs)

    @abstractmethod
    def _normalised(self, inputs: Tensor) -> Tensor:
        """Inputs [N, R·C, ...] normalised over all axes but the second."""


class ByBatch(_OverBatch):
    """Batch normalisation by the statistics of the batch itself: training."""

    def _normalised(self, inputs: Tensor) -> Tensor:
        return _batch_norm(inputs, None, None, training=True, eps=self.eps)


class Measuring(_OverBatch):
    """As `ByBatch`, and appends each layer's mean and (unbiased) variance to `statistics`."""

    def __init__(self, eps: float, statistics: Statistics) -> None:
        super().__init__(eps)
        self.statistics = statistics

    def _normalised(self, inputs: Tensor) -> Tensor:
        mean, variance = inputs.new_zeros(inputs.shape[1]), inputs.new_ones(inputs.shape[1])
        outputs = _batch_norm(inputs, mean, variance, training=True, eps=self.eps)
        self.statistics.append((mean, variance))
        return outputs


class ByStatistics(_OverBatch):
    """Batch normalisation by statistics measured before: evaluation."""

    def __init__(self, eps: float, statistics: Statistics) -> None:
        super().__init__(eps)
        self._remaining: Iterator[tuple[Tensor, Tensor]] = iter(statistics)

    def _normalised(self, inputs: Tensor) -> Tensor:
        mean, variance = next(self._remaining)
        return _batch_norm(inputs, mean, variance, training=False, eps=self.eps)


@dataclass(frozen=True)
class Layers:
    """How one forward pass of R replicas computes its layers."""

    normalise: Normalise
    kernel: ConvolutionKernel = "grouped"

    def convolution(self, weights: Tensor, inputs: Tensor, *, shared: bool = False, stride: int = 1) -> Tensor:
        """Zero-padded convolution of inputs [N, R·in, H, W], or [N, in, H, W] that all replicas share: [N, R·out, …].

        Weights are [R, out, in, side, side] with an odd side.
        """
        convolve = _KERNELS[self.kernel]
        outputs = convolve(weights, inputs, 1 if shared else weights.shape[0], stride)
        # Channels-last is the fastest layout on CPUs and GPUs, and a single input channel does not tell it from others.
        return outputs.contiguous(memory_format=torch.channels_last)


def linear(weights: Tensor, inputs: Tensor) -> Tensor:
    """Weights [R, out, in] applied to inputs [R or 1, in, N]: [R, out, N]."""
    return torch.matmul(weights, inputs)


def _grouped(weights: Tensor, inputs: Tensor, groups: int, stride: int) -> Tensor:
    """One convolution with a group for each replica."""
    return F.conv2d(inputs, weights.flatten(0, 1), stride=stride, padding=weights.shape[-1] // 2, groups=groups)


def _unfolded(weights: Tensor, inputs: Tensor, groups: int, stride: int) -> Tensor:
    """Patches as columns, then one batched matrix product."""
    replicas, channels, _, side, _ = weights.shape
    patches = F.unfold(inputs, side, padding=side // 2, stride=stride)
    columns = patches.view(len(inputs), groups, -1, patches.shape[2]).permute(1, 2, 0, 3)
    outputs = torch.matmul(weights.flatten(2), columns.flatten(2))
    rows = (inputs.shape[2] + stride - 1) // stride
    return outputs.view(replicas, channels, len(inputs), rows, -1).permute(2, 0, 1, 3, 4).flatten(1, 2)


_KERNELS: dict[ConvolutionKernel, Callable[[Tensor, Tensor, int, int], Tensor]] = {
    "grouped": _grouped,
    "unfolded": _unfolded,
}


def _batch_norm(inputs: Tensor, mean: Tensor | None, variance: Tensor | None, *, training: bool, eps: float) -> Tensor:
    """Torch's own kernel; its wrapper in `torch.nn.functional` refuses eps = 0, which exact scale invariance
    needs.

    With momentum 1 the running statistics, where given, become exactly those of this batch.
    """
    return torch.batch_norm(inputs, None, None, mean, variance, training, 1.0, eps, torch.backends.cudnn.enabled)
