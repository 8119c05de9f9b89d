"""Augmentation: against torchvision image by image, and a replica's own draws whatever its company."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ilr.data.augmentation import Augmenter, Draws, crop_and_flip
from ilr.data.dataset import Dataset, synthetic
from ilr.data.lazy_images import ImageFiles
from ilr.data.on_device import place
from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Augmentation, CropFlip, Data, Observe, ResizedCropFlip
from ilr.training.loop import train
from tests.oracle import crop_and_flip_plain
from tests.training.test_loop import BASE, EXACT

AUGMENTATIONS: list[Augmentation] = [CropFlip(2), ResizedCropFlip()]


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("black", [[0.0], [-1.5, 0.25, 2.0]])
def test_crops_are_those_of_a_loop_over_images(padding: int, black: list[float]) -> None:
    stream = np.random.default_rng(3)
    images = torch.from_numpy(stream.standard_normal((2, 30, 3, 5, 5)))
    draws = Draws(CropFlip(padding), [(0, 0), (0, 1)], 30, 1).at(0)
    shade = np.array(black)
    fused = crop_and_flip(images, torch.from_numpy(draws), padding, torch.from_numpy(shade))
    for replica in range(2):
        plain = crop_and_flip_plain(images[replica], draws[replica], padding, shade)
        np.testing.assert_allclose(fused[replica].numpy(), plain.numpy(), **EXACT)


def test_every_crop_is_drawn_equally_often_and_half_are_mirrored() -> None:
    draws = np.concatenate([Draws(CropFlip(1), [(0, replica)], 3000, 1).at(0)[0] for replica in range(6)])
    _, counts = np.unique(draws, axis=0, return_counts=True)
    # Eighteen outcomes, 1,000 of each expected; 154 is five standard deviations.
    assert len(counts) == 18
    assert np.abs(counts - 1000).max() < 154


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=str)
def test_draws_are_a_replicas_own(augmentation: Augmentation) -> None:
    together = Draws(augmentation, [(0, 3), (0, 4), (1, 3)], batch_size=6, steps_per_epoch=3)
    alone = Draws(augmentation, [(0, 4)], batch_size=6, steps_per_epoch=3)
    for step in (0, 2, 3, 1):
        drawn = together.at(step)
        np.testing.assert_array_equal(drawn[1:2], alone.at(step))
        assert not np.array_equal(drawn[0], drawn[1])
        assert not np.array_equal(drawn[0], drawn[2])
    assert len({alone.at(step).tobytes() for step in range(9)}) == 9


def test_an_augmented_replica_is_the_same_alone_and_in_company(random_dataset: Dataset) -> None:
    whole = replace(BASE, augmentation=CropFlip(2))
    [together] = train([whole], random_dataset)
    for replica in whole.replica_ids:
        [alone] = train([whole.slice(replica, 1)], random_dataset)
        np.testing.assert_allclose(alone["weights"][0], together["weights"][replica], **EXACT)


def test_a_streamed_replica_is_the_same_alone_and_in_company(image_files: ImageFiles) -> None:
    labels = np.arange(4)
    dataset = Dataset(image_files, labels, image_files, labels, classes=4)
    whole = replace(BASE, net=MLP((3,)), batch_size=3, steps=4, observe=(Observe("batch_loss", range(4)),))
    [plain] = train([whole], dataset)
    whole = replace(whole, augmentation=ResizedCropFlip())
    [together] = train([whole], dataset)
    assert (together["batch_loss"] != plain["batch_loss"]).all()
    [alone] = train([whole.slice(1, 1)], dataset)
    np.testing.assert_allclose(alone["batch_loss"][0], together["batch_loss"][1], **EXACT)


def test_training_batches_alone_are_augmented(random_dataset: Dataset) -> None:
    [plain] = train([BASE], random_dataset)
    [augmented] = train([replace(BASE, augmentation=CropFlip(2))], random_dataset)
    for quantity in ("train_accuracy", "test_predictions"):
        np.testing.assert_array_equal(augmented[quantity][:, 0], plain[quantity][:, 0])
    assert (augmented["batch_loss"][:, 0] != plain["batch_loss"][:, 0]).all()


@pytest.mark.parametrize(("name", "augmentation"), [("digits", ResizedCropFlip()), ("imagenet", CropFlip())])
def test_an_augmentation_for_other_data_is_refused(name: str, augmentation: Augmentation) -> None:
    dataset = synthetic(Data(name, train=8, test=4))
    examples = place(dataset.train_images, dataset.train_labels, torch.device("cpu"), torch.float32)
    with pytest.raises(ValueError, match=r"CropFlip\(.*\) does not fit the data"):
        Augmenter(examples, augmentation, torch.zeros(1))
