"""Worker processes of one thread each: on a CPU they beat one process with as many threads.

Each worker has one job at a time and a pipe of its own, so that what dies is known to have died of that job, or by no
fault of any: the executors of `concurrent.futures` and of loky blame every job that waits.
"""

import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext

from ilr.lab.engines.engine import Ended, Engine
from ilr.lab.engines.worker import Work, WorkEnded, work
from ilr.lab.jobs import Job

TRIES = 2
"""Times a job is begun whose worker dies: the first death may have been another's fault."""

POLL_SECONDS = 0.5
"""How often the wait for messages is left, where Ctrl-C cannot interrupt it (Windows)."""

GRACE_SECONDS = 1.0
"""Given to workers to keep how far they are, when they are told to stop."""


class Processes(Engine):
    """Several worker processes. Where a job's device is all GPUs, each worker takes one of its own."""

    def __init__(self, workers: int) -> None:
        self.workers = self.processes = workers

    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Ended:
        """Yields every job when it has ended, with `None` or with the error that ended it."""
        waiting = deque(_Task(job) for job in jobs)
        # Spawned, not forked: torch's thread pools and CUDA contexts do not survive a fork.
        context = multiprocessing.get_context("spawn")
        workers = [_Worker(number, context) for number in range(min(self.workers, len(jobs)))]
        try:
            while waiting or any(worker.task for worker in workers):
                for worker in workers:
                    if waiting and worker.task is None:
                        task = waiting.popleft()
                        if error := worker.begin(task):
                            yield task.job, error
                pipes = {worker.pipe: worker for worker in workers if worker.pipe is not None}
                for pipe in wait(list(pipes), POLL_SECONDS):
                    worker = pipes[pipe]  # type: ignore[index]
                    trained, ended = worker.task, worker.hear(tick)
                    if trained is None or ended is None:
                        continue
                    if ended.died and trained.tries < TRIES:
                        # Its recordings are wanted no less than before: it goes on from its checkpoint, and first.
                        waiting.appendleft(trained)
                    else:
                        yield trained.job, ended.error
        finally:
            # On Ctrl-C the jobs in flight are given up; what had ended is in the store.
            _stop(workers)


class _Task:
    """A job with what is known of its tries."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tries = 0
        self.told = 0
        """Work done in this try."""


class _End:
    """How a try ended."""

    def __init__(self, error: str | None, *, died: bool = False) -> None:
        self.error = error
        self.died = died


class _Worker:
    """A worker as it is seen from here: a process is started with a job, and again with the next where it died."""

    def __init__(self, number: int, context: SpawnContext) -> None:
        self.number = number
        self.task: _Task | None = None
        self.pipe: Connection | None = None
        """This end of it, while there is a process."""
        self.process: multiprocessing.process.BaseProcess | None = None
        self._context = context

    def begin(self, task: _Task) -> str | None:
        """Gives the worker a job; gives the error, if it is one that cannot be sent."""
        self.task = task
        task.tries += 1
        task.told = 0
        if self.pipe is None:
            self._start()
        assert self.pipe is not None
        try:
            self.pipe.send(task.job)
        except OSError:
            # It has just died, and the pipe will say so.
            return None
        except Exception as error:  # what a claim's file defines may not let itself be pickled
            self.task = None
            return f"{type(error).__name__}: {error}"
        return None

    def hear(self, tick: Callable[[int], None]) -> _End | None:
        """Takes the next message, and gives how the job ended, if that is what it says."""
        assert self.pipe is not None
        task = self.task
        try:
            message = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            error = f"the worker died {TRIES} times in training this, the last time {self._obituary()}"
            self.task = None
            if task is None:
                return None
            tick(-task.told)
            return _End(error, died=True)
        assert task is not None
        if isinstance(message, Work):
            task.told += message.done
            tick(message.done)
            return None
        assert isinstance(message, WorkEnded)
        self.task = None
        if not message.usable:
            self.kill()
        return _End(message.error)

    def ask_to_stop(self) -> None:
        """Lets a process that trains keep how far it is, and one that does not, end."""
        if self.process is not None and self.pipe is not None:
            if self.task is None:
                self.pipe.close()
            self.process.terminate()

    def kill(self) -> None:
        """Ends the process, if there is one, and forgets it."""
        if self.process is not None and self.pipe is not None:
            self.pipe.close()
            self.process.kill()
            self.process.join()
        self.process = self.pipe = None

    def _start(self) -> None:
        self.pipe, its_end = self._context.Pipe()
        # A daemon is ended with this process, if this one ends in good order; if not, it notices.
        self.process = self._context.Process(target=work, args=(its_end, self.number), daemon=True)
        with _without_ctrl_c():
            self.process.start()
        # Only the process may hold it: the pipe is at its end when the process is.
        its_end.close()

    def _obituary(self) -> str:
        """How the process ended; forgets it."""
        assert self.process is not None
        self.process.join()
        status = self.process.exitcode or 0
        self.kill()
        if status < 0:
            name = signal.Signals(-status).name
            hint = " (was there too little memory? Fewer --workers need less)" if name == "SIGKILL" else ""
            return f"killed by {name}{hint}"
        return f"with exit status {status}"


def _stop(workers: Sequence[_Worker]) -> None:
    """Ends all processes, within a second or so."""
    for worker in workers:
        worker.ask_to_stop()
    until = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        if worker.process is not None:
            worker.process.join(max(until - time.monotonic(), 0.0))
        worker.kill()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes that start meanwhile do not get the terminal's Ctrl-C: this one decides what becomes of them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started now, because its start would end the blocking.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
