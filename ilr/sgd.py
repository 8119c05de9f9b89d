"""The step of stochastic gradient descent with coupled weight decay and momentum, for R replicas at once."""

import torch
from torch import Tensor


class SGD:
    """PyTorch's convention, with each replica's own learning rate η and weight decay λ:

    d = ∇L + λw;  v ← βv + d;  w ← w − ηv.

    The learning rate multiplies the buffer when it is used, not when it is filled, so a change of η acts at once.

    Args:
        weights: [R, weight], changed in place.
        momentum: β, the same for all replicas.
        initial_velocity: [R, 1], the buffer v before the first step as a multiple of the weights.
    """

    def __init__(self, weights: Tensor, momentum: float, initial_velocity: Tensor) -> None:
        self.weights = weights
        self.momentum = momentum
        self.velocity = initial_velocity * weights.detach() if momentum else None

    @property
    def state(self) -> list[Tensor]:
        """The tensors that a step changes."""
        return [self.weights] if self.velocity is None else [self.weights, self.velocity]

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: Tensor, weight_decay: Tensor) -> None:
        """One step with gradients [R, weight], which it uses up; learning rate and weight decay are [R, 1]."""
        direction = gradient.addcmul_(weight_decay, self.weights)
        if self.velocity is not None:
            direction = self.velocity.mul_(self.momentum).add_(direction)
        self.weights.addcmul_(learning_rate, direction, value=-1)
