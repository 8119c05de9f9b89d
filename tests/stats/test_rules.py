"""The rules of `ilr.stats.rules`, against statsmodels and scipy, and their error rates by simulation."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any
from unittest import mock

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW, ttost_ind

from ilr.serialization import canonical
from ilr.stats import power
from ilr.stats.decision import Finding, Prediction, Verdict, classify, decide, holm
from ilr.stats.registry import RULES
from ilr.stats.rules import (
    at_least,
    at_most,
    equivalence,
    equivalence_of_groups,
    increasing,
    quantile_at_least,
    ratio,
    share_at_least,
    slope,
    universal,
)
from tests.calibration import CASES, EFFECTS, EXPONENTIAL, HEAVY, LOGNORMAL, NOISES, PAGE, Case, Noise, counts

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE
Rule = Callable[..., Finding]
Draw = Callable[[np.random.Generator, float], tuple[Any, ...]]

SIMULATIONS = 2000
FALSE_ALARM = 1e-7
"""Probability that a check of a rate fails although the rate is right."""


@pytest.fixture
def generator(fresh_seed: int) -> np.random.Generator:
    return np.random.default_rng(fresh_seed)


def predict(rule: Rule, expected: float, margin: float = 0.0, alpha: float = 0.05) -> Prediction:
    return Prediction("quantity", rule.__name__, expected, margin, "because", alpha)


def at_most_times(rate: float) -> float:
    return float(stats.binom.isf(FALSE_ALARM, SIMULATIONS, rate))


def at_least_times(rate: float) -> float:
    return float(stats.binom.ppf(FALSE_ALARM, SIMULATIONS, rate))


# What a rule is given, for replicas whose true value of the quantity is `truth`.
X = np.array([0.0, 1.0, 2.0, 4.0])


def sample(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (generator.normal(truth, 0.3, size=10),)


def two_samples(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return generator.normal(5 + truth, 0.4, size=14), generator.normal(5, 0.2, size=9)


def lines(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return X, truth * X + generator.normal(size=(10, 1)) + generator.normal(0, 1, size=(10, 4))


def rows(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (truth * np.arange(6) + generator.normal(size=(12, 6)),)


def walks(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (np.cumsum(truth + generator.normal(size=(10, 20)), axis=1),)


def successes(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (generator.random(40) < truth,)


def multiples(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return generator.normal(2 * truth, 0.4, size=14), generator.normal(2, 0.3, size=9)


@wraps(quantile_at_least)
def median_at_least(prediction: Prediction, values: Any) -> Finding:
    """The same rule, for half of the networks: it takes what the other rules take."""
    return quantile_at_least(prediction, values, 0.5)


ANY = {
    equivalence: sample,
    equivalence_of_groups: two_samples,
    at_least: sample,
    at_most: sample,
    slope: lines,
    increasing: rows,
    universal: sample,
    share_at_least: successes,
    ratio: multiples,
    median_at_least: sample,
}
"""Every rule, and data it takes."""
BOTH_SIDES = [(equivalence, sample), (equivalence_of_groups, two_samples), (slope, lines), (ratio, multiples)]
ONE_SIDE = [(at_least, sample, -1), (at_most, sample, 1)]


# Verdicts


def test_holm_agrees_with_statsmodels(generator: np.random.Generator) -> None:
    p_values = list(generator.random(12) ** 3)
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("p", "p_refuted", "verdict"),
    [
        (0.005, 1.0, REPRODUCED),
        (0.0051, 0.9, INCONCLUSIVE),
        (1.0, 0.005, REFUTED),
        (1.0, 0.0051, INCONCLUSIVE),
        (math.nan, math.nan, INCONCLUSIVE),
    ],
)
def test_a_p_value_of_alpha_decides(p: float, p_refuted: float, verdict: Verdict) -> None:
    assert classify(p, p_refuted, 0.005) is verdict


def finding_with(p: float, p_refuted: float) -> Finding:
    found = equivalence(predict(equivalence, 0, 1, alpha=0.01), [0.0, 0.1])
    return replace(found, p=p, p_refuted=p_refuted, verdict=classify(p, p_refuted, found.alpha))


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(0.001, 1), (0.001, 1)], REPRODUCED),
        ([(0.001, 1), (0.5, 0.5)], INCONCLUSIVE),
        ([(0.001, 1), (1, 0.001)], REFUTED),
        ([(0.5, 0.5), (1, 0.001)], REFUTED),
        ([(0.009, 1)], REPRODUCED),
        ([(0.009, 1), (0.009, 1)], INCONCLUSIVE),
        ([(1, 0.009), (0.001, 1)], INCONCLUSIVE),
    ],
)
def test_a_claim_is_decided_after_holm(pairs: list[tuple[float, float]], verdict: Verdict) -> None:
    assert decide([finding_with(*pair) for pair in pairs])[0] is verdict


def test_findings_keep_their_order_and_take_their_verdict_after_holm() -> None:
    findings = [finding_with(0.009, 1), finding_with(1, 0.001), finding_with(0.002, 1), finding_with(0.5, 0.5)]
    _, decided = decide(findings)
    assert [finding.verdict for finding in decided] == [INCONCLUSIVE, REFUTED, REPRODUCED, INCONCLUSIVE]
    assert [finding.p for finding in decided] == [finding.p for finding in findings]


def test_nothing_cannot_be_decided() -> None:
    with pytest.raises(ValueError, match="no finding"):
        decide([])


# Agreement with other implementations


def test_equivalence_agrees_with_statsmodels(generator: np.random.Generator) -> None:
    values = generator.normal(1.1, 0.3, size=9)
    found = equivalence(predict(equivalence, 1, 0.25), values)
    assert found.p == pytest.approx(DescrStatsW(values).ttost_mean(0.75, 1.25)[0], rel=1e-12)


def test_equivalence_of_groups_agrees_with_statsmodels(generator: np.random.Generator) -> None:
    values, reference = generator.normal(1.2, 0.3, size=9), generator.normal(1, 1, size=6)
    found = equivalence_of_groups(predict(equivalence_of_groups, 0.1, 0.5), values, reference)
    assert found.p == pytest.approx(ttost_ind(values, reference, -0.4, 0.6, usevar="unequal")[0], rel=1e-12)


@pytest.mark.parametrize(("rule", "bound", "alternative"), [(at_least, 0.6, "greater"), (at_most, 1.4, "less")])
def test_one_sided_rules_agree_with_scipy(
    rule: Rule, bound: float, alternative: str, generator: np.random.Generator
) -> None:
    values = generator.normal(1, 0.5, size=7)
    found = rule(predict(rule, 1, 0.4), values)
    other = {"greater": "less", "less": "greater"}[alternative]
    assert found.p == pytest.approx(stats.ttest_1samp(values, bound, alternative=alternative).pvalue, rel=1e-12)
    assert found.p_refuted == pytest.approx(stats.ttest_1samp(values, bound, alternative=other).pvalue, rel=1e-12)


def test_refuting_a_point_is_the_two_sided_t_test(generator: np.random.Generator) -> None:
    values = generator.normal(0.2, 0.3, size=9)
    found = equivalence(predict(equivalence, 0), values)
    assert found.p_refuted == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-12)


def test_slope_is_that_of_least_squares(generator: np.random.Generator) -> None:
    x, values = lines(generator, 0.5)
    slopes = np.polynomial.polynomial.polyfit(x, values.T, 1)[1]
    expected = equivalence(predict(equivalence, 0.5, 0.2), slopes)
    found = slope(predict(slope, 0.5, 0.2), x, values)
    assert (found.estimate, found.p, found.p_refuted) == pytest.approx(
        (expected.estimate, expected.p, expected.p_refuted)
    )


def test_trend_is_the_mean_of_spearmans_correlations(generator: np.random.Generator) -> None:
    (values,) = rows(generator, 0.3)
    correlations = [stats.spearmanr(row, range(6)).statistic for row in values]
    assert increasing(predict(increasing, 0), values).estimate == pytest.approx(np.mean(correlations))


def test_trend_is_pages_statistic_with_ties_too(generator: np.random.Generator) -> None:
    values = generator.integers(0, 4, size=(7, 5))
    n, k = values.shape
    page = stats.page_trend_test(values).statistic
    expected = 12 * (page - n * k * (k + 1) ** 2 / 4) / (n * k * (k**2 - 1))
    assert increasing(predict(increasing, 0), values).estimate == pytest.approx(expected)


def test_sign_flips_are_counted_exactly(generator: np.random.Generator) -> None:
    # Four columns have correlations in steps of a fifth, which rounding to hundredths leaves alone.
    values = generator.normal(size=(9, 4)) + 0.1 * np.arange(4)
    correlations = np.array([stats.spearmanr(row, range(4)).statistic for row in values])
    sums = np.array([np.dot(signs, correlations) for signs in itertools.product((-1, 1), repeat=9)])
    p, p_refuted = np.mean(sums >= correlations.sum() - 1e-9), np.mean(sums <= correlations.sum() + 1e-9)
    t_test = at_least(predict(at_least, 0), correlations)
    found = increasing(predict(increasing, 0), values)
    assert found.p == pytest.approx(max(p, t_test.p))
    assert found.p_refuted == pytest.approx(max(p_refuted, t_test.p_refuted))


@pytest.mark.parametrize(("n", "count"), [(12, 12), (12, 11), (12, 5), (12, 0), (200, 187)])
def test_share_agrees_with_scipy(n: int, count: int) -> None:
    found = share_at_least(predict(share_at_least, 0.9, 0.1, alpha=0.01), [True] * count + [False] * (n - count))
    assert found.p == pytest.approx(stats.binomtest(count, n, 0.8, "greater").pvalue)
    assert found.p_refuted == pytest.approx(stats.binomtest(count, n, 0.8, "less").pvalue)
    assert found.interval == pytest.approx(stats.binomtest(count, n).proportion_ci(0.98, "exact"))


def test_a_ratio_is_tested_by_welch_at_both_bounds(generator: np.random.Generator) -> None:
    values, reference = generator.normal(1.2, 0.3, size=9), generator.normal(1, 0.4, size=6)
    found = ratio(predict(ratio, 1, 0.25), values, reference)
    above, below = (
        stats.ttest_ind(values, bound * reference, equal_var=False, alternative=alternative).pvalue
        for bound, alternative in ((0.75, "greater"), (1.25, "less"))
    )
    positive = stats.ttest_1samp(reference, 0, alternative="greater").pvalue
    assert found.p == pytest.approx(max(above, below, positive))


def test_the_interval_of_a_ratio_is_what_welchs_test_does_not_reject(generator: np.random.Generator) -> None:
    values, reference = generator.normal(3, 0.5, size=9), generator.normal(2, 0.6, size=6)
    low, high = ends(ratio(predict(ratio, 1.5), values, reference))
    for bound, alternative in ((low, "greater"), (high, "less")):
        welch = stats.ttest_ind(values, bound * reference, equal_var=False, alternative=alternative)
        assert welch.pvalue == pytest.approx(0.05)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_ratio_has_the_units_of_its_groups(unit: float, generator: np.random.Generator) -> None:
    values, reference = multiples(generator, 0.5)
    found = ratio(predict(ratio, 0.5 * unit), values * unit, reference)
    plain = ratio(predict(ratio, 0.5), values, reference)
    assert found.p_refuted == pytest.approx(plain.p_refuted)
    assert ends(found) == pytest.approx([end * unit for end in ends(plain)])


def test_a_ratio_to_a_known_reference_is_a_scaled_mean(generator: np.random.Generator) -> None:
    values = generator.normal(1, 0.3, size=8)
    found, mean = ratio(predict(ratio, 0.5, 0.1), values, [2.0] * 5), equivalence(predict(equivalence, 1, 0.2), values)
    assert (found.p, found.p_refuted) == pytest.approx((mean.p, mean.p_refuted))
    assert [2 * end for end in ends(found)] == pytest.approx(ends(mean))


def test_nothing_is_known_of_a_ratio_to_what_may_be_zero() -> None:
    found = ratio(predict(ratio, 0, 1e6), [0.0, 0.01, -0.01], [-1.0, 0.0, 1.5])
    assert (found.verdict, found.interval, found.accepted) == (INCONCLUSIVE, (None, None), (-1e6, 1e6))
    canonical(found)


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


# What a verdict says


OPEN = (-math.inf, math.inf)


def ends(found: Finding) -> tuple[float, float]:
    low, high = found.interval
    assert low is not None
    assert high is not None
    return low, high


@pytest.mark.parametrize("rule", [rule for rule in ANY if rule not in (universal, increasing)])
@pytest.mark.parametrize("truth", [-1.0, 0.3, 0.8, 3.0])
def test_the_verdict_is_where_the_interval_lies(rule: Rule, truth: float, generator: np.random.Generator) -> None:
    found = rule(predict(rule, 0.5, 0.2), *ANY[rule](generator, truth))
    lower, upper = (open_end if end is None else end for end, open_end in zip(found.accepted, OPEN, strict=True))
    low, high = ends(found)
    outside = high < lower or low > upper
    assert (found.verdict is REPRODUCED) == (lower <= low and high <= upper)
    assert outside or found.verdict is not REFUTED
    # A region hardly wider than the noise is not refuted by every interval outside it: that would err with 2 alpha.
    assert not outside or found.p_refuted <= (0.05 if math.inf in (-lower, upper) else 0.1)


@pytest.mark.parametrize("truth", [-1.0, -0.1, 0.0, 0.1, 1.0])
def test_a_trends_verdict_implies_where_its_interval_lies(truth: float, generator: np.random.Generator) -> None:
    found = increasing(predict(increasing, 0.1, 0.2), *rows(generator, truth))
    low, high = ends(found)
    assert found.verdict is not REPRODUCED or low >= -0.1
    assert found.verdict is not REFUTED or high < -0.1


@pytest.mark.parametrize("rule", ANY)
def test_a_finding_is_plain_data(rule: Rule, generator: np.random.Generator) -> None:
    found = rule(predict(rule, 0.5, 0.1), *ANY[rule](generator, 0.5))
    canonical(found)
    numbers = (found.estimate, *found.interval, found.p, found.p_refuted)
    assert [type(number) for number in numbers] == [float] * 5
    assert 0 <= found.p <= 1
    assert 0 <= found.p_refuted <= 1
    assert "\n" not in found.rule


@pytest.mark.parametrize(
    ("rule", "accepted"),
    [
        (equivalence, (0.25, 0.75)),
        (equivalence_of_groups, (0.25, 0.75)),
        (slope, (0.25, 0.75)),
        (ratio, (0.25, 0.75)),
        (at_least, (0.25, None)),
        (median_at_least, (0.25, None)),
        (share_at_least, (0.25, None)),
        (increasing, (0.25, None)),
        (at_most, (None, 0.75)),
        (universal, (None, 0.75)),
    ],
)
def test_the_region_is_the_end_of_the_margin_that_the_rule_needs(
    rule: Rule, accepted: tuple[float | None, float | None], generator: np.random.Generator
) -> None:
    assert rule(predict(rule, 0.5, 0.25), *ANY[rule](generator, 0.5)).accepted == accepted


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


# Replicas that are all equal


@pytest.mark.parametrize(
    ("rule", "value", "verdict"),
    [
        (equivalence, 1.0, REPRODUCED),
        (equivalence, 1.5, REPRODUCED),
        (equivalence, 0.5, REPRODUCED),
        (equivalence, 1.6, REFUTED),
        (at_least, 0.5, REPRODUCED),
        (at_least, 0.4, REFUTED),
        (at_least, 9.0, REPRODUCED),
        (at_most, 1.5, REPRODUCED),
        (at_most, 1.6, REFUTED),
    ],
)
def test_equal_replicas_leave_no_doubt(rule: Rule, value: float, verdict: Verdict) -> None:
    found = rule(predict(rule, 1.0, 0.5), [value] * 5)
    assert {found.p, found.p_refuted} == {0.0, 1.0}
    assert (found.verdict, found.interval) == (verdict, (value, value))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e300, 5e-324])
@pytest.mark.parametrize("n", [3, 7, 10])
def test_rounding_is_no_variance(value: float, n: int) -> None:
    assert equivalence(predict(equivalence, value), [value] * n).verdict is REPRODUCED


def test_equal_groups_leave_no_doubt() -> None:
    prediction = predict(equivalence_of_groups, 0.25)
    assert equivalence_of_groups(prediction, [1.25] * 3, [1.0] * 2).verdict is REPRODUCED
    assert equivalence_of_groups(prediction, [1.25] * 3, [0.75] * 2).verdict is REFUTED


def test_one_group_of_equal_replicas_leaves_the_other_one(generator: np.random.Generator) -> None:
    values = generator.normal(0.1, 1, size=8)
    found = equivalence_of_groups(predict(equivalence_of_groups, 0, 1), values, [0.0] * 5)
    assert found.p == pytest.approx(equivalence(predict(equivalence, 0, 1), values).p)


def test_equal_lines_leave_no_doubt() -> None:
    assert slope(predict(slope, 0.5), [1, 2, 4], [[0.0, 0.5, 1.5]] * 37).verdict is REPRODUCED


@pytest.mark.parametrize(("n", "verdict"), [(3, INCONCLUSIVE), (7, INCONCLUSIVE), (8, REPRODUCED)])
def test_equal_trends_are_not_proof_for_few_replicas(n: int, verdict: Verdict) -> None:
    found = increasing(predict(increasing, 0, alpha=0.005), [[0.1, 0.5, 0.7]] * n)
    assert (found.verdict, found.p) == (verdict, 2.0**-n)
    assert found.replicas_needed == (None if verdict is REPRODUCED else 8)


def test_constants_have_no_trend() -> None:
    found = increasing(predict(increasing, 0), np.ones((50, 4)))
    assert (found.estimate, found.verdict, found.replicas_needed) == (0.0, INCONCLUSIVE, None)


# What the rules refuse


@pytest.mark.parametrize("rule", ANY)
def test_a_rule_refuses_a_prediction_made_for_another(rule: Rule, generator: np.random.Generator) -> None:
    prediction = replace(predict(rule, 0.5), rule="another")
    with pytest.raises(ValueError, match=f"'quantity' is to be decided by 'another', not '{rule.__name__}'$"):
        rule(prediction, *ANY[rule](generator, 0.5))


@pytest.mark.parametrize("rule", ANY)
@pytest.mark.parametrize("n", [0, 1])
def test_one_replica_is_not_enough(rule: Rule, n: int, generator: np.random.Generator) -> None:
    *others, last = ANY[rule](generator, 0.5)
    with pytest.raises(ValueError, match=rf"^'quantity' has {n} replica\(s\): a decision needs at least 2$"):
        rule(predict(rule, 0.5), *others, last[:n])


@pytest.mark.parametrize("rule", ANY)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_diverged_replica_is_named(rule: Rule, wrong: float, generator: np.random.Generator) -> None:
    *others, last = ANY[rule](generator, 0.5)
    values = last.astype(float)
    values[-2:] = np.where(np.ones_like(values[-2:]).cumsum().reshape(values[-2:].shape) <= 2, wrong, values[-2:])
    with pytest.raises(ValueError, match=r"^'quantity' holds 2 non-finite value\(s\): a replica diverged$"):
        rule(predict(rule, 0.5), *others, values)


@pytest.mark.parametrize("rule", ANY)
def test_the_axes_must_be_right(rule: Rule, generator: np.random.Generator) -> None:
    *others, last = ANY[rule](generator, 0.5)
    with pytest.raises(ValueError, match=r"^'quantity' must have the axes \[replica"):
        rule(predict(rule, 0.5), *others, last[None])


@pytest.mark.parametrize("x", [[1, 2], [1, 1, 1], [1, 2, math.nan], [[1, 2, 3]]])
def test_a_slope_needs_different_finite_places(x: list[float]) -> None:
    with pytest.raises(ValueError, match="'quantity': x must be 3 finite numbers that are not all equal"):
        slope(predict(slope, 0), x, np.ones((4, 3)))


def test_a_trend_needs_three_columns() -> None:
    with pytest.raises(ValueError, match="2 column"):
        increasing(predict(increasing, 0), np.ones((4, 2)))


def test_a_success_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="true or false"):
        share_at_least(predict(share_at_least, 0.5), [0.5, 1.0])


@pytest.mark.parametrize("bound", [0.0, -0.5, 1.1])
def test_a_share_that_cannot_be_tested_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="no test of a share"):
        share_at_least(predict(share_at_least, bound), [True, True])


# Error rates


def rates(
    rule: Rule, prediction: Prediction, draw: Draw, truth: float, generator: np.random.Generator
) -> dict[Verdict, int]:
    # Verdicts do not depend on how many replicas would decide, and looking for that takes most of the time.
    with mock.patch.object(power, "MOST_REPLICAS", 2):
        verdicts = [rule(prediction, *draw(generator, truth)).verdict for _ in range(SIMULATIONS)]
    return {verdict: verdicts.count(verdict) for verdict in (REPRODUCED, REFUTED, INCONCLUSIVE)}


@pytest.mark.parametrize(("rule", "draw"), BOTH_SIDES)
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("margin", [0.02, 0.8])
def test_on_the_edge_an_equivalence_errs_at_most_with_alpha(
    rule: Rule, draw: Draw, side: int, margin: float, generator: np.random.Generator
) -> None:
    counted = rates(rule, predict(rule, 0.5, margin), draw, 0.5 + side * margin, generator)
    assert counted[REPRODUCED] <= at_most_times(0.05)
    assert counted[REFUTED] <= at_most_times(0.05)


@pytest.mark.parametrize(("rule", "draw"), BOTH_SIDES)
def test_a_point_is_falsely_refuted_at_most_with_alpha(rule: Rule, draw: Draw, generator: np.random.Generator) -> None:
    counted = rates(rule, predict(rule, 0.5), draw, 0.5, generator)
    assert counted[REPRODUCED] == 0
    assert counted[REFUTED] <= at_most_times(0.05)


@pytest.mark.parametrize(("rule", "draw", "side"), ONE_SIDE)
def test_on_the_edge_a_one_sided_rule_errs_with_alpha(
    rule: Rule, draw: Draw, side: int, generator: np.random.Generator
) -> None:
    counted = rates(rule, predict(rule, 0.5, 0.2), draw, 0.5 + side * 0.2, generator)
    for verdict in (REPRODUCED, REFUTED):
        assert at_least_times(0.05) <= counted[verdict] <= at_most_times(0.05)


@pytest.mark.parametrize("draw", [rows, walks])
def test_without_a_trend_increasing_errs_at_most_with_alpha(draw: Draw, generator: np.random.Generator) -> None:
    counted = rates(increasing, predict(increasing, 0), draw, 0.0, generator)
    assert counted[REPRODUCED] <= at_most_times(0.05)
    assert counted[REFUTED] <= at_most_times(0.05)


@pytest.mark.parametrize("mean", [0.0, 0.1, 0.3])
def test_on_the_edge_a_ratio_errs_at_most_with_alpha_whatever_the_reference(
    mean: float, generator: np.random.Generator
) -> None:
    def draw(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
        while True:
            values, reference = generator.normal(truth * mean, 0.4, size=14), generator.normal(mean, 0.4, size=9)
            if reference.mean() > 0:
                return values, reference

    # A reference whose mean came out negative is refused; the others are this share of all.
    judged = stats.norm.cdf(3 * mean / 0.4)
    counted = rates(ratio, predict(ratio, 0.5, 0.3), draw, 0.8, generator)
    assert counted[REPRODUCED] * judged <= at_most_times(0.05)
    assert counted[REFUTED] * judged <= at_most_times(0.05)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_on_the_edge_a_quantile_errs_at_most_with_alpha_whatever_the_distribution(
    noise: Noise, generator: np.random.Generator
) -> None:
    [case] = [case for case in CASES if case.rule is quantile_at_least]
    counted = counts(case.findings(generator, noise, 12, case.edge, SIMULATIONS))
    assert counted[REPRODUCED] <= at_most_times(0.05)
    assert counted[REFUTED] <= at_most_times(0.05)


T_TESTS = [c for c in CASES if c.rule in (equivalence, equivalence_of_groups, ratio, at_least, slope)]
NOT_NORMAL = {
    (LOGNORMAL, 12): 0.13,
    (LOGNORMAL, 30): 0.10,
    (EXPONENTIAL, 12): 0.15,
    (EXPONENTIAL, 30): 0.11,
    (HEAVY, 12): 0.06,
    (HEAVY, 30): 0.06,
}
"""How often a t test of nominal level 0.05 may err if replicas are not normal; the rates are in docs/calibration.md."""


@pytest.mark.parametrize(("noise", "n"), NOT_NORMAL, ids=str)
@pytest.mark.parametrize("case", T_TESTS, ids=lambda case: case.rule.__name__)
def test_on_the_edge_a_t_test_errs_little_more_often_with_replicas_that_are_not_normal(
    case: Case, noise: Noise, n: int, generator: np.random.Generator
) -> None:
    counted = counts(case.findings(generator, noise, n, case.edge, SIMULATIONS))
    print(f"{case.rule.__name__}, {noise.name}, n = {n}: {counted[REPRODUCED]}, {counted[REFUTED]} of {SIMULATIONS}")
    assert counted[REPRODUCED] <= at_most_times(NOT_NORMAL[noise, n])
    assert counted[REFUTED] <= at_most_times(NOT_NORMAL[noise, n])


@pytest.mark.parametrize("noise", [LOGNORMAL, EXPONENTIAL, HEAVY], ids=lambda noise: noise.name)
@pytest.mark.parametrize("case", T_TESTS, ids=lambda case: case.rule.__name__)
def test_replicas_that_are_not_normal_are_decided_far_from_the_edge(
    case: Case, noise: Noise, generator: np.random.Generator
) -> None:
    for truth, verdict in ((case.inside, REPRODUCED), (case.outside, REFUTED)):
        counted = counts(case.findings(generator, noise, 12, truth, SIMULATIONS))
        assert counted[verdict] >= at_least_times(0.9)


def test_the_calibration_page_has_every_rule() -> None:
    errors, effects = PAGE.read_text(encoding="utf-8").split("# What the rules detect")
    assert {case.rule.__name__ for case in CASES} == {effect.rule.__name__ for effect in EFFECTS} == set(RULES)
    assert all(f"| `{rule}` |" in table for rule in RULES for table in (errors, effects))


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


FAR = [
    (equivalence, sample, 0.5, 1.5),
    (equivalence_of_groups, two_samples, 0.5, 2.5),
    (slope, lines, 0.5, 2.5),
    (ratio, multiples, 0.5, 1.5),
    (median_at_least, sample, 0.9, -0.5),
    (at_least, sample, 0.5, -0.5),
    (at_most, sample, 0.5, 1.5),
    (increasing, rows, 2.0, -3.0),
    (share_at_least, successes, 0.999, 0.1),
]


@pytest.mark.parametrize(("rule", "draw", "inside", "outside"), FAR)
def test_the_truth_is_found_far_from_the_edge(
    rule: Rule, draw: Draw, inside: float, outside: float, generator: np.random.Generator
) -> None:
    margin = 0.8 if rule in (equivalence_of_groups, slope) else 0.4
    prediction = predict(rule, 0.9, 0.1) if rule is share_at_least else predict(rule, 0.5, margin)
    assert rates(rule, prediction, draw, inside, generator)[REPRODUCED] >= at_least_times(0.95)
    assert rates(rule, prediction, draw, outside, generator)[REFUTED] >= at_least_times(0.95)


# Replicas needed


@pytest.mark.parametrize(
    ("rule", "expected", "margin", "estimate"),
    [
        (equivalence, 1.0, 0.5, 1.1),
        (equivalence, 1.0, 0.5, 1.0),
        (equivalence, 1.0, 0.2, 1.5),
        (at_least, 1.0, 0.2, 1.0),
        (at_least, 1.0, 0.2, 0.6),
        (at_most, 1.0, 0.0, 0.7),
    ],
)
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_the_replicas_needed_decide_with_the_power_aimed_at(
    rule: Rule, expected: float, margin: float, estimate: float, alpha: float, generator: np.random.Generator
) -> None:
    # Five replicas of this mean and of standard deviation 0.6, which is then the truth.
    pattern = np.array([-1, -1, 0, 1, 1])
    found = rule(predict(rule, expected, margin, alpha=alpha), estimate + 0.6 * pattern)
    assert found.verdict is INCONCLUSIVE
    assert found.replicas_needed is not None

    def decided(n: int) -> int:
        prediction = predict(rule, expected, margin, alpha=alpha)
        draws = generator.normal(estimate, 0.6, size=(SIMULATIONS, n))
        return sum(rule(prediction, values).verdict is not INCONCLUSIVE for values in draws)

    assert decided(found.replicas_needed) >= at_least_times(0.88)
    assert decided(math.ceil(0.7 * found.replicas_needed) - 1) < at_most_times(0.88)


def test_the_design_s_table_of_power_holds() -> None:
    # shared/anchors: at alpha = .005, with a coefficient of variation of 5% and a margin of 10%, 8 replicas have .90.
    values = 1 + 0.05 * np.array([-1, 0, 1])
    assert equivalence(predict(equivalence, 1, 0.1, alpha=0.005), values).replicas_needed == 8


@pytest.mark.parametrize("rule", [at_least, at_most, equivalence])
def test_no_number_of_replicas_decides_on_the_edge(rule: Rule) -> None:
    edge = 1.5 if rule is at_most else 0.5
    assert rule(predict(rule, 1, 0.5), [edge - 0.25, edge + 0.25]).replicas_needed is None


def test_two_groups_grow_in_proportion(generator: np.random.Generator) -> None:
    pattern = np.array([-1, -1, 0, 1, 1])
    prediction = predict(equivalence_of_groups, 0, 0.5)
    found = equivalence_of_groups(prediction, 0.1 + 0.6 * np.tile(pattern, 2), 0.6 * pattern)
    n = found.replicas_needed
    assert n is not None

    def decided(n: int) -> int:
        draws = generator.normal(size=(SIMULATIONS, 3 * n)) * 0.6
        verdicts = [equivalence_of_groups(prediction, 0.1 + d[: 2 * n], d[2 * n :]).verdict for d in draws]
        return len(verdicts) - verdicts.count(INCONCLUSIVE)

    assert decided(n) >= at_least_times(0.87)
    assert decided(math.ceil(0.7 * n)) < at_most_times(0.87)


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


def test_only_an_inconclusive_finding_needs_replicas() -> None:
    assert equivalence(predict(equivalence, 1, 0.5), [1.0, 1.01, 0.99, 1.0]).replicas_needed is None


def test_a_trend_that_the_signs_leave_open_needs_more_replicas_than_there_are() -> None:
    values = np.tile([0.0, 1.0, 2.0], (9, 1))
    values[:2] = [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]
    values[2] = [2.0, 1.0, 0.0]
    found = increasing(predict(increasing, 0, alpha=0.005), values)
    assert found.verdict is INCONCLUSIVE
    assert found.replicas_needed is not None
    assert found.replicas_needed > 9


def test_what_holm_leaves_undecided_says_how_many_replicas_would_decide(generator: np.random.Generator) -> None:
    """Decided by itself but not in company: replicas are planned for the strictest level Holm can ask for."""
    alone = predict(at_least, 0.0)
    deviations = generator.standard_normal(12)
    deviations = (deviations - deviations.mean()) / deviations.std(ddof=1)
    values = deviations + stats.t.isf(0.02, 11) / math.sqrt(12)
    assert at_least(alone, values).verdict is REPRODUCED
    together = [at_least(replace(alone, quantity=str(i), family=6), values) for i in range(6)]
    verdict, findings = decide(together)
    assert verdict is INCONCLUSIVE
    assert all(finding.replicas_needed is not None and finding.replicas_needed > 12 for finding in findings)
    [decided] = decide(together[:1])[1]
    assert decided.replicas_needed is None
