"""Replicas that are the same network until their schedules differ: they train as one until then."""

import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ilr.experiments.experiment import Experiment, kind_of
from ilr.experiments.schedules import Schedule, Values

Indices = NDArray[np.intp]

SHORTEST = 0.05
"""Share of a run for which replicas must be the same network to train as one: to part takes time, too."""

Schedules = tuple[object, object]
"""Of learning rate and weight decay."""

ENDED = -1
"""The network of a replica that trains no more."""

NEVER = sys.maxsize
"""Later than any step."""


@dataclass(frozen=True, eq=False)
class Stage:
    """What trains from one parting of networks to the next."""

    begin: int
    """The first step."""
    end: int
    """The step after the last."""
    replicas: Indices
    """[network]: the first of the replicas that each network is, counted through all slices."""
    networks: Indices
    """[replica]: the network that each replica is, or `ENDED`."""


def fusion_key(experiment: Experiment) -> Experiment:
    """Experiments with equal keys can train as one batch: they are of one kind but for lengths and observations.

    Not so on the toy loss, which is trained in one length.
    """
    kind = kind_of(experiment)
    return kind if experiment.data is None else replace(kind, steps=0, observe=())


# A plan asks again and again what the same slices come to.
@lru_cache(maxsize=4096)
def stages(slices: tuple[Experiment, ...]) -> tuple[Stage, ...]:
    """The stages of slices that train as one batch, in order; the first begins at step 0.

    Replicas of several slices are one network while they have the same seed, id, initial scale and initial velocity,
    and their learning rates and weight decays have been the same. They part at the first step that has other rates,
    before anything is observed there. A slice that is shorter than others goes a step after its last: until then its
    final state is looked at.
    """
    # What starts as the same network: of each of them, its replicas and the slices that they are of.
    same_start: dict[tuple[int, int, float, float], list[tuple[int, int]]] = {}
    slice_of: list[int] = []
    for index, one in enumerate(slices):
        for replica_id in one.replica_ids:
            start = one.seed, replica_id, one.initial_scale, one.initial_velocity
            same_start.setdefault(start, []).append((len(slice_of), index))
            slice_of.append(index)
    parted_at = _partings(slices, {tuple(index for _, index in members) for members in same_start.values()})
    steps = np.array([slices[index].steps for index in slice_of])  # [replica]
    longest = int(steps.max())
    begins = {0, *parted_at.values(), *(int(one) + 1 for one in set(steps))}
    found = []
    for begin, end in pairwise([*sorted(step for step in begins if step <= longest), longest]):
        first_of = np.arange(len(slice_of))
        for members in same_start.values():
            for place, (later, index) in enumerate(members):
                # The first that has not ended or parted from it by now; if there is none, it is one itself.
                for earlier, other in members[:place]:
                    if parted_at[other, index] > begin and steps[earlier] >= begin:
                        first_of[later] = earlier
                        break
        trains = steps >= begin
        replicas, networks = np.unique(first_of[trains], return_inverse=True)
        of_all = np.full(len(slice_of), ENDED)
        of_all[trains] = networks
        found.append(Stage(begin, end, replicas, of_all))
    return tuple(found)


def network_steps(slices: tuple[Experiment, ...], until: int | None = None) -> int:
    """Steps that are taken, summed over networks: those of several replicas that are one network count once.

    Args:
        slices: that train as one batch.
        until: the step before which they are counted; `None` counts all.
    """
    total = 0
    for stage in stages(slices):
        end = stage.end if until is None else min(stage.end, until)
        total += len(stage.replicas) * max(end - stage.begin, 0)
    return total


def parting(one: Experiment, other: Experiment) -> int:
    """The first step at which the rates of two experiments differ, as long as both train; `NEVER` if there is none.

    The step after the last counts, too: a final state has rates.
    """
    return _parting(_schedules(one), one.steps, _schedules(other), other.steps)


# Of the slices of a plan each schedule is compared with many others, again and again.
@lru_cache(maxsize=4096)
def _parting(mine: Schedules, steps: int, others: Schedules, other_steps: int) -> int:
    # Schedules that are written alike need not be compared step by step.
    if steps == other_steps and mine == others:
        return NEVER
    until = min(steps, other_steps) + 1
    found = NEVER
    for schedule, against in zip(mine, others, strict=True):
        # Most differ from the first step on.
        if _first_rate(schedule, steps) != _first_rate(against, other_steps):
            return 0
        differ = _rates(schedule, steps)[:until] != _rates(against, other_steps)[:until]
        if differ.any():
            found = min(found, int(np.argmax(differ)))
    return found


def _schedules(experiment: Experiment) -> Schedules:
    return experiment.learning_rate, experiment.weight_decay


def are_related(one: Experiment, other: Experiment) -> bool:
    """Whether two slices that may train as one batch have networks in common for long enough to do so."""
    return _start(one) == _start(other) and _is_long(parting(one, other), one, other)


def _is_long(parted_at: int, one: Experiment, other: Experiment) -> bool:
    """Whether two slices that part at a step train as one for long enough until then."""
    return parted_at >= max(SHORTEST * min(one.steps, other.steps), 1)


def _start(experiment: Experiment) -> tuple[int, range, float, float]:
    return experiment.seed, experiment.replica_ids, experiment.initial_scale, experiment.initial_velocity


@lru_cache(maxsize=4096)
def _first_rate(schedule: Hashable, steps: int) -> float:
    return float(_rates(schedule, steps)[0])


@lru_cache(maxsize=16)
def _rates(schedule: Hashable, steps: int) -> Values:
    """The rates of every step, and of the final state: [steps + 1]."""
    assert isinstance(schedule, Schedule)
    return schedule.values(steps + 1)


def _partings(slices: Sequence[Experiment], companies: set[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """For each two slices that have networks in common, by their places: the first step at which their rates differ.

    For those that part soon it is 0.
    """
    found: dict[tuple[int, int], int] = {}
    for company in companies:
        for place, later in enumerate(company):
            for earlier in company[:place]:
                if (earlier, later) not in found:
                    parted_at = parting(slices[earlier], slices[later])
                    found[earlier, later] = parted_at if _is_long(parted_at, slices[earlier], slices[later]) else 0
    return found
