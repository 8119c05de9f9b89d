"""Norms of somebody's own: against the oracle, whether vmap takes them or not; what is told of one that is wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import CNN, MLP, Net, PreResNet
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.norms import BatchNorm, Norm
from ilr.experiments.own import OwnRecordError
from ilr.experiments.schedules import Constant
from ilr.nn.architectures import build
from ilr.nn.norms import stacked_activations, stacked_weights
from ilr.nn.own.trying import try_norm
from ilr.training.loop import train
from ilr.training.trainers import NetTrainer, invariance_found
from tests import oracle
from tests.nn.test_architectures import RESCALING, dataset
from tests.training.test_loop import BASE, assert_equals_oracle

__all__ = ["dataset"]


@dataclass(frozen=True)
class RMS(Norm):
    eps: float = 0.0

    def activations(self, inputs: Tensor) -> Tensor:
        mean_square = inputs.square().mean(dim=tuple(range(1, inputs.dim())), keepdim=True)
        return inputs / (mean_square + self.eps).sqrt()


@dataclass(frozen=True)
class RMSThatLooks(RMS):
    """Which numbers it is given decides what it does: vmap takes none such."""

    def activations(self, inputs: Tensor) -> Tensor:
        return super().activations(inputs) if inputs.sum().item() < 1e9 else inputs


@dataclass(frozen=True)
class Saturating(RMS):
    """What it gives is needed on the way back, and must not be written over by the ReLU behind it."""

    def activations(self, inputs: Tensor) -> Tensor:
        return super().activations(inputs).tanh()


@dataclass(frozen=True)
class Standardised(Norm):
    """The weights of each unit have the mean 0 and the variance 1, the activations are as they come."""

    def weights(self, weights: Tensor) -> Tensor:
        units = weights.flatten(1)
        centred = units - units.mean(dim=1, keepdim=True)
        return (centred / centred.norm(dim=1, keepdim=True)).view_as(weights)


class PlainRMS(nn.Module):
    def __init__(self, eps: float, *, saturates: bool) -> None:
        super().__init__()
        self.eps, self.saturates = eps, saturates

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = nn.functional.rms_norm(inputs, inputs.shape[1:], eps=self.eps)
        return torch.tanh(outputs) if self.saturates else outputs


class Standardise(nn.Module):
    def forward(self, weights: Tensor) -> Tensor:
        units = weights.flatten(1)
        deviation, mean = torch.std_mean(units, dim=1, correction=0, keepdim=True)
        return ((units - mean) / deviation / units.shape[1] ** 0.5).view_as(weights)


def with_standardised_weights(net: nn.Sequential) -> nn.Sequential:
    for layer in list(net[:-1].modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            parametrize.register_parametrization(layer, "weight", Standardise())
    return net


def plain_rms(norm: RMS, *_: Any) -> nn.Module:
    return PlainRMS(norm.eps, saturates=isinstance(norm, Saturating))


NORMS = [
    *(oracle.PlainNorm(norm, plain_rms) for norm in (RMS(), RMSThatLooks(eps=0.1), Saturating())),
    oracle.PlainNorm(Standardised(), finish=with_standardised_weights),
]
NETS: list[Net] = [MLP((12, 8)), CNN((4, 6, 6))]
PAIRS = [*product([norm.example for norm in NORMS], NETS), (RMS(), PreResNet(1, (4, 6)))]


@pytest.fixture(autouse=True)
def oracles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "OWN_NORMS", NORMS)


def experiment_with(norm: Norm, net: Net) -> Experiment:
    return replace(BASE, replicas=2, net=net, norm=norm, learning_rate=Constant(0.01))


@pytest.mark.parametrize(("norm", "net"), PAIRS, ids=str)
def test_it_trains_as_the_oracle_does(norm: Norm, net: Net, dataset: Dataset) -> None:
    assert_equals_oracle(experiment_with(norm, net), dataset)


def test_what_vmap_declines_is_computed_one_by_one() -> None:
    for norm, declined in ((RMS(0.25), False), (RMSThatLooks(0.25), True)):
        stacked = stacked_activations(norm)
        inputs = torch.randn(3, 5, 4)
        expected = torch.stack([norm.activations(one) for one in inputs])
        torch.testing.assert_close(stacked({"inputs": inputs}), expected)
        assert bool(stacked.declined) == declined
    assert not stacked_weights(Standardised()).declined


def test_scale_invariance_is_measured(dataset: Dataset) -> None:
    quantities = tuple(Observe(quantity, (0,), (0.01, 100.0)) for quantity in RESCALING)
    for norm, holds in ((RMS(), True), (RMS(0.1), False), (Standardised(), True)):
        experiment = replace(experiment_with(norm, CNN((4, 6))), steps=1, observe=quantities)
        [arrays] = train([experiment], dataset)
        assert all((arrays[quantity].max() < 1e-9) == holds for quantity in RESCALING), norm
        found = invariance_found(replace(experiment, data=replace(BASE.data, name="digits")))
        assert found.startswith("measured: scale-invariant" if holds else "measured: not scale-invariant")
        share = re.search(r"change the loss by (\S+) of it\)$", found)
        assert float(share[1]) < 0.1 if share else found.endswith("%)")
    assert invariance_found(BASE) == ""


# Records that are wrong


@dataclass(frozen=True)
class Wrong(Norm):
    of: Callable[[Tensor], Any]

    def activations(self, inputs: Tensor) -> Any:
        return self.of(inputs)


@dataclass(frozen=True)
class WrongWeights(Norm):
    def weights(self, weights: Tensor) -> Any:
        return weights[..., :1]


@dataclass(frozen=True)
class Nothing(Norm):
    pass


class OfRandom:
    def __call__(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs)


WRONG: dict[str, Norm] = {
    r"activations\(\) gives None, not a tensor": Wrong(lambda _: None),
    r"activations\(\) gives \[5\] of torch.float32, where \[5, 8\] of": Wrong(lambda x: x[:, 0]),
    r"activations\(\) gives \[5, 8\] of torch.float64, where": Wrong(lambda x: x.double()),
    r"activations\(\) gives what is not finite": Wrong(lambda x: x / 0),
    r"activations\(\) gives other numbers the second time": Wrong(OfRandom()),
    r"activations\(\) raises IndexError": Wrong(lambda x: x.mean(dim=3)),
    r"activations\(\) mixes examples": Wrong(lambda x: x - x.mean(dim=0)),
    r"activations\(\) changes what it is given": Wrong(lambda x: x.clamp_(min=-9, max=0.5)),
    r"the gradient of activations\(\) raises RuntimeError": Wrong(lambda x: x.detach()),
    r"the gradient of activations\(\) is not finite": Wrong(lambda x: x + (x - x).abs().sqrt()),
    r"weights\(\) gives \[12, 1\]": WrongWeights(),
    r"has neither activations\(self, inputs\) nor weights": Nothing(),
}


@pytest.mark.parametrize(("complaint", "norm"), WRONG.items(), ids=WRONG.keys())
def test_what_is_wrong_is_told_before_training(complaint: str, norm: Norm) -> None:
    net = build(replace(BASE, net=MLP((12, 8))), (1, 8, 8), 10)
    with pytest.raises(OwnRecordError, match=rf"test_own_norms\.py: \w+: {complaint}") as told:
        try_norm(norm, net, torch.float32)
    assert "\n" not in str(told.value)


def test_a_planned_claim_tries_its_norm() -> None:
    digits = replace(BASE.data, name="digits")
    with pytest.raises(OwnRecordError, match="has neither"):
        NetTrainer(replace(BASE, norm=Nothing()), digits)
    NetTrainer(replace(BASE, norm=BatchNorm()), digits)
