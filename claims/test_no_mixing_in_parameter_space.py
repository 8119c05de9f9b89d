"""What SGD mixes is the function of a net, not its weights.

In function space it forgets the initialisation within some 1/λₑ steps; in parameter space nothing in the theory makes
mixing fast, and the blog finds no sign of it within normal training times (against conventional wisdom 3). So two
nets of different initialisations should be as far apart as two moments of one net, seen as functions, and much
further as weights; and an average of weights, which helps within a run, should destroy the nets.

We train pairs that share the frozen head, so that only what is trained differs, and compare everything at the same
two moments s < t, some 8/λₑ and 16/λₑ: a net at s with itself at t, and a net at s with its partner at t. Seen as
functions, the mean disagreement across partners less that within the nets is half the squared distance Σ_k (P_k − Q_k)²
between two nets' distributions of classifiers, estimated without bias as far as a net has forgotten at t what it was
at s. A net may be a bad one at some moment, so both are means over five moments each, every s with every t. Seen as
weights, independent directions in many dimensions have the cosine 0. The pair is the unit of analysis: partners share
a head. In the control partners are one net until shortly before s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What differs between the scales."""

    learning_rate: float
    weight_decay: float
    moment: int
    """Steps until s and between s and t: some 8/λₑ, and eight times whole epochs."""


REGIMES = {
    "tiny": Regime(0.5, 0.01, moment=40 * 40),
    "reduced": Regime(0.5, 0.016, moment=8 * 156),
    "full": Regime(0.8, 5e-4, moment=64 * 390),
}
EARLY, LATE = (8, 9, 10, 11, 12), (16, 17, 18, 19, 20)
"""The moments s and t, in eighths of the regime's; weights and averages are compared at the first of each."""
COURSE = range(0, LATE[-1] + 1, 2)
"""Moments at which the figure shows partners, in the same unit."""

