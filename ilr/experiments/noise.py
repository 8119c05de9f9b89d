"""What takes the place of a batch's gradient, as plain data: combinations of the gradients of several batches.

Of independent batches with the mean gradient ∇L and the covariance Σ, a combination whose coefficients have the sum 1
has the mean ∇L, and the sum of their squares times Σ for its covariance. So noise can be made larger, smaller or
Gaussian with nothing but gradients of batches, whatever the net: where batch normalisation ties the examples of a batch
together, a single example has no gradient.
"""

import math
from typing import Any

import numpy as np

from ilr.serialization import record


@record
class SVAG:
    """Stochastic variance amplified gradient (Li, Malladi & Arora 2021), which simulates SGD's Itô equation.

    `refinement` l steps with the learning rate η/l go as far as one of SGD with η; for the same noise over that time
    each must have l times SGD's covariance. It is ((1 + √(2l − 1))/2)·g₁ + ((1 − √(2l − 1))/2)·g₂ of two batches'
    gradients. Learning rate and steps are the experiment's own: it must divide and multiply them itself. l = 1 is SGD
    by the first of the two.
    """

    refinement: int

    def __post_init__(self) -> None:
        if self.refinement < 1:
            raise ValueError(f"SVAG: refinement={self.refinement} must be 1 or more")

    @property
    def batches(self) -> int:
        """Batches that a step takes."""
        return 2

    def coefficients(self, draws: Any) -> Any:
        """Of each batch, [..., batch], the same whatever was drawn, [..., batch]."""
        root = math.sqrt(2 * self.refinement - 1)
        return np.broadcast_to(np.array([(1 + root) / 2, (1 - root) / 2]), np.shape(draws))

    def __str__(self) -> str:
        return f"SVAG by {self.refinement}"


@record
class GaussianNoise:
    """Gaussian noise of a batch's covariance, or of a multiple of it, about the mean gradient of `batches` batches.

    The mean of K batches' gradients g₁ … g_K has the covariance Σ/K, which is no Gaussian noise; what is missing to
    `variance` times Σ is Σ_k z_k(g_k − ḡ), normal with the batches' own covariance, for independent normal z_k of the
    variance (variance − 1/K)/(K − 1). The more batches, the nearer to Gaussian (3/K of a
    batch's skewness is left); each costs a gradient.
    """

    batches: int = 8
    variance: float = 1.0

    def __post_init__(self) -> None:
        if self.batches < 2:
            raise ValueError(f"GaussianNoise: batches={self.batches} must be 2 or more")
        if self.variance < 1 / self.batches:
            raise ValueError(
                f"GaussianNoise: variance={self.variance:g} must be {1 / self.batches:g} or more, as the mean of "
                f"{self.batches} batches has so much"
            )

    def coefficients(self, draws: Any) -> Any:
        """Of each batch, [..., batch], from standard normal draws, [..., batch]."""
        scale = math.sqrt((self.variance - 1 / self.batches) / (self.batches - 1))
        return 1 / self.batches + scale * (draws - draws.mean(axis=-1, keepdims=True))

    def __str__(self) -> str:
        times = "" if self.variance == 1 else f"{self.variance:g} times "
        return f"Gaussian noise of {times}the covariance of {self.batches} batches"


GradientNoise = SVAG | GaussianNoise
