"""What training costs, before it starts: floating-point operations, memory, disk, seconds. It needs no data."""

import heapq
from collections.abc import Sequence

from ilr.data.catalog import info_of
from ilr.data.dataset import LARGEST_IN_FLOAT32
from ilr.experiments.experiment import Experiment
from ilr.nn.architectures import build
from ilr.training.metrics import CACHE_BYTES, EVALUATION_EXAMPLES, PROBE_EXAMPLES

OPERATIONS_PER_SECOND = 28e9
"""What one CPU core sustains in training small nets, evaluations included: whole runs at tiny and at reduced took the
time that 30 × 10⁹ gives. An estimate."""

FORWARD_AND_BACKWARD = 3
"""A derivative costs about three times what is differentiated."""

STARTUP_SECONDS = 5.0
"""Until a worker process has imported what it needs."""


def operations(experiment: Experiment) -> float:
    """Floating-point operations of one replica's training and evaluations; one in float64 counts as two."""
    if experiment.data is None:
        # Two weights; the cost is the interpreter's, about as much as ten thousand operations a step.
        return 1e4 * experiment.steps
    form = info_of(experiment.data)
    net = build(experiment, form.image_shape, form.classes)
    batch = experiment.batch_size or form.train
    evaluated = min(EVALUATION_EXAMPLES, form.train) + form.test
    evaluations = {
        step for one in experiment.observe if "test_" in one.quantity or "train_" in one.quantity for step in one.at
    }
    derivatives = max((len(one.at) * (len(one.factors) + 1) for one in experiment.observe if one.factors), default=0)
    examples = (
        FORWARD_AND_BACKWARD * batch * experiment.steps
        + evaluated * len(evaluations)
        + FORWARD_AND_BACKWARD**2 * PROBE_EXAMPLES * derivatives
    )
    return 2.0 * net.multiply_adds() * examples * (2 if experiment.precision == "float64" else 1)


def training_bytes(experiment: Experiment) -> int:
    """Working memory of one more replica in a batch, and of its observations."""
    if experiment.data is None:
        return recorded_bytes(experiment)
    form = info_of(experiment.data)
    net = build(experiment, form.image_shape, form.classes)
    # Training keeps every activation, thrice over.
    working = 3 * net.activations() * (experiment.batch_size or form.train)
    return _number(experiment) * working + recorded_bytes(experiment)


def evaluation_bytes(experiment: Experiment) -> int:
    """Working memory of one replica's evaluation: two layers' activations at a time, counted as all of one pass."""
    if experiment.data is None:
        return 0
    form = info_of(experiment.data)
    net = build(experiment, form.image_shape, form.classes)
    return _number(experiment) * net.activations() * min(EVALUATION_EXAMPLES, form.train)


def peak_bytes(experiment: Experiment, replicas: int) -> int:
    """Most memory that training so many replicas as one batch needs, with the data; an upper estimate."""
    if experiment.data is None:
        return replicas * training_bytes(experiment)
    form = info_of(experiment.data)
    numbers = 0 if form.streamed else (form.train + form.test) * form.channels * form.side**2
    data = numbers * (_number(experiment) if 4 * numbers <= LARGEST_IN_FLOAT32 else 1)
    # Replicas are evaluated as many at a time as fit the cache, and at least one.
    return data + replicas * training_bytes(experiment) + max(evaluation_bytes(experiment), CACHE_BYTES)


def recorded_bytes(experiment: Experiment) -> int:
    """Size of one replica's observations, in memory and in the store."""
    sizes = {}
    if experiment.data is not None:
        form = info_of(experiment.data)
        weights = sum(build(experiment, form.image_shape, form.classes).sizes)
        sizes = {"weights": _number(experiment) * weights, "test_predictions": 2 * form.test}
    return sum(
        len(observation.at) * sizes.get(observation.quantity, 8 * max(len(observation.factors), 1))
        for observation in experiment.observe
    )


def makespan(costs: Sequence[float], workers: int) -> float:
    """When the last of several workers is done, each taking the longest job left; in the unit of the costs."""
    loads = [0.0] * workers
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(loads, loads[0] + cost)
    return max(loads)


def seconds(costs: Sequence[float], workers: int) -> float:
    """Rough time for jobs of so many operations each, spread over workers longest first."""
    return STARTUP_SECONDS + makespan(costs, workers) / OPERATIONS_PER_SECOND if costs else 0.0


def _number(experiment: Experiment) -> int:
    """Bytes of one number in training."""
    return 8 if experiment.precision == "float64" else 4
