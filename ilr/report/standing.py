"""Whether the verdicts of a report stand together: Holm's correction over all its claims."""

from collections.abc import Sequence

from ilr.report.evidence import ClaimEvidence
from ilr.stats.decision import holm, p_of_verdict


def shaken(claims: Sequence[ClaimEvidence]) -> list[str]:
    """Titles of the claims whose verdict does not stand after Holm's correction over all decided claims.

    The more claims a report judges, the likelier it is that some verdict is false; this is for a reader who wants the
    error rate to hold for all of them at once.
    """
    decided = [(claim, p) for claim in claims if (p := _p_of(claim)) is not None]
    corrected = holm([p for _, p in decided])
    # Where its predictions differ in α, a claim has to meet the strictest.
    return [
        claim.title
        for (claim, _), p in zip(decided, corrected, strict=True)
        if p > min(finding.alpha for finding in claim.findings)
    ]


def _p_of(claim: ClaimEvidence) -> float | None:
    findings = claim.findings
    return p_of_verdict(claim.verdict, [finding.p for finding in findings], [finding.p_refuted for finding in findings])
