"""A batch and a learning rate k times as large end in the same equilibrium, until steps are too large.

Along a run of small steps what counts is the noise, and that of a batch's mean gradient has a variance ∝ 1/B. The
linear scaling rule keeps η/B, so that an epoch adds as much gradient, with as much noise, in fewer steps. Weight decay
takes the same share of the weights in an epoch if λ stays as it is; λₑ = ηλ then grows with B. Reviews 2 and 3 ask what
the intrinsic learning rate says of the batch size, which the paper leaves out.

By the law η/‖w‖² = √(2λₑ/E‖ḡ‖²) the batch matters through E‖ḡ‖² alone, the second moment of its gradient at unit norm.
As long as that is nearly all noise, E‖ḡ‖² ∝ 1/B and with η ∝ B the effective learning rate grows in proportion to B:
per example it is the same, and so is the distribution over functions. It cannot go on. At equilibrium a step turns the
weights by √(2λₑ), whatever the batch, so there is a λₑ beyond which the weights turn too far between two looks at the
gradient. We look for it where the effective learning rate per example has fallen by a tenth below that of the batch we
scale from. The law itself must hold there as well, with the E‖ḡ‖² that is measured.

At tiny B = 32, η = 0.5, λ = 0.02 is scaled to 16, 64 and 128. Half a batch is as far as we go down: batch normalisation
over eight digits is another function than over 32, which has nothing to do with steps. Runs of all batches see as many
epochs. What a distance between functions means is measured in doublings of λₑ, on two groups of the batch that we scale
from, whose learning rates are ten times larger. Replica i has the same frozen head and initial weights in every group.

At reduced the MLP learns Fashion-MNIST from λₑ = 0.0025 on: at 0.01 scaling has ended there already. At full the
authors' later B = 128, η = 0.8 is scaled to 64, 256, 512 and 1,024, with ten times their weight decay: at their λₑ =
0.0004 only batches of ten thousand images would show where scaling ends. The paper has no such experiment; 10.7 epochs
are 17/λₑ, twice what tiny and reduced train for, and as the norm settles at the rate 4λₑ, what is judged, from 10/λₑ
on, has forgotten the start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    batch_size: int
    """From which we scale."""
    learning_rate: float
    """At that batch size."""
    intrinsic: float
    """λₑ at that batch size."""
    steps: int
    """At that batch size."""
    interval: int
    """Steps between two snapshots, at that batch size: 0.1/λₑ or more."""
    far: tuple[int, ...]
    """Multiples of the batch size, beyond twice, for the end of linear scaling."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Net, where it is not the scale's standard."""


REGIMES = {
    # At tiny the runs of the batch that we scale from are those of test_intrinsic_lr_decides.py: trained once for both.
    "tiny": Regime(32, learning_rate=0.5, intrinsic=0.01, steps=800, interval=25, far=(4,)),
    "reduced": Regime(
        32, learning_rate=0.5, intrinsic=0.0025, steps=3_200, interval=100, far=(4, 8, 16), trained={"net": ilr.MLP()}
    ),
    "full": Regime(128, learning_rate=0.8, intrinsic=0.004, steps=40 * 104, interval=104, far=(4, 8)),
}
SNAPSHOTS = 16
"""How many of the last snapshots are judged, together."""
REFERENCE = "B"
NEAR = {"B/2": 0.5, "2B": 2.0}
LARGER, DOUBLED = "B, 10η, λ/10", "B, 10η, λ/5"
SHORT = 0.1

