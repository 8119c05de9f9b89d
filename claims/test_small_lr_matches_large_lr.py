"""A small initial learning rate generalises as well as a large one, given time.

Conventional wisdom says that only a large initial learning rate finds minima that generalise. For a normalised net
the initial learning rate is no more than the initial scale of the weights: weight decay shrinks them until the
effective learning rate η/‖w‖² is that of the equilibrium, which depends on λₑ = ηλ. A small learning rate loses
nothing but time, some 1/λₑ steps, which at 100 times smaller an η is 100 times as long.

The blog's figure 2 trains a ResNet on CIFAR-10 (B = 128, weight decay 0.0005, learning rates divided by 10 at each
decay) with a usual initial learning rate and with one 100 times smaller, which matches the baseline after one more
decay, at ten times the epochs. The initial learning rates, the places of the decays and the accuracies are not
known. Here the baseline starts at η and decays twice, half-way and at three quarters, to η/100; the other starts
there, trains ten times as long and decays once more, for the last tenth.

At tiny λ = 0.04 lets the small learning rate train for 2.9/λₑ steps before that decay, which is enough for every net.
At reduced the CNN learns 1,000 images of Fashion-MNIST, which the baseline has the time to learn by heart, as the
blog's has in 500 epochs: otherwise the small learning rate ends ahead, for having ten times the steps. At full 200
epochs of the baseline, a usual number, make 2.8/λₑ steps of the other before its decay, as at tiny; the blog's 500 make
7/λₑ (--literal). Where squared norms have to shrink 50-fold they take 2/λₑ, and the time to mix is a fraction of one.

Accuracies are those of the last step. A small learning rate and its baseline share the frozen head, the initial weights
and the batches of an epoch, so the accuracies are compared in pairs: what a lucky head gains, it gains in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """The baseline's initial one."""
    weight_decay: float
    steps: int
    """The baseline's."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Data where they are not the scale's standard."""


REGIMES = {
    "tiny": Regime(1.0, 0.04, steps=800),
    "reduced": Regime(
        1.0, 0.01, steps=2_400, trained={"data": ilr.Data("fashion-mnist", train=1_000, test=1_000, side=14)}
    ),
    "full": Regime(0.8, 5e-4, steps=200 * 390),
    "literal": Regime(0.8, 5e-4, steps=500 * 390),
}
DECAY = 0.1
SMALLER = 0.01
LONGER = 10
OBSERVATIONS = 20
DRAWN = 0.05
"""Differences of accuracy that the figure has room for."""

ACCURACY = ilr.Prediction(
    quantity="small learning rate less baseline: final test accuracy",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent: less than what conventional wisdom would expect to lose by a learning rate so wrong.",
)
CLAIM = ilr.Claim(
    id="small-lr-matches-large-lr",
    title="A 100 times smaller initial learning rate ends as accurate, ten times later",
    source="blog post, figure 2; against conventional wisdom 2",
    statement=(
        "With an initial learning rate 100 times smaller, ten times the steps and one more decay, a net reaches the "
        "baseline's test accuracy."
    ),
    predictions=(ACCURACY,),
    controls=(
        ilr.Control(
            "without-more-steps",
            "The time: the small learning rate gets the baseline's steps, too few for its weights to shrink.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(8, 16, 32)),
    question="Does a 100 times smaller initial learning rate end as accurate, ten times later?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; in initial learning rate and places of the decays, which are not known "
            "there; and in a weight decay 80 times as large, 0.04, so that the small learning rate has the time it "
            "needs."
        ),
        reduced=(
            "net and data, a CNN on 1,000 images of Fashion-MNIST; in initial learning rate and places of the decays, "
            "which are not known there; and in a weight decay 20 times as large, 0.01."
        ),
        full=(
            "the initial learning rate and the places of the decays, which are not known there; and in 200 epochs and "
            "2,000 in place of 500 and 5,000."
        ),
        literal="the initial learning rate and the places of the decays, which are not known there.",
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    steps = REGIMES[setting.regime].steps
    return {
        "baseline": scheduled(setting, 1.0, (steps // 2, steps * 3 // 4), steps),
        "small learning rate": small(setting, LONGER * steps),
    }


def small(setting: ilr.Setting, steps: int) -> ilr.Experiment:
    """Training at the small learning rate for so many steps, the last tenth of them after its one decay."""
    return scheduled(setting, SMALLER, (steps * 9 // 10,), steps)


def scheduled(setting: ilr.Setting, initial: float, decays: tuple[int, ...], steps: int) -> ilr.Experiment:
    """Training with a staircase as its learning rate.

    Args:
        setting: the scale gives the rates.
        initial: learning rate, as a multiple of the baseline's.
        decays: steps at which it decays.
        steps: in all.
    """
    regime = REGIMES[setting.regime]
    at = ilr.every(steps // OBSERVATIONS, steps, start=steps // OBSERVATIONS)
    return setting.experiment(
        learning_rate=ilr.StepDecay(initial * regime.learning_rate, DECAY, decays),
        weight_decay=regime.weight_decay,
        steps=steps,
        observe=ilr.observe_all("test_accuracy", "effective_learning_rate", at=at),
        **regime.trained,
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    small, baseline = (
        ilr.group(recordings[name], recordings[name].final("test_accuracy"))
        for name in ("small learning rate", "baseline")
    )
    yield ACCURACY, small, baseline


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (accuracy, effective, ends) = ilr.new_figure(
        "First and second: the baseline and the learning rate 100 times smaller, over a logarithm of the step; bands "
        "are the middle four fifths of the replicas. In the control, grey, the small learning rate has the "
        "baseline's steps. Third: final test accuracy with the small learning rate less that of the baseline, a dot "
        "a replica; a diamond, the mean with two standard errors; shaded, what is accepted of the mean.",
        panels=3,
    )
    early = controls["without-more-steps"]["small learning rate"]
    for label, run in {**recordings, "baseline's steps (control)": early}.items():
        style = ilr.as_control() if run is early else {}
        ilr.draw_band(accuracy, run.steps("test_accuracy"), run["test_accuracy"], label, **style)
        ilr.draw_band(effective, run.steps("effective_learning_rate"), run["effective_learning_rate"], label, **style)
    final = [recordings[name].final("test_accuracy") for name in ("small learning rate", "baseline")]
    ilr.draw_groups(ends, {"small less baseline": final[0] - final[1]})
    ends.set(title="difference of final test accuracy", ylim=(-DRAWN, DRAWN))
    ilr.draw_accepted(ends, ACCURACY)
    ends.axhline(0.0, color="black", linewidth=0.6)
    accuracy.set(title="test accuracy", xlabel="step", xscale="log")
    accuracy.legend(loc="lower right")
    effective.set(title="effective learning rate η/‖w‖²", xlabel="step", xscale="log", yscale="log")
    return drawn


def control_without_more_steps(setting: ilr.Setting) -> ilr.Experiments:
    return experiments(setting) | {"small learning rate": small(setting, REGIMES[setting.regime].steps)}


def test_small_lr_matches_large_lr(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
