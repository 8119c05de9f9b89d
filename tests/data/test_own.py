"""Data of somebody's own: trained on as given, found again by its content, refused in one line where it is wrong."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilr.__main__ import main
from ilr.data.catalog import DataUnavailableError, check_fit, info_of
from ilr.data.dataset import Pixels, load
from ilr.data.readers import read
from ilr.experiments.architectures import CNN
from ilr.experiments.experiment import CropFlip, Data, Experiment
from ilr.experiments.own import OwnRecordError
from ilr.experiments.own_data import NpzFile, OwnData, arrays_of, npz
from ilr.lab.cost import peak_bytes
from ilr.lab.data_folder import DataFolder
from ilr.lab.scheduler import TrainingFailedError
from ilr.lab.store import recording_file as form
from ilr.serialization import digest, from_json, record, to_json
from ilr.session.memory import PROCESS_BYTES, check_memory
from ilr.session.options import BadOptionError
from ilr.training.trainers import trainer_of
from tests.stores import trained_at

Arrays = dict[str, Any]


def arrays(shape: tuple[int, ...] = (6, 6), dtype: str = "uint8") -> Arrays:
    """Sixty training and twenty test examples of three classes, of which an image says in its first pixel."""
    stream = np.random.default_rng(3)
    found: Arrays = {}
    for part, count in (("", 60), ("test_", 20)):
        images = stream.integers(0, 200, (count, *shape)).astype(dtype)
        labels = np.arange(count) % 3
        images.reshape(count, -1)[:, 0] = 80 * labels
        found |= {f"{part}images": images, f"{part}labels": labels}
    return found


def written(folder: Path, name: str = "mine.npz", **changes: Any) -> Path:
    """A file with arrays of which some are changed, or left out where `None` stands for them."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    np.savez(path, **{field: array for field, array in (arrays() | changes).items() if array is not None})
    return path


@record
class Given(OwnData):
    """What it gives is looked up by its number, as arrays are nothing that a record holds."""

    number: int

    def load(self) -> Any:
        given = GIVEN[self.number]
        return given() if callable(given) else given


GIVEN: dict[int, Any] = {}


def giving(value: Any) -> Given:
    GIVEN[len(GIVEN)] = value
    return Given(len(GIVEN) - 1)


