"""Data sets as they are read: from scikit-learn, from torchvision's files, or listed in a folder of images."""

import gzip
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.data.catalog import PUBLISHED, DatasetInfo, DataUnavailableError, whole_info
from ilr.data.lazy_images import ImageFiles, Int64, LazyImages
from ilr.experiments.own_data import OwnData, arrays_of

Bytes = npt.NDArray[np.uint8]
Resident = Bytes | npt.NDArray[np.float32]
"""Those of the catalogue are bytes; one of somebody's own may have other numbers."""

SHUFFLE = 20201206
"""Sets whose files are sorted are shuffled once, the same for every seed: all replicas share one split."""


@dataclass(frozen=True)
class RawData:
    """A data set as read: images [example, channel, row, column] or lazy ones, with labels [example]."""

    train_images: Resident | LazyImages
    train_labels: Int64
    test_images: Resident | LazyImages
    test_labels: Int64
    classes: int
    sha256: str
    """Of all bytes; for lazy images, of the sorted list of their files' names and sizes."""

    @property
    def info(self) -> DatasetInfo:
        """The shape of what was found, which need not be that of the whole data set."""
        count, channels, side, _ = self.train_images.shape
        streamed = isinstance(self.train_images, LazyImages)
        return DatasetInfo(channels, side, self.classes, train=count, test=len(self.test_labels), streamed=streamed)


@cache
def read(name: str | OwnData, root: Path | None) -> RawData:
    """The whole data set called `name`, whose files are looked for below `root`; or one of somebody's own.

    Raises:
        DataUnavailableError: no such data set, or its files are not there or not whole.
    """
    info = whole_info(name)
    if isinstance(name, OwnData):
        return _own(name, info)
    raw = READERS[name](root, info)
    _check(name, raw, info)
    return raw


def _check(name: str, raw: RawData, info: DatasetInfo) -> None:
    """Holds what was read to the catalogue: nobody is to train on other data than he believes.

    Raises:
        DataUnavailableError: there are more or fewer examples, images of another shape, or labels of no class.
    """
    for part, images, labels, count in (
        ("train", raw.train_images, raw.train_labels, info.train),
        ("test", raw.test_images, raw.test_labels, info.test),
    ):
        if images.shape != (count, *info.image_shape) or labels.shape != (count,):
            raise DataUnavailableError(
                f"{name} has {count} {part} examples of the shape {info.image_shape}, not images {images.shape} with "
                f"labels {labels.shape}, as found"
            )
        if count and not 0 <= labels.min() <= labels.max() < info.classes:
            raise DataUnavailableError(
                f"{name} has the {part} labels 0 to {info.classes - 1}, not {labels.min()} to {labels.max()}, as found"
            )
    if raw.classes != info.classes:
        raise DataUnavailableError(f"{name} has {info.classes} classes, not {raw.classes}, as found")


def _resident(info: DatasetInfo, images: Resident, labels: Any, test_images: Resident, test_labels: Any) -> RawData:
    """Training images and labels, test images and labels, with their checksum."""
    checksum = hashlib.sha256()
    for array in (images, labels, test_images, test_labels):
        checksum.update(np.ascontiguousarray(array).tobytes())
    labels, test_labels = labels.astype(np.int64), test_labels.astype(np.int64)
    return RawData(images, labels, test_images, test_labels, info.classes, checksum.hexdigest())


def _own(own: OwnData, info: DatasetInfo) -> RawData:
    """A data set of somebody's own, whose checksum tells arrays of the same bytes apart."""
    arrays = arrays_of(own)
    raw = _resident(info, arrays.images, arrays.labels, arrays.test_images, arrays.test_labels)
    form = f"{arrays.images.dtype.name} {info.image_shape} {raw.sha256}"
    return replace(raw, sha256=hashlib.sha256(form.encode()).hexdigest())


