"""The distance between the weights of one run at two moments grows with the time between them, without a plateau.

If training had settled around a minimum, the weights would be an Ornstein-Uhlenbeck process about it, as Izmailov et
al. (2018) suggest, and E‖W_T − W_{T+Δ}‖² would come to rest at 2 Tr Σ, twice the trace of its covariance. How soon?
Around a minimum the Hessian has no negative eigenvalue and weight decay adds λ to each, so that no direction relaxes
more slowly than in 1/(ηλ) = 1/λₑ steps. Whatever the noise and however many time scales there are, from Δ = m/λₑ on
the squared distance can grow by a factor of 1/(1 − e⁻ᵐ) at most, 1.009 for m = 4.7. The blog's figure 3 shows that for
a ResNet on CIFAR-10 it grows with Δ for every T; how far apart its snapshots are is not known.

We take snapshots some 5/λₑ apart, up to 80/λₑ, at the ends of epochs: within an epoch, sampling without replacement
makes a noise of its own. From each of three snapshots, the first at 14/λₑ, when norm and transients have died out, we
look at the distances to the next eight, that is from 5/λₑ to 40/λₑ later. λₑ = 0.01 is so large that a run of 200
epochs holds that many 1/λₑ. The slope of log squared distance against log Δ would be 0 on a plateau and 1 in free
diffusion. On exploratory seeds it is 0.24, 0.19 and 0.17 from the three starts: the older the run the slower it moves,
yet no plateau comes, and 2‖W‖² of independent weights is far. Where the nets hardly learn, at λₑ = 0.1 and 0.5, there
is one, at 2‖W‖².

The control is a process of that kind. A net with one hidden layer and without normalisation, at the same λₑ, settles
around one minimum: its Hessian with weight decay is positive there, noise is small beside the bowl, and its distances
do not grow from 5/λₑ on, but for rare hops of single units. (With three hidden layers, even that net drifts on.) Its
runs end before 87/λₑ, as the weights of dead units only decay, and when float32 can no longer hold them rounding
wakes the units up; in float64 they sleep.

The dotted line in the figure is the process fitted to the last start's first 5/λₑ, by least squares over plateaus and
relaxation times up to 1/λₑ: it finds some 40 steps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import MLP, Claim, Constant, Control, Experiment, NoNorm, Observe, Prediction, Replicas, Setting
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.means import at_least, increasing
from ilr.stats.theory import intrinsic_learning_rate, ornstein_uhlenbeck_squared_distance
from ilr.trials.plotting import draw_band, new_figure
from ilr.trials.scales import Scale


@dataclass(frozen=True)
class Regime:
    """What differs between the scales."""

    learning_rate: float
    weight_decay: float
    interval: int
    """Steps between snapshots: whole epochs, about 5/λₑ."""

    @property
    def intrinsic(self) -> float:
        """λₑ."""
        return intrinsic_learning_rate(self.learning_rate, self.weight_decay)


REGIMES: dict[Scale, Regime] = {
    "tiny": Regime(0.5, 0.02, interval=12 * 40),
    "reduced": Regime(0.5, 0.02, interval=3 * 156),
    # The authors' later defaults; how far apart the snapshots of figure 3 are is not known.
    "full": Regime(0.8, 5e-4, interval=32 * 390),
}
SNAPSHOTS = 17
STARTS = (3, 6, 9)
"""The snapshots, counted from 1, that distances are taken from."""
LAGS = 8
"""How many snapshots later they end."""
FRACTIONS = (100, 50, 20, 10, 5, 2)
"""Parts of an interval at which the figure shows the beginning of the last start's curve."""
SINGLE_LAYER_LEARNING_RATE = 0.1

