"""What holds of every rule on numbers: verdicts, regions, what is refused, and that the truth is found."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ilr.serialization import canonical
from ilr.stats.decision import Finding, Verdict, classify, decide, holm
from ilr.stats.function_space import closer_than
from ilr.stats.means import at_least, at_most, equivalence, equivalence_of_groups, increasing, ratio, slope
from ilr.stats.registry import RULES
from ilr.stats.rule import Rule
from ilr.stats.shares import share_at_least, universal
from tests.calibration import EFFECTS, PAGE, with_rows
from tests.cases import CASES, Case
from tests.stats.samples import (
    ANY,
    OPEN,
    Draw,
    at_least_times,
    changed,
    ends,
    lines,
    median_at_least,
    multiples,
    multiples_in_pairs,
    predict,
    rates,
    rows,
    sample,
    successes,
    symmetric,
    two_in_pairs,
    two_samples,
)
from tests.verdicts import p_values, verdicts

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE


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
        ([(0.009, 1), (0.009, 1)], REPRODUCED),
        ([(0.009, 1), (0.011, 1)], INCONCLUSIVE),
        ([(1, 0.009), (0.001, 1)], INCONCLUSIVE),
    ],
)
def test_a_claim_needs_all_findings_to_be_reproduced_and_one_after_holm_to_be_refuted(
    pairs: list[tuple[float, float]], verdict: Verdict
) -> None:
    assert decide([finding_with(*pair) for pair in pairs])[0] is verdict


def test_findings_keep_their_order_and_take_their_verdict_after_holm() -> None:
    findings = [finding_with(0.009, 1), finding_with(1, 0.001), finding_with(0.002, 1), finding_with(0.5, 0.5)]
    _, decided = decide(findings)
    assert [finding.verdict for finding in decided] == [REPRODUCED, REFUTED, REPRODUCED, INCONCLUSIVE]
    assert [finding.p for finding in decided] == [finding.p for finding in findings]


def test_nothing_cannot_be_decided() -> None:
    with pytest.raises(ValueError, match="no finding"):
        decide([])


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
        (increasing, (0.0, None)),
        (at_most, (None, 0.75)),
        (universal, (None, 0.75)),
    ],
)
def test_the_region_is_the_end_of_the_margin_that_the_rule_needs(
    rule: Rule, accepted: tuple[float | None, float | None], generator: np.random.Generator
) -> None:
    assert rule(predict(rule, 0.5, 0.25), *ANY[rule](generator, 0.5)).accepted == accepted


@pytest.mark.parametrize("rule", ANY)
def test_a_rule_refuses_a_prediction_made_for_another(rule: Rule, generator: np.random.Generator) -> None:
    prediction = replace(predict(rule, 0.5), rule="another")
    with pytest.raises(ValueError, match=f"'quantity' is to be decided by 'another', not '{rule.name}'$"):
        rule(prediction, *ANY[rule](generator, 0.5))


@pytest.mark.parametrize("rule", ANY)
@pytest.mark.parametrize("n", [0, 1])
def test_one_replica_is_not_enough(rule: Rule, n: int, generator: np.random.Generator) -> None:
    *others, last = ANY[rule](generator, 0.5)
    with pytest.raises(ValueError, match=rf"^'quantity' has {n} replica\(s\): a decision needs at least 2$"):
        rule(predict(rule, 0.5), *others, changed(last, lambda values: values[:n]))


@pytest.mark.parametrize("rule", ANY)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_diverged_replica_is_named(rule: Rule, wrong: float, generator: np.random.Generator) -> None:
    *others, last = ANY[rule](generator, 0.5)

    def diverged(values: Any) -> Any:
        spoilt = values.astype(float)
        first_two = np.arange(spoilt[-2:].size).reshape(spoilt[-2:].shape) < 2
        spoilt[-2:] = np.where(first_two, wrong, spoilt[-2:])
        return spoilt

    with pytest.raises(ValueError, match=r"^'quantity' holds 2 non-finite value\(s\): a replica diverged$"):
        rule(predict(rule, 0.5), *others, changed(last, diverged))


@pytest.mark.parametrize("rule", ANY)
def test_the_axes_must_be_right(rule: Rule, generator: np.random.Generator) -> None:
    *others, last = ANY[rule](generator, 0.5)
    with pytest.raises(ValueError, match=r"^'quantity' must have the axes \[replica"):
        rule(predict(rule, 0.5), *others, changed(last, lambda values: values[None]))


def test_every_rule_is_registered_and_has_a_paragraph_and_a_world_of_its_own(
    generator: np.random.Generator,
) -> None:
    kinds, named = [Rule], set()
    for kind in kinds:
        kinds += kind.__subclasses__()
        if "name" in vars(kind) and kind.__module__.startswith("ilr."):
            named.add(kind)
    assert named == {type(rule) for rule in RULES.values()}
    for name, rule in RULES.items():
        assert rule.name == name
        assert vars(type(rule))["__doc__"]
        found = rule(predict(rule, 0.5, 0.1), *rule.simulate(generator, 12, 0.5, stats.norm()))
        assert found.n == 12


def test_no_rule_asks_for_fewer_replicas_than_it_decides_on(generator: np.random.Generator) -> None:
    # Two replicas, which have no noise that could be measured, would be enough for so little power.
    prediction = replace(predict(closer_than, 0.1, alpha=0.4), power=0.5)
    found = [closer_than(prediction, *closer_than.simulate(generator, 3, 0.1, None)) for _ in range(100)]
    needed = {finding.replicas_needed for finding in found}
    assert min(number for number in needed if number is not None) == closer_than.fewest == 3


def test_the_calibration_page_has_every_rule() -> None:
    errors, effects = PAGE.read_text(encoding="utf-8").split("# What the rules detect")
    assert {case.rule.name for case in CASES} == {effect.rule.name for effect in EFFECTS} == set(RULES)
    assert all(f"| `{rule}`" in table for rule in RULES for table in (errors, effects))


FAR = [
    (equivalence, sample, 0.5, 1.5),
    (equivalence_of_groups, two_samples, 0.5, 2.5),
    (equivalence_of_groups, two_in_pairs, 0.5, 2.5),
    (slope, lines, 0.5, 2.5),
    (ratio, multiples, 0.5, 1.5),
    (ratio, multiples_in_pairs, 0.5, 1.5),
    (median_at_least, sample, 0.9, -0.5),
    (at_least, sample, 0.5, -0.5),
    (at_most, sample, 0.5, 1.5),
    (increasing, rows, 1.0, -1.0),
    (share_at_least, successes, 0.999, 0.1),
]


@pytest.mark.parametrize(("rule", "draw", "inside", "outside"), FAR)
def test_the_truth_is_found_far_from_the_edge(
    rule: Rule, draw: Draw, inside: float, outside: float, generator: np.random.Generator
) -> None:
    # With ten replicas Hall's correction leaves `equivalence` a power of .94 in the middle of ± 0.4: that is not far.
    margin = {equivalence: 0.5, equivalence_of_groups: 0.8, slope: 0.8}.get(rule, 0.4)
    prediction = predict(rule, 0.9, 0.1) if rule is share_at_least else predict(rule, 0.5, margin)
    assert rates(rule, prediction, draw, inside, generator)[REPRODUCED] >= at_least_times(0.95)
    assert rates(rule, prediction, draw, outside, generator)[REFUTED] >= at_least_times(0.95)


@pytest.mark.parametrize("truth", ["edge", "inside", "outside"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule.name} {case.groups}")
def test_error_rates_are_those_of_findings(case: Case, truth: str, generator: np.random.Generator) -> None:
    # They are counted without the rest of a finding, which takes most of its time.
    at = getattr(case, truth)
    samples = case.draw(generator, case.noises[0], 16, case.edge if math.isnan(at) else at)
    [pair] = p_values(case.rule, case.prediction, [_seeded(samples)])
    [verdict] = verdicts(case.rule, case.prediction, [_seeded(samples)])
    found = case.rule(case.prediction, *_seeded(samples))
    assert (found.p, found.p_refuted) == tuple(pair)
    assert found.verdict is verdict


def _seeded(samples: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same samples, with random numbers from their beginning where a rule draws some."""
    return tuple(np.random.default_rng(0) if isinstance(one, np.random.Generator) else one for one in samples)


