"""What a run would cost, claim by claim, and how long it would take on this machine and on GPUs; trains nothing."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch

from ilr.dryrun.rates import Rates
from ilr.experiments.experiment import Experiment, kind_of
from ilr.lab.batches import cut, grouped
from ilr.lab.cost import STARTUP_SECONDS, longest, makespan, operations_together, peak_bytes, recorded_bytes, shares
from ilr.lab.data_folder import STAND_IN
from ilr.lab.engines import InProcess
from ilr.lab.gpus import GPU, GPUS, H100, GPURoom, is_measured
from ilr.lab.jobs import Job
from ilr.lab.store import Key
from ilr.session.selection import SelectedClaim, Selection, lab_for
from ilr.training.branching import ENDED, stages
from ilr.training.trainers import trainer_of
from ilr.trials.scales import SCALES, Scale


@dataclass(frozen=True)
class Seconds:
    """Time of one worker or GPU."""

    most: float
    """If every claim takes its last look."""
    expected: float
    """See `looks_taken`."""

    def part(self, of_most: float, of_expected: float) -> "Seconds":
        """A share of each."""
        return Seconds(self.most * of_most, self.expected * of_expected)


@dataclass(frozen=True)
class SliceCost:
    """What it takes to train one slice; of what its batch takes as a whole, its share of the steps."""

    slice: Experiment
    steps: float
    """Summed over networks."""
    operations: float
    memory: int
    """Bytes that the whole job needs."""
    disk: int
    """Bytes of the recording."""
    expected_networks: float
    """Of its replicas, how many are expected to be trained."""
    here: Seconds
    """Of one worker on this machine."""
    on_gpus: Mapping[GPU, Seconds]
    """Of one GPU of each kind, which has its own batches."""


@dataclass(frozen=True)
class ClaimCost:
    """One claim's part of the budget."""

    id: str
    experiments: int
    """That no earlier claim has."""
    shared: int
    """That an earlier claim has."""
    slices: list[SliceCost]
    """To be trained if the last look is taken, and not counted for an earlier claim."""

    @property
    def networks(self) -> int:
        """Networks, if the last look is taken."""
        return sum(one.slice.replicas for one in self.slices)

    @property
    def expected_networks(self) -> int:
        """Networks that are expected to be trained."""
        return round(sum(one.expected_networks for one in self.slices))

    @property
    def here(self) -> Seconds:
        """Of one worker."""
        return _sum(one.here for one in self.slices)

    def on_gpu(self, gpu: GPU) -> Seconds:
        """Of one GPU."""
        return _sum(one.on_gpus[gpu] for one in self.slices)


