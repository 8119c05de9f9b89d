"""The power of the weight norm in the effective learning rate: measured of every optimiser, and what has none."""

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
from ilr.training.loop import train
from ilr.training.norm_power import lasts, norm_power
from ilr.training.trainers import rate_found, trainer_of
from tests.training.test_loop import BASE, STEPS
from tests.training.test_stepping import Heavy


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
    with pytest.raises(ValueError, match=r"test_stepping\.py: Heavy: its steps follow no power of the weight norm"):
        trainer_of(clipping)
    trainer_of(replace(clipping, observe=(Observe("weight_norm", (0,)),)))
