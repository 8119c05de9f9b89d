"""Once their intrinsic learning rates agree, nets from any schedules are one distribution over functions.

Seen as a random function of its inputs, a net trained by SGD does not depend on where it started or which learning
rates it has been through: some 1/λₑ steps after λₑ = ηλ has become constant, only λₑ counts. The blog's figure 4
trains a 4-layer normalised CNN on MNIST by three schedules whose λₑ become equal at epoch 81, and estimates ℓ1
distances between the distributions of classifiers from 500 trials; learning rates and weight decays are not known.

Here three schedules reach the same λₑ at one step in different ways. At tiny that is λₑ = 0.01 at step 300: weight
decay falls from a λₑ eight times too large, the learning rate falls from one four times too large, the learning rate
rises from one five times too small. λₑ is large because the digits are easy: where all nets make the same few errors
there is nothing to tell distributions apart. On exploratory seeds doubling λₑ moves the distribution by 0.005. At
reduced the CNN learns Fashion-MNIST by the same schedules, and there it is 0.015. But equal λₑ last 10/λₑ steps, twice
as long: in a first reference report, after 5/λₑ, the third schedule's nets, which come from the smallest λₑ, were still
0.004 from the others, down from 0.2. After 10/λₑ, in the report that is committed, the three distances are 0.0007 to
0.0014, and INCONCLUSIVE: their bounds are beyond the margin. We believe that a little of the way is still remembered
then, by nets that go on learning: up to a tenth of what a doubled λₑ makes, where the digits' nets have nothing left.
Twice the λₑ is no way out: on an exploratory seed the distances were 0.002 to 0.005 over the second half of 15/λₑ
steps, as nets that a large λₑ had kept from learning take their steps to learn, whatever λₑ is then.

At full, the initial learning rate 0.1 and weight decay 0.0005 are those of a caption that names the schedules
wd_x_y_lr_z_u, for weight decay divided by 10 at epochs x, y and the learning rate at z, u. Which epochs were used is
not known. Ours are wd_81, lr_41 and wd_61: every further division would make 1/λₑ ten times longer than the 427
epochs that it is after one. On MNIST nearly all nets agree on nearly every digit, and the margins come from harder
data: should no distance there reach them, the findings while λₑ differ and the control will say so.

The groups share no replica. We measure the unbiased squared distance Σ_k (P_k − Q_k)² between the groups' class
frequencies on each test image, over all of the last snapshots and averaged over images; the figure draws ℓ1 distances
of single snapshots, which are biased upwards, beside their floor.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ilr import (
    CNN,
    BatchNorm,
    Claim,
    Constant,
    Control,
    Data,
    Experiment,
    Observe,
    Prediction,
    Replicas,
    Schedule,
    Setting,
    StepDecay,
)
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.function_space import closer_than, further_than, l1_distance
from ilr.trials.plotting import new_figure


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    schedules: tuple[tuple[Schedule, Schedule], ...]
    """Learning rate and weight decay of each schedule."""
    unequal: Schedule
    """The first one's weight decay, if it ends with twice as much."""
    equal_from: int
    """The step from which on all λₑ are equal."""
    steps: int
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Net and data where they are not the scale's standard."""


EPOCH = 468
DIGITS = Regime(
    schedules=(
        (Constant(0.5), StepDecay(0.16, 1 / 8, (300,))),
        (StepDecay(2.0, 1 / 4, (300,)), Constant(0.02)),
        (StepDecay(0.1, 5.0, (300,)), Constant(0.02)),
    ),
    unequal=StepDecay(0.16, 1 / 4, (300,)),
    equal_from=300,
    steps=800,
)
MNIST = Regime(
    schedules=(
        (Constant(0.1), StepDecay(5e-4, 0.1, (80 * EPOCH,))),
        (StepDecay(0.1, 0.1, (40 * EPOCH,)), Constant(5e-4)),
        (Constant(0.1), StepDecay(5e-4, 0.1, (60 * EPOCH,))),
    ),
    unequal=StepDecay(5e-4, 0.2, (80 * EPOCH,)),
    equal_from=80 * EPOCH,
    steps=940 * EPOCH,
    trained={
        "net": CNN((32, 32, 64, 64)),
        "norm": BatchNorm(),
        "data": Data("mnist"),
        "augmentation": None,
        "batch_size": 128,
    },
)
REGIMES = {"tiny": DIGITS, "reduced": replace(DIGITS, steps=1_300), "full": MNIST}
INTERVALS_BEFORE, INTERVALS_AFTER = 6, 10
"""Into so many parts the times before and after λₑ become equal are divided by snapshots."""
BEFORE, AFTER = slice(3, INTERVALS_BEFORE + 1), slice(-5, None)
"""The snapshots that are judged."""
SCHEDULES = ("first schedule", "second schedule", "third schedule")
PAIRS = tuple(combinations(SCHEDULES, 2))

