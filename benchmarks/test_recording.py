"""What recording adds to the time of training, by what is recorded; each against bare training, in turns."""

from dataclasses import replace
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import Workers
from benchmarks.test_throughput import CASES
from ilr.experiments.experiment import Observe

STEPS = 400
RECORDED = {
    "loss of every batch": (Observe("batch_loss", range(STEPS)),),
    "norm and effective learning rate at every step": (
        Observe("weight_norm", range(STEPS)),
        Observe("effective_learning_rate", range(STEPS)),
    ),
    "second moment of every gradient": (Observe("gradient_second_moment", range(STEPS)),),
    "test accuracy every hundredth step": (Observe("test_accuracy", range(0, STEPS + 1, 100)),),
}
ROUNDS = 5


@pytest.mark.parametrize("what", RECORDED)
def test_recording_against_bare_training(benchmark: BenchmarkFixture, team: Workers, what: str) -> None:
    bare = CASES["mlp"].experiment(steps=STEPS)
    recording = replace(bare, observe=RECORDED[what])
    without: list[float] = []
    recorded: list[float] = []
    benchmark.pedantic(
        lambda: recorded.append(team.train(recording)[0]),
        setup=lambda: without.append(team.train(bare)[0]),
        rounds=ROUNDS,
    )
    benchmark.extra_info |= {"recorded": what, "adds": f"{median(recorded) / median(without) - 1:.1%}"}
    print(f"\n{what} adds {benchmark.extra_info['adds']}")
