"""One bad claim, finding, figure or file is one line and that claim's ERROR; what others have found is kept."""

import json
import os

import pytest

from ilr.report.files import UNFINISHED, read_evidence
from tests.claim_files import VARIANTS, write_claim
from tests.conftest import LOADS_ILR, Run
from tests.session.test_plugin import evidence

GOOD = {"good": "REPRODUCED"}

IN_THE_FILE = [
    ("CLAIM = Claim(", "raise RuntimeError('two\\nlines')\nCLAIM = Claim(", "RuntimeError: two lines (*"),
    ("CLAIM = Claim(", "import nothing_there\nCLAIM = Claim(", "ModuleNotFoundError: No module named 'nothing_there'*"),
    ("CLAIM = Claim(", "CLAIM = Claim((", "SyntaxError: *"),
    ("CLAIM = Claim(", "raise SystemExit(3)\nCLAIM = Claim(", "it exits (3)"),
    ('"at_least", 0.9, 0.0', '"at_least", 0.9, float("inf")', "ValueError: Prediction: margin=inf must be a finite *"),
    ("replicas=Replicas(tiny=6)", "replicas=6", "ValueError: Claim: replicas=6 must be Replicas (*"),
    ("(trial)", "()", "no test takes the fixture `trial`, so nothing would judge its claim"),
    ("def test_", "def check_", "no test takes the fixture `trial`, so nothing would judge its claim"),
    ("def judge", "def decide", "the claim * needs a function judge()"),
    ('"at_least"', '"atleast"', "'norm' is to be decided by 'atleast', which is no rule; choose from *"),
]
"""What is replaced in a good claim's file by what, and the line that this gives."""

MLP = 'net=__import__("ilr").MLP(), norm=NoNorm(), data=__import__("ilr").Data('
OWN = """
from ilr.serialization import record
import numpy as np

@record
class Own{name}:
    def values(self, steps):
        {body}

CLAIM ="""
PLAN = 'return {"run": Experiment('
IN_THE_PLAN = [
    ("net=Toy()", "net=__import__('torch').nn.Linear(2, 2)", "ValueError: Experiment: net=Linear(*) must be Net*"),
    ("steps=20", "steps=10**12", "'run' of experiments has 1000000000000 steps: 10,000,000 are the most*"),
    ("replicas=setting.replicas", "replicas=10**9", "'run' of experiments has 1000000000 replicas: 10,000 are *"),
    ('"weight_norm", (20,)', '"test_accuracy", (20,)', "'run' of experiments: the toy loss has no 'test_accuracy'*"),
    (PLAN, f"return 7; {PLAN}", "experiments must be given as {name: Experiment}, not 7 *"),
    (PLAN, 'return {"run": 7}; ' + PLAN, "experiments: 'run': 7 must be a name and an Experiment *"),
    (PLAN, "return {}; " + PLAN, "experiments must be given as {name: Experiment}, not {} *"),
    (
        "net=Toy(), norm=NoNorm()",
        f'{MLP}"mnits")',
        "no data set is called 'mnits'; choose from *",
    ),
    ("net=Toy(), norm=NoNorm()", f'{MLP}"digits", train=5000)', "*digits has 1297 train examples, not the 5000 *"),
    (PLAN, f"raise SystemExit; {PLAN}", "SystemExit: *"),
    (PLAN, f'__import__("pytest").skip("x"); {PLAN}', "Skipped: x *"),
    ("raise ZeroDivisionError", "", "ZeroDivisionError: *"),
    (
        "return np.ones(3)",
        "",
        "*learning_rate.values(21) gives float64 of the shape (3,), not a float *",
    ),
    ("return np.array(['a'] * steps)", "", "*learning_rate.values(21) gives <U1 of the shape (21,), not a float *"),
]
"""The same; where nothing is put in its place, it is the body of a schedule of the claim's own."""

