"""The norm of the weights obeys an exact law, step by step, whatever the schedules.

Weight decay shrinks the weights to (1 − ηλ)w, and the gradient, orthogonal to them and of size ‖ḡ‖/‖w‖, adds to
their square: ‖w₊‖² = (1 − ηλ)²‖w‖² + η²‖ḡ‖²/‖w‖². Here ḡ is the batch's gradient at unit norm, which does not depend
on ‖w‖ at all. So all that the net and the data have to say about the norm is one number a step, ‖ḡ‖²; the
paper's dγ/dt = −4λₑγ + 2E‖ḡ‖² is this law with the mean over batches, and its equilibrium and what follows a drop of
the learning rate come from it.

We start the law at the first norm, feed it each step's measured ‖ḡ‖² and never correct it by the measured norm
again: in float64 it must follow the whole run to rounding, at constant η and λ as well as through a staircase of
both and through cosine and warm-up. The law forgets its own errors as it forgets the norm, so they do not pile up.
The paper derives it and trains nothing for it. The schedules are the same at every scale, as an identity asks for no
regime: λ is large, so that the norm falls to
its equilibrium within 200 steps, and η small, so that the control's unnormalised nets do not blow up.
"""

import numpy as np

import ilr

STEPS = 200
SCHEDULES = {
    "constant": (0.1, 0.2),
    "staircase": (ilr.StepDecay(0.1, 0.1, (100,)), ilr.StepDecay(0.1, 5.0, (50, 150))),
    "cosine and warm-up": (ilr.Cosine(0.2, STEPS), ilr.WarmupLinear(0.5, 100, 2 * STEPS)),
}
"""Learning rate and weight decay."""

DEVIATION = ilr.Prediction(
    quantity="{}: largest relative deviation of the norm from the law",
    rule="universal",
    expected=0.0,
    margin=1e-12,
    reason=(
        "An identity in exact arithmetic. Each of 200 steps rounds by some 1e-15, in float64; a step left out, "
        "or a learning rate one step late, shows above 1e-4."
    ),
)
CLAIM = ilr.Claim(
    id="norm-recurrence",
    title="One number a step, the gradient at unit norm, gives the norm of the weights",
    source='blog post, "So what\'s really going on?"',
    statement=(
        "Each step of SGD on a scale-invariant net takes ‖w‖² to (1 − ηλ)²‖w‖² + η²‖ḡ‖²/‖w‖², ḡ being the batch's "
        "gradient at unit norm, under any schedules of η and λ."
    ),
    predictions=ilr.for_each(SCHEDULES, DEVIATION),
    controls=(
        ilr.Control("no-normalisation", "Scale invariance: without normalisation the gradient has a radial part."),
    ),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
    question="Does one number a step, the gradient at unit norm, give the norm of the weights?",
    differs=ilr.Differs(
        tiny="testing what is derived there, by 200 steps of an MLP on digits in float64, under schedules of ours.",
        reduced=(
            "testing what is derived there, by 200 steps of a CNN on Fashion-MNIST in float64, under schedules of ours."
        ),
        full="testing what is derived there, by 200 steps in float64, under schedules of ours.",
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    return {
        name: setting.experiment(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=STEPS,
            precision="float64",
            observe=(
                ilr.Observe("weight_norm", range(STEPS + 1)),
                ilr.Observe("gradient_second_moment", range(STEPS)),
            ),
        )
        for name, (learning_rate, weight_decay) in SCHEDULES.items()
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name, recording in recordings.items():
        yield DEVIATION.of(name), deviation(recording).max(axis=1)


def deviation(recording: ilr.Recording) -> ilr.Array:
    """How far the measured norm is from the one the law gives, relative, [replica, time]."""
    return np.asarray(np.abs(recording["weight_norm"] / norm_by_law(recording) - 1))


def norm_by_law(recording: ilr.Recording) -> ilr.Array:
    """The norm by the law, from the first norm and each step's ‖ḡ‖² alone: [replica, time]."""
    learning_rates = recording.experiment.learning_rates().tolist()
    weight_decays = recording.experiment.weight_decays().tolist()
    squares = [recording["weight_norm"][:, 0] ** 2]  # of each step: [replica]
    for step, second_moment in enumerate(recording["gradient_second_moment"].T):
        squares.append(
            ilr.theory.squared_norm_after_step(squares[-1], learning_rates[step], weight_decays[step], second_moment)
        )
    return np.asarray(np.sqrt(np.stack(squares, axis=1)))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (course, rounding) = ilr.new_figure(
        "First: the norm of one replica under three schedules; dotted, the law, which is given the first norm and "
        "each step's ‖ḡ‖². Second: the largest relative deviation of the norm from the law over all replicas, on a "
        "logarithmic axis. In the control, grey, there is no normalisation.",
        panels=2,
    )
    for name, recording in recordings.items():
        steps = recording.steps("weight_norm")
        course.plot(steps, recording["weight_norm"][0], label=name)
        label = "" if name in list(recordings)[1:] else "by the law"
        course.plot(steps, norm_by_law(recording)[0], ":", color="black", label=label or None, zorder=3)
        ilr.draw_largest(rounding, steps, deviation(recording), name)
    for name, recording in controls["no-normalisation"].items():
        steps = recording.steps("weight_norm")
        ilr.draw_largest(rounding, steps, deviation(recording), f"{name} (control)", **ilr.as_control())
    course.set(title="norm, one replica", xlabel="step")
    course.legend()
    rounding.set(title="largest relative deviation from the law", xlabel="step")
    rounding.legend(loc="center right")
    return drawn


def control_no_normalisation(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), norm=ilr.NoNorm())


def test_norm_recurrence(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
