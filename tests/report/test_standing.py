"""Whether the verdicts of a report stand together."""

import msgspec

from ilr.report.evidence import ClaimEvidence
from ilr.report.standing import shaken
from tests.sample_evidence import claim, finding


def told(title: str, verdict: str, p: float, p_refuted: float) -> ClaimEvidence:
    found = finding("x", p=p, p_refuted=p_refuted)
    return msgspec.convert(claim("one", verdict, title=title, findings=[found]), ClaimEvidence)


def test_a_report_of_many_claims_asks_for_more() -> None:
    sure, unsure = told("sure", "REPRODUCED", 1e-9, 1.0), told("unsure", "REFUTED", 1.0, 0.003)
    undecided = told("undecided", "INCONCLUSIVE", 0.3, 0.3)
    assert shaken([unsure]) == []
    assert shaken([unsure, undecided]) == []
    assert shaken([unsure, sure]) == []
    assert shaken([unsure, sure, told("another", "REFUTED", 1.0, 0.003)]) == ["unsure", "another"]
    assert shaken([undecided, msgspec.convert(claim("none", "NOT RUN"), ClaimEvidence)]) == []
