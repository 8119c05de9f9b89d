"""Fused layers: one call computes a layer of R replicas, each with its own weights.

A linear layer of R replicas is a batched matrix product, a convolution one with R groups. Inputs that all replicas
share have a replica axis of length 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ilr.nn.norms import Normalise

ConvolutionKernel = Literal["grouped", "unfolded", "channels-first"]

NARROW = 16
"""Fewer channels than this do not fill a block of a CPU's convolutions."""


@dataclass(frozen=True)
class Layers:
    """How one forward pass of R replicas computes its layers."""

    normalise: Normalise
    kernel: ConvolutionKernel = "grouped"
    compiled: bool = False
    """Whether torch.compile makes one kernel of what lies between two convolutions."""

    def convolution(self, weights: Tensor, inputs: Tensor, stride: int = 1) -> Tensor:
        """Convolution padded with zeros, so that only its stride makes maps smaller: [N, R·out, row, column].

        Args:
            weights: [R, out, in, side, side] with an odd side.
            inputs: [N, R·in, row, column], or [N, in, row, column] that all replicas share.
            stride: in pixels, along both axes.
        """
        outputs = _KERNELS[self.kernel](weights, inputs, stride)
        if self.kernel == "channels-first":
            return outputs
        # Channels-last is the fastest layout on CPUs; a single input channel does not tell it from others.
        return outputs.contiguous(memory_format=torch.channels_last)


def linear(weights: Tensor, inputs: Tensor) -> Tensor:
    """Weights [R, out, in] applied to inputs [R or 1, in, N]: [R, out, N]."""
    return torch.matmul(weights, inputs)


def _grouped(weights: Tensor, inputs: Tensor, stride: int) -> Tensor:
    """One convolution with a group for each replica, or one group of inputs that all share."""
    groups = inputs.shape[1] // weights.shape[2]
    kernels = weights.flatten(0, 1)  # [R·out, in, side, side]
    if weights.shape[-1] == 1 and weights.shape[2] < NARROW and not inputs.is_cuda:
        # The same, but for what oneDNN makes of it without AVX-512: for the gradient it wrote beyond its memory
        # (github.com/uxlfoundation/oneDNN/issues/6035), which ended the process or gave other numbers.
        inputs, stride = inputs[:, :, ::stride, ::stride], 1
    return F.conv2d(inputs, kernels, stride=stride, padding=weights.shape[-1] // 2, groups=groups)


def _unfolded(weights: Tensor, inputs: Tensor, stride: int) -> Tensor:
    """Patches as columns, then one batched matrix product."""
    replicas, channels, channels_in, side, _ = weights.shape
    examples, channels_seen, height, _ = inputs.shape
    groups = channels_seen // channels_in  # R, or 1 of inputs that all replicas share
    patches = F.unfold(inputs, side, padding=side // 2, stride=stride)  # [N, group·in·side², pixel]
    columns = patches.view(examples, groups, -1, patches.shape[2])  # [N, group, in·side², pixel]
    columns = columns.permute(1, 2, 0, 3).flatten(2)  # [group, in·side², N·pixel]
    outputs = torch.matmul(weights.flatten(2), columns)  # [R, out, in·side²] by columns: [R, out, N·pixel]
    maps = outputs.view(replicas, channels, examples, -(-height // stride), -1)  # [R, out, N, row, column]
    return maps.permute(2, 0, 1, 3, 4).flatten(1, 2)  # [N, R·out, row, column]


_KERNELS: dict[ConvolutionKernel, Callable[[Tensor, Tensor, int], Tensor]] = {
    "grouped": _grouped,
    "unfolded": _unfolded,
    "channels-first": _grouped,
}
