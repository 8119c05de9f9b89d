"""Whether the verdicts of a report stand together: Holm's correction over all its claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from ilr.stats.decision import Verdict, holm, p_of_verdict


def shaken(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """Titles of the claims whose verdict does not stand after Holm's correction over all decided claims.

    The more claims a report judges, the likelier it is that some verdict is false; this is for a reader who wants the
    error rate to hold for all of them at once.
    """
    decided: list[tuple[str, float, float]] = []
    for claim in claims:
        findings = claim["findings"]
        p, p_refuted = ([finding[name] for finding in findings] for name in ("p", "p_refuted"))
        whole = p_of_verdict(Verdict(claim["verdict"]), p, p_refuted)
        if whole is not None:
            decided.append((claim["title"], whole, min(finding["alpha"] for finding in findings)))
    corrected = holm([whole for _, whole, _ in decided])
    return [title for (title, _, alpha), p in zip(decided, corrected, strict=True) if p > alpha]
