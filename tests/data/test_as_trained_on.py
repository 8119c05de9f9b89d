"""Every data set as trained on, compared with a reading of its source that shares no code with ours.

Images, labels, order, scaling, both halves; what is trained on is what the training loop holds on its device.
"""

import gzip
import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from ilr.data.catalog import DATASETS, PUBLISHED
from ilr.data.dataset import Dataset, load
from ilr.data.readers import READERS, SHUFFLE
from ilr.experiments.experiment import Data
from tests.data.test_readers import CIFAR, imagenet, write_cifar

__all__ = ["imagenet", "write_cifar"]

Pixels = list[list[float]]
"""Rows of one image's channel."""


def assert_equal(found: Dataset, train: tuple[np.ndarray, list[int]], test: tuple[np.ndarray, list[int]]) -> None:
    """The data set is these images [example, channel, row, column], standardised by the training half, and labels."""
    mean = train[0].mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    deviation = train[0].std(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    for images, labels, half in (
        (found.train_images, found.train_labels, train),
        (found.test_images, found.test_labels, test),
    ):
        np.testing.assert_allclose(images[:], (half[0] - mean) / deviation, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(labels, half[1])


def test_digits() -> None:
    """From the table of scikit-learn's file, in plain Python; the split is the published shuffle of all examples."""
    path = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    rows = [[float(number) for number in line.split(",")] for line in lines]
    order = np.random.Generator(np.random.PCG64(SHUFFLE)).permutation(len(rows))
    shuffled = [rows[place] for place in order]
    images = np.array([row[:64] for row in shuffled]).reshape(-1, 1, 8, 8)
    labels = [int(row[64]) for row in shuffled]
    assert_equal(load(Data("digits")), (images[:1297], labels[:1297]), (images[1297:], labels[1297:]))
    cut = load(Data("digits", train=100, test=50))
    assert_equal(cut, (images[:100], labels[:100]), (images[1297:1347], labels[1297:1347]))


def test_digits_are_the_ones_that_were_ever_trained_on() -> None:
    """Their file has no name of ours to be known by: another release of scikit-learn may change it."""
    assert READERS["digits"](None, DATASETS["digits"]).sha256.startswith("abf9c469ba")


def read_idx(path: Path) -> list[list[list[int]]] | list[int]:
    """An IDX file by the words of its specification."""
    content = path.read_bytes()
    zeros, kind, rank = struct.unpack(">HBB", content[:4])
    assert (zeros, kind) == (0, 8)
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    numbers = list(content[4 + 4 * rank :])
    if rank == 1:
        return numbers
    rows, columns = shape[1:]
    size = rows * columns
    return [
        [numbers[image * size + row * columns :][:columns] for row in range(rows)] for image in range(shape[0])
    ]  # fmt: skip


def averaged(image: list[list[int]], factor: int) -> Pixels:
    """Means of blocks of factor × factor pixels."""
    side = len(image) // factor
    return [
        [
            sum(image[row * factor + i][column * factor + j] for i in range(factor) for j in range(factor)) / factor**2
            for column in range(side)
        ]
        for row in range(side)
    ]


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
@pytest.mark.parametrize("side", [None, 14])
def test_idx(name: str, folder: str, side: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = np.random.default_rng(3)
    halves: list[tuple[np.ndarray, list[int]]] = []
    sums = {}
    place = tmp_path / folder / "raw"
    place.mkdir(parents=True)
    for half, count in (("train", 30), ("t10k", 12)):
        for file, shape, largest in (
            (f"{half}-images-idx3-ubyte", (count, 28, 28), 256),
            (f"{half}-labels-idx1-ubyte", (count,), 10),
        ):
            numbers = stream.integers(0, largest, shape).astype(np.uint8)
            head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            (place / file).write_bytes(head + numbers.tobytes())
            sums[file] = hashlib.sha256(head + numbers.tobytes()).hexdigest()
        images = read_idx(place / f"{half}-images-idx3-ubyte")
        small = np.array([averaged(image, 28 // (side or 28)) for image in images])[:, None]  # type: ignore[arg-type]
        halves.append((small, read_idx(place / f"{half}-labels-idx1-ubyte")))  # type: ignore[arg-type]
    monkeypatch.setitem(PUBLISHED, name, sums)
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], train=30, test=12))
    assert_equal(load(Data(name, side=side), tmp_path), *halves)
    (train, labels), test = halves
    assert_equal(load(Data(name, train=7, side=side), tmp_path), (train[:7], labels[:7]), test)


@pytest.mark.parametrize("name", CIFAR)
def test_cifar(write_cifar: Callable[[str], dict[str, dict[str, object]]], tmp_path: Path, name: str) -> None:
    kind, key = CIFAR[name]
    batches = write_cifar(name)
    halves = []
    for part in (kind.train_list, kind.test_list):
        images, labels = [], []
        for file, _ in part:
            for row, label in zip(batches[file]["data"], batches[file][key], strict=True):  # type: ignore[arg-type]
                # 1,024 red pixels, row by row, then green, then blue.
                images.append([[row[c * 1024 + r * 32 :][:32] for r in range(32)] for c in range(3)])
                labels.append(label)
        halves.append((np.array(images), labels))
    assert_equal(load(Data(name), tmp_path), *halves)
