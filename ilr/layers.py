"""Fused layers: one call computes a layer of R replicas, each with its own weights.

A normalisation over R replicas of C channels is one over R·C channels, a linear layer a batched matrix product, a
convolution one with R groups. Inputs that all replicas share have a replica axis of length 1.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Normalise = Callable[[Tensor], Tensor]
"""Normalises [N, R·C, ...] over all axes but the second."""

Statistics = list[tuple[Tensor, Tensor]]
"""Mean and variance [R·C] of each normalisation of a net, in the order the forward pass meets them."""


def linear(weights: Tensor, inputs: Tensor) -> Tensor:
    """Weights [R, out, in] applied to inputs [R or 1, in, N]: [R, out, N]."""
    return torch.matmul(weights, inputs)


def convolution(weights: Tensor, inputs: Tensor, *, shared: bool) -> Tensor:
    """3×3 convolution, zero-padded: weights [R, out, in, 3, 3], inputs [N, R·in, H, W] or, shared, [N, in, H, W]."""
    replicas = weights.shape[0]
    return F.conv2d(inputs, weights.flatten(0, 1), padding=1, groups=1 if shared else replicas)


def by_batch(eps: float) -> Normalise:
    """Batch normalisation by the statistics of the batch itself: training."""
    return lambda inputs: _batch_norm(inputs, None, None, training=True, eps=eps)


def measuring(eps: float, statistics: Statistics) -> Normalise:
    """As `by_batch`, and appends each layer's mean and (unbiased) variance to `statistics`."""

    def normalise(inputs: Tensor) -> Tensor:
        mean, variance = inputs.new_zeros(inputs.shape[1]), inputs.new_ones(inputs.shape[1])
        outputs = _batch_norm(inputs, mean, variance, training=True, eps=eps)
        statistics.append((mean, variance))
        return outputs

    return normalise


def by_statistics(eps: float, statistics: Statistics) -> Normalise:
    """Batch normalisation by statistics measured before: evaluation."""
    remaining = iter(statistics)

    def normalise(inputs: Tensor) -> Tensor:
        mean, variance = next(remaining)
        return _batch_norm(inputs, mean, variance, training=False, eps=eps)

    return normalise


def unchanged(inputs: Tensor) -> Tensor:
    """No normalisation."""
    return inputs


def _batch_norm(inputs: Tensor, mean: Tensor | None, variance: Tensor | None, *, training: bool, eps: float) -> Tensor:
    """Torch's own kernel; its wrapper in `torch.nn.functional` refuses eps = 0, which exact scale invariance
    needs.

    With momentum 1 the running statistics, where given, become exactly those of this batch.
    """
    return torch.batch_norm(inputs, None, None, mean, variance, training, 1.0, eps, torch.backends.cudnn.enabled)
