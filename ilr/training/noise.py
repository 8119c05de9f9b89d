"""Steps that take a combination of several batches' gradients in the place of one batch's."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ilr.experiments.noise import GradientNoise
from ilr.experiments.seeding import Stream, generator
from ilr.training.optimizers.sgd import like

BLOCK = 256
"""Steps for which a replica draws at a time: to make a generator takes longer than to draw from it."""


class Coefficients:
    """What each batch's gradient counts for in a step, for R replicas.

    A replica's draws follow from its own key and the step alone.

    Args:
        noise: says how draws become coefficients.
        replicas: (root seed, replica id) of each.
        device: where they are wanted.
        dtype: of training.
    """

    def __init__(
        self, noise: GradientNoise, replicas: Sequence[tuple[int, int]], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.noise = noise
        self.replicas = replicas
        self.device = device
        self.dtype = dtype
        self._block = -1
        self._coefficients = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Those of a step, [R, batch]."""
        block, position = divmod(step, BLOCK)
        if block != self._block:
            self._block = block
            shape = BLOCK, self.noise.batches
            draws = np.stack(
                [generator(*key, Stream.GRADIENT_NOISE, block).standard_normal(shape) for key in self.replicas], axis=1
            )  # [step, R, batch]
            self._coefficients = torch.tensor(self.noise.coefficients(draws), dtype=self.dtype, device=self.device)
        return self._coefficients[position]


Gradients = tuple[Tensor, list[Tensor]]
"""Each replica's loss [R], and the gradient of each layer [R, ...]."""


def combined(coefficients: Tensor, gradients_of: Callable[[int], Gradients]) -> Gradients:
    """The mean of the batches' losses, and the sum of their gradients times their coefficients.

    One batch after another, so that no more than two batches' gradients are kept at a time.

    Args:
        coefficients: [R, batch].
        gradients_of: gives loss and gradients of the batch of a number.
    """
    batches = coefficients.shape[1]
    losses, total = gradients_of(0)
    for gradient in total:
        gradient.mul_(like(gradient, coefficients[:, 0]))
    for batch in range(1, batches):
        loss, gradients = gradients_of(batch)
        losses = losses + loss
        for sum_so_far, gradient in zip(total, gradients, strict=True):
            sum_so_far.addcmul_(like(gradient, coefficients[:, batch]), gradient)
    return losses / batches, total
