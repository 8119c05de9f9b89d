"""The page of a run: `render_html` makes one self-contained HTML file of the evidence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec.structs import asdict

from ilr.report.evidence import ClaimEvidence, Evidence, ExperimentEvidence
from ilr.report.findings import FindingText, finding_texts, rules
from ilr.report.inline_svg import Figure
from ilr.report.intervals import interval_plot
from ilr.report.numbers import duration, registered, size
from ilr.report.standing import looked, shaken, tries
from ilr.report.text import printable
from ilr.stats.decision import Verdict


@dataclass(frozen=True)
class Section:
    """What the page's section on one claim needs beside the claim itself."""

    figures: Sequence[Figure]
    standing: str
    """How far it looked, and which try it is."""
    accepted: Mapping[str, str]
    """The range accepted for each quantity that was found, in words."""
    experiments: Sequence[tuple[str, ExperimentEvidence | None]]
    """Digest and description of each; `None` for one that did not get as far as being recorded."""

    @property
    def replicas(self) -> int:
        """Replicas of all experiments together."""
        return sum(experiment.replicas for _, experiment in self.experiments if experiment)

    @property
    def training(self) -> float:
        """Training time of all experiments together, in seconds."""
        return sum(experiment.seconds for _, experiment in self.experiments if experiment)


def render_html(evidence: Evidence) -> str:
    """The page: no script, nothing loaded from elsewhere, and nothing said that the evidence does not hold.

    Raises:
        ValueError: a figure is not an SVG file, or a record is not that of a claim.
    """
    predictions = [prediction for claim in evidence.claims for prediction in claim.registered.predictions]
    page = _environment().get_template("template.html.j2")
    return page.render(
        evidence=evidence,
        appendix=_parsed(evidence.appendix, "appendix", "the appendix"),
        sections=[_section(claim, number, evidence) for number, claim in enumerate(evidence.claims, 1)],
        tally=tally(evidence.claims),
        shaken=shaken(evidence.claims),
        as_registered=all(claim.as_registered for claim in evidence.claims),
        alphas=sorted({prediction.alpha for prediction in predictions}),
    )


def tally(claims: Sequence[ClaimEvidence]) -> list[tuple[int, Verdict]]:
    """How many claims came to which verdict; a verdict that no claim came to is left out."""
    counts = Counter(claim.verdict for claim in claims)
    return [(counts[verdict], verdict) for verdict in Verdict if counts[verdict]]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ilr.report", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": size,
        "date": _date,
        "duration": duration,
        "fields": asdict,
        "in_words": finding_texts,
        "looks": _looks,
        "paragraphs": lambda text: text.strip().split("\n\n"),
        "plot": _plot,
        "printable": printable,
        "registered": registered,
        "rules": rules,
        "zip": lambda left, right: zip(left, right, strict=True),
    }
    return environment


def _date(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _looks(replicas: int | Sequence[int] | None) -> str:
    """Registered numbers of replicas in words, one for each look."""
    if replicas is None:
        return "–"
    return str(replicas) if isinstance(replicas, int) else ", then ".join(str(n) for n in replicas)


def _plot(text: FindingText) -> Markup:
    return interval_plot(text.finding, f"{text.sentence}, expected {text.expected}")


def _section(claim: ClaimEvidence, number: int, evidence: Evidence) -> Section:
    return Section(
        figures=_parsed(claim.figures, f"figure-{number}", f"the claim {claim.id!r}"),
        standing=_standing(claim, evidence),
        accepted={text.finding.name: text.accepted for text in finding_texts(claim.findings)},
        experiments=[(digest, evidence.experiments.get(digest)) for digest in claim.experiments],
    )


def _standing(claim: ClaimEvidence, evidence: Evidence) -> str:
    if not claim.looks:
        return ""
    parts = (looked(claim), tries(claim, evidence.scale, evidence.seed))
    return "; ".join(part for part in parts if part)


def _parsed(figures: Sequence[str], prefix: str, owner: str) -> list[Figure]:
    """Figures made fit to stand in the page.

    Args:
        figures: SVG texts.
        prefix: stands before every id in them.
        owner: whose figures they are, for the message about one that is no figure.
    """
    parsed = []
    for number, text in enumerate(figures, 1):
        try:
            parsed.append(Figure.parse(text, prefix=f"{prefix}-{number}-"))
        except ValueError as error:
            raise ValueError(f"figure {number} of {owner} is {error}") from None
    return parsed
