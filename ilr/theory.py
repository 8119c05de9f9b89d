"""The closed forms that claims compare their measurements with.

η is the learning rate, λ the weight decay, λₑ = ηλ the intrinsic learning rate.
"""

import math

import numpy as np
import numpy.typing as npt


def intrinsic_learning_rate(learning_rate: float, weight_decay: float) -> float:
    """λₑ = ηλ, per step (blog post, "So what's really going on?")."""
    return learning_rate * weight_decay


def exponential_growth_root(learning_rate: float, weight_decay: float, momentum: float = 0.0) -> float:
    """α, the larger root of x² − (1 + β − ηλ)x + β = 0; without momentum 1 − ηλ (Li & Arora 2019).

    Weight decay SGD with iterates θ_t takes the same directions as SGD without weight decay at the learning rate
    η·α⁻²ᵗ⁻¹, whose iterates are α^(−t)·θ_t.

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


def toy_orbit_loss(learning_rate: float, weight_decay: float) -> float:
    """Loss ηλ/2 of the exact period-2 orbit of gradient descent on x²/(x²+y²) with weight decay."""
    return learning_rate * weight_decay / 2


def ornstein_uhlenbeck_squared_distance(
    lag: npt.ArrayLike, relaxation: npt.ArrayLike, plateau: float = 1.0
) -> npt.NDArray[np.float64]:
    """E‖W_T − W_{T+Δ}‖² of a stationary Ornstein-Uhlenbeck process that relaxes in so many steps: p(1 − e^(−Δ/τ)).

    The plateau p is 2 Tr Σ, twice the trace of its covariance (blog post, figure 3). Lags and relaxations broadcast.
    """
    relaxed = np.asarray(lag, np.float64) / np.asarray(relaxation, np.float64)
    return np.asarray(-plateau * np.expm1(-relaxed))


def ornstein_uhlenbeck_growth(relaxations: float) -> float:
    """The most by which E‖W_T − W_{T+Δ}‖² can still grow once Δ is this many relaxation times: 1/(1 − e⁻ᵐ).

    That holds for the slowest relaxation of a process that has many: a faster one is nearer to its plateau.
    """
    return 1 / -math.expm1(-relaxations)
