"""Once their intrinsic learning rates agree, nets from any schedules are one distribution over functions.

Seen as a random function of its inputs, a net trained by SGD does not depend on where it started or which learning
rates it has been through: some 1/λₑ steps after λₑ = ηλ has become constant, only λₑ counts. The blog's figure 4
trains a 4-layer normalised CNN on MNIST by three schedules whose λₑ become equal at epoch 81, and estimates ℓ1
distances between the distributions of classifiers from 500 trials; learning rates and weight decays are not known.

Here three schedules reach the same λₑ at one step in different ways. At tiny and reduced that is λₑ = 0.01 at step 300:
weight decay falls from a λₑ eight times too large, the learning rate falls from one four times too large, the learning
rate rises from one five times too small. λₑ is large because the digits are easy: where all nets make the same few
errors there is nothing to tell distributions apart. We measure the unbiased squared distance Σ_k (P_k − Q_k)² between
the groups' class frequencies on each test image, over all of the last snapshots and averaged over images: up to 5/λₑ
steps after λₑ became equal, at reduced 10/λₑ, as those nets take longer to forget.

What a distance means depends on the data, so we measure it in doublings of λₑ: against the distance that a fourth
group, which ends with twice the λₑ, has from the one of the three schedules that is not of the pair. Replica i of every
group has the same frozen head, initial weights and batches, which make no difference between schedules, only noise. As
only replicas of different i are compared, what is estimated is the distance of the groups as if they were independent.

A caption names the schedules wd_x_y_lr_z_u, for weight decay divided by 10 at epochs x, y and the learning rate at z,
u, from 0.0005 and 0.1 on; which epochs were used is not known. Ours are wd_81, lr_41 and wd_61: every further division
would make 1/λₑ ten times longer than the 427 epochs that it is after one. On MNIST 2/λₑ of these can be asked for
(--literal), but would hardly decide. Nets with 0.5% of errors differ from each other on 1% of the digits. Where nets
with 5% do on 10%, as at tiny, a doubled λₑ makes a distance of 0.005, so here it would be 0.0005 at best; and below λₑ
= 0.0025 even the digits' nets make the same few errors, whatever λₑ is (test_mixing_time_is_inverse_intrinsic_lr.py).

So at full the paper's CNN learns Fashion-MNIST at 28×28, on which it errs 10 to 20 times as often, by schedules of the
same names. λₑ is first 0.01, that of reduced, and then 0.001, 2.5 times that of the authors' later defaults, for 43
epochs. These are 20/λₑ, twice as many as at reduced, and five times the epochs, in which nets also learn what they
would learn at any λₑ. wd_9, lr_7 and wd_8 reach it within 1/λₑ of each other. In a pilot with reduced's CNN and 16
networks a group a doubled λₑ made a distance of 0.0025 there, equal λₑ none that could be told from 0 (history).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import ilr

Rates = tuple[ilr.Schedule | float, ilr.Schedule | float]
"""Learning rate and weight decay."""
FIRST, SECOND, THIRD = "first schedule", "second schedule", "third schedule"
SCHEDULES = (FIRST, SECOND, THIRD)
DOUBLED = "doubled λₑ"
TRIPLES = {
    f"{FIRST} / {SECOND}": (FIRST, SECOND, THIRD),
    f"{FIRST} / {THIRD}": (FIRST, THIRD, SECOND),
    f"{SECOND} / {THIRD}": (SECOND, THIRD, FIRST),
}
"""Two schedules that are compared, and the third, from which the doubled λₑ's distance is taken."""


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    schedules: Mapping[str, Rates]
    intrinsic: float
    """λₑ, once it is equal."""
    doubled: ilr.Schedule
    """The first schedule's weight decay, if it ends with twice as much."""
    by_the_other_knob: ilr.Schedule
    """The first schedule's learning rate, if it ends with twice as much."""
    equal_from: int
    """The step from which on all λₑ are equal."""
    steps: int
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Net and data where they are not the scale's standard."""

    @property
    def moment(self) -> int:
        """A tenth of 1/λₑ steps: the noise of single predictions is another one then."""
        return round(0.1 / self.intrinsic)


