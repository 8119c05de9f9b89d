"""Once their intrinsic learning rates agree, nets from any schedules are one distribution over functions.

Seen as a random function of its inputs, a net trained by SGD does not depend on where it started or which learning
rates it has been through: some 1/λₑ steps after λₑ = ηλ has become constant, only λₑ counts. The blog's figure 4
trains a 4-layer normalised CNN on MNIST by three schedules whose λₑ become equal at epoch 81, and estimates ℓ1
distances between the distributions of classifiers from 500 trials; learning rates and weight decays are not known.

Here three schedules reach λₑ = 0.01 at step 300 in three ways: weight decay falls from a λₑ eight times too large,
the learning rate falls from one four times too large, the learning rate rises from one five times too small. λₑ is
large because the digits are easy: where all nets make the same few errors there is nothing to tell distributions
apart. The groups share no replica. We measure the unbiased squared distance Σ_k (P_k − Q_k)² between the groups'
class frequencies on each test image, averaged over images and over the last 200 steps; the figure draws
ℓ1 distances, which are biased upwards, beside their floor. On exploratory seeds doubling λₑ moves the
distribution by 0.005.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import (
    MLP,
    BatchNorm,
    Claim,
    Constant,
    Control,
    Data,
    Experiment,
    Observe,
    Prediction,
    Replicas,
    Setting,
    StepDecay,
    every,
)
from ilr.figures import new_figure
from ilr.function_space import closer_than, further_than, l1_distance
from ilr.recording import Recording
from ilr.verdicts import Finding

EQUAL_FROM, STEPS = 300, 800
BEFORE = every(50, EQUAL_FROM, start=150)
AFTER = every(50, STEPS, start=600)
SCHEDULES = {
    "λ falls": (Constant(0.5), StepDecay(0.16, 1 / 8, (EQUAL_FROM,))),
    "η falls": (StepDecay(2.0, 1 / 4, (EQUAL_FROM,)), Constant(0.02)),
    "η rises": (StepDecay(0.1, 5.0, (EQUAL_FROM,)), Constant(0.02)),
}
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
                reason="λₑ differ by a factor of 2 to 40 here; near the end's λₑ a factor of 2 makes 0.005.",
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
    replicas=Replicas(tiny=96),
    not_run="its schedules have been chosen for the digits only",
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    return {
        name: Experiment(
            net=MLP(),
            norm=BatchNorm(),
            data=Data("digits"),
            batch_size=32,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=STEPS,
            replicas=setting.replicas,
            first_replica=group * setting.replicas,
            seed=setting.seed,
            observe=(Observe("test_predictions", every(50, STEPS)), Observe("test_accuracy", every(50, STEPS))),
        )
        for group, (name, (learning_rate, weight_decay)) in enumerate(SCHEDULES.items())
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for one, other in PAIRS:
        before, after = ([classes_over(recordings[name], steps) for name in (one, other)] for steps in (BEFORE, AFTER))
        yield further_than(CLAIM[f"{one} / {other}: squared distance while λₑ differ"], *before)
        yield closer_than(CLAIM[f"{one} / {other}: squared distance at the end"], *after)


def classes_over(recording: Recording, steps: range) -> npt.NDArray[np.int16]:
    """The classes given to every test image at each of some steps, side by side: [replica, step × image]."""
    return np.concatenate([recording.at("test_predictions", step) for step in steps], axis=1)


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
    for axes in (distance, accuracy):
        axes.axvline(EQUAL_FROM, color="black", linewidth=0.6)
        axes.legend(loc="center right")
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
    unequal = replace(planned["λ falls"], weight_decay=StepDecay(0.16, 1 / 4, (EQUAL_FROM,)))
    return planned | {"λ falls": unequal}


def test_function_space_equilibrium(trial):
    trial.must_reproduce()
