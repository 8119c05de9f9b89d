"""The step of an optimiser that is a record: layer by layer, held to what it must be."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from ilr.experiments.optimizers import Optimizer, State
from ilr.experiments.own import calling, wrong
from ilr.fields import shown
from ilr.training.optimizers.sgd import like

KEPT = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
"""Types of what an optimiser may keep: those of checkpoints."""


class RecordSteps:
    """Steps by a record, for R replicas at once; has the interface of `ilr.training.optimizers.sgd.SGD`.

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