IN_THE_JUDGE = [
    (
        "yield NORM, __import__('numpy').tile(recordings['run'].final('weight_norm'), 1000); return",
        "its judge decided 'norm' on n = 6000, but its experiments have 6 replicas: each may count once",
    ),
    ("recordings['run']['weight_norm'][:] = 7.0", "*: ValueError: assignment destination is read-only *"),
    ("recordings['run']['weight_norm'].setflags(write=True)", "*: ValueError: cannot set WRITEABLE flag to True *"),
    ("recordings['run'].arrays['weight_norm'] = 7.0", "its judge failed: TypeError: 'mappingproxy' object *"),
    ("recordings['run'] = 7.0", "its judge failed: TypeError: 'mappingproxy' object *"),
    ("object.__setattr__(NORM, 'expected', -100.0)", "its judge decided 'norm' by another expected value, margin *"),
    ("yield NORM, [float('nan')] * 6; return", "its judge failed: ValueError: *non-finite*"),
    ("__import__('pytest').skip('no')", "its judge failed: Skipped: no (test_*"),
    ("raise SystemExit(0)", "its judge failed: SystemExit: 0 (test_*"),
    ("while True: yield NORM, recordings['run'].final('weight_norm')", "its judge found *'norm', 'norm'*, but *"),
    ("raise ValueError('x' * 10**6)", "its judge failed: ValueError: xxx*x… (test_*"),
]


def verdicts(pytester: pytest.Pytester) -> dict[str, object]:
    return {name: claim["verdict"] for name, claim in evidence(pytester).items()}


