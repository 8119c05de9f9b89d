"""What is drawn at random for the steps of R replicas, and the gradient that follows from it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.data.on_device import Examples, ExampleSet
from ilr.data.sampling import Batches
from ilr.experiments.experiment import Experiment
from ilr.training.noise import Coefficients, Gradients, combined


class StepDraws:
    """The batches of each step, and where an experiment has gradient noise the coefficients of their gradients.

    Args:
        experiment: says how large the batches are, how they are augmented, and what becomes of their gradients.
        replicas: (root seed, replica id) of each.
        dataset: what `examples` are the training part of.
        examples: the training set on the training device.
    """

    def __init__(
        self, experiment: Experiment, replicas: Sequence[tuple[int, int]], dataset: Dataset, examples: ExampleSet
    ) -> None:
        partners = experiment.partners
        self.parted_at = partners.parted_at if partners else None
        self.own_batches = Batches(experiment, replicas, dataset, examples)
        self.common_batches = Batches(experiment, paired(replicas), dataset, examples)
        self.batches_per_step = experiment.batches_per_step
        self.coefficients: Coefficients | None = None
        if experiment.gradient_noise is not None:
            dtype: torch.dtype = getattr(torch, experiment.dtype)
            self.coefficients = Coefficients(experiment.gradient_noise, replicas, examples.labels.device, dtype)

    def batch(self, step: int) -> Examples:
        """The first batch of a step: images [R or 1, N, channel, row, column] and labels [R or 1, N]."""
        return self._batches(step).at(step * self.batches_per_step)

    def at(self, step: int) -> list[Tensor]:
        """What the gradient of a step follows from: a batch; or the coefficients of several batches, and these."""
        batches = self._batches(step)
        if self.coefficients is None:
            return batches.drawn(step)
        first = step * self.batches_per_step
        drawn = [self.coefficients.at(step)]
        for batch in range(first, first + self.batches_per_step):
            drawn += batches.drawn(batch)
        return drawn

    def loss_and_gradients(self, drawn: Sequence[Tensor], of_batch: Callable[[Examples], Gradients]) -> Gradients:
        """Each replica's loss [R], and of each layer the gradient that its step takes.

        Args:
            drawn: as `at` gives it.
            of_batch: gives loss and gradients on one batch.
        """
        if self.coefficients is None:
            return of_batch(self.own_batches.of(drawn))
        coefficients, *parts = drawn
        each = len(parts) // self.batches_per_step

        def of_one(batch: int) -> Gradients:
            return of_batch(self.own_batches.of(parts[batch * each : (batch + 1) * each]))

        return combined(coefficients, of_one)

    def _batches(self, step: int) -> Batches:
        """Those that the replicas see at this step: partners see the same until they part."""
        united = self.parted_at is not None and step < self.parted_at
        return self.common_batches if united else self.own_batches


def paired(replicas: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The (root seed, replica id) of each replica's pair of partners, which is known by the even one: what they share
    is drawn from its streams.
    """
    return [(seed, replica - replica % 2) for seed, replica in replicas]
