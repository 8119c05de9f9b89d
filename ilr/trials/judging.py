"""From recordings to a judgement: what a judge yields is held to what was registered, and decided by its rule."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ilr.data.catalog import DataUnavailableError
from ilr.experiments.experiment import Experiment
from ilr.experiments.own import OwnRecordError
from ilr.experiments.recording import Recording
from ilr.fields import in_a_line
from ilr.lab.scheduler import TrainingFailedError
from ilr.report.evidence import Values
from ilr.stats.decision import Finding, Prediction, Verdict, decide
from ilr.stats.groups import Group
from ilr.stats.registry import RULES
from ilr.trials.claim import Claim, Experiments, Measurements, Recordings
from ilr.trials.outcome import Judgement

Judge = Callable[[Recordings], Measurements]
RecordingOf = Callable[[Experiment], Recording]
"""The recording of an experiment, from a lab or from what stands in for it; without one, TrainingFailedError."""


LONGEST_MESSAGE = 500
"""Characters of an exception's own text."""


class MeasurementError(ValueError):
    """A judge yields something else than its claim registered; the message is one line."""


def judgement(
    claim: Claim, judge: Judge, experiments: Experiments, recording_of: RecordingOf, looks: int = 1
) -> Judgement:
    """Judges one set of experiments at one look. Whatever goes wrong becomes an ERROR with one line.

    Args:
        claim: whose predictions are decided.
        judge: of the claim's file.
        experiments: the claim's own, or a control's, by name.
        recording_of: gives their recordings.
        looks: how many there may be; see `findings_of`.
    """
    recordings: dict[str, Recording] = {}
    try:
        for name, experiment in experiments.items():
            recordings[name] = _read_only(recording_of(experiment))
            if diverged := recordings[name].diverged:
                return Judgement(Verdict.ERROR, message=_divergence(name, diverged, experiment.replicas))
        found, values = findings_of(claim, judge(MappingProxyType(recordings)), looks)
        _check_replicas(found, experiments)
        verdict, findings = decide(found)
    except (TrainingFailedError, MeasurementError) as error:
        return Judgement(Verdict.ERROR, message=str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the crash, skip or exit of one judge is that claim's ERROR, never a refutation
        return Judgement(Verdict.ERROR, message=f"its judge failed: {described(error)}")
    return Judgement(verdict, findings, values, _needed(verdict, findings), recordings)


def findings_of(claim: Claim, measurements: Measurements, looks: int = 1) -> tuple[list[Finding], Values]:
    """Decides each measurement by the rule its claim registered for it: the findings, and the values they rest on.

    Each is decided as it is yielded: among its samples may be a function of what the judge changes later.

    Args:
        claim: whose predictions are decided.
        measurements: what its judge yields.
        looks: how many there may be. At each the errors may have the probability α / looks, so that over all of them
            they have α at most, whatever the rule and however the looks depend on each other.

    Raises:
        MeasurementError: something else is measured than the claim predicts.
    """
    predicted = [prediction.quantity for prediction in claim.predictions]
    findings: list[Finding] = []
    values: dict[str, list[Any]] = {}
    measured = []
    for measurement in measurements:
        if not _is_measurement(measurement):
            raise MeasurementError(
                f"its judge yielded a {type(measurement).__name__}: "
                "it must yield a prediction, followed by the samples that decide it"
            )
        prediction, *samples = measurement
        measured.append(prediction.quantity)
        if len(measured) > len(predicted):
            break  # no judge that never ends keeps a run from ending
        if prediction.quantity not in predicted:
            continue  # it is named below, with all that was measured
        registered = claim[prediction.quantity]
        if prediction != replace(registered, family=prediction.family):
            raise MeasurementError(
                f"its judge decided {prediction.quantity!r} by another expected value, margin or alpha than registered"
            )
        at_this_look = replace(registered, alpha=registered.alpha / looks)
        findings.append(RULES[registered.rule](at_this_look, *samples))
        values[registered.quantity] = _per_replica(samples)
    if measured != predicted:
        raise MeasurementError(f"its judge found {measured}, but the claim predicts {predicted}")
    return findings, values


def described(error: BaseException) -> str:
    """An exception in one line, with the place in the claim's file, or where it was raised if none is there."""
    if isinstance(error, OwnRecordError | DataUnavailableError):
        return in_a_line(str(error), LONGEST_MESSAGE)  # which says where it is to be mended
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if Path(frame.filename).name.startswith("test_")), frames[-1])
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of a stranger's, whose own text fails
        text = "…"
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[:LONGEST_MESSAGE]}…"
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})"


