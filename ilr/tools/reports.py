"""A report found by its folder or its file, and the facts that set one run apart from another."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ilr.report.evidence import Evidence
from ilr.report.files import EVIDENCE, read_evidence

AS_REGISTERED = "as-registered"
"""The folder of the report, among those of variations, that is none."""

OWN = "own"
"""What stands for a choice that is left to the claims."""


@dataclass(frozen=True)
class Report:
    """The evidence of one run, and what it is called."""

    name: str
    """The path as it was given."""
    evidence: Evidence


def read_report(path: Path | str) -> Report:
    """The report in a folder, or in an evidence file.

    Raises:
        ValueError: there is none, or it cannot be read; in one line.
    """
    place = Path(path)
    if place.is_dir() or place.suffix != Path(EVIDENCE).suffix:
        return Report(str(path), read_evidence(place))
    return Report(str(path), read_evidence(place.parent, place.name))


def facts(evidence: Evidence) -> dict[str, str]:
    """What a run was of and with what, by name; empty where its evidence does not say."""
    provenance = evidence.provenance
    trained = [experiment.trained_by for experiment in evidence.experiments.values()]
    return {
        "scale": evidence.scale,
        "seed": str(evidence.seed),
        "selected": " ".join(evidence.invocation.selected),
        "overridden": overridden(evidence),
        "judged": f"{evidence.started:%Y-%m-%d %H:%M} UTC",
        "ilr": provenance.ilr,
        "commit": provenance.git,
        "claims": provenance.claims_sha256[:12],
        "torch": provenance.torch,
        "trained with torch": _all(version for one in trained for version in one.torch_versions),
        "python": provenance.python,
        "device": provenance.device,
        "processor": provenance.cpu,
        "trained on": _all(processor for one in trained for processor in one.processors),
        "GPU software": _all(software for one in trained for software in one.gpu_software),
        "data": _all(f"{name} {data.sha256[:12]}" for name, data in provenance.data.items()),
    }


def overridden(evidence: Evidence) -> str:
    """The options that the run was given beside scale and seed, as they are typed."""
    overrides = evidence.invocation.overrides
    return " ".join(f"{name}={text}" if text else name for name, text in overrides.items())


def _all(names: Iterable[str]) -> str:
    return ", ".join(sorted({*names}))
