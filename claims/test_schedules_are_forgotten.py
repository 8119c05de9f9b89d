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
steps; at reduced, where the CNN learns Fashion-MNIST by the same schedules and takes longer to forget, for 12/λₑ.
"""

from dataclasses import dataclass, replace

import numpy as np

import ilr


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
GENERATOR = np.random.default_rng(2020)
# Factors on the common learning rate and weight decay, [schedule, piece]: fixed, whatever seed the replicas have.
LEARNING_RATES = (5 ** GENERATOR.uniform(-1, 1, (5, PIECES))).tolist()
WEIGHT_DECAYS = (5 ** GENERATOR.uniform(-1, 1, (5, PIECES))).tolist()
SCHEDULES = [f"schedule {number}" for number in range(1, 6)]
FIRST, *OTHERS = SCHEDULES
DECAY = 0.1
SNAPSHOTS, LAST_SNAPSHOTS = 8, 4
"""Of the common phase and of the last one."""
JUDGED = slice(PIECES + SNAPSHOTS - 3, PIECES + SNAPSHOTS)
"""The snapshots at the end of the common phase that are averaged."""

TRAINING = ilr.Prediction(
    quantity=f"{{}} less {FIRST}: training accuracy at the end of the common phase",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.02,
    reason="About what one net's accuracy changes by from snapshot to snapshot at such a λₑ.",
)
TEST = replace(TRAINING, quantity=f"{{}} less {FIRST}: test accuracy at the end of the common phase")
NORM = ilr.Prediction(
    quantity=f"{{}} / {FIRST}: norm of the weights at the end of the common phase",
    rule="ratio",
    expected=1.0,
    margin=0.025,
    reason="That is 5% of the effective learning rate; the schedules leave it several times apart.",
)
BEST = ilr.Prediction(
    quantity=f"{{}} less {FIRST}: best test accuracy after the decay",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent, as the curves of such a figure are told apart by eye.",
)
CLAIM = ilr.Claim(
    id="schedules-are-forgotten",
    title="Random schedules are forgotten once learning rate and weight decay are common",
    source="paper, figure 5",
    statement=(
        "After five random schedules of learning rate and weight decay, a common pair makes training and test "
        "accuracy and the norm agree; then the learning rate is decayed, weight decay removed, and the "
        "best test accuracy is the same."
    ),
    predictions=ilr.for_each(OTHERS, TRAINING, TEST, NORM, BEST),
    controls=(
        ilr.Control(
            "common-phase-too-short",
            "The time to forget: the common phase is cut to a tenth of 1/λₑ steps.",
        ),
    ),
    replicas=ilr.Replicas(tiny=144, reduced=44, full=24),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    return scheduled(setting, REGIMES[setting.scale].common)


def scheduled(setting: ilr.Setting, common: int) -> ilr.Experiments:
    """The five schedules, each followed by so many common steps, which must be a multiple of SNAPSHOTS."""
    regime = REGIMES[setting.scale]
    met = PIECES * regime.piece
    parted = met + common
    steps = parted + regime.last
    between, late = common // SNAPSHOTS, regime.last // LAST_SNAPSHOTS
    at = (
        *range(regime.piece, met + 1, regime.piece),
        *range(met + between, parted + 1, between),
        *range(parted + late, steps + 1, late),
    )
    lengths = (regime.piece,) * PIECES + (common,)
    planned = {}
    for group, name in enumerate(SCHEDULES):
        # The pieces, the common phase, the last one.
        learning_rates = [regime.learning_rate * factor for factor in (*LEARNING_RATES[group], 1.0, DECAY)]
        weight_decay = regime.intrinsic / regime.learning_rate
        weight_decays = [weight_decay * factor for factor in (*WEIGHT_DECAYS[group], 1.0, 0.0)]
        planned[name] = setting.experiment(
            group,
            learning_rate=ilr.Phases(tuple(learning_rates), lengths),
            weight_decay=ilr.Phases(tuple(weight_decays), lengths),
            steps=steps,
            observe=ilr.observe_all("train_accuracy", "test_accuracy", "weight_norm", at=at),
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    first = recordings[FIRST]
    for name in OTHERS:
        run = recordings[name]
        yield TRAINING.of(name), at_the_end(run, "train_accuracy"), at_the_end(first, "train_accuracy")
        yield TEST.of(name), at_the_end(run, "test_accuracy"), at_the_end(first, "test_accuracy")
        yield NORM.of(name), at_the_end(run, "weight_norm"), at_the_end(first, "weight_norm")
        yield BEST.of(name), best_accuracy(run), best_accuracy(first)


def at_the_end(recording: ilr.Recording, quantity: str) -> ilr.Array:
    """The mean of a quantity over the last snapshots of the common phase, [replica]."""
    return np.asarray(recording[quantity][:, JUDGED].mean(axis=1))


def best_accuracy(recording: ilr.Recording) -> ilr.Array:
    """The best test accuracy of the last phase, [replica]."""
    return np.asarray(recording["test_accuracy"][:, -LAST_SNAPSHOTS:].max(axis=1))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (accuracy, norm, short) = ilr.new_figure(
        "As the paper's figure 5, means over replicas: five random schedules, then a common learning rate and weight "
        "decay (between the lines), then the learning rate decayed and weight decay removed. Right: the same with a "
        "common phase of a tenth of 1/λₑ steps, after which the schedules are remembered.",
        panels=3,
    )
    draw_means(accuracy, recordings, "test_accuracy")
    draw_means(norm, recordings, "weight_norm")
    draw_means(short, controls["common-phase-too-short"], "test_accuracy")
    accuracy.set(title="test accuracy", xlabel="step")
    accuracy.legend(loc="lower right")
    norm.set(title="‖w‖", xlabel="step", yscale="log")
    short.set(title="test accuracy, no time to forget", xlabel="step")
    short.sharey(accuracy)
    return drawn


def draw_means(axes: ilr.Axes, recordings: ilr.Recordings, quantity: str) -> None:
    """The mean over replicas of a quantity for every schedule, with lines where the common phase begins and ends."""
    for name, recording in recordings.items():
        axes.plot(recording.steps(quantity), recording[quantity].mean(axis=0), label=name)
    for line in recordings[FIRST].steps(quantity)[[PIECES - 1, PIECES + SNAPSHOTS - 1]]:
        axes.axvline(line, color="black", linewidth=0.6)


def control_common_phase_too_short(setting: ilr.Setting) -> ilr.Experiments:
    snapshots = round(0.1 / REGIMES[setting.scale].intrinsic / SNAPSHOTS)
    return scheduled(setting, SNAPSHOTS * snapshots)


def test_schedules_are_forgotten(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
