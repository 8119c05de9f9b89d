"""What is measured on R replicas at once: functions of the weights, and of the step's own batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ilr.examples import ExampleSet
from ilr.experiment import RESCALING_QUANTITIES, BatchNorm, Norm, Observe
from ilr.layers import Normalise, Statistics, by_batch, by_statistics, measuring, unchanged
from ilr.nets import FusedNet, accuracy, loss

EVALUATION_EXAMPLES = 2048
"""Training loss, training accuracy and normalisation statistics are those of the first so many training examples;
the test set passes through in parts of this size."""

PROBE_EXAMPLES = 32
"""The rescaling quantities use the first so many training examples as their one batch."""


def training_normalise(norm: Norm) -> Normalise:
    """How a training step normalises."""
    return by_batch(norm.eps) if isinstance(norm, BatchNorm) else unchanged


def second_moment(weights: Tensor, gradient: Tensor) -> Tensor:
    """‖w‖²‖∇L‖² [R]: the squared norm the batch's gradient has at unit weight norm, by scale invariance."""
    return weights.square().sum(dim=1) * gradient.square().sum(dim=1)


@dataclass
class Networks:
    """R networks frozen at one moment, as functions: their normalisation statistics are measured afresh.

    So the function of a network depends on its weights alone, not on the batches it met last.
    """

    net: FusedNet
    norm: Norm
    weight_vectors: Tensor
    """[R, weight]"""
    head: Tensor
    """[R, class, feature]"""
    learning_rate: Tensor
    """[R, 1]"""
    probe_direction: Callable[[], Tensor]
    """Gives unit vectors [R, weight] along which curvature is compared."""
    train: ExampleSet
    test: ExampleSet

    def measure(self, observation: Observe) -> Tensor:
        """The observed quantity, [R, ...]."""
        if observation.quantity in RESCALING_QUANTITIES:
            return self._rescaling(observation.factors)[observation.quantity]
        measured: Tensor = getattr(self, observation.quantity)()
        return measured

    def train_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return loss(self._train_logits, self.train.labels[None, :EVALUATION_EXAMPLES])

    def train_accuracy(self) -> Tensor:
        """Share of training examples classified rightly [R]."""
        return accuracy(self._train_logits, self.train.labels[None, :EVALUATION_EXAMPLES])

    def test_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return loss(self._test_logits, self.test.labels[None])

    def test_accuracy(self) -> Tensor:
        """Share of test examples classified rightly [R]."""
        return accuracy(self._test_logits, self.test.labels[None])

    def test_predictions(self) -> Tensor:
        """Class given to each test example, int16 [R, N]."""
        return self._test_logits.argmax(dim=1).to(torch.int16)

    def weights(self) -> Tensor:
        """The trainable weights [R, weight]."""
        return self.weight_vectors.clone()

    def weight_norm(self) -> Tensor:
        """‖w‖ [R]."""
        return self.weight_vectors.square().sum(dim=1).sqrt()

    def effective_learning_rate(self) -> Tensor:
        """η/‖w‖² [R]."""
        return self.learning_rate[:, 0] / self.weight_vectors.square().sum(dim=1)

    @cached_property
    def _train_pass(self) -> tuple[Tensor, Statistics]:
        """Logits [R, class, N] of the first training examples, and the statistics of their pass."""
        statistics: Statistics = []
        normalise = measuring(self.norm.eps, statistics) if isinstance(self.norm, BatchNorm) else unchanged
        return self._logits(self.train[:EVALUATION_EXAMPLES].images, normalise), statistics

    @property
    def _train_logits(self) -> Tensor:
        return self._train_pass[0]

    @cached_property
    def _test_logits(self) -> Tensor:
        """Logits [R, class, N] of the test examples, normalised by the training examples' statistics."""
        starts = range(0, len(self.test.labels), EVALUATION_EXAMPLES)
        parts = (self.test[start : start + EVALUATION_EXAMPLES].images for start in starts)
        return torch.cat([self._logits(images, self._by_training_set()) for images in parts], dim=2)

    def _by_training_set(self) -> Normalise:
        return by_statistics(self.norm.eps, self._train_pass[1]) if isinstance(self.norm, BatchNorm) else unchanged

    @torch.no_grad()
    def _logits(self, images: Tensor, normalise: Normalise) -> Tensor:
        return self.net.forward(self.weight_vectors, self.head, images[None], normalise)

    def _rescaling(self, factors: Sequence[float]) -> Mapping[str, Tensor]:
        """How far loss, gradient and Hessian-vector product are from scale invariance, relative, each [R, factor].

        Compares L(cw) with L(w), c∇L(cw) with ∇L(w), c²∇²L(cw)u with ∇²L(w)u on one batch, for each factor c and
        the probe direction u.
        """
        direction = self.probe_direction()
        reference = self._derivatives(1.0, direction)
        rescaled = [self._derivatives(factor, direction) for factor in factors]
        return {
            name: torch.stack([(one[name] - value).norm(dim=1) / value.norm(dim=1) for one in rescaled], dim=1)
            for name, value in reference.items()
        }

    def _derivatives(self, factor: float, direction: Tensor) -> dict[str, Tensor]:
        """L, c∇L and c²∇²L·u at c times the weights, each [R, ...]."""
        probe = self.train[:PROBE_EXAMPLES]
        weights = (factor * self.weight_vectors).requires_grad_()
        logits = self.net.forward(weights, self.head, probe.images[None], training_normalise(self.norm))
        losses = loss(logits, probe.labels[None])
        (gradient,) = torch.autograd.grad(losses.sum(), weights, create_graph=True)
        (curvature,) = torch.autograd.grad((gradient * direction).sum(), weights)
        return {
            "loss_rescaling": losses.detach()[:, None],
            "gradient_rescaling": factor * gradient.detach(),
            "curvature_rescaling": factor**2 * curvature,
        }
