"""Examples on the training device: resident, as numbers or as pixels to standardise, or made batch by batch."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from ilr.data.dataset import Images, Pixels
from ilr.data.lazy_images import Float32, Int64, LazyImages

Which = slice | Tensor
"""A slice, or whole numbers [...] on the training device."""


@dataclass(frozen=True)
class Examples:
    """Standardised images [..., channel, row, column] and labels [...] on the training device."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, which: Which) -> "Examples":
        return Examples(_take(self.images, which), self.labels[which])


@dataclass(frozen=True)
class PixelExamples:
    """Images as they were read and labels, both on the training device; standardised when they are asked for."""

    pixels: Tensor
    mean: Tensor
    """[channel, 1, 1]."""
    deviation: Tensor
    """Standard deviation, [channel, 1, 1]."""
    labels: Tensor
    dtype: torch.dtype

    def __getitem__(self, which: Which) -> Examples:
        # In float32 whatever the precision of training, so that the images are those of the data set to the bit.
        images = (_take(self.pixels, which).float() - self.mean).div_(self.deviation)
        return Examples(images.to(self.dtype), self.labels[which])


@dataclass(frozen=True)
class LazyExamples:
    """Images that are made when they are asked for; only their labels are on the training device."""

    images: LazyImages
    labels: Tensor
    dtype: torch.dtype

    def __getitem__(self, which: Which) -> Examples:
        chosen = which if isinstance(which, slice) else which.cpu().numpy()
        return self._moved(self.images[chosen], which)

    def resized_crops(self, indices: Tensor, seeds: Int64) -> Examples:
        """The examples at `indices` [...], each image with a random crop of its own seed [...]."""
        return self._moved(self.images.resized_crops(indices.cpu().numpy(), seeds), indices)

    def _moved(self, images: Float32, which: Which) -> Examples:
        return Examples(torch.from_numpy(images).to(self.labels.device, self.dtype), self.labels[which])


ExampleSet = Examples | PixelExamples | LazyExamples
"""A part of a data set, wherever its images lie; `set[which]` gives the examples at `which`."""


def place(images: Images, labels: Int64, device: torch.device, dtype: torch.dtype) -> ExampleSet:
    """Puts as much of a set as is resident onto the training device.

    Args:
        images: [N, channel, row, column].
        labels: [N].
        device: a torch device.
        dtype: that of training, which images get.
    """

    def moved(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    match images:
        case LazyImages():
            return LazyExamples(images, moved(labels), dtype)
        case Pixels():
            mean, deviation = moved(images.mean), moved(images.deviation)
            return PixelExamples(moved(images.pixels), mean, deviation, moved(labels), dtype)
    return Examples(moved(images[:]).to(dtype), moved(labels))


def _take(images: Tensor, which: Which) -> Tensor:
    """The images [..., channel, row, column] at `which` [...]."""
    if isinstance(which, slice):
        return images[which]
    # Faster than indexing with a tensor of more than one axis.
    taken = images.index_select(0, which.flatten())  # [example, channel, row, column]
    return taken.view(*which.shape, *images.shape[1:])
