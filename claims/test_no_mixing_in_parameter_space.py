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
a head.

On exploratory seeds, at λₑ = 0.005, two moments of a net disagree on 5% of the test images, partners on as many to
within 0.1%; their cosines are 0.88 and 0.02, and averages have an accuracy of 0.965 and 0.77 where a single net has
0.955. Even two runs from one initialisation, which part at the first step, differ from those of two in weights only:
after 50/λₑ their cosine is 0.35 still. In the control partners are one net until shortly before s.

At reduced the CNN misses a quarter of the images of Fashion-MNIST, and a net at one moment differs more from itself at
another. On twelve exploratory pairs, at λₑ = 0.008, partners disagreed on 0.4% more of the images than two moments of a
net; the cosines were 0.0 and 0.75, and averages had 0.2 less and 0.03 more than a single net.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, Observe, Partners, Prediction, Replicas, Setting
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.means import at_least, at_most
from ilr.trials.plotting import draw_band, new_figure
from ilr.trials.scales import Scale

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Regime:
    """What differs between the scales."""

    learning_rate: float
    weight_decay: float
    moment: int
    """Steps until s and between s and t: some 8/λₑ, and eight times whole epochs."""


REGIMES: dict[Scale, Regime] = {
    "tiny": Regime(0.5, 0.01, moment=40 * 40),
    "reduced": Regime(0.5, 0.016, moment=8 * 156),
    "full": Regime(0.8, 5e-4, moment=64 * 390),
}
EARLY, LATE = (8, 9, 10, 11, 12), (16, 17, 18, 19, 20)
"""The moments s and t, in eighths of the regime's; weights and averages are compared at the first of each."""
COURSE = range(0, LATE[-1] + 1, 2)
"""Moments at which the figure shows partners, in the same unit."""

