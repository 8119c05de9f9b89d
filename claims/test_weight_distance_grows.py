"""The distance between the weights of one run at two moments grows with the time between them, without a plateau.

If training had settled around a minimum, the weights would be an Ornstein-Uhlenbeck process about it (suggested by
Izmailov et al. 2018), and E‖W_T − W_{T+Δ}‖² would come to rest at twice the trace of its covariance. How soon? Around
a minimum the Hessian has no negative eigenvalue and weight decay adds λ to each, so no direction relaxes more slowly
than in 1/(ηλ) = 1/λₑ steps: whatever the noise and however many time scales there are, from Δ = m/λₑ on the squared
distance can grow by the factor 1/(1 − e⁻ᵐ) at most, 1.007 for m = 5. The blog's figure 3 shows for a ResNet on
CIFAR-10 that it grows with Δ for every T instead, on runs ten times longer than usual.

We take snapshots about 5/λₑ apart, up to some 80/λₑ, at the ends of epochs, since a sampler without replacement makes
noise of its own within them. From three of them on we look at the distances to the next eight. λₑ = 0.01 is large
enough for so many 1/λₑ to fit into a run; the norm has long come to rest (rate 4λₑ) and so has the function the nets
compute. On exploratory seeds the squared distance grows by 2.2 from the first start and by 1.5 from the last, far
below that of independent weights, 2‖W‖²: it grows like a logarithm, and more slowly the older the run. At λₑ = 0.1,
where the nets hardly learn, there is a plateau, at 2‖W‖².

The control is such a process: a net with one hidden layer and no normalisation, at the same η·λ, settles close to one
minimum, and its distances do not grow from 5/λₑ on. (With three hidden layers it would still drift.) Runs end before
87/λₑ: there the weights of its dead units, which only decay, underflow in float32 and come to life again.

The Ornstein-Uhlenbeck curve in the figure is fitted to the first 5/λₑ of the last start.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import MLP, Claim, Constant, Control, Experiment, NoNorm, Observe, Prediction, Replicas, Setting
from ilr.figures import draw_band, new_figure
from ilr.recording import Recording
from ilr.standard import Scale
from ilr.statistics import at_least, increasing
from ilr.theory import intrinsic_learning_rate, ornstein_uhlenbeck_squared_distance
from ilr.verdicts import Finding


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
STARTS = (1, 5, 9)
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
                quantity=f"from snapshot {start}: growth of the squared distance from Δ to {LAGS}Δ",
                rule="at_least",
                expected=1.25,
                margin=0.0,
                reason=(
                    "Around a minimum it grows by 1% at most from 4.7/λₑ on; 25% is beyond what a slightly curved "
                    "bowl or the last of the drift towards it could add."
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
    replicas=Replicas(tiny=24, reduced=24, full=24),
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
    interval = run.experiment.steps // SNAPSHOTS
    for start in STARTS:
        distances = squared_distances(run, start, interval * np.arange(1, LAGS + 1))
        yield increasing(CLAIM[f"from snapshot {start}: rank correlation of distance and Δ"], distances)
        growth = distances[:, -1] / distances[:, 0]
        yield at_least(CLAIM[f"from snapshot {start}: growth of the squared distance from Δ to {LAGS}Δ"], growth)


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
    for label, recording in {"normalised net": run, "settled net (control)": settled}.items():
        draw_band(plateau, lags, squared_distances(recording, STARTS[-1], lags), label)
    beginning = np.append(early, interval)
    fit = fitted(beginning, squared_distances(run, STARTS[-1], beginning).mean(axis=0), intrinsic(run))
    drawn_at = np.geomspace(lags[0], lags[-1])
    plateau.plot(
        drawn_at, ornstein_uhlenbeck_squared_distance(drawn_at, *fit), ":", color="black", label="fitted process"
    )
    plateau.set(title="squared distance, by Δ", xlabel="Δ in steps", xscale="log", yscale="log")
    for axes in (course, plateau):
        axes.legend()
    return drawn


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
