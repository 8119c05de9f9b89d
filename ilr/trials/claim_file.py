"""A claim's file made into an object: what it says, and what it plans to train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure

from ilr.report.evidence import History
from ilr.stats.registry import RULES
from ilr.trials.claim import Claim, ClaimFileError, Experiments, Recordings, Setting
from ilr.trials.history import history_of
from ilr.trials.judging import Judge, described
from ilr.trials.outcome import PlannedExperiments

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


def _underscored(name: str) -> str:
    return name.replace("-", "_")
