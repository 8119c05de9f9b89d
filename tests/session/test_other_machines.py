"""Other people's machines: no call that only Linux has, a home that is not there, terminals, settings, plugins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.claim_files import write_claim
from tests.conftest import LOADS_ILR

ROOT = Path(__file__).parents[2]

NOT_LINUX = """
import builtins, io, os, sys
for name in ("sched_getaffinity", "sched_setaffinity", "posix_fadvise", "posix_fallocate", "eventfd", "memfd_create",
             "copy_file_range", "sendfile", "getrandom", "pidfd_open", "setresuid", "process_cpu_count"):
    if hasattr(os, name):
        delattr(os, name)
PLACES = ("/proc", "/sys")

def guarded(opened):
    def open(file, *arguments, **named):
        # By the maps threadpoolctl finds libraries on Linux; on a Mac it asks the loader.
        place = os.fspath(file) if isinstance(file, (str, os.PathLike)) else ""
        if str(place).startswith(PLACES) and place != "/proc/self/maps":
            raise FileNotFoundError(2, "there is no such place on a Mac", os.fspath(file))
        return opened(file, *arguments, **named)
    return open

builtins.open = io.open = guarded(io.open)
sys.modules["resource"] = None
"""
"""Run by every Python process as it starts: takes away what macOS, or even Windows, lacks."""

HOSTILE_STYLE = "text.usetex: True\nfigure.dpi: 7\nsvg.fonttype: path\naxes.prop_cycle: cycler('color', ['w'])\n"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, in an environment of nothing but what is given."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C", **environment}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=given, capture_output=True, encoding="latin-1", check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Claims in a folder whose name has spaces and letters that are not ASCII."""
    place = tmp_path / "Großes Projekt λ"
    write_claim(place / "claims", "reproduced")
    (place / "claims" / "conftest.py").write_text(LOADS_ILR)
    return place


def test_a_tiny_session_needs_nothing_of_linux(folder: Path) -> None:
    """Worker processes, store, report and all, on what looks like a Mac, with a hostile matplotlibrc."""
    (folder / "mac").mkdir()
    (folder / "mac" / "usercustomize.py").write_text("raise SystemExit('not this one')")
    (folder / "mac" / "sitecustomize.py").write_text(NOT_LINUX)
    (folder / "home").mkdir()
    (folder / "matplotlibrc").write_text(HOSTILE_STYLE)
    path = os.pathsep.join((str(folder / "mac"), str(ROOT)))
    ended = run(
        folder, "--workers=1", PYTHONPATH=path, HOME=str(folder / "home"), PYTHONNOUSERSITE="1",
        MATPLOTLIBRC=str(folder / "matplotlibrc"), PYTHONIOENCODING="latin-1",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "REPRODUCED    reproduced" in ended.stdout
    assert "could not be drawn" not in ended.stdout
    assert (folder / "reports" / "tiny" / "index.html").is_file()


def test_a_session_without_a_home_in_ascii(folder: Path) -> None:
    """As in a container: HOME is a folder that does not exist and cannot be made."""
    store = f"--store={folder / 'my store'}"
    ended = run(folder, "--engine=in-process", store, HOME="/dev/null/home", PYTHONIOENCODING="ascii")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "REPRODUCED    reproduced" in ended.stdout
    assert ended.stdout.isascii()


def test_a_home_that_cannot_be_written_is_told_before_training(folder: Path) -> None:
    ended = run(folder, HOME="/dev/null/home", PYTHONIOENCODING="ascii")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
    assert line.startswith("ERROR: --store, which is /dev/null/home/")
    assert not (folder / "reports").exists()


@pytest.mark.parametrize("options", [["-n2"], ["-n2", "--plan"], ["--dist=load", "--tx=popen"]], ids=" ".join)
def test_xdist_is_refused_in_one_line(folder: Path, options: list[str]) -> None:
    pytest.importorskip("xdist")
    ended = run(folder, *options, PYTHONPATH=os.pathsep.join(sys.path))
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in ended.stderr.splitlines() if line]
    assert line.startswith("ERROR: -n: claims train in --workers processes of their own")


def test_a_platform_that_nobody_tries_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from ilr.plugin import pytest_report_header

    assert pytest_report_header() is None
    monkeypatch.setattr(sys, "platform", "win32")
    assert "WSL 2" in str(pytest_report_header())
