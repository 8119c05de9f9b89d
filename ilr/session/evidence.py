"""evidence.json: everything a run found, as plain data; the only input of the report."""

import math
import platform
import re
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from ilr.experiments.experiment import Experiment, Precision
from ilr.lab.catalogue import Origin
from ilr.lab.hardware import gpus, processor
from ilr.lab.scheduler import Lab
from ilr.report import evidence as schema
from ilr.report.files import check_plain
from ilr.report.svg.inline import Figure
from ilr.serialization import decisive, digest, to_json
from ilr.session import repository
from ilr.session.options import Options, flag, table
from ilr.session.selection import Selection
from ilr.stats.decision import Finding, Verdict
from ilr.training.trainers import invariance_found, rate_found
from ilr.trials.claim import Claim, Control
from ilr.trials.judging import LONGEST_MESSAGE
from ilr.trials.outcome import Look, Outcome
from ilr.variations.choices import Choice, without_folder
from ilr.version import __version__

PRECISIONS: Mapping[Precision, str] = {
    "float32": "float32",
    "float64": "float64",
    "tf32": "float32, products in TF32",
    "bfloat16": "float32, products in bfloat16",
}
"""In words."""

_FOLDERS = re.compile(r"(?<![^\s'\"(\[=])/(?:[^\s/'\"]+/)+")
"""A path from the root on, but for its last part."""

_NOT_AGAIN = ("scale", "seed", "compare", "plan", "plan_json", "rehearse")
"""Options that a command to judge again has anyway, or that decide nothing of it."""

_NO_OVERRIDES = (*_NOT_AGAIN, "store", "report", *(name for name in table() if name.startswith("slurm_")))
"""Options that stand elsewhere in the evidence, or that decide nothing of it; nor do a cluster's."""


def evidence(
    selection: Selection,
    lab: Lab,
    started: datetime,
    outcomes: Sequence[Outcome],
    claims: Sequence[schema.ClaimEvidence],
    figures: Sequence[str],
) -> schema.Evidence:
    """The evidence of a run that ends now, in schema 2.

    Args:
        selection: what the run was of.
        lab: has trained it.
        started: when the run began.
        outcomes: of the claims that were judged.
        claims: what `claim_evidence` makes of them.
        figures: those of no claim, from `appendix`.
    """
    options = selection.options
    # Each experiment once, in order of appearance.
    sources = {experiment: lab.source(experiment) for outcome in outcomes for experiment in outcome.planned.all()}
    return schema.Evidence(
        schema=2,
        scale=options.scale,
        seed=options.seed,
        started=started.replace(microsecond=0),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 1),
        invocation=_invocation(options),
        provenance=_provenance(selection, lab, sources.values(), [outcome.claim for outcome in outcomes]),
        claims=tuple(claims),
        appendix=tuple(figures),
        experiments={digest(experiment): _experiment(experiment, source) for experiment, source in sources.items()},
    )


def _invocation(options: Options) -> schema.Invocation:
    """What was asked for, less what a machine calls its folders."""
    overrides = {name: without_folder(text) for name, text in _overrides(options, _NO_OVERRIDES).items()}
    return _invoked(options, tuple(without_folder(word) for word in options.selected), overrides)


def as_typed(options: Options) -> schema.Invocation:
    """What was asked for, to be typed again on this machine: folders in full, those of store and report, too."""
    return _invoked(options, options.selected, _overrides(options, _NOT_AGAIN))


def _overrides(options: Options, left_out: Collection[str]) -> dict[str, str]:
    """The options that were given and differ from their default, as they are typed."""
    usual = Options()
    overrides: dict[str, str] = {}
    for name, option in table().items():
        value = getattr(options, name)
        if name in left_out or value == getattr(usual, name):
            continue
        if option.repeated:
            overrides |= {f"{flag(name)}={key}={text}": "" for key, text in value}
        else:
            overrides[flag(name)] = "" if value is True else value.typed if isinstance(value, Choice) else str(value)
    return overrides