def test_only_an_inconclusive_finding_needs_replicas() -> None:
    assert equivalence(predict(equivalence, 1, 0.5), [1.0, 1.01, 0.99, 1.0]).replicas_needed is None


def test_what_holm_leaves_undecided_says_how_many_replicas_would_decide(generator: np.random.Generator) -> None:
    """Refuted by itself but not in company: replicas are planned for the strictest level Holm can ask for."""
    alone = predict(at_least, 0.0)
    deviations = symmetric(generator, 0.0, 1.0, 12)
    values = deviations / deviations.std(ddof=1) - stats.t.isf(0.02, 11) / math.sqrt(12)
    assert at_least(alone, values).verdict is REFUTED
    together = [at_least(replace(alone, quantity=str(i), family=6), values) for i in range(6)]
    verdict, findings = decide(together)
    assert verdict is INCONCLUSIVE
    assert all(finding.replicas_needed is not None and finding.replicas_needed > 12 for finding in findings)
    [decided] = decide(together[:1])[1]
    assert decided.replicas_needed is None


def test_rows_of_some_rules_take_the_place_of_theirs() -> None:
    page = "# Head\n\n| `ratio` | old |\n| `slope` | old |\n\n| `ratio`, pairs | old |\n"
    others = "# Other\n\n| `ratio` | new |\n| `ratio`, pairs | newer |\n"
    assert with_rows(page, others, ["ratio"]) == (
        "# Head\n\n| `ratio` | new |\n| `slope` | old |\n\n| `ratio`, pairs | newer |\n"
    )
