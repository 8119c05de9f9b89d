"""Normalisation of R replicas at once: what computes each norm of `ilr.experiments.norms`.

Batch normalisation over R replicas of C channels is one over R·C channels; group normalisation one over R times as many
groups. To add a norm, write its record in `ilr.experiments.norms` and its entry of `COMPUTED_BY` here. A record of
somebody's own, which has no entry, says itself what it does to one replica.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import ilr.experiments.norms as records
from ilr.nn.own.stacking import Stacked

Statistics = list[tuple[Tensor, ...]]
"""Mean and variance [R·C] of each normalisation of a net, in the order the forward pass meets them."""


class Normalise(ABC):
    """How the layers of R replicas are normalised."""

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N] of fully connected layers."""

    @abstractmethod
    def maps(self, inputs: Tensor, replicas: int) -> Tensor:
        """Feature maps [N, R·C, H, W] of convolutions."""

    def weights(self, weights: Tensor) -> Tensor:
        """The weights [R, out, in, ...] that a layer below the head applies, of those that are trained."""
        return weights

    def calibrating(self, statistics: Statistics) -> "Normalise":  # noqa: ARG002 - those of batches need it
        """As this, and appends the batch's statistics, if it has some, to `statistics`."""
        return self

    def frozen(self, statistics: Statistics) -> "Normalise":  # noqa: ARG002 - those of batches need it
        """As this, by statistics measured before instead of those of the batch."""
        return self


class Identity(Normalise):
    """No normalisation."""

    def features(self, inputs: Tensor) -> Tensor:
        """The inputs."""
        return inputs

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:  # noqa: ARG002 - the interface's
        """The inputs."""
        return inputs


class WeightNorm(Identity):
    """Weight normalisation: each output unit's weights have the norm √2, activations are left alone.

    If a layer's inputs have the mean square 1, so has what ReLU makes of its outputs: √2 makes up for the half that
    ReLU drops.
    """

    def weights(self, weights: Tensor) -> Tensor:
        """The trained weights' directions, all of one length."""
        units = weights.flatten(2)  # [R, out, in·…]
        return math.sqrt(2) * F.normalize(units, dim=2, eps=0.0).view_as(weights)


class GroupNorm(Normalise):
    """Normalises groups of channels of each example, over all their pixels.

    Args:
        groups_of: number of groups that a replica's channels make, from the number of channels.
        eps: added to the variance.
    """

    def __init__(self, groups_of: Callable[[int], int], eps: float) -> None:
        self.groups_of = groups_of
        self.eps = eps

    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N], which are maps without pixels."""
        rows = inputs.flatten(0, 1).T  # [N, R·C]
        return self.maps(rows, len(inputs)).T.view_as(inputs)  # [R·C, N], then [R, C, N]

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:
        """Feature maps [N, R·C, H, W].

        Raises:
            ValueError: a group is a single number.
        """
        # No group reaches over two replicas, because each replica's channels make whole groups.
        groups = replicas * self.groups_of(inputs.shape[1] // replicas)
        if inputs[0].numel() == groups:
            raise ValueError(
                f"normalisation over the pixels of maps of {inputs.shape[2]}×{inputs.shape[3]} makes every number 0: "
                "take larger images, fewer layers or another norm"
            )
        return torch.group_norm(inputs, groups, None, None, self.eps, torch.backends.cudnn.enabled)


class _OverBatch(Normalise):
    """Normalises every channel over all examples and pixels."""

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N]; as [1, R·C, N] they are what the kernel takes, without a copy."""
        rows = inputs.flatten(0, 1)[None]  # [1, R·C, N]
        return self._normalised(rows).view_as(inputs)  # [R, C, N]

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:  # noqa: ARG002 - the interface's
        """Feature maps [N, R·C, H, W]."""
        return self._normalised(inputs)

    @abstractmethod
    def _normalised(self, inputs: Tensor) -> Tensor:
        """Inputs [N, R·C, ...] normalised over all axes but the second."""


class BatchStatistics(_OverBatch):
    """Batch normalisation by the statistics of the batch itself: training."""

    def calibrating(self, statistics: Statistics) -> Normalise:
        """As this, and appends each layer's mean and variance to `statistics`."""
        return CalibratingNorm(self.eps, statistics)

    def frozen(self, statistics: Statistics) -> Normalise:
        """Batch normalisation by statistics measured before."""
        return FrozenStatistics(self.eps, statistics)

    def _normalised(self, inputs: Tensor) -> Tensor:
        return _batch_norm(inputs, None, None, training=True, eps=self.eps)


class CalibratingNorm(_OverBatch):
    """As `BatchStatistics`, and appends each layer's mean and (unbiased) variance to `statistics`: calibration."""

    def __init__(self, eps: float, statistics: Statistics) -> None:
        super().__init__(eps)
        self.statistics = statistics

    def _normalised(self, inputs: Tensor) -> Tensor:
        mean, variance = inputs.new_zeros(inputs.shape[1]), inputs.new_ones(inputs.shape[1])
        outputs = _batch_norm(inputs, mean, variance, training=True, eps=self.eps)
        self.statistics.append((mean, variance))
        return outputs


class FrozenStatistics(_OverBatch):
    """Batch normalisation by statistics measured before: evaluation."""

    def __init__(self, eps: float, statistics: Statistics) -> None:
        super().__init__(eps)
        self._remaining: Iterator[tuple[Tensor, ...]] = iter(statistics)

    def _normalised(self, inputs: Tensor) -> Tensor:
        mean, variance = next(self._remaining)
        return _batch_norm(inputs, mean, variance, training=False, eps=self.eps)


