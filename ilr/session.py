"""One run of the claims: what the pytest plugin does between collection and the last verdict, without pytest."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from rich.console import Console

from ilr.claim import Setting
from ilr.engines import Engine, InProcess, Processes
from ilr.evidence import Evidence, Run, evidence
from ilr.lab import Lab
from ilr.options import Options, default_device
from ilr.progress import training_progress
from ilr.store import Store
from ilr.trial import Outcome, Plan, Trial


class Session:
    """Trials gathered, trained together, judged one by one, reported.

    Args:
        options: of the command line.
        root: folder of the claims, for the report's place and provenance.
        modules: the claims' files, as modules.

    Raises:
        ClaimFileError: a file does not keep the rules.
        DataUnavailableError: a data set that a claim needs is not there.
    """

    def __init__(self, options: Options, root: Path, modules: Mapping[str, ModuleType]) -> None:
        self.options = options
        self.root = root
        self.report = options.report or root / "reports" / options.scale
        self.started = datetime.now(UTC)
        self._clock = time.monotonic()
        self.outcomes: dict[str, Outcome] = {}
        self.trials = {name: Trial.of(module) for name, module in modules.items()}
        self.plans = {name: self._plan(trial) for name, trial in self.trials.items()}
        device = options.device or default_device()
        engine: Engine = Processes(options.workers) if options.engine == "processes" else InProcess()
        self.lab = Lab(Store(options.store), engine, device, options.data_root, refresh=options.refresh)
        self.training = self.lab.plan({experiment: None for plan in self.plans.values() for experiment in plan.all()})

    def train(self, console: Console) -> None:
        """Trains what the store lacks, unless the options say not to."""
        if self.options.train:
            with training_progress(self.training, self.lab.engine.workers, console) as tick:
                self.lab.train(self.training, tick)

    def judge(self, name: str) -> Outcome:
        """The verdict on one claim, by the name of its module; judged once."""
        if name not in self.outcomes:
            plan = self.plans[name]
            if not self.options.train and (missing := self.lab.missing(plan.all())):
                plan = Plan(not_run=f"--no-train, and {missing} of its recordings are not in the store")
            self.outcomes[name] = self.trials[name].judged(plan, self.lab)
        return self.outcomes[name]

    def evidence(self) -> Evidence:
        """The evidence of what has been judged so far."""
        run = Run(self.options, self.lab, self.root, self.started, time.monotonic() - self._clock)
        return evidence(run, list(self.outcomes.values()))

    def _plan(self, trial: Trial) -> Plan:
        scale = self.options.scale
        replicas = self.options.replicas or getattr(trial.claim.replicas, scale) or 0
        return trial.plan(Setting(scale, self.options.seed, replicas))
