"""Changing the initial learning rate is changing the scale of the initialisation.

Scale invariance makes (w₀, η, λ) and (c·w₀, c²η, λ/c²) one and the same training run: the second walks through c
times the weights of the first, so it meets the same directions, hence the same functions, for ever. The product
λₑ = ηλ is equal in both. Review 2 (question 9) calls this striking and asks for an experiment.

We train pairs in float64 from the same start on the same batches, for c = 1/10 and c = 10: the first pair reads "a
learning rate 100 times smaller is an initialisation 10 times smaller", the second the reverse. This is an
identity, so it must hold to rounding; but training is chaotic and multiplies rounding errors, so the runs are kept
to two hundred steps at a small λₑ: at λₑ = 0.01 with momentum 0.9 the CNN would multiply them by 10⁹ and more. (The net
of full scale, tried on smaller images, multiplies them by a hundred in 80 steps.) c is no power of two, which float64
would carry through without any rounding at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import (
    Claim,
    Constant,
    Control,
    Experiment,
    Observe,
    Prediction,
    Replicas,
    Setting,
    every,
)
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.shares import universal
from ilr.trials.plotting import new_figure

SCALES = {"ten times smaller": 0.1, "ten times larger": 10.0}
STEPS = 200
LEARNING_RATE, WEIGHT_DECAY = 0.1, 0.01

CLAIM = Claim(
    id="learning-rate-is-initial-scale",
    title="Initial learning rate and scale of initialisation are one knob",
    source='blog post, "So what\'s really going on?"; review 2, question 9',
    statement=(
        "Training from c·w₀ with learning rate c²η and weight decay λ/c² takes the same directions, step by step, as "
        "training from w₀ with η and λ."
    ),
    predictions=tuple(
        Prediction(
            quantity=f"{name}: largest deviation from c times the weights",
            rule="universal",
            expected=0.0,
            margin=1e-8,
            reason=(
                "An identity in exact arithmetic: float64 rounding of 1e-16 may grow by the chaos of a few hundred "
                "steps, but float32 would already show at 1e-7, and any other learning rate at order 1."
            ),
        )
        for name in SCALES
    ),
    controls=(
        Control(
            "weight-decay-not-divided",
            "The equal product ηλ: the learning rate is multiplied by c² but the weight decay is left as it was.",
        ),
    ),
    replicas=Replicas(tiny=48, reduced=32, full=32),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    reference = setting.experiment(
        learning_rate=Constant(LEARNING_RATE),
        weight_decay=Constant(WEIGHT_DECAY),
        momentum=0.9,
        steps=STEPS,
        precision="float64",
        observe=(Observe("weights", every(20, STEPS)),),
    )
    rescaled = {
        name: replace(
            reference,
            initial_scale=c,
            learning_rate=Constant(c**2 * LEARNING_RATE),
            weight_decay=Constant(WEIGHT_DECAY / c**2),
        )
        for name, c in SCALES.items()
    }
    return {"reference": reference, **rescaled}


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for name in SCALES:
        prediction = CLAIM[f"{name}: largest deviation from c times the weights"]
        yield universal(prediction, deviation(recordings, name).max(axis=1))


def deviation(recordings: Mapping[str, Recording], name: str) -> npt.NDArray[np.float64]:
    """‖w′/c − w‖/‖w‖ of a rescaled run w′ against the reference w, [replica, time]."""
    reference = recordings["reference"]["weights"]
    difference = recordings[name]["weights"] / SCALES[name] - reference
    return np.linalg.norm(difference, axis=2) / np.linalg.norm(reference, axis=2)


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, panels = new_figure(
        "How far the rescaled run strays from the original: rounding where λ is divided by c², everything where not.",
        panels=len(SCALES),
    )
    for axes, name in zip(panels, SCALES, strict=True):
        for label, runs in {
            "weight decay divided by c²": recordings,
            "weight decay left": controls["weight-decay-not-divided"],
        }.items():
            worst = deviation(runs, name).max(axis=0)
            axes.semilogy(recordings[name].steps("weights"), np.maximum(worst, 1e-17), label=label)
        axes.set(title=name, xlabel="step")
    panels[0].set_ylabel("largest ‖w′/c − w‖ / ‖w‖")
    panels[0].legend()
    return drawn


def control_weight_decay_not_divided(setting: Setting) -> dict[str, Experiment]:
    planned = experiments(setting)
    return {name: replace(one, weight_decay=Constant(WEIGHT_DECAY)) for name, one in planned.items()}


def test_learning_rate_is_initial_scale(trial):
    trial.must_reproduce()
