"""Data sets as read: files in the formats of torchvision, whole, damaged and missing."""

import gzip
import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from ilr.data.catalog import DATASETS, PUBLISHED, DataUnavailableError
from ilr.data.readers import READERS, read


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write_idx(path: Path, array: np.ndarray, *, compressed: bool) -> None:
    raw = idx(array)
    path.parent.mkdir(parents=True, exist_ok=True)
    if compressed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
    else:
        path.write_bytes(raw)


@pytest.fixture
def write_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, np.ndarray]]:
    """Writes small files, and lets the catalogue take them for those that were published."""

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
        for name in PUBLISHED:
            sums = {file: hashlib.sha256(idx(array)).hexdigest() for file, array in arrays.items()}
            monkeypatch.setitem(PUBLISHED, name, sums)
            monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], train=12, test=5))
        return arrays

    return write


def test_every_data_set_has_a_reader() -> None:
    assert set(READERS) == set(DATASETS)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "FashionMNIST", "."])
def test_files_are_found_in_every_layout(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path, folder: str, *, compressed: bool
) -> None:
    arrays = write_files(folder, compressed=compressed)
    raw = read("fashion-mnist", tmp_path)
    np.testing.assert_array_equal(raw.train_images[:, 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(raw.test_labels, arrays["t10k-labels-idx1-ubyte"])
    assert len(raw.sha256) == 64


def test_the_files_are_the_ones_torchvision_reads(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path
) -> None:
    write_files("MNIST/raw")
    theirs = torchvision.datasets.MNIST(str(tmp_path), train=True)
    ours = read("mnist", tmp_path)
    np.testing.assert_array_equal(ours.train_images[:, 0], theirs.data.numpy())
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


CIFAR = {
    "cifar-10": (torchvision.datasets.CIFAR10, "labels"),
    "cifar-100": (torchvision.datasets.CIFAR100, "fine_labels"),
}


@pytest.fixture
def write_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, dict[str, object]]]:
    """Writes small files in the format of CIFAR and lets torchvision know their md5 sums."""

    def write(name: str) -> dict[str, dict[str, object]]:
        kind, labels = CIFAR[name]
        stream = np.random.default_rng(2)

        def batch(examples: int) -> dict[str, object]:
            pixels = stream.integers(0, 256, (examples, 3 * 32 * 32)).astype(np.uint8)
            return {"data": pixels, labels: stream.integers(0, 10, examples).tolist()}

        def written(file: str, content: object) -> str:
            path = tmp_path / kind.base_folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(pickle.dumps(content, protocol=2))
            return hashlib.md5(path.read_bytes()).hexdigest()

        batches = {file: batch(4) for file, _ in kind.train_list + kind.test_list}
        sums = {file: written(file, content) for file, content in batches.items()}
        for part in ("train_list", "test_list"):
            monkeypatch.setattr(kind, part, [[file, sums[file]] for file, _ in getattr(kind, part)])
        names = written(kind.meta["filename"], {kind.meta["key"]: ["a class"]})
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": names})
        sizes = {"train": 4 * len(kind.train_list), "test": 4 * len(kind.test_list)}
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], **sizes))
        return batches

    return write


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_is_read_as_it_was_written(
    write_cifar: Callable[[str], dict[str, dict[str, object]]], tmp_path: Path, name: str
) -> None:
    kind, labels = CIFAR[name]
    batches = write_cifar(name)
    raw = read(name, tmp_path)
    for part, images, found in (
        (kind.train_list, raw.train_images, raw.train_labels),
        (kind.test_list, raw.test_images, raw.test_labels),
    ):
        rows = np.concatenate([batches[file]["data"] for file, _ in part])
        np.testing.assert_array_equal(images, rows.reshape(-1, 3, 32, 32))
        np.testing.assert_array_equal(found, np.concatenate([batches[file][labels] for file, _ in part]))
        assert images.dtype == np.uint8
    assert raw.classes == DATASETS[name].classes
    assert len(raw.sha256) == 64


@pytest.mark.parametrize("name", CIFAR)
@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "no folder"])
def test_damaged_cifar_is_one_line(
    write_cifar: Callable[[str], dict[str, dict[str, object]]], tmp_path: Path, name: str, damage: str
) -> None:
    kind, _ = CIFAR[name]
    write_cifar(name)
    victim = tmp_path / kind.base_folder / kind.test_list[0][0]
    whole = victim.read_bytes()
    match damage:
        case "missing":
            victim.unlink()
        case "no folder":
            victim.parent.rename(tmp_path / "elsewhere")
        case _:
            victim.write_bytes(whole[:-9] if damage == "cut" else whole[:-1] + b"x")
    complaint = rf"--data-root={tmp_path} holds no whole {kind.base_folder};.*{kind.__name__}\(root, download=True\)"
    with pytest.raises(DataUnavailableError, match=complaint) as error:
        read(name, tmp_path)
    assert "\n" not in str(error.value)


