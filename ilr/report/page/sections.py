"""The section on one claim, as data: its sentences, its findings in words, its figures, its settings, its looks."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ilr.report.advice import command, to_decide
from ilr.report.evidence import Attempt, ClaimEvidence, ControlEvidence, Evidence, FindingEvidence, Look, file_name
from ilr.report.findings import FindingText, finding_texts
from ilr.report.page.common_scale import nearest_first, off_theory, slack
from ilr.report.page.forest import forest_line
from ilr.report.page.sentences import answer, of_control, sentence_case, telling_first
from ilr.report.page.settings import Settings, settings_of
from ilr.report.page.sources import Source, file_address
from ilr.report.standing import looked, tries
from ilr.report.svg.inline import Figure
from ilr.report.text import printable
from ilr.stats.decision import Verdict

MOST_SHOWN = 3
"""More findings than these are folded away, if they were all reproduced."""
SEVERITY = (
    Verdict.REFUTED, Verdict.UNSOUND, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.REPRODUCED, Verdict.NOT_RUN
)  # fmt: skip
"""The order of a table that is sorted by verdict."""


COLUMNS = (
    "name", "estimate", "interval_low", "interval_high", "accepted_low", "accepted_high", "expected", "margin", "n",
    "p", "p_refuted", "alpha", "verdict",
)  # fmt: skip
"""Of the table of findings."""


@dataclass(frozen=True)
class LookText:
    """One look, by its most telling finding."""

    look: Look
    told: str


@dataclass(frozen=True)
class Section:
    """What the page says about one claim."""

    claim: ClaimEvidence
    number: int
    source: Source
    question: str
    differs: str
    """In what its setting differs from the paper's; empty where that was not written down."""
    answer: str
    telling: FindingText | None
    """The finding that matters most."""
    forest: Markup
    """That finding drawn; empty if there is none."""
    message: str
    """What the run said of it, where neither the answer nor the reasons say it already."""
    standing: str
    """How far it looked, and which try it is."""
    looked: str
    jointly: bool
    """Whether a decided verdict also stands beside the others of the report."""
    off_theory: Sequence[str]
    """Findings that were reproduced, but whose interval leaves out the theory's value."""
    shown: Sequence[FindingText]
    folded: Sequence[FindingText]
    """Findings that were reproduced, and have more room to their bounds than those that are shown."""
    controls: Sequence[tuple[ControlEvidence, str]]
    """Each with what came of it, in a sentence."""
    looks: Sequence[LookText]
    undecided: Sequence[str]
    """Why it is undecided, in sentences."""
    figures: Sequence[Figure]
    settings: Settings
    file: str
    """The claim's file as the report names it."""
    file_address: str
    """Where that can be read as it was; empty where it is not known."""
    elsewhere: Sequence[Attempt]
    """Its last attempt at each other scale."""
    command: str
    csv: str
    """All findings, as a table."""

    @property
    def told(self) -> set[tuple[str, str]]:
        """Name and rule of the claim's own findings: what its controls need not say again."""
        return {(finding.name, finding.rule) for finding in self.claim.findings}

    @property
    def seconds(self) -> float:
        """To train and to judge."""
        return self.settings.seconds + self.claim.seconds

    @property
    def severity(self) -> int:
        """Where it stands in a table that is sorted by verdict."""
        return SEVERITY.index(self.claim.verdict)

    @property
    def slack(self) -> float:
        """Where it stands in a table that is sorted by the room to the bound."""
        return slack(self.telling.finding) if self.telling else float("1e9")


def sections_of(evidence: Evidence, shaken: Sequence[ClaimEvidence]) -> list[Section]:
    """A section for each claim, in the order of the documents: figures, laws, reviewers' questions.

    Raises:
        ValueError: a figure is not one, a record is not that of a claim, or two claims have one id.
    """
    ids = [claim.id for claim in evidence.claims]
    if len(set(ids)) < len(ids):
        raise ValueError("two claims have the same id")
    fallen = {claim.id for claim in shaken}
    sources = {claim.id: Source.of(claim.source) for claim in evidence.claims}
    groups = ("figures", "laws", "reviewers", "others")
    ordered = sorted(
        evidence.claims, key=lambda claim: (groups.index(sources[claim.id].group), sources[claim.id].order, claim.id)
    )
    return [
        _section(claim, number, evidence, sources[claim.id], claim.id not in fallen)
        for number, claim in enumerate(ordered, 1)
    ]


