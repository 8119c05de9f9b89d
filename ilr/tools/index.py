"""The reports under a folder in one page: `index.html` with every run's scale, seed, variation, counts and machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ilr.report.ci.summary import counted
from ilr.report.evidence import Evidence
from ilr.report.files import EVIDENCE, read_evidence, write_whole
from ilr.report.text import one_line
from ilr.stats.decision import Verdict
from ilr.tools.pages import render
from ilr.tools.reports import facts, overridden

PAGE = "index.html"


@dataclass(frozen=True)
class Run:
    """One report under the folder."""

    name: str
    """Its folder, from the one that is indexed."""
    link: str
    """To its page, or to its evidence where it has no page."""
    evidence: Evidence

    @property
    def variation(self) -> str:
        """What was selected and overridden; empty for a run of everything as it is registered."""
        selected = " ".join(self.evidence.invocation.selected)
        # A folder alone selects nothing in particular.
        chosen = selected if "-k " in selected or "-m " in selected or "::" in selected or ".py" in selected else ""
        return " ".join(part for part in (chosen, overridden(self.evidence)) if part)

    @property
    def facts(self) -> dict[str, str]:
        """What it was of and with what."""
        return facts(self.evidence)

    @property
    def counted(self) -> str:
        """How many claims came out how."""
        return counted(self.evidence.claims)

    def verdict(self, claim: str) -> Verdict | None:
        """Of the claim with an id; `None` where the report does not have it."""
        return next((one.verdict for one in self.evidence.claims if one.id == claim), None)


@dataclass(frozen=True)
class Index:
    """All reports under a folder."""

    runs: tuple[Run, ...]
    """By scale, the latest first."""
    unreadable: tuple[str, ...]
    """A line for each evidence file that cannot be read."""
    pages: tuple[tuple[str, str], ...]
    """Other pages in the folder, such as a comparison: name and link."""

    @property
    def claims(self) -> dict[str, str]:
        """The titles of all claims by id, in the order in which runs have them."""
        return {claim.id: claim.title for run in self.runs for claim in run.evidence.claims}


def write_index(folder: Path) -> Index:
    """Writes `index.html` into a folder, over every evidence file under it.

    Raises:
        ValueError: there is none, or the folder holds a report itself, whose page has that name.
    """
    if (folder / EVIDENCE).exists():
        raise ValueError(f"{folder} holds a report, whose page is {folder / PAGE}: give the folder above it")
    index = index_of(folder)
    if not index.runs and not index.unreadable:
        raise ValueError(f"{folder} has no {EVIDENCE} under it")
    write_whole(folder / PAGE, render("index.html.j2", {"index": index}))
    return index


def index_of(folder: Path) -> Index:
    """The reports under a folder; what cannot be read costs a line and nothing else."""
    runs: list[Run] = []
    reports, unreadable = reports_under(folder)
    for place, evidence in reports:
        name = place.relative_to(folder).as_posix()
        page = PAGE if (place / PAGE).exists() else EVIDENCE
        runs.append(Run(name, quote(f"{name}/{page}"), evidence))
    runs.sort(key=lambda run: run.evidence.started, reverse=True)
    # Sorting is stable: the latest stay first within a scale.
    runs.sort(key=lambda run: run.evidence.scale)
    pages = [path.name for path in sorted(folder.glob("*.html")) if path.name != PAGE]
    return Index(tuple(runs), unreadable, tuple((name, quote(name)) for name in pages))


def reports_under(folder: Path) -> tuple[list[tuple[Path, Evidence]], tuple[str, ...]]:
    """Every report under a folder, with its own folder, in order of path; and a line for each that cannot be read."""
    reports: list[tuple[Path, Evidence]] = []
    unreadable: list[str] = []
    for name, folders, files in os.walk(folder):
        folders.sort()
        place = Path(name)
        if EVIDENCE not in files:
            continue
        try:
            reports.append((place, read_evidence(place)))
        except (OSError, ValueError) as error:
            unreadable.append(one_line(str(error)))
    return reports, tuple(unreadable)
