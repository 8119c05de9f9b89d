"""Reports compared: what counts as worse, what moved, what is said of it in a terminal and on a page."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ilr.__main__ import main
from ilr.report.evidence import Evidence
from ilr.tools.comparison import Change, Comparison, compare
from ilr.tools.comparison_text import print_comparison
from ilr.tools.pages import render_comparison
from ilr.tools.reports import Report, facts, read_report
from tests.sample_evidence import claim, control, finding, in_schema_1, sample_evidence, typed

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"


def of(*claims: dict[str, Any], **changes: Any) -> Evidence:
    return typed(sample_evidence() | {"claims": claims} | changes)


def compared(*evidence: Evidence) -> Comparison:
    return compare([Report(f"report {number}", one) for number, one in enumerate(evidence)])


def printed(comparison: Comparison, *, verbose: bool = False) -> str:
    text = io.StringIO()
    print_comparison(comparison, Console(file=text, width=200), verbose=verbose)
    return text.getvalue()


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("REPRODUCED", "REPRODUCED", Change.SAME),
        ("REPRODUCED", "INCONCLUSIVE", Change.WORSE),
        ("REPRODUCED", "REFUTED", Change.WORSE),
        ("REPRODUCED", "ERROR", Change.WORSE),
        ("REPRODUCED", "NOT RUN", Change.WORSE),
        ("INCONCLUSIVE", "UNSOUND", Change.WORSE),
        ("INCONCLUSIVE", "NOT RUN", Change.WORSE),
        ("INCONCLUSIVE", "REPRODUCED", Change.BETTER),
        ("REFUTED", "INCONCLUSIVE", Change.BETTER),
        ("REFUTED", "NOT RUN", Change.OTHER),
        ("NOT RUN", "REFUTED", Change.OTHER),
        ("ERROR", "UNSOUND", Change.OTHER),
    ],
)
def test_what_becomes_of_a_verdict(before: str, now: str, change: Change) -> None:
    found = compared(of(claim("one", before)), of(claim("one", now)))
    assert found.claims[0].change is change
    assert found.got_worse is (change is Change.WORSE)


def test_a_claim_that_another_scale_leaves_out_did_not_get_worse() -> None:
    found = compared(of(claim("one", "REPRODUCED")), of(claim("one", "NOT RUN"), scale="full"))
    assert found.claims[0].change is Change.APART
    assert not found.got_worse


def test_claims_of_one_report_only_are_told() -> None:
    found = compared(
        of(claim("one", "REPRODUCED"), claim("two", "REPRODUCED")),
        of(claim("two", "REPRODUCED"), claim("three", "REFUTED")),
    )
    assert {one.id: one.change for one in found.claims} == {
        "one": Change.APART,
        "two": Change.SAME,
        "three": Change.APART,
    }
    assert found.counted == "3 claims: 1 same, 2 not in all"


def test_of_several_reports_the_worst_counts() -> None:
    verdicts = ("REPRODUCED", "REPRODUCED", "REFUTED")
    found = compared(*(of(claim("one", verdict)) for verdict in verdicts))
    assert found.claims[0].change is Change.WORSE
    assert found.letters == "ABC"


@pytest.mark.parametrize(
    ("first", "second", "moved"),
    [
        ([0.1, 0.2], [0.15, 0.3], False),
        ([0.1, 0.2], [0.2, 0.3], False),
        ([0.1, 0.2], [0.21, 0.3], True),
        ([0.4, 0.5], [0.21, 0.3], True),
        ([0.1, None], [None, 0.05], True),
        ([0.1, None], [0.5, None], False),
        ([None, None], [0.5, 0.6], False),
    ],
)
def test_an_estimate_moved_where_the_intervals_do_not_meet(first: list[Any], second: list[Any], *, moved: bool) -> None:
    found = compared(
        *(of(claim("one", "REPRODUCED", findings=[finding("x", interval=one)])) for one in (first, second))
    )
    assert found.claims[0].findings[0].moved is moved
    assert ("≠\n" in re.sub(" +\n", "\n", printed(found))) is moved


def test_what_was_registered_otherwise_is_named_field_by_field() -> None:
    narrow, wide = finding("x", margin=0.03), finding("x", margin=0.3)
    found = compared(*(of(claim("one", "REPRODUCED", findings=[one])) for one in (narrow, wide)))
    assert found.claims[0].registration == ("predictions['x'].margin: 0.03 → 0.3",)
    assert "  registered: predictions['x'].margin: 0.03 → 0.3" in printed(found)


def test_versions_seeds_and_machines_that_differ_are_told() -> None:
    provenance = sample_evidence()["provenance"]
    other = of(claim("one", "REPRODUCED"), seed=7, provenance=provenance | {"torch": "2.6.0", "cpu": "another"})
    found = compared(of(claim("one", "REPRODUCED")), other)
    assert found.facts == {
        "seed": ("0", "7"),
        "torch": ("2.14.1", "2.6.0"),
        "processor": (provenance["cpu"], "another"),
    }
    assert facts(other)["trained with torch"] == "2.13.0, 2.14.1"
    assert facts(other)["overridden"] == "--replicas=48"


def test_findings_explain_a_change_and_controls_stand_in_the_long_version() -> None:
    before = claim("one", "REPRODUCED", findings=[finding("x"), finding("y")], controls=[control("decay", "x")])
    now = claim("one", "REFUTED", findings=[finding("x"), finding("y", "REFUTED")], controls=[control("decay", "x")])
    found = compared(of(before), of(now))
    short, long = printed(found), printed(found, verbose=True)
    assert re.search(r"^one: worse$", short, flags=re.MULTILINE)
    assert re.search(r"^y .*REPRODUCED .*REFUTED", short, flags=re.MULTILINE)
    assert not re.search(r"^x ", short, flags=re.MULTILINE)
    assert "control decay" not in short
    assert re.search(r"^x ", long, flags=re.MULTILINE)
    assert "control decay: effective LR after the drop ÷ before" in long


def test_at_two_scales_estimates_that_moved_are_no_news() -> None:
    one, other = finding("x", interval=[0.1, 0.2]), finding("x", interval=[0.3, 0.4])
    found = compared(
        of(claim("one", "REPRODUCED", findings=[one])),
        of(claim("one", "REPRODUCED", findings=[other]), scale="reduced"),
    )
    assert "one: same" not in printed(found)
    assert "one: same" in printed(found, verbose=True)


def test_hostile_text_is_neither_markup_nor_a_tag() -> None:
    told = claim("one", "REPRODUCED", title="<script>alert(1)</script>", findings=[finding("[red]x[/red]\x1b[31m")])
    found = compared(of(told, seed=1), of(told))
    assert "[red]x[/red] " in printed(found, verbose=True)
    assert "\x1b[31m" not in printed(found, verbose=True)
    assert "<script" not in render_comparison(found)


def test_old_evidence_is_compared_with_new() -> None:
    old = typed(in_schema_1(sample_evidence()) | {"schema": 2})
    found = compared(old, typed(sample_evidence()))
    assert {one.change for one in found.claims} == {Change.SAME}


@pytest.mark.parametrize("number", [1, 27])
def test_too_few_and_too_many_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"there are {number} reports to compare: give 2 to 26"):
        compared(*[of(claim("one", "REPRODUCED"))] * number)


def test_reports_without_a_common_claim_are_refused() -> None:
    with pytest.raises(ValueError, match="no claim is in two of report 0, report 1"):
        compared(of(claim("one", "REPRODUCED")), of(claim("two", "REPRODUCED")))


# --- the command


def test_the_command_compares_the_reference_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny, reduced = str(REFERENCE / "tiny"), str(REFERENCE / "reduced" / "evidence.json")
    page = tmp_path / "compared.html"
    assert main(["compare", tiny, tiny]) == 0
    verdicts = {}
    for name in ("tiny", "reduced"):
        claims = json.loads((REFERENCE / name / "evidence.json").read_text(encoding="utf-8"))["claims"]
        verdicts[name] = {claim["id"]: claim["verdict"] for claim in claims}
    lost = {
        claim: verdicts["reduced"][claim]
        for claim, verdict in verdicts["tiny"].items()
        if verdict == "REPRODUCED" and verdicts["reduced"].get(claim) in ("INCONCLUSIVE", "REFUTED")
    }
    assert main(["compare", tiny, reduced, f"--html={page}"]) == int(bool(lost))
    output = capsys.readouterr().out
    for name, verdict in lost.items():
        assert re.search(rf"^{name} +REPRODUCED +{verdict} +worse *$", output, flags=re.MULTILINE)
    written = page.read_text(encoding="utf-8")
    assert (f"{len(lost)} worse" in written) if lost else (" worse" not in written)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.json"])
def test_a_report_that_is_not_there_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(REFERENCE / "tiny"), str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "does not exist" in error


def test_a_report_is_read_by_folder_and_by_file() -> None:
    folder = read_report(REFERENCE / "tiny")
    assert folder.evidence == read_report(str(REFERENCE / "tiny" / "evidence.json")).evidence
    assert folder.name == str(REFERENCE / "tiny")
