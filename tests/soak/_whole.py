"""All claims at tiny scale, run once and not disturbed: what disturbed runs of all of them are held against."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ilr.report.files import EVIDENCE
from tests.soak.kills import ENDED, Run

SHARED = "ILR_SOAK_WHOLE"
"""Variable of the environment: the folder of the run that the parts of one soak share."""

IN_PROCESSES = ("--engine=processes", "--workers=2")
"""Two on every machine: it decides which slices train together."""


@contextmanager
def undisturbed(arguments: Sequence[str]) -> Iterator[Path]:
    """Gives the folder of the run's store and report.

    Args:
        arguments: of pytest, which select claims for example. Without any, the parts of a soak share one run.
    """
    shared = None if arguments else os.environ.get(SHARED)
    folder = Path(shared or tempfile.mkdtemp(prefix="ilr-soak-"))
    try:
        if not (folder / "report" / EVIDENCE).exists():
            run = Run(folder, [*arguments, *IN_PROCESSES])
            assert run.process.wait() in ENDED, (folder / "output.txt").read_text()
        yield folder
    finally:
        if not shared:
            shutil.rmtree(folder, ignore_errors=True)
