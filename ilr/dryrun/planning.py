"""The mode of --plan: a run's budget in two tables, with what the numbers rest on."""

from collections.abc import Iterable

from rich.console import Console
from rich.filesize import decimal, pick_unit_and_suffix
from rich.table import Column, Table

from ilr.dryrun.budget import Budget, ClaimCost
from ilr.lab.cost import OPERATIONS_PER_SECOND
from ilr.lab.gpus import GPUS, H100, LAYER_SECONDS, MEASURED
from ilr.lab.hardware import is_gpu, processor
from ilr.report.text import plural
from ilr.session.mode import Mode
from ilr.session.progress import rough_duration
from ilr.session.selection import Selection

GPU_COUNTS = (1, 8, 64, 512)
"""Numbers of GPUs that the jobs are spread over."""

WIDTH = 200
"""Columns that the tables may have."""


class Planning(Mode):
    """Says what a run would cost, and runs nothing."""

    tests_follow = False

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        self.budget = Budget(selection)

    def prepare(self, console: Console) -> int:
        """Prints the budget, and gives the number of claims that cannot be planned."""
        claims = self.selection.claims.values()
        if not claims:
            console.print("No claim is selected: there is nothing to plan.")
            return 0
        # However narrow the terminal: a line that it wraps can be read, one that is cut cannot.
        console.width = WIDTH
        errors = [claim for claim in claims if claim.planned.error]
        for claim in errors:
            console.print(f"ERROR {claim.id}: {claim.planned.error}", soft_wrap=True, markup=False)
        stored = self.budget.training.stored
        left_out = f" ({stored} recordings are in the store and left out)" if stored else ""
        options = self.selection.options
        literal = " --literal" if options.literal else ""
        console.print(f"Cost of --scale={options.scale}{literal}{left_out}:\n", soft_wrap=True)
        console.print(_claims_table(self.budget))
        chosen = self.selection.options.arithmetic
        arithmetic = "" if chosen == "float32" else f"float32 nets in {chosen}, "
        most, expected = rough_duration(self.budget.seconds), rough_duration(self.budget.expected_seconds)
        console.print(
            f"\nOn this machine: {expected} expected, {most} at most. On GPUs, {arithmetic}all jobs of the last looks, "
            "the longest first:\n",
            soft_wrap=True,
        )
        console.print(_gpus_table(self.budget))
        console.print()
        not_run = [f"NOT RUN {claim.id}: {claim.planned.not_run}" for claim in claims if claim.planned.not_run]
        lengths = [self.selection.literal] if options.literal else []
        for line in (*lengths, *_notes(self.budget), *not_run):
            console.print(line, soft_wrap=True, markup=False)
        return len(errors)

    def outcome(self, name: str) -> None:
        """Nobody asks: no test runs."""


def _claims_table(budget: Budget) -> Table:
    table = _table(
        "claim", "experiments", "shared", "networks", "steps", "FLOP", "memory", "disk", "expected", "here",
        *(gpu.name for gpu in GPUS),
    )  # fmt: skip
    for claim in budget.claims:
        table.add_row(claim.id, *_cells(claim, budget.workers))
    table.add_row(budget.total.id, *_cells(budget.total, budget.workers), style="bold")
    return table


def _cells(cost: ClaimCost, workers: int) -> list[str]:
    return [
        str(cost.experiments),
        str(cost.shared),
        f"{cost.expected_networks:,} of {cost.networks:,}",
        _scaled(sum(one.steps for one in cost.slices)),
        _scaled(sum(one.operations for one in cost.slices)),
        decimal(max((one.memory for one in cost.slices), default=0)),
        decimal(sum(one.disk for one in cost.slices)),
        rough_duration(cost.here.expected / workers),
        rough_duration(cost.here.most / workers),
        *(rough_duration(cost.on_gpu(gpu).most) for gpu in GPUS),
    ]


def _gpus_table(budget: Budget) -> Table:
    table = _table("GPUs", *(gpu.name for gpu in GPUS))
    table.add_row("1, expected", *(rough_duration(budget.total.on_gpu(gpu).expected) for gpu in GPUS))
    for gpus in GPU_COUNTS:
        table.add_row(str(gpus), *(rough_duration(budget.on_gpus(gpu, gpus)) for gpu in GPUS))
    return table


def _table(first: str, *others: str) -> Table:
    columns = [Column(header, justify="right", no_wrap=True) for header in others]
    return Table(Column(first, no_wrap=True), *columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _notes(budget: Budget) -> Iterable[str]:
    """What the numbers rest on."""
    measured, assumed = len(budget.rates.measured), len(budget.rates.assumed)
    yield (
        "networks: expected, of those that there are at most. A claim is expected to take its looks as often as "
        "its runs on record did, at this scale and smaller ones, or else its first; what claims share, if any of them "
        "needs it. Everything but the column expected is for the last looks."
    )
    yield (
        "shared: experiments that a claim further up has too; they are counted there. steps: summed over networks; "
        "what networks of one job have in common, until their schedules differ, is trained, and counted, once; a GPU's "
        "jobs are those that its memory has room for. "
        "memory: at most, of the largest job."
    )
    workers = f"{plural(budget.workers, 'worker')} of {plural(budget.threads, 'thread')}"
    here = f"here: on {workers}, {processor(budget.lab.device) or 'GPUs elsewhere'}"
    if budget.slices:
        here += f", at rates measured here for {measured} of {plural(measured + assumed, 'kind')} of steps"
    if assumed:
        rate = "as below" if is_gpu(budget.lab.device) else f"{_scaled(OPERATIONS_PER_SECOND)}FLOP/s"
        here += f"; assumed for the others, until the next --plan: {rate}"
    yield f"{here}."
    nets = ", ".join(row.name for row in MEASURED)
    yield (
        f"H100: measured for {budget.measured_on_gpus} of {plural(len(budget.kinds), 'kind')} of steps, otherwise at "
        f"the rate of the net nearest in kind and size of those measured ({nets}); {1000 * LAYER_SECONDS:g} ms a layer "
        "and step at least. The upper table is for one GPU."
    )
    others = ", ".join(f"{gpu.name} {gpu.peak / H100.peak:.2f}" for gpu in GPUS if gpu is not H100)
    yield (
        f"other GPUs: assumed, no such card has run this; the H100's rates by the float32 peaks that NVIDIA states "
        f"({others} of the H100's), and in float32 where the card has no tf32 or bfloat16."
    )
    if budget.slices:
        one = budget.longest
        yield (
            f"no number of GPUs takes less than {plural(one.replicas, 'network')} of {one}, {one.steps:,} steps each."
        )
    if budget.absent:
        yield f"no files of {', '.join(budget.absent)}: what is trained on them counts as not in the store."


def _scaled(number: float) -> str:
    """A number with three digits and a decimal prefix.

    >>> _scaled(1.234e12)
    '1.23 T'
    """
    unit, prefix = pick_unit_and_suffix(int(number), ["", "k", "M", "G", "T", "P", "E", "Z"], 1000)
    return f"{number / unit:.3g} {prefix}" if prefix else str(int(number))
