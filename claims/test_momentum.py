"""With momentum β a learning rate η does what η/(1 − β) does without it.

Heavy-ball momentum adds up gradients, v ← βv + ∇L + λw, and steps by −ηv. Over the 1/(1 − β) steps that a gradient
stays in the sum the weights hardly turn, so that in the end it has moved them by η/(1 − β) times itself, and weight
decay has taken the share ηλ/(1 − β) of them for each step. The intrinsic learning rate is then λₑ = ηλ/(1 − β), and it
is this λₑ that decides: (β, η, λ) and (0, η/(1 − β), λ) end in one distribution over functions, with equal norms, and
get there in equally many steps, which is 1/(1 − β) times faster than η without momentum. Review 1 (question 7) asks
whether "λₑ determines everything" survives momentum.

One thing is not the same: a single step. Where the norm rests, ⟨w, v⟩ follows from ‖w‖² and ‖v‖² alone, and the step
turns the weights by Δ with 1 − cos Δ = ηλ/(1 + β), so by √(2ηλ/(1 + β)): a quarter of the angle of the run without
momentum at β = 0.9, since consecutive steps go the same way. No gradient enters here, so no noise can be blamed.

We train β = 0.5 and 0.9 with η divided by 2 and by 10 beside a run without momentum, of the same frozen head, initial
weights and batches, and compare them pair by pair: test accuracy; the squared distance Σ_k (P_k − Q_k)² between the
class frequencies on the test images, in doublings of λₑ; the angle of a step; and how many steps the norm takes from
the start to a quarter of its distance from where it comes to rest. What a doubled λₑ makes is measured at ten times the
learning rate and a tenth of the weight decay, on nets that are not compared.

Equality is that of the limit of small λₑ, in which the weights turn little while a gradient stays in the sum. At λₑ =
0.01, where each step of the run without momentum turns them by 0.14, the digits' nets with β = 0.9 were 1.2% more
accurate, as if λₑ were smaller by almost √2; so here λₑ = 0.005. On Fashion-MNIST it must be smaller still: reduced has
λₑ = 0.00125, for so many steps that it trains the MLP. At full, η = 0.08 with β = 0.9 and λ = 5·10⁻⁴ is what most
papers train with, for 160 epochs or so; ours are 52, 8/λₑ, as in test_intrinsic_lr_decides.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import ilr


@dataclass(frozen=True)
class Regime:
    """What is trained at one scale."""

    learning_rate: float
    """Without momentum."""
    intrinsic: float
    steps: int
    interval: int
    """Steps between two snapshots: enough for the noise of single predictions to be another one, 0.1/λₑ or more."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Net, where it is not the scale's standard."""


REGIMES = {
    "tiny": Regime(learning_rate=0.5, intrinsic=0.005, steps=1_000, interval=40),
    "reduced": Regime(learning_rate=0.5, intrinsic=0.00125, steps=4_000, interval=160, trained={"net": ilr.MLP()}),
    # As in test_intrinsic_lr_decides.py: what runs without momentum is trained once for both.
    "full": Regime(learning_rate=0.8, intrinsic=4e-4, steps=52 * 390, interval=507),
}
SNAPSHOTS = 16
"""How many of the last snapshots are judged, together."""
WITHOUT = "β = 0"
MOMENTA = {"β = 0.5": 0.5, "β = 0.9": 0.9}
LARGER, DOUBLED = "β = 0, 10η, λ/10", "β = 0, 10η, λ/5"
SHARE = 1 / 4

