"""The normalisations there are, as plain data; `ilr.nn.layers` computes them."""

from ilr.serialization import record


@record
class BatchNorm:
    """Batch normalisation without trainable affine; `eps` > 0 breaks scale invariance at small weights."""

    eps: float = 0.0

    def __str__(self) -> str:
        return "batch norm" + _broken_by(self.eps)


@record
class GroupNorm:
    """Each example by itself: its channels in so many groups of neighbours, each normalised over all its pixels.

    Without trainable affine, as `BatchNorm`.
    """

    groups: int
    eps: float = 0.0

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ValueError(f"groups must be 1 or more, not {self.groups}")

    def groups_of(self, channels: int) -> int:  # noqa: ARG002 - those of the other norms depend on it
        """How many groups so many channels make."""
        return self.groups

    def __str__(self) -> str:
        return f"group norm in {self.groups}" + _broken_by(self.eps)


@record
class LayerNorm:
    """Each example by itself, over all channels and pixels: a group norm with one group."""

    eps: float = 0.0

    def groups_of(self, channels: int) -> int:  # noqa: ARG002 - those of the other norms depend on it
        """How many groups so many channels make."""
        return 1

    def __str__(self) -> str:
        return "layer norm" + _broken_by(self.eps)


@record
class InstanceNorm:
    """Each channel of each example by itself, over its pixels: a group norm with a group for each channel."""

    eps: float = 0.0

    def groups_of(self, channels: int) -> int:
        """How many groups so many channels make."""
        return channels

    def __str__(self) -> str:
        return "instance norm" + _broken_by(self.eps)


@record
class WeightNorm:
    """Weights are normalised, not activations: each unit's incoming weights have the norm √2.

    That keeps the mean square of activations through ReLU, which drops half of it (He et al. 2015). It does not
    normalise the sums of residual nets, which grow with depth: PreResNet32 starts from a loss of several hundred.
    """

    def __str__(self) -> str:
        return "weight norm"


@record
class NoNorm:
    """No normalisation: the net is not scale-invariant."""

    def __str__(self) -> str:
        return "no normalisation"


ExampleNorm = GroupNorm | LayerNorm | InstanceNorm
"""Those that normalise each example by itself."""
Norm = BatchNorm | ExampleNorm | WeightNorm | NoNorm


def _broken_by(eps: float) -> str:
    return f" (eps {eps:g})" if eps else ""
