"""Which training examples each replica sees at each step, and how they are changed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ilr.data.augmentation import Augmenter, Draws
from ilr.data.dataset import Dataset
from ilr.data.epochs import EpochDraws, Int64, OnDevice
from ilr.data.on_device import Examples, ExampleSet, LazyExamples
from ilr.experiments.experiment import Experiment
from ilr.experiments.seeding import Stream, generator


class BatchOrder(EpochDraws):
    """Which training examples each replica sees at each step: a fresh shuffle every epoch, its incomplete end
    dropped.

    Args:
        replicas: (root seed, replica id) of each.
        examples: size of the training set.
        batch_size: examples per step.

    Raises:
        ValueError: there are fewer examples than a batch takes.
    """

    def __init__(self, replicas: Sequence[tuple[int, int]], examples: int, batch_size: int) -> None:
        if batch_size > examples:
            raise ValueError(f"a batch of {batch_size} cannot be drawn from {examples} training examples")
        super().__init__(replicas, batch_size, steps_per_epoch=examples // batch_size)
        self.examples = examples

    def indices(self, step: int) -> Int64:
        """The examples of one step, [R, batch_size]."""
        return self.at(step)

    def _draw(self, root_seed: int, replica: int, epoch: int) -> Int64:
        return generator(root_seed, replica, Stream.BATCH_ORDER, epoch).permutation(self.examples)


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
        self.augmenter: Augmenter | None = None
        self._draws: list[OnDevice] = []
        if experiment.batch_size is None:
            return
        device = examples.labels.device
        order = BatchOrder(replicas, len(dataset.train_labels), experiment.batch_size)
        self._draws.append(OnDevice(lambda step: order.indices(step), order.steps_per_epoch, device))
        if experiment.augmentation is not None:
            draws = Draws(experiment.augmentation, replicas, experiment.batch_size, order.steps_per_epoch)
            black = torch.from_numpy(dataset.black).to(device, getattr(torch, experiment.dtype))
            self.augmenter = Augmenter(examples, experiment.augmentation, black)
            self._draws.append(OnDevice(lambda step: draws.at(step), order.steps_per_epoch, device))

    def drawn(self, step: int) -> list[Tensor]:
        """What a step's batch follows from, on the training device: each time tensors of the same shapes.

        For sets that are streamed that is the batch itself.
        """
        drawn = [draws.at(step) for draws in self._draws]
        if isinstance(self.examples, LazyExamples):
            batch = self._made(drawn)
            return [batch.images, batch.labels]
        return drawn

    def of(self, drawn: Sequence[Tensor]) -> Examples:
        """The images [R or 1, N, channel, row, column] and labels [R or 1, N] that follow from what was drawn.

        On a GPU this is part of the graph of a step: nothing is asked of the host.
        """
        return Examples(*drawn) if isinstance(self.examples, LazyExamples) else self._made(drawn)

    def at(self, step: int) -> Examples:
        """The step's images [R or 1, N, channel, row, column] and labels [R or 1, N]."""
        return self.of(self.drawn(step))

    def _made(self, drawn: Sequence[Tensor]) -> Examples:
        match drawn:
            case []:
                # The full batch, [1, N, ...]: all replicas share it.
                everything = self.examples[:]
                return Examples(everything.images[None], everything.labels[None])
            case [indices]:  # [R, N]
                return self.examples[indices]
            case [indices, draws]:
                assert self.augmenter is not None
                return self.augmenter.batch(indices, draws)
        raise ValueError(f"a batch follows from its examples and how they are changed, not from {len(drawn)} draws")
