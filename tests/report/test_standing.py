"""What a verdict is worth beside others: of its report, and of earlier tries."""

import msgspec
import pytest

from ilr.report.evidence import ClaimEvidence
from ilr.report.standing import looked, shaken, tries
from tests.sample_evidence import claim, finding


def told(title: str, verdict: str, p: float, p_refuted: float) -> ClaimEvidence:
    found = finding("x", p=p, p_refuted=p_refuted)
    return msgspec.convert(claim("one", verdict, title=title, findings=[found]), ClaimEvidence)


def fallen(claims: list[ClaimEvidence]) -> list[str]:
    return [claim.title for claim in shaken(claims)]


def test_a_report_of_many_claims_asks_for_more() -> None:
    sure, unsure = told("sure", "REPRODUCED", 1e-9, 1.0), told("unsure", "REFUTED", 1.0, 0.003)
    undecided = told("undecided", "INCONCLUSIVE", 0.3, 0.3)
    assert fallen([unsure]) == []
    assert fallen([unsure, undecided]) == []
    assert fallen([unsure, sure]) == []
    assert fallen([unsure, sure, told("another", "REFUTED", 1.0, 0.003)]) == ["unsure", "another"]
    assert fallen([undecided, msgspec.convert(claim("none", "NOT RUN"), ClaimEvidence)]) == []


def tried(*attempts: tuple[str, int, str], regime: str = "new") -> str:
    """Which try a run at tiny with the seed 7 is, after attempts of some scale, seed and regime."""
    told = [
        {"date": "2026-11-26", "scale": scale, "seed": seed, "commit": "", "verdict": "REPRODUCED", "regime": tried}
        for scale, seed, tried in attempts
    ]
    found = claim("one", "REPRODUCED", findings=[finding("x")], regime=regime, history={"attempts": told})
    return tries(msgspec.convert(found, ClaimEvidence), "tiny", 7)


@pytest.mark.parametrize(
    ("attempts", "text"),
    [
        ([], "first try"),
        ([("reduced", 1, "new")], "first try"),
        ([("tiny", 7, "new")], "first try"),
        ([("tiny", 1, "new")], "second try, regime never changed"),
        ([("tiny", 7, "old")], "second try, regime changed once"),
        ([("tiny", 1, "older"), ("tiny", 2, "old")], "third try, regime changed twice"),
        ([("tiny", seed, "new") for seed in range(10, 31)], "22nd try, regime never changed"),
    ],
)
def test_a_verdict_says_which_try_it_is(attempts: list[tuple[str, int, str]], text: str) -> None:
    assert tried(*attempts) == text


def test_p_values_count_for_all_looks() -> None:
    # At the second of four looks, α is 0.005 / 4.
    looked_four_times = {"looks_planned": [16, 32, 64, 128]}
    found = finding("x", p=0.001, p_refuted=1.0, alpha=0.00125)
    one = msgspec.convert(claim("one", "REPRODUCED", findings=[found], **looked_four_times), ClaimEvidence)
    two = msgspec.convert(claim("two", "REPRODUCED", findings=[found], **looked_four_times), ClaimEvidence)
    assert fallen([one]) == []
    assert fallen([one, two]) == [one.title, two.title]
    assert looked(one) == "look 1 of 4, n = 48"
