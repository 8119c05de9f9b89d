"""Full-batch gradient descent with weight decay does not approach gradient flow.

Textbooks say that with a small enough learning rate gradient descent follows gradient flow and the loss falls. A
scale-invariant loss is not smooth at the origin, so no learning rate is small enough: once the training set is
learnt the gradient is small, weight decay shrinks the weights geometrically, the gradient grows, and descent
becomes unstable. The blog's figure 1b,c shows a ResNet on 1,000 CIFAR-10 images that reaches 100% training
accuracy and leaves it repeatedly, until weight decay is switched off at epoch 30,000; then it converges. Its
learning rate and weight decay are not known.

We train a batch-normalised MLP on 1,000 digits, full batch, without momentum, at three learning rates over a range
of ten. λ = 0.02 puts 1/(ηλ) at 25 to 250 steps, so that even the smallest learning rate has time to come back to
the unstable norm more than once in 1,200 steps. The loss cannot reach zero with a frozen head and unit-variance
features; its floor here is about 0.4, and a rise of 0.05 above the lowest loss so far, in each of the last two
quarters, is what we call veering off: converging descent, as in the control, stays within 0.01.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

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
    Phases,
    Prediction,
    Replicas,
    Setting,
    every,
)
from ilr.figures import new_figure
from ilr.recording import Recording
from ilr.statistics import at_least
from ilr.verdicts import Finding

LEARNING_RATES = (0.2, 0.632, 2.0)
WEIGHT_DECAY = 0.02
STEPS = 1200
QUARTER = STEPS // 4

CLAIM = Claim(
    id="gradient-descent-is-not-gradient-flow",
    title="With weight decay, full-batch gradient descent never settles",
    source="blog post, figure 1b and 1c",
    statement=(
        "Full-batch gradient descent with weight decay on a normalised net learns its training set and then leaves the "
        "minimum again and again, at every learning rate; with weight decay switched off it converges."
    ),
    predictions=tuple(
        prediction
        for learning_rate in LEARNING_RATES
        for prediction in (
            Prediction(
                quantity=f"η = {learning_rate}: best training accuracy",
                rule="at_least",
                expected=1.0,
                margin=0.01,
                reason="Learnt means 100%; ten of 1,000 are left to a learning rate too large to keep still.",
            ),
            Prediction(
                quantity=f"η = {learning_rate}: rise of the loss in each of the last two quarters",
                rule="at_least",
                expected=0.05,
                margin=0.0,
                reason="An eighth of the lowest loss reached, and five times what a converging run rises by.",
            ),
        )
    ),
    controls=(
        Control(
            "weight-decay-switched-off",
            "Weight decay, from the middle of the run on: nothing shrinks the weights any more.",
        ),
    ),
    replicas=Replicas(tiny=10),
    not_run="its learning rates and length have been chosen for the digits only",
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    return {
        f"η = {learning_rate}": Experiment(
            net=MLP(),
            norm=BatchNorm(),
            data=Data("digits", train=1000),
            learning_rate=Constant(learning_rate),
            weight_decay=Constant(WEIGHT_DECAY),
            steps=STEPS,
            replicas=setting.replicas,
            seed=setting.seed,
            observe=(Observe("batch_loss", range(STEPS)), Observe("train_accuracy", every(10, STEPS))),
        )
        for learning_rate in LEARNING_RATES
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for name, recording in recordings.items():
        yield at_least(CLAIM[f"{name}: best training accuracy"], recording["train_accuracy"].max(axis=1))
        rises = [
            rise(recording["batch_loss"], start, start + QUARTER) for start in (STEPS - 2 * QUARTER, STEPS - QUARTER)
        ]
        yield at_least(CLAIM[f"{name}: rise of the loss in each of the last two quarters"], np.min(rises, axis=0))


def rise(loss: npt.NDArray[np.float64], start: int, end: int) -> npt.NDArray[np.float64]:
    """How far the loss [replica, step] rises between two steps above the lowest it had before, [replica]."""
    return np.asarray(loss[:, start:end].max(axis=1) - loss[:, :start].min(axis=1))


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, panels = new_figure(
        "As the blog's figure 1b,c: the loss is left again and again, until weight decay is switched off.",
        panels=len(LEARNING_RATES),
    )
    for axes, name in zip(panels, recordings, strict=True):
        for label, runs in {
            "weight decay on": recordings,
            f"switched off at step {STEPS // 2}": controls["weight-decay-switched-off"],
        }.items():
            axes.plot(runs[name]["batch_loss"][0], label=label, linewidth=0.8)
        axes.axvline(STEPS // 2, color="black", linewidth=0.6, linestyle=":")
        axes.set(title=f"{name}, one replica", xlabel="step")
    panels[0].set_ylabel("training loss, full batch")
    panels[-1].legend()
    return drawn


def control_weight_decay_switched_off(setting: Setting) -> dict[str, Experiment]:
    switched_off = Phases((Constant(WEIGHT_DECAY), Constant(0.0)), (STEPS // 2,))
    return {name: replace(one, weight_decay=switched_off) for name, one in experiments(setting).items()}


def test_gradient_descent_is_not_gradient_flow(trial):
    trial.must_reproduce()
