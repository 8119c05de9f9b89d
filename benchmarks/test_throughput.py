"""The engine's throughput against two plain loops and against the machine's peak, all measured in one run.

Every round times the plain loops first and then the engine, so that all see the same state of the machine; the table at
the end has medians. Nothing here asserts a time.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import WORKERS, Workers, dataset_of
from benchmarks.plain import dataloader_loop, tuned_loop
from ilr.experiments.architectures import CNN, MLP, Net, PreResNet
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm
from ilr.experiments.schedules import Constant
from ilr.nn.architectures import build


@dataclass(frozen=True)
class Case:
    """One net on one kind of images."""

    net: Net
    data: Data
    batch_size: int
    replicas: int
    """Per worker."""
    steps: int
    """Of the engine in one round."""
    plain_steps: int
    """Of a plain loop in one round."""

    def experiment(self, replicas: int | None = None, steps: int | None = None) -> Experiment:
        """What the engine trains."""
        steps = steps or self.steps
        return Experiment(
            net=self.net,
            norm=BatchNorm(),
            data=self.data,
            batch_size=self.batch_size,
            learning_rate=Constant(0.1),
            weight_decay=Constant(0.01),
            steps=steps,
            replicas=replicas or self.replicas,
            seed=0,
            observe=(Observe("weight_norm", (steps,)),),
        )


CASES = {
    "mlp": Case(MLP((32, 32, 32)), Data("digits"), 32, replicas=128, steps=200, plain_steps=400),
    "cnn-14": Case(CNN((16, 16, 32, 32)), Data("mnist", train=4096, test=64, side=14), 64, 16, 20, 40),
    "cnn-28": Case(CNN((16, 16, 32, 32)), Data("mnist", train=4096, test=64), 128, 4, 8, 12),
    "preresnet-32": Case(PreResNet(), Data("cifar-10", train=1024, test=64), 128, 2, 2, 3),
}
ROUNDS = 5


@pytest.mark.parametrize("name", CASES)
def test_engine_against_plain_loops(benchmark: BenchmarkFixture, team: Workers, name: str) -> None:
    case = CASES[name]
    experiment = case.experiment()
    dataset = dataset_of(experiment)
    plain: list[float] = []
    tuned: list[float] = []
    peaks: list[float] = []
    engine: list[tuple[float, str, int]] = []

    def measure_the_others() -> None:
        plain.append(dataloader_loop(experiment, dataset, case.plain_steps))
        tuned.append(tuned_loop(experiment, dataset, case.plain_steps))
        peaks.append(team.matmul_peak())

    measure_the_others()
    for measured in (plain, tuned, peaks):
        measured.clear()
    benchmark.pedantic(lambda: engine.append(team.train(experiment)), setup=measure_the_others, rounds=ROUNDS)
    seconds = median(one for one, _, _ in engine)
    net = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    operations = 6.0 * net.multiply_adds() * case.batch_size
    benchmark.extra_info |= {
        "net": f"{experiment.net}, {'×'.join(map(str, dataset.train_images.shape[1:]))}, batch {case.batch_size}",
        "speedup_over_dataloader_loop": round(median(plain) / seconds, 1),
        "speedup_over_tuned_loop": round(median(tuned) / seconds, 1),
        "fraction_of_matmul_peak": round(operations / seconds / median(peaks), 2),
        "replicas": case.replicas * WORKERS,
        "microseconds_a_replica_step": round(1e6 * seconds, 1),
        "peak_memory_bytes": max(memory for _, _, memory in engine),
        "formulation": engine[-1][1],
    }
    _print(benchmark.extra_info)


def _print(found: dict[str, Any]) -> None:
    print("\n" + "\n".join(f"{name}: {value}" for name, value in found.items()))
