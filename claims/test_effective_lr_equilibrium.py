"""At equilibrium the effective learning rate is √(2λₑ/E‖ḡ‖²), and every step turns the weights by √(2λₑ).

Weight decay pulls the norm in, the gradient, orthogonal to the weights, pushes it out. They balance where
λₑ(2 − λₑ)‖w‖² = η²E‖ḡ‖²/‖w‖², ḡ being a batch's gradient at unit norm. So the effective learning rate η/‖w‖² comes to
rest at √(λₑ(2 − λₑ)/E‖ḡ‖²), whatever it was at the start, and ‖w‖⁴ at ηE‖ḡ‖²/(λ(2 − ηλ)). A step then turns the
weights by arccos(1 − λₑ) ≈ √(2λₑ), in which neither the net nor the data appears at all.

E‖ḡ‖² is the second moment over mini-batches, the squared mean gradient with the noise, and depends on λₑ itself, so
it is measured where the effective learning rate is. Five values of λₑ span a range of 16. Each run is long
enough to forget its start, which takes some log(γ₀/γ)/(4λₑ) steps, and is looked at in its last part. As ‖ḡ‖²
differs from batch to batch, by a factor of two and more, it is the mean square of the angle that is √(2λₑ)².
At full η and λ are chosen so that the authors' later defaults, η = 0.8 and λ = 5·10⁻⁴, are the middle one of the five
λₑ. The blog post derives the law and has no figure of it; we look from 2.5/λₑ to 4/λₑ at the smallest λₑ, when e⁻¹⁰ of
the start is left, and later at the others.
"""

from dataclasses import dataclass, replace

import numpy as np

import ilr

MULTIPLES = {"1 × λₑ": 1, "2 × λₑ": 2, "4 × λₑ": 4, "8 × λₑ": 8, "16 × λₑ": 16}


@dataclass(frozen=True)
class Regime:
    """The smallest λₑ, the learning rate, the steps, and when to look: once the start is forgotten."""

    smallest: float
    learning_rate: float
    steps: int
    looks: range


REGIMES = {
    "tiny": Regime(0.0025, 0.5, 1600, range(800, 1600)),
    "reduced": Regime(0.0025, 0.5, 1600, range(800, 1600)),
    "full": Regime(1e-4, 0.8, 40_000, range(25_000, 40_000)),
}

