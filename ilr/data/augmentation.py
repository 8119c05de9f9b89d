"""Augmentation: random changes of the training images, each replica's its own, in whichever batch of replicas it is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ilr.data.on_device import Examples, ExampleSet, StreamedExamples
from ilr.experiments.experiment import Augmentation, CropFlip
from ilr.experiments.seeding import Stream, generator


class Draws:
    """The random numbers of an augmentation, for each place in a replica's batch; drawn once an epoch.

    Args:
        augmentation: what they are for.
        replicas: (root seed, replica id) of each.
        batch_size: examples per step.
        steps_per_epoch: steps.
    """

    def __init__(
        self, augmentation: Augmentation, replicas: Sequence[tuple[int, int]], batch_size: int, steps_per_epoch: int
    ) -> None:
        self.augmentation = augmentation
        self.replicas = replicas
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self._epoch = -1
        self._drawn = np.empty(0, dtype=np.int64)

    def at(self, step: int) -> npt.NDArray[np.int64]:
        """Of one step: the crop's row and column and whether to flip, [R, N, 3]; or an image's seed, [R, N]."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            streams = [generator(*key, Stream.AUGMENTATION, epoch) for key in self.replicas]
            self._drawn = np.stack([self._draw(stream) for stream in streams])
        return self._drawn[:, position * self.batch_size : (position + 1) * self.batch_size]

    def _draw(self, stream: np.random.Generator) -> npt.NDArray[np.int64]:
        """One replica's epoch."""
        examples = self.batch_size * self.steps_per_epoch
        if isinstance(self.augmentation, CropFlip):
            places = 2 * self.augmentation.padding + 1
            return stream.integers((places, places, 2), size=(examples, 3))
        return stream.integers(2**63 - 1, size=examples)


class Augmenter:
    """The training batches of a run, augmented.

    Args:
        examples: the training set.
        draws: the augmentation's random numbers.
        black: [channel] or [1], what crops are padded with.

    Raises:
        ValueError: the augmentation is not made for such a set.
    """

    def __init__(self, examples: ExampleSet, draws: Draws, black: Tensor) -> None:
        if isinstance(draws.augmentation, CropFlip) == isinstance(examples, StreamedExamples):
            raise ValueError(
                f"{draws.augmentation!r} does not fit the data: CropFlip is for resident sets, ResizedCropFlip for "
                "streamed ones"
            )
        self.examples = examples
        self.draws = draws
        self.black = black
        self.padding = draws.augmentation.padding if isinstance(draws.augmentation, CropFlip) else 0

    def batch(self, step: int, indices: Tensor) -> Examples:
        """The step's examples at `indices` [R, N]."""
        draws = self.draws.at(step)
        if isinstance(self.examples, StreamedExamples):
            return self.examples.resized_crops(indices, draws)
        found = self.examples[indices]
        images = crop_and_flip(found.images, torch.from_numpy(draws).to(indices.device), self.padding, self.black)
        return Examples(images, found.labels)


def crop_and_flip(images: Tensor, draws: Tensor, padding: int, black: Tensor) -> Tensor:
    """Square images [R, N, channel, row, column], each padded, cropped to its side again, and mirrored or not.

    Args:
        images: of all replicas.
        draws: [R, N, 3], for each image the crop's first row and column in the padded image, and 1 to mirror or 0.
        padding: pixels on each side.
        black: [channel] or [1], what they are filled with.
    """
    side = images.shape[-1]
    width = side + 2 * padding
    inner = slice(padding, padding + side)
    padded = black[:, None, None].expand(*images.shape[:-2], width, width).clone()
    padded[..., inner, inner] = images
    row, column, mirrored = draws[..., None].unbind(-2)
    pixels = torch.arange(side, device=images.device)
    rows = row + pixels
    columns = column + torch.where(mirrored == 1, pixels.flip(0), pixels)
    # Every channel of an image takes the same pixels. One gather is the fastest of five ways that were timed.
    places = (rows[..., :, None] * width + columns[..., None, :]).flatten(-2)[..., None, :]
    taken = padded.flatten(-2).gather(-1, places.expand(*images.shape[:-2], -1))
    return taken.view(images.shape)