def write_image(path: Path, size: tuple[int, int], colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, "JPEG")


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes, red and blue, of three training images and two test images each."""
    monkeypatch.setitem(DATASETS, "imagenet", replace(DATASETS["imagenet"], train=6, test=4, classes=2))
    for label, colour in {"n01": (255, 0, 0), "n02": (0, 0, 255)}.items():
        for index in range(3):
            write_image(tmp_path / "imagenet" / "train" / label / f"{index}.JPEG", (300, 260 + index), colour)
        for index in range(2):
            write_image(tmp_path / "imagenet" / "val" / label / f"{index}.JPEG", (50, 40), colour)
    return tmp_path


def test_imagenet_is_listed_and_shuffled(imagenet: Path) -> None:
    raw = read("imagenet", imagenet)
    assert raw.train_images.shape == (6, 3, 224, 224)
    assert raw.test_images.shape == (4, 3, 224, 224)
    assert raw.classes == 2
    # Red is class 0, blue class 1: labels go with their images, whatever the order.
    blue = raw.train_images[:][:, 2].mean(axis=(1, 2)) > 0
    np.testing.assert_array_equal(blue, raw.train_labels == 1)
    assert 0 < np.argmax(raw.train_labels != raw.train_labels[0]) < 3


def test_imagenets_checksum_is_of_names_and_sizes(imagenet: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "data"
    before = read("imagenet", imagenet).sha256
    imagenet.rename(moved)
    assert read("imagenet", moved).sha256 == before
    victim = moved / "imagenet" / "val" / "n01" / "1.JPEG"
    victim.write_bytes(victim.read_bytes() + b"more")
    read.cache_clear()
    assert read("imagenet", moved).sha256 != before


@pytest.mark.parametrize("damage", ["no folder", "no test folder", "an empty class", "another class"])
def test_an_incomplete_imagenet_is_one_line(imagenet: Path, damage: str) -> None:
    folder = imagenet / "imagenet"
    match damage:
        case "no folder":
            folder.rename(imagenet / "elsewhere")
        case "no test folder":
            (folder / "val").rename(imagenet / "elsewhere")
        case "an empty class":
            (folder / "train" / "n03").mkdir()
        case "another class":
            write_image(folder / "val" / "n03" / "0.JPEG", (9, 9), (0, 0, 0))
    with pytest.raises(DataUnavailableError, match=rf"--data-root={imagenet} h.*imagenet/.*image-net\.org") as error:
        read("imagenet", imagenet)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"digits"}))
def test_sets_of_files_need_a_folder(name: str) -> None:
    with pytest.raises(DataUnavailableError, match=r"needs --data-root: a folder with .*torchvision\.datasets"):
        read(name, None)


# --- what is trained on is what it is said to be


def test_another_sets_files_are_not_taken_for_it(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fashion-MNIST's files have the names and shapes of MNIST's."""
    write_files(".")
    monkeypatch.setitem(PUBLISHED, "mnist", dict.fromkeys(PUBLISHED["mnist"], "0" * 64))
    with pytest.raises(DataUnavailableError, match="train-images-idx3-ubyte is not the file of that name of MNIST as"):
        read("mnist", tmp_path)
    assert read("fashion-mnist", tmp_path).train_images.shape == (12, 1, 28, 28)


@pytest.mark.parametrize("victim", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_one_changed_byte_is_noticed(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path, victim: str
) -> None:
    write_files(".")
    content = bytearray((tmp_path / victim).read_bytes())
    content[-1] ^= 1
    (tmp_path / victim).write_bytes(content)
    with pytest.raises(DataUnavailableError, match=f"{victim} is not the file of that name of MNIST as published"):
        read("mnist", tmp_path)


@pytest.mark.parametrize(
    ("file", "array", "complaint"),
    [
        (
            "train-labels-idx1-ubyte",
            np.zeros(10, np.uint8),
            r"mnist has 12 train examples of .*labels \(10,\)",
        ),
        ("train-labels-idx1-ubyte", np.zeros((12, 1), np.uint8), r"12 train examples of .* labels \(12, 1\), as found"),
        (
            "t10k-labels-idx1-ubyte",
            np.full(5, 77, np.uint8),
            "mnist has the test labels 0 to 9, not 77 to 77",
        ),
        ("t10k-images-idx3-ubyte", np.zeros((5, 14, 14), np.uint8), r"5 test examples of the shape \(1, 28, 28\), not"),
        ("train-images-idx3-ubyte", np.zeros((12, 784), np.uint8), r"mnist has 12 train examples of the shape"),
    ],
)
def test_files_that_contradict_the_catalogue_are_one_line(
    write_files: Callable[..., dict[str, np.ndarray]], tmp_path: Path, file: str, array: np.ndarray, complaint: str
) -> None:
    """Even if their sums were known."""
    write_files(".")
    write_idx(tmp_path / file, array, compressed=False)
    PUBLISHED["mnist"][file] = hashlib.sha256(idx(array)).hexdigest()
    with pytest.raises(DataUnavailableError, match=complaint) as error:
        read("mnist", tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["fewer", "labels"])
def test_cifar_is_held_to_the_catalogue(
    write_cifar: Callable[[str], dict[str, dict[str, object]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    write_cifar("cifar-10")
    known = DATASETS["cifar-10"]
    changed = replace(known, train=known.train + 1) if damage == "fewer" else replace(known, classes=3)
    monkeypatch.setitem(DATASETS, "cifar-10", changed)
    with pytest.raises(DataUnavailableError, match=r"cifar-10 has .*, as found"):
        read("cifar-10", tmp_path)


def test_a_class_of_imagenet_may_not_be_missing(imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "imagenet", replace(DATASETS["imagenet"], classes=3))
    with pytest.raises(DataUnavailableError, match="imagenet has 3 classes, not 2, as found"):
        read("imagenet", imagenet)
