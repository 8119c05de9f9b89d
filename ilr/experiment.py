"""An experiment as pure data: what to train, on what, how, how often, and what to observe when."""

from dataclasses import replace
from typing import Literal, get_args

from ilr.records import record
from ilr.schedules import Schedule

Steps = range | tuple[int, ...]
"""Steps at which something is observed: the state before the update of that step, so step 0 is the
initialisation."""

Precision = Literal["float32", "float64"]

StateQuantity = Literal[
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "test_predictions",
    "average_test_accuracy",
    "partner_average_test_accuracy",
    "weight_norm",
    "effective_learning_rate",
    "weights",
]
StepQuantity = Literal["batch_loss", "gradient_second_moment", "step_angle"]
RescalingQuantity = Literal["loss_rescaling", "gradient_rescaling", "curvature_rescaling"]
Quantity = StateQuantity | StepQuantity | RescalingQuantity

STEP_QUANTITIES: frozenset[str] = frozenset(get_args(StepQuantity))
RESCALING_QUANTITIES: frozenset[str] = frozenset(get_args(RescalingQuantity))
QUANTITIES: frozenset[str] = frozenset(get_args(StateQuantity)) | STEP_QUANTITIES | RESCALING_QUANTITIES


@record
class MLP:
    """Linear, normalisation, ReLU for each hidden width; then the head."""

    widths: tuple[int, ...] = (32, 32, 32)

    def __str__(self) -> str:
        return f"MLP {'-'.join(map(str, self.widths))}"

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return self.widths


@record
class CNN:
    """3×3 convolution, normalisation, ReLU for each channel count; then the head, which sees every pixel.

    The side is halved after every second layer but the last.

    With four channel counts it is the blog's simple 4-layer normalised CNN. Its last layers are not known; a mean over
    pixels before a frozen head would leave it a twentieth of the features, and nets that differ much more.
    """

    channels: tuple[int, ...] = (8, 8, 16, 16)

    def __str__(self) -> str:
        return f"CNN {'-'.join(map(str, self.channels))}"

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return self.channels


class _EqualStages:
    """What residual nets have in common whose stages have equally many blocks."""

    blocks_per_stage: int
    widths: tuple[int, ...]

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
class BottleneckResNet:
    """A residual net of bottleneck blocks for ImageNet, with torchvision's shapes: ResNet50 by default.

    `widths` are the channels within the blocks of each stage; a block's outputs have four times as many.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)

    def __post_init__(self) -> None:
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks and widths must be those of the same stages, not {self.blocks} and {self.widths}")

    @property
    def normalised(self) -> tuple[int, ...]:
        """Channels of its normalisations."""
        return tuple(channels for width in self.widths for channels in (width, 4 * width))

    def __str__(self) -> str:
        return f"ResNet{2 + 3 * sum(self.blocks)} {'-'.join(map(str, self.widths))} of bottlenecks"


@record
class Toy:
    """Two weights (x, y) and the loss x²/(x²+y²): the blog's figure 1a. It has no data."""

    def __str__(self) -> str:
        return "toy x²/(x²+y²)"


Net = MLP | CNN | PreResNet | ResNet | BottleneckResNet | Toy


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


@record
class Data:
    """A data set, cut down: the first `train` and `test` examples of its fixed shuffle (all for `None`).

    `side` averages the images down to side × side pixels; the original side must be a multiple of it.
    """

    name: str
    train: int | None = None
    test: int | None = None
    side: int | None = None

    def __str__(self) -> str:
        size = "" if self.train is None else f", {self.train} examples"
        return self.name + size + ("" if self.side is None else f" at {self.side}×{self.side}")


@record
class Partners:
    """Replicas 2k and 2k + 1 are partners: they share the head, and are one network until the step `parted_at`.

    With `None` they share the head alone; the initial weights differ. Partners are not independent: the pair is then
    the unit of analysis.
    """

    parted_at: int | None = None


@record
class CropFlip:
    """Training images are padded with `padding` black pixels, cropped at random and flipped left to right or not."""

    padding: int = 4

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding must be 0 or more, not {self.padding}")

    def __str__(self) -> str:
        return f"crop by {self.padding} and flip"


@record
class ResizedCropFlip:
    """Random parts of the training images are resized to the whole and flipped left to right or not.

    For streamed data sets, whose images differ in size: a part has 8% to 100% of the area, as is usual for ImageNet.
    """

    def __str__(self) -> str:
        return "resized crop and flip"


Augmentation = CropFlip | ResizedCropFlip