def _read_only(recording: Recording) -> Recording:
    """The recording with arrays that no judge can write into: the figure, and other claims, see the same ones."""
    arrays = {}
    for name, array in recording.arrays.items():
        # Of an array that can be written, a judge could make a view so again.
        array.flags.writeable = False
        arrays[name] = array.view()
    return Recording(recording.experiment, MappingProxyType(arrays))


def _check_replicas(findings: Sequence[Finding], experiments: Experiments) -> None:
    """No finding can rest on more replicas than were trained.

    Raises:
        MeasurementError: one does.
    """
    # The same id of two seeds is two replicas.
    replicas = {(one.seed, number) for one in experiments.values() for number in one.replica_ids}
    for finding in findings:
        if finding.n > len(replicas):
            raise MeasurementError(
                f"its judge decided {finding.name!r} on n = {finding.n}, but its experiments have {len(replicas)} "
                "replicas: each may count once"
            )


def _is_measurement(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], Prediction)


def _per_replica(samples: Sequence[Any]) -> list[Any]:
    """Samples as nested lists; none where they are the classes that replicas predict, which are no numbers."""
    arrays = [
        _values(sample) for sample in samples if not callable(sample) and not isinstance(sample, np.random.Generator)
    ]
    if any(_are_labels(sample) for sample in arrays):
        return []
    return [_as_lists(sample) for sample in arrays]


def _values(sample: Any) -> Any:
    """What a sample holds beside the ids of its replicas."""
    if isinstance(sample, list | tuple):
        return [_values(part) for part in sample]
    return sample.values if isinstance(sample, Group) else sample


def _are_labels(sample: Any) -> bool:
    """Whether a sample is, or holds, whole numbers with several for each replica: classes, or places in a group."""
    if isinstance(sample, list | tuple):
        return any(_are_labels(part) for part in sample)
    array = np.asarray(sample)
    return array.ndim > 1 and np.issubdtype(array.dtype, np.integer)


def _as_lists(sample: Any) -> Any:
    """Groups may be of different sizes, so a list of them is no array."""
    if isinstance(sample, list | tuple):
        return [_as_lists(part) for part in sample]
    return np.asarray(sample).tolist()


def _divergence(name: str, diverged: Mapping[int, int], replicas: int) -> str:
    replica, step = next(iter(diverged.items()))
    others = f" ({len(diverged)} of {replicas} replicas did)" if len(diverged) > 1 else ""
    return f"replica {replica} of {name!r} diverged: not finite at step {step}{others}"


def _needed(verdict: Verdict, findings: Sequence[Finding]) -> str:
    """For an INCONCLUSIVE verdict, how many replicas would decide."""
    if verdict is not Verdict.INCONCLUSIVE:
        return ""
    undecided = [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]
    known = [finding.replicas_needed for finding in undecided if finding.replicas_needed is not None]
    names = " and ".join(f"{finding.name!r}" for finding in undecided)
    if len(undecided) > 2:
        names = f"{len(undecided)} of {len(findings)} findings"
    if len(known) < len(undecided):
        return (
            f"undecided: {names}; an estimate lies so near its margin that no practical number of replicas would decide"
        )
    return f"undecided: {names}; about n={max(known)} replicas would decide"