def _invoked(options: Options, selected: tuple[str, ...], overrides: Mapping[str, str]) -> schema.Invocation:
    command = ["pytest", *selected, f"--scale={options.scale}", f"--seed={options.seed}"]
    for name, text in overrides.items():
        command.append(f"{name}={text}" if text else name)
    return schema.Invocation(shlex.join(command), selected, overrides)


def _provenance(
    selection: Selection, lab: Lab, sources: Collection[Origin], claims: Sequence[Claim]
) -> schema.Provenance:
    device, here = lab.device, gpus(lab.device)
    count = f"{here} × " if here > 1 else ""
    return schema.Provenance(
        ilr=__version__,
        git=_commit(selection),
        repository=repository.address_of(selection.root),
        python=platform.python_version(),
        # As the recordings have it, with the build: the package's metadata leaves out "+cu130".
        torch=str(torch.__version__),
        device=f"{device} ({count}{processor(device)})" if here else device,
        cpu=processor("cpu"),
        threads=lab.engine.workers,
        peak_memory_bytes=lab.peak_memory(sources),
        peak_gpu_memory_bytes=max((source.peak_gpu_memory for source in sources), default=0),
        platform=sys.platform,
        data={name: schema.DataEvidence(sha256) for name, sha256 in sorted(lab.data_sha256.items())},
        # Sorted: the same claims have one digest in whatever order they ran.
        claims_sha256=digest(tuple(sorted(digest(claim) for claim in claims))),
    )


def claim_files(selection: Selection) -> dict[str, str]:
    """The path of each claim's file within its repository, by the claim's id."""
    within = repository.path_within(selection.root)
    # A test's id begins with the path of its file.
    return {claim.id: within + test.partition("::")[0] for test, claim in selection.claims.items()}


