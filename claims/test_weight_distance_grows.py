"""The distance between the weights of one run at two moments grows with the time between them, without a plateau.

If training had settled around a minimum, the weights would be an Ornstein-Uhlenbeck process about it, as Izmailov et
al. (2018) suggest, and E‖W_T − W_{T+Δ}‖² would come to rest at 2 Tr Σ, twice the trace of its covariance. How soon?
Around a minimum the Hessian has no negative eigenvalue and weight decay adds λ to each, so that no direction relaxes
more slowly than in 1/(ηλ) = 1/λₑ steps. Whatever the noise and however many time scales there are, from Δ = m/λₑ on
the squared distance can grow by a factor of 1/(1 − e⁻ᵐ) at most, 1.009 for m = 4.7. The blog's figure 3 shows that for
a ResNet on CIFAR-10 it grows with Δ for every T; how far apart its snapshots are is not known.

We take snapshots some 5/λₑ apart, up to 80/λₑ, at the ends of epochs: within an epoch, sampling without replacement
makes a noise of its own. From each of three snapshots, the first at 14/λₑ, when norm and transients have died out, we
look at the distances 5/λₑ, 10/λₑ, 20/λₑ and 40/λₑ later: each the double of the last, as what grows by a power of Δ
grows by equal factors then. One network's distance between two moments has noise, as its fastest weights go to and fro
within 1/λₑ, so each is a mean over three moments of departure and three of arrival, none less than 5/λₑ apart. λₑ =
0.01 is so large that a run of 200 epochs holds that many 1/λₑ, and small enough for the nets to learn. The slope of log
squared distance against log Δ would be 0 on a plateau and 1 in free diffusion. At full the same 80/λₑ are 510 epochs of
the authors' later defaults: any process around a minimum has come to rest within a sixteenth of that. Averages of this
run's weights are what test_weight_averaging_helps_within_a_run.py judges, so that one training serves both.

A trend is the rank correlation of distance and Δ. It saturates at 1, so it is held to a share of the nets, four in five
or more, not to a mean.

The control is a process of that kind. A net with one hidden layer and without normalisation, at the same λₑ, settles
around one minimum: its Hessian with weight decay is positive there, noise is small beside the bowl, and its distances
do not grow from 5/λₑ on, but for rare hops of single units. (With three hidden layers, even that net drifts on.) Its
runs end before 87/λₑ, as the weights of dead units only decay, and when float32 can no longer hold them rounding
wakes the units up; in float64 they sleep.

The dotted line in the figure is the process fitted to the last start's first 5/λₑ, by least squares over plateaus and
relaxation times up to 1/λₑ.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What differs between the scales."""

    learning_rate: float
    weight_decay: float
    interval: int
    """Steps between snapshots: three times whole epochs, about 5/λₑ."""


REGIMES = {
    "tiny": Regime(0.5, 0.02, interval=12 * 40),
    "reduced": Regime(0.5, 0.02, interval=3 * 156),
    # The authors' later defaults; how far apart the snapshots of figure 3 are is not known.
    "full": Regime(0.8, 5e-4, interval=30 * 390),
}
SNAPSHOTS = 17
STARTS = {"from snapshot 4": 4, "from snapshot 6": 6, "from snapshot 8": 8}
"""The snapshots, counted from 1, that distances are taken from."""
LAST_START = 8
LAGS = (1, 2, 4, 8)
"""How many snapshots later they end."""
THIRDS = 3
"""Moments of departure, and of arrival, that a distance is the mean over: a third of an interval apart."""
FRACTIONS = (100, 50, 20, 10, 5, 2)
"""Parts of an interval at which the figure shows the beginning of the last start's curve."""
SINGLE_LAYER_LEARNING_RATE = 0.1
SHARE = 0.8
"""So many of the networks are to show the trend."""

