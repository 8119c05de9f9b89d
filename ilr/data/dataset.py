"""Data sets as trained on: cut down, and standardised by the training images' mean and standard deviation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.data.catalog import whole_info
from ilr.data.lazy_images import Float32, Int64, LazyImages, NoiseImages
from ilr.data.readers import Bytes, RawData, Resident, read
from ilr.experiments.experiment import Data

LARGEST_IN_FLOAT32 = 2**28
"""Bytes. A larger set stays as the bytes it was read as, a quarter of that, and is standardised batch by batch; that
takes up to twice as long to gather."""


@dataclass(frozen=True)
class Pixels:
    """Images kept as they were read, standardised when they are asked for."""

    pixels: npt.NDArray[Any]
    """Bytes, or float32 after averaging."""
    mean: Float32
    """[channel, 1, 1]."""
    deviation: Float32
    """Standard deviation, [channel, 1, 1]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[example, channel, row, column]."""
        return self.pixels.shape

    def __getitem__(self, which: Any, /) -> Float32:
        """The images at `which`, a slice or whole numbers of any shape."""
        images: Float32 = self.pixels[which].astype(np.float32)
        images -= self.mean
        images /= self.deviation
        return images


Images = Float32 | Pixels | LazyImages
"""Standardised images by index, float32 [example, channel, row, column]."""


@dataclass(frozen=True)
class Dataset:
    """A data set as trained on."""

    train_images: Images
    train_labels: Int64
    test_images: Images
    test_labels: Int64
    classes: int
    black: Float32 = field(default_factory=lambda: np.zeros(1, np.float32))
    """What standardisation makes of a black pixel, [channel] or [1]: crops are padded with it."""


def load(data: Data, root: Path | None = None) -> Dataset:
    """The data set cut down and standardised as `data` asks; the files of those that need some are below `root`.

    Raises:
        DataUnavailableError: the files are not below `root`, or fewer examples than asked for.
    """
    return _prepared(data, read(data.name, root))


def synthetic(data: Data, seed: int = 0) -> Dataset:
    """Random images and labels in the shape of `data`, for rehearsals without its files.

    Raises:
        DataUnavailableError: no such data set, or it cannot be cut down as asked.
    """
    stream = np.random.default_rng(seed)
    whole = whole_info(data.name)
    kept = whole.cut(data)

    def images(count: int) -> Bytes | LazyImages:
        if whole.streamed:
            return NoiseImages(count, whole.image_shape, seed=int(stream.integers(2**32)))
        return stream.integers(0, 256, (count, *whole.image_shape), dtype=np.uint8)

    train_images, train_labels = images(kept.train), stream.integers(0, whole.classes, kept.train)
    test_images, test_labels = images(kept.test), stream.integers(0, whole.classes, kept.test)
    raw = RawData(train_images, train_labels, test_images, test_labels, whole.classes, sha256="")
    return _prepared(data, raw)


def _prepared(data: Data, raw: RawData) -> Dataset:
    kept = raw.info.cut(data)
    train: Images = _cut(raw.train_images, kept.train, kept.side)
    test: Images = _cut(raw.test_images, kept.test, kept.side)
    black = np.zeros(1, np.float32)
    # Lazy images are standardised already.
    if isinstance(train, np.ndarray) and isinstance(test, np.ndarray):
        mean, deviation = _moments(train)
        in_float32 = 4 * (train.size + test.size)
        train, test = Pixels(train, mean, deviation), Pixels(test, mean, deviation)
        if in_float32 <= LARGEST_IN_FLOAT32:
            train, test = train[:], test[:]
        black = (-mean / deviation).ravel()  # [channel]
    return Dataset(
        train_images=train,
        train_labels=raw.train_labels[: kept.train],
        test_images=test,
        test_labels=raw.test_labels[: kept.test],
        classes=kept.classes,
        black=black,
    )


def _cut(images: Resident | LazyImages, size: int, side: int) -> npt.NDArray[Any] | LazyImages:
    """The first `size` images, averaged down to `side`."""
    if isinstance(images, LazyImages):
        return images.first(size)
    images = images[:size]
    count, channels, whole_side, _ = images.shape
    if side == whole_side:
        return images
    factor = whole_side // side
    # Each pixel that is left is the mean of a block of factor × factor, the axes 3 and 5.
    blocks = images.reshape(count, channels, side, factor, side, factor)
    return np.asarray(blocks.mean(axis=(3, 5), dtype=np.float32))


def _moments(images: npt.NDArray[Any]) -> tuple[Float32, Float32]:
    """Mean and standard deviation of each channel, [channel, 1, 1]."""
    mean = images.mean(axis=(0, 2, 3), dtype=np.float64)  # [channel]
    # The sum of squares, because np.std would make a float64 copy: CIFAR-10's takes more than a gigabyte.
    squares = np.einsum("ncij,ncij->c", images, images, dtype=np.float64, casting="unsafe")
    deviation = np.sqrt(np.maximum(squares / (images.size / len(mean)) - mean**2, 0))
    # A feature of somebody's own data may be the same in all examples: it is then 0, as its deviation is no more than
    # rounding.
    same = images.max(axis=(0, 2, 3)) == images.min(axis=(0, 2, 3))
    deviation[same | (deviation < np.finfo(np.float32).tiny)] = 1
    return mean.astype(np.float32)[:, None, None], deviation.astype(np.float32)[:, None, None]
