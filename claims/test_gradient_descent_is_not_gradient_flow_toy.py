"""With weight decay, gradient descent on the simplest scale-invariant loss never settles.

On L(x, y) = x²/(x²+y²) gradient flow slides to the y-axis, where the loss is zero, and stays. Gradient descent
gets there too; but then the gradient vanishes, weight decay shrinks the weights by 1 − ηλ a step, and the closer
they come to the origin the steeper the loss: once η > ‖w‖² the axis repels, however small the angle has become,
and the loss jumps. The jump pushes the weights outwards, and it all begins again. So spikes come for ever, and a
smaller learning rate only makes them
rarer: one after about 1/(ηλ) steps. Without weight decay there are none (blog post, figure 1a).

We start at random angles, at four intrinsic learning rates over a range of eight, and count a spike when the loss
exceeds 0.1 after it was below 0.01; the late loss peaks near 0.5. λₑ stays small because at strong decay some
starts are caught by an exact orbit of period two, of loss ηλ/2, which is no descent to zero either but has no
spikes to count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, NoNorm, Observe, Prediction, Replicas, Setting, Toy
from ilr.figures import new_figure
from ilr.recording import Recording
from ilr.statistics import share_at_least, slope
from ilr.verdicts import Finding

LEARNING_RATE = 0.1
INTRINSIC_LEARNING_RATES = (0.02, 0.01, 0.005, 0.0025)
STEPS = 16_000
SPIKE, CALM = 0.1, 0.01

CLAIM = Claim(
    id="gradient-descent-is-not-gradient-flow-toy",
    title="On the toy loss x²/(x²+y²), gradient descent with weight decay spikes for ever",
    source="blog post, figure 1a",
    statement=(
        "Gradient descent with weight decay on L = x²/(x²+y²) returns to a large loss again and again, about every "
        "1/(ηλ) steps, at every learning rate; gradient flow, and descent without weight decay, converge."
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
    ),
    controls=(Control("no-weight-decay", "Weight decay: nothing shrinks the weights, so the axis never repels."),),
    replicas=Replicas(tiny=48, reduced=96, full=500),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    return {
        f"ηλ = {intrinsic}": Experiment(
            net=Toy(),
            norm=NoNorm(),
            learning_rate=Constant(LEARNING_RATE),
            weight_decay=Constant(intrinsic / LEARNING_RATE),
            steps=STEPS,
            replicas=setting.replicas,
            seed=setting.seed,
            observe=(Observe("train_loss", range(STEPS + 1)),),
        )
        for intrinsic in INTRINSIC_LEARNING_RATES
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    spikes = np.stack([spiking(recording["train_loss"]) for recording in recordings.values()])
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
    drawn, (course, law) = new_figure(
        "The toy of the blog's figure 1a: spikes with weight decay, and how often they come against 1/(ηλ).", panels=2
    )
    shown = 1500
    for label, runs in {"with weight decay": recordings, "without": controls["no-weight-decay"]}.items():
        name = list(runs)[1]
        course.plot(runs[name]["train_loss"][0, :shown], label=label)
    course.set(title=f"one start, {list(recordings)[1]}", xlabel="step", ylabel="loss")
    course.legend()
    inverse = 1 / np.asarray(INTRINSIC_LEARNING_RATES)
    counts = np.stack([spiking(recording["train_loss"]).sum(axis=1) for recording in recordings.values()])
    law.loglog(inverse, STEPS / np.maximum(counts, 1), ".", color="C0", alpha=0.3)
    law.loglog(inverse, inverse, color="black", linewidth=0.8, label="1/(ηλ)")
    law.set(title="how often", xlabel="1/(ηλ)", ylabel="steps between spikes")
    law.legend()
    return drawn


def control_no_weight_decay(setting: Setting) -> dict[str, Experiment]:
    return {name: replace(one, weight_decay=Constant(0.0)) for name, one in experiments(setting).items()}


def test_gradient_descent_is_not_gradient_flow_toy(trial):
    trial.must_reproduce()
