"""The end of a run in the terminal: verdicts, the numbers behind those that are not REPRODUCED, and the next step."""

import io
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ilr.report.advice import next_step
from ilr.report.evidence import ClaimEvidence, Evidence
from ilr.report.findings import FindingText, finding_texts
from ilr.report.text import printable
from ilr.stats.decision import Verdict

INDENT = 14
"""Columns of the verdict, under which everything about a claim is indented."""

WIDTH = 100
"""Columns that lines may take at least: a line that a narrow terminal wraps can be read, one that is cut cannot."""


NAME = 30
"""Columns that names of findings may take at least."""

LARGEST = 10_000
"""Columns in which nothing is cut."""


def closing_lines(evidence: Evidence, width: int, *, verbose: bool = False) -> Iterator[str]:
    """A line for every claim; for what is not REPRODUCED, its message, its numbers and what to do next.

    Args:
        evidence: of the run.
        width: columns of the terminal.
        verbose: the numbers of every claim and control, whatever came out.
    """
    for claim in evidence.claims:
        sound = sum(control.sound for control in claim.controls)
        controls = f"  controls sound {sound}/{len(claim.controls)}" if claim.controls else ""
        yield printable(f"{claim.verdict:<{INDENT - 1}} {claim.id}{controls}{_looks(claim)}")
        if claim.message:
            yield printable(f"{'':<{INDENT}}{claim.message}")
        rows = _all(claim) if verbose else _telling(claim)
        if rows:
            yield from as_lines(Padding(_table(rows), (0, 0, 0, INDENT)), width)
        if step := next_step(claim, evidence):
            yield printable(f"{'':<{INDENT}}next: {step}")


def as_lines(part: RenderableType, width: int, least: int = WIDTH) -> list[str]:
    """What rich would print, as plain lines.

    Args:
        part: to be printed.
        width: columns of the terminal, that lines may take.
        least: columns that they may take however narrow the terminal is; more where something would be cut.
    """
    text = io.StringIO()
    console = Console(file=text, width=LARGEST, color_system=None)
    console.width = max(width, least, console.measure(part).minimum)
    console.print(part)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _looks(claim: ClaimEvidence) -> str:
    """Which look decided, or was the last."""
    if not claim.looks:
        return ""
    look = f"  look {len(claim.looks)} of {len(claim.looks_planned)}, n = {claim.looks[-1].n}"
    if claim.literal:
        look += " (literal lengths)"
    if claim.variation:
        look += f" ({claim.variation})"
    return look if claim.as_registered else f"{look} (not registered)"


def _telling(claim: ClaimEvidence) -> list[tuple[str, FindingText]]:
    """What kept a claim from REPRODUCED: findings of its own, and those of controls that are not sound."""
    if claim.verdict is Verdict.REPRODUCED:
        return []
    rows = [("", text) for text in finding_texts(claim.findings) if text.finding.verdict is not Verdict.REPRODUCED]
    for control in claim.controls:
        if not control.sound:
            rows += [(control.name, text) for text in finding_texts(control.findings)]
    return rows


def _all(claim: ClaimEvidence) -> list[tuple[str, FindingText]]:
    rows = [("", text) for text in finding_texts(claim.findings)]
    for control in claim.controls:
        rows += [(control.name, text) for text in finding_texts(control.findings)]
    return rows


def _table(rows: Sequence[tuple[str, FindingText]]) -> Table:
    """Findings with the control that they are of, if any."""
    told = [(control, text, str(text.finding.verdict)) for control, text in rows]
    return findings_table(told, ("verdict",))


def findings_table(rows: Sequence[tuple[str, FindingText, *tuple[str, ...]]], headers: Sequence[str]) -> Table:
    """Findings with their numbers, in a table that folds names and cuts no number.

    Args:
        rows: the control that the finding is of, if any; the finding; and what the last columns say of it.
        headers: of the last columns.
    """
    cells = []
    for control, text, *more in rows:
        name = f"control {control}: {text.finding.name}" if control else text.finding.name
        cells.append([printable(name), text.estimate, text.interval, text.accepted, str(text.finding.n), *more])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    longest = max((cell_len(row[0]) for row in cells), default=0)
    table.add_column("finding", overflow="fold", min_width=min(longest, NAME))
    for index, header in enumerate(("estimate", "interval", "accepted", "n", *headers), 1):
        table.add_column(
            header, no_wrap=True, min_width=max(cell_len(one) for one in (header, *(row[index] for row in cells)))
        )
    for row in cells:
        table.add_row(*map(Text, row))
    return table
