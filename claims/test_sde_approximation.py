"""The stochastic differential equation of a scale-invariant loss, simulated by SVAG, has SGD's equilibrium.

All of the paper's theory is about an equation: it takes SGD's steps for the steps of a diffusion whose drift is the
gradient with weight decay and whose noise is Gaussian, with the covariance of a batch's gradient. Reviews 2 and 4 ask
what that is worth at learning rates that are not small. Li, Malladi & Arora (2021) have the experiment: SVAG takes l
steps of the learning rate η/l in the place of one, and combines two batches so that the noise of each has l times the
covariance, as the equation wants it. It is SGD at l = 1 and the equation as l grows, with an error of 1/l.

We compare SGD with SVAG of l = 4 at one λₑ: the effective learning rate η/‖w‖², hence the norm; test accuracy; and the
squared distance Σ_k (P_k − Q_k)² between class frequencies on the test images, in doublings of λₑ, which is measured
on nets of ten times the learning rate that are not compared. What is left between l = 4 and the equation is of the
order of a quarter of what there is between SGD and the equation: that is the order, which we measure by itself, where
λₑ is so large that there is something to measure. The effective learning rate of SVAG at l, less that at 2l, must fall
as 1/l over l = 1, 2, 4.

The control takes the same smaller steps without the larger noise, which is SGD at η/l: another λₑ.

The equation is about noise: where a batch's mean gradient is not small beside it, a step of SGD is no step of the
equation. So batches are small where images are few and easy, but for the order, which wants a difference to measure.

Replica i has the same frozen head and initial weights in every group; SVAG sees other batches. But at tiny, where
batches are smaller, SGD's runs, and those of the doubled λₑ, are those of test_momentum.py: trained once for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """Of SGD."""
    intrinsic: float
    """λₑ of SGD."""
    steps: int
    interval: int
    """Steps between two snapshots: enough for the noise of single predictions to be another one, 0.1/λₑ or more."""
    large: float
    """λₑ at which the order is measured."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Net, where it is not the scale's standard."""
    noisy: Mapping[str, Any] = field(default_factory=dict)
    """Batch of all runs but those that measure the order, where it is not the scale's standard."""


REGIMES = {
    "tiny": Regime(learning_rate=0.5, intrinsic=0.005, steps=1_000, interval=40, large=0.04, noisy={"batch_size": 8}),
    "reduced": Regime(
        learning_rate=0.5, intrinsic=0.00125, steps=4_000, interval=160, large=0.04, trained={"net": ilr.MLP()}
    ),
    "full": Regime(learning_rate=0.8, intrinsic=4e-4, steps=100 * 390, interval=975, large=4e-3),
}
SNAPSHOTS = 16
"""How many of the last snapshots are judged, together."""
REFINEMENT = 4
SGD, EQUATION = "SGD", f"SVAG, l = {REFINEMENT}"
LARGER, DOUBLED = "SGD, 10η, λ/10", "SGD, 10η, λ/5"
ORDER = {"larger λₑ, l = 1": 1, "larger λₑ, l = 2": 2, "larger λₑ, l = 4": 4, "larger λₑ, l = 8": 8}
"""The runs that measure the order, by their l."""
STEPS_EACH = {SGD: 1, EQUATION: REFINEMENT, **ORDER}
"""How many steps stand for one of SGD."""

