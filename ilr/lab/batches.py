"""Which slices train as one batch: those of one kind, and those that have networks in common."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from ilr.experiments.experiment import Experiment, Observe, fusion_key
from ilr.lab.catalogue import SLICE
from ilr.lab.cost import training_bytes, work
from ilr.lab.store.keys import Key
from ilr.training.branching import are_related
from ilr.training.trainers import trainer_of

LARGEST_BATCH = 128
"""More replicas than this in one batch bring no more speed on a CPU."""

MEMORY_PER_WORKER = 2**30
"""Bytes one worker may use for a batch of replicas on a CPU."""

Batch = list[Key]
"""Slices that train as one batch: their fusion keys are equal."""

Kind = tuple[int, tuple[Observe, ...]]
"""Steps and observations."""


class Room(Protocol):
    """How many replicas a worker's device has room for."""

    def most_at_once(self, experiment: Experiment) -> int:
        """Those of a batch whose replicas are all computed at once; it may be none."""

    def most_in_common(self, experiment: Experiment) -> int:
        """Those of a batch that is kept together because its networks are the same at first."""


@dataclass(frozen=True)
class CPURoom:
    """That of a worker on a CPU."""

    def most_at_once(self, experiment: Experiment) -> int:
        """As many as fit into memory, or bring more speed."""
        # As if all were evaluated at once: smaller batches are spread over workers more evenly.
        each = training_bytes(experiment) + trainer_of(experiment).evaluation_bytes
        return min(MEMORY_PER_WORKER // max(each, 1), LARGEST_BATCH)

    def most_in_common(self, experiment: Experiment) -> int:
        """No more."""
        return self.most_at_once(experiment)


def grouped(keys: Iterable[Key], room: Room) -> list[Batch]:
    """Slices in groups that are worth training as batches, each as one or, cut by `cut`, as several.

    Those of one kind take as many steps and are observed alike. Slices of several kinds are worth it where they have
    networks in common for so long that it takes less work than to train each kind in batches of its own.
    """
    fusible: dict[Experiment, Batch] = {}
    for key in keys:
        fusible.setdefault(fusion_key(key.experiment), []).append(key)
    found: list[Batch] = []
    for group in fusible.values():
        apart: dict[Kind, Batch] = {}
        for key in group:
            apart.setdefault(_kind(key), []).append(key)
        ways = [list(apart.values())]
        if len(apart) > 1:
            together: dict[frozenset[Kind], Batch] = {}
            for relatives in families(group):
                together.setdefault(frozenset(map(_kind, relatives)), []).extend(relatives)
            ways.append(list(together.values()))
        # The first of those that take as little: each kind apart.
        found += min(ways, key=lambda batches: _work(batches, room))
    return found


def cut(group: Batch, workers: int, room: Room) -> list[Batch]:
    """The slices of a group as batches: as large as is good, but small enough that so many workers get a share.

    Slices that have networks in common stay together, if there is room: they train once as long as they are the same.
    """
    kinds = {_kind(key): key.experiment for key in group}.values()
    total = sum(key.experiment.replicas for key in group)
    fair = math.ceil(total / workers / SLICE) * SLICE
    most = max(min([fair, *(room.most_at_once(kind) for kind in kinds)]), SLICE)
    most_in_common = max(min([fair, *(room.most_in_common(kind) for kind in kinds)]), most)
    batches: list[Batch] = []
    left = 0
    for relatives in families(group):
        for part in _parts(relatives, most_in_common):
            replicas = _replicas(part)
            if replicas > left:
                batches.append([])
                left = most
            batches[-1] += part
            left -= replicas
    return batches


def families(keys: Iterable[Key]) -> list[Batch]:
    """Slices that may train as one batch, by their replicas, those together that have networks in common."""
    of_replicas: dict[tuple[int, range], list[Batch]] = {}
    for key in sorted(keys, key=lambda key: (key.experiment.seed, key.experiment.first_replica)):
        one = key.experiment
        there = of_replicas.setdefault((one.seed, one.replica_ids), [])
        family = [key]
        # The toy's trainer takes every replica for itself.
        if one.data is not None:
            relatives = [batch for batch in there if any(are_related(one, other.experiment) for other in batch)]
            for batch in relatives:
                there.remove(batch)
                family = batch + family
        there.append(family)
    return list(chain.from_iterable(of_replicas.values()))


def _parts(relatives: Batch, most: int) -> Iterator[Batch]:
    """A family as it is, or in parts of so many replicas at most."""
    part: Batch = []
    for key in relatives:
        if part and _replicas([*part, key]) > most:
            yield part
            part = []
        part.append(key)
    yield part


def _work(groups: Iterable[Batch], room: Room) -> float:
    """What it takes one worker."""
    batches = [batch for group in groups for batch in cut(group, 1, room)]
    return sum(work([key.experiment for key in batch]) for batch in batches)


def _kind(key: Key) -> Kind:
    """What is the same in slices of one kind, if they may train as one batch at all."""
    return key.experiment.steps, key.experiment.observe


def _replicas(batch: Batch) -> int:
    return sum(key.experiment.replicas for key in batch)
