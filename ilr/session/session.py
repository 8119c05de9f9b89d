"""One run of the claims: what the pytest plugin does between collection and the last verdict, without pytest."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from rich.console import Console

from ilr.report.evidence import Evidence
from ilr.session.evidence import Run, evidence
from ilr.session.options import Options
from ilr.session.progress import training_progress
from ilr.session.selection import Selection, lab_for
from ilr.trials.outcome import Outcome, PlannedExperiments


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
        self.selection = Selection.of(options, modules)
        self.lab = lab_for(options, options.store)
        self.training = self.lab.plan(self.selection.experiments)

    def train(self, console: Console) -> None:
        """Trains what the store lacks, unless the options say not to."""
        if self.options.train:
            with training_progress(self.training, self.lab.engine.workers, console) as tick:
                self.lab.train(self.training, tick)

    def judge(self, name: str) -> Outcome:
        """The verdict on one claim, by the name of its module; judged once."""
        if name not in self.outcomes:
            plan = self.selection.plans[name]
            if not self.options.train and (missing := self.lab.missing(plan.all())):
                plan = PlannedExperiments(not_run=f"--no-train, and {missing} of its recordings are not in the store")
            self.outcomes[name] = self.selection.trials[name].judged(plan, self.lab)
        return self.outcomes[name]

    def evidence(self) -> Evidence:
        """The evidence of what has been judged so far."""
        run = Run(self.options, self.lab, self.root, self.started, time.monotonic() - self._clock)
        return evidence(run, list(self.outcomes.values()))
