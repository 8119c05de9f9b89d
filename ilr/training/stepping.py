"""The step of an optimiser that is a record: layer by layer, held to what it must be; and tried before training."""

from collections.abc import Sequence
from copy import copy
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ilr.experiments.optimizers import SGD, AdamW, Lion, Optimizer, SignSGD, State
from ilr.experiments.own import OwnRecordError, calling, wrong
from ilr.fields import shown
from ilr.nn.own.devices import check_device
from ilr.nn.own.trying import ALIKE
from ilr.training.optimizers import like

TRIED_REPLICAS, TRIED_STEPS = 3, 3
"""So many steps of so many replicas are tried before anything trains."""

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

KEPT = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
"""Types of what an optimiser may keep: those of checkpoints."""


class RecordSteps:
    """Steps by a record, for R replicas at once; has the interface of `ilr.training.optimizers.SGD`.

    Args:
        optimizer: the record.
        layers: each layer's weights [R, ...], changed in place.

    Raises:
        OwnRecordError: what it keeps cannot be kept.
    """

    def __init__(self, optimizer: Optimizer, layers: Sequence[Tensor]) -> None:
        self.optimizer = optimizer
        self.layers = layers
        self.states = [_first_state(optimizer, layer.detach()) for layer in layers]

    def of(self, index: Tensor, layers: Sequence[Tensor]) -> "RecordSteps":
        """The same for other replicas, each of which goes on where one of these is.

        Args:
            index: [R'], which of these replicas each one was.
            layers: their weights, each [R', ...].
        """
        found = copy(self)
        found.layers = layers
        found.states = [{name: tensor[index] for name, tensor in state.items()} for state in self.states]
        return found

    @property
    def kept(self) -> dict[str, Tensor]:
        """What later steps need besides the weights, by name."""
        return {f"{name} {index}": tensor for index, state in enumerate(self.states) for name, tensor in state.items()}

    @property
    def state(self) -> list[Tensor]:
        """The tensors that a step changes."""
        return [*self.layers, *self.kept.values()]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], learning_rate: Tensor, weight_decay: Tensor) -> None:
        """One step.

        Args:
            gradients: of each layer, [R, ...]; the record may use them up.
            learning_rate: [R, 1].
            weight_decay: [R, 1].

        Raises:
            OwnRecordError: the record gives something else than weights and state as they were.
        """
        for layer, gradient, state in zip(self.layers, gradients, self.states, strict=True):
            rates = like(layer, learning_rate), like(layer, weight_decay)
            weights, after = _stepped(self.optimizer, layer, gradient, state, *rates)
            # In place: the weights are parts of one tensor, and a graph reads and writes the same memory every time.
            layer.copy_(weights)
            for name, tensor in after.items():
                state[name].copy_(tensor)


def _first_state(optimizer: Optimizer, weights: Tensor) -> State:
    """What the record keeps before the first step, in tensors of its own: a record may keep the weights themselves."""
    with calling(optimizer, "state()"):
        state: Any = optimizer.state(weights)
    if not isinstance(state, dict):
        raise wrong(optimizer, f"state() gives {shown(state)}, not a dict of tensors by name")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise wrong(optimizer, f"state() has {shown(name)}: {shown(tensor)}, not a tensor under a name")
        if tensor.shape[:1] != weights.shape[:1]:
            raise wrong(
                optimizer,
                f"state()[{name!r}] has the shape {[*tensor.shape]}, not [{len(weights)}, ...]: the first axis is that "
                f"of the {len(weights)} replicas",
            )
        if tensor.dtype not in KEPT:
            raise wrong(optimizer, f"state()[{name!r}] is of {tensor.dtype}, which no checkpoint keeps")
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _stepped(
    optimizer: Optimizer, weights: Tensor, gradients: Tensor, state: State, rate: Tensor, decay: Tensor
) -> tuple[Tensor, State]:
    """The weights and the state after a step of one layer.

    Raises:
        OwnRecordError: they are not like those before.
    """
    with calling(optimizer, "step()"):
        # A dict of its own: what the record takes out of it is not lost.
        given: Any = optimizer.step(weights, gradients, dict(state), rate, decay)
    if not isinstance(given, tuple) or len(given) != 2:
        raise wrong(optimizer, f"step() gives {shown(given)}, not weights and state")
    after, kept = given
    _check_alike(optimizer, "step() gives weights", after, weights)
    if not isinstance(kept, dict) or kept.keys() != state.keys():
        names = sorted(map(str, kept)) if isinstance(kept, dict) else shown(kept)
        raise wrong(optimizer, f"step() keeps {names}, but state() {sorted(state)}")
    for name, tensor in kept.items():
        _check_alike(optimizer, f"step() keeps {name!r}", tensor, state[name])
    return after, kept


def _check_alike(optimizer: Optimizer, what: str, after: Any, before: Tensor) -> None:
    if not isinstance(after, Tensor):
        raise wrong(optimizer, f"{what} that are {shown(after)}, not a tensor")
    if after.shape != before.shape or after.dtype != before.dtype:
        raise wrong(
            optimizer,
            f"{what} of the shape {[*after.shape]} and {after.dtype}, which were {[*before.shape]} and {before.dtype}",
        )


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
        together = _trajectory(optimizer, weights, gradients)
        if not torch.equal(together, _trajectory(optimizer, weights, gradients)):
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
            alone = _trajectory(optimizer, weights[one], [gradient[one] for gradient in gradients])
            if not torch.allclose(together[one], alone, rtol=ALIKE[dtype], atol=ALIKE[dtype]):
                raise wrong(
                    optimizer,
                    "step() mixes replicas: alone, one takes another step than beside others; sums, means and norms "
                    "must leave the first axis alone",
                )


@lru_cache(maxsize=64)
def norm_power(optimizer: Optimizer) -> int | None:
    """The p of the effective learning rate η‖w‖^p: −2 for SGD, −1 for Adam, 0 for LARS; `None` where there is none.

    The gradient of a scale-invariant loss is 1/c times as long at c times the weights. A step that is c^q times as long
    there turns them by c^(q − 1) times as much: p = q − 1. Measured in float64 with the first step; and for an
    optimiser of somebody's own, which may keep whatever it likes, once steps have settled, too.
    """
    stream = torch.Generator().manual_seed(0)
    weights, gradient = torch.randn((2, 1, 4, 4), generator=stream, dtype=torch.float64)
    steps = [_trajectory(optimizer, c * weights, [gradient / c], decay=0.0) - c * weights for c in SCALES]
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


@torch.no_grad()
def _trajectory(optimizer: Optimizer, weights: Tensor, gradients: Sequence[Tensor], decay: float = 0.01) -> Tensor:
    """Weights [R, ...] after a step for each of the gradients.

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
