"""Pre-registration: what changed in the claims since a report, field by field."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from ilr.__main__ import main
from ilr.report.files import write_report
from ilr.serialization import digest, to_json
from ilr.trials.registration import changes, claim_modules, load_module
from ilr.trials.testing import check_claim
from tests.claim_files import sharing, write_claim
from tests.conftest import Run
from tests.sample_evidence import sample_evidence, typed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_claim(tmp_path / "claims", "reproduced")
    write_claim(tmp_path / "claims", "other")
    return tmp_path / "claims"


@pytest.fixture
def report(folder: Path) -> Path:
    """An evidence file that was made when the claims were as they are now."""
    evidence = sample_evidence()
    template = evidence["claims"][0]
    evidence["claims"] = [
        template | {"id": module.CLAIM.id, "record": to_json(module.CLAIM)} for module in claim_modules(folder)
    ]
    write_report(typed(evidence), folder.parent / "report")
    return folder.parent / "report" / "evidence.json"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_claims_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", str(folder)]) == 0
    assert capsys.readouterr().out.split("\n")[0].split(maxsplit=1) == ["other", "The norm grows"]


def test_unchanged_claims_pass(folder: Path, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", str(folder), "--check", str(report)]) == 0
    assert capsys.readouterr().out.split() == ["unchanged", "other", "unchanged", "reproduced"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"norm", "at_least", 0.9, 0.0', '"norm", "at_least", 0.9, 0.2', "predictions['norm'].margin: 0.0 → 0.2"),
        ('"as small as it gets"', '"it fits"', "predictions['norm'].reason: 'as small as it gets' → 'it fits'"),
        ("tiny=6", "tiny=60", "replicas.tiny: 6 → 60"),
        (
            'controls=(Control("decay", "No weight decay."),)',
            'controls=(Control("growth", "x"),)',
            "controls['decay']: removed",
        ),
        (
            'controls=(Control("decay", "No weight decay."),)',
            'controls=(Control("growth", "x"),)',
            "controls['growth']: added",
        ),
        ('statement="Without', 'statement="With', "statement: 'Without weight decay the norm grows.' → 'With weight"),
    ],
)
def test_a_change_is_named_field_by_field(
    folder: Path, report: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, line: str
) -> None:
    edit(folder / "test_reproduced.py", old, new)
    assert main(["claims", str(folder), "--check", str(report)]) == 1
    out = capsys.readouterr().out
    assert "CHANGED    reproduced\n" in out
    assert "unchanged  other\n" in out
    assert line in out


def test_what_only_tells_of_a_claim_is_no_change(
    folder: Path, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "test_reproduced.py"
    before = digest(load_module(path).CLAIM)
    told = 'question="Does the norm grow?", differs=Differs(tiny="the loss.")'
    edit(path, 'not_run="only tiny is written",', f'not_run="only tiny is written", {told},')
    edit(path, "import Claim, ", "import Claim, Differs, ")
    now = load_module(path).CLAIM
    assert (now.question, now.differs.tiny) == ("Does the norm grow?", "the loss.")
    assert digest(now) == before
    assert main(["claims", str(folder), "--check", str(report)]) == 0
    assert capsys.readouterr().out.split() == ["unchanged", "other", "unchanged", "reproduced"]


def test_another_order_of_predictions_is_a_change(folder: Path) -> None:
    claim = load_module(folder / "test_reproduced.py").CLAIM
    first = to_json(claim.predictions[0])
    record = to_json(claim) | {"predictions": [first, first | {"quantity": "second"}]}
    backwards = record | {"predictions": record["predictions"][::-1]}
    assert changes(record, claim) == ["predictions['second']: removed"]
    assert "predictions['second']: removed" in changes(backwards, claim)


def test_claims_that_come_and_go(folder: Path, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_claim(folder, "new")
    assert main(["claims", str(folder), "--check", str(report)]) == 0
    assert "ADDED      new\n" in capsys.readouterr().out
    (folder / "test_other.py").unlink()
    assert main(["claims", str(folder), "--check", str(report)]) == 1
    assert "REMOVED    other\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["claims", "nowhere"], "nowhere holds no claim"),
        (["claims", "{folder}", "--check", "nothing.json"], "nothing.json does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main([argument.format(folder=folder) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import nothing_of_the_kind\nCLAIM = 1\n", "test_broken.py cannot be imported: ModuleNotFoundError"),
        ("CLAIM = (\n", "test_broken.py cannot be parsed: '(' was never closed"),
    ],
)
def test_a_broken_file_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str, complaint: str
) -> None:
    (folder / "test_broken.py").write_text(source)
    assert main(["claims", str(folder)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_claim_may_import_what_lies_beside_it(folder: Path, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sharing(folder / "test_reproduced.py")
    assert main(["claims", str(folder), "--check", str(report)]) == 0
    assert capsys.readouterr().out.split() == ["unchanged", "other", "unchanged", "reproduced"]
    for module in claim_modules(folder):
        check_claim(module)


def test_pytest_loads_the_same(pytester: pytest.Pytester, run: Run) -> None:
    sharing(write_claim(pytester.path / "claims", "reproduced"))
    run().stdout.re_match_lines([r"REPRODUCED +reproduced  controls sound 1/1"])


def test_a_claim_may_lie_in_a_package(tmp_path: Path) -> None:
    path = sharing(write_claim(tmp_path / "ours" / "claims", "reproduced"))
    for package in (path.parent, path.parent.parent):
        (package / "__init__.py").touch()
    path.write_text(path.read_text().replace("from shared", "from .shared"))
    assert load_module(path).__name__ == "ours.claims.test_reproduced"


def test_loading_leaves_nothing_behind_and_loads_afresh(folder: Path) -> None:
    path = sharing(folder / "test_reproduced.py")
    importable, loaded = list(sys.path), dict(sys.modules)
    assert load_module(path).RATE == 0.1
    edit(folder / "shared.py", "0.1", "0.2")
    assert load_module(path).RATE == 0.2
    (folder / "shared.py").unlink()
    with pytest.raises(ValueError, match="ModuleNotFoundError: No module named 'shared'"):
        load_module(path)
    assert sys.path == importable
    assert sys.modules == loaded


def test_a_module_of_the_same_name_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("test_reproduced")
    monkeypatch.setitem(sys.modules, "test_reproduced", other)
    assert load_module(folder / "test_reproduced.py") is not other
    assert sys.modules["test_reproduced"] is other


def test_other_tests_are_not_imported(folder: Path) -> None:
    (folder / "test_plain.py").write_text("raise SystemExit('imported')\n")
    (folder / "test_annotated.py").write_text("CLAIM: int = 1\n")
    assert [module.__name__ for module in claim_modules(folder)] == ["test_annotated", "test_other", "test_reproduced"]
