"""The intrinsic learning rate decides, not the learning rate.

At equilibrium nothing but λₑ = ηλ is left of learning rate and weight decay: multiply η by c and divide λ by c, and
the net walks through weights √c times as large whose directions, and so whose functions, are distributed as before.
The norm settles where what weight decay takes away is what the gradient adds, ‖w‖⁴ = ηE‖ḡ‖²/(λ(2 − ηλ)): at fixed
λₑ, ‖w‖² grows in proportion to η. Which learning rate is best, the question that tuning asks, is then a question
about λₑ alone.

The blog argues this from its stochastic differential equation and has no figure of it. We train groups at three
learning rates that span a factor of 100, far beyond what anybody would tune over, long enough for every norm to arrive:
the start is the same for all, so it is too large for the smallest learning rate, which pays ln(c)/λₑ steps for it.
Judged are the last snapshots: test accuracy, the squared distance Σ_k (P_k − Q_k)² between the groups' class
frequencies on the test images, over all snapshots together, and the exponent of ‖w‖² in η. What a distance means
depends on the data, so it is measured against that of a group with twice the λₑ from the learning rate that is not
being compared: in doublings of λₑ.

Replica i of every group has the same frozen head, initial weights and batches, and groups are compared pair by pair:
what a net owes to these is noise to the learning rate.

At λₑ = 0.01 the digits are still hard enough to tell distributions apart; at reduced the CNN learns Fashion-MNIST at
the same learning rates and λₑ. At full, η = 0.8 and λ = 0.0005 are the authors' later defaults, in the middle of the
range. Their usual 160 epochs would be 25/λₑ; ours are 52, 8/λₑ as at tiny and reduced: the smallest learning rate needs
ln(10) = 2.3/λₑ more than the largest for its norm to shrink, which then settles at the rate 4λₑ, and we look from 5/λₑ
on.
"""

from dataclasses import dataclass, replace

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """The largest of the three."""
    intrinsic: float
    steps: int
    interval: int
    """Steps between two snapshots: enough for the noise of single predictions to be another one, 0.1/λₑ or more."""


SMALL = Regime(learning_rate=5.0, intrinsic=0.01, steps=800, interval=25)
REGIMES = {
    "tiny": SMALL,
    "reduced": SMALL,
    "full": Regime(learning_rate=8.0, intrinsic=4e-4, steps=52 * 390, interval=507),
}
SNAPSHOTS = 16
"""How many of the last snapshots are judged, together."""
DIVISORS = {"η": 1, "η/10": 10, "η/100": 100}
"""By what the largest learning rate is divided."""
DOUBLED = "η, 2λₑ"
OTHER = {"η/10": "η/100", "η/100": "η/10"}
"""The smaller learning rates, each with the one from which the doubled λₑ's distance is taken beside it."""

