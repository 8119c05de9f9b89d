"""Augmentation: random changes of the training images, each replica's its own, in whichever batch of replicas it is."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ilr.data.epochs import EpochDraws, Int64
from ilr.data.on_device import Examples, ExampleSet, LazyExamples
from ilr.experiments.experiment import Augmentation, CropFlip
from ilr.experiments.seeding import Stream, generator


class Draws(EpochDraws):
    """The random numbers of an augmentation, for each place in a replica's batch.

    At each step they are a crop's row and column and whether to flip, [R, N, 3]; or an image's seed, [R, N].

    Args:
        augmentation: what they are for.
        replicas: (root seed, replica id) of each.
        batch_size: examples per step.
        steps_per_epoch: steps.
    """

    def __init__(
        self, augmentation: Augmentation, replicas: Sequence[tuple[int, int]], batch_size: int, steps_per_epoch: int
    ) -> None:
        super().__init__(replicas, batch_size, steps_per_epoch)
        self.augmentation = augmentation

    def _draw(self, root_seed: int, replica: int, epoch: int) -> Int64:
        stream = generator(root_seed, replica, Stream.AUGMENTATION, epoch)
        examples = self.batch_size * self.steps_per_epoch
        if isinstance(self.augmentation, CropFlip):
            places = 2 * self.augmentation.padding + 1
            return stream.integers((places, places, 2), size=(examples, 3))
        return stream.integers(2**63 - 1, size=examples)


class Augmenter:
    """The training batches of a run, augmented.

    Args:
        examples: the training set.
        augmentation: how they are changed.
        black: [channel] or [1], what crops are padded with.

    Raises:
        ValueError: the augmentation is not made for such a set.
    """

    def __init__(self, examples: ExampleSet, augmentation: Augmentation, black: Tensor) -> None:
        if isinstance(augmentation, CropFlip) == isinstance(examples, LazyExamples):
            raise ValueError(
                f"{augmentation!r} does not fit the data: CropFlip is for resident sets, ResizedCropFlip for "
                "streamed ones"
            )
        self.examples = examples
        self.black = black
        self.padding = augmentation.padding if isinstance(augmentation, CropFlip) else 0

    def batch(self, indices: Tensor, draws: Tensor) -> Examples:
        """The examples at `indices` [R, N], changed by `draws` [R, N, ...]."""
        if isinstance(self.examples, LazyExamples):
            return self.examples.resized_crops(indices, draws.cpu().numpy())
        found = self.examples[indices]
        return Examples(crop_and_flip(found.images, draws, self.padding, self.black), found.labels)


def crop_and_flip(images: Tensor, draws: Tensor, padding: int, black: Tensor) -> Tensor:
    """Square images [R, N, channel, row, column], each padded, cropped to its side again, and mirrored or not.

    Args:
        images: of all replicas.
        draws: [R, N, 3], for each image the crop's first row and column in the padded image, and 1 to mirror or 0.
        padding: pixels on each side.
        black: [channel] or [1], what they are filled with.
    """
    replicas, examples, channels, side, _ = images.shape
    width = side + 2 * padding
    inner = slice(padding, padding + side)
    padded = black[:, None, None].expand(replicas, examples, channels, width, width).clone()
    padded[..., inner, inner] = images

    row, column, mirrored = draws[..., None].unbind(-2)  # each [R, N, 1]
    pixels = torch.arange(side, device=images.device)
    rows = row + pixels  # [R, N, row]
    columns = column + torch.where(mirrored == 1, pixels.flip(0), pixels)  # [R, N, column]
    # Where each pixel of the crop lies among the width² of the padded image.
    places = rows[..., :, None] * width + columns[..., None, :]  # [R, N, row, column]

    # Every channel of an image takes the same pixels. One gather is the fastest of five ways that were timed.
    places = places.flatten(-2)[..., None, :].expand(replicas, examples, channels, -1)  # [R, N, channel, side²]
    taken = padded.flatten(-2).gather(-1, places)  # from [R, N, channel, width²] to [R, N, channel, side²]
    return taken.view(images.shape)
