"""docs/extending.md is true: its records, scripts, claims and commands do what it says."""

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import ilr
from ilr.__main__ import main
from ilr.commands import matrix
from ilr.commands.new import LOADS_ILR, claim_text
from ilr.lab.store.own_code import _sources
from ilr.report.files import read_evidence
from ilr.serialization import _RECORDS
from ilr.variations.variation import AXES, Variation

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
FILES = dict(re.findall(r"`your-folder/(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.DOTALL))
"""The files that the page shows, by name."""
SCRIPTS = [text for text in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if text not in FILES.values()]
OF_DATA = next(text for text in SCRIPTS if "ilr.npz" in text)
"""That which writes an `.npz` file."""

RATES = '{"small steps": 0.1, "large steps": 10.0}'
NORM = "norm=ilr.BatchNorm(),"
CHANGES = {
    "RMSNorm": (
        "from rms import RMSNorm",
        {NORM: "norm=RMSNorm(),", "net=ilr.MLP((16, 16)),": "net=ilr.MLP((16,)),"},
    ),
    "LARS": ("from lars import LARS", {NORM: f"{NORM} optimizer=LARS(),"}),
    "ViT": (
        "from vit import ViT",
        {
            "net=ilr.MLP((16, 16)),": "net=ViT(depth=1, width=4),",
            NORM: "norm=ilr.InNet(),",
            RATES: '{"small steps": 0.01, "large steps": 0.1}',
        },
    ),
    "Spirals": ("from spirals import Spirals", {'ilr.Data("digits")': "ilr.Data(Spirals())"}),
}
"""By what is brought: what the claim imports, and what becomes of its lines."""


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's files in your-folder, of whose modules and records nothing is left afterwards."""
    yours = pytester.path / "your-folder"
    yours.mkdir()
    for name, text in FILES.items():
        (yours / name).write_text(text, encoding="utf-8")
    (yours / "conftest.py").write_text(LOADS_ILR, encoding="utf-8")
    monkeypatch.syspath_prepend(yours)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    records, modules = dict(_RECORDS), set(sys.modules)
    yield pytester.path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(yours)):
            del sys.modules[name]
    _RECORDS.clear()
    _RECORDS.update(records)
    _sources.cache_clear()


def run_script(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the page's, into a store of the test's own."""
    run = partial(ilr.run, store=folder / "store", device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(ilr, "run", run)
        exec(script, {"__name__": "script"})


def judged(folder: Path, pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run of pytest in this process; some claims may not hold."""
    options = "--engine=in-process", f"--store={folder / 'store'}", "-p", "no:cacheprovider"
    result = pytester.runpytest_inprocess(*arguments, *options)
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), result.outlines
    return result


def write_claim(folder: Path, name: str, brought: str = "") -> Path:
    """The claim that `ilr new` writes, with what is brought in its place."""
    text = claim_text(name)
    imported, lines = CHANGES.get(brought, ("", {}))
    text = text.replace("import ilr\n", f"import ilr\n\n{imported}\n", 1)
    for before, after in lines.items():
        assert before in text
        text = text.replace(before, after)
    path = folder / "your-folder" / f"test_{name.replace('-', '_')}.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda text: text.splitlines()[1].split()[-1])
def test_a_script_of_the_page_runs(
    script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second time it trains nothing."""
    run_script(script, folder, monkeypatch)
    out, err = capsys.readouterr()
    assert re.match(r"\[\d", out)
    assert err.startswith("Training 4 networks")
    run_script(script, folder, monkeypatch)
    assert capsys.readouterr() == (out, "")


@pytest.mark.parametrize("brought", CHANGES)
def test_a_claim_goes_on_trial_with_it(brought: str, folder: Path, pytester: pytest.Pytester) -> None:
    write_claim(folder, "norm-never-falls", brought)
    report = folder / "report"
    judged(folder, pytester, "your-folder", "--replicas=4", f"--report={report}")
    evidence = (report / "evidence.json").read_text(encoding="utf-8")
    assert brought in evidence
    assert ("measured: scale-invariant" in evidence) == (brought == "RMSNorm")
    assert ("measured: not scale-invariant" in evidence) == (brought == "ViT")
    assert ('LARS(momentum=0.9), measured: effective learning rate η"' in evidence) == (brought == "LARS")
    assert read_evidence(report).claims[0].verdict in ("REPRODUCED", "REFUTED", "INCONCLUSIVE", "UNSOUND")


def test_a_wrong_record_is_one_line_and_hurts_no_other_claim(folder: Path, pytester: pytest.Pytester) -> None:
    lars = folder / "your-folder" / "lars.py"
    lars.write_text(lars.read_text().replace("return weights - velocity,", "return (weights - velocity)[:, :1],"))
    write_claim(folder, "sound")
    write_claim(folder, "wrong", "LARS")
    result = judged(folder, pytester, "your-folder", "--replicas=4", f"--report={folder / 'report'}")
    [told] = [line for line in result.outlines if "could not be planned" in line and line.startswith(" ")]
    assert re.search(
        r"lars\.py: LARS: step\(\) gives weights of the shape \[3, 1, 4\] .*, which were \[3, 4, 4\]", told
    )
    assert [line.split() for line in result.outlines if line.startswith("ERROR  ")] == [["ERROR", "wrong"]]
    assert any(re.match(r"(REPRODUCED|REFUTED|INCONCLUSIVE) +sound", line) for line in result.outlines)


def test_a_claim_is_written_sized_tried_and_varied(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the page, one after another, with eight replicas in place of 32."""
    run_script(OF_DATA, folder, monkeypatch)
    new, pilot, trial, *more = commands("A claim")
    assert not more
    assert main(new.split()[3:]) == 0
    path = folder / "your-folder" / "test_norm_never_falls.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("tiny=32", "tiny=8").replace("steps=50", "steps=10").replace("range(51)", "range(11)"))
    assert main([*pilot.split()[3:], "--engine=in-process", f"--store={folder / 'store'}"]) == 0

    *varied, of_matrix = commands("Other choices")
    for command in (trial, *varied):
        judged(folder, pytester, *command.split()[1:])
    reports = folder / "reports"
    claims = {place.name: read_evidence(place).claims[0] for place in reports.iterdir()}
    assert {name: one.variation.partition(" in place of ")[0] for name, one in claims.items()} == {
        "tiny": "",
        "tiny-norm-group": "group norm in 2",
        "tiny-optimizer-adamw": "AdamW, β 0.9 and 0.999",
        "tiny-data-spirals.npz": claims["tiny-data-spirals.npz"].variation.partition(" in place of ")[0],
        "tiny-net-mlp-8-8-data-spirals.py-Spirals": "MLP 8-8",
    }
    assert {one.verdict for one in claims.values()} <= {"REPRODUCED", "INCONCLUSIVE", "REFUTED"}

    def run_one(arguments: list[str], variation: Variation, report: Path) -> int:
        judged(folder, pytester, *arguments, *str(variation).split(), f"--report={report}")
        return 0

    monkeypatch.setattr(matrix, "_run", run_one)
    assert main(of_matrix.split()[3:]) == 0
    assert {place.name for place in (reports / "matrix").iterdir() if place.is_dir()} == {
        *("as-registered", "momentum-0.9", "norm-group", "norm-group-momentum-0.9")
    }
    assert (reports / "matrix" / "index.html").exists()


def commands(section: str) -> list[str]:
    """The lines of the page's console."""
    return [
        line for text in re.findall(r"```console\n(.*?)```", SECTIONS[section], re.DOTALL) for line in text.splitlines()
    ]


def test_every_option_is_in_its_table() -> None:
    assert set(re.findall(r"^\| `--(\w+)` ", SECTIONS["Other choices"], flags=re.MULTILINE)) == set(AXES)
