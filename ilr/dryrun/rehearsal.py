"""A run in small: every kind of experiment trains a few steps at true shapes, every judge sees recordings of its form.

It shows that a run would get through, and says nothing about any claim: what is judged is random numbers.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from ilr.data.catalog import DataUnavailableError, info_of
from ilr.data.readers import read
from ilr.experiments.experiment import Experiment, Observe, kind_of
from ilr.experiments.recording import Recording
from ilr.lab.cost import peak_bytes
from ilr.lab.hardware import is_gpu
from ilr.lab.limits import available_memory
from ilr.lab.scheduler import Lab, TrainingFailedError, TrainingPlan
from ilr.report.text import plural
from ilr.serialization import digest
from ilr.session.mode import Mode
from ilr.session.progress import rough_duration
from ilr.session.selection import SelectedClaim, Selection, lab_for
from ilr.stats.decision import Verdict
from ilr.trials.outcome import Outcome
from ilr.trials.sequential import SequentialTrial
from ilr.trials.testing import synthetic_recording

STEPS = 2
"""Steps that are trained: the second begins from weights that have moved."""

REPLICAS = 2
"""Replicas trained on a CPU: the fewest that are a batch. On a GPU it is as many as in the largest job, and their
formulation is chosen among all that a run would try, because that is where kernels and memory may fail."""

TEST_EXAMPLES = 256
"""The test set is cut down to these; the training set, whose first examples pass through as many at a time as ever, is
not."""

LEAST_BATCH = 2
"""Examples of a batch that is cut down for want of memory: batch normalisation needs two."""

BATCHES = 4
"""Batches of training examples that are left where batches are cut down."""

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

    def concerns(self, claim: SelectedClaim) -> bool:
        """Whether it stands for an experiment of a claim."""
        return not set(self.stands_for).isdisjoint(claim.planned.all())


class Rehearsal(Mode):
    """The mode of --rehearse. Data whose files are absent is replaced by random data of the same form."""

    heading = "rehearsal: no verdicts"

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        self.groups = alike(selection.experiments)
        self.rehearsed: list[Rehearsed] = []

    def prepare(self, console: Console) -> int:
        """Rehearses every experiment. Nothing is left behind."""
        options = self.selection.options
        if options.literal:
            console.print(self.selection.literal, soft_wrap=True)
        shared = None
        if options.engine == "slurm":
            # The nodes of a cluster do not see a folder for temporary files, but they see the store.
            shared = options.store
            shared.mkdir(parents=True, exist_ok=True)
        # A store of its own, removed afterwards: no run may ever find what was rehearsed.
        with tempfile.TemporaryDirectory(prefix="ilr-rehearsal-", dir=shared) as folder, console.status("rehearsing"):
            lab = lab_for(options, Path(folder), stand_in=True)
            lab.choose = is_gpu(lab.device)
            replicas = _largest_jobs(lab, self.selection.experiments) if lab.choose else {}
            networks = "as many networks as its largest job has" if lab.choose else f"{REPLICAS} networks"
            console.print(
                f"Rehearsing {plural(len(self.selection.experiments), 'experiment')} as {len(self.groups)}: "
                f"{networks}, {STEPS} steps each.",
                soft_wrap=True,
            )
            self.rehearsed = _rehearsed(self.groups, replicas, lab)
        return 0

    def outcome(self, name: str) -> Outcome | None:
        """Rehearses a claim's judge, and gives what stops the claim; `None` where nothing does."""
        claim = self.selection.claims[name]
        trial = SequentialTrial(claim.file, (claim.planned,))
        if not trial.decided:
            trial.look(_synthetic)
        judged = trial.outcome(_synthetic)
        if judged.verdict is Verdict.NOT_RUN:
            return judged
        complaints = [one.error for one in self.rehearsed if one.error and one.concerns(claim)]
        for experiment in claim.planned.all():
            complaints += _schedule_failures(experiment)
        # A figure that fails costs no verdict, but here it is to be found out.
        if judged.verdict is Verdict.ERROR or not judged.figures:
            complaints.append(judged.message)
        return Outcome(claim.file.claim, Verdict.ERROR, "\n".join(complaints)) if complaints else None

    def summary(self, width: int, *, verbose: bool) -> Iterable[str]:  # noqa: ARG002
        """What was rehearsed, a line for each kind of experiment, and what stood in for what."""
        for one in self.rehearsed:
            ended = f"REHEARSED  {one.experiment}, in {rough_duration(one.seconds)}"
            if one.error:
                ended = f"ERROR      {one.error}"
            claims = [claim.id for claim in self.selection.claims.values() if one.concerns(claim)]
            yield f"{ended}: {plural(len(one.stands_for), 'experiment')} of {', '.join(claims)}"
            batch = one.stands_for[0].batch_size
            if one.experiment.batch_size != batch:
                yield f"in batches of {one.experiment.batch_size}, as {batch} take more memory than is free"
        for name in sorted({one.data.name for one in self.selection.experiments if one.data}, key=str):
            try:
                read(name, self.selection.options.data_root)
            except DataUnavailableError as error:
                yield f"random data stood in for {name}: {error}"