EFFECTIVE = ilr.Prediction(
    quantity="{}: effective learning rate, as a multiple of the theory's",
    rule="equivalence",
    expected=1.0,
    margin=0.05,
    reason=(
        "The theory leaves out that the norm fluctuates, an effect of order λₑ, which is 4% at most; a λₑ "
        "wrong by a factor of 2 would show as 40%."
    ),
)
ANGLE = ilr.Prediction(
    quantity="{}: root mean square angle of a step, as a multiple of the theory's",
    rule="equivalence",
    expected=1.0,
    margin=0.05,
    reason="As for the effective learning rate, which it measures without the gradient.",
)
CLAIM = ilr.Claim(
    id="effective-lr-equilibrium",
    title="The effective learning rate settles at √(2λₑ/E‖ḡ‖²), and steps turn the weights by √(2λₑ)",
    source='blog post, "So what\'s really going on?"; Wan et al. 2021 for the angle',
    statement=(
        "The effective learning rate η/‖w‖² comes to rest where weight decay and gradient balance, which the product "
        "λₑ = ηλ and the second moment of the gradient at unit norm determine; there every step turns the weights by "
        "an angle that λₑ alone determines."
    ),
    predictions=ilr.for_each(MULTIPLES, EFFECTIVE, ANGLE),
    controls=(
        ilr.Control(
            "weight-decay-switched-off",
            "Weight decay, from where we look on: nothing balances the gradient, the effective learning rate falls.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(8, 16, 32, 64), reduced=(8, 16, 32, 64), full=(8, 16)),
    question="Does the effective learning rate settle at √(2λₑ/E‖ḡ‖²), and does every step turn the weights by √(2λₑ)?",
    differs=ilr.Differs(
        tiny=(
            "measuring what the blog post derives, on an MLP and digits; λₑ from 0.0025 to 0.04, where the authors' "
            "later defaults have 0.0004."
        ),
        reduced=(
            "measuring what the blog post derives, on a CNN and Fashion-MNIST; λₑ from 0.0025 to 0.04, where the "
            "authors' later defaults have 0.0004."
        ),
        full=(
            "measuring what the blog post derives; the learning rate is constant, and the five λₑ are ours, with that "
            "of the authors' later defaults in the middle."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    regime = REGIMES[setting.scale]
    quantities = ilr.observe_all("effective_learning_rate", "gradient_second_moment", "step_angle", at=regime.looks)
    return {
        name: setting.experiment(
            learning_rate=regime.learning_rate,
            weight_decay=multiple * regime.smallest / regime.learning_rate,
            steps=regime.steps,
            observe=quantities,
        )
        for name, multiple in MULTIPLES.items()
    }


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    for name, recording in recordings.items():
        intrinsic = initial_intrinsic(recording)
        effective = recording["effective_learning_rate"].mean(axis=1)
        second_moment = recording["gradient_second_moment"].mean(axis=1)
        yield EFFECTIVE.of(name), effective / ilr.theory.equilibrium_effective_learning_rate(intrinsic, second_moment)
        law = ilr.theory.equilibrium_step_angle(intrinsic, recording.experiment.momentum)
        yield ANGLE.of(name), angle(recording) / law


def initial_intrinsic(recording: ilr.Recording) -> float:
    """λₑ of the first step, to which the theory is held even where weight decay is switched off later."""
    return float(recording.experiment.intrinsic_learning_rates()[0])


def angle(recording: ilr.Recording) -> ilr.Array:
    """Root mean square angle of a step in radians, [replica]."""
    return np.asarray(np.sqrt((recording["step_angle"].astype(np.float64) ** 2).mean(axis=1)))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, (effective, turned) = ilr.new_figure(
        "Effective learning rate times the root of the measured E‖ḡ‖², and angle of a step, against λₑ, on "
        "logarithmic axes: a dot a replica; a line, the theory; in the control, grey crosses, weight decay is "
        "switched off before we look.",
        panels=2,
    )
    intrinsic = np.array([initial_intrinsic(recording) for recording in recordings.values()])
    both = {
        "weight decay": (recordings, {"marker": ".", "color": "C0"}),
        "switched off (control)": (controls["weight-decay-switched-off"], ilr.as_control(marker="x")),
    }
    for label, (runs, style) in both.items():
        for axes, measure in ((effective, at_equal_noise), (turned, angle)):
            values = [measure(run) for run in runs.values()]  # of each λₑ: [replica]
            axes.loglog(intrinsic, values, linestyle="", alpha=0.5, **style)
            axes.plot(intrinsic, np.mean(values, axis=1), linestyle="", label=label, **style)
    law = [ilr.theory.equilibrium_effective_learning_rate(one, 1.0) for one in intrinsic.tolist()]
    effective.loglog(intrinsic, law, color="black", linestyle="-", linewidth=0.8, label="theory")
    effective.set(title="effective learning rate × √E‖ḡ‖²", xlabel="λₑ")
    momentum = next(iter(recordings.values())).experiment.momentum
    angles = [ilr.theory.equilibrium_step_angle(one, momentum) for one in intrinsic.tolist()]
    turned.loglog(intrinsic, angles, color="black", linestyle="-", linewidth=0.8, label="theory")
    turned.set(title="angle of a step, root mean square [rad]", xlabel="λₑ")
    for axes in (effective, turned):
        axes.legend()
        ilr.ticks_at(axes.xaxis, intrinsic)
    return drawn


def at_equal_noise(recording: ilr.Recording) -> ilr.Array:
    """The effective learning rate times √E‖ḡ‖², which λₑ alone determines, [replica]."""
    second_moment = recording["gradient_second_moment"].mean(axis=1)
    return np.asarray(recording["effective_learning_rate"].mean(axis=1) * np.sqrt(second_moment))


def control_weight_decay_switched_off(setting: ilr.Setting) -> ilr.Experiments:
    until = REGIMES[setting.scale].looks[0]
    return {
        name: replace(one, weight_decay=ilr.Phases((one.weight_decay, 0.0), (until,)))
        for name, one in experiments(setting).items()
    }


def test_effective_lr_equilibrium(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