def _batch_norm(inputs: Tensor, mean: Tensor | None, variance: Tensor | None, *, training: bool, eps: float) -> Tensor:
    """Torch's own kernel; its wrapper in `torch.nn.functional` refuses eps = 0, which exact scale invariance
    needs.

    With momentum 1 the running statistics, where given, become exactly those of this batch.
    """
    return torch.batch_norm(inputs, None, None, mean, variance, training, 1.0, eps, torch.backends.cudnn.enabled)


@lru_cache(maxsize=64)
def stacked_activations(norm: records.Norm) -> Stacked:
    """A record's function of activations, for R replicas."""
    return Stacked(lambda given: norm.activations(given["inputs"]))


@lru_cache(maxsize=64)
def stacked_weights(norm: records.Norm) -> Stacked:
    """A record's function of weights, for R replicas."""
    return Stacked(lambda given: norm.weights(given["inputs"]))


class RecordNorm(Normalise):
    """Normalises by the functions of a record of somebody's own, each of one replica."""

    def __init__(self, norm: records.Norm) -> None:
        self.of_activations = stacked_activations(norm) if has_activations(norm) else None
        self.of_weights = stacked_weights(norm) if has_weights(norm) else None

    def features(self, inputs: Tensor) -> Tensor:
        """Features [R, C, N]."""
        if self.of_activations is None:
            return inputs
        rows = self.of_activations({"inputs": inputs.transpose(1, 2)})  # [R, N, C]
        # A copy, because ReLU writes over it, and the record's function may need what it gave for the way back.
        return rows.transpose(1, 2).clone(memory_format=torch.contiguous_format)  # [R, C, N]

    def maps(self, inputs: Tensor, replicas: int) -> Tensor:
        """Feature maps [N, R·C, H, W]."""
        if self.of_activations is None:
            return inputs
        examples, _, *side = inputs.shape
        each = inputs.view(examples, replicas, -1, *side).transpose(0, 1)  # [R, N, C, H, W]
        normalised = self.of_activations({"inputs": each}).transpose(0, 1)  # [N, R, C, H, W]
        last = inputs.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        return normalised.reshape(inputs.shape).clone(memory_format=layout)  # [N, R·C, H, W]

    def weights(self, weights: Tensor) -> Tensor:
        """The weights [R, out, in, ...] that a layer applies."""
        return weights if self.of_weights is None else self.of_weights({"inputs": weights})


def has_activations(norm: records.Norm) -> bool:
    """Whether a record of somebody's own normalises activations."""
    return type(norm).activations is not records.Norm.activations


def has_weights(norm: records.Norm) -> bool:
    """Whether a record of somebody's own normalises weights."""
    return type(norm).weights is not records.Norm.weights


class WithinNet(Identity):
    """The normalisations of a net of somebody's own, which the net itself computes; says how.

    Args:
        statistics: of the training set: buffers of the module, each [R, ...].
        is_frozen: whether they are what normalises; otherwise they are measured.
    """

    def __init__(self, statistics: Statistics | None = None, *, is_frozen: bool = False) -> None:
        self.statistics = statistics
        self.is_frozen = is_frozen

    def calibrating(self, statistics: Statistics) -> Normalise:
        """As in training, and appends what that makes of the module's buffers to `statistics`."""
        return WithinNet(statistics)

    def frozen(self, statistics: Statistics) -> Normalise:
        """As in evaluation, with buffers that were measured before."""
        return WithinNet(statistics, is_frozen=True)


COMPUTED_BY: Mapping[type[records.Norm], Callable[[Any], Normalise]] = {
    records.BatchNorm: lambda norm: BatchStatistics(norm.eps),
    records.GroupNorm: lambda norm: GroupNorm(norm.groups_of, norm.eps),
    records.LayerNorm: lambda norm: GroupNorm(norm.groups_of, norm.eps),
    records.InstanceNorm: lambda norm: GroupNorm(norm.groups_of, norm.eps),
    records.WeightNorm: lambda _: WeightNorm(),
    records.NoNorm: lambda _: Identity(),
    records.InNet: lambda _: WithinNet(),
}
"""For each kind of record, what makes the normalisation of a training step of it."""


def in_training(norm: records.Norm) -> Normalise:
    """How a training step normalises."""
    return COMPUTED_BY.get(type(norm), RecordNorm)(norm)


@lru_cache(maxsize=64)
def in_all_training(norm: records.Norm) -> Normalise:
    """As `in_training`, one object for all training by a norm, with which goes what is compiled of it."""
    return in_training(norm)


def measuring(norm: records.Norm, statistics: Statistics) -> Normalise:
    """As `in_training`, with the batch's statistics, where it has some, appended to `statistics`."""
    return in_training(norm).calibrating(statistics)


def has_statistics(norm: records.Norm) -> bool:
    """Whether evaluation needs statistics of the training set: other norms see every example alone."""
    in_batch = in_training(norm)
    return in_batch.calibrating([]) is not in_batch


def by_training_set(norm: records.Norm, statistics: Statistics) -> Normalise:
    """How evaluation normalises: a batch norm by statistics that were measured on the training set."""
    return in_training(norm).frozen(statistics)
