"""Weight decay at a constant learning rate is no weight decay at an exponentially growing one.

Shrinking the weights of a scale-invariant net by a constant factor a step only changes the norm at which the
gradient is taken, so weight decay can be traded for a learning rate that grows by α⁻² a step, with α the larger
root of x² − (1 + β − ηλ)x + β = 0 and β the momentum (the authors' earlier paper, on which this one builds). The
iterates are the same directions, θ̃_t = α⁻ᵗ·θ_t. With momentum two details matter: the learning rate multiplies
the velocity when it is used, and the velocity starts as if the previous iterate had been α·θ₀.

We run both in float64 for an epoch of 391 steps (CIFAR-10 at batch 128), without momentum and with β = 0.9, and
compare directions. Li & Arora train whole runs so, but an identity that fails does so in its first epoch, and later on
chaos multiplies rounding. At η = 0.1, λ = 5·10⁻⁴, β = 0.9 the authors print that the learning rate grows by 1.481 an
epoch. That is α⁻⁷⁸², so arithmetic: any run with this schedule would show it, and it is no finding.

The smaller root, β/α, is no control: it satisfies the same recurrence, so its run takes the same directions too,
at a learning rate that grows by (α/β)² every step.
"""

from dataclasses import replace

import numpy as np

import ilr

LEARNING_RATE, WEIGHT_DECAY = 0.1, 5e-4
MOMENTA = {"without momentum": 0.0, "with momentum 0.9": 0.9}
EPOCH = 391

DIRECTION = ilr.Prediction(
    quantity="{}: largest deviation of the direction",
    rule="universal",
    expected=0.0,
    margin=1e-8,
    reason=(
        "An identity in exact arithmetic: float64 rounding of 1e-16 may grow by the chaos of 391 steps, "
        "but float32 would already show at 1e-7, and a wrong learning rate at 1e-4."
    ),
)
CLAIM = ilr.Claim(
    id="exponential-learning-rate-equivalence",
    title="Weight decay equals an exponentially growing learning rate",
    source="blog post, introduction; Li & Arora 2019",
    statement=(
        "SGD with weight decay λ at a constant learning rate η takes the same directions as SGD without weight decay "
        "at the learning rate η·α⁻²ᵗ⁻¹, with α the larger root of x² − (1 + β − ηλ)x + β = 0."
    ),
    predictions=ilr.for_each(MOMENTA, DIRECTION),
    controls=(
        ilr.Control("root-without-momentum", "The momentum in the root: α = 1 − ηλ is used where the momentum is 0.9."),
        ilr.Control("no-growth", "The growth of the learning rate: it stays at η, without weight decay."),
        ilr.Control("wrong-start-velocity", "The previous iterate α·θ₀: the run without weight decay starts at rest."),
    ),
    replicas=ilr.Replicas(tiny=24, reduced=24, full=24),
    question="Is weight decay the same as an exponentially growing learning rate?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits, and in float64, which tells an identity from a resemblance; η, λ, "
            "momentum and the 391 steps are those of Li & Arora."
        ),
        reduced=(
            "net and data, a CNN on Fashion-MNIST, and in float64, which tells an identity from a resemblance; η, λ, "
            "momentum and the 391 steps are those of Li & Arora."
        ),
        full="float64, which tells an identity from a resemblance, and in the length of one epoch.",
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    planned = {}
    for name, momentum in MOMENTA.items():
        decaying = setting.experiment(
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            momentum=momentum,
            steps=EPOCH,
            precision="float64",
            observe=ilr.observe_all("weights", at=ilr.every(EPOCH // 17, EPOCH)),
        )
        root = ilr.theory.exponential_growth_root(LEARNING_RATE, WEIGHT_DECAY, momentum)
        planned[f"{name}, weight decay"] = decaying
        planned[f"{name}, growing"] = growing(decaying, root)
    return planned


def growing(decaying: ilr.Experiment, root: float) -> ilr.Experiment:
    """The same run with weight decay traded for a learning rate that grows by 1/root² a step."""
    velocity = ilr.theory.exponential_initial_velocity(LEARNING_RATE, root) if decaying.momentum else 0.0
    return replace(
        decaying,
        learning_rate=ilr.Exponential(LEARNING_RATE / root, root**-2),
        weight_decay=0.0,
        initial_velocity=velocity,
    )


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name in MOMENTA:
        yield DIRECTION.of(name), direction_deviation(recordings, name).max(axis=1)


def direction_deviation(recordings: ilr.Recordings, name: str) -> ilr.Array:
    """Distance between the two runs' weights at unit norm, [replica, time]."""
    growing = at_unit_norm(recordings[f"{name}, growing"]["weights"])
    decaying = at_unit_norm(recordings[f"{name}, weight decay"]["weights"])
    return np.asarray(np.linalg.norm(growing - decaying, axis=2))


def at_unit_norm(weights: ilr.Array) -> ilr.Array:
    """Weights [replica, time, weight], each divided by its norm."""
    return np.asarray(weights / np.linalg.norm(weights, axis=2, keepdims=True))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (*panels, rate) = ilr.new_figure(
        "First and second: the largest distance over replicas between the directions of the run with weight decay "
        "and of the run with a growing learning rate, on a logarithmic axis; in the legend, its value at the last "
        "step. Controls are grey; one that is no other run than the derived one, as without momentum, is left out. "
        "Third: the growing learning rate over η; in the legend, its factor over the epoch.",
        panels=len(MOMENTA) + 1,
    )
    for axes, name in zip(panels, MOMENTA, strict=True):
        derived = recordings[f"{name}, growing"]
        others = {
            control: runs
            for control, runs in controls.items()
            if replace(runs[f"{name}, growing"].experiment, replicas=1) != replace(derived.experiment, replicas=1)
        }
        for label, runs in {"as derived": recordings, **others}.items():
            apart = direction_deviation(runs, name)
            style = {} if runs is recordings else ilr.as_control()
            told = f"{label.replace('-', ' ')}: {apart[:, -1].max():.1e}"
            ilr.draw_largest(axes, derived.steps("weights"), apart, told, **style)
        axes.set(title=f"distance of directions, {name}", xlabel="step")
        axes.legend(loc="center right")
        rates = derived.experiment.learning_rates()
        factor = (rates[1] / rates[0]) ** EPOCH
        rate.plot(rates / LEARNING_RATE, label=f"{name}: × {factor:.3f}")
    rate.set(title="growing learning rate / η", xlabel="step")
    rate.legend()
    return drawn


def control_root_without_momentum(setting: ilr.Setting) -> ilr.Experiments:
    return with_root(setting, ilr.theory.exponential_growth_root(LEARNING_RATE, WEIGHT_DECAY))


def control_no_growth(setting: ilr.Setting) -> ilr.Experiments:
    return with_root(setting, 1.0)


def with_root(setting: ilr.Setting, root: float) -> ilr.Experiments:
    """The experiments with another root than the one derived."""
    planned = experiments(setting)
    for name in MOMENTA:
        planned[f"{name}, growing"] = growing(planned[f"{name}, weight decay"], root)
    return planned


def control_wrong_start_velocity(setting: ilr.Setting) -> ilr.Experiments:
    return ilr.changed(experiments(setting), initial_velocity=0.0)


def test_exponential_learning_rate_equivalence(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
