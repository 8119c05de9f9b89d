"""A variation: claims tried under another norm, net, data set, optimiser or momentum than their own.

What is replaced is the claim's *own* choice: the one that all of its experiments have. A control that takes away just
that, by having no norm for one, keeps what it has. A claim whose experiments differ in it compares it, and a variation
of it makes no sense there; nor does one that does not fit, or that makes a control the same as its claim. A file may
hold `KEEPS`, reasons by axis why its claim is about nothing else than its own choice.

The intrinsic learning rate λₑ stays as it is, since it is what the paper says decides: momentum β does at the learning
rate η(1 − β) what η does without it, and optimisers that add nothing up, whose λₑ is ηλ as plain SGD's, keep η.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ilr.data.catalog import DataUnavailableError, whole_info
from ilr.experiments.architectures import Net, Toy, is_own
from ilr.experiments.experiment import Data, Experiment
from ilr.experiments.norms import InNet
from ilr.experiments.optimizers import SGD, Optimizer, gains
from ilr.experiments.own_data import OwnData
from ilr.experiments.schedules import Constant, Scaled, Schedule, as_schedule
from ilr.fields import in_a_line
from ilr.variations import choices
from ilr.variations.choices import Choice

Named = dict[str, Experiment]
"""Experiments by name."""


NOTHING_KEPT: Mapping[str, str] = MappingProxyType({})


class NoSenseError(ValueError):
    """A variation of a claim that makes no sense; the message says why."""


@dataclass(frozen=True)
class Axis:
    """Something that a variation chooses: how it is read, found in an experiment, and put there."""

    noun: str
    nouns: str
    check: Callable[[str], Choice]
    get: Callable[[Experiment], Any]
    put: Callable[[Experiment, Any], Experiment]
    told: Callable[[Any], str] = str
    """A value in words."""
    optimizer: Callable[[Any], Optimizer] | None = None
    """The optimiser of a value, where that is what is chosen: it decides the learning rates at its λₑ."""

    def replaced(self, own: Any, value: Any) -> str:
        """What stands in place of what, in words, with what becomes of the learning rates."""
        rates = ""
        if self.optimizer is not None:
            of_rate, of_decay = _factors(self.optimizer(own), self.optimizer(value))
            changed = [f"{name} × {factor:g}" for name, factor in (("η", of_rate), ("λ", of_decay)) if factor != 1]
            rates = f" ({', '.join(changed)})" if changed else ""
        return f"{self.told(value)}{rates} in place of {self.told(own)}"


def _with_data(experiment: Experiment, name: str | OwnData) -> Experiment:
    """The same on other data, whole: what it was cut down to is kept where there is as much."""
    assert experiment.data is not None
    info = whole_info(name)
    train, test = experiment.data.train, experiment.data.test
    kept = Data(name, train if train and train <= info.train else None, test if test and test <= info.test else None)
    return replace(experiment, data=kept)


def _with_net(experiment: Experiment, net: Net) -> Experiment:
    """The same with another net; one of somebody's own has its norms within it."""
    return replace(experiment, net=net, norm=InNet() if is_own(net) else experiment.norm)


def _with_optimizer(experiment: Experiment, optimizer: Optimizer) -> Experiment:
    """The same by another optimiser, which plain SGD's momentum, if any, gives way to, at the same λₑ."""
    of_rate, of_decay = _factors(experiment.stepped_by, optimizer)
    is_plain = type(optimizer) is SGD and optimizer.plain
    return replace(
        experiment,
        optimizer=None if is_plain else optimizer,
        momentum=optimizer.momentum if isinstance(optimizer, SGD) and is_plain else 0.0,
        learning_rate=_times(experiment.learning_rate, of_rate),
        weight_decay=_times(experiment.weight_decay, of_decay),
    )


def _with_momentum(experiment: Experiment, momentum: float) -> Experiment:
    """The same with another momentum of plain SGD, at the same λₑ."""
    of_rate, of_decay = _factors(experiment.stepped_by, SGD(momentum))
    return replace(
        experiment,
        momentum=momentum,
        learning_rate=_times(experiment.learning_rate, of_rate),
        weight_decay=_times(experiment.weight_decay, of_decay),
    )


def _factors(before: Optimizer, after: Optimizer) -> tuple[float, float]:
    """What η, and what λ, is multiplied by, so that what a gradient does in the end and λₑ stay as they are."""
    gain_before, decay_gain_before = gains(before)
    gain_after, decay_gain_after = gains(after)
    of_rate = gain_before / gain_after
    return of_rate, decay_gain_before / decay_gain_after / of_rate


