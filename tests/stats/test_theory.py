"""The closed forms, against the numbers in print and against direct iteration."""

import math

import numpy as np
import pytest

from ilr.stats.theory import (
    equilibrium_effective_learning_rate,
    equilibrium_step_angle,
    exponential_growth_root,
    exponential_initial_velocity,
    ornstein_uhlenbeck_squared_distance,
    relaxed_effective_learning_rate,
    squared_norm_after_step,
)


def test_the_growth_per_epoch_the_authors_print() -> None:
    root = exponential_growth_root(0.1, 5e-4, 0.9)
    assert root == pytest.approx(0.99949773, abs=5e-9)
    assert root ** (-2 * 391) == pytest.approx(1.48123, abs=5e-6)


def test_without_momentum_the_root_is_one_minus_the_intrinsic_rate() -> None:
    assert exponential_growth_root(0.1, 0.05) == pytest.approx(1 - 0.1 * 0.05, rel=1e-15)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_root_solves_its_equation(momentum: float) -> None:
    root = exponential_growth_root(0.1, 0.01, momentum)
    assert root**2 - (1 + momentum - 0.001) * root + momentum == pytest.approx(0, abs=1e-15)


def test_too_strong_a_decay_has_no_equivalent() -> None:
    with pytest.raises(ValueError, match=r"must be at most \(1 − √β\)² = 0.00263"):
        exponential_growth_root(0.1, 0.5, 0.9)


def test_the_initial_velocity_is_the_step_from_the_previous_iterate() -> None:
    root = exponential_growth_root(0.1, 0.01, 0.9)
    previous_learning_rate = 0.1 * root
    assert exponential_initial_velocity(0.1, root) == pytest.approx(-(1 - root) / previous_learning_rate)
    assert math.isclose(exponential_initial_velocity(0.1, 1.0), 0.0)


def test_momentum_without_gradient_shrinks_by_the_root() -> None:
    """On a loss without gradient, weight decay with momentum ends up shrinking by α a step: that is what α is."""
    weights, velocity = 1.0, 0.0
    ratios = []
    for _ in range(2000):
        velocity = 0.9 * velocity + 0.01 * weights
        ratios.append((weights - 0.1 * velocity) / weights)
        weights -= 0.1 * velocity
    np.testing.assert_allclose(ratios[-1], exponential_growth_root(0.1, 0.01, 0.9), rtol=1e-10)


def test_the_norm_law_is_a_step_of_sgd() -> None:
    """On the scale-invariant loss x²/(x²+y²), whose gradient is 2xy/(x²+y²)² times (y, −x)."""
    x, y = 0.3, 1.1
    squared_norm = x**2 + y**2
    gradient = 2 * x * y / squared_norm**2 * np.array([y, -x])
    after = (1 - 0.2 * 0.7) * np.array([x, y]) - 0.2 * gradient
    predicted = squared_norm_after_step(squared_norm, 0.2, 0.7, squared_norm * (gradient**2).sum())
    assert (after**2).sum() == pytest.approx(predicted, rel=1e-15)


