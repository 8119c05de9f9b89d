"""The weight decay below which T steps leave the initial norm remembered is c/(ηT), with c = (ln 2)/4.

Without weight decay the norm only grows, and nothing mixes in parameter space. Review 4 asks from which weight decay on
it does. Directions do not mix with it, either (no-mixing-in-parameter-space); what weight decay lets weights forget is
their norm, and with it the effective learning rate η/‖w‖². The norm obeys dγ/dt = −4λₑγ + 2E‖ḡ‖² with γ = ‖w‖⁴/η²: the
difference in γ between two starts shrinks by e^(−4λₑT) within T steps, if only both meet the same gradient noise on the
way. So there is no phase boundary, but a scale: all weight decays, learning rates and numbers of steps lie on one curve
of λₑT = ηλT, and half of the difference is remembered at λ = c/(ηT) with c = (ln 2)/4 = 0.173. A net that trains for T
steps at less than that is in the zone where its norm is that of its start; at ten times as much it keeps 0.1% of it.

We train from twice the usual initial weights and from half of them, which makes ‖w‖⁴ 256 times apart, at four λₑT
around the threshold; with two learning rates and two numbers of steps, so that ηT covers a factor of 16. Both starts
have the same frozen head, initial direction and batches. What is remembered is the difference in γ at the end, as a
share of what it was at the start. Where the norm has forgotten all, at λₑT = 5, accuracies must agree, too.

What no law says is how much of the start a function remembers below the threshold, where nets go on learning at
whatever effective learning rate they have: that is drawn, not judged. On easy data it is little after many steps even
at λ = 0.
"""

import math
from dataclasses import dataclass

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """The larger learning rate and the smaller number of steps, of which the others are a fourth and four times."""

    learning_rate: float
    steps: int


REGIMES = {"tiny": Regime(0.5, 300), "reduced": Regime(0.5, 300), "full": Regime(0.8, 10 * 390)}
TRAINED = {"η, T": (1.0, 1), "η, 4T": (1.0, 4), "η/4, T": (0.25, 1)}
"""Learning rate and steps, as multiples."""
LONGEST = "η, 4T"
STARTS = {"large": 2.0, "small": 0.5}
"""Scale of the initialisation."""
PRODUCTS = (0.05, 0.1, 0.2, 0.4)
"""λₑT around the threshold."""
FAR_ABOVE = 5.0
HALF = 1 / 2
SNAPSHOTS = 16

