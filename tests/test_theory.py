"""The closed forms, against the numbers in print and against direct iteration."""

import math

import numpy as np
import pytest

from ilr.theory import (
    exponential_growth_root,
    exponential_initial_velocity,
    intrinsic_learning_rate,
    ornstein_uhlenbeck_growth,
    ornstein_uhlenbeck_squared_distance,
)


def test_the_growth_per_epoch_the_authors_print() -> None:
    root = exponential_growth_root(0.1, 5e-4, 0.9)
    assert root == pytest.approx(0.99949773, abs=5e-9)
    assert root ** (-2 * 391) == pytest.approx(1.48123, abs=5e-6)


def test_without_momentum_the_root_is_one_minus_the_intrinsic_rate() -> None:
    assert exponential_growth_root(0.1, 0.05) == pytest.approx(1 - intrinsic_learning_rate(0.1, 0.05), rel=1e-15)


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
    assert squared[200] / squared[50] < ornstein_uhlenbeck_growth(50 / relaxations.max())


def test_the_growth_left_is_that_of_a_single_relaxation() -> None:
    left = ornstein_uhlenbeck_squared_distance(1e9, 10.0) / ornstein_uhlenbeck_squared_distance(50.0, 10.0)
    assert ornstein_uhlenbeck_growth(5.0) == pytest.approx(left)
    assert ornstein_uhlenbeck_growth(5.0) == pytest.approx(1.00678, abs=1e-5)
