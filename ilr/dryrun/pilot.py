"""A pilot: a claim's first look on an exploratory seed, for how many replicas each prediction would need.

It is no trial: what it finds decides what is registered, and is never counted as a verdict.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ilr.experiments.recording import Recording
from ilr.lab.scheduler import Lab, TrainingPlan
from ilr.report.files import read_evidence
from ilr.report.findings import FindingText, finding_texts
from ilr.session.evidence import finding_evidence
from ilr.stats.decision import Verdict
from ilr.stats.registry import RULES
from ilr.trials.claim import Setting
from ilr.trials.claim_file import ClaimFile
from ilr.trials.judging import judgement
from ilr.trials.outcome import PlannedExperiments
from ilr.trials.scales import Scale

SEED = 1001
"""Unless another is given: no claim is judged on it."""


@dataclass(frozen=True)
class Need:
    """One prediction in a pilot, of the claim or of a control."""

    control: str
    """Empty for the claim itself."""
    text: FindingText
    replicas: int | None
    """Per group, for a decision as often as the prediction aims at, were the truth what the pilot has found; `None`
    where no practical number would do."""

    @property
    def outside(self) -> bool:
        """Whether the estimate lies outside what is accepted, so that more replicas would refute it."""
        low, high = self.text.finding.accepted
        estimate = self.text.finding.estimate
        return (low is not None and estimate < low) or (high is not None and estimate > high)


@dataclass(frozen=True)
class Outlook:
    """What a claim or a control would come to, were the truth what the pilot has found."""

    control: str
    """Empty for the claim itself."""
    verdict: Verdict
    replicas: int | None
    """Per group, for that verdict; `None` where no practical number would do."""


def outlooks(needs: Sequence[Need]) -> list[Outlook]:
    """What the claim and its controls would come to: all findings are needed to reproduce, and one to refute."""
    found = []
    for control in dict.fromkeys(need.control for need in needs):
        own = [need for need in needs if need.control == control]
        outside = [need.replicas for need in own if need.outside]
        if outside:
            found.append(Outlook(control, Verdict.REFUTED, min((n for n in outside if n is not None), default=None)))
        else:
            inside = [need.replicas for need in own]
            most = None if None in inside else max(n for n in inside if n is not None)
            found.append(Outlook(control, Verdict.REPRODUCED, most))
    return found


@dataclass(frozen=True)
class Pilot:
    """A claim's first look that is not a trial."""

    file: ClaimFile
    scale: Scale
    seed: int
    looks: tuple[int, ...]
    """Replicas per group, as registered."""
    planned: PlannedExperiments

    @classmethod
    def of(cls, file: ClaimFile, scale: Scale, seed: int, reports: Sequence[Path] = ()) -> "Pilot":
        """The pilot of a claim's file.

        Args:
            file: the claim's.
            scale: of the run.
            seed: to explore on.
            reports: folders that may hold a report; it may have judged the claim, and the history not know of it.

        Raises:
            ValueError: the claim does not run at the scale, cannot be planned, or was judged on that seed, as its
                history or a report says.
        """
        claim, looks = file.claim, file.claim.replicas.looks(scale)
        if seed in {attempt.seed for attempt in file.history.attempts}:
            raise ValueError(f"the claim {claim.id!r} was judged on seed {seed}: choose another to explore on")
        for folder in reports:
            if _was_judged(claim.id, seed, folder):
                raise ValueError(
                    f"the claim {claim.id!r} was judged on seed {seed}, as the report in {folder} says: choose another "
                    "to explore on"
                )
        planned = file.plan(Setting(scale, seed, looks[0], looks[-1]) if looks else Setting(scale, seed, 0))
        if reason := planned.not_run or planned.error:
            raise ValueError(f"the claim {claim.id!r}: {reason}")
        return cls(file, scale, seed, looks, planned)

    def training(self, lab: Lab) -> TrainingPlan:
        """What has to be trained for it."""
        return lab.plan(self.planned.all())

    def needs(self, lab: Lab) -> list[Need]:
        """What each prediction would need, of the claim and then of its controls, once everything is trained.

        Raises:
            ValueError: the claim, or a control, cannot be judged; in one line.
        """
        found = []
        for name, experiments in {"": self.planned.experiments, **self.planned.controls}.items():
            judged = judgement(self.file.claim, self.file.judge, experiments, lab.recording, len(self.looks))
            if not judged.findings:
                whose = f"the control {name!r} of the claim" if name else "the claim"
                raise ValueError(f"{whose} {self.file.claim.id!r} cannot be judged: {judged.message}")
            numbers = self._replicas(judged.recordings)
            texts = finding_texts(finding_evidence(judged.findings))
            found += [Need(name, text, numbers[text.finding.name]) for text in texts]
        return found

    def _replicas(self, recordings: Mapping[str, Recording]) -> dict[str, int | None]:
        """Replicas per group that would decide each prediction at one of its looks, by quantity."""
        claim = self.file.claim
        numbers: dict[str, int | None] = {}
        for prediction, *samples in self.file.judge(recordings):
            registered = claim[prediction.quantity]
            rule = RULES[registered.rule]
            at_a_look = replace(registered, alpha=registered.alpha / len(self.looks))
            assessed = rule.assess(at_a_look, *samples)
            needed = rule.replicas_needed(at_a_look, assessed)
            # A decision may rest on fewer than a group has: on its pairs, for one.
            share = assessed.n / self.looks[0]
            numbers[prediction.quantity] = None if needed is None else math.ceil(needed / share)
        return numbers


def _was_judged(claim_id: str, seed: int, folder: Path) -> bool:
    """Whether the report in a folder has judged a claim on a seed; one that cannot be read has not."""
    try:
        evidence = read_evidence(folder)
    except (OSError, ValueError):
        return False
    return evidence.seed == seed and any(claim.id == claim_id and claim.looks for claim in evidence.claims)
