"""Findings of every kind on one scale: 0 is what was expected, the accepted range ends at -1 and at 1."""

import math
from collections.abc import Callable, Sequence

from ilr.report.evidence import FindingEvidence

SMALLEST = 1e-300
"""No unit is smaller, so that no division fails."""


def scale_of(finding: FindingEvidence) -> Callable[[float], float]:
    """The map from a finding's values to the common scale.

    Its unit is the margin. A range that is open on one side ends at -1, and is accepted from there to the right; where
    it has no margin the unit is the bound itself, and where the bound is 0 the largest number around.
    """
    low, high = finding.accepted
    if low is not None and high is not None:
        middle, half = low / 2 + high / 2, max(high / 2 - low / 2, SMALLEST)
        return lambda value: _divided(value - middle, half)
    bound = high if low is None else low
    if bound is None:
        return lambda _: 0.0
    known = [abs(value) for value in (finding.estimate, *finding.interval) if value is not None]
    unit = max(finding.margin or abs(bound) or max(known), SMALLEST)
    sign = 1 if low is not None else -1
    return lambda value: -1 + sign * _divided(value - bound, unit)


def slack(finding: FindingEvidence) -> float:
    """How far inside the accepted range the interval ends, in units of the scale; negative where it reaches out."""
    scale = scale_of(finding)
    low, high = (None if end is None else scale(end) for end in finding.interval)
    ends = [finding_end for finding_end in (low, high) if finding_end is not None] or [scale(finding.estimate)]
    if None not in finding.accepted:
        return min(1 - abs(end) for end in ends)
    return min(ends) + 1


def nearest_first(findings: Sequence[FindingEvidence]) -> list[FindingEvidence]:
    """The findings in order of their slack: first the one that is nearest to its bound, or furthest beyond it."""
    return sorted(findings, key=slack)


def off_theory(finding: FindingEvidence) -> bool:
    """Whether the interval leaves out the expected value, which is then a value and no bound: margin is for that."""
    low, high = finding.interval
    if None in finding.accepted or not finding.margin:
        return False
    return (low is not None and low > finding.expected) or (high is not None and high < finding.expected)


def _divided(value: float, unit: float) -> float:
    """The ratio; no number is further out than a million, which no drawing could show anyway."""
    ratio = value / unit if math.isfinite(value) else math.copysign(math.inf, value)
    return min(max(ratio, -1e6), 1e6)
