"""What a claim trained, group by group: what is the same in all groups once, what differs as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ilr.report.evidence import ClaimEvidence, Evidence, ExperimentEvidence
from ilr.report.numbers import registered
from ilr.report.page.sentences import spaced

COLUMNS = {
    "net": "net",
    "norm": "norm",
    "optimiser": "optimiser",
    "data": "data",
    "precision": "precision",
    "batch": "B",
    "learning rate": "η(t)",
    "weight decay": "λ(t)",
    "intrinsic": "λₑ, first → last",
    "steps": "steps",
    "replicas": "replicas",
    "computed": "computed",
}
"""What is said of each group, with its heading."""


@dataclass(frozen=True)
class Group:
    """Experiments with equal settings."""

    names: tuple[str, ...]
    cells: tuple[str, ...]
    """Of the columns that differ."""
    digests: tuple[str, ...]
    seconds: float
    """Training time of all of them."""
    origins: tuple[str, ...]
    """Each once."""


@dataclass(frozen=True)
class Settings:
    """The settings of all groups."""

    common: tuple[tuple[str, str], ...]
    """What is the same in all of them: heading and value."""
    columns: tuple[str, ...]
    """Headings of what differs."""
    groups: tuple[Group, ...]
    unknown: tuple[str, ...]
    """Digests of experiments that did not get as far as being recorded."""

    @property
    def seconds(self) -> float:
        """Training time of all groups."""
        return sum(group.seconds for group in self.groups)


def settings_of(claim: ClaimEvidence, evidence: Evidence) -> Settings:
    """What a claim and its controls trained."""
    named = _names(claim)
    known = {digest: evidence.experiments[digest] for digest in claim.experiments if digest in evidence.experiments}
    said = {digest: _said(experiment) for digest, experiment in known.items()}
    common = {
        column: values.pop() for column in COLUMNS if len(values := {one.get(column, "") for one in said.values()}) == 1
    }
    columns = [column for column in COLUMNS if column not in common and any(column in one for one in said.values())]
    rows: dict[tuple[str, ...], list[str]] = {}
    for digest, one in said.items():
        rows.setdefault(tuple(one.get(column, "") for column in columns), []).append(digest)
    return Settings(
        common=tuple((COLUMNS[column], value) for column, value in common.items() if value),
        columns=tuple(COLUMNS[column] for column in columns),
        groups=tuple(_group(cells, digests, named, known) for cells, digests in rows.items()),
        unknown=tuple(digest for digest in claim.experiments if digest not in evidence.experiments),
    )


def _group(
    cells: tuple[str, ...],
    digests: Sequence[str],
    named: Mapping[str, Sequence[str]],
    known: Mapping[str, ExperimentEvidence],
) -> Group:
    names = [name for digest in digests for name in named.get(digest, ())]
    return Group(
        # Evidence of schema 1 does not say what an experiment is called.
        names=tuple(dict.fromkeys(names)) or (f"{len(digests)} experiments" if len(digests) > 1 else "1 experiment",),
        cells=cells,
        digests=tuple(digests),
        seconds=sum(known[digest].seconds for digest in digests),
        origins=tuple(dict.fromkeys(_origin(known[digest]) for digest in digests)),
    )


def _origin(experiment: ExperimentEvidence) -> str:
    """Where a recording came from, for readers who need not know how a store looks things up."""
    return experiment.origin.replace("trained here: never trained", "trained for this run").replace(
        "trained here:", "trained for this run:"
    )


def _names(claim: ClaimEvidence) -> dict[str, list[str]]:
    """What the claim's file calls each experiment, by digest; those of a control, only if the claim lacks them."""
    names: dict[str, list[str]] = {}
    for name, digest in claim.digests.items():
        names.setdefault(digest, []).append(name)
    own = set(names)
    for control in claim.controls:
        for name, digest in control.digests.items():
            if digest not in own:
                names.setdefault(digest, []).append(f"{name}, {spaced(control.name)}")
    return names


def _said(experiment: ExperimentEvidence) -> dict[str, str]:
    """What the evidence says of an experiment, by column; evidence of schema 1 has its description and its record."""
    if experiment.net:
        first, last = ("–" if end is None else registered(end, 0.0) for end in experiment.intrinsic_learning_rate)
        said = {
            "net": experiment.net,
            "norm": experiment.norm,
            "optimiser": experiment.optimiser,
            "data": experiment.data,
            "precision": experiment.precision,
            "batch": "all" if experiment.batch_size is None else f"{experiment.batch_size:,}",
            "learning rate": experiment.learning_rate,
            "weight decay": experiment.weight_decay,
            "intrinsic": first if first == last else f"{first} → {last}",
        }
        if not experiment.data:
            del said["batch"]
    else:
        said = {"net": experiment.description}
        for column in ("learning rate", "weight decay"):
            if told := _in_words(experiment.record.get(column.replace(" ", "_"))):
                said[column] = told
    said |= {"steps": f"{experiment.steps:,}", "replicas": f"{experiment.replicas:,}", "computed": experiment.computed}
    return {column: value for column, value in said.items() if value}


def _in_words(value: Any) -> str:
    """A record as words: its name and what it holds."""
    match value:
        case {"record": "Constant", "value": float() | int() as constant}:
            return registered(float(constant), 0.0)
        case {"record": str() as name, **fields}:
            told = ", ".join(f"{key} {_in_words(one)}" for key, one in fields.items() if one not in (None, [], {}))
            return f"{name}: {told}" if told else name
        case float() | int() as number:
            return registered(float(number), 0.0)
        case str() as text:
            return text
        case [*values] if len(values) <= 8:
            return "; ".join(_in_words(one) for one in values)
        case [*values]:
            return f"{len(values)} values"
    return ""
