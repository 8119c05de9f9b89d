"""What to do next about a claim that is not REPRODUCED, and the command that judges it again."""

import math
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
    return shlex.join(["pytest", _file(claim, evidence), f"--scale={evidence.scale}", f"--seed={seed}", *options])


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


def replicas_to_decide(claim: ClaimEvidence, scale: str) -> int | None:
    """Replicas per group that would decide an INCONCLUSIVE claim; `None` where no practical number would, or none is
    known.
    """
    findings = [*claim.findings]
    for control in claim.controls:
        # A control that is REFUTED has shown what it must, whatever else it leaves open.
        if control.verdict is Verdict.INCONCLUSIVE:
            findings += control.findings
    times = 0.0
    for finding in findings:
        if finding.verdict is Verdict.INCONCLUSIVE:
            if finding.replicas_needed is None:
                return None
            # A decision may rest on fewer than a group has: on its pairs, for one.
            times = max(times, finding.replicas_needed / max(finding.n, 1))
    group = _replicas(claim, scale)
    return math.ceil(group * times) if group and times else None


def _replicas(claim: ClaimEvidence, scale: str) -> int:
    """Replicas per group at the last look; of old evidence, those that are registered; 0 where neither is known."""
    if claim.looks:
        return claim.looks[-1].n
    registered = claim.registered.replicas.get(scale)
    if isinstance(registered, tuple):
        return max(registered, default=0)
    return registered if isinstance(registered, int) else 0


def _file(claim: ClaimEvidence, evidence: Evidence) -> str:
    """Path of the claim's file: among the paths that were selected, or in the first folder of these."""
    name = f"test_{claim.id.replace('-', '_')}.py"
    paths = [path.split("::")[0] for path in _paths(evidence)]
    for path in paths:
        if path.endswith(name):
            return path
    folder = next((path for path in paths if not path.endswith(".py")), "claims")
    return f"{folder.rstrip('/')}/{name}"


def _paths(evidence: Evidence) -> list[str]:
    """The paths among what the run selected."""
    paths = []
    before = ""
    for word in evidence.invocation.selected:
        if before not in ("-k", "-m") and not word.startswith("-"):
            paths.append(word)
        before = word
    return paths


def _to_decide(claim: ClaimEvidence, evidence: Evidence) -> str:
    replicas = replicas_to_decide(claim, evidence.scale)
    if "--no-train" in evidence.invocation.overrides:
        return f"let it train on: {command(claim, evidence)}"
    if replicas is None:
        return "more replicas do not help: an estimate lies too near the edge of what is accepted"
    return f"{command(claim, evidence, replicas=replicas)} (one look, not registered{_cost(claim, evidence, replicas)})"


def _cost(claim: ClaimEvidence, evidence: Evidence, replicas: int) -> str:
    """What the replicas that are missing cost, at what those there are took; empty where that is not known."""
    there = [evidence.experiments[digest] for digest in claim.experiments if digest in evidence.experiments]
    seconds = sum(experiment.seconds for experiment in there)
    had = _replicas(claim, evidence.scale)
    if not seconds or replicas <= had:
        return ""
    more = seconds * (replicas / had - 1) / max(evidence.provenance.threads, 1)
    return f", about {duration(more)} of training more"
