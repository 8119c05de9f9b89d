"""The architectures there are, as plain data; `ilr.nn` computes them."""

from typing import TYPE_CHECKING

from ilr.fields import is_ilrs
from ilr.serialization import record

if TYPE_CHECKING:
    from torch import nn


class Net:
    """An architecture.

    One of your own derives from this, is a record, and has `module`: see docs/extending.md. Those of ilr have none;
    `ilr.nn` computes them.
    """

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations, if those are of ilr."""
        return ()

    def module(self, image_shape: tuple[int, ...], classes: int) -> "nn.Module":
        """One network, with initial weights from torch's random numbers.

        What it takes are images [example, channel, row, column], what it gives logits [example, class]. Parameters that
        do not require a gradient stay as they are.

        Args:
            image_shape: [channel, row, column].
            classes: how many logits an example has.
        """
        raise NotImplementedError


@record
class MLP(Net):
    """Linear, normalisation, ReLU for each hidden width; then the head."""

    widths: tuple[int, ...] = (32, 32, 32)

    def __post_init__(self) -> None:
        _check_counts(self, "widths")

    def __str__(self) -> str:
        return f"MLP {'-'.join(map(str, self.widths))}"

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return self.widths


@record
class CNN(Net):
    """3×3 convolution, normalisation, ReLU for each channel count; then the head, which sees every pixel.

    The side is halved after every second layer but the last.

    With four channel counts it is the blog's simple 4-layer normalised CNN. Its last layers are not known; a mean over
    pixels before a frozen head would leave it a twentieth of the features, and nets that differ much more.
    """

    channels: tuple[int, ...] = (8, 8, 16, 16)

    def __post_init__(self) -> None:
        _check_counts(self, "channels")

    def __str__(self) -> str:
        return f"CNN {'-'.join(map(str, self.channels))}"

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return self.channels


def _check_counts(net: object, *fields: str) -> None:
    """Every layer, block and stage has something.

    Raises:
        ValueError: there is none, or one is empty.
    """
    for field in fields:
        value = getattr(net, field)
        counts = value if isinstance(value, tuple) else (value,)
        if not counts or min(counts) < 1:
            raise ValueError(f"{type(net).__name__}: {field}={value} must be numbers of 1 or more")


class _EqualStages(Net):
    """What residual nets have in common whose stages have equally many blocks."""

    blocks_per_stage: int
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_counts(self, "blocks_per_stage", "widths")

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return (self.blocks_per_stage,) * len(self.widths)

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return self.widths


@record
class PreResNet(_EqualStages):
    """A residual net with pre-activation for small images (He et al. 2016b): PreResNet32 by default.

    As in the authors' later code a stage starts with a shortcut of a normalisation and a 1×1 convolution, and no ReLU
    comes between the last normalisation and the mean over pixels.
    """

    blocks_per_stage: int = 5
    widths: tuple[int, ...] = (16, 32, 64)

    def __str__(self) -> str:
        return f"PreResNet{2 + 2 * sum(self.blocks)} {'-'.join(map(str, self.widths))}"


@record
class ResNet(_EqualStages):
    """A residual net (He et al. 2016a) whose stem is a 3×3 convolution, for small images: ResNet18 by default."""

    blocks_per_stage: int = 2
    widths: tuple[int, ...] = (64, 128, 256, 512)

    def __str__(self) -> str:
        return f"ResNet{2 + 2 * sum(self.blocks)} {'-'.join(map(str, self.widths))}"


@record
class BottleneckResNet(Net):
    """A residual net of bottleneck blocks for ImageNet, with torchvision's shapes: ResNet50 by default.

    `widths` are the channels within the blocks of each stage; a block's outputs have four times as many.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)

    def __post_init__(self) -> None:
        _check_counts(self, "blocks", "widths")
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks and widths must be those of the same stages, not {self.blocks} and {self.widths}")

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return tuple(channels for width in self.widths for channels in (width, 4 * width))

    def __str__(self) -> str:
        return f"ResNet{2 + 3 * sum(self.blocks)} {'-'.join(map(str, self.widths))} of bottlenecks"


@record
class Toy(Net):
    """Two weights (x, y) and the loss x²/(x²+y²): the blog's figure 1a. It has no data."""

    def __str__(self) -> str:
        return "toy x²/(x²+y²)"


def is_own(net: Net) -> bool:
    """Whether a net is somebody's own."""
    return not is_ilrs(type(net))