def write_changed(pytester: pytest.Pytester, name: str, *changes: tuple[str, str], **given: object) -> None:
    """A claim's file with changes; among them a schedule of its own, as the list above says."""
    path = write_claim(pytester.path / "claims", name, **given)
    text = path.read_text()
    for old, new in changes:
        if not new:
            own = f"Own{name.title().replace('-', '')}"
            text = text.replace("CLAIM =", OWN.replace("{name}", own[3:]).replace("{body}", old))
            text = text.replace("learning_rate=Constant(0.1)", f"learning_rate={own}()")
            continue
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_a_file_that_is_no_claims_file_costs_no_other_claim_anything(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    for number, (old, new, _) in enumerate(IN_THE_FILE):
        write_changed(pytester, f"bad-{number}", (old, new))
    result = run("-rfE")
    for number, (_, _, complaint) in enumerate(IN_THE_FILE):
        result.stdout.fnmatch_lines([f"*test_bad_{number}.py: {complaint}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(pytester) == GOOD


def test_two_claims_in_files_of_one_name_are_one_line(pytester: pytest.Pytester, run: Run) -> None:
    for folder in ("one", "two"):
        write_claim(pytester.path / "claims" / folder, "same")
    result = run()
    one, two = (pytester.path / "claims" / folder / "test_same.py" for folder in ("one", "two"))
    result.stdout.fnmatch_lines([f"{two}: {one} is called the same: claims need ids, and files, of their own: *"])
    result.stdout.no_fnmatch_line("*import file mismatch*")
    assert list(evidence(pytester)) == ["same"]


def test_a_path_that_an_error_tells_is_told_here_and_in_no_report(pytester: pytest.Pytester, run: Run) -> None:
    """In full here, as what is relative is so to the folder that pytest was started in."""
    write_changed(pytester, "absent", ("net=Toy(), norm=NoNorm()", f"{MLP}__import__('ilr').npz('data/absent.npz'))"))
    path = pytester.path / "data" / "absent.npz"
    run().stdout.fnmatch_lines([f"*ValueError: {path}: No such file or directory: give an .npz file with images, *"])
    told = evidence(pytester)["absent"]["message"]
    assert "ValueError: DIR/absent.npz: No such file or directory" in told
    for report in (pytester.path / "reports" / "tiny").iterdir():
        assert str(pytester.path) not in report.read_text()


def test_what_cannot_be_trained_is_found_out_before_training(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    for number, (old, new, _) in enumerate(IN_THE_PLAN):
        write_changed(pytester, f"bad-{number}", (old, new))
    result = run()
    result.stdout.fnmatch_lines(["Training 12 networks, *"])
    for _, _, complaint in IN_THE_PLAN:
        literal = complaint.replace("[", "[[]")
        result.stdout.fnmatch_lines([f" *its experiments could not be planned: *{literal}"])
    bad = {f"bad-{number}": "ERROR" for number in range(len(IN_THE_PLAN))}
    assert verdicts(pytester) == GOOD | bad
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_judge_costs_only_its_own_claim_the_verdict(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    for number, (judge, _) in enumerate(IN_THE_JUDGE):
        write_claim(pytester.path / "claims", f"bad-{number}", judge=judge)
    result = run()
    for _, complaint in IN_THE_JUDGE:
        result.stdout.fnmatch_lines([f" *{complaint}"])
    bad = {f"bad-{number}": "ERROR" for number in range(len(IN_THE_JUDGE))}
    assert verdicts(pytester) == GOOD | bad
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_figure_costs_no_verdict(pytester: pytest.Pytester, run: Run) -> None:
    figures = ("return 7", "raise SystemExit", "__import__('pytest').skip('no')")
    for number, figure in enumerate(figures):
        write_changed(pytester, f"bad-{number}", ("axes.plot(", f"{figure}\n    axes.plot("))
    result = run()
    assert result.stdout.str().count("its figure could not be drawn: ") == len(figures)
    assert set(verdicts(pytester).values()) == {"REPRODUCED"}


def test_what_is_judged_is_written_down_at_once(pytester: pytest.Pytester, run: Run) -> None:
    """A claim judged later ends the run."""
    write_claim(pytester.path / "claims", "first")
    write_claim(pytester.path / "claims", "second", judge="raise KeyboardInterrupt")
    # Not in this process, which the interruption would end, too.
    store = f"--store={pytester.path / 'store'}"
    result = pytester.runpytest_subprocess("-p", "ilr.plugin", "claims", "--engine=in-process", store)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"unfinished: 1 claim judged so far, in *{UNFINISHED}"])
    [claim] = read_evidence(pytester.path / "reports" / "tiny", UNFINISHED).claims
    assert (claim.id, claim.verdict) == ("first", "REPRODUCED")
    write_claim(pytester.path / "claims", "second")
    run()
    assert not (pytester.path / "reports" / "tiny" / UNFINISHED).exists()


TERMINATED = """
import os, signal
from ilr.lab.jobs import Job

train = Job.train

def terminated(job, tick):
    if job.keys[0].experiment.steps == 20:
        os.kill(os.getpid(), signal.SIGTERM)
    train(job, tick)

Job.train = terminated
"""


KILL = "import os, signal; os.kill(os.getpid(), signal.{})"
WRITING = """
from ilr.session import session

def write_report(*_):
    {}

session.write_report = write_report
"""
GOES_ON = "Interrupted: what was trained is in the store. The same command goes on from there."


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_whoever_ends_training_is_told_what_is_kept(pytester: pytest.Pytester, run: Run) -> None:
    """By SIGTERM, as by Ctrl-C; and that the same command goes on from there."""
    write_claim(pytester.path / "claims", "shorter")
    write_changed(pytester, "longer", ("steps=20", "steps=30"), ("(20,)", "(30,)"))
    (pytester.path / "claims" / "conftest.py").write_text(LOADS_ILR + TERMINATED)
    result = pytester.runpytest_subprocess("claims", "--engine=in-process", f"--store={pytester.path / 'store'}")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["Stopped training: 2 of 4 recordings for this look are in the store; *", GOES_ON])
    result.stdout.no_fnmatch_line("*Traceback*")
    run().stdout.fnmatch_lines(["Training 12 networks, *(2 recordings are in the store).", "* 2 passed*"])


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("by", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("at", ["judge", "figure", "test", "report"])
def test_so_is_whoever_ends_a_run_at_something_else(at: str, by: str, pytester: pytest.Pytester) -> None:
    """While a claim is judged, drawn or tested, or the report is written, which is after training."""
    ending = KILL.format(by)
    path = write_claim(pytester.path / "claims", "ended", judge=ending if at == "judge" else "pass")
    if at == "figure":
        path.write_text(path.read_text().replace("axes.plot(", f"{ending}\n    axes.plot(", 1))
    if at == "test":
        path.write_text(
            path.read_text().replace("    trial.must_reproduce()", f"    {ending}\n    trial.must_reproduce()")
        )
    if at == "report":
        (pytester.path / "claims" / "conftest.py").write_text(WRITING.format(ending))
    arguments = ("-p", "ilr.plugin", "claims", "--engine=in-process", f"--store={pytester.path / 'store'}")
    # A shell has what it starts in the background ignore Ctrl-C, and so would this.
    (pytester.path / "conftest.py").write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    )
    result = pytester.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([GOES_ON])


def test_a_report_that_cannot_be_written_is_kept_elsewhere(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(pytester.mkdir("temporary")))
    monkeypatch.setattr("tempfile.tempdir", None)
    spoil = "import pathlib; pathlib.Path('reports').write_text('in the way')"
    write_claim(pytester.path / "claims", "good", judge=f"""exec("{spoil}")""")
    result = run()
    result.stdout.fnmatch_lines(["the report could not be written: *; its evidence is in *evidence.json"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    [path] = (pytester.path / "temporary").rglob("evidence.json")
    assert json.loads(path.read_text())["claims"][0]["verdict"] == "REPRODUCED"


def test_a_figure_of_no_claim_that_does_not_fit_is_left_out(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    (pytester.path / "reports").mkdir()
    hostile = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    (pytester.path / "reports" / "bad.svg").write_text(hostile)
    (pytester.path / "reports" / "binary.svg").write_bytes(b"\xff\xfe\x00")
    result = run()
    result.stdout.fnmatch_lines(["left out of the report: *bad.svg: *", "left out of the report: *binary.svg: *"])
    assert result.ret == pytest.ExitCode.OK
    assert verdicts(pytester) == GOOD


def test_nothing_shown_is_no_success(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    result = run("--no-train")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["no claim was judged: --no-train judges what the store has, and it has none of these"])
    run()
    assert run("--no-train").ret == pytest.ExitCode.OK


XFAIL = "@__import__('pytest').mark.xfail\ndef test_"
LENIENT = {
    "does-not-ask": ("trial.must_reproduce()", "pass"),
    "skips": ("trial.must_reproduce()", "__import__('pytest').skip('no')"),
    "catches": (
        "    trial.must_reproduce()",
        "    try: trial.must_reproduce()\n    except BaseException: pass",
    ),
    "expects-it": ("def test_", XFAIL),
}
"""What a claim's file does lest its test fail."""


def test_no_test_lets_a_claim_pass_that_does_not_hold(pytester: pytest.Pytester, run: Run) -> None:
    not_held = [f"{how}-{verdict}" for how in LENIENT for verdict in ("refuted", "unsound", "inconclusive", "crashed")]
    for name in ("does-not-ask-reproduced", *not_held):
        how, _, verdict = name.rpartition("-")
        write_changed(pytester, name, LENIENT[how], **VARIANTS[verdict])
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=8, errors=4)
    assert result.parseoutcomes()["inconclusive"] == 4
    assert run("--allow-inconclusive", "-k", "inconclusive").ret == pytest.ExitCode.OK
    assert run("-k", "not_ask_refuted").ret == pytest.ExitCode.TESTS_FAILED


def test_where_no_test_asks_nothing_is_shown(pytester: pytest.Pytester, run: Run) -> None:
    write_changed(pytester, "good", ("def test_", "@__import__('pytest').mark.skip\ndef test_"))
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"unfinished: 1 claim judged so far, in *{UNFINISHED}"])
    assert run("--collect-only").ret == pytest.ExitCode.OK


def test_the_folder_of_the_report_is_tried_before_training(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    (pytester.path / "reports").write_text("a file where the folder would be")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --report, which is *reports/tiny unless you give another: must be a folder*"])
    assert not (pytester.path / "store").exists()


def test_more_memory_than_there_is_is_told_before_training(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_claim(pytester.path / "claims", "good")
    monkeypatch.setattr("ilr.session.memory.available_memory", lambda: 2**28)
    result = run()
    result.stdout.fnmatch_lines(["Memory: 1 workers may need * at a time, and * are free; --workers makes them fewer."])
    assert result.ret == pytest.ExitCode.OK
    monkeypatch.setattr("ilr.session.memory.available_memory", lambda: 2**20)
    result = run("--refresh")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: training toy * needs about * of memory, and 1?MiB are free"])
