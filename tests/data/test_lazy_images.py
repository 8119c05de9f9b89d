"""Images decoded when they are asked for: against torchvision's own transforms, in any order, whole or damaged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from ilr.data.catalog import DataUnavailableError
from ilr.data.lazy_images import ImageFiles

STANDARDISE = [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]


def test_evaluated_is_the_usual_centre(image_files: ImageFiles) -> None:
    usual = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), *STANDARDISE])
    assert image_files.shape == (4, 3, 224, 224)
    for index, path in enumerate(image_files.paths):
        expected = usual(Image.open(path).convert("RGB")).numpy()
        np.testing.assert_array_equal(image_files[np.array([index])][0], expected)


def test_images_come_in_the_order_asked_for(image_files: ImageFiles) -> None:
    everything = image_files[:]
    indices = np.array([[3, 0], [0, 2]])
    np.testing.assert_array_equal(image_files[indices], everything[indices])
    np.testing.assert_array_equal(image_files.first(2)[:], everything[:2])


def test_crops_are_torchvisions_own_from_each_seed(image_files: ImageFiles) -> None:
    usual = transforms.Compose([transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *STANDARDISE])
    indices, seeds = np.array([[0, 1, 2], [1, 1, 3]]), np.arange(6).reshape(2, 3)
    before = torch.random.get_rng_state()
    crops = image_files.resized_crops(indices, seeds)
    assert torch.equal(torch.random.get_rng_state(), before)
    for place in np.ndindex(indices.shape):
        image = Image.open(image_files.paths[indices[place]]).convert("RGB")
        with torch.random.fork_rng():
            torch.manual_seed(seeds[place])
            np.testing.assert_array_equal(crops[place], usual(image).numpy())


@pytest.mark.parametrize("kept", [0, 1000])
def test_a_truncated_image_is_one_line(image_files: ImageFiles, kept: int) -> None:
    victim = Path(image_files.paths[1])
    victim.write_bytes(victim.read_bytes()[:kept])
    with pytest.raises(DataUnavailableError, match=rf"{victim} cannot be decoded.*unpack ImageNet again") as error:
        image_files[:]
    assert "\n" not in str(error.value)