@pytest.mark.parametrize("intrinsic", [0.5, 0.01, 1e-4])
def test_the_equilibrium_keeps_the_norm_and_turns_by_its_angle(intrinsic: float) -> None:
    learning_rate, second_moment = 0.3, 7.0
    squared_norm = learning_rate / equilibrium_effective_learning_rate(intrinsic, second_moment)
    after = squared_norm_after_step(squared_norm, learning_rate, intrinsic / learning_rate, second_moment)
    assert after == pytest.approx(squared_norm, rel=1e-14)
    tangential = learning_rate * math.sqrt(second_moment / squared_norm)
    turned = math.atan2(tangential, (1 - intrinsic) * math.sqrt(squared_norm))
    assert equilibrium_step_angle(intrinsic) == pytest.approx(turned, rel=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_step_with_momentum_turns_weights_by_the_theorys_angle(momentum: float) -> None:
    learning_rate, weight_decay = 0.1, 0.05
    stream = np.random.default_rng(0)
    weights, velocity = stream.standard_normal(100), np.zeros(100)
    weights *= (learning_rate / (2 * weight_decay * (1 - momentum))) ** 0.25 / np.linalg.norm(weights)
    turned = []
    for _ in range(12_000):
        noise = stream.standard_normal(100)
        # A gradient of unit length at unit norm: orthogonal to the weights, inversely proportional to their norm.
        noise -= noise @ weights / (weights @ weights) * weights
        gradient = noise / np.linalg.norm(noise) / np.linalg.norm(weights)
        velocity = momentum * velocity + gradient + weight_decay * weights
        after = weights - learning_rate * velocity
        turned.append(1 - after @ weights / np.linalg.norm(after) / np.linalg.norm(weights))
        weights = after
    theory = 1 - math.cos(equilibrium_step_angle(learning_rate * weight_decay / (1 - momentum), momentum))
    assert np.mean(turned[4_000:]) == pytest.approx(theory, rel=0.02)


@pytest.mark.parametrize("steps", [0.0, 10.0, 1e4])
def test_without_weight_decay_the_effective_learning_rate_only_falls(steps: float) -> None:
    assert relaxed_effective_learning_rate(0.5, 0.0, 3.0, steps) == pytest.approx((4 + 6 * steps) ** -0.5)
    assert relaxed_effective_learning_rate(0.5, 1e-12, 3.0, steps) == pytest.approx((4 + 6 * steps) ** -0.5, rel=1e-6)


def test_after_a_drop_by_ten_the_effective_learning_rate_rises_to_one_in_root_ten() -> None:
    intrinsic, second_moment = 1e-3, 5.0
    before = relaxed_effective_learning_rate(1.0, 10 * intrinsic, second_moment, 1e6)
    elapsed = np.array([0, 0.25, 0.5, 1, 2, 1000])
    after = [relaxed_effective_learning_rate(before / 10, intrinsic, second_moment, t / intrinsic) for t in elapsed]
    on_a_toy_of_pure_noise = [0.1, 0.1524, 0.2124, 0.2931, 0.3156, 0.3162]
    np.testing.assert_allclose(np.array(after) / before, on_a_toy_of_pure_noise, rtol=0.002)
    closed_form = (10 + 90 * np.exp(-4 * elapsed)) ** -0.5
    np.testing.assert_allclose(np.array(after) / before, closed_form, rtol=1e-12)


def test_the_law_after_a_drop_is_that_of_pure_noise() -> None:
    """SGD whose gradient is noise alone, of a fixed size at unit norm, from the equilibrium of the old rate."""
    decay, second_moments = 0.01, np.random.default_rng(0).exponential(5.0, (2500, 500))
    squared_norm = np.full(500, 1.0 / equilibrium_effective_learning_rate(1.0 * decay, 5.0))
    measured = []
    for step, second_moment in enumerate(second_moments):
        learning_rate = 1.0 if step < 500 else 0.1
        measured.append(float((learning_rate / squared_norm).mean()))
        squared_norm = squared_norm_after_step(squared_norm, learning_rate, decay, second_moment)
    before = float(np.mean(measured[250:500]))
    predicted = [relaxed_effective_learning_rate(before / 10, 0.1 * decay, 5.0, float(t)) for t in range(2000)]
    np.testing.assert_allclose(measured[500:], predicted, rtol=0.01)
    assert measured[-1] / before == pytest.approx(10**-0.5, rel=0.01)


def test_the_distances_of_a_simulated_ornstein_uhlenbeck_process() -> None:
    """Two directions that relax in 50 and in 5 steps, as SGD does on a quadratic bowl with Gaussian noise."""
    relaxations, stream, walkers = np.array([50.0, 5.0]), np.random.default_rng(1), 20_000
    kept = np.exp(-1 / relaxations)
    start = stream.standard_normal((walkers, 2))
    now, squared = start, {}
    for lag in range(1, 201):
        now = kept * now + np.sqrt(1 - kept**2) * stream.standard_normal((walkers, 2))
        squared[lag] = ((now - start) ** 2).sum(axis=1).mean()
    for lag in (1, 10, 50, 200):
        expected = ornstein_uhlenbeck_squared_distance(lag, relaxations, plateau=2.0).sum()
        assert squared[lag] == pytest.approx(expected, rel=0.03)
    # The most by which it can still grow from m relaxation times on, whatever the relaxations: 1/(1 − e⁻ᵐ).
    assert squared[200] / squared[50] < 1 / -math.expm1(-50 / relaxations.max())


def test_the_growth_left_is_that_of_a_single_relaxation() -> None:
    left = ornstein_uhlenbeck_squared_distance(1e9, 10.0) / ornstein_uhlenbeck_squared_distance(50.0, 10.0)
    assert 1 / -math.expm1(-5.0) == pytest.approx(left)
    assert left == pytest.approx(1.00678, abs=1e-5)
