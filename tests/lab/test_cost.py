"""Estimates made before training: they rise with what is asked for."""

from dataclasses import replace

import pytest

from ilr.data.dataset import load
from ilr.experiments.architectures import CNN, MLP, Toy
from ilr.experiments.experiment import Data, Experiment, Observe, Partners
from ilr.experiments.norms import BatchNorm, LayerNorm, NoNorm, Norm
from ilr.lab.cost import (
    OPERATIONS_PER_SECOND,
    STARTUP_SECONDS,
    makespan,
    operations,
    peak_bytes,
    recorded_bytes,
    seconds,
    training_bytes,
)
from ilr.nn.architectures import build
from ilr.training.loop import train


def test_multiply_adds_are_counted(small_experiment: Experiment) -> None:
    """Against a count by hand: 64·8 + 8·5 weights; 3×3 kernels at 6×6, then, after two layers, at 3×3 pixels."""
    mlp = build(replace(small_experiment, net=MLP((8, 5))), (1, 8, 8), 10)
    assert (mlp.multiply_adds(), mlp.activations()) == (64 * 8 + 8 * 5, 13)
    cnn = build(replace(small_experiment, net=CNN((4, 3, 5))), (2, 6, 6), 10)
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
def test_more_work_costs_more(small_experiment: Experiment, dearer: dict[str, object]) -> None:
    assert operations(replace(small_experiment, **dearer)) > operations(small_experiment)


def test_an_evaluation_is_paid_once_for_each_network_and_step(small_experiment: Experiment) -> None:
    paired = replace(small_experiment, replicas=2, partners=Partners())

    def cost(*quantities: str) -> float:
        observe = tuple(Observe(quantity, (0, 3, 6)) for quantity in quantities)
        return operations(replace(paired, observe=observe)) - operations(replace(paired, observe=()))

    evaluations = cost("test_loss")
    assert evaluations > 0
    assert cost("weight_norm", "weights", "effective_learning_rate") == 0
    assert cost("test_loss", "test_accuracy", "train_loss", "test_predictions") == evaluations
    assert cost("average_test_accuracy") == evaluations
    assert cost("adjacent_average_test_accuracy") == evaluations
    assert cost("test_accuracy", "average_test_accuracy") == 2 * evaluations
    assert cost("partner_average_test_accuracy") == evaluations / 2
    assert cost("test_loss", "average_test_accuracy", "partner_average_test_accuracy") == 2.5 * evaluations
    assert 0 < cost("train_loss") == cost("train_loss", "train_accuracy") < evaluations


def test_training_examples_are_paid_for_where_test_examples_need_their_statistics(
    small_experiment: Experiment,
) -> None:
    def cost(norm: Norm, *quantities: str) -> float:
        observe = tuple(Observe(quantity, (0, 3, 6)) for quantity in quantities)
        plain = replace(small_experiment, norm=norm, observe=())
        return operations(replace(plain, observe=observe)) - operations(plain)

    batch, layer = BatchNorm(), LayerNorm()
    assert cost(batch, "test_loss") == cost(layer, "train_loss", "test_loss")
    assert cost(layer, "test_loss") == cost(batch, "test_loss") - cost(batch, "train_loss")


def test_rescaling_quantities_of_the_same_factors_share_their_derivatives(small_experiment: Experiment) -> None:
    def cost(*observe: Observe) -> float:
        return operations(replace(small_experiment, observe=observe)) - operations(
            replace(small_experiment, observe=())
        )

    loss, gradient = (Observe(f"{name}_rescaling", (0, 6), (0.1, 10.0)) for name in ("loss", "gradient"))
    assert cost(loss, gradient) == cost(loss) > 0
    assert cost(loss, replace(gradient, factors=(2.0,))) == cost(loss) * 5 / 3


@pytest.mark.parametrize(
    "larger",
    [
        {"batch_size": 32},
        {"precision": "float64"},
        {"net": MLP((16, 16))},
        {"observe": (Observe("weights", (0, 3, 6)),)},
        {"data": Data("digits", train=64, test=500)},
        {"steps": 600},
    ],
    ids=str,
)
def test_more_numbers_need_more_memory(small_experiment: Experiment, larger: dict[str, object]) -> None:
    assert training_bytes(replace(small_experiment, **larger)) > training_bytes(small_experiment)
    assert peak_bytes([replace(small_experiment, **larger)]) > peak_bytes([small_experiment])


def test_the_toy_costs_its_steps(small_experiment: Experiment) -> None:
    toy = replace(small_experiment, net=Toy(), norm=NoNorm(), data=None, observe=(Observe("train_loss", (0, 6)),))
    assert operations(replace(toy, steps=600)) == 100 * operations(toy)
    assert peak_bytes([replace(toy, replicas=5)]) == 5 * (2 * 4 * 3 + 16)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_recordings_are_as_large_as_was_said(small_experiment: Experiment, precision: str) -> None:
    experiment = replace(
        small_experiment,
        precision=precision,
        observe=(Observe("weights", (0, 6)), Observe("test_predictions", (3, 6)), Observe("weight_norm", (6,))),
    )
    assert experiment.data is not None
    [arrays] = train([experiment], load(experiment.data))
    kept = sum(arrays[one.quantity].nbytes for one in experiment.observe)
    said = experiment.replicas * recorded_bytes(experiment)
    assert kept == said


def test_work_is_spread_longest_first() -> None:
    assert makespan([1, 1, 1, 3], 2) == 3
    assert makespan([2, 3], 8) == 3
    assert seconds([], 2) == 0.0
    second = OPERATIONS_PER_SECOND
    assert seconds([second, 2 * second, second], 2) == STARTUP_SECONDS + 2.0
    assert seconds([2 * second], 8) == STARTUP_SECONDS + 2.0