def alike(experiments: Iterable[Experiment]) -> list[tuple[Experiment, ...]]:
    """Groups of experiments of which one can stand for all: what differs is numbers, lengths or what is observed."""
    groups: dict[Experiment, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(_kind(experiment), []).append(experiment)
    return [tuple(group) for group in groups.values()]


def _kind(experiment: Experiment) -> Experiment:
    return replace(kind_of(experiment), steps=0, observe=())


def _largest_jobs(lab: Lab, experiments: Iterable[Experiment]) -> Mapping[Experiment, int]:
    """Replicas of the largest job of each kind that a run with an empty store would make."""
    largest: dict[Experiment, int] = {}
    for job in lab.plan(experiments).jobs:
        kind = _kind(job.keys[0].experiment)
        largest[kind] = max(job.replicas, largest.get(kind, 0))
    return largest


def _short(group: Sequence[Experiment], replicas: int) -> Experiment:
    """A few steps of so many replicas that observe once whatever any experiment of a group observes."""
    steps = min(STEPS, max(experiment.steps for experiment in group))
    observed: dict[str, Observe] = {}
    for experiment in group:
        for observation in experiment.observe:
            observed[observation.quantity] = replace(observation, at=(observation.row.last(steps),))
    data = group[0].data
    if data is not None:
        data = replace(data, test=min(TEST_EXAMPLES, info_of(data).test))
    return replace(
        group[0], steps=steps, replicas=replicas, first_replica=0, observe=tuple(observed.values()), data=data
    )


def _rehearsed(groups: Iterable[Sequence[Experiment]], replicas: Mapping[Experiment, int], lab: Lab) -> list[Rehearsed]:
    """Trains a shortened experiment for each group. Where one fails, each of its group stands alone.

    Args:
        groups: as `alike` makes them.
        replicas: that are trained of some kinds; of others it is `REPLICAS`.
        lab: trains them.
    """
    shortened: dict[Experiment, list[Experiment]] = {}
    for group in groups:
        short = _short(group, replicas.get(_kind(group[0]), REPLICAS))
        if not is_gpu(lab.device):
            short = _in_memory(short, max(lab.engine.processes, 1))
        # Kinds that differ in their batches alone may be one when these are cut down.
        shortened.setdefault(short, []).extend(group)
    # As one job each, as if there were one worker.
    jobs = tuple(job for short in shortened for job in lab.jobs(list(lab.keys(short)), 1))
    lab.train(TrainingPlan(jobs, stored=0, seconds=0.0))
    found = []
    for short, group in shortened.items():
        try:
            error = _wrong_form(lab.recording(short))
        except TrainingFailedError as failure:
            error = str(failure)
        # Those that are the same when shortened alone fail as one again.
        alone: dict[Experiment, list[Experiment]] = {}
        for experiment in group:
            one = replace(_short([experiment], short.replicas), batch_size=short.batch_size, data=short.data)
            alone.setdefault(one, []).append(experiment)
        if error and len(alone) > 1:
            found += _rehearsed(alone.values(), replicas, lab)
        else:
            found.append(Rehearsed(short, tuple(group), 0.0 if error else lab.source(short).seconds, error))
    return found


def _in_memory(short: Experiment, workers: int) -> Experiment:
    """The same with batches halved, and few examples, until all workers together take half of the free memory.

    That a step goes through shows at any batch, and a machine without a GPU is none that would train the whole. Half,
    as what is free now is not free for long where others work.
    """
    free = available_memory()
    while (
        free is not None
        and short.data is not None
        and short.batch_size is not None
        and short.batch_size > LEAST_BATCH
        and workers * peak_bytes([short]) > free // 2
    ):
        batch_size = short.batch_size // 2
        # An evaluation passes the first training examples through the net at once.
        examples = min(BATCHES * batch_size, info_of(short.data).train)
        short = replace(short, batch_size=batch_size, data=replace(short.data, train=examples))
    return short


def _wrong_form(recording: Recording) -> str:
    """How what was trained departs from the form of what judges are given, if it does."""
    for quantity, values in synthetic_recording(recording.experiment).arrays.items():
        trained = recording[quantity].shape
        if trained != values.shape:
            return f"{recording.experiment}: {quantity!r} has the shape {trained}, not {values.shape}"
    return ""


def _schedule_failures(experiment: Experiment) -> Iterable[str]:
    """What is wrong with the rates of the whole length, of which the rehearsal has seen the first."""
    rates = {"learning_rate": experiment.learning_rates, "weight_decay": experiment.weight_decays}
    for name, values in rates.items():
        try:
            # Without numpy's warnings: what is not finite is found here.
            with np.errstate(all="ignore"):
                finite = np.isfinite(values()).all()
        except ArithmeticError:
            finite = False
        if not finite:
            yield f"{experiment}: {name} {getattr(experiment, name)} is not finite over {experiment.steps} steps"


def _synthetic(experiment: Experiment) -> Recording:
    """Random numbers in the form of a recording of a few replicas; for the same experiment always the same."""
    few = replace(experiment, replicas=min(JUDGED_REPLICAS, experiment.replicas))
    return synthetic_recording(few, seed=int(digest(experiment)[:8], 16))
