"""Networks that are the same until their schedules differ train as one until then, and nobody can tell afterwards."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import CNN, MLP
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe, Partners, every
from ilr.experiments.noise import GaussianNoise
from ilr.experiments.norms import BatchNorm
from ilr.experiments.optimizers import AdamW
from ilr.experiments.schedules import Constant, Phases, StepDecay, Values
from ilr.nn.cuda_graph import Replay
from ilr.training import loop
from ilr.training.branching import ENDED, NEVER, network_steps, parting, stages
from ilr.training.loop import train
from ilr.training.metrics import Networks
from ilr.training.recorder import Arrays
from tests import fake_graph

STEPS = 24

TRUNK = Experiment(
    net=MLP((7, 6)),
    norm=BatchNorm(),
    data=Data("random"),
    batch_size=8,
    learning_rate=0.2,
    weight_decay=0.05,
    steps=STEPS,
    replicas=4,
    seed=3,
    precision="float64",
    observe=(
        Observe("weights", every(8, STEPS)),
        # Of the final state, too, whose learning rate is no step's.
        Observe("effective_learning_rate", every(4, STEPS)),
        Observe("batch_loss", range(STEPS)),
        Observe("average_test_accuracy", every(6, STEPS)),
        Observe("adjacent_average_test_accuracy", every(6, STEPS)),
        Observe("test_predictions", (0, 12, STEPS)),
    ),
)


def branch(at: int, rate: float = 0.02, **fields: object) -> Experiment:
    """The trunk with another learning rate from a step on."""
    schedule = Phases((Constant(0.2), Constant(rate)), (at,))
    return replace(TRUNK, learning_rate=schedule, **fields)


def alone(slices: list[Experiment], dataset: Dataset) -> list[Arrays]:
    return [train([one], dataset)[0] for one in slices]


def assert_nobody_can_tell(slices: list[Experiment], dataset: Dataset) -> None:
    assert network_steps(tuple(slices)) < sum(one.steps * one.replicas for one in slices)
    for together, apart in zip(train(slices, dataset), alone(slices, dataset), strict=True):
        assert together.keys() == apart.keys()
        for name, values in apart.items():
            np.testing.assert_array_equal(together[name], values, err_msg=name)


BRANCHES = [TRUNK, branch(8), branch(16), branch(16, rate=0.5), branch(STEPS)]
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "momentum": {"momentum": 0.9, "initial_velocity": 0.5},
    "AdamW": {"optimizer": AdamW()},
    "partners": {
        "partners": Partners(parted_at=12),
        "observe": (*TRUNK.observe, Observe("partner_average_test_accuracy", every(6, STEPS))),
    },
    "full batch": {"batch_size": None},
    "Gaussian noise": {"gradient_noise": GaussianNoise(batches=3)},
    "convolutions, augmented": {"net": CNN((4, 3, 5, 4)), "augmentation": CropFlip(1)},
}


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS.keys())
def test_nobody_can_tell(fields: dict[str, object], random_dataset: Dataset) -> None:
    assert_nobody_can_tell([replace(one, **fields) for one in BRANCHES], random_dataset)


@pytest.mark.parametrize("fields", [{}, {"optimizer": AdamW()}], ids=str)
def test_nobody_can_tell_where_steps_are_graphs(
    fields: dict[str, object], monkeypatch: pytest.MonkeyPatch, random_dataset: Dataset
) -> None:
    fake_graph.install(monkeypatch)
    monkeypatch.setattr(loop, "capturable", lambda _: True)
    assert_nobody_can_tell([replace(one, **fields) for one in BRANCHES], random_dataset)


def test_a_stage_has_two_graphs_of_a_step(monkeypatch: pytest.MonkeyPatch, random_dataset: Dataset) -> None:
    """One measures all that any slice ever asks of a step, one nothing: each keeps memory of its own."""
    fake_graph.install(monkeypatch)
    monkeypatch.setattr(loop, "capturable", lambda _: True)
    captured: list[frozenset[str]] = []

    def capturing(step: partial[Any], *rest: Any) -> Any:
        captured.append(step.args[0])
        return Replay(step, *rest)

    monkeypatch.setattr(loop, "Replay", capturing)
    losses, norms = Observe("batch_loss", range(0, STEPS, 2)), Observe("gradient_second_moment", range(0, STEPS, 3))
    assert_nobody_can_tell(unlike((TRUNK, STEPS, (losses,)), (branch(12), STEPS, (norms,))), random_dataset)
    one, other, none = (frozenset(names) for names in ({"batch_loss"}, {"gradient_second_moment"}, ()))
    # Before the slices part and after, and of each alone.
    assert captured == [one | other, none] * 2 + [one, none] + [other, none]


def test_slices_of_other_replicas_part_as_far_as_they_overlap(random_dataset: Dataset) -> None:
    slices = [TRUNK, branch(12).slice(2, 6), branch(18).slice(3, 2), replace(branch(12), seed=4)]
    assert_nobody_can_tell(slices, random_dataset)


SHORT = Observe("weights", (0, 5, 11)), Observe("effective_learning_rate", (3, 11)), Observe("batch_loss", (0, 10))
LONG = (
    Observe("test_predictions", (12, STEPS)),
    Observe("weights", (11, 20)),
    Observe("curvature_rescaling", (4, 20), factors=(2.0,)),
)


def unlike(*lengths: tuple[Experiment, int, tuple[Observe, ...]], **fields: object) -> list[Experiment]:
    """Experiments of other lengths that observe other things."""
    return [replace(one, steps=steps, observe=observe, **fields) for one, steps, observe in lengths]


@pytest.mark.parametrize(
    "fields", [{}, {"momentum": 0.9}, {"partners": Partners()}, {"net": CNN((4, 3)), "seed": 5}], ids=str
)
def test_lengths_and_observations_may_differ(fields: dict[str, object], random_dataset: Dataset) -> None:
    slices = unlike(
        (TRUNK, 11, SHORT), (TRUNK, STEPS, LONG), (branch(8), 11, SHORT), (branch(11), STEPS, LONG), **fields
    )
    assert_nobody_can_tell(slices, random_dataset)
    assert_nobody_can_tell(slices[::-1], random_dataset)


def test_what_ends_first_leaves_the_others_their_networks(random_dataset: Dataset) -> None:
    """Other replicas, none in common, and one that ends among those that are watched as one."""
    long, short, apart = unlike((TRUNK, STEPS, SHORT), (branch(8), 11, SHORT), (branch(4), 16, SHORT))
    slices = [short.slice(2, 4), long, apart.slice(3, 2), replace(long, seed=8)]
    assert_nobody_can_tell(slices, random_dataset)
    first, *_, last = stages(tuple(slices))
    assert len(first.replicas) == 6 + 4
    assert last.networks.tolist() == [ENDED] * 4 + [0, 1, 2, 3] + [ENDED] * 2 + [4, 5, 6, 7]


def test_nothing_is_measured_of_what_nobody_asks(monkeypatch: pytest.MonkeyPatch, random_dataset: Dataset) -> None:
    """One slice is evaluated, others that parted from it have their norms taken at the same steps."""
    evaluated: list[int] = []
    test_accuracy = Networks.test_accuracy

    def counted(networks: Networks) -> Tensor:
        evaluated.append(len(networks.weight_vectors))
        return test_accuracy(networks)

    monkeypatch.setattr(Networks, "test_accuracy", counted)
    at = every(4, STEPS)
    norms = Observe("weight_norm", at), Observe("average_test_accuracy", (20,))
    slices = unlike(
        (TRUNK, STEPS, (Observe("test_accuracy", at),)), (branch(8), STEPS, norms), (branch(8, rate=0.5), STEPS, norms)
    )
    train(slices, random_dataset)
    # The first slice alone at each step, and at one of them the averages of the others.
    assert evaluated == [4] * 5 + [4, 8] + [4]


def test_schedules_that_know_their_length_are_compared_step_by_step() -> None:
    """Written alike, they are not the same in another length."""

    @dataclass(frozen=True)
    class ToTheEnd:
        def values(self, steps: int) -> Values:
            return np.linspace(0.2, 0.0, steps)

    short, long = unlike((replace(TRUNK, learning_rate=ToTheEnd()), 11, SHORT), (TRUNK, STEPS, LONG))
    long = replace(long, learning_rate=ToTheEnd())
    assert parting(short, long) == 1
    assert parting(long, replace(long, seed=7)) == NEVER


def test_each_observation_of_averages_has_its_own(random_dataset: Dataset) -> None:
    """Of other steps, of the same in company of others, of one network for a while, and of none."""
    averages = TRUNK.observe[3:5]
    others = (Observe("average_test_accuracy", (5, 12, 20)), Observe("adjacent_average_test_accuracy", (0, 12, 13)))
    slices = unlike(
        (TRUNK, STEPS, averages),
        (TRUNK, 20, others),
        (branch(12), STEPS, (*averages, *LONG)),
        (branch(16), STEPS, others),
        (TRUNK, 11, SHORT),
    )
    assert_nobody_can_tell(slices, random_dataset)


def test_what_never_parts_is_trained_once(random_dataset: Dataset) -> None:
    written_otherwise = replace(TRUNK, learning_rate=StepDecay(0.2, 0.1, ()))
    assert network_steps((TRUNK, written_otherwise)) == TRUNK.steps * TRUNK.replicas
    assert_nobody_can_tell([TRUNK, written_otherwise], random_dataset)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"initial_scale": 2.0}, {"first_replica": 4}, {"weight_decay": 0.04}], ids=str
)
def test_what_starts_otherwise_is_another_network(change: dict[str, object]) -> None:
    [only] = stages((TRUNK, replace(branch(12), **change)))
    assert len(only.replicas) == 2 * TRUNK.replicas


def test_what_parts_at_once_does_not_train_as_one_first() -> None:
    [only] = stages((TRUNK, branch(1)))
    assert len(only.replicas) == 2 * TRUNK.replicas


def test_stages_by_hand() -> None:
    first, second, third = stages((TRUNK.slice(0, 2), branch(8).slice(0, 2), branch(16).slice(1, 2)))
    assert [one.begin for one in (first, second, third)] == [0, 8, 16]
    # Replicas 0 and 1 of the trunk, 0 and 1 of the first branch, 1 and 2 of the second.
    assert first.networks.tolist() == [0, 1, 0, 1, 1, 2]
    assert first.replicas.tolist() == [0, 1, 5]
    assert second.networks.tolist() == [0, 1, 2, 3, 1, 4]
    assert third.networks.tolist() == [0, 1, 2, 3, 4, 5]


def test_network_steps_are_those_of_the_stages(random_dataset: Dataset) -> None:
    slices = tuple(BRANCHES)
    n = TRUNK.replicas
    assert [network_steps(slices, until) for until in (0, 8, 12, 16)] == [0, 8 * n, 8 * n + 4 * 2 * n, 24 * n]
    assert network_steps(slices) == 24 * n + 8 * 4 * n
    ticks: list[int] = []
    train(slices, random_dataset, tick=ticks.append)
    assert sum(ticks) == network_steps(slices)
