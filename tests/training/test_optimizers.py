"""Optimisers that are records: the built-in ones against torch's, and what is told of one that is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.experiments import optimizers
from ilr.experiments.experiment import Data, Observe, every
from ilr.experiments.optimizers import SGD, AdamW, Lion, Optimizer, SignSGD
from ilr.experiments.own import OwnRecordError
from ilr.serialization import digest
from ilr.training.loop import train
from ilr.training.optimizers.effective_rate import lasts, norm_power
from ilr.training.optimizers.records import RecordSteps
from ilr.training.optimizers.trying import try_optimizer
from ilr.training.trainers import rate_found, trainer_of
from tests.oracle import plain_optimizer
from tests.training.test_loop import BASE, EXACT, STEPS

SHAPES = (5,), (2, 3, 1, 1), ()
"""Of the layers of one replica."""
REPLICAS = 3

BUILT_IN = [
    SGD(),
    SGD(momentum=0.9),
    SGD(momentum=0.9, nesterov=True),
    SGD(decoupled=True),
    SGD(momentum=0.9, decoupled=True),
    SGD(momentum=0.5, nesterov=True, decoupled=True),
    AdamW(),
    AdamW(0.8, 0.95, eps=0.1),
    Lion(),
    Lion(0.5, 0.7),
    SignSGD(),
    SignSGD(momentum=0.9),
]


def test_every_optimiser_has_an_oracle() -> None:
    kinds = {kind for kind in vars(optimizers).values() if isinstance(kind, type) and issubclass(kind, Optimizer)}
    assert kinds - {Optimizer} == {type(one) for one in BUILT_IN}


@pytest.mark.parametrize("optimizer", BUILT_IN, ids=str)
def test_every_replica_steps_as_torchs_optimiser(optimizer: Optimizer) -> None:
    stream = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=stream, dtype=torch.float64) + 0.1

    start = [draw(REPLICAS, *shape) for shape in SHAPES]
    gradients = [[draw(REPLICAS, *shape) - 0.6 for shape in SHAPES] for _ in range(6)]
    learning_rates, weight_decays = draw(6, REPLICAS, 1), draw(6, REPLICAS, 1)
    layers = [layer.clone() for layer in start]
    steps = RecordSteps(optimizer, layers)
    for of_step, learning_rate, weight_decay in zip(gradients, learning_rates, weight_decays, strict=True):
        steps.step([gradient.clone() for gradient in of_step], learning_rate, weight_decay)

    for replica in range(REPLICAS):
        plain = [layer[replica].clone().requires_grad_() for layer in start]
        torchs = plain_optimizer(optimizer, plain)
        for of_step, learning_rate, weight_decay in zip(gradients, learning_rates, weight_decays, strict=True):
            [group] = torchs.param_groups
            group["lr"], group["weight_decay"] = learning_rate[replica].item(), weight_decay[replica].item()
            for weights, gradient in zip(plain, of_step, strict=True):
                weights.grad = gradient[replica].clone()
            torchs.step()
        for layer, weights in zip(layers, plain, strict=True):
            torch.testing.assert_close(layer[replica], weights.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_plain_sgd_is_written_in_one_way(momentum: float) -> None:
    by_record, by_field = replace(BASE, optimizer=SGD(momentum)), replace(BASE, momentum=momentum)
    assert by_record == by_field
    assert digest(by_record) == digest(by_field)


def test_the_record_of_sgd_trains_as_sgd_does(random_dataset: Dataset) -> None:
    [fused] = train([replace(BASE, momentum=0.9)], random_dataset)
    [by_record] = train([replace(BASE, optimizer=Heavy(0.9))], random_dataset)
    for name, values in fused.items():
        np.testing.assert_allclose(by_record[name], values, **EXACT, err_msg=name)


@pytest.mark.parametrize("field", ["momentum", "initial_velocity"])
@pytest.mark.parametrize("optimizer", [SGD(), AdamW()], ids=str)
def test_what_is_plain_sgds_goes_with_no_optimiser(field: str, optimizer: Optimizer) -> None:
    with pytest.raises(ValueError, match=rf"^Experiment: {field}=0\.5 is that of an experiment without optimizer"):
        replace(BASE, optimizer=optimizer, **{field: 0.5})


def test_an_optimiser_is_told_of() -> None:
    assert "SGD, momentum 0.9, Nesterov, decoupled weight decay" in str(
        replace(BASE, optimizer=SGD(0.9, nesterov=True, decoupled=True))
    )


# The intrinsic and the effective learning rate


SGDS = [optimizer for optimizer in BUILT_IN if isinstance(optimizer, SGD)]


@pytest.mark.parametrize("optimizer", SGDS, ids=str)
def test_the_gain_is_what_the_steps_of_one_gradient_add_up_to(optimizer: Optimizer) -> None:
    gain, _ = optimizers.gains(optimizer)
    gradient = torch.ones(1, 3, dtype=torch.float64)
    weights = 2 * gradient
    steps = RecordSteps(optimizer, [weights])
    for step in range(400):
        steps.step([gradient if step == 0 else 0 * gradient], torch.full((1, 1), 0.5), torch.zeros(1, 1))
    torch.testing.assert_close(weights, 2 * gradient - 0.5 * gain * gradient, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("optimizer", BUILT_IN, ids=str)
def test_the_intrinsic_learning_rate_is_what_a_step_of_weight_decay_takes_in_the_end(optimizer: Optimizer) -> None:
    experiment = replace(BASE, optimizer=optimizer, learning_rate=0.01, weight_decay=0.001)
    intrinsic = experiment.intrinsic_learning_rates()[0]
    weights = torch.ones(1, 3, dtype=torch.float64)
    steps = RecordSteps(optimizer, [weights])
    lengths = []
    for _ in range(400):
        steps.step([0 * weights], torch.full((1, 1), 0.01), torch.full((1, 1), 0.001))
        lengths.append(weights.norm().item())
    assert 1 - lengths[-1] / lengths[-2] == pytest.approx(intrinsic, rel=0.002)


@pytest.mark.parametrize("optimizer", SGDS, ids=str)
def test_the_effective_learning_rate_has_the_gain(optimizer: Optimizer, random_dataset: Dataset) -> None:
    observe = tuple(Observe(name, range(STEPS + 1)) for name in ("weight_norm", "effective_learning_rate"))
    experiment = replace(BASE, optimizer=optimizer, observe=observe)
    [arrays] = train([experiment], random_dataset)
    gain, _ = optimizers.gains(optimizer)
    expected = gain * experiment.learning_rates() / arrays["weight_norm"] ** 2
    np.testing.assert_allclose(arrays["effective_learning_rate"], expected, rtol=1e-12)


@dataclass(frozen=True)
class AsLong(Optimizer):
    """Steps that are as long as their weights."""

    def step(self, weights: Tensor, gradients: Tensor, state: Any, learning_rate: Tensor, weight_decay: Tensor) -> Any:
        lengths = weights.flatten(1).norm(dim=1) / gradients.flatten(1).norm(dim=1)
        return weights - learning_rate * (lengths.view_as(learning_rate) * gradients + weight_decay * weights), state


@pytest.mark.parametrize(
    ("optimizer", "power"),
    [(SGD(0.9, nesterov=True), -2), (AdamW(eps=1e-20), -1), (Lion(), -1), (SignSGD(), -1), (AsLong(), 0)],
    ids=lambda value: str(value),
)
def test_the_effective_learning_rate_is_the_rate_at_norm_one(
    optimizer: Optimizer, power: int, random_dataset: Dataset
) -> None:
    """c times the weights, with c^−p times the rate, take the same directions, if p is the optimiser's power."""
    assert norm_power(optimizer) == power
    observe = (Observe("weights", every(8, STEPS)), Observe("effective_learning_rate", every(8, STEPS)))
    base = replace(BASE, optimizer=optimizer, weight_decay=0.0, learning_rate=0.01, observe=observe)
    one, ten = (
        train([replace(base, initial_scale=scale, learning_rate=0.01 * scale**-power)], random_dataset)[0]
        for scale in (1.0, 10.0)
    )
    np.testing.assert_allclose(ten["weights"], 10 * one["weights"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ten["effective_learning_rate"], one["effective_learning_rate"], rtol=1e-5)


@dataclass(frozen=True)
class BySquares(Optimizer):
    """Divides by the root of gradients' squares: of their running mean, of the greatest that it was, or of their sum.

    That is RMSprop, AMSGrad's change to it, and Adagrad.
    """

    kept: float = 0.9
    added: float = 0.1
    greatest: bool = False

    def state(self, weights: Tensor) -> optimizers.State:
        return {"mean": weights * 0, "greatest": weights * 0}

    def step(self, weights: Tensor, gradients: Tensor, state: Any, learning_rate: Tensor, weight_decay: Tensor) -> Any:
        mean = self.kept * state["mean"] + self.added * gradients.square()
        greatest = torch.maximum(state["greatest"], mean)
        root = (greatest if self.greatest else mean).sqrt()
        weights = weights * (1 - learning_rate * weight_decay) - learning_rate * gradients / root
        return weights, {"mean": mean, "greatest": greatest}


ADAGRAD = BySquares(kept=1.0, added=1.0)


@pytest.mark.parametrize(
    ("optimizer", "power"),
    [(BySquares(), -1), (BySquares(greatest=True), None), (ADAGRAD, None)],
    ids=["running mean", "greatest", "sum"],
)
def test_a_rule_of_the_first_step_must_last(optimizer: Optimizer, power: int | None) -> None:
    assert norm_power(optimizer) == power
    found = rate_found(replace(BASE, optimizer=optimizer))
    assert found.startswith("measured: no effective" if power is None else "measured: effective learning rate η/‖w‖")


@pytest.mark.parametrize(
    "optimizer", [SGD(0.9), SGD(0.9, nesterov=True), AdamW(0.9, 0.99), Lion(), SignSGD(0.9)], ids=str
)
def test_the_rules_of_built_in_optimisers_last(optimizer: Optimizer) -> None:
    power = norm_power(optimizer)
    assert power is not None
    assert lasts(optimizer, power + 1)
    assert rate_found(replace(BASE, optimizer=optimizer)) == ""


def test_steps_that_fail_later_have_no_rule() -> None:
    @dataclass(frozen=True)
    class Planned(Optimizer):
        """Plans so many steps and no more."""

        def state(self, weights: Tensor) -> optimizers.State:
            return {"step": torch.zeros(len(weights), dtype=torch.int64)}

        def step(self, weights: Tensor, gradients: Tensor, state: Any, learning_rate: Tensor, _: Tensor) -> Any:
            factor = torch.ones(20, dtype=weights.dtype)[state["step"]].view_as(learning_rate)
            return weights - learning_rate * factor * gradients, {"step": state["step"] + 1}

    assert rate_found(replace(BASE, optimizer=Planned())).startswith("measured: no effective learning rate")


def test_an_optimiser_without_one_is_refused() -> None:
    clipping = replace(BASE, data=Data("digits"), optimizer=Heavy(clip=1.0))
    with pytest.raises(ValueError, match=r"test_optimizers\.py: Heavy: its steps follow no power of the weight norm"):
        trainer_of(clipping)
    trainer_of(replace(clipping, observe=(Observe("weight_norm", (0,)),)))


# Records that are wrong


@dataclass(frozen=True)
class Heavy(Optimizer):
    """Heavy-ball momentum, as somebody may write it: in place, with a clip if wanted."""

    momentum: float = 0.0
    clip: float = float("inf")

    @property
    def gain(self) -> float:
        return 1 / (1 - self.momentum)

    def state(self, weights: Tensor) -> optimizers.State:
        return {"velocity": torch.zeros_like(weights)}

    def step(self, weights: Tensor, gradients: Tensor, state: Any, learning_rate: Tensor, weight_decay: Tensor) -> Any:
        length = gradients.flatten(1).norm(dim=1).view_as(learning_rate)
        gradients = gradients * (self.clip / length).clamp(max=1)
        state["velocity"].mul_(self.momentum).add_(gradients + weight_decay * weights)
        weights.sub_(learning_rate * state["velocity"])
        return weights, state


@dataclass(frozen=True)
class Wrong(Optimizer):
    """Does in one method what it is told to."""

    first: Callable[[Tensor], Any] = lambda w: {"m": w * 0}
    then: Callable[[Tensor, Tensor, Any], Any] = lambda w, g, s: (w - 0.1 * g, s)

    def state(self, weights: Tensor) -> Any:
        return self.first(weights)

    def step(self, weights: Tensor, gradients: Tensor, state: Any, *_: Tensor) -> Any:
        return self.then(weights, gradients, state)


@dataclass(frozen=True)
class Stepless(Optimizer):
    pass


STATES: dict[str, Callable[[Tensor], Any]] = {
    r"state\(\) gives None, not a dict": lambda _: None,
    r"state\(\) gives tensor\(.*, not a dict": lambda w: w,
    r"state\(\) has 'm': 0, not a tensor": lambda _: {"m": 0},
    r"state\(\)\['m'\] has the shape \[\], not \[3, \.\.\.\]": lambda w: {"m": w.new_zeros(())},
    r"state\(\)\['m'\] has the shape \[2, 3\]": lambda w: {"m": w.new_zeros(2, 3)},
    r"state\(\)\['m'\] is of torch.bfloat16": lambda w: {"m": w.bfloat16()},
    r"state\(\) raises AttributeError": lambda w: {"m": w.nothing},
}
TAKEN: dict[str, Callable[[Tensor, Tensor, Any], Any]] = {
    r"step\(\) gives tensor\(.*, not weights and state": lambda w, g, _: w - g,
    r"step\(\) gives None, not": lambda *_: None,
    r"step\(\) gives weights of the shape \[3, 1\] .* were \[3, 4\]": lambda w, _, s: (w[:, :1], s),
    r"step\(\) gives weights of the shape \[12\]": lambda w, _, s: (w.flatten(), s),
    r"step\(\) gives weights .*float64, which": lambda w, _, s: (w.double(), s),
    r"step\(\) gives weights that are None": lambda _, __, s: (None, s),
    r"step\(\) keeps \['v'\], but state\(\) \['m'\]": lambda w, g, _: (w, {"v": g}),
    r"step\(\) keeps None": lambda w, *_: (w, None),
    r"step\(\) keeps 'm' of the shape \[3\]": lambda w, g, _: (w, {"m": g[:, 0]}),
    r"weights that are not finite, at step 0": lambda w, g, s: (w - g / s["m"], s),
    r"step\(\) mixes replicas": lambda w, g, s: (w - g / g.norm(), s),
    r"step\(\) raises RuntimeError: The size of tensor": lambda w, g, s: (w - g[:2], s),
}


@pytest.mark.parametrize(
    ("optimizer", "complaint"),
    [
        *((Wrong(first=first), complaint) for complaint, first in STATES.items()),
        *((Wrong(then=then), complaint) for complaint, then in TAKEN.items()),
        (Stepless(), r"has no step\(self, weights, "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_before_training(optimizer: Optimizer, complaint: str) -> None:
    with pytest.raises(OwnRecordError, match=rf"test_optimizers\.py: (Wrong|Stepless): .*{complaint}") as told:
        try_optimizer(optimizer, ((4,),), torch.float32)
    assert "\n" not in str(told.value)


def test_a_planned_claim_tries_its_optimiser() -> None:
    with pytest.raises(OwnRecordError, match="has no step"):
        trainer_of(replace(BASE, data=Data("digits"), optimizer=Stepless()))


def test_what_is_no_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Experiment: optimizer='adamw' must be Optimizer or None"):
        replace(BASE, optimizer="adamw")


def test_what_keeps_the_weights_themselves_keeps_a_copy() -> None:
    layer = torch.ones(2, 3)
    steps = RecordSteps(Wrong(first=lambda w: {"start": w}), [layer])
    steps.step([torch.ones(2, 3)], torch.ones(2, 1), torch.zeros(2, 1))
    torch.testing.assert_close(steps.kept["start 0"], torch.ones(2, 3))
