"""Without weight decay the weights of a normalised net only ever grow.

Scale invariance makes the gradient orthogonal to the weights, so by Pythagoras a step of SGD without weight decay
gives ‖w₊‖² = ‖w‖² + η²‖∇L‖²: the norm never falls, whatever the data, the learning rate or the batch, and with it
the effective learning rate η/‖w‖² never rises. Only weight decay can bring it back, and so make an equilibrium
possible. With momentum the same holds for a run that starts at rest: the velocity v keeps ⟨v, w⟩ ≤ 0, as
⟨v₊, w₊⟩ = β(⟨v, w⟩ − η‖v‖²), and a step against v leads outwards.

This is an inequality of every single step, so we look at every step, in float64. A norm that stands still does not
fall either, so it must also grow visibly. Only η/‖w‖² counts, and He's initialisation is large (‖w‖² is 192 for the
MLP, 96 for the CNN, some 2,500 for a PreResNet32): η is chosen so that two hundred steps matter, and the control's λ
so that ηλ = 0.01. The paper argues this and trains nothing for it; what holds for every step needs no long run.
"""

import numpy as np

import ilr

MOMENTA = {"without momentum": 0.0, "with momentum 0.9": 0.9}
STEPS = 200
LEARNING_RATE = {"tiny": 10.0, "reduced": 10.0, "full": 100.0}
INTRINSIC_LEARNING_RATE = 0.01
SHARE = 0.8
"""So many of the networks are to grow."""

FALL = ilr.Prediction(
    quantity="{}: largest relative fall of the norm in one step",
    rule="universal",
    expected=0.0,
    margin=1e-12,
    reason=(
        "An inequality in exact arithmetic: float64 rounds the norm by 1e-15, while decay at ηλ = 0.01 "
        "takes up to 1e-2 in a step."
    ),
)
GROWTH = ilr.Prediction(
    quantity="{}: growth of the norm over the run",
    rule="quantile_at_least",
    expected=1.1,
    margin=0.0,
    reason="A norm that stands still never falls either; a tenth is no longer rounding or one lucky step.",
)
CLAIM = ilr.Claim(
    id="norm-growth-without-weight-decay",
    title="Without weight decay the norm never falls",
    source="blog post, against conventional wisdom 1",
    statement=(
        "The weights of a scale-invariant net are orthogonal to the gradient, so without weight decay their norm does "
        "not fall in any step of SGD, with or without momentum, and grows in the long run."
    ),
    predictions=ilr.for_each(MOMENTA, FALL, GROWTH),
    controls=(ilr.Control("weight-decay", "The absence of weight decay: at ηλ = 0.01 the weights shrink."),),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
    question="Without weight decay, does the norm of the weights never fall?",
    differs=ilr.Differs(
        tiny=(
            "testing what follows from scale invariance, by 200 steps of an MLP on digits in float64, at a learning "
            "rate of 10, so that they matter."
        ),
        reduced=(
            "testing what follows from scale invariance, by 200 steps of a CNN on Fashion-MNIST in float64, at a "
            "learning rate of 10, so that they matter."
        ),
        full=(
            "testing what follows from scale invariance, by 200 steps in float64, at a learning rate of 100, so that "
            "they matter."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    return {
        name: setting.experiment(
            learning_rate=LEARNING_RATE[setting.scale],
            weight_decay=0.0,
            momentum=momentum,
            steps=STEPS,
            precision="float64",
            observe=(ilr.Observe("weight_norm", range(STEPS + 1)),),
        )
        for name, momentum in MOMENTA.items()
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name in MOMENTA:
        norm = recordings[name]["weight_norm"]  # [replica, step]
        fall = -np.diff(norm, axis=1) / norm[:, :-1]
        yield FALL.of(name), fall.max(axis=1)
        yield GROWTH.of(name), norm[:, -1] / norm[:, 0], SHARE


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, panels = ilr.new_figure(
        "The norm of the weights over its first value: mean and middle four fifths of the replicas, which have "
        "common starts. In the control, grey, there is weight decay.",
        panels=len(MOMENTA),
    )
    runs = {"no weight decay": recordings, f"ηλ = {INTRINSIC_LEARNING_RATE} (control)": controls["weight-decay"]}
    for axes, name in zip(panels, MOMENTA, strict=True):
        for label, recorded in runs.items():
            norm = recorded[name]["weight_norm"]
            style = {} if recorded is recordings else ilr.as_control()
            ilr.draw_band(axes, recorded[name].steps("weight_norm"), norm / norm[:, :1], label, **style)
        axes.set(title=name, xlabel="step")
    panels[0].set_ylabel("‖w‖ / ‖w₀‖")
    panels[0].legend()
    return drawn


def control_weight_decay(setting: ilr.Setting) -> ilr.Experiments:
    weight_decay = INTRINSIC_LEARNING_RATE / LEARNING_RATE[setting.scale]
    return ilr.changed(experiments(setting), weight_decay=weight_decay)


def test_norm_growth_without_weight_decay(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