class Budget:
    """The cost of a run.

    Data files may be absent: shapes are known without, and what they would be trained on counts as not in the store.

    Raises:
        DataUnavailableError: there is no such data set, or it is smaller than a claim asks for.
    """

    def __init__(self, selection: Selection) -> None:
        self.lab = lab_for(selection.options, selection.options.store, stand_in=True)
        self.training = self.lab.plan(selection.experiments)
        self.threads = torch.get_num_threads() if isinstance(self.lab.engine, InProcess) else 1
        self.workers = self.lab.engine.workers
        self.rates = Rates(self.lab.store, self.lab.device, self.threads)
        self.keys = [key for job in self.training.jobs for key in job.keys]
        self.needed = self._needed(selection)
        here = [self._here(job) for job in self.training.jobs]
        self.job_seconds = [seconds.most for seconds in here]
        self.groups = {gpu: grouped(self.keys, GPURoom(gpu.memory)) for gpu in GPUS}
        """Of each kind of GPU, the slices that are worth training as one batch."""
        self.slices = self._slices(here)
        self.claims = self._by_claim(selection)
        experiments = sum(claim.experiments for claim in self.claims)
        shared = sum(claim.shared for claim in self.claims)
        self.total = ClaimCost("all", experiments, shared, [one for claim in self.claims for one in claim.slices])

    @property
    def seconds(self) -> float:
        """Time on this machine, if every claim takes its last look."""
        return STARTUP_SECONDS + makespan(self.job_seconds, self.workers) if self.job_seconds else 0.0

    @property
    def expected_seconds(self) -> float:
        """Time on this machine that is expected."""
        return self.seconds * self.total.here.expected / self.total.here.most if self.total.here.most else 0.0

    @property
    def absent(self) -> list[str]:
        """Data sets without files."""
        return sorted(name for name, sha256 in self.lab.data_sha256.items() if sha256 == STAND_IN)

    def on_gpus(self, gpu: GPU, gpus: int) -> float:
        """Seconds on so many GPUs of a kind, of the batches that a lab would make for them."""
        batches = [batch for group in self.groups[gpu] for batch in cut(group, gpus, GPURoom(gpu.memory))]
        return makespan([_seconds_on(gpu, [key.experiment for key in batch]) for batch in batches], gpus)

    @property
    def longest(self) -> Experiment:
        """The slice that takes a GPU longest, however many there are: none is divided."""
        # One of each kind: at full there are thousands of slices.
        firsts = {kind_of(key.experiment): key.experiment for key in reversed(self.keys)}.values()
        return max(firsts, key=lambda one: _seconds_on(H100, [one]))

    @property
    def kinds(self) -> list[Experiment]:
        """Of steps."""
        return list(dict.fromkeys(replace(kind_of(key.experiment), steps=1, observe=()) for key in self.keys))

    @property
    def measured_on_gpus(self) -> int:
        """Of the kinds of steps, how many were measured on a GPU."""
        return sum(is_measured(kind) for kind in self.kinds)

    def _needed(self, selection: Selection) -> dict[Key, dict[str, float]]:
        """Of each slice that is to be trained, the share that each claim is expected to need of it."""
        found: dict[Key, dict[str, float]] = {key: {} for key in self.keys}
        for claim in selection.claims.values():
            # Of what the last look has, an earlier one has the first replicas.
            looks = [claim.trial.plans[look] for look in looks_taken(claim, selection.options.scale)]
            for experiment in claim.planned.all():
                parts = [look.replicas / claim.planned.replicas for look in looks]
                for key in self.lab.keys(experiment):
                    if key in found:
                        share = mean(_share_within(part, key.experiment, experiment) for part in parts)
                        # Of two experiments with this slice the one that needs more of it.
                        found[key][claim.id] = max(share, found[key].get(claim.id, 0.0))
        return found

    def _here(self, job: Job) -> Seconds:
        """Of one worker, for a whole job."""
        seconds = operations_together(job.slices) / self.rates.of(job.slices[0], job.replicas)
        return Seconds(seconds, seconds * self._expected_part(job.keys))

    def _expected_part(self, batch: Sequence[Key]) -> float:
        """Of the steps of a batch, the part that is expected to be taken."""
        slices = tuple(key.experiment for key in batch)
        taken = trainer_of(slices[0]).network_steps(slices)
        if slices[0].data is None:
            expected = sum(_of_any(self.needed[key]) * key.experiment.steps * key.experiment.replicas for key in batch)
        else:
            expected = expected_steps(slices, [self.needed[key] for key in batch])
        return expected / taken if taken else 1.0

    def _slices(self, here: Sequence[Seconds]) -> dict[Key, SliceCost]:
        """The cost of every slice.

        Args:
            here: of each job.
        """
        on_gpus: dict[Key, dict[GPU, Seconds]] = {key: {} for key in self.keys}
        for gpu in GPUS:
            room = GPURoom(gpu.memory)
            for batch in (batch for group in self.groups[gpu] for batch in cut(group, 1, room)):
                most = _seconds_on(gpu, [key.experiment for key in batch])
                whole = Seconds(most, most * self._expected_part(batch))
                for key, parts in self._parts(batch):
                    on_gpus[key][gpu] = whole.part(*parts)
        found: dict[Key, SliceCost] = {}
        for job, seconds in zip(self.training.jobs, here, strict=True):
            memory, operations = peak_bytes(job.slices), operations_together(job.slices)
            for key, parts in self._parts(job.keys):
                one = key.experiment
                found[key] = SliceCost(
                    slice=one,
                    steps=job.network_steps * parts[0],
                    operations=operations * parts[0],
                    memory=memory,
                    disk=one.replicas * recorded_bytes(one),
                    expected_networks=one.replicas * _of_any(self.needed[key]),
                    here=seconds.part(*parts),
                    on_gpus=on_gpus[key],
                )
        return found

    def _parts(self, batch: Sequence[Key]) -> Iterator[tuple[Key, tuple[float, float]]]:
        """Each slice's share of what its batch takes at most, and of what is expected."""
        most = shares([key.experiment for key in batch])
        needed = [_of_any(self.needed[key]) * share for key, share in zip(batch, most, strict=True)]
        for key, of_most, of_needed in zip(batch, most, needed, strict=True):
            yield key, (of_most, of_needed / sum(needed) if sum(needed) else 0.0)

    def _by_claim(self, selection: Selection) -> list[ClaimCost]:
        """The cost of each claim that runs, in order; what claims share counts for the first that needs it."""
        uncounted = dict(self.slices)
        seen: set[Experiment] = set()
        costs = []
        for claim in selection.claims.values():
            experiments = claim.planned.all()
            shared = len(seen.intersection(experiments))
            seen.update(experiments)
            keys = dict.fromkeys(key for experiment in experiments for key in self.lab.keys(experiment))
            slices = [uncounted.pop(key) for key in keys if key in uncounted]
            if experiments:
                costs.append(ClaimCost(claim.id, len(experiments) - shared, shared, slices))
        return costs


