"""What every engine is, and the one that needs no other process."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence

from ilr.data.catalog import DataUnavailableError
from ilr.experiments.own import OwnRecordError
from ilr.lab.hardware import answers, take_gpu
from ilr.lab.jobs import Job

GPU_LOST = "the GPU refuses this process after an error of a job before"
"""How a job ends that was not tried for that reason."""


Ended = Generator[tuple[Job, str | None], None, None]
"""Jobs, each with `None` or with the error that ended it."""


class EngineError(Exception):
    """An engine cannot run any job, with the reason in one line."""


class Engine(ABC):
    """Runs jobs and says of each how it ended."""

    workers: int
    processes = 0
    """Besides this one, on this machine."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Ended:
        """Yields every job when it has ended, with `None` or with the error that ended it; starts them in the
        order given.

        Jobs that have not ended when the iterator is closed are given up: nothing of them runs on. `tick` is told of
        the work done since the last call; less than none where work was lost.

        Raises:
            EngineError: none of them can be run.
        """


class InProcess(Engine):
    """One job after another in this process."""

    workers = 1

    def run(self, jobs: Sequence[Job], tick: Callable[[int], None]) -> Ended:
        """Yields every job when it has ended, with `None` or with the error that ended it."""
        lost: set[str] = set()
        for job in jobs:
            error = GPU_LOST if job.device in lost else attempt(job, tick)
            if error and not answers(job.device):
                lost.add(job.device)
            yield job, error


def attempt(job: Job, tick: Callable[[int], None], worker: int = 0) -> str | None:
    """Runs a job in this process and gives the error that ended it, if any; several workers take each its own GPU."""
    try:
        take_gpu(job.device, worker)
        job.run(tick)
    except (OwnRecordError, DataUnavailableError) as error:
        return str(error)  # which says all
    except Exception as error:  # a job that fails must not take the others with it, whatever failed
        return f"{type(error).__name__}: {error}"
    return None