def appendix(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Figures that belong to no claim: what `benchmarks/` measured here, if it was run; and a line for each unfit one.

    Args:
        root: folder of the claims.
    """
    texts, complaints = [], []
    for path in sorted((root / "reports").glob("*.svg")):
        try:
            text = path.read_text(encoding="utf-8")
            Figure.parse(text, "")
        except (OSError, ValueError) as error:
            complaints.append(f"left out of the report: {path}: {error}")
        else:
            texts.append(text)
    return tuple(texts), tuple(complaints)


def claim_evidence(outcome: Outcome, file: str) -> schema.ClaimEvidence:
    """What became of a claim; an ERROR with one line if that does not keep the schema, which would cost all others
    their report.

    Args:
        outcome: of the claim.
        file: the path of its file within the repository.
    """
    try:
        found = _claim(outcome, file)
        check_plain(found)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"what it found cannot be written down: {' '.join(str(error).split())[:LONGEST_MESSAGE]}"
        without = replace(outcome, verdict=Verdict.ERROR, message=message, findings=(), values={}, controls={})
        return _claim(replace(without, looks=(), figures=()), file)
    return found


def _claim(outcome: Outcome, file: str) -> schema.ClaimEvidence:
    claim, findings = outcome.claim, finding_evidence(outcome.findings)
    return schema.ClaimEvidence(
        id=claim.id,
        title=claim.title,
        source=claim.source,
        statement=claim.statement,
        verdict=outcome.verdict,
        findings=findings,
        controls=tuple(_control(control, outcome) for control in claim.controls if control.name in outcome.controls),
        experiments=tuple(digest(experiment) for experiment in outcome.planned.all()),
        figures=outcome.figures,
        seconds=round(outcome.seconds, 2),
        message=_without_folders(outcome.message),
        record=to_json(claim),
        record_sha256=digest(claim),
        file=file,
        looks=tuple(_look(look) for look in outcome.looks),
        looks_planned=outcome.looks_planned,
        as_registered=outcome.as_registered,
        literal=outcome.literal,
        variation=outcome.variation,
        regime=_regime(outcome),
        history=outcome.history,
        digests=_digests(outcome.planned.experiments),
        values=outcome.values,
    )


def _control(control: Control, outcome: Outcome) -> schema.ControlEvidence:
    judged = outcome.controls[control.name]
    return schema.ControlEvidence(
        name=control.name,
        takes_away=control.takes_away,
        verdict=judged.verdict,
        sound=judged.sound,
        findings=finding_evidence(judged.findings),
        message=_without_folders(judged.message),
        digests=_digests(outcome.planned.controls[control.name]),
        values=judged.values,
    )


def _look(look: Look) -> schema.Look:
    return schema.Look(look.n, look.level, finding_evidence(look.findings), look.verdict, look.controls)


def _regime(outcome: Outcome) -> str:
    """What was trained, in one line that changes with it; empty for a claim that was not judged."""
    if not outcome.looks:
        return ""
    # Experiments of one claim differ in their rates, and some in their net: the first one stands for all.
    first = next(iter(outcome.planned.experiments.values()))
    replicas = " or ".join(str(n) for n in outcome.looks_planned)
    return f"{first}; {first.steps:,} steps; {replicas} replicas a group"


def _without_folders(message: str) -> str:
    """A message as evidence may have it: of what a machine's folders are called, an error may tell."""
    return _FOLDERS.sub("DIR/", message)


def finding_evidence(findings: Sequence[Finding]) -> tuple[schema.FindingEvidence, ...]:
    """Findings as the report reads them."""
    names = schema.FindingEvidence.__struct_fields__
    # Not msgspec.convert, which checks: a run that found something odd is to be written down first.
    return tuple(schema.FindingEvidence(**{name: getattr(finding, name) for name in names}) for finding in findings)


def _digests(experiments: Mapping[str, Experiment]) -> dict[str, str]:
    return {name: digest(experiment) for name, experiment in experiments.items()}


def _experiment(experiment: Experiment, source: Origin) -> schema.ExperimentEvidence:
    data = [str(part) for part in (experiment.data, experiment.augmentation) if part is not None]
    return schema.ExperimentEvidence(
        description=str(experiment),
        replicas=experiment.replicas,
        steps=experiment.steps,
        seconds=round(source.seconds, 1),
        origin=source.origin,
        computed="; ".join(source.formulations),
        net=str(experiment.net),
        norm=", ".join(filter(None, (str(experiment.norm), invariance_found(experiment)))),
        optimiser=", ".join(filter(None, (str(experiment.stepped_by), rate_found(experiment)))),
        data=", ".join(data),
        learning_rate=str(experiment.learning_rate),
        weight_decay=str(experiment.weight_decay),
        intrinsic_learning_rate=_first_and_last(experiment),
        batch_size=experiment.batch_size,
        # The toy loss is computed in float64, whatever is said of nets.
        precision=PRECISIONS["float64" if experiment.data is None else experiment.precision],
        trained_by=source.trained_by,
        record=decisive(to_json(experiment)),
    )


def _first_and_last(experiment: Experiment) -> tuple[float | None, float | None]:
    """λₑ at the first step and at the last, where it is finite."""
    try:
        with np.errstate(all="ignore"):
            rates = experiment.intrinsic_learning_rates()
    except Exception:  # a schedule of a claim's own that fails; its training has told of it
        return None, None
    first, last = float(rates[0]), float(rates[max(experiment.steps - 1, 0)])
    return first if math.isfinite(first) else None, last if math.isfinite(last) else None


def _commit(selection: Selection) -> str:
    # A test's id begins with its file.
    claims = sorted({test.partition("::")[0] for test in selection.claims})
    reports = [selection.root / "reports"]
    if selection.options.report:
        reports.append(selection.options.report)
    return repository.commit_of(selection.root, claims, reports)
