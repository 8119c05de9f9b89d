"""A run in small: every kind of experiment trains a few steps at true shapes, every judge sees recordings of its form.

It shows that a run would get through, and says nothing about any claim: what is judged is random numbers.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console

from ilr.data.catalog import DataUnavailableError, form_of
from ilr.data.readers import read
from ilr.experiments.experiment import Data, Experiment, Observe, fusion_key
from ilr.experiments.recording import Recording
from ilr.lab.scheduler import Lab, TrainingFailedError
from ilr.serialization import digest
from ilr.session.options import Options
from ilr.session.progress import count, duration
from ilr.session.selection import Selection, lab_for
from ilr.stats.decision import Verdict
from ilr.trials.testing import synthetic_recording

STEPS = 2
"""Steps that are trained: the second begins from weights that have moved."""

REPLICAS = 2
"""Replicas that are trained: the fewest that are a batch."""

TEST_EXAMPLES = 256
"""The test set is cut down to these; the training set, whose first examples pass through as many at a time as ever, is
not."""

JUDGED_REPLICAS = 8
"""Replicas of the recordings that judges are given."""


@dataclass(frozen=True)
class Rehearsed:
    """How the rehearsal of one experiment went, and for which it stands."""

    experiment: Experiment
    """With few steps and replicas."""
    stands_for: tuple[Experiment, ...]
    """Experiments with the same net, data and so on: nothing that a few steps would show differs."""
    seconds: float = 0.0
    error: str = ""


class Rehearsal:
    """The rehearsal of a run. Data whose files are absent is replaced by random data of the same form.

    Args:
        options: of the command line.
        modules: the claims' files, as modules.

    Raises:
        ClaimFileError: a file does not keep the rules.
        DataUnavailableError: there is no such data set, or it is smaller than a claim asks for.
    """

    def __init__(self, options: Options, modules: Mapping[str, ModuleType]) -> None:
        self.options = options
        self.selection = Selection.of(options, modules)
        self.shortened = {_short(group): group for group in alike(self.selection.experiments)}
        self.rehearsed: tuple[Rehearsed, ...] = ()
        self.failures: dict[str, tuple[str, ...]] = {}
        """A line for everything that went wrong, by the name of the claim's module."""

    def run(self, console: Console) -> None:
        """Rehearses every experiment and every judge. Nothing is left behind."""
        console.print(
            f"Rehearsing {count(len(self.selection.experiments), 'experiment')} as {len(self.shortened)}: "
            f"{REPLICAS} networks, {STEPS} steps each.",
            soft_wrap=True,
        )
        # A store of its own, removed afterwards: no run may ever find what was rehearsed.
        with tempfile.TemporaryDirectory(prefix="ilr-rehearsal-") as folder, console.status("rehearsing"):
            lab = lab_for(self.options, Path(folder), rehearsal=True)
            self.rehearsed = tuple(_rehearsed(self.shortened, lab))
        self.failures = {name: tuple(self._failures(name)) for name in self.selection.trials}

    def not_run(self, name: str) -> str:
        """Why a claim does not run at this scale, if it does not."""
        return self.selection.plans[name].not_run

    def random_data(self) -> dict[str, str]:
        """Why random data stood in for a data set, by its name."""
        reasons = {}
        for name in sorted({one.data.name for one in self.selection.experiments if one.data}):
            try:
                read(name, self.options.data_root)
            except DataUnavailableError as error:
                reasons[name] = str(error)
        return reasons

    def _failures(self, name: str) -> Iterable[str]:
        trial, plan = self.selection.trials[name], self.selection.plans[name]
        for one in self.rehearsed:
            if one.error and set(one.stands_for) & set(plan.all()):
                yield one.error
        for experiment in plan.all():
            yield from _schedule_failures(experiment)
        outcome = trial.judged(plan, _Stage())
        if outcome.verdict is Verdict.ERROR:
            yield outcome.message


