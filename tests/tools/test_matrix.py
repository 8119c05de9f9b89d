"""The matrix: claims by variations, over reports; and the command that runs them one after another."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ilr.__main__ import main
from ilr.commands import matrix as command
from ilr.commands.matrix import combinations, folder_of
from ilr.report.files import write_report
from ilr.tools.matrix import Cell, matrix_of, write_matrix
from ilr.variations.variation import AXES, Variation
from tests.sample_evidence import claim, control, finding, sample_evidence, typed

NEAR = finding("near", estimate=0.34, interval=[0.335, 0.345])
FAR = finding("far", estimate=0.3163, interval=[0.315, 0.317])
OUT = finding("<b>out</b>", "REFUTED", estimate=0.5, interval=[0.49, 0.51])
OPEN = finding("open", "INCONCLUSIVE", estimate=0.35, interval=[0.3, 0.4])


def write(folder: Path, overrides: dict[str, str], *claims: Any, **changes: Any) -> None:
    invocation = {"command": "pytest", "selected": [], "overrides": overrides}
    given = sample_evidence() | {"claims": list(claims), "invocation": invocation} | changes
    write_report(typed(given), folder)


def cells(folder: Path, *claims: Any) -> dict[str, Cell | None]:
    write(folder / "norm-group", {"--norm": "group"}, *claims)
    [column] = matrix_of(folder, ["norm"]).columns
    return {one["id"]: column.cell(one["id"]) for one in claims}


def test_a_cell_has_the_finding_that_its_verdict_hangs_on(tmp_path: Path) -> None:
    reason = "makes no sense with --norm=group: it compares norms itself: batch norm, layer norm"
    found = cells(
        tmp_path,
        claim("holds", "REPRODUCED", findings=[FAR, NEAR]),
        claim("fails", "REFUTED", findings=[NEAR, OUT, OPEN]),
        claim("open", "INCONCLUSIVE", findings=[NEAR, OPEN]),
        claim("compares", "NOT RUN", message=reason, variation="--norm=group"),
        claim("absent-here", "NOT RUN", message="does not run at scale tiny: too large"),
        claim("breaks", "ERROR", message="replica 3 of 'run' diverged: not finite at step 4"),
    )
    assert {name: cell and (cell.verdict.value, cell.told) for name, cell in found.items()} == {
        "holds": ("REPRODUCED", "near"),
        "fails": ("REFUTED", "<b>out</b>"),
        "open": ("INCONCLUSIVE", "open"),
        "compares": ("NOT RUN", "it compares norms itself: batch norm, layer norm"),
        "absent-here": ("NOT RUN", "does not run at scale tiny: too large"),
        "breaks": ("ERROR", "replica 3 of 'run' diverged: not finite at step 4"),
    }
    assert found["holds"] is not None
    assert found["holds"].link == "norm-group/index.html#claim-holds"
    assert found["holds"].title.startswith("REPRODUCED: near: 0.340 (0.335 to 0.345), accepted: 0.28")
    assert found["compares"] is not None
    assert found["compares"].title == "NOT RUN: it compares norms itself: batch norm, layer norm"


def test_where_a_control_decides_the_cell_has_its_finding(tmp_path: Path) -> None:
    found = cells(
        tmp_path,
        claim("unsound", "UNSOUND", findings=[NEAR], controls=[control("fine", "x", "REFUTED", findings=[OUT]),
              control("same", "x", "REPRODUCED", findings=[FAR])]),
        claim("undecided", "INCONCLUSIVE", findings=[NEAR], controls=[control("may-be", "x", "INCONCLUSIVE",
              findings=[OPEN])]),
    )  # fmt: skip
    assert found["unsound"] is not None
    assert found["undecided"] is not None
    assert (found["unsound"].told, found["undecided"].told) == ("control same: far", "control may-be: open")


def test_the_page_links_to_every_report_and_escapes(tmp_path: Path) -> None:
    one = claim("one", "REFUTED", title="<i>One</i>", findings=[OUT])
    write(tmp_path / "a b", {"--norm": "group", "--momentum": "0.9", "--workers": "1"}, one)
    write(tmp_path / "norm-layer", {"--norm": "layer"}, claim("two", "REPRODUCED", findings=[NEAR]), one)
    write(tmp_path / "as-registered", {}, claim("two", "REPRODUCED", findings=[NEAR]))
    write(tmp_path / "other", {"--workers": "1"}, claim("elsewhere", "REPRODUCED", findings=[NEAR]))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "evidence.json").write_text("{")
    matrix = write_matrix(tmp_path, list(AXES), [{"norm": "layer"}, {}])
    assert [column.title for column in matrix.columns] == ["layer", "as registered", "group, momentum 0.9"]
    assert (str(matrix.survived("one")), str(matrix.survived("two"))) == ("0 of 2", "2 of 2")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<a href="a%20b/index.html#claim-one" title="REFUTED: &lt;b&gt;out&lt;/b&gt;: 0.500 (0.490 to 0.510)' in page
    assert "<i>" not in page
    assert "<b>" not in page
    assert "elsewhere" not in page
    assert "is not JSON" in page


def test_the_page_says_what_survives_and_what_breaks(tmp_path: Path) -> None:
    senseless = {"message": "makes no sense with that: it compares norms itself", "variation": "that"}
    for norm, optimizer, first, second in (
        ("group", "sgd", "REPRODUCED", "REPRODUCED"),
        ("group", "adamw", "REPRODUCED", "REFUTED"),
        ("layer", "sgd", "REPRODUCED", "NOT RUN"),
        ("layer", "adamw", "REPRODUCED", "ERROR"),
    ):
        findings = {"REPRODUCED": [NEAR], "REFUTED": [OUT]}
        claims = [claim("one", first, findings=[NEAR]), claim("two", second, findings=findings.get(second, []))]
        claims[1] |= senseless if second == "NOT RUN" else {"message": "it diverged"} if second == "ERROR" else {}
        folder = tmp_path / f"norm-{norm}-optimizer-{optimizer}"
        write(folder, {"--norm": norm, "--optimizer": optimizer}, *claims)
    matrix = write_matrix(tmp_path, list(AXES))
    assert matrix.axes == ("norm", "optimizer")
    assert [(name, span) for name, span, _ in matrix.heads("norm")] == [("group", 2), ("layer", 2)]
    assert [name for name, _, _ in matrix.heads("optimizer")] == ["adamw", "sgd", "adamw", "sgd"]
    assert [str(column.share) for column in matrix.columns] == ["1 of 2", "2 of 2", "1 of 2", "1 of 1"]
    shares = {share.name: str(share) for axis in matrix.axes for share in matrix.by_choice(axis)}
    assert shares == {"group": "3 of 4", "layer": "2 of 3", "adamw": "2 of 4", "sgd": "3 of 3"}
    assert matrix.standing == "1 of 2 claims are REPRODUCED under every variation that makes sense for them."
    assert {name: [one.verdict.value for _, one in found] for name, found in matrix.broken.items()} == {
        "two": ["REFUTED", "ERROR"]
    }
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    # What is told of colour and sign is told in words, too, and why what makes no sense makes none.
    for words in ("REFUTED under group, adamw", "ERROR under layer, adamw", 'title="ERROR: it diverged"'):
        assert words in page
    assert 'href="#reason-1" title="NOT RUN: it compares norms itself"' in page
    assert '<li id="reason-1">' in page


def test_a_choice_left_to_the_claims_is_their_own(tmp_path: Path) -> None:
    write(tmp_path / "as-registered", {}, claim("one", "REPRODUCED", findings=[NEAR]))
    [column] = matrix_of(tmp_path, ["norm"]).columns
    assert column.title == "as registered"
    assert write_matrix(tmp_path, ["norm"]).axes == ()
    write(tmp_path / "norm-group", {"--norm": "group"}, claim("one", "REFUTED", findings=[OUT]))
    matrix = write_matrix(tmp_path, ["norm"])
    assert [name for name, _, _ in matrix.heads("norm")] == ["own", "group"]


def test_a_partial_run_takes_no_column_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "norm-group", {"--norm": "group"}, claim("one", "REPRODUCED", findings=[NEAR]))
    write(tmp_path / "norm-group-partial", {"--norm": "group"}, claim("two", "REFUTED", findings=[OUT]))
    [column] = matrix_of(tmp_path, ["norm"]).columns
    assert column.link == "norm-group/index.html"


def test_without_a_report_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no report of a variation under it"):
        write_matrix(tmp_path, ["norm"])


def given(**choices: str) -> dict[str, str | None]:
    return dict.fromkeys(AXES, None) | choices


def test_every_combination_is_a_variation() -> None:
    found = combinations(given(norm="own,group,group:4", momentum="own,0.9"))
    assert [folder_of(one) for one in found] == [
        "as-registered", "momentum-0.9", "norm-group", "norm-group-momentum-0.9", "norm-group-4",
        "norm-group-4-momentum-0.9",
    ]  # fmt: skip
    assert found[0] == Variation()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "nothing to vary: give --norm=batch,group or another of --norm, --net, --data, --optimizer"),
        (["--norm=batch,what"], "--norm=what: choose from batch"),
        (["--norm=batch,"], "--norm=: choose from batch"),
        (["--norm=batch,batch"], "two variations would have the folder norm-batch"),
        (["--momentum=2"], "--momentum=2: must be a number"),
        (["--data=absent.npz"], "absent.npz: No such file"),
        (["--norm=batch", "--", "--report=x"], "--report=x cannot stand behind --"),
        (["--norm=batch", "--", "--norm=group"], "--norm=group cannot stand behind --"),
    ],
)
def test_what_cannot_be_run_is_one_line_before_anything_is(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_run", lambda *_: pytest.fail("ran"))
    assert main(["matrix", *options]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1


class Runs:
    """Stands for pytest: writes a report for each run, and ends as it is told."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[tuple[list[str], str]] = []

    def __call__(self, arguments: list[str], variation: Variation, report: Path) -> int:
        self.asked.append((arguments, str(variation)))
        overrides = {f"--{name}": str(choice) for name, choice in variation.choices.items()}
        write(report, overrides, claim("one", "REPRODUCED", findings=[NEAR]))
        return self.statuses.pop(0)


