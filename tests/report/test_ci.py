"""What a CI server reads: junit.xml follows what the run allowed, the summary is short, the badge counts."""

import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from ilr.report.advice import command, next_step
from ilr.report.ci.badge import render_badge
from ilr.report.ci.junit import render_junit
from ilr.report.ci.summary import MOST_BYTES, counted, render_summary
from ilr.report.evidence import Evidence, Invocation
from tests.sample_evidence import claim, control, finding, sample_evidence, typed


def asked(overrides: dict[str, str], **changes: Any) -> Evidence:
    """The sample as a run with these options would have left it."""
    invocation = {"command": "pytest claims", "selected": ["claims", "-k", "one or two"], "overrides": overrides}
    return typed(sample_evidence() | {"invocation": invocation} | changes)


def test_what_the_run_allowed_is_no_failure_in_junit() -> None:
    strict = ElementTree.fromstring(render_junit(asked({})))
    allowed = ElementTree.fromstring(render_junit(asked({"--allow-inconclusive": ""})))
    assert (strict[0].get("failures"), strict[0].get("skipped")) == ("3", "1")
    assert (allowed[0].get("failures"), allowed[0].get("skipped")) == ("2", "2")
    skipped = allowed.find(".//testcase[@name='average-beats-single']/skipped")
    assert skipped is not None
    assert skipped.get("message", "").startswith("INCONCLUSIVE: ")


def test_junit_has_the_numbers_with_all_their_digits() -> None:
    suites = ElementTree.fromstring(render_junit(asked({})))
    found = {
        one.get("name"): one.get("value")
        for one in suites.findall(".//testcase[@name='average-beats-single']/properties/property")
    }
    name = "gain in test accuracy of the average (percentage points)"
    assert found["verdict"] == "INCONCLUSIVE"
    assert (found["look"], found["n"]) == ("1 of 1", "48")
    assert found[f"{name}: estimate"] == "0.31"
    assert found[f"{name}: interval"] == "-0.12 inf"
    assert found[f"{name}: accepted"] == "0.0 inf"
    assert found["control shuffled-labels"] == "REFUTED, sound"


def test_the_summary_starts_with_the_counts_and_what_needs_attention() -> None:
    text = render_summary(asked({}))
    assert text.startswith("## 2 of 7 claims REPRODUCED, 1 REFUTED, 1 INCONCLUSIVE, 1 UNSOUND, 1 ERROR, 1 NOT RUN\n")
    assert "`pytest claims`" in text
    # Of each claim that is not REPRODUCED: what was found, and what to do about it; neither of the others.
    assert "- tail index α̂: REFUTED, estimate 1.997" in text
    assert text.count("- next: ") == 5
    assert "**REPRODUCED" not in text
    for told in sample_evidence()["claims"]:
        assert f"| {told['id']} | {told['verdict']} | " in text


def test_text_from_the_evidence_stays_text_in_the_summary() -> None:
    told = claim("one", "ERROR", title="a | b <script>\nsecond line", message="x" * 5000)
    text = render_summary(asked({}, claims=[told]))
    assert "a \\| b &lt;script> second line" in text
    assert "x" * 400 not in text


def test_the_summary_of_many_failed_claims_is_short() -> None:
    findings = [finding(f"quantity {number} of a long name " * 3, "REFUTED") for number in range(40)]
    claims = [claim(f"claim-{number}", "REFUTED", findings=findings, message="m" * 900) for number in range(60)]
    text = render_summary(asked({}, claims=claims))
    assert len(text.encode()) < MOST_BYTES == 10_000
    assert "more entries are in index.html" in text


def test_a_summary_without_claims_says_so() -> None:
    assert counted([]) == "0 of 0 claims REPRODUCED"


@pytest.mark.parametrize(
    ("verdicts", "text", "colour"),
    [
        (["REPRODUCED", "REPRODUCED", "NOT RUN"], "2 of 2 reproduced", "#2e7d32"),
        (["REPRODUCED", "INCONCLUSIVE"], "1 of 2 reproduced", "#8a6d00"),
        (["REPRODUCED", "REFUTED"], "1 of 2 reproduced", "#b3261e"),
        ([], "0 of 0 reproduced", "#8a6d00"),
    ],
)
def test_the_badge_counts_the_claims_that_ran(verdicts: list[str], text: str, colour: str) -> None:
    claims = [claim(f"claim-{number}", verdict) for number, verdict in enumerate(verdicts)]
    badge = render_badge(asked({}, claims=claims))
    root = ElementTree.fromstring(badge)
    assert root.get("aria-label") == f"claims at tiny: {text}"
    assert colour in badge


def test_hostile_text_stays_text_in_the_badge() -> None:
    root = ElementTree.fromstring(render_badge(asked({}, scale='"><script/>', claims=[])))
    assert [one.tag.rpartition("}")[2] for one in root] == ["title", "rect", "rect", "g"]


# --- what to do next


def step(verdict: str, overrides: dict[str, str] | None = None, **changes: Any) -> str:
    evidence = asked(overrides or {}, claims=[claim("one-and-two", verdict, **changes)])
    return str(next_step(evidence.claims[0], evidence) or "")


