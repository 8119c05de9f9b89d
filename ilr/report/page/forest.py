"""One line of the forest plot: a claim's most telling finding, and what its control did, on the common scale."""

from markupsafe import Markup

from ilr.report.evidence import FindingEvidence
from ilr.report.page.common_scale import scale_of

_WIDTH, _HEIGHT = 240.0, 26.0
_MIDDLE = _HEIGHT / 2
_SHOWN = 2.0
"""The drawing shows the scale from minus this to this; what lies further out is an arrow at its edge."""


def forest_line(finding: FindingEvidence, control: FindingEvidence | None, label: str) -> Markup:
    """The finding drawn: its accepted range a band, its interval a line, its estimate a dot; the control hollow.

    Args:
        finding: of the claim.
        control: a finding of its control, which is drawn on its own scale.
        label: says the same in words.
    """
    scale = scale_of(finding)
    parts = [*_band(finding)]
    if control is not None:
        parts.append(_mark(scale_of(control)(control.estimate), "control", 4.5))
    ends = [None if end is None else scale(end) for end in finding.interval]
    # Where only the upper end is bounded, the scale runs the other way.
    low, high = reversed(ends) if finding.accepted[0] is None and finding.accepted[1] is not None else ends
    left, right = (-_SHOWN if low is None else low), (_SHOWN if high is None else high)
    if left < _SHOWN and right > -_SHOWN:
        parts.append(Markup('<path class="interval" d="M{:.1f} {:.1f}H{:.1f}"/>').format(_x(left), _MIDDLE, _x(right)))
    parts.append(_mark(scale(finding.estimate), "estimate", 4.5))
    return Markup('<svg class="forest" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("").join(parts)
    )


def _x(position: float) -> float:
    """Where a position on the common scale stands in the drawing."""
    inside = min(max(position, -_SHOWN), _SHOWN)
    return _WIDTH / 2 + inside / _SHOWN * (_WIDTH / 2 - 8)


def _band(finding: FindingEvidence) -> list[Markup]:
    """The accepted range, with its expected middle, or open to the right."""
    two_sided = None not in finding.accepted
    left, right = _x(-1), _x(1) if two_sided else _WIDTH
    parts = [
        Markup('<rect class="accepted" x="{:.1f}" y="3" width="{:.1f}" height="{:.1f}"/>').format(
            left, right - left, _HEIGHT - 6
        )
    ]
    ends = (left, right) if two_sided else (left,)
    parts += [Markup('<path class="bound" d="M{:.1f} 3V{:.1f}"/>').format(end, _HEIGHT - 3) for end in ends]
    if two_sided:
        parts.append(Markup('<path class="expected" d="M{:.1f} 1V{:.1f}"/>').format(_x(0), _HEIGHT - 1))
    return parts


def _mark(position: float, kind: str, radius: float) -> Markup:
    """A dot, or an arrow at the edge for what lies beyond it."""
    if abs(position) <= _SHOWN:
        return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>').format(
            kind, _x(position), _MIDDLE, radius
        )
    tip, back = (_WIDTH - 1, _WIDTH - 9) if position > 0 else (1, 9)
    return Markup('<path class="{}" d="M{:g} {:g}L{:g} {:g}L{:g} {:g}Z"/>').format(
        kind, back, _MIDDLE - 5, tip, _MIDDLE, back, _MIDDLE + 5
    )
