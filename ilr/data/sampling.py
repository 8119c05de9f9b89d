"""Which training examples each replica sees at each step, and how they are changed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from ilr.data.augmentation import Augmenter, Draws
from ilr.data.dataset import Dataset
from ilr.data.on_device import Examples, ExampleSet
from ilr.experiments.experiment import Experiment
from ilr.experiments.seeding import Stream, generator


class BatchOrder:
    """Which training examples each replica sees at each step: a fresh shuffle every epoch, its incomplete end
    dropped.

    Args:
        replicas: (root seed, replica id) of each.
        examples: size of the training set.
        batch_size: examples per step.
    """

    def __init__(self, replicas: Sequence[tuple[int, int]], examples: int, batch_size: int) -> None:
        if batch_size > examples:
            raise ValueError(f"a batch of {batch_size} cannot be drawn from {examples} training examples")
        self.replicas = replicas
        self.examples = examples
        self.batch_size = batch_size
        self.steps_per_epoch = examples // batch_size
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """The examples of one step, [replica, batch_size]."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.stack(
                [generator(*key, Stream.BATCH_ORDER, epoch).permutation(self.examples) for key in self.replicas]
            )
        return self._order[:, position * self.batch_size : (position + 1) * self.batch_size]


class Batches:
    """The training batches of R replicas.

    Args:
        experiment: says how large the batches are, and how they are augmented.
        replicas: (root seed, replica id) of each.
        dataset: what `examples` are the training part of.
        examples: the training set on the training device.
    """

    def __init__(
        self, experiment: Experiment, replicas: Sequence[tuple[int, int]], dataset: Dataset, examples: ExampleSet
    ) -> None:
        self.examples = examples
        self.device = examples.labels.device
        self.order: BatchOrder | None = None
        self.augmenter: Augmenter | None = None
        if experiment.batch_size is None:
            return
        self.order = BatchOrder(replicas, len(dataset.train_labels), experiment.batch_size)
        if experiment.augmentation is not None:
            draws = Draws(experiment.augmentation, replicas, experiment.batch_size, self.order.steps_per_epoch)
            black = torch.from_numpy(dataset.black).to(self.device, getattr(torch, experiment.precision))
            self.augmenter = Augmenter(examples, draws, black)

    def at(self, step: int) -> Examples:
        """The step's images [R or 1, N, channel, row, column] and labels [R or 1, N]."""
        if self.order is None:
            whole = self.examples[:]
            return Examples(whole.images[None], whole.labels[None])
        indices = torch.from_numpy(self.order.indices(step)).to(self.device)
        return self.augmenter.batch(step, indices) if self.augmenter else self.examples[indices]
