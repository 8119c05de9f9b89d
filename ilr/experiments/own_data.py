"""A data set of your own: what its record gives and what that must be; and the record of an `.npz` file."""

import hashlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ilr.experiments.own import LONGEST, OwnRecordError, calling, check_told, wrong
from ilr.fields import in_a_line, shown
from ilr.serialization import record

Array = npt.NDArray[Any]

FIELDS = ("images", "labels", "test_images", "test_labels")
"""What `load` gives, in this order, and what the arrays of an `.npz` file are called."""

LARGEST = float(np.finfo(np.float32).max)
"""Training computes in float32."""


class OwnData(ABC):
    """A data set of your own: a record, so `@ilr.record` above the class, that says how its arrays are made.

    What `load` gives is part of a recording's key, and so is the source of the file that defines the record.
    """

    @abstractmethod
    def load(self) -> tuple[Any, Any, Any, Any]:
        """Training images, their labels, test images, their labels: arrays, the same ones every time.

        Images are [example, row, column] or [example, channel, row, column], square; or vectors [example, feature].
        They are standardised by the training images' mean and standard deviation of each channel or feature. Labels
        are whole numbers from 0 on, and training has examples of each.
        """


class OwnArrays(NamedTuple):
    """What a data set of somebody's own holds, checked, as data sets of the catalogue are read."""

    images: Array
    """Bytes or float32 [example, channel, row, column]; of vectors every feature is a channel of a single pixel."""
    labels: npt.NDArray[np.int64]
    test_images: Array
    test_labels: npt.NDArray[np.int64]
    classes: int


@record
class NpzFile(OwnData):
    """An `.npz` file with the arrays images, labels, test_images and test_labels; `npz` makes one of a path."""

    sha256: str
    """Of the file."""
    path: str
    """Where it lies here: no part of a digest, as it is elsewhere on every machine."""

    def load(self) -> tuple[Any, Any, Any, Any]:
        """The arrays in the file.

        Raises:
            ValueError: it is not the file any more of which the record was made, or no such file.
        """
        content = Path(self.path).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError(f"has changed since this run began: its sha256 was {self.sha256}")
        arrays = _arrays_in(Path(self.path))
        if missing := [name for name in FIELDS if name not in arrays]:
            raise ValueError(
                f"{missing[0]} is missing: it holds {', '.join(arrays) or 'nothing'}, and must hold {', '.join(FIELDS)}"
            )
        images, labels, test_images, test_labels = (arrays[name] for name in FIELDS)
        return images, labels, test_images, test_labels

    def __str__(self) -> str:
        return f"{Path(self.path).name} ({self.sha256[:8]})"


def npz(path: Path | str) -> NpzFile:
    """The record of an `.npz` file, as it is now.

    Args:
        path: of the file, relative to the current folder; in a claim's file, Path(__file__).with_name("mine.npz") is
            the one beside it, wherever pytest is started.

    Raises:
        ValueError: it cannot be read; in one line.
    """
    place = Path(path).expanduser().absolute()
    try:
        content = place.read_bytes()
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror or error}: give an .npz file with {', '.join(FIELDS)}") from None
    return NpzFile(hashlib.sha256(content).hexdigest(), str(place))


def _arrays_in(path: Path) -> Mapping[str, Array]:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("numpy.savez writes one")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError) as error:
        if "pickle" in str(error):
            raise ValueError("is no .npz file of numbers: numpy.savez writes one") from None
        raise ValueError(f"is no whole .npz file: {error}") from None


@cache
def arrays_of(own: OwnData) -> OwnArrays:
    """What a data set of somebody's own holds, checked; a record's is loaded twice, as it must be the same each time.

    Raises:
        OwnRecordError: it is not what it must be; one line with file, field, value and what is allowed.
    """
    if isinstance(own, NpzFile):
        try:
            return _checked(own.load())
        except (OSError, ValueError) as error:
            told = (isinstance(error, OSError) and error.strerror) or str(error)
            raise OwnRecordError(f"{Path(own.path).name}: {in_a_line(told, LONGEST)}") from None
    check_told(own)
    first, again = _given(own), _given(own)
    for field in FIELDS:
        if not np.array_equal(getattr(first, field), getattr(again, field)):
            raise wrong(own, f"load() gives other {field} the second time: seed what it draws at random")
    return first


