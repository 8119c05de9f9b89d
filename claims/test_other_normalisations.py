"""Group, layer, instance and weight normalisation come to the same equilibrium as batch normalisation.

The paper's theory asks of a net that its loss does not depend on the scale of its weights, and of nothing else; its
experiments all have batch normalisation. Reviews 2 and 3 ask for other normalisations. With a frozen head group norm,
layer norm and instance norm make a net scale-invariant as well, and none of them ties the examples of a batch together.
So does weight norm, which normalises no activation at all: review 4 takes it, with noise, for the better candidate.

We train a small net under each of the four and ask of each what the other claims ask of batch norm. The effective
learning rate is √(2λₑ/E‖ḡ‖²), and a step turns the weights by √(2λₑ). The learning rate does not matter at equal λₑ:
the distributions over functions at η and at η/10 are nearer than half a doubling of λₑ moves them. And equilibrium
comes back within a time proportional to 1/λₑ: a net at equilibrium is cooled by a learning rate four times smaller
without weight decay, then both come back with four times the weight decay, so that λₑ is what it was but ‖w‖⁴/η² is 16
times too large. We count the steps until the loss has come half-way back, at two λₑ, one a quarter of the other. It is
the loss of the steps' own batches, averaged over replicas, which costs nothing.

Instance norm needs maps: a hidden unit of an MLP would be normalised by itself. So it has a net of two convolutions,
and weight norm too, as there is one thing that weight norm does not do. Nothing keeps a unit's activations around zero:
one that the steps have turned away from all images has no gradient any more and never comes back. In an MLP of 32 units
a layer such units gather, at any λₑ that we tried from 0.005 to 0.04: the norm jumps by orders of magnitude and the
accuracy falls, on digits down to chance. Convolutions, which see every part of an image, live on. So equilibrium needs,
besides scale invariance, that gradients do not vanish, and we predict both.

Learning rates are small, so that the control, which has no normalisation and is not scale-invariant, does not diverge;
under a normalisation η and the scale of the initial weights are one (as test_learning_rate_is_initial_scale.py has it),
so what is cooled starts from a tenth of the usual weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import ilr

NORMS: Mapping[str, Any] = {
    "group norm": ilr.GroupNorm(2),
    "layer norm": ilr.LayerNorm(),
    "instance norm": ilr.InstanceNorm(),
    "weight norm": ilr.WeightNorm(),
}


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    net: ilr.MLP | ilr.CNN
    with_maps: ilr.CNN
    """The net for instance norm and weight norm."""
    learning_rate: float
    intrinsic: float
    """λₑ of the runs to equilibrium."""
    steps: int
    """Of the runs to equilibrium, 8/λₑ."""
    interval: int
    """Steps between two snapshots, 0.24/λₑ: enough for the noise of single predictions to be another one."""
    largest: float
    """Largest λₑ of the runs that are cooled."""
    unit: int
    """Steps between two points of their course at the largest λₑ, 0.04/λₑ."""
    cooled_rate: float
    """η of the run that is cooled at the largest λₑ."""
    data_of_maps: Mapping[str, Any] = field(default_factory=dict)
    """The data of that net, where it is not the scale's standard: smaller images, as its steps cost most."""


SMALL = Regime(
    net=ilr.MLP(), with_maps=ilr.CNN((8, 8)), learning_rate=0.1, intrinsic=0.02, steps=400, interval=12,
    largest=0.02, unit=2, cooled_rate=0.12,
)  # fmt: skip
FULL_NET = ilr.CNN((32, 32, 64, 64))
REGIMES = {
    "tiny": replace(SMALL, data_of_maps={"data": ilr.Data("digits", side=4)}),
    "reduced": replace(
        SMALL, data_of_maps={"data": ilr.Data("fashion-mnist", train=5_000, test=1_000, side=7)}
    ),
    "full": Regime(
        net=FULL_NET, with_maps=FULL_NET, learning_rate=0.1, intrinsic=1e-3, steps=8_000, interval=250,
        largest=2e-3, unit=20, cooled_rate=0.1,
    ),
}  # fmt: skip
SNAPSHOTS = 16
"""How many of the last snapshots are judged, together."""
RUN, SMALLER, REFERENCE, DOUBLED = "η", "η/10", "η/3", "η/3, 2λₑ"
INVERSES = {"cooled, λₑ": 1, "cooled, λₑ/4": 4}
"""By what the largest λₑ is divided."""
COOLING = 4
EQUILIBRIUM, COOLED, END = 75, 87, 125
"""Until when the phases of the cooled runs last, in units of time: 3, 3.5 and 5 times 1/λₑ."""
TARGET = 50
"""From this unit on the loss at equilibrium is taken, until the cooling begins."""
AROUND = 3
"""Units over which the course of the loss is averaged; so many of the last ones of the cooling are its start."""
SHARE = 1 / 2
DYING = "weight norm on an MLP"
DYING_AT, DYING_RATE, EARLY, LATE = 0.02, 0.1, 50, 800
"""λₑ and η of the MLP with weight norm, and the steps at which it is looked at: 1/λₑ and 16/λₑ."""

