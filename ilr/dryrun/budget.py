"""What a run would cost, claim by claim, and how long it would take on this machine and on GPUs; trains nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

import torch

from ilr.dryrun.rates import Rates
from ilr.experiments.experiment import Experiment, kind_of
from ilr.lab.cost import STARTUP_SECONDS, makespan, operations, peak_bytes, recorded_bytes
from ilr.lab.data_folder import STAND_IN
from ilr.lab.engines import InProcess
from ilr.lab.gpus import GPU, GPUS, H100, is_measured
from ilr.lab.jobs import Job
from ilr.lab.store import Key
from ilr.session.selection import SelectedClaim, Selection, lab_for
from ilr.trials.scales import SCALES, Scale


@dataclass(frozen=True)
class SliceCost:
    """What it takes to train one slice; of what its job takes as a whole, the share of its replicas."""

    slice: Experiment
    steps: float
    """Summed over networks."""
    operations: float
    memory: int
    """Bytes that the whole job needs."""
    disk: int
    """Bytes of the recording."""
    here: float
    """Seconds of one worker on this machine."""
    on_gpus: Mapping[GPU, float]
    """Seconds of one GPU of each kind."""


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
    expected: list[float]
    """The share of each of these slices that is expected to be trained; see `looks_taken`."""

    @property
    def networks(self) -> int:
        """Networks, if the last look is taken."""
        return sum(one.slice.replicas for one in self.slices)

    @property
    def expected_networks(self) -> int:
        """Networks that are expected to be trained."""
        shares = zip(self.slices, self.expected, strict=True)
        return round(sum(share * one.slice.replicas for one, share in shares))

    @property
    def here(self) -> float:
        """Seconds of one worker, if the last look is taken."""
        return sum(one.here for one in self.slices)

    @property
    def expected_here(self) -> float:
        """Seconds of one worker that are expected."""
        return sum(share * one.here for one, share in zip(self.slices, self.expected, strict=True))

    def on_gpu(self, gpu: GPU) -> float:
        """Seconds of one GPU."""
        return sum(one.on_gpus[gpu] for one in self.slices)

    def expected_on_gpu(self, gpu: GPU) -> float:
        """Seconds of one GPU that are expected."""
        return sum(share * one.on_gpus[gpu] for one, share in zip(self.slices, self.expected, strict=True))


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
        self.fusible: dict[Experiment, list[Key]] = {}
        """Slices that may train as one batch, by their fusion key: a replica costs the same in all of them."""
        self.slices: dict[Key, SliceCost] = {}
        self.job_seconds = [self._add(job) for job in self.training.jobs]
        self.claims = self._by_claim(selection)
        experiments = sum(claim.experiments for claim in self.claims)
        shared = sum(claim.shared for claim in self.claims)
        slices = [one for claim in self.claims for one in claim.slices]
        shares = [share for claim in self.claims for share in claim.expected]
        self.total = ClaimCost("all", experiments, shared, slices, shares)

    @property
    def seconds(self) -> float:
        """Time on this machine, if every claim takes its last look."""
        return STARTUP_SECONDS + makespan(self.job_seconds, self.workers) if self.job_seconds else 0.0

    @property
    def expected_seconds(self) -> float:
        """Time on this machine that is expected."""
        return self.seconds * self.total.expected_here / self.total.here if self.total.here else 0.0

    @property
    def absent(self) -> list[str]:
        """Data sets without files."""
        return sorted(name for name, sha256 in self.lab.data_sha256.items() if sha256 == STAND_IN)

    def on_gpus(self, gpu: GPU, gpus: int) -> float:
        """Seconds on so many GPUs of a kind, of the jobs that a lab would make for them."""
        seconds: list[float] = []
        for kind, keys in self.fusible.items():
            of_one_replica = operations(kind)
            seconds += [gpu.seconds(kind, of_one_replica * job.networks) for job in self.lab.jobs(keys, gpus)]
        return makespan(seconds, gpus)

    @property
    def longest(self) -> Experiment:
        """The slice that takes a GPU longest, however many there are: none is divided."""
        firsts = [keys[0].experiment for keys in self.fusible.values()]
        return max(firsts, key=lambda one: H100.seconds(one, operations(one) * one.replicas))

    @property
    def measured_on_gpus(self) -> int:
        """Of the kinds of steps, how many were measured on a GPU."""
        return sum(is_measured(kind) for kind in self.fusible)

    def _add(self, job: Job) -> float:
        """Adds the slices of a job, and gives its seconds on this machine."""
        experiment = job.slices[0]
        self.fusible.setdefault(kind_of(experiment), []).extend(job.keys)
        # Once for all slices of the job: at full it has many, and each observes at thousands of steps.
        of_one_replica = operations(experiment)
        disk, memory = recorded_bytes(experiment), peak_bytes(experiment, job.replicas)
        operations_of_job = of_one_replica * job.networks
        here = operations_of_job / self.rates.of(experiment, job.replicas)
        on_gpus = {gpu: gpu.seconds(experiment, operations_of_job) for gpu in GPUS}
        for key in job.keys:
            replicas = key.experiment.replicas
            share = replicas / job.replicas
            self.slices[key] = SliceCost(
                slice=key.experiment,
                steps=job.network_steps * share,
                operations=operations_of_job * share,
                memory=memory,
                disk=disk * replicas,
                here=here * share,
                on_gpus={gpu: seconds * share for gpu, seconds in on_gpus.items()},
            )
        return here

    def _by_claim(self, selection: Selection) -> list[ClaimCost]:
        """The cost of each claim that runs, in order; what claims share counts for the first that needs it."""
        uncounted = dict(self.slices)
        seen: set[Experiment] = set()
        costs = []
        for claim in selection.claims.values():
            experiments = claim.planned.all()
            shared = len(seen.intersection(experiments))
            seen.update(experiments)
            looks = [claim.trial.plans[look] for look in looks_taken(claim, selection.options.scale)]
            slices: list[SliceCost] = []
            expected: list[float] = []
            for experiment in experiments:
                # Of what the last look has, an earlier one has the first replicas.
                parts = [look.replicas / claim.planned.replicas for look in looks]
                for key in self.lab.keys(experiment):
                    if key in uncounted:
                        slices.append(uncounted.pop(key))
                        expected.append(mean(_share_within(part, key.experiment, experiment) for part in parts))
            if experiments:
                costs.append(ClaimCost(claim.id, len(experiments) - shared, shared, slices, expected))
        return costs


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
