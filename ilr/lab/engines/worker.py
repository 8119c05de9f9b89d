"""What a worker process does: it takes one job after another from its pipe, and ends with the process it works for."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from ilr.lab.checkpoints import StoppedError, stop, stopping
from ilr.lab.engines.engine import attempt
from ilr.lab.hardware import answers, keep_freed_memory

TELL_EVERY = 0.1
"""Seconds between two messages of work done: a short step should not wait for a pipe."""


class Work(NamedTuple):
    """A message of a worker: so much of its job is done since the last one."""

    done: int


class WorkEnded(NamedTuple):
    """A message of a worker: its job has ended."""

    error: str | None
    usable: bool
    """Whether the worker can take another job: after some errors a GPU refuses a process."""


def work(pipe: Connection, number: int) -> None:
    """Runs the jobs that come through a pipe until it is closed.

    Args:
        pipe: gives jobs, takes messages.
        number: of this worker, by which it takes a GPU of its own.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A job in training keeps how far it is, and ends; what does not come to that soon is killed.
    signal.signal(signal.SIGTERM, lambda *_: stop())
    prepare()
    # EOFError and OSError: the pipe is closed, or the other end died.
    with suppress(StoppedError, EOFError, OSError):
        while True:
            pipe.send(_next(pipe, number))
    if stopping():
        # All is kept, and somebody waits: to take torch down in good order takes half a second more.
        os._exit(0)


def _next(pipe: Connection, number: int) -> WorkEnded:
    """Waits for the next job and runs it."""
    try:
        job = pipe.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:  # what a claim's file defines may not be there to unpickle it
        return WorkEnded(f"{type(error).__name__}: {error}", usable=True)
    teller = _Teller(pipe)
    error_line = attempt(job, teller, number)
    teller.tell()
    return WorkEnded(error_line, usable=error_line is None or answers(job.device))


def prepare() -> None:
    """Makes this process a worker, which computes with one thread."""
    keep_freed_memory()
    torch.set_num_threads(1)
    # Where nothing else moves a weight it decays geometrically; denormal numbers would slow every step.
    torch.set_flush_denormal(True)


def _end_with_parent() -> None:
    """Waits for the end of the process that started this one, however it ends, and ends this one at once."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Teller:
    """Tells through a pipe of work done, now and then."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._untold = 0
        self._told_at = time.monotonic()

    def __call__(self, done: int) -> None:
        self._untold += done
        if time.monotonic() - self._told_at >= TELL_EVERY:
            self.tell()

    def tell(self) -> None:
        """Tells of all that is not told yet."""
        self._pipe.send(Work(self._untold))
        self._untold, self._told_at = 0, time.monotonic()
