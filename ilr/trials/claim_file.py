"""A claim's file made into an object: what it says, and what it plans to train."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ilr.data.catalog import DataUnavailableError, check_fit
from ilr.experiments.experiment import Experiment, kind_of
from ilr.experiments.own import OwnRecordError
from ilr.fields import in_a_line, shown
from ilr.lab.cost import operations, recorded_bytes
from ilr.report.evidence import History
from ilr.serialization import digest
from ilr.stats.registry import RULES
from ilr.trials.claim import MOST_REPLICAS, Claim, ClaimFileError, Experiments, Recordings, Setting
from ilr.trials.history import history_of
from ilr.trials.judging import LONGEST_MESSAGE, Judge, described
from ilr.trials.outcome import PlannedExperiments
from ilr.variations.variation import AS_REGISTERED, AXES, NOTHING_KEPT, Variation

Planner = Callable[[Setting], Experiments]

MOST_STEPS = 10_000_000
"""Of one experiment: the paper's longest runs have a hundredth of it."""


@dataclass(frozen=True)
class ClaimFile:
    """What a claim's file says: the claim, its experiments, the judge, the figure, the controls; and its history."""

    claim: Claim
    experiments: Planner
    judge: Judge
    figure: Callable[[Recordings, Mapping[str, Recordings]], Figure]
    controls: Mapping[str, Planner]
    history: History
    keeps: Mapping[str, str] = field(default_factory=dict)
    """Why the claim is about its own choice alone, by the axes of variations."""

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
            # A copy: what a judge may do to its module's own changes no prediction that it is held to.
            claim=deepcopy(claim),
            experiments=module.experiments,
            judge=module.judge,
            figure=module.figure,
            controls={name: getattr(module, function) for name, function in expected.items()},
            history=history_of(claim.id, path.parent),
            keeps=_kept(module, path),
        )

    def plan(self, setting: Setting, variation: Variation = AS_REGISTERED) -> PlannedExperiments:
        """The experiments of the claim and its controls; an error in the claim's file becomes part of the plan.

        Args:
            setting: of one look.
            variation: what is chosen in place of the claim's own net, norm and so on.
        """
        if not self.claim.replicas.looks(setting.scale):
            return PlannedExperiments(not_run=f"does not run at scale {setting.scale}: {self.claim.not_run}")
        try:
            experiments = _checked(self.experiments(setting), "experiments")
            controls = {name: _checked(plan(setting), f"the control {name!r}") for name, plan in self.controls.items()}
            return self._varied(PlannedExperiments(experiments, controls, setting.replicas), variation)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # one broken claim must not take the others with it
            return PlannedExperiments(error=f"its experiments could not be planned: {described(error)}")

    def _varied(self, planned: PlannedExperiments, variation: Variation) -> PlannedExperiments:
        """What is planned under a variation, or why that makes no sense."""
        if not variation:
            return planned
        try:
            experiments, controls, told = variation.of(planned.experiments, planned.controls, self.keeps)
            varied = replace(planned, experiments=experiments, controls=controls, variation=told)
            for experiment in varied.all():
                _check_kind(kind_of(experiment))
        except (ValueError, DataUnavailableError) as error:
            reason = in_a_line(str(error), LONGEST_MESSAGE)
            return PlannedExperiments(
                not_run=f"makes no sense with {variation}: {reason}",
                variation=str(variation),
                wrong=reason if isinstance(error, OwnRecordError) else "",
            )
        return varied


def _kept(module: ModuleType, path: Path) -> Mapping[str, str]:
    """What a claim's file says of variations that make no sense.

    Raises:
        ClaimFileError: of something else.
    """
    keeps: Any = getattr(module, "KEEPS", NOTHING_KEPT)
    if not isinstance(keeps, Mapping) or not all(name in AXES and isinstance(keeps[name], str) for name in keeps):
        raise ClaimFileError(f"{path}: KEEPS={shown(keeps)} must give reasons by names among {', '.join(AXES)}")
    return keeps


def _checked(planned: Any, function: str) -> Experiments:
    """What a function of a claim's file plans, if it can be trained as far as that is known without training.

    Args:
        planned: what the function gave.
        function: what that is, in words.

    Raises:
        ValueError: it cannot; in one line.
        DataUnavailableError: there is no such data set, or it is smaller than asked for.
    """
    if not isinstance(planned, Mapping) or not planned:
        raise ValueError(f"{function} must be given as {{name: Experiment}}, not {shown(planned)}")
    for name, experiment in planned.items():
        if not isinstance(name, str) or not isinstance(experiment, Experiment):
            raise ValueError(f"{function}: {shown(name)}: {shown(experiment)} must be a name and an Experiment")
        place = f"{name!r} of {function}"
        if experiment.steps > MOST_STEPS:
            raise ValueError(f"{place} has {experiment.steps} steps: {MOST_STEPS:,} are the most")
        if experiment.replicas > MOST_REPLICAS:
            raise ValueError(f"{place} has {experiment.replicas} replicas: {MOST_REPLICAS:,} are the most")
        for observation in experiment.observe:
            if experiment.data is None and not observation.row.toy:
                raise ValueError(f"{place}: the toy loss has no {observation.quantity!r}")
        digest(experiment)
        _check_kind(kind_of(experiment))
        _check_rates(experiment, place)
    return dict(planned)


@cache
def _check_kind(kind: Experiment) -> None:
    """Builds what trains an experiment, as planning does; once for all that differ in rates and seeds.

    Raises:
        ValueError: it cannot be built.
        DataUnavailableError: there is no such data set, or it is smaller than asked for.
    """
    check_fit(kind)
    recorded_bytes(kind)
    operations(kind)


def _check_rates(experiment: Experiment, place: str) -> None:
    """Schedules may be of a claim's own: that they give a number for every step is found out before training.

    Raises:
        ValueError: one does not.
    """
    for rate, values in {"learning_rate": experiment.learning_rates, "weight_decay": experiment.weight_decays}.items():
        with np.errstate(all="ignore"):
            given = np.asarray(values())
        if given.shape != (experiment.steps + 1,) or not np.issubdtype(given.dtype, np.floating):
            raise ValueError(
                f"{place}: {rate}.values({experiment.steps + 1}) gives {given.dtype} of the shape {given.shape}, "
                f"not a float for each of {experiment.steps + 1} steps"
            )


def _underscored(name: str) -> str:
    return name.replace("-", "_")
