"""After a learning rate drop test error falls and then rises again; dividing the norm too takes the rise away.

Review 1 wonders why test error goes up after a drop and then settles. Divide η by k at equilibrium, and the effective
learning rate η/‖w‖² is divided by k at once, though its new equilibrium is only √k below the old. For some 1/(4λₑ)
steps of the new λₑ it is too small: the gradient's noise is gone, the loss is low. Then the norm shrinks, the
effective learning rate climbs back, and noise with it: test loss rises to its new equilibrium. Training loss ends no
higher than it was when test loss was low, as the net goes on learning its examples. That looks like overfitting, but is
the way to the new equilibrium: Wan et al. (2021) take the rise away by dividing the norm by k^(1/4) at the drop, which
puts the effective learning rate at 1/√k at once.

Dividing the norm needs no tool here. By scale invariance (see learning-rate-is-initial-scale) a run with weights
w/k^(1/4), learning rate η/k and weight decay λ takes the directions of one with w, η/√k and λ/√k: we train that.

A loss proportional to the effective learning rate would fall by 0.9 of itself at a drop by 10 and then lose 24% of that
again. As E‖ḡ‖² falls too, the true equilibrium lies above 1/√10, and less is lost. It is test loss that we measure: 500
test digits are too few for their error to show it. One network's test loss wanders by half of the rise, so each window
averages over a dozen looks.

The rise shows only where the net is at equilibrium as a function, too, sooner than its norm is, and noise is most of
its loss: where it has learnt its examples. λₑ = 0.005 before the drop is small enough for the digits' training loss not
to rise, and large enough to wait for 1.6 of the new 1/λₑ; at reduced the CNN learns 1,000 images of Fashion-MNIST, as
of 5,000 it still learns when the norm has long settled. At full the drop is the authors' (η = 0.8, λ = 5·10⁻⁴, ÷10
after 80 epochs, 12/λₑ); they divide again 40 epochs later, 0.6 of the new 1/λₑ, before the rise is over: ours has 1.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import ilr

FACTOR = 10
BEFORE, EARLY, LATE = (-0.1, -0.001), (0.1, 0.4), (1.0, 1.6)
"""From when to when the loss is at its old equilibrium, low, and at its new one: steps after the drop times the new
λₑ."""
LOOKS = (*np.linspace(0, 0.4, 17).tolist(), *np.linspace(0.45, 1.6, 24).tolist())
ROUNDING = 1e-6


@dataclass(frozen=True)
class Regime:
    """Learning rate and weight decay before the drop, and the step of the drop."""

    learning_rate: float
    weight_decay: float
    drop_at: int
    trained: Mapping[str, Any] = field(default_factory=dict)
    """Data where they are not the scale's standard."""


REGIMES = {
    "tiny": Regime(0.5, 0.01, 800),
    "reduced": Regime(0.5, 0.01, 800, {"data": ilr.Data("fashion-mnist", train=1_000, test=1_000, side=14)}),
    "full": Regime(0.8, 5e-4, 80 * 390),
}

TEST_RISES = ilr.Prediction(
    quantity="rise of the test loss after its fall, by the fall",
    rule="at_least",
    expected=0.05,
    margin=0.0,
    reason=(
        "With a loss proportional to the effective learning rate 24% of the fall would be lost again; a fifth of that "
        "separates a rise from none."
    ),
)
TRAINING_DOES_NOT = replace(
    TEST_RISES,
    quantity="rise of the training loss over the same time, by its own fall",
    rule="at_most",
    expected=0.0,
    margin=0.05,
)
TAKEN_AWAY = replace(TEST_RISES, quantity="the test loss's rise that dividing the norm takes away, by the fall")
SAME_END = ilr.Prediction(
    quantity="test loss at the end, less that with the norm divided, by the fall",
    rule="equivalence",
    expected=0.0,
    margin=0.05,
    reason="Equal λₑ, so one equilibrium: the rise is over, and no part of it that counts is missing.",
)
CLAIM = ilr.Claim(
    id="test-error-bump-after-drop",
    title="After a learning rate drop test loss falls, then rises; not so if the norm is divided, too",
    source="review 1, strengths; Wan et al. 2021",
    statement=(
        "After a learning rate drop by k at equilibrium test loss falls, then rises to its new equilibrium within "
        "O(1/λₑ) steps, while training loss ends no higher; dividing the norm by k^(1/4), too, takes the rise away."
    ),
    predictions=(TEST_RISES, TRAINING_DOES_NOT, TAKEN_AWAY, SAME_END),
    controls=(
        ilr.Control(
            "norm-divided",
            "The norm that is too large for the new learning rate: it is divided by k^(1/4) in the run that should "
            "rise, and left in the other.",
        ),
    ),
    replicas=ilr.Replicas(tiny=(16, 32, 64, 128), reduced=(16, 32, 64, 128), full=(8, 16, 32, 64)),
    question="Does test loss fall and then rise after a learning rate drop, and not so if the norm is divided, too?",
    differs=ilr.Differs(
        tiny=(
            "net and data, an MLP on digits; λₑ = 0.005 before the drop, 12 times that of the authors' later defaults; "
            "and in test loss, where the review speaks of error: 500 images are too few for that."
        ),
        reduced=(
            "net and data, a CNN on 1,000 images of Fashion-MNIST; λₑ = 0.005 before the drop, 12 times that of the "
            "authors' later defaults; and in test loss, where the review speaks of error."
        ),
        full=(
            "test loss, where the review speaks of error; and in the drop's place and size, those of the authors' "
            "later defaults."
        ),
    ),
)