DISTANCE = ilr.Prediction(
    quantity=f"{{}} / {REFERENCE}: distance, in doublings of λₑ",
    rule="nearer_than",
    expected=0.0,
    margin=0.5,
    reason="A batch and a learning rate that are both wrong by 2 must matter less than a λₑ that is wrong by √2.",
)
LAW = ilr.Prediction(
    quantity="{}: effective learning rate, as a multiple of √(2λₑ/E‖ḡ‖²)",
    rule="equivalence",
    expected=1.0,
    margin=0.05,
    reason=(
        "The theory leaves out that the norm fluctuates, an effect of order λₑ, which is 4% at most; a batch that is "
        "wrong by a factor of 2 would show as 40%."
    ),
)
NOISE = ilr.Prediction(
    quantity="exponent of E‖ḡ‖² in the batch size, B/2 to 2B",
    rule="power_law",
    expected=-1.0,
    margin=0.2,
    reason="The noise of a mean has −1; a gradient without noise would have 0.",
)
END = ilr.Prediction(
    quantity="λₑ at which the effective learning rate per example is a tenth too small",
    rule="equivalence",
    expected=0.0275,
    margin=0.0225,
    reason=(
        "From 0.005 to 0.05, where a step turns the weights by 0.1 to 0.3: where it turns them far less the equation "
        "for small steps must hold, and where far more, a step undoes what the last one learnt."
    ),
)
CLAIM = ilr.Claim(
    id="batch-size-linear-scaling",
    title="At equal η/B batches are equivalent, up to a λₑ of about a hundredth",
    source="review 2, question 1; review 3",
    statement=(
        "Batch size and learning rate scaled together, at the same weight decay, lead to the same distribution over "
        "functions while λₑ is small, and no longer beyond a λₑ between 0.005 and 0.05; the effective learning rate "
        "depends on the batch size through E‖ḡ‖² alone, which falls in proportion to it."
    ),
    predictions=(
        *ilr.for_each(NEAR, DISTANCE, LAW),
        *ilr.for_each(["largest B"], LAW),
        NOISE,
        END,
    ),
    controls=(
        ilr.Control(
            "same-learning-rate",
            "The scaling of the learning rate: half a batch and two batches are trained with the η of one.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(16, 32, 64, 128)),
    question="At equal η/B, are batches equivalent up to a λₑ of about a hundredth?",
    differs=ilr.Differs(
        tiny=(
            "measuring what reviews 2 and 3 ask for, on an MLP and digits; batches of 16 to 128 at λₑ from 0.005 to "
            "0.04."
        ),
        reduced=(
            "measuring what reviews 2 and 3 ask for, on an MLP and Fashion-MNIST; batches of 16 to 512 at λₑ from "
            "0.00125 to 0.04."
        ),
        full=(
            "measuring what reviews 2 and 3 ask for; batches of 64 to 1,024 at λₑ from 0.002 to 0.032, ten times the "
            "weight decay of the authors' later defaults, for 17/λₑ steps."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    larger = 10 * regime.learning_rate
    at = ilr.every(regime.interval, regime.steps, start=regime.interval)
    reference = setting.experiment(
        batch_size=regime.batch_size,
        learning_rate=regime.learning_rate,
        weight_decay=regime.intrinsic / larger * 10,
        steps=regime.steps,
        observe=(
            ilr.Observe("weight_norm", at),
            *ilr.observe_all("test_accuracy", "test_predictions", at=at[-SNAPSHOTS:]),
        ),
        **regime.trained,
    )
    planned = {
        REFERENCE: reference,
        LARGER: replace(reference, learning_rate=larger, weight_decay=regime.intrinsic / larger),
        DOUBLED: replace(reference, learning_rate=larger, weight_decay=2 * regime.intrinsic / larger),
    }
    for name, multiple in multiples(regime).items():
        planned[name] = scaled(reference, regime, multiple)
    return planned


def multiples(regime: Regime) -> dict[str, float]:
    """The batch sizes that are compared with the reference, as multiples of it."""
    return NEAR | {f"{multiple}B": float(multiple) for multiple in regime.far}


def scaled(reference: ilr.Experiment, regime: Regime, multiple: float) -> ilr.Experiment:
    """The reference's epochs with batch size and learning rate multiplied."""
    steps, interval = round(regime.steps / multiple), round(regime.interval / multiple)
    return replace(
        reference,
        batch_size=round(regime.batch_size * multiple),
        learning_rate=regime.learning_rate * multiple,
        steps=steps,
        observe=observed(steps, interval),
    )


def observed(steps: int, interval: int) -> tuple[ilr.Observe, ...]:
    """What runs of other batch sizes are looked at for: the function at the end, the law in their second half."""
    snapshots = range(steps - (SNAPSHOTS - 1) * interval, steps + 1, interval)
    settled = range(steps // 2, steps)
    return (
        *ilr.observe_all("weight_norm", "test_accuracy", "test_predictions", at=snapshots),
        *ilr.observe_all("effective_learning_rate", "gradient_second_moment", at=settled),
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    classes = {name: ilr.group(run, run["test_predictions"]) for name, run in recordings.items()}
    scaled = {name: run for name, run in recordings.items() if name not in (REFERENCE, LARGER, DOUBLED)}
    for name in NEAR:
        yield DISTANCE.of(name), classes[name], classes[REFERENCE], classes[LARGER], classes[DOUBLED]
        yield LAW.of(name), by_law(scaled[name])
    *_, largest = scaled.values()
    yield LAW.of("largest B"), by_law(largest)
    second_moments = [ilr.group(scaled[name], second_moment(scaled[name])) for name in NEAR]
    yield NOISE, list(NEAR.values()), np.mean, second_moments
    yield END, end_of_scaling(recordings)


def second_moment(recording: ilr.Recording) -> ilr.Array:
    """E‖ḡ‖² at equilibrium, [replica]."""
    return np.asarray(recording["gradient_second_moment"].astype(np.float64).mean(axis=1))


def by_law(recording: ilr.Recording) -> ilr.Array:
    """The effective learning rate at equilibrium, as a multiple of the theory's: [replica]."""
    law = ilr.theory.equilibrium_effective_learning_rate(intrinsic(recording), second_moment(recording))
    return np.asarray(recording["effective_learning_rate"].astype(np.float64).mean(axis=1) / law)


def intrinsic(recording: ilr.Recording) -> float:
    """λₑ."""
    return float(recording.experiment.intrinsic_learning_rates()[0])


def per_example(recording: ilr.Recording) -> ilr.Array:
    """The effective learning rate over the batch size, in the mean over the judged snapshots: [replica]."""
    squared_norm = recording["weight_norm"][:, -SNAPSHOTS:].astype(np.float64) ** 2
    batch_size = recording.experiment.batch_size
    assert batch_size is not None
    return np.asarray((recording.experiment.learning_rates()[0] / batch_size / squared_norm).mean(axis=1))


def end_of_scaling(recordings: ilr.Recordings) -> ilr.Array:
    """The λₑ at which the effective learning rate per example falls SHORT, on a line through its logarithm: [replica].

    Ten times the largest λₑ, where it nowhere does: an end that is not there must not look like one that is expected.
    """
    upwards = [run for name, run in recordings.items() if name not in (LARGER, DOUBLED, "B/2")]
    rates = np.log([intrinsic(run) for run in upwards])
    kept = np.stack([per_example(run) for run in upwards], axis=1)  # [replica, batch size]
    short = 1 - kept / kept[:, :1]
    ends = np.full(len(short), rates[-1] + np.log(10))
    for replica, course in enumerate(short):
        beyond = np.flatnonzero(course > SHORT)
        if len(beyond):
            first = beyond[0]
            share = (SHORT - course[first - 1]) / (course[first] - course[first - 1])
            ends[replica] = rates[first - 1] + share * (rates[first] - rates[first - 1])
    return np.asarray(np.exp(ends))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (kept, noise, distance) = ilr.new_figure(
        "Left: the effective learning rate per example with η ∝ B, relative to that of B, by λₑ; the thin line is a "
        "tenth below 1. Middle: E‖ḡ‖² by the batch size, and a line of slope −1 through B/2. Right: the distance of "
        "each batch size's functions from those of B, in doublings of λₑ, with η ∝ B and with the same η (control, "
        "grey); below the thin line is what the claim allows. In the first two one dot is a replica.",
        panels=3,
    )
    reference = per_example(recordings[REFERENCE])
    colours = {name: f"C{number}" for number, name in enumerate(n for n in recordings if n not in (LARGER, DOUBLED))}
    for name, colour in colours.items():
        run = recordings[name]
        relative = per_example(run) / reference
        kept.semilogx(np.full(len(relative), intrinsic(run)), relative, "o", color=colour, alpha=0.4, label=name)
    kept.axhline(1 - SHORT, color="black", linewidth=0.6)
    kept.set(title="(η/‖w‖²)/B, by that of B", xlabel="λₑ", ylim=(0, None))
    ilr.ticks_at(kept.xaxis, sorted(intrinsic(recordings[name]) for name in colours))
    kept.legend(loc="lower left")

    scaled = {name: recordings[name] for name in colours if name != REFERENCE}
    sizes = np.array([run.experiment.batch_size for run in scaled.values()], np.float64)
    for size, (name, run) in zip(sizes.tolist(), scaled.items(), strict=True):
        found = second_moment(run)
        noise.loglog(np.full(len(found), size), found, "o", color=colours[name], alpha=0.4, label=name)
    first = second_moment(scaled["B/2"]).mean()
    noise.loglog(sizes, first * sizes[0] / sizes, "-", color="black", linewidth=0.8, label="∝ 1/B")
    noise.set(title="E‖ḡ‖²", xlabel="batch size")
    ilr.ticks_at(noise.xaxis, sizes)
    noise.legend()

    places = np.log2([run.experiment.batch_size or 1 for run in scaled.values()])
    distance.plot(places, [doublings(recordings, name) for name in scaled], "o-", label="η ∝ B")
    same = controls["same-learning-rate"]
    distance.plot(
        places[: len(NEAR)], [doublings(same, name) for name in NEAR], "s", label="same η", **ilr.as_control()
    )
    distance.axhline(DISTANCE.margin, color="black", linewidth=0.6)
    distance.set(title="distance from B, in doublings of λₑ", xlabel="batch size", ylim=(0, None))
    distance.set_xticks(places, labels=[f"{size:g}" for size in sizes.tolist()])
    distance.legend()
    return drawn


def doublings(recordings: ilr.Recordings, name: str) -> float:
    """How far a batch size is from the reference, in doublings of λₑ; 0 where the estimate is negative."""
    unit = squared_distance(recordings[LARGER], recordings[DOUBLED])
    return float(np.sqrt(max(squared_distance(recordings[name], recordings[REFERENCE]) / unit, 0.0)))


def squared_distance(one: ilr.Recording, other: ilr.Recording) -> float:
    """The squared distance of two groups of the same replicas over all their snapshots, without bias."""
    a, b = one["test_predictions"], other["test_predictions"]  # [replica, snapshot, image]
    across = ilr.agreement(a, b)
    terms = ilr.agreement(a, a) + ilr.agreement(b, b) - across - across.T  # [replica, replica]
    # What a net shares with its own twin is no property of the groups: only pairs of two replicas count.
    pairs = len(terms) * (len(terms) - 1) or np.nan
    return float((terms.sum() - np.trace(terms)) / pairs)


def control_same_learning_rate(setting: ilr.Setting) -> ilr.Experiments:
    regime, planned = REGIMES[setting.scale], experiments(setting)
    for name in NEAR:
        planned[name] = replace(
            planned[name],
            learning_rate=regime.learning_rate,
            steps=regime.steps,
            observe=observed(regime.steps, regime.interval),
        )
    return planned


def test_batch_size_linear_scaling(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
