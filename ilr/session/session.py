"""The mode without an option: the claims are trained together, judged one by one, reported."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console

from ilr.report.files import write_report
from ilr.session.evidence import evidence
from ilr.session.mode import Mode
from ilr.session.progress import training_progress
from ilr.session.selection import Selection, lab_for
from ilr.trials.outcome import Outcome, PlannedExperiments


class Session(Mode):
    """One run of the claims."""

    heading = "verdicts"

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        options = selection.options
        self.report = options.report or selection.root / "reports" / options.scale
        self.started = datetime.now(UTC)
        self.outcomes: dict[str, Outcome] = {}
        self.lab = lab_for(options, options.store)
        self.training = self.lab.plan(selection.experiments)

    def prepare(self, console: Console) -> int:
        """Trains what the store lacks, unless the options say not to."""
        if not self.selection.options.no_train:
            with training_progress(self.training, self.lab.engine.workers, console) as tick:
                self.lab.train(self.training, tick)
        return 0

    def outcome(self, name: str) -> Outcome:
        """Judges one claim."""
        claim = self.selection.claims[name]
        planned = claim.planned
        if self.selection.options.no_train and (missing := self.lab.missing(planned.all())):
            planned = PlannedExperiments(not_run=f"--no-train, and {missing} of its recordings are not in the store")
        self.outcomes[name] = claim.file.judged(planned, self.lab.recording)
        return self.outcomes[name]

    def finish(self) -> None:
        """Writes the report of what was judged, if anything was."""
        if self.outcomes:
            found = evidence(self.selection, self.lab, self.started, list(self.outcomes.values()))
            write_report(found, self.report)

    def summary(self) -> Iterable[str]:
        """The verdicts, and where the report is."""
        for outcome in self.outcomes.values():
            sound = sum(control.sound for control in outcome.controls.values())
            controls = f"  controls sound {sound}/{len(outcome.controls)}" if outcome.controls else ""
            yield f"{outcome.verdict.value:<13} {outcome.claim.id}{controls}"
            if outcome.message:
                yield f"{'':<13} {outcome.message}"
        if self.outcomes:
            yield f"report: {self.report / 'index.html'}"
