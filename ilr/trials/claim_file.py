"""A claim's file made into an object: what it says, what it plans to train, and how it is judged."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from ilr.report.evidence import History
from ilr.stats.decision import Verdict
from ilr.stats.registry import RULES
from ilr.trials.claim import Claim, ClaimFileError, Experiments, Recordings, Setting
from ilr.trials.history import history_of
from ilr.trials.judging import Judge, RecordingOf, described, judgement
from ilr.trials.outcome import Judgement, Outcome, PlannedExperiments
from ilr.trials.plotting import in_style, to_svg

Planner = Callable[[Setting], Experiments]


@dataclass(frozen=True)
class ClaimFile:
    """What a claim's file says: the claim, its experiments, the judge, the figure, the controls; and its history."""

    claim: Claim
    experiments: Planner
    judge: Judge
    figure: Callable[[Recordings, Mapping[str, Recordings]], Figure]
    controls: Mapping[str, Planner]
    history: History

    @classmethod
    def of(cls, module: ModuleType) -> "ClaimFile":
        """The claim's file that a module was loaded from.

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
            history=history_of(claim.id, path.parent),
        )

    def plan(self, setting: Setting) -> PlannedExperiments:
        """The experiments of the claim and its controls; an error in the claim's file becomes part of the plan."""
        if not self.claim.replicas.looks(setting.scale):
            return PlannedExperiments(not_run=f"does not run at scale {setting.scale}: {self.claim.not_run}")
        try:
            return PlannedExperiments(
                dict(self.experiments(setting)),
                {name: dict(planner(setting)) for name, planner in self.controls.items()},
                setting.replicas,
            )
        except Exception as error:  # one broken claim must not take the others with it
            return PlannedExperiments(error=f"its experiments could not be planned: {described(error)}")

    def judged(self, planned: PlannedExperiments, recording_of: RecordingOf) -> Outcome:
        """The verdict on the claim, from the recordings of what was planned."""
        if planned.not_run:
            return Outcome(self.claim, Verdict.NOT_RUN, planned.not_run, self.history, planned)
        if planned.error:
            return Outcome(self.claim, Verdict.ERROR, planned.error, self.history, planned)
        started = time.perf_counter()
        # The threads of a judge's many small products would only wait for each other, the longer the busier the CPU.
        with threadpool_limits(1):
            main = judgement(self.claim, self.judge, planned.experiments, recording_of)
            controls = {
                name: judgement(self.claim, self.judge, experiments, recording_of)
                for name, experiments in planned.controls.items()
            }
            verdict, message = _overall(main, controls)
            figures: tuple[str, ...] = ()
            if verdict is not Verdict.ERROR:
                try:
                    figures = (self._drawn(main, controls),)
                except Exception as error:  # a figure that fails must not cost the findings
                    verdict, message = Verdict.ERROR, f"its figure could not be drawn: {described(error)}"
        return Outcome(
            claim=self.claim,
            verdict=verdict,
            message=message,
            history=self.history,
            planned=planned,
            findings=main.findings,
            values=main.values,
            # Recordings are large, and an outcome is kept to the end of the run.
            controls={name: replace(judged, recordings={}) for name, judged in controls.items()},
            figures=figures,
            seconds=time.perf_counter() - started,
        )

    def _drawn(self, main: Judgement, controls: Mapping[str, Judgement]) -> str:
        with in_style():
            figure = self.figure(main.recordings, {name: judged.recordings for name, judged in controls.items()})
            return to_svg(figure, self.claim.id)


def _overall(main: Judgement, controls: Mapping[str, Judgement]) -> tuple[Verdict, str]:
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


def _underscored(name: str) -> str:
    return name.replace("-", "_")
