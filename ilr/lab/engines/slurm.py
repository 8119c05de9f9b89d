"""Jobs as tasks of a Slurm cluster, by submitit: this process only submits and waits.

Job descriptions go there as pickles, recordings and checkpoints come back through the store; both lie in a folder that
every node sees. Whether a task still runs is asked of `squeue`: `sacct`, which submitit asks, needs a database that
not every cluster has, and without it submitit waits for ever for a task that was cancelled.
"""

import io
import os
import pickle
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ilr.lab.engines.engine import Ended, Engine, EngineError, attempt
from ilr.lab.engines.processes import TRIES, Processes
from ilr.lab.engines.worker import prepare
from ilr.lab.jobs import Job
from ilr.lab.store.writing import lives

LARGEST_ARRAY = 1000
"""Tasks of one array; Slurm's own default allows 1001."""

MOST_TIMEOUTS = 10_000
"""Times that a task may reach its time limit: each time it goes on from its checkpoint."""

POLL_SECONDS, ASK_SECONDS = 1.0, 10.0
"""How often results are looked for, and Slurm is asked which tasks there still are."""

LATE_SECONDS = 15.0
"""How much later than its task a result may be seen: shared folders take their time."""

FOLDER = "slurm"
"""In the store: what is submitted, and the logs, while a run lasts."""


@dataclass(frozen=True)
class Request:
    """What is asked of Slurm for each task."""

    partition: str | None = None
    account: str | None = None
    minutes: int = 60
    """Time limit, after which a task is put in the queue again and goes on from its checkpoint."""
    gpus: int = 0
    """Of one node; as many jobs train side by side in each task, at least one."""
    more: tuple[tuple[str, str], ...] = ()
    """Further options of sbatch, with their values."""
    python: str | None = None
    """How Python is started there, in a container for example; as here by default."""

    @property
    def jobs(self) -> int:
        """Trained side by side in one task."""
        return max(self.gpus, 1)

    def parameters(self, parallel: int) -> dict[str, Any]:
        """As submitit takes them, with so many tasks at once."""
        # Underlines, because under one name the later value counts: what is asked for in so many words.
        more = {name.replace("-", "_"): value or True for name, value in self.more}
        given = {
            "job_name": "ilr",
            "partition": self.partition,
            "account": self.account,
            "time": self.minutes,
            "gpus_per_node": self.gpus or None,
            "cpus_per_task": self.jobs,
            "array_parallelism": parallel,
            "additional_parameters": more,
        }
        return {name: value for name, value in given.items() if value is not None}


def unavailable() -> str | None:
    """Why there can be no such engine here, if there cannot."""
    if find_spec("submitit") is None:
        return "needs submitit: python -m pip install ilr[slurm]"
    if shutil.which("sbatch") is None:
        return "this machine has no sbatch: run it where jobs are submitted to Slurm"
    return None


class SlurmTask:
    """What one Slurm task does: it trains jobs and gives the error that ended each, if any.

    Where it is preempted, or reaches its time limit, submitit puts it in the queue again, and it goes on from its jobs'
    checkpoints.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        # By a path of its own: experiments may hold what a claim's file defines.
        self.path = list(sys.path)
        self.pickled = pickle.dumps(list(jobs))

    def __call__(self) -> list[str | None]:
        """Trains the jobs, several side by side."""
        sys.path += [folder for folder in self.path if folder not in sys.path]
        jobs: list[Job] = pickle.loads(self.pickled)
        if len(jobs) > 1:
            errors = dict(Processes(len(jobs)).run(jobs, _untold))
            return [errors[job] for job in jobs]
        prepare()
        return [attempt(jobs[0], _untold)]

    def checkpoint(self) -> Any:
        """What is to be submitted again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _untold(_: int) -> None:
    """Progress is told from here, job by job."""


@dataclass
class _Task:
    """Jobs that are one task, as it is seen from here."""

    jobs: Sequence[Job]
    tries: int = 0
    submitted: Any = None
    """submitit's job."""
    gone: float | None = None
    """Since when Slurm does not know of it."""


