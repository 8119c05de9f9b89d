"""What training costs, before it starts: floating-point operations, memory, seconds."""

from collections.abc import Sequence

from ilr.data import Dataset
from ilr.experiment import Experiment
from ilr.nets import build
from ilr.observables import EVALUATION_EXAMPLES, PROBE_EXAMPLES

OPERATIONS_PER_SECOND = 15e9
"""What one CPU core sustains in training small nets: measured over MLPs and small CNNs, 14 to 38 × 10⁹. An
estimate."""

FORWARD_AND_BACKWARD = 3
"""A derivative costs about three times what is differentiated."""

STARTUP_SECONDS = 5.0
"""Until a worker process has imported what it needs."""


def operations(experiment: Experiment, dataset: Dataset | None) -> float:
    """Floating-point operations of one replica's training and evaluations."""
    if dataset is None:
        # Two weights; the cost is the interpreter's, about as much as ten thousand operations a step.
        return 1e4 * experiment.steps
    net = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    batch = experiment.batch_size or len(dataset.train_labels)
    evaluated = min(EVALUATION_EXAMPLES, len(dataset.train_labels)) + len(dataset.test_labels)
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


def bytes_per_replica(experiment: Experiment, dataset: Dataset | None) -> int:
    """Working memory of one more replica in a batch, and of its observations."""
    if dataset is None:
        return 8 * sum(len(observation.at) for observation in experiment.observe)
    net = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    number = 8 if experiment.precision == "float64" else 4
    batch = experiment.batch_size or len(dataset.train_labels)
    evaluated = min(EVALUATION_EXAMPLES, len(dataset.train_labels))
    # Training keeps every activation, thrice over; evaluation keeps two layers' at a time, counted as all of one pass.
    working = net.activations() * (3 * batch + evaluated)
    sizes = {"weights": sum(net.sizes), "test_predictions": len(dataset.test_labels)}
    observed = sum(
        len(observation.at) * sizes.get(observation.quantity, max(len(observation.factors), 1))
        for observation in experiment.observe
    )
    return number * (working + observed)


def seconds(costs: Sequence[float], workers: int) -> float:
    """Rough time for jobs of so many operations each, spread over workers longest first."""
    loads = [0.0] * workers
    for cost in sorted(costs, reverse=True):
        loads[loads.index(min(loads))] += cost
    return STARTUP_SECONDS + max(loads) / OPERATIONS_PER_SECOND if costs else 0.0
