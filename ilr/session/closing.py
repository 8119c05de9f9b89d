"""The end of a run in the terminal: verdicts, the numbers behind those that are not REPRODUCED, and the next step."""

import io
from collections.abc import Iterator, Sequence

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


def as_lines(part: RenderableType, width: int) -> list[str]:
    """What rich would print, as plain lines."""
    text = io.StringIO()
    Console(file=text, width=max(width, WIDTH), color_system=None).print(part)
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
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column("finding", overflow="fold")
    for header in ("estimate", "interval", "accepted", "n", "verdict"):
        table.add_column(header, no_wrap=True)
    for control, text in rows:
        name = f"control {control}: {text.finding.name}" if control else text.finding.name
        numbers = (text.estimate, text.interval, text.accepted, str(text.finding.n), str(text.finding.verdict))
        table.add_row(Text(printable(name)), *numbers)
    return table
