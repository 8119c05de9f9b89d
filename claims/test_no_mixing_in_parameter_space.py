"""What SGD mixes is the function of a net, not its weights.

In function space it forgets the initialisation within some 1/λₑ steps; in parameter space nothing in the theory makes
mixing fast, and the blog finds no sign of it within normal training times (against conventional wisdom 3). So two
nets of different initialisations should be as far apart as two moments of one net, seen as functions, and much
further as weights; and an average of weights, which helps within a run, should destroy the nets.

We train pairs that share the frozen head, so that only what is trained differs, and compare everything at the same
moments s < t, from some 8/λₑ and 16/λₑ on: a net at s with itself at t, and a net at s with its partner at t. Seen as
functions, the mean disagreement across partners less that within the nets is half the squared distance Σ_k (P_k − Q_k)²
between two nets' distributions of classifiers, estimated without bias as far as a net has forgotten at t what it was
at s. Seen as weights, independent directions in many dimensions have the cosine 0. A net may be a bad one at some
moment, and the average of two partners a very bad one, so all of this is the mean over many moments, of functions over
every s with every t. The pair is the unit of analysis: partners share a head. In the control partners are one net until
shortly before s.

How many moments? The noise of labels lasts no longer than 0.1/λₑ, and goes down with the number of pairs of an s and a
t. On the digits an evaluation costs hardly more than a step, and functions are looked at every 0.2/λₑ. At reduced one
costs as much as 35 steps of a net that makes a thousand, and they are looked at every 0.8/λₑ.

How much is a distance between functions? We measure it in units of the one that a doubled λₑ makes, between nets that
share the head and differ in their initial weights: λₑ is all that the theory leaves to matter. A quarter of it is as
much as a λₑ that is wrong by √2 makes, as the squared distance goes with the square of the doublings; so it means the
same whatever the data, and where nets hardly ever differ nothing is as near as that.

λₑ = 0.02 on the digits: a net must make errors for its function to have something to forget. At 0.005 it errs on one
image in thirty; there two nets of different initialisations are 0.7 doublings apart still, after 8/λₑ to 20/λₑ. The CNN
is as slow at 0.016, so reduced has λₑ = 0.04, and 12/λₑ in place of 8/λₑ. At full the moments begin at 10/λₑ and 20/λₑ
of the authors' later defaults, 64 and 128 epochs; the blog speaks of normal training times, of which 160 epochs is one.
"""

from dataclasses import dataclass, replace

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What differs between the scales."""

    learning_rate: float
    weight_decay: float
    moment: int
    """Steps until the first s, and from there to the first t: some 8/λₑ."""
    apart: int = 1
    """How far apart the moments at which functions are compared are, in 32nds of that; 1, 2, 4 or 8."""


REGIMES = {
    "tiny": Regime(0.5, 0.04, moment=8 * 40),
    "reduced": Regime(0.5, 0.08, moment=2 * 156, apart=2),
    "full": Regime(0.8, 5e-4, moment=64 * 390),
}
EARLY, LATE = range(32, 57), range(64, 105)
"""Between which the moments s and t are, in 32nds of the regime's."""
COURSE = range(0, LATE[-1] + 1, 8)
"""Moments at which weights and averages are compared, and shown in the figure, in the same unit."""