EFFECTIVE = ilr.Prediction(
    quantity=f"{SGD} / {EQUATION}: effective learning rate",
    rule="ratio",
    expected=1.0,
    margin=0.05,
    reason=(
        "Noise without its scaling would show as a factor of √l = 2, a λₑ wrong by a tenth as 5%. SGD is below: its "
        "steps have the squared mean gradient besides the noise, which is one of the errors of first order."
    ),
)
ACCURACY = ilr.Prediction(
    quantity=f"{SGD} less {EQUATION}: test accuracy",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent is what one would tune a learning rate for; here a step is four times smaller.",
)
DISTANCE = ilr.Prediction(
    quantity=f"{SGD} / {EQUATION}: distance, in doublings of λₑ",
    rule="nearer_than",
    expected=0.0,
    margin=0.5,
    reason="That steps are finite must matter less than a λₑ that is wrong by √2.",
)
FALL = ilr.Prediction(
    quantity="exponent in l of what l and 2l differ by in the effective learning rate",
    rule="power_law",
    expected=-1.0,
    margin=0.5,
    reason="Half-way to an error that does not fall at all, and to one of second order.",
)
CLAIM = ilr.Claim(
    id="sde-approximation",
    title="The stochastic differential equation has SGD's equilibrium, with an error of first order",
    source="review 2, questions 1 and 5; review 4, question 1; Li, Malladi & Arora 2021",
    statement=(
        "SVAG, which takes l smaller steps with noise scaled so that it simulates the equation, ends with SGD's "
        "accuracy and effective learning rate, and with its distribution over functions to less than a λₑ wrong by √2 "
        "would change it; what l and 2l differ by in the effective learning rate falls as 1/l."
    ),
    predictions=(EFFECTIVE, ACCURACY, DISTANCE, FALL),
    controls=(
        ilr.Control(
            "noise-without-its-scaling",
            "The noise that the equation asks for: the steps are as small, each with a batch's own gradient.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(32, 64, 128), reduced=(16, 32, 64, 128), full=(16, 32, 64)),
    question="Has the stochastic differential equation SGD's equilibrium, with an error of first order?",
    differs=ilr.Differs(
        tiny=(
            "measuring what reviews 2 and 4 ask for, on an MLP and digits; λₑ = 0.005, twelve times that of the "
            "authors' later defaults, with batches of 8, and 0.04 for the order."
        ),
        reduced=(
            "measuring what reviews 2 and 4 ask for, on an MLP and Fashion-MNIST; λₑ = 0.00125, three times that of "
            "the authors' later defaults, and 0.04 for the order."
        ),
        full=(
            "measuring what reviews 2 and 4 ask for; the learning rate and the weight decay are the authors' later "
            "defaults, but for the order, at ten times that weight decay; 100 epochs are ours."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    larger = 10 * regime.learning_rate
    at = ilr.every(regime.interval, regime.steps, start=regime.interval)
    # Written as in test_momentum.py, to the last bit of its weight decays: one recording serves both.
    sgd = setting.experiment(
        learning_rate=regime.learning_rate,
        weight_decay=regime.intrinsic / larger * 10,
        steps=regime.steps,
        observe=(
            ilr.Observe("weight_norm", at),
            *ilr.observe_all("test_accuracy", "test_predictions", at=at[-SNAPSHOTS:]),
        ),
        **regime.trained,
        **regime.noisy,
    )
    planned = {
        SGD: sgd,
        LARGER: replace(sgd, learning_rate=larger, weight_decay=regime.intrinsic / larger),
        DOUBLED: replace(sgd, learning_rate=larger, weight_decay=2 * regime.intrinsic / larger),
        EQUATION: refined(sgd, regime.learning_rate, REFINEMENT),
    }
    coarse = round(8 / regime.large)
    order = setting.experiment(
        learning_rate=regime.learning_rate,
        weight_decay=regime.large / regime.learning_rate,
        steps=coarse,
        observe=(ilr.Observe("weight_norm", range(coarse // 2, coarse)),),
        **regime.trained,
    )
    for name, refinement in ORDER.items():
        planned[name] = refined(order, regime.learning_rate, refinement)
    return planned


def refined(sgd: ilr.Experiment, learning_rate: float, refinement: int) -> ilr.Experiment:
    """As many times more steps of SVAG in the place of SGD's, looked at at the same times; SGD itself for 1."""
    if refinement == 1:
        return sgd
    return replace(
        sgd,
        gradient_noise=ilr.SVAG(refinement),
        learning_rate=learning_rate / refinement,
        steps=refinement * sgd.steps,
        observe=tuple(ilr.Observe(one.quantity, tuple(refinement * step for step in one.at)) for one in sgd.observe),
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    rates = {name: effective_learning_rate(recordings, name) for name in (SGD, EQUATION)}
    accuracy = {name: recordings[name]["test_accuracy"].mean(axis=1) for name in (SGD, EQUATION)}
    classes = {
        name: ilr.group(recordings[name], recordings[name]["test_predictions"])
        for name in (SGD, EQUATION, LARGER, DOUBLED)
    }
    sgd, equation = recordings[SGD], recordings[EQUATION]
    yield EFFECTIVE, ilr.group(sgd, rates[SGD]), ilr.group(equation, rates[EQUATION])
    yield ACCURACY, ilr.group(sgd, accuracy[SGD]), ilr.group(equation, accuracy[EQUATION])
    yield DISTANCE, classes[EQUATION], classes[SGD], classes[LARGER], classes[DOUBLED]
    refinements = list(ORDER.values())[:-1]
    differences = [ilr.group(sgd, one) for one in of_halved_steps(recordings)]
    yield FALL, refinements, absolute_mean, differences


def effective_learning_rate(recordings: ilr.Recordings, name: str) -> ilr.Array:
    """η/‖w‖² at equilibrium, for the η of one of SGD's steps, in the mean over the last snapshots: [replica]."""
    run = recordings[name]
    learning_rate = STEPS_EACH[name] * run.experiment.learning_rates()[0]
    squared_norm = run["weight_norm"].astype(np.float64) ** 2
    last = squared_norm if name in ORDER else squared_norm[:, -SNAPSHOTS:]
    return np.asarray((learning_rate / last).mean(axis=1))


def of_halved_steps(recordings: ilr.Recordings) -> list[ilr.Array]:
    """The effective learning rate at l less that at 2l, each [replica], for all l of ORDER but the last."""
    rates = [effective_learning_rate(recordings, name) for name in ORDER]
    return [coarse - fine for coarse, fine in pairwise(rates)]


def absolute_mean(values: ilr.Array) -> float:
    """The size of a group's mean."""
    return float(abs(values.mean()))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (rate, accuracy, order) = ilr.new_figure(
        "Left: the effective learning rate η/‖w‖² over training, mean and middle four fifths of the replicas, with the "
        "steps of SVAG counted in those of SGD. Middle: test accuracy over the judged snapshots, a dot a replica; a "
        "diamond, the mean with two standard errors. Right: what the effective learning rates of SVAG at l and at 2l "
        "differ by in the mean, relative to that at l = 1, with two standard errors, and a line of slope −1 through "
        "the first. The control, in grey, takes small steps with the noise of plain batches.",
        panels=3,
    )
    control = controls["noise-without-its-scaling"]
    unscaled = f"SGD, η/{REFINEMENT}"
    shown = {SGD: recordings[SGD], EQUATION: recordings[EQUATION], unscaled: control[EQUATION]}
    learning_rate = recordings[SGD].experiment.learning_rates()[0]
    for name, run in shown.items():
        style = ilr.as_control() if name == unscaled else {}
        times = run.steps("weight_norm") // (1 if name == SGD else REFINEMENT)
        ilr.draw_band(rate, times, learning_rate / run["weight_norm"] ** 2.0, name, **style)
    rate.set(title="η/‖w‖²", xlabel="step of SGD", yscale="log")
    rate.legend()
    ilr.draw_groups(accuracy, {name: run["test_accuracy"].mean(axis=1) for name, run in shown.items()}, unscaled)
    accuracy.set_title("test accuracy")

    refinements = np.array(list(ORDER.values())[:-1])
    for label, runs in {"SVAG": recordings, unscaled.replace(str(REFINEMENT), "l"): control}.items():
        style = {"color": "C0"} if runs is recordings else ilr.as_control()
        at_first = effective_learning_rate(runs, next(iter(ORDER))).mean()
        found = [one / at_first for one in of_halved_steps(runs)]
        sizes = [absolute_mean(one) for one in found]
        errors = [2 * one.std() / np.sqrt(max(len(one) - 1, 1)) for one in found]
        order.errorbar(refinements, sizes, errors, fmt="o", capsize=4, label=label, **style)
        if runs is recordings:
            order.plot(refinements, sizes[0] / refinements, color="black", linestyle="-", linewidth=0.8, label="∝ 1/l")
    order.set(title="l against 2l, relative", xlabel="l", xscale="log", yscale="log")
    ilr.ticks_at(order.xaxis, refinements)
    order.legend()
    return drawn


def control_noise_without_its_scaling(setting: ilr.Setting) -> ilr.Experiments:
    planned = experiments(setting)
    refined = [name for name, one in planned.items() if one.gradient_noise is not None]
    return ilr.changed(planned, only=refined, gradient_noise=None)


def test_sde_approximation(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
