"""Changing the initial learning rate is changing the scale of the initialisation.

Scale invariance makes (w₀, η, λ) and (c·w₀, c²η, λ/c²) one and the same training run: the second walks through c
times the weights of the first, so it meets the same directions, hence the same functions, for ever. The product
λₑ = ηλ is equal in both. Review 2 (question 9) calls this striking and asks for an experiment.

We train pairs in float64 from the same start on the same batches, for c = 1/10 and c = 10: the first pair reads "a
learning rate 100 times smaller is an initialisation 10 times smaller", the second the reverse. This is an
identity, so it must hold to rounding; but training is chaotic and multiplies rounding errors, so the runs are kept
to two hundred steps at λₑ = 0.001: at ten times that the CNN would multiply them by 10⁹ and more. c is no power of two,
which float64 would carry through without any rounding at all. The paper states it and trains nothing for it.
"""

from dataclasses import replace

import numpy as np

import ilr

SCALES = {"ten times smaller": 0.1, "ten times larger": 10.0}
STEPS = 200
LEARNING_RATE, WEIGHT_DECAY = 0.1, 0.01

DEVIATION = ilr.Prediction(
    quantity="{}: largest deviation from c times the weights",
    rule="universal",
    expected=0.0,
    margin=1e-8,
    reason=(
        "An identity in exact arithmetic: float64 rounding of 1e-16 may grow by the chaos of a few hundred "
        "steps, but float32 would already show at 1e-7, and any other learning rate at order 1."
    ),
)
CLAIM = ilr.Claim(
    id="learning-rate-is-initial-scale",
    title="Initial learning rate and scale of initialisation are one knob",
    source='blog post, "So what\'s really going on?"; review 2, question 9',
    statement=(
        "Training from c·w₀ with learning rate c²η and weight decay λ/c² takes the same directions, step by step, as "
        "training from w₀ with η and λ."
    ),
    predictions=ilr.for_each(SCALES, DEVIATION),
    controls=(
        ilr.Control(
            "weight-decay-not-divided",
            "The equal product ηλ: the learning rate is multiplied by c² but the weight decay is left as it was.",
        ),
    ),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
    question="Are initial learning rate and scale of initialisation one knob?",
    differs=ilr.Differs(
        tiny="testing, by 200 steps of an MLP on digits in float64, what is stated there without a figure.",
        reduced="testing, by 200 steps of a CNN on Fashion-MNIST in float64, what is stated there without a figure.",
        full="testing, by 200 steps in float64, what is stated there without a figure.",
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    reference = setting.experiment(
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        momentum=0.9,
        steps=STEPS,
        precision="float64",
        observe=ilr.observe_all("weights", at=ilr.every(20, STEPS)),
    )
    planned = {"reference": reference}
    for name, c in SCALES.items():
        planned[name] = replace(
            reference, initial_scale=c, learning_rate=c**2 * LEARNING_RATE, weight_decay=WEIGHT_DECAY / c**2
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name in SCALES:
        yield DEVIATION.of(name), deviation(recordings, name).max(axis=1)


def deviation(recordings: ilr.Recordings, name: str) -> ilr.Array:
    """‖w′/c − w‖/‖w‖ of a rescaled run w′ against the reference w, [replica, time]."""
    reference = recordings["reference"]["weights"]  # [replica, time, weight]
    difference = recordings[name]["weights"] / SCALES[name] - reference
    return np.asarray(np.linalg.norm(difference, axis=2) / np.linalg.norm(reference, axis=2))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, panels = ilr.new_figure(
        "The largest distance over replicas between the weights of the rescaled run, divided by c, and those of the "
        "original, over their norm, on a logarithmic axis. In the control, grey, λ is not divided by c².",
        panels=len(SCALES),
    )
    both = {"λ divided by c²": recordings, "λ left (control)": controls["weight-decay-not-divided"]}
    for axes, name in zip(panels, SCALES, strict=True):
        for label, runs in both.items():
            style = {} if runs is recordings else ilr.as_control()
            ilr.draw_largest(axes, runs[name].steps("weights"), deviation(runs, name), label, **style)
        axes.set(title=name, xlabel="step")
    panels[0].set_ylabel("largest ‖w′/c − w‖ / ‖w‖")
    panels[0].legend()
    return drawn


def control_weight_decay_not_divided(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), weight_decay=WEIGHT_DECAY)


def test_learning_rate_is_initial_scale(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