def run(runs: Runs, folder: Path, monkeypatch: pytest.MonkeyPatch, *rest: str) -> int:
    monkeypatch.setattr(command, "_run", runs)
    monkeypatch.chdir(folder)
    return main(["matrix", "--norm=own,group", "--to=here", *rest])


@pytest.mark.parametrize(
    ("rest", "passed_on"),
    [
        ([], ["claims"]),
        (["--", "-k", "one", "--seed=3"], ["claims", "-k", "one", "--seed=3"]),
        (["--", "mine", "--seed=3"], ["mine", "--seed=3"]),
        (["--", "mine::test"], ["mine::test"]),
    ],
)
def test_each_variation_is_run_and_stands_on_the_page(
    rest: list[str], passed_on: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    runs = Runs(0, 1)
    assert run(runs, tmp_path, monkeypatch, *rest) == 0
    assert runs.asked == [(passed_on, ""), (passed_on, "--norm=group")]
    assert [one.title for one in matrix_of(tmp_path / "here", list(AXES)).columns] == ["as registered", "group"]
    assert (tmp_path / "here" / "index.html").exists()


@pytest.mark.parametrize(("status", "runs_more"), [(2, False), (4, False), (3, True), (-9, True)])
def test_a_run_that_judges_nothing_is_no_success(
    status: int, runs_more: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's interruption, and a wrong option, end them all; what a crash has taken with it is one column."""
    runs = Runs(status, 0)
    assert run(runs, tmp_path, monkeypatch) == (1 if runs_more else status)
    assert len(runs.asked) == (2 if runs_more else 1)
    # What there is stands on the page.
    assert (tmp_path / "here" / "index.html").exists()


def test_a_run_that_leaves_no_report_has_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_run", lambda *_: 4)
    monkeypatch.chdir(tmp_path)
    assert main(["matrix", "--norm=own,group", "--to=here"]) == 4
    assert not capsys.readouterr().err.strip()


def test_evidence_of_before_has_no_variation(tmp_path: Path) -> None:
    write(tmp_path / "as-registered", {}, claim("one", "REPRODUCED", findings=[NEAR]))
    path = tmp_path / "as-registered" / "evidence.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    del told["claims"][0]["variation"]
    path.write_text(json.dumps(told), encoding="utf-8")
    assert matrix_of(tmp_path, ["norm"]).columns[0].evidence.claims[0].variation == ""


WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
print("ready", flush=True)
time.sleep(60)
"""


def test_what_is_told_to_end_lets_pytest_end_first() -> None:
    """By a scheduler, say: pytest keeps what it has."""
    script = f"from ilr.commands.matrix import ended; import sys; sys.exit(ended([sys.executable, '-c', {WAITS!r}]))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        process.terminate()
        assert process.wait() == 2