TREND = ilr.Prediction(
    quantity="{}: rank correlation of distance and Δ",
    rule="quantile_at_least",
    expected=0.5,
    margin=0.0,
    reason="Half-way between no trend, which is 0, and a distance that never falls back, which is 1.",
)
EXPONENT = ilr.Prediction(
    quantity="{}: exponent of the squared distance in Δ",
    rule="at_least",
    expected=0.1,
    margin=0.0,
    reason=(
        "0 is a plateau and 1 free diffusion. Around a minimum the distance can grow by 1% from 4.7/λₑ on, "
        "an exponent of 0.005; 0.1, a quarter more at 8Δ, is not a bowl that is not quite quadratic."
    ),
)
CLAIM = ilr.Claim(
    id="weight-distance-grows",
    title="The distance between the weights of one run grows without a plateau",
    source="blog post, figure 3 right",
    statement=(
        "‖W_T − W_{T+Δ}‖ grows with Δ for every T, long after any Ornstein-Uhlenbeck process around a minimum would "
        "have come to rest at twice the trace of its covariance."
    ),
    predictions=ilr.for_each(STARTS, TREND, EXPONENT),
    controls=(
        ilr.Control(
            "settled",
            "Normalisation and depth: one hidden layer under weight decay settles around one minimum, so its weights "
            "are an Ornstein-Uhlenbeck process with relaxation times up to 1/λₑ.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(32, 64), reduced=(32, 64), full=(32, 64)),
    question="Does the distance between the weights of one run grow without a plateau?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; λₑ = 0.01, 25 times that of the authors' later defaults; and in the "
            "snapshots, 5/λₑ steps apart: how far apart they are there is not known."
        ),
        reduced=(
            "net and data, a CNN on Fashion-MNIST; λₑ = 0.01, 25 times that of the authors' later defaults; and in the "
            "snapshots, 5/λₑ steps apart: how far apart they are there is not known."
        ),
        full=(
            "constant rates, the authors' later defaults; and in the snapshots, 5/λₑ steps apart: how far apart they "
            "are there is not known."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    snapshots = {count * regime.interval for count in range(1, SNAPSHOTS + 1)}
    ends: set[int] = set()
    for start, lag in product(STARTS.values(), LAGS):
        for pair in departures_and_arrivals(start, lag, regime.interval):
            ends.update(pair)
    early = {LAST_START * regime.interval + regime.interval // fraction for fraction in FRACTIONS}
    steps = SNAPSHOTS * regime.interval
    observe = ilr.observe_all("weights", at=tuple(sorted(snapshots | ends | early)))
    if setting.scale == "full":
        # For the claim on averages: seven snapshots, from the middle on.
        averaged = tuple(steps * count // 12 for count in range(6, 13))
        quantities = ("test_accuracy", "average_test_accuracy", "adjacent_average_test_accuracy")
        observe = (*ilr.observe_all(*quantities, at=averaged), *observe)
    return {
        "run": setting.experiment(
            learning_rate=regime.learning_rate,
            weight_decay=regime.weight_decay,
            steps=steps,
            observe=observe,
        )
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    run = recordings["run"]
    for name, start in STARTS.items():
        lags, distances = mean_squared_distances(run, start)
        exponents, _ = np.polyfit(np.log(lags), np.log(distances).T, 1)
        yield TREND.of(name), ilr.rank_correlations(distances), SHARE
        yield EXPONENT.of(name), exponents


def interval(recording: ilr.Recording) -> int:
    """Steps between two snapshots."""
    return recording.experiment.steps // SNAPSHOTS


def departures_and_arrivals(start: int, lag: int, interval: int) -> list[tuple[int, int]]:
    """The pairs of steps over which a distance is averaged: up to two thirds of an interval before a snapshot, and as
    much after the one so many snapshots later.
    """
    thirds = [third * interval // THIRDS for third in range(THIRDS)]
    return [(start * interval - before, (start + lag) * interval + after) for before in thirds for after in thirds]


def mean_squared_distances(recording: ilr.Recording, start: int) -> tuple[ilr.Array, ilr.Array]:
    """Steps between departure and arrival, in the mean [lag]; and squared distances, in the mean [replica, lag]."""
    steps, distances = [], []
    for lag in LAGS:
        pairs = departures_and_arrivals(start, lag, interval(recording))
        steps.append(np.mean([arrival - departure for departure, arrival in pairs]))
        moved = [squared_distance(recording, departure, arrival) for departure, arrival in pairs]
        distances.append(np.mean(moved, axis=0))
    return np.array(steps), np.stack(distances, axis=1)


def squared_distances(recording: ilr.Recording, start: int, lags: ilr.Array) -> ilr.Array:
    """‖W_T − W_{T+Δ}‖² between a snapshot and each of some steps later, in units of ‖W_T‖²: [replica, lag]."""
    step = start * interval(recording)
    return np.stack([squared_distance(recording, step, step + lag) for lag in lags], axis=1)


def squared_distance(recording: ilr.Recording, departure: int, arrival: int) -> ilr.Array:
    """‖W_T − W_{T+Δ}‖² between two steps, in units of ‖W_T‖²: [replica]."""
    origin = recording.at("weights", departure).astype(np.float64)  # [replica, weight]
    moved = recording.at("weights", arrival) - origin
    return np.asarray((moved**2).sum(axis=1) / (origin**2).sum(axis=1))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (course, plateau) = ilr.new_figure(
        "First: how far the weights of a run are from those at a moment T, over the norm at T. Second: the squared "
        "distance from the last T, over its mean after 5/λₑ; dotted, an Ornstein-Uhlenbeck process fitted to the "
        "first 5/λₑ; in the control, grey, the net has one hidden layer and no normalisation. Lines are medians, "
        "bands the middle four fifths of the replicas.",
        panels=2,
    )
    run, settled = recordings["run"], controls["settled"]["run"]
    unit = interval(run)
    for start in STARTS.values():
        lags = unit * np.arange(SNAPSHOTS - start + 1)
        distances = np.sqrt(squared_distances(run, start, lags))
        ilr.draw_band(course, start * unit + lags, distances, f"T = {start * unit}", middle=np.median)
    course.set(title="distance from W_T", xlabel="step", ylabel="‖W_T − W‖ / ‖W_T‖", ylim=(0, None))
    course.legend()

    lags = np.concatenate([unit // np.array(FRACTIONS), unit * np.arange(1, max(LAGS) + 1)])
    curve = relative_to_interval(run, lags)
    ilr.draw_band(plateau, lags, curve, "normalised net", middle=np.median)
    of_control = relative_to_interval(settled, lags)
    ilr.draw_band(plateau, lags, of_control, "one layer (control)", middle=np.median, **ilr.as_control())
    beginning = lags <= unit
    intrinsic = float(run.experiment.intrinsic_learning_rates()[0])
    relaxation, height = fitted(lags[beginning], curve.mean(axis=0)[beginning], intrinsic)
    at = np.geomspace(lags[0], lags[-1])
    process = ilr.theory.ornstein_uhlenbeck_squared_distance(at, np.asarray(relaxation), height)
    plateau.plot(at, process, ":", color="black", label="fitted process")
    # A single replica of the control that hops is far out: the axis is that of the claim's own run.
    top = 1.15 * np.quantile(curve, 0.9, axis=0).max()
    plateau.set(title="squared distance over that at 5/λₑ", xlabel="Δ in steps", xscale="log", ylim=(0, top))
    plateau.legend()
    return drawn


def relative_to_interval(recording: ilr.Recording, lags: ilr.Array) -> ilr.Array:
    """Squared distances from the last start in units of their mean at the distance of two snapshots, [replica, lag]."""
    unit = squared_distances(recording, LAST_START, np.array([interval(recording)])).mean()
    return np.asarray(squared_distances(recording, LAST_START, lags) / unit)


def fitted(lags: ilr.Array, squared: ilr.Array, intrinsic: float) -> tuple[float, float]:
    """Relaxation time and plateau of the Ornstein-Uhlenbeck process nearest to squared distances [lag]."""
    relaxations = np.geomspace(1, 1 / intrinsic, 200)
    shapes = ilr.theory.ornstein_uhlenbeck_squared_distance(lags, relaxations[:, None])  # [relaxation, lag]
    plateaus = shapes @ squared / (shapes**2).sum(axis=1)
    best = np.argmin(((plateaus[:, None] * shapes - squared) ** 2).sum(axis=1))
    return float(relaxations[best]), float(plateaus[best])


def control_settled(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    planned = experiments(setting)
    [weights] = [one for one in planned["run"].observe if one.quantity == "weights"]
    return ilr.changed(
        planned,
        net=ilr.MLP((32,)),
        norm=ilr.NoNorm(),
        learning_rate=SINGLE_LAYER_LEARNING_RATE,
        weight_decay=regime.learning_rate * regime.weight_decay / SINGLE_LAYER_LEARNING_RATE,
        observe=(weights,),
    )


def test_weight_distance_grows(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
