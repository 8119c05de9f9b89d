"""The page of a run: `render_html` makes one self-contained HTML file of the evidence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ilr.report.findings import Row, rows, rules
from ilr.report.inline_svg import Figure
from ilr.report.intervals import interval_plot
from ilr.report.numbers import duration, registered, size
from ilr.report.standing import shaken
from ilr.report.text import printable
from ilr.stats.decision import Verdict

# Drawn, not characters, so that a verdict's sign looks the same whatever fonts the reader has.
_ICONS = {
    Verdict.REPRODUCED: "M3.5 8.5l3 3 6-7",
    Verdict.REFUTED: "M4 4l8 8M12 4l-8 8",
    Verdict.INCONCLUSIVE: "M2.5 9.5c2-4 4-4 5.5-1.5s3.5 2.5 5.5-1.5",
    Verdict.UNSOUND: "M8 2.5l6 10.5H2zM8 6.5v3M8 11.2v.1",
    Verdict.ERROR: "M8 3v6M8 12.4v.1",
    Verdict.NOT_RUN: "M3.5 8h9",
}


@dataclass(frozen=True)
class Section:
    """What the page's section on one claim needs beside the claim itself."""

    figures: Sequence[Figure]
    accepted: Mapping[str, str]
    """The range accepted for each quantity that was found, in words."""
    experiments: Sequence[tuple[str, Mapping[str, Any] | None]]
    """Digest and description of each; `None` for one that did not get as far as being recorded."""

    @property
    def replicas(self) -> int:
        """Replicas of all experiments together."""
        return sum(experiment["replicas"] for _, experiment in self.experiments if experiment)

    @property
    def training(self) -> float:
        """Training time of all experiments together, in seconds."""
        return float(sum(experiment["seconds"] for _, experiment in self.experiments if experiment))


def render_html(evidence: Mapping[str, Any]) -> str:
    """The page: no script, nothing loaded from elsewhere, and nothing said that the evidence does not hold.

    Raises:
        ValueError: a figure is not an SVG file.
    """
    claims = evidence["claims"]
    page = _environment().get_template("template.html.j2")
    return page.render(
        evidence=evidence,
        appendix=_parsed(evidence["appendix"], "appendix"),
        sections=[_section(claim, number, evidence["experiments"]) for number, claim in enumerate(claims, 1)],
        tally=tally(claims),
        shaken=shaken(claims),
        alphas=sorted({prediction["alpha"] for claim in claims for prediction in claim["record"]["predictions"]}),
    )


def tally(claims: Sequence[Mapping[str, Any]]) -> list[tuple[int, Verdict]]:
    """How many claims came to which verdict; a verdict that no claim came to is left out."""
    counts = Counter(Verdict(claim["verdict"]) for claim in claims)
    return [(counts[verdict], verdict) for verdict in Verdict if counts[verdict]]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ilr.report", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["icons"] = _ICONS
    environment.filters |= {
        "bytes": size,
        "date": _date,
        "duration": duration,
        "findings": _drawn,
        "paragraphs": lambda text: text.strip().split("\n\n"),
        "printable": printable,
        "registered": registered,
        "rules": rules,
        "zip": lambda left, right: zip(left, right, strict=True),
    }
    return environment


def _date(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _drawn(findings: Sequence[Mapping[str, Any]]) -> list[tuple[Row, Markup]]:
    """Each finding in words, and drawn."""
    return [
        (row, interval_plot(finding, f"{row.sentence}, expected {row.expected}"))
        for row, finding in zip(rows(findings), findings, strict=True)
    ]


def _section(claim: Mapping[str, Any], number: int, experiments: Mapping[str, Any]) -> Section:
    return Section(
        figures=_parsed(claim["figures"], f"figure-{number}", f" of the claim {claim['id']!r}"),
        accepted={row.name: row.accepted for row in rows(claim["findings"])},
        experiments=[(digest, experiments.get(digest)) for digest in claim["experiments"]],
    )


def _parsed(figures: Sequence[str], prefix: str, of: str = " of the appendix") -> list[Figure]:
    parsed = []
    for i, text in enumerate(figures, 1):
        try:
            parsed.append(Figure.parse(text, prefix=f"{prefix}-{i}-"))
        except ValueError as error:
            raise ValueError(f"figure {i}{of} is {error}") from None
    return parsed
