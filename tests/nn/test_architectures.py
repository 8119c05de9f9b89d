"""Every net under every normalisation: against the oracle, and under a change of the weights' scale."""

import math
from dataclasses import is_dataclass, replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from ilr.data.dataset import Dataset
from ilr.experiments import norms
from ilr.experiments.architectures import CNN, MLP, BottleneckResNet, Net, PreResNet, ResNet
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.norms import BatchNorm, GroupNorm, InNet, InstanceNorm, NoNorm, Norm, WeightNorm
from ilr.experiments.schedules import Constant
from ilr.nn.architectures import build
from ilr.nn.layers import ConvolutionKernel, Layers
from ilr.nn.norms import COMPUTED_BY, in_training
from ilr.training.loop import train
from tests.oracle import PLAIN_NORMS, PlainNorm, plain_net
from tests.training.test_loop import BASE, assert_equals_oracle

NETS: list[Net] = [
    MLP((12, 8)),
    MLP((16,) * 8),
    CNN((4, 6, 6, 4)),
    PreResNet(2, (4, 6)),
    ResNet(2, (4, 6)),
    BottleneckResNet((2, 1), (4, 2)),
]
REFUSED: list[tuple[Net, Norm, str]] = [
    (MLP((8, 8)), InstanceNorm(), "each unit of MLP 8-8 would be normalised by itself, a single number"),
    (MLP((12, 6)), GroupNorm(6), "each unit of MLP 12-6 would be normalised by itself"),
    (CNN((4, 6)), GroupNorm(4), "group norm in 4: 4 groups do not divide the 6 channels of CNN 4-6"),
    (BottleneckResNet((1,), (4,)), GroupNorm(8), "8 groups do not divide the 4 channels of ResNet5 4 of bottlenecks"),
    (PreResNet(2, (4, 6)), InstanceNorm(), "the very pixels of which the head sees the mean, always 0"),
]

RESCALING = ("loss_rescaling", "gradient_rescaling", "curvature_rescaling")


