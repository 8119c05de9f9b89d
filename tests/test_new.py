"""`ilr new` writes a claim that keeps the contract and runs, and overwrites nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from ilr.__main__ import main
from ilr.commands.new import claim_text
from ilr.trials.registration import load_module
from ilr.trials.testing import check_claim, check_folder

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["it", "norm-never-falls", "a-2nd-claim-of-id-and-title"])
def test_a_new_claim_keeps_the_contract(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["new", name, f"--to={folder}"]) == 0
    path = folder / f"test_{name.replace('-', '_')}.py"
    assert capsys.readouterr().out.split() == [str(path), str(folder / "conftest.py")]
    module = load_module(path)
    assert module.CLAIM.id == name
    check_claim(module)
    check_folder(folder)


def test_it_is_the_claim_that_contributing_shows() -> None:
    """From the imports on, but for its title."""
    shown = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    written = claim_text("norm-never-falls")

    def told(text: str) -> list[str]:
        return [line for line in text[text.index("import numpy") :].splitlines() if "title=" not in line]

    assert told(shown) == told(written)


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conftest.py").write_text("# mine\n")
    path = tmp_path / "test_one.py"
    assert main(["new", "one", f"--to={tmp_path}"]) == 0
    assert (tmp_path / "conftest.py").read_text() == "# mine\n"
    path.write_text("# changed\n")
    assert main(["new", "one", f"--to={tmp_path}"]) == 2
    assert path.read_text() == "# changed\n"
    assert f"{path} exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "Two Words", "a/b", "../up", "under_score", "-x", "x-", "1st"])
def test_what_is_no_id_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", f"--to={tmp_path}", "--", name]) == 2
    assert "is no id of a claim" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_it_is_in_our_style(tmp_path: Path) -> None:
    path = tmp_path / "test_a_claim_with_a_long_name.py"
    path.write_text(claim_text("a-claim-with-a-long-name"), encoding="utf-8")
    for words in (["check", "--ignore=D103"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), str(path)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
