"""With weight decay, gradient descent on the simplest scale-invariant loss never settles.

On L(x, y) = x²/(x²+y²) gradient flow slides to the y-axis, where the loss is zero, and stays. Gradient descent
gets there too; but then the gradient vanishes, weight decay shrinks the weights by 1 − ηλ a step, and the closer
they come to the origin the steeper the loss: once η > ‖w‖² the axis repels, however small the angle has become,
and the loss jumps. The jump pushes the weights outwards, and it all begins again. So spikes come for ever, and a
smaller learning rate only makes them rarer: one after about 1/(ηλ) steps. Without weight decay there are none (blog
post, figure 1a).

We start at random angles, at four intrinsic learning rates over a range of eight, and count a spike when the loss
exceeds 0.1 after it was below 0.01; the late loss peaks near 0.5. There is a periodic orbit as well, of two
steps and of the loss ηλ/2, which is no descent to zero either but has no spikes to count; tests/test_toy.py finds it
exactly. On exploratory seeds no start stays on it.

The blog calls the motion chaotic. So we start each replica a second time, with an initial norm larger by 10⁻⁹, and ask
how far apart the norms of the two come. On exploratory seeds each spike multiplies their difference by about a
hundred until it is of order one: a positive Lyapunov exponent. Without weight decay it remains what it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, NoNorm, Observe, Prediction, Replicas, Setting, Toy, every
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.means import slope
from ilr.stats.shares import share_at_least
from ilr.trials.plotting import new_figure

LEARNING_RATE = 0.1
INTRINSIC_LEARNING_RATES = (0.02, 0.01, 0.005, 0.0025)
STEPS = 16_000
SPIKE, CALM = 0.1, 0.01
NUDGE, MAGNIFICATION = 1e-9, 1e6
NORM = Observe("weight_norm", every(20, STEPS))

CLAIM = Claim(
    id="gradient-descent-is-not-gradient-flow-toy",
    title="On the toy loss x²/(x²+y²), gradient descent with weight decay spikes for ever",
    source="blog post, figure 1a",
    statement=(
        "Gradient descent with weight decay on L = x²/(x²+y²) returns to a large loss again and again, about every "
        "1/(ηλ) steps, at every learning rate, and it is chaotic; gradient flow, and descent without weight decay, "
        "converge."
    ),
    predictions=(
        Prediction(
            quantity="share of starts whose loss still spikes at the end",
            rule="share_at_least",
            expected=0.8,
            margin=0.0,
            reason="'For ever' allows a few starts to be caught by a periodic orbit; four in five must spike.",
        ),
        Prediction(
            quantity="exponent of the steps between spikes in 1/(ηλ)",
            rule="slope",
            expected=1.0,
            margin=0.1,
            reason="Proportional to 1/(ηλ) means 1; a logarithm of the smallest angle reached may add a little.",
        ),
        Prediction(
            quantity="share of starts that magnify a nudge of 1e-9 a million times",
            rule="share_at_least",
            expected=0.8,
            margin=0.0,
            reason="As for the spikes; a million is far beyond rounding, and far from where the difference saturates.",
        ),
    ),
    controls=(Control("no-weight-decay", "Weight decay: nothing shrinks the weights, so the axis never repels."),),
    replicas=Replicas(tiny=48, reduced=96, full=500),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    started = {f"ηλ = {intrinsic}": descent(setting, intrinsic) for intrinsic in INTRINSIC_LEARNING_RATES}
    return started | {
        nudged(name): replace(one, initial_scale=1 + NUDGE, observe=(NORM,)) for name, one in started.items()
    }


def descent(setting: Setting, intrinsic: float) -> Experiment:
    return Experiment(
        net=Toy(),
        norm=NoNorm(),
        learning_rate=Constant(LEARNING_RATE),
        weight_decay=Constant(intrinsic / LEARNING_RATE),
        steps=STEPS,
        replicas=setting.replicas,
        seed=setting.seed,
        observe=(Observe("train_loss", range(STEPS + 1)), NORM),
    )


def nudged(name: str) -> str:
    """The name of the experiment that differs from the one called `name` in its start alone."""
    return f"{name}, nudged"


def as_started(recordings: Mapping[str, Recording]) -> list[str]:
    """The names of the experiments that are not nudged, in the order of their ηλ."""
    return [name for name in recordings if nudged(name) in recordings]


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    names = as_started(recordings)
    spikes = np.stack([spiking(recordings[name]["train_loss"]) for name in names])
    at_the_end = [
        spiked[:, -round(10 / intrinsic) :].any(axis=1)
        for spiked, intrinsic in zip(spikes, INTRINSIC_LEARNING_RATES, strict=True)
    ]
    yield share_at_least(CLAIM["share of starts whose loss still spikes at the end"], np.all(at_the_end, axis=0))
    # A start that never spikes counts as if it spiked once: its interval is the whole run, whatever ηλ is.
    intervals = STEPS / np.maximum(spikes.sum(axis=2), 1)
    yield slope(
        CLAIM["exponent of the steps between spikes in 1/(ηλ)"],
        np.log(1 / np.asarray(INTRINSIC_LEARNING_RATES)),
        np.log(intervals).T,
    )
    magnified = [separation(recordings, name).max(axis=1) > MAGNIFICATION * NUDGE for name in names]
    prediction = CLAIM["share of starts that magnify a nudge of 1e-9 a million times"]
    yield share_at_least(prediction, np.all(magnified, axis=0))


def separation(recordings: Mapping[str, Recording], name: str) -> npt.NDArray[np.float64]:
    """|log of the ratio of the norms| of each start and of the nudged one, [replica, time]."""
    return np.abs(np.log(recordings[nudged(name)]["weight_norm"] / recordings[name]["weight_norm"]))


def spiking(loss: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether a spike begins at each step, [replica, step]: the loss exceeds SPIKE for the first time since it was
    CALM.
    """
    begins = np.zeros(loss.shape, dtype=bool)
    calm = np.zeros(len(loss), dtype=bool)
    for step, now in enumerate(loss.T):
        begins[:, step] = calm & (now > SPIKE)
        calm = (calm & (now <= SPIKE)) | (now < CALM)
    return begins


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, (course, law, chaos) = new_figure(
        "The toy of the blog's figure 1a: spikes with weight decay, how often they come against 1/(ηλ), and how two "
        "starts that differ by 10⁻⁹ part (median and middle four fifths of the replicas).",
        panels=3,
    )
    shown = 1500
    names = as_started(recordings)
    both = {"with weight decay": recordings, "without": controls["no-weight-decay"]}
    for label, runs in both.items():
        course.plot(runs[names[1]]["train_loss"][0, :shown], label=label)
    course.set(title=f"one start, {names[1]}", xlabel="step", ylabel="loss")
    inverse = 1 / np.asarray(INTRINSIC_LEARNING_RATES)
    counts = np.stack([spiking(recordings[name]["train_loss"]).sum(axis=1) for name in names])
    law.loglog(inverse, STEPS / np.maximum(counts, 1), ".", color="C0", alpha=0.3)
    law.loglog(inverse, inverse, color="black", linewidth=0.8, label="1/(ηλ)")
    law.set(title="how often", xlabel="1/(ηλ)", ylabel="steps between spikes")
    law.minorticks_off()
    for set_ticks in (law.set_xticks, law.set_yticks):
        set_ticks(inverse, labels=[f"{one:g}" for one in inverse])
    for label, runs in both.items():
        steps = runs[names[1]].steps("weight_norm")
        early = steps <= shown
        low, middle, high = np.quantile(separation(runs, names[1])[:, early], (0.1, 0.5, 0.9), axis=0)
        [line] = chaos.semilogy(steps[early], middle, label=label)
        chaos.fill_between(steps[early], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    chaos.set(title=f"two starts, {names[1]}", xlabel="step", ylabel="log-ratio of their norms")
    for axes in (course, law, chaos):
        axes.legend()
    return drawn


def control_no_weight_decay(setting: Setting) -> dict[str, Experiment]:
    return {name: replace(one, weight_decay=Constant(0.0)) for name, one in experiments(setting).items()}


def test_gradient_descent_is_not_gradient_flow_toy(trial):
    trial.must_reproduce()
