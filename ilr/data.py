"""Data sets, whole in memory: digits from scikit-learn, MNIST and Fashion-MNIST from torchvision's files."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.experiment import Data

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class DataUnavailableError(Exception):
    """A data set that is not there or not whole; the message is one line that says how to obtain it."""


@dataclass(frozen=True)
class Source:
    """A data set as read: pixels in [0, 1], float32 [example, channel, row, column], labels [example]."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A data set as trained on: images standardised by the training images' mean and standard deviation."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: int


def load(data: Data, root: Path | None = None) -> Dataset:
    """The data set cut down and standardised as `data` asks.

    Raises:
        DataUnavailableError: the files are not below `root`, or fewer examples than asked for.
    """
    source = read(data.name, root)
    train, train_labels = _cut(data, source.train_images, source.train_labels, data.train, "train")
    test, test_labels = _cut(data, source.test_images, source.test_labels, data.test, "test")
    mean, deviation = train.mean(), train.std()
    return Dataset(
        train_images=(train - mean) / deviation,
        train_labels=train_labels,
        test_images=(test - mean) / deviation,
        test_labels=test_labels,
        classes=int(source.train_labels.max()) + 1,
    )


@cache
def read(name: str, root: Path | None) -> Source:
    """The whole data set called `name`; files are looked for below `root`.

    Raises:
        DataUnavailableError: no such data set, or its files are not there or not whole.
    """
    if name not in SOURCES:
        raise DataUnavailableError(f"no data set is called {name!r}; choose from {', '.join(SOURCES)}")
    images, labels, test_images, test_labels = SOURCES[name](root)
    checksum = hashlib.sha256()
    for array in (images, labels, test_images, test_labels):
        checksum.update(np.ascontiguousarray(array).tobytes())
    return Source(
        train_images=_unit_range(images),
        train_labels=labels.astype(np.int64),
        test_images=_unit_range(test_images),
        test_labels=test_labels.astype(np.int64),
        sha256=checksum.hexdigest(),
    )


def _digits(_root: Path | None) -> tuple[Any, Any, Any, Any]:
    """8×8 handwritten digits that ship inside scikit-learn: 1,797 examples, of which 1,297 train and 500 test."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    # The file is ordered by writer: shuffle once, the same for every seed, so that all replicas share one split.
    order = np.random.Generator(np.random.PCG64(20201206)).permutation(len(bunch.target))
    # Sixteen grey levels; times 15 they are bytes, like the other sets' pixels.
    images = (bunch.images[order] * 15).astype(np.uint8)
    labels = bunch.target[order]
    return images[:1297], labels[:1297], images[1297:], labels[1297:]


def _idx_files(folder: str, advice: str) -> Callable[[Path | None], tuple[Any, Any, Any, Any]]:
    """A reader of the four IDX files of MNIST or Fashion-MNIST, in torchvision's folders or in the root itself."""

    def reader(root: Path | None) -> tuple[Any, Any, Any, Any]:
        if root is None:
            raise DataUnavailableError(f"{folder} needs --data-root: a folder with {advice}")
        return (
            _idx(root, folder, "train-images-idx3-ubyte", advice),
            _idx(root, folder, "train-labels-idx1-ubyte", advice),
            _idx(root, folder, "t10k-images-idx3-ubyte", advice),
            _idx(root, folder, "t10k-labels-idx1-ubyte", advice),
        )

    return reader


def _idx(root: Path, folder: str, name: str, advice: str) -> npt.NDArray[np.uint8]:
    """One IDX file (big-endian: two zero bytes, type 8 = uint8, rank, one int32 per axis, then the bytes)."""
    places = [root / folder / "raw", root / folder, root]
    found = next((place / file for place in places for file in (name, f"{name}.gz") if (place / file).is_file()), None)
    if found is None:
        raise DataUnavailableError(
            f"--data-root={root} holds no {folder}/raw/{name}[.gz]; it must be a folder with {advice}"
        )
    try:
        raw = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    except (OSError, EOFError) as error:
        raise DataUnavailableError(f"{found} cannot be read ({error}); fetch {folder} again") from None
    rank = raw[3] if len(raw) > 3 and raw[:3] == b"\0\0\x08" else 0
    shape = tuple(np.frombuffer(raw, ">i4", count=rank, offset=4)) if rank and len(raw) >= 4 + 4 * rank else ()
    if not shape or len(raw) != 4 + 4 * rank + int(np.prod(shape)):
        raise DataUnavailableError(f"{found} is truncated or not an IDX file; fetch {folder} again")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


SOURCES: dict[str, Callable[[Path | None], tuple[Any, Any, Any, Any]]] = {
    "digits": _digits,
    "mnist": _idx_files("MNIST", "torchvision's files, as torchvision.datasets.MNIST(root, download=True) writes them"),
    "fashion-mnist": _idx_files(
        "FashionMNIST",
        "torchvision's files, as torchvision.datasets.FashionMNIST(root, download=True) writes them, "
        "or the .gz files of the Debian package dataset-fashion-mnist",
    ),
}


def _unit_range(images: npt.NDArray[np.uint8]) -> Images:
    """Bytes [example, row, column] to float32 in [0, 1] with a channel axis."""
    return np.divide(images, 255, dtype=np.float32)[:, None]


def _cut(data: Data, images: Images, labels: Labels, size: int | None, part: str) -> tuple[Images, Labels]:
    if size is not None and size > len(images):
        raise DataUnavailableError(f"{data.name} has {len(images)} {part} examples, not the {size} asked for")
    images, labels = images[:size], labels[:size]
    if data.side is not None:
        count, channels, side, _ = images.shape
        if side % data.side:
            raise DataUnavailableError(f"{data.name} has images of side {side}, which {data.side} does not divide")
        factor = side // data.side
        blocks = images.reshape(count, channels, data.side, factor, data.side, factor)
        images = blocks.mean(axis=(3, 5)).astype(np.float32)
    return images, labels
