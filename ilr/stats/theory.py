"""The closed forms that claims compare their measurements with.

η is the learning rate, λ the weight decay, λₑ the intrinsic learning rate: ηλ, with momentum β ηλ/(1 − β).
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Numbers = TypeVar("Numbers", float, NDArray[np.float64])


def exponential_growth_root(learning_rate: float, weight_decay: float, momentum: float = 0.0) -> float:
    """α, the larger root of x² − (1 + β − ηλ)x + β = 0; without momentum 1 − ηλ (Li & Arora 2019).

    Weight decay SGD with iterates θ_t takes the same directions as SGD without weight decay at the learning rate
    η·α⁻²ᵗ⁻¹, whose iterates are α^(−t)·θ_t.

    Args:
        learning_rate: η.
        weight_decay: λ.
        momentum: β.

    Raises:
        ValueError: the roots are complex: the weight decay is too strong for the momentum.
    """
    linear = 1 + momentum - learning_rate * weight_decay
    discriminant = linear**2 - 4 * momentum
    if discriminant < 0:
        raise ValueError(
            f"momentum {momentum} with learning rate × weight decay {learning_rate * weight_decay} has no exponential "
            f"equivalent: the product must be at most (1 − √β)² = {(1 - math.sqrt(momentum)) ** 2:.3g}"
        )
    return (linear + math.sqrt(discriminant)) / 2


def exponential_initial_velocity(learning_rate: float, growth_root: float) -> float:
    """The momentum buffer the exponential run starts with, as a multiple of its initial weights.

    The equivalence needs a previous iterate θ_{−1} = α·θ_0. In PyTorch's convention the buffer holds
    −(θ_0 − θ_{−1})/η_{−1} with η_{−1} = α·η, hence (α − 1)/(αη) times θ_0.
    """
    return (growth_root - 1) / (growth_root * learning_rate)


def squared_norm_after_step(
    squared_norm: Numbers, learning_rate: float, weight_decay: float, gradient_second_moment: Numbers
) -> Numbers:
    """‖w₊‖² = (1 − ηλ)²‖w‖² + η²‖ḡ‖²/‖w‖² after a step of SGD without momentum, ḡ the gradient at unit norm.

    Exact where the loss is scale-invariant: the gradient is orthogonal to the weights and inversely proportional to
    their norm.

    Args:
        squared_norm: ‖w‖² before the step.
        learning_rate: η.
        weight_decay: λ.
        gradient_second_moment: that step's own ‖ḡ‖² = ‖w‖²‖∇L‖².
    """
    shrunk = (1 - learning_rate * weight_decay) ** 2 * squared_norm
    return shrunk + learning_rate**2 * gradient_second_moment / squared_norm


def equilibrium_effective_learning_rate(intrinsic_learning_rate: float, gradient_second_moment: Numbers) -> Numbers:
    """η/‖w‖² = √(λₑ(2 − λₑ)/E‖ḡ‖²) at which the norm keeps its value, nearly √(2λₑ/E‖ḡ‖²).

    The fixed point of `squared_norm_after_step` with the mean of ‖ḡ‖² over batches, hence ‖w‖⁴ = ηE‖ḡ‖²/(λ(2 − ηλ)).
    With momentum β it is η/((1 − β)‖w‖²), to first order in λₑ.
    """
    effective: Numbers = (intrinsic_learning_rate * (2 - intrinsic_learning_rate) / gradient_second_moment) ** 0.5
    return effective


def equilibrium_step_angle(intrinsic_learning_rate: float, momentum: float = 0.0) -> float:
    """arccos(1 − ηλ/(1 + β)) in radians, nearly √(2ηλ/(1 + β)): how far a step turns weights that keep their norm.

    In λₑ, which has 1 − β in it, that is √(2λₑ(1 − β)/(1 + β)).

    Without momentum weight decay leaves (1 − ηλ)w, the gradient is orthogonal to it, and the norm is that of w again.
    With momentum the step u₊ = βu − η(∇L + λw) keeps the norm where 2⟨w, u₊⟩ = −‖u₊‖²; the step before did so too,
    hence ⟨w, u⟩ = ‖u‖²/2, and ‖u‖² = 2ηλ‖w‖²/(1 + β) (Wan et al. 2021).

    Args:
        intrinsic_learning_rate: λₑ = ηλ/(1 − β).
        momentum: β.
    """
    return math.acos(1 - intrinsic_learning_rate * (1 - momentum) / (1 + momentum))


def relaxed_effective_learning_rate(
    initial: Numbers, intrinsic_learning_rate: float, gradient_second_moment: Numbers, steps: Numbers
) -> Numbers:
    """η/‖w‖² some steps after it was `initial`, while E‖ḡ‖² stays as it is; λₑ may be 0.

    γ = ‖w‖⁴/η² follows dγ/dt = −4λₑγ + 2E‖ḡ‖² (blog post, "So what's really going on?"). After a learning rate drop
    by k at an equilibrium the effective one is `initial` = 1/k of what it was, and γ needs some 1/(4λₑ) steps of the
    new λₑ to bring it to 1/√k: the ratio is [k + (k² − k)e^(−4λₑt)]^(−1/2), the law review 1 asks for.

    Args:
        initial: η/‖w‖² at first.
        intrinsic_learning_rate: λₑ, per step.
        gradient_second_moment: E‖ḡ‖².
        steps: how many later.
    """
    forgotten = 4 * intrinsic_learning_rate * steps
    gathered = -np.expm1(-forgotten) / (4 * intrinsic_learning_rate) if intrinsic_learning_rate else steps
    relaxed: Numbers = (initial**-2 * np.exp(-forgotten) + 2 * gradient_second_moment * gathered) ** -0.5
    return relaxed


def ornstein_uhlenbeck_squared_distance(lag: Numbers, relaxation: Numbers, plateau: float = 1.0) -> Numbers:
    """E‖W_T − W_{T+Δ}‖² of a stationary Ornstein-Uhlenbeck process of relaxation time τ, in steps: p(1 − e^(−Δ/τ)).

    Lags and relaxations broadcast.

    Args:
        lag: Δ, in steps.
        relaxation: τ, in steps.
        plateau: p = 2 Tr Σ, twice the trace of the covariance (blog post, figure 3).
    """
    distance: Numbers = plateau * -np.expm1(-lag / relaxation)
    return distance
