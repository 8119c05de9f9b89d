"""Jobs on a real Slurm of one node; skipped, with the reason, where none can be started."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from ilr.experiments.experiment import Experiment
from ilr.lab.engines import InProcess, Request, Slurm, slurm
from ilr.lab.engines.engine import EngineError
from ilr.lab.engines.slurm import SlurmTask, end_orphans
from ilr.lab.jobs import Job
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store
from tests.slurm_cluster import cluster, why_not

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds after which something counts as not happening: on a busy machine every task takes a minute to begin."""

NEVER_BEGUN = Request(more=(("hold", ""),))


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if reason := why_not():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("slurm")) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        # What the nodes import is what is tested, installed or not.
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        patch.setattr(slurm, "ASK_SECONDS", 0.5)
        patch.setattr(slurm, "LATE_SECONDS", 1.0)
        patch.setattr(slurm, "POLL_SECONDS", 0.2)
        yield


@dataclass(frozen=True)
class Held(Job):
    """A job that, at its first try, says that it runs, and then waits for its end."""

    name: str = ""

    def run(self, tick: Any) -> None:
        said = self.store / f"{self.name} runs"
        if self.name and not said.exists():
            said.touch()
            time.sleep(600)
        super().run(tick)


def lab(root: Path, engine: Any = None) -> Lab:
    return Lab(Store(root), engine or InProcess())


def queue(states: str = "PD") -> list[str]:
    """Tasks in some states, by default those that wait."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--states={states}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.usefixtures("_cluster")
def test_what_is_interrupted_or_cancelled_on_slurm_ends_as_it_does_here(tmp_path: Path, small_toy: Experiment) -> None:
    experiments = [replace(small_toy, steps=steps) for steps in (5, 4, 3)]
    here, there = lab(tmp_path / "here"), lab(tmp_path / "there", Slurm(2, tmp_path / "there", Request(minutes=5)))
    here.train(here.plan(experiments))
    there.store.root.mkdir()
    fates = ("preempted", "cancelled", "")
    jobs = [Held(**vars(job), name=name) for job, name in zip(there.plan(experiments).jobs, fates, strict=True)]
    told: list[int] = []
    ended: list[Any] = []
    training = Thread(target=lambda: ended.extend(there.engine.run(jobs, told.append)))
    training.start()
    try:
        for name in fates[:2]:
            _until(lambda name=name: (there.store.root / f"{name} runs").exists())
        first, second = sorted(queue("R"))
        # The signal that comes before the end of a task's time, and before what has precedence.
        subprocess.run(["scancel", "--signal=USR2", first], check=True)
        subprocess.run(["scancel", second], check=True)
        # What is put in the queue again is not begun for two minutes, unless somebody asks for it.
        _until(lambda: first in queue())
        subprocess.run(["scontrol", "update", f"JobId={first}", "StartTime=now"], check=True)
    finally:
        training.join(PATIENCE)
    assert dict(ended) == dict.fromkeys(jobs)
    assert sum(told) == sum(job.work for job in jobs)
    again = lab(tmp_path / "there")
    assert again.plan(experiments).jobs == ()
    for experiment in experiments:
        for name, array in here.recording(experiment).arrays.items():
            np.testing.assert_array_equal(again.recording(experiment).arrays[name], array)
    assert not (there.store.root / "slurm").exists()


@pytest.mark.usefixtures("_cluster")
def test_ctrl_c_takes_tasks_out_of_the_queue(
    tmp_path: Path, small_toy: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = time.monotonic() + PATIENCE

    def interrupt(_: float) -> None:
        # Others sleep, too, before the tasks are in the queue.
        if len(queue()) == 2:
            raise KeyboardInterrupt
        assert time.monotonic() < end, "the tasks are not in the queue"

    engine = Slurm(2, tmp_path, NEVER_BEGUN)
    there = lab(tmp_path, engine)
    plan = there.plan([small_toy, replace(small_toy, steps=4)])
    monkeypatch.setattr(slurm.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        there.train(plan)
    assert queue() == []
    assert not (tmp_path / "slurm").exists()


@pytest.mark.usefixtures("_cluster")
def test_tasks_of_a_run_that_was_killed_are_cancelled_by_the_next(tmp_path: Path, small_toy: Experiment) -> None:
    engine = Slurm(2, tmp_path, NEVER_BEGUN)
    plan = lab(tmp_path).plan([small_toy, replace(small_toy, steps=4)])
    killed = subprocess.Popen(["true"])
    killed.wait()
    for pid in (killed.pid, os.getpid()):
        folder = engine.root / f"{slurm.platform.node()}-{pid}-1"
        engine._submit([slurm._Task([job]) for job in plan.jobs], folder)
    end_orphans(engine.root)
    left = queue()
    assert len(left) == 2
    subprocess.run(["scancel", *left], check=True)
    assert [path.name for path in engine.root.iterdir()] == [folder.name]


@pytest.mark.usefixtures("_cluster")
def test_what_slurm_refuses_is_one_line(
    tmp_path: Path, small_toy: Experiment, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = Slurm(2, tmp_path, Request(partition="none-such"))
    there = lab(tmp_path, engine)
    plan = there.plan([small_toy])
    with pytest.raises(EngineError, match=r"Slurm does not take the jobs: sbatch: error: .*partition"):
        there.train(plan)
    assert capfd.readouterr().err == ""


def test_a_task_trains_as_many_jobs_as_it_has_gpus(tmp_path: Path, small_toy: Experiment) -> None:
    there = lab(tmp_path)
    jobs = there.plan([small_toy, replace(small_toy, steps=4)]).jobs
    assert SlurmTask(jobs)() == [None, None]
    assert lab(tmp_path).plan([small_toy]).jobs == ()


def test_options_of_sbatch_in_so_many_words_come_last() -> None:
    request = Request(partition="gpu", gpus=2, more=(("cpus-per-task", "8"), ("exclusive", "")))
    parameters = request.parameters(4)
    assert parameters["gpus_per_node"] == parameters["cpus_per_task"] == request.jobs == 2
    assert parameters["additional_parameters"] == {"cpus_per_task": "8", "exclusive": True}
    assert "account" not in parameters


def _until(happens: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)
