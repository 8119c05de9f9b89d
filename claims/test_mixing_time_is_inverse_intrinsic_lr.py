"""The time to mix in function space is proportional to 1/λₑ.

What is known of mixing in parameter space, by bounds of Langevin's type, is exponential: a net that has to cross
barriers needs some e^(C/λₑ) steps to forget where it started. The paper conjectures that as a function a normalised
net mixes within O(1/λₑ) steps: nothing has to be crossed, weight decay and gradient noise only have to bring the
norm, hence the effective learning rate η/‖w‖², to its equilibrium. Review 1 asks for the plot of steps to
equilibrium against 1/λₑ.

We measure it at five λₑ over a factor of 16, in one experiment that changes its unit of time only. A net trains to
the equilibrium of λₑ = ηλ, whose last snapshots are what is to be reached again. Then it is cooled: η falls by 4 and
weight decay is off, until it has the function of a smaller learning rate. Then weight decay comes back, four times
as large. So λₑ is what it was, but γ = ‖w‖⁴/η² is 16 times too large. We count the steps that the squared distance
Σ_k (P_k − Q_k)² from the equilibrium's distribution over functions spends above a quarter of what it was when weight
decay came back: where it falls steadily, that is the step at which it gets there. Proportional to 1/λₑ is an
exponent of 1. A time exponential in 1/λₑ has an exponent that grows with 1/λₑ, so four times as large over the three
smallest λₑ as over the three largest: the two cannot both be near 1. Beside it stands the norm, for which theory has
a number: with constant gradient noise γ approaches its equilibrium at the rate 4λₑ. The function comes later than
that, as it still differs when γ is a few times too large.

η ∝ √λₑ puts the norm of the equilibrium near that of the initialisation, which would take long to forget at small λₑ.
The range of λₑ is that in which nets at equilibrium differ from cooled ones by more than noise: on the digits all make
the same few errors below 0.0025 and hardly learn above 0.04. A start at the equilibrium of a larger λₑ would not do:
when the learning rate then decays, half of the distance is gone at once. At full, the authors' later η = 0.8 and
λₑ = 0.0004 are in the middle of the range. The paper conjectures O(1/λₑ) and plots no time; each run of ours is 3.1/λₑ
long, as at the other scales, where the time that is measured is a fraction of 1/λₑ.

The distance is taken within one group, over pairs of different replicas: P from one snapshot and Q from another ask
for nothing but independence, so each replica serves for both. Replica i has the same frozen head, initial weights and
batches at all λₑ; a part of the replicas is left out of all groups at once to tell the error of an exponent.
"""

import math
from dataclasses import dataclass

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    largest: float
    """λₑ; the others are a half, a quarter, an eighth and a sixteenth of it."""
    unit: int
    """Steps between two observations of the course at the largest λₑ, 0.04/λₑ."""
    learning_rate: float
    """η at the largest λₑ."""


REGIMES = {
    "tiny": Regime(largest=0.04, unit=1, learning_rate=12.0),
    "reduced": Regime(largest=0.04, unit=1, learning_rate=4.0),
    "full": Regime(largest=1.6e-3, unit=25, learning_rate=1.6),
}
INVERSES = {"λₑ": 1, "λₑ/2": 2, "λₑ/4": 4, "λₑ/8": 8, "λₑ/16": 16}
"""By what the largest λₑ is divided, which is 1/λₑ in its units."""
COOLING = 4
EQUILIBRIUM, COOLED, END = 36, 48, 78
"""Until when the phases last, in units of time: about 1.4, 1.9 and 3.1 times 1/λₑ."""
TARGET = range(22, EQUILIBRIUM, 2)
"""The snapshots of the equilibrium that is to be reached again; the noise of single predictions is gone from one to the
next."""
SHARE = 1 / 4

