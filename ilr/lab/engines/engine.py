"""Engines run jobs: here in this process, or in worker processes of one thread each."""

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

import torch

from ilr.lab.hardware import answers, keep_freed_memory, take_gpu
from ilr.lab.jobs import Job

POLL_SECONDS = 0.2

GPU_LOST = "the GPU refuses this process after an error of a job before"
"""How a job ends that was not tried for that reason."""


class Engine(ABC):
    """Runs jobs and says of each how it ended."""

    workers: int
    processes = 0
    """Besides this one."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Iterator[tuple[Job, str | None]]:
        """Yields every job when it has ended, with `None` or with the error that ended it; starts them in the
        order given.
        """


class InProcess(Engine):
    """One job after another in this process."""

    workers = 1

    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Iterator[tuple[Job, str | None]]:
        """Yields every job when it has ended, with `None` or with the error that ended it."""
        for job in jobs:
            yield job, _run(job, tick)


class Processes(Engine):
    """Several worker processes of one thread each: on a CPU that beats one process with as many threads.

    Where a job's device is all GPUs, each worker takes one of its own.
    """

    def __init__(self, workers: int) -> None:
        self.workers = self.processes = workers

    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Iterator[tuple[Job, str | None]]:
        """Yields every job when it has ended, with `None` or with the error that ended it."""
        # Spawned, not forked: torch's thread pools and CUDA contexts do not survive a fork.
        context = multiprocessing.get_context("spawn")
        while jobs:
            untried: list[Job] = []
            for job, error in self._run_once(jobs, tick, context):
                if error == GPU_LOST:
                    untried.append(job)
                else:
                    yield job, error
            # Each time new processes, and at least one job less: the one that cost a worker its GPU.
            jobs = untried

    def _run_once(
        self, jobs: Sequence[Job], tick: Callable[[int], None], context: multiprocessing.context.SpawnContext
    ) -> Iterator[tuple[Job, str | None]]:
        """As `run`, with fresh processes, and each of them only as long as its GPU obeys it."""
        started, done = context.Value("q", 0), context.Value("q", 0)
        reported = 0
        executor = ProcessPoolExecutor(min(self.workers, len(jobs)), context, start_worker, (started, done))
        try:
            running: dict[Future[str | None], Job] = {executor.submit(_run, job, _count): job for job in jobs}
            while running:
                ended, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
                tick(done.value - reported)
                reported = done.value
                for future in ended:
                    job, error = running.pop(future), future.exception()
                    yield job, future.result() if error is None else f"the worker died: {error}"
        finally:
            # On Ctrl-C the jobs in flight are given up; what had ended is in the store.
            executor.shutdown(wait=True, cancel_futures=True)


_done: Any = None
_worker = 0
_lost: set[str] = set()
"""Devices that refuse this process."""


def start_worker(started: Any, done: Any) -> None:
    """Makes a fresh process a worker, numbered by how many `started` before, which counts its work in `done`."""
    global _done, _worker
    _done = done
    with started.get_lock():
        _worker = started.value
        started.value += 1
    keep_freed_memory()
    torch.set_num_threads(1)
    # Where nothing else moves a weight it decays geometrically; denormal numbers would slow every step.
    torch.set_flush_denormal(True)


def _count(work: int) -> None:
    with _done.get_lock():
        _done.value += work


def _run(job: Job, tick: Callable[[int], None]) -> str | None:
    """Runs a job and gives the error that ended it, if any."""
    if job.device in _lost:
        return GPU_LOST
    try:
        take_gpu(job.device, _worker)
        job.run(tick)
    except Exception as error:  # a job that fails must not take the others with it, whatever failed
        if not answers(job.device):
            _lost.add(job.device)
        return f"{type(error).__name__}: {error}"
    return None
