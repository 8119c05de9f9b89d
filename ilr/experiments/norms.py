"""The normalisations there are, as plain data; `ilr.nn.norms` computes them."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ilr.experiments.architectures import MLP, Net, PreResNet, Toy, is_own
from ilr.serialization import record

if TYPE_CHECKING:
    from torch import Tensor


class Norm:
    """A normalisation of the layers below the head.

    One of your own derives from this, is a record, and has `activations`, `weights` or both: see docs/extending.md.
    Those of ilr have neither; `ilr.nn.norms` computes them.
    """

    def check(self, net: Net) -> None:
        """Checks that it fits a net of ilr's; most norms fit all.

        Raises:
            ValueError: it does not.
        """

    def activations(self, inputs: "Tensor") -> "Tensor":
        """What becomes of one replica's activations, each example by itself; of the same shape.

        Args:
            inputs: features [example, channel] of an MLP, or maps [example, channel, row, column].
        """
        raise NotImplementedError

    def weights(self, weights: "Tensor") -> "Tensor":
        """What one replica's layer applies in the place of the weights that are trained; of the same shape.

        Args:
            weights: [out, in, ...].
        """
        raise NotImplementedError


def _check_eps(norm: Norm, eps: float) -> None:
    if eps < 0:
        raise ValueError(f"{type(norm).__name__}: eps={eps} must be 0 or more")


class _ExampleNorm(Norm, ABC):
    """Normalises each example by itself, groups of neighbouring channels over all their pixels."""

    eps: float

    def __post_init__(self) -> None:
        _check_eps(self, self.eps)

    @abstractmethod
    def groups_of(self, channels: int) -> int:
        """Number of groups that so many channels make."""

    def check(self, net: Net) -> None:
        """Checks that its groups are whole, and of more than one number."""
        if isinstance(net, Toy):
            return
        for channels in net.normalised:
            groups = self.groups_of(channels)
            if channels % groups:
                raise ValueError(f"{self}: {groups} groups do not divide the {channels} channels of {net}")
            if isinstance(net, MLP) and channels == groups:
                raise ValueError(
                    f"{self}: each unit of {net} would be normalised by itself, a single number; "
                    "take LayerNorm() or fewer groups"
                )
        if isinstance(net, PreResNet) and channels == groups:
            raise ValueError(
                f"{self}: the last channels of {net} would be normalised over the very pixels of which "
                "the head sees the mean, always 0; take LayerNorm() or fewer groups"
            )


@record
class BatchNorm(Norm):
    """Batch normalisation without trainable affine; `eps` > 0 breaks scale invariance at small weights."""

    eps: float = 0.0

    def __post_init__(self) -> None:
        _check_eps(self, self.eps)

    def __str__(self) -> str:
        return "batch norm" + _broken_by(self.eps)


@record
class GroupNorm(_ExampleNorm):
    """Each example by itself: its channels in `groups` groups of neighbours, each normalised over all its pixels.

    Without trainable affine, as `BatchNorm`.
    """

    groups: int
    eps: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups < 1:
            raise ValueError(f"groups must be 1 or more, not {self.groups}")

    def groups_of(self, channels: int) -> int:  # noqa: ARG002 - those of other norms depend on it
        """The same number for all."""
        return self.groups

    def __str__(self) -> str:
        return f"group norm in {self.groups}" + _broken_by(self.eps)


@record
class LayerNorm(_ExampleNorm):
    """Each example by itself, over all channels and pixels: a group norm with one group."""

    eps: float = 0.0

    def groups_of(self, channels: int) -> int:  # noqa: ARG002 - those of other norms depend on it
        """One."""
        return 1

    def __str__(self) -> str:
        return "layer norm" + _broken_by(self.eps)


@record
class InstanceNorm(_ExampleNorm):
    """Each channel of each example by itself, over its pixels: a group norm with a group for each channel."""

    eps: float = 0.0

    def groups_of(self, channels: int) -> int:
        """One for each channel."""
        return channels

    def __str__(self) -> str:
        return "instance norm" + _broken_by(self.eps)


@record
class WeightNorm(Norm):
    """Weights are normalised, not activations: each unit's incoming weights have the norm √2.

    That keeps the mean square of activations through ReLU, which drops half of it (He et al. 2015). It does not
    normalise the sums of residual nets, which grow with depth: PreResNet32 starts from a loss of several hundred.
    """

    def __str__(self) -> str:
        return "weight norm"


@record
class NoNorm(Norm):
    """No normalisation: the net is not scale-invariant."""

    def __str__(self) -> str:
        return "no normalisation"


@record
class InNet(Norm):
    """Those that a net of your own has within it, whatever they are."""

    def check(self, net: Net) -> None:
        """Checks that it is no net of ilr's."""
        if not is_own(net):
            raise ValueError(f"InNet() is for a net of your own: {net} has no norm within it")

    def __str__(self) -> str:
        return "the net's own"


def _broken_by(eps: float) -> str:
    return f" (eps {eps:g})" if eps else ""
