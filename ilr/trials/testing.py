"""What every claims folder must pass, as functions that raise AssertionError: for ilr's own tests, and for yours.

    from ilr.trials.registration import claim_modules
    from ilr.trials.testing import check_claim, check_folder

    def test_the_folder():
        check_folder(Path("claims"))

    @pytest.mark.parametrize("module", claim_modules(Path("claims")), ids=lambda module: module.__name__)
    def test_the_contract(module):
        check_claim(module)

Nothing is trained: judges and figures are given recordings of the right shape with random numbers in them.
"""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
from matplotlib.figure import Figure

from ilr.experiments.experiment import Experiment
from ilr.experiments.recording import DIVERGED_AT, Array, Recording
from ilr.lab.catalogue import SLICE
from ilr.report.svg.inline import Figure as Drawing
from ilr.serialization import digest, from_json, to_json
from ilr.stats.registry import ON_COUNTS
from ilr.training.trainers import trainer_of
from ilr.trials.claim import Claim, Experiments, Setting, first_repeated
from ilr.trials.claim_file import ClaimFile
from ilr.trials.judging import MeasurementError, findings_of
from ilr.trials.outcome import PlannedExperiments
from ilr.trials.plotting import in_style, to_svg
from ilr.trials.registration import claim_modules
from ilr.trials.scales import SCALES, Scale

CONCLUSIONS = re.compile(
    r"\b(agree(s|d|ment)?|always|are equal|becom\w*|better|climb(s|ed)?|close(r|st)?|come(s)? (down|to rest|back)|"
    r"confirm\w*|contradict\w*|converge[sd]?|decide[sd]?|destroy\w*|differs|disprove\w*|ends? (at|where)|equals?|"
    r"expected|fail(s|ed|ure)?|falls?|fell|far(ther|thest)? (apart|behind|below|above)|follow(s|ed)|forgets?|forgotten|"
    r"grow(s|n)?|grew|help(s|ed)|hold(s)? (true|for)|indeed|lies? on|los(es?|t)|match(es|ed)?|miss(es|ed)?|never|"
    r"no (difference|effect|longer|matter)|only|prove[snd]?|refute[sd]?|remain(s|ed)?|remember(s|ed)|reproduced?|"
    r"returns?|rises?|rose|same (as|place)|settle[sd]?|shows?|stay(s|ed)?|succeed\w*|support(s|ed)|undecided|veers?|"
    r"whatever|wins?|works?|worse)\b",
    re.IGNORECASE,
)
"""Words by which a figure would conclude something; its claim may come out as it will."""

LEAST = 4
"""Replicas by which every rule finds something; a judge of large data takes seconds for each of them."""


MOST_BYTES = 80_000
"""Of a figure in a page that holds some thirty of them; drawn from random numbers, which take more than training."""


def check_folder(folder: Path) -> None:
    """Every claim has an id of its own."""
    repeated = first_repeated([module.CLAIM.id for module in claim_modules(folder)])
    assert repeated is None, f"{folder}: two claims are called {repeated}"


def check_claim(module: ModuleType) -> None:
    """All checks of one claim's file."""
    file = ClaimFile.of(module)
    check_record(file.claim)
    for scale in scales(file.claim):
        check_plan(file, scale)
    check_literal(file)
    check_judge(file)
    check_figure(file)


def check_record(claim: Claim) -> None:
    """The record is complete and survives a round trip through JSON."""
    for field in ("title", "source", "statement"):
        assert getattr(claim, field).strip(), f"{claim.id}: {field} is empty"
    question = claim.question
    assert not question or question.endswith("?"), f"{claim.id}: its question {question!r} is none"
    for control in claim.controls:
        assert control.takes_away.strip(), f"{claim.id}: the control {control.name!r} does not say what it takes away"
    assert from_json(to_json(claim)) == claim, f"{claim.id}: the record changes on its way through JSON"
    assert scales(claim), f"{claim.id}: runs at no scale"
    for scale in scales(claim):
        check_looks(claim, scale)


def check_looks(claim: Claim, scale: Scale) -> None:
    """A later look trains nothing again, and what is decided by counts alone looks once."""
    looks = claim.replicas.looks(scale)
    if len(looks) == 1:
        return
    for n in looks:
        # Recordings are kept in slices; one that is cut short would be trained again at the next look.
        assert n % SLICE == 0, f"{claim.id}: {n} replicas at {scale} are not a multiple of {SLICE}"
    # A count's p-values are few and far between: a share of α would cost it more replicas than looking early can save.
    counts = {rule.name for rule in ON_COUNTS}
    by_counts = all(prediction.rule in counts for prediction in claim.predictions)
    assert not by_counts, f"{claim.id}: decided by counts alone, it must look once, not {len(looks)} times, at {scale}"


def check_literal(file: ClaimFile) -> None:
    """A claim that says how it differs from the paper with the paper's lengths can be planned with them, and trains
    something else then; any other trains the same.
    """
    claim = file.claim
    if not claim.replicas.looks("full"):
        assert not claim.differs.literal, f"{claim.id}: literal lengths are those of full, where it does not run"
        return
    same = _plan(file, "full", seed=1) == _plan(file, "full", seed=1, literal=True)
    if claim.differs.literal:
        assert not same, f"{claim.id}: its literal lengths are those that it trains at full"
        check_plan(file, "full", literal=True)
    else:
        assert same, f"{claim.id}: it trains for other lengths with --literal and does not say so: see Differs.literal"


