"""One bad claim, finding, figure or file is one line and that claim's ERROR; what others have found is kept."""

import json
from pathlib import Path

import pytest

from ilr.report.files import UNFINISHED, read_evidence
from tests.claim_files import write_claim
from tests.conftest import Run
from tests.session.test_plugin import evidence

GOOD = {"good": "REPRODUCED"}


def verdicts(pytester: pytest.Pytester) -> dict[str, object]:
    return {name: claim["verdict"] for name, claim in evidence(pytester).items()}


def write_two(pytester: pytest.Pytester, *changes: tuple[str, str], **given: object) -> Path:
    """A good claim, and before and after it in order of name one with changes; gives the file of the latter."""
    write_claim(pytester.path / "claims", "good")
    path = write_claim(pytester.path / "claims", "bad", **given)
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("CLAIM = Claim(", "raise RuntimeError('two\\nlines')\nCLAIM = Claim(", "bad.py: RuntimeError: two lines (*"),
        ("CLAIM = Claim(", "import nothing_there\nCLAIM = Claim(", "bad.py: ModuleNotFoundError: No module named *"),
        ("CLAIM = Claim(", "CLAIM = Claim((", "bad.py: SyntaxError: *"),
        ("CLAIM = Claim(", "raise SystemExit(3)\nCLAIM = Claim(", "bad.py: it exits (3)"),
        ('"at_least", 0.9, 0.0', '"at_least", 0.9, float("inf")', "bad.py: ValueError: Prediction: margin=inf must be *"),
        ("replicas=Replicas(tiny=6)", "replicas=6", "bad.py: ValueError: Claim: replicas=6 must be Replicas (*"),
        ("def test_bad(trial)", "def test_bad()", "bad.py: no test takes the fixture `trial`, so nothing would judge *"),
        ("def test_bad(trial)", "def check(trial)", "bad.py: no test takes the fixture `trial`, so nothing would *"),
        ("def judge", "def decide", "*the claim 'bad' needs a function judge()"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_file_that_is_no_claims_file_costs_no_other_claim_anything(
    pytester: pytest.Pytester, run: Run, old: str, new: str, complaint: str
) -> None:
    write_two(pytester, (old, new))
    result = run()
    result.stdout.fnmatch_lines([f"*{complaint}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(pytester) == GOOD


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("net=Toy()", "net=__import__('torch').nn.Linear(2, 2)", "Experiment: net=Linear(*) must be MLP or *"),
        ("steps=20", "steps=10**12", "'run' of experiments has 1000000000000 steps: 10,000,000 are the most*"),
        ('"weight_norm", (20,)', '"test_accuracy", (20,)', "'run' of experiments: the toy loss has no 'test_accuracy'*"),
        ('return {"run": Experiment(', 'return 7; {"run": Experiment(', "experiments must be given as {name: *"),
        ('return {"run": Experiment(', 'return {"run": 7}; {"run": Experiment(', "experiments: 'run': 7 must be a *"),
        ('return {"run": Experiment(', 'return {}; {"run": Experiment(', "experiments must be given as {name: *"),
        (
            "net=Toy(), norm=NoNorm()",
            'net=__import__("ilr").MLP(), norm=NoNorm(), data=__import__("ilr").Data("mnits")',
            "DataUnavailableError: no data set is called 'mnits'; choose from digits, *",
        ),
        (
            "net=Toy(), norm=NoNorm()",
            'net=__import__("ilr").MLP(), norm=NoNorm(), data=__import__("ilr").Data("digits", train=5000)',
            "DataUnavailableError: digits has 1297 train examples, not the 5000 asked for*",
        ),
        ('return {"run": Experiment(', 'raise SystemExit; {"run": Experiment(', "SystemExit: *"),
        ('return {"run": Experiment(', '__import__("pytest").skip("x"); {"run": Experiment(', "Skipped: x *"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_cannot_be_trained_is_found_out_before_training(
    pytester: pytest.Pytester, run: Run, old: str, new: str, complaint: str
) -> None:
    write_two(pytester, (old, new))
    result = run()
    result.stdout.fnmatch_lines([f" *its experiments could not be planned: *{complaint}"])
    assert verdicts(pytester) == GOOD | {"bad": "ERROR"}
    assert result.ret == pytest.ExitCode.TESTS_FAILED


SCHEDULE = """
from ilr.serialization import record
import numpy as np

@record
class Own:
    def values(self, steps):
        {body}

CLAIM ="""


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise ZeroDivisionError", "ZeroDivisionError"),
        ("return np.ones(3)", "learning_rate.values(21) gives float64 of the shape (3,), not a float for each of 21"),
        ("return np.array(['a'] * steps)", "learning_rate.values(21) gives <U1 of the shape (21,), not a float"),
    ],
)
def test_a_schedule_of_a_claims_own_is_tried_before_training(
    pytester: pytest.Pytester, run: Run, body: str, complaint: str
) -> None:
    write_two(pytester, ("CLAIM =", SCHEDULE.format(body=body)), ("learning_rate=Constant(0.1)", "learning_rate=Own()"))
    run().stdout.fnmatch_lines([f" *its experiments could not be planned: *{complaint}*"])
    assert verdicts(pytester) == GOOD | {"bad": "ERROR"}


@pytest.mark.parametrize(
    ("judge", "complaint"),
    [
        (
            "yield NORM, __import__('numpy').tile(recordings['run'].final('weight_norm'), 1000); return",
            "its judge decided 'norm' on n = 6000, but its experiments have 6 replicas: each may count once",
        ),
        ("recordings['run']['weight_norm'][:] = 7.0", "its judge failed: ValueError: assignment destination is read-only"),
        ("recordings['run'].arrays['weight_norm'] = 7.0", "its judge failed: TypeError: 'mappingproxy' object *"),
        ("recordings['run'] = 7.0", "its judge failed: TypeError: 'mappingproxy' object *"),
        (
            "object.__setattr__(NORM, 'expected', -100.0)",
            "its judge decided 'norm' by another expected value, margin or alpha than registered",
        ),
        ("yield NORM, [float('nan')] * 6; return", "its judge failed: ValueError: *non-finite*"),
        ("yield NORM, [1e308] * 6; return", "*its judge failed: *"),
        ("__import__('pytest').skip('no')", "its judge failed: Skipped: no (test_bad.py:*"),
        ("raise SystemExit(0)", "its judge failed: SystemExit: 0 (test_bad.py:*"),
        ("while True: yield NORM, recordings['run'].final('weight_norm')", "its judge found ['norm', 'norm'], but *"),
        ("raise ValueError('x' * 10**6)", "its judge failed: ValueError: xxx*x… (test_bad.py:*"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_judge_costs_only_its_own_claim_the_verdict(
    pytester: pytest.Pytester, run: Run, judge: str, complaint: str
) -> None:
    write_two(pytester, judge=judge)
    result = run()
    result.stdout.fnmatch_lines([f" *{complaint}"])
    assert verdicts(pytester) == GOOD | {"bad": "ERROR"}
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "figure",
    ["axes.set_title('x' * 10)\n    return 7", "raise SystemExit", "__import__('pytest').skip('no')"],
)
def test_a_figure_costs_no_verdict(pytester: pytest.Pytester, run: Run, figure: str) -> None:
    write_two(pytester, ("axes.plot(", f"{figure}\n    axes.plot("))
    run().stdout.fnmatch_lines([" *its figure could not be drawn: *"])
    assert verdicts(pytester) == GOOD | {"bad": "REPRODUCED"}


def test_what_is_judged_is_written_down_at_once(pytester: pytest.Pytester, run: Run) -> None:
    """A claim judged later ends the run."""
    write_claim(pytester.path / "claims", "first")
    write_claim(pytester.path / "claims", "second", judge="raise KeyboardInterrupt")
    result = run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"interrupted: 1 claim judged so far, in *{UNFINISHED}"])
    [claim] = read_evidence(pytester.path / "reports" / "tiny", UNFINISHED).claims
    assert (claim.id, claim.verdict) == ("first", "REPRODUCED")
    write_claim(pytester.path / "claims", "second")
    run()
    assert not (pytester.path / "reports" / "tiny" / UNFINISHED).exists()


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


def test_the_folder_of_the_report_is_tried_before_training(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "good")
    (pytester.path / "reports").write_text("a file where the folder would be")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --report, which is *reports/tiny unless you give another: must be a folder*"])
    assert not (pytester.path / "store").exists()


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--replicas=1000000000", "must be 10000 or less"),
        ("--replicas=" + "9" * 5000, "must be a whole number, 2 or more"),
        ("--workers=640000", "must be * or less*"),
        ("--workers=" + "4000", "must be * or less, 4 for each CPU core that may be used here (*)"),
        ("--seed=" + "9" * 30, "must be 9223372036854775807 or less"),
        ("--store=", "must be a folder*"),
        ("--report=" + "x" * 300, "*"),
        ("--report=a\0b", "*"),
        ("--data-root=", "must be an existing folder *"),
        ("--compare=/dev/null/there", "*"),
    ],
    ids=lambda value: str(value)[:24].replace("\0", "0"),
)
def test_a_value_out_of_bounds_is_one_line_at_once(
    pytester: pytest.Pytester, run: Run, option: str, complaint: str
) -> None:
    write_claim(pytester.path / "claims", "good")
    result = run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [error] = [line for line in (result.errlines + result.outlines) if line.startswith("ERROR")]
    assert len(error) < 500
    result.stderr.fnmatch_lines([f"ERROR: {option.partition('=')[0]}=*: {complaint}"])


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
    result.stderr.fnmatch_lines(["ERROR: training toy * needs about * of memory, and 1.0 MB are free"])
