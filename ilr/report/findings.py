"""A finding in words and numbers: what the HTML page and the JUnit XML both say about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ilr.report.evidence import FindingEvidence, Range
from ilr.report.numbers import measured, p_value, places, registered
from ilr.stats.decision import Verdict, holm


@dataclass(frozen=True)
class FindingText:
    """One finding, and its numbers as text."""

    finding: FindingEvidence
    estimate: str
    interval: str
    expected: str
    accepted: str
    p: str
    """p-value of the hypothesis that the truth lies outside the accepted range."""
    p_refuted: str
    """The same, after Holm's correction, of the hypothesis that it lies inside."""
    remark: str
    """What would decide an INCONCLUSIVE finding; empty otherwise."""
    corrected: int
    """Over how many findings Holm's correction runs."""

    @property
    def expected_is_told(self) -> bool:
        """Whether the expected value is neither the bound itself nor the middle of the accepted range."""
        return None in self.finding.accepted and self.finding.margin > 0

    @property
    def sentence(self) -> str:
        """The finding in one line of plain text."""
        remark = f"; {self.remark}" if self.remark else ""
        return (
            f"{self.finding.name}: {self.finding.verdict}, estimate {self.estimate}, interval {self.interval}, "
            f"accepted {self.accepted}, n = {self.finding.n}{remark}"
        )


def finding_texts(findings: Sequence[FindingEvidence]) -> list[FindingText]:
    """All findings of one claim or control; together, for Holm's correction runs over all of them."""
    # The evidence keeps the uncorrected p-values; the verdict was decided on these. To be REPRODUCED all findings must
    # pass, which needs no correction.
    corrected = holm([finding.p_refuted for finding in findings])
    return [_text(finding, p_refuted, len(findings)) for finding, p_refuted in zip(findings, corrected, strict=True)]


def _text(finding: FindingEvidence, p_refuted: float, corrected: int) -> FindingText:
    width = _shown_width(finding)
    return FindingText(
        finding=finding,
        estimate=measured(finding.estimate, width),
        interval=_span(finding.interval, lambda end: measured(end, width)),
        expected=registered(finding.expected, finding.margin),
        accepted=_span(finding.accepted, lambda end: registered(end, finding.margin)),
        p=p_value(finding.p, finding.alpha),
        p_refuted=p_value(p_refuted, finding.alpha),
        remark=_remark(finding),
        corrected=corrected,
    )


def _span(ends: Range, words: Callable[[float], str]) -> str:
    """A range between two numbers in words, either end of which may be open."""
    low, high = (None if end is None else words(end) for end in ends)
    if low is None:
        return "any value" if high is None else f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _shown_width(finding: FindingEvidence) -> float:
    """The width that decides how many digits the estimate and its interval are shown with; 0 for four of their own."""
    ends = [end for end in finding.interval if end is not None]
    width = 0.0
    if len(ends) == 2:
        width = max(ends) - min(ends)
    elif len(ends) == 1:
        # With one end open the estimate stands in for the middle.
        width = 2 * abs(ends[0] - finding.estimate)
    if not width:
        return 0.0
    # Five digits are plenty, however narrow the interval.
    width = min(max(width, 1e-3 * abs(finding.estimate)), 1e300)
    # An end just beside the accepted range must not be rounded onto its bound: that would hide why the verdict fell.
    bounds = [bound for bound in finding.accepted if bound is not None]
    while any(_collide(end, bound, width) for end in ends for bound in bounds):
        width /= 10
    return width


def _collide(end: float, bound: float, width: float) -> bool:
    """Whether two different numbers look the same with the digits that a width deserves."""
    decimals = places(width)
    # Beyond twelve places the difference is rounding error of the numbers themselves.
    return decimals < 12 and end != bound and round(end, decimals) == round(bound, decimals)


def _remark(finding: FindingEvidence) -> str:
    if finding.verdict is not Verdict.INCONCLUSIVE:
        return ""
    if finding.replicas_needed is None:
        return "no practical number of replicas would decide"
    return f"would need n = {finding.replicas_needed:,} replicas"
