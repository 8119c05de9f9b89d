"""What takes the place of a batch's gradient has the mean and the covariance that it says."""

from dataclasses import replace

import numpy as np
import pytest

from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Data, Experiment, Partners
from ilr.experiments.noise import SVAG, GaussianNoise, GradientNoise
from ilr.experiments.norms import BatchNorm
from ilr.training.trainers import trainer_of

BASE = Experiment(
    net=MLP(),
    norm=BatchNorm(),
    learning_rate=0.1,
    weight_decay=0.1,
    steps=4,
    replicas=2,
    seed=0,
    observe=(),
    data=Data("digits"),
    batch_size=8,
)
DRAWS = 100_000


@pytest.mark.parametrize(
    ("noise", "covariance"),
    [
        (SVAG(1), 1.0),
        (SVAG(2), 2.0),
        (SVAG(16), 16.0),
        (GaussianNoise(2), 1.0),
        (GaussianNoise(8), 1.0),
        (GaussianNoise(8, variance=0.5), 0.5),
        (GaussianNoise(4, variance=0.25), 0.25),
        (GaussianNoise(4, variance=3.0), 3.0),
    ],
    ids=str,
)
def test_the_mean_is_the_gradient_and_the_covariance_a_multiple(noise: GradientNoise, covariance: float) -> None:
    draws = np.random.default_rng(0).standard_normal((DRAWS, noise.batches))
    coefficients = noise.coefficients(draws)
    # Coefficients that do not depend on the gradients, with the sum 1: of independent ones with the covariance 1 the
    # combination has the expected sum of squares.
    np.testing.assert_allclose(coefficients.sum(axis=-1), 1.0)
    assert (coefficients**2).sum(axis=-1).mean() == pytest.approx(covariance, rel=0.02)


def test_many_batches_make_skewed_gradients_gaussian() -> None:
    generator = np.random.default_rng(1)
    noise = GaussianNoise(32)
    gradients = generator.exponential(size=(DRAWS // 10, noise.batches)) - 1  # of variance 1 and skewness 2
    taken = (noise.coefficients(generator.standard_normal(gradients.shape)) * gradients).sum(axis=1)
    assert taken.var() == pytest.approx(1.0, rel=0.1)
    # Where the batches' mean is large, so is their covariance: 3/K of a batch's skewness is left.
    assert (taken**3).mean() == pytest.approx(3 * 2 / 32, abs=0.15)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (lambda: SVAG(0), "refinement=0 must be 1 or more"),
        (lambda: GaussianNoise(1), "batches=1 must be 2 or more"),
        (lambda: GaussianNoise(4, variance=0.2), "variance=0.2 must be 0.25 or more, as the mean of 4 batches"),
        (lambda: replace(BASE, gradient_noise=SVAG(2), batch_size=None), "SVAG by 2: a full batch has no noise"),
        (lambda: replace(BASE, gradient_noise=SVAG(2), partners=Partners()), "SVAG by 2: partners share batches"),
    ],
)
def test_what_cannot_be_is_refused(noise: object, message: str) -> None:
    assert callable(noise)
    with pytest.raises(ValueError, match=message):
        noise()


def test_an_experiment_says_its_noise() -> None:
    assert str(replace(BASE, gradient_noise=SVAG(4))).endswith("batch 8, SVAG by 4")
    half = replace(BASE, gradient_noise=GaussianNoise(4, variance=0.5))
    assert str(half).endswith("Gaussian noise of 0.5 times the covariance of 4 batches")


def test_a_step_costs_a_gradient_for_each_batch() -> None:
    plain = trainer_of(BASE).step_operations
    assert trainer_of(replace(BASE, gradient_noise=GaussianNoise(8))).step_operations == 8 * plain
