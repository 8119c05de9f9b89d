"""docs/extending.md on data, claims and other choices is true: its files, scripts and commands do what it says."""

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import ilr
from ilr.__main__ import main
from ilr.commands import matrix
from ilr.lab.store.own_code import _sources
from ilr.report.files import read_evidence
from ilr.serialization import _RECORDS
from ilr.variations.variation import AXES, Variation

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], flags=re.DOTALL)


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's file in your-folder, of whose modules and records nothing is left afterwards."""
    yours = pytester.path / "your-folder"
    yours.mkdir()
    (yours / "spirals.py").write_text(blocks("Data", "python")[0], encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(yours), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    records, modules = dict(_RECORDS), set(sys.modules)
    yield pytester.path
    for name in {"spirals", "test_norm_never_falls"} & (set(sys.modules) - modules):
        del sys.modules[name]
    _RECORDS.clear()
    _RECORDS.update(records)
    _sources.cache_clear()


def run_script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's script, into a store of the test's own."""
    run = partial(ilr.run, store=folder / "store", device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(ilr, "run", run)
        exec(blocks("Data", "python")[1], {"__name__": "script"})


def test_data_of_ones_own_and_ilr_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script(folder, monkeypatch)
    out, err = capsys.readouterr()
    accuracies = [float(number) for number in re.findall(r"[\d.]+", out)]
    assert len(accuracies) == 4
    assert min(accuracies) > 0.6
    assert err.startswith("Training 4 networks, 400 steps in all")
    run_script(folder, monkeypatch)
    assert capsys.readouterr() == (out, "")


def test_a_claim_is_written_sized_tried_and_varied(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the page, one after another, with eight replicas in place of 32."""
    run_script(folder, monkeypatch)
    store = (f"--store={folder / 'store'}", "--engine=in-process")
    new, pilot, trial = blocks("A claim", "console")[0].splitlines()
    assert main(new.split()[3:]) == 0
    path = folder / "your-folder" / "test_norm_never_falls.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("tiny=32", "tiny=8").replace("steps=50", "steps=10").replace("range(51)", "range(11)"))
    assert main([*pilot.split()[3:], *store]) == 0

    def judged(command: str) -> None:
        result = pytester.runpytest_inprocess(
            *command.split()[1:], *store, "-p", "no:cacheprovider", "-p", "ilr.plugin"
        )
        assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), result.outlines

    varied, matrices = blocks("Other choices", "console")
    for command in (trial, *varied.splitlines()):
        judged(command)
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
        judged(f"pytest {' '.join(arguments)} {variation} --report={report}")
        return 0

    monkeypatch.setattr(matrix, "_run", run_one)
    assert main(matrices.split()[3:]) == 0
    assert {place.name for place in (reports / "matrix").iterdir() if place.is_dir()} == {
        *("as-registered", "momentum-0.9", "norm-group", "norm-group-momentum-0.9")
    }
    assert (reports / "matrix" / "index.html").exists()


def test_every_option_is_in_its_table() -> None:
    assert set(re.findall(r"^\| `--(\w+)` ", SECTIONS["Other choices"], flags=re.MULTILINE)) == set(AXES)
