"""A report of ours, edited so that its claims come out otherwise: the page says what came out, and nothing else."""

import re
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ilr.report.evidence import Evidence
from ilr.report.files import read_evidence
from ilr.report.page.html import render_html
from ilr.report.svg.inline import Figure
from ilr.trials.testing import CONCLUSIONS
from tests.report.reading import Page
from tests.sample_evidence import REPORTS, typed

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
ANSWERS = {"REFUTED": "No: ", "UNSOUND": "Not shown: ", "ERROR": "Could not be judged: ", "INCONCLUSIVE": "Undecided: "}
"""What each claim is made to come out as, in turn, and how its answer begins."""


def moved(found: dict[str, Any], verdict: str) -> dict[str, Any]:
    """A finding whose interval lies beyond what is accepted, or over its bound."""
    low, high = found["accepted"]
    unit = found["margin"] or abs(found["expected"]) or 1.0
    bound, outwards = (low, -unit) if high is None else (high, unit)
    ends = (2.0, 4.0) if verdict == "REFUTED" else (-0.5, 0.5)
    interval = sorted(bound + end * outwards for end in ends)
    p, p_refuted = (1.0, 1e-9) if verdict == "REFUTED" else (0.5, 0.5)
    estimate = sum(interval) / 2
    return found | {
        "estimate": estimate, "interval": interval, "p": p, "p_refuted": p_refuted, "verdict": verdict,
        "replicas_needed": 300,
    }  # fmt: skip


def edited(told: dict[str, Any], verdict: str) -> dict[str, Any]:
    """The claim as a run would have told it, had it come out so."""
    first, *others = told["findings"]
    changes: dict[str, Any] = {"verdict": verdict, "message": ""}
    if verdict in ("REFUTED", "INCONCLUSIVE"):
        changes["findings"] = [moved(first, verdict), *others]
    if verdict == "UNSOUND":
        control, *more = told["controls"]
        passed = [found | {"verdict": "REPRODUCED"} for found in control["findings"]]
        changes["controls"] = [control | {"verdict": "REPRODUCED", "sound": False, "findings": passed}, *more]
    if verdict == "ERROR":
        changes |= {"findings": [], "controls": [], "figures": [], "looks": [], "message": "FloatingPointError: NaN"}
    return told | changes


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """The reference at tiny, the claims that ran edited to come out as each of the verdicts in turn."""
    told = msgspec.to_builtins(read_evidence(REFERENCE / "tiny"), str_keys=True)
    ran = [claim for claim in told["claims"] if claim["verdict"] != "NOT RUN"]
    claims = [edited(claim, verdict) for claim, verdict in zip(ran, cycle(ANSWERS), strict=False)]
    return typed(told | {"claims": claims})


def test_every_claim_is_answered_and_listed_by_what_came_out(evidence: Evidence) -> None:
    page = Page(render_html(evidence))
    text = page.text()
    assert f"0 of {len(evidence.claims)} claims reproduced" in text
    for claim in evidence.claims:
        section = page.text(f"claim-{claim.id}")
        # What the page says by itself, before the history, which holds other runs.
        now = section.partition("Registration, attempts, digests")[0]
        for verdict, beginning in ANSWERS.items():
            assert (beginning in now.partition("What is claimed.")[0]) == (claim.verdict == verdict)
        assert not re.search(r"\bYes\b", now)
        assert "≠" not in section.partition("Findings")[0]
        # The title is a statement, so wherever it is listed (contents, what needs attention, verdicts) the verdict
        # stands before or after it.
        places = [found.start() for found in re.finditer(re.escape(claim.title), text)][:3]
        assert len(places) == 3
        for place in places:
            assert claim.verdict in text[place - 20 : place + len(claim.title) + 120]


def test_findings_that_show_nothing_are_told_to(evidence: Evidence) -> None:
    page = Page(render_html(evidence))
    for claim in evidence.claims:
        told = "These show nothing" in page.text(f"claim-{claim.id}")
        assert told == (claim.verdict == "UNSOUND")


def test_why_a_claim_is_undecided_ends_with_what_would_decide(evidence: Evidence) -> None:
    page = Page(render_html(evidence))
    undecided = [claim for claim in evidence.claims if claim.verdict == "INCONCLUSIVE"]
    assert undecided
    for claim in undecided:
        assert "replicas a group would decide" in page.text(f"claim-{claim.id}")


@pytest.mark.parametrize("scale", REPORTS)
def test_captions_conclude_nothing(scale: str) -> None:
    for claim in read_evidence(REFERENCE / scale).claims:
        for text in claim.figures:
            caption = Figure.parse(text, "f-").caption
            assert caption
            assert CONCLUSIONS.search(caption) is None, claim.id
