"""What one process trains no other trains; what it held is free as soon as it is dead."""

import multiprocessing
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilr.experiments.experiment import Experiment
from ilr.lab import scheduler
from ilr.lab.jobs import Job
from ilr.lab.scheduler import Lab
from ilr.lab.store import leases
from ilr.lab.store.leases import LeasedError, is_leased, leased, remove_abandoned
from ilr.training import trainers
from tests.stores import TOY, files, lab_at, toys, trained_at

PLACES = [Path("experiment", f"{name}.safetensors") for name in "abc"]

HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts a process that holds a place's lease."""
    holders: list[subprocess.Popen[str]] = []

    def start(place: Path) -> subprocess.Popen[str]:
        path = leases._file(tmp_path, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        holders.append(subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True))
        assert holders[-1].stdout is not None
        assert holders[-1].stdout.readline() == "held\n"
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_all_places_or_none_are_held(tmp_path: Path) -> None:
    a, b, c = PLACES
    with leased(tmp_path, [b]):
        with pytest.raises(LeasedError), leased(tmp_path, [c, b, a]):
            pytest.fail("held")
        assert [is_leased(tmp_path, [place]) for place in PLACES] == [False, True, False]
        with leased(tmp_path, [a, c]):
            assert is_leased(tmp_path, PLACES)
    assert not is_leased(tmp_path, PLACES)
    assert files(tmp_path) == []


def test_an_error_gives_them_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), leased(tmp_path, PLACES):
        raise ZeroDivisionError
    assert not is_leased(tmp_path, PLACES)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_dead_hold_nothing(
    end: signal.Signals, tmp_path: Path, hold: Callable[[Path], subprocess.Popen[str]]
) -> None:
    holder = hold(PLACES[0])
    remove_abandoned(tmp_path)
    assert is_leased(tmp_path, PLACES)
    holder.send_signal(end)
    holder.wait()
    assert len(files(tmp_path)) == 1
    assert not is_leased(tmp_path, PLACES)
    with leased(tmp_path, PLACES):
        pass
    hold(PLACES[1])
    Path(tmp_path, "leases", "abandoned").touch()
    remove_abandoned(tmp_path)
    assert files(tmp_path) == [leases._file(tmp_path, PLACES[1])]


def test_what_another_process_trains_is_waited_for(
    tmp_path: Path, hold: Callable[[Path], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends with a recording, which is then ours; and one that dies, whose work is then ours."""
    free, taken, dying = toys(3)
    lab = lab_at(tmp_path)
    keys = {experiment: lab.keys(experiment)[0] for experiment in (taken, dying)}
    holders = {experiment: hold(key.place) for experiment, key in keys.items()}
    elsewhere = trained_at(tmp_path / "elsewhere", taken)
    trained: Counter[int] = Counter()
    train = Job.train

    def counting(self: Job, tick: Callable[[int], None]) -> None:
        trained[self.keys[0].experiment.steps] += 1
        train(self, tick)

    def ending(_: float) -> None:
        """While we wait, the others end, one after the other."""
        assert trained[free.steps] == 1
        experiment, holder = holders.popitem()
        if experiment == taken:
            source = elsewhere.store.root / keys[taken].place
            (tmp_path / keys[taken].place).parent.mkdir()
            (tmp_path / keys[taken].place).write_bytes(source.read_bytes())
        holder.kill()
        holder.wait()

    monkeypatch.setattr(Job, "train", counting)
    monkeypatch.setattr(scheduler.time, "sleep", ending)
    lines: list[str] = []
    done: list[int] = []
    plan = lab.plan([free, taken, dying])
    lab.train(plan, done.append, lines.append)
    assert trained == {free.steps: 1, dying.steps: 1}
    assert sum(done) == plan.work
    assert lines[0] == "Another run trains 4 of these networks into the same store: waiting for them."
    for experiment in (free, taken, dying):
        assert lab.recording(experiment).experiment == experiment
    np.testing.assert_array_equal(lab.recording(taken)["train_loss"], elsewhere.recording(taken)["train_loss"])


def test_what_was_stored_since_planning_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [TOY, replace(TOY, seed=1)]
    lab = lab_at(tmp_path)
    plan = lab.plan(both)
    trained_at(tmp_path, TOY)
    batches: list[int] = []
    train = Job.train

    def counting(self: Job, tick: Callable[[int], None]) -> None:
        batches.append(self.replicas)
        train(self, tick)

    monkeypatch.setattr(Job, "train", counting)
    done: list[int] = []
    lab.train(plan, done.append)
    assert batches == [2]
    assert sum(done) == plan.work
    lab.train(plan)
    assert batches == [2]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, which is safe on Linux alone")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_four_processes_train_each_experiment_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All get the same numbers, and nothing is left."""
    log, train = tmp_path / "log", trainers.train_toy

    def logged(slices: Sequence[Experiment], *rest: Any, **more: Any) -> Any:
        with log.open("a") as file:
            file.write("".join(f"{one.steps}\n" for one in slices))
        time.sleep(0.02)
        return train(slices, *rest, **more)

    monkeypatch.setattr(trainers, "train_toy", logged)
    monkeypatch.setattr(scheduler, "ASK_AGAIN_SECONDS", 0.02)
    # Forked: to import torch four times would take longer than all else here. The toy needs none of its threads.
    context = multiprocessing.get_context("fork")
    start, numbers = context.Barrier(4), context.SimpleQueue()

    def session() -> None:
        lab = lab_at(tmp_path / "store")
        plan = lab.plan(toys(12))
        start.wait(30)
        lab.train(plan)
        numbers.put([lab.recording(one)["weight_norm"].tobytes() for one in toys(12)])
        # From here on the process belongs to what measures coverage, whose warnings are no errors of ours.
        warnings.simplefilter("default")

    sessions = [context.Process(target=session) for _ in range(4)]
    for one in sessions:
        one.start()
    found = [numbers.get() for _ in sessions]
    for one in sessions:
        one.join(30)
    assert [one.exitcode for one in sessions] == [0] * 4
    assert found == found[:1] * 4
    assert Counter(log.read_text().splitlines()) == {str(one.steps): 1 for one in toys(12)}
    assert {path.suffix for path in files(tmp_path / "store")} == {".safetensors"}


def test_two_that_refresh_train_what_was_there_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another run has made since this one began is fresh."""
    trained_at(tmp_path, TOY)
    batches: list[Experiment] = []
    train = Job.train

    def counting(self: Job, tick: Callable[[int], None]) -> None:
        batches.append(self.keys[0].experiment)
        train(self, tick)

    monkeypatch.setattr(Job, "train", counting)
    labs: list[Lab] = [lab_at(tmp_path, refresh=True) for _ in range(2)]
    time.sleep(0.001)
    plans = [lab.plan([TOY]) for lab in labs]
    for lab, plan in zip(labs, plans, strict=True):
        lab.train(plan)
    assert len(batches) == 1
