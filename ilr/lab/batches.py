"""Which slices train as one batch: those of one kind, and those that have networks in common."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from ilr.experiments.experiment import Experiment
from ilr.lab.catalogue import SLICE
from ilr.lab.cost import Course, course_of, training_bytes, work
from ilr.lab.store.keys import Key
from ilr.training.branching import are_related, fusion_key
from ilr.training.trainers import trainer_of

LARGEST_BATCH = 128
"""More replicas than this in one batch bring no more speed on a CPU."""

MEMORY_PER_WORKER = 2**30
"""Bytes one worker may use for a batch of replicas on a CPU."""

Batch = list[Key]
"""Slices that train as one batch: their fusion keys are equal."""


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
        for related in _related(group):
            apart: dict[Course, Batch] = {}
            for key in related:
                apart.setdefault(course_of(key.experiment), []).append(key)
            ways = [list(apart.values())]
            if len(apart) > 1:
                together: dict[frozenset[Course], Batch] = {}
                for family in families(related):
                    together.setdefault(_courses(family), []).extend(family)
                ways.append(list(together.values()))
                # The first of those that take as little: each kind apart.
                ways.sort(key=lambda batches: _work(batches, room))
            found += ways[0]
    return found


def cut(group: Batch, workers: int, room: Room) -> list[Batch]:
    """The slices of a group as batches: as large as is good, but small enough that so many workers get a share.

    Slices that have networks in common stay together, if there is room: they train once as long as they are the same.
    """
    kinds = {course_of(key.experiment): key.experiment for key in group}.values()
    fair = math.ceil(_replicas(group) / workers / SLICE) * SLICE
    most = max(min(room.most_at_once(kind) for kind in kinds), SLICE)
    most_in_common = max(min(room.most_in_common(kind) for kind in kinds), most)
    parts = [part for family in families(group) for part in _parts(family, min(fair, most_in_common))]
    # Families leave room that none fits into. With a little more for each there may be no more batches than workers,
    # or than memory allows.
    fewest = max(len(_filled(parts, most)), workers)
    for replicas in range(min(fair, most), most, SLICE):
        batches = _filled(parts, replicas)
        if len(batches) <= fewest:
            return batches
    return _filled(parts, most)


def _filled(parts: Iterable[Batch], most: int) -> list[Batch]:
    """Parts side by side, in batches of so many replicas at most; a part that is larger is one for itself."""
    batches: list[Batch] = []
    left = 0
    for part in parts:
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


def _related(group: Batch) -> list[Batch]:
    """The slices in lists, so that those of a kind, and those of a family, are in one: through others, if need be."""
    # Most are of one kind, and need not be compared.
    if len(_courses(group)) == 1:
        return [group]
    linked: list[frozenset[Course]] = []
    for family in families(group):
        courses = _courses(family)
        joined = [one for one in linked if one & courses]
        linked = [one for one in linked if not one & courses] + [courses.union(*joined)]
    found: dict[frozenset[Course], Batch] = {}
    for key in group:
        course = course_of(key.experiment)
        [courses] = (one for one in linked if course in one)
        found.setdefault(courses, []).append(key)
    return list(found.values())


def _courses(batch: Batch) -> frozenset[Course]:
    return frozenset(course_of(key.experiment) for key in batch)


def _replicas(batch: Batch) -> int:
    return sum(key.experiment.replicas for key in batch)
