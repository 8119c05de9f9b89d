"""Whether what is to be trained fits into memory, before anything is."""

from ilr.lab.cost import peak_bytes
from ilr.lab.jobs import Job
from ilr.lab.limits import available_memory
from ilr.lab.scheduler import Lab, TrainingPlan
from ilr.report.numbers import size
from ilr.session.options import BadOptionError

PROCESS_BYTES = 2**28
"""Of a worker that has imported what it needs."""

CERTAIN = 2
"""What is needed is estimated from above: only so many times what there is, it is certain not to fit."""


def check_memory(plan: TrainingPlan, lab: Lab) -> str:
    """A warning if the workers, all at once, may need more memory than is free; empty if not.

    Args:
        plan: of all that may be trained.
        lab: that would train it. What a GPU has it finds out by itself: a batch that does not fit there is halved.

    Raises:
        BadOptionError: one worker alone needs far more than there is.
    """
    free = available_memory()
    if free is None or lab.device != "cpu" or not plan.jobs:
        return ""
    # Jobs of one kind have a size in common, whatever their seeds.
    needs: dict[tuple[tuple[str, int, int], ...], int] = {}
    largest = (0, 0, plan.jobs[0])
    for job in plan.jobs:
        if _sizes(job) not in needs:
            needs[_sizes(job)] = peak_bytes(job.slices) + PROCESS_BYTES
            # A job that does not fit is halved, and halved again.
            least = max(peak_bytes([one]) for one in job.slices) + PROCESS_BYTES
            largest = max(largest, (least, len(needs), job))
    least, _, job = largest
    if least > CERTAIN * free:
        raise BadOptionError(
            f"training {job.keys[0].experiment} needs about {size(least)} of memory, and {size(free)} are free"
        )
    each = [needs[_sizes(job)] for job in plan.jobs]
    at_once = sum(sorted(each, reverse=True)[: lab.engine.workers])
    if at_once <= free:
        return ""
    return (
        f"Memory: {lab.engine.workers} workers may need {size(at_once)} at a time, and {size(free)} are free; "
        "--workers makes them fewer."
    )


def _sizes(job: Job) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(one), one.steps, one.replicas) for one in job.slices)
