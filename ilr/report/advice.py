"""What to do next about a claim that is not REPRODUCED, and the command that judges it again."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ilr.report.evidence import ClaimEvidence, Evidence, FindingEvidence, file_name
from ilr.report.numbers import duration
from ilr.stats.decision import Verdict


def command(claim: ClaimEvidence, evidence: Evidence, *, replicas: int | None = None, seed: int | None = None) -> str:
    """The command that judges one claim again as this run did.

    Args:
        claim: to be judged.
        evidence: of the run.
        replicas: per group, at one look; `None` for as many as the run had.
        seed: root seed; `None` for that of the run.
    """
    # What the run was given, less what chose among its claims.
    overrides = dict(evidence.invocation.overrides)
    if replicas is not None:
        overrides["--replicas"] = str(replicas)
    overrides.pop("--no-train", None)
    options = [f"{name}={text}" if text else name for name, text in overrides.items()]
    seed = evidence.seed if seed is None else seed
    return shlex.join(["pytest", _file(claim, evidence), f"--scale={evidence.scale}", f"--seed={seed}", *options])


@dataclass(frozen=True)
class Step:
    """What to do next about a claim: in words that begin small and end without a full stop, and by which command."""

    words: str
    command: str
    """Empty where none would help."""

    def __str__(self) -> str:
        return f"{self.words}: {self.command}" if self.command else self.words


def next_step(claim: ClaimEvidence, evidence: Evidence) -> Step | None:
    """What to do about a claim that is not REPRODUCED; `None` for one that is."""
    again = command(claim, evidence)
    untrained = "--no-train" in evidence.invocation.overrides
    match claim.verdict:
        case Verdict.REPRODUCED:
            return None
        case Verdict.INCONCLUSIVE if untrained:
            return Step("let it train on", again)
        case Verdict.INCONCLUSIVE:
            replicas = _to_decide(claim, evidence)
            more = command(claim, evidence, replicas=replicas) if replicas else ""
            return Step(to_decide(claim, evidence), more)
        case Verdict.REFUTED:
            other = command(claim, evidence, seed=evidence.seed + 1)
            return Step("a result, not a fault of the run; whether it stays on another seed", other)
        case Verdict.UNSOUND:
            return Step(
                "its test shows nothing until each control comes out REFUTED; mend it and judge it again", again
            )
        case Verdict.ERROR:
            return Step("mend what the message names, then judge it again", again)
        case Verdict.NOT_RUN if untrained:
            return Step("let it train", again)
        case Verdict.NOT_RUN if claim.variation:
            return Step("nothing: it says nothing about that", "")
        case Verdict.NOT_RUN:
            return Step("choose a scale at which it runs, by --scale", "")


def to_decide(claim: ClaimEvidence, evidence: Evidence) -> str:
    """What it takes to decide an INCONCLUSIVE claim, in words."""
    replicas = _to_decide(claim, evidence)
    if replicas is not None:
        cost = _cost(claim, evidence, replicas)
        return f"about {replicas:,} replicas a group would decide{cost}, at one look that is not registered"
    if any(finding.replicas_needed is None for finding in _undecided(claim)):
        return "more replicas do not help, as an estimate lies too near the edge of what is accepted"
    return "how many replicas would decide is not known"


def _to_decide(claim: ClaimEvidence, evidence: Evidence) -> int | None:
    """Replicas per group that would decide; `None` where no practical number would, or none is known."""
    times = 0.0
    for finding in _undecided(claim):
        if finding.replicas_needed is None:
            return None
        # A decision may rest on fewer than a group has: on its pairs, for one.
        times = max(times, finding.replicas_needed / max(finding.n, 1))
    group = _replicas(claim, evidence.scale)
    return math.ceil(group * times) if group and times else None


def _undecided(claim: ClaimEvidence) -> list[FindingEvidence]:
    """The findings that keep the claim undecided, of its controls, too."""
    findings = [*claim.findings]
    for control in claim.controls:
        # A control that is REFUTED has shown what it must, whatever else it leaves open.
        if control.verdict is Verdict.INCONCLUSIVE:
            findings += control.findings
    return [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]


def _replicas(claim: ClaimEvidence, scale: str) -> int:
    """Replicas per group at the last look; of old evidence, those that are registered; 0 where neither is known."""
    if claim.looks:
        return claim.looks[-1].n
    registered = claim.registered.replicas.get(scale)
    if isinstance(registered, tuple):
        return max(registered, default=0)
    return registered if isinstance(registered, int) else 0


def _file(claim: ClaimEvidence, evidence: Evidence) -> str:
    """Path of the claim's file, as it is reached by one of the paths that were selected."""
    name = file_name(claim.id)
    paths = [path.split("::")[0] for path in _paths(evidence)]
    for path in paths:
        if path.rpartition("/")[2] == name:
            return path
    folders = [path.rpartition("/")[0] if path.endswith(".py") else path.rstrip("/") for path in paths]
    within = claim.file.split("/")[:-1]
    reached = [(*_overlap(folder.split("/"), within), folder) for folder in folders if folder]
    if not reached:
        return claim.file or f"claims/{name}"
    # Of several folders, the one that the claim's own lies in.
    overlap, below, folder = max(reached, key=lambda one: one[0])
    return "/".join([folder, *(below if overlap else ()), name])


def _overlap(folder: Sequence[str], within: Sequence[str]) -> tuple[int, Sequence[str]]:
    """How many of a folder's last parts are among those of another, in this order; and what comes there behind them.

    >>> _overlap(["..", "claims"], ["project", "claims", "new"])
    (1, ['new'])
    """
    for length in range(min(len(folder), len(within)), 0, -1):
        for begin in range(len(within) - length + 1):
            if folder[-length:] == within[begin : begin + length]:
                return length, within[begin + length :]
    return 0, ()


def _paths(evidence: Evidence) -> list[str]:
    """The paths among what the run selected."""
    paths = []
    before = ""
    for word in evidence.invocation.selected:
        if before not in ("-k", "-m") and not word.startswith("-"):
            paths.append(word)
        before = word
    return paths


def _cost(claim: ClaimEvidence, evidence: Evidence, replicas: int) -> str:
    """What the replicas that are missing cost, at what those there are took; empty where that is not known."""
    there = [evidence.experiments[digest] for digest in claim.experiments if digest in evidence.experiments]
    seconds = sum(experiment.seconds for experiment in there)
    had = _replicas(claim, evidence.scale)
    if not seconds or replicas <= had:
        return ""
    more = seconds * (replicas / had - 1) / max(evidence.provenance.threads, 1)
    return f", with about {duration(more)} of training more"
