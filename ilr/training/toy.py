"""Gradient descent with weight decay on the toy loss x²/(x²+y²), the blog's figure 1a.

With θ the angle from the y-axis the loss is sin²θ and its gradient sin 2θ/r, at right angles to the weights.
Weight decay shrinks r until the step in angle is unstable; by then θ may have fallen to e^−1000 and below, where x
itself is zero in float64 and the instability would never show. So the iteration keeps log|θ| and is exact to
rounding at any size.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ilr.experiments.experiment import Experiment
from ilr.experiments.seeding import Stream, generator
from ilr.training.recorder import Arrays, Recorder
from ilr.training.snapshots import STEP, UNKEPT, Keeper

Float64 = npt.NDArray[np.float64]

SMALL_LOG_ANGLE = -18.0
"""Below e^−18 the sine of an angle is the angle to float64 rounding, and the step in angle is linear."""


def train_toy(slices: Sequence[Experiment], tick: Callable[[int], None], keeper: Keeper = UNKEPT) -> list[Arrays]:
    """Runs all replicas of the slices, which share steps and observations: of each, arrays [replica, time] by quantity.

    Starts at norm `initial_scale`, at an angle drawn uniformly from (0, π/2), or where the last snapshot was. Calls
    `tick` with replica-steps done.
    """
    first = slices[0]
    # [replica, step]
    rates = np.concatenate([np.tile(one.learning_rates(), (one.replicas, 1)) for one in slices])
    decays = np.concatenate([np.tile(one.weight_decays(), (one.replicas, 1)) for one in slices])
    # [replica]; the norm is kept as a logarithm too: without gradient it decays geometrically for ever.
    log_norm = np.concatenate([np.full(one.replicas, np.log(one.initial_scale)) for one in slices])
    log_angle = np.log([_initial_angle(one.seed, replica) for one in slices for replica in one.replica_ids])

    recorder = Recorder(slices)
    begin = 0
    if snapshot := keeper.load():
        begin = int(snapshot[STEP].item())
        log_norm, log_angle = snapshot["log_norm"], snapshot["log_angle"]
        recorder.resume(snapshot)
        tick(begin // 1000 * 1000 * len(log_norm))
    for step in range(begin, first.steps + 1):
        if keeper.due():
            state = {STEP: np.array([step]), "log_norm": log_norm, "log_angle": log_angle}
            keeper.keep(state | recorder.snapshot())
        for due in recorder.due(step):
            values = _measure(due.quantity, log_norm, log_angle, rates[:, step])
            due.watch.keep(due.observation, values)
        if step < first.steps:
            log_norm, log_angle = toy_step(log_norm, log_angle, rates[:, step], decays[:, step])
        if step % 1000 == 999:
            tick(1000 * len(log_norm))
    tick(first.steps % 1000 * len(log_norm))
    return recorder.by_slice()


# A replica that diverges is data, like any other: its numbers say so themselves.
@np.errstate(all="ignore")
def toy_step(
    log_norm: Float64, log_angle: Float64, learning_rate: Float64, weight_decay: Float64
) -> tuple[Float64, Float64]:
    """One step of gradient descent: log‖w‖ and log|θ| after it.

    The sign of θ is dropped: the loss, and every later step, is the same on both sides of the axis.

    Args:
        log_norm: log‖w‖, [replica].
        log_angle: log|θ|, [replica]; θ is the angle to the nearer half of the y-axis.
        learning_rate: η, [replica].
        weight_decay: λ, [replica].
    """
    shrink = np.log1p(-learning_rate * weight_decay)
    # The step along the gradient over the shrunken norm: η sin 2θ / ((1 − ηλ) r²), here without its sine.
    reach = np.exp(np.log(learning_rate) - shrink - 2 * log_norm)
    angle = np.exp(np.maximum(log_angle, SMALL_LOG_ANGLE))
    sideways = reach * np.sin(2 * angle)
    turned = np.abs(angle - np.arctan(sideways))
    turned = np.minimum(turned, np.pi - turned)
    small = log_angle < SMALL_LOG_ANGLE
    # An orbit that lands on the minimum exactly stays there, at the logarithm −∞.
    new_log_angle = np.where(small, log_angle + np.log(np.abs(1 - 2 * reach)), np.log(turned))
    lengthened = np.where(small, 0.0, np.log1p(sideways**2) / 2)
    return log_norm + shrink + lengthened, np.minimum(new_log_angle, np.log(np.pi / 2))


def _initial_angle(seed: int, replica: int) -> float:
    return generator(seed, replica, Stream.INITIALISATION).uniform(0, np.pi / 2)


def _measure(quantity: str, log_norm: Float64, log_angle: Float64, rate: Float64) -> Float64:
    match quantity:
        case "train_loss":
            return np.sin(np.exp(log_angle)) ** 2
        case "weight_norm":
            return np.exp(log_norm)
        case "effective_learning_rate":
            return rate * np.exp(-2 * log_norm)
    raise ValueError(f"{quantity!r} cannot be observed on the toy loss")