@record
class Observe:
    """One quantity at given steps; `factors` are the multiples of the weights a rescaling quantity compares."""

    quantity: Quantity
    at: Steps
    factors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(
                f"nothing called {self.quantity!r} can be observed; choose from {', '.join(sorted(QUANTITIES))}"
            )
        if not self.at:
            raise ValueError(f"{self.quantity!r} is observed at no step")
        if (self.quantity in RESCALING_QUANTITIES) != bool(self.factors):
            raise ValueError(f"{self.quantity!r}: factors belong to the rescaling quantities, which need them")


@record
class Experiment:
    """Replicas of one training run: R networks that differ in initialisation and batch order only.

    A replica is keyed by (seed, replica id); ids are first_replica … first_replica + replicas − 1. Two experiments
    with the same seed and ids start from the same weights and see the same batches; with disjoint ids they are
    independent.

    Raises:
        ValueError: fields contradict each other.
    """

    net: Net
    norm: Norm
    learning_rate: Schedule
    weight_decay: Schedule
    steps: int
    replicas: int
    seed: int
    observe: tuple[Observe, ...]
    data: Data | None = None
    batch_size: int | None = None
    """Examples per step, drawn by shuffling once an epoch and dropping the rest; `None` is the full batch."""
    augmentation: Augmentation | None = None
    """How the images of a batch are changed at random; those of evaluations never are."""
    momentum: float = 0.0
    first_replica: int = 0
    initial_scale: float = 1.0
    """The initial weights are multiplied by this."""
    initial_velocity: float = 0.0
    """The momentum buffer before the first step, as a multiple of the initial weights."""
    trainable_head: bool = False
    """Train the top linear layer too, which breaks scale invariance; normally it stays at its random
    initialisation."""
    precision: Precision = "float32"
    partners: Partners | None = None

    def __post_init__(self) -> None:
        if self.steps < 0 or self.replicas < 1 or self.first_replica < 0:
            raise ValueError(
                "an experiment needs steps ≥ 0, replicas ≥ 1 and first_replica ≥ 0, "
                f"not {self.steps}, {self.replicas} and {self.first_replica}"
            )
        if isinstance(self.net, Toy) != (self.data is None):
            raise ValueError("the toy loss takes no data, every net needs some")
        if self.partners is not None and (self.replicas % 2 or self.first_replica % 2):
            raise ValueError(
                "partners come in twos: replicas and first_replica must be even, "
                f"not {self.replicas} and {self.first_replica}"
            )
        if self.augmentation is not None and self.batch_size is None:
            raise ValueError(f"{self.augmentation}: the full batch takes no augmentation, each step would see another")
        if isinstance(self.norm, ExampleNorm) and not isinstance(self.net, Toy):
            for channels in self.net.normalised:
                groups = self.norm.groups_of(channels)
                if channels % groups:
                    raise ValueError(
                        f"{self.norm}: {groups} groups do not divide the {channels} channels of {self.net}"
                    )
                if isinstance(self.net, MLP) and channels == groups:
                    raise ValueError(
                        f"{self.norm}: each unit of {self.net} would be normalised by itself, a single number; "
                        "take LayerNorm() or fewer groups"
                    )
            if isinstance(self.net, PreResNet) and channels == groups:
                raise ValueError(
                    f"{self.norm}: the last channels of {self.net} would be normalised over the very pixels of which "
                    "the head sees the mean, always 0; take LayerNorm() or fewer groups"
                )
        names = [observation.quantity for observation in self.observe]
        if len(set(names)) != len(names):
            raise ValueError("a quantity is observed twice: join its steps in one Observe")
        if "partner_average_test_accuracy" in names and self.partners is None:
            raise ValueError("'partner_average_test_accuracy' needs partners: give the experiment Partners()")
        for observation in self.observe:
            last = self.steps - 1 if observation.quantity in STEP_QUANTITIES else self.steps
            if min(observation.at) < 0 or max(observation.at) > last:
                raise ValueError(
                    f"{observation.quantity!r} can be observed at steps 0 to {last}, "
                    f"not {min(observation.at)} to {max(observation.at)}"
                )

    def __str__(self) -> str:
        parts = [str(self.net), str(self.norm)]
        if self.data is not None:
            parts += [str(self.data), "full batch" if self.batch_size is None else f"batch {self.batch_size}"]
        if self.augmentation is not None:
            parts.append(str(self.augmentation))
        if self.momentum:
            parts.append(f"momentum {self.momentum:g}")
        return ", ".join(parts)

    def slice(self, first_replica: int, replicas: int) -> "Experiment":
        """The same experiment with some of its replicas only; each is the very replica it is in the whole."""
        return replace(self, first_replica=first_replica, replicas=replicas)

    @property
    def replica_ids(self) -> range:
        """The ids of its replicas."""
        return range(self.first_replica, self.first_replica + self.replicas)


def every(interval: int, until: int, start: int = 0) -> range:
    """Steps start, start + interval, … up to and including `until` where it is reached."""
    return range(start, until + 1, interval)
