"""What training costs, before it starts: floating-point operations, memory, disk, seconds. It needs no data."""

import heapq
import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from ilr.experiments.experiment import Experiment, Observe
from ilr.training.metrics import TOGETHER_BYTES, is_of_average
from ilr.training.trainers import Trainer, trainer_of

OPERATIONS_PER_SECOND = 28e9
"""What one CPU core sustains in training small nets, evaluations included: whole runs at tiny and at reduced took the
time that 30 × 10⁹ gives. An estimate."""

LAYER_SECONDS = 3e-4
"""What a layer takes in one step of a batch on a CPU beside its operations, however few replicas there are. Measured at
tiny: without it 32 replicas of a small MLP seemed to take a third of what they take, and so did the time left."""

STARTUP_SECONDS = 5.0
"""Until a worker process has imported what it needs."""


Course = tuple[int, tuple[Observe, ...]]
"""Steps and observations."""


def operations(experiment: Experiment) -> float:
    """Floating-point operations of one replica's training and evaluations; one in float64 counts as two."""
    trainer = trainer_of(experiment)
    return trainer.step_operations * experiment.steps + _observing(experiment, trainer)


def operations_together(slices: Sequence[Experiment]) -> float:
    """The same of slices that train as one batch, whose replicas count once as long as they are the same network.

    As if each kind of them were evaluated by itself: what several kinds look at in one network is counted for each.
    """
    trainer = trainer_of(slices[0])
    total = trainer.step_operations * trainer.network_steps(slices)
    for alike in _by_course(slices):
        steps = alike[0].steps
        # Networks that there are at a time, on average over the steps.
        networks = trainer.network_steps(alike) / steps if steps else sum(one.replicas for one in alike)
        total += networks * _observing(alike[0], trainer)
    return total


def longest(slices: Sequence[Experiment]) -> Experiment:
    """Of slices that train as one batch the one with most steps."""
    return max(slices, key=lambda one: one.steps)


def course_of(experiment: Experiment) -> Course:
    """All that slices which may train as one batch can differ in that costs something."""
    return experiment.steps, experiment.observe


def _by_course(slices: Sequence[Experiment]) -> list[list[Experiment]]:
    """Of slices that train as one batch those that cost the same."""
    found: dict[Course, list[Experiment]] = {}
    for one in slices:
        found.setdefault(course_of(one), []).append(one)
    return list(found.values())


def _observing(experiment: Experiment, trainer: Trainer) -> float:
    """Those of one replica's observations."""
    derived = {(one.factors, step) for one in experiment.observe if one.factors for step in one.at}
    derivatives = sum(len(factors) + 1 for factors, _ in derived)
    return _evaluation_operations(experiment, trainer) + trainer.derivative_operations * derivatives


def _evaluation_operations(experiment: Experiment, trainer: Trainer) -> float:
    """Those of one replica's evaluations."""
    passes = {}
    for one in experiment.observe:
        needs = one.row.needs
        if needs.network is None:
            continue
        seen = {needs.examples}
        if trainer.tests_by_training_set:
            seen.add("training")
        # Quantities that need the same pass at the same step share it.
        for examples, step in product(seen, one.at):
            passes[needs.network, examples, step] = needs.networks * trainer.pass_operations[examples]
    return sum(passes.values())


def work(slices: Sequence[Experiment]) -> float:
    """What training slices as one batch takes, in floating-point operations of about the same time each."""
    overhead = longest(slices).steps * trainer_of(slices[0]).layers * LAYER_SECONDS * OPERATIONS_PER_SECOND
    return operations_together(slices) + overhead


def shares(slices: Sequence[Experiment]) -> list[float]:
    """Each slice's share of what it takes to train them as one batch: that of its steps, as if nothing were shared."""
    # What is only looked at, at step 0, costs something, too.
    steps = [max(one.steps, 1) * one.replicas for one in slices]
    return [of_one / sum(steps) for of_one in steps]


def training_bytes(experiment: Experiment) -> int:
    """Working memory of one more replica in a batch, and what is kept of it."""
    return trainer_of(experiment).step_bytes + kept_bytes(experiment)


def kept_bytes(experiment: Experiment) -> int:
    """What there is of one more replica in a batch, however few are computed at a time."""
    trainer = trainer_of(experiment)
    # Weights, gradient and velocity, and of every observation of averages what it goes on from.
    vectors = 3 + sum(is_of_average(one) for one in experiment.observe)
    weights = vectors * trainer.lengths["weight"] * np.dtype(experiment.dtype).itemsize
    return weights + trainer.schedule_bytes + recorded_bytes(experiment)


def peak_bytes(slices: Sequence[Experiment]) -> int:
    """Most memory that training slices as one batch needs, with the data; an upper estimate."""
    trainer = trainer_of(longest(slices))
    training = 0
    for alike in _by_course(slices):
        # Rates are kept until the longest has ended.
        longer = trainer.schedule_bytes - trainer_of(alike[0]).schedule_bytes
        training += (training_bytes(alike[0]) + longer) * sum(one.replicas for one in alike)
    # Replicas are evaluated a few at a time, and at least one.
    evaluation = max(trainer.evaluation_bytes, TOGETHER_BYTES) if trainer.evaluation_bytes else 0
    return trainer.data_bytes + training + evaluation


def recorded_bytes(experiment: Experiment) -> int:
    """Size of one replica's observations, in memory and in the store."""
    trainer = trainer_of(experiment)
    return sum(len(one.at) * math.prod(trainer.shape(one)) * trainer.dtype(one).itemsize for one in experiment.observe)


def makespan(costs: Sequence[float], workers: int) -> float:
    """When the last of several workers is done, each taking the longest job left; in the unit of the costs."""
    loads = [0.0] * workers
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(loads, loads[0] + cost)
    return max(loads)


def seconds(costs: Sequence[float], workers: int) -> float:
    """Rough time for jobs of so many operations each, spread over workers longest first."""
    return STARTUP_SECONDS + makespan(costs, workers) / OPERATIONS_PER_SECOND if costs else 0.0
