"""The drawing of one finding: its interval against the range accepted, as a small inline SVG."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

_WIDTH = 240.0
_HEIGHT = 34.0
_MIDDLE = _HEIGHT / 2
_INSET = 10.0
_INSET_OPEN = 34.0
"""Room beyond the outermost value where the interval or the accepted range is open, to show that it goes on."""
_ARROW = 7.0
_CAP = 6.0


def interval_plot(finding: Mapping[str, Any], label: str) -> Markup:
    """The finding drawn: accepted range a band, interval a line (open end: arrow), estimate a dot, expected a tick.

    Every part is told apart by its shape, so the drawing needs no colour; `label` says the same in words.
    """
    x = _scale(finding)
    low, high = finding["interval"]
    parts = [
        *_band(*(None if end is None else x(end) for end in finding["accepted"])),
        _line("expected", x(finding["expected"]), 2, x(finding["expected"]), _HEIGHT - 2),
        *_whiskers(None if low is None else x(low), None if high is None else x(high)),
        Markup('<circle class="estimate" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x(finding["estimate"]), _MIDDLE),
    ]
    return Markup('<svg class="plot" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("").join(parts)
    )


def _scale(finding: Mapping[str, Any]) -> Callable[[float], float]:
    """The map from the finding's values to horizontal positions in its drawing."""
    values = [finding["estimate"], finding["expected"], *finding["interval"], *finding["accepted"]]
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    left, right = (
        _INSET_OPEN if finding["interval"][side] is None or finding["accepted"][side] is None else _INSET
        for side in (0, 1)
    )

    def position(value: float) -> float:
        return left + ((value - low) / (high - low) if low < high else 0.5) * (_WIDTH - left - right)

    return position


def _band(low: float | None, high: float | None) -> list[Markup]:
    left, right = 0.0 if low is None else low, _WIDTH if high is None else high
    # A range that is narrow beside its interval still has to be seen.
    if right - left < 2:
        left, right = (left + right) / 2 - 1, (left + right) / 2 + 1
    band = Markup('<rect class="accepted" x="{:.1f}" y="4" width="{:.1f}" height="{:.1f}"/>')
    bounds = [_line("bound", end, 4, end, _HEIGHT - 4) for end in (low, high) if end is not None]
    return [band.format(left, right - left, _HEIGHT - 8), *bounds]


def _whiskers(low: float | None, high: float | None) -> list[Markup]:
    left, right = 1.0 if low is None else low, _WIDTH - 1 if high is None else high
    return [
        _line("interval", left, _MIDDLE, right, _MIDDLE),
        _cap(left) if low is not None else _arrow(left, left + _ARROW),
        _cap(right) if high is not None else _arrow(right, right - _ARROW),
    ]


def _cap(x: float) -> Markup:
    return _line("interval", x, _MIDDLE - _CAP, x, _MIDDLE + _CAP)


def _arrow(tip: float, back: float) -> Markup:
    points = f"{back:.1f},{_MIDDLE - _CAP:.1f} {tip:.1f},{_MIDDLE:.1f} {back:.1f},{_MIDDLE + _CAP:.1f}"
    return Markup('<polyline class="interval" points="{}"/>').format(points)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    line = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return line.format(kind, x1, y1, x2, y2)
