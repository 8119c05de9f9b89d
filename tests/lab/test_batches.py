"""Which slices train as one batch."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ilr.data.dataset import load
from ilr.experiments.architectures import PreResNet
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.schedules import Phases
from ilr.lab.batches import Batch, CPURoom, cut, families, grouped
from ilr.lab.cost import operations, operations_together, peak_bytes, training_bytes, work
from ilr.lab.engines import Engine, InProcess, Processes
from ilr.lab.gpus import GPURoom
from ilr.lab.scheduler import Lab
from ilr.lab.store import Key, Store
from ilr.training.loop import train
from ilr.training.trainers import trainer_of


@dataclass(frozen=True)
class For:
    """Room for so many replicas."""

    at_once: int
    in_common: int

    def most_at_once(self, _: Experiment) -> int:
        return self.at_once

    def most_in_common(self, _: Experiment) -> int:
        return self.in_common


AMPLE = For(1000, 1000)


def keys(*experiments: Experiment) -> Batch:
    return [Key(one, "code", "data", "cpu") for one in experiments]


def slices(batches: Iterable[Batch]) -> list[list[Experiment]]:
    return [[key.experiment for key in batch] for batch in batches]


@pytest.fixture
def trunk(small_experiment: Experiment) -> Experiment:
    """A run of full length, of one slice."""
    return replace(small_experiment, learning_rate=0.1, steps=100, replicas=8, first_replica=0)


def branch(trunk: Experiment, at: int, steps: int = 100) -> Experiment:
    return replace(trunk, learning_rate=Phases((0.1, 0.02), (at,)), steps=steps)


def test_other_lengths_and_observations_train_together_where_they_have_enough_in_common(trunk: Experiment) -> None:
    short = replace(trunk, steps=40, observe=(Observe("test_accuracy", (40,)),))
    later, soon = branch(trunk, 60, steps=80), branch(trunk, 1, steps=80)
    stranger = replace(short, seed=9)
    groups = grouped(keys(short, soon, trunk, stranger, later), AMPLE)
    assert slices(groups) == [[soon], [short, trunk, later], [stranger]]
    # What is too much for one batch trains apart.
    assert slices(grouped(keys(short, trunk), For(8, 8))) == [[short], [trunk]]


def test_what_is_hardly_longer_together_stays_with_its_kind(trunk: Experiment) -> None:
    """Of small nets a large batch takes hardly longer than a small one: to leave it for company costs more."""
    kind = [replace(trunk, seed=seed) for seed in range(6)]
    other = replace(trunk, steps=99, seed=0, learning_rate=Phases((0.1, 0.02), (6,)))
    apart = [kind, [other]]
    assert slices(grouped(keys(*kind, other), AMPLE)) == apart
    # Where a step's own work is most of it, the steps in common count.
    large = [replace(one, net=PreResNet(), batch_size=128) for one in (*kind, other)]
    [together, *_] = slices(grouped(keys(*large), AMPLE))
    assert set(together) == {large[0], large[-1]}


def test_what_differs_in_more_trains_apart(trunk: Experiment) -> None:
    others = [replace(trunk, **{field: value}) for field, value in (("batch_size", 4), ("momentum", 0.5))]
    assert slices(grouped(keys(trunk, *others), AMPLE)) == [[trunk], [others[0]], [others[1]]]


def test_families_are_of_the_same_replicas(trunk: Experiment) -> None:
    """Through others, if need be, whatever the order; replicas that are partly the same are none."""
    later, soon, short = branch(trunk, 60), branch(trunk, 30), replace(trunk, steps=20)
    elsewhere = [one.slice(8, 8) for one in (later, trunk)]
    partly = trunk.slice(4, 8)
    for order in itertools.permutations([later, soon, short]):
        found = slices(families(keys(*elsewhere, *order, partly)))
        assert [set(family) for family in found] == [{later, soon, short}, {partly}, set(elsewhere)]


def test_families_stay_together_while_there_is_room(trunk: Experiment) -> None:
    of_each = [[trunk.slice(first, 8), branch(trunk, 60).slice(first, 8)] for first in (0, 8, 16)]
    group = keys(*itertools.chain(*of_each))
    # In 24 replicas there would be room for one and a half.
    assert slices(cut(group, 1, For(24, 24))) == of_each
    assert slices(cut(group, 1, For(32, 32))) == [[*of_each[0], *of_each[1]], of_each[2]]
    # Of what is computed a few at a time there may be more.
    assert slices(cut(group, 1, For(8, 16))) == of_each
    assert slices(cut(group, 1, For(8, 8))) == [[one] for family in of_each for one in family]
    # Among many workers each has a slice.
    assert slices(cut(group, 6, AMPLE)) == [[one] for family in of_each for one in family]
    # A slice is not divided, whatever room there is.
    assert [len(batch) for batch in cut(group, 1, For(0, 0))] == [1] * 6


def test_families_leave_no_worker_idle(trunk: Experiment) -> None:
    """Ten families of three slices: a quarter of them holds two and a half, and five batches would be one too many."""
    trio = trunk, branch(trunk, 60), branch(trunk, 80)
    group = keys(*(one.slice(first, 8) for first in range(0, 80, 8) for one in trio))
    assert [len(batch) for batch in cut(group, 4, AMPLE)] == [9, 9, 9, 3]
    assert [len(batch) for batch in cut(group, 5, AMPLE)] == [6] * 5
    # Memory allows no fewer.
    assert [len(batch) for batch in cut(group, 1, For(48, 48))] == [6] * 5


def test_a_kind_that_is_related_to_none_is_no_reason_against_others(trunk: Experiment) -> None:
    """Whether it pays is asked for those that are related, through others if need be, not for all that might train."""
    large = replace(trunk, net=PreResNet(), batch_size=128)
    short, shorter = replace(large, steps=80), replace(large, steps=60)
    small = [replace(large, seed=seed, steps=30) for seed in range(4)]
    assert slices(grouped(keys(short, *small, large, shorter), AMPLE)) == [[short, large, shorter], small]


def test_a_gpu_keeps_more_together_than_it_computes_at_once(trunk: Experiment) -> None:
    large = replace(trunk, net=PreResNet(), batch_size=128)
    room = GPURoom(8 * 10**9)
    assert 8 <= room.most_at_once(large) < 100 < room.most_in_common(large)
    assert CPURoom().most_at_once(trunk) == CPURoom().most_in_common(trunk)
    tiny = GPURoom(10**6)
    assert (tiny.most_at_once(large), tiny.most_in_common(large)) == (0, 0)


def test_a_batch_costs_what_it_has_in_common_once(trunk: Experiment) -> None:
    unobserved = replace(trunk, observe=(Observe("weight_norm", (1,)),))
    step = trainer_of(trunk).step_operations
    later = branch(unobserved, 60, steps=80)
    # Sixty steps are those of the trunk, and one more is taken before it is gone.
    assert operations_together([unobserved, later]) == 8 * (100 + 21) * step
    assert operations_together([trunk]) == 8 * operations(trunk)
    assert operations_together([trunk, replace(trunk, seed=9)]) == 16 * operations(trunk)
    looked_at = operations(trunk) - 100 * step
    assert operations_together([trunk, later]) == pytest.approx(8 * (121 * step + looked_at))
    assert work([trunk, later]) < work([trunk]) + work([later])
    # Of twenty steps more there are two rates more for each replica, as long as they train together.
    assert peak_bytes([trunk, later]) - peak_bytes([trunk]) == 8 * (training_bytes(later) + 20 * 2 * 4)


@pytest.mark.parametrize("engine", [InProcess(), Processes(2)], ids=["in-process", "processes"])
def test_what_trains_in_company_is_what_it_is_alone(trunk: Experiment, engine: Engine, tmp_path: Path) -> None:
    whole = replace(trunk, precision="float64", replicas=16)
    short = replace(whole, steps=40, observe=(Observe("test_accuracy", (7, 40)), Observe("batch_loss", (0, 39))))
    lab = Lab(Store(tmp_path), engine)
    plan = lab.plan([short, whole])
    assert {len(job.keys) for job in plan.jobs} == {4 // len(plan.jobs)}
    assert plan.network_steps == 16 * 100
    ticks: list[int] = []
    lab.train(plan, ticks.append)
    assert sum(ticks) == plan.work
    assert whole.data is not None
    for one in (short, whole):
        [alone] = train([one], load(whole.data))
        for quantity, values in lab.recording(one).arrays.items():
            np.testing.assert_allclose(values, alone[quantity], rtol=1e-9, err_msg=quantity)
    # Of the time that a batch took the longer one has the larger part.
    assert lab.source(whole).seconds == pytest.approx(lab.source(short).seconds * 100 / 40)
