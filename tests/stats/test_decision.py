"""The decision: from p-values to verdicts, for a finding, a claim and a report."""

from dataclasses import replace

import pytest

from ilr.stats.decision import Finding, Prediction, Verdict, classify, decide, holm, p_of_verdict

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def finding(p: float, p_refuted: float = 1.0, **changes: object) -> Finding:
    made = Finding("q", 0.0, (None, 1.0), 0.0, 1.0, (None, 1.0), "rule", 0.005, 8, p, p_refuted, INCONCLUSIVE, 99)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.3], [0.3]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.7, 0.8], [1.0, 1.0]),
        ([0.2, 0.001, 0.2], [0.4, 0.003, 0.4]),
        ([0.02, 0.021, 0.5], [0.06, 0.06, 0.5]),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted, rel=1e-12)


@pytest.mark.parametrize(
    ("p", "p_refuted", "verdict"),
    [
        (0.004, 1.0, REPRODUCED),
        (0.005, 1.0, REPRODUCED),
        (0.0051, 1.0, INCONCLUSIVE),
        (1.0, 0.0051, INCONCLUSIVE),
        (1.0, 0.005, REFUTED),
        (1.0, 0.0, REFUTED),
        (0.001, 0.001, REPRODUCED),
    ],
)
def test_one_finding(p: float, p_refuted: float, verdict: Verdict) -> None:
    assert classify(p, p_refuted, 0.005) is verdict
    overall, [decided] = decide([finding(p, p_refuted)])
    assert overall is decided.verdict is verdict
    assert decided.replicas_needed == (99 if verdict is INCONCLUSIVE else None)


@pytest.mark.parametrize(
    ("findings", "overall", "each"),
    [
        ([finding(0.001), finding(0.002)], REPRODUCED, [REPRODUCED, REPRODUCED]),
        ([finding(0.001), finding(0.006)], INCONCLUSIVE, [REPRODUCED, INCONCLUSIVE]),
        ([finding(0.003), finding(0.003)], REPRODUCED, [REPRODUCED, REPRODUCED]),
        ([finding(0.004), finding(0.02, alpha=0.05)], REPRODUCED, [REPRODUCED, REPRODUCED]),
        ([finding(0.0024), finding(0.004)], REPRODUCED, [REPRODUCED, REPRODUCED]),
        ([finding(0.001), finding(1.0, 0.001)], REFUTED, [REPRODUCED, REFUTED]),
        ([finding(0.6), finding(1.0, 0.001)], REFUTED, [INCONCLUSIVE, REFUTED]),
        ([finding(1.0, 0.003), finding(1.0, 0.9)], INCONCLUSIVE, [INCONCLUSIVE, INCONCLUSIVE]),
    ],
)
def test_several_findings(findings: list[Finding], overall: Verdict, each: list[Verdict]) -> None:
    verdict, decided = decide(findings)
    assert verdict is overall
    assert [one.verdict for one in decided] == each
    assert [one.p for one in decided] == [one.p for one in findings]


def test_nothing_found_is_no_decision() -> None:
    with pytest.raises(ValueError, match="no finding to decide on"):
        decide([])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"reason": " "}, "gives no reason for its margin"),
        ({"margin": -0.1}, "negative margin -0.1"),
        ({"alpha": 0.0}, "alpha=0.0; it must lie between 0 and 0.5"),
        ({"alpha": -0.01}, "alpha=-0.01"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"alpha": 0.9, "power": 0.95}, "alpha=0.9"),
        ({"power": 0.005}, "power=0.005; it must lie between alpha and 1"),
        ({"power": 0.001}, "power=0.001"),
        ({"power": 1.0}, "power=1.0"),
        ({"power": 1.5}, "power=1.5"),
    ],
)
def test_a_prediction_that_predicts_nothing_is_refused(change: dict[str, object], complaint: str) -> None:
    given = {"quantity": "q", "rule": "at_least", "expected": 0.0, "margin": 0.1, "reason": "because"}
    assert Prediction(**given).margin == 0.1  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=complaint):
        Prediction(**given | change)  # type: ignore[arg-type]


def test_to_refute_replicas_are_planned_for_the_strictest_level() -> None:
    alone = Prediction("q", "at_least", 0.0, 0.0, "because", alpha=0.04)
    assert alone.strictest_alpha == 0.04
    assert replace(alone, family=4).strictest_alpha == 0.01


def test_the_p_value_of_a_whole_claim() -> None:
    assert p_of_verdict(REPRODUCED, [0.001, 0.002], [1.0, 1.0]) == pytest.approx(0.002)
    assert p_of_verdict(REFUTED, [0.001, 1.0], [1.0, 0.001]) == pytest.approx(0.002)
    for verdict in (INCONCLUSIVE, Verdict.ERROR, Verdict.NOT_RUN, Verdict.UNSOUND):
        assert p_of_verdict(verdict, [0.5], [0.5]) is None
