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


def interval_plot(finding: FindingEvidence) -> Markup:
    """The finding drawn: accepted range a band, interval a line (open end: arrow), estimate a dot, expected a tick.

    Every part is told apart by its shape, so the drawing needs no colour. It has no name of its own: the cells of the
    table around it say the same in numbers.
    """
    x = _scale(finding)
    is_bound = None in finding.accepted and not finding.margin
    parts = [
        *_band(_ends(finding.accepted, x)),
        # A bound without a margin is drawn as the end of the band already.
        *([] if is_bound else [_path("expected", f"M{_told(x(finding.expected))} 2v{_told(_HEIGHT - 4)}")]),
        _path("interval", _whiskers(_ends(finding.interval, x))),
        Markup('<circle class="estimate" cx="{}" cy="{}" r="4"/>').format(_told(x(finding.estimate)), _told(_MIDDLE)),
    ]
    return Markup('<svg class="plot" viewBox="0 0 {:g} {:g}" aria-hidden="true">{}</svg>').format(
        _WIDTH, _HEIGHT, Markup("").join(parts)
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
    band = Markup('<rect class="accepted" x="{}" y="4" width="{}" height="{}"/>')
    bounds = "".join(f"M{_told(end)} 4v{_told(_HEIGHT - 8)}" for end in ends if end is not None)
    return [
        band.format(_told(left), _told(right - left), _told(_HEIGHT - 8)),
        *([_path("bound", bounds)] if bounds else []),
    ]


def _whiskers(ends: Range) -> str:
    """A line from end to end, with a cap at each, or an arrow where it is open."""
    low, high = ends
    left = 1.0 if low is None else low
    right = _WIDTH - 1 if high is None else high
    line = f"M{_told(left)} {_told(_MIDDLE)}H{_told(right)}"
    return line + _end(left, _ARROW if low is None else 0.0) + _end(right, -_ARROW if high is None else 0.0)


def _end(tip: float, back: float) -> str:
    """A cap, or an arrow whose ends lie that far from its tip."""
    upper, lower = _told(_MIDDLE - _CAP), _told(_MIDDLE + _CAP)
    if not back:
        return f"M{_told(tip)} {upper}V{lower}"
    return f"M{_told(tip + back)} {upper}L{_told(tip)} {_told(_MIDDLE)}L{_told(tip + back)} {lower}"


def _path(kind: str, data: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, data)


def _told(place: float) -> str:
    """A place to a tenth of a pixel."""
    return f"{place:.1f}".removesuffix(".0")
