"""Estimates made before training: they rise with what is asked for."""

from dataclasses import replace

import pytest

from ilr.cost import STARTUP_SECONDS, bytes_per_replica, operations, seconds
from ilr.data import Dataset
from ilr.experiment import CNN, MLP, Data, Experiment, NoNorm, Observe, Toy
from ilr.nets import build


@pytest.fixture
def experiment(small_experiment: Experiment) -> Experiment:
    return replace(small_experiment, data=Data("random"))


def test_multiply_adds_are_counted(experiment: Experiment) -> None:
    """Against a count by hand: 64·8 + 8·5 weights; 3×3 kernels at 6×6, then, after two layers, at 3×3 pixels."""
    mlp = build(replace(experiment, net=MLP((8, 5))), (1, 8, 8), 10)
    assert (mlp.multiply_adds(), mlp.activations()) == (64 * 8 + 8 * 5, 13)
    cnn = build(replace(experiment, net=CNN((4, 3, 5))), (2, 6, 6), 10)
    assert cnn.multiply_adds() == 9 * (36 * (2 * 4 + 4 * 3) + 9 * 3 * 5)
    assert cnn.activations() == 36 * (4 + 3) + 9 * 5


@pytest.mark.parametrize(
    "dearer",
    [
        {"steps": 12},
        {"batch_size": 32},
        {"batch_size": None},
        {"precision": "float64"},
        {"net": MLP((16, 16))},
        {"observe": (Observe("test_loss", (0, 3, 6)),)},
        {"observe": (Observe("curvature_rescaling", (6,), (0.1, 10.0)), Observe("test_predictions", (6,)))},
    ],
    ids=str,
)
def test_more_work_costs_more(experiment: Experiment, random_dataset: Dataset, dearer: dict[str, object]) -> None:
    assert operations(replace(experiment, **dearer), random_dataset) > operations(experiment, random_dataset)


@pytest.mark.parametrize(
    "larger",
    [
        {"batch_size": 32},
        {"precision": "float64"},
        {"net": MLP((16, 16))},
        {"observe": (Observe("weights", (0, 3, 6)),)},
    ],
    ids=str,
)
def test_more_numbers_need_more_memory(
    experiment: Experiment, random_dataset: Dataset, larger: dict[str, object]
) -> None:
    needed = bytes_per_replica(replace(experiment, **larger), random_dataset)
    assert needed > bytes_per_replica(experiment, random_dataset)


def test_the_toy_costs_its_steps(experiment: Experiment) -> None:
    toy = replace(experiment, net=Toy(), norm=NoNorm(), data=None, observe=(Observe("train_loss", (0, 6)),))
    assert operations(replace(toy, steps=600), None) == 100 * operations(toy, None)
    assert bytes_per_replica(toy, None) == 16


def test_work_is_spread_longest_first() -> None:
    assert seconds([], 2) == 0.0
    assert seconds([15e9, 30e9, 15e9], 2) == STARTUP_SECONDS + 2.0
    assert seconds([30e9], 8) == STARTUP_SECONDS + 2.0
