"""Full-batch gradient descent with weight decay does not approach gradient flow.

Textbooks say that with a small enough learning rate gradient descent follows gradient flow and the loss falls. A
scale-invariant loss is not smooth at the origin, so no learning rate is small enough: once the training set is
learnt the gradient is small, weight decay shrinks the weights geometrically, the gradient grows, and descent
becomes unstable. The blog's figure 1b,c shows a ResNet on 1,000 CIFAR-10 images that reaches 100% training
accuracy and leaves it repeatedly, until weight decay is switched off at epoch 30,000; then it converges. Its
learning rate and weight decay are not known.

How fast this goes depends on λₑ = ηλ alone, so we choose that: each net descends at three learning rates over a
range of ten, the smallest with 1/λₑ of less than its steps, the largest with one that still lets it learn every
image. Veering off is a rise of 0.1 above the lowest loss so far, in each of the last two quarters. Gradient flow is
approached by the smallest of the learning rates without weight decay; it learns every image, too. An accuracy of 100%
does not vary, and of a loss that stays where it is only the exceptions count: so these are held to a share of the nets,
four in five or more, not to a mean.

A step on all images costs as many as they are, so at tiny and reduced there are 100: of the digits, which an MLP of 64
units a layer learns, wide enough for gradient flow to tell all classes apart, and of Fashion-MNIST, for the CNN. At
full, PreResNet32 learns 1,000 images of CIFAR-10 at the authors' later default η = 0.8 as the largest learning rate.
Their λ = 5·10⁻⁴ would take 60,000 epochs to 24/λₑ at the largest and 2.4/λₑ at the smallest, twice the 30,000 after
which the blog switches weight decay off (--literal). As only λₑ sets the pace, five times the weight decay goes as far
in 12,000; its largest λₑ of 0.002 is a tenth of that at which the CNN at reduced still learns everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """The largest of the three."""
    weight_decay: float
    steps: int
    """A multiple of 4."""
    trained: Mapping[str, Any]
    """Data, and the net where it is not the scale's standard."""


REGIMES = {
    "tiny": Regime(2.0, 0.02, 1200, {"data": ilr.Data("digits", train=100), "net": ilr.MLP((64, 64, 64))}),
    "reduced": Regime(2.0, 0.01, 1200, {"data": ilr.Data("fashion-mnist", train=100, test=1_000, side=14)}),
    "full": Regime(0.8, 25e-4, 12_000, {"data": ilr.Data("cifar-10", train=1000), "augmentation": None}),
    "literal": Regime(0.8, 5e-4, 60_000, {"data": ilr.Data("cifar-10", train=1000), "augmentation": None}),
}
LEARNING_RATES = {"η": 1.0, "η/√10": 10**-0.5, "η/10": 0.1}
"""As parts of the largest."""
FLOW = "gradient flow"
SHARE = 0.8
"""So many of the networks are to learn everything and, as gradient flow, to stay."""

