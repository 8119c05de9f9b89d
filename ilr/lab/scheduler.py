"""The lab takes the experiments of all claims at once, serves what the store has and trains the rest, fused."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ilr.experiments.experiment import Experiment
from ilr.experiments.recording import Recording, join
from ilr.lab.batches import Batch, CPURoom, Room, cut, grouped
from ilr.lab.catalogue import Catalogue, Origin
from ilr.lab.checkpoints import begun, tidy
from ilr.lab.cost import longest, operations_together, recorded_bytes, seconds
from ilr.lab.data_folder import DataFolder
from ilr.lab.engines import Engine
from ilr.lab.gpus import room_on, seconds_on_gpus
from ilr.lab.hardware import is_gpu, peak_memory
from ilr.lab.jobs import WORK_UNIT, Job
from ilr.lab.store.keys import Key
from ilr.lab.store.leases import LeasedError, is_leased, remove_abandoned
from ilr.lab.store.store import Store
from ilr.lab.store.writing import StoreError, check_room, leftovers

LARGE_PARTS = 4
"""A worker has at least so many jobs to do, if there are as many, so that all are done at about the same time."""

ASK_AGAIN_SECONDS = 0.5
"""How often is looked whether another process has trained something."""


class TrainingFailedError(Exception):
    """An experiment that has no recording, with the reason in one line."""


@dataclass(frozen=True)
class TrainingPlan:
    """What has to be trained, before it is."""

    jobs: tuple[Job, ...]
    stored: int
    """Slices the store has already."""
    seconds: float
    """Rough estimate of the training time."""

    @property
    def recordings(self) -> int:
        """Slices that are wanted."""
        return self.stored + sum(len(job.keys) for job in self.jobs)

    @property
    def replicas(self) -> int:
        """Networks to train."""
        return sum(job.replicas for job in self.jobs)

    @property
    def network_steps(self) -> int:
        """Steps to train, summed over networks: those of replicas that are the same network at first count once."""
        return sum(job.network_steps for job in self.jobs)

    @property
    def disk(self) -> int:
        """Bytes of the recordings to be made."""
        return sum(key.experiment.replicas * recorded_bytes(key.experiment) for job in self.jobs for key in job.keys)

    @property
    def work(self) -> int:
        """What training takes, in the unit of `Job.work`."""
        return sum(job.work for job in self.jobs)


@dataclass(eq=False)
class Lab:
    """Experiments in, recordings out."""

    store: Store
    """Where recordings are kept."""
    engine: Engine
    """What runs the jobs."""
    device: str = "cpu"
    """A torch device such as "cpu" or "cuda:0"."""
    data_root: Path | None = None
    """Folder of data files, for the sets that do not ship with a package."""
    _: KW_ONLY
    refresh: bool = False
    """Train everything again, whatever the store has."""
    stand_in: bool = False
    """Let random data of the same form stand in for sets whose files are absent."""
    choose: bool = True
    """Time the ways in which replicas can be computed and take the fastest; otherwise all at once."""
    frozen: bool = False
    """Train nothing of its own accord: not even what turns out to be damaged when it is read."""

    def __post_init__(self) -> None:
        self._data = DataFolder(self.data_root, self.stand_in)
        self._catalogue = Catalogue(self.store, self._data, self.device, refresh=self.refresh)
        self._errors: dict[Key, str | None] = {}
        """How the last training of each key ended."""
        self._own_peak = 0
        self._since = datetime.now(UTC) if self.refresh else None

    @property
    def data_sha256(self) -> Mapping[str, str]:
        """By name, of each data set that an experiment so far is trained on."""
        return self._catalogue.data_sha256

    def plan(self, experiments: Iterable[Experiment]) -> TrainingPlan:
        """Looks every slice up and groups those that are missing into jobs, longest first; changes nothing.

        Raises:
            DataUnavailableError: an experiment's data set is not there.
        """
        wanted = dict.fromkeys(key for experiment in experiments for key in self.keys(experiment))
        # First what an earlier run has left unfinished, in the company in which it was to be trained.
        jobs = [] if self.refresh else list(self._unfinished(wanted))
        planned = {key for job in jobs for key in job.keys}
        missing = [key for key in wanted if key not in planned and self._catalogue.look_up(key).facts is None]
        groups = grouped(missing, self._room)
        for keys, parts in zip(groups, self._parts(groups), strict=True):
            jobs += self.jobs(keys, parts)
            planned.update(keys)
        work = {job: job.work for job in jobs}
        # Those that cost the same keep their order.
        ordered = tuple(sorted(work, key=work.__getitem__, reverse=True))
        return TrainingPlan(ordered, len(wanted) - len(planned), self._seconds(work))

    def _parts(self, groups: Sequence[Batch]) -> list[int]:
        """Among how many workers the slices of each group, which may be fused, are worth spreading.

        A batch of small nets takes hardly longer than a half of it. So a group stays one job unless that would be a
        large part of what a worker has to do, which would leave others idle at the end.
        """
        whole = [sum(job.work for job in self.jobs(keys, 1)) for keys in groups]
        large = max(sum(whole) // (LARGE_PARTS * self.engine.workers), 1)
        return [min(math.ceil(work / large), self.engine.workers) for work in whole]

    def _seconds(self, works: Mapping[Job, int]) -> float:
        """Rough time for jobs, by the work in each."""
        if is_gpu(self.device):
            each = [(longest(job.slices), operations_together(job.slices)) for job in works]
            return seconds_on_gpus(each, self.device, self.engine.workers)
        return seconds([work * WORK_UNIT for work in works.values()], self.engine.workers)

    def _unfinished(self, wanted: Iterable[Key]) -> Iterator[Job]:
        """Jobs that have a checkpoint, all of whose keys are wanted, and not all in the store."""
        by_place = {key.place: key for key in wanted}
        taken: set[Path] = set()
        for places in begun(self.store.root, self.engine.workers):
            if taken.isdisjoint(places) and by_place.keys() >= set(places):
                keys = tuple(by_place[place] for place in places)
                if any(self._catalogue.look_up(key).facts is None for key in keys):
                    taken.update(places)
                    yield self._job(keys)

    def jobs(self, group: Batch, workers: int) -> list[Job]:
        """Jobs for slices that train as one batch, or as several, so that so many workers get a share."""
        return [self._job(tuple(batch)) for batch in cut(group, workers, self._room)]

    @property
    def _room(self) -> Room:
        return room_on(self.device, self.engine.workers) if is_gpu(self.device) else CPURoom()

    def _job(self, keys: tuple[Key, ...]) -> Job:
        return Job(keys, self.store.root, self._data, self.device, self.choose, self._since)

    def train(
        self,
        plan: TrainingPlan,
        tick: Callable[[int], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Runs the jobs of a plan. A slice that fails is remembered; the others go on.

        Args:
            plan: of what is to be trained.
            tick: is told of the work done since the last call, in the unit of `Job.work`.
            say: is told lines for the user.

        Raises:
            StoreError: the store cannot be written, or its disk is too small.
        """
        if not plan.jobs:
            return
        check_room(self.store.root, plan.disk)
        self._tidy()
        waiting, elsewhere = list(plan.jobs), list[Job]()
        self._begin(waiting)
        while waiting or elsewhere:
            if not waiting:
                waiting, elsewhere = self._freed(elsewhere, tick, say)
            halves: list[Job] = []
            # Closed at once where this is interrupted: nothing trains on.
            with closing(self.engine.run(waiting, tick)) as ended:
                for job, error in ended:
                    if error is not None and LeasedError.is_told_by(error):
                        elsewhere.append(job)
                        continue
                    if error is not None and StoreError.is_told_by(error):
                        # No other job would fare better, nor this one in two halves.
                        raise StoreError(error.partition(": ")[2])
                    self._errors.update(dict.fromkeys(job.keys, error))
                    if error is None:
                        self._catalogue.trained(job.keys)
                    else:
                        job.checkpoint.drop()
                        halves += _halves(job)
            # What trains in one batch fails as one, for want of memory or because of one slice: halved, and halved
            # again, it fits, and the slices that did nothing wrong get through.
            waiting = halves
            self._begin(waiting)
        self._tidy()
        self._own_peak = peak_memory()

    def _freed(
        self, elsewhere: Sequence[Job], tick: Callable[[int], None], say: Callable[[str], None]
    ) -> tuple[list[Job], list[Job]]:
        """Waits until other processes have ended some of the jobs that they train: those left for us, and the others.

        What they have stored is ours as well; what they have not, since they failed or died, is left for us.
        """
        networks = sum(job.replicas for job in elsewhere)
        say(f"Another run trains {networks} of these networks into the same store: waiting for them.")
        while True:
            free: list[Job] = []
            others: list[Job] = []
            for job in elsewhere:
                if is_leased(self.store.root, [key.place for key in job.keys]):
                    others.append(job)
                elif all(job.has(key) for key in job.keys):
                    self._catalogue.trained(job.keys)
                    tick(job.work)
                else:
                    free.append(job)
            if free or not others:
                return free, others
            elsewhere = others
            time.sleep(ASK_AGAIN_SECONDS)

    def _tidy(self) -> None:
        """Removes what processes that do not live any more have left half-done."""
        tidy(self.store.root)
        remove_abandoned(self.store.root)
        for path in leftovers(self.store.root):
            path.unlink(missing_ok=True)

    def _begin(self, jobs: Iterable[Job]) -> None:
        """Notes which slices train together, where no earlier run has."""
        left = set() if self.refresh else set(begun(self.store.root, self.engine.workers))
        for job in jobs:
            if tuple(key.place for key in job.keys) not in left:
                try:
                    job.checkpoint.begin(self.engine.workers)
                except OSError as error:
                    raise StoreError.of(self.store.root, error) from None

    def missing(self, experiments: Iterable[Experiment]) -> int:
        """How many slices of these experiments have to be trained."""
        return sum(self._catalogue.look_up(key).facts is None for one in experiments for key in self.keys(one))

    def keys(self, experiment: Experiment) -> tuple[Key, ...]:
        """One key for each slice of an experiment, in order of replica."""
        return self._catalogue.keys(experiment)

    def recording(self, experiment: Experiment) -> Recording:
        """The recording of an experiment that was planned and trained.

        Raises:
            TrainingFailedError: there is none, or it was to be trained again and that failed.
        """
        parts: list[Recording] = []
        for key in self.keys(experiment):
            part, reason = self.store.find(key)
            if part is None and self._catalogue.look_up(key).facts and not self.frozen:
                # Damaged or deleted since it was looked up: only now has all of it been read.
                self._catalogue.lost(key, reason)
                self.train(self.plan([experiment]))
                part, reason = self.store.find(key)
            error = self._errors.get(key)
            if part is None or error is not None:
                raise TrainingFailedError(f"{experiment} has no recording: {error or reason}")
            parts.append(part)
        return join(experiment, parts)

    def source(self, experiment: Experiment) -> Origin:
        """Where the recording of an experiment came from, and what it cost."""
        return self._catalogue.origin(experiment)

    def peak_memory(self, sources: Iterable[Origin]) -> int:
        """Bytes that this process and its workers have held at most: what this one had held when they ended, and every
        worker as many as the largest ever did; or what this one held later. Shared libraries count in each.
        """
        largest = max((source.peak_memory for source in sources), default=0)
        return max(peak_memory(), self._own_peak + self.engine.processes * largest)


def _halves(job: Job) -> list[Job]:
    """A job in two; a single slice cannot be divided."""
    middle = len(job.keys) // 2
    parts = (job.keys[:middle], job.keys[middle:]) if middle else ()
    return [replace(job, keys=part) for part in parts]