ACCURACY = ilr.Prediction(
    quantity=f"{{}} less {WITHOUT}: test accuracy",
    rule="equivalence_of_groups",
    expected=0.0,
    margin=0.01,
    reason="One percent is what one would tune the momentum for; the learning rate changes by up to ten.",
)
DISTANCE = ilr.Prediction(
    quantity=f"{{}} / {WITHOUT}: distance, in doublings of λₑ",
    rule="nearer_than",
    expected=0.0,
    margin=0.5,
    reason="Momentum must matter less than a λₑ that is wrong by √2; without 1/(1 − β) it is wrong by 2 and by 10.",
)
ANGLE = ilr.Prediction(
    quantity="{}: root mean square angle of a step, as a multiple of √(2ηλ/(1 + β))",
    rule="equivalence",
    expected=1.0,
    margin=0.05,
    reason=(
        "The norm fluctuates, an effect of order λₑ, 1%; without 1 + β the angle would be off by 22% and 38%, with "
        "λₑ in place of ηλ by 41% and more."
    ),
)
RELAXATION = ilr.Prediction(
    quantity=f"{{}} / {WITHOUT}: steps in which the norm forgets three quarters of its start",
    rule="ratio",
    expected=1.0,
    margin=0.15,
    reason=(
        "Of order λₑ/(1 − β), a tenth at β = 0.9, is left to the steps in which momentum gathers; without the factor "
        "1/(1 − β) it would be 2 and 10."
    ),
)
CLAIM = ilr.Claim(
    id="momentum",
    title="With momentum β, λₑ = ηλ/(1 − β) decides",
    source="review 1, question 7; Wan et al. 2021",
    statement=(
        "Momentum β with the learning rate η ends in the distribution over functions, and at the accuracy, of η/(1 − "
        "β) without it, and its norm relaxes as fast; a step turns the weights by √(2ηλ/(1 + β))."
    ),
    predictions=ilr.for_each(MOMENTA, ACCURACY, DISTANCE, ANGLE, RELAXATION),
    controls=(
        ilr.Control(
            "same-learning-rate",
            "The factor 1/(1 − β): the runs with momentum keep the learning rate of the one without.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(16, 32, 64, 128)),
    question="Does λₑ = ηλ/(1 − β) decide where there is momentum β?",
    differs=ilr.Differs(
        tiny=(
            "measuring what review 1 asks for, on an MLP and digits; λₑ = 0.005, twelve times that of the authors' "
            "later defaults, and so small because momentum makes steps smaller, which tells at larger ones."
        ),
        reduced=(
            "measuring what review 1 asks for, on an MLP and Fashion-MNIST; λₑ = 0.00125, three times that of the "
            "authors' later defaults, as the CNN at 0.005 tells momentum from none."
        ),
        full=(
            "measuring what review 1 asks for; the learning rates and weight decays are those of the authors' later "
            "defaults, and ten times the learning rate at a tenth of the weight decay; 52 epochs, 8/λₑ, are ours."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    larger = 10 * regime.learning_rate
    at = ilr.every(regime.interval, regime.steps, start=regime.interval)
    without = setting.experiment(
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
        WITHOUT: without,
        LARGER: replace(without, learning_rate=larger, weight_decay=regime.intrinsic / larger),
        DOUBLED: replace(without, learning_rate=larger, weight_decay=2 * regime.intrinsic / larger),
    }
    settled = ilr.Observe("step_angle", range(regime.steps // 2, regime.steps))
    for name, momentum in MOMENTA.items():
        planned[name] = replace(
            without,
            momentum=momentum,
            learning_rate=regime.learning_rate * (1 - momentum),
            observe=(*without.observe, settled),
        )
    return planned


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    accuracy, classes, times = {}, {}, {}
    for name, run in recordings.items():
        accuracy[name] = ilr.group(run, run["test_accuracy"].mean(axis=1))  # [replica]
        classes[name] = ilr.group(run, run["test_predictions"])  # [replica, snapshot, image]
        times[name] = ilr.group(run, forgetting_time(run))
    for name in MOMENTA:
        yield ACCURACY.of(name), accuracy[name], accuracy[WITHOUT]
        yield DISTANCE.of(name), classes[name], classes[WITHOUT], classes[LARGER], classes[DOUBLED]
        yield ANGLE.of(name), angle(recordings[name]) / theory_of_angle(recordings[name])
        yield RELAXATION.of(name), times[name], times[WITHOUT]


def angle(recording: ilr.Recording) -> ilr.Array:
    """Root mean square angle of a step in radians, [replica]."""
    return np.asarray(np.sqrt((recording["step_angle"].astype(np.float64) ** 2).mean(axis=1)))


def theory_of_angle(recording: ilr.Recording) -> float:
    """The angle of a step at equilibrium, by η, λ and β alone."""
    experiment = recording.experiment
    return ilr.theory.equilibrium_step_angle(experiment.intrinsic_learning_rates()[0], experiment.momentum)


def forgetting_time(recording: ilr.Recording) -> ilr.Array:
    """Steps from the first snapshot until the excess of ‖w‖⁴ over its end is SHARE of what it was there, [replica]."""
    excess = excess_of_norm(recording)
    first_below = (excess < SHARE).argmax(axis=1)[:, None]
    above, below = (np.take_along_axis(excess, first_below - before, axis=1)[:, 0] for before in (1, 0))
    # The excess falls exponentially, so on a straight line of logarithms; noise may take it below 0.
    height, fall = np.log(above / SHARE), np.log(above / np.maximum(below, SHARE / 100))
    steps = recording.steps("weight_norm")
    return np.asarray((first_below[:, 0] - 1 + height / fall) * (steps[1] - steps[0]))


def excess_of_norm(recording: ilr.Recording) -> ilr.Array:
    """‖w‖⁴ less its mean over the judged snapshots, as a share of what it is at the first one: [replica, snapshot]."""
    fourth = recording["weight_norm"].astype(np.float64) ** 4
    excess = fourth - fourth[:, -SNAPSHOTS:].mean(axis=1, keepdims=True)
    return np.asarray(excess / excess[:, :1])


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (norm, turned, accuracy) = ilr.new_figure(
        "Left: the norm without momentum, with it at η divided by 1/(1 − β), and at η as it is without (control, "
        "grey). Middle: root mean square angle of a step, one dot a replica, beside the theory's line by β. Right: "
        "test accuracy, one dot a replica, bars are means.",
        panels=3,
    )
    same = controls["same-learning-rate"]
    for name in (WITHOUT, *MOMENTA):
        ilr.draw_band(norm, recordings[name].steps("weight_norm"), recordings[name]["weight_norm"], name)
    for style, name in zip(("-", "--"), MOMENTA, strict=True):
        kept = same[name]
        course = kept["weight_norm"].mean(axis=0)
        norm.plot(kept.steps("weight_norm"), course, label=f"{name}, same η", **ilr.as_control(linestyle=style))
    norm.set(title="‖w‖", xlabel="step", ylim=(0, None))
    norm.legend(loc="lower right", ncols=2)

    momenta = np.linspace(0.0, 0.95, 40)
    intrinsic = recordings[WITHOUT].experiment.intrinsic_learning_rates()[0]
    law = [ilr.theory.equilibrium_step_angle(intrinsic, one) for one in momenta.tolist()]
    turned.plot(momenta, law, color="black", linewidth=0.8, label="√(2ηλ/(1 + β))")
    for name, momentum in MOMENTA.items():
        found = angle(recordings[name])
        turned.plot(np.full(len(found), momentum), found, "o", alpha=0.4, label=name)
    turned.set(title="angle of a step, root mean square [rad]", xlabel="β", ylim=(0, None))
    turned.legend()

    shown = {name: recordings[name] for name in (WITHOUT, *MOMENTA)}
    shown |= {f"{name}, same η": same[name] for name in MOMENTA}
    for place, (name, run) in enumerate(shown.items()):
        replicas = run["test_accuracy"].mean(axis=1)
        across = place + np.linspace(-0.3, 0.3, len(replicas))
        accuracy.plot(across, replicas, ".", color=f"C{place}", alpha=0.4, label=name)
        accuracy.hlines(replicas.mean(), place - 0.4, place + 0.4, color=f"C{place}")
    labels = [name.replace(", ", ",\n") for name in shown]
    accuracy.set(title="test accuracy", xticks=range(len(shown)), xticklabels=labels)
    return drawn


def control_same_learning_rate(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), only=MOMENTA, learning_rate=REGIMES[setting.scale].learning_rate)


def test_momentum(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
