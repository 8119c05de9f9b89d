"""How long a run will still take."""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm
from ilr.lab.cost import operations, work
from ilr.session.progress import Pace

MEASURED = (
    # Units of each hidden layer, batch, training examples, steps, precision, replicas of each job, seconds of all jobs.
    ((64, 64, 64), None, 300, 1200, "float32", (88, 80), 100.0),
    ((32, 32, 32), 32, None, 8000, "float32", (8, 8), 19.9),
    ((32, 32, 32), 32, None, 8160, "float32", (16, 16), 16.2),
    ((32,), 32, None, 8160, "float32", (16, 16), 10.2),
    ((32, 32, 32), 32, None, 1040, "float32", (32, 32), 9.6),
    ((32, 32, 32), 32, None, 800, "float32", (72, 72), 9.1),
    ((32, 32, 32), 32, None, 4000, "float32", (16, 16), 8.4),
    ((32, 32, 32), 32, None, 1040, "float32", (32, 32), 8.0),
    ((32, 32, 32), 32, None, 4800, "float32", (8, 8), 7.2),
    ((32, 32, 32), 32, None, 680, "float32", (64, 56), 6.4),
    ((32, 32, 32), 32, None, 4800, "float32", (8, 8), 6.4),
    ((32, 32, 32), 32, None, 800, "float32", (64, 56), 6.0),
    ((32, 32, 32), 32, None, 1600, "float32", (40, 40), 6.0),
    ((32, 32, 32), 32, None, 1040, "float32", (16, 16), 3.8),
    ((32, 32, 32), 32, None, 391, "float64", (64, 56), 3.3),
    ((32, 32, 32), 32, None, 1600, "float32", (16, 16), 3.2),
    ((32, 32, 32), 32, None, 1248, "float32", (16, 16), 3.0),
    ((32, 32, 32), 32, None, 391, "float64", (40, 32), 1.9),
    ((32, 32, 32), 32, None, 624, "float32", (16, 16), 1.9),
    ((32, 32, 32), 32, None, 800, "float32", (16, 16), 1.8),
    ((32, 32, 32), 32, None, 200, "float64", (64, 56), 1.5),
)
"""The jobs that took longest in a first look at tiny, on two cores that did nothing else (26 November 2026)."""


def jobs() -> Iterator[tuple[float, int, float]]:
    """Operations, work and seconds of each measured job."""
    for widths, batch, train, steps, precision, replicas, seconds in MEASURED:
        experiment = Experiment(
            net=MLP(widths), norm=BatchNorm(), data=Data("digits", train=train), batch_size=batch, steps=steps,
            learning_rate=0.1, weight_decay=0.1, replicas=8, seed=0, precision=precision,
            observe=(Observe("test_accuracy", range(0, steps + 1, max(steps // 60, 1))),),
        )  # fmt: skip
        for n in replicas:
            effort = round(work([replace(experiment, replicas=n)]) / 1000)
            yield operations(experiment) * n, effort, seconds * n / sum(replicas)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_the_time_left_of_a_real_run_is_within_a_third(share: float) -> None:
    """Kinds of jobs differ tenfold in what an operation takes; workers take the longest job that is left."""
    spans = []
    free = [0.0, 0.0]
    for _, effort, seconds in sorted(jobs(), reverse=True):
        start = heapq.heappop(free)
        spans.append((start, start + seconds, effort))
        heapq.heappush(free, start + seconds)
    end = max(free)
    now = 0.0
    pace = Pace(sum(effort for _, _, effort in spans), lambda: now)
    told = 0
    for tick in range(1, 201):
        now = end * share * tick / 200
        done = sum(effort * min(max((now - start) / (stop - start), 0.0), 1.0) for start, stop, effort in spans)
        pace.advance(round(done) - told)
        told = round(done)
    assert pace.left == pytest.approx(end - now, rel=1 / 3)


@pytest.mark.parametrize("startup", [0.0, 30.0])
def test_the_time_left_is_within_a_third(startup: float) -> None:
    """Jobs whose work takes between 0.8 and 1.25 times as long as the mean, after workers have started."""
    now = 0.0
    pace = Pace(1000, lambda: now)
    slowness = itertools.cycle([0.8, 1.25, 0.9, 1.1])
    durations = [next(slowness) for _ in range(100)]
    ends = startup + sum(durations)
    now = startup
    assert pace.left is None
    for done, took in enumerate(durations, 1):
        now += took
        pace.advance(10)
        if done >= 5:
            assert pace.left == pytest.approx(ends - now, rel=1 / 3, abs=0.01)
    assert (pace.share, pace.left) == (1.0, 0.0)


def test_no_time_is_guessed_before_anything_is_done() -> None:
    pace = Pace(10_000, iter(range(100)).__next__)
    assert str(pace) == "0%"
    pace.advance(0)
    pace.advance(50)
    assert str(pace) == "0%"
    pace.advance(950)
    assert str(pace) == "10%, about 9 s left"


def test_work_that_is_done_twice_is_no_more_than_all() -> None:
    """A job that fails is halved, and trained again."""
    now = 0.0
    pace = Pace(10, lambda: now)
    pace.advance(6)
    now = 5.0
    pace.advance(6)
    assert (pace.share, pace.left) == (1.0, 0.0)
