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

Each group is compared with the first, over the last quarter of the common phase; η/‖w‖² is not judged beside the norm,
as all have the same η then. Replica i of every group has the same frozen head, initial weights and batches, and is
compared with its like: what a net owes to these is noise to its schedule. At tiny the common λₑ = 0.0125 lasts for 5/λₑ
steps; at reduced, where the CNN learns Fashion-MNIST by the same schedules and takes longer to forget, for 12/λₑ.

At full the pieces are 4/λₑ each and the common phase 20/λₑ of the authors' later defaults, 128 epochs; the paper's 500
epochs would be 78/λₑ (--literal). γ relaxes at the rate 4λₑ, and the last quarter, from 15/λₑ on, begins later than the
common phase ends at either smaller scale. The last phase is 24 epochs: without weight decay nets no more than settle.

How nets forget is drawn, at every tenth of the first 1/λₑ common steps: as functions, too, by the squared distance
Σ_k (P_k − Q_k)² between the groups' class frequencies on the test images.
"""

from collections.abc import Sequence
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
    "full": Regime(learning_rate=0.8, intrinsic=4e-4, piece=26 * 390, common=128 * 390, last=24 * 390),
    "literal": Regime(learning_rate=0.8, intrinsic=4e-4, piece=125 * 390, common=500 * 390, last=100 * 390),
}
PIECES = 4
GENERATOR = np.random.default_rng(2020)
# Factors on the common learning rate and weight decay, [schedule, piece]: fixed, whatever seed the replicas have.
LEARNING_RATES = (5 ** GENERATOR.uniform(-1, 1, (5, PIECES))).tolist()
WEIGHT_DECAYS = (5 ** GENERATOR.uniform(-1, 1, (5, PIECES))).tolist()
SCHEDULES = [f"schedule {number}" for number in range(1, 6)]
FIRST, *OTHERS = SCHEDULES
SHORTENED = (FIRST, "schedule 4")
"""Those whose common phase is too short in the control: their last λₑ before it are ten times apart."""
DECAY = 0.1
SHOWN = 2.0
"""Until when the figure shows how they forget, in 1/λₑ common steps."""
MOMENTS, JUDGED, LAST_SNAPSHOTS = 10, 8, 4
"""Snapshots of the first 1/λₑ steps of the common phase; of its last quarter, which are averaged; of the last phase."""

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
            "The time to forget: the common phase of two schedules is cut to a tenth of 1/λₑ steps.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(24, 48, 96), reduced=(32, 64, 128), full=(16, 32)),
    question="Are random schedules forgotten once learning rate and weight decay are common?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; the common λₑ = 0.0125, 31 times that of the authors' later defaults; and "
            "in how the schedules are drawn, which is not known there."
        ),
        reduced=(
            "net and data, a CNN on Fashion-MNIST; the common λₑ = 0.0125, 31 times that of the authors' later "
            "defaults; and in how the schedules are drawn, which is not known there."
        ),
        full=(
            "how the schedules are drawn, which is not known there; in the common rates, the authors' later defaults; "
            "and in 104 epochs of schedules and 128 in common, 20/λₑ, in place of 500 and 500."
        ),
        literal=(
            "how the schedules are drawn, which is not known there; and in the common rates, the authors' later "
            "defaults."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    met, moment = PIECES * regime.piece, round(0.1 / regime.intrinsic)
    until = met + MOMENTS * moment
    between = regime.common // 4 // JUDGED
    judged = range(met + regime.common - (JUDGED - 1) * between, met + regime.common + 1, between)
    seen = (
        *range(met, until + 1, moment),
        *range(met + regime.common // 4, judged.start, regime.common // 8),
    )
    return {name: scheduled(setting, name, regime.common, seen, judged) for name in SCHEDULES}


def scheduled(setting: ilr.Setting, name: str, common: int, seen: Sequence[int], judged: range) -> ilr.Experiment:
    """One of the five schedules, followed by a common phase and the last one.

    Args:
        setting: the scale gives the rates.
        name: of the schedule.
        common: steps of the common phase.
        seen: snapshots of it that are drawn, steps.
        judged: its last JUDGED snapshots, steps.
    """
    regime = REGIMES[setting.regime]
    number = SCHEDULES.index(name)
    met = PIECES * regime.piece
    parted = met + common
    late = regime.last // LAST_SNAPSHOTS
    pieces = range(regime.piece, met, regime.piece)
    last = range(parted + late, parted + regime.last + 1, late)
    # The pieces, the common phase, the last one.
    lengths = (regime.piece,) * PIECES + (common,)
    weight_decay = regime.intrinsic / regime.learning_rate
    learning_rates = [regime.learning_rate * factor for factor in (*LEARNING_RATES[number], 1.0, DECAY)]
    weight_decays = [weight_decay * factor for factor in (*WEIGHT_DECAYS[number], 1.0, 0.0)]
    return setting.experiment(
        learning_rate=ilr.Phases(tuple(learning_rates), lengths),
        weight_decay=ilr.Phases(tuple(weight_decays), lengths),
        steps=parted + regime.last,
        observe=(
            *ilr.observe_all("test_accuracy", "weight_norm", at=(*pieces, *seen, *judged, *last)),
            ilr.Observe("train_accuracy", judged),
            ilr.Observe("test_predictions", (*seen, *judged)),
        ),
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    first = recordings[FIRST]
    for name in OTHERS:
        run = recordings[name]
        yield TRAINING.of(name), training_accuracy(run), training_accuracy(first)
        yield TEST.of(name), at_the_end(run, "test_accuracy"), at_the_end(first, "test_accuracy")
        yield NORM.of(name), at_the_end(run, "weight_norm"), at_the_end(first, "weight_norm")
        yield BEST.of(name), best_accuracy(run), best_accuracy(first)


def training_accuracy(recording: ilr.Recording) -> ilr.Group:
    """The mean over the judged snapshots, which are the only ones of it, [replica]."""
    return ilr.group(recording, recording["train_accuracy"].mean(axis=1))


def at_the_end(recording: ilr.Recording, quantity: str) -> ilr.Group:
    """The mean of a quantity over the last snapshots of the common phase, [replica]."""
    judged = recording[quantity][:, -LAST_SNAPSHOTS - JUDGED : -LAST_SNAPSHOTS]
    return ilr.group(recording, judged.mean(axis=1))


def best_accuracy(recording: ilr.Recording) -> ilr.Group:
    """The best test accuracy of the last phase, [replica]."""
    return ilr.group(recording, recording["test_accuracy"][:, -LAST_SNAPSHOTS:].max(axis=1))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    short = controls["common-phase-too-short"]
    drawn, (accuracy, norm, mixing) = ilr.new_figure(
        "First and second: means over replicas, with two standard errors as bands. Up to the first thin line each "
        "schedule has its own learning rate and weight decay, between the lines they are common, and after the "
        "second the learning rate is decayed and weight decay removed. Grey: two schedules whose common phase has a "
        "tenth of 1/λₑ steps (control). Third: squared distance, without bias, between the distributions of "
        "classifiers of each schedule and the first, from the first common step on.",
        panels=3,
    )
    for axes, quantity in ((accuracy, "test_accuracy"), (norm, "weight_norm")):
        for name, recording in recordings.items():
            ilr.draw_mean(axes, recording.steps(quantity), recording[quantity], name)
        for name in SHORTENED:
            cut = short[name]
            # What comes before its common phase is that of the claim's own run.
            seen = cut.steps(quantity) >= recordings[name].steps(quantity)[PIECES - 1]
            ilr.draw_mean(
                axes, cut.steps(quantity)[seen], cut[quantity][:, seen], f"{name}, cut short", **ilr.as_control()
            )
        for line in recordings[FIRST].steps(quantity)[[PIECES - 1, -LAST_SNAPSHOTS - 1]]:
            axes.axvline(line, color="black", linewidth=0.6)
    for number, name in enumerate(OTHERS, start=1):
        run = recordings[name]
        steps = run.steps("test_predictions")
        common = run.experiment.intrinsic_learning_rates()[steps[0]]
        distances = squared_distances(run, recordings[FIRST])
        mixing.plot(common * (steps - steps[0]), distances, color=f"C{number}", marker=".", label=name)
    accuracy.set(title="test accuracy", xlabel="step")
    accuracy.legend(loc="lower right")
    norm.set(title="‖w‖", xlabel="step", yscale="log")
    mixing.axhline(0.0, color="black", linewidth=0.6)
    mixing.set(title="squared distance from schedule 1", xlabel="λₑ × common step", xlim=(-0.05, SHOWN))
    mixing.legend()
    return drawn


def squared_distances(one: ilr.Recording, other: ilr.Recording) -> ilr.Array:
    """The squared distance of two groups of the same replicas at every step, without bias, [time]."""
    found = []
    for a, b in zip(*(run["test_predictions"].swapaxes(0, 1) for run in (one, other)), strict=True):  # [replica, image]
        across = ilr.agreement(a, b)
        terms = ilr.agreement(a, a) + ilr.agreement(b, b) - across - across.T  # [replica, replica]
        # What a net shares with its own twin is no property of the groups: only pairs of two replicas count.
        pairs = len(terms) * (len(terms) - 1) or np.nan
        found.append((terms.sum() - np.trace(terms)) / pairs)
    return np.array(found)


def control_common_phase_too_short(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.regime]
    met, between = PIECES * regime.piece, round(0.1 / regime.intrinsic / JUDGED)
    common = JUDGED * between
    judged = range(met + between, met + common + 1, between)
    short = {name: scheduled(setting, name, common, [met], judged) for name in SHORTENED}
    return {**experiments(setting), **short}


def test_schedules_are_forgotten(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
