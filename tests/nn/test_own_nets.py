"""Nets of somebody's own: R at once against single modules under torch.optim; and what is told of one that is wrong."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ilr.data.dataset import Dataset
from ilr.data.sampling import BatchOrder
from ilr.experiments.architectures import MLP, Net
from ilr.experiments.experiment import Data, Experiment, Observe, Partners
from ilr.experiments.norms import BatchNorm, InNet
from ilr.experiments.optimizers import SGD, AdamW
from ilr.experiments.own import OwnRecordError
from ilr.experiments.schedules import Constant, Cosine
from ilr.experiments.seeding import Stream, generator
from ilr.nn.architectures import build
from ilr.nn.execution import Formulation, candidates
from ilr.nn.own.modules import FusedModule
from ilr.nn.own.trying import try_net
from ilr.training.loop import train
from ilr.training.trainers import NetTrainer, invariance_found
from tests.lab.test_checkpoints import EVERYTHING, assert_goes_on
from tests.oracle import plain_optimizer
from tests.training.test_loop import BASE, EXACT, STEPS
from tests.transformer import VisionTransformer

# Modules as somebody may write them


class Tied(nn.Module):
    """One layer used twice, a constant in a buffer, and a scale that is a single number."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.first, self.tied, self.head = nn.Linear(pixels, 6), nn.Linear(6, 6), nn.Linear(6, classes)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("shift", torch.linspace(-1, 1, 6))
        self.again = self.tied

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(images.flatten(1)) + self.shift)
        return self.scale * self.head(torch.tanh(self.again(torch.tanh(self.tied(hidden)))))


def vision_transformer(shape: tuple[int, ...], classes: int) -> nn.Module:
    return VisionTransformer(shape[0], shape[1], classes)


def tied(shape: tuple[int, ...], classes: int) -> nn.Module:
    return Tied(shape[0] * shape[1] ** 2, classes)


def batch_norms(shape: tuple[int, ...], classes: int) -> nn.Module:
    """With running statistics, and a frozen head."""
    head = nn.Linear(6, classes, bias=False).requires_grad_(False)
    return nn.Sequential(
        *(nn.Conv2d(shape[0], 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, bias=False)),
        *(nn.BatchNorm2d(6, affine=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head),
    )


def torchs_transformer(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Which takes another path in evaluation."""
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, norm_first=True)
    embed = nn.Sequential(nn.Conv2d(shape[0], 8, 3, 3), nn.Flatten(2))
    return nn.Sequential(embed, Transposed(), layer, nn.Flatten(), nn.Linear(8 * (shape[1] // 3) ** 2, classes))


class Transposed(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.transpose(1, 2)


class Looks(nn.Module):
    """What it does depends on the numbers that it is given: vmap takes none such."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum().item() < 1e9 else -inputs


def looking(shape: tuple[int, ...], classes: int) -> nn.Module:
    pixels = shape[0] * shape[1] ** 2
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 6), nn.LayerNorm(6), Looks(), nn.Linear(6, classes))


def invariant(shape: tuple[int, ...], classes: int) -> nn.Module:
    head = nn.Linear(6, classes).requires_grad_(False)
    norm = nn.LayerNorm(6, eps=0.0, elementwise_affine=False)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] ** 2, 6, bias=False), norm, nn.ReLU(), head)


@dataclass(frozen=True)
class Own(Net):
    of: Callable[[tuple[int, ...], int], Any]

    def module(self, image_shape: tuple[int, ...], classes: int) -> Any:
        return self.of(image_shape, classes)

    def __str__(self) -> str:
        return getattr(self.of, "__name__", "own")


NETS = [Own(of) for of in (vision_transformer, tied, batch_norms, torchs_transformer, looking, invariant)]
SLOW = replace(BASE, net=Own(tied), norm=InNet(), learning_rate=Constant(0.05), replicas=2)


def fused(net: Net, shape: tuple[int, ...] = (2, 6, 6), classes: int = 5) -> FusedModule:
    built = build(replace(SLOW, net=net), shape, classes)
    assert isinstance(built, FusedModule)
    return built


# Against a single module


def drawn(net: Net, seed: int, replica: int, stream: Stream, dataset: Dataset) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, replica, stream).integers(2**63)))
        return net.module(dataset.train_images.shape[1:], dataset.classes).double()


