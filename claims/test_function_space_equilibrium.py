"""Once their intrinsic learning rates agree, nets from any schedules are one distribution over functions.

Seen as a random function of its inputs, a net trained by SGD does not depend on where it started or which learning
rates it has been through: some 1/λₑ steps after λₑ = ηλ has become constant, only λₑ counts. The blog's figure 4
trains a 4-layer normalised CNN on MNIST by three schedules whose λₑ become equal at epoch 81, and estimates ℓ1
distances between the distributions of classifiers from 500 trials; learning rates and weight decays are not known.

Here three schedules reach the same λₑ at one step in different ways. At tiny and reduced that is λₑ = 0.01 at step 300:
weight decay falls from a λₑ eight times too large, the learning rate falls from one four times too large, the learning
rate rises from one five times too small. λₑ is large because the digits are easy: where all nets make the same few
errors there is nothing to tell distributions apart. The groups share no replica. We measure the unbiased squared
distance Σ_k (P_k − Q_k)² between the groups' class frequencies on each test image, over all of the last snapshots and
averaged over images: 5/λₑ steps after λₑ became equal, at reduced 10/λₑ, as those nets take longer to forget.

At full, the initial learning rate 0.1 and weight decay 0.0005 are those of a caption that names the schedules
wd_x_y_lr_z_u, for weight decay divided by 10 at epochs x, y and the learning rate at z, u. Which epochs were used is
not known. Ours are wd_81, lr_41 and wd_61: every further division would make 1/λₑ ten times longer than the 427
epochs that it is after one. On MNIST nearly all nets agree on nearly every digit, and the margins come from harder
data: should no distance there reach them, the findings while λₑ differ and the control will say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

import ilr

Rates = tuple[ilr.Schedule | float, ilr.Schedule | float]
"""Learning rate and weight decay."""
FIRST, SECOND, THIRD = "first schedule", "second schedule", "third schedule"
PAIRS = {f"{one} / {other}": (one, other) for one, other in combinations((FIRST, SECOND, THIRD), 2)}


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    schedules: Mapping[str, Rates]
    unequal: ilr.Schedule
    """The first one's weight decay, if it ends with twice as much."""
    equal_from: int
    """The step from which on all λₑ are equal."""
    steps: int
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Net and data where they are not the scale's standard."""


EPOCH = 468
DIGITS = Regime(
    schedules={
        FIRST: (0.5, ilr.StepDecay(0.16, 1 / 8, (300,))),
        SECOND: (ilr.StepDecay(2.0, 1 / 4, (300,)), 0.02),
        THIRD: (ilr.StepDecay(0.1, 5.0, (300,)), 0.02),
    },
    unequal=ilr.StepDecay(0.16, 1 / 4, (300,)),
    equal_from=300,
    steps=800,
)
MNIST = Regime(
    schedules={
        FIRST: (0.1, ilr.StepDecay(5e-4, 0.1, (80 * EPOCH,))),
        SECOND: (ilr.StepDecay(0.1, 0.1, (40 * EPOCH,)), 5e-4),
        THIRD: (0.1, ilr.StepDecay(5e-4, 0.1, (60 * EPOCH,))),
    },
    unequal=ilr.StepDecay(5e-4, 0.2, (80 * EPOCH,)),
    equal_from=80 * EPOCH,
    steps=940 * EPOCH,
    trained={
        "net": ilr.CNN((32, 32, 64, 64)),
        "norm": ilr.BatchNorm(),
        "data": ilr.Data("mnist"),
        "augmentation": None,
        "batch_size": 128,
    },
)
REGIMES = {"tiny": DIGITS, "reduced": replace(DIGITS, steps=1_300), "full": MNIST}
INTERVALS_BEFORE, INTERVALS_AFTER = 6, 10
"""Into so many parts the times before and after λₑ become equal are divided by snapshots."""
BEFORE, AFTER = slice(3, INTERVALS_BEFORE + 1), slice(-5, None)
"""The snapshots that are judged."""

APART = ilr.Prediction(
    quantity="{}: squared distance while λₑ differ",
    rule="further_than",
    expected=0.005,
    margin=0.0,
    reason="λₑ differ by a factor of 2 and more here; near the end's λₑ a factor of 2 makes 0.005.",
)
TOGETHER = ilr.Prediction(
    quantity="{}: squared distance at the end",
    rule="closer_than",
    expected=0.0,
    margin=0.002,
    reason="Less than half of the 0.005 that a λₑ only twice as large makes.",
)
CLAIM = ilr.Claim(
    id="function-space-equilibrium",
    title="Schedules with equal intrinsic learning rate reach the same distribution over functions",
    source="blog post, figure 4",
    statement=(
        "Whatever learning rates and weight decays came before, once λₑ = ηλ is equal the distributions over "
        "functions become equal within some 1/λₑ steps."
    ),
    predictions=ilr.for_each(PAIRS, APART, TOGETHER),
    controls=(
        ilr.Control(
            "unequal-intrinsic-learning-rates",
            "The common λₑ: one schedule ends with twice the others' weight decay.",
        ),
    ),
    replicas=ilr.Replicas(tiny=96, reduced=104, full=500),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    at = (
        *range(0, regime.equal_from, regime.equal_from // INTERVALS_BEFORE),
        *range(regime.equal_from, regime.steps + 1, (regime.steps - regime.equal_from) // INTERVALS_AFTER),
    )
    planned = {}
    for group, (name, (learning_rate, weight_decay)) in enumerate(regime.schedules.items()):
        planned[name] = setting.experiment(
            group,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=regime.steps,
            observe=ilr.observe_all("test_predictions", "test_accuracy", at=at),
            **regime.trained,
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    classes = {name: run["test_predictions"] for name, run in recordings.items()}  # [replica, snapshot, image]
    for pair, (one, other) in PAIRS.items():
        yield APART.of(pair), classes[one][:, BEFORE], classes[other][:, BEFORE]
        yield TOGETHER.of(pair), classes[one][:, AFTER], classes[other][:, AFTER]


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (distance, accuracy) = ilr.new_figure(
        "As the blog's figure 4: the distributions over functions become equal once λₑ is (thin line). ℓ1 distances "
        "are between halves of two groups, so that they share the upward bias of the floor, two halves of one group.",
        panels=2,
    )
    steps = recordings[FIRST].steps("test_predictions")
    for pair, (one, other) in PAIRS.items():
        distance.plot(steps, l1_curve(recordings[one], recordings[other]), label=pair)
    unequal = controls["unequal-intrinsic-learning-rates"]
    distance.plot(steps, l1_curve(unequal[FIRST], unequal[SECOND]), "--", label="λₑ unequal by 2 (control)")
    floor = np.mean([l1_curve(recording, recording) for recording in recordings.values()], axis=0)
    distance.plot(steps, floor, color="black", linestyle=":", label="floor")
    distance.set(title="ℓ1 distance of the distributions", xlabel="step", ylim=(0, None))
    for label, recording in recordings.items():
        accuracy.plot(steps, recording["test_accuracy"].mean(axis=0), label=label)
    accuracy.set(title="test accuracy", xlabel="step")
    for axes in (distance, accuracy):
        axes.axvline(steps[INTERVALS_BEFORE], color="black", linewidth=0.6)
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


def control_unequal_intrinsic_learning_rates(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), only=[FIRST], weight_decay=REGIMES[setting.scale].unequal)


def test_function_space_equilibrium(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
