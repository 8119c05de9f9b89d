"""Reports compared claim by claim: whose verdict changed, whose estimates moved, what was registered otherwise."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ilr.report.evidence import ClaimEvidence, FindingEvidence, Range
from ilr.report.findings import FindingText, finding_texts
from ilr.serialization import decisive, differences
from ilr.stats.decision import Verdict
from ilr.tools.reports import Report, facts

MOST_REPORTS = 26
"""Each is called by a letter."""


class Change(StrEnum):
    """What became of a claim's verdict from the first report on; of several later ones, the first of these counts."""

    WORSE = "worse"
    """It was REPRODUCED and is not, or was INCONCLUSIVE and is neither that nor REPRODUCED."""
    OTHER = "changed"
    """Between REFUTED, UNSOUND, ERROR and NOT RUN."""
    BETTER = "better"
    SAME = "same"
    APART = "not in all"
    """Not in every report, or NOT RUN at one of two scales: there are no two verdicts to compare."""


_RANKS = {Verdict.REPRODUCED: 2, Verdict.INCONCLUSIVE: 1}
"""Of a verdict; 0 for the others, each of which shows nothing in favour of the claim."""


@dataclass(frozen=True)
class FindingComparison:
    """One finding in all reports."""

    name: str
    control: str
    """Whose finding it is; empty for the claim itself."""
    texts: tuple[FindingText | None, ...]
    """A report that does not have it has `None`."""

    @property
    def moved(self) -> bool:
        """Whether its interval in some later report does not meet that in the first."""
        first, *later = self.texts
        return any(first and text and _are_apart(first.finding.interval, text.finding.interval) for text in later)

    @property
    def decided_otherwise(self) -> bool:
        """Whether reports that have it differ in its verdict."""
        return len({text.finding.verdict for text in self.texts if text}) > 1


@dataclass(frozen=True)
class ClaimComparison:
    """One claim in all reports."""

    id: str
    title: str
    verdicts: tuple[Verdict | None, ...]
    """A report that does not have it has `None`."""
    change: Change
    registration: tuple[str, ...]
    """What differs from the record in the first report that has the claim, a line a field."""
    findings: tuple[FindingComparison, ...]


@dataclass(frozen=True)
class Comparison:
    """Several reports; the first is what the others are compared with."""

    reports: tuple[Report, ...]
    facts: Mapping[str, tuple[str, ...]]
    """Of every report, by name: those that differ."""
    claims: tuple[ClaimComparison, ...]

    @property
    def letters(self) -> str:
        """What the reports are called in tables."""
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.reports)]

    @property
    def got_worse(self) -> bool:
        """Whether a verdict got worse."""
        return any(claim.change is Change.WORSE for claim in self.claims)

    @property
    def of_one_scale(self) -> bool:
        """Whether all reports are of one scale; at two of them most estimates differ, as they must."""
        return len({report.evidence.scale for report in self.reports}) == 1

    @property
    def counted(self) -> str:
        """How many verdicts changed how: "18 claims: 14 same, 4 worse"."""
        counts = Counter(claim.change for claim in self.claims)
        order = (Change.SAME, Change.BETTER, Change.WORSE, Change.OTHER, Change.APART)
        shown = [f"{counts[change]} {change}" for change in order if counts[change]]
        return f"{len(self.claims)} claims: {', '.join(shown)}"


def compare(reports: Sequence[Report]) -> Comparison:
    """Compares reports with the first of them.

    Args:
        reports: two or more, and at most `MOST_REPORTS`.

    Raises:
        ValueError: there are too few or too many, or no claim is in two of them.
    """
    if not 2 <= len(reports) <= MOST_REPORTS:
        raise ValueError(f"there are {len(reports)} reports to compare: give 2 to {MOST_REPORTS}")
    claims: dict[str, list[ClaimEvidence | None]] = {}
    for number, report in enumerate(reports):
        for claim in report.evidence.claims:
            claims.setdefault(claim.id, [None] * len(reports))[number] = claim
    if all(sum(claim is not None for claim in row) < 2 for row in claims.values()):
        raise ValueError(f"no claim is in two of {', '.join(report.name for report in reports)}")
    told = [facts(report.evidence) for report in reports]
    rows = {name: tuple(one[name] for one in told) for name in told[0]}
    return Comparison(
        reports=tuple(reports),
        facts={name: row for name, row in rows.items() if len({*row}) > 1},
        claims=tuple(_compared(row, reports) for row in claims.values()),
    )


def _compared(row: Sequence[ClaimEvidence | None], reports: Sequence[Report]) -> ClaimComparison:
    first = next(claim for claim in row if claim is not None)
    verdicts = tuple(claim.verdict if claim else None for claim in row)
    scales = [report.evidence.scale for report in reports]
    later = list(zip(verdicts, scales, strict=True))[1:]
    changes = [_change(verdicts[0], verdict, scales[0] == scale) for verdict, scale in later]
    records = [decisive(claim.record) for claim in row if claim]
    registration = dict.fromkeys(line for record in records for line in differences(records[0], record))
    return ClaimComparison(
        id=first.id,
        title=first.title,
        verdicts=verdicts,
        change=next(change for change in Change if change in changes),
        registration=tuple(registration),
        findings=tuple(_findings(row)),
    )


def _change(before: Verdict | None, now: Verdict | None, same_scale: bool) -> Change:
    if before is None or now is None:
        return Change.APART
    if before is now:
        return Change.SAME
    # At another scale a claim may be registered not to run; at the same one, somebody kept it from that.
    if not same_scale and Verdict.NOT_RUN in (before, now):
        return Change.APART
    rank_before, rank_now = _RANKS.get(before, 0), _RANKS.get(now, 0)
    if rank_before == rank_now:
        return Change.OTHER
    return Change.WORSE if rank_now < rank_before else Change.BETTER


def _findings(row: Sequence[ClaimEvidence | None]) -> list[FindingComparison]:
    """Those of the claim, then those of its controls, each in the order in which they are first met."""
    found: dict[tuple[str, str], list[FindingText | None]] = {}
    for number, claim in enumerate(row):
        if claim is None:
            continue
        groups: dict[str, Sequence[FindingEvidence]] = {"": claim.findings}
        groups |= {control.name: control.findings for control in claim.controls}
        for control, findings in groups.items():
            for text in finding_texts(findings):
                found.setdefault((control, text.finding.name), [None] * len(row))[number] = text
    # Sorting is stable; the claim's own come first, also those that only a later report has.
    ordered = sorted(found.items(), key=lambda item: item[0][0] != "")
    return [FindingComparison(name, control, tuple(texts)) for (control, name), texts in ordered]


def _are_apart(first: Range, second: Range) -> bool:
    """Whether two intervals have no value in common; an open end goes on for ever."""
    (low, high), (other_low, other_high) = first, second
    below = high is not None and other_low is not None and high < other_low
    above = low is not None and other_high is not None and other_high < low
    return below or above