def on(experiment: Experiment, own: OwnData, **changes: Any) -> Experiment:
    return replace(experiment, data=Data(own), **changes)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((6, 6), (1, 6, 6)), ((1, 6, 6), (1, 6, 6)), ((3, 4, 4), (3, 4, 4)), ((7,), (7, 1, 1)), ((1,), (1, 1, 1))],
)
@pytest.mark.parametrize("dtype", ["uint8", "float64", "int32", "float16"])
def test_images_and_vectors_are_standardised(shape: tuple[int, ...], image_shape: Any, dtype: str) -> None:
    given = arrays(shape, dtype)
    own = giving(tuple(given.values()))
    info, dataset = info_of(Data(own)), load(Data(own))
    assert (info.image_shape, info.classes, info.train, info.test) == (image_shape, 3, 60, 20)
    images = dataset.train_images[:]
    assert images.shape == (60, *image_shape)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, rtol=1e-5)
    # The test set by the training set's moments, each image where it was.
    plain = given["images"].reshape(60, *image_shape).astype(np.float64)
    mean, deviation = plain.mean(axis=(0, 2, 3), keepdims=True), plain.std(axis=(0, 2, 3), keepdims=True)
    expected = (given["test_images"].reshape(20, *image_shape) - mean) / deviation
    np.testing.assert_allclose(dataset.test_images[:], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(dataset.test_labels, given["test_labels"])


def test_a_feature_that_never_changes_is_zero() -> None:
    given = arrays((4,), "float64")
    for part in ("images", "test_images"):
        given[part][:, 1] = 0.1
        given[part][:, 2] = 0.0
    given["test_images"][:, 2] = 5.0  # it does change in the test set, by so much
    dataset = load(Data(giving(tuple(given.values()))))
    assert not dataset.train_images[:][:, 1:3].any()
    assert (dataset.test_images[:][:, 2] == 5).all()


def test_it_can_be_cut_down_as_any_set(tmp_path: Path) -> None:
    data = Data(npz(written(tmp_path)), train=10, test=5, side=3)
    assert load(data).train_images.shape == (10, 1, 3, 3)
    assert str(data).endswith(", 10 examples at 3×3")
    with pytest.raises(DataUnavailableError, match="60 train examples, not the 61 asked for"):
        load(Data(npz(written(tmp_path)), train=61))


def test_floats_too_large_to_keep_standardised_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ilr.data.dataset.LARGEST_IN_FLOAT32", 0)
    own = giving(tuple(arrays((6, 6), "float64").values()))
    kept = load(Data(own)).train_images
    assert isinstance(kept, Pixels)
    monkeypatch.undo()
    np.testing.assert_array_equal(kept[:], load(Data(own)).train_images[:])


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("largest", [0, 2**28])
@pytest.mark.parametrize("side", [None, 3])
def test_the_memory_check_counts_numbers_as_they_are_kept(
    dtype: str,
    largest: int,
    side: int | None,
    small_experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for module in ("data.dataset", "training.trainers"):
        monkeypatch.setattr(f"ilr.{module}.LARGEST_IN_FLOAT32", largest)
    data = Data(giving(tuple(arrays((6, 6), dtype).values())), side=side)
    experiment = replace(small_experiment, data=data)
    dataset = load(data)
    kept = 0
    for images in (dataset.train_images, dataset.test_images):
        kept += images.pixels.nbytes if isinstance(images, Pixels) else np.asarray(images).nbytes
    lab = trained_at(tmp_path)
    plan = lab.plan([experiment])
    beside = peak_bytes([experiment]) - trainer_of(experiment).data_bytes + PROCESS_BYTES
    monkeypatch.setattr("ilr.session.memory.CERTAIN", 1)
    for free, fits in ((beside + kept, True), (beside + kept - 1, False)):
        monkeypatch.setattr("ilr.session.memory.available_memory", lambda free=free: free)
        if fits:
            assert not check_memory(plan, lab)
        else:
            with pytest.raises(BadOptionError, match=r"needs about .* of memory"):
                check_memory(plan, lab)


def test_the_content_is_what_recordings_are_found_by(tmp_path: Path, small_experiment: Experiment) -> None:
    """A file that is moved is the same data; one number more or less is other data."""
    here, there = written(tmp_path), tmp_path / "elsewhere" / "called-so.npz"
    first = on(small_experiment, npz(here))
    lab = trained_at(tmp_path / "store", first)
    assert lab.recording(first)["weight_norm"].shape == (3, 3)
    assert list(lab.data_sha256) == [f"mine.npz ({npz(here).sha256[:8]})"]
    there.parent.mkdir()
    here.rename(there)
    moved = on(small_experiment, npz(there))
    assert digest(moved) == digest(first)
    assert not lab.plan([moved]).jobs
    images = arrays()["images"]
    images[0, 0, 0] += 1
    changed = on(small_experiment, npz(written(tmp_path, images=images)))
    assert digest(changed) != digest(first)
    assert len(lab.plan([changed]).jobs) == 1


def test_what_load_gives_is_part_of_the_key(small_experiment: Experiment, tmp_path: Path) -> None:
    """The same record may read another file tomorrow; its arrays are told apart by shape and type, too."""
    first, other, wide, floats = arrays((4, 2, 2)), arrays((4, 2, 2)), arrays((4, 2, 2)), arrays((4, 2, 2), "float32")
    other["test_labels"] = other["test_labels"][::-1].copy()
    for part in ("images", "test_images"):
        wide[part] = wide[part].reshape(len(wide[part]), 16)
    sums = {read(giving(tuple(one.values())), None).sha256 for one in (first, other, wide, floats)}
    assert len(sums) == 4
    key = trained_at(tmp_path, on(small_experiment, giving(tuple(first.values())))).keys
    assert key(on(small_experiment, giving(tuple(first.values()))))[0].data_sha256 in sums


def test_data_that_changes_while_a_run_is_on_trains_nothing(tmp_path: Path, small_experiment: Experiment) -> None:
    """As a random data set without a seed, of which every process would have another."""
    own = giving(tuple(arrays().values()))
    lab = trained_at(tmp_path)
    planned = on(small_experiment, own)
    plan = lab.plan([planned])
    read.cache_clear()
    arrays_of.cache_clear()
    GIVEN[own.number] = tuple(arrays((6, 6), "float32").values())
    lab.train(plan)
    with pytest.raises(TrainingFailedError, match="is not what it was when this was planned"):
        lab.recording(planned)


def test_a_record_goes_wherever_an_experiment_goes(tmp_path: Path, small_experiment: Experiment) -> None:
    experiment = on(small_experiment, npz(written(tmp_path)))
    assert pickle.loads(pickle.dumps(experiment)) == experiment
    assert from_json(to_json(experiment)) == experiment


def test_nothing_stands_in_for_what_cannot_be_loaded(tmp_path: Path) -> None:
    """Not even its form is known."""
    own = NpzFile("0" * 64, str(tmp_path / "gone.npz"))
    for ask in (lambda: DataFolder(None, stand_in=True).sha256(own), lambda: info_of(Data(own))):
        with pytest.raises(OwnRecordError, match=r"gone\.npz"):
            ask()


def with_nan(value: float = np.nan) -> Any:
    images = arrays((6, 6), "float64")["images"]
    images[4, 2, 1] = value
    return images


NOTHING = np.zeros((0, 6, 6))
WRONG: dict[str, tuple[Arrays, str]] = {
    "an array is missing": ({"test_labels": None}, "test_labels is missing: it holds images, labels, test_images"),
    "no array": ({"images": np.float64(3)}, r"images have the shape \(\), and must be"),
    "not square": ({"images": np.zeros((60, 6, 5))}, r"images have the shape \(60, 6, 5\), and must be"),
    "channels last": ({"images": np.zeros((60, 8, 8, 3))}, r"images have the shape \(60, 8, 8, 3\), and must be"),
    "nothing": ({"images": NOTHING}, r"images have the shape \(0, 6, 6\)"),
    "other test images": ({"test_images": np.zeros((20, 5, 5))}, r"test_images have the shape \(20, 5, 5\), and must"),
    "text": ({"images": np.full((60, 6, 6), "x")}, "images are of the type <U1, and must be numbers"),
    "complex": ({"images": np.ones((60, 6, 6)) * 1j}, "images are of the type complex128, and must be numbers"),
    "NaN": ({"images": with_nan()}, r"images\[4, 2, 1\] is nan, and must be a finite number"),
    "infinite": ({"images": with_nan(np.inf)}, r"images\[4, 2, 1\] is inf, and must be a finite"),
    "beyond float32": ({"images": with_nan(1e39)}, r"images\[4, 2, 1\] is 1e\+39, and must be a finite"),
    "NaN in test": ({"test_images": with_nan()[:20]}, r"test_images\[4, 2, 1\] is nan"),
    "too few labels": ({"labels": np.arange(59) % 3}, r"labels have the shape \(59,\), and must be \(60,\)"),
    "one-hot": ({"labels": np.eye(3, dtype=int)[np.arange(60) % 3]}, r"labels have the shape \(60, 3\), and must be"),
    "float labels": ({"labels": np.arange(60) % 3 / 1}, "labels are of the type float64, and must be whole numbers"),
    "negative": ({"labels": np.arange(60) % 3 - 1}, r"labels\[0\] is -1, and must be a whole number from 0 on"),
    "from 1 on": ({"labels": np.arange(60) % 3 + 1}, "labels go up to 3 and none is 0"),
    "a gap": ({"labels": np.arange(60) % 2 * 2}, "labels go up to 2 and none is 1"),
    "one class": ({"labels": np.zeros(60, int)}, "labels are all 0, and must be of 2 classes or more"),
    "an unknown class": ({"test_labels": np.arange(20) % 4}, r"test_labels\[3\] is 3, and must be 0 to 2"),
    "negative in test": ({"test_labels": np.arange(20) % 3 - 1}, r"test_labels\[0\] is -1"),
    "objects": ({"labels": np.array([None] * 60)}, "is no .npz file of numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_wrong_is_one_line(name: str, tmp_path: Path) -> None:
    changes, complaint = WRONG[name]
    path = written(tmp_path, **changes)
    with pytest.raises(OwnRecordError, match=complaint) as caught:
        load(Data(npz(path)))
    assert str(caught.value).startswith(f"{path.name}: ")
    assert "\n" not in str(caught.value)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-90])


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(cut_short, id="cut short"),
        pytest.param(damaged, id="damaged"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_text("labels,images\n0,1\n"), id="text"),
        pytest.param(lambda path: path.write_bytes(pickle.dumps([1, 2])), id="pickle"),
        pytest.param(one_array, id="npy"),
    ],
)
def test_what_is_no_npz_file_is_one_line(spoil: Callable[[Path], Any], tmp_path: Path) -> None:
    path = written(tmp_path)
    spoil(path)
    with pytest.raises(OwnRecordError, match=r"is no (whole )?\.npz file") as caught:
        load(Data(npz(path)))
    assert str(caught.value).startswith(f"{path.name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.npz", "."])
