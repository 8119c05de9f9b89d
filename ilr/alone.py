"""One experiment by itself, in a notebook or a script: trained without pytest, kept and found as those of claims."""

import sys
from pathlib import Path

from rich.console import Console

from ilr.data.catalog import check_fit
from ilr.experiments.experiment import Experiment
from ilr.experiments.recording import Recording
from ilr.lab.engines import InProcess
from ilr.lab.hardware import default_device
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store
from ilr.session.options import CACHE
from ilr.session.progress import training_progress


def run(
    experiment: Experiment,
    *,
    store: Path | str | None = None,
    device: str | None = None,
    data_root: Path | str | None = None,
    progress: bool = True,
) -> Recording:
    """The recording of one experiment: found in a store, or trained in this process and kept there.

    Interrupted, it goes on from where it was when it is called again. Of replicas that diverge, which leaves NaN in the
    recording, a line on stderr says how many there are, and from which observed step on.

    Args:
        experiment: what to train.
        store: folder of recordings; by default the one that `pytest claims` uses, in the user's cache.
        device: a torch device; by default the GPU where there is one.
        data_root: folder of data files, for the sets that do not ship with a package.
        progress: say on stderr what is trained and how far it is.

    Raises:
        ValueError: the experiment does not fit its data; as OwnRecordError, a record of somebody's own is wrong.
        TypeError: what stands in the place of a record is none.
        DataUnavailableError: its data set is not there.
        TrainingFailedError: training failed.
        StoreError: the store cannot be written, or its disk is too small.
    """
    check_fit(experiment)
    root = None if data_root is None else Path(data_root)
    lab = Lab(Store(CACHE if store is None else Path(store)), InProcess(), device or default_device(), root)
    plan = lab.plan([experiment])
    if plan.jobs:
        # Not on stdout, which is a script's own.
        with training_progress(plan, lab.engine.workers, Console(stderr=True, quiet=not progress)) as tick:
            lab.train(plan, tick)
    recording = lab.recording(experiment)
    if diverged := recording.diverged:
        first = min(diverged.values())
        print(
            f"{len(diverged)} of {experiment.replicas} replicas diverged: not finite from step {first} on, the first "
            "that was observed so",
            file=sys.stderr,
        )
    return recording
