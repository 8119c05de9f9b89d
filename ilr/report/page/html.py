"""The page of a run: `render_html` makes one self-contained HTML file of the evidence."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec.structs import asdict

from ilr.report.evidence import Attempt, ClaimEvidence, Evidence
from ilr.report.findings import FindingText, finding_texts
from ilr.report.numbers import duration, measured, registered, size
from ilr.report.page import overview, sources
from ilr.report.page.intervals import interval_plot
from ilr.report.page.sections import parsed, sections_of
from ilr.report.page.sentences import of_run, spaced
from ilr.report.standing import shaken
from ilr.report.svg.points import in_groups
from ilr.report.text import plural, printable
from ilr.stats.decision import Verdict


def render_html(evidence: Evidence) -> str:
    """The page: it loads nothing from elsewhere, reads without its script, and says nothing that the evidence does not.

    Raises:
        ValueError: a figure is not an SVG file, or a record is not that of a claim; in one line.
    """
    fallen = shaken(evidence.claims)
    sections = sections_of(evidence, fallen)
    script = (files("ilr.report.page") / "templates" / "page.js").read_text(encoding="utf-8")
    page = environment().get_template("page.html.j2")
    text = page.render(
        evidence=evidence,
        sections=sections,
        titles=Counter(claim.title for claim in evidence.claims),
        appendix=parsed(evidence.appendix, "appendix", "the appendix"),
        told=of_run(evidence.claims, fallen),
        tally=tally(evidence.claims),
        fallen=fallen,
        attention=overview.attention(evidence),
        facts=overview.facts(evidence),
        warnings=overview.warnings(evidence),
        scale_says=overview.scale_says(evidence.scale),
        groups={key: name for key, name in sources.GROUPS.items() if any(one.source.group == key for one in sections)},
        documents=sources,
        repository=sources.repository_address(evidence.provenance),
        alphas=sorted({one.alpha for claim in evidence.claims for one in claim.registered.predictions}),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    # Names may hold characters that no page can show.
    return printable(text)


def tally(claims: Sequence[ClaimEvidence]) -> list[tuple[int, Verdict]]:
    """How many claims came to which verdict; a verdict that no claim came to is left out."""
    counts = Counter(claim.verdict for claim in claims)
    return [(counts[verdict], verdict) for verdict in Verdict if counts[verdict]]


def environment() -> Environment:
    """Where the page's templates are found, and what they can say."""
    made = Environment(
        loader=PackageLoader("ilr.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "by_regime": _by_regime,
        "bytes": size,
        "date": overview.date,
        "duration": duration,
        "fields": asdict,
        "in_groups": in_groups,
        "in_words": finding_texts,
        "looks": _looks,
        "measured": measured,
        "paragraphs": lambda text: text.strip().split("\n\n"),
        "plot": _plot,
        "printable": printable,
        "registered": registered,
        "spaced": spaced,
    }
    made.globals["plural"] = plural
    return made


def _by_regime(attempts: Sequence[Attempt]) -> list[tuple[str, list[Attempt]]]:
    """Attempts in their order, those in a row under one regime together."""
    return [(regime, list(group)) for regime, group in groupby(attempts, key=lambda attempt: attempt.regime)]


def _looks(replicas: int | Sequence[int] | None) -> str:
    """Registered numbers of replicas in words, one for each look."""
    if replicas is None:
        return "–"
    return str(replicas) if isinstance(replicas, int) else ", then ".join(str(n) for n in replicas)


def _plot(text: FindingText) -> Markup:
    return interval_plot(text.finding)
