"""The mode without an option: the claims are trained together and judged, look by look, and reported."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console

from ilr.report.files import write_report
from ilr.session.evidence import evidence
from ilr.session.mode import Mode
from ilr.session.progress import count, training_progress
from ilr.session.selection import Selection, lab_for
from ilr.trials.outcome import Outcome
from ilr.trials.sequential import SequentialTrial


class Session(Mode):
    """One run of the claims."""

    heading = "verdicts"

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        options = selection.options
        self.report = options.report or selection.root / "reports" / options.scale
        self.started = datetime.now(UTC)
        self.judged: dict[str, Outcome] = {}
        """By the claim's id, of every claim that was looked at."""
        self.outcomes: dict[str, Outcome] = {}
        """By the id of the test that has asked for it."""
        self.lab = lab_for(options, options.store)
        self.trials = [claim.trial for claim in selection.claims.values()]
        # Names every data set that is absent before anything is trained.
        self.lab.plan(selection.experiments)

    def prepare(self, console: Console) -> int:
        """Trains and judges what is undecided, look by look, until nothing is."""
        if self.selection.options.replicas:
            console.print(
                "--replicas: one look that no claim registered. What it finds is marked as that everywhere.",
                soft_wrap=True,
            )
        while open_trials := [trial for trial in self.trials if not trial.decided]:
            look = 1 + max(len(trial.looks) for trial in open_trials)
            self._train(open_trials, console)
            for trial in open_trials:
                if not trial.ended:
                    trial.look(self.lab.recording)
                if trial.decided:
                    # At once, while its recordings are at hand: those of all claims may not fit into memory.
                    self.judged[trial.file.claim.id] = trial.outcome(self.lab.recording)
            undecided = sum(not trial.decided for trial in open_trials)
            console.print(
                f"Look {look}: {count(len(open_trials) - undecided, 'claim')} decided, {undecided} to go on.",
                soft_wrap=True,
            )
        return 0

    def outcome(self, name: str) -> Outcome:
        """How one claim came out."""
        trial = self.selection.claims[name].trial
        judged = self.judged.get(trial.file.claim.id)
        # What could not be planned, or does not run at this scale, has not been looked at.
        self.outcomes[name] = judged or trial.outcome(self.lab.recording)
        return self.outcomes[name]

    def finish(self) -> None:
        """Writes the report of what was judged, if anything was."""
        if self.outcomes:
            found = evidence(self.selection, self.lab, self.started, list(self.outcomes.values()))
            write_report(found, self.report)

    def summary(self) -> Iterable[str]:
        """The verdicts, which look decided, and where the report is."""
        for outcome in self.outcomes.values():
            sound = sum(control.sound for control in outcome.controls.values())
            controls = f"  controls sound {sound}/{len(outcome.controls)}" if outcome.controls else ""
            yield f"{outcome.verdict.value:<13} {outcome.claim.id}{controls}{_looks(outcome)}"
            if outcome.message:
                yield f"{'':<13} {outcome.message}"
        if self.outcomes:
            yield f"report: {self.report / 'index.html'}"

    def _train(self, trials: Iterable[SequentialTrial], console: Console) -> None:
        """Trains what the next looks of some trials need and the store lacks, unless the options say not to."""
        if self.selection.options.no_train:
            for trial in trials:
                if missing := self.lab.missing(trial.wanted):
                    trial.end(f"--no-train, and {missing} of its recordings are not in the store")
            return
        plan = self.lab.plan(dict.fromkeys(experiment for trial in trials for experiment in trial.wanted))
        with training_progress(plan, self.lab.engine.workers, console) as tick:
            self.lab.train(plan, tick)


def _looks(outcome: Outcome) -> str:
    """Which look decided, or was the last."""
    if not outcome.looks:
        return ""
    look = f"  look {len(outcome.looks)} of {len(outcome.looks_planned)}, n = {outcome.looks[-1].n}"
    return look if outcome.as_registered else f"{look} (not registered)"
