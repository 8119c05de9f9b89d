"""The end of a run: numbers and next steps in the terminal, where the report goes."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from ilr.report.files import read_evidence, write_report
from ilr.session.closing import closing_lines
from ilr.session.place import place_for
from tests.claim_files import VARIANTS, on_images, write_claim
from tests.conftest import LOADS_ILR, Run
from tests.sample_evidence import claim, control, finding, sample_evidence, typed


def closing(*claims: dict[str, Any], verbose: bool = False, width: int = 200) -> list[str]:
    return list(closing_lines(typed(sample_evidence() | {"claims": claims}), width, verbose=verbose))


def row(name: str, lines: list[str]) -> str:
    [found] = [line for line in lines if line.strip().startswith(name)]
    return " ".join(found.split())


# --- numbers and next steps


def test_what_is_not_reproduced_shows_its_numbers_and_the_next_step() -> None:
    good = claim("good", "REPRODUCED", findings=[finding("fine")])
    bad = claim("bad", "REFUTED", findings=[finding("x"), finding("y", "REFUTED")], message="it is not so")
    lines = closing(good, bad)
    assert lines[0].startswith("REPRODUCED    good  look 1 of 1, n = 48")
    assert not any("fine" in line for line in lines)
    assert row("it is not so", lines)
    assert row("finding", lines) == "finding estimate interval accepted n verdict"
    assert row("y", lines) == "y 0.320 0.311 to 0.328 0.2862 to 0.3462 48 REFUTED"
    assert not any(line.strip().startswith("x ") for line in lines)
    assert row("next:", lines).endswith("pytest claims/test_bad.py --scale=tiny --seed=1 --replicas=48")


def test_a_control_that_is_not_sound_shows_its_numbers() -> None:
    told = claim("one", "UNSOUND", findings=[finding("x")], controls=[control("decay", "z", "REPRODUCED", sound=False)])
    lines = closing(told)
    assert row("control decay: effective LR", lines).endswith("REPRODUCED")
    assert not any(line.strip().startswith("x ") for line in lines)


def test_the_long_version_shows_all_numbers() -> None:
    told = claim("one", "REPRODUCED", findings=[finding("x")], controls=[control("decay", "z")])
    assert len(closing(told)) == 1
    lines = closing(told, verbose=True)
    assert row("x", lines).endswith("REPRODUCED")
    assert row("control decay: effective LR", lines).endswith("REFUTED")


def test_no_number_is_cut_in_a_narrow_terminal() -> None:
    told = claim("one", "REFUTED", findings=[finding("a quantity with a long name " * 3, "REFUTED")])
    text = " ".join(" ".join(closing(told, width=20)).split())
    for part in ("0.320", "0.311 to 0.328", "0.2862 to 0.3462", "REFUTED"):
        assert part in text


def test_numbers_that_no_terminal_has_room_for_leave_the_names() -> None:
    wide = finding("norms", "REFUTED", estimate=-1.23e-7, interval=[-1.24e-7, -1.22e-7], accepted=[1e-200, 9.99e-9])
    text = "\n".join(closing(claim("one", "REFUTED", findings=[wide] * 2), width=20))
    assert text.count("norms") == 2
    assert "…" not in text


def test_text_from_the_evidence_is_no_markup() -> None:
    lines = closing(claim("one", "REFUTED", findings=[finding("[bold]x[/bold]\x1b[31m", "REFUTED")]))
    assert row("[bold]x[/bold] ", lines)


def test_a_run_ends_with_numbers_selection_store_and_report(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "inconclusive", **VARIANTS["inconclusive"])
    write_claim(pytester.path / "claims", "reproduced")
    result = run("--seed=0", "--replicas=8")
    result.stdout.re_match_lines(
        [
            r"INCONCLUSIVE  inconclusive ",
            r" +finding +estimate +interval +accepted +n +verdict",
            r" +norm +1\.\d+ +.* at least 1\.04 +8 +INCONCLUSIVE",
            r" +next: about \d+ replicas .* not registered: pytest claims/test_inconclusive.py .* --replicas=\d+ .*",
            r"REPRODUCED +reproduced ",
            r"selected: claims",
            r"overridden: --replicas=8 --engine=in-process",
            r"store: .*store, \d.* in \d+ files?",
            r"report: .*reports/tiny-replicas-8/index.html",
        ]
    )
    result.stdout.no_re_match_line(r" +norm .* REPRODUCED")
    run("-v").stdout.re_match_lines([r" +norm .* REPRODUCED", r" +control decay: norm .* REFUTED"])


NORM_FILE = """
import ilr


