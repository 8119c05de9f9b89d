"""A claim as it is written down before its data is seen: `Claim`, its `Control`s, and the `Setting` of one run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from numpy.typing import ArrayLike

from ilr.experiments.experiment import Experiment, Observe, Steps
from ilr.experiments.recording import Recording
from ilr.serialization import record
from ilr.stats.decision import Prediction
from ilr.stats.groups import Group
from ilr.trials.scales import SCALES, STANDARD, Scale

Experiments = dict[str, Experiment]
"""What a claim, or one of its controls, trains, by name."""
Recordings = Mapping[str, Recording]
"""What those experiments left behind, by the same names."""
ControlRecordings = Mapping[str, Recordings]
"""What each control's experiments left behind, by the control's name."""
Measurements = Iterable[tuple[Prediction, *tuple[Any, ...]]]
"""What a judge yields: each prediction with the samples that its rule takes."""


class ClaimFileError(ValueError):
    """A claim's file, or its history, that does not keep the rules; the message is one line that says which."""


@record
class Control:
    """A variant of the experiments with the mechanism taken away; judged by the claim's own rule, it must fail."""

    name: str
    """Words joined by hyphens; the claim's file holds its experiments in `control_<name with underscores>`."""
    takes_away: str
    """What is taken away, and why the claim must then fail."""


MOST_REPLICAS = 10_000
"""Of a group: that many networks decide whatever can be decided, and a mistyped number shows at once."""

MOST_LOOKS = 4
"""The error rates are shared out between looks: more of them would leave too little for each."""


@record
class Replicas:
    """Replicas per group at each scale; `None` where the claim does not run.

    Several numbers are several looks, (16, 32, 64, 128): what 16 replicas leave undecided trains on to 32, and so on.

    Raises:
        ValueError: there are more than four looks, one is not twice the last, or a number is below 2.
    """

    tiny: int | tuple[int, ...] | None = None
    reduced: int | tuple[int, ...] | None = None
    full: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for scale in SCALES:
            looks, given = self.looks(scale), getattr(self, scale)
            if given is not None and not 1 <= len(looks) <= MOST_LOOKS:
                raise ValueError(f"replicas {scale}={given}: give one number for each look, {MOST_LOOKS} at most")
            for fewer, more in pairwise(looks):
                if more != 2 * fewer:
                    raise ValueError(f"replicas {scale}={given}: {more} is not twice {fewer}, as each look must be")
            if looks and looks[0] < 2:
                raise ValueError(f"replicas {scale}={given}: a decision needs at least 2")
            if looks and looks[-1] > MOST_REPLICAS:
                raise ValueError(f"replicas {scale}={given}: {MOST_REPLICAS:,} are the most")

    def looks(self, scale: Scale) -> tuple[int, ...]:
        """Replicas per group at each look, the first one first; empty where the claim does not run.

        >>> Replicas(tiny=(16, 32), reduced=24).looks("tiny")
        (16, 32)
        """
        given: int | tuple[int, ...] | None = getattr(self, scale)
        if given is None:
            return ()
        return (given,) if isinstance(given, int) else given


@record
class Differs:
    """In what a claim's setting differs from the paper's at each scale; each goes on after "Differs from the paper in".

    Where the paper does not state a setting, ours is named here, too.
    """

    tiny: str = ""
    reduced: str = ""
    full: str = ""
    literal: str = ""
    """Of the lengths that the paper states, at full; empty where a claim has none beside those that it registers."""


