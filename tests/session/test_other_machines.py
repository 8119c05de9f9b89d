"""Other people's machines: no call that only Linux has, a home that is not there, terminals, settings, plugins."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.claim_files import write_claim
from tests.conftest import LOADS_ILR, Run
from tests.second_user import NOBODY, SECOND_USER, no_second_user

ROOT = Path(__file__).parents[2]

NOT_LINUX = """
import builtins, io, multiprocessing, os, platform, select, signal, sys
LACKING = {
    os: ("sched_getaffinity", "sched_setaffinity", "sched_setscheduler", "posix_fadvise", "posix_fallocate", "eventfd",
         "memfd_create", "copy_file_range", "getrandom", "pidfd_open", "setresuid", "getresuid", "process_cpu_count",
         "pipe2", "unshare", "getxattr", "setxattr", "O_TMPFILE", "O_DIRECT", "POSIX_FADV_DONTNEED", "SCHED_BATCH"),
    signal: ("SIGRTMIN", "SIGRTMAX", "SIGPWR", "SIGSTKFLT", "SIGPOLL", "sigtimedwait", "sigwaitinfo",
             "pidfd_send_signal"),
    select: ("epoll",),
}
for module, names in LACKING.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

# Processes that are forked are not safe there, and prctl is no function of its C library.
get_context = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: {"spawn": get_context}[method](method)
os.fork = None
platform.libc_ver = lambda *_, **__: ("", "")

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


def start(
    folder: Path, *arguments: str, by: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, started by a command, in an environment of nothing but what is given."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C", **environment}
    return subprocess.run(
        [*by, sys.executable, "-m", "pytest", "claims", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=given, capture_output=True, encoding="latin-1", check=False, timeout=600,
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
    ended = start(
        folder, "--workers=1", PYTHONPATH=path, HOME=str(folder / "home"), PYTHONNOUSERSITE="1",
        MATPLOTLIBRC=str(folder / "matplotlibrc"), PYTHONIOENCODING="latin-1",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "REPRODUCED    reproduced" in ended.stdout
    assert "could not be drawn" not in ended.stdout
    assert (folder / "reports" / "tiny" / "index.html").is_file()


HOMELESS = "import sys\nsys.modules['pwd'] = None\n"
"""Run as above: nobody knows of the user, so there is no home where HOME is not set."""


@pytest.mark.parametrize("home", ["that cannot be made", "that nobody knows"])
def test_a_session_without_a_home_in_ascii_and_of_low_priority(home: str, folder: Path) -> None:
    """As in a container, where HOME is a folder that does not exist, or is not set; and in what `nice` leaves."""
    store = f"--store={folder / 'my store'}"
    nobody = folder / "nobody"
    nobody.mkdir()
    (nobody / "sitecustomize.py").write_text(HOMELESS)
    given = {"HOME": "/dev/null/home"} if "made" in home else {"PYTHONPATH": f"{nobody}{os.pathsep}{ROOT}"}
    by = ("nice", "-n", "19") if shutil.which("nice") else ()
    ended = start(folder, "--engine=in-process", store, by=by, PYTHONIOENCODING="ascii", **given)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "REPRODUCED    reproduced" in ended.stdout
    assert ended.stdout.isascii()


def test_a_home_that_cannot_be_written_is_told_before_training(folder: Path) -> None:
    ended = start(folder, HOME="/dev/null/home", PYTHONIOENCODING="ascii")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
    assert line.startswith("ERROR: --store, which is /dev/null/home/")
    assert not (folder / "reports").exists()


def test_a_store_that_another_user_has_made_serves(pytester: pytest.Pytester, run: Run) -> None:
    """Who may read it, but not write into it, judges by it, and it stays as it is."""
    if why := no_second_user():
        pytest.skip(why)
    write_claim(pytester.path / "claims", "reproduced")
    run()
    store, his = pytester.path / "store", pytester.path / "his"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    his.mkdir()
    os.chown(his, NOBODY, NOBODY)
    options = (f"--store={store}", f"--report={his / 'report'}", "--workers=1")
    ended = start(pytester.path, *options, by=SECOND_USER, HOME=str(his), PYTHONDONTWRITEBYTECODE="1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "REPRODUCED    reproduced" in ended.stdout
    assert (his / "report" / "index.html").stat().st_uid == NOBODY
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


@pytest.mark.parametrize("options", [["-n2"], ["-n2", "--plan"], ["--dist=load", "--tx=popen"]], ids=" ".join)
def test_xdist_is_refused_in_one_line(folder: Path, options: list[str]) -> None:
    pytest.importorskip("xdist")
    ended = start(folder, *options, PYTHONPATH=os.pathsep.join(sys.path))
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in ended.stderr.splitlines() if line]
    assert line.startswith("ERROR: -n: claims train in --workers processes of their own")


def test_a_platform_that_nobody_tries_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from ilr.plugin import pytest_report_header

    assert pytest_report_header() is None
    monkeypatch.setattr(sys, "platform", "win32")
    assert "WSL 2" in str(pytest_report_header())
