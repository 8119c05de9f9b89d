"""What to do next about a claim that is not REPRODUCED, and the command that judges it again."""

import shlex

from ilr.report.evidence import ClaimEvidence, Evidence
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
    words = ["pytest", *_folders(evidence), "-k", f"test_{claim.id.replace('-', '_')}"]
    return shlex.join([*words, f"--scale={evidence.scale}", f"--seed={seed}", *options])


def next_step(claim: ClaimEvidence, evidence: Evidence) -> str:
    """What to do about a claim that is not REPRODUCED, in one line; empty for one that is."""
    again = command(claim, evidence)
    match claim.verdict:
        case Verdict.REPRODUCED:
            return ""
        case Verdict.INCONCLUSIVE:
            return _to_decide(claim, evidence)
        case Verdict.REFUTED:
            other = command(claim, evidence, seed=evidence.seed + 1)
            return f"a result, not a fault of the run; whether it stays on another seed: {other}"
        case Verdict.UNSOUND:
            return f"its test shows nothing until each control comes out REFUTED: mend it, then {again}"
        case Verdict.ERROR:
            return f"mend what the message names, then {again}"
        case Verdict.NOT_RUN if "--no-train" in evidence.invocation.overrides:
            return f"let it train: {again}"
        case Verdict.NOT_RUN:
            return "choose a scale at which it runs: --scale"


def replicas_to_decide(claim: ClaimEvidence) -> int | None:
    """Replicas per group that would decide an INCONCLUSIVE claim; `None` where no practical number would."""
    findings = [*claim.findings]
    for control in claim.controls:
        # A control that is REFUTED has shown what it must, whatever else it leaves open.
        if control.verdict is Verdict.INCONCLUSIVE:
            findings += control.findings
    undecided = [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]
    needed = [finding.replicas_needed for finding in undecided if finding.replicas_needed is not None]
    return max(needed) if needed and len(needed) == len(undecided) else None


def _folders(evidence: Evidence) -> list[str]:
    """The paths among what the run selected; the folder `claims` where it named none."""
    paths = []
    before = ""
    for word in evidence.invocation.selected:
        if before not in ("-k", "-m") and not word.startswith("-"):
            paths.append(word)
        before = word
    return paths or ["claims"]


def _to_decide(claim: ClaimEvidence, evidence: Evidence) -> str:
    replicas = replicas_to_decide(claim)
    if "--no-train" in evidence.invocation.overrides:
        return f"let it train on: {command(claim, evidence)}"
    if replicas is None:
        return "more replicas do not help: an estimate lies too near the edge of what is accepted"
    return f"{command(claim, evidence, replicas=replicas)} (one look, not registered{_cost(claim, evidence, replicas)})"


def _cost(claim: ClaimEvidence, evidence: Evidence, replicas: int) -> str:
    """What the replicas that are missing cost, at what those there are took; empty where that is not known."""
    seconds, had = 0.0, 0
    for digest in claim.experiments:
        if experiment := evidence.experiments.get(digest):
            seconds += experiment.seconds
            had = max(had, experiment.replicas)
    if not had or not seconds or replicas <= had:
        return ""
    more = seconds * (replicas / had - 1) / max(evidence.provenance.threads, 1)
    return f", about {duration(more)} of training more"
