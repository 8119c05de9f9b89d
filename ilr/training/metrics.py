"""What is measured on R replicas at once: functions of the weights, and of the step's own batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ilr.data.on_device import ExampleSet
from ilr.experiments.experiment import RESCALING_QUANTITIES, Observe
from ilr.experiments.norms import Norm
from ilr.nn.architectures import accuracy, loss
from ilr.nn.base import FusedNet
from ilr.nn.layers import Layers
from ilr.nn.norms import Statistics, by_training_set, in_training, measuring

EVALUATION_EXAMPLES = 2048
"""Training loss, training accuracy and normalisation statistics are those of the first so many training examples;
the test set passes through in parts of this size."""

CACHE_BYTES = 2 * 2**20
"""About what one core's cache holds."""
GPU_BYTES = 2**30
"""What one evaluation pass may use of a GPU's memory."""

PROBE_EXAMPLES = 32
"""The rescaling quantities use the first so many training examples as their one batch."""


def evaluated_at_once(net: FusedNet, weights: Tensor) -> int:
    """How many replicas one evaluation pass takes: as many as keep what it works on in the cache, or on a GPU busy."""
    one = EVALUATION_EXAMPLES * net.activations() * weights.element_size()
    return max(1, (GPU_BYTES if weights.is_cuda else CACHE_BYTES) // one)


def second_moment(weights: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """‖w‖²‖∇L‖² [R]: the squared norm the batch's gradient has at unit weight norm, by scale invariance.

    Args:
        weights: [R, weight].
        gradients: of each layer, [R, ...].
    """
    squared = torch.stack([length(gradient).square() for gradient in gradients])
    return length(weights).square() * squared.sum(dim=0)


def length(vectors: Tensor) -> Tensor:
    """Euclidean length [R] of each replica's vector or layer [R, ...], in one pass: it is asked for at every step."""
    lengths: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1)
    return lengths


def angle(before: Tensor, after: Tensor) -> Tensor:
    """Angle [R] in radians between weights [R, weight], from the chord: the cosine would round small angles to zero."""
    chord = torch.nn.functional.normalize(after, dim=1) - torch.nn.functional.normalize(before, dim=1)
    return 2 * torch.asin((chord.norm(dim=1) / 2).clamp(max=1))


@dataclass(frozen=True)
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
    average: Tensor | None = None
    """[R, weight], mean of the weights at the steps at which "average_test_accuracy" is observed, so far."""

    def measure(self, observation: Observe) -> Tensor:
        """The observed quantity, [R, ...]."""
        if observation.quantity in RESCALING_QUANTITIES:
            return self._rescaling(observation.factors)[observation.quantity]
        measured: Tensor = getattr(self, observation.quantity)()
        return measured

    def train_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return loss(self._logits[0], self.train.labels[None, :EVALUATION_EXAMPLES])

    def train_accuracy(self) -> Tensor:
        """Share of training examples classified rightly [R]."""
        return accuracy(self._logits[0], self.train.labels[None, :EVALUATION_EXAMPLES])

    def test_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return loss(self._logits[1], self.test.labels[None])

    def test_accuracy(self) -> Tensor:
        """Share of test examples classified rightly [R]."""
        return accuracy(self._logits[1], self.test.labels[None])

    def test_predictions(self) -> Tensor:
        """Class given to each test example, int16 [R, N]."""
        return self._logits[1].argmax(dim=1).to(torch.int16)

    def average_test_accuracy(self) -> Tensor:
        """Test accuracy [R] of the mean of the weights at this and all earlier steps of the observation.

        That is stochastic weight averaging (Izmailov et al. 2018): one network, with statistics of its own.
        """
        assert self.average is not None
        return replace(self, weight_vectors=self.average).test_accuracy()

    def partner_average_test_accuracy(self) -> Tensor:
        """Test accuracy of the mean of the weights of each replica and its partner: [R], equal for the two."""
        pairs = (self.weight_vectors[::2] + self.weight_vectors[1::2]) / 2
        return replace(self, weight_vectors=pairs, head=self.head[::2]).test_accuracy().repeat_interleave(2)

    def weights(self) -> Tensor:
        """The trainable weights [R, weight]."""
        return self.weight_vectors.clone()

    def weight_norm(self) -> Tensor:
        """‖w‖ [R]."""
        return self._weight_norm

    def effective_learning_rate(self) -> Tensor:
        """η/‖w‖² [R]."""
        return self.learning_rate[:, 0] / self._weight_norm.square()

    @cached_property
    def _weight_norm(self) -> Tensor:
        return length(self.weight_vectors)

    @cached_property
    @torch.no_grad()
    def _logits(self) -> tuple[Tensor, Tensor]:
        """Logits [R, class, N] of the first training examples, and of the test examples."""
        at_once = evaluated_at_once(self.net, self.weight_vectors)
        chunks = list(zip(torch.split(self.weight_vectors, at_once), torch.split(self.head, at_once), strict=True))
        statistics: list[Statistics] = [[] for _ in chunks]
        images = self.train[:EVALUATION_EXAMPLES].images[None]
        train = [
            self.net.forward(*chunk, images, Layers(measuring(self.norm, measured)))
            for chunk, measured in zip(chunks, statistics, strict=True)
        ]
        test = []
        for start in range(0, len(self.test.labels), EVALUATION_EXAMPLES):
            # Outside, because images that are streamed should be made once for all replicas.
            images = self.test[start : start + EVALUATION_EXAMPLES].images[None]
            part = [self._tested(*chunk, images, measured) for chunk, measured in zip(chunks, statistics, strict=True)]
            test.append(torch.cat(part))
        return torch.cat(train), torch.cat(test, dim=2)

    def _tested(self, weights: Tensor, head: Tensor, images: Tensor, statistics: Statistics) -> Tensor:
        """Logits of test images, normalised by the training examples' statistics."""
        return self.net.forward(weights, head, images, Layers(by_training_set(self.norm, statistics)))

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
        logits = self.net.forward(weights, self.head, probe.images[None], Layers(in_training(self.norm)))
        losses = loss(logits, probe.labels[None])
        (gradient,) = torch.autograd.grad(losses.sum(), weights, create_graph=True)
        (curvature,) = torch.autograd.grad((gradient * direction).sum(), weights)
        return {
            "loss_rescaling": losses.detach()[:, None],
            "gradient_rescaling": factor * gradient.detach(),
            "curvature_rescaling": factor**2 * curvature,
        }
