"""In warm-up and decay, cosine and step schedules peak η and λ matter by their product only after some 1/λₑ steps.

Review 1 (question 5) finds training with linear warm-up and decay "much more sensitive to learning rate than the
weight decay", which does not fit "λₑ determines everything". Both are right, for different budgets. Scaling (η, λ) to
(c²η, λ/c²) at the same λₑ is the same as dividing the initial weights by c, and what is left of the initial norm
decays as e^(−4∫λₑdt), by dγ/dt = −4λₑγ + 2E‖ḡ‖², whatever the schedule: the shape enters by its integral alone. Where
∫λₑdt is a few units, ten times the peak learning rate does what ten times the weight decay does. Where it is a few
hundredths, as it is when networks train for a few epochs (ten epochs of CIFAR-10 in batches of 128 at a peak η = 0.1
that decays to 0 and λ = 10⁻⁴ make 0.02), the initial norm is still what divides η, while weight decay has done nothing
yet: the peak learning rate decides the accuracy and the weight decay hardly matters.

So we train by each of three schedules with one budget of steps, and twice: at a weight decay for which ∫λₑdt = 6, and
at one for which it is 0.03. Around either (η, λ) we multiply and divide η, and as much λ. The sensitivity to one of
them is the test accuracy at the end with it multiplied, less that with it divided. Of the four, two have the same
larger product and two the same smaller one; their difference in ‖w‖⁴/η² by what it was at the start is held to
e^(−4∫λₑdt).

That η and λ matter alike may mean that neither does: on the digits, once schedules have decayed after a long ∫λₑdt, it
hardly matters what λₑ was. A constant schedule, at whose end λₑ is what it was, loses accuracy to both.

All have the same frozen head, initial weights and batches. Accuracies are means over the last tenth of the steps, in
which a constant schedule still makes noise.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """The peak."""
    factor: float
    """By which η, or λ, is multiplied and divided."""
    steps: int


REGIMES = {
    "tiny": Regime(learning_rate=0.1, factor=2.0, steps=600),
    "reduced": Regime(learning_rate=0.1, factor=2.0, steps=600),
    "full": Regime(learning_rate=0.8, factor=2.0, steps=160 * 390),
}
SCHEDULES = ("warm-up and decay", "cosine", "steps")
BUDGETS = {"long": 6.0, "short": 0.03}
"""∫λₑdt."""
CHANGES = ("η up", "η down", "λ up", "λ down")

MORE = ilr.Prediction(
    quantity="{}, ∫λₑdt = 0.03: sensitivity of the accuracy to η less that to λ",
    rule="at_least",
    expected=0.04,
    margin=0.01,
    reason="One percent and more for each doubling, which is what one tunes for; by λₑ alone it would be 0.",
)
EQUAL = ilr.Prediction(
    quantity="{}, ∫λₑdt = 6: sensitivity of the accuracy to η less that to λ",
    rule="equivalence",
    expected=0.0,
    margin=0.015,
    reason="Over a factor of 4 in η: less than one percent for a doubling.",
)
MEMORY = ilr.Prediction(
    quantity="{}: largest deviation of what ‖w‖⁴/η² keeps of its start from e^(−4∫λₑdt)",
    rule="at_most",
    expected=0.0,
    margin=0.05,
    reason="One law for all schedules, to a twentieth of the difference at the start, as gradient noise may differ.",
)
CLAIM = ilr.Claim(
    id="warmup-and-decay-schedules",
    title="Under schedules that warm up and decay, ∫λₑdt says whether η matters more than λ",
    source="review 1, question 5",
    statement=(
        "With linear warm-up and decay, cosine and step schedules, the final accuracy depends on peak η and on λ "
        "through their product if ∫λₑdt is 6, and much more on η if it is 0.03; what is left of the initial norm is "
        "e^(−4∫λₑdt), whatever the schedule."
    ),
    predictions=ilr.for_each(SCHEDULES, MORE, EQUAL, MEMORY),
    controls=(
        ilr.Control(
            "constant-schedule",
            "The short ∫λₑdt, with the schedules: constant η and λ for long, so that their product decides.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(8, 16, 32)),
    question="Under warm-up and decay, is it the learning rate or the weight decay that accuracy is sensitive to?",
    differs=ilr.Differs(
        tiny="measuring what review 1 asks about, on an MLP and digits; 600 steps.",
        reduced="measuring what review 1 asks about, on a CNN and Fashion-MNIST; 600 steps.",
        full="measuring what review 1 asks about; 160 epochs and η are those of the authors' later code.",
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    planned: ilr.Experiments = {}
    for schedule, (budget, total) in product(SCHEDULES, BUDGETS.items()):
        planned |= around(setting, schedule, budget, schedule, total)
    return planned


def around(setting: ilr.Setting, schedule: str, budget: str, shape: str, total: float) -> ilr.Experiments:
    """The four experiments around one (η, λ).

    Args:
        setting: the scale gives η.
        schedule: in whose place they stand.
        budget: in whose place they stand.
        shape: of the learning rate.
        total: ∫λₑdt at the middle.
    """
    regime = REGIMES[setting.scale]
    steps, factor = regime.steps, regime.factor
    integral = float(schedule_of(shape, regime.learning_rate, steps).values(steps).sum())
    weight_decay = total / integral
    etas = {"η up": factor, "η down": 1 / factor}
    lambdas = {"λ up": factor, "λ down": 1 / factor}
    planned = {}
    for change in CHANGES:
        planned[key(schedule, budget, change)] = setting.experiment(
            learning_rate=schedule_of(shape, regime.learning_rate * etas.get(change, 1.0), steps),
            weight_decay=weight_decay * lambdas.get(change, 1.0),
            steps=steps,
            observe=(
                ilr.Observe("weight_norm", ilr.every(steps // 20, steps)),
                ilr.Observe("test_accuracy", ilr.every(steps // 80, steps, start=steps * 9 // 10)),
            ),
        )
    return planned


def schedule_of(shape: str, peak: float, steps: int) -> ilr.Schedule:
    """A schedule of the learning rate."""
    match shape:
        case "warm-up and decay":
            return ilr.WarmupLinear(peak, warmup=steps // 10, until=steps)
        case "cosine":
            return ilr.Cosine(peak, until=steps)
        case "steps":
            return ilr.StepDecay(peak, 0.1, (steps // 2, steps * 3 // 4))
    return ilr.Constant(peak)


def key(schedule: str, budget: str, change: str) -> str:
    """The name of an experiment."""
    return f"{schedule}, {budget}, {change}"


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for schedule in SCHEDULES:
        to_eta, to_lambda = sensitivities(recordings, schedule, "short")
        yield MORE.of(schedule), to_eta - to_lambda
        to_eta, to_lambda = sensitivities(recordings, schedule, "long")
        yield EQUAL.of(schedule), to_eta - to_lambda
        deviations = []
        for budget, end in product(BUDGETS, ("up", "down")):
            kept, law = memory(recordings, schedule, budget, end)
            deviations.append(np.abs(kept - law).max(axis=1))
        yield MEMORY.of(schedule), np.max(deviations, axis=0)


def sensitivities(recordings: ilr.Recordings, schedule: str, budget: str) -> tuple[ilr.Array, ilr.Array]:
    """Test accuracy at the end with η multiplied less that with η divided, and the same of λ, each [replica]."""
    accuracy = {}
    for change in CHANGES:
        accuracy[change] = recordings[key(schedule, budget, change)]["test_accuracy"].mean(axis=1)
    return accuracy["η up"] - accuracy["η down"], accuracy["λ up"] - accuracy["λ down"]


def memory(recordings: ilr.Recordings, schedule: str, budget: str, end: str) -> tuple[ilr.Array, ilr.Array]:
    """What is left of the initial difference in ‖w‖⁴/η², η the peak, [replica, time], and e^(−4∫λₑdt), [time].

    Args:
        recordings: the claim's.
        schedule: of the learning rate.
        budget: of ∫λₑdt.
        end: "up" compares η multiplied with λ multiplied, which have the same λₑ; "down" those that are divided.
    """
    by_eta, by_lambda = (recordings[key(schedule, budget, f"{name} {end}")] for name in ("η", "λ"))
    difference = norm_in_peaks(by_eta) - norm_in_peaks(by_lambda)
    passed = np.concatenate([[0.0], np.cumsum(by_eta.experiment.intrinsic_learning_rates())])
    return difference / difference[:, :1], np.exp(-4 * passed[by_eta.steps("weight_norm")])


def norm_in_peaks(run: ilr.Recording) -> ilr.Array:
    """‖w‖⁴/η² with η the peak learning rate, [replica, time]."""
    peak = run.experiment.learning_rates().max()
    return np.asarray(run["weight_norm"].astype(np.float64) ** 4 / peak**2)


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (sensitive, left) = ilr.new_figure(
        "Left: by how much a factor in η, and the same factor in λ, changes the final test accuracy, up less down, one "
        "dot a replica, at two ∫λₑdt; crosses are a constant schedule. Right: what is left of the initial difference "
        "in ‖w‖⁴/η² between runs of the same λₑ, by the ∫λₑdt that has passed; the line is e^(−4∫λₑdt).",
        panels=2,
    )
    labels: list[str] = []
    for budget, schedule in product(BUDGETS, SCHEDULES):
        to_eta, to_lambda = sensitivities(recordings, schedule, budget)
        draw_pair(sensitive, len(labels), to_eta, to_lambda)
        labels.append(f"{schedule.removesuffix(' and decay')}\n{BUDGETS[budget]:g}")
    to_eta, to_lambda = sensitivities(controls["constant-schedule"], SCHEDULES[0], "short")
    draw_pair(sensitive, len(labels), to_eta, to_lambda, marker="x")
    labels.append(f"constant\n{BUDGETS['long']:g}")
    sensitive.axhline(0.0, color="black", linewidth=0.6)
    sensitive.set_xticks(range(len(labels)), labels=labels)
    sensitive.tick_params(axis="x", labelsize="small")
    sensitive.set(title="sensitivity of test accuracy", xlabel="schedule and ∫λₑdt")
    sensitive.legend()
    for schedule, marker, colour in zip(SCHEDULES, ("o", "s", "^"), ("C2", "C3", "C4"), strict=True):
        for budget in BUDGETS:
            kept, law = memory(recordings, schedule, budget, "up")
            passed = -np.log(law[1:]) / 4  # at the start nothing has passed, which a logarithmic axis cannot show
            label = schedule if budget == "long" else None
            left.semilogx(passed, kept[:, 1:].mean(axis=0), marker, color=colour, label=label)
    passed = np.geomspace(1e-3, 10.0)
    left.plot(passed, np.exp(-4 * passed), color="black", linewidth=0.8, label="e^(−4∫λₑdt)")
    left.set(title="share of the initial difference left", xlabel="∫λₑdt so far", ylim=(0, 1.05))
    left.legend()
    return drawn


def draw_pair(axes: ilr.Axes, place: int, to_eta: ilr.Array, to_lambda: ilr.Array, marker: str = ".") -> None:
    """Sensitivities to η and to λ side by side, one mark a replica; named in the legend at the first place."""
    for name, colour, shift, values in (("η", "C0", -0.15, to_eta), ("λ", "C1", 0.15, to_lambda)):
        across = np.full(len(values), place + shift)
        label = f"to {name}" if place == 0 else None
        axes.plot(across, values, marker, color=colour, alpha=0.5, label=label)


def control_constant_schedule(setting: ilr.Setting) -> ilr.Experiments:
    planned = experiments(setting)
    for schedule in SCHEDULES:
        planned |= around(setting, schedule, "short", "constant", BUDGETS["long"])
    return planned


def test_warmup_and_decay_schedules(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
