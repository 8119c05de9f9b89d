"""A claim from look to look: judged on few replicas first, and on twice as many only if these leave it undecided."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from threadpoolctl import threadpool_limits

from ilr.experiments.experiment import Experiment, Precision
from ilr.report.svg.inline import Figure
from ilr.stats.decision import Verdict
from ilr.trials.claim import Experiments, Recordings, Setting
from ilr.trials.claim_file import ClaimFile
from ilr.trials.judging import RecordingOf, described, judgement
from ilr.trials.outcome import Judgement, Look, Outcome, PlannedExperiments
from ilr.trials.plotting import in_style, to_svg
from ilr.trials.scales import Scale
from ilr.variations.variation import AS_REGISTERED, Variation

CLAIM = ""
"""Stands for the claim itself where its controls stand by name."""


@dataclass
class SequentialTrial:
    """One claim's way through its looks.

    At each of K looks every finding is decided at α / K, so by the union bound a verdict is false with probability α at
    most, whatever the rule, however looks depend on each other, and whatever makes one go on. The first look that
    decides is final; a control may need more looks than its claim, or fewer.
    """

    file: ClaimFile
    plans: tuple[PlannedExperiments, ...]
    """What each look needs: the same experiments with more replicas."""
    as_registered: bool = True
    """Whether the looks are those that the claim registered."""
    literal: bool = False
    """Whether it trains for the lengths that the paper states, in place of those that theory asks for."""
    looks: list[Look] = field(default_factory=list)
    """Those that were taken."""
    ended: str = ""
    """Why it stopped before its last look, where something else than a verdict stopped it."""

    def __post_init__(self) -> None:
        self._judged: dict[str, tuple[Judgement, Experiments]] = {}
        """How the claim and its controls stand, each by the last look it took, with what that look was judged on."""
        self._seconds = 0.0

    @classmethod
    def of(
        cls,
        file: ClaimFile,
        scale: Scale,
        seed: int,
        replicas: int | None = None,
        *,
        arithmetic: Precision = "float32",
        literal: bool = False,
        variation: Variation = AS_REGISTERED,
    ) -> "SequentialTrial":
        """The trial of a claim that begins.

        Args:
            file: of the claim.
            scale: at which it is tried.
            seed: root seed.
            replicas: per group, at a single look in place of those that are registered.
            arithmetic: the precision of what is registered in float32.
            literal: for the lengths that the paper states, where the claim has such.
            variation: what is chosen in place of the claim's own net, norm and so on.
        """
        registered = file.claim.replicas.looks(scale)
        looks = (replicas,) if replicas and registered else registered
        literal = literal and bool(file.claim.differs.literal)
        settings = [Setting(scale, seed, n, looks[-1], literal) for n in looks] or [Setting(scale, seed, 0)]
        plans = tuple(file.plan(setting, variation).multiplied_in(arithmetic) for setting in settings)
        return cls(file, plans, as_registered=looks == registered, literal=literal)

    @property
    def largest(self) -> PlannedExperiments:
        """What the last look would need."""
        return self.plans[-1]

    @property
    def decided(self) -> bool:
        """Whether another look could change nothing."""
        if self.ended or self.plans[0].not_run or self.plans[0].error or len(self.looks) == len(self.plans):
            return True
        if not self._judged:
            return False
        verdicts = {name: judged.verdict for name, (judged, _) in self._judged.items()}
        controls = [verdict for name, verdict in verdicts.items() if name != CLAIM]
        # A claim that is REFUTED has shown that its test can fail, and one of these is all a report needs to know.
        if verdicts[CLAIM] in (Verdict.REFUTED, Verdict.ERROR) or {Verdict.ERROR, Verdict.REPRODUCED} & {*controls}:
            return True
        return Verdict.INCONCLUSIVE not in verdicts.values()

    @property
    def wanted(self) -> tuple[Experiment, ...]:
        """The experiments that the next look needs; none if there is nothing left to decide."""
        experiments = self._parts_of_next_look().values()
        return tuple(dict.fromkeys(one for named in experiments for one in named.values()))

    def look(self, recording_of: RecordingOf) -> None:
        """Judges whatever is undecided at the next look.

        Args:
            recording_of: gives the recordings of what is `wanted`.
        """
        started = time.perf_counter()
        claim, plan, looks = self.file.claim, self.plans[len(self.looks)], len(self.plans)
        verdicts = {}
        # The threads of a judge's many small products would only wait for each other, the longer the busier the CPU.
        with threadpool_limits(1):
            for name, experiments in self._parts_of_next_look().items():
                judged = judgement(claim, self.file.judge, experiments, recording_of, looks)
                self._judged[name] = judged, experiments
                verdicts[name] = judged.verdict
                if judged.verdict is Verdict.ERROR:
                    break
        # What could not be judged was no look at the data.
        if Verdict.ERROR not in verdicts.values():
            findings = self._judged[CLAIM][0].findings if CLAIM in verdicts else ()
            level = min(prediction.alpha for prediction in claim.predictions) / looks
            self.looks.append(Look(plan.replicas, level, verdicts.pop(CLAIM, None), findings, verdicts))
        if not self.decided:
            self._forget_recordings()
        self._seconds += time.perf_counter() - started

    def end(self, reason: str) -> None:
        """Stops before the next look."""
        self.ended = reason

    def outcome(self, recording_of: RecordingOf) -> Outcome:
        """How the claim came out, with its figure; afterwards the recordings are forgotten."""
        plan = self.plans[0]
        claim, history = self.file.claim, self.file.history
        outcome = Outcome(claim, Verdict.NOT_RUN, plan.not_run, history, plan, variation=plan.variation)
        if plan.error:
            return replace(outcome, verdict=Verdict.ERROR, message=plan.error)
        if not self._judged:
            return replace(outcome, message=plan.not_run or self.ended)
        started = time.perf_counter()
        main, experiments = self._judged[CLAIM]
        controls = {name: judged for name, (judged, _) in self._judged.items() if name != CLAIM}
        verdict, message = _overall(main, controls)
        if self.ended and verdict is Verdict.INCONCLUSIVE:
            message = f"{message}; {self.ended}"
        figures: tuple[str, ...] = ()
        if verdict is not Verdict.ERROR:
            try:
                figures = (self._drawn(recording_of),)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a figure that fails costs neither the findings nor the verdict
                message = "; ".join(filter(None, (message, f"its figure could not be drawn: {described(error)}")))
        self._forget_recordings()
        by_control = {name: experiments for name, (_, experiments) in self._judged.items() if name != CLAIM}
        return replace(
            outcome,
            verdict=verdict,
            message=message,
            planned=PlannedExperiments(experiments, by_control, self.plans[max(len(self.looks), 1) - 1].replicas),
            findings=main.findings,
            values=main.values,
            controls={name: replace(judged, recordings={}) for name, judged in controls.items()},
            looks=tuple(self.looks),
            looks_planned=tuple(one.replicas for one in self.plans),
            as_registered=self.as_registered,
            literal=self.literal,
            figures=figures,
            seconds=self._seconds + time.perf_counter() - started,
        )

    def _parts_of_next_look(self) -> dict[str, Experiments]:
        """The experiments of the claim and of its controls that are undecided, as the next look has them."""
        if self.decided:
            return {}
        plan = self.plans[len(self.looks)]
        parts = {CLAIM: plan.experiments, **plan.controls}
        for name, (judged, _) in self._judged.items():
            if judged.verdict is not Verdict.INCONCLUSIVE:
                del parts[name]
        return parts

    def _drawn(self, recording_of: RecordingOf) -> str:
        recordings: dict[str, Recordings] = {}
        for name, (judged, experiments) in self._judged.items():
            # What an earlier look decided has been forgotten since.
            recordings[name] = judged.recordings or {key: recording_of(one) for key, one in experiments.items()}
        main = recordings.pop(CLAIM)
        with threadpool_limits(1), in_style():
            svg = to_svg(self.file.figure(main, recordings), self.file.claim.id)
        # The page takes no other: found out now, one figure costs no report.
        Figure.parse(svg, "")
        return svg

    def _forget_recordings(self) -> None:
        """Recordings are large, and trials are kept to the end of the run."""
        for name, (judged, experiments) in self._judged.items():
            self._judged[name] = replace(judged, recordings={}), experiments


def _overall(main: Judgement, controls: Mapping[str, Judgement]) -> tuple[Verdict, str]:
    """The claim's verdict and message: its own, unless a control says that its test cannot be trusted."""
    if main.verdict is Verdict.ERROR:
        return main.verdict, main.message
    for name, judged in controls.items():
        if judged.verdict is Verdict.ERROR:
            return Verdict.ERROR, f"its control {name!r} could not be judged: {judged.message}"
    for name, judged in controls.items():
        if judged.verdict is Verdict.REPRODUCED:
            return Verdict.UNSOUND, f"its control {name!r} came out REPRODUCED, so its test cannot fail"
    for name, judged in controls.items():
        if main.verdict is Verdict.REPRODUCED and judged.verdict is Verdict.INCONCLUSIVE:
            return Verdict.INCONCLUSIVE, f"its control {name!r} is not refuted: {judged.message}"
    return main.verdict, main.message