def _given(own: OwnData) -> OwnArrays:
    """What a record loads, checked."""
    with calling(own, "load()"):
        given = own.load()
    try:
        return _checked(given)
    except ValueError as error:
        raise wrong(own, str(error)) from None


def _checked(given: Any) -> OwnArrays:
    """What `load` gave.

    Raises:
        ValueError: it is not what it must be.
    """
    if not isinstance(given, tuple | list) or len(given) != len(FIELDS):
        raise ValueError(f"load() gives {shown(given)}: it must give {', '.join(FIELDS)}, in this order")
    parts = dict(zip(FIELDS, given, strict=True))
    images, test_images = _images(parts, "images"), _images(parts, "test_images")
    if test_images.shape[1:] != images.shape[1:]:
        raise ValueError(
            f"test_images have the shape {np.shape(parts['test_images'])}, and must be like images, "
            f"{np.shape(parts['images'])}, in all but the first"
        )
    labels, test_labels = _labels(parts, "labels", images), _labels(parts, "test_labels", test_images)
    classes = _classes(labels, test_labels)
    if images.dtype != test_images.dtype:
        images, test_images = images.astype(np.float32), test_images.astype(np.float32)
    return OwnArrays(images, labels, test_images, test_labels, classes)


def _images(parts: Mapping[str, Any], field: str) -> Array:
    """One field as images [example, channel, row, column]."""
    array = _array(parts, field)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{field} are of the type {array.dtype}, and must be numbers")
    match array.shape:
        case (int(examples), int(features)):
            shape = (examples, features, 1, 1)
        case (int(examples), int(rows), int(columns)):
            shape = (examples, 1, rows, columns)
        case (int(), int(), int(), int()):
            shape = array.shape
        case _:
            shape = (0, 0, 0, 1)
    if min(shape) < 1 or shape[2] != shape[3]:
        raise ValueError(
            f"{field} have the shape {array.shape}, and must be [example, row, column] or [example, channel, row, "
            "column], square, or vectors [example, feature], with something of each"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array).reshape(shape)
    # Also what is finite, and more than float32 holds.
    unfit = ~(np.abs(array.astype(np.float64)) <= LARGEST)
    if unfit.any():
        index = tuple(int(i) for i in np.argwhere(unfit)[0])
        count = int(np.count_nonzero(unfit))
        raise ValueError(f"{field}{[*index]} is {array[index]}, and must be a finite number ({count} such in all)")
    return np.ascontiguousarray(array, dtype=np.float32).reshape(shape)


def _labels(parts: Mapping[str, Any], field: str, images: Array) -> npt.NDArray[np.int64]:
    """One field as labels [example], whole numbers from 0 on."""
    array = _array(parts, field)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{field} are of the type {array.dtype}, and must be whole numbers from 0 on")
    if array.shape != (len(images),):
        raise ValueError(
            f"{field} have the shape {array.shape}, and must be ({len(images)},), one for each of {len(images)} images"
        )
    if array.min() < 0:
        index = int(np.argmin(array))
        raise ValueError(f"{field}[{index}] is {array[index]}, and must be a whole number from 0 on")
    return array.astype(np.int64)


def _classes(labels: npt.NDArray[np.int64], test_labels: npt.NDArray[np.int64]) -> int:
    """How many classes there are: training has examples of each."""
    found = np.unique(labels)
    classes = len(found)
    if classes < 2:
        raise ValueError(f"labels are all {found[0]}, and must be of 2 classes or more")
    if found[-1] != classes - 1:
        absent = int(np.setdiff1d(np.arange(classes), found)[0])
        raise ValueError(
            f"labels go up to {found[-1]} and none is {absent}: they must be 0, 1, 2 and so on, each of some example"
        )
    if test_labels.max() >= classes:
        index = int(np.argmax(test_labels))
        raise ValueError(f"test_labels[{index}] is {test_labels[index]}, and must be 0 to {classes - 1}, as labels are")
    return classes


def _array(parts: Mapping[str, Any], field: str) -> Array:
    try:
        return np.asarray(parts[field])
    except Exception:  # lists of different lengths, and whatever else is no array
        raise ValueError(f"{field} is {shown(parts[field])}, and must be an array of numbers") from None
