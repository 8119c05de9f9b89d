"""The toy loss: against plain gradient descent in x and y, against higher precision, and its closed forms."""

import mpmath
import numpy as np
import pytest
import torch

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import Toy
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.norms import NoNorm
from ilr.experiments.schedules import Constant
from ilr.training.loop import all_at_once, silent
from ilr.training.recorder import Arrays
from ilr.training.toy import toy_step
from ilr.training.trainers import trainer_of


def toy(steps: int, learning_rate: float, weight_decay: float, **changes: object) -> Experiment:
    quantities = ("train_loss", "weight_norm", "effective_learning_rate")
    return Experiment(
        net=Toy(),
        norm=NoNorm(),
        learning_rate=Constant(learning_rate),
        weight_decay=Constant(weight_decay),
        steps=steps,
        replicas=4,
        seed=2,
        observe=tuple(Observe(quantity, range(steps + 1)) for quantity in quantities),
        **changes,  # type: ignore[arg-type]
    )


def train(experiment: Experiment) -> Arrays:
    def load(_: object) -> Dataset:
        pytest.fail("the toy has no data")

    [arrays] = trainer_of(experiment).train([experiment], load, "cpu", silent, all_at_once)
    return arrays


@pytest.mark.parametrize(("learning_rate", "weight_decay"), [(0.1, 0.2), (0.5, 0.1), (0.05, 0.0), (1.5, 0.02)])
def test_it_equals_sgd_on_x_and_y(learning_rate: float, weight_decay: float) -> None:
    """Plain float64 in x and y is right as long as x does not underflow."""
    steps = 60
    arrays = train(toy(steps, learning_rate, weight_decay))
    for replica in range(4):
        loss = arrays["train_loss"][replica]
        angle = np.arcsin(np.sqrt(loss[0]))
        weights = torch.tensor([np.sin(angle), np.cos(angle)], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.SGD([weights], lr=learning_rate, weight_decay=weight_decay)
        for step in range(steps + 1):
            value = weights[0] ** 2 / weights.square().sum()
            np.testing.assert_allclose(loss[step], value.item(), rtol=1e-6, atol=1e-12)
            norm = weights.detach().norm().item()
            np.testing.assert_allclose(arrays["weight_norm"][replica, step], norm, rtol=1e-7)
            np.testing.assert_allclose(
                arrays["effective_learning_rate"][replica, step], learning_rate / norm**2, rtol=1e-6
            )
            optimiser.zero_grad()
            value.backward()
            optimiser.step()


def test_it_keeps_angles_that_float64_cannot() -> None:
    """Against 300-digit arithmetic, past the point where x is smaller than any float64, until the loss is back."""
    learning_rate, weight_decay, steps, scale = 0.1, 0.01, 4000, 1.2
    arrays = train(toy(steps, learning_rate, weight_decay, initial_scale=scale))
    smallest = []
    with mpmath.workdps(300):
        angle = mpmath.asin(mpmath.sqrt(mpmath.mpf(float(arrays["train_loss"][0, 0]))))
        x, y = scale * mpmath.sin(angle), scale * mpmath.cos(angle)
        for step in range(steps + 1):
            squared = x * x + y * y
            loss = float(x * x / squared)
            smallest.append(abs(x))
            np.testing.assert_allclose(arrays["train_loss"][0, step], loss, rtol=1e-4, atol=1e-300, err_msg=str(step))
            if step > 50 and loss > 1e-3:
                break
            slope = 2 * x * y / squared**2
            x, y = (
                (1 - learning_rate * weight_decay) * x - learning_rate * slope * y,
                (1 - learning_rate * weight_decay) * y + learning_rate * slope * x,
            )
        assert min(smallest) < mpmath.mpf("1e-330")
    assert loss > 1e-3


def test_the_orbit_of_period_two_is_exact() -> None:
    """2θ = arccos(1−ηλ), ‖w‖² = η: the loss is ηλ/2 for ever."""
    learning_rate, weight_decay = 0.2, 0.3
    log_norm = np.array([np.log(learning_rate) / 2])
    log_angle = np.array([np.log(np.arccos(1 - learning_rate * weight_decay) / 2)])
    for _ in range(3):
        log_norm, log_angle = toy_step(log_norm, log_angle, np.array([learning_rate]), np.array([weight_decay]))
        np.testing.assert_allclose(np.exp(2 * log_norm), learning_rate, rtol=1e-12)
        loss = np.sin(np.exp(log_angle)) ** 2
        np.testing.assert_allclose(loss, learning_rate * weight_decay / 2, rtol=1e-12)


def test_without_weight_decay_it_converges() -> None:
    arrays = train(toy(500, 0.1, 0.0))
    assert (np.diff(arrays["train_loss"], axis=1) <= 0).all()
    assert (arrays["train_loss"][:, -1] < 1e-12).all()


def test_what_the_toy_does_not_have_cannot_be_observed(toy_that_fails: Experiment) -> None:
    with pytest.raises(ValueError, match="'test_accuracy' cannot be observed on the toy loss"):
        train(toy_that_fails)
