"""The contract of evidence.json as types, which other tools read too: what a run found, as plain data.

The types are schema 2; `docs/evidence.schema.json` is made from them. Their names end in Evidence where the run has an
object of the same kind: a `ClaimEvidence` is what became of a `Claim`. Whatever schema 1 did not have, or not always,
has an empty default, so that it can still be read; what is written has every field.
"""

import datetime
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ilr.stats.decision import Verdict

# JSON cannot write infinity, but Python reads 1e999 as that: with both bounds a number is finite.
Number = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
# Thirty thousand years, so that sums of them are finite, too.
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Level = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Moment = Annotated[datetime.datetime, Meta(tz=True)]
Range = tuple[Number | None, Number | None]
"""Lower and upper end; an open end is null."""
Values = Mapping[str, list[Any]]
"""What each finding was judged on, by its name: the rule's samples one after another, each a nested list of numbers
with the replica axis first; empty where the samples are labels."""


class Attempt(Struct, frozen=True, forbid_unknown_fields=True):
    """One time that a claim was judged, whatever came out."""

    date: datetime.date
    scale: str
    seed: int
    commit: str
    """Of the claims; empty where it is not known."""
    verdict: Verdict
    regime: str
    """What was trained, in words."""
    note: str = ""
    n: int | None = None
    """Replicas per group at the look that decided, or was the last; null where a claim looked once."""


class Regime(Struct, frozen=True, forbid_unknown_fields=True):
    """A net, data, rates or number of replicas that was tried, and why it was kept or left."""

    scale: str
    tried: str
    """What was trained, in words."""
    found: str
    seeds: str = ""
    """Exploratory seeds, on which nothing was ever judged; empty where they are not known."""