def _digits(_root: Path | None, info: DatasetInfo) -> RawData:
    """8×8 handwritten digits that ship inside scikit-learn: 1,797 examples, of which 1,297 train and 500 test."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    # The file is ordered by writer.
    order = _shuffled(len(bunch.target))
    # Sixteen grey levels; times 15 they are bytes, like the other sets' pixels.
    images = (bunch.images[order] * 15).astype(np.uint8)[:, None]  # [example, 1, row, column]
    labels = bunch.target[order]
    return _resident(info, images[: info.train], labels[: info.train], images[info.train :], labels[info.train :])


def _idx_files(root: Path | None, info: DatasetInfo, dataset: str, folder: str, advice: str) -> RawData:
    """The four IDX files of MNIST or Fashion-MNIST, in torchvision's folders or in the root itself.

    Not torchvision's own reader: it knows one folder and no .gz file, and a truncated file is to it a failed reshape.
    """
    root = _needed(root, folder, advice)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    known = PUBLISHED[dataset]
    images, labels, test_images, test_labels = [_idx_file(root, folder, name, known[name], advice) for name in names]
    # Grey images have one channel: [example, 1, row, column].
    return _resident(info, images[:, None], labels, test_images[:, None], test_labels)


def _idx_file(root: Path, folder: str, name: str, sha256: str, advice: str) -> Bytes:
    """The array in one IDX file, which may be compressed; `sha256` is that of its content as published."""
    places = [root / folder / "raw", root / folder, root]
    paths = [place / file for place in places for file in (name, f"{name}.gz")]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise _unfit(root, f"holds no {folder}/raw/{name}[.gz]", advice)
    try:
        content = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    except (OSError, EOFError) as error:
        raise DataUnavailableError(f"{found} cannot be read ({error}); fetch {folder} again") from None
    array = _idx_array(content)
    if array is None:
        raise DataUnavailableError(f"{found} is truncated or not an IDX file; fetch {folder} again")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataUnavailableError(
            f"{found} is not the file of that name of {folder} as published; fetch {folder} again"
        )
    return array


def _idx_array(content: bytes) -> Bytes | None:
    """The array in an IDX file: two zero bytes, 8 for uint8, rank, shape, numbers; `None` if the file is damaged."""
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        return None
    rank = content[3]
    start = 4 + 4 * rank
    if rank == 0 or len(content) < start:
        return None
    shape = np.frombuffer(content, ">i4", count=rank, offset=4)  # big-endian
    if len(content) != start + np.prod(shape, dtype=np.int64):
        return None
    # A copy, because torch takes no array that cannot be written.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _cifar(root: Path | None, info: DatasetInfo, name: str) -> RawData:
    """CIFAR10 or CIFAR100 by torchvision, whose md5 sums decide whether the files are whole."""
    advice = f"torchvision's files, as torchvision.datasets.{name}(root, download=True) writes them"
    root = _needed(root, name, advice)
    # Here, because the import takes a second and few runs need it.
    from torchvision import datasets

    kind: Any = getattr(datasets, name)
    try:
        with warnings.catch_warnings():
            # The files were pickled by a NumPy so old that NumPy 2.4.0 warns of its ways.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            train, test = kind(root, train=True), kind(root, train=False)
    except (RuntimeError, OSError):
        raise _unfit(root, f"holds no whole {kind.base_folder}", advice) from None
    # From [example, row, column, channel] to [example, channel, row, column].
    images, test_images = train.data.transpose(0, 3, 1, 2), test.data.transpose(0, 3, 1, 2)
    return _resident(info, images, np.array(train.targets), test_images, np.array(test.targets))


def _imagenet(root: Path | None, _info: DatasetInfo) -> RawData:
    """ImageNet as a folder of images for each class, below imagenet/train and imagenet/val."""
    advice = (
        "the images of ILSVRC 2012, as torchvision.datasets.ImageNet(root + '/imagenet', split) unpacks the archives "
        "of image-net.org for the splits 'train' and 'val'"
    )
    root = _needed(root, "ImageNet", advice)
    from torchvision.datasets import ImageFolder

    folders: list[Any] = []
    for part in ("train", "val"):
        try:
            folders.append(ImageFolder(root / "imagenet" / part))
        except OSError:
            raise _unfit(root, f"holds no imagenet/{part}/<class>/*.JPEG for every class", advice) from None
    train, test = folders
    if train.classes != test.classes:
        counts = f"{len(train.classes)} classes in imagenet/train and {len(test.classes)} in imagenet/val"
        raise _unfit(root, f"has {counts}, not the same", advice)
    paths = sorted(Path(path) for path, _ in train.samples + test.samples)
    # Names and sizes alone: reading all 150 GB would take longer than many a run.
    place = root / "imagenet"
    listing = "".join(f"{path.relative_to(place).as_posix()} {path.stat().st_size}\n" for path in paths)
    images, labels = _shuffled_files(train)
    test_images, test_labels = _shuffled_files(test)
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    return RawData(images, labels, test_images, test_labels, len(train.classes), sha256)


def _shuffled_files(folder: Any) -> tuple[ImageFiles, Int64]:
    """The images and labels of an ImageFolder, which is sorted by class, in a shuffled order."""
    order = _shuffled(len(folder))
    return ImageFiles(tuple(folder.samples[index][0] for index in order)), np.array(folder.targets)[order]


def _needed(root: Path | None, what: str, advice: str) -> Path:
    if root is None:
        raise DataUnavailableError(f"{what} needs --data-root: a folder with {advice}")
    return root


def _unfit(root: Path, complaint: str, advice: str) -> DataUnavailableError:
    return DataUnavailableError(f"--data-root={root} {complaint}; it must be a folder with {advice}")


def _shuffled(count: int) -> Int64:
    return np.random.Generator(np.random.PCG64(SHUFFLE)).permutation(count)


_MNIST = "torchvision's files, as torchvision.datasets.MNIST(root, download=True) writes them"
_FASHION_MNIST = (
    "torchvision's files, as torchvision.datasets.FashionMNIST(root, download=True) writes them, "
    "or the .gz files of the Debian package dataset-fashion-mnist"
)

READERS: dict[str, Callable[[Path | None, DatasetInfo], RawData]] = {
    "digits": _digits,
    "mnist": partial(_idx_files, dataset="mnist", folder="MNIST", advice=_MNIST),
    "fashion-mnist": partial(_idx_files, dataset="fashion-mnist", folder="FashionMNIST", advice=_FASHION_MNIST),
    "cifar-10": partial(_cifar, name="CIFAR10"),
    "cifar-100": partial(_cifar, name="CIFAR100"),
    "imagenet": _imagenet,
}
"""What reads each data set below a root, given what is known of it."""