CLAIM = Claim(
    id="function-space-equilibrium",
    title="Schedules with equal intrinsic learning rate reach the same distribution over functions",
    source="blog post, figure 4",
    statement=(
        "Whatever learning rates and weight decays came before, once λₑ = ηλ is equal the distributions over "
        "functions become equal within some 1/λₑ steps."
    ),
    predictions=tuple(
        prediction
        for pair in PAIRS
        for prediction in (
            Prediction(
                quantity=f"{pair[0]} / {pair[1]}: squared distance while λₑ differ",
                rule="further_than",
                expected=0.005,
                margin=0.0,
                reason="λₑ differ by a factor of 2 and more here; near the end's λₑ a factor of 2 makes 0.005.",
            ),
            Prediction(
                quantity=f"{pair[0]} / {pair[1]}: squared distance at the end",
                rule="closer_than",
                expected=0.0,
                margin=0.002,
                reason="Less than half of the 0.005 that a λₑ only twice as large makes.",
            ),
        )
    ),
    controls=(
        Control(
            "unequal-intrinsic-learning-rates",
            "The common λₑ: one schedule ends with twice the others' weight decay.",
        ),
    ),
    replicas=Replicas(tiny=96, reduced=104, full=500),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    at = (
        *range(0, regime.equal_from, regime.equal_from // INTERVALS_BEFORE),
        *range(regime.equal_from, regime.steps + 1, (regime.steps - regime.equal_from) // INTERVALS_AFTER),
    )
    return {
        name: setting.experiment(
            group,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=regime.steps,
            observe=(Observe("test_predictions", at), Observe("test_accuracy", at)),
            **regime.trained,
        )
        for group, (name, (learning_rate, weight_decay)) in enumerate(zip(SCHEDULES, regime.schedules, strict=True))
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for one, other in PAIRS:
        before, after = (
            [recordings[name]["test_predictions"][:, snapshots] for name in (one, other)]
            for snapshots in (BEFORE, AFTER)
        )
        yield further_than(CLAIM[f"{one} / {other}: squared distance while λₑ differ"], *before)
        yield closer_than(CLAIM[f"{one} / {other}: squared distance at the end"], *after)


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    caption = (
        "As the blog's figure 4: the distributions over functions become equal once λₑ is (thin line). ℓ1 distances "
        "are between halves of two groups, so that they share the upward bias of the floor, two halves of one group."
    )
    drawn, (distance, accuracy) = new_figure(caption, panels=2)
    steps = recordings[PAIRS[0][0]].steps("test_predictions")
    unequal = controls["unequal-intrinsic-learning-rates"]
    first, second = PAIRS[0]
    curves = {f"{one} / {other}": l1_curve(recordings[one], recordings[other]) for one, other in PAIRS}
    for label, curve in curves.items():
        distance.plot(steps, curve, label=label)
    distance.plot(steps, l1_curve(unequal[first], unequal[second]), "--", label="λₑ unequal by 2 (control)")
    floor = np.mean([l1_curve(recording, recording) for recording in recordings.values()], axis=0)
    distance.plot(steps, floor, color="black", linestyle=":", label="floor")
    distance.set(title="ℓ1 distance of the distributions", xlabel="step", ylim=(0, None))
    for label, recording in recordings.items():
        accuracy.plot(steps, recording["test_accuracy"].mean(axis=0), label=label)
    accuracy.set(title="test accuracy", xlabel="step")
    for axes, place in ((distance, "upper right"), (accuracy, "lower right")):
        axes.axvline(steps[INTERVALS_BEFORE], color="black", linewidth=0.6)
        axes.legend(loc=place)
    return drawn


def l1_curve(one: Recording, other: Recording) -> list[float]:
    """ℓ1 distance between the first half of one group and the second half of another at every step, [time]."""
    half = one.experiment.replicas // 2
    pairs = zip(
        one["test_predictions"][:half].swapaxes(0, 1), other["test_predictions"][half:].swapaxes(0, 1), strict=True
    )
    return [l1_distance(these, those) if half else float("nan") for these, those in pairs]


def control_unequal_intrinsic_learning_rates(setting: Setting) -> dict[str, Experiment]:
    planned = experiments(setting)
    first = planned[SCHEDULES[0]]
    return planned | {SCHEDULES[0]: replace(first, weight_decay=REGIMES[setting.scale].unequal)}


def test_function_space_equilibrium(trial):
    trial.must_reproduce()
