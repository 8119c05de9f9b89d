"""A learning rate that is dropped before equilibrium keeps the memory of the start; dropped after it, it does not.

Usual schedules divide the learning rate by ten after so many epochs, whether or not the net has come to equilibrium by
then. Review 1 (question 3) asks what happens if it has not, and (question 4) whether a large or a small learning rate
before the drop is better for what one gets right after it.

By dγ/dt = −4λₑγ + 2E‖ḡ‖², γ = ‖w‖⁴/η², what two starts leave of their difference falls as e^(−4λₑt) in t steps. After
the drop λₑ is ten times smaller, and so is the rate: what is remembered at the drop is remembered long. We train from
two starts, the usual initial weights and a quarter of them, which makes the effective learning rates η/‖w‖² 16 times
apart, and divide η by ten after t = 0.05, 0.2, 1 and 5 times 1/λₑ steps. All are looked at up to a tenth of the new
1/λₑ steps later. For constant noise theory leaves the effective learning rates apart by some factors of 6 and more
after t = 0.05 and 0.2, and equal after t = 5; t = 1 lies between, where it depends on the net how much is left. The
test accuracy soon after the drop, which we judge, is apart after early drops, too; which start is ahead theory does not
say. On the digits it is the small one, at reduced the usual one.

What is better? From the usual start, a net that is dropped later is better right after the drop: each has the same
steps from there on, so the time before the drop is not lost. And of three learning rates before the drop, each at its
own equilibrium and dropped to the same value, the smallest one is best right after it. The largest leaves the largest
norm, η/‖w‖² after the drop is the smallest then, and that net, the worst at the drop, is also the slowest to learn
after it.

Replica i has the same frozen head, initial weights but for their scale, and batches in all groups, which are compared
pair by pair. At full η = 0.8, λ = 5·10⁻⁴ and the division by ten are the authors' later defaults; t = 5 is epoch 32
then.
"""

from dataclasses import dataclass

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """Learning rate before the drop, and weight decay."""

    learning_rate: float
    weight_decay: float

    @property
    def unit(self) -> int:
        """1/λₑ steps, before the drop."""
        return round(1 / (self.learning_rate * self.weight_decay))


REGIMES = {"tiny": Regime(0.5, 0.02), "reduced": Regime(0.5, 0.02), "full": Regime(0.8, 5e-4)}
FACTOR = 10
TIMES = {"t = 0.05": 0.05, "t = 0.2": 0.2, "t = 1": 1.0, "t = 5": 5.0}
"""Of the drop, in 1/λₑ steps."""
*BEFORE_LATE, LATE = TIMES
EARLY = BEFORE_LATE[:2]
STARTS = {"usual start": 1.0, "start / 4": 0.25}
USUAL, SMALL = STARTS
LARGER = {"4η": 4.0, "2η": 2.0}
"""Larger learning rates before a late drop to the same one."""
LOOKS = tuple(percent / 100 for percent in range(11))
"""Times after the drop, in steps of the new 1/λₑ."""
SOON = 6
"""How many of the last looks are judged, together: one accuracy is noisier than their mean."""
NEAR = 0.01