def test_a_file_that_cannot_be_read_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"give an \.npz file with images, labels, test_images, test_labels$"
    ) as caught:
        npz(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_has_changed_is_one_line(tmp_path: Path) -> None:
    own = npz(written(tmp_path))
    written(tmp_path, images=arrays()["images"] // 2)
    with pytest.raises(OwnRecordError, match=r"mine\.npz: has changed since this run began"):
        load(Data(own))


def raises() -> None:
    raise KeyError("two\nlines")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (None, "gives None: it must give images, labels, test_images, test_labels"),
        ((1, 2, 3), r"gives \(1, 2, 3\): it must give"),
        (raises, r"raises KeyError: 'two\\nlines'"),
        ((*tuple(arrays().values())[:3], [[1], [2, 3]]), r"test_labels is \[\[1\], \[2, 3\]\], and must be an array"),
    ],
)
def test_a_record_that_gives_something_else_is_one_line(given: Any, complaint: str) -> None:
    with pytest.raises(OwnRecordError, match=rf"^test_own\.py: Given: .*{complaint}"):
        load(Data(giving(given)))


def test_a_class_that_is_no_record_is_refused() -> None:
    class Plain(OwnData):
        def load(self) -> Any: ...

    class Heir(Given):
        pass

    for own in (Plain(), Heir(0)):
        with pytest.raises(
            ValueError, match=r"Data: name=.* must be a record: put @ilr.record above the class \(test_own\.py: "
        ):
            Data(own)
    with pytest.raises(ValueError, match=r"Data: name=<class .* must be a text or OwnData"):
        Data(Plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"net": CNN((4,))}, "CNN 4 takes images, and .* has vectors of 5 features: take an MLP"),
        ({"augmentation": CropFlip(1)}, "crop by 1 and flip is for images, and .* has vectors of 5 features"),
        ({"batch_size": 61}, "a batch of 61 cannot be drawn from the 60 training examples of"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_training(
    changes: Any, complaint: str, small_experiment: Experiment
) -> None:
    experiment = on(small_experiment, giving(tuple(arrays((5,)).values())))
    check_fit(experiment)
    with pytest.raises(ValueError, match=complaint):
        check_fit(replace(experiment, **changes))


def test_the_store_lists_and_verifies_what_it_cannot_load(
    tmp_path: Path, small_experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not here any more, and a record whose load() fails by now."""
    own, path, store = giving(tuple(arrays().values())), written(tmp_path), tmp_path / "store"
    trained_at(store, on(small_experiment, own), on(small_experiment, npz(path)))
    path.unlink()
    GIVEN[own.number] = raises
    arrays_of.cache_clear()
    form._forms_of_one.cache_clear()
    assert main(["store", "ls", f"--store={store}"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[1] for line in lines) == ["Given", "NpzFile"]
    assert main(["store", "verify", f"--store={store}"]) == 0
