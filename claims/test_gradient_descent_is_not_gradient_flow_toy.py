"""With weight decay, gradient descent on the simplest scale-invariant loss never settles.

On L(x, y) = x²/(x²+y²) gradient flow slides to the y-axis, where the loss is zero, and stays. Gradient descent
gets there too; but then the gradient vanishes, weight decay shrinks the weights by 1 − ηλ a step, and the closer
they come to the origin the steeper the loss: once η > ‖w‖² the axis repels, however small the angle has become,
and the loss jumps. The jump pushes the weights outwards, and it all begins again. So spikes come for ever, and a
smaller learning rate only makes them rarer: one after about 1/(ηλ) steps. Without weight decay there are none (blog
post, figure 1a).

The blog shows the course of one run; our 16,000 steps are 40/(ηλ) at the smallest ηλ, at every scale alike.
We start at random angles, at four intrinsic learning rates over a range of eight, and count a spike when the loss
exceeds 0.1 after it was below 0.01; the late loss peaks near 0.5. There is a periodic orbit as well, of two
steps and of the loss ηλ/2, which is no descent to zero either but has no spikes to count; tests/training/test_toy.py
finds it exactly.

The blog calls the motion chaotic. So we start each replica a second time, with an initial norm larger by 10⁻⁹, and ask
how far apart the norms of the two come: a positive Lyapunov exponent multiplies their difference until it is of order
one. Without weight decay it remains what it was.
"""

from dataclasses import replace

import numpy as np

import ilr

LEARNING_RATE = 0.1
INTRINSIC = {f"ηλ = {intrinsic}": intrinsic for intrinsic in (0.02, 0.01, 0.005, 0.0025)}
STEPS = 16_000
SPIKE, CALM = 0.1, 0.01
NUDGE, MAGNIFICATION = 1e-9, 1e6

