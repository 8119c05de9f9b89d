"""Where the report of a run goes: neither a part nor other choices take the place of what was tried as registered."""

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ilr.lab.store.writing import lives
from ilr.report.evidence import file_name
from ilr.report.files import EVIDENCE, MADE, UNFINISHED, read_evidence
from ilr.stats.decision import Verdict

PARTIAL = "-partial"
"""Ends the name of the folder beside a fuller report."""


@dataclass(frozen=True)
class Place:
    """A folder for a report, and what it must not replace."""

    folder: Path
    spared: tuple[str, ...] = ()
    """Claims of the report in the folder that was asked for, which this run did not judge; empty where the report goes
    there."""


def place_for(asked: Path, root: Path, judged: Set[str], as_registered: Set[str]) -> Place:
    """The folder that was asked for, or one beside it if a report is there that has more.

    A report has more if it judges a claim whose file is still there and that this run did not judge, or not as it is
    registered, as the report did. Beside it goes a folder with the same name and `-partial`, then `-partial-2` and so
    on, the first that this run may replace.

    Args:
        asked: folder of the report.
        root: folder of the claims.
        judged: ids of the claims that this run has judged.
        as_registered: of these, those judged with the replicas that they register, and under their own choices.
    """
    spared = _lost(asked, root, judged, as_registered)
    if not spared:
        return Place(asked)
    for folder in _beside(asked):
        if not _lost(folder, root, judged, as_registered):
            return Place(folder, spared)
    raise AssertionError("there is always a folder that does not exist yet")


def tidy(folder: Path) -> None:
    """Removes what runs of this machine that were killed while they wrote a report have left in its folder."""
    for name in (EVIDENCE, UNFINISHED, *MADE):
        for path in folder.glob(f".{name}.*"):
            writer = path.suffix.removeprefix(".")
            if writer.isdecimal() and not lives(int(writer)):
                path.unlink(missing_ok=True)


def _beside(asked: Path) -> Iterator[Path]:
    yield asked.with_name(asked.name + PARTIAL)
    for number in count(2):
        yield asked.with_name(f"{asked.name}{PARTIAL}-{number}")


def _lost(folder: Path, root: Path, judged: Set[str], as_registered: Set[str]) -> tuple[str, ...]:
    """The claims judged in the report of a folder that would be lost with it."""
    try:
        evidence = read_evidence(folder)
    except (OSError, ValueError):  # none there, or nothing that could be read
        return ()
    missing = []
    for claim in evidence.claims:
        registered = claim.as_registered and not claim.variation
        if claim.verdict is not Verdict.NOT_RUN and claim.id not in (as_registered if registered else judged):
            missing.append(claim.id)
    if not missing:
        return ()
    files = set(_claim_files(root))
    return tuple(claim for claim in missing if file_name(claim) in files)


def _claim_files(root: Path) -> Iterator[str]:
    """Names of all files under a folder that may hold a claim; environments and hidden folders are left out."""
    for _, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("venv", "node_modules")]
        yield from (name for name in files if name.startswith("test_") and name.endswith(".py"))
