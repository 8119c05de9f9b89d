"""Data sets: the digits, and files in the format of MNIST and Fashion-MNIST."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision

from ilr.data import DataUnavailableError, load, read
from ilr.experiment import Data


def write_idx(path: Path, array: np.ndarray, *, compressed: bool) -> None:
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if compressed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
    else:
        path.write_bytes(raw)


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    def write(folder: str, *, compressed: bool = False) -> dict[str, np.ndarray]:
        stream = np.random.default_rng(1)
        arrays = {
            "train-images-idx3-ubyte": stream.integers(0, 256, (12, 28, 28)).astype(np.uint8),
            "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
            "t10k-images-idx3-ubyte": stream.integers(0, 256, (5, 28, 28)).astype(np.uint8),
            "t10k-labels-idx1-ubyte": np.arange(5, dtype=np.uint8),
        }
        for name, array in arrays.items():
            write_idx(tmp_path / folder / name, array, compressed=compressed)
        return arrays

    return write


def test_digits_are_all_there() -> None:
    digits = load(Data("digits"))
    assert digits.train_images.shape == (1297, 1, 8, 8)
    assert digits.test_images.shape == (500, 1, 8, 8)
    assert digits.classes == 10
    assert abs(digits.train_images.mean()) < 1e-5
    assert abs(digits.train_images.std() - 1) < 1e-5
    everything = np.concatenate([digits.train_labels, digits.test_labels])
    assert np.bincount(everything).min() > 170


def test_a_smaller_set_is_the_beginning_of_the_whole() -> None:
    whole, part = load(Data("digits")), load(Data("digits", train=100, test=50))
    np.testing.assert_array_equal(part.train_labels, whole.train_labels[:100])
    np.testing.assert_array_equal(part.test_labels, whole.test_labels[:50])


def test_images_are_averaged_down() -> None:
    whole, small = load(Data("digits")), load(Data("digits", side=4))
    blocks = whole.train_images.reshape(-1, 1, 4, 2, 4, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(small.train_images, (blocks - blocks.mean()) / blocks.std(), atol=1e-4)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "FashionMNIST", "."])
def test_files_are_found_in_every_layout(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path, folder: str, *, compressed: bool
) -> None:
    arrays = write_files(folder, compressed=compressed)
    source = read("fashion-mnist", tmp_path)
    np.testing.assert_array_equal(source.train_images[:, 0], arrays["train-images-idx3-ubyte"].astype(np.float32) / 255)
    np.testing.assert_array_equal(source.test_labels, arrays["t10k-labels-idx1-ubyte"])
    assert len(source.sha256) == 64


def test_the_files_are_the_ones_torchvision_reads(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path
) -> None:
    write_files("MNIST/raw")
    theirs = torchvision.datasets.MNIST(str(tmp_path), train=True)
    ours = read("mnist", tmp_path)
    np.testing.assert_array_equal(ours.train_images[:, 0], theirs.data.numpy().astype(np.float32) / 255)
    np.testing.assert_array_equal(ours.train_labels, theirs.targets.numpy())


def test_missing_files_are_one_line_that_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"FashionMNIST needs --data-root.*download=True"):
        read("fashion-mnist", None)
    with pytest.raises(
        DataUnavailableError, match=r"holds no MNIST/raw/train-images-idx3-ubyte.*download=True"
    ) as error:
        read("mnist", tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "gzip"])
def test_damaged_files_are_named(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path, damage: str
) -> None:
    write_files(".", compressed=damage == "gzip")
    victim = tmp_path / ("t10k-images-idx3-ubyte" + (".gz" if damage == "gzip" else ""))
    whole = victim.read_bytes()
    victim.write_bytes({"cut": whole[:-7], "text": b"not idx", "empty": b"", "gzip": whole[:60]}[damage])
    with pytest.raises(DataUnavailableError, match=f"{victim.name}.*fetch MNIST again"):
        read("mnist", tmp_path)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (Data("letters"), "no data set is called 'letters'; choose from digits, mnist, fashion-mnist"),
        (Data("digits", train=5000), "digits has 1297 train examples, not the 5000 asked for"),
        (Data("digits", test=501), "digits has 500 test examples"),
        (Data("digits", side=3), "side 8, which 3 does not divide"),
    ],
)
def test_impossible_wishes_are_refused(data: Data, complaint: str) -> None:
    with pytest.raises(DataUnavailableError, match=complaint):
        load(data)
