"""The drawing of one finding: its interval against the range accepted, as a small inline SVG."""

import math
from collections.abc import Callable

from markupsafe import Markup

from ilr.report.evidence import FindingEvidence, Range

_WIDTH = 240.0
_HEIGHT = 34.0
_MIDDLE = _HEIGHT / 2
_INSET = 10.0
_INSET_OPEN = 34.0
"""Room beyond the outermost value where the interval or the accepted range is open, to show that it goes on."""
_ARROW = 7.0
_CAP = 6.0


def interval_plot(finding: FindingEvidence, label: str) -> Markup:
    """The finding drawn: accepted range a band, interval a line (open end: arrow), estimate a dot, expected a tick.

    Every part is told apart by its shape, so the drawing needs no colour; `label` says the same in words.
    """
    x = _scale(finding)
    expected = x(finding.expected)
    is_bound = None in finding.accepted and not finding.margin
    parts = [
        *_band(_ends(finding.accepted, x)),
        # A bound without a margin is drawn as the end of the band already.
        *([] if is_bound else [_line("expected", expected, 2, expected, _HEIGHT - 2)]),
        *_whiskers(_ends(finding.interval, x)),
        Markup('<circle class="estimate" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x(finding.estimate), _MIDDLE),
    ]
    return Markup('<svg class="plot" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("").join(parts)
    )


def _scale(finding: FindingEvidence) -> Callable[[float], float]:
    """The map from the finding's values to horizontal positions in its drawing."""
    lower_ends, upper_ends = zip(finding.interval, finding.accepted, strict=True)
    left = _INSET_OPEN if None in lower_ends else _INSET
    right = _INSET_OPEN if None in upper_ends else _INSET
    known = [end for end in lower_ends + upper_ends if end is not None]
    known += [finding.estimate, finding.expected]
    low, high = min(known), max(known)
    # The whole span of two huge numbers is infinite.
    unit = 1.0 if math.isfinite(high - low) else 0.25
    span = high * unit - low * unit

    def position(value: float) -> float:
        # Values that all coincide stand in the middle.
        share = (value * unit - low * unit) / span if span > 0 else 0.5
        return left + share * (_WIDTH - left - right)

    return position


def _ends(ends: Range, x: Callable[[float], float]) -> Range:
    """The ends of a range as positions."""
    low, high = ends
    return None if low is None else x(low), None if high is None else x(high)


def _band(ends: Range) -> list[Markup]:
    low, high = ends
    left = 0.0 if low is None else low
    right = _WIDTH if high is None else high
    # A range that is narrow beside its interval still has to be seen.
    if right - left < 2:
        left, right = (left + right) / 2 - 1, (left + right) / 2 + 1
    band = Markup('<rect class="accepted" x="{:.1f}" y="4" width="{:.1f}" height="{:.1f}"/>')
    bounds = [_line("bound", end, 4, end, _HEIGHT - 4) for end in ends if end is not None]
    return [band.format(left, right - left, _HEIGHT - 8), *bounds]


def _whiskers(ends: Range) -> list[Markup]:
    low, high = ends
    left = 1.0 if low is None else low
    right = _WIDTH - 1 if high is None else high
    return [
        _line("interval", left, _MIDDLE, right, _MIDDLE),
        _arrow(left, left + _ARROW) if low is None else _cap(left),
        _arrow(right, right - _ARROW) if high is None else _cap(right),
    ]


def _cap(x: float) -> Markup:
    return _line("interval", x, _MIDDLE - _CAP, x, _MIDDLE + _CAP)


def _arrow(tip: float, back: float) -> Markup:
    points = f"{back:.1f},{_MIDDLE - _CAP:.1f} {tip:.1f},{_MIDDLE:.1f} {back:.1f},{_MIDDLE + _CAP:.1f}"
    return Markup('<polyline class="interval" points="{}"/>').format(points)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    line = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return line.format(kind, x1, y1, x2, y2)
