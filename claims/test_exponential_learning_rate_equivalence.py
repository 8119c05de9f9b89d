"""Weight decay at a constant learning rate is no weight decay at an exponentially growing one.

Shrinking the weights of a scale-invariant net by a constant factor a step only changes the norm at which the
gradient is taken, so weight decay can be traded for a learning rate that grows by α⁻² a step, with α the larger
root of x² − (1 + β − ηλ)x + β = 0 and β the momentum (the authors' earlier paper, on which this one builds). The
iterates are the same directions, θ̃_t = α⁻ᵗ·θ_t. With momentum two details matter: the learning rate multiplies
the velocity when it is used, and the velocity starts as if the previous iterate had been α·θ₀.

We run both in float64 for an epoch of 391 steps (CIFAR-10 at batch 128), without momentum and with β = 0.9, and
compare directions. At η = 0.1, λ = 5·10⁻⁴, β = 0.9 the authors print that the learning rate grows by 1.481 an
epoch; we read that number off the trained weights: the squared ratio of the two norms after 391 steps.

The smaller root, β/α, is no control: it satisfies the same recurrence, so its run takes the same directions too,
at a learning rate that grows by (α/β)² every step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import (
    Claim,
    Constant,
    Control,
    Experiment,
    Exponential,
    Observe,
    Prediction,
    Replicas,
    Setting,
    every,
)
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.shares import universal
from ilr.stats.theory import exponential_growth_root, exponential_initial_velocity
from ilr.trials.plotting import new_figure

LEARNING_RATE, WEIGHT_DECAY = 0.1, 5e-4
MOMENTA = {"without momentum": 0.0, "with momentum 0.9": 0.9}
EPOCH = 391
PRINTED_GROWTH = 1.481

CLAIM = Claim(
    id="exponential-learning-rate-equivalence",
    title="Weight decay equals an exponentially growing learning rate",
    source="blog post, introduction; Li & Arora 2019",
    statement=(
        "SGD with weight decay λ at a constant learning rate η takes the same directions as SGD without weight decay "
        "at the learning rate η·α⁻²ᵗ⁻¹; at η = 0.1, λ = 0.0005, momentum 0.9 it grows by 1.481 an epoch."
    ),
    predictions=(
        *(
            Prediction(
                quantity=f"{name}: largest deviation of the direction",
                rule="universal",
                expected=0.0,
                margin=1e-8,
                reason=(
                    "An identity in exact arithmetic: float64 rounding of 1e-16 may grow by the chaos of 391 steps, "
                    "but float32 would already show at 1e-7, and a wrong learning rate at 1e-4."
                ),
            )
            for name in MOMENTA
        ),
        Prediction(
            quantity="distance of the learning rate's growth per epoch from 1.481",
            rule="universal",
            expected=0.0,
            margin=5e-4,
            reason="The authors print three decimals: half a unit of the last one.",
        ),
    ),
    controls=(
        Control("root-without-momentum", "The momentum in the root: α = 1 − ηλ is used where the momentum is 0.9."),
        Control("no-growth", "The growth of the learning rate: it stays at η, without weight decay."),
        Control("wrong-start-velocity", "The previous iterate α·θ₀: the run without weight decay starts at rest."),
    ),
    replicas=Replicas(tiny=48, reduced=32, full=32),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    planned = {}
    for name, momentum in MOMENTA.items():
        decaying = setting.experiment(
            learning_rate=Constant(LEARNING_RATE),
            weight_decay=Constant(WEIGHT_DECAY),
            momentum=momentum,
            steps=EPOCH,
            precision="float64",
            observe=(Observe("weights", every(EPOCH // 17, EPOCH)),),
        )
        planned[f"{name}, weight decay"] = decaying
        planned[f"{name}, growing"] = growing(decaying, exponential_growth_root(LEARNING_RATE, WEIGHT_DECAY, momentum))
    return planned


def growing(decaying: Experiment, root: float) -> Experiment:
    """The same run with weight decay traded for a learning rate that grows by 1/root² a step."""
    velocity = exponential_initial_velocity(LEARNING_RATE, root) if decaying.momentum else 0.0
    return replace(
        decaying,
        learning_rate=Exponential(LEARNING_RATE / root, root**-2),
        weight_decay=Constant(0.0),
        initial_velocity=velocity,
    )


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    for name in MOMENTA:
        deviation = direction_deviation(recordings, name)
        yield universal(CLAIM[f"{name}: largest deviation of the direction"], deviation.max(axis=1))
    growth = epoch_growth(recordings, "with momentum 0.9")
    yield universal(CLAIM["distance of the learning rate's growth per epoch from 1.481"], abs(growth - PRINTED_GROWTH))


def direction_deviation(recordings: Mapping[str, Recording], name: str) -> npt.NDArray[np.float64]:
    """Distance between the two runs' weights at unit norm, [replica, time]."""
    growing, decaying = (recordings[f"{name}, {kind}"]["weights"] for kind in ("growing", "weight decay"))
    units = [weights / np.linalg.norm(weights, axis=2, keepdims=True) for weights in (growing, decaying)]
    return np.linalg.norm(units[0] - units[1], axis=2)


def epoch_growth(recordings: Mapping[str, Recording], name: str) -> npt.NDArray[np.float64]:
    """Squared ratio of the two runs' norms after an epoch, [replica]: where directions agree, the learning rate's
    growth.
    """
    growing, decaying = (recordings[f"{name}, {kind}"].at("weights", EPOCH) for kind in ("growing", "weight decay"))
    return (np.linalg.norm(growing, axis=1) / np.linalg.norm(decaying, axis=1)) ** 2


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    drawn, panels = new_figure(
        "Distance between the directions of the run with weight decay and the run with a growing learning rate.",
        panels=len(MOMENTA),
    )
    for axes, name in zip(panels, MOMENTA, strict=True):
        for label, runs in {"as derived": recordings, **controls}.items():
            worst = direction_deviation(runs, name).max(axis=0)
            steps = runs[f"{name}, growing"].steps("weights")
            axes.semilogy(steps, np.maximum(worst, 1e-17), label=label)
        axes.set(title=name, xlabel="step")
    panels[0].set_ylabel("largest distance between directions")
    panels[-1].legend()
    return drawn


def control_root_without_momentum(setting: Setting) -> dict[str, Experiment]:
    return with_root(setting, exponential_growth_root(LEARNING_RATE, WEIGHT_DECAY))


def control_no_growth(setting: Setting) -> dict[str, Experiment]:
    return with_root(setting, 1.0)


def with_root(setting: Setting, root: float) -> dict[str, Experiment]:
    planned = experiments(setting)
    wrong = {f"{name}, growing": growing(planned[f"{name}, weight decay"], root) for name in MOMENTA}
    return planned | wrong


def control_wrong_start_velocity(setting: Setting) -> dict[str, Experiment]:
    return {name: replace(one, initial_velocity=0.0) for name, one in experiments(setting).items()}


def test_exponential_learning_rate_equivalence(trial):
    trial.must_reproduce()