CLAIM = Claim(
    id="no-mixing-in-parameter-space",
    title="Nets of different initialisations become one distribution of functions, not of weights",
    source="blog post, against conventional wisdom 3",
    statement=(
        "Two nets of different initialisations come as close as two moments of one net, seen as functions; their "
        "weights stay far apart, and averaging those destroys the nets, while averaging within a run improves them."
    ),
    predictions=(
        Prediction(
            quantity="functions: disagreement across initialisations less that within a run",
            rule="at_most",
            expected=0.0,
            margin=0.01,
            reason="One test image in a hundred; unrelated classifiers disagree on 2e(1 − e), several times as many.",
        ),
        Prediction(
            quantity="weights: cosine within a run less that across initialisations",
            rule="at_least",
            expected=0.5,
            margin=0.0,
            reason="Mixing makes it 0, and no memory at all of one net by the other at most 1: half-way.",
        ),
        Prediction(
            quantity="weights: distance of two initialisations in units of their norm",
            rule="at_least",
            expected=1.3,
            margin=0.0,
            reason="√2 for independent directions; 1.3 leaves room for a cosine of 0.15 by the common head and data.",
        ),
        Prediction(
            quantity="loss of test accuracy by averaging across initialisations",
            rule="at_least",
            expected=0.05,
            margin=0.0,
            reason="Five points are several times what one moment of a net differs from another.",
        ),
        Prediction(
            quantity="gain of test accuracy by averaging within a run",
            rule="at_least",
            expected=0.0,
            margin=0.0,
            reason="The claim is that it helps; by how much is another claim's matter.",
        ),
    ),
    controls=(
        Control(
            "recent-ancestor",
            "The different initialisations: partners were one net until 1/10 of the first moment before it.",
        ),
    ),
    replicas=Replicas(tiny=24, reduced=24, full=24),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    moments, course = (tuple(regime.moment * eighths // 8 for eighths in times) for times in (EARLY + LATE, COURSE))
    return {
        "partners": setting.experiment(
            learning_rate=Constant(regime.learning_rate),
            weight_decay=Constant(regime.weight_decay),
            steps=moments[-1],
            replicas=2 * setting.replicas,
            partners=Partners(),
            observe=(
                Observe("test_predictions", moments),
                Observe("test_accuracy", course),
                Observe("weights", course),
                Observe("partner_average_test_accuracy", course),
                Observe("average_test_accuracy", (regime.moment, 2 * regime.moment)),
            ),
        )
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    recording = recordings["partners"]
    classes = within_and_across(recording, "test_predictions", disagreement, moments=len(EARLY))
    yield at_most(
        CLAIM["functions: disagreement across initialisations less that within a run"], classes[1] - classes[0]
    )
    cosines = within_and_across(recording, "weights", cosine, moments=1)
    yield at_least(CLAIM["weights: cosine within a run less that across initialisations"], cosines[0] - cosines[1])
    apart = relative_distance(recording)[:, -1]
    yield at_least(CLAIM["weights: distance of two initialisations in units of their norm"], apart)
    single = of_pairs(recording["test_accuracy"])[:, -1]
    across = of_pairs(recording["partner_average_test_accuracy"])[:, -1]
    yield at_least(CLAIM["loss of test accuracy by averaging across initialisations"], single - across)
    ends = np.mean([recording.at("test_accuracy", step) for step in recording.steps("average_test_accuracy")], axis=0)
    gain = of_pairs(recording.final("average_test_accuracy") - ends)
    yield at_least(CLAIM["gain of test accuracy by averaging within a run"], gain)


def within_and_across(
    recording: Recording, quantity: str, compare: Callable[[Values, Values], Values], moments: int
) -> tuple[Values, Values]:
    """A net at s compared with itself at t, and with its partner at t, over the first so many s and t: two arrays
    [pair].
    """
    within, across = [], []
    for steps in product(*recording.steps("test_predictions").reshape(2, -1)[:, :moments]):
        early, late = (recording.at(quantity, step) for step in steps)
        partner = late.reshape(-1, 2, late.shape[1])[:, ::-1].reshape(late.shape)
        within.append(of_pairs(compare(early, late)))
        across.append(of_pairs(compare(early, partner)))
    return np.mean(within, axis=0), np.mean(across, axis=0)


def of_pairs(values: Values) -> Values:
    """The mean of two partners' values [replica, ...]: [pair, ...]."""
    return (values[::2] + values[1::2]) / 2


def disagreement(one: Values, other: Values) -> Values:
    """Share of the test images that two nets put into different classes, [replica]."""
    return np.asarray((one != other).mean(axis=1))


def cosine(one: Values, other: Values) -> Values:
    """Cosine of the angle between weights [replica, ..., weight]."""
    sizes = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray((one.astype(np.float64) * other).sum(axis=-1) / sizes)


def relative_distance(recording: Recording) -> Values:
    """‖W − W′‖ of two partners over the root mean square of their norms, [pair, time]."""
    weights = recording["weights"].astype(np.float64)
    squared = ((weights[::2] - weights[1::2]) ** 2).sum(axis=2)
    return np.asarray(np.sqrt(squared / of_pairs((weights**2).sum(axis=2))))


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, (functions, weights, averages) = new_figure(
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
        classes = within_and_across(recording, "test_predictions", disagreement, moments=len(EARLY))
        functions.plot(*classes, ".", label=label)
        steps = recording.steps("weights")
        draw_band(weights, steps, relative_distance(recording), label)
        draw_band(averages, steps, of_pairs(recording["partner_average_test_accuracy"]), f"average, {label}")
    draw_band(averages, steps, of_pairs(recordings["partners"]["test_accuracy"]), "a single net", color="black")
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


def control_recent_ancestor(setting: Setting) -> dict[str, Experiment]:
    parted_at = REGIMES[setting.scale].moment * 9 // 10
    return {name: replace(one, partners=Partners(parted_at)) for name, one in experiments(setting).items()}


def test_no_mixing_in_parameter_space(trial):
    trial.must_reproduce()