def expected_steps(slices: tuple[Experiment, ...], needed: Sequence[Mapping[str, float]]) -> float:
    """Steps that are expected to be taken, summed over networks, of slices that train as one batch.

    A network is trained if any claim needs any of the replicas that it is; claims take their looks independently.

    Args:
        slices: the slices.
        needed: of each slice, the share that each claim is expected to need of it.
    """
    counts = [one.replicas for one in slices]
    claims = sorted({claim for one in needed for claim in one})
    # [claim, replica]
    shares = np.array([np.repeat([one.get(claim, 0.0) for one in needed], counts) for claim in claims])
    total = 0.0
    for stage in stages(slices):
        trains = stage.networks != ENDED
        idle = np.ones(len(stage.replicas))
        for of_claim in shares:
            # What a claim needs of one slice lies within what it needs of another: looks are the same for all of them.
            needs = np.zeros(len(stage.replicas))
            np.maximum.at(needs, stage.networks[trains], of_claim[trains])
            idle *= 1 - needs
        total += float((1 - idle).sum()) * (stage.end - stage.begin)
    return total


def _seconds_on(gpu: GPU, slices: Sequence[Experiment]) -> float:
    """Of one GPU, for one batch."""
    return gpu.seconds(longest(slices), operations_together(slices))


def _of_any(shares: Mapping[str, float]) -> float:
    """The share of a slice that any claim is expected to need."""
    return 1 - math.prod(1 - share for share in shares.values())


def _sum(times: Iterable[Seconds]) -> Seconds:
    kept = list(times)
    return Seconds(sum(one.most for one in kept), sum(one.expected for one in kept))


def _share_within(part: float, piece: Experiment, whole: Experiment) -> float:
    """How much of a slice lies within the first part of the replicas of its experiment."""
    end = whole.first_replica + part * whole.replicas
    return min(max((end - piece.first_replica) / piece.replicas, 0.0), 1.0)


def looks_taken(claim: SelectedClaim, scale: Scale) -> list[int]:
    """The looks, counted from 0, at which the runs on record ended; without a record the first.

    Runs at this scale and at smaller ones count, as a single run, or the few at one scale, say little of how many
    looks a claim takes.
    """
    taken: list[int] = []
    last = len(claim.trial.plans) - 1
    for smaller in SCALES[: SCALES.index(scale) + 1]:
        looks = claim.file.claim.replicas.looks(smaller)
        attempts = [attempt for attempt in claim.file.history.attempts if attempt.scale == smaller]
        taken += [min(looks.index(attempt.n), last) for attempt in attempts if attempt.n in looks]
    return taken or [0]
