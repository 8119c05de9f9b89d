"""A finding in words and numbers: what the HTML page and the JUnit XML both say about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ilr.report.numbers import measured, p_value, places, registered
from ilr.stats.decision import Verdict, holm


@dataclass(frozen=True)
class Row:
    """One finding, every number already text."""

    name: str
    rule: str
    estimate: str
    interval: str
    expected: str
    accepted: str
    replicas: int
    p: str
    """p-value, after Holm's correction, of the hypothesis that the truth lies outside the accepted range."""
    p_refuted: str
    """The same of the hypothesis that it lies inside."""
    verdict: str
    remark: str
    """What would decide an INCONCLUSIVE finding; empty otherwise."""

    @property
    def sentence(self) -> str:
        """The finding in one line of plain text."""
        remark = f"; {self.remark}" if self.remark else ""
        return (
            f"{self.name}: {self.verdict}, estimate {self.estimate}, interval {self.interval}, "
            f"accepted {self.accepted}, n = {self.replicas}{remark}"
        )


def rows(findings: Sequence[Mapping[str, Any]]) -> list[Row]:
    """All findings of one claim or control; together, for Holm's correction runs over all of them."""
    # The evidence keeps the uncorrected p-values; the verdicts were decided on these.
    corrected = holm([finding["p"] for finding in findings])
    corrected_refuted = holm([finding["p_refuted"] for finding in findings])
    return [
        Row(
            name=finding["name"],
            rule=finding["rule"],
            **_numbers(finding),
            expected=registered(finding["expected"], finding["margin"]),
            accepted=span(*(_text(end, finding["margin"]) for end in finding["accepted"])),
            replicas=finding["n"],
            p=p_value(p, finding["alpha"]),
            p_refuted=p_value(p_refuted, finding["alpha"]),
            verdict=str(finding["verdict"]),
            remark=_remark(finding),
        )
        for finding, p, p_refuted in zip(findings, corrected, corrected_refuted, strict=True)
    ]


def rules(table: Sequence[Row]) -> dict[str, list[str]]:
    """The names of the findings that each rule decided: many findings have one rule, which is then told once."""
    names: dict[str, list[str]] = {}
    for row in table:
        names.setdefault(row.rule, []).append(row.name)
    return names


def span(low: str | None, high: str | None) -> str:
    """A range between two numbers in words, either end of which may be open."""
    match low, high:
        case None, None:
            return "any value"
        case None, end:
            return f"at most {end}"
        case end, None:
            return f"at least {end}"
    return f"{low} to {high}"


def _numbers(finding: Mapping[str, Any]) -> dict[str, str]:
    estimate, interval = finding["estimate"], finding["interval"]
    ends = [end for end in interval if end is not None]
    # With one end open the estimate stands in for the middle.
    width = max(ends) - min(ends) if len(ends) == 2 else 2 * abs(ends[0] - estimate) if ends else 0.0
    if width:
        # Five digits are plenty, however narrow the interval.
        width = max(width, 1e-3 * abs(estimate))
    # An end just beside the accepted range must not be rounded onto its bound: that would hide why the verdict fell.
    bounds = [bound for bound in finding["accepted"] if bound is not None]
    while width and any(_collide(end, bound, width) for end in ends for bound in bounds):
        width /= 10
    return {
        "estimate": measured(estimate, width),
        "interval": span(*(None if end is None else measured(end, width) for end in interval)),
    }


def _collide(end: float, bound: float, width: float) -> bool:
    decimals = places(width)
    # Beyond twelve places the difference is rounding error of the numbers themselves.
    return decimals < 12 and end != bound and round(end, decimals) == round(bound, decimals)


def _text(end: float | None, margin: float) -> str | None:
    return None if end is None else registered(end, margin)


def _remark(finding: Mapping[str, Any]) -> str:
    if finding["verdict"] != Verdict.INCONCLUSIVE:
        return ""
    if (needed := finding["replicas_needed"]) is not None:
        return f"would need n = {needed:,} replicas"
    return "no practical number of replicas would decide"
