"""How many claims were REPRODUCED, as a badge: `badge.svg`, for a README."""

from markupsafe import Markup

from ilr.report.evidence import Evidence
from ilr.report.text import printable
from ilr.stats.decision import Verdict

_CHARACTER = 6.5
"""Width of a character, as the viewer's own font may have it at 11 px."""

_PADDING = 6.0

_COLOURS = {"all": "#2e7d32", "some": "#8a6d00", "bad": "#b3261e"}

_BADGE = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="20" role="img" aria-label="{label}: {text}">'
    "<title>{label}: {text}</title>"
    '<rect width="{width:.0f}" height="20" rx="3" fill="#444"/>'
    '<rect x="{left:.0f}" width="{right:.0f}" height="20" rx="3" fill="{colour}"/>'
    '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
    '<text x="{label_at:.1f}" y="14">{label}</text><text x="{text_at:.1f}" y="14">{text}</text>'
    "</g></svg>\n"
)


def render_badge(evidence: Evidence) -> str:
    """The badge: green where every claim that ran is REPRODUCED, red where one is REFUTED, UNSOUND or an ERROR."""
    verdicts = [claim.verdict for claim in evidence.claims if claim.verdict is not Verdict.NOT_RUN]
    reproduced = verdicts.count(Verdict.REPRODUCED)
    colour = _COLOURS["some"]
    if {Verdict.REFUTED, Verdict.UNSOUND, Verdict.ERROR} & {*verdicts}:
        colour = _COLOURS["bad"]
    elif verdicts and reproduced == len(verdicts):
        colour = _COLOURS["all"]
    label, text = printable(f"claims at {evidence.scale}"), f"{reproduced} of {len(verdicts)} reproduced"
    left, right = _width(label), _width(text)
    return _BADGE.format(
        width=left + right,
        left=left,
        right=right,
        colour=colour,
        label=label,
        text=text,
        label_at=left / 2,
        text_at=left + right / 2,
    )


def _width(text: str) -> float:
    return _CHARACTER * len(text) + 2 * _PADDING