ACCURACY = ilr.Prediction(
    quantity="{} less η: test accuracy",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent is what one would tune a learning rate for; this one changes by a factor.",
)
DISTANCE = ilr.Prediction(
    quantity="{} / η: distance, in doublings of λₑ",
    rule="nearer_than",
    expected=0.0,
    margin=0.5,
    reason="A learning rate 100 times smaller must matter less than a λₑ that is wrong by √2.",
)
NORM = ilr.Prediction(
    quantity="exponent of ‖w‖² in η",
    rule="power_law",
    expected=1.0,
    margin=0.02,
    reason="Over a factor of 100 this lets ‖w‖²/η change by a tenth; doubling λₑ changes it by √2.",
)
CLAIM = ilr.Claim(
    id="intrinsic-lr-decides",
    title="The intrinsic learning rate decides, not the learning rate",
    source='blog post, "So what\'s really going on?"',
    statement=(
        "At equal λₑ = ηλ, learning rates 100 times apart end with the same test accuracy and the same distribution "
        "over functions; only the norm of the weights differs, ‖w‖² in proportion to η."
    ),
    predictions=(*ilr.for_each(OTHER, ACCURACY, DISTANCE), NORM),
    controls=(
        ilr.Control(
            "intrinsic-learning-rate-doubled",
            "The common λₑ: a tenth of the learning rate is doubled and keeps its weight decay.",
        ),
        ilr.Control(
            "too-early",
            "The time for the norm to arrive: a hundredth of the learning rate is judged within the first 1/λₑ steps.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(16, 32, 64, 128)),
    question="Does the intrinsic learning rate decide, and not the learning rate?",
    differs=ilr.Differs(
        tiny=(
            "measuring what the blog post argues without a figure, on an MLP and digits; λₑ = 0.01, 25 times that of "
            "the authors' later defaults."
        ),
        reduced=(
            "measuring what the blog post argues without a figure, on a CNN and Fashion-MNIST; λₑ = 0.01, 25 times "
            "that of the authors' later defaults."
        ),
        full=(
            "measuring what the blog post argues without a figure; the learning rates, ten times the authors' later "
            "default, it, and a tenth of it; and in constant schedules of 52 epochs, 8/λₑ."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    planned = {}
    for name, divisor in DIVISORS.items():
        planned[name] = setting.experiment(
            learning_rate=regime.learning_rate / divisor,
            weight_decay=regime.intrinsic / regime.learning_rate * divisor,
            steps=regime.steps,
            observe=observed(ilr.every(regime.interval, regime.steps, start=regime.interval)),
        )
    planned[DOUBLED] = replace(planned["η"], weight_decay=2 * regime.intrinsic / regime.learning_rate)
    return planned


def observed(at: range) -> tuple[ilr.Observe, ...]:
    """The norm at these steps, the function at the last of them."""
    return (
        ilr.Observe("weight_norm", at),
        *ilr.observe_all("test_accuracy", "test_predictions", at=at[-SNAPSHOTS:]),
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    accuracy, classes = {}, {}
    for name, run in recordings.items():
        accuracy[name] = ilr.group(run, run["test_accuracy"].mean(axis=1))  # [replica]
        classes[name] = ilr.group(run, run["test_predictions"])  # [replica, snapshot, image]
    for name, other in OTHER.items():
        yield ACCURACY.of(name), accuracy[name], accuracy["η"]
        yield DISTANCE.of(name), classes[name], classes["η"], classes[other], classes[DOUBLED]
    learning_rates = [1 / divisor for divisor in DIVISORS.values()]
    runs = [recordings[name] for name in DIVISORS]
    squared_norms = [ilr.group(run, (run["weight_norm"][:, -SNAPSHOTS:] ** 2).mean(axis=1)) for run in runs]
    yield NORM, learning_rates, np.mean, squared_norms


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (norm, accuracy) = ilr.new_figure(
        "Three learning rates at one λₑ, one with λₑ doubled by weight decay, and in the control, grey, one with λₑ "
        "doubled by the learning rate. First: ‖w‖² in units of η, on a logarithmic axis, with the middle four fifths "
        "of the replicas as bands. Second: test accuracy over the judged snapshots, a dot a replica; a diamond, the "
        "mean with two standard errors.",
        panels=2,
    )
    doubled = controls["intrinsic-learning-rate-doubled"]["η/10"]
    control = "η/10, 2λₑ\n(control)"
    runs = {**recordings, control: doubled}
    for name, run in runs.items():
        style = ilr.as_control() if name == control else {}
        learning_rate = run.experiment.learning_rates()[0]
        squared = run["weight_norm"] ** 2 / learning_rate
        ilr.draw_band(norm, run.steps("weight_norm"), squared, name.replace("\n", " "), **style)
    ilr.draw_groups(accuracy, {name: run["test_accuracy"].mean(axis=1) for name, run in runs.items()}, control=control)
    norm.set(title="‖w‖²/η", xlabel="step", yscale="log")
    norm.legend()
    accuracy.set_title("test accuracy")
    return drawn


def control_intrinsic_learning_rate_doubled(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), only=["η/10"], learning_rate=REGIMES[setting.scale].learning_rate / 5)


def control_too_early(setting: ilr.Setting) -> ilr.Experiments:
    steps = round(1 / REGIMES[setting.scale].intrinsic)
    at = ilr.every(steps // SNAPSHOTS, steps, start=steps // SNAPSHOTS)
    return ilr.changed(experiments(setting), only=["η/100"], steps=steps, observe=observed(at))


def test_intrinsic_lr_decides(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