PAIRS = [(net, norm) for net, norm in product(NETS, PLAIN_NORMS) if not isinstance(net, norm.refuses)]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Images large enough to be halved three times; few, because the plain nets are slow."""
    stream = np.random.default_rng(11)
    return Dataset(
        train_images=stream.standard_normal((16, 2, 10, 10)).astype(np.float32),
        train_labels=stream.integers(0, 5, 16),
        test_images=stream.standard_normal((8, 2, 10, 10)).astype(np.float32),
        test_labels=stream.integers(0, 5, 8),
        classes=5,
    )


def of_every(pairs: list[tuple[Net, PlainNorm]]) -> pytest.MarkDecorator:
    """Learns slowly: normalisation over four pixels makes gradients so large that faster training would be chaos,
    in which rounding errors grow tenfold in a few steps."""
    slow = replace(BASE, replicas=2, batch_size=8, learning_rate=Constant(0.001))
    experiments = [replace(slow, net=net, norm=norm.example) for net, norm in pairs]
    return pytest.mark.parametrize("experiment", experiments, ids=lambda one: f"{one.net}, {one.norm}")


EVERY_NET_AND_NORM = of_every(PAIRS)
EVERY_INVARIANT = of_every([(net, norm) for net, norm in PAIRS if norm.scale_invariant])


def test_every_norm_is_computed_and_has_an_oracle() -> None:
    kinds = {kind for kind in vars(norms).values() if is_dataclass(kind) and issubclass(kind, Norm)}
    # What is within a net is computed, and has its oracle, with the net.
    assert kinds == set(COMPUTED_BY) == {InNet, *(type(norm.example) for norm in PLAIN_NORMS)}


@EVERY_NET_AND_NORM
def test_it_trains_as_the_oracle_does(experiment: Experiment, dataset: Dataset) -> None:
    assert_equals_oracle(experiment, dataset)


@EVERY_INVARIANT
def test_loss_gradient_and_curvature_follow_the_scale_of_the_weights(experiment: Experiment, dataset: Dataset) -> None:
    observe = tuple(Observe(quantity, (1,), (0.01, 100.0)) for quantity in RESCALING)
    [arrays] = train([replace(experiment, steps=1, observe=observe)], dataset)
    for quantity in RESCALING:
        assert arrays[quantity].max() < 1e-9, quantity


@EVERY_INVARIANT
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


@pytest.mark.parametrize(
    "norm", [replace(norm.example, eps=0.1) for norm in PLAIN_NORMS if hasattr(norm.example, "eps")], ids=str
)
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


@pytest.mark.parametrize("norm", PLAIN_NORMS, ids=lambda norm: str(norm.example))
@pytest.mark.parametrize("net", NETS, ids=str)
def test_a_norm_refuses_the_nets_that_its_oracle_leaves_out(net: Net, norm: PlainNorm) -> None:
    if isinstance(net, norm.refuses):
        with pytest.raises(ValueError, match=str(net)):
            norm.example.check(net)
    else:
        norm.example.check(net)


def test_the_toy_is_no_fused_net(small_toy: Experiment) -> None:
    with pytest.raises(TypeError, match=r"toy x²/\(x²\+y²\) is not trained on data"):
        build(small_toy, (1, 8, 8), 10)


def test_no_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="groups must be 1 or more, not 0"):
        GroupNorm(0)


def test_a_map_of_one_pixel_has_no_instance_norm(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="maps of 1×1 makes every number 0: take larger images"):
        train([replace(BASE, net=CNN((2,) * 7), norm=InstanceNorm())], dataset)


def test_images_can_be_halved_until_nothing_is_left(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match=r"^CNN 2-2-2-2-2-2-2-2-2 halves the images until nothing is left"):
        build(replace(BASE, net=CNN((2,) * 9)), dataset.train_images.shape[1:], dataset.classes)


@pytest.mark.parametrize("kernel", get_args(ConvolutionKernel))
@pytest.mark.parametrize("net", [net for net in NETS if not isinstance(net, MLP)], ids=str)
def test_both_convolutions_and_replicas_with_batches_of_their_own_agree(
    net: Net, kernel: ConvolutionKernel, dataset: Dataset
) -> None:
    """Each replica by itself on its own images, against all at once: images that all share take another path."""
    fused = build(replace(BASE, net=net), dataset.train_images.shape[1:], dataset.classes)
    weights = torch.from_numpy(np.stack([fused.initial_weights(0, replica) for replica in range(3)]))
    head = torch.from_numpy(np.stack([fused.initial_head(0, replica) for replica in range(3)]))
    images = torch.from_numpy(dataset.train_images[:15].reshape(3, 5, *dataset.train_images.shape[1:])).double()
    together = fused.forward(weights, head, images, Layers(in_training(BatchNorm()), kernel))
    for replica in range(3):
        own = slice(replica, replica + 1)
        alone = fused.forward(weights[own], head[own], images[own], Layers(in_training(BatchNorm())))
        torch.testing.assert_close(together[own], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("net", "side", "weights", "multiply_adds"),
    [(PreResNet(), 32, 0.46e6, 69e6), (ResNet(), 32, 11.2e6, 555e6), (BottleneckResNet(), 224, 23.5e6, 4.09e9)],
    ids=str,
)
def test_the_standard_nets_have_their_known_size(net: Net, side: int, weights: float, multiply_adds: float) -> None:
    """Against what is known of them, and exactly against torch's count on the plain nets."""
    experiment = replace(BASE, net=net)
    fused = build(experiment, (3, side, side), 10)
    assert sum(fused.sizes) == pytest.approx(weights, rel=0.01)
    assert fused.multiply_adds() == pytest.approx(multiply_adds, rel=0.01)
    outputs: list[int] = []
    image, label = np.zeros((1, 3, side, side), np.float32), np.zeros(1, np.int64)
    with torch.device("meta"):
        plain = plain_net(experiment, Dataset(image, label, image, label, classes=10))
        for layer in plain.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda _, __, maps: outputs.append(maps.numel()))
        with FlopCounterMode(display=False) as counter:
            plain(torch.empty(image.shape, dtype=torch.float64))
    assert fused.multiply_adds() + math.prod(fused.head) == counter.get_total_flops() / 2
    assert fused.activations() == sum(outputs)


def test_the_bottleneck_net_is_torchvisions_resnet50() -> None:
    with torch.device("meta"):
        convolutions = [tuple(weights.shape) for weights in resnet50().parameters() if weights.ndim == 4]
    fused = build(replace(BASE, net=BottleneckResNet()), (3, 224, 224), 1000)
    assert fused.layers == convolutions
    assert fused.head == (1000, 2048)


def test_stages_need_blocks_and_widths() -> None:
    with pytest.raises(ValueError, match=r"those of the same stages, not \(3, 4\) and \(8,\)"):
        BottleneckResNet((3, 4), (8,))
