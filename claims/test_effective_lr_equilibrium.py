"""At equilibrium the effective learning rate is √(2λₑ/E‖ḡ‖²), and every step turns the weights by √(2λₑ).

Weight decay pulls the norm in, the gradient, orthogonal to the weights, pushes it out. They balance where
λₑ(2 − λₑ)‖w‖² = η²E‖ḡ‖²/‖w‖², ḡ being a batch's gradient at unit norm. So the effective learning rate η/‖w‖² comes to
rest at √(λₑ(2 − λₑ)/E‖ḡ‖²), whatever it was at the start, and ‖w‖⁴ at ηE‖ḡ‖²/(λ(2 − ηλ)). A step then turns the
weights by arccos(1 − λₑ) ≈ √(2λₑ), in which neither the net nor the data appears at all.

E‖ḡ‖² is the second moment over mini-batches, the squared mean gradient with the noise, and depends on λₑ itself, so
it is measured where the effective learning rate is. Five values of λₑ span a range of 16. Each run is long
enough to forget its start, which takes some log(γ₀/γ)/(4λₑ) steps, and is looked at in its last part. As ‖ḡ‖²
differs from batch to batch, by a factor of two and more, it is the mean square of the angle that is √(2λₑ)².
On exploratory seeds all ratios were within 1% of 1: at large λₑ the norm's own fluctuations show, at small λₑ that
the net still learns, so that E‖ḡ‖² drifts. At full η and λ are chosen so that the authors' later defaults, η = 0.8 and
λ = 5·10⁻⁴, are the middle one of the five λₑ.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, Observe, Phases, Prediction, Replicas, Setting
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.means import equivalence
from ilr.stats.theory import equilibrium_effective_learning_rate, equilibrium_step_angle, intrinsic_learning_rate
from ilr.trials.plotting import new_figure

MULTIPLES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Regime:
    """The smallest λₑ, the learning rate, the steps, and when to look: once the start is forgotten."""

    intrinsic_learning_rate: float
    learning_rate: float
    steps: int
    looks: range


REGIMES = {
    "tiny": Regime(0.0025, 0.5, 1600, range(800, 1600)),
    "reduced": Regime(0.0025, 0.5, 1600, range(800, 1600)),
    "full": Regime(1e-4, 0.8, 40_000, range(25_000, 40_000)),
}

CLAIM = Claim(
    id="effective-lr-equilibrium",
    title="The effective learning rate settles at √(2λₑ/E‖ḡ‖²), and steps turn the weights by √(2λₑ)",
    source='blog post, "So what\'s really going on?"; Wan et al. 2021 for the angle',
    statement=(
        "The effective learning rate η/‖w‖² comes to rest where weight decay and gradient balance, which the product "
        "λₑ = ηλ and the second moment of the gradient at unit norm determine; there every step turns the weights by "
        "an angle that λₑ alone determines."
    ),
    predictions=tuple(
        prediction
        for multiple in MULTIPLES
        for prediction in (
            Prediction(
                quantity=f"{multiple} × λₑ: effective learning rate, as a multiple of the theory's",
                rule="equivalence",
                expected=1.0,
                margin=0.05,
                reason=(
                    "The theory leaves out that the norm fluctuates, an effect of order λₑ, which is 4% at most; a λₑ "
                    "wrong by a factor of 2 would show as 40%."
                ),
            ),
            Prediction(
                quantity=f"{multiple} × λₑ: root mean square angle of a step, as a multiple of the theory's",
                rule="equivalence",
                expected=1.0,
                margin=0.05,
                reason="As for the effective learning rate, which it measures without the gradient.",
            ),
        )
    ),
    controls=(
        Control(
            "weight-decay-switched-off",
            "Weight decay, from where we look on: nothing balances the gradient, the effective learning rate falls.",
        ),
    ),
    replicas=Replicas(tiny=12, reduced=12, full=8),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    quantities = ("effective_learning_rate", "gradient_second_moment", "step_angle")
    return {
        f"{multiple} × λₑ": setting.experiment(
            learning_rate=Constant(regime.learning_rate),
            weight_decay=Constant(multiple * regime.intrinsic_learning_rate / regime.learning_rate),
            steps=regime.steps,
            observe=tuple(Observe(quantity, regime.looks) for quantity in quantities),
        )
        for multiple in MULTIPLES
    }


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for name, recording in recordings.items():
        intrinsic = initial_intrinsic_learning_rate(recording)
        effective = recording["effective_learning_rate"].mean(axis=1)
        balanced = equilibrium_effective_learning_rate(intrinsic, recording["gradient_second_moment"].mean(axis=1))
        yield equivalence(
            CLAIM[f"{name}: effective learning rate, as a multiple of the theory's"], effective / balanced
        )
        yield equivalence(
            CLAIM[f"{name}: root mean square angle of a step, as a multiple of the theory's"],
            angle(recording) / equilibrium_step_angle(intrinsic),
        )


def initial_intrinsic_learning_rate(recording: Recording) -> float:
    """ηλ of the first step, to which the theory is held even where weight decay is switched off later."""
    run = recording.experiment
    return intrinsic_learning_rate(run.learning_rate.values(1).item(), run.weight_decay.values(1).item())


def angle(recording: Recording) -> npt.NDArray[np.float64]:
    """Root mean square angle of a step in radians, [replica]."""
    return np.sqrt((recording["step_angle"].astype(np.float64) ** 2).mean(axis=1))


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    caption = (
        "Over a range of 16 in λₑ effective learning rate and angle per step lie on the theory's lines, one dot a "
        "replica; with weight decay switched off before we look (crosses) they fall below."
    )
    drawn, (effective, turned) = new_figure(caption, panels=2)
    intrinsic = np.array([initial_intrinsic_learning_rate(recording) for recording in recordings.values()])
    for style, colour, label, runs in (
        (".", "C0", "weight decay", recordings),
        ("x", "C1", "switched off", controls["weight-decay-switched-off"]),
    ):
        settled = [
            recording["effective_learning_rate"].mean(axis=1)
            * np.sqrt(recording["gradient_second_moment"].mean(axis=1))
            for recording in runs.values()
        ]
        effective.loglog(intrinsic, settled, style, color=colour, alpha=0.5)
        turned.loglog(intrinsic, [angle(recording) for recording in runs.values()], style, color=colour, alpha=0.5)
        turned.plot([], [], style, color=colour, label=label)
    effective.loglog(
        intrinsic, equilibrium_effective_learning_rate(intrinsic, np.ones(len(MULTIPLES))), color="black", linewidth=0.8
    )
    turned.loglog(
        intrinsic,
        [equilibrium_step_angle(one) for one in intrinsic.tolist()],
        color="black",
        linewidth=0.8,
        label="theory",
    )
    effective.set(title="effective learning rate × √E‖ḡ‖²", xlabel="λₑ")
    turned.set(title="angle of a step, root mean square [rad]", xlabel="λₑ")
    turned.legend()
    for axes in (effective, turned):
        axes.set_xticks(intrinsic, [f"{one:g}" for one in intrinsic])
        axes.xaxis.minorticks_off()
    return drawn


def control_weight_decay_switched_off(setting: Setting) -> dict[str, Experiment]:
    until = REGIMES[setting.scale].looks[0]
    return {
        name: replace(one, weight_decay=Phases((one.weight_decay, Constant(0.0)), (until,)))
        for name, one in experiments(setting).items()
    }


def test_effective_lr_equilibrium(trial):
    trial.must_reproduce()
