"""The matrix of what survives: claims by variations, each cell a verdict with the number that it hangs on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ilr.report.ci.summary import counted
from ilr.report.evidence import ClaimEvidence, Evidence, FindingEvidence
from ilr.report.files import write_whole
from ilr.report.page.sentences import first_line, telling_first
from ilr.stats.decision import Verdict
from ilr.tools.index import PAGE, reports_under
from ilr.tools.pages import render
from ilr.tools.reports import AS_REGISTERED

Choices = Mapping[str, str]
"""By the name of an option without its hyphens, what was given: {"norm": "group", "momentum": "0.9"}."""


@dataclass(frozen=True)
class Cell:
    """What became of one claim under one variation."""

    verdict: Verdict
    link: str
    """To the claim in its report."""
    number: str = ""
    """The finding that the verdict hangs on: of several the one nearest to its bound."""
    told: str = ""
    """Which finding that is, or why there is none."""


@dataclass(frozen=True)
class Column:
    """One variation, with its report."""

    choices: Choices
    link: str
    evidence: Evidence

    @property
    def title(self) -> str:
        """The choices in a few words: "group, momentum 0.9"; a norm or an optimiser says itself what it is."""
        if not self.choices:
            return "as registered"
        return ", ".join(value if value[:1].isalpha() else f"{name} {value}" for name, value in self.choices.items())

    @property
    def counted(self) -> str:
        """How many claims came out how, of those that make sense here."""
        return counted([one for one in self.evidence.claims if one.verdict is not Verdict.NOT_RUN])

    def cell(self, claim: str) -> Cell | None:
        """What became of the claim with an id; `None` where the report does not have it."""
        found = next((one for one in self.evidence.claims if one.id == claim), None)
        return None if found is None else _cell(found, self.link)


@dataclass(frozen=True)
class Matrix:
    """All variations of one scale and seed."""

    columns: tuple[Column, ...]
    unreadable: tuple[str, ...] = ()
    """A line for each report that cannot be read."""

    @property
    def claims(self) -> dict[str, str]:
        """The titles of all claims by id, in the order in which reports have them."""
        return {claim.id: claim.title for column in self.columns for claim in column.evidence.claims}

    @property
    def runs(self) -> str:
        """Scale and seed of the reports, each once."""
        runs = dict.fromkeys(f"scale {one.evidence.scale}, seed {one.evidence.seed}" for one in self.columns)
        return "; ".join(runs)

    def survived(self, claim: str) -> str:
        """Under how many of the variations that it was judged under a claim is REPRODUCED."""
        cells = [column.cell(claim) for column in self.columns]
        judged = [cell for cell in cells if cell is not None and cell.verdict is not Verdict.NOT_RUN]
        reproduced = sum(cell.verdict is Verdict.REPRODUCED for cell in judged)
        return f"{reproduced} of {len(judged)}" if judged else "–"


def write_matrix(folder: Path, axes: Sequence[str], first: Sequence[Choices] = ()) -> Matrix:
    """Writes `index.html` into a folder, over the reports under it that are variations.

    Args:
        folder: that holds a folder for each report.
        axes: names of the options that are choices.
        first: the choices that stand first, in this order; others follow in order of their folders.

    Raises:
        ValueError: there is no such report.
    """
    matrix = matrix_of(folder, axes, first)
    if not matrix.columns:
        raise ValueError(f"{folder} has no report of a variation under it")
    write_whole(folder / PAGE, render("matrix.html.j2", {"matrix": matrix}))
    return matrix


def matrix_of(folder: Path, axes: Sequence[str], first: Sequence[Choices] = ()) -> Matrix:
    """The variations whose reports are under a folder; see `write_matrix`."""
    found: list[Column] = []
    reports, unreadable = reports_under(folder)
    for place, evidence in reports:
        choices = _choices(evidence, axes)
        # The report of a partial run stands beside the fuller one, which sorts before it.
        is_variation = choices or place.name == AS_REGISTERED
        if is_variation and choices not in [one.choices for one in found]:
            link = quote(f"{place.relative_to(folder).as_posix()}/{PAGE}")
            found.append(Column(choices, link, evidence))
    order = [dict(choices) for choices in first]
    # Sorting is stable: what was not asked for stays in order of its folders.
    found.sort(key=lambda one: order.index(dict(one.choices)) if one.choices in order else len(order))
    return Matrix(tuple(found), unreadable)


def _choices(evidence: Evidence, axes: Sequence[str]) -> dict[str, str]:
    overrides = evidence.invocation.overrides
    return {name: overrides[f"--{name}"] for name in axes if f"--{name}" in overrides}


def _cell(claim: ClaimEvidence, page: str) -> Cell:
    link = f"{page}#claim-{quote(claim.id)}"
    if claim.verdict in (Verdict.ERROR, Verdict.NOT_RUN):
        # The column says under what it makes no sense.
        _, _, reason = claim.message.partition(": ") if claim.variation else ("", "", claim.message)
        return Cell(claim.verdict, link, told=first_line(reason or claim.message))
    name, findings, verdict = _deciding(claim)
    for text in telling_first(findings, verdict)[:1]:
        told = f"control {name}: {text.finding.name}" if name else text.finding.name
        return Cell(claim.verdict, link, f"{text.estimate} ({text.interval}), accepted: {text.accepted}", told)
    return Cell(claim.verdict, link, told=first_line(claim.message))


def _deciding(claim: ClaimEvidence) -> tuple[str, Sequence[FindingEvidence], Verdict]:
    """On whose findings the verdict hangs: the claim's own, or those of a control that is not as it must be."""
    own = {finding.verdict for finding in claim.findings}
    for control in claim.controls:
        unsound = claim.verdict is Verdict.UNSOUND and control.verdict is Verdict.REPRODUCED
        undecided = claim.verdict is Verdict.INCONCLUSIVE and Verdict.INCONCLUSIVE not in own
        if unsound or (undecided and control.verdict is Verdict.INCONCLUSIVE):
            return control.name, control.findings, control.verdict
    return "", claim.findings, claim.verdict