FUNCTIONS = ilr.Prediction(
    quantity="functions: squared distance of two initialisations, less a quarter of what a doubled λₑ makes",
    rule="at_most",
    expected=0.0,
    margin=0.0,
    reason=(
        "A quarter of what a doubled λₑ makes is what a λₑ that is wrong by √2 makes: half a doubling, squared. "
        "Where functions forget their initialisation, this is minus a quarter of it."
    ),
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
        "Two nets of different initialisations come as close as two moments of one net, seen as functions: nearer than "
        "a λₑ wrong by √2 would leave them. Their weights stay far apart, and averaging those destroys the nets, while "
        "averaging within a run improves them."
    ),
    predictions=(FUNCTIONS, COSINE, DISTANCE, LOSS_ACROSS, GAIN_WITHIN),
    controls=(
        ilr.Control(
            "recent-ancestor",
            "The different initialisations: partners were one net until 1/10 of the first moment before it.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(8, 16, 32)),
    question="Do nets of different initialisations become one distribution of functions, and not of weights?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; λₑ = 0.02, 50 times that of the authors' later defaults; and a common "
            "frozen head, so that only what is trained differs."
        ),
        reduced=(
            "net and data, a CNN on Fashion-MNIST; λₑ = 0.04, 100 times that of the authors' later defaults; and a "
            "common frozen head, so that only what is trained differs."
        ),
        full=(
            "constant rates and the epochs, which are not known there; and in a common frozen head, so that only what "
            "is trained differs."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    moments = tuple(regime.moment * count // 32 for count in (*EARLY[:: regime.apart], *LATE[:: regime.apart]))
    course = tuple(regime.moment * count // 32 for count in COURSE)
    functions = ilr.Observe("test_predictions", moments)
    partners = setting.experiment(
        learning_rate=regime.learning_rate,
        weight_decay=regime.weight_decay,
        steps=moments[-1],
        replicas=2 * setting.replicas,
        partners=ilr.Partners(),
        observe=(
            functions,
            *ilr.observe_all("test_accuracy", "weights", "partner_average_test_accuracy", at=course),
            ilr.Observe("average_test_accuracy", (regime.moment, 2 * regime.moment)),
        ),
    )
    doubled = replace(partners, weight_decay=2 * regime.weight_decay, observe=(functions,))
    return {"partners": partners, "doubled": doubled}


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    recording = recordings["partners"]
    apart, unit = function_distances(recording, recordings["doubled"])
    yield FUNCTIONS, apart - unit / 4

    early, late = moments_of(recording, "weights")
    lag = late[0] - early[0]
    cosines = []
    for step in early:
        now, then = recording.at("weights", step), recording.at("weights", step + lag)  # [replica, weight]
        cosines.append(cosine(now, then) - cosine(now, of_partner(then)))
    yield COSINE, of_pairs(np.mean(cosines, axis=0))
    yield DISTANCE, relative_distance(recording)[:, -len(late) :].mean(axis=1)

    single, average = of_pairs(recording["test_accuracy"]), of_pairs(recording["partner_average_test_accuracy"])
    yield LOSS_ACROSS, (single - average)[:, -len(late) :].mean(axis=1)
    ends = np.mean([recording.at("test_accuracy", step) for step in recording.steps("average_test_accuracy")], axis=0)
    yield GAIN_WITHIN, of_pairs(recording.final("average_test_accuracy") - ends)


def function_distances(partners: ilr.Recording, doubled: ilr.Recording) -> tuple[ilr.Array, ilr.Array]:
    """Squared distances Σ_k (P_k − Q_k)² of the distributions of classifiers: of two initialisations, and of two λₑ,
    two arrays [pair].
    """
    within, across = disagreement(partners, partners, partner=False), disagreement(partners, partners, partner=True)
    # Nets of the two λₑ are compared across initialisations: with the same one they would have a memory in common.
    across_rates = (disagreement(partners, doubled, partner=True) + disagreement(doubled, partners, partner=True)) / 2
    across_doubled = disagreement(doubled, doubled, partner=True)
    return 2 * (across - within), 2 * across_rates - across - across_doubled


def disagreement(one: ilr.Recording, other: ilr.Recording, *, partner: bool) -> ilr.Array:
    """Share of the test images that a net of `one` at s and the same one of `other` at t, or its partner there, put
    into different classes, in the mean over every s and t: [pair].
    """
    early, _ = moments_of(one, "test_predictions")
    labels = one["test_predictions"][:, : len(early)]  # [replica, time, image]
    others = other["test_predictions"][:, len(early) :]
    if partner:
        others = of_partner(others)
    # Two moments agree where both give the class k: the chance is a product of shares, in the mean over all s and t.
    agree = np.zeros(labels.shape[::2])  # [replica, image]
    for k in range(max(labels.max(), others.max()) + 1):
        agree += (labels == k).mean(axis=1) * (others == k).mean(axis=1)
    return of_pairs(1 - agree.mean(axis=1))


def moments_of(recording: ilr.Recording, quantity: str) -> tuple[ilr.Array, ilr.Array]:
    """The steps s, and the steps t, at which a quantity is observed."""
    steps = recording.steps(quantity)
    first = recording.steps("test_predictions")[0]
    return steps[(first <= steps) & (steps < 2 * first)], steps[2 * first <= steps]


def of_partner(values: ilr.Array) -> ilr.Array:
    """Each replica's partner's values, [replica, ...]."""
    # [replica, …] as [pair, partner, …], and back with the partners exchanged.
    return values.reshape(-1, 2, *values.shape[1:])[:, ::-1].reshape(values.shape)


def of_pairs(values: ilr.Array) -> ilr.Array:
    """The mean of two partners' values [replica, ...]: [pair, ...]."""
    return np.asarray((values[::2] + values[1::2]) / 2)


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
        "First: squared distances between distributions of classifiers, a dot a pair; a diamond, the mean with two "
        "standard errors; dotted, a quarter of what a doubled λₑ makes. Second: how far the weights of two partners "
        "are from each other, over their norm; thin line, √2, the distance of independent directions. Third: test "
        "accuracy of the average of two partners' weights, and of a single net. Bands are the middle four fifths of "
        "the pairs. In the control, grey, partners have a common ancestor until shortly before the first moment.",
        panels=3,
    )
    apart, unit = function_distances(recordings["partners"], recordings["doubled"])
    control = controls["recent-ancestor"]
    of_ancestor, _ = function_distances(control["partners"], control["doubled"])
    ilr.draw_groups(
        functions,
        {"two\ninitialisations": apart, "one ancestor\n(control)": of_ancestor, "doubled λₑ": unit},
        control="one ancestor\n(control)",
    )
    functions.axhline(unit.mean() / 4, color="black", linewidth=0.8, linestyle=":")
    functions.set_title("squared distance of functions")
    kinds = {
        "two initialisations": recordings["partners"],
        "one ancestor (control)": control["partners"],
    }
    for label, recording in kinds.items():
        style = {} if recording is recordings["partners"] else ilr.as_control()
        steps = recording.steps("weights")
        average = of_pairs(recording["partner_average_test_accuracy"])
        ilr.draw_band(weights, steps, relative_distance(recording), label, **style)
        ilr.draw_band(averages, steps, average, f"average, {label}", **style)
    single = of_pairs(recordings["partners"]["test_accuracy"])
    ilr.draw_band(averages, steps, single, "a single net")
    weights.axhline(np.sqrt(2), color="black", linewidth=0.6)
    weights.set(title="distance of partners' weights / norm", xlabel="step", ylim=(0, 1.6))
    averages.set(title="test accuracy", xlabel="step")
    for axes in (weights, averages):
        axes.legend(loc="lower right")
    return drawn


def control_recent_ancestor(setting: ilr.Setting) -> ilr.Experiments:
    parted_at = REGIMES[setting.scale].moment * 9 // 10
    return ilr.changed(experiments(setting), only=("partners",), partners=ilr.Partners(parted_at))


def test_no_mixing_in_parameter_space(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
