"""Replicas that are the same network until their schedules differ: they train as one until then."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ilr.experiments.experiment import Experiment

Indices = NDArray[np.intp]

SHORTEST = 0.05
"""Share of a run for which replicas must be the same network to train as one: to part takes time, too."""


@dataclass(frozen=True, eq=False)
class Stage:
    """What trains from one parting of networks to the next."""

    begin: int
    """The first step."""
    replicas: Indices
    """[network]: the first of the replicas that each network is, counted through all slices."""
    networks: Indices
    """[replica]: the network that each replica is."""


# A plan asks again and again what the same slices come to.
@lru_cache(maxsize=4096)
def stages(slices: tuple[Experiment, ...]) -> tuple[Stage, ...]:
    """The stages of slices that train as one batch, in order; the first begins at step 0.

    Replicas of several slices are one network while they have the same seed, id, initial scale and initial velocity,
    and their learning rates and weight decays have been the same. They part at the first step that has other rates,
    before anything is observed there.
    """
    # What starts as the same network: of each of them, its replicas and the slices that they are of.
    same_start: dict[tuple[int, int, float, float], list[tuple[int, int]]] = {}
    replica = 0
    for index, one in enumerate(slices):
        for replica_id in one.replica_ids:
            start = one.seed, replica_id, one.initial_scale, one.initial_velocity
            same_start.setdefault(start, []).append((replica, index))
            replica += 1
    parted_at = _partings(slices, {tuple(index for _, index in members) for members in same_start.values()})
    found = []
    for begin in sorted({0, *(step for step in parted_at.values() if step <= slices[0].steps)}):
        first_of = np.arange(replica)
        for members in same_start.values():
            for place, (later, index) in enumerate(members):
                # The first that has not parted from it by now; if there is none, it is one itself.
                for earlier, other in members[:place]:
                    if parted_at[other, index] > begin:
                        first_of[later] = earlier
                        break
        replicas, networks = np.unique(first_of, return_inverse=True)
        found.append(Stage(begin, replicas, networks))
    return tuple(found)


def network_steps(slices: tuple[Experiment, ...], until: int | None = None) -> int:
    """Steps that are taken, summed over networks: those of several replicas that are one network count once.

    Args:
        slices: that train as one batch.
        until: the step before which they are counted; `None` counts all.
    """
    end = slices[0].steps if until is None else until
    parts = stages(slices)
    total = 0
    for stage, following in zip(parts, (*parts[1:], None), strict=True):
        stop = end if following is None else min(following.begin, end)
        total += len(stage.replicas) * max(stop - stage.begin, 0)
    return total


def _partings(slices: Sequence[Experiment], companies: set[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """For each two slices that have networks in common, by their places: the first step at which their rates differ.

    For slices that never part that is a step after the last; for those that part soon, 0.
    """
    found: dict[tuple[int, int], int] = {}
    for company in companies:
        for place, later in enumerate(company):
            for earlier in company[:place]:
                if (earlier, later) not in found:
                    found[earlier, later] = _parting(slices[earlier], slices[later])
    return found


def _parting(one: Experiment, other: Experiment) -> int:
    # Schedules that are written alike need not be compared step by step.
    if (one.learning_rate, one.weight_decay) == (other.learning_rate, other.weight_decay):
        return one.steps + 1
    differ = (one.learning_rates() != other.learning_rates()) | (one.weight_decays() != other.weight_decays())
    if not differ.any():
        return one.steps + 1
    first = int(np.argmax(differ))
    return first if first >= SHORTEST * one.steps else 0
