"""An experiment as pure data: what to train, on what, how, how often, and what to observe when."""

from dataclasses import replace
from itertools import pairwise
from typing import Literal

from ilr.experiments.architectures import Net, Toy, is_own
from ilr.experiments.noise import GradientNoise
from ilr.experiments.norms import InNet, Norm
from ilr.experiments.optimizers import SGD, Optimizer, gains
from ilr.experiments.own import calling
from ilr.experiments.own_data import OwnData
from ilr.experiments.quantities import OF_PARTNERS, QUANTITIES, Quantity
from ilr.experiments.schedules import Constant, Schedule, Values, as_schedule
from ilr.fields import is_ilrs, shown, where
from ilr.serialization import is_record, record

Steps = range | tuple[int, ...]
"""Steps at which something is observed: the state before the update of that step, so step 0 is the
initialisation."""

Precision = Literal["float32", "float64", "tf32", "bfloat16"]
"""In what training computes. tf32 and bfloat16 are float32 whose products, within a step, take operands of 10 and of 7
bits instead of 23, for which GPUs have units: weights, statistics, evaluations and what is recorded stay float32.
"""

LOW: tuple[Precision, ...] = ("tf32", "bfloat16")
"""Those below float32."""


@record
class Data:
    """A data set, cut down: the first `train` and `test` examples of its fixed shuffle (all for `None`).

    `side` averages the images down to side × side pixels; the original side must be a multiple of it.
    """

    name: str | OwnData
    """In the catalogue; or a record of your own."""
    train: int | None = None
    test: int | None = None
    side: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.name, OwnData) and not is_record(self.name):
            place = where(type(self.name))
            raise ValueError(
                f"Data: name={shown(self.name)} must be a record: put @ilr.record above the class ({place})"
            )
        for field in ("train", "test", "side"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"Data: {field}={value} must be 1 or more, or None")

    def __str__(self) -> str:
        size = "" if self.train is None else f", {self.train} examples"
        return f"{self.name}{size}" + ("" if self.side is None else f" at {self.side}×{self.side}")


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
    """One quantity at given steps.

    Raises:
        ValueError: there is no such quantity, no step, or factors where none belong or none where they do.
    """

    quantity: str
    """A name in `ilr.experiments.quantities.QUANTITIES`."""
    at: Steps
    """In ascending order."""
    factors: tuple[float, ...] = ()
    """The multiples of the weights that a rescaling quantity compares; the others have none."""

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(
                f"nothing called {self.quantity!r} can be observed; choose from {', '.join(sorted(QUANTITIES))}"
            )
        if not self.at:
            raise ValueError(f"{self.quantity!r} is observed at no step")
        if any(later <= earlier for earlier, later in pairwise(self.at)):
            raise ValueError(f"{self.quantity!r} is observed at steps that do not ascend")
        if ("factor" in self.row.axes) != bool(self.factors):
            raise ValueError(f"{self.quantity!r}: factors belong to the rescaling quantities, which need them")

    @property
    def row(self) -> Quantity:
        """The quantity's row of the table."""
        return QUANTITIES[self.quantity]


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
    learning_rate: Schedule | float
    """A number is a constant schedule."""
    weight_decay: Schedule | float
    """A number is a constant schedule."""
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
    """Of SGD; other optimisers have their own."""
    optimizer: Optimizer | None = None
    """`None`: SGD. `SGD(momentum=β)` becomes `momentum=β` and `None`, which is the same."""
    gradient_noise: GradientNoise | None = None
    """What a step takes in place of its batch's gradient; `None`: that gradient, which is SGD."""
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
        object.__setattr__(self, "learning_rate", as_schedule(self.learning_rate))
        object.__setattr__(self, "weight_decay", as_schedule(self.weight_decay))
        self._settle_optimizer()
        self._check_numbers()
        self._check_replicas()
        self._check_data()
        self._check_net()
        self._check_observations()

    def _settle_optimizer(self) -> None:
        """Plain SGD is written in one way; what is plain SGD's goes with no other optimiser."""
        if self.optimizer is None:
            return
        gains(self.optimizer)
        for field in ("momentum", "initial_velocity"):
            if value := getattr(self, field):
                raise ValueError(
                    f"Experiment: {field}={value:g} is that of an experiment without optimizer, not of {self.optimizer}"
                )
        if type(self.optimizer) is SGD and self.optimizer.plain:
            object.__setattr__(self, "momentum", self.optimizer.momentum)
            object.__setattr__(self, "optimizer", None)
        elif isinstance(self.net, Toy):
            raise ValueError(f"Experiment: optimizer={self.optimizer} is for nets: the toy loss takes SGD's steps")

    def _check_numbers(self) -> None:
        """Each by itself is one that training can do something with."""
        for field, allowed, holds in (
            ("seed", "0 or more", self.seed >= 0),
            ("batch_size", "1 or more, or None", self.batch_size is None or self.batch_size >= 1),
            ("momentum", "0 or more and below 1", 0 <= self.momentum < 1),
            ("initial_scale", "above 0", self.initial_scale > 0),
        ):
            if not holds:
                raise ValueError(f"Experiment: {field}={getattr(self, field)} must be {allowed}")

    def _check_replicas(self) -> None:
        """There are some, and partners come in twos."""
        if self.steps < 0 or self.replicas < 1 or self.first_replica < 0:
            raise ValueError(
                "an experiment needs steps ≥ 0, replicas ≥ 1 and first_replica ≥ 0, "
                f"not {self.steps}, {self.replicas} and {self.first_replica}"
            )
        if self.partners is not None and (self.replicas % 2 or self.first_replica % 2):
            raise ValueError(
                "partners come in twos: replicas and first_replica must be even, "
                f"not {self.replicas} and {self.first_replica}"
            )

    def _check_data(self) -> None:
        """Nets have data and the toy has none; a full batch is the same at every step, and has no noise to replace."""
        if isinstance(self.net, Toy) != (self.data is None):
            raise ValueError("the toy loss takes no data, every net needs some")
        if isinstance(self.net, Toy) and self.precision in LOW:
            raise ValueError(f"precision={self.precision!r} is for nets: the toy loss is computed in float64")
        if self.augmentation is not None and self.batch_size is None:
            raise ValueError(f"{self.augmentation}: the full batch takes no augmentation, each step would see another")
        if self.gradient_noise is not None:
            if self.batch_size is None:
                raise ValueError(f"{self.gradient_noise}: a full batch has no noise, give a batch_size")
            if self.partners is not None:
                raise ValueError(f"{self.gradient_noise}: partners share batches, whose noise is SGD's own")

    def _check_net(self) -> None:
        """Net and norm fit each other; a net of somebody's own has its norms, and its head, within it."""
        if is_own(self.net):
            if not isinstance(self.norm, InNet):
                raise ValueError(f"Experiment: norm={self.norm} is for nets of ilr's: give InNet() with {self.net}")
            if self.trainable_head:
                raise ValueError(
                    f"Experiment: trainable_head=True is for nets of ilr's: {self.net} itself says what trains"
                )
        if is_ilrs(type(self.norm)):
            self.norm.check(self.net)
        else:
            with calling(self.norm, f"check({shown(self.net)})"):
                self.norm.check(self.net)

    def _check_observations(self) -> None:
        """Each quantity is observed once, at steps that there are, and partners' averages only of partners."""
        names = [observation.quantity for observation in self.observe]
        if len(set(names)) != len(names):
            raise ValueError("a quantity is observed twice: join its steps in one Observe")
        for observation in self.observe:
            if observation.row.needs is OF_PARTNERS and self.partners is None:
                raise ValueError(f"{observation.quantity!r} needs partners: give the experiment Partners()")
            first, last = min(observation.at), max(observation.at)
            possible = observation.row.last(self.steps)
            if first < 0 or last > possible:
                raise ValueError(
                    f"{observation.quantity!r} can be observed at steps 0 to {possible}, not {first} to {last}"
                )

    def __str__(self) -> str:
        parts = [str(self.net), str(self.norm)]
        if self.data is not None:
            parts += [str(self.data), "full batch" if self.batch_size is None else f"batch {self.batch_size}"]
        if self.augmentation is not None:
            parts.append(str(self.augmentation))
        if self.momentum:
            parts.append(f"momentum {self.momentum:g}")
        if self.optimizer is not None:
            parts.append(str(self.optimizer))
        if self.gradient_noise is not None:
            parts.append(str(self.gradient_noise))
        if self.precision in LOW:
            parts.append(f"{self.precision} products")
        return ", ".join(parts)

    def slice(self, first_replica: int, replicas: int) -> "Experiment":
        """The same experiment with some of its replicas only; each is the very replica it is in the whole."""
        return replace(self, first_replica=first_replica, replicas=replicas)

    def learning_rates(self) -> Values:
        """The learning rate η of every step, and of the final state: [steps + 1]."""
        return as_schedule(self.learning_rate).values(self.steps + 1)

    def weight_decays(self) -> Values:
        """The weight decay λ of every step, and of the final state: [steps + 1]."""
        return as_schedule(self.weight_decay).values(self.steps + 1)

    @property
    def batches_per_step(self) -> int:
        """How many batches' gradients a step takes."""
        return 1 if self.gradient_noise is None else self.gradient_noise.batches

    @property
    def stepped_by(self) -> Optimizer:
        """The optimiser, SGD's momentum included."""
        return self.optimizer or SGD(self.momentum)

    def intrinsic_learning_rates(self) -> Values:
        """The intrinsic learning rate λₑ of every step, and of the final state: [steps + 1].

        ηλ, and ηλ/(1 − β) with momentum β: what a step of weight decay takes of the weights, in the long run.
        """
        _, gain = gains(self.stepped_by)
        return self.learning_rates() * self.weight_decays() * gain

    @property
    def dtype(self) -> str:
        """The type of its numbers, as torch and numpy call it: "float32" or "float64"."""
        return "float32" if self.precision in LOW else self.precision

    @property
    def replica_ids(self) -> range:
        """The ids of its replicas."""
        return range(self.first_replica, self.first_replica + self.replicas)


def kind_of(experiment: Experiment) -> Experiment:
    """What a replica costs and leaves behind follows from this: all that may differ beside is made equal here."""
    return replace(
        experiment,
        learning_rate=Constant(0.0),
        weight_decay=Constant(0.0),
        replicas=2,
        seed=0,
        first_replica=0,
        initial_scale=1.0,
        initial_velocity=0.0,
    )


def every(interval: int, until: int, start: int = 0) -> range:
    """Steps start, start + interval, … up to and including `until` where it is reached.

    >>> list(every(3, 9)), list(every(4, 9, start=1))
    ([0, 3, 6, 9], [1, 5, 9])
    """
    return range(start, until + 1, interval)
