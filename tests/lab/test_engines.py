"""Engines: what a worker's death, a lost GPU and the end of the run itself cost, and what they leave behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ilr.lab.data_folder import DataFolder
from ilr.lab.engines import InProcess, Processes, engine, worker
from ilr.lab.engines.engine import GPU_LOST
from ilr.lab.jobs import Job

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@dataclass(frozen=True)
class Scripted(Job):
    """A job without experiments that does as its fate says; each of its tries leaves a file."""

    fate: str = ""

    def run(self, tick: Callable[[int], None]) -> None:
        tries = len(list(self.store.glob(f"{self.fate} *"))) + 1
        (self.store / f"{self.fate} {tries} {os.getpid()}").touch()
        tick(1)
        match self.fate.partition(" ")[0], tries:
            case ("dies", _) | ("dies-once", 1):
                os.kill(os.getpid(), signal.SIGKILL)
            case "costs-the-gpu", _:
                # In a worker, which is another process than that of the test.
                worker.answers = lambda _: False
                raise RuntimeError("CUDA error")
            case "fails", _:
                raise RuntimeError("CUDA error")
            case "sleeps", _:
                time.sleep(600)


def scripted(folder: Path, *fates: str) -> list[Scripted]:
    return [Scripted((), folder, DataFolder(), "cpu", fate=fate) for fate in fates]


def tries(folder: Path, fate: str) -> int:
    return len(list(folder.glob(f"{fate} *")))


@posix
def test_a_death_costs_one_job_and_no_other(tmp_path: Path) -> None:
    fates = ("dies", "dies-once", "costs-the-gpu", "fails", *(f"ends {number}" for number in range(6)))
    told: list[int] = []
    ended = {job.fate: error for job, error in Processes(2).run(scripted(tmp_path, *fates), told.append)}
    assert set(ended) == set(fates)
    assert "died 2 times" in ended.pop("dies")
    assert ended.pop("fails") == ended.pop("costs-the-gpu") == "RuntimeError: CUDA error"
    assert set(ended.values()) == {None}
    assert {fate: tries(tmp_path, fate) for fate in fates if tries(tmp_path, fate) != 1} == {"dies": 2, "dies-once": 2}
    # What the dead had done is taken back.
    assert sum(told) == len(fates) - 1
    assert not any(_runs(int(path.name.rpartition(" ")[2])) for path in tmp_path.iterdir())


def test_a_job_that_cannot_be_sent_is_an_error_of_its_own(tmp_path: Path) -> None:
    class Local(Scripted):
        """Known to this function only: no other process can make one."""

    job = Local((), tmp_path, DataFolder(), "cpu", fate="ends")
    [(_, error)] = Processes(1).run([job], lambda _: None)
    assert error is not None
    assert "Local" in error


def test_a_process_that_lost_its_gpu_tries_no_job_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs = scripted(tmp_path, "fails", "fails")
    assert [error for _, error in InProcess().run(jobs, lambda _: None)] == ["RuntimeError: CUDA error"] * 2
    monkeypatch.setattr(engine, "answers", lambda _: False)
    assert [error for _, error in InProcess().run(jobs, lambda _: None)] == ["RuntimeError: CUDA error", GPU_LOST]


RUN = """
import signal
import sys
from pathlib import Path
from ilr.lab.engines import Processes
from tests.lab.test_engines import scripted

if __name__ == "__main__":
    # A shell has what it starts in the background ignore Ctrl-C, and so would this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    list(Processes(2).run(scripted(Path(sys.argv[1]), "sleeps 1", "sleeps 2"), lambda _: None))
"""


@posix
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_they_work_for(ending: signal.Signals, tmp_path: Path) -> None:
    script, work = tmp_path / "script.py", tmp_path / "work"
    script.write_text(RUN)
    work.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    run = subprocess.Popen([sys.executable, str(script), str(work)], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _until(lambda: tries(work, "sleeps") == 2)
        run.send_signal(ending)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    workers = [int(path.name.rpartition(" ")[2]) for path in work.iterdir()]
    _until(lambda: not any(map(_runs, workers)))
    # Workers say nothing: what there is to be said of Ctrl-C is said once.
    assert said.count("Traceback") == (ending is signal.SIGINT)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # What has ended is still there until its parent asks, or process 1 where that does.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def _until(happens: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)