def assert_equals_one_module(experiment: Experiment, dataset: Dataset, at_once: int) -> None:
    [arrays] = train([experiment], dataset, choose=lambda *_: Formulation(at_once))
    images, test_images = (torch.from_numpy(part).double() for part in (dataset.train_images, dataset.test_images))
    labels, test_labels = (torch.from_numpy(part) for part in (dataset.train_labels, dataset.test_labels))
    rates, decays = experiment.learning_rates(), experiment.weight_decays()
    criterion = nn.CrossEntropyLoss()
    for position, replica in enumerate(experiment.replica_ids):
        module = drawn(experiment.net, experiment.seed, replica, Stream.INITIALISATION, dataset)
        heads = drawn(experiment.net, experiment.seed, replica, Stream.HEAD, dataset)
        weights = [one for one in module.parameters() if one.requires_grad]
        with torch.no_grad():
            for weight, head in zip(module.parameters(), heads.parameters(), strict=True):
                if weight.requires_grad:
                    weight.mul_(experiment.initial_scale)
                else:
                    weight.copy_(head)
        optimiser = plain_optimizer(experiment.optimizer or SGD(experiment.momentum), weights)
        order = BatchOrder([(experiment.seed, replica)], len(labels), experiment.batch_size or len(labels))
        losses = []
        for step in range(experiment.steps):
            [group] = optimiser.param_groups
            group["lr"], group["weight_decay"] = rates[step], decays[step]
            batch = torch.from_numpy(order.indices(step)[0]) if experiment.batch_size else slice(None)
            loss = criterion(module.train()(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        with torch.no_grad():
            train_loss = criterion(module.train()(images), labels).item()
            logits = module.eval()(test_images)
        np.testing.assert_allclose(arrays["batch_loss"][position], losses, **EXACT)
        found = nn.utils.parameters_to_vector(weights).detach().numpy()
        np.testing.assert_allclose(arrays["weights"][position, -1], found, **EXACT)
        np.testing.assert_allclose(arrays["train_loss"][position, -1], train_loss, **EXACT)
        np.testing.assert_allclose(arrays["test_loss"][position, -1], criterion(logits, test_labels).item(), **EXACT)
        np.testing.assert_array_equal(arrays["test_predictions"][position, -1], logits.argmax(1).numpy())


@pytest.mark.parametrize("net", NETS, ids=str)
def test_it_trains_as_a_single_module_does(net: Net, random_dataset: Dataset) -> None:
    assert_equals_one_module(replace(SLOW, net=net, momentum=0.9), random_dataset, at_once=2)


@pytest.mark.parametrize(
    ("change", "at_once"),
    [
        ({"optimizer": AdamW(), "learning_rate": Cosine(0.01, STEPS)}, 2),
        ({"initial_scale": 3.0, "first_replica": 4, "seed": 8}, 1),
        ({"batch_size": None}, 2),
        ({"batch_size": None, "replicas": 3}, 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("net", [Own(vision_transformer), Own(batch_norms)], ids=str)
def test_every_variant_does(net: Net, change: dict[str, Any], at_once: int, random_dataset: Dataset) -> None:
    assert_equals_one_module(replace(SLOW, net=net, **change), random_dataset, at_once)


@pytest.mark.parametrize("net", [Own(batch_norms), Own(vision_transformer)], ids=str)
def test_everything_can_be_observed_and_training_goes_on(net: Net, random_dataset: Dataset) -> None:
    experiment = replace(EVERYTHING, net=net, norm=InNet(), learning_rate=Constant(0.05))
    assert_goes_on(
        experiment.steps * experiment.replicas,
        lambda keeper, tick: train([experiment], random_dataset, tick=tick, keeper=keeper),
        (5,),
    )


def test_partners_share_what_is_frozen(random_dataset: Dataset) -> None:
    net = fused(Own(batch_norms))
    heads = [net.initial_head(3, replica) for replica in (0, 0, 1)]
    assert net.head == (30,)
    np.testing.assert_array_equal(heads[0], heads[1])
    assert (heads[0] != heads[2]).all()
    experiment = replace(SLOW, net=Own(batch_norms), partners=Partners(), observe=(Observe("weights", (0,)),))
    [arrays] = train([experiment], random_dataset)
    assert (arrays["weights"][0] != arrays["weights"][1]).any()


def test_what_vmap_takes_is_found_out() -> None:
    for net in NETS:
        built = fused(net)
        try_net(built, torch.float64)
        assert bool(built.blueprint.forward[True].declined) == (net == Own(looking)), net
        counts = [one.at_once for one in candidates(built, 8, torch.device("cpu"))]
        assert counts == ([8] if net == Own(looking) else [1, 4, 8])


def test_it_is_counted_as_the_same_net_of_ilrs() -> None:
    def mlp(shape: tuple[int, ...], classes: int) -> nn.Module:
        layers = [nn.Linear(shape[0] * shape[1] ** 2, 12, bias=False), nn.ReLU(), nn.Linear(12, 8, bias=False)]
        return nn.Sequential(nn.Flatten(), *layers, nn.ReLU(), nn.Linear(8, classes, bias=False).requires_grad_(False))

    own, ours = fused(Own(mlp)), build(replace(BASE, net=MLP((12, 8))), (2, 6, 6), 5)
    assert (own.layers, own.sizes) == (ours.layers, ours.sizes)
    assert own.multiply_adds() == ours.multiply_adds() + 8 * 5
    # What is kept is what the layers and the ReLUs are given or give, and the images.
    assert ours.activations() <= own.activations() <= 3 * ours.activations() + 72


def test_scale_invariance_is_measured() -> None:
    def found(net: Net) -> str:
        return invariance_found(replace(SLOW, net=net, data=Data("digits")))

    assert found(Own(invariant)).startswith("measured: scale-invariant")
    assert found(Own(vision_transformer)).startswith("measured: not scale-invariant")


# Records that are wrong


class Random(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs)


class Changes(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mul_(2)


class Constants(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(np.random.default_rng().standard_normal(3)).float())


class NotFinite(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.log()


class Unused(nn.Sequential):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.extra = nn.Parameter(torch.zeros(2))


def linear(*first: nn.Module, last: int = 0) -> Callable[[tuple[int, ...], int], Any]:
    return lambda _, classes: nn.Sequential(*first, nn.Flatten(), nn.Linear(72, last or classes))


WRONG: dict[str, Callable[[tuple[int, ...], int], Any]] = {
    r"module\(\) gives None, not a torch.nn.Module": lambda *_: None,
    r"module\(\) gives <class .*Linear'>, not a torch": lambda *_: nn.Linear,
    r"module\(\(2, 6, 6\), 5\) raises ZeroDivisionError": lambda *_: 1 // 0,
    r"module\(\) gives a network without a parameter that requires": lambda *_: nn.Flatten(),
    r"module\(\) gives other initial weight for the same torch.manual_seed": lambda *_: Constants(),
    r"the network in training gives \[5, 4\] of torch.float32, where \[5, 5\]": linear(last=4),
    r"the network in training gives other numbers the second time": linear(nn.Dropout(0.5)),
    r"the network in training raises RuntimeError: mat1 and mat2": lambda *_: nn.Linear(3, 5),
    r"the network in training changes what it is given": linear(Changes()),
    r"the network in training gives what is not finite": linear(NotFinite()),
    r"the parameter extra takes no part in the logits": lambda _, classes: Unused(nn.Flatten(), nn.Linear(72, classes)),
}


@pytest.mark.parametrize(("complaint", "of"), WRONG.items(), ids=WRONG.keys())
def test_what_is_wrong_is_told_before_training(complaint: str, of: Callable[..., Any]) -> None:
    with pytest.raises(OwnRecordError, match=rf"test_own_nets\.py: Own: {complaint}") as told:
        try_net(fused(Own(of)), torch.float32)
    assert "\n" not in str(told.value)


@dataclass(frozen=True)
class Nothing(Net):
    pass


def test_a_planned_claim_tries_its_net() -> None:
    with pytest.raises(OwnRecordError, match=r"Nothing: has no module\(self, image_shape, classes\)"):
        NetTrainer(replace(SLOW, net=Nothing()), Data("digits"))
    with pytest.raises(OwnRecordError, match="raises RuntimeError: mat1 and mat2"):
        NetTrainer(replace(SLOW, net=Own(linear())), Data("digits"))


def test_norm_and_head_are_within_it() -> None:
    own = Own(invariant)
    for change, complaint in (
        ({"net": own, "norm": BatchNorm()}, r"norm=batch norm is for nets of ilr's: give InNet\(\) with invariant"),
        ({"net": MLP(), "norm": InNet()}, r"InNet\(\) is for a net of your own: MLP 32-32-32 has no norm within it"),
        ({"net": own, "norm": InNet(), "trainable_head": True}, "trainable_head=True is for nets of ilr's"),
    ):
        with pytest.raises(ValueError, match=complaint):
            replace(BASE, **change)


def test_torchs_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    net = fused(Own(tied))
    with suppress(OwnRecordError):
        try_net(net, torch.float32)
    net.initial_weights(0, 0)
    torch.testing.assert_close(torch.rand(2), expected)