def check_plan(file: ClaimFile, scale: Scale, *, literal: bool = False) -> None:
    """The plan depends on its setting alone, follows its seed, and every control changes something."""
    plan = _plan(file, scale, seed=1, literal=literal)
    again = _plan(file, scale, seed=1, literal=literal)
    assert plan == again, f"{file.claim.id}: two plans of one setting differ"
    assert [digest(one) for one in plan.all()] == [digest(one) for one in again.all()]
    for experiment in plan.all():
        assert experiment.seed == 1, f"{file.claim.id}: an experiment does not take its seed from the setting"
    other = _plan(file, scale, seed=2, literal=literal)
    assert not set(plan.all()) & set(other.all()), f"{file.claim.id}: plans of two seeds share an experiment"
    for name, experiments in plan.controls.items():
        assert experiments != plan.experiments, f"{file.claim.id}: the control {name!r} changes nothing"
        assert set(experiments) == set(plan.experiments), (
            f"{file.claim.id}: the control {name!r} has other experiments than the claim"
        )


def check_judge(file: ClaimFile) -> None:
    """The judge finds what was predicted, the same twice, and leaves the recordings as they were."""
    plan = _plan(file, scales(file.claim)[0], seed=1)
    for experiments in (plan.experiments, *plan.controls.values()):
        recordings = _recordings(_small(experiments, LEAST))
        before = {name: deepcopy(recording.arrays) for name, recording in recordings.items()}
        try:
            first, _ = findings_of(file.claim, file.judge(recordings))
            second, _ = findings_of(file.claim, file.judge(recordings))
        except MeasurementError as error:
            raise AssertionError(f"{file.claim.id}: findings are not the predictions: {error}") from None
        assert first == second, f"{file.claim.id}: the judge finds something else the second time"
        for name, recording in recordings.items():
            for quantity, values in recording.arrays.items():
                same = np.array_equal(values, before[name][quantity])
                assert same, f"{file.claim.id}: the judge changes {quantity!r} of {name!r}"


def check_figure(file: ClaimFile) -> None:
    """The figure can be drawn from recordings of a single replica, or pair of partners, and of more or fewer in the
    claim than in its controls; it is no burden to a page; it has a caption, and its words conclude nothing.
    """
    plan = _plan(file, scales(file.claim)[0], seed=1)
    # A claim and its control may be decided at different looks, so each may have fewer replicas than the other.
    for times, times_of_controls in ((3, 2), (2, 3), (1, 1)):
        recordings = _recordings(_small(plan.experiments, times))
        controls = {
            name: _recordings(_small(experiments, times_of_controls)) for name, experiments in plan.controls.items()
        }
        with in_style():
            figure = file.figure(recordings, controls)
            panels = Drawing.parse(to_svg(figure, file.claim.id), "figure-1-1-").panels
        size = sum(len(panel.svg.encode()) for panel in panels)
        assert size <= MOST_BYTES, (
            f"{file.claim.id}: its figure takes {size:,} bytes of a page, more than {MOST_BYTES:,}"
        )
    caption, *words = figure_words(figure)
    assert caption.strip(), f"{file.claim.id}: the figure has no caption"
    for text in (caption, *words):
        found = CONCLUSIONS.search(text)
        assert not found, (
            f"{file.claim.id}: its figure says {found and found.group()!r}, in {text!r}: it tells what axes and marks "
            "are; what came out, the report says from the findings"
        )


def figure_words(figure: Figure) -> list[str]:
    """All that a figure says, its caption first: titles, axes, labels of lines and groups, what is written in it."""
    words = [str(figure.get_label())]
    for axes in figure.axes:
        words += [*(axes.get_title(loc) for loc in ("left", "center", "right")), axes.get_xlabel(), axes.get_ylabel()]
        for drawn in (axes.lines, axes.collections, axes.containers):
            words += [str(one.get_label()) for one in drawn]
        words += [text.get_text() for text in axes.texts]
        words += [tick.get_text() for axis in (axes.xaxis, axes.yaxis) for tick in axis.get_ticklabels()]
    return words


def scales(claim: Claim) -> list[Scale]:
    """The scales a claim runs at, smallest first."""
    return [scale for scale in SCALES if claim.replicas.looks(scale)]


def synthetic_recording(experiment: Experiment, seed: int = 0) -> Recording:
    """A recording of the right form with random numbers in place of training: positive, shares within [0, 1], classes.

    Needs no data: the shapes of data sets are known.
    """
    stream = np.random.default_rng(seed)
    trainer = trainer_of(experiment)
    arrays: dict[str, Array] = {DIVERGED_AT: np.full(experiment.replicas, -1)}
    for observation in experiment.observe:
        shape = (experiment.replicas, len(observation.at), *trainer.shape(observation))
        if observation.row.unit == "class":
            # Ten at most: the distance of two groups takes a pass over all labels for each class that occurs.
            values: Array = stream.integers(0, min(trainer.classes, 10), shape)
        elif {"weight", "sampled weight"} & set(observation.row.axes):
            values = stream.standard_normal(shape)
        else:
            values = stream.uniform(0.01, 1.0, shape)
        arrays[observation.quantity] = values.astype(trainer.dtype(observation))
    return Recording(experiment, arrays)


def _plan(file: ClaimFile, scale: Scale, seed: int, *, literal: bool = False) -> PlannedExperiments:
    plan = file.plan(Setting(scale, seed, file.claim.replicas.looks(scale)[0], literal=literal))
    assert not plan.error, f"{file.claim.id}: {plan.error}"
    return plan


def _small(experiments: Experiments, times: int = 1) -> Experiments:
    """The experiments with so many replicas each, or pairs of partners."""
    return {name: replace(one, replicas=(2 if one.partners else 1) * times) for name, one in experiments.items()}


def _recordings(experiments: Experiments) -> dict[str, Recording]:
    return {name: synthetic_recording(one, seed) for seed, (name, one) in enumerate(experiments.items())}