REMEMBERED = ilr.Prediction(
    quantity=f"dropped at {{}}: effective learning rate, {SMALL} by {USUAL}",
    rule="at_least",
    expected=1.5,
    margin=0.0,
    reason="They start 16 apart; where the start is forgotten it is 1, and a λₑ that is wrong by 2 makes 1.4.",
)
APART = ilr.Prediction(
    quantity=f"dropped at {{}}: test accuracy soon after, {SMALL} and {USUAL} apart, in either direction",
    rule="at_least",
    expected=NEAR,
    margin=0.0,
    reason="As much as is allowed where the start is forgotten; one net differs from itself by half as much.",
)
FORGOTTEN = ilr.Prediction(
    quantity=f"dropped at {{}}: effective learning rate, {SMALL} by {USUAL}",
    rule="equivalence",
    expected=1.0,
    margin=0.1,
    reason="e⁻²⁰ of the difference in γ is left by then; a λₑ that is wrong by a fifth makes 1.1.",
)
ALIKE = ilr.Prediction(
    quantity=f"dropped at {{}}: test accuracy soon after, {SMALL} less {USUAL}",
    rule="equivalence",
    expected=0.0,
    margin=NEAR,
    reason=(
        "One percent is what one would tune a schedule for. It is asked of the mean: of a thousand test images one net "
        "gets that much more or less by chance."
    ),
)
LATER_IS_BETTER = ilr.Prediction(
    quantity=f"{USUAL}, dropped at {LATE} in place of {{}}: gain of the best test accuracy right after the drop",
    rule="at_least",
    expected=0.0,
    margin=0.0,
    reason="The question is which is better, not by how much.",
)
SMALLER_IS_BETTER = ilr.Prediction(
    quantity="η before the drop in place of {}: gain of the best test accuracy right after it",
    rule="at_least",
    expected=0.0,
    margin=0.0,
    reason="As before: the question is which is better.",
)
CLAIM = ilr.Claim(
    id="drop-before-equilibrium",
    title="A drop of the learning rate before equilibrium keeps the memory of the start",
    source="review 1, questions 3 and 4",
    statement=(
        "Where the learning rate is dropped within a fraction of 1/λₑ steps, the start shows in the effective learning "
        "rate and in the test accuracy after the drop; after 5/λₑ steps it does not. Right after the drop nets are "
        "the better the later they are dropped, and the smaller their learning rate was before it."
    ),
    predictions=(
        *ilr.for_each(EARLY, REMEMBERED, APART),
        *ilr.for_each([LATE], FORGOTTEN, ALIKE),
        *ilr.for_each(BEFORE_LATE, LATER_IS_BETTER),
        *ilr.for_each(LARGER, SMALLER_IS_BETTER),
    ),
    controls=(
        ilr.Control(
            "dropped-at-equilibrium",
            "The early drop: from both starts the learning rate is dropped after 5/λₑ steps, whenever it was to be.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(32, 64, 128), reduced=(32, 64, 128), full=(32, 64)),
    question="Does a drop of the learning rate before equilibrium keep the memory of the start?",
    differs=ilr.Differs(
        tiny=(
            "measuring what review 1 asks for, on an MLP and digits; λₑ = 0.01 before the drop, 25 times that of the "
            "authors' later defaults; the two starts are ours."
        ),
        reduced=(
            "measuring what review 1 asks for, on a CNN and Fashion-MNIST; λₑ = 0.01 before the drop, 25 times that of "
            "the authors' later defaults; the two starts are ours."
        ),
        full=(
            "measuring what review 1 asks for; the rates and the drop are those of the authors' later defaults, the "
            "two starts and the times of the drop ours."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    planned = {}
    for time, units in TIMES.items():
        for start in STARTS:
            planned[named(time, start)] = dropped(setting, units, start)
    for name, multiple in LARGER.items():
        planned[name] = dropped(setting, TIMES[LATE] / multiple, USUAL, multiple)
    return planned


def named(time: str, start: str) -> str:
    """The name of an experiment."""
    return f"{time}, {start}"


def dropped(setting: ilr.Setting, units: float, start: str, multiple: float = 1.0) -> ilr.Experiment:
    """A run whose learning rate is dropped.

    Args:
        setting: the scale gives the rates.
        units: time of the drop, in 1/λₑ steps of the regime.
        start: which of the starts.
        multiple: of the regime's learning rate, before the drop; after it all have the same.
    """
    regime = REGIMES[setting.scale]
    drop = round(units * regime.unit)
    looks = tuple(drop + round(FACTOR * regime.unit * look) for look in LOOKS)
    return setting.experiment(
        learning_rate=ilr.Phases((multiple * regime.learning_rate, regime.learning_rate / FACTOR), (drop,)),
        weight_decay=regime.weight_decay,
        initial_scale=STARTS[start],
        steps=looks[-1],
        observe=ilr.observe_all("test_accuracy", "effective_learning_rate", at=looks),
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for time in EARLY:
        yield REMEMBERED.of(time), apart(recordings, time).mean(axis=1)
        yield APART.of(time), np.abs(lead_soon_after(recordings, time))
    yield FORGOTTEN.of(LATE), apart(recordings, LATE).mean(axis=1)
    yield ALIKE.of(LATE), lead_soon_after(recordings, LATE)
    late = best(recordings[named(LATE, USUAL)])
    for time in BEFORE_LATE:
        yield LATER_IS_BETTER.of(time), late - best(recordings[named(time, USUAL)])
    for name in LARGER:
        yield SMALLER_IS_BETTER.of(name), late - best(recordings[name])


def apart(recordings: ilr.Recordings, time: str) -> ilr.Array:
    """The effective learning rate from the small start by that from the usual one, at each look: [replica, look]."""
    small, usual = (recordings[named(time, start)]["effective_learning_rate"] for start in (SMALL, USUAL))
    return np.asarray(small.astype(np.float64) / usual)


def lead_soon_after(recordings: ilr.Recordings, time: str) -> ilr.Array:
    """Test accuracy from the small start less that from the usual one, in the mean of the last looks: [replica]."""
    accuracy = {}
    for start in STARTS:
        accuracy[start] = recordings[named(time, start)]["test_accuracy"][:, -SOON:].mean(axis=1)
    return np.asarray(accuracy[SMALL] - accuracy[USUAL])


def best(recording: ilr.Recording) -> ilr.Array:
    """The best test accuracy from the drop on, [replica]."""
    return np.asarray(recording["test_accuracy"].max(axis=1))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (memory, early, before) = ilr.new_figure(
        "Left: the ratio of the two starts' effective learning rates from the drop on, by the time t of the drop in "
        "1/λₑ steps; grey: the control, dropped at t = 5. Middle: test accuracy from the usual start (lines) and from "
        "a quarter of it (dotted, same colours). Right: test accuracy from three learning rates before a drop to one "
        "and the same. Lines are means over replicas.",
        panels=3,
    )
    lines = []
    for number, time in enumerate(TIMES):
        ilr.draw_band(memory, LOOKS, apart(recordings, time), time)
        usual, small = (recordings[named(time, start)]["test_accuracy"].mean(axis=0) for start in (USUAL, SMALL))
        lines += early.plot(LOOKS, usual, "-", color=f"C{number}", label=time)
        early.plot(LOOKS, small, ":", color=f"C{number}", label=f"{time}, {SMALL}")
    late = apart(controls["dropped-at-equilibrium"], EARLY[0]).mean(axis=0)
    memory.plot(LOOKS, late, label="control", **ilr.as_control(linestyle="--"))
    memory.axhline(1.0, color="black", linewidth=0.6)
    memory.set(title=f"η/‖w‖², {SMALL} by {USUAL}", xlabel="λₑ′ × step after the drop", yscale="log")
    memory.legend()
    early.set(title="test accuracy", xlabel="λₑ′ × step after the drop")
    for name in (*LARGER, named(LATE, USUAL)):
        label = name if name in LARGER else "η"
        ilr.draw_band(before, LOOKS, recordings[name]["test_accuracy"], f"{label} before the drop")
    before.set(title="test accuracy", xlabel="λₑ′ × step after the drop")
    early.legend(handles=lines, loc="lower right")
    before.legend(loc="lower right")
    return drawn


def control_dropped_at_equilibrium(setting: ilr.Setting) -> ilr.Experiments:
    planned = experiments(setting)
    for time in EARLY:
        for start in STARTS:
            planned[named(time, start)] = planned[named(LATE, start)]
    return planned


def test_drop_before_equilibrium(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