EXPONENT = ilr.Prediction(
    quantity="exponent of the mixing time in 1/λₑ",
    rule="power_law",
    expected=1.0,
    margin=0.2,
    reason="Far from the exponents 1/2 and 3/2 of other laws; steps of 1 to 16 round the times, by a twentieth.",
)
OVER_THE_LARGEST = ilr.Prediction(
    quantity="exponent over the three largest λₑ",
    rule="power_law",
    expected=1.0,
    margin=0.5,
    reason="An exponential with 1/2 to 3/2 here has at least 2 over the three smallest.",
)
OVER_THE_SMALLEST = ilr.Prediction(
    quantity="exponent over the three smallest λₑ",
    rule="power_law",
    expected=1.0,
    margin=0.5,
    reason="An exponential with 1/2 to 3/2 here has at most 3/8 over the three largest.",
)
RELAXATION = ilr.Prediction(
    quantity="time until the excess of ‖w‖⁴/η² has fallen to a quarter, in 1/λₑ steps",
    rule="equivalence",
    expected=math.log(1 / SHARE) / 4,
    margin=0.07,
    reason="The rate 4 is for constant gradient noise; a fifth is left to its change on the way.",
)
CLAIM = ilr.Claim(
    id="mixing-time-is-inverse-intrinsic-lr",
    title="The mixing time is proportional to 1/λₑ, not exponential in it",
    source="review 1, question on figure 4; paper, fast equilibrium conjecture",
    statement=(
        "The steps until the distance to the equilibrium distribution over functions has fallen to a quarter are "
        "proportional to 1/λₑ, not exponential in it, and ‖w‖⁴/η² relaxes at the rate 4λₑ."
    ),
    predictions=(EXPONENT, OVER_THE_LARGEST, OVER_THE_SMALLEST, RELAXATION),
    controls=(
        ilr.Control(
            "times-of-other-rates",
            "The pairing: each time is set against the 1/λₑ of another run, in an order without any trend.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(32, 64, 128), reduced=(64, 128), full=(24, 48, 96)),
    question="Is the mixing time proportional to 1/λₑ, and not exponential in it?",
    differs=ilr.Differs(
        tiny=(
            "measuring what the paper conjectures and review 1 asks for, on an MLP and digits; λₑ from 0.0025 to 0.04; "
            "the start, a net that was cooled and not initialised; and the end, a quarter of the squared distance."
        ),
        reduced=(
            "measuring what the paper conjectures and review 1 asks for, on a CNN and Fashion-MNIST; λₑ from 0.0025 to "
            "0.04; the start, a net that was cooled and not initialised; and the end, a quarter of the squared "
            "distance."
        ),
        full=(
            "measuring what the paper conjectures and review 1 asks for; the five λₑ, with that of the authors' later "
            "defaults in the middle; the start, a net that was cooled and not initialised; and the end, a quarter of "
            "the squared distance."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    planned = {}
    for name, inverse in INVERSES.items():
        unit, learning_rate = regime.unit * inverse, regime.learning_rate / inverse**0.5
        weight_decay = regime.largest / inverse / learning_rate
        cooled_at, back_after = EQUILIBRIUM * unit, (COOLED - EQUILIBRIUM) * unit
        at = tuple(unit * time for time in (*TARGET, *range(COOLED, END + 1)))
        planned[name] = setting.experiment(
            learning_rate=ilr.Phases((learning_rate, learning_rate / COOLING), (cooled_at,)),
            weight_decay=ilr.Phases((weight_decay, 0.0, weight_decay * COOLING), (cooled_at, back_after)),
            steps=END * unit,
            observe=ilr.observe_all("test_predictions", "effective_learning_rate", at=at),
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    inverses = np.array(list(INVERSES.values()))
    runs = [recordings[name] for name in INVERSES]
    distances = [Distance(run) for run in runs]

    def mixing_time(group: ilr.Array) -> float:
        run, replicas = int(group[0, 0]), group[:, 1]
        return float(time_above_share(runs[run], distances[run].among(replicas)))

    # A distance is between the replicas of a group, so a group is made of their places: [replica, (run, replica)].
    groups = []
    for place, run in enumerate(runs):
        replicas = np.arange(run.experiment.replicas)
        groups.append(ilr.group(run, np.stack([np.full_like(replicas, place), replicas], axis=1)))
    yield EXPONENT, inverses, mixing_time, groups
    yield OVER_THE_LARGEST, inverses[:3], mixing_time, groups[:3]
    yield OVER_THE_SMALLEST, inverses[2:], mixing_time, groups[2:]
    yield RELAXATION, np.mean([relaxation_time(run) for run in runs], axis=0)


class Distance:
    """The squared distance of every snapshot from the equilibrium's distribution over functions."""

    def __init__(self, run: ilr.Recording) -> None:
        target, later = np.split(run["test_predictions"], [len(TARGET)], axis=1)
        snapshots = later.swapaxes(0, 1)  # [time, replica, image]
        # Agreements [time, replica, replica]: within a snapshot, within all of the target, between the two.
        within = np.stack([ilr.agreement(one, one) for one in snapshots])
        target_within = ilr.agreement(target, target)
        between = np.stack([ilr.agreement(target, one) for one in snapshots])
        self.terms = within + target_within - between - between.swapaxes(1, 2)

    def among(self, replicas: ilr.Array) -> ilr.Array:
        """Its estimate without bias from some of the replicas, [time]; NaN from a single one."""
        terms = self.terms[:, replicas[:, None], replicas]  # [time, replica, replica]
        n = len(replicas)
        pairs = n * (n - 1) or math.nan
        return np.asarray((terms.sum(axis=(1, 2)) - np.trace(terms, axis1=1, axis2=2)) / pairs)


def distance_of_all(run: ilr.Recording) -> ilr.Array:
    """The distance within a whole group, [time]."""
    return Distance(run).among(np.arange(run.experiment.replicas))


def time_above_share(run: ilr.Recording, course: ilr.Array) -> ilr.Array:
    """Steps that a course [..., time] from the cooled net on spends above SHARE of its start; NaN if it never falls so
    far.

    Counting them all, instead of looking for the first step below, lets noise lengthen the time as well as shorten it.
    """
    steps = run.steps("test_predictions")[len(TARGET) :]
    excess = course - SHARE * course[..., :1]
    before, after = excess[..., :-1], excess[..., 1:]
    # The part of each interval that the straight line between its ends spends above.
    above = (np.maximum(before, 0) + np.maximum(after, 0)) / (np.abs(before) + np.abs(after))
    return np.where((excess < 0).any(axis=-1), (above * np.diff(steps)).sum(axis=-1), np.nan)


def relaxation_time(run: ilr.Recording) -> ilr.Array:
    """The time γ takes to come within SHARE of its excess over the equilibrium, in 1/λₑ steps, [replica]."""
    gamma = run["effective_learning_rate"] ** -2.0
    excess = gamma[:, len(TARGET) :] - gamma[:, : len(TARGET)].mean(axis=1, keepdims=True)
    return time_above_share(run, excess) * intrinsic(run)


def intrinsic(run: ilr.Recording) -> float:
    """λₑ at the equilibrium, and again at the end."""
    return float(run.experiment.intrinsic_learning_rates()[0])


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (course, norm, law) = ilr.new_figure(
        "First: squared distance from the equilibrium's distribution of classifiers over what it was at the first "
        "step, against steps in units of 1/λₑ; the thin line is a quarter. Second: the excess of ‖w‖⁴/η² over its "
        "equilibrium, likewise; a thin line, the rate 4λₑ. Third: the plot that review 1 asks for, a dot a λₑ; the "
        "line is a proportionality, the dotted curve an exponential through the outermost dots; in the control, "
        "grey, each time stands at another run's λₑ.",
        panels=3,
    )
    times = []
    for name, run in recordings.items():
        steps = run.steps("test_predictions")[len(TARGET) :]
        since = intrinsic(run) * (steps - steps[0])
        distance = distance_of_all(run)
        gamma = np.median(run["effective_learning_rate"] ** -2.0, axis=0)
        excess = gamma[len(TARGET) :] - gamma[: len(TARGET)].mean()
        label = f"{name} = {intrinsic(run):g}"
        course.plot(since, distance / distance[0], label=label)
        norm.plot(since, excess / excess[0], label=label)
        times.append(time_above_share(run, distance))
    course.axhline(SHARE, color="black", linewidth=0.6)
    course.set(title="distance, share of its start", xlabel="λₑ × step")
    course.legend()
    norm.plot(since, np.exp(-4 * since), color="black", linestyle="-", linewidth=0.8, label="theory")
    norm.legend()
    norm.set(title="excess of ‖w‖⁴/η², share of its start", xlabel="λₑ × step")

    inverses = np.array([1 / intrinsic(run) for run in recordings.values()])
    law.loglog(inverses, times, linestyle="", marker="o", markersize=6, label="measured")
    # A control may have needed fewer replicas than the claim.
    shuffled = [time_above_share(run, distance_of_all(run)) for run in controls["times-of-other-rates"].values()]
    law.loglog(inverses, shuffled, **ilr.as_control(linestyle="", marker="x", markersize=6, label="shuffled (control)"))
    between = np.geomspace(inverses[0], inverses[-1])
    first, *_, last = times
    typical = np.exp(np.mean(np.log(np.asarray(times) / inverses)))
    law.loglog(between, typical * between, color="black", linestyle="-", linewidth=0.8, label="∝ 1/λₑ")
    growth = np.log(last / first) / (inverses[-1] - inverses[0])
    law.loglog(between, first * np.exp(growth * (between - inverses[0])), "k:", label="exponential in 1/λₑ")
    law.set(title="steps to a quarter of the distance", xlabel="1/λₑ")
    for axis in (law.xaxis, law.yaxis):
        ilr.ticks_at(axis, inverses)
    # Room for the legend above the largest time.
    law.set_ylim(inverses[0] / 2, inverses[-1] * 8)
    law.legend(loc="upper left")
    return drawn


def control_times_of_other_rates(setting: ilr.Setting) -> ilr.Experiments:
    planned = list(experiments(setting).values())
    # This order has the correlation 0 with the true one.
    return {name: planned[other] for name, other in zip(INVERSES, (1, 4, 2, 0, 3), strict=True)}


def test_mixing_time_is_inverse_intrinsic_lr(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