LAW = ilr.Prediction(
    quantity="{}: effective learning rate, as a multiple of √(2λₑ/E‖ḡ‖²)",
    rule="equivalence",
    expected=1.0,
    margin=0.05,
    reason=(
        "The theory leaves out that the norm fluctuates, an effect of order λₑ, 2%; a λₑ wrong by a factor of 2 would "
        "show as 40%."
    ),
)
ANGLE = ilr.Prediction(
    quantity="{}: root mean square angle of a step, as a multiple of √(2λₑ)",
    rule="equivalence",
    expected=1.0,
    margin=0.05,
    reason="As for the effective learning rate, which it measures without the gradient.",
)
DISTANCE = ilr.Prediction(
    quantity="{}, η/10 / η: distance, in doublings of λₑ",
    rule="nearer_than",
    expected=0.0,
    margin=0.5,
    reason="A learning rate ten times smaller must matter less than a λₑ that is wrong by √2.",
)
MIXING = ilr.Prediction(
    quantity="{}: exponent of the time until the loss is half-way back, in 1/λₑ",
    rule="power_law",
    expected=1.0,
    margin=0.5,
    reason="Half-way to a time that does not depend on λₑ, and to one that grows with its square.",
)
DEATH = ilr.Prediction(
    quantity=f"{DYING}: test accuracy at 16/λₑ less that at 1/λₑ",
    rule="at_most",
    expected=-0.05,
    margin=0.0,
    reason="A net that comes to equilibrium loses nothing; five images in a hundred are what one would notice.",
)
CLAIM = ilr.Claim(
    id="other-normalisations",
    title="Group, layer and instance norm come to the theory's equilibrium, weight norm where no units die",
    source="review 2, question 3; review 3; review 4, question 1",
    statement=(
        "Under group, layer and instance norm, and in a convolutional net under weight norm, the effective learning "
        "rate settles at √(2λₑ/E‖ḡ‖²), a step turns the weights by √(2λₑ), learning rates ten times apart end in the "
        "same distribution over functions at equal λₑ, and the time back to equilibrium is proportional to 1/λₑ. Under "
        "weight norm an MLP does not: it loses accuracy again."
    ),
    predictions=(*ilr.for_each(NORMS, LAW, ANGLE, DISTANCE, MIXING), DEATH),
    controls=(
        ilr.Control("no-normalisation", "Scale invariance: no layer is normalised, and the law has nothing to hold."),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64), reduced=(16, 32, 64), full=(16, 32, 64)),
    question="Do group, layer, instance and weight norm come to the theory's equilibrium?",
    differs=ilr.Differs(
        tiny=(
            "measuring what reviews 2, 3 and 4 ask for, on an MLP and digits, and on a CNN of two layers and digits at "
            "4×4; λₑ = 0.02, 50 times that of the authors' later defaults, and 0.005 for times."
        ),
        reduced=(
            "measuring what reviews 2, 3 and 4 ask for, on an MLP and Fashion-MNIST, and on a CNN of two layers and "
            "Fashion-MNIST at 7×7; λₑ = 0.02, 50 times that of the authors' later defaults, and 0.005 for times."
        ),
        full=(
            "measuring what reviews 2, 3 and 4 ask for, on a CNN of four layers, as instance norm leaves nothing of "
            "PreResNet32; λₑ = 0.001, 2.5 times that of the authors' later defaults, from 0.0005 to 0.002 for times."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    planned = {}
    for name, norm in NORMS.items():
        for run, experiment in {**to_equilibrium(setting, regime, norm), **cooled(setting, regime, norm)}.items():
            planned[f"{name}, {run}"] = experiment
    planned[DYING] = setting.experiment(
        net=ilr.MLP(),
        norm=ilr.WeightNorm(),
        learning_rate=DYING_RATE,
        weight_decay=DYING_AT / DYING_RATE,
        steps=LATE,
        observe=(ilr.Observe("test_accuracy", (EARLY, LATE)),),
    )
    return planned


def to_equilibrium(setting: ilr.Setting, regime: Regime, norm: Any) -> ilr.Experiments:
    """Runs at one λₑ, and one at twice that: what distances and the law are measured on."""
    at = range(regime.steps - (SNAPSHOTS - 1) * regime.interval, regime.steps + 1, regime.interval)
    settled = range(regime.steps // 2, regime.steps)
    third = regime.learning_rate / 3
    reference = setting.experiment(
        **net_of(regime, norm),
        norm=norm,
        learning_rate=third,
        weight_decay=regime.intrinsic / third,
        steps=regime.steps,
        observe=(ilr.Observe("test_predictions", at),),
    )
    run = replace(
        reference,
        learning_rate=regime.learning_rate,
        weight_decay=regime.intrinsic / regime.learning_rate,
        observe=(
            *reference.observe,
            *ilr.observe_all("effective_learning_rate", "gradient_second_moment", "step_angle", at=settled),
        ),
    )
    smaller = regime.learning_rate / 10
    return {
        RUN: run,
        SMALLER: replace(reference, learning_rate=smaller, weight_decay=regime.intrinsic / smaller),
        REFERENCE: reference,
        DOUBLED: replace(reference, weight_decay=2 * regime.intrinsic / third),
    }


def net_of(regime: Regime, norm: Any) -> dict[str, Any]:
    """The net that is trained under a norm, with its data where they are not the scale's standard."""
    if isinstance(norm, ilr.InstanceNorm | ilr.WeightNorm):
        return {"net": regime.with_maps, **regime.data_of_maps}
    return {"net": regime.net}


def cooled(setting: ilr.Setting, regime: Regime, norm: Any) -> ilr.Experiments:
    """Runs to equilibrium, away from it and back, at some λₑ: alike but for their unit of time."""
    planned = {}
    for name, inverse in INVERSES.items():
        # η ∝ √λₑ has the norm of all equilibria near that of the same start.
        unit, learning_rate = regime.unit * inverse, regime.cooled_rate / inverse**0.5
        weight_decay = regime.largest / inverse / learning_rate
        cooled_at, back_after = EQUILIBRIUM * unit, (COOLED - EQUILIBRIUM) * unit
        planned[name] = setting.experiment(
            **net_of(regime, norm),
            norm=norm,
            learning_rate=ilr.Phases((learning_rate, learning_rate / COOLING), (cooled_at,)),
            weight_decay=ilr.Phases((weight_decay, 0.0, weight_decay * COOLING), (cooled_at, back_after)),
            initial_scale=0.1,
            steps=END * unit,
            observe=(ilr.Observe("batch_loss", range(TARGET * unit, END * unit)),),
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for norm in NORMS:
        run = recordings[f"{norm}, {RUN}"]
        yield LAW.of(norm), by_law(run)
        yield ANGLE.of(norm), angle_by_law(run)
        names = (SMALLER, RUN, REFERENCE, DOUBLED)
        runs = [recordings[f"{norm}, {name}"] for name in names]
        yield DISTANCE.of(norm), *(ilr.group(one, one["test_predictions"]) for one in runs)
        courses = [ilr.group(one, course(one)) for one in cooled_runs(recordings, norm)]
        yield MIXING.of(norm), list(INVERSES.values()), steps_until_back, courses
    accuracy = recordings[DYING]["test_accuracy"]
    yield DEATH, accuracy[:, 1] - accuracy[:, 0]


def intrinsic(run: ilr.Recording) -> float:
    """λₑ of the first step."""
    return float(run.experiment.intrinsic_learning_rates()[0])


def by_law(run: ilr.Recording) -> ilr.Array:
    """The effective learning rate at equilibrium, as a multiple of the theory's: [replica]."""
    second_moment = run["gradient_second_moment"].astype(np.float64).mean(axis=1)
    law = ilr.theory.equilibrium_effective_learning_rate(intrinsic(run), second_moment)
    return np.asarray(run["effective_learning_rate"].astype(np.float64).mean(axis=1) / law)


def angle_by_law(run: ilr.Recording) -> ilr.Array:
    """The root mean square angle of a step, as a multiple of the theory's: [replica]."""
    angle = np.sqrt((run["step_angle"].astype(np.float64) ** 2).mean(axis=1))
    return np.asarray(angle / ilr.theory.equilibrium_step_angle(intrinsic(run), run.experiment.momentum))


def cooled_runs(recordings: ilr.Recordings, norm: str) -> list[ilr.Recording]:
    """The cooled runs of one norm, the largest λₑ first."""
    return [recordings[f"{norm}, {name}"] for name in INVERSES]


def course(run: ilr.Recording) -> ilr.Array:
    """The loss in the mean over each unit of time from TARGET on, and last the unit's steps: [replica, time + 1]."""
    loss = run["batch_loss"].astype(np.float64)
    unit = run.experiment.steps // END
    by_unit = loss.reshape(len(loss), END - TARGET, unit).mean(axis=2)
    return np.hstack([by_unit, np.full((len(loss), 1), unit)])


def way_back(courses: ilr.Array) -> ilr.Array:
    """How far a group's loss is from that at equilibrium since weight decay is back, as a share of its start."""
    loss = courses[:, :-1].mean(axis=0)
    equilibrium = loss[: EQUILIBRIUM - TARGET].mean()
    smooth = np.convolve(loss, np.full(AROUND, 1 / AROUND), mode="valid")  # [time], each begins AROUND units
    gap = equilibrium - smooth[COOLED - TARGET - AROUND :]
    # Where there is no gap there is no way back, and dividing by it must not be an error.
    return np.asarray(gap / gap[0] if gap[0] else np.ones_like(gap))


def steps_until_back(courses: ilr.Array) -> float:
    """Steps that a group's loss spends further than SHARE from equilibrium after the cooling.

    A loss that does not come back gets 1 at any λₑ: what is not there must not look like a proportionality.
    """
    excess = way_back(courses) - SHARE
    before, after = excess[:-1], excess[1:]
    if not (excess < 0).any():
        return 1.0
    # The part of each unit that the straight line between its ends spends above.
    apart = np.maximum(np.abs(before) + np.abs(after), np.finfo(np.float64).tiny)
    above = (np.maximum(before, 0) + np.maximum(after, 0)) / apart
    return float(above.sum() * courses[0, -1])


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (law, distance, back) = ilr.new_figure(
        "Left: the effective learning rate by the theory's, a dot a replica, and the range that is accepted. Middle: "
        "the distance of the functions at η/10 from those at η, in doublings of λₑ; below the thin line is what is "
        "accepted. Right: the loss's distance from that at equilibrium after the cooling, as a share of its start, "
        "against steps in units of 1/λₑ, one line a λₑ of the norm with that colour; the thin line is a half. The "
        "control, which has no normalisation, is grey.",
        panels=3,
    )
    control = controls["no-normalisation"]
    places = dict(enumerate(NORMS))
    for place, norm in places.items():
        without = by_law(control[f"{norm}, {RUN}"])
        found = by_law(recordings[f"{norm}, {RUN}"])
        law.semilogy(np.full(len(without), place), without, **ilr.as_control(linestyle="", marker="x"))
        law.semilogy(np.full(len(found), place), found, "o", color=f"C{place}", alpha=0.4, label=norm)
        distance.plot([place], [doublings(control, norm)], **ilr.as_control(linestyle="", marker="x"))
        distance.plot([place], [doublings(recordings, norm)], "o", color=f"C{place}", label=norm)
        for run in cooled_runs(recordings, norm):
            excess = way_back(course(run))
            since = intrinsic(run) * (run.experiment.steps // END) * np.arange(len(excess))
            label = norm if run is recordings[f"{norm}, {next(iter(INVERSES))}"] else None
            back.plot(since, excess, color=f"C{place}", linestyle="-", linewidth=0.8, label=label)
    ilr.draw_accepted(law, LAW)
    law.set(title="(η/‖w‖²) / √(2λₑ/E‖ḡ‖²)")
    distance.axhline(DISTANCE.margin, color="black", linewidth=0.6)
    distance.set(title="distance, in doublings of λₑ", ylim=(0, None))
    for axes in (law, distance):
        axes.set_xticks(list(places), labels=[norm.replace(" ", "\n") for norm in places.values()])
        axes.legend()
    back.axhline(SHARE, color="black", linewidth=0.6)
    back.set(title="loss, distance from equilibrium", xlabel="λₑ × step")
    back.legend()
    return drawn


def doublings(recordings: ilr.Recordings, norm: str) -> float:
    """How far the functions at η/10 are from those at η, in doublings of λₑ; 0 where the estimate is negative."""
    runs = {name: recordings[f"{norm}, {name}"] for name in (RUN, SMALLER, REFERENCE, DOUBLED)}
    unit = squared_distance(runs[REFERENCE], runs[DOUBLED])
    found = squared_distance(runs[SMALLER], runs[RUN])
    return float(np.sqrt(max(found / unit, 0.0))) if unit > 0 else np.nan


def squared_distance(one: ilr.Recording, other: ilr.Recording) -> float:
    """The squared distance of two groups of the same replicas over all their snapshots, without bias."""
    a, b = one["test_predictions"], other["test_predictions"]  # [replica, snapshot, image]
    across = ilr.agreement(a, b)
    terms = ilr.agreement(a, a) + ilr.agreement(b, b) - across - across.T  # [replica, replica]
    # What a net shares with its own twin is no property of the groups: only pairs of two replicas count.
    pairs = len(terms) * (len(terms) - 1) or np.nan
    return float((terms.sum() - np.trace(terms)) / pairs)


def control_no_normalisation(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), norm=ilr.NoNorm())


def test_other_normalisations(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
