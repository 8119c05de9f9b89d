"""What a run would cost, claim by claim, and how long it would take on this machine and on GPUs; trains nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ilr.dryrun.rates import GPU, GPUS, Rates, least_seconds
from ilr.experiments.experiment import Experiment, fusion_key
from ilr.lab.cost import STARTUP_SECONDS, makespan, operations, peak_bytes, recorded_bytes
from ilr.lab.data_folder import STAND_IN
from ilr.lab.engines import InProcess
from ilr.lab.jobs import Job
from ilr.lab.store import Key
from ilr.session.selection import Selection, lab_for


@dataclass(frozen=True)
class SliceCost:
    """What it takes to train one slice; of what its job takes as a whole, the share of its replicas."""

    slice: Experiment
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
    """To be trained, and not counted for an earlier claim."""

    def on_gpu(self, gpu: GPU) -> float:
        """Seconds of one GPU."""
        return sum(one.on_gpus[gpu] for one in self.slices)


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
        self.total = ClaimCost("all", experiments, shared, list(self.slices.values()))

    @property
    def seconds(self) -> float:
        """Time on this machine."""
        return STARTUP_SECONDS + makespan(self.job_seconds, self.workers) if self.job_seconds else 0.0

    @property
    def absent(self) -> list[str]:
        """Data sets without files."""
        return sorted(name for name, sha256 in self.lab.data_sha256.items() if sha256 == STAND_IN)

    def on_gpus(self, gpu: GPU, gpus: int) -> float:
        """Seconds on so many GPUs of a kind, of the jobs that a lab would make for them."""
        seconds: list[float] = []
        for kind, keys in self.fusible.items():
            of_one_replica, least = operations(kind), least_seconds(kind)
            seconds += [gpu.seconds(of_one_replica * job.replicas, least) for job in self.lab.jobs(keys, gpus)]
        return makespan(seconds, gpus)

    @property
    def longest(self) -> Experiment:
        """The slice that takes a GPU longest, however many there are: none is divided."""
        firsts = [keys[0].experiment for keys in self.fusible.values()]
        return max(firsts, key=lambda one: GPUS[0].seconds(operations(one) * one.replicas, least_seconds(one)))

    def _add(self, job: Job) -> float:
        """Adds the slices of a job, and gives its seconds on this machine."""
        experiment = job.keys[0].experiment
        self.fusible.setdefault(fusion_key(experiment), []).extend(job.keys)
        # Once for all slices of the job: at full it has many, and each observes at thousands of steps.
        of_one_replica, least = operations(experiment), least_seconds(experiment)
        disk, memory = recorded_bytes(experiment), peak_bytes(experiment, job.replicas)
        here = of_one_replica * job.replicas / self.rates.of(experiment, job.replicas)
        on_gpus = {gpu: gpu.seconds(of_one_replica * job.replicas, least) for gpu in GPUS}
        for key in job.keys:
            replicas = key.experiment.replicas
            share = replicas / job.replicas
            self.slices[key] = SliceCost(
                slice=key.experiment,
                operations=of_one_replica * replicas,
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
            keys = [key for experiment in experiments for key in self.lab.keys(experiment)]
            slices = [uncounted.pop(key) for key in keys if key in uncounted]
            if experiments:
                costs.append(ClaimCost(claim.id, len(experiments) - shared, shared, slices))
        return costs
