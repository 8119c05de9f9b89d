"""The pytest plugin on a claims folder elsewhere: outcomes, exit statuses, reports, usage errors."""

import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tests.claim_files import VARIANTS, write_claim
from tests.conftest import LOADS_ILR, Run


def evidence(pytester: pytest.Pytester, scale: str = "tiny") -> dict[str, dict[str, object]]:
    found = json.loads((pytester.path / "reports" / scale / "evidence.json").read_text())
    return {claim["id"]: claim for claim in found["claims"]}


def test_every_way_a_trial_can_end(pytester: pytest.Pytester, run: Run) -> None:
    for id, changes in VARIANTS.items():  # noqa: A001
        write_claim(pytester.path / "claims", id, **changes)
    result = run("-rA")
    outcomes = result.parseoutcomes()
    assert outcomes == {"passed": 1, "failed": 2, "inconclusive": 1, "errors": 2, "skipped": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines_random(
        [
            r"REPRODUCED +reproduced  controls sound 1/1",
            r"REFUTED +refuted ",
            r"INCONCLUSIVE +inconclusive ",
            r" +undecided: 'norm'; about n=\d+ replicas would decide",
            r"UNSOUND +unsound  controls sound 0/1",
            r" +its control 'decay' came out REPRODUCED, so its test cannot fail",
            r"ERROR +diverged",
            r" +replica 0 of 'run' diverged: not finite at step 20 \(6 of 6 replicas did\)",
            r"ERROR +crashed",
            r" +its judge failed: ZeroDivisionError: division by zero \(test_crashed.py:\d+\)",
            r"NOT RUN +not-run",
            r" +does not run at scale tiny: only tiny is written",
            r"report: .*reports/tiny/index.html",
        ]
    )
    verdicts = {id: claim["verdict"] for id, claim in evidence(pytester).items()}  # noqa: A001
    assert verdicts == {
        "reproduced": "REPRODUCED",
        "refuted": "REFUTED",
        "inconclusive": "INCONCLUSIVE",
        "unsound": "UNSOUND",
        "diverged": "ERROR",
        "crashed": "ERROR",
        "not-run": "NOT RUN",
    }
    for name in ("index.html", "junit.xml"):
        assert (pytester.path / "reports" / "tiny" / name).is_file()


def test_inconclusive_has_a_letter_and_can_be_allowed(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "inconclusive", **VARIANTS["inconclusive"])
    result = run()
    result.stdout.re_match_lines([r"claims/test_inconclusive.py I +\[100%\]"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result = run("-v", "--allow-inconclusive")
    result.stdout.re_match_lines([r"claims/test_inconclusive.py::test_inconclusive INCONCLUSIVE"])
    assert result.ret == pytest.ExitCode.OK


def test_a_failed_claim_shows_what_was_found(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "refuted", **VARIANTS["refuted"])
    result = run()
    result.stdout.re_match_lines([r"refuted: REFUTED", r"  REFUTED +norm: 1\.\d+ \[.*\], accepted 5 to …"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_second_run_trains_nothing(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run().stdout.re_match_lines(
        [r"Training 12 networks, 240 steps in all, on 1 worker, cpu: about 5 s \(0 recordings are in the store\)."]
    )
    run().stdout.re_match_lines([r"Nothing to train: 2 recordings are in the store."])
    run("--refresh").stdout.re_match_lines([r"Training 12 networks"])
    run("--seed=3").stdout.re_match_lines([r"Training 12 networks"])
    run("--replicas=16")
    run("--replicas=24").stdout.re_match_lines([r"Training 16 networks.*|Training 16 networks"])


def test_only_selected_claims_are_trained(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    write_claim(pytester.path / "claims", "other", learning_rate=0.2)
    result = run("-k", "other")
    result.stdout.re_match_lines([r"Training 12 networks"])
    assert list(evidence(pytester)) == ["other"]


@pytest.mark.parametrize("option", ["--doctest-modules", "-Werror", "-pno:terminal", "--import-mode=importlib"])
def test_a_claim_is_judged_whatever_else_pytest_is_asked_for(pytester: pytest.Pytester, run: Run, option: str) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    assert run(option).ret == pytest.ExitCode.OK
    assert evidence(pytester)["reproduced"]["verdict"] == "REPRODUCED"


def test_collecting_trains_nothing(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    result = run("--collect-only", "-q")
    result.stdout.fnmatch_lines(["claims/test_reproduced.py::test_reproduced"])
    assert not (pytester.path / "store").exists()
    assert not (pytester.path / "reports").exists()


def test_without_training_what_is_not_stored_is_not_run(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run("--no-train").stdout.re_match_lines([r" +--no-train, and 2 of its recordings are not in the store"])
    run()
    run("--no-train").stdout.re_match_lines([r"REPRODUCED +reproduced"])


def test_other_tests_are_left_alone(pytester: pytest.Pytester, run: Run) -> None:
    (pytester.path / "claims").mkdir()
    (pytester.path / "claims" / "test_plain.py").write_text("def test_plain(): pass\n")
    result = run()
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.no_fnmatch_line("*verdicts*")
    assert not (pytester.path / "reports").exists()


def test_the_report_goes_where_it_is_told(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run("--report=elsewhere/here")
    assert (pytester.path / "elsewhere" / "here" / "evidence.json").is_file()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--scale=huge"], "--scale=huge: choose from tiny, reduced, full"),
        (["--seed=x"], "--seed=x: must be a whole number, 0 or more"),
        (["--seed=1_0"], "--seed=1_0: must be a whole number, 0 or more"),
        (["--seed=-1"], "--seed=-1: must be a whole number, 0 or more"),
        (["--replicas=1"], "--replicas=1: must be a whole number, 2 or more"),
        (["--replicas=many"], "--replicas=many: must be a whole number, 2 or more"),
        (["--literal"], "--literal is for --scale=full: at tiny no claim has the paper's lengths"),
        (
            ["--literal", "--scale=reduced"],
            "--literal is for --scale=full: at reduced no claim has the paper's lengths",
        ),
        (["--device=cuda:7"], "--device=cuda:7: this machine has cpu*"),
        (["--device=abacus"], "--device=abacus: this machine has cpu*"),
        (["--engine=steam"], "--engine=steam: choose from processes, in-process, slurm"),
        (["--workers=0"], "--workers=0: must be a whole number, 1 or more"),
        (
            ["--data-root=/nonexistent", "--scale=reduced"],
            "--data-root=/nonexistent: must be an existing folder that holds the data sets' files",
        ),
        (["--store=/proc/here"], "--store=/proc/here: must be a folder that can be written, and /proc is not"),
        (["--report=/dev/null/x"], "--report=/dev/null/x: must be a folder that can be written, and /dev/null is not"),
        (["--no-train", "--refresh"], "--no-train and --refresh contradict each other: give one of them"),
        (["--plan", "--rehearse"], "--plan and --rehearse contradict each other: give one of them"),
        (["--plan", "--no-train"], "--plan and --no-train contradict each other: give one of them"),
        (["--refresh", "--rehearse"], "--rehearse and --refresh contradict each other: give one of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_value_is_one_line(pytester: pytest.Pytester, run: Run, options: list[str], complaint: str) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    result = run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in (result.errlines + result.outlines) if line.startswith("ERROR")]
    assert len(errors) == 1
    result.stderr.fnmatch_lines([f"ERROR: {complaint}"])


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('id="reproduced"', 'id="another"', "*must be in a file called test_another.py"),
        ("def judge", "def decide", "*the claim 'reproduced' needs a function judge()"),
        ("def control_decay", "def control_growth", "*the claim 'reproduced' needs a function control_decay()"),
        ("def figure", "def control_stray(setting): pass\ndef figure", "*control_stray() belongs to no Control of *"),
        ("CLAIM = Claim(", "CLAIM = dict(", "*CLAIM must be an ilr.Claim"),
        (
            '"at_least", 0.9',
            '"atleast", 0.9',
            "*'norm' is to be decided by 'atleast', which is no rule; choose from at_least*",
        ),
    ],
)
def test_a_claim_file_that_breaks_the_rules_is_one_line(
    pytester: pytest.Pytester, run: Run, old: str, new: str, complaint: str
) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    path.write_text(path.read_text().replace(old, new))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {complaint}"])


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"as small as it gets"', '" "', "*the prediction 'norm' gives no reason for its margin (test_*"),
        ('controls=(Control("decay", "No weight decay."),)', "controls=()", "*the claim 'reproduced' has no control*"),
    ],
)
def test_a_claim_without_reason_or_control_is_not_collected(
    pytester: pytest.Pytester, run: Run, old: str, new: str, complaint: str
) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    path.write_text(path.read_text().replace(old, new))
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([complaint])


def test_missing_data_is_one_line(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    needs_files = path.read_text().replace("net=Toy(), norm=NoNorm()", 'net=MLP(), norm=NoNorm(), data=Data("mnist")')
    path.write_text(needs_files.replace("import Claim", "import MLP, Data, Claim"))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: MNIST needs --data-root: a folder with torchvision's files*"])


def test_experiments_that_cannot_be_planned_are_that_claims_error(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "broken")
    path.write_text(path.read_text().replace("steps=20", "steps=-20"))
    write_claim(pytester.path / "claims", "reproduced")
    result = run()
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    result.stdout.re_match_lines(
        [r" +its experiments could not be planned: ValueError: an experiment needs.*broken.py"]
    )


def test_findings_that_were_not_predicted_are_an_error(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    doubled = 'yield NORM, recordings["run"].final("weight_norm")'
    path.write_text(path.read_text().replace(doubled, f"{doubled}\n    {doubled}"))
    run().stdout.re_match_lines([r" +its judge found \['norm', 'norm'\], but the claim predicts \['norm'\]"])


def test_a_judge_cannot_move_the_margin(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    path.write_text(path.read_text().replace("yield NORM", "yield replace(NORM, margin=1.0)"))
    run().stdout.re_match_lines([r" +its judge decided 'norm' by another expected value, margin or alpha"])


def test_a_figure_that_fails_keeps_the_findings_and_the_verdict(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    path.write_text(path.read_text().replace("axes.plot(", "axes.plott("))
    run().stdout.re_match_lines([r" +its figure could not be drawn: AttributeError"])
    [claim] = evidence(pytester).values()
    assert claim["verdict"] == "REPRODUCED"
    assert claim["findings"]


def test_a_control_that_cannot_be_judged_is_an_error(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    path.write_text(
        path.read_text().replace('replace(planned["run"], ', 'replace(planned["run"], learning_rate=Constant(1e308), ')
    )
    run().stdout.re_match_lines([r" +its control 'decay' could not be judged: replica 0 of 'run' diverged"])


def test_evidence_keeps_the_schema(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run("--seed=4")
    found = json.loads((pytester.path / "reports" / "tiny" / "evidence.json").read_text())
    assert (found["schema"], found["scale"], found["seed"]) == (2, "tiny", 4)
    assert set(found["provenance"]) >= {
        "ilr", "git", "python", "torch", "device", "cpu", "threads", "data", "claims_sha256",
    }  # fmt: skip
    [claim] = found["claims"]
    assert set(claim) >= {
        "id", "title", "source", "statement", "verdict", "findings", "controls", "experiments", "figures", "seconds",
        "message", "record", "record_sha256",
    }  # fmt: skip
    [finding] = claim["findings"]
    assert set(finding) >= {"name", "estimate", "interval", "expected", "margin", "rule", "alpha", "n", "p", "verdict"}
    [control] = claim["controls"]
    assert control["sound"] is True
    assert set(claim["experiments"]) == set(found["experiments"])
    assert claim["figures"][0].startswith("<svg")
    assert claim["file"] == "claims/test_reproduced.py"


@pytest.mark.parametrize("conftest", [True, False], ids=["conftest.py", "-p"])
def test_a_claim_runs_in_any_folder_that_loads_the_plugin(pytester: pytest.Pytester, *, conftest: bool) -> None:
    claims = write_claim(Path(pytester.path) / "claims", "reproduced").parent
    if conftest:
        (claims / "conftest.py").write_text(LOADS_ILR)
    loaded = [] if conftest else ["-p", "ilr.plugin"]
    result = pytester.runpytest_subprocess(*loaded, "claims", f"--store={pytester.path / 'store'}", "--workers=1")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.re_match_lines([r"REPRODUCED +reproduced"])


def test_an_installed_ilr_leaves_other_projects_alone(pytester: pytest.Pytester) -> None:
    """Their options may have the names of ours."""
    stale = [entry for entry in entry_points(group="pytest11") if entry.value.startswith("ilr")]
    assert not stale, "an older ilr is installed here: install it again"
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--device', default='mine')")
    pytester.makepyfile(
        """
        def test_device(pytestconfig):
            assert pytestconfig.getoption("device") == "mine"
            assert not pytestconfig.pluginmanager.has_plugin("ilr.plugin")
        """
    )
    assert pytester.runpytest_subprocess().parseoutcomes() == {"passed": 1}


def test_an_entry_point_of_an_older_ilr_is_no_second_plugin(pytester: pytest.Pytester) -> None:
    """Its name was the module's; the line in conftest.py then finds it there."""
    older = pytester.mkdir("older") / "older-0.1.dist-info"
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: older\nVersion: 0.1\n")
    (older / "entry_points.txt").write_text("[pytest11]\nilr.plugin = ilr.plugin\n")
    pytester.syspathinsert(older.parent)
    claims = write_claim(Path(pytester.path) / "claims", "reproduced").parent
    (claims / "conftest.py").write_text(LOADS_ILR)
    result = pytester.runpytest_subprocess("claims", "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["claims/test_reproduced.py::test_reproduced"])


def test_the_test_of_a_claim_takes_no_parameters(pytester: pytest.Pytester, run: Run) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    twice = '@__import__("pytest").mark.parametrize("time", [1, 2])\ndef test_reproduced(trial, time)'
    path.write_text(path.read_text().replace("def test_reproduced(trial)", twice))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *test_reproduced[[]1]: the test of a claim takes no parameters, *"])


def test_two_claims_of_one_id_are_one_line(pytester: pytest.Pytester, run: Run) -> None:
    for package in ("first", "second"):
        write_claim(pytester.path / "claims" / package, "reproduced")
        (pytester.path / "claims" / package / "__init__.py").touch()
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: two tests judge a claim called 'reproduced': *first* and *second*"])
    assert run("-k", "second").ret == pytest.ExitCode.OK


def test_judges_have_one_thread(pytester: pytest.Pytester, run: Run) -> None:
    judge = "from threadpoolctl import threadpool_info; assert {1} == {p['num_threads'] for p in threadpool_info()}"
    write_claim(pytester.path / "claims", "reproduced", judge=judge)
    with threadpool_limits(2):
        run().stdout.re_match_lines([r"REPRODUCED +reproduced"])
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}


def test_a_plan_is_printed_whatever_the_encoding(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy's name has squares in it."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    write_claim(Path(pytester.path) / "claims", "reproduced")
    store = f"--store={pytester.path / 'store'}"
    result = pytester.runpytest_subprocess("-p", "ilr.plugin", "claims", "--plan", "--workers=1", store)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["no number of GPUs takes less than 6 networks of toy x?/(x?+y?), *"])