def _times(schedule: Schedule | float, factor: float) -> Schedule:
    """A schedule, each value times a factor."""
    values = as_schedule(schedule)
    if factor == 1:
        return values
    # Written as a claim would write it: what is the same run has the same recording.
    return Constant(values.value * factor) if isinstance(values, Constant) else Scaled(values, factor)


def _momentum_in_words(momentum: float) -> str:
    return f"momentum {momentum:g}" if momentum else "no momentum"


AXES: dict[str, Axis] = {
    "norm": Axis("norm", "norms", choices.norm, lambda one: one.norm, lambda one, norm: replace(one, norm=norm)),
    "net": Axis(
        "net",
        "nets",
        choices.net,
        lambda one: one.net,
        _with_net,
        # A hundred layers have a hundred widths.
        told=lambda net: in_a_line(str(net), 40),
    ),
    "data": Axis("data set", "data sets", choices.data, lambda one: one.data and one.data.name, _with_data),
    # Before momentum, which is one of plain SGD and of no other.
    "optimizer": Axis(
        "optimiser",
        "optimisers",
        choices.optimizer,
        lambda one: one.stepped_by,
        _with_optimizer,
        optimizer=lambda optimizer: optimizer,
    ),
    "momentum": Axis(
        "momentum",
        "momenta",
        choices.momentum,
        lambda one: one.momentum,
        _with_momentum,
        told=_momentum_in_words,
        optimizer=SGD,
    ),
}
"""By the name of the option. A further one is an entry here and a row of `ilr.session.options.Options`."""


@dataclass(frozen=True)
class Variation:
    """Choices by axis; without any, claims are tried as they are registered."""

    choices: Mapping[str, Choice] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.choices)

    def __str__(self) -> str:
        return " ".join(f"--{name}={choice}" for name, choice in self.choices.items())

    @property
    def suffix(self) -> str:
        """What it adds to the name of a folder: "-norm-group"; empty without any choice."""
        words = (f"-{name}-{Path(choice.typed).name}" for name, choice in self.choices.items())
        return re.sub(r"[^\w.-]", "-", "".join(words))

    def of(
        self, experiments: Named, controls: Mapping[str, Named], keeps: Mapping[str, str] = NOTHING_KEPT
    ) -> tuple[Named, dict[str, Named], str]:
        """A claim's experiments and those of its controls under these choices, and in words what differs.

        Args:
            experiments: of the claim.
            controls: theirs, by name.
            keeps: by axis, why the claim is about its own choice alone.

        Raises:
            NoSenseError: that makes no sense for this claim.
        """
        if "norm" in self.choices and "net" in self.choices and is_own(self.choices["net"].value):
            raise NoSenseError(f"the norms of {self.choices['net'].value} are its own, and cannot be another")
        varied = {"": dict(experiments), **{name: dict(control) for name, control in controls.items()}}
        told = []
        for name, choice in self.choices.items():
            if name in keeps:
                raise NoSenseError(keeps[name])
            own = _own(AXES[name], varied[""])
            if own != choice.value:
                varied = {part: _replaced(AXES[name], own, choice.value, named) for part, named in varied.items()}
                told.append(AXES[name].replaced(own, choice.value))
        main = varied.pop("")
        for name, control in varied.items():
            if control == main and controls[name] != experiments:
                raise NoSenseError(f"its control {name!r} would be the same as the claim")
        return main, varied, ", ".join(told)


AS_REGISTERED = Variation()


def _own(axis: Axis, experiments: Named) -> Any:
    """A claim's own choice: what all of its experiments have."""
    if any(isinstance(one.net, Toy) for one in experiments.values()):
        raise NoSenseError(f"it is about the toy loss, whose {axis.noun} cannot be another")
    own = {axis.get(one): None for one in experiments.values()}
    if len(own) > 1:
        raise NoSenseError(f"it compares {axis.nouns} itself: {'; '.join(axis.told(value) for value in own)}")
    return next(iter(own))


def _replaced(axis: Axis, own: Any, value: Any, experiments: Named) -> Named:
    """Experiments with another value where they have the claim's own."""
    try:
        return {
            name: axis.put(one, value) if not isinstance(one.net, Toy) and axis.get(one) == own else one
            for name, one in experiments.items()
        }
    except (ValueError, DataUnavailableError) as error:
        raise NoSenseError(str(error)) from None