def _section(claim: ClaimEvidence, number: int, evidence: Evidence, source: Source, jointly: bool) -> Section:
    telling = telling_first(claim.findings, claim.verdict)
    first = telling[0] if telling else None
    shown, folded = _shown(claim)
    settings = settings_of(claim, evidence)
    return Section(
        claim=claim,
        number=number,
        source=source,
        question=_question(claim),
        differs=claim.registered.differs.get("literal" if claim.literal else evidence.scale, ""),
        answer=answer(claim),
        telling=first,
        forest=_forest(first, claim) if first else Markup(""),
        message=_message(claim),
        standing=_standing(claim, evidence),
        looked=looked(claim),
        jointly=jointly,
        off_theory=[one.name for one in claim.findings if one.verdict is Verdict.REPRODUCED and off_theory(one)],
        shown=shown,
        folded=folded,
        controls=[(control, of_control(control)) for control in claim.controls],
        looks=[LookText(look, _at_look(look, first)) for look in claim.looks],
        undecided=_undecided(claim, evidence),
        figures=parsed(claim.figures, f"figure-{number}", f"the claim {claim.id!r}"),
        settings=settings,
        file=claim.file or file_name(claim.id),
        file_address=file_address(claim, evidence.provenance),
        elsewhere=_elsewhere(claim, evidence.scale),
        command=command(claim, evidence),
        csv=as_csv(claim.findings),
    )


def parsed(figures: Sequence[str], prefix: str, owner: str) -> list[Figure]:
    """Figures made fit to stand in the page.

    Args:
        figures: SVG texts.
        prefix: stands before every id in them.
        owner: whose figures they are, for the message about one that is no figure.
    """
    done = []
    for number, text in enumerate(figures, 1):
        try:
            done.append(Figure.parse(text, prefix=f"{prefix}-{number}-"))
        except ValueError as error:
            raise ValueError(f"figure {number} of {owner} is {error}") from None
    return done


def as_csv(findings: Sequence[FindingEvidence]) -> str:
    """Findings as a table, with every digit."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in findings:
        ends = (*one.interval, *one.accepted)
        values = (one.expected, one.margin, one.n, one.p, one.p_refuted, one.alpha, one.verdict)
        writer.writerow((one.name, one.estimate, *ends, *values))
    return written.getvalue()


def _question(claim: ClaimEvidence) -> str:
    """The claim as a question: the registered one, or its title with a question mark."""
    asked = claim.registered.question or claim.title
    return asked if asked.endswith("?") else f"{asked}?"


def _shown(claim: ClaimEvidence) -> tuple[list[FindingText], list[FindingText]]:
    """The findings to show, and those to fold away; both in the order in which they were registered."""
    texts = finding_texts(claim.findings)
    reproduced = [one for one in nearest_first(claim.findings) if one.verdict is Verdict.REPRODUCED]
    room = max(MOST_SHOWN - (len(texts) - len(reproduced)), 1)
    hidden = {one.name for one in reproduced[room:]} if len(texts) > MOST_SHOWN + 1 else set()
    return [one for one in texts if one.finding.name not in hidden], [
        one for one in texts if one.finding.name in hidden
    ]


def _forest(text: FindingText, claim: ClaimEvidence) -> Markup:
    """The finding drawn, with the one that decided the first control."""
    controls = [telling_first(control.findings, control.verdict) for control in claim.controls if control.findings]
    control = controls[0][0] if controls else None
    label = f"{text.sentence}; control: {control.sentence}" if control else text.sentence
    return forest_line(text.finding, control.finding if control else None, label)


def _message(claim: ClaimEvidence) -> str:
    """The message of a run about a claim, unless it is told in full elsewhere."""
    text = printable(claim.message).strip()
    told = claim.verdict is Verdict.INCONCLUSIVE or text.rstrip(". ") in answer(claim)
    return "" if told else text


def _standing(claim: ClaimEvidence, evidence: Evidence) -> str:
    if not claim.looks:
        return ""
    parts = (looked(claim), tries(claim, evidence.scale, evidence.seed))
    return "; ".join(part for part in parts if part)


def _at_look(look: Look, telling: FindingText | None) -> str:
    """What a look found of the finding that mattered most in the end."""
    texts = {text.finding.name: text for text in finding_texts(look.findings)}
    if telling is None or telling.finding.name not in texts:
        undecided = ", ".join(f"{name}: {verdict}" for name, verdict in look.controls.items())
        return undecided or "–"
    text = texts[telling.finding.name]
    return f"{text.estimate} ({text.interval})"


def _undecided(claim: ClaimEvidence, evidence: Evidence) -> list[str]:
    """Why the claim is undecided; empty where it is not."""
    if claim.verdict is not Verdict.INCONCLUSIVE:
        return []
    names = [f"“{text.finding.name}”" for text in telling_first(claim.findings, claim.verdict) if text.remark]
    told = []
    if names:
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        told.append(f"The interval reaches over a bound of the accepted range, for {' and '.join(names[:2])}{more}.")
    # What a run says of itself first repeats that.
    if claim.message and not claim.message.startswith("undecided:"):
        told.append(f"{sentence_case(printable(claim.message).strip().rstrip('.'))}.")
    if told:
        told.append(f"{sentence_case(to_decide(claim, evidence))}.")
    return told


def _elsewhere(claim: ClaimEvidence, scale: str) -> list[Attempt]:
    last = {attempt.scale: attempt for attempt in claim.history.attempts if attempt.scale != scale}
    return list(last.values())
