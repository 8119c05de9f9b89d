"""What is predicted, what was found, and the decision: `Prediction`, `Finding`, `Verdict`, Holm's correction."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from ilr.serialization import record


class Verdict(StrEnum):
    """The outcome of a claim, of one of its findings, or of a control."""

    REPRODUCED = "REPRODUCED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    UNSOUND = "UNSOUND"
    ERROR = "ERROR"
    NOT_RUN = "NOT RUN"


@record
class Prediction:
    """One quantity a claim predicts, written down before any data is seen.

    The values accepted are `expected ± margin`; a one-sided rule uses one end of that range only.
    """

    quantity: str
    """Name of what is measured, with its unit where it has one."""
    rule: str
    """Name of the rule in `ilr.stats.registry` that decides."""
    expected: float
    """The value the theory gives, or the bound of a one-sided rule."""
    margin: float
    """How far from `expected` still counts as agreement."""
    reason: str
    """Why this margin: it must follow from the claim, not from the data it is judged on."""
    alpha: float = 0.005
    """Probability allowed for a false REPRODUCED, and for a false REFUTED."""
    power: float = 0.9
    """Probability of a decision that the number of replicas aims at."""
    family: int = 1
    """How many predictions are decided together, counted by the claim: to refute, Holm's correction may ask for
    alpha / family."""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError(f"the prediction {self.quantity!r} gives no reason for its margin")
        if self.margin < 0:
            raise ValueError(f"the prediction {self.quantity!r} has the negative margin {self.margin}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"the prediction {self.quantity!r} has alpha={self.alpha}; it must lie between 0 and 0.5")
        if not self.alpha < self.power < 1:
            raise ValueError(
                f"the prediction {self.quantity!r} has power={self.power}; it must lie between alpha and 1"
            )

    def of(self, name: str, **changes: Any) -> "Prediction":
        """The prediction for one of several experiments: `name` stands where the quantity has {}.

        Args:
            name: of the experiment.
            changes: fields that have another value for this one.
        """
        return replace(self, quantity=self.quantity.format(name), **changes)

    @property
    def strictest_alpha(self) -> float:
        """The smallest p-value that Holm's correction can ask for to refute: replicas are planned for it.

        To be reproduced a finding needs alpha, however many there are: all of them must be.
        """
        return self.alpha / self.family


@record
class Finding:
    """One statistical decision on one quantity.

    `accepted` is the range of true values that agree with the prediction; an open end is `None`. `p` is the
    p-value of the hypothesis that the truth lies outside that range (small: reproduced), `p_refuted` of the
    hypothesis that it lies inside (small: refuted).
    """

    name: str
    estimate: float
    interval: tuple[float | None, float | None]
    expected: float
    margin: float
    accepted: tuple[float | None, float | None]
    rule: str
    """The rule in words, with what its error rates rest on."""
    alpha: float
    n: int
    """Replicas the decision rests on (of the smaller group, where there are two)."""
    p: float
    p_refuted: float
    verdict: Verdict
    replicas_needed: int | None = None
    """For an INCONCLUSIVE finding: how many replicas would decide at the power aimed at; `None` if no number
    would."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "verdict", Verdict(self.verdict))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest_so_far = 0.0
    for rank, i in enumerate(order):
        largest_so_far = max(largest_so_far, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest_so_far
    return adjusted


def classify(p: float, p_refuted: float, alpha: float) -> Verdict:
    """The verdict of one finding from its two p-values."""
    if p <= alpha:
        return Verdict.REPRODUCED
    if p_refuted <= alpha:
        return Verdict.REFUTED
    return Verdict.INCONCLUSIVE


def decide(findings: Sequence[Finding]) -> tuple[Verdict, tuple[Finding, ...]]:
    """The verdict over all findings of a claim, and the findings with their verdicts.

    REPRODUCED needs every finding reproduced, so each is tested at its alpha: an intersection-union test (Berger
    1982). One refuted finding makes it REFUTED, so there Holm's correction keeps the error of all at alpha. Anything
    else is INCONCLUSIVE.

    Raises:
        ValueError: there is no finding to decide on.
    """
    if not findings:
        raise ValueError("no finding to decide on: the judge yielded nothing")
    refuted = holm([finding.p_refuted for finding in findings])
    decided = tuple(
        _decided(finding, classify(finding.p, p_refuted, finding.alpha))
        for finding, p_refuted in zip(findings, refuted, strict=True)
    )
    verdicts = {finding.verdict for finding in decided}
    if Verdict.REFUTED in verdicts:
        return Verdict.REFUTED, decided
    return (Verdict.REPRODUCED if verdicts == {Verdict.REPRODUCED} else Verdict.INCONCLUSIVE), decided


def p_of_verdict(verdict: Verdict, p: Sequence[float], p_refuted: Sequence[float]) -> float | None:
    """The p-value of a whole claim's verdict, from its findings' two p-values each; `None` if there is no decision.

    REPRODUCED needs all findings, so the largest p-value counts; REFUTED needs one, so the smallest does, after Holm's
    correction within the claim. The verdicts of several claims can be corrected in turn.
    """
    match verdict:
        case Verdict.REPRODUCED:
            return max(p)
        case Verdict.REFUTED:
            return min(holm(p_refuted))
    return None


def _decided(finding: Finding, verdict: Verdict) -> Finding:
    needed = finding.replicas_needed if verdict is Verdict.INCONCLUSIVE else None
    return replace(finding, verdict=verdict, replicas_needed=needed)
