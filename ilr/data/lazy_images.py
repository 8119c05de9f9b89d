"""Images that are made when they are asked for: decoded from files, or noise in their place."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.data.catalog import DATASETS, DataUnavailableError

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's pixels, by channel; black is 0 and white is 1."""
DEVIATION = (0.229, 0.224, 0.225)
"""Their standard deviation."""


class LazyImages(ABC):
    """Standardised images, float32 [example, channel, row, column], of which none is kept."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""

    @abstractmethod
    def first(self, size: int) -> "LazyImages":
        """The first `size` images."""

    @abstractmethod
    def _image(self, index: int, seed: int | None) -> Float32:
        """One image as it is evaluated, or with a seed a random crop of it, resized, and flipped or not."""

    def __getitem__(self, which: Any, /) -> Float32:
        """The images at `which`, a slice or whole numbers of any shape, as they are evaluated."""
        indices = np.arange(self.shape[0])[which]
        return self._images(indices, repeat(None))

    def resized_crops(self, indices: Int64, seeds: Int64) -> Float32:
        """The images at `indices`, each with a random crop of its own seed, resized, and flipped or not."""
        return self._images(indices, map(int, seeds.flat))

    def _images(self, indices: Int64, seeds: Iterable[int | None]) -> Float32:
        # Threads, because Pillow works without the interpreter's lock.
        with ThreadPoolExecutor() as pool:
            images = np.stack(list(pool.map(self._image, map(int, indices.flat), seeds)))  # [example, channel, …]
        return images.reshape(*indices.shape, *self.shape[1:])


@dataclass(frozen=True)
class ImageFiles(LazyImages):
    """Files decoded by Pillow and prepared by torchvision as is usual for ImageNet, with its mean and deviation.

    Evaluated is the central 224×224 of an image whose shorter side is 256; a resized crop has 8% to 100% of the
    image's area. Asking for an image that cannot be decoded raises DataUnavailableError.
    """

    paths: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""
        return len(self.paths), *DATASETS["imagenet"].image_shape

    def first(self, size: int) -> "ImageFiles":
        """The first `size` images."""
        return replace(self, paths=self.paths[:size])

    def _image(self, index: int, seed: int | None) -> Float32:
        # Here, because the import takes a second and few runs need it. Threads do not race for it: a reader was first.
        from torchvision.datasets.folder import pil_loader
        from torchvision.transforms import functional

        path = self.paths[index]
        try:
            image = pil_loader(path)
        except OSError as error:
            raise DataUnavailableError(f"{path} cannot be decoded ({error}); unpack ImageNet again") from None
        if seed is None:
            image = functional.center_crop(functional.resize(image, 256), 224)
        else:
            image = _resized_crop(image, seed)
        standardised: Float32 = functional.normalize(functional.to_tensor(image), MEAN, DEVIATION).numpy()
        return standardised


@dataclass(frozen=True)
class NoiseImages(LazyImages):
    """Standard normal pixels in place of images, the same whenever they are asked for."""

    count: int
    image_shape: tuple[int, int, int]
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""
        return self.count, *self.image_shape

    def first(self, size: int) -> "NoiseImages":
        """The first `size` images."""
        return replace(self, count=size)

    def _image(self, index: int, seed: int | None) -> Float32:  # noqa: ARG002 - a crop of noise is noise
        return np.random.default_rng((self.seed, index)).standard_normal(self.image_shape, dtype=np.float32)


_SEEDING = Lock()
"""Threads share torch's global generator, which torchvision draws from."""


def _resized_crop(image: Any, seed: int) -> Any:
    """What torchvision's RandomResizedCrop and RandomHorizontalFlip make of an image when torch has that seed."""
    import torch
    from torchvision.transforms import RandomResizedCrop
    from torchvision.transforms.functional import hflip, resized_crop

    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        box = RandomResizedCrop.get_params(image, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3])
        flipped = bool(torch.rand(1) < 0.5)
    cropped = resized_crop(image, *box, size=[224, 224])
    return hflip(cropped) if flipped else cropped
