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
from ilr.tools.reports import AS_REGISTERED, OWN

Choices = Mapping[str, str]
"""By the name of an option without its hyphens, what was given: {"norm": "group", "momentum": "0.9"}."""

FEW = 4
"""Columns up to which a cell says in words what it shows; with more of them that stands below, and in its title."""


@dataclass(frozen=True)
class Cell:
    """What became of one claim under one variation."""

    verdict: Verdict
    link: str
    """To the claim in its report."""
    estimate: str = ""
    """Of the finding that the verdict hangs on: of several the one nearest to its bound."""
    range: str = ""
    """Its interval, and what is accepted."""
    told: str = ""
    """Which finding that is, or why there is none."""

    @property
    def title(self) -> str:
        """All of it in words."""
        number = f": {self.estimate} {self.range}" if self.estimate else ""
        return f"{self.verdict}: {self.told}{number}"


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
    def judged(self) -> list[ClaimEvidence]:
        """The claims that make sense here."""
        return [one for one in self.evidence.claims if one.verdict is not Verdict.NOT_RUN]

    @property
    def verdicts(self) -> list[Verdict]:
        """Theirs."""
        return [one.verdict for one in self.judged]

    @property
    def share(self) -> "Share":
        """How many of these are REPRODUCED."""
        return Share.of(self.title, self.verdicts)

    @property
    def counted(self) -> str:
        """How many claims came out how, of those that make sense here."""
        return counted(self.judged)

    def cell(self, claim: str) -> Cell | None:
        """What became of the claim with an id; `None` where the report does not have it."""
        found = next((one for one in self.evidence.claims if one.id == claim), None)
        return None if found is None else _cell(found, self.link)


@dataclass(frozen=True)
class Share:
    """How many of some verdicts are REPRODUCED."""

    name: str
    reproduced: int
    judged: int

    @classmethod
    def of(cls, name: str, verdicts: Sequence[Verdict]) -> "Share":
        """That of verdicts, none of which is NOT RUN."""
        return cls(name, sum(verdict is Verdict.REPRODUCED for verdict in verdicts), len(verdicts))

    def __str__(self) -> str:
        return f"{self.reproduced} of {self.judged}" if self.judged else "–"

    @property
    def percent(self) -> int:
        """For a bar."""
        return round(100 * self.reproduced / self.judged) if self.judged else 0


@dataclass(frozen=True)
class Matrix:
    """All variations of one scale and seed."""

    columns: tuple[Column, ...]
    axes: tuple[str, ...] = ()
    """Names of the options of which some variation has a choice."""
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

    @property
    def in_words(self) -> bool:
        """Whether cells have room for words."""
        return len(self.columns) <= FEW

    def cells(self, claim: str) -> list[tuple[Column, Cell]]:
        """What became of a claim, where it is in the report."""
        return [(column, cell) for column in self.columns if (cell := column.cell(claim)) is not None]

    def survived(self, claim: str) -> Share:
        """Under how many of the variations that it makes sense under a claim is REPRODUCED."""
        verdicts = [cell.verdict for _, cell in self.cells(claim)]
        return Share.of(claim, [verdict for verdict in verdicts if verdict is not Verdict.NOT_RUN])

    @property
    def standing(self) -> str:
        """In a sentence how many claims survive all variations, and how many none but their own."""
        shares = [share for claim in self.claims if (share := self.survived(claim)).judged]
        everywhere = sum(share.reproduced == share.judged for share in shares)
        nowhere = sum(not share.reproduced for share in shares)
        told = f"{everywhere} of {len(shares)} claims are REPRODUCED under every variation that makes sense for them"
        return f"{told}; {nowhere} under none." if nowhere else f"{told}."

    def by_choice(self, axis: str) -> list[Share]:
        """For each choice of an option, how many verdicts are REPRODUCED, over all others' choices."""
        verdicts: dict[str, list[Verdict]] = {}
        for column in self.columns:
            verdicts.setdefault(column.choices.get(axis, OWN), []).extend(column.verdicts)
        return [Share.of(name, given) for name, given in verdicts.items()]

    def heads(self, axis: str) -> list[tuple[str, int, Column]]:
        """The choices of an option above their columns: each with how many columns it spans, and the first of them.

        Neighbours with the same choice of it and of the options before it are one, but for the last option.
        """
        place = self.axes.index(axis)
        before = [tuple(column.choices.get(name, OWN) for name in self.axes[: place + 1]) for column in self.columns]
        found: list[tuple[str, int, Column]] = []
        for number, column in enumerate(self.columns):
            if found and axis != self.axes[-1] and before[number] == before[number - 1]:
                name, span, first = found[-1]
                found[-1] = name, span + 1, first
            else:
                found.append((before[number][-1], 1, column))
        return found

    @property
    def broken(self) -> dict[str, list[tuple[Column, Cell]]]:
        """By claim, where it was judged and is not REPRODUCED; what survives least stands first."""
        kept = (Verdict.REPRODUCED, Verdict.NOT_RUN)
        found = {claim: [one for one in self.cells(claim) if one[1].verdict not in kept] for claim in self.claims}
        worst_first = sorted(self.claims, key=lambda claim: self.survived(claim).percent)
        return {claim: found[claim] for claim in worst_first if found[claim]}

    @property
    def reasons(self) -> dict[tuple[str, str], list[Column]]:
        """Why claims were not run, with the variations: by claim and reason, in the order of the table."""
        found: dict[tuple[str, str], list[Column]] = {}
        for claim in self.claims:
            for column, cell in self.cells(claim):
                if cell.verdict is Verdict.NOT_RUN:
                    found.setdefault((claim, cell.told), []).append(column)
        return found


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
    chosen = tuple(name for name in axes if any(name in one.choices for one in found))
    return Matrix(tuple(found), chosen, unreadable)


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
        return Cell(claim.verdict, link, text.estimate, f"({text.interval}), accepted: {text.accepted}", told)
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
