"""Progress of training: a bar in a terminal, a line now and then elsewhere, with the time left in both."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ilr.lab.scheduler import TrainingPlan
from ilr.report.text import plural

Tick = Callable[[int], None]

LINE_SECONDS = 60.0
"""Where there is no terminal, a line says how far training is about so often."""

LEAST_SHARE = 0.01
"""No time left is told before so much of the work is done: it would be a guess."""


class Pace:
    """How long some work will still take, judged by how long it took since the first of it was done.

    What comes before that, such as the start of worker processes, is no measure of what is to come.

    Args:
        total: work to do, in any unit that takes about the same time each.
        clock: gives seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._first = 0
        self._began: float | None = None

    def advance(self, work: int) -> None:
        """Takes note of work that has just been done."""
        self.done += work
        if self._began is None and work:
            self._first, self._began = self.done, self._clock()

    @property
    def share(self) -> float:
        """Of the work, how much is done."""
        return min(self.done / self.total, 1.0) if self.total else 1.0

    @property
    def left(self) -> float | None:
        """Seconds; None while there is nothing to judge them by."""
        measured = self.done - self._first
        if self._began is None or measured <= 0 or self.share < LEAST_SHARE:
            return None
        return (self._clock() - self._began) / measured * max(self.total - self.done, 0)

    def __str__(self) -> str:
        left = self.left
        return f"{self.share:.0%}" if left is None else f"{self.share:.0%}, about {rough_duration(left)} left"


@contextmanager
def training_progress(plan: TrainingPlan, workers: int, console: Console) -> Iterator[Tick]:
    """Says what will be trained and how long it may take; gives the function to call with the work done."""
    if not plan.jobs:
        console.print(f"Nothing to train: {plan.stored} recordings are in the store.", soft_wrap=True)
        yield lambda _: None
        return
    console.print(
        f"Training {plan.replicas} networks, {plan.network_steps:,} steps in all, on {plural(workers, 'worker')}, "
        f"{plan.jobs[0].device}: about {rough_duration(plan.seconds)} ({plan.stored} recordings are in the store).",
        soft_wrap=True,
    )
    started = time.monotonic()
    pace = Pace(plan.work)
    if console.is_terminal:
        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.fields[pace]}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("training", total=plan.work, pace=pace)

            def show(work: int) -> None:
                pace.advance(work)
                bar.update(task, completed=pace.done)

            yield show
    else:
        said = started

        def say(work: int) -> None:
            nonlocal said
            pace.advance(work)
            if time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                console.print(f"training: {pace}", soft_wrap=True)

        yield say
    console.print(f"Trained in {rough_duration(time.monotonic() - started)}.")


def rough_duration(seconds: float) -> str:
    """An estimated time as people say it: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