def alike(experiments: Iterable[Experiment]) -> list[tuple[Experiment, ...]]:
    """Groups of experiments of which one can stand for all: what differs is numbers, lengths or what is observed."""
    groups: dict[Experiment, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(replace(fusion_key(experiment), steps=0, observe=()), []).append(experiment)
    return [tuple(group) for group in groups.values()]


def _short(group: Sequence[Experiment]) -> Experiment:
    """A few steps of a few replicas that observe once whatever any experiment of a group observes."""
    steps = min(STEPS, max(experiment.steps for experiment in group))
    observed = {one.quantity: one for experiment in group for one in experiment.observe}
    return replace(
        group[0],
        steps=steps,
        replicas=REPLICAS,
        first_replica=0,
        observe=tuple(_once(observation, steps) for observation in observed.values()),
        data=_fewer_tests(group[0].data),
    )


def _once(observation: Observe, steps: int) -> Observe:
    return replace(observation, at=(observation.row.last(steps),))


def _fewer_tests(data: Data | None) -> Data | None:
    return data and replace(data, test=min(TEST_EXAMPLES, form_of(data).test))


def _rehearsed(shortened: Mapping[Experiment, Sequence[Experiment]], lab: Lab) -> Iterable[Rehearsed]:
    """Trains shortened experiments, given with those they stand for. Where one fails, each of those stands alone."""
    lab.train(lab.plan(shortened))
    for short, group in shortened.items():
        error = _error(short, lab)
        alone: dict[Experiment, list[Experiment]] = {}
        for experiment in group:
            alone.setdefault(_short([experiment]), []).append(experiment)
        if error and len(alone) > 1:
            yield from _rehearsed(alone, lab)
        else:
            yield Rehearsed(short, tuple(group), 0.0 if error else lab.source(short).seconds, error)


def _error(short: Experiment, lab: Lab) -> str:
    """What went wrong with an experiment that was to be trained, if anything did."""
    try:
        _check_form(lab.recording(short))
    except (TrainingFailedError, _WrongFormError) as error:
        return str(error)
    return ""


def _check_form(recording: Recording) -> None:
    """What was trained must have the form of what judges are given."""
    expected = synthetic_recording(recording.experiment)
    for quantity, values in expected.arrays.items():
        if recording[quantity].shape != values.shape:
            raise _WrongFormError(
                f"{recording.experiment}: {quantity!r} has the shape {recording[quantity].shape}, not {values.shape}"
            )


def _schedule_failures(experiment: Experiment) -> Iterable[str]:
    """What is wrong with the rates of the whole length, of which the rehearsal has seen the first."""
    for name in ("learning_rate", "weight_decay"):
        schedule = getattr(experiment, name)
        try:
            # Without warnings: what is not finite is found below.
            with np.errstate(all="ignore"):
                finite = np.isfinite(schedule.values(experiment.steps + 1)).all()
        except ArithmeticError as error:
            yield f"{experiment}: {name} {schedule}: {error}"
        else:
            if not finite:
                yield f"{experiment}: {name} {schedule} is not finite over {experiment.steps} steps"


class _WrongFormError(Exception):
    """A recording of another form than judges are given; the message is one line."""


class _Stage:
    """Stands in for a lab before a judge: recordings of the right form with random numbers in them."""

    def recording(self, experiment: Experiment) -> Recording:
        """A recording of a few replicas; of the same experiment always the same."""
        few = replace(experiment, replicas=min(JUDGED_REPLICAS, experiment.replicas))
        return synthetic_recording(few, seed=int(digest(experiment)[:8], 16))


def show(rehearsal: Rehearsal) -> Iterable[str]:
    """What was rehearsed, a line for each kind of experiment, and what stood in for what."""
    for one in rehearsal.rehearsed:
        stands_for = f"{count(len(one.stands_for), 'experiment')} of {', '.join(_claims(rehearsal, one))}"
        ended = f"ERROR      {one.error}" if one.error else f"REHEARSED  {one.experiment}, in {duration(one.seconds)}"
        yield f"{ended}: {stands_for}"
    for name, reason in rehearsal.random_data().items():
        yield f"random data stood in for {name}: {reason}"


def _claims(rehearsal: Rehearsal, rehearsed: Rehearsed) -> list[str]:
    """Ids of the claims an experiment was rehearsed for."""
    selection = rehearsal.selection
    return [
        selection.trials[name].claim.id
        for name, plan in selection.plans.items()
        if set(plan.all()) & set(rehearsed.stands_for)
    ]
