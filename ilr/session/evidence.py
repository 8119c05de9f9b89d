"""evidence.json: everything a run found, as plain data; the only input of the report."""

import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ilr.experiments.experiment import Experiment
from ilr.lab.catalogue import Origin
from ilr.lab.hardware import processor
from ilr.lab.scheduler import Lab
from ilr.report.schema import SCHEMA
from ilr.serialization import digest, to_json
from ilr.session.options import Options
from ilr.stats.decision import Finding
from ilr.trials.claim import Claim
from ilr.trials.outcome import ControlOutcome, Outcome
from ilr.version import __version__

Evidence = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of the claims, for its provenance."""

    options: Options
    lab: Lab
    root: Path
    """Folder of the claims, whose git commit is reported."""
    started: datetime
    seconds: float


def evidence(run: Run, outcomes: Sequence[Outcome]) -> Evidence:
    """The evidence of a run, in schema 1."""
    experiments = dict.fromkeys(experiment for outcome in outcomes for experiment in outcome.experiments)
    sources = {experiment: run.lab.source(experiment) for experiment in experiments}
    return {
        "schema": SCHEMA,
        "scale": run.options.scale,
        "seed": run.options.seed,
        "started": run.started.isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 1),
        "provenance": _provenance(run, [outcome.claim for outcome in outcomes], sources.values()),
        "claims": [_claim(outcome) for outcome in outcomes],
        "appendix": _appendix(run.root),
        "experiments": {digest(experiment): _experiment(experiment, source) for experiment, source in sources.items()},
    }


def claims_sha256(claims: Sequence[Claim]) -> str:
    """One digest of all claims as they were written down, whatever order they ran in."""
    return digest(tuple(sorted(digest(claim) for claim in claims)))


def _provenance(run: Run, claims: Sequence[Claim], sources: Iterable[Origin]) -> Mapping[str, Any]:
    device = run.lab.device
    return {
        "ilr": __version__,
        "git": _git(run.root),
        "python": platform.python_version(),
        "torch": version("torch"),
        "device": device if device == "cpu" else f"{device} ({processor(device)})",
        "cpu": processor("cpu"),
        "threads": run.lab.engine.workers,
        "peak_memory_bytes": run.lab.peak_memory(sources),
        "platform": sys.platform,
        "data": {name: {"sha256": sha256} for name, sha256 in sorted(run.lab.data_sha256.items())},
        "claims_sha256": claims_sha256(claims),
    }


def _claim(outcome: Outcome) -> Mapping[str, Any]:
    claim = outcome.claim
    return {
        "id": claim.id,
        "title": claim.title,
        "source": claim.source,
        "statement": claim.statement,
        "verdict": outcome.verdict.value,
        "findings": [_finding(finding) for finding in outcome.findings],
        "controls": [_control(control) for control in outcome.controls],
        "experiments": [digest(experiment) for experiment in outcome.experiments],
        "figures": list(outcome.figures),
        "seconds": round(outcome.seconds, 2),
        "message": outcome.message,
        "record": to_json(claim),
        "record_sha256": digest(claim),
    }


def _control(control: ControlOutcome) -> Mapping[str, Any]:
    return {
        "name": control.name,
        "takes_away": control.takes_away,
        "verdict": control.verdict.value,
        "sound": control.sound,
        "findings": [_finding(finding) for finding in control.findings],
        "message": control.message,
    }


def _finding(finding: Finding) -> Mapping[str, Any]:
    return {name: value for name, value in to_json(finding).items() if name != "record"}


def _experiment(experiment: Experiment, source: Origin) -> Mapping[str, Any]:
    return {
        "description": str(experiment),
        "replicas": experiment.replicas,
        "steps": experiment.steps,
        "seconds": round(source.seconds, 1),
        "origin": source.origin,
        "computed": "; ".join(source.formulations),
        "record": to_json(experiment),
    }


def _appendix(root: Path) -> list[str]:
    """Figures that belong to no claim, as SVG texts: what `benchmarks/` measured here, if it was run."""
    return [path.read_text() for path in sorted((root / "reports").glob("*.svg"))]


def _git(folder: Path) -> str:
    """The commit of the folder, and whether the work tree differs from it; empty outside a repository."""
    try:
        commit = _output(folder, "git", "rev-parse", "HEAD")
        changed = _output(folder, "git", "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit} ({'with uncommitted changes' if changed else 'clean'})"


def _output(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
