"""The mode without an option: the claims are trained together and judged, look by look, and reported."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

import msgspec
from rich.console import Console, Group

from ilr.lab.housekeeping import size
from ilr.report.evidence import ClaimEvidence, Evidence
from ilr.report.files import EVIDENCE, UNFINISHED, write_evidence, write_report
from ilr.report.numbers import size as in_words
from ilr.report.page.overview import warnings
from ilr.report.text import plural
from ilr.session.closing import as_lines, closing_lines
from ilr.session.evidence import appendix, as_typed, claim_evidence, claim_files, evidence
from ilr.session.memory import check_memory
from ilr.session.mode import Mode
from ilr.session.options import check_default
from ilr.session.place import Place, place_for, tidy
from ilr.session.progress import training_progress
from ilr.session.selection import Selection, lab_for
from ilr.tools.comparison import compare
from ilr.tools.comparison_text import comparison_parts
from ilr.tools.reports import Report, overridden, read_report
from ilr.trials.outcome import Outcome
from ilr.trials.sequential import SequentialTrial


class Session(Mode):
    """One run of the claims."""

    heading = "verdicts"
    interrupted = "Interrupted: what was trained is in the store. The same command goes on from there."

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        options = selection.options
        # Another regime's verdicts take no report's place.
        folder = f"{options.scale}-literal" if options.literal else options.scale
        folder += options.variation.suffix
        if options.replicas:
            folder += f"-replicas-{options.replicas}"
        self.report = options.report or selection.root / "reports" / folder
        if options.report is None:
            check_default("report", self.report)
        if not options.no_train:
            check_default("store", options.store)
        self.started = datetime.now(UTC)
        self.judged: dict[str, Outcome] = {}
        """By the claim's id, of every claim that was looked at."""
        self.complete = False
        """Whether the report is written."""
        self.complaints: list[str] = []
        """What went wrong at the end, a line each."""
        self.files = claim_files(selection)
        self._written: dict[str, ClaimEvidence] = {}
        self.outcomes: dict[str, Outcome] = {}
        """By the id of the test that has asked for it."""
        self.found: Evidence | None = None
        """Once it is written."""
        self.place = Place(self.report)
        # Before this run writes its own, which may take its place.
        self.before = read_report(options.compare) if options.compare else None
        self.lab = lab_for(options, options.store)
        self.trials = [claim.trial for claim in selection.claims.values()]
        # Names every data set that is absent before anything is trained, and what does not fit into memory.
        self.memory = check_memory(self.lab.plan(selection.experiments), self.lab)

    def prepare(self, console: Console) -> int:
        """Trains and judges what is undecided, look by look, until nothing is."""
        if self.selection.options.replicas:
            console.print(
                "--replicas: one look that no claim registered. What it finds is marked as that everywhere.",
                soft_wrap=True,
            )
        if self.selection.options.literal:
            console.print(self.selection.literal, soft_wrap=True)
        if self.memory:
            console.print(self.memory, soft_wrap=True, markup=False)
        while open_trials := [trial for trial in self.trials if not trial.decided]:
            look = 1 + max(len(trial.looks) for trial in open_trials)
            self._train(open_trials, console)
            for trial in open_trials:
                if not trial.ended:
                    trial.look(self.lab.recording)
                if trial.decided:
                    # At once, while its recordings are at hand: those of all claims may not fit into memory.
                    self.judged[trial.file.claim.id] = trial.outcome(self.lab.recording)
                    self._keep()
            self._tell(console)
            undecided = sum(not trial.decided for trial in open_trials)
            console.print(
                f"Look {look}: {plural(len(open_trials) - undecided, 'claim')} decided, {undecided} to go on.",
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

    def finish(self) -> bool:
        """Writes the report of what was judged, if anything was, where it replaces none that has more."""
        if not self.outcomes:
            # What was judged and no test has asked for, as all are skipped, is no success.
            return not self.judged
        trials = [self.selection.claims[name].trial for name in self.outcomes]
        # What --no-train stopped was not judged to its end.
        judged = {trial.file.claim.id for trial in trials if not trial.ended}
        others = {one.claim.id for one in self.outcomes.values() if one.variation or not one.as_registered}
        self.place = place_for(self.report, self.selection.root, judged, judged - others)
        self.found = self._evidence(list(self.outcomes.values()))
        self.complaints += self._appendix[1]
        try:
            write_report(self.found, self.place.folder)
        except (OSError, ValueError) as error:
            self._save_elsewhere(self.found, error)
            return False
        self.complete = True
        # Where another folder was asked for, it has the evidence of the run that went on.
        with suppress(OSError):
            (self.report / UNFINISHED).unlink(missing_ok=True)
            tidy(self.report)
            tidy(self.place.folder)
        return not self._nothing_judged()

    def summary(self, width: int, *, verbose: bool) -> Iterable[str]:
        """The verdicts with what needs attention, a comparison, what was asked for, and where everything is."""
        if self.found is None:
            if self.judged:
                yield f"unfinished: {plural(len(self.judged), 'claim')} judged so far, in {self.report / UNFINISHED}"
            return
        # What is to be typed next holds the folders of this machine, which no report tells.
        typed = msgspec.structs.replace(self.found, invocation=as_typed(self.selection.options))
        yield from closing_lines(typed, width, verbose=verbose)
        if self.before is not None:
            yield from self._compared(self.before, self.found, width, verbose=verbose)
        for line in warnings(self.found):
            yield f"warning: {line}"
        yield f"selected: {' '.join(self.found.invocation.selected) or 'all'}"
        if options := overridden(self.found):
            yield f"overridden: {options}"
        store = size(self.lab.store.root)
        yield f"store: {self.lab.store.root}, {in_words(store.bytes)} in {plural(store.files, 'file')}"
        yield from self.complaints
        if self._nothing_judged():
            yield "no claim was judged: --no-train judges what the store has, and it has none of these"
        if self.place.spared:
            spared = f"{plural(len(self.place.spared), 'claim')} that this run did not judge as registered"
            yield f"{self.report} stays: it has {spared} ({_few(self.place.spared)})"
        if self.complete:
            yield f"report: {self.place.folder / 'index.html'}"

    def _compared(self, before: Report, found: Evidence, width: int, *, verbose: bool) -> Iterator[str]:
        """The comparison of an earlier report with this run's."""
        try:
            comparison = compare([before, Report(str(self.place.folder), found)])
        except ValueError as error:
            yield f"--compare: {error}"
            return
        yield from as_lines(Group(*comparison_parts(comparison, verbose=verbose)), width)

    def _tell(self, console: Console) -> None:
        """Prints what the store has found damaged since the last call."""
        while notes := self.lab.store.notes:
            console.print(notes.pop(0), soft_wrap=True, markup=False)

    def _evidence(self, outcomes: Sequence[Outcome]) -> Evidence:
        """The evidence of some outcomes; what became of each claim is put into words once."""
        for outcome in outcomes:
            if outcome.claim.id not in self._written:
                self._written[outcome.claim.id] = claim_evidence(outcome, self.files[outcome.claim.id])
        claims = [self._written[outcome.claim.id] for outcome in outcomes]
        return evidence(self.selection, self.lab, self.started, outcomes, claims, self._appendix[0])

    @cached_property
    def _appendix(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The figures that belong to no claim, and a line for each that is unfit; read once, not for every verdict."""
        return appendix(self.selection.root)

    def _keep(self) -> None:
        """Writes what is judged so far, so that whatever ends this run takes no verdict with it."""
        # A folder that cannot be written is told of at the end; until then everything is at hand here.
        with suppress(OSError, ValueError):
            write_evidence(self._evidence(list(self.judged.values())), self.report / UNFINISHED)

    def _save_elsewhere(self, found: Evidence, error: Exception) -> None:
        """Keeps the evidence of a report that could not be written, if any folder takes it."""
        reason = " ".join(str(error).split())
        if (self.place.folder / EVIDENCE).is_file() and isinstance(error, ValueError):
            self.complaints.append(f"the report could not be made of {self.place.folder / EVIDENCE}: {reason}")
            return
        try:
            path = Path(tempfile.mkdtemp(prefix="ilr-report-")) / EVIDENCE
            write_evidence(found, path)
        except (OSError, ValueError):
            self.complaints.append(f"the report could not be written: {reason}; the recordings stay in the store")
        else:
            self.complaints.append(f"the report could not be written: {reason}; its evidence is in {path}")

    def _nothing_judged(self) -> bool:
        """Whether --no-train left nothing to judge of all that was selected: that shows nothing."""
        trials = [claim.trial for claim in self.selection.claims.values()]
        return bool(trials) and all(trial.ended and not trial.looks for trial in trials)

    def _train(self, trials: Iterable[SequentialTrial], console: Console) -> None:
        """Trains what the next looks of some trials need and the store lacks, unless the options say not to."""
        if self.selection.options.no_train:
            for trial in trials:
                if missing := self.lab.missing(trial.wanted):
                    trial.end(f"--no-train, and {missing} of its recordings are not in the store")
            self._tell(console)
            return
        wanted = dict.fromkeys(experiment for trial in trials for experiment in trial.wanted)
        plan = self.lab.plan(wanted)
        try:
            with training_progress(plan, self.lab.engine.workers, console) as tick:
                self._tell(console)
                self.lab.train(plan, tick, partial(console.print, soft_wrap=True))
        except KeyboardInterrupt:
            missing = self.lab.missing(wanted)
            console.print(
                f"Stopped training: {plan.recordings - missing} of {plan.recordings} recordings for this look are in "
                "the store; of what was in training at most a minute is lost.",
                soft_wrap=True,
            )
            raise


def _few(names: tuple[str, ...]) -> str:
    """The first three of some names."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])}, …"