def test_a_claim_is_judged_again_as_the_run_did() -> None:
    evidence = asked({"--replicas": "48", "--no-train": ""}, claims=[claim("one-and-two", "REFUTED")])
    again = "pytest claims/test_one_and_two.py --scale=tiny --seed=0 --replicas=48"
    assert command(evidence.claims[0], evidence) == again
    assert command(evidence.claims[0], evidence, replicas=7, seed=3) == (
        "pytest claims/test_one_and_two.py --scale=tiny --seed=3 --replicas=7"
    )


@pytest.mark.parametrize(
    ("selected", "file"),
    [
        ([], "claims/test_one_and_two.py"),
        (["-k", "one"], "claims/test_one_and_two.py"),
        (["mine/", "--deselect=mine/test_three.py"], "mine/test_one_and_two.py"),
        (["mine/test_three.py::test_three"], "mine/test_one_and_two.py"),
        (["test_three.py"], "claims/test_one_and_two.py"),
        (["mine/test_three.py", "mine/test_one_and_two.py::test_one_and_two"], "mine/test_one_and_two.py"),
    ],
)
def test_the_file_of_a_claim_is_found_among_what_was_selected(selected: list[str], file: str) -> None:
    evidence = asked({}, claims=[claim("one-and-two", "REFUTED")])
    evidence = msgspec.structs.replace(evidence, invocation=Invocation(selected=tuple(selected)))
    assert command(evidence.claims[0], evidence).split()[1] == file


@pytest.mark.parametrize(
    ("selected", "within", "file"),
    [
        (["rms", "npz", "vit"], "vit", "vit/test_one_and_two.py"),
        (["rms", "vit/"], "projects/vit", "vit/test_one_and_two.py"),
        (["rms/test_a.py", "vit/test_b.py"], "vit", "vit/test_one_and_two.py"),
        (["DIR/rms", "DIR/vit"], "vit", "DIR/vit/test_one_and_two.py"),
        (["../rms", "../vit"], "vit", "../vit/test_one_and_two.py"),
        (["rms", "mine"], "mine/deep/er", "mine/deep/er/test_one_and_two.py"),
        (["mine/a", "mine/b"], "mine/b/deep", "mine/b/deep/test_one_and_two.py"),
        (["."], "claims", "./test_one_and_two.py"),
        ([], "elsewhere", "elsewhere/test_one_and_two.py"),
    ],
)
def test_of_several_folders_it_is_found_in_the_one_that_it_lies_in(selected: list[str], within: str, file: str) -> None:
    evidence = asked({}, claims=[claim("one-and-two", "REFUTED") | {"file": f"{within}/test_one_and_two.py"}])
    evidence = msgspec.structs.replace(evidence, invocation=Invocation(selected=tuple(selected)))
    assert command(evidence.claims[0], evidence).split()[1] == file


def test_an_undecided_claim_says_what_deciding_takes() -> None:
    undecided = finding("x", "INCONCLUSIVE", replicas_needed=96)
    digest = next(iter(sample_evidence()["experiments"]))
    # The other 48 replicas cost what the 48 there are took, 12.1 s, on two workers.
    assert step("INCONCLUSIVE", findings=[undecided], experiments=[digest]) == (
        "about 96 replicas a group would decide, with about 6.0\N{NO-BREAK SPACE}s of training more, at one look that "
        "is not registered: pytest claims/test_one_and_two.py --scale=tiny --seed=0 --replicas=96"
    )
    never = finding("y", "INCONCLUSIVE", replicas_needed=None)
    assert "more replicas do not help" in step("INCONCLUSIVE", findings=[undecided, never])


def test_a_control_that_is_undecided_counts() -> None:
    told = control("decay", "x", "INCONCLUSIVE")
    told["findings"][0]["replicas_needed"] = 500
    assert "--replicas=500" in step("INCONCLUSIVE", findings=[finding("x")], controls=[told])


def test_a_decision_on_half_of_a_group_needs_twice_the_replicas() -> None:
    undecided = finding("x", "INCONCLUSIVE", n=24, replicas_needed=96)
    assert "--replicas=192" in step("INCONCLUSIVE", findings=[undecided])


def test_old_evidence_has_the_replicas_that_are_registered() -> None:
    assert "--replicas=96" in step(
        "INCONCLUSIVE", findings=[finding("x", "INCONCLUSIVE", replicas_needed=96)], looks=[]
    )


@pytest.mark.parametrize(
    ("verdict", "overrides", "text"),
    [
        ("REPRODUCED", {}, ""),
        ("REFUTED", {}, "a result, not a fault of the run; whether it stays on another seed: pytest .* --seed=1"),
        (
            "UNSOUND",
            {},
            "its test shows nothing until each control .* and judge it again: pytest .*",
        ),
        ("ERROR", {}, "mend what the message names, then judge it again: pytest .*"),
        ("NOT RUN", {}, "choose a scale at which it runs, by --scale"),
        ("NOT RUN", {"--no-train": ""}, "let it train: pytest claims/test_one_and_two.py --scale=tiny --seed=0"),
        ("INCONCLUSIVE", {"--no-train": ""}, "let it train on: pytest .* --seed=0"),
    ],
)
def test_every_verdict_has_its_next_step(verdict: str, overrides: dict[str, str], text: str) -> None:
    assert re.fullmatch(text, step(verdict, overrides))
