"""The command line in a terminal of its own: encodings and paths."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def ilr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ilr", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_claims_are_listed_whatever_the_encoding() -> None:
    listed = ilr("claims", PYTHONIOENCODING="ascii")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert len(listed.stdout.splitlines()) == len([*(ROOT / "claims").glob("test_*.py")])
    assert "?" in listed.stdout


def test_a_home_is_filled_in(tmp_path: Path) -> None:
    """In --check=~/file, where no shell does it."""
    checked = ilr("claims", "--check=~/evidence.json", HOME=str(tmp_path))
    assert checked.returncode == 2
    assert str(tmp_path / "evidence.json") in checked.stderr
