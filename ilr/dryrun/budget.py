"""What a run would cost, claim by claim, and how long it would take on this machine and on GPUs; trains nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import torch
from rich.console import Console
from rich.filesize import decimal, pick_unit_and_suffix
from rich.table import Table

from ilr.dryrun.rates import EFFICIENCY, GPUS, LAYER_SECONDS, Rates, least_seconds
from ilr.experiments.experiment import Experiment, fusion_key
from ilr.lab.cost import OPERATIONS_PER_SECOND, STARTUP_SECONDS, makespan, operations, peak_bytes, recorded_bytes
from ilr.lab.engines import InProcess
from ilr.lab.hardware import processor
from ilr.lab.jobs import Job
from ilr.lab.scheduler import STAND_IN
from ilr.lab.store import Key
from ilr.session.options import Options
from ilr.session.progress import count, duration
from ilr.session.selection import Selection, lab_for

GPU_COUNTS = (1, 8, 64, 512)
"""Numbers of GPUs that the jobs are spread over."""

WIDTH = 200
"""Columns that the tables may have."""


@dataclass
class Cost:
    """What some of the slices to train come to."""

    networks: int = 0
    steps: int = 0
    """Summed over networks."""
    operations: float = 0.0
    memory: int = 0
    """Bytes; the most that one job needs."""
    disk: int = 0
    """Bytes of recordings."""
    here: float = 0.0
    """Seconds of one worker on this machine."""
    stated: list[float] = field(default_factory=lambda: [0.0] * len(GPUS))
    """Seconds of one GPU, for each kind."""

    def add(self, other: "Cost", share: float = 1.0) -> None:
        """Adds a share of another cost; memory is the larger of the two."""
        self.networks += round(other.networks * share)
        self.steps += round(other.steps * share)
        self.operations += other.operations * share
        self.memory = max(self.memory, other.memory)
        self.disk += round(other.disk * share)
        self.here += other.here * share
        self.stated = [mine + share * others for mine, others in zip(self.stated, other.stated, strict=True)]


@dataclass
class Row:
    """One claim's part of the budget."""

    claim: str
    experiments: int = 0
    """That no earlier claim has."""
    shared: int = 0
    """That an earlier claim has."""
    cost: Cost = field(default_factory=Cost)


@dataclass
class Kind:
    """Slices that may train as one batch; what one replica of them costs is the same."""

    operations: float
    least: float
    """Seconds that training takes on any GPU."""
    disk: int
    keys: list[Key] = field(default_factory=list)


