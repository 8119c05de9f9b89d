"""What a verdict is worth beside others: those of the same report, and those of earlier tries at the same claim."""

from collections.abc import Sequence
from itertools import pairwise

from ilr.report.evidence import ClaimEvidence
from ilr.stats.decision import holm, p_of_verdict


def shaken(claims: Sequence[ClaimEvidence]) -> list[ClaimEvidence]:
    """The claims whose verdict does not stand after Holm's correction over all decided claims.

    The more claims a report judges, the likelier it is that some verdict is false; this is for a reader who wants the
    error rate to hold for all of them at once.
    """
    decided = [(claim, p) for claim in claims if (p := _p_of(claim)) is not None]
    corrected = holm([p for _, p in decided])
    # Where its predictions differ in α, a claim has to meet the strictest.
    return [
        claim
        for (claim, _), p in zip(decided, corrected, strict=True)
        if p > _looks(claim) * min(finding.alpha for finding in claim.findings)
    ]


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
TIMES = ("never", "once", "twice")


def tries(claim: ClaimEvidence, scale: str, seed: int) -> str:
    """Which try at the claim this is at its scale, and how often its regime has changed: "third try, regime changed
    twice".

    A try is a judged run; a variation of the claim is none. The same seed with the same regime is the same run again,
    and counts once.

    Args:
        claim: with the history that was known when it was judged.
        scale: of the run.
        seed: of the run.
    """
    if claim.variation:
        return ""
    regimes = []
    for attempt in claim.history.attempts:
        repeated = attempt.seed == seed and attempt.regime == claim.regime
        if attempt.scale == scale and not repeated:
            regimes.append(attempt.regime)
    regimes.append(claim.regime)
    number, changes = len(regimes), sum(before != after for before, after in pairwise(regimes))
    ordinal = ORDINALS[number - 1] if number <= len(ORDINALS) else _ordinal(number)
    if number == 1:
        return "first try"
    return f"{ordinal} try, regime {'never changed' if not changes else f'changed {_times(changes)}'}"


def looked(claim: ClaimEvidence) -> str:
    """How far the claim looked: "look 2 of 4, n = 32"; empty where it was not judged, or evidence is too old to say."""
    if not claim.looks or not claim.looks_planned:
        return ""
    text = f"look {len(claim.looks)} of {len(claim.looks_planned)}, n = {claim.looks[-1].n}"
    if claim.literal:
        text += ", literal lengths"
    if claim.variation:
        text += f", {claim.variation}"
    return text if claim.as_registered else f"{text}, which is not registered"


def _ordinal(number: int) -> str:
    """The number with its ending, of those above ten.

    >>> _ordinal(11), _ordinal(22)
    ('11th', '22nd')
    """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _times(number: int) -> str:
    return TIMES[number] if number < len(TIMES) else f"{number} times"


def _looks(claim: ClaimEvidence) -> int:
    """How many looks share the claim's α out."""
    return max(len(claim.looks_planned), 1)


def _p_of(claim: ClaimEvidence) -> float | None:
    """The p-value of the claim's verdict, for all the looks it may take; `None` without a verdict, or findings."""
    findings = claim.findings
    if not findings:
        return None
    p = p_of_verdict(claim.verdict, [finding.p for finding in findings], [finding.p_refuted for finding in findings])
    return None if p is None else min(1.0, p * _looks(claim))