def experiments(setting: ilr.Setting) -> ilr.Experiments:
    return {"norm left": norm_left(setting), "norm divided": norm_divided(setting)}


def dropped(setting: ilr.Setting, learning_rate_factor: float, weight_decay_factor: float) -> ilr.Experiment:
    """A run whose learning rate and weight decay are multiplied by these factors at the drop."""
    regime = REGIMES[setting.scale]
    looks = steps_to_look_at(regime)
    return setting.experiment(
        learning_rate=ilr.StepDecay(regime.learning_rate, learning_rate_factor, (regime.drop_at,)),
        weight_decay=ilr.StepDecay(regime.weight_decay, weight_decay_factor, (regime.drop_at,)),
        steps=looks[-1],
        observe=ilr.observe_all("test_loss", "train_loss", at=looks),
        **regime.trained,
    )


def steps_to_look_at(regime: Regime) -> tuple[int, ...]:
    """Some before the drop, far more after it."""
    unit = FACTOR / (regime.learning_rate * regime.weight_decay)
    before = [round(regime.drop_at - unit * back / 200) for back in range(8, 0, -1)]
    after = [regime.drop_at + round(unit * look) for look in LOOKS]
    return tuple(before + after)


def norm_left(setting: ilr.Setting) -> ilr.Experiment:
    """The run with η/k from the drop on."""
    return dropped(setting, 1 / FACTOR, 1.0)


def norm_divided(setting: ilr.Setting) -> ilr.Experiment:
    """The run with norm/k^(1/4) and η/k from the drop on, in the scale in which its norm is left: η/√k and λ/√k."""
    return dropped(setting, FACTOR**-0.5, FACTOR**-0.5)


def judge(recordings: ilr.Recordings) -> ilr.Measurements:
    left, divided = recordings["norm left"], recordings["norm divided"]
    test_fall, training_fall = fall(left, "test_loss"), fall(left, "train_loss")
    test_rise = rise(left, "test_loss") / test_fall
    yield TEST_RISES, test_rise
    yield TRAINING_DOES_NOT, rise(left, "train_loss") / training_fall
    yield TAKEN_AWAY, test_rise - rise(divided, "test_loss") / test_fall
    yield SAME_END, (mean_over(left, "test_loss", LATE) - mean_over(divided, "test_loss", LATE)) / test_fall


def fall(recording: ilr.Recording, loss: str) -> ilr.Array:
    """How far a loss falls from before the drop to the time EARLY, [replica]."""
    return mean_over(recording, loss, BEFORE) - mean_over(recording, loss, EARLY)


def rise(recording: ilr.Recording, loss: str) -> ilr.Array:
    """How far a loss rises between the times EARLY and LATE, [replica]."""
    return mean_over(recording, loss, LATE) - mean_over(recording, loss, EARLY)


def mean_over(recording: ilr.Recording, loss: str, times: tuple[float, float]) -> ilr.Array:
    """Mean of a loss over the looks within some time after the drop, in units of the new 1/λₑ: [replica]."""
    time = since_drop(recording)
    start, end = times
    chosen = (time >= start - ROUNDING) & (time <= end + ROUNDING)
    return np.asarray(recording[loss][:, chosen].mean(axis=1))


def since_drop(recording: ilr.Recording) -> ilr.Array:
    """The steps after the drop, times the new λₑ, of each look: [time]."""
    intrinsic = recording.experiment.intrinsic_learning_rates()
    [last_before] = np.flatnonzero(np.diff(intrinsic))
    return np.asarray(intrinsic[-1] * (recording.steps("test_loss") - last_before - 1))


def figure(recordings: ilr.Recordings, controls: ilr.ControlRecordings) -> ilr.Figure:
    drawn, panels = ilr.new_figure(
        "Test and training loss less what they are before the drop, in the mean over replicas, with two standard "
        "errors as bands; time is in units of the new 1/λₑ, from just after the drop. Shaded: the two windows whose "
        "means are compared. In the control, grey, the norm is divided at the drop, too.",
        panels=2,
    )
    runs = {"norm left": recordings["norm left"], "norm divided (control)": controls["norm-divided"]["norm left"]}
    for axes, loss in zip(panels, ("test_loss", "train_loss"), strict=True):
        for label, recording in runs.items():
            time = since_drop(recording)
            shown = time >= LOOKS[2]
            # Replicas are at levels of their own: what each does after the drop is told from its own level before it.
            change = recording[loss] - mean_over(recording, loss, BEFORE)[:, None]
            style = {} if recording is runs["norm left"] else ilr.as_control()
            ilr.draw_mean(axes, time[shown], change[:, shown], label, **style)
        for start, end in (EARLY, LATE):
            axes.axvspan(start, end, color="black", alpha=0.06, linewidth=0)
        axes.set(title=f"{loss.replace('_', ' ')}, less that before the drop", xlabel="λₑ′ × steps after the drop")
    panels[0].legend()
    return drawn


def control_norm_divided(setting: ilr.Setting) -> ilr.Experiments:
    return {"norm left": norm_divided(setting), "norm divided": norm_left(setting)}


def test_test_error_bump_after_drop(trial: ilr.JudgedClaim) -> None:
    trial.must_reproduce()