LEARNT = ilr.Prediction(
    quantity="{}: best training accuracy",
    rule="quantile_at_least",
    expected=1.0,
    margin=0.01,
    reason="Learnt means 100%; one in a hundred is left to a learning rate too large to keep still.",
)
VEERS_OFF = ilr.Prediction(
    quantity="{}: rise of the loss in each of the last two quarters",
    rule="at_least",
    expected=0.1,
    margin=0.0,
    reason="Ten times what is left to a run that converges, and enough to be seen in a figure.",
)
FLOW_LEARNT = LEARNT.of(FLOW, reason="It must have learnt, too: a loss that has nowhere to return to cannot rise.")
FLOW_STAYS = ilr.Prediction(
    quantity=f"{FLOW}: how far the loss stays below its lowest so far in the last two quarters",
    rule="quantile_at_least",
    expected=0.0,
    margin=0.01,
    reason="A gradient flow's loss never rises; a rise of a tenth of what counts as veering off is left to its steps.",
)
CLAIM = ilr.Claim(
    id="gradient-descent-is-not-gradient-flow",
    title="With weight decay, full-batch gradient descent never settles",
    source="blog post, figure 1b and 1c",
    statement=(
        "Full-batch gradient descent with weight decay on a normalised net learns its training set and then leaves the "
        "minimum again and again, at every learning rate; without weight decay it stays."
    ),
    predictions=(*ilr.for_each(LEARNING_RATES, LEARNT, VEERS_OFF), FLOW_LEARNT, FLOW_STAYS),
    controls=(
        ilr.Control(
            "weight-decay-switched-off",
            "Weight decay, from the middle of the run on: nothing shrinks the weights any more.",
        ),
    ),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
    question="Does full-batch gradient descent with weight decay leave what it has learnt again and again?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on 100 digits; in learning rate and weight decay, which are not known there; and "
            "weight decay is switched off in the control only, half-way."
        ),
        reduced=(
            "net and data, a CNN on 100 images of Fashion-MNIST; in learning rate and weight decay, which are not "
            "known there; and weight decay is switched off in the control only, half-way."
        ),
        full=(
            "learning rate and weight decay, which are not known there; the latter is five times that of the authors' "
            "later defaults; and in 12,000 epochs in place of more than 30,000, half-way through which the control's "
            "weight decay is switched off."
        ),
        literal=(
            "learning rate and weight decay, which are not known there; and in twice the blog's 30,000 epochs, "
            "half-way through which the control's weight decay is switched off."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    planned = {
        name: descent(setting, part * regime.learning_rate, regime.weight_decay)
        for name, part in LEARNING_RATES.items()
    }
    planned[FLOW] = descent(setting, min(LEARNING_RATES.values()) * regime.learning_rate, 0.0)
    return planned


def descent(setting: ilr.Setting, learning_rate: float, weight_decay: float) -> ilr.Experiment:
    """Gradient descent on all examples at once."""
    regime = REGIMES[setting.regime]
    return setting.experiment(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=None,
        steps=regime.steps,
        observe=(
            ilr.Observe("batch_loss", range(regime.steps)),
            ilr.Observe("train_accuracy", ilr.every(regime.steps // 120, regime.steps)),
        ),
        **regime.trained,
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name in LEARNING_RATES:
        yield LEARNT.of(name), recordings[name]["train_accuracy"].max(axis=1), SHARE
        yield VEERS_OFF.of(name), late_rises(recordings[name]).min(axis=1)
    yield FLOW_LEARNT, recordings[FLOW]["train_accuracy"].max(axis=1), SHARE
    yield FLOW_STAYS, -late_rises(recordings[FLOW]).max(axis=1), SHARE


def late_rises(recording: ilr.Recording) -> ilr.Array:
    """How far the loss rises in either of the last two quarters above the lowest it had before: [replica, 2]."""
    quarters = np.split(recording["batch_loss"], 4, axis=1)  # each [replica, step]
    lowest = np.stack([quarter.min(axis=1) for quarter in quarters], axis=1)  # [replica, quarter]
    rises = [quarters[late].max(axis=1) - lowest[:, :late].min(axis=1) for late in (2, 3)]
    return np.stack(rises, axis=1)


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, panels = ilr.new_figure(
        "One replica, at each of the three learning rates: above, the loss on the whole training set at every step; "
        "below, training accuracy at every hundred-and-twentieth of the run. In the control, grey, weight decay is "
        "switched off at the dotted line, up to which it is the claim's own run. Gradient flow is descent at the "
        "smallest learning rate without weight decay.",
        panels=len(LEARNING_RATES),
        rows=2,
    )
    for losses, accuracies, name in zip(panels[::2], panels[1::2], LEARNING_RATES, strict=True):
        run = recordings[name].experiment
        half = run.steps // 2
        kinds = {
            FLOW: (recordings[FLOW], {"color": "C1", "linestyle": "-"}),
            "weight decay": (recordings[name], {"color": "C0", "linestyle": "-"}),
            f"off at step {half} (control)": (controls["weight-decay-switched-off"][name], ilr.as_control()),
        }
        for label, (recording, style) in kinds.items():
            for axes, quantity in ((losses, "batch_loss"), (accuracies, "train_accuracy")):
                shown = recording.steps(quantity) >= (half if "control" in label else 0)
                values = recording[quantity][0, shown]
                axes.plot(recording.steps(quantity)[shown], values, label=label, linewidth=0.9, **style)
        for axes in (losses, accuracies):
            axes.axvline(half, color="black", linewidth=0.6, linestyle=":")
        losses.set(title=f"training loss, η = {run.learning_rates()[0]:.2g}")
        accuracies.set(title=f"training accuracy, η = {run.learning_rates()[0]:.2g}", xlabel="step", ylim=(None, 1.03))
    panels[-2].legend()
    return drawn


def control_weight_decay_switched_off(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    switched_off = ilr.Phases((regime.weight_decay, 0.0), (regime.steps // 2,))
    return ilr.changed(experiments(setting), only=LEARNING_RATES, weight_decay=switched_off)


def test_gradient_descent_is_not_gradient_flow(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