@record
class Claim:
    """One claim of the paper, its blog post or its reviews, with the rule that decides it."""

    id: str
    """Words joined by hyphens; the claim's file is `test_<id with underscores>.py`."""
    title: str
    source: str
    """Document and section, figure or reviewer."""
    statement: str
    """The claim in our own words."""
    predictions: tuple[Prediction, ...]
    controls: tuple[Control, ...]
    replicas: Replicas
    not_run: str = ""
    """Why the claim does not run at the scales that `replicas` leaves out."""
    question: str = ""
    """The title as a question, as the report asks it."""
    differs: Differs = Differs()

    def __post_init__(self) -> None:
        if not self.predictions:
            raise ValueError(f"the claim {self.id!r} predicts nothing: give it at least one Prediction")
        if not self.controls:
            raise ValueError(f"the claim {self.id!r} has no control: give it a Control that must not be reproduced")
        for what, names in (
            ("prediction", [prediction.quantity for prediction in self.predictions]),
            ("control", [control.name for control in self.controls]),
        ):
            if repeated := first_repeated(names):
                raise ValueError(f"the claim {self.id!r} has two {what}s called {repeated!r}")
        counted = tuple(replace(prediction, family=len(self.predictions)) for prediction in self.predictions)
        object.__setattr__(self, "predictions", counted)
        if not self.not_run and not all(self.replicas.looks(scale) for scale in SCALES):
            raise ValueError(f"the claim {self.id!r} leaves out a scale: say why in not_run")

    def __getitem__(self, quantity: str) -> Prediction:
        """The prediction for `quantity`.

        Raises:
            KeyError: the claim does not predict it.
        """
        for prediction in self.predictions:
            if prediction.quantity == quantity:
                return prediction
        raise KeyError(f"the claim {self.id!r} predicts no {quantity!r}")


@record
class Setting:
    """What one look asks of every claim: the scale, the root seed and the number of replicas per group."""

    scale: Scale
    seed: int
    replicas: int
    most: int = 0
    """Replicas per group at the last look; 0: at this one."""
    literal: bool = False
    """Whether the lengths that the paper states are asked for, where theory needs less; at full only."""

    def __post_init__(self) -> None:
        if self.literal and self.scale != "full":
            raise ValueError(f"literal lengths are those of the scale full, not of {self.scale}")

    @property
    def regime(self) -> str:
        """The scale, or "literal" where the paper's lengths are asked for: the key of a claim's `REGIMES`."""
        return "literal" if self.literal else self.scale

    def experiment(self, group: int = 0, **fields: Any) -> Experiment:
        """An experiment of this scale's standard net and data; `fields` are those of `Experiment`, and win.

        Experiments of one group, so by default all, are pairs: replica i has the same frozen head, the same initial
        weights and the same batches in each. Those of different groups are independent.

        Args:
            group: 0 has the replicas 0 to n - 1, any other has ids of its own.
            fields: of `Experiment`.
        """
        replicas = fields.pop("replicas", self.replicas)
        # Apart by as many as there are at the last look: no group ever grows into another, and each keeps its ids.
        first = group * replicas * max(self.most // self.replicas, 1)
        given = {"replicas": replicas, "first_replica": first, "seed": self.seed}
        return Experiment(**{**STANDARD[self.scale], **given, **fields})


def for_each(names: Iterable[str], *predictions: Prediction) -> tuple[Prediction, ...]:
    """All predictions for the first name, then all for the second, and so on.

    >>> grows = Prediction("{}: growth", "at_least", 1.0, 0.0, reason="no decay")
    >>> [one.quantity for one in for_each(("slow", "fast"), grows)]
    ['slow: growth', 'fast: growth']
    """
    return tuple(prediction.of(name) for name in names for prediction in predictions)


def observe_all(*quantities: str, at: Steps) -> tuple[Observe, ...]:
    """Several quantities, all at the same steps."""
    return tuple(Observe(quantity, at) for quantity in quantities)


def group(recording: Recording, values: ArrayLike) -> Group:
    """What a rule that compares groups takes: values [replica, ...] made from a recording, with its replicas' ids.

    Raises:
        ValueError: there is not a value for each of its replicas.
    """
    return Group(values, recording.experiment.replica_ids)


def changed(experiments: Experiments, only: Iterable[str] | None = None, **fields: Any) -> Experiments:
    """Experiments of which some fields have other values, as a control needs them.

    Args:
        experiments: by name; they stay as they are.
        only: names of those that change; the others are kept. `None` changes all.
        fields: of `Experiment`, with their new values.

    Raises:
        KeyError: there is no experiment of a name.
    """
    result = dict(experiments)
    for name in experiments if only is None else only:
        result[name] = replace(experiments[name], **fields)
    return result


def first_repeated(names: Sequence[str]) -> str | None:
    """The first name that stands there a second time, if one does."""
    return next((name for i, name in enumerate(names) if name in names[:i]), None)