class Slurm(Engine):
    """Jobs as array tasks.

    Args:
        workers: tasks that may run at once.
        store: folder that every node sees.
        request: what is asked of Slurm for each.
    """

    def __init__(self, workers: int, store: Path, request: Request) -> None:
        self.workers = workers
        self.request = request
        self.root = store / FOLDER
        self._asked = 0.0
        """When Slurm was asked last."""

    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Ended:
        """Yields every job when it has ended, with `None` or with the error that ended it."""
        end_orphans(self.root)
        folder = self.root / f"{platform.node()}-{os.getpid()}-{time.time_ns()}"
        size = self.request.jobs
        waiting = [_Task(jobs[start : start + size]) for start in range(0, len(jobs), size)]
        running: list[_Task] = []
        lost = False
        try:
            while waiting or running:
                self._submit(waiting, folder)
                running, waiting = running + waiting, []
                time.sleep(POLL_SECONDS)
                self._look_for_the_gone(running)
                for task in list(running):
                    errors = self._result(task)
                    if errors is None:
                        continue
                    running.remove(task)
                    if isinstance(errors, str) and task.tries < TRIES:
                        waiting.append(task)
                        continue
                    if isinstance(errors, str):
                        lost = True
                        errors = [errors] * len(task.jobs)
                    for job, error in zip(task.jobs, errors, strict=True):
                        if error is None:
                            tick(job.work)
                        yield job, error
        finally:
            _cancel(task.submitted.job_id for task in running)
            if not lost:
                # The logs of what was lost are all there is to find out why.
                shutil.rmtree(folder, ignore_errors=True)
                _remove_if_empty(self.root)

    def _submit(self, tasks: Sequence[_Task], folder: Path) -> None:
        """Submits tasks as arrays."""
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        for start in range(0, len(tasks), LARGEST_ARRAY):
            array = tasks[start : start + LARGEST_ARRAY]
            try:
                executor = SlurmExecutor(folder, max_num_timeout=MOST_TIMEOUTS, python=self.request.python)
                executor.update_parameters(**self.request.parameters(self.workers))
                # Which prints what Slurm says, too.
                with redirect_stderr(io.StringIO()):
                    submitted = executor.submit_array([SlurmTask(task.jobs) for task in array])
            except (FailedJobError, FailedSubmissionError, OSError, RuntimeError) as error:
                lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
                raise EngineError(f"Slurm does not take the jobs: {lines[0]}") from None
            for task, job in zip(array, submitted, strict=True):
                task.submitted, task.gone = job, None
                task.tries += 1

    def _look_for_the_gone(self, tasks: Sequence[_Task]) -> None:
        """Notes of which tasks Slurm does not know any more."""
        now = time.monotonic()
        if not tasks or now - self._asked < ASK_SECONDS:
            return
        self._asked = now
        known = _known({task.submitted.job_id.partition("_")[0] for task in tasks})
        if known is not None:
            for task in tasks:
                if task.submitted.job_id in known:
                    task.gone = None
                elif task.gone is None:
                    task.gone = now

    def _result(self, task: _Task) -> list[str | None] | str | None:
        """The error of each job of a task, `None` while there is no result, or why there will be none."""
        job = task.submitted
        if job.paths.result_pickle.exists():
            error = job.exception()
            return list(job.result()) if error is None else [_last_line(str(error))] * len(task.jobs)
        if task.gone is not None and time.monotonic() - task.gone >= LATE_SECONDS:
            return f"its Slurm job was lost {TRIES} times, the last time as {job.job_id}; its log is {job.paths.stderr}"
        return None


def end_orphans(root: Path) -> None:
    """Cancels what runs of this machine have submitted that did not live to cancel it, and removes their folders."""
    for folder in root.glob(f"{platform.node()}-*-*"):
        if not lives(int(folder.name.split("-")[-2])):
            _cancel(path.name.partition("_")[0] for path in folder.glob("*_submission.sh"))
            shutil.rmtree(folder, ignore_errors=True)


def _known(arrays: Iterable[str]) -> set[str] | None:
    """The tasks of some arrays that wait or run, as "array_index"; `None` where Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(sorted(arrays))}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # That is what it says where it has forgotten all of them.
    if answer.returncode and "Invalid job id" not in answer.stderr:
        return None
    return set(answer.stdout.split())


def _cancel(ids: Iterable[str]) -> None:
    """Takes tasks out of the queue, and ends those that run."""
    if names := list(ids):
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["scancel", "--quiet", *names], capture_output=True, timeout=60, check=False)


def _last_line(text: str) -> str:
    """What a traceback ends with."""
    lines = [line for line in text.splitlines() if "Error" in line and not line.startswith(" ")]
    return lines[-1] if lines else text.strip()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