@ilr.record
class Halves(ilr.Norm):
    factor: float = 0.5

    def activations(self, inputs):
        return self.factor * inputs


THIRDS = Halves(1 / 3)
"""


def test_the_next_command_is_typed_as_this_one_was_and_pages_tell_no_folder(pytester: pytest.Pytester) -> None:
    """In full, of two folders the right one, and with the store and the report of this run."""
    for folder in ("one", "two"):
        path = on_images(write_claim(pytester.path / folder, f"in-{folder}", expected=1e6))
        path.write_text(path.read_text().replace('"mnist"', '"digits"'))
        (path.parent / "conftest.py").write_text(LOADS_ILR)
    elsewhere = pytester.mkdir("else where")
    (elsewhere / "halves_of_a_test.py").write_text(NORM_FILE)
    norm, store, report = f"{elsewhere}/halves_of_a_test.py:THIRDS", elsewhere / "store", elsewhere / "report"
    given = [f"--norm={norm}", f"--store={store}", f"--report={report}", "--engine=in-process"]
    result = pytester.runpytest_inprocess("one", str(pytester.path / "two"), *given, "-p", "no:cacheprovider")
    commands = [line.partition(": pytest ")[2] for line in result.outlines if " next: " in line]
    assert [shlex.split(command)[0] for command in commands] == [
        "one/test_in_one.py",
        str(pytester.path / "two" / "test_in_two.py"),
    ]
    for command in commands:
        assert set(given) <= set(shlex.split(command))
    again = pytester.runpytest_inprocess(*shlex.split(commands[1]), "-p", "no:cacheprovider")
    assert any(line.startswith("REFUTED       in-two ") for line in again.outlines)

    invocation = read_evidence(report).invocation
    assert invocation.selected == ("one", "DIR/two")
    assert invocation.overrides["--norm"] == "DIR/halves_of_a_test.py:THIRDS"
    pages = [(report / name).read_text() for name in ("index.html", "summary.md", "evidence.json", "junit.xml")]
    assert not any(str(pytester.path) in page for page in pages)
    assert pages[0].count("DIR stands for") == 1


# --- a partial run and a fuller report


def ids(folder: Path) -> set[str]:
    return {one["id"] for one in json.loads((folder / "evidence.json").read_text())["claims"]}


def test_a_partial_run_never_replaces_a_fuller_report(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "first")
    write_claim(pytester.path / "claims", "second")
    reports = pytester.path / "reports"
    run()
    before = {path.name: path.read_bytes() for path in (reports / "tiny").iterdir()}
    result = run("-k", "first")
    result.stdout.re_match_lines(
        [
            r"selected: claims -k first",
            r".*reports/tiny stays: it has 1 claim that this run did not judge as registered \(second\)",
            r"report: .*reports/tiny-partial/index.html",
        ]
    )
    assert {path.name: path.read_bytes() for path in (reports / "tiny").iterdir()} == before
    assert ids(reports / "tiny-partial") == {"first"}
    # Another part has a place of its own; the same part again, and all of it, take that of their own kind.
    run("-k", "second")
    assert ids(reports / "tiny-partial-2") == {"second"}
    run("-k", "first", "--seed=3")
    assert read_evidence(reports / "tiny-partial").seed == 3
    run("--seed=3")
    assert read_evidence(reports / "tiny").seed == 3
    assert {path.name for path in reports.iterdir()} == {"tiny", "tiny-partial", "tiny-partial-2"}


@pytest.mark.parametrize(
    "chosen", [["claims/test_first.py"], ["-k", "not second"], ["--deselect=claims/test_second.py"]]
)
def test_however_a_part_was_chosen(pytester: pytest.Pytester, run: Run, chosen: list[str]) -> None:
    write_claim(pytester.path / "claims", "first")
    write_claim(pytester.path / "claims", "second")
    run("--report=mine")
    if chosen[0].startswith("claims"):
        store = f"--store={pytester.path / 'store'}"
        pytester.runpytest_inprocess(*chosen, "--engine=in-process", store, "--report=mine", "-p", "no:cacheprovider")
    else:
        run("--report=mine", *chosen)
    assert ids(pytester.path / "mine") == {"first", "second"}
    assert ids(pytester.path / "mine-partial") == {"first"}
    assert " ".join(chosen) in " ".join(read_evidence(pytester.path / "mine-partial").invocation.selected)


def test_what_was_not_judged_is_no_fuller_report(pytester: pytest.Pytester, run: Run) -> None:
    """Nothing that --no-train could not judge takes the place of what was judged."""
    write_claim(pytester.path / "claims", "reproduced")
    run()
    run("--no-train", "--seed=5")
    assert read_evidence(pytester.path / "reports" / "tiny").claims[0].verdict == "REPRODUCED"
    assert read_evidence(pytester.path / "reports" / "tiny-partial").claims[0].verdict == "NOT RUN"


def report(folder: Path, *verdicts: tuple[str, str]) -> None:
    claims = [claim(identity, verdict, findings=[finding("x")]) for identity, verdict in verdicts]
    write_report(typed(sample_evidence() | {"claims": claims}), folder)


@pytest.mark.parametrize(
    ("other", "beside"), [("--replicas=3", "tiny-replicas-3"), ("--momentum=0.5", "tiny-momentum-0.5")]
)
def test_what_was_tried_as_registered_stays(pytester: pytest.Pytester, run: Run, other: str, beside: str) -> None:
    """A run of all claims under another number of replicas, or under other choices, has a place of its own."""
    path = write_claim(pytester.path / "claims", "reproduced")
    there = "net=MLP((8,)), norm=BatchNorm(), data=Data('digits', train=64, test=32), batch_size=16"
    text = path.read_text().replace("net=Toy(), norm=NoNorm()", there)
    path.write_text(text.replace("import Claim", "import BatchNorm, Data, MLP, Claim"))
    run()
    before = (pytester.path / "reports" / "tiny" / "evidence.json").read_bytes()
    run(other)
    assert {place.name for place in (pytester.path / "reports").iterdir()} == {"tiny", beside}
    result = run(other, "--report=reports/tiny")
    result.stdout.re_match_lines([r".*tiny stays: it has 1 claim that this run did not judge as registered"])
    assert (pytester.path / "reports" / "tiny" / "evidence.json").read_bytes() == before
    assert ids(pytester.path / "reports" / "tiny-partial") == {"reproduced"}
    # The other way round there is nothing to lose.
    run(f"--report=reports/{beside}", "--seed=4")
    assert read_evidence(pytester.path / "reports" / beside).invocation.overrides.keys() == {"--engine"}


def test_a_claim_whose_file_is_gone_or_that_never_ran_is_not_spared(tmp_path: Path) -> None:
    for name in ("kept", "never-ran"):
        write_claim(tmp_path / "claims", name)
    report(tmp_path / "there", ("kept", "REFUTED"), ("gone", "REPRODUCED"), ("never-ran", "NOT RUN"))
    assert place_for(tmp_path / "there", tmp_path, {"kept"}, {"kept"}).folder == tmp_path / "there"
    assert place_for(tmp_path / "there", tmp_path, {"other"}, {"other"}).spared == ("kept",)


def test_a_report_that_cannot_be_read_is_no_fuller_one(tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_text("{")
    assert place_for(tmp_path, tmp_path, {"one"}, {"one"}).folder == tmp_path


def test_what_a_killed_run_has_half_written_is_removed(pytester: pytest.Pytester, run: Run) -> None:
    """What another is writing, and what is somebody else's, stays."""
    write_claim(pytester.path / "claims", "reproduced")
    folder = pytester.path / "reports" / "tiny"
    folder.mkdir(parents=True)
    # No process has a number beyond the largest that Linux gives.
    dead = [folder / f".{name}.{2**22 + 1}" for name in ("unfinished.json", "evidence.json", "index.html")]
    others = [folder / f".evidence.json.{os.getppid()}", folder / f".notes.{2**22 + 1}", folder / ".index.html.swp"]
    for path in dead + others:
        path.touch()
    run()
    assert sorted(folder.glob(".*")) == sorted(others)


# --- a comparison at the end


def test_a_run_is_compared_with_a_report_that_it_replaces(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "changing")
    run()
    path.write_text(path.read_text().replace('"at_least", 0.9', '"at_least", 5.0'))
    result = run("--compare=reports/tiny")
    result.stdout.re_match_lines(
        [
            r"changing +REPRODUCED +REFUTED +worse",
            r"changing: worse",
            r"  registered: predictions\['norm'\].expected: 0.9 → 5.0",
            r"1 claims: 1 worse",
            r"report: ",
        ]
    )
    assert "--compare" not in read_evidence(pytester.path / "reports" / "tiny").invocation.command


def test_a_report_to_compare_with_is_read_before_anything_trains(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    result = run("--compare=nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --compare=nowhere: *nowhere/evidence.json does not exist"])
    assert not (pytester.path / "store").exists()


def test_reports_without_a_common_claim_cost_a_line(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    report(pytester.path / "other", ("another", "REPRODUCED"))
    result = run("--compare=other")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.re_match_lines([r"--compare: no claim is in two of .*other, .*reports/tiny"])
