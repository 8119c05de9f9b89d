"""The intrinsic learning rate decides, not the learning rate.

At equilibrium nothing but λₑ = ηλ is left of learning rate and weight decay: multiply η by c and divide λ by c, and
the net walks through weights √c times as large whose directions, and so whose functions, are distributed as before.
The norm settles where what weight decay takes away is what the gradient adds, ‖w‖⁴ = ηE‖ḡ‖²/(λ(2 − ηλ)): at fixed
λₑ, ‖w‖² grows in proportion to η. Which learning rate is best, the question that tuning asks, is then a question
about λₑ alone.

The blog argues this from its stochastic differential equation and has no figure of it. We train independent groups
at three learning rates that span a factor of 100, far beyond what anybody would tune over, long enough for every norm
to arrive: the start is the same for all, so it is too large for the smallest learning rate, which pays ln(c)/λₑ steps
for it. Judged are the last snapshots: test accuracy, the squared distance Σ_k (P_k − Q_k)² between the groups' class
frequencies on the test images, over all snapshots together, and the exponent of ‖w‖² in η.

At λₑ = 0.01 the digits are still hard enough to tell distributions apart; at reduced the CNN learns Fashion-MNIST at
the same learning rates and λₑ. At full, η = 0.8 and λ = 0.0005 are the authors' later defaults, in the middle of the
range; the number of epochs, about 16/λₑ steps, is ours.
"""

from dataclasses import dataclass

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
    """Steps between two snapshots."""


SMALL = Regime(learning_rate=5.0, intrinsic=0.01, steps=800, interval=50)
REGIMES = {
    "tiny": SMALL,
    "reduced": SMALL,
    "full": Regime(learning_rate=8.0, intrinsic=4e-4, steps=100 * 390, interval=5 * 390),
}
SNAPSHOTS = 8
"""How many of the last snapshots are judged, together."""
DIVISORS = {"η": 1, "η/10": 10, "η/100": 100}
"""By what the largest learning rate is divided."""
SMALLER = ("η/10", "η/100")

ACCURACY = ilr.Prediction(
    quantity="{} less η: test accuracy",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent is what one would tune a learning rate for; this one changes by a factor.",
)
DISTANCE = ilr.Prediction(
    quantity="{} / η: squared distance",
    rule="closer_than",
    expected=0.0,
    margin=0.002,
    reason="Less than half of the 0.005 by which twice the λₑ moves the distribution on the digits.",
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
    predictions=(*ilr.for_each(SMALLER, ACCURACY, DISTANCE), NORM),
    controls=(
        ilr.Control(
            "intrinsic-learning-rate-doubled",
            "The common λₑ: the largest learning rate keeps its value and gets twice the weight decay.",
        ),
    ),
    replicas=ilr.Replicas(tiny=96, reduced=96, full=100),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    at = ilr.every(regime.interval, regime.steps, start=regime.interval)
    return {
        name: setting.experiment(
            group,
            learning_rate=regime.learning_rate / divisor,
            weight_decay=regime.intrinsic / regime.learning_rate * divisor,
            steps=regime.steps,
            observe=(
                ilr.Observe("weight_norm", at),
                *ilr.observe_all("test_accuracy", "test_predictions", at=at[-SNAPSHOTS:]),
            ),
        )
        for group, (name, divisor) in enumerate(DIVISORS.items())
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    accuracy = {name: run["test_accuracy"].mean(axis=1) for name, run in recordings.items()}  # of each [replica]
    classes = {name: run["test_predictions"] for name, run in recordings.items()}  # [replica, snapshot, image]
    for name in SMALLER:
        yield ACCURACY.of(name), accuracy[name], accuracy["η"]
        yield DISTANCE.of(name), classes[name], classes["η"]
    learning_rates = [1 / divisor for divisor in DIVISORS.values()]
    squared_norms = [(run["weight_norm"][:, -SNAPSHOTS:] ** 2).mean(axis=1) for run in recordings.values()]
    yield NORM, learning_rates, np.mean, squared_norms


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (norm, accuracy) = ilr.new_figure(
        "Three learning rates, one λₑ: ‖w‖² becomes proportional to η, whatever it was, and test accuracy (dots are "
        "replicas, bars their mean) does not care. It does where λₑ is doubled and the learning rate kept.",
        panels=2,
    )
    runs = {**recordings, "η, λₑ doubled": controls["intrinsic-learning-rate-doubled"]["η"]}
    for place, (name, run) in enumerate(runs.items()):
        learning_rate = run.experiment.learning_rates()[0]
        ilr.draw_band(norm, run.steps("weight_norm"), run["weight_norm"] ** 2 / learning_rate, name)
        replicas = run["test_accuracy"].mean(axis=1)
        across = place + np.linspace(-0.3, 0.3, len(replicas))
        accuracy.plot(across, replicas, ".", color=f"C{place}", alpha=0.4)
        accuracy.hlines(replicas.mean(), place - 0.4, place + 0.4, color=f"C{place}")
    norm.set(title="‖w‖²/η", xlabel="step", yscale="log")
    norm.legend()
    accuracy.set(title="test accuracy", xticks=range(len(runs)), xticklabels=list(runs))
    return drawn


def control_intrinsic_learning_rate_doubled(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    return ilr.changed(experiments(setting), only=["η"], weight_decay=2 * regime.intrinsic / regime.learning_rate)


def test_intrinsic_lr_decides(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
