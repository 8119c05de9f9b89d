"""The lab takes the experiments of all claims at once, serves what the store has and trains the rest, fused."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ilr.data.catalog import DataUnavailableError
from ilr.data.readers import read
from ilr.experiments.experiment import Experiment, fusion_key
from ilr.experiments.recording import Recording, join
from ilr.lab.cost import evaluation_bytes, operations, seconds, training_bytes
from ilr.lab.engines import Engine
from ilr.lab.hardware import peak_memory
from ilr.lab.jobs import Job
from ilr.lab.store import Key, Store, training_code_sha256

SLICE = 8
"""Recordings are kept in slices of so many replicas, cut at multiples of it: more replicas later reuse those there
are."""

LARGEST_BATCH = 128
"""More replicas than this in one batch bring no more speed."""

STAND_IN = "random data in its place"
"""Takes the place of the sha256 of a data set whose files are absent."""

MEMORY_PER_WORKER = 2**30
"""Bytes one worker may use for a batch of replicas."""


class TrainingFailedError(Exception):
    """An experiment that has no recording, with the reason in one line."""


@dataclass(frozen=True)
class Plan:
    """What has to be trained, before it is."""

    jobs: tuple[Job, ...]
    stored: int
    """Slices the store has already."""
    seconds: float
    """Rough estimate of the training time."""

    @property
    def replicas(self) -> int:
        """Networks to train."""
        return sum(job.replicas for job in self.jobs)

    @property
    def replica_steps(self) -> int:
        """Steps to train, summed over networks."""
        return sum(job.replica_steps for job in self.jobs)


@dataclass
class Source:
    """Where one experiment's recording came from."""

    trained: int = 0
    """Slices trained by this lab."""
    reasons: list[str] = field(default_factory=list)
    """Why each slice was, or was not, in the store."""
    seconds: float = 0.0
    """Training time of all its slices, whenever it was."""
    formulations: list[str] = field(default_factory=list)
    """How its replicas were computed."""
    peak_memory: int = 0
    """Most bytes that a worker had held by the end of training one of its slices."""

    @property
    def origin(self) -> str:
        """In a few words: how much was trained, and why the rest was or was not."""
        reasons = " and ".join(dict.fromkeys(self.reasons))
        return f"trained here: {reasons}" if self.trained else reasons


