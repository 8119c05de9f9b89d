"""Data sets as trained on: cut down, averaged, standardised, resident or not; and random ones of the same form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ilr.data import dataset as data_module
from ilr.data.catalog import DATASETS, DatasetInfo, DataUnavailableError, info_of
from ilr.data.dataset import Dataset, Pixels, load, synthetic
from ilr.data.on_device import place
from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe, ResizedCropFlip
from ilr.training.loop import train


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
    with pytest.raises(DataUnavailableError, match=complaint):
        info_of(data)


def test_a_streamed_set_is_not_averaged_down() -> None:
    for cut in (info_of, synthetic):
        with pytest.raises(DataUnavailableError, match="imagenet is streamed at side 224: leave side=112 out"):
            cut(Data("imagenet", side=112))


@pytest.mark.parametrize("side", [None, 8])
def test_every_channel_is_standardised(side: int | None) -> None:
    images = synthetic(Data("cifar-10", train=200, test=100, side=side)).train_images[:]
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_black_is_the_darkest_pixel() -> None:
    dataset = synthetic(Data("cifar-10", train=200, test=100))
    np.testing.assert_array_equal(dataset.black, dataset.train_images[:].min(axis=(0, 2, 3)))


def in_bytes(data: Data, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A synthetic set, kept as it was read although it is small."""
    with monkeypatch.context() as patch:
        patch.setattr(data_module, "LARGEST_IN_FLOAT32", 0)
        dataset = synthetic(data)
    assert isinstance(dataset.train_images, Pixels)
    return dataset


@pytest.mark.parametrize("side", [None, 8])
@pytest.mark.parametrize("which", [torch.tensor([[3, 3, 59], [0, 7, 1]]), slice(4, 20), slice(None)], ids=str)
def test_bytes_give_the_images_that_numbers_would(
    monkeypatch: pytest.MonkeyPatch, side: int | None, which: torch.Tensor | slice
) -> None:
    data = Data("cifar-10", train=60, test=30, side=side)
    kept, numbers = (
        place(one.train_images, one.train_labels, torch.device("cpu"), torch.float64)[which]
        for one in (in_bytes(data, monkeypatch), synthetic(data))
    )
    assert kept.images.dtype == torch.float64
    np.testing.assert_array_equal(kept.images, numbers.images)
    np.testing.assert_array_equal(kept.labels, numbers.labels)


@pytest.mark.parametrize("change", [{}, {"augmentation": CropFlip()}, {"batch_size": None}], ids=str)
def test_training_is_the_same_from_bytes(
    monkeypatch: pytest.MonkeyPatch, small_experiment: Experiment, change: dict[str, object]
) -> None:
    data = Data("cifar-10", train=64, test=32)
    experiment = replace(small_experiment, data=data, **change)
    [kept], [numbers] = train([experiment], in_bytes(data, monkeypatch)), train([experiment], synthetic(data))
    for quantity, values in numbers.items():
        np.testing.assert_array_equal(kept[quantity], values)


@pytest.mark.parametrize("name", DATASETS)
def test_synthetic_sets_have_the_form_of_real_ones(name: str) -> None:
    data = Data(name, train=30, test=20)
    info, dataset = info_of(data), synthetic(data)
    assert dataset.train_images.shape == dataset.train_images[:].shape == (30, *info.image_shape)
    assert dataset.test_images.shape == (20, *info.image_shape)
    assert dataset.train_images[:].dtype == np.float32
    assert dataset.classes == info.classes
    assert 0 <= dataset.train_labels.min() <= dataset.train_labels.max() < info.classes
    np.testing.assert_array_equal(dataset.train_images[:], synthetic(data).train_images[:])
    assert not np.array_equal(dataset.train_images[:], synthetic(data, seed=1).train_images[:])


def test_the_forms_are_those_of_the_files() -> None:
    digits = load(Data("digits", side=4))
    assert info_of(Data("digits", side=4)) == DatasetInfo(1, 4, 10, train=1297, test=500, number_bytes=4)
    assert (len(digits.train_labels), *digits.train_images.shape[1:]) == (1297, 1, 4, 4)
    assert len(digits.test_labels) == 500


def test_a_streamed_set_trains_like_one_in_memory(small_experiment: Experiment) -> None:
    data = Data("imagenet", train=16, test=8)
    experiment = replace(small_experiment, net=MLP((4,)), data=data, batch_size=4, precision="float64")
    stream = synthetic(data)
    memory = replace(stream, train_images=stream.train_images[:], test_images=stream.test_images[:])
    for change in ({}, {"batch_size": None}):
        changed = replace(experiment, **change)
        [streamed], [resident] = train([changed], stream), train([changed], memory)
        for quantity, values in resident.items():
            np.testing.assert_array_equal(streamed[quantity], values)


def test_noise_can_be_rehearsed_with_resized_crops(small_experiment: Experiment) -> None:
    data = Data("imagenet", train=8, test=4)
    experiment = replace(
        small_experiment,
        net=MLP((4,)),
        data=data,
        batch_size=4,
        augmentation=ResizedCropFlip(),
        observe=(Observe("batch_loss", (0, 5)),),
    )
    [arrays] = train([experiment], synthetic(data))
    assert np.isfinite(arrays["batch_loss"]).all()
