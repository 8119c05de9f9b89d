"""What training costs, before it starts: floating-point operations, memory, disk, seconds. It needs no data."""

import heapq
import math
from collections.abc import Sequence
from itertools import product

from ilr.experiments.experiment import Experiment
from ilr.training.metrics import TOGETHER_BYTES
from ilr.training.trainers import Trainer, trainer_of

OPERATIONS_PER_SECOND = 28e9
"""What one CPU core sustains in training small nets, evaluations included: whole runs at tiny and at reduced took the
time that 30 × 10⁹ gives. An estimate."""

LAYER_SECONDS = 3e-4
"""What a layer takes in one step of a batch on a CPU beside its operations, however few replicas there are. Measured at
tiny: without it 32 replicas of a small MLP seemed to take a third of what they take, and so did the time left."""

STARTUP_SECONDS = 5.0
"""Until a worker process has imported what it needs."""


def operations(experiment: Experiment) -> float:
    """Floating-point operations of one replica's training and evaluations; one in float64 counts as two."""
    derived = {(one.factors, step) for one in experiment.observe if one.factors for step in one.at}
    derivatives = sum(len(factors) + 1 for factors, _ in derived)
    trainer = trainer_of(experiment)
    return (
        trainer.step_operations * experiment.steps
        + _evaluation_operations(experiment, trainer)
        + trainer.derivative_operations * derivatives
    )


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


def work(experiment: Experiment, networks: float) -> float:
    """What training so many networks as one batch takes, in floating-point operations of about the same time each."""
    overhead = experiment.steps * trainer_of(experiment).layers * LAYER_SECONDS * OPERATIONS_PER_SECOND
    return operations(experiment) * networks + overhead


def training_bytes(experiment: Experiment) -> int:
    """Working memory of one more replica in a batch, of its rates and of its observations."""
    trainer = trainer_of(experiment)
    return trainer.step_bytes + trainer.schedule_bytes + recorded_bytes(experiment)


def peak_bytes(experiment: Experiment, replicas: int) -> int:
    """Most memory that training so many replicas as one batch needs, with the data; an upper estimate."""
    trainer = trainer_of(experiment)
    # Replicas are evaluated a few at a time, and at least one.
    evaluation = max(trainer.evaluation_bytes, TOGETHER_BYTES) if trainer.evaluation_bytes else 0
    return trainer.data_bytes + replicas * training_bytes(experiment) + evaluation


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
