"""The step of stochastic gradient descent with coupled weight decay and momentum, for R replicas at once."""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor


class SGD:
    """PyTorch's convention, with each replica's own learning rate η and weight decay λ:

    d = ∇L + λw;  v ← βv + d;  w ← w − ηv.

    The learning rate multiplies the buffer when it is used, not when it is filled, so a change of η acts at once.

    Args:
        layers: each layer's weights [R, ...], changed in place. Layer by layer, because a layer's gradient is in the
            cache when it has just been computed.
        momentum: β, the same for all replicas.
        initial_velocity: [R, 1], the buffer v before the first step as a multiple of the weights.
    """

    def __init__(self, layers: Sequence[Tensor], momentum: float, initial_velocity: Tensor) -> None:
        self.layers = layers
        self.momentum = momentum
        self.velocities = [like(layer, initial_velocity) * layer.detach() for layer in layers] if momentum else []

    def of(self, index: Tensor, layers: Sequence[Tensor]) -> "SGD":
        """The same for other replicas, each of which goes on where one of these is.

        Args:
            index: [R'], which of these replicas each one was.
            layers: their weights, each [R', ...].
        """
        found = copy(self)
        found.layers = layers
        found.velocities = [velocity[index] for velocity in self.velocities]
        return found

    @property
    def kept(self) -> dict[str, Tensor]:
        """What later steps need besides the weights, by name."""
        return {f"velocity {index}": velocity for index, velocity in enumerate(self.velocities)}

    @property
    def state(self) -> list[Tensor]:
        """The tensors that a step changes."""
        return [*self.layers, *self.velocities]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], learning_rate: Tensor, weight_decay: Tensor) -> None:
        """One step.

        Args:
            gradients: of each layer, [R, ...]; used up, because the direction is computed in their place.
            learning_rate: [R, 1].
            weight_decay: [R, 1].
        """
        for index, (layer, gradient) in enumerate(zip(self.layers, gradients, strict=True)):
            direction = gradient.addcmul_(like(layer, weight_decay), layer)
            if self.velocities:
                direction = self.velocities[index].mul_(self.momentum).add_(direction)
            layer.addcmul_(like(layer, learning_rate), direction, value=-1)


def like(layer: Tensor, values: Tensor) -> Tensor:
    """Each replica's value [R] or [R, 1] with as many axes as its layer [R, ...]."""
    ones = [1] * (layer.dim() - 1)
    return values.view(-1, *ones)  # [R, 1, …]
