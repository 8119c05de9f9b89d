"""The numbers of a report as plain rows: one for each finding, and one for each value that a finding rests on."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ilr.report.evidence import ClaimEvidence, Evidence, FindingEvidence, Values

Row = dict[str, Any]
"""A value by column; what does not apply is None."""


def finding_rows(evidence: Evidence) -> Iterator[Row]:
    """Every finding, of controls too: estimate, interval, accepted range, p, n, verdict; an open end is None."""
    for claim in evidence.claims:
        for control, findings, _ in _groups(claim):
            for finding in findings:
                low, high = finding.interval
                accepted_low, accepted_high = finding.accepted
                yield {
                    "claim": claim.id,
                    "control": control,
                    "finding": finding.name,
                    "verdict": str(finding.verdict),
                    "estimate": finding.estimate,
                    "low": low,
                    "high": high,
                    "expected": finding.expected,
                    "margin": finding.margin,
                    "accepted_low": accepted_low,
                    "accepted_high": accepted_high,
                    "rule": _rule(claim, finding.name),
                    "alpha": finding.alpha,
                    "n": finding.n,
                    "p": finding.p,
                    "p_refuted": finding.p_refuted,
                    "replicas_needed": finding.replicas_needed,
                    "claim_verdict": str(claim.verdict),
                    "scale": evidence.scale,
                    "seed": evidence.seed,
                }


def value_rows(evidence: Evidence) -> Iterator[Row]:
    """Every number that a finding was decided on, with the replica it belongs to.

    A rule takes one sample or several, counted from 1: docs/rules.md says which. `place` is where in its sample a value
    stands, such as "3" or "0,3", counted from 0; `replica` is the part of it that counts replicas, and None for a
    sample that has none, such as the times of a regression. Evidence of schema 1 has no values.
    """
    for claim in evidence.claims:
        for control, findings, values in _groups(claim):
            replicas = {finding.name: finding.n for finding in findings}
            for name, samples in values.items():
                for number, sample in enumerate(samples, 1):
                    axis = _replica_axis(sample, replicas.get(name, 1))
                    for place, value in _leaves(sample):
                        yield {
                            "claim": claim.id,
                            "control": control,
                            "finding": name,
                            "rule": _rule(claim, name),
                            "sample": number,
                            "place": ",".join(str(part) for part in place),
                            "replica": None if axis is None else place[axis],
                            "value": value,
                        }


FINDING_COLUMNS = (
    "claim", "control", "finding", "verdict", "estimate", "low", "high", "expected", "margin", "accepted_low",
    "accepted_high", "rule", "alpha", "n", "p", "p_refuted", "replicas_needed", "claim_verdict", "scale", "seed",
)  # fmt: skip
VALUE_COLUMNS = ("claim", "control", "finding", "rule", "sample", "place", "replica", "value")


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Rows as CSV with a header; numbers with all their digits, None as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _groups(claim: ClaimEvidence) -> Iterator[tuple[str, Sequence[FindingEvidence], Values]]:
    """The claim's findings and values under an empty name, then those of each control under its own."""
    yield "", claim.findings, claim.values
    for control in claim.controls:
        yield control.name, control.findings, control.values


def _rule(claim: ClaimEvidence, finding: str) -> str:
    """The name of the rule that was registered for a finding; empty where the record does not say."""
    predictions = claim.record.get("predictions")
    for prediction in predictions if isinstance(predictions, list | tuple) else ():
        if isinstance(prediction, Mapping) and prediction.get("quantity") == finding:
            return str(prediction.get("rule", ""))
    return ""


def _leaves(sample: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The numbers in nested lists, each with its place."""
    if isinstance(sample, list | tuple):
        for index, part in enumerate(sample):
            yield from _leaves(part, (*place, index))
    else:
        yield place, sample


def _replica_axis(sample: Any, n: int) -> int | None:
    """Which axis of a sample counts replicas, of which a decision on it had n at least; None if none does.

    It is the first one, or the second where the sample is a list of groups.
    """
    if not isinstance(sample, list | tuple):
        return None
    if len(sample) >= n:
        return 0
    if sample and all(isinstance(group, list | tuple) and len(group) >= n for group in sample):
        return 1
    return None
