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
frequencies on the test images, over all snapshots together, and the exponent of ‖w‖² in η. At tiny λₑ = 0.01, where the
digits are still hard enough to tell distributions apart: on exploratory seeds doubling it costs 0.03 of accuracy and
moves the distribution by 0.005, while a learning rate 100 times larger costs 0.000 ± 0.002 and moves it by 0.0001 ±
0.0003.

At reduced the CNN learns Fashion-MNIST at the same learning rates and λₑ; there doubling λₑ moves the distribution by
0.011. The reference report is INCONCLUSIVE by a hair: one of the distances is 0.0005, at most 0.0021. At full, η = 0.8
and λ = 0.0005 are the authors' later defaults, in the middle of the range; the number of epochs, about 16/λₑ steps, is
ours.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, Observe, Prediction, Replicas, Setting, every
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.function_space import closer_than
from ilr.stats.jackknife import power_law
from ilr.stats.means import equivalence_of_groups
from ilr.trials.plotting import draw_band, new_figure


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
REFERENCE = "η"
SMALLER = {"η/10": 10, "η/100": 100}
LEARNING_RATES = {REFERENCE: 1, **SMALLER}
"""By what the largest learning rate is divided."""

CLAIM = Claim(
    id="intrinsic-lr-decides",
    title="The intrinsic learning rate decides, not the learning rate",
    source='blog post, "So what\'s really going on?"',
    statement=(
        "At equal λₑ = ηλ, learning rates 100 times apart end with the same test accuracy and the same distribution "
        "over functions; only the norm of the weights differs, ‖w‖² in proportion to η."
    ),
    predictions=(
        *(
            prediction
            for name in SMALLER
            for prediction in (
                Prediction(
                    quantity=f"{name} less {REFERENCE}: test accuracy",
                    rule="equivalence_of_groups",
                    expected=0.0,
                    margin=0.01,
                    reason="One percent is what one would tune a learning rate for; this one changes by a factor.",
                ),
                Prediction(
                    quantity=f"{name} / {REFERENCE}: squared distance",
                    rule="closer_than",
                    expected=0.0,
                    margin=0.002,
                    reason="Less than half of the 0.005 by which twice the λₑ moves the distribution on the digits.",
                ),
            )
        ),
        Prediction(
            quantity="exponent of ‖w‖² in η",
            rule="power_law",
            expected=1.0,
            margin=0.02,
            reason="Over a factor of 100 this lets ‖w‖²/η change by a tenth; doubling λₑ changes it by √2.",
        ),
    ),
    controls=(
        Control(
            "intrinsic-learning-rate-doubled",
            "The common λₑ: the largest learning rate keeps its value and gets twice the weight decay.",
        ),
    ),
    replicas=Replicas(tiny=96, reduced=96, full=100),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    at = every(regime.interval, regime.steps, start=regime.interval)
    return {
        name: setting.experiment(
            group,
            learning_rate=Constant(regime.learning_rate / divisor),
            weight_decay=Constant(regime.intrinsic / regime.learning_rate * divisor),
            steps=regime.steps,
            observe=(
                Observe("weight_norm", at),
                Observe("test_accuracy", at[-SNAPSHOTS:]),
                Observe("test_predictions", at[-SNAPSHOTS:]),
            ),
        )
        for group, (name, divisor) in enumerate(LEARNING_RATES.items())
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    accuracy = {name: recording["test_accuracy"].mean(axis=1) for name, recording in recordings.items()}
    classes = {name: recording["test_predictions"] for name, recording in recordings.items()}
    for name in SMALLER:
        difference = CLAIM[f"{name} less {REFERENCE}: test accuracy"]
        yield equivalence_of_groups(difference, accuracy[name], accuracy[REFERENCE])
        yield closer_than(CLAIM[f"{name} / {REFERENCE}: squared distance"], classes[name], classes[REFERENCE])
    yield power_law(
        CLAIM["exponent of ‖w‖² in η"],
        [1 / divisor for divisor in LEARNING_RATES.values()],
        np.mean,
        [(recording["weight_norm"][:, -SNAPSHOTS:] ** 2).mean(axis=1) for recording in recordings.values()],
        np.random.default_rng(0),
    )


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, (norm, accuracy) = new_figure(
        "Three learning rates, one λₑ: ‖w‖² becomes proportional to η, whatever it was, and test accuracy (dots are "
        "replicas, bars their mean) does not care. It does where λₑ is doubled and the learning rate kept.",
        panels=2,
    )
    doubled = controls["intrinsic-learning-rate-doubled"][REFERENCE]
    runs = {**recordings, f"{REFERENCE}, λₑ doubled": doubled}
    for place, (name, recording) in enumerate(runs.items()):
        learning_rate = recording.experiment.learning_rate.values(1)[0]
        draw_band(norm, recording.steps("weight_norm"), recording["weight_norm"] ** 2 / learning_rate, name)
        replicas = recording["test_accuracy"].mean(axis=1)
        across = place + np.linspace(-0.3, 0.3, len(replicas))
        accuracy.plot(across, replicas, ".", color=f"C{place}", alpha=0.4)
        accuracy.hlines(replicas.mean(), place - 0.4, place + 0.4, color=f"C{place}")
    norm.set(title="‖w‖²/η", xlabel="step", yscale="log")
    norm.legend()
    accuracy.set(title="test accuracy", xticks=range(len(runs)), xticklabels=list(runs))
    return drawn


def control_intrinsic_learning_rate_doubled(setting: Setting) -> dict[str, Experiment]:
    planned, regime = experiments(setting), REGIMES[setting.scale]
    doubled = replace(planned[REFERENCE], weight_decay=Constant(2 * regime.intrinsic / regime.learning_rate))
    return planned | {REFERENCE: doubled}


def test_intrinsic_lr_decides(trial):
    trial.must_reproduce()
