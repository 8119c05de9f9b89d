"""How many training examples does batch norm need for its statistics, when a network is evaluated?

    python -m benchmarks.evaluations --data-root DIR

Trains eight CNNs of reduced scale at two intrinsic learning rates, once for each number of examples; their weights are
the same each time. Printed is how far test accuracies and predictions are from those with statistics of all examples.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import ilr
from ilr.data.dataset import Dataset, load
from ilr.training import metrics
from ilr.training.loop import train

EXAMPLES = (256, 512, 1024, 2048)
RATES = ((2.0, 0.01), (1.0, 0.0025))
"""Learning rate and weight decay: the largest λₑ that claims at reduced hold nets at, or nearly, and a small one."""
MOMENTS = 7


@contextmanager
def evaluating_by(examples: int) -> Iterator[None]:
    """Evaluations take their statistics from so many training examples."""
    usual = metrics.EVALUATION_EXAMPLES
    metrics.EVALUATION_EXAMPLES = examples
    try:
        yield
    finally:
        metrics.EVALUATION_EXAMPLES = usual


def evaluated(experiment: ilr.Experiment, dataset: Dataset, examples: int) -> tuple[ilr.Array, ilr.Array]:
    """Test accuracies [replica, moment] and predictions [replica, moment, image]."""
    with evaluating_by(examples):
        [arrays] = train([experiment], dataset)
    return arrays["test_accuracy"], arrays["test_predictions"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder with the files of Fashion-MNIST")
    parser.add_argument("--scale", default="reduced", help="whose net and data; default: reduced")
    parser.add_argument("--steps", type=int, default=1200, help="of SGD; default: 1,200")
    parser.add_argument("--seed", type=int, default=1001, help="default: 1001")
    options = parser.parse_args(arguments)

    moments = np.linspace(options.steps // 2, options.steps, MOMENTS, dtype=int)
    for learning_rate, weight_decay in RATES:
        experiment = ilr.Setting(options.scale, options.seed, 8).experiment(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=options.steps,
            observe=ilr.observe_all("test_accuracy", "test_predictions", at=tuple(moments.tolist())),
        )
        assert experiment.data is not None
        dataset = load(experiment.data, options.data_root)
        everything = len(dataset.train_labels)
        accuracies, predictions = evaluated(experiment, dataset, everything)
        between = np.mean(predictions[0] != predictions[1])
        print(
            f"λₑ = {learning_rate * weight_decay:g}: accuracy {accuracies.mean():.4f} with all {everything:,} examples"
        )
        print(f"  one network in place of another: {between:.2%} of predictions are others")
        for examples in EXAMPLES:
            fewer, others = evaluated(experiment, dataset, examples)
            changed = np.mean(others != predictions)
            differences = fewer - accuracies
            print(
                f"  {examples:5,} examples: {changed:.2%} of predictions are others; "
                f"accuracy {differences.mean():+.4f}, ± {differences.std():.4f} from network to network"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
