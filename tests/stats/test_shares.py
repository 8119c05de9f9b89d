"""The rules of `ilr.stats.shares`: against scipy, and their error rates."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from ilr.stats.decision import Verdict
from ilr.stats.shares import quantile_at_least, share_at_least, universal
from tests.cases import CASES
from tests.stats.samples import (
    SIMULATIONS,
    at_most_times,
    predict,
    rates,
)
from tests.worlds import NOISES, Noise

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("n", "count"), [(12, 12), (12, 11), (12, 5), (12, 0), (200, 187)])
def test_share_agrees_with_scipy(n: int, count: int) -> None:
    found = share_at_least(predict(share_at_least, 0.9, 0.1, alpha=0.01), [True] * count + [False] * (n - count))
    assert found.p == pytest.approx(stats.binomtest(count, n, 0.8, "greater").pvalue)
    assert found.p_refuted == pytest.approx(stats.binomtest(count, n, 0.8, "less").pvalue)
    assert found.interval == pytest.approx(stats.binomtest(count, n).proportion_ci(0.98, "exact"))


@pytest.mark.parametrize("count", range(11))
def test_a_quantile_is_decided_as_the_share_that_reaches_it(count: int) -> None:
    values = [1.0] * count + [0.0] * (10 - count)
    quantile = quantile_at_least(predict(quantile_at_least, 0.7, 0.2), values, 0.6)
    share = share_at_least(predict(share_at_least, 0.6), np.array(values) >= 0.5)
    assert (quantile.p, quantile.p_refuted, quantile.verdict) == (share.p, share.p_refuted, share.verdict)
    assert quantile.estimate == (count >= 6)


def test_the_interval_of_a_quantile_is_of_order_statistics() -> None:
    # Of 20 values the median lies between the sixth and the fifteenth with 95.9%: two tails of 2.07%.
    found = quantile_at_least(predict(quantile_at_least, 5, alpha=0.021), range(1, 21), 0.5)
    assert (found.interval, found.estimate) == ((6.0, 15.0), 11.0)
    assert quantile_at_least(predict(quantile_at_least, 5, alpha=0.005), range(7), 0.9).interval[0] is None


@pytest.mark.parametrize("n", [2, 3, 23, 24])
def test_an_identity_without_violation(n: int) -> None:
    found = universal(predict(universal, 0, 1e-6, alpha=0.005), np.linspace(-1e-7, 1e-6, n))
    assert (found.p, found.p_refuted) == pytest.approx((0.8**n, 1.0))
    assert found.verdict is (REPRODUCED if n == 24 else INCONCLUSIVE)
    assert (found.estimate, found.interval) == (1e-6, (-1e-7, 1e-6))


@pytest.mark.parametrize("n", [2, 100])
def test_one_violation_refutes_an_identity(n: int) -> None:
    found = universal(predict(universal, 0, 1e-6), [0.0] * (n - 1) + [1.1e-6])
    assert (found.p, found.p_refuted, found.verdict) == (1.0, 0.0, REFUTED)


def test_a_success_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="true or false"):
        share_at_least(predict(share_at_least, 0.5), [0.5, 1.0])


@pytest.mark.parametrize("bound", [0.0, -0.5, 1.1])
def test_a_share_that_cannot_be_tested_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="no test of a share"):
        share_at_least(predict(share_at_least, bound), [True, True])


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_on_the_edge_a_quantile_errs_at_most_with_alpha_whatever_the_distribution(
    noise: Noise, generator: np.random.Generator
) -> None:
    [case] = [case for case in CASES if case.rule is quantile_at_least]
    counted = case.counts(generator, noise, 12, case.edge, SIMULATIONS)
    assert counted[REPRODUCED] <= at_most_times(0.05)
    assert counted[REFUTED] <= at_most_times(0.05)


@pytest.mark.parametrize("n", [10, 60])
@pytest.mark.parametrize("bound", [0.5, 0.8, 0.95])
def test_on_the_edge_a_share_errs_at_most_with_alpha(n: int, bound: float) -> None:
    # All outcomes are enumerated: no simulation is needed.
    prediction = predict(share_at_least, bound)
    verdicts = [share_at_least(prediction, [True] * k + [False] * (n - k)).verdict for k in range(n + 1)]
    chances = stats.binom.pmf(np.arange(n + 1), n, bound)
    for verdict in (REPRODUCED, REFUTED):
        assert chances[[v is verdict for v in verdicts]].sum() <= 0.05


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_many_violators_are_missed_at_most_with_alpha(share: float, generator: np.random.Generator) -> None:
    def draw(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
        return ((generator.random(14) < truth).astype(float),)

    assert rates(universal, predict(universal, 0, 0.5), draw, share, generator)[REPRODUCED] <= at_most_times(0.05)


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 14), (0.005, 24)])
def test_an_identity_needs_enough_replicas_to_notice_a_fifth(alpha: float, needed: int) -> None:
    assert universal(predict(universal, 0, alpha=alpha), [0.0, 0.0]).replicas_needed == needed
    assert 0.8**needed <= alpha < 0.8 ** (needed - 1)


@pytest.mark.parametrize(("count", "n", "bound"), [(10, 10, 0.8), (9, 10, 0.8), (7, 10, 0.8), (17, 20, 0.75)])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_a_share_needs_the_fewest_replicas_that_decide(count: int, n: int, bound: float, alpha: float) -> None:
    found = share_at_least(predict(share_at_least, bound, alpha=alpha), [True] * count + [False] * (n - count))
    needed = found.replicas_needed
    assert needed is not None

    def power(size: int) -> float:
        counts = np.arange(size + 1)
        decides = (stats.binom.sf(counts - 1, size, bound) <= alpha) | (stats.binom.cdf(counts, size, bound) <= alpha)
        return float(stats.binom.pmf(counts, size, count / n)[decides].sum())

    assert power(needed) >= 0.9
    assert all(power(size) < 0.9 for size in range(2, needed))
