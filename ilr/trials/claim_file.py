"""A trial: one claim's file made into an object, and its judgement once the recordings are there."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from matplotlib.figure import Figure

from ilr.experiments.experiment import Experiment
from ilr.experiments.recording import Recording
from ilr.lab.scheduler import TrainingFailedError
from ilr.report.evidence import History
from ilr.stats.decision import Finding, Verdict, decide
from ilr.stats.registry import RULES
from ilr.trials.claim import Claim, Setting
from ilr.trials.plotting import in_style, to_svg

Experiments = dict[str, Experiment]
Recordings = Mapping[str, Recording]
Planner = Callable[[Setting], Experiments]


class Archive(Protocol):
    """Has recordings: a lab that has trained, or what stands in for it in a rehearsal."""

    def recording(self, experiment: Experiment) -> Recording:
        """The recording of an experiment.

        Raises:
            TrainingFailedError: there is none.
        """


class ClaimFileError(Exception):
    """A claim's file that does not keep the rules; the message is one line that says which."""


@dataclass(frozen=True)
class ControlOutcome:
    """How one control was judged. It is sound if it was judged and did not come out REPRODUCED."""

    name: str
    takes_away: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    message: str = ""
    values: Mapping[str, list[Any]] = field(default_factory=dict)
    """Per finding the numbers of each replica, by its name."""

    @property
    def sound(self) -> bool:
        """Whether the control shows that the claim's test can fail."""
        return self.verdict in (Verdict.REFUTED, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Outcome:
    """How a claim was judged."""

    claim: Claim
    verdict: Verdict
    message: str = ""
    findings: tuple[Finding, ...] = ()
    controls: tuple[ControlOutcome, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    figures: tuple[str, ...] = ()
    """SVG texts."""
    seconds: float = 0.0
    """Time to judge and draw, without training."""
    planned: "Plan" = field(default_factory=lambda: Plan())
    history: History = field(default_factory=History)
    values: Mapping[str, list[Any]] = field(default_factory=dict)
    """Per finding the numbers of each replica, by its name."""


@dataclass(frozen=True)
class Plan:
    """The experiments of a claim and of its controls in one setting, by name; or why there are none."""

    experiments: Experiments = field(default_factory=dict)
    controls: dict[str, Experiments] = field(default_factory=dict)
    not_run: str = ""
    error: str = ""

    def all(self) -> tuple[Experiment, ...]:
        """Every experiment once, in order of appearance."""
        groups = (self.experiments, *self.controls.values())
        return tuple(dict.fromkeys(experiment for group in groups for experiment in group.values()))


@dataclass(frozen=True)
class _Judgement:
    """How one set of experiments was judged: the claim's own, or a control's."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    message: str = ""
    recordings: Recordings = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What a claim's file says: the claim, its experiments, the judge, the figure, the controls."""

    claim: Claim
    experiments: Planner
    judge: Callable[[Recordings], Iterable[Finding]]
    figure: Callable[[Recordings, Mapping[str, Recordings]], Figure]
    controls: Mapping[str, Planner]

    @classmethod
    def of(cls, module: ModuleType) -> "Trial":
        """The trial in a claim's module.

        Raises:
            ClaimFileError: the module does not keep the rules of a claim's file.
        """
        path = Path(str(module.__file__))
        claim = getattr(module, "CLAIM", None)
        if not isinstance(claim, Claim):
            raise ClaimFileError(f"{path}: CLAIM must be an ilr.Claim")
        if path.stem != f"test_{_underscored(claim.id)}":
            raise ClaimFileError(
                f"{path}: the claim {claim.id!r} must be in a file called test_{_underscored(claim.id)}.py"
            )
        for prediction in claim.predictions:
            if prediction.rule not in RULES:
                raise ClaimFileError(
                    f"{path}: {prediction.quantity!r} is to be decided by {prediction.rule!r}, which is no rule; "
                    f"choose from {', '.join(sorted(RULES))}"
                )
        expected = {control.name: f"control_{_underscored(control.name)}" for control in claim.controls}
        written = {name for name in vars(module) if name.startswith("control_")}
        for name in ("experiments", "judge", "figure", *expected.values()):
            if not callable(getattr(module, name, None)):
                raise ClaimFileError(f"{path}: the claim {claim.id!r} needs a function {name}()")
        if stray := sorted(written - set(expected.values())):
            raise ClaimFileError(f"{path}: {stray[0]}() belongs to no Control of the claim {claim.id!r}")
        return cls(
            claim=claim,
            experiments=module.experiments,
            judge=module.judge,
            figure=module.figure,
            controls={name: getattr(module, function) for name, function in expected.items()},
        )

    def plan(self, setting: Setting) -> Plan:
        """The experiments of the claim and its controls; an error in the claim's file becomes part of the plan."""
        if getattr(self.claim.replicas, setting.scale) is None:
            return Plan(not_run=f"does not run at scale {setting.scale}: {self.claim.not_run}")
        try:
            return Plan(
                dict(self.experiments(setting)),
                {name: dict(planner(setting)) for name, planner in self.controls.items()},
            )
        except Exception as error:  # one broken claim must not take the others with it
            return Plan(error=f"its experiments could not be planned: {_described(error)}")

    def judged(self, plan: Plan, archive: Archive) -> Outcome:
        """The verdict on the claim, from the recordings of its plan."""
        if plan.not_run:
            return Outcome(self.claim, Verdict.NOT_RUN, plan.not_run)
        if plan.error:
            return Outcome(self.claim, Verdict.ERROR, plan.error)
        started = time.perf_counter()
        main = self._decide(plan.experiments, archive)
        controls = {name: self._decide(experiments, archive) for name, experiments in plan.controls.items()}
        verdict, message = _overall(main, controls)
        figures: tuple[str, ...] = ()
        if verdict is not Verdict.ERROR:
            try:
                figures = (self._drawn(main, controls),)
            except Exception as error:  # a figure that fails must not cost the findings
                verdict, message = Verdict.ERROR, f"its figure could not be drawn: {_described(error)}"
        return Outcome(
            claim=self.claim,
            verdict=verdict,
            message=message,
            findings=main.findings,
            controls=tuple(
                ControlOutcome(control.name, control.takes_away, judged.verdict, judged.findings, judged.message)
                for control, judged in zip(self.claim.controls, controls.values(), strict=True)
            ),
            experiments=plan.all(),
            figures=figures,
            seconds=time.perf_counter() - started,
            planned=plan,
        )

    def _decide(self, experiments: Experiments, archive: Archive) -> _Judgement:
        """Judges one set of experiments: the claim's own, or a control's."""
        recordings: dict[str, Recording] = {}
        try:
            for name, experiment in experiments.items():
                recordings[name] = archive.recording(experiment)
                if diverged := recordings[name].diverged:
                    return _Judgement(Verdict.ERROR, message=_divergence(name, diverged, experiment.replicas))
            found = tuple(self.judge(recordings))
            if unregistered := self._unregistered(found):
                return _Judgement(Verdict.ERROR, message=unregistered)
            verdict, findings = decide(found)
        except TrainingFailedError as error:
            return _Judgement(Verdict.ERROR, message=str(error))
        except Exception as error:  # the crash of one judge is that claim's ERROR, never a refutation
            return _Judgement(Verdict.ERROR, message=f"its judge failed: {_described(error)}")
        return _Judgement(verdict, findings, _needed(verdict, findings), recordings)

    def _unregistered(self, findings: Sequence[Finding]) -> str:
        """Says how the findings depart from the predictions: each must be judged as written down, and no other."""
        found = [finding.name for finding in findings]
        predicted = [prediction.quantity for prediction in self.claim.predictions]
        if found != predicted:
            return f"its judge found {found}, but the claim predicts {predicted}"
        for finding, prediction in zip(findings, self.claim.predictions, strict=True):
            judged_by = (finding.expected, finding.margin, finding.alpha)
            if judged_by != (prediction.expected, prediction.margin, prediction.alpha):
                return f"its judge decided {finding.name!r} by another expected value, margin or alpha than registered"
        return ""

    def _drawn(self, main: _Judgement, controls: Mapping[str, _Judgement]) -> str:
        with in_style():
            figure = self.figure(main.recordings, {name: judged.recordings for name, judged in controls.items()})
            return to_svg(figure, self.claim.id)


def _overall(main: _Judgement, controls: Mapping[str, _Judgement]) -> tuple[Verdict, str]:
    """The claim's verdict and message: its own, unless a control could not be judged or was reproduced."""
    if main.verdict is Verdict.ERROR:
        return main.verdict, main.message
    for name, judged in controls.items():
        if judged.verdict is Verdict.ERROR:
            return Verdict.ERROR, f"its control {name!r} could not be judged: {judged.message}"
    for name, judged in controls.items():
        if judged.verdict is Verdict.REPRODUCED:
            return Verdict.UNSOUND, f"its control {name!r} came out REPRODUCED, so its test cannot fail"
    return main.verdict, main.message


def _divergence(name: str, diverged: Mapping[int, int], replicas: int) -> str:
    replica, step = next(iter(diverged.items()))
    others = f" ({len(diverged)} of {replicas} replicas did)" if len(diverged) > 1 else ""
    return f"replica {replica} of {name!r} diverged: not finite at step {step}{others}"


def _needed(verdict: Verdict, findings: Sequence[Finding]) -> str:
    """For an INCONCLUSIVE verdict, how many replicas would decide."""
    if verdict is not Verdict.INCONCLUSIVE:
        return ""
    undecided = [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]
    known = [finding.replicas_needed for finding in undecided if finding.replicas_needed is not None]
    names = " and ".join(f"{finding.name!r}" for finding in undecided)
    if len(undecided) > 2:
        names = f"{len(undecided)} of {len(findings)} findings"
    if len(known) < len(undecided):
        return (
            f"undecided: {names}; an estimate lies so near its margin that no practical number of replicas would decide"
        )
    return f"undecided: {names}; about n={max(known)} replicas would decide"


def _described(error: Exception) -> str:
    """An exception in one line, with the place in the claim's file (the last frame outside this package's own)."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if Path(frame.filename).name.startswith("test_")), frames[-1])
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})".replace("\n", " ")


def _underscored(name: str) -> str:
    return name.replace("-", "_")
