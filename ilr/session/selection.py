"""The selected claims with all their experiments, and a lab for them: what a run, a plan and a rehearsal begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ilr.experiments.experiment import Experiment
from ilr.lab.engines import Engine, InProcess, Processes
from ilr.lab.hardware import cpu_cores, default_device, gpus
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store
from ilr.session.options import Options
from ilr.trials.claim import Setting
from ilr.trials.claim_file import ClaimFile
from ilr.trials.outcome import PlannedExperiments


@dataclass(frozen=True)
class Selection:
    """Trials and the plans of their experiments, by the name of their module."""

    trials: Mapping[str, ClaimFile]
    plans: Mapping[str, PlannedExperiments]

    @classmethod
    def of(cls, options: Options, modules: Mapping[str, ModuleType]) -> "Selection":
        """The claims in some modules, planned as the options say.

        Raises:
            ClaimFileError: a file does not keep the rules.
        """
        trials = {name: ClaimFile.of(module) for name, module in modules.items()}
        return cls(trials, {name: _plan(trial, options) for name, trial in trials.items()})

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Every experiment once, in order of appearance."""
        return tuple(dict.fromkeys(experiment for plan in self.plans.values() for experiment in plan.all()))


def lab_for(options: Options, store: Path, *, stand_in: bool = False, choose: bool = True) -> Lab:
    """The lab that the options ask for; see `ilr.lab.scheduler.Lab` for the other arguments."""
    device = options.device or default_device()
    workers = options.workers or gpus(device) or cpu_cores()
    engine: Engine = Processes(workers) if options.engine == "processes" else InProcess()
    return Lab(
        Store(store), engine, device, options.data_root, refresh=options.refresh, stand_in=stand_in, choose=choose
    )


def _plan(trial: ClaimFile, options: Options) -> PlannedExperiments:
    replicas = options.replicas or getattr(trial.claim.replicas, options.scale) or 0
    return trial.plan(Setting(options.scale, options.seed, replicas))