class Lab:
    """Experiments in, recordings out.

    Args:
        store: where recordings are kept.
        engine: what runs the jobs.
        device: a torch device such as "cpu" or "cuda:0".
        data_root: folder of data files, for the sets that do not ship with a package.
        refresh: train everything again, whatever the store has.
        rehearsal: let random data of the same form stand in for sets whose files are absent, and train in whatever way.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        device: str = "cpu",
        data_root: Path | None = None,
        *,
        refresh: bool = False,
        rehearsal: bool = False,
    ) -> None:
        self.store = store
        self.engine = engine
        self.device = device
        self.data_root = data_root
        self.refresh = refresh
        self.rehearsal = rehearsal
        self.data_sha256: dict[str, str] = {}
        self._sources: dict[Experiment, Source] = {}
        self._failures: dict[Key, str] = {}
        self._own_peak = 0

    def plan(self, experiments: Iterable[Experiment]) -> Plan:
        """Looks every slice up and groups those that are missing into jobs, longest first.

        Raises:
            DataUnavailableError: an experiment's data set is not there.
        """
        missing: dict[Experiment, dict[Key, None]] = {}
        looked_up: set[Key] = set()
        for experiment in experiments:
            source = self._sources.setdefault(experiment, Source())
            for key in self.keys(experiment):
                found, reason = self.store.has(key)
                if self.refresh:
                    found, reason = False, "to be trained again"
                source.reasons.append(reason)
                if not found:
                    source.trained += 1
                    missing.setdefault(fusion_key(experiment), {})[key] = None
                looked_up.add(key)
        costed = [
            (job, cost * job.replicas)
            for kind, keys in missing.items()
            for cost in [operations(kind)]
            for job in self.jobs(list(keys), self.engine.workers)
        ]
        costed.sort(key=lambda job: job[1], reverse=True)
        return Plan(
            jobs=tuple(job for job, _ in costed),
            stored=len(looked_up) - sum(len(keys) for keys in missing.values()),
            seconds=seconds([cost for _, cost in costed], self.engine.workers),
        )

    def jobs(self, keys: Sequence[Key], workers: int) -> list[Job]:
        """Jobs for slices that may be fused: as large as is good, but small enough that every worker gets a share."""
        batch = _replicas_per_job(keys, workers)
        groups: list[list[Key]] = []
        room = 0
        for key in keys:
            if key.experiment.replicas > room:
                groups.append([])
                room = batch
            groups[-1].append(key)
            room -= key.experiment.replicas
        return [Job(tuple(group), self.store.root, self.data_root, self.device, self.rehearsal) for group in groups]

    def train(self, plan: Plan, tick: Callable[[int], None] = lambda _: None) -> None:
        """Runs the jobs of a plan. A slice that fails is remembered; the others go on.

        `tick` is told of replica-steps done since the last call.
        """
        jobs = plan.jobs
        # What trains in one batch fails as one, for want of memory or because of one slice: halved, and halved again,
        # it fits, and the slices that did nothing wrong get through.
        while jobs:
            jobs = tuple(half for job in self._run(jobs, tick) if len(job.keys) > 1 for half in _halves(job))
        self._own_peak = peak_memory()

    def _run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> list[Job]:
        """Runs jobs and gives those that failed."""
        failed: list[Job] = []
        for job, error in self.engine.run(jobs, tick) if jobs else ():
            for key in job.keys:
                self._failures.pop(key, None)
            if error is not None:
                self._failures.update(dict.fromkeys(job.keys, error))
                failed.append(job)
        return failed

    def missing(self, experiments: Iterable[Experiment]) -> int:
        """How many slices of these experiments the store lacks."""
        return sum(not self.store.has(key)[0] for one in experiments for key in self.keys(one))

    def keys(self, experiment: Experiment) -> list[Key]:
        """One key for each slice of an experiment, in order of replica."""
        data_sha256 = self._data_sha256(experiment)
        ids = experiment.replica_ids
        starts = sorted({ids.start, *range(math.ceil(ids.start / SLICE) * SLICE, ids.stop, SLICE)})
        return [
            Key(
                experiment.slice(start, stop - start),
                training_code_sha256(),
                data_sha256,
                self.device.partition(":")[0],
            )
            for start, stop in zip(starts, [*starts[1:], ids.stop], strict=True)
        ]

    def recording(self, experiment: Experiment) -> Recording:
        """The recording of an experiment that was planned and trained.

        Raises:
            TrainingFailedError: there is none.
        """
        parts: list[Recording] = []
        for key in self.keys(experiment):
            part, reason = self.store.find(key)
            if part is None:
                raise TrainingFailedError(f"{experiment} has no recording: {self._failures.get(key, reason)}")
            parts.append(part)
        return join(experiment, parts)

    def source(self, experiment: Experiment) -> Source:
        """Where the recording of an experiment that was planned came from, and what it cost."""
        source = self._sources[experiment]
        facts = [self.store.facts(key) for key in self.keys(experiment) if key not in self._failures]
        source.seconds = sum(one["seconds"] for one in facts)
        source.peak_memory = max((one.get("peak_memory_bytes", 0) for one in facts), default=0)
        source.formulations = sorted({one["formulation"] for one in facts if "formulation" in one})
        return source

    def peak_memory(self, sources: Iterable[Source]) -> int:
        """Bytes that this process and its workers have held at most: what this one had held when they ended, and every
        worker as many as the largest ever did; or what this one held later. Shared libraries count in each.
        """
        largest = max((source.peak_memory for source in sources), default=0)
        return max(peak_memory(), self._own_peak + self.engine.processes * largest)

    def _data_sha256(self, experiment: Experiment) -> str:
        if experiment.data is None:
            return ""
        name = experiment.data.name
        if name not in self.data_sha256:
            try:
                self.data_sha256[name] = read(name, self.data_root).sha256
            except DataUnavailableError:
                if not self.rehearsal:
                    raise
                self.data_sha256[name] = STAND_IN
        return self.data_sha256[name]


def _replicas_per_job(keys: Sequence[Key], workers: int) -> int:
    """As many replicas as memory allows, but few enough that every worker has some."""
    total = sum(key.experiment.replicas for key in keys)
    fair = math.ceil(total / workers / SLICE) * SLICE
    experiment = keys[0].experiment
    # As if all were evaluated at once: smaller batches are spread over workers more evenly.
    fits = MEMORY_PER_WORKER // max(training_bytes(experiment) + evaluation_bytes(experiment), 1)
    return max(min(fair, fits, LARGEST_BATCH), SLICE)


def _halves(job: Job) -> tuple[Job, Job]:
    middle = len(job.keys) // 2
    return replace(job, keys=job.keys[:middle]), replace(job, keys=job.keys[middle:])