class History(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a claim so far: `claims/history/<id>.toml`, appended to and never edited."""

    attempts: tuple[Attempt, ...] = ()
    """Oldest first."""
    regimes: tuple[Regime, ...] = ()
    notes: tuple[str, ...] = ()
    """What earlier reports found, and what is believed of it."""


class TrainedBy(Struct, frozen=True):
    """Who trained the slices of a recording, and when: each value once; empty where a recording does not say."""

    ilr_versions: tuple[str, ...] = ()
    torch_versions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """As torch calls them, such as cpu or cuda:0."""
    processors: tuple[str, ...] = ()
    """Models of the CPU or the GPU."""
    gpu_software: tuple[str, ...] = ()
    """Driver, CUDA and cuDNN of GPUs."""
    first_trained: Moment | None = None
    """When the training of the first slice ended."""
    last_trained: Moment | None = None
    commits: tuple[str, ...] = ()
    """Of ilr's own source, and whether it was changed."""


class ExperimentEvidence(Struct, frozen=True):
    """One experiment, and what its recording cost."""

    description: str
    replicas: Count
    steps: Count
    seconds: Seconds
    """Training time of all its slices, whenever it was."""
    origin: str
    """Whether it was trained for this run, and why or why not."""
    computed: str
    """How its replicas were computed."""
    net: str = ""
    norm: str = ""
    optimiser: str = ""
    data: str = ""
    """Empty for the toy loss, which has none."""
    learning_rate: str = ""
    """η(t) in words; t counts steps."""
    weight_decay: str = ""
    """λ(t) in words."""
    intrinsic_learning_rate: Range = (None, None)
    """λₑ at the first step and at the last: ηλ, with momentum β ηλ/(1 − β); null where it is not finite."""
    batch_size: Count | None = None
    """Examples per step; null for the full batch."""
    precision: str = ""
    """In what it was computed; empty where the evidence does not say."""
    trained_by: TrainedBy = TrainedBy()
    record: Mapping[str, Any] = {}
    """All that its digest is made of."""


class FindingEvidence(Struct, frozen=True):
    """One statistical decision on one quantity."""

    name: str
    estimate: Number
    interval: Range
    expected: Number
    margin: Number
    accepted: Range
    """True values that agree with the prediction."""
    rule: str
    """The rule in words, with what its error rates rest on."""
    alpha: Level
    n: Count
    """Replicas the decision rests on (of the smaller group, where there are two)."""
    p: Probability
    """Of the hypothesis that the truth lies outside the accepted range."""
    p_refuted: Probability
    """Of the hypothesis that it lies inside, before Holm's correction."""
    verdict: Verdict
    replicas_needed: Count | None
    """For an INCONCLUSIVE finding: how many would decide; null if no number would."""


class Look(Struct, frozen=True):
    """One time at which a run asked whether its data decide."""

    n: Count
    """Replicas per group so far."""
    level: Level
    """α at this look: of the strictest prediction, where they differ."""
    findings: tuple[FindingEvidence, ...]
    """None where an earlier look had decided the claim itself, and only a control went on."""
    verdict: Verdict | None = None
    """Of the claim by itself."""
    controls: Mapping[str, Verdict] = {}
    """Of the controls that were undecided, by name."""


class ControlEvidence(Struct, frozen=True):
    """A variant with the mechanism taken away, which must come out REFUTED."""

    name: str
    takes_away: str
    verdict: Verdict
    sound: bool
    findings: tuple[FindingEvidence, ...]
    message: str
    digests: Mapping[str, str] = {}
    """Under which its experiments are found, by their names in the claim's file."""
    values: Values = {}


class RegisteredPrediction(Struct, frozen=True):
    """One prediction in a claim's record."""

    quantity: str
    rule: str
    expected: Number
    margin: Number
    reason: str
    alpha: Level
    power: Probability


class RegisteredControl(Struct, frozen=True):
    """One control in a claim's record."""

    name: str
    takes_away: str


class Registered(Struct, frozen=True):
    """What the report reads of a claim's record."""

    predictions: tuple[RegisteredPrediction, ...]
    controls: tuple[RegisteredControl, ...]
    replicas: Mapping[str, int | tuple[int, ...] | str | None]
    """Per group by scale, at each look where there are several; the key `record` names the kind of record."""
    question: str = ""
    """The claim as a question; empty where none was written down."""
    differs: Mapping[str, str] = {}
    """In what its setting differs from the paper's, by scale and, with the paper's lengths, as `literal`; the key
    `record` names the kind of record."""


NAME = re.compile(r"\w[\w-]*")
"""What a claim is called in the name of a file."""


def file_name(claim: str) -> str:
    """The name of the file in which the claim of an id is written down."""
    return f"test_{claim.replace('-', '_')}.py"


class ClaimEvidence(Struct, frozen=True):
    """How one claim was judged."""

    id: str
    title: str
    source: str
    statement: str
    verdict: Verdict
    findings: tuple[FindingEvidence, ...]
    """Those of the last look at the claim itself."""
    controls: tuple[ControlEvidence, ...]
    experiments: tuple[str, ...]
    """Digests, of the controls' too."""
    figures: tuple[str, ...]
    """SVG texts."""
    seconds: Seconds
    """Time to judge and draw, without training."""
    message: str
    record: Mapping[str, Any]
    """The claim as it was written down: its own JSON, whatever that holds."""
    record_sha256: str
    """Of what decides in it, which its question, for one, does not."""
    looks: tuple[Look, ...] = ()
    """Earliest first; none if the claim was not judged."""
    looks_planned: tuple[Count, ...] = ()
    """Replicas per group of every look that there could have been."""
    as_registered: bool = True
    """Whether these are the looks that the claim registered; an option can ask for another number of replicas."""
    literal: bool = False
    """Whether it trained for the lengths that the paper states, in place of those that theory asks for."""
    variation: str = ""
    """What it was tried under in place of the claim's own net, norm, data or momentum, in words; as the options
    say it where that made no sense; empty where it was tried as registered."""
    regime: str = ""
    """What was trained, in the words of `Attempt.regime`."""
    history: History = History()
    digests: Mapping[str, str] = {}
    """Under which its experiments are found, by their names in the claim's file."""
    values: Values = {}
    file: str = ""
    """Path of the claim's file, in its repository or, outside one, in the folder of the run."""

    @property
    def registered(self) -> Registered:
        """The record, as far as the report reads it.

        Raises:
            ValueError: it is not the record of a claim.
        """
        try:
            return msgspec.convert(self.record, Registered)
        except msgspec.ValidationError as error:
            raise ValueError(f"the record of the claim {self.id!r}: {error}") from None


class DataEvidence(Struct, frozen=True):
    """A data set that was trained on."""

    sha256: str


class Provenance(Struct, frozen=True, kw_only=True):
    """Where and with what the claims were judged."""

    ilr: str
    git: str
    """Commit of the claims, and whether the work tree differed from it; empty outside a repository."""
    repository: str = ""
    """Its page on the web; empty where none is known."""
    python: str
    torch: str
    device: str
    cpu: str
    threads: Count
    peak_memory_bytes: Count
    peak_gpu_memory_bytes: Count = 0
    """Most that a worker has held of a GPU's memory."""
    platform: str = ""
    data: Mapping[str, DataEvidence]
    claims_sha256: str
    """One digest of all claims as they were written down."""


class Invocation(Struct, frozen=True):
    """How the run was asked for."""

    command: str = ""
    """Repeats it; DIR stands for a folder that was given in full."""
    selected: tuple[str, ...] = ()
    """Paths and expressions that chose among the claims, as they were given."""
    overrides: Mapping[str, str] = {}
    """Options that were given and differ from their default, with their values."""


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything a run found."""

    schema: Literal[2]
    scale: str
    seed: int
    started: Moment
    seconds: Seconds
    invocation: Invocation = Invocation()
    provenance: Provenance
    claims: tuple[ClaimEvidence, ...]
    appendix: tuple[str, ...]
    """Figures that belong to no claim, as SVG texts."""
    experiments: Mapping[str, ExperimentEvidence]
    """By digest."""
