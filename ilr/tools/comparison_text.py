"""A comparison of reports in a terminal."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ilr.report.findings import FindingText
from ilr.report.text import one_line
from ilr.tools.comparison import Change, ClaimComparison, Comparison, FindingComparison

_STYLES = {Change.WORSE: "bold red", Change.BETTER: "green", Change.OTHER: "yellow", Change.APART: "dim"}


def print_comparison(comparison: Comparison, console: Console, *, verbose: bool = False) -> None:
    """Prints what the reports are, every claim's verdicts, and the findings that explain what changed.

    Args:
        comparison: of the reports.
        console: where to.
        verbose: print all findings, of controls too.
    """
    for part in comparison_parts(comparison, verbose=verbose):
        console.print(part)


def comparison_parts(comparison: Comparison, *, verbose: bool = False) -> Iterator[RenderableType]:
    """What `print_comparison` prints, one thing after the other."""
    for letter, report in zip(comparison.letters, comparison.reports, strict=True):
        yield _text(f"{letter}  {report.name}")
    facts = _table("what differs", *comparison.letters)
    for name, row in comparison.facts.items():
        facts.add_row(name, *(_text(value or "–") for value in row))
    if comparison.facts:
        yield facts
    verdicts = _table("claim", *comparison.letters, "")
    for claim in comparison.claims:
        shown = [str(verdict) if verdict else "–" for verdict in claim.verdicts]
        verdicts.add_row(_text(claim.id), *shown, Text(claim.change, _STYLES.get(claim.change, "")))
    yield verdicts
    for claim in comparison.claims:
        findings = list(claim.findings) if verbose else _telling(claim, comparison)
        if findings or claim.registration:
            yield Text(f"\n{one_line(claim.id)}: {claim.change}", "bold")
        if findings:
            yield _details(findings, comparison.letters)
        for line in claim.registration:
            yield _text(f"  registered: {line}")
    yield Text(f"\n{comparison.counted}")
    yield Text("≠: the interval and that of A have no value in common", "dim")


def _telling(claim: ClaimComparison, comparison: Comparison) -> list[FindingComparison]:
    """The claim's own findings that explain a change of its verdict, or that moved though nothing was to move them."""
    if claim.change is Change.SAME and not comparison.of_one_scale:
        return []
    own = [finding for finding in claim.findings if not finding.control]
    return [finding for finding in own if finding.decided_otherwise or (finding.moved and comparison.of_one_scale)]


def _details(findings: Iterable[FindingComparison], letters: str) -> Table:
    table = _table("finding", *letters, "")
    for finding in findings:
        name = f"control {finding.control}: {finding.name}" if finding.control else finding.name
        table.add_row(_text(name), *(_text(_words(text)) for text in finding.texts), "≠" if finding.moved else "")
    return table


def _words(text: FindingText | None) -> str:
    return f"{text.estimate} ({text.interval}) {text.finding.verdict}" if text else "–"


def _table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _text(text: str) -> Text:
    """Text from a report: neither markup nor an escape sequence of a terminal, and not more than a table bears."""
    return Text(one_line(text))
