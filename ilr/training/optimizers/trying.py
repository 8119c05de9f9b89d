"""A few steps of an optimiser that is a record, on random weights, before anything trains."""

from collections.abc import Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from ilr.experiments.optimizers import Optimizer
from ilr.experiments.own import wrong
from ilr.nn.own.devices import check_device
from ilr.nn.own.trying import ALIKE
from ilr.training.optimizers.records import RecordSteps
from ilr.training.optimizers.sgd import like

TRIED_REPLICAS, TRIED_STEPS = 3, 3
"""So many steps of so many replicas are tried before anything trains."""


@lru_cache(maxsize=64)
def try_optimizer(optimizer: Optimizer, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> None:
    """Takes a few steps by a record with weights and gradients that are drawn at random.

    Args:
        optimizer: the record.
        shapes: of one replica's layers.
        dtype: of training.

    Raises:
        OwnRecordError: they fail, or give what is not a number, or a replica's depend on the others.
    """
    if type(optimizer).step is Optimizer.step:
        raise wrong(optimizer, "has no step(self, weights, gradients, state, learning_rate, weight_decay)")
    for shape in sorted({_small(shape) for shape in shapes}):
        stream = torch.Generator().manual_seed(0)
        weights, *gradients = torch.randn((1 + TRIED_STEPS, TRIED_REPLICAS, *shape), generator=stream, dtype=dtype)
        together = trajectory(optimizer, weights, gradients)
        if not torch.equal(together, trajectory(optimizer, weights, gradients)):
            raise wrong(
                optimizer,
                "step() takes other steps the second time: nothing may be drawn at random, or remembered elsewhere "
                "than in the state",
            )
        rate = like(weights, torch.ones(TRIED_REPLICAS, 1, dtype=dtype))
        state = optimizer.state(weights)
        gradient = gradients[0].clone()  # which the step may use up
        check_device(optimizer, "state()", partial(optimizer.state, weights), [weights])
        step = partial(optimizer.step, weights.clone(), gradient, state, rate, rate)
        check_device(optimizer, "step()", step, [*step.args[:2], *state.values(), rate])
        for replica in range(TRIED_REPLICAS):
            one = slice(replica, replica + 1)
            alone = trajectory(optimizer, weights[one], [gradient[one] for gradient in gradients])
            if not torch.allclose(together[one], alone, rtol=ALIKE[dtype], atol=ALIKE[dtype]):
                raise wrong(
                    optimizer,
                    "step() mixes replicas: alone, one takes another step than beside others; sums, means and norms "
                    "must leave the first axis alone",
                )


@torch.no_grad()
def trajectory(optimizer: Optimizer, weights: Tensor, gradients: Sequence[Tensor], decay: float = 0.01) -> Tensor:
    """Weights [R, ...] after a step for each of the gradients.

    Args:
        optimizer: the record.
        weights: of one layer, [R, ...]; left as they are.
        gradients: of each step, [R, ...].
        decay: λ of all steps.

    Raises:
        OwnRecordError: a step fails, or gives what is not a number.
    """
    layer = weights.clone()
    steps = RecordSteps(optimizer, [layer])
    rate = torch.full_like(weights.flatten(1)[:, :1], 0.1)
    _check_numbers(optimizer, "state() gives", steps)
    for number, gradient in enumerate(gradients):
        steps.step([gradient.clone()], rate, torch.full_like(rate, decay))
        if not layer.isfinite().all():
            raise wrong(optimizer, f"step() gives weights that are not finite, at step {number} of finite gradients")
        _check_numbers(optimizer, "step() keeps", steps)
    return layer


def _check_numbers(optimizer: Optimizer, what: str, steps: RecordSteps) -> None:
    """What is kept may be infinite, as a least value yet is, but is a number."""
    for name, tensor in steps.states[0].items():
        if tensor.is_floating_point() and tensor.isnan().any():
            raise wrong(optimizer, f"{what} {name!r} that is no number (NaN)")


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of as many axes, each of a few numbers."""
    return tuple(min(length, 4) for length in shape)
