"""The estimators of tail indices on samples whose index is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ilr.stats.rule import Floats
from ilr.stats.tails import hill_index, stable_index

ROWS, SAMPLES = 200, 512
"""As many samples as a claim has of one weight's gradient, so often that only what is wrong in the mean shows."""

Draw = Callable[[np.random.Generator], Floats]


def stable(index: float) -> Draw:
    return lambda generator: stats.levy_stable.rvs(index, 0, size=(ROWS, SAMPLES), random_state=generator)


def normal(generator: np.random.Generator) -> Floats:
    return generator.standard_normal((ROWS, SAMPLES))


def mean_index(indices: Floats) -> float:
    """Of rows: the inverse is what has little bias."""
    return float(1 / (1 / indices).mean())


@pytest.mark.parametrize(("draw", "index"), [(normal, 2.0), (stable(1.5), 1.5), (stable(1.0), 1.0)])
@pytest.mark.parametrize("block", [8, 16, 32])
def test_simseklis_estimator_recovers_stable_samples(draw: Draw, index: float, block: int) -> None:
    samples = draw(np.random.default_rng(3))
    for scale in (1.0, 1e-6):
        assert mean_index(stable_index(scale * samples, block)) == pytest.approx(index, rel=0.03)


@pytest.mark.parametrize("index", [1.0, 1.5])
def test_hills_estimator_recovers_heavy_tails(index: float) -> None:
    # Only far out the tail is a power law: in long samples there is enough of it.
    long = stats.levy_stable.rvs(index, 0, size=(8, 50_000), random_state=np.random.default_rng(4))
    assert mean_index(hill_index(long, 0.002)) == pytest.approx(index, rel=0.05)
    # As many as a claim has leave a bias, which does not hide that the variance is infinite.
    assert index < mean_index(hill_index(stable(index)(np.random.default_rng(4)), 0.02)) < 2
    pure = np.random.default_rng(5).pareto(index, (ROWS, SAMPLES)) + 1
    for share in (0.05, 0.5):
        assert mean_index(hill_index(pure, share)) == pytest.approx(index, rel=0.05)


def test_hills_estimator_tells_light_tails_from_heavy_ones() -> None:
    generator = np.random.default_rng(6)
    few, more = (mean_index(hill_index(normal(generator), share)) for share in (0.02, 0.1))
    assert few > more > 4  # there is no index, so the tail looks lighter the farther out


def test_simseklis_estimator_takes_several_variances_for_heavy_tails() -> None:
    """What its critics say of it: normal noise, thrown together over weights of different variances, gets less than 2.

    Hill's, weight by weight, does not mind.
    """
    generator = np.random.default_rng(7)
    by_weight = np.exp(2 * generator.standard_normal((ROWS, 1))) * normal(generator)
    together = by_weight.T.ravel()
    generator.shuffle(together)
    assert stable_index(together, 16) < 1.6
    assert mean_index(stable_index(by_weight, 16)) == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (lambda: stable_index([1.0, 2.0], 1), "blocks of 1 cannot be made of 2 samples"),
        (lambda: stable_index([1.0, 2.0], 3), "blocks of 3 cannot be made of 2 samples"),
        (lambda: stable_index([1.0, 0.0], 2), "finite and not 0"),
        (lambda: stable_index([1.0, np.inf], 2), "finite and not 0"),
        (lambda: hill_index([1.0] * 10, 0.1), "a share of 0.1 of 10 samples is 1"),
        (lambda: hill_index([1.0] * 10, 1.0), "a share of 1 of 10 samples is 10"),
        (lambda: hill_index([1.0] * 3 + [0.0] * 7, 0.5), "more samples are 0"),
    ],
)
def test_what_has_no_index_is_refused(estimate: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate()