THRESHOLD = ilr.Prediction(
    quantity="{}: λₑT at which half of the start is remembered",
    rule="equivalence",
    expected=math.log(1 / HALF) / 4,
    margin=0.02,
    reason=(
        "The law is that of equal gradient noise from both starts; an eighth is left to its difference. A rate of 2λₑ, "
        "that of ‖w‖² without gradients, would give 0.35."
    ),
)
CURVE = ilr.Prediction(
    quantity="{}: largest deviation of what is remembered from e^(−4λₑT)",
    rule="at_most",
    expected=0.0,
    margin=0.05,
    reason="One curve to a twentieth of the start's difference; without weight decay it would be off by 0.8.",
)
FORGOTTEN = ilr.Prediction(
    quantity=f"{LONGEST}: test accuracy from the large start less that from the small, at λₑT = {FAR_ABOVE:g}",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent, as everywhere; of γ's difference e⁻²⁰ is left.",
)
EXPONENT = ilr.Prediction(
    quantity="exponent of the threshold λ in ηT",
    rule="power_law",
    expected=-1.0,
    margin=0.05,
    reason="Over a factor of 16 this lets ληT change by an eighth, as much as c may be off.",
)
CLAIM = ilr.Claim(
    id="weight-decay-threshold",
    title="Below λ = 0.17/(ηT), training for T steps remembers the initial norm",
    source="review 4, weaknesses, third question",
    statement=(
        "What T steps leave of a difference in the initial norm is e^(−4λₑT), one curve for all learning rates, weight "
        "decays and numbers of steps; half of it is left at the weight decay c/(ηT) with c = (ln 2)/4, and far above "
        "that nets from both starts are equally accurate."
    ),
    predictions=(*ilr.for_each(TRAINED, CURVE, THRESHOLD), FORGOTTEN, EXPONENT),
    controls=(ilr.Control("no-weight-decay", "Weight decay: at λ = 0 nothing of the start is ever forgotten."),),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(8, 16, 32, 64), full=(8, 16, 32)),
    question="Below which weight decay is the initial norm still remembered at the end of training?",
    differs=ilr.Differs(
        tiny="measuring what review 4 asks for, on an MLP and digits; 300 and 1,200 steps.",
        reduced="measuring what review 4 asks for, on a CNN and Fashion-MNIST; 300 and 1,200 steps.",
        full="measuring what review 4 asks for; 10 and 40 epochs are ours, η is that of the authors' later code.",
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    planned = {}
    for name, (share, longer) in TRAINED.items():
        learning_rate, steps = share * regime.learning_rate, longer * regime.steps
        apart = steps // (2 * SNAPSHOTS)
        for product in products_of(name):
            for start, scale in STARTS.items():
                planned[key(name, product, start)] = setting.experiment(
                    learning_rate=learning_rate,
                    weight_decay=product / steps / learning_rate,
                    initial_scale=scale,
                    steps=steps,
                    observe=(
                        ilr.Observe("effective_learning_rate", (0, steps)),
                        # The last half: one accuracy is noise to the next.
                        ilr.Observe("test_accuracy", range(steps - apart * (SNAPSHOTS - 1), steps + 1, apart)),
                    ),
                )
    return planned


def products_of(name: str) -> tuple[float, ...]:
    """λₑT that are tried; far above the threshold where there are most steps, as that takes a while to see."""
    return (*PRODUCTS, FAR_ABOVE) if name == LONGEST else PRODUCTS


def key(name: str, product: float, start: str) -> str:
    """The name of an experiment."""
    return f"{name}, λₑT = {product:g}, {start} start"


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    places, weight_decays = [], []
    for name in TRAINED:
        left = np.stack([remembered(recordings, name, product) for product in PRODUCTS])  # [product, replica]
        law = np.exp(-4 * np.array(PRODUCTS))[:, None]
        yield CURVE.of(name), np.abs(left - law).max(axis=0)
        at = threshold(left)
        yield THRESHOLD.of(name), at
        run = recordings[key(name, PRODUCTS[0], "large")]
        places.append(float(run.experiment.learning_rates()[0]) * run.experiment.steps)
        weight_decays.append(ilr.group(run, at / places[-1]))
    accuracies = []
    for start in STARTS:
        run = recordings[key(LONGEST, FAR_ABOVE, start)]
        accuracies.append(ilr.group(run, run["test_accuracy"].mean(axis=1)))
    yield FORGOTTEN, *accuracies
    yield EXPONENT, places, np.mean, weight_decays


def remembered(recordings: ilr.Recordings, name: str, product: float) -> ilr.Array:
    """The difference of γ between the starts at the end, as a share of what it was at the beginning, [replica]."""
    large, small = (
        recordings[key(name, product, start)]["effective_learning_rate"].astype(np.float64) ** -2.0 for start in STARTS
    )  # γ, [replica, time]
    difference = large - small
    return np.asarray(difference[:, -1] / difference[:, 0])


def threshold(left: ilr.Array) -> ilr.Array:
    """λₑT at which HALF is left, [replica], on a line through the logarithms, on which an exponential is straight.

    Args:
        left: what is left at PRODUCTS, [product, replica]; where it is more than HALF everywhere the largest counts.
    """
    forgotten = -np.log(np.maximum(left, 1e-12))
    # np.interp holds the last value where nothing crosses, and wants its places in ascending order.
    rising = np.maximum.accumulate(forgotten, axis=0)
    return np.array([np.interp(-math.log(HALF), course, PRODUCTS) for course in rising.T])


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (memory, gap) = ilr.new_figure(
        "Left: what is left at the end of the initial difference in ‖w‖⁴/η², against λₑT = ηλT, for two learning rates "
        "and two numbers of steps; the thin line is one half. Grey: the same runs without weight decay. Right: test "
        "accuracy from the small start less that from the large one, means of replicas.",
        panels=2,
    )
    products = np.array(PRODUCTS)
    bare = controls["no-weight-decay"]
    for name in TRAINED:
        left = np.stack([remembered(recordings, name, product) for product in PRODUCTS], axis=1)
        ilr.draw_band(memory, products, left, name)
        kept = np.stack([remembered(bare, name, product) for product in PRODUCTS], axis=1)
        memory.plot(products, kept.mean(axis=0), **ilr.as_control())
        gaps = []
        for product in products_of(name):
            large, small = (recordings[key(name, product, start)]["test_accuracy"].mean() for start in STARTS)
            gaps.append(small - large)
        gap.semilogx(products_of(name), gaps, marker="o", label=name)
    places = np.linspace(PRODUCTS[0], PRODUCTS[-1])
    memory.plot(places, np.exp(-4 * places), color="black", linewidth=0.8, label="e^(−4λₑT)")
    memory.axhline(HALF, color="black", linewidth=0.6)
    memory.set(title="share of the initial difference left", xlabel="λₑT", ylim=(0, None))
    memory.legend()
    gap.axhline(0.0, color="black", linewidth=0.6)
    gap.set(title="gap in test accuracy", xlabel="λₑT")
    gap.legend()
    return drawn


def control_no_weight_decay(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), weight_decay=0.0)


def test_weight_decay_threshold(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
