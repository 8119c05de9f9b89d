"""Every net under every normalisation: against the oracle, and under a change of the weights' scale."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from ilr.data import Dataset
from ilr.experiment import (
    CNN,
    MLP,
    BatchNorm,
    Experiment,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Net,
    NoNorm,
    Norm,
    Observe,
    WeightNorm,
)
from ilr.layers import Layers
from ilr.nets import build
from ilr.observables import in_training
from ilr.schedules import Constant
from ilr.training import train
from tests.test_training import BASE, assert_equals_oracle

NETS: list[Net] = [MLP((12, 8)), MLP((16,) * 8), CNN((4, 6, 6, 4))]
NORMS: list[Norm] = [BatchNorm(), GroupNorm(2), LayerNorm(), InstanceNorm(), WeightNorm()]
REFUSED: list[tuple[Net, Norm, str]] = [
    (MLP((8, 8)), InstanceNorm(), "each unit of MLP 8-8 would be normalised by itself, a single number"),
    (MLP((12, 6)), GroupNorm(6), "each unit of MLP 12-6 would be normalised by itself"),
    (CNN((4, 6)), GroupNorm(4), "group norm in 4: 4 groups do not divide the 6 channels of CNN 4-6"),
]

RESCALING = ("loss_rescaling", "gradient_rescaling", "curvature_rescaling")


def takes(net: Net, norm: Norm) -> bool:
    return not (isinstance(net, MLP) and isinstance(norm, InstanceNorm))


TABLE = [(net, norm) for net, norm in product(NETS, NORMS) if takes(net, norm)]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Images large enough to be halved three times; few, because the plain nets are slow."""
    stream = np.random.default_rng(11)
    return Dataset(
        train_images=stream.standard_normal((24, 2, 12, 12)).astype(np.float32),
        train_labels=stream.integers(0, 5, 24),
        test_images=stream.standard_normal((16, 2, 12, 12)).astype(np.float32),
        test_labels=stream.integers(0, 5, 16),
        classes=5,
    )


@pytest.fixture(params=TABLE, ids=lambda pair: f"{pair[0]}, {pair[1]}")
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """Learns slowly: at a large learning rate the deepest nets' rounding errors would grow tenfold in a few steps."""
    net, norm = request.param
    return replace(BASE, net=net, norm=norm, replicas=2, batch_size=12, learning_rate=Constant(0.01))


def test_it_trains_as_the_oracle_does(experiment: Experiment, dataset: Dataset) -> None:
    assert_equals_oracle(experiment, dataset)


def test_loss_gradient_and_curvature_follow_the_scale_of_the_weights(experiment: Experiment, dataset: Dataset) -> None:
    observe = tuple(Observe(quantity, (0, 2), (0.01, 100.0)) for quantity in RESCALING)
    [arrays] = train([replace(experiment, steps=2, observe=observe)], dataset)
    for quantity in RESCALING:
        assert arrays[quantity].max() < 1e-9, quantity


def test_ten_times_the_weights_are_the_same_function(experiment: Experiment, dataset: Dataset) -> None:
    net = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    weights, head = (
        torch.from_numpy(np.stack([draw(experiment.seed, replica) for replica in (0, 1)]))
        for draw in (net.initial_weights, net.initial_head)
    )
    images = torch.from_numpy(dataset.train_images[None]).double()
    layers = Layers(in_training(experiment.norm))
    logits = net.forward(weights, head, images, layers)
    assert logits.std(dim=2).min() > 1e-3
    torch.testing.assert_close(net.forward(10 * weights, head, images, layers), logits, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", [GroupNorm(2, 0.1), LayerNorm(0.1), InstanceNorm(0.1)], ids=str)
def test_eps_is_added_to_the_variance(norm: Norm, dataset: Dataset) -> None:
    experiment = replace(BASE, net=CNN((4, 6)), norm=norm)
    assert_equals_oracle(experiment, dataset)
    [arrays] = train([replace(experiment, steps=0, observe=(Observe("loss_rescaling", (0,), (0.01,)),))], dataset)
    assert arrays["loss_rescaling"].min() > 1e-3


@pytest.mark.parametrize("norm", [GroupNorm(2), WeightNorm(), NoNorm()], ids=str)
def test_a_trained_head_is_not_normalised(norm: Norm, dataset: Dataset) -> None:
    assert_equals_oracle(replace(BASE, norm=norm, net=CNN((4, 6)), trainable_head=True), dataset)


def test_weight_norm_keeps_the_mean_square_through_relu(dataset: Dataset) -> None:
    experiment = replace(BASE, net=MLP((2000, 2000)), norm=WeightNorm(), replicas=1)
    fused = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    weights = torch.from_numpy(fused.initial_weights(0, 0)[None])
    images = torch.from_numpy(dataset.train_images[None])
    seen = fused.forward(
        weights, torch.eye(2000, dtype=torch.float64)[None], images.double(), Layers(in_training(WeightNorm()))
    )
    assert seen.square().mean().item() == pytest.approx(images.square().mean().item(), rel=0.05)


@pytest.mark.parametrize(("net", "norm", "complaint"), REFUSED, ids=str)
def test_a_norm_that_does_not_fit_the_net_is_refused(net: Net, norm: Norm, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(BASE, net=net, norm=norm)


def test_no_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="groups must be 1 or more, not 0"):
        GroupNorm(0)


def test_a_map_of_one_pixel_has_no_instance_norm(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="maps of 1×1 makes every number 0: take larger images"):
        train([replace(BASE, net=CNN((2,) * 9), norm=InstanceNorm())], dataset)
