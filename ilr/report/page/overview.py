"""The first screen: what needs attention, who trained what when, and what this scale says about the paper."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ilr.report.advice import next_step
from ilr.report.evidence import ClaimEvidence, Evidence
from ilr.report.numbers import duration, size
from ilr.report.page.sentences import answer, sentence_case
from ilr.report.text import plural
from ilr.stats.decision import Verdict

MOST_URGENT = (Verdict.REFUTED, Verdict.UNSOUND, Verdict.ERROR, Verdict.INCONCLUSIVE)
"""What asks for somebody's attention, in that order."""

SCALES = {
    "tiny": "These are small nets on small images. The paper’s figures are of ResNets on CIFAR-10 and of a CNN on "
    "MNIST: a verdict here is about the mechanism, and says nothing about the accuracies in those figures.",
    "reduced": "These are nets that a workstation trains in an hour or two. The paper’s figures are of ResNets on "
    "CIFAR-10 and of a CNN on MNIST: a verdict here is about the mechanism in smaller nets, and says nothing about the "
    "accuracies in those figures.",
    "full": "These are nets and data like the paper’s, with its settings where it states them. Where it states none, "
    "or a claim is about others, they are our choice, and each claim says so.",
}
"""What a scale of ours says about the paper, and what it does not."""
OURS = "The accepted ranges are ours, written down with their reasons; the paper states none."


@dataclass(frozen=True)
class Attention:
    """A claim that was not reproduced, and what to do next."""

    claim: ClaimEvidence
    told: str
    step: str
    """What to do next, in words."""
    command: str


def attention(evidence: Evidence) -> list[Attention]:
    """Every claim that needs somebody, the worst first."""
    needy = []
    for claim in evidence.claims:
        step = next_step(claim, evidence)
        if claim.verdict in MOST_URGENT and step is not None:
            needy.append(Attention(claim, answer(claim), f"{sentence_case(step.words)}.", step.command))
    return sorted(needy, key=lambda one: MOST_URGENT.index(one.claim.verdict))


def facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Who trained and judged what, when and with what: heading and words."""
    experiments, provenance = list(evidence.experiments.values()), evidence.provenance
    nets = _listed(experiment.net for experiment in experiments)
    data = _listed(experiment.data for experiment in experiments) or _listed(provenance.data)
    by = [experiment.trained_by for experiment in experiments]
    torch = _listed(version for one in by for version in one.torch_versions)
    versions = _listed(version for one in by for version in one.ilr_versions)
    commits = _listed(commit[:7] + commit[40:] for one in by for commit in one.commits)
    ilr = " ".join(part for part in (versions and f"ilr {versions}", commits and f"commit {commits}") if part)
    processors = _listed(name for one in by for name in one.processors)
    software = _listed(name for one in by for name in one.gpu_software)
    memory = provenance.peak_gpu_memory_bytes
    gpu = "; ".join(part for part in (software, memory and f"up to {size(memory)} of a GPU’s memory") if part)
    first = min((one.first_trained for one in by if one.first_trained), default=None)
    last = max((one.last_trained for one in by if one.last_trained), default=None)
    replicas = sum(experiment.replicas for experiment in experiments)
    training = f"{plural(replicas, 'replica')} in {plural(len(experiments), 'experiment')}, {_spent(evidence)}"
    if first and last:
        training += f", {_day(first)}" + (f" to {_day(last)}" if _day(first) != _day(last) else "")
    commit, _, state = provenance.git.partition(" ")
    at_commit = [f"commit {commit[:7]} {state}"] if commit else []
    told = [
        ("Nets", nets),
        ("Data", data),
        ("Precision", _listed(experiment.precision for experiment in experiments)),
        ("Trained", training),
        ("Trained by", ", ".join(part for part in (ilr, torch and f"torch {torch}", processors) if part)),
        ("GPU", gpu),
        ("Judged", f"{date(evidence.started)}, in {duration(evidence.seconds)}"),
        ("Judged by", ", ".join((f"ilr {provenance.ilr}", *at_commit, f"torch {provenance.torch}"))),
        ("Run", f"scale {evidence.scale}, root seed {evidence.seed}"),
    ]
    return [(heading, words) for heading, words in told if words]


def warnings(evidence: Evidence) -> list[str]:
    """What a reader must know before any verdict."""
    told = []
    if not all(claim.as_registered for claim in evidence.claims):
        told.append(
            "The number of replicas was given on the command line: one look, which no claim registered. These verdicts "
            "are no trial of the claims."
        )
    if longer := sum(claim.literal for claim in evidence.claims):
        told.append(
            f"{plural(longer, 'claim')} trained for the lengths that the paper states, as --literal asks, in place of "
            "those in which theory decides."
        )
    if varied := [claim.variation for claim in evidence.claims if claim.variation and claim.looks]:
        told.append(
            f"{plural(len(varied), 'claim')} tried under {_listed(varied)}: this says how far they reach, and is no "
            "trial of them as they are registered."
        )
    if arithmetic := evidence.invocation.overrides.get("--arithmetic"):
        told.append(f"Float32 nets multiplied in {arithmetic}, as the command line asked: no claim registered that.")
    trained_by = [experiment.trained_by for experiment in evidence.experiments.values()]
    versions = {version for one in trained_by for version in one.torch_versions}
    if len(versions) > 1:
        told.append(f"Trained by more than one version of torch: {', '.join(sorted(versions))}.")
    ilr_versions = {version for one in trained_by for version in one.ilr_versions}
    if len(ilr_versions) > 1:
        told.append(f"Trained by more than one version of ilr: {', '.join(sorted(ilr_versions))}.")
    # Experiments may well be trained on different ones; the replicas of one are to be exchangeable.
    mixed = sum(len(one.processors) > 1 for one in trained_by)
    if mixed:
        processors = sorted({name for one in trained_by for name in one.processors})
        told.append(
            f"The replicas of {plural(mixed, 'experiment')} were trained by more than one processor, which differ in "
            f"rounding: {', '.join(processors)}."
        )
    if versions and evidence.provenance.torch not in versions:
        told.append(f"Judged under torch {evidence.provenance.torch}, which trained none of it.")
    return told


def scale_says(scale: str) -> str:
    """What verdicts at this scale say about the paper; the accepted ranges are ours at any."""
    return f"{SCALES[scale]} {OURS}" if scale in SCALES else OURS


def date(moment: datetime) -> str:
    """A moment, as its day and its time."""
    return f"{_day(moment)}, {moment.astimezone(UTC):%H:%M} UTC"


def _day(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y}"


def _spent(evidence: Evidence) -> str:
    return f"{duration(sum(experiment.seconds for experiment in evidence.experiments.values()))} of training"


def _listed(names: object) -> str:
    """Each name once, three at most; names that hold commas are told apart by semicolons."""
    assert hasattr(names, "__iter__")
    unique = [name for name in dict.fromkeys(names) if name]
    more = f" and {len(unique) - 3} more" if len(unique) > 3 else ""
    separator = "; " if any("," in name for name in unique) else ", "
    return separator.join(unique[:3]) + more
