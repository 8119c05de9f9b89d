"""What is measured on R replicas at once.

For each quantity of the table in `ilr.experiments.quantities` there is a method of its name: of `Step` for those of a
step, of `Networks` for those of a state; the rescaling ones are values of `Networks._derivatives`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from ilr.data.on_device import ExampleSet
from ilr.experiments.experiment import Observe
from ilr.experiments.norms import Norm
from ilr.experiments.quantities import OF_ADJACENT, OF_AVERAGE, QUANTITIES, SAMPLED_WEIGHTS, Requirement
from ilr.experiments.recording import Array
from ilr.nn.architectures import accuracy, loss
from ilr.nn.base import FusedNet
from ilr.nn.layers import Layers
from ilr.nn.norms import Statistics, by_training_set, has_statistics, in_training, measuring
from ilr.nn.own.stacking import written_out

EVALUATION_EXAMPLES = 1024
"""Training loss, training accuracy and normalisation statistics are those of the first so many training examples;
the test set is read in parts of this size.

Statistics of a thousand to ten thousand are as good as those of all (Wu, Johnson 2021, "Rethinking 'Batch' in
BatchNorm", section 3); `benchmarks/evaluations.py` measures what that makes of predictions here.
"""

TOGETHER_BYTES = 40 * 2**20
"""What a CPU's evaluation pass may make of these examples. Two of reduced's CNNs, of 19 MB each, take 10 ms each for
their statistics, one alone 14 ms, four 12 to 19; two PreResNet32s of 1.4 GB take 2.9 s each, one alone 2.5."""
PART_BYTES = 8 * 2**20
"""What it may make of test images, which need not pass all at once: in parts of 256 two CNNs take 7 ms each where they
take 8.5 in one, and a PreResNet32 in parts of 64 takes 0.9 s where it takes 2.5."""
FEWEST_TESTED = 32
"""Test images that pass at once, however large the net."""
GPU_BYTES = 2**30
"""What one evaluation pass may use of a GPU's memory."""

KEPT = "averaged "
"""How the names of what means are made of begin in a snapshot."""

PROBE_EXAMPLES = 32
"""The rescaling quantities use the first so many training examples as their one batch."""


def evaluated_at_once(net: FusedNet, weights: Tensor) -> int:
    """How many replicas one evaluation pass takes: so many that a CPU does not wait for memory, or a GPU for work."""
    one = EVALUATION_EXAMPLES * net.activations() * weights.element_size()
    return max(1, (GPU_BYTES if weights.is_cuda else TOGETHER_BYTES) // one)


def tested_at_once(net: FusedNet, weights: Tensor) -> int:
    """How many test images pass through so many replicas [R, weight] at once: on a CPU as many as its cache holds."""
    one = len(weights) * net.activations() * weights.element_size()
    return EVALUATION_EXAMPLES if weights.is_cuda else max(FEWEST_TESTED, PART_BYTES // one)


def length(vectors: Tensor) -> Tensor:
    """Euclidean length [R] of each replica's vector or layer [R, ...], in one pass: it is asked for at every step."""
    lengths: Tensor = torch.linalg.vector_norm(vectors.reshape(len(vectors), -1), dim=1)
    return lengths


def sampled(weights: int, device: torch.device | str = "cpu") -> Tensor:
    """The places, evenly spaced, of those of so many weights at which gradients are kept."""
    count = min(weights, SAMPLED_WEIGHTS)
    return torch.arange(count, device=device) * (weights - 1) // max(count - 1, 1)


@dataclass(frozen=True)
class Step:
    """One step of SGD of R networks, which changes weights in place and uses up gradients while it is taken."""

    before: Tensor
    """Weights [R, weight]; a copy where a quantity compares them with those after the step."""
    losses: Tensor
    """[R]"""
    gradients: Sequence[Tensor]
    """Of each layer, [R, ...]."""
    after: Tensor
    """Weights [R, weight]."""

    def measure(self, quantities: Iterable[str], needs: Requirement) -> dict[str, Tensor]:
        """Those of the quantities that need the gradient, or the update, each [R, ...]."""
        return {name: getattr(self, name)() for name in quantities if QUANTITIES[name].needs is needs}

    def batch_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return self.losses

    def gradient_second_moment(self) -> Tensor:
        """‖w‖²‖∇L‖² [R]: the squared norm that the gradient has at unit weight norm, by scale invariance."""
        squared = torch.stack([length(gradient).square() for gradient in self.gradients])  # [layer, R]
        return length(self.before).square() * squared.sum(dim=0)

    def sampled_gradient(self) -> Tensor:
        """∇L at some of the weights [R, sampled weight], in a copy: the step uses gradients up."""
        gradient = torch.cat([one.reshape(len(one), -1) for one in self.gradients], dim=1)  # [R, weight]
        return gradient[:, sampled(gradient.shape[1], gradient.device)]

    def step_angle(self) -> Tensor:
        """Angle [R] in radians, from the chord: the cosine would round small angles to zero."""
        chord = torch.nn.functional.normalize(self.after, dim=1) - torch.nn.functional.normalize(self.before, dim=1)
        return 2 * torch.asin((chord.norm(dim=1) / 2).clamp(max=1))


class Averages:
    """Means of the weights of R networks, each over the steps of an observation that asks for it.

    Args:
        observations: all that are made of the networks.
    """

    def __init__(self, observations: Iterable[Observe]) -> None:
        self._places = {one: place for place, one in enumerate(filter(is_of_average, dict.fromkeys(observations)))}
        self._counts = [0] * len(self._places)
        # [R, weight]: of a running average the mean so far, of one of two steps the weights at the last of them.
        self._kept: dict[int, Tensor] = {}

    def taken(self, observation: Observe, weights: Tensor) -> Tensor:
        """The mean [R, weight] at a step at which an observation is due, whose weights now count; once for each."""
        place = self._places[observation]
        self._counts[place] += 1
        earlier = self._kept.pop(place, weights)
        if observation.row.needs is OF_AVERAGE:
            mean = earlier.lerp(weights, 1 / self._counts[place])
            kept = mean
        else:
            mean = (earlier + weights) / 2
            kept = weights.clone()  # training goes on in place
        # After its last step there is nothing to go on from.
        if self._counts[place] < len(observation.at):
            self._kept[place] = kept
        return mean

    def gather(self, index: Tensor) -> None:
        """Goes on with the networks at `index`, [R']."""
        self._kept = {place: kept[index] for place, kept in self._kept.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """All that there is to go on from."""
        kept = {f"{KEPT}{place}": tensor for place, tensor in self._kept.items()}
        return {"averaged": torch.tensor(self._counts), **kept} if self._counts else {}

    def resume(self, snapshot: Mapping[str, Array], device: torch.device) -> None:
        """Goes on from a snapshot."""
        if "averaged" in snapshot:
            self._counts = snapshot["averaged"].tolist()
            names = {place: f"{KEPT}{place}" for place in self._places.values()}
            self._kept = {
                place: torch.tensor(snapshot[name], device=device) for place, name in names.items() if name in snapshot
            }


def is_of_average(observation: Observe) -> bool:
    """Whether it is a mean of weights at several steps that is observed."""
    return observation.row.needs in (OF_AVERAGE, OF_ADJACENT)


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
    """η times the optimiser's gain, [R, 1]."""
    probe_direction: Callable[[], Tensor]
    """Gives unit vectors [R, weight] along which curvature is compared."""
    train: ExampleSet
    test: ExampleSet
    norm_power: int | None = -2
    """That of the weight norm in the optimiser's effective learning rate: `ilr.training.optimizers.effective_rate`."""
    averaged: Tensor | None = None
    """[R, weight], the mean of weights that is observed: `Averages` gives it."""
    _rescaled: dict[tuple[float, ...], dict[str, Tensor]] = field(default_factory=dict, init=False)
    """The rescaling quantities, each [R, factor], by the factors they were asked for with."""

    def measure(self, observation: Observe) -> Tensor:
        """The observed quantity, [R, ...]."""
        if observation.row.needs.kind == "rescaling":
            return self._rescaling(observation.factors)[observation.quantity]
        value: Tensor = getattr(self, observation.quantity)()
        return value

    def train_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return loss(self._calibrated[0], self.train.labels[None, :EVALUATION_EXAMPLES])

    def train_accuracy(self) -> Tensor:
        """Share of training examples classified rightly [R]."""
        return accuracy(self._calibrated[0], self.train.labels[None, :EVALUATION_EXAMPLES])

    def test_loss(self) -> Tensor:
        """Mean cross-entropy [R]."""
        return loss(self._test_logits, self.test.labels[None])

    def test_accuracy(self) -> Tensor:
        """Share of test examples classified rightly [R]."""
        return accuracy(self._test_logits, self.test.labels[None])

    def test_predictions(self) -> Tensor:
        """Class given to each test example, int16 [R, N]."""
        return self._test_logits.argmax(dim=1).to(torch.int16)

    def average_test_accuracy(self) -> Tensor:
        """Test accuracy [R] of the mean of the weights at this and all earlier steps of the observation.

        That is stochastic weight averaging (Izmailov et al. 2018): one network, with statistics of its own.
        """
        return self._of_average.test_accuracy()

    def adjacent_average_test_accuracy(self) -> Tensor:
        """Test accuracy [R] of the mean of the weights at this step of the observation and the one before.

        At the first of its steps that is the test accuracy of the network itself.
        """
        return self._of_average.test_accuracy()

    def partner_average_test_accuracy(self) -> Tensor:
        """Test accuracy of the mean of the weights of each replica and its partner: [R], equal for the two."""
        return self._of_partners.test_accuracy().repeat_interleave(2)

    def weights(self) -> Tensor:
        """The trainable weights [R, weight]."""
        return self.weight_vectors.clone()

    def weight_norm(self) -> Tensor:
        """‖w‖ [R]."""
        return length(self.weight_vectors)

    def effective_learning_rate(self) -> Tensor:
        """η/‖w‖² [R], with momentum β η/((1 − β)‖w‖²); for other optimisers the power of ‖w‖ that is in its place."""
        assert self.norm_power is not None
        if self.norm_power == 0:
            return self.learning_rate[:, 0].clone()
        norm = self.weight_norm()
        # Not as a power, which rounds otherwise than a square does.
        return self.learning_rate[:, 0] / (norm.square() if self.norm_power == -2 else norm)

    @cached_property
    def _of_average(self) -> "Networks":
        """The R networks with the mean of their weights at several steps."""
        assert self.averaged is not None
        return replace(self, weight_vectors=self.averaged)

    @cached_property
    def _of_partners(self) -> "Networks":
        """The R/2 networks with the mean of two partners' weights, and the head they share."""
        pairs = (self.weight_vectors[::2] + self.weight_vectors[1::2]) / 2
        return replace(self, weight_vectors=pairs, head=self.head[::2])

    @cached_property
    @torch.no_grad()
    def _calibrated(self) -> tuple[Tensor, list[Statistics]]:
        """Logits [R, class, N] of the first training examples, and each chunk's statistics of them."""
        # Images that all replicas share: [1, N, channel, row, column].
        images = self.train[:EVALUATION_EXAMPLES].images[None]
        logits, statistics = [], []
        for weights, head in self._chunks:
            measured: Statistics = []
            logits.append(self.net.forward(weights, head, images, Layers(measuring(self.norm, measured))))
            statistics.append(measured)
        return torch.cat(logits), statistics

    @cached_property
    @torch.no_grad()
    def _test_logits(self) -> Tensor:
        """Logits [R, class, N] of the test examples."""
        # The pass of training examples takes longer than that of the test set: only where its statistics are needed.
        statistics = self._calibrated[1] if has_statistics(self.norm) else [[] for _ in self._chunks]
        test = []
        for start in range(0, len(self.test.labels), EVALUATION_EXAMPLES):
            # Outside, because images that are streamed should be made once for all replicas.
            images = self.test[start : start + EVALUATION_EXAMPLES].images[None]
            part = [
                self._tested(*chunk, images, measured) for chunk, measured in zip(self._chunks, statistics, strict=True)
            ]
            test.append(torch.cat(part))
        return torch.cat(test, dim=2)

    @cached_property
    def _chunks(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and heads of as many replicas as one evaluation pass takes."""
        at_once = evaluated_at_once(self.net, self.weight_vectors)
        return list(zip(torch.split(self.weight_vectors, at_once), torch.split(self.head, at_once), strict=True))

    def _tested(self, weights: Tensor, head: Tensor, images: Tensor, statistics: Statistics) -> Tensor:
        """Logits of test images, normalised by the training examples' statistics."""
        parts = []
        for some in torch.split(images, tested_at_once(self.net, weights), dim=1):
            layers = Layers(by_training_set(self.norm, statistics))
            parts.append(self.net.forward(weights, head, some, layers))  # [R, class, N]
        return torch.cat(parts, dim=2)

    def _rescaling(self, factors: tuple[float, ...]) -> Mapping[str, Tensor]:
        """How far loss, gradient and Hessian-vector product are from scale invariance, relative, each [R, factor].

        Compares L(cw) with L(w), c∇L(cw) with ∇L(w), c²∇²L(cw)u with ∇²L(w)u on one batch, for each factor c and
        the probe direction u.
        """
        if factors not in self._rescaled:
            direction = self.probe_direction()
            reference = self._derivatives(1.0, direction)
            at_multiples = [self._derivatives(factor, direction) for factor in factors]
            self._rescaled[factors] = {}
            for name, value in reference.items():
                deviations = [(other[name] - value).norm(dim=1) / value.norm(dim=1) for other in at_multiples]
                self._rescaled[factors][name] = torch.stack(deviations, dim=1)  # [R, factor]
        return self._rescaled[factors]

    def _derivatives(self, factor: float, direction: Tensor) -> dict[str, Tensor]:
        """L, c∇L and c²∇²L·u at c times the weights, each [R, ...]."""
        probe = self.train[:PROBE_EXAMPLES]
        weights = (factor * self.weight_vectors).requires_grad_()
        # Torch's fast attention, which a net of somebody's own may have, has no second derivative.
        with written_out():
            logits = self.net.forward(weights, self.head, probe.images[None], Layers(in_training(self.norm)))
        losses = loss(logits, probe.labels[None])
        (gradient,) = torch.autograd.grad(losses.sum(), weights, create_graph=True)
        (curvature,) = torch.autograd.grad((gradient * direction).sum(), weights)
        return {
            "loss_rescaling": losses.detach()[:, None],  # [R, 1]
            "gradient_rescaling": factor * gradient.detach(),
            "curvature_rescaling": factor**2 * curvature,
        }
