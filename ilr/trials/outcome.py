"""How a claim came out, and what its test asks of that; light, as pytest loads it in every run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from ilr.experiments.architectures import Toy
from ilr.experiments.experiment import Experiment, Precision
from ilr.report.evidence import History, Values
from ilr.stats.decision import Finding, Verdict
from ilr.trials.claim import Claim, Experiments, Recordings


@dataclass(frozen=True)
class PlannedExperiments:
    """The experiments of a claim and of its controls in one setting, by name; or why there are none."""

    experiments: Experiments = field(default_factory=dict)
    controls: dict[str, Experiments] = field(default_factory=dict)
    replicas: int = 0
    """Per group, as the setting asks; of what several looks judged, at the last of them."""
    not_run: str = ""
    error: str = ""
    variation: str = ""
    """What was chosen in place of the claim's own, in words; where that makes no sense, as it was asked for; empty
    where they are as registered."""
    wrong: str = ""
    """What is wrong with a record of somebody's own that was so chosen, where it keeps the claim from running."""

    def all(self) -> tuple[Experiment, ...]:
        """Every experiment once, in order of appearance."""
        groups = (self.experiments, *self.controls.values())
        return tuple(dict.fromkeys(experiment for group in groups for experiment in group.values()))

    def multiplied_in(self, precision: Precision) -> "PlannedExperiments":
        """The same with the nets that are in float32 in another precision; what is in float64 needs all its bits."""

        def of(experiments: Experiments) -> Experiments:
            return {
                name: replace(one, precision=precision)
                if one.precision == "float32" and not isinstance(one.net, Toy)
                else one
                for name, one in experiments.items()
            }

        controls = {name: of(experiments) for name, experiments in self.controls.items()}
        return replace(self, experiments=of(self.experiments), controls=controls)


@dataclass(frozen=True)
class Judgement:
    """How one set of experiments was judged: the claim's own, or a control's."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    values: Values = field(default_factory=dict)
    message: str = ""
    recordings: Recordings = field(default_factory=dict)
    """What it rests on, for the figure."""

    @property
    def sound(self) -> bool:
        """Of a control, whether it shows that the claim's test can fail: it was REFUTED."""
        return self.verdict is Verdict.REFUTED


@dataclass(frozen=True)
class Look:
    """One time at which a trial asked whether its data decide."""

    n: int
    """Replicas per group so far."""
    level: float
    """α at this look: of the strictest prediction, where they differ."""
    verdict: Verdict | None
    """Of the claim by itself; `None` where an earlier look had decided it."""
    findings: tuple[Finding, ...]
    controls: Mapping[str, Verdict]
    """Of the controls that were undecided, by name."""


@dataclass(frozen=True)
class Outcome:
    """How a claim was judged."""

    claim: Claim
    verdict: Verdict
    message: str = ""
    history: History = field(default_factory=History)
    planned: PlannedExperiments = field(default_factory=PlannedExperiments)
    findings: tuple[Finding, ...] = ()
    values: Values = field(default_factory=dict)
    controls: Mapping[str, Judgement] = field(default_factory=dict)
    """By name, without recordings."""
    looks: tuple[Look, ...] = ()
    """Earliest first; none if the claim was not judged."""
    looks_planned: tuple[int, ...] = ()
    """Replicas per group of every look that there could have been."""
    as_registered: bool = True
    """Whether these are the looks that the claim registered."""
    literal: bool = False
    """Whether it trained for the lengths that the paper states."""
    variation: str = ""
    """What it was tried under in place of its own choices, in words."""
    figures: tuple[str, ...] = ()
    """SVG texts."""
    seconds: float = 0.0
    """Time to judge and draw, without training."""


class InconclusiveError(Exception):
    """A claim that the data did not decide."""


class JudgedClaim:
    """A judged claim, as its test sees it: the fixture `trial`."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def must_reproduce(self) -> None:
        """Passes if the claim is REPRODUCED and its controls are sound; otherwise fails with what was found."""
        verdict = self.outcome.verdict
        if verdict is Verdict.INCONCLUSIVE:
            raise InconclusiveError(described(self.outcome))
        if verdict is not Verdict.REPRODUCED:
            pytest.fail(described(self.outcome), pytrace=False)


def described(outcome: Outcome) -> str:
    """What was found, for a claim that did not hold: a line a finding."""
    lines = [f"{outcome.claim.id}: {outcome.verdict.value}", *([outcome.message] if outcome.message else [])]
    for finding in outcome.findings:
        low, high = (f"{end:.4g}" if end is not None else "…" for end in finding.interval)
        accepted = " to ".join(f"{end:.4g}" if end is not None else "…" for end in finding.accepted)
        lines.append(
            f"  {finding.verdict.value:<12} {finding.name}: {finding.estimate:.4g} [{low}, {high}], accepted {accepted}"
        )
    return "\n".join(lines)
