"""After a drop of the learning rate the effective learning rate follows at once, and then climbs back.

At equilibrium the effective learning rate η/‖w‖² is √(2λₑ/E‖ḡ‖²). Divide η by k = 10 and it is divided by 10 there and
then, as the norm is what it was; but its equilibrium has fallen by √10 only, as λₑ has by 10. With γ = ‖w‖⁴/η²
the paper has dγ/dt = −4λₑγ + 2E‖ḡ‖²: the norm needs some 1/(4λₑ) steps of the new, smaller λₑ to shrink to its new
equilibrium. Review 1 derives this √10 and asks to see it. Divide λ by 10 instead and nothing happens at once; but
λₑ is the same as after the other drop, so the effective learning rate comes down to the same place.

The reviewer's √10 takes E‖ḡ‖² to stay as it is. It does not: with the learning rate the loss falls, and the gradient
with it, to about 60% of its second moment on the digits, so the effective learning rate ends at 0.40 of what it was,
not at 0.32. (The gradient of the CNN on Fashion-MNIST grows instead, and it ends at 0.25.) So we hold the law to the
measured E‖ḡ‖²: the whole curve to the law's own solution, with the mean of ‖ḡ‖² over a fiftieth of the curve at a
time, and its end to √10 once the two equilibria's E‖ḡ‖² are divided out. The figure draws the curve for constant
noise beside it.

λₑ = 0.02 lets a run settle, drop and settle again in 1,600 steps. At full the drop is the authors' (η = 0.8, λ =
5·10⁻⁴, ÷10 after 80 epochs); the new equilibrium then takes twice as many epochs, which no usual schedule has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ilr import Claim, Constant, Control, Experiment, Observe, Phases, Prediction, Replicas, Setting, StepDecay
from ilr.experiments.recording import Recording
from ilr.stats.decision import Finding
from ilr.stats.means import at_most, equivalence
from ilr.stats.theory import relaxed_effective_learning_rate
from ilr.trials.plotting import draw_band, new_figure

FACTOR = 10
PIECES = 50


@dataclass(frozen=True)
class Regime:
    """Learning rate and weight decay before the drop, the step of the drop, and the steps in all."""

    learning_rate: float
    weight_decay: float
    drop_at: int
    steps: int


REGIMES = {
    "tiny": Regime(0.5, 0.04, 400, 1600),
    "reduced": Regime(0.5, 0.04, 400, 1600),
    "full": Regime(0.8, 5e-4, 80 * 390, 240 * 390),
}
AT_ONCE = {"η": 1 / FACTOR, "λ": 1.0}
SETTLED = FACTOR**-0.5

CLAIM = Claim(
    id="effective-lr-after-drop",
    title="After a learning rate drop by 10 the effective learning rate climbs back to 1/√10",
    source="review 1, weaknesses, first prediction",
    statement=(
        "A learning rate divided by k at equilibrium divides the effective learning rate by k at once; then it climbs "
        "to 1/√k of its old value at equal gradient noise, as dγ/dt = −4λₑγ + 2E‖ḡ‖² says. A weight decay divided by k "
        "changes nothing at once and leads to the same place."
    ),
    predictions=(
        *(
            prediction
            for dropped, at_once in AT_ONCE.items()
            for prediction in (
                Prediction(
                    quantity=f"{dropped} ÷ 10: effective learning rate right after the drop, by that just before",
                    rule="equivalence",
                    expected=at_once,
                    margin=at_once / 10,
                    reason="A tenth: one step changes ‖w‖² by some λₑ, 2%; anything gradual would be 10 times off.",
                ),
                Prediction(
                    quantity=f"{dropped} ÷ 10: largest deviation of the effective learning rate from the law",
                    rule="at_most",
                    expected=0.0,
                    margin=0.05,
                    reason=(
                        "The law is that of small steps and constant E‖ḡ‖², held here for a fiftieth of the curve, in "
                        "which γ forgets a sixth of itself; a rate of 2λₑ for 4λₑ would show as 29%."
                    ),
                ),
                Prediction(
                    quantity=f"{dropped} ÷ 10: effective learning rate at the end by that before, at equal E‖ḡ‖²",
                    rule="equivalence",
                    expected=SETTLED,
                    margin=0.02,
                    reason=(
                        "1/√10 to a sixteenth: the last steps of the climb lack 1%, the equilibrium's higher orders "
                        "in λₑ another; no climb would be 0.1, a full one 1."
                    ),
                ),
            )
        ),
        Prediction(
            quantity="effective learning rate at the end, η ÷ 10 by λ ÷ 10",
            rule="equivalence",
            expected=1.0,
            margin=0.05,
            reason="The same λₑ, so the same equilibrium; an equilibrium set by η or by λ alone would differ by √10.",
        ),
    ),
    controls=(
        Control(
            "no-weight-decay-after-the-drop",
            "Weight decay, from the drop on: nothing takes the norm down, so the effective learning rate never climbs.",
        ),
    ),
    replicas=Replicas(tiny=24, reduced=24, full=12),
)


def experiments(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    dropped = {
        "η": (_divided(regime.learning_rate, regime.drop_at), Constant(regime.weight_decay)),
        "λ": (Constant(regime.learning_rate), _divided(regime.weight_decay, regime.drop_at)),
    }
    looks = range(regime.drop_at // 2, regime.steps)
    return {
        name: setting.experiment(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            steps=regime.steps,
            observe=(Observe("effective_learning_rate", looks), Observe("gradient_second_moment", looks)),
        )
        for name, (learning_rate, weight_decay) in dropped.items()
    }


def _divided(value: float, at: int) -> StepDecay:
    return StepDecay(value, 1 / FACTOR, (at,))


def judge(recordings: Mapping[str, Recording]) -> Iterable[Finding]:
    ends = {}
    for dropped, recording in recordings.items():
        (before, after), (noise_before, noise) = (
            around_drop(recording, quantity) for quantity in ("effective_learning_rate", "gradient_second_moment")
        )
        old, ends[dropped] = before.mean(axis=1), at_end(after)
        equal_noise = np.sqrt(at_end(noise) / noise_before.mean(axis=1))
        yield equivalence(
            CLAIM[f"{dropped} ÷ 10: effective learning rate right after the drop, by that just before"],
            after[:, 0] / before[:, -1],
        )
        yield at_most(
            CLAIM[f"{dropped} ÷ 10: largest deviation of the effective learning rate from the law"],
            np.abs(by_law(recording) / after[:, pieces(recording)] - 1).max(axis=1),
        )
        yield equivalence(
            CLAIM[f"{dropped} ÷ 10: effective learning rate at the end by that before, at equal E‖ḡ‖²"],
            ends[dropped] / old * equal_noise,
        )
    yield equivalence(CLAIM["effective learning rate at the end, η ÷ 10 by λ ÷ 10"], ends["η"] / ends["λ"])


def around_drop(recording: Recording, quantity: str) -> list[npt.NDArray[np.float64]]:
    """A quantity before and after the drop, each [replica, step]; the first step after it is the first at its λₑ."""
    intrinsic = intrinsic_learning_rates(recording)[recording.steps(quantity)]
    [drop] = np.flatnonzero(np.diff(intrinsic))
    return np.split(recording[quantity].astype(np.float64), [drop + 1], axis=1)


def intrinsic_learning_rates(recording: Recording) -> npt.NDArray[np.float64]:
    """ηλ of every step, [step]."""
    run = recording.experiment
    return run.learning_rate.values(run.steps) * run.weight_decay.values(run.steps)


def at_end(after: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over the last sixth of the steps after the drop, [replica]."""
    return np.asarray(after[:, -after.shape[1] // 6 :].mean(axis=1))


def pieces(recording: Recording) -> npt.NDArray[np.int64]:
    """Where the pieces of the curve after the drop begin, in steps after it: [piece]."""
    steps = around_drop(recording, "gradient_second_moment")[1].shape[1]
    return np.arange(0, steps, steps // PIECES)


def by_law(recording: Recording) -> npt.NDArray[np.float64]:
    """The effective learning rate where pieces begin, [replica, piece], by the law for each piece's mean of ‖ḡ‖².

    It starts at the first effective learning rate after the drop and never sees another.
    """
    effective = around_drop(recording, "effective_learning_rate")[1]
    noise = around_drop(recording, "gradient_second_moment")[1]
    intrinsic = float(intrinsic_learning_rates(recording)[-1])
    law = [effective[:, 0]]
    for start, end in pairwise(pieces(recording).tolist()):
        second_moment, steps = noise[:, start:end].mean(axis=1), np.float64(end - start)
        law.append(relaxed_effective_learning_rate(law[-1], intrinsic, second_moment, steps))
    return np.stack(law, axis=1)


def figure(recordings: Mapping[str, Recording], controls: Mapping[str, Mapping[str, Recording]]) -> Figure:
    caption = (
        "The effective learning rate by its equilibrium before the drop: measured, by the law with the measured ‖ḡ‖² "
        "(dots), and by the law for constant ‖ḡ‖², which ends at 1/√10. Time is in units of the new 1/λₑ."
    )
    drawn, panels = new_figure(caption, panels=len(recordings))
    for axes, (dropped, recording) in zip(panels, recordings.items(), strict=True):
        before, after = around_drop(recording, "effective_learning_rate")
        noise = around_drop(recording, "gradient_second_moment")[0].mean()
        old = before.mean(axis=1, keepdims=True)
        intrinsic = float(intrinsic_learning_rates(recording)[-1])
        steps = np.arange(-before.shape[1], after.shape[1])
        draw_band(axes, intrinsic * steps, np.hstack([before, after]) / old, "measured")
        at = pieces(recording)
        axes.plot(intrinsic * at, (by_law(recording) / old).mean(axis=0), ".", color="black", label="by the law")
        first, since = np.full(len(after[0]), after[:, 0].mean()), steps[before.shape[1] :].astype(np.float64)
        constant = relaxed_effective_learning_rate(first, intrinsic, np.full(len(since), noise), since)
        axes.plot(intrinsic * since, constant / old.mean(), "--", label="constant ‖ḡ‖²")
        stopped = around_drop(controls["no-weight-decay-after-the-drop"][dropped], "effective_learning_rate")[1]
        axes.plot(intrinsic * since, (stopped / old).mean(axis=0), ":", label="λ = 0 after the drop")
        axes.axhline(SETTLED, color="black", linewidth=0.6)
        axes.set(title=f"{dropped} ÷ 10", xlabel="λₑ′ × steps after the drop", yscale="log", ylim=(0.07, 1.2))
    panels[0].set_ylabel("effective learning rate, by the old one")
    panels[0].legend()
    return drawn


def control_no_weight_decay_after_the_drop(setting: Setting) -> dict[str, Experiment]:
    regime = REGIMES[setting.scale]
    stopped = Phases((Constant(regime.weight_decay), Constant(0.0)), (regime.drop_at,))
    return {name: replace(one, weight_decay=stopped) for name, one in experiments(setting).items()}


def test_effective_lr_after_drop(trial):
    trial.must_reproduce()
