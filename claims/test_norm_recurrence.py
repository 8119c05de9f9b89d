"""The norm of the weights obeys an exact law, step by step, whatever the schedules.

Weight decay shrinks the weights to (1 − ηλ)w, and the gradient, orthogonal to them and of size ‖ḡ‖/‖w‖, adds to
their square: ‖w₊‖² = (1 − ηλ)²‖w‖² + η²‖ḡ‖²/‖w‖². Here ḡ is the batch's gradient at unit norm, which does not depend
on ‖w‖ at all. So all that the net and the data have to say about the norm is one number a step, ‖ḡ‖²; the
paper's dγ/dt = −4λₑγ + 2E‖ḡ‖² is this law with the mean over batches, and its equilibrium and what follows a drop of
the learning rate come from it.

We start the law at the first norm, feed it each step's measured ‖ḡ‖² and never correct it by the measured norm
again: in float64 it must follow the whole run to rounding, at constant η and λ as well as through a staircase of
both and through cosine and warm-up. The law forgets its own errors as it forgets the norm, so they do not pile up.
The schedules are the same at every scale, as an identity asks for no regime: λ is large, so that the norm falls to
its equilibrium within 200 steps, and η small, so that the control's unnormalised nets do not blow up.
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
    Cosine,
    Experiment,
    NoNorm,
    Observe,
    Prediction,
    Replicas,
    Setting,
    StepDecay,
    WarmupLinear,
)
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.shares import universal
from ilr.stats.theory import squared_norm_after_step
from ilr.trials.plotting import new_figure

STEPS = 200
SCHEDULES = {
    "constant": (Constant(0.1), Constant(0.2)),
    "staircase": (StepDecay(0.1, 0.1, (100,)), StepDecay(0.1, 5.0, (50, 150))),
    "cosine and warm-up": (Cosine(0.2, STEPS), WarmupLinear(0.5, 100, 2 * STEPS)),
}

CLAIM = Claim(
    id="norm-recurrence",
    title="One number a step, the gradient at unit norm, gives the norm of the weights",
    source='blog post, "So what\'s really going on?"',
    statement=(
        "Each step of SGD on a scale-invariant net takes ‖w‖² to (1 − ηλ)²‖w‖² + η²‖ḡ‖²/‖w‖², ḡ being the batch's "
        "gradient at unit norm, under any schedules of η and λ."
    ),
    predictions=tuple(
        Prediction(
            quantity=f"{name}: largest relative deviation of the norm from the law",
            rule="universal",
            expected=0.0,
            margin=1e-12,
            reason=(
                "An identity in exact arithmetic. Each of 200 steps rounds by some 1e-15, in float64; a step left out, "
                "or a learning rate one step late, shows above 1e-4."
            ),
        )
        for name in SCHEDULES
    ),
    controls=(Control("no-normalisation", "Scale invariance: without normalisation the gradient has a radial part."),),
    replicas=Replicas(tiny=32, reduced=32, full=32),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    return {
        name: setting.experiment(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=STEPS,
            precision="float64",
            observe=(Observe("weight_norm", range(STEPS + 1)), Observe("gradient_second_moment", range(STEPS))),
        )
        for name, (learning_rate, weight_decay) in SCHEDULES.items()
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for name, recording in recordings.items():
        prediction = CLAIM[f"{name}: largest relative deviation of the norm from the law"]
        yield universal(prediction, deviation(recording).max(axis=1))


def deviation(recording: Recording) -> npt.NDArray[np.float64]:
    """How far the measured norm is from the one the law gives, relative, [replica, time]."""
    return np.asarray(np.abs(recording["weight_norm"] / norm_by_law(recording) - 1))


def norm_by_law(recording: Recording) -> npt.NDArray[np.float64]:
    """The norm by the law, from the first norm and each step's ‖ḡ‖² alone: [replica, time]."""
    run = recording.experiment
    squares = [recording["weight_norm"][:, 0] ** 2]
    for learning_rate, weight_decay, second_moment in zip(
        run.learning_rate.values(run.steps).tolist(),
        run.weight_decay.values(run.steps).tolist(),
        recording["gradient_second_moment"].T,
        strict=True,
    ):
        squares.append(squared_norm_after_step(squares[-1], learning_rate, weight_decay, second_moment))
    return np.sqrt(np.stack(squares, axis=1))


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    caption = (
        "The law (black, dotted) starts at the first norm and never sees another: it follows every schedule. Without "
        "normalisation (dashed) it is lost within steps. Left, one replica; right, the largest deviation of all."
    )
    drawn, (course, rounding) = new_figure(caption, panels=2)
    for name, recording in recordings.items():
        steps = recording.steps("weight_norm")
        course.plot(steps, recording["weight_norm"][0], label=name)
        course.plot(steps, norm_by_law(recording)[0], ":", color="black")
        rounding.semilogy(steps, np.maximum(deviation(recording).max(axis=0), 1e-17))
    for name, recording in controls["no-normalisation"].items():
        rounding.semilogy(
            recording.steps("weight_norm"), deviation(recording).max(axis=0), "--", label=f"{name}, no normalisation"
        )
    course.set(title="norm, one replica", xlabel="step")
    course.legend()
    rounding.set(title="largest relative deviation from the law", xlabel="step")
    rounding.legend(loc="center right")
    return drawn


def control_no_normalisation(setting: Setting) -> dict[str, Experiment]:
    return {name: replace(one, norm=NoNorm()) for name, one in experiments(setting).items()}


def test_norm_recurrence(trial):
    trial.must_reproduce()
