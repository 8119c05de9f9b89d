"""The power of the weight norm in an optimiser's effective learning rate, measured."""

from functools import lru_cache

import torch
from torch import Tensor

from ilr.experiments.optimizers import SGD, AdamW, Lion, Optimizer, SignSGD
from ilr.experiments.own import OwnRecordError
from ilr.training.optimizers.records import RecordSteps
from ilr.training.optimizers.trying import trajectory

SCALES = (0.01, 1.0, 100.0)
"""Multiples of the weights that are tried, to see what becomes of the length of the step."""

LATER_SCALES = (0.8, 1.0, 1.25)
"""What weights are multiplied by once steps have settled: little, for a mean of squares forgets slowly."""

CYCLE, MEASURED, LAST_STEP = 8, 64, 2**14
"""Gradients that come again and again; steps of which the mean length is taken; and the step by which it must stay."""

SETTLED = 0.01
"""Relative difference of the lengths of steps that have settled, at twice and four times the number of steps."""

BUILT_IN = (SGD, AdamW, Lion, SignSGD)
"""Optimisers of ilr: that their rules last is known."""


@lru_cache(maxsize=64)
def norm_power(optimizer: Optimizer) -> int | None:
    """The p of the effective learning rate η‖w‖^p: −2 for SGD, −1 for Adam, 0 for LARS; `None` where there is none.

    The gradient of a scale-invariant loss is 1/c times as long at c times the weights. A step that is c^q times as long
    there turns them by c^(q − 1) times as much: p = q − 1. Measured in float64 with the first step; and for an
    optimiser of somebody's own, which may keep whatever it likes, once steps have settled, too.
    """
    stream = torch.Generator().manual_seed(0)
    weights, gradient = torch.randn((2, 1, 4, 4), generator=stream, dtype=torch.float64)
    steps = [trajectory(optimizer, c * weights, [gradient / c], decay=0.0) - c * weights for c in SCALES]
    lengths = torch.stack(steps).flatten(1).norm(dim=1)
    for q in (-1, 0, 1):
        expected = lengths[1] * torch.tensor(SCALES, dtype=torch.float64) ** q
        if torch.allclose(lengths, expected, rtol=1e-3, atol=0.0):
            return q - 1 if type(optimizer) in BUILT_IN or lasts(optimizer, q) else None
    return None


@torch.no_grad()
def lasts(optimizer: Optimizer, q: int) -> bool:
    """Whether steps settle to one length, and to c^q times that after weights have become c times as long meanwhile.

    Those of Adagrad do not settle: they become shorter as 1/√t, whatever the weights.

    Args:
        optimizer: to be measured.
        q: what its first step follows.
    """
    stream = torch.Generator().manual_seed(0)
    factors = torch.tensor(LATER_SCALES, dtype=torch.float64)
    scales = factors.view(-1, 1, 1)
    # The same network thrice, which become different ones.
    layer = torch.randn((1, 4, 4), generator=stream, dtype=torch.float64).repeat(len(factors), 1, 1)
    gradients = torch.randn((CYCLE, 1, 4, 4), generator=stream, dtype=torch.float64).expand(-1, *layer.shape)
    try:
        steps = RecordSteps(optimizer, [layer])
        before = _settled(steps, gradients)
        if before is None:
            return False
        layer.mul_(scales)
        after = _settled(steps, gradients / scales)
    except OwnRecordError:
        # So many steps may be more than it is ever asked for: no fault of it.
        return False
    return after is not None and torch.allclose(after, before * factors**q, rtol=5 * SETTLED, atol=0.0)


def _settled(steps: RecordSteps, gradients: Tensor) -> Tensor | None:
    """The mean length [R] of steps with the same gradients again and again, once it stays; `None` where it never does.

    Args:
        steps: of a single layer, which goes on.
        gradients: [CYCLE, R, ...].
    """
    [layer] = steps.layers
    # So small a rate that the weights stay where they are, as far as an optimiser can tell.
    rate = torch.full_like(layer.flatten(1)[:, :1], 1e-7)
    none = torch.zeros_like(rate)
    means: list[Tensor] = []
    done = 0
    while done < LAST_STEP:
        end = max(MEASURED, 2 * done)
        total = torch.zeros_like(rate[:, 0])
        for number in range(done, end):
            before = layer.clone() if number >= end - MEASURED else layer
            steps.step([gradients[number % CYCLE].clone()], rate, none)
            if before is not layer:
                total += (layer - before).flatten(1).norm(dim=1)
        means.append(total / MEASURED)
        done = end
        # Two alike may be those on both sides of a maximum.
        if len(means) > 2 and all(torch.allclose(one, means[-1], rtol=SETTLED, atol=0.0) for one in means[-3:]):
            return means[-1]
    return None