EPOCH = 468
DIGITS = Regime(
    schedules={
        FIRST: (0.5, ilr.StepDecay(0.16, 1 / 8, (300,))),
        SECOND: (ilr.StepDecay(2.0, 1 / 4, (300,)), 0.02),
        THIRD: (ilr.StepDecay(0.1, 5.0, (300,)), 0.02),
    },
    intrinsic=0.01,
    doubled=ilr.StepDecay(0.16, 1 / 4, (300,)),
    by_the_other_knob=ilr.StepDecay(0.5, 2.0, (300,)),
    equal_from=300,
    steps=800,
)
PAPERS_CNN: Mapping[str, Any] = {
    "net": ilr.CNN((32, 32, 64, 64)),
    "norm": ilr.BatchNorm(),
    "augmentation": None,
    "batch_size": 128,
}
FASHION = Regime(
    schedules={
        FIRST: (1.0, ilr.StepDecay(1e-2, 0.1, (8 * EPOCH,))),
        SECOND: (ilr.StepDecay(1.0, 0.1, (6 * EPOCH,)), 1e-2),
        THIRD: (1.0, ilr.StepDecay(1e-2, 0.1, (7 * EPOCH,))),
    },
    intrinsic=1e-3,
    doubled=ilr.StepDecay(1e-2, 0.2, (8 * EPOCH,)),
    by_the_other_knob=ilr.StepDecay(1.0, 2.0, (8 * EPOCH,)),
    equal_from=8 * EPOCH,
    steps=51 * EPOCH,
    trained={**PAPERS_CNN, "data": ilr.Data("fashion-mnist")},
)
MNIST = Regime(
    schedules={
        FIRST: (0.1, ilr.StepDecay(5e-4, 0.1, (80 * EPOCH,))),
        SECOND: (ilr.StepDecay(0.1, 0.1, (40 * EPOCH,)), 5e-4),
        THIRD: (0.1, ilr.StepDecay(5e-4, 0.1, (60 * EPOCH,))),
    },
    intrinsic=5e-6,
    doubled=ilr.StepDecay(5e-4, 0.2, (80 * EPOCH,)),
    by_the_other_knob=ilr.StepDecay(0.1, 2.0, (80 * EPOCH,)),
    equal_from=80 * EPOCH,
    steps=940 * EPOCH,
    trained={**PAPERS_CNN, "data": ilr.Data("mnist")},
)
REGIMES = {"tiny": DIGITS, "reduced": replace(DIGITS, steps=1_300), "full": FASHION, "literal": MNIST}
BEFORE, MOMENTS, JUDGED = 6, 10, 11
"""Snapshots until λₑ become equal; after it, each a tenth of 1/λₑ steps later than the last; and at the end, those that
are judged: over the last two fifths of the steps with equal λₑ."""