FUNCTIONS = ilr.Prediction(
    quantity="functions: disagreement across initialisations less that within a run",
    rule="at_most",
    expected=0.0,
    margin=0.01,
    reason="One test image in a hundred; unrelated classifiers disagree on 2e(1 − e), several times as many.",
)
COSINE = ilr.Prediction(
    quantity="weights: cosine within a run less that across initialisations",
    rule="at_least",
    expected=0.5,
    margin=0.0,
    reason="Mixing makes it 0, and no memory at all of one net by the other at most 1: half-way.",
)
DISTANCE = ilr.Prediction(
    quantity="weights: distance of two initialisations in units of their norm",
    rule="at_least",
    expected=1.3,
    margin=0.0,
    reason="√2 for independent directions; 1.3 leaves room for a cosine of 0.15 by the common head and data.",
)
LOSS_ACROSS = ilr.Prediction(
    quantity="loss of test accuracy by averaging across initialisations",
    rule="at_least",
    expected=0.05,
    margin=0.0,
    reason="Five points are several times what one moment of a net differs from another.",
)
GAIN_WITHIN = ilr.Prediction(
    quantity="gain of test accuracy by averaging within a run",
    rule="at_least",
    expected=0.0,
    margin=0.0,
    reason="The claim is that it helps; by how much is another claim's matter.",
)
CLAIM = ilr.Claim(
    id="no-mixing-in-parameter-space",
    title="Nets of different initialisations become one distribution of functions, not of weights",
    source="blog post, against conventional wisdom 3",
    statement=(
        "Two nets of different initialisations come as close as two moments of one net, seen as functions; their "
        "weights stay far apart, and averaging those destroys the nets, while averaging within a run improves them."
    ),
    predictions=(FUNCTIONS, COSINE, DISTANCE, LOSS_ACROSS, GAIN_WITHIN),
    controls=(
        ilr.Control(
            "recent-ancestor",
            "The different initialisations: partners were one net until 1/10 of the first moment before it.",
        ),
    ),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    moments = tuple(regime.moment * eighths // 8 for eighths in EARLY + LATE)
    course = tuple(regime.moment * eighths // 8 for eighths in COURSE)
    return {
        "partners": setting.experiment(
            learning_rate=regime.learning_rate,
            weight_decay=regime.weight_decay,
            steps=moments[-1],
            replicas=2 * setting.replicas,
            partners=ilr.Partners(),
            observe=(
                ilr.Observe("test_predictions", moments),
                *ilr.observe_all("test_accuracy", "weights", "partner_average_test_accuracy", at=course),
                ilr.Observe("average_test_accuracy", (regime.moment, 2 * regime.moment)),
            ),
        )
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    recording = recordings["partners"]
    within, across = within_and_across(recording, "test_predictions", disagreement, moments=len(EARLY))
    yield FUNCTIONS, across - within
    within, across = within_and_across(recording, "weights", cosine, moments=1)
    yield COSINE, within - across
    yield DISTANCE, relative_distance(recording)[:, -1]

    single = of_pairs(recording["test_accuracy"])[:, -1]
    average = of_pairs(recording["partner_average_test_accuracy"])[:, -1]
    yield LOSS_ACROSS, single - average
    ends = np.mean([recording.at("test_accuracy", step) for step in recording.steps("average_test_accuracy")], axis=0)
    yield GAIN_WITHIN, of_pairs(recording.final("average_test_accuracy") - ends)


def within_and_across(
    recording: ilr.Recording, quantity: str, compare: Callable[[ilr.Array, ilr.Array], ilr.Array], moments: int
) -> tuple[ilr.Array, ilr.Array]:
    """A net at s compared with itself at t, and with its partner at t, over the first so many s and t: two arrays
    [pair].
    """
    first, second = np.split(recording.steps("test_predictions"), 2)
    within, across = [], []
    for s, t in product(first[:moments], second[:moments]):
        early, late = recording.at(quantity, s), recording.at(quantity, t)  # [replica, image or weight]
        # [replica, …] as [pair, partner, …], and back with the partners exchanged.
        partner = late.reshape(-1, 2, late.shape[1])[:, ::-1].reshape(late.shape)
        within.append(of_pairs(compare(early, late)))
        across.append(of_pairs(compare(early, partner)))
    return np.mean(within, axis=0), np.mean(across, axis=0)


def of_pairs(values: ilr.Array) -> ilr.Array:
    """The mean of two partners' values [replica, ...]: [pair, ...]."""
    return np.asarray((values[::2] + values[1::2]) / 2)


def disagreement(one: ilr.Array, other: ilr.Array) -> ilr.Array:
    """Share of the test images that two nets put into different classes, [replica]."""
    return np.asarray((one != other).mean(axis=1))


def cosine(one: ilr.Array, other: ilr.Array) -> ilr.Array:
    """Cosine of the angle between weights [replica, weight]: [replica]."""
    sizes = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray((one.astype(np.float64) * other).sum(axis=-1) / sizes)


def relative_distance(recording: ilr.Recording) -> ilr.Array:
    """‖W − W′‖ of two partners over the root mean square of their norms, [pair, time]."""
    weights = recording["weights"].astype(np.float64)  # [replica, time, weight]
    squared = ((weights[::2] - weights[1::2]) ** 2).sum(axis=2)
    return np.asarray(np.sqrt(squared / of_pairs((weights**2).sum(axis=2))))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (functions, weights, averages) = ilr.new_figure(
        "Seen as functions, nets of two initialisations differ as much as two moments of one net (left, one point a "
        "pair). Their weights stay as far apart as independent directions, √2, and the average of them is no net. "
        "Partners that share an ancestor are one net until they part.",
        panels=3,
    )
    kinds = {
        "two initialisations": recordings["partners"],
        "one ancestor (control)": controls["recent-ancestor"]["partners"],
    }
    for label, recording in kinds.items():
        within, across = within_and_across(recording, "test_predictions", disagreement, moments=len(EARLY))
        functions.plot(within, across, ".", label=label)
        steps = recording.steps("weights")
        average = of_pairs(recording["partner_average_test_accuracy"])
        ilr.draw_band(weights, steps, relative_distance(recording), label)
        ilr.draw_band(averages, steps, average, f"average, {label}")
    single = of_pairs(recordings["partners"]["test_accuracy"])
    ilr.draw_band(averages, steps, single, "a single net", color="black")
    functions.axline((0.05, 0.05), slope=1, color="black", linewidth=0.6)
    functions.set(
        title="disagreement on test images", xlabel="two moments of one net", ylabel="one net and its partner"
    )
    weights.axhline(np.sqrt(2), color="black", linewidth=0.6)
    weights.set(title="distance of partners' weights / norm", xlabel="step", ylim=(0, 1.6))
    averages.set(title="test accuracy", xlabel="step")
    for axes in (functions, averages):
        axes.legend()
    return drawn


def control_recent_ancestor(setting: ilr.Setting) -> ilr.Experiments:
    parted_at = REGIMES[setting.scale].moment * 9 // 10
    return ilr.changed(experiments(setting), partners=ilr.Partners(parted_at))


def test_no_mixing_in_parameter_space(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
