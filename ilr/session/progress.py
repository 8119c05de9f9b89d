"""Progress of training: a bar in a terminal, one line before and one after elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ilr.lab.scheduler import TrainingPlan

Tick = Callable[[int], None]


@contextmanager
def training_progress(plan: TrainingPlan, workers: int, console: Console) -> Iterator[Tick]:
    """Says what will be trained and how long it may take; gives the function to call with replica-steps done."""
    if not plan.jobs:
        console.print(f"Nothing to train: {plan.stored} recordings are in the store.", soft_wrap=True)
        yield lambda _: None
        return
    console.print(
        f"Training {plan.replicas} networks, {plan.replica_steps:,} steps in all, on {count(workers, 'worker')}, "
        f"{plan.jobs[0].device}: about {duration(plan.seconds)} ({plan.stored} recordings are in the store).",
        soft_wrap=True,
    )
    started = time.monotonic()
    if console.is_terminal:
        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task("training", total=plan.replica_steps)
            yield lambda done: bar.advance(task, done)
    else:
        yield lambda _: None
    console.print(f"Trained in {duration(time.monotonic() - started)}.")


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it must be: "1 worker", "2 workers"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