TOGETHER = ilr.Prediction(
    quantity="{}: distance at the end, in doublings of λₑ",
    rule="nearer_than",
    expected=0.0,
    margin=0.5,
    reason="What only λₑ decides cannot differ by as much as a λₑ that is wrong by √2 would make it.",
)
CLAIM = ilr.Claim(
    id="function-space-equilibrium",
    title="Schedules with equal intrinsic learning rate reach the same distribution over functions",
    source="blog post, figure 4",
    statement=(
        "Whatever learning rates and weight decays came before, once λₑ = ηλ is equal the distributions over "
        "functions become equal within some 1/λₑ steps."
    ),
    predictions=ilr.for_each(TRIPLES, TOGETHER),
    controls=(
        ilr.Control(
            "too-early",
            "The time to mix: the first and the third schedule are judged within 0.1/λₑ steps after λₑ became equal.",
        ),
        ilr.Control(
            "unequal-intrinsic-learning-rates",
            "The common λₑ: the first schedule ends with twice the others' learning rate, at their weight decay.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(24, 48, 96), reduced=(16, 32, 64, 128), full=(32, 64, 128, 256)),
    question="Do schedules with equal intrinsic learning rate reach the same distribution over functions?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; the rates, which are not known there, with λₑ = 0.01 here; up to 96 "
            "replicas a group in place of 500; and distances without bias, in doublings of λₑ."
        ),
        reduced=(
            "the data, Fashion-MNIST in place of MNIST; the rates, which are not known there, with λₑ = 0.01 here; up "
            "to 128 replicas a group in place of 500; and distances without bias, in doublings of λₑ."
        ),
        full=(
            "the data, Fashion-MNIST in place of MNIST; the rates, which are not known there, with λₑ = 0.001 here; "
            "up to 256 replicas a group in place of 500; and distances without bias, in doublings of λₑ."
        ),
        literal=(
            "the epochs of the decays, which are not known there; up to 256 replicas a group in place of 500; and "
            "distances without bias, in doublings of λₑ."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    until = regime.equal_from + MOMENTS * regime.moment
    apart = 2 * (regime.steps - regime.equal_from) // 5 // (JUDGED - 1)
    judged = range(regime.steps - (JUDGED - 1) * apart, regime.steps + 1, apart)
    at = (
        *before(regime),
        *range(regime.equal_from, until + 1, regime.moment),
        *range(until + 10 * regime.moment, judged.start, 10 * regime.moment),
        *judged,
    )
    planned = {}
    for name, (learning_rate, weight_decay) in regime.schedules.items():
        planned[name] = setting.experiment(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=regime.steps,
            observe=ilr.observe_all("test_predictions", "test_accuracy", at=at),
            **regime.trained,
        )
    planned[DOUBLED] = replace(planned[FIRST], weight_decay=regime.doubled)
    return planned


def before(regime: Regime) -> range:
    """Steps of the snapshots before λₑ become equal."""
    return range(0, regime.equal_from, regime.equal_from // BEFORE)


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    at_the_end = {
        name: ilr.group(run, run["test_predictions"][:, -JUDGED:])  # [replica, snapshot, image]
        for name, run in recordings.items()
    }
    for pair, (one, other, third) in TRIPLES.items():
        groups = [at_the_end[name] for name in (one, other, third, DOUBLED)]
        yield TOGETHER.of(pair), *groups


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (distance, mixing, accuracy) = ilr.new_figure(
        "First: ℓ1 distances between the distributions of classifiers, each between a half of one group and a half "
        "of another, so that all have the upward bias of the floor, which is between halves of one group; from the "
        "thin line on λₑ is common. Second: from then on, distances without bias, in doublings of λₑ; shaded, what "
        "is accepted of the snapshots beyond the thin line, which are judged together. In the control, grey, the "
        "first schedule ends with twice the λₑ. Third: test accuracy, in the mean over replicas.",
        panels=3,
    )
    steps = recordings[FIRST].steps("test_predictions")
    since = (steps - steps[BEFORE]) * recordings[FIRST].experiment.intrinsic_learning_rates()[-1]
    for pair, (one, other, _) in TRIPLES.items():
        distance.plot(steps, l1_curve(recordings[one], recordings[other]), label=pair)
        mixing.plot(since[BEFORE:], doublings(recordings, pair)[BEFORE:], marker=".", label=pair)
    distance.plot(steps, l1_curve(recordings[THIRD], recordings[DOUBLED]), label=f"{THIRD} / {DOUBLED}")
    unequal = controls["unequal-intrinsic-learning-rates"]
    apart = doublings(unequal, f"{FIRST} / {SECOND}")
    mixing.plot(since[BEFORE:], apart[BEFORE:], **ilr.as_control(label="λₑ doubled by η (control)", linestyle="--"))
    floor = np.mean([l1_curve(recordings[name], recordings[name]) for name in SCHEDULES], axis=0)
    distance.plot(steps, floor, color="black", linestyle=":", label="floor")
    distance.set(title="ℓ1 distance of the distributions", xlabel="step", ylim=(0, None))
    mixing.axvline(since[-JUDGED], color="black", linewidth=0.6)
    mixing.legend(loc="upper right")
    mixing.set(title="distance, in doublings of λₑ", xlabel="λₑ × step, since λₑ is common", ylim=(0, None))
    ilr.draw_accepted(mixing, TOGETHER)
    for label, recording in recordings.items():
        accuracy.plot(steps, recording["test_accuracy"].mean(axis=0), label=label)
    accuracy.set(title="test accuracy", xlabel="step")
    for axes in (distance, accuracy):
        axes.axvline(steps[BEFORE], color="black", linewidth=0.6)
    distance.legend(loc="upper right")
    accuracy.legend(loc="lower right")
    return drawn


def l1_curve(one: ilr.Recording, other: ilr.Recording) -> list[float]:
    """ℓ1 distance between the first half of one group and the second half of another at every step, [time]."""
    half = one.experiment.replicas // 2
    these, those = one["test_predictions"][:half], other["test_predictions"][half:]  # [replica, time, image]
    if not half:
        return [float("nan")] * these.shape[1]
    return [ilr.l1_distance(these[:, time], those[:, time]) for time in range(these.shape[1])]


def doublings(recordings: ilr.Recordings, pair: str) -> ilr.Array:
    """How far apart a pair is at every step, in doublings of the λₑ at the end, [time]; 0 where the estimate is
    negative.
    """
    one, other, third = TRIPLES[pair]
    doubled = squared_distances(recordings[third], recordings[DOUBLED])[-JUDGED:].mean()
    relative = squared_distances(recordings[one], recordings[other]) / doubled
    return np.asarray(np.sqrt(np.maximum(relative, 0.0)))


def squared_distances(one: ilr.Recording, other: ilr.Recording) -> ilr.Array:
    """The squared distance of two groups of the same replicas at every step, without bias, [time]."""
    found = []
    for a, b in zip(*(run["test_predictions"].swapaxes(0, 1) for run in (one, other)), strict=True):  # [replica, image]
        across = ilr.agreement(a, b)
        terms = ilr.agreement(a, a) + ilr.agreement(b, b) - across - across.T  # [replica, replica]
        # What a net shares with its own twin is no property of the groups: only pairs of two replicas count.
        pairs = len(terms) * (len(terms) - 1) or np.nan
        found.append((terms.sum() - np.trace(terms)) / pairs)
    return np.array(found)


def control_too_early(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    steps = regime.equal_from + regime.moment
    at = (*before(regime), *range(regime.equal_from, steps + 1, regime.moment // (JUDGED - 1)))
    observe = ilr.observe_all("test_predictions", "test_accuracy", at=at)
    return ilr.changed(experiments(setting), only=[FIRST, THIRD], steps=steps, observe=observe)


def control_unequal_intrinsic_learning_rates(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), only=[FIRST], learning_rate=REGIMES[setting.regime].by_the_other_knob)


def test_function_space_equilibrium(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
