"""Whatever the schedules were, some 1/λₑ steps at a common learning rate and weight decay make nets forget them.

If training mixes in function space within O(1/λₑ) steps, then where a net is depends on the last learning rate and
weight decay that it was held at long enough, not on the way it came. The norm forgets too: γ = ‖w‖⁴/η² relaxes at
the rate 4λₑ.

The paper's figure 5 trains PreResNet32 on CIFAR-10 by five random schedules of learning rate and weight decay for
500 epochs, then at one common pair: training and test accuracy, norm and effective learning rate agree. At epoch
1,000 the learning rate is decayed and weight decay removed, and all reach the same best test accuracy, about 95%.
How the schedules were drawn is not known. Ours have four pieces of equal length; each piece's learning rate and
weight decay lie within a factor of five of the common ones, independently and uniformly on a logarithmic scale,
drawn once and for all from a generator with the seed 2020.

The groups are independent, and each is compared with the first, over the last three snapshots of the common phase;
η/‖w‖² is not judged beside the norm, as all have the same η then. At tiny the common λₑ = 0.0125 lasts for 5/λₑ
steps: on exploratory seeds the schedules begin it 0.2 of test accuracy and a factor of six of effective learning rate
apart and end it within one percent in norm, a trace that is still there. With 64 replicas one seed in five left norms
undecided, hence 144. At reduced the CNN learns Fashion-MNIST by the same schedules, but the common phase lasts 12/λₑ
steps: after 5/λₑ of them, in a first reference report, best test accuracies were still up to 0.012 apart, on another
exploratory seed with 1,000 images instead of 5,000 no less. After 12/λₑ they are within 0.004. The reference report
is INCONCLUSIVE by the third schedule alone: accuracies at the end of the common phase are 0.014 ± 0.013 below the
first's, as they were on an exploratory seed, while norms and best accuracies agree. We believe that to be memory, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, Observe, Phases, Prediction, Replicas, Setting
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.means import equivalence_of_groups, ratio
from ilr.trials.plotting import new_figure

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """The common one."""
    intrinsic: float
    """Common, too."""
    piece: int
    """Steps of each piece of the random schedules."""
    common: int
    """Steps of the common phase."""
    last: int
    """Steps after it, at the decayed learning rate and without weight decay."""


SMALL = Regime(learning_rate=0.5, intrinsic=0.0125, piece=40, common=400, last=120)
REGIMES = {
    "tiny": SMALL,
    "reduced": replace(SMALL, common=960),
    "full": Regime(learning_rate=0.8, intrinsic=4e-4, piece=125 * 390, common=500 * 390, last=100 * 390),
}
PIECES = 4
# Factors on the common learning rate and weight decay, [schedule, piece]: fixed, whatever seed the replicas have.
GENERATOR = np.random.default_rng(2020)
LEARNING_RATES, WEIGHT_DECAYS = (5 ** GENERATOR.uniform(-1, 1, (5, PIECES)) for _ in range(2))
FIRST, *OTHERS = SCHEDULES = tuple(f"schedule {number}" for number in range(1, len(LEARNING_RATES) + 1))
DECAY = 0.1
SNAPSHOTS, LAST_SNAPSHOTS = 8, 4
"""Of the common phase and of the last one."""
JUDGED = 3
"""How many snapshots at the end of the common phase are averaged."""

CLAIM = Claim(
    id="schedules-are-forgotten",
    title="Random schedules are forgotten once learning rate and weight decay are common",
    source="paper, figure 5",
    statement=(
        "After five random schedules of learning rate and weight decay, a common pair makes training and test "
        "accuracy and the norm agree; then the learning rate is decayed, weight decay removed, and the "
        "best test accuracy is the same."
    ),
    predictions=tuple(
        prediction
        for name in OTHERS
        for prediction in (
            *(
                Prediction(
                    quantity=f"{name} less {FIRST}: {kind} accuracy at the end of the common phase",
                    rule="equivalence_of_groups",
                    expected=0.0,
                    margin=0.02,
                    reason="About what one net's accuracy changes by from snapshot to snapshot at such a λₑ.",
                )
                for kind in ("training", "test")
            ),
            Prediction(
                quantity=f"{name} / {FIRST}: norm of the weights at the end of the common phase",
                rule="ratio",
                expected=1.0,
                margin=0.025,
                reason="That is 5% of the effective learning rate; the schedules leave it several times apart.",
            ),
            Prediction(
                quantity=f"{name} less {FIRST}: best test accuracy after the decay",
                rule="equivalence_of_groups",
                expected=0.0,
                margin=0.01,
                reason="One percent, as the curves of such a figure are told apart by eye.",
            ),
        )
    ),
    controls=(
        Control(
            "common-phase-too-short",
            "The time to forget: the common phase is cut to a tenth of 1/λₑ steps.",
        ),
    ),
    replicas=Replicas(tiny=144, reduced=44, full=24),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    return scheduled(setting, REGIMES[setting.scale].common)


def scheduled(setting: Setting, common: int) -> dict[str, Experiment]:
    """The five schedules, each followed by so many common steps, which must be a multiple of SNAPSHOTS."""
    regime = REGIMES[setting.scale]
    met, parted = PIECES * regime.piece, PIECES * regime.piece + common
    at = (
        *range(regime.piece, met + 1, regime.piece),
        *range(met + common // SNAPSHOTS, parted + 1, common // SNAPSHOTS),
        *range(parted + regime.last // LAST_SNAPSHOTS, parted + regime.last + 1, regime.last // LAST_SNAPSHOTS),
    )
    lengths = (regime.piece,) * PIECES + (common,)
    weight_decay = regime.intrinsic / regime.learning_rate
    return {
        name: setting.experiment(
            group,
            learning_rate=phases(regime.learning_rate, (*learning_rates, 1.0, DECAY), lengths),
            weight_decay=phases(weight_decay, (*weight_decays, 1.0, 0.0), lengths),
            steps=parted + regime.last,
            observe=tuple(Observe(quantity, at) for quantity in ("train_accuracy", "test_accuracy", "weight_norm")),
        )
        for group, (name, learning_rates, weight_decays) in enumerate(
            zip(SCHEDULES, LEARNING_RATES.tolist(), WEIGHT_DECAYS.tolist(), strict=True)
        )
    }


def phases(common: float, factors: tuple[float, ...], lengths: tuple[int, ...]) -> Phases:
    """`common` times one factor after the other."""
    return Phases(tuple(Constant(common * factor) for factor in factors), lengths)


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    reference = recordings[FIRST]
    for name in OTHERS:
        for kind, quantity in {"training": "train_accuracy", "test": "test_accuracy"}.items():
            yield equivalence_of_groups(
                CLAIM[f"{name} less {FIRST}: {kind} accuracy at the end of the common phase"],
                *(at_the_end(recording, quantity) for recording in (recordings[name], reference)),
            )
        yield ratio(
            CLAIM[f"{name} / {FIRST}: norm of the weights at the end of the common phase"],
            *(at_the_end(recording, "weight_norm") for recording in (recordings[name], reference)),
        )
        yield equivalence_of_groups(
            CLAIM[f"{name} less {FIRST}: best test accuracy after the decay"],
            *(best_accuracy(recording) for recording in (recordings[name], reference)),
        )


def at_the_end(recording: Recording, quantity: str) -> Floats:
    """The mean of a quantity over the last snapshots of the common phase, [replica]."""
    return np.asarray(recording[quantity][:, PIECES + SNAPSHOTS - JUDGED : PIECES + SNAPSHOTS].mean(axis=1))


def best_accuracy(recording: Recording) -> Floats:
    """The best test accuracy of the last phase, [replica]."""
    return np.asarray(recording["test_accuracy"][:, -LAST_SNAPSHOTS:].max(axis=1))


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, (accuracy, norm, short) = new_figure(
        "As the paper's figure 5, means over replicas: five random schedules, then a common learning rate and weight "
        "decay (between the lines), then the learning rate decayed and weight decay removed. Right: the same with a "
        "common phase of a tenth of 1/λₑ steps, after which the schedules are remembered.",
        panels=3,
    )
    panels = {
        accuracy: (recordings, "test_accuracy", "test accuracy"),
        norm: (recordings, "weight_norm", "‖w‖"),
        short: (controls["common-phase-too-short"], "test_accuracy", "test accuracy, no time to forget"),
    }
    for axes, (runs, quantity, title) in panels.items():
        for name, recording in runs.items():
            axes.plot(recording.steps(quantity), recording[quantity].mean(axis=0), label=name)
        for line in recording.steps(quantity)[[PIECES - 1, PIECES + SNAPSHOTS - 1]]:
            axes.axvline(line, color="black", linewidth=0.6)
        axes.set(title=title, xlabel="step")
    norm.set_yscale("log")
    short.sharey(accuracy)
    accuracy.legend(loc="lower right")
    return drawn


def control_common_phase_too_short(setting: Setting) -> dict[str, Experiment]:
    snapshots = round(0.1 / REGIMES[setting.scale].intrinsic / SNAPSHOTS)
    return scheduled(setting, SNAPSHOTS * snapshots)


def test_schedules_are_forgotten(trial):
    trial.must_reproduce()
