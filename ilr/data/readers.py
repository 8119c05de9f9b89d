"""Data sets as they are read: from scikit-learn, from torchvision's files, or listed in a folder of images."""

import gzip
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.data.catalog import DataUnavailableError, Form, whole
from ilr.data.lazy_images import Files, Streamed

Int64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

SHUFFLE = 20201206
"""Sets whose files are sorted are shuffled once, the same for every seed: all replicas share one split."""


@dataclass(frozen=True)
class Source:
    """A data set as read: bytes [example, channel, row, column] or a stream of images, with labels [example]."""

    train_images: Bytes | Streamed
    train_labels: Int64
    test_images: Bytes | Streamed
    test_labels: Int64
    classes: int
    sha256: str
    """Of all bytes; for a stream, of the sorted list of its files' names and sizes."""

    @property
    def form(self) -> Form:
        """The form of what was found."""
        count, channels, side, _ = self.train_images.shape
        streamed = isinstance(self.train_images, Streamed)
        return Form(channels, side, self.classes, train=count, test=len(self.test_labels), streamed=streamed)


@cache
def read(name: str, root: Path | None) -> Source:
    """The whole data set called `name`; files are looked for below `root`.

    Raises:
        DataUnavailableError: no such data set, or its files are not there or not whole.
    """
    form = whole(name)
    return READERS[name](root, form)


def _resident(form: Form, arrays: tuple[Any, Any, Any, Any]) -> Source:
    """A source of training images and labels, test images and labels."""
    checksum = hashlib.sha256()
    for array in arrays:
        checksum.update(np.ascontiguousarray(array).tobytes())
    images, labels, test_images, test_labels = arrays
    return Source(
        images, labels.astype(np.int64), test_images, test_labels.astype(np.int64), form.classes, checksum.hexdigest()
    )


def _digits(_root: Path | None, form: Form) -> Source:
    """8×8 handwritten digits that ship inside scikit-learn: 1,797 examples, of which 1,297 train and 500 test."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    # The file is ordered by writer.
    order = _shuffled(len(bunch.target))
    # Sixteen grey levels; times 15 they are bytes, like the other sets' pixels.
    images = (bunch.images[order] * 15).astype(np.uint8)[:, None]
    labels = bunch.target[order]
    return _resident(form, (images[: form.train], labels[: form.train], images[form.train :], labels[form.train :]))


def _idx_files(folder: str, advice: str) -> Callable[[Path | None, Form], Source]:
    """A reader of the four IDX files of MNIST or Fashion-MNIST, in torchvision's folders or in the root itself.

    Not torchvision's own reader: it knows one folder and no .gz file, and a truncated file is to it a failed reshape.
    """

    def reader(root: Path | None, form: Form) -> Source:
        place = _needed(root, folder, advice)
        return _resident(
            form,
            (
                _idx(place, folder, "train-images-idx3-ubyte", advice)[:, None],
                _idx(place, folder, "train-labels-idx1-ubyte", advice),
                _idx(place, folder, "t10k-images-idx3-ubyte", advice)[:, None],
                _idx(place, folder, "t10k-labels-idx1-ubyte", advice),
            ),
        )

    return reader


def _idx(root: Path, folder: str, name: str, advice: str) -> Bytes:
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
    # A copy, because torch takes no array that cannot be written.
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def _cifar(name: str) -> Callable[[Path | None, Form], Source]:
    """A reader of CIFAR10 or CIFAR100 by torchvision, whose md5 sums decide whether the files are whole."""

    def reader(root: Path | None, form: Form) -> Source:
        advice = f"torchvision's files, as torchvision.datasets.{name}(root, download=True) writes them"
        place = _needed(root, name, advice)
        # Here, because the import takes a second and few runs need it.
        from torchvision import datasets

        kind: Any = getattr(datasets, name)
        try:
            with warnings.catch_warnings():
                # The files were pickled by a NumPy so old that NumPy 2.4.0 warns of its ways.
                warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
                parts = [kind(place, train=train) for train in (True, False)]
        except (RuntimeError, OSError):
            raise DataUnavailableError(
                f"--data-root={place} holds no whole {kind.base_folder}; it must be a folder with {advice}"
            ) from None
        [train, test] = [(part.data.transpose(0, 3, 1, 2), np.array(part.targets)) for part in parts]
        return _resident(form, (*train, *test))

    return reader


def _imagenet(root: Path | None, _form: Form) -> Source:
    """ImageNet as a folder of images for each class, below imagenet/train and imagenet/val."""
    advice = (
        "the images of ILSVRC 2012, as torchvision.datasets.ImageNet(root + '/imagenet', split) unpacks the archives "
        "of image-net.org for the splits 'train' and 'val'"
    )
    place = _needed(root, "ImageNet", advice) / "imagenet"
    from torchvision.datasets import ImageFolder

    parts: dict[str, Any] = {}
    for part in ("train", "val"):
        try:
            parts[part] = ImageFolder(place / part)
        except OSError:
            raise DataUnavailableError(
                f"--data-root={root} holds no imagenet/{part}/<class>/*.JPEG for every class; "
                f"it must be a folder with {advice}"
            ) from None
    train, test = parts["train"], parts["val"]
    if train.classes != test.classes:
        raise DataUnavailableError(
            f"--data-root={root} has {len(train.classes)} classes in imagenet/train and {len(test.classes)} in "
            f"imagenet/val, not the same; it must be a folder with {advice}"
        )
    paths = sorted(Path(path) for folder in (train, test) for path, _ in folder.samples)
    listing = "".join(f"{path.relative_to(place).as_posix()} {path.stat().st_size}\n" for path in paths)
    return Source(
        *_files(train), *_files(test), classes=len(train.classes), sha256=hashlib.sha256(listing.encode()).hexdigest()
    )


def _files(folder: Any) -> tuple[Files, Int64]:
    """The images and labels of an ImageFolder, which is sorted by class, in a shuffled order."""
    order = _shuffled(len(folder))
    return Files(tuple(folder.samples[index][0] for index in order)), np.array(folder.targets)[order]


def _needed(root: Path | None, what: str, advice: str) -> Path:
    if root is None:
        raise DataUnavailableError(f"{what} needs --data-root: a folder with {advice}")
    return root


def _shuffled(count: int) -> Int64:
    return np.random.Generator(np.random.PCG64(SHUFFLE)).permutation(count)


READERS: dict[str, Callable[[Path | None, Form], Source]] = {
    "digits": _digits,
    "mnist": _idx_files("MNIST", "torchvision's files, as torchvision.datasets.MNIST(root, download=True) writes them"),
    "fashion-mnist": _idx_files(
        "FashionMNIST",
        "torchvision's files, as torchvision.datasets.FashionMNIST(root, download=True) writes them, "
        "or the .gz files of the Debian package dataset-fashion-mnist",
    ),
    "cifar-10": _cifar("CIFAR10"),
    "cifar-100": _cifar("CIFAR100"),
    "imagenet": _imagenet,
}