STILL_SPIKES = ilr.Prediction(
    quantity="share of starts whose loss still spikes at the end",
    rule="share_at_least",
    expected=0.8,
    margin=0.0,
    reason="'For ever' allows a few starts to be caught by a periodic orbit; four in five must spike.",
)
EXPONENT = ilr.Prediction(
    quantity="exponent of the steps between spikes in 1/(ηλ)",
    rule="slope",
    expected=1.0,
    margin=0.1,
    reason="Proportional to 1/(ηλ) means 1; a logarithm of the smallest angle reached may add a little.",
)
CHAOTIC = ilr.Prediction(
    quantity="share of starts that magnify a nudge of 1e-9 a million times",
    rule="share_at_least",
    expected=0.8,
    margin=0.0,
    reason="As for the spikes; a million is far beyond rounding, and far from where the difference saturates.",
)
DIFFERENCE = (
    "the rates, which are not known there; and in counting spikes and nudging starts, where the blog post shows one "
    "course."
)
CLAIM = ilr.Claim(
    id="gradient-descent-is-not-gradient-flow-toy",
    title="On the toy loss x²/(x²+y²), gradient descent with weight decay spikes for ever",
    source="blog post, figure 1a",
    statement=(
        "Gradient descent with weight decay on L = x²/(x²+y²) returns to a large loss again and again, about every "
        "1/(ηλ) steps, at every learning rate, and it is chaotic; gradient flow, and descent without weight decay, "
        "converge."
    ),
    predictions=(STILL_SPIKES, EXPONENT, CHAOTIC),
    controls=(ilr.Control("no-weight-decay", "Weight decay: nothing shrinks the weights, so the axis never repels."),),
    replicas=ilr.Replicas(tiny=(32, 64, 128), reduced=(32, 64, 128), full=(32, 64, 128)),
    question="Does gradient descent with weight decay spike for ever on the toy loss x²/(x²+y²)?",
    differs=ilr.Differs(tiny=DIFFERENCE, reduced=DIFFERENCE, full=DIFFERENCE),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    norm = ilr.Observe("weight_norm", ilr.every(20, STEPS))
    started = {
        name: ilr.Experiment(
            net=ilr.Toy(),
            norm=ilr.NoNorm(),
            learning_rate=LEARNING_RATE,
            weight_decay=intrinsic / LEARNING_RATE,
            steps=STEPS,
            replicas=setting.replicas,
            seed=setting.seed,
            observe=(ilr.Observe("train_loss", range(STEPS + 1)), norm),
        )
        for name, intrinsic in INTRINSIC.items()
    }
    return started | {
        nudged(name): replace(one, initial_scale=1 + NUDGE, observe=(norm,)) for name, one in started.items()
    }


def nudged(name: str) -> str:
    """The name of the experiment that differs from the one called `name` in its start alone."""
    return f"{name}, nudged"


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    late, intervals, magnified = [], [], []  # each a list over ηλ of values [replica]
    for name, intrinsic in INTRINSIC.items():
        spikes = spiking(recordings[name]["train_loss"])
        late.append(spikes[:, -round(10 / intrinsic) :].any(axis=1))
        # A start that never spikes counts as if it spiked once: its interval is the whole run, whatever ηλ is.
        intervals.append(STEPS / np.maximum(spikes.sum(axis=1), 1))
        magnified.append(separation(recordings, name).max(axis=1) > MAGNIFICATION * NUDGE)
    yield STILL_SPIKES, np.all(late, axis=0)
    yield EXPONENT, np.log(inverses()), np.log(intervals).T
    yield CHAOTIC, np.all(magnified, axis=0)


def inverses() -> ilr.Array:
    """1/(ηλ), [ηλ]."""
    return 1 / np.asarray(list(INTRINSIC.values()))


def separation(recordings: ilr.Recordings, name: str) -> ilr.Array:
    """|log of the ratio of the norms| of each start and of the nudged one, [replica, time]."""
    return np.abs(np.log(recordings[nudged(name)]["weight_norm"] / recordings[name]["weight_norm"]))


def spiking(loss: ilr.Array) -> ilr.Array:
    """Whether a spike begins at each step, [replica, step]: the loss exceeds SPIKE for the first time since it was
    CALM.
    """
    begins = np.zeros(loss.shape, dtype=bool)
    calm = np.zeros(len(loss), dtype=bool)
    for step, now in enumerate(loss.T):
        begins[:, step] = calm & (now > SPIKE)
        calm = (calm & (now <= SPIKE)) | (now < CALM)
    return begins


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (course, law, chaos) = ilr.new_figure(
        "First: the loss of one start against the step. Second: steps per spike against 1/(ηλ), on logarithmic axes, "
        "a dot a start; a line, 1/(ηλ) itself. Third: the log-ratio of the norms of two starts that differ by 10⁻⁹, "
        "on a logarithmic axis: median and middle four fifths of the replicas. In the control, grey, there is no "
        "weight decay.",
        panels=3,
    )
    shown = 1500
    name = list(INTRINSIC)[1]
    kinds = {
        "with weight decay": (recordings, {}),
        "without (control)": (controls["no-weight-decay"], ilr.as_control()),
    }
    for label, (runs, style) in kinds.items():
        course.plot(runs[name]["train_loss"][0, :shown], label=label, **style)
        steps = runs[name].steps("weight_norm")
        early = steps <= shown
        ilr.draw_band(chaos, steps[early], separation(runs, name)[:, early], label, middle=np.median, **style)
    course.set(title=f"one start, {name}", xlabel="step", ylabel="loss")
    chaos.set(title=f"two starts, {name}", xlabel="step", ylabel="log-ratio of their norms", yscale="log")
    counts = [spiking(recordings[name]["train_loss"]).sum(axis=1) for name in INTRINSIC]
    between = STEPS / np.maximum(counts, 1)  # [ηλ, replica]
    law.loglog(inverses(), between, linestyle="", marker=".", color="C0", alpha=0.3)
    law.loglog(inverses(), np.median(between, axis=1), linestyle="", marker="D", color="C0", label="median")
    law.loglog(inverses(), inverses(), color="black", linestyle="-", linewidth=0.8, label="1/(ηλ)")
    law.set(title="how often", xlabel="1/(ηλ)", ylabel="steps between spikes")
    for axis in (law.xaxis, law.yaxis):
        ilr.ticks_at(axis, inverses())
    for axes in (course, law, chaos):
        axes.legend()
    return drawn


def control_no_weight_decay(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), weight_decay=0.0)


def test_gradient_descent_is_not_gradient_flow_toy(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