CLAIM = Claim(
    id="weight-distance-grows",
    title="The distance between the weights of one run grows without a plateau",
    source="blog post, figure 3 right",
    statement=(
        "‖W_T − W_{T+Δ}‖ grows with Δ for every T, long after any Ornstein-Uhlenbeck process around a minimum would "
        "have come to rest at twice the trace of its covariance."
    ),
    predictions=tuple(
        prediction
        for start in STARTS
        for prediction in (
            Prediction(
                quantity=f"from snapshot {start}: rank correlation of distance and Δ",
                rule="increasing",
                expected=0.5,
                margin=0.0,
                reason="Half-way between no trend, which is 0, and a distance that never falls back, which is 1.",
            ),
            Prediction(
                quantity=f"from snapshot {start}: exponent of the squared distance in Δ",
                rule="at_least",
                expected=0.1,
                margin=0.0,
                reason=(
                    "0 is a plateau and 1 free diffusion. Around a minimum the distance can grow by 1% from 4.7/λₑ on, "
                    "an exponent of 0.005; 0.1, a quarter more at 8Δ, is not a bowl that is not quite quadratic."
                ),
            ),
        )
    ),
    controls=(
        Control(
            "settled",
            "Normalisation and depth: one hidden layer under weight decay settles around one minimum, so its weights "
            "are an Ornstein-Uhlenbeck process with relaxation times up to 1/λₑ.",
        ),
    ),
    replicas=Replicas(tiny=32, reduced=24, full=24),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    snapshots = {count * regime.interval for count in range(1, SNAPSHOTS + 1)}
    early = {STARTS[-1] * regime.interval + regime.interval // fraction for fraction in FRACTIONS}
    return {
        "run": setting.experiment(
            learning_rate=Constant(regime.learning_rate),
            weight_decay=Constant(regime.weight_decay),
            steps=SNAPSHOTS * regime.interval,
            observe=(Observe("weights", tuple(sorted(snapshots | early))),),
        )
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    run = recordings["run"]
    lags = run.experiment.steps // SNAPSHOTS * np.arange(1, LAGS + 1)
    for start in STARTS:
        distances = squared_distances(run, start, lags)
        yield increasing(CLAIM[f"from snapshot {start}: rank correlation of distance and Δ"], distances)
        exponents = np.polyfit(np.log(lags), np.log(distances).T, 1)[0]
        yield at_least(CLAIM[f"from snapshot {start}: exponent of the squared distance in Δ"], exponents)


def squared_distances(recording: Recording, start: int, lags: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """‖W_T − W_{T+Δ}‖² between a snapshot and each of some steps later, in units of ‖W_T‖²: [replica, lag]."""
    step = start * recording.experiment.steps // SNAPSHOTS
    origin = recording.at("weights", step).astype(np.float64)
    moved = [((recording.at("weights", step + lag) - origin) ** 2).sum(axis=1) for lag in lags]
    return np.stack(moved, axis=1) / (origin**2).sum(axis=1, keepdims=True)


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, (course, plateau) = new_figure(
        "Left, as the blog's figure 3: distances of one run grow from every snapshot. Right, from the last of the "
        "three: they go on growing where the process fitted to the first 5/λₑ, and the control, come to rest.",
        panels=2,
    )
    run, settled = recordings["run"], controls["settled"]["run"]
    interval = run.experiment.steps // SNAPSHOTS
    for start in STARTS:
        lags = interval * np.arange(SNAPSHOTS - start + 1)
        distances = np.sqrt(squared_distances(run, start, lags))
        draw_band(course, start * interval + lags, distances, f"T = {start * interval}")
    course.set(title="distance from W_T", xlabel="step", ylabel="‖W_T − W‖ / ‖W_T‖", ylim=(0, None))

    early = interval // np.array(FRACTIONS)
    lags = np.concatenate([early, interval * np.arange(1, LAGS + 1)])
    curves = {
        "normalised net": relative_to_interval(run, lags),
        "settled net (control)": relative_to_interval(settled, lags),
    }
    for label, curve in curves.items():
        draw_band(plateau, lags, curve, label)
    beginning = lags <= interval
    fit = fitted(lags[beginning], curves["normalised net"].mean(axis=0)[beginning], intrinsic(run))
    at = np.geomspace(lags[0], lags[-1])
    plateau.plot(at, ornstein_uhlenbeck_squared_distance(at, *fit), ":", color="black", label="fitted process")
    plateau.set(title="squared distance over that at 5/λₑ", xlabel="Δ in steps", xscale="log", ylim=(0, None))
    for axes in (course, plateau):
        axes.legend()
    return drawn


def relative_to_interval(recording: Recording, lags: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Squared distances from the last start in units of their mean at the distance of two snapshots, [replica, lag]."""
    interval = recording.experiment.steps // SNAPSHOTS
    unit = squared_distances(recording, STARTS[-1], np.array([interval])).mean()
    return squared_distances(recording, STARTS[-1], lags) / unit


def intrinsic(recording: Recording) -> float:
    """λₑ of a run at constant learning rate and weight decay."""
    experiment = recording.experiment
    return float((experiment.learning_rate.values(1) * experiment.weight_decay.values(1))[0])


def fitted(lags: npt.NDArray[np.int64], squared: npt.NDArray[np.float64], intrinsic: float) -> tuple[float, float]:
    """Relaxation time and plateau of the Ornstein-Uhlenbeck process nearest to squared distances [lag]."""
    relaxations = np.geomspace(1, 1 / intrinsic, 200)
    shapes = ornstein_uhlenbeck_squared_distance(lags, relaxations[:, None])
    plateaus = shapes @ squared / (shapes**2).sum(axis=1)
    best = np.argmin(((plateaus[:, None] * shapes - squared) ** 2).sum(axis=1))
    return float(relaxations[best]), float(plateaus[best])


def control_settled(setting: Setting) -> dict[str, Experiment]:
    single_layer = {
        "net": MLP((32,)),
        "norm": NoNorm(),
        "learning_rate": Constant(SINGLE_LAYER_LEARNING_RATE),
        "weight_decay": Constant(REGIMES[setting.scale].intrinsic / SINGLE_LAYER_LEARNING_RATE),
    }
    return {name: replace(one, **single_layer) for name, one in experiments(setting).items()}


def test_weight_distance_grows(trial):
    trial.must_reproduce()
