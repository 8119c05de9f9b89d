"""Images that are made when they are asked for: decoded from files, or noise in their place."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.cores import cpu_cores
from ilr.data.catalog import FORMS, DataUnavailableError

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class Streamed(ABC):
    """Standardised images, float32 [example, channel, row, column], of which none is kept."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""

    @abstractmethod
    def __getitem__(self, which: Any, /) -> Float32:
        """The images at `which`, a slice or whole numbers of any shape, as they are evaluated."""

    @abstractmethod
    def resized_crops(self, indices: Int64, seeds: Int64) -> Float32:
        """The images at `indices`, each with a random crop of its own seed, resized, and flipped or not."""

    @abstractmethod
    def first(self, size: int) -> "Streamed":
        """The first `size` images."""


@dataclass(frozen=True)
class Files(Streamed):
    """Files decoded by Pillow and prepared by torchvision as is usual for ImageNet, with its means and deviations.

    Evaluated is the central 224×224 of an image whose shorter side is 256; a resized crop has 8% to 100% of the
    image's area. Asking for an image that cannot be decoded raises DataUnavailableError.
    """

    paths: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""
        return len(self.paths), *FORMS["imagenet"].image_shape

    def __getitem__(self, which: Any, /) -> Float32:
        # In each method, because the import takes a second and few runs need it.
        from torchvision.transforms import CenterCrop, Compose, Resize

        indices = np.arange(len(self.paths))[which]
        return self._decoded(indices, [Compose([Resize(256), CenterCrop(224)])] * indices.size)

    def resized_crops(self, indices: Int64, seeds: Int64) -> Float32:
        """The images at `indices`, each with a random crop of its own seed, resized, and flipped or not."""
        return self._decoded(indices, [partial(_resized_crop, seed=int(seed)) for seed in seeds.flat])

    def first(self, size: int) -> "Files":
        """The first `size` images."""
        return replace(self, paths=self.paths[:size])

    def _decoded(self, indices: Int64, cuts: Iterable[Callable[[Any], Any]]) -> Float32:
        """Standardised images, each cut out of its file in its own way."""
        from torchvision.transforms import Compose, Normalize, ToTensor

        standardise = Compose([ToTensor(), Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
        paths = (self.paths[index] for index in indices.flat)
        # Threads, because Pillow works without the interpreter's lock.
        with ThreadPoolExecutor(cpu_cores()) as pool:
            images = list(pool.map(lambda path, cut: standardise(cut(_opened(path))).numpy(), paths, cuts))
        return np.stack(images).reshape(*indices.shape, *self.shape[1:])


@dataclass(frozen=True)
class Noise(Streamed):
    """Standard normal pixels in place of images, the same whenever they are asked for."""

    count: int
    image_shape: tuple[int, int, int]
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""
        return self.count, *self.image_shape

    def __getitem__(self, which: Any, /) -> Float32:
        indices = np.arange(self.count)[which]
        images = [self._image(int(index)) for index in indices.flat]
        return np.stack(images).reshape(*indices.shape, *self.image_shape)

    def resized_crops(self, indices: Int64, _seeds: Int64) -> Float32:
        """The images at `indices`: a crop of noise is noise."""
        return self[indices]

    def first(self, size: int) -> "Noise":
        """The first `size` images."""
        return replace(self, count=size)

    def _image(self, index: int) -> Float32:
        return np.random.default_rng((self.seed, index)).standard_normal(self.image_shape, dtype=np.float32)


def _opened(path: str) -> Any:
    from torchvision.datasets.folder import pil_loader

    try:
        return pil_loader(path)
    except OSError as error:
        raise DataUnavailableError(f"{path} cannot be decoded ({error}); unpack ImageNet again") from None


_SEEDING = Lock()
"""Threads share torch's global generator, which torchvision draws from."""


def _resized_crop(image: Any, seed: int) -> Any:
    import torch
    from torchvision.transforms import RandomResizedCrop
    from torchvision.transforms.functional import hflip, resized_crop

    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        box = RandomResizedCrop.get_params(image, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3])
        flipped = bool(torch.rand(1) < 0.5)
    cropped = resized_crop(image, *box, size=[224, 224])
    return hflip(cropped) if flipped else cropped