class Budget:
    """The cost of a run.

    Data files may be absent: shapes are known without, and what they would be trained on counts as not in the store.

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
        self.lab = lab_for(options, options.store, rehearsal=True)
        self.plan = self.lab.plan(self.selection.experiments)
        self.threads = torch.get_num_threads() if isinstance(self.lab.engine, InProcess) else 1
        self.workers = self.lab.engine.workers
        self.rates = Rates(self.lab.store, self.lab.device, self.threads)
        self.kinds: dict[Experiment, Kind] = {}
        self.jobs = {job: self._cost(job) for job in self.plan.jobs}
        self.total = Cost()
        for cost in self.jobs.values():
            self.total.add(cost)
        self.rows = self._rows()

    @property
    def seconds(self) -> float:
        """Time on this machine."""
        spans = [cost.here for cost in self.jobs.values()]
        return STARTUP_SECONDS + makespan(spans, self.workers) if spans else 0.0

    @property
    def absent(self) -> list[str]:
        """Data sets without files."""
        return sorted(name for name, sha256 in self.lab.data_sha256.items() if sha256 == STAND_IN)

    def makespans(self, gpus: int) -> list[float]:
        """Seconds on so many GPUs of each kind: the jobs a lab would make for them, longest first."""
        jobs = [(kind, job.replicas) for kind in self.kinds.values() for job in self.lab.jobs(kind.keys, gpus)]
        return [
            makespan([gpu.seconds(kind.operations * replicas, kind.least) for kind, replicas in jobs], gpus)
            for gpu in GPUS
        ]

    @property
    def longest(self) -> str:
        """The slice that takes a GPU longest, however many there are: none is divided."""
        slices = {kind.keys[0].experiment: kind for kind in self.kinds.values()}
        experiment = max(
            slices, key=lambda one: GPUS[0].seconds(slices[one].operations * one.replicas, slices[one].least)
        )
        return f"{count(experiment.replicas, 'network')} of {experiment}, {experiment.steps:,} steps each"

    def reasons(self, of: Literal["error", "not_run"]) -> dict[str, str]:
        """Why claims cannot be planned, or do not run at this scale, by their ids."""
        return {
            self.selection.trials[name].claim.id: reason
            for name, plan in self.selection.plans.items()
            if (reason := getattr(plan, of))
        }

    def _cost(self, job: Job) -> Cost:
        experiment = job.keys[0].experiment
        key = fusion_key(experiment)
        if key not in self.kinds:
            self.kinds[key] = Kind(operations(key), least_seconds(key), recorded_bytes(key))
        kind = self.kinds[key]
        kind.keys += job.keys
        spent = kind.operations * job.replicas
        return Cost(
            networks=job.replicas,
            steps=job.replica_steps,
            operations=spent,
            memory=peak_bytes(experiment, job.replicas),
            disk=kind.disk * job.replicas,
            here=spent / self.rates.of(experiment, job.replicas),
            stated=[gpu.seconds(spent, kind.least) for gpu in GPUS],
        )

    def _rows(self) -> list[Row]:
        """One row for each claim that runs, in order; a slice is in the row of the first claim that needs it."""
        waiting = {key: job for job in self.plan.jobs for key in job.keys}
        seen: set[Experiment] = set()
        rows = []
        for name, plan in self.selection.plans.items():
            if not plan.all():
                continue
            row = Row(self.selection.trials[name].claim.id)
            for experiment in plan.all():
                row.experiments += experiment not in seen
                row.shared += experiment in seen
                seen.add(experiment)
                for key in self.lab.keys(experiment):
                    if job := waiting.pop(key, None):
                        row.cost.add(self.jobs[job], key.experiment.replicas / job.replicas)
            rows.append(row)
        return rows


def show(budget: Budget, console: Console) -> None:
    """Prints the budget: a table of claims, a table of makespans, and what the numbers rest on.

    However narrow the terminal: a line that it wraps can be read, one that is cut cannot.
    """
    console.width = WIDTH
    for id_, reason in budget.reasons("error").items():
        console.print(f"ERROR {id_}: {reason}", soft_wrap=True, markup=False)
    stored = f" ({budget.plan.stored} recordings are in the store and left out)" if budget.plan.stored else ""
    console.print(f"Cost of --scale={budget.options.scale}{stored}:\n", soft_wrap=True)
    console.print(_claims(budget))
    console.print(f"\nOn this machine: {duration(budget.seconds)}. On GPUs, all jobs, the longest first:\n")
    console.print(_makespans(budget))
    console.print()
    for line in _notes(budget):
        console.print(line, soft_wrap=True, markup=False)


def _claims(budget: Budget) -> Table:
    table = _table(
        "claim", "experiments", "shared", "networks", "steps", "FLOP", "memory", "disk", "here",
        *(gpu.name for gpu in GPUS),
    )  # fmt: skip
    for row in budget.rows:
        table.add_row(row.claim, str(row.experiments), str(row.shared), *_cells(row.cost, budget.workers))
    experiments, shared = (sum(getattr(row, kind) for row in budget.rows) for kind in ("experiments", "shared"))
    table.add_row("all", str(experiments), str(shared), *_cells(budget.total, budget.workers), style="bold")
    return table


def _cells(cost: Cost, workers: int) -> list[str]:
    return [
        f"{cost.networks:,}",
        _scaled(cost.steps),
        _scaled(cost.operations),
        decimal(cost.memory),
        decimal(cost.disk),
        *(duration(seconds) for seconds in (cost.here / workers, *cost.stated)),
    ]


def _makespans(budget: Budget) -> Table:
    table = _table("GPUs", *(gpu.name for gpu in GPUS))
    for gpus in GPU_COUNTS:
        table.add_row(str(gpus), *(duration(seconds) for seconds in budget.makespans(gpus)))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _notes(budget: Budget) -> Iterable[str]:
    """What the numbers rest on."""
    measured, assumed = len(budget.rates.measured), len(budget.rates.assumed)
    yield (
        "shared: experiments that a claim further up has too; they are counted there. steps: summed over networks. "
        "memory: at most, of the largest job."
    )
    workers = f"{count(budget.workers, 'worker')} of {count(budget.threads, 'thread')}"
    here = f"here: on {workers}, {processor(budget.lab.device)}"
    if budget.jobs:
        here += f", at rates measured here for {measured} of {count(measured + assumed, 'kind')} of steps"
    if assumed:
        here += f"; assumed for the others, until the next --plan: {_scaled(OPERATIONS_PER_SECOND)}FLOP/s"
    yield f"{here}."
    peaks = ", ".join(f"{gpu.name} {_scaled(gpu.peak)}FLOP/s" for gpu in GPUS)
    yield (
        f"GPU times: the float32 peaks that NVIDIA states ({peaks}), of which {EFFICIENCY:.0%} are assumed to be "
        f"reached, and {1000 * LAYER_SECONDS:g} ms a layer and step at least; for one GPU in the upper table."
    )
    if budget.jobs:
        yield f"no number of GPUs takes less than {budget.longest}."
    if budget.absent:
        yield f"no files of {', '.join(budget.absent)}: what is trained on them counts as not in the store."
    for id_, reason in budget.reasons("not_run").items():
        yield f"NOT RUN {id_}: {reason}"


def _scaled(number: float) -> str:
    """With three digits and a decimal prefix: "1.23 T"."""
    unit, prefix = pick_unit_and_suffix(int(number), ["", "k", "M", "G", "T", "P", "E", "Z"], 1000)
    return f"{number / unit:.3g} {prefix}" if prefix else str(int(number))
