"""Optimisers, as records that say what one step does; training without one is by plain SGD, which is written out.

A record sees one layer of R replicas at a time. All its tensors have the replica axis first, and a replica's numbers
must depend on its own alone. It needs nothing of torch but the tensors that it is given.
"""

import math
from typing import TYPE_CHECKING, Any

from ilr.experiments.own import calling, wrong
from ilr.fields import shown
from ilr.serialization import record

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, Any]
"""What an optimiser keeps of the steps before, by name: tensors [replica, ...]."""


class Optimizer:
    """How weights follow gradients. One of your own derives from this and is a record: see docs/extending.md."""

    @property
    def gain(self) -> float:
        """How many times η a gradient moves the weights by, over all steps that it has a part in.

        1/(1 − β) where momentum adds gradients up; 1 where they are averaged, or no step remembers another.
        """
        return 1.0

    @property
    def decay_gain(self) -> float:
        """How many times ηλ a step of weight decay takes of the weights in the end: λₑ = ηλ · `decay_gain`.

        That of a gradient, which weight decay is part of; 1 where it goes past what adds gradients up.
        """
        return self.gain

    def state(self, weights: "Tensor") -> State:  # noqa: ARG002 - those with a memory need them
        """What is kept before the first step: tensors [replica, ...] by name; most have the weights' shape.

        Args:
            weights: of one layer, [replica, ...].
        """
        return {}

    def step(
        self, weights: "Tensor", gradients: "Tensor", state: State, learning_rate: "Tensor", weight_decay: "Tensor"
    ) -> "tuple[Tensor, State]":
        """The weights after a step, and what is kept of it: of the same names, shapes and dtypes as before.

        Args:
            weights: of one layer, [replica, ...].
            gradients: ∇L, of the same shape.
            state: what was kept.
            learning_rate: η of each replica, [replica, 1, ...] with as many axes as the weights.
            weight_decay: λ, likewise.
        """
        raise NotImplementedError


def gains(optimizer: Optimizer) -> tuple[float, float]:
    """An optimiser's `gain` and `decay_gain`.

    Raises:
        OwnRecordError: one of somebody's own has something else than a number above 0 there.
    """
    found = []
    for name in ("gain", "decay_gain"):
        with calling(optimizer, name):
            value: Any = getattr(optimizer, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise wrong(optimizer, f"{name} is {shown(value)}, not a number above 0")
        found.append(float(value))
    gain, decay_gain = found
    return gain, decay_gain


@record
class SGD(Optimizer):
    """Stochastic gradient descent, in PyTorch's convention: v ← βv + d and w ← w − ηv, with d = ∇L + λw.

    The learning rate multiplies the buffer when it is used. An experiment with `SGD(momentum=β)` is the same as one
    with `momentum=β` and no optimiser.
    """

    momentum: float = 0.0
    """β"""
    nesterov: bool = False
    """Step by d + βv instead of v (Nesterov's momentum, as in Sutskever et al. 2013)."""
    decoupled: bool = False
    """Weight decay does not pass through the buffer: d = ∇L and w ← (1 − ηλ)w − ηv (Loshchilov & Hutter 2019)."""

    def __post_init__(self) -> None:
        _check_below_one(self, "momentum")
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")

    @property
    def plain(self) -> bool:
        """Whether this is what an experiment without an optimiser does."""
        # Where nothing is kept, decay passes through no buffer either way; but it rounds otherwise.
        return not (self.nesterov or self.decoupled)

    @property
    def gain(self) -> float:
        """1/(1 − β), the sum of 1, β, β², …; Nesterov's is the same."""
        return 1 / (1 - self.momentum)

    @property
    def decay_gain(self) -> float:
        """That of a gradient; 1 where decay is decoupled."""
        return 1.0 if self.decoupled else self.gain

    def state(self, weights: "Tensor") -> State:
        """The buffer v, of zeros."""
        return {"velocity": weights * 0} if self.momentum else {}

    def step(
        self, weights: "Tensor", gradients: "Tensor", state: State, learning_rate: "Tensor", weight_decay: "Tensor"
    ) -> "tuple[Tensor, State]":
        """One step."""
        direction = gradients
        if self.decoupled:
            weights = weights * (1 - learning_rate * weight_decay)
        else:
            direction = gradients + weight_decay * weights
        if self.momentum:
            velocity = self.momentum * state["velocity"] + direction
            direction = direction + self.momentum * velocity if self.nesterov else velocity
            state = {"velocity": velocity}
        return weights - learning_rate * direction, state

    def __str__(self) -> str:
        parts = ["SGD"]
        if self.momentum:
            parts.append(f"momentum {self.momentum:g}")
        if self.nesterov:
            parts.append("Nesterov")
        if self.decoupled:
            parts.append("decoupled weight decay")
        return ", ".join(parts)


@record
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), with torch's default values."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check_below_one(self, "beta1", "beta2")
        if self.eps < 0:
            raise ValueError(f"AdamW: eps={self.eps} must be 0 or more")

    def state(self, weights: "Tensor") -> State:
        """Running means of the gradient and of its square, and the number of steps."""
        return {"mean": weights * 0, "square": weights * 0, "steps": _of_replica(weights)}

    def step(
        self, weights: "Tensor", gradients: "Tensor", state: State, learning_rate: "Tensor", weight_decay: "Tensor"
    ) -> "tuple[Tensor, State]":
        """One step."""
        steps = state["steps"] + 1
        mean = self.beta1 * state["mean"] + (1 - self.beta1) * gradients
        square = self.beta2 * state["square"] + (1 - self.beta2) * gradients.square()
        # The means began at 0: of so few steps they are too small by these factors.
        unbiased_mean = mean / (1 - self.beta1**steps)
        unbiased_square = square / (1 - self.beta2**steps)
        weights = weights * (1 - learning_rate * weight_decay)
        weights = weights - learning_rate * unbiased_mean / (unbiased_square.sqrt() + self.eps)
        return weights, {"mean": mean, "square": square, "steps": steps}

    def __str__(self) -> str:
        eps = "" if self.eps == 1e-8 else f", eps {self.eps:g}"
        return f"AdamW, β {self.beta1:g} and {self.beta2:g}{eps}"


@record
class Lion(Optimizer):
    """Lion (Chen et al. 2023): the sign of a mean of gradients, with decoupled weight decay."""

    beta1: float = 0.9
    """What the mean that decides the sign keeps of the one before."""
    beta2: float = 0.99
    """What the mean that is kept does."""

    def __post_init__(self) -> None:
        _check_below_one(self, "beta1", "beta2")

    def state(self, weights: "Tensor") -> State:
        """The running mean of the gradient."""
        return {"mean": weights * 0}

    def step(
        self, weights: "Tensor", gradients: "Tensor", state: State, learning_rate: "Tensor", weight_decay: "Tensor"
    ) -> "tuple[Tensor, State]":
        """One step."""
        mean = state["mean"]
        direction = (self.beta1 * mean + (1 - self.beta1) * gradients).sign()
        weights = weights - learning_rate * (direction + weight_decay * weights)
        return weights, {"mean": self.beta2 * mean + (1 - self.beta2) * gradients}

    def __str__(self) -> str:
        return f"Lion, β {self.beta1:g} and {self.beta2:g}"


@record
class SignSGD(Optimizer):
    """The sign of the gradient, or with momentum β that of its running mean, and decoupled weight decay.

    That is signSGD and Signum (Bernstein et al. 2018).
    """

    momentum: float = 0.0
    """β"""

    def __post_init__(self) -> None:
        _check_below_one(self, "momentum")

    def state(self, weights: "Tensor") -> State:
        """The running mean of the gradient."""
        return {"mean": weights * 0} if self.momentum else {}

    def step(
        self, weights: "Tensor", gradients: "Tensor", state: State, learning_rate: "Tensor", weight_decay: "Tensor"
    ) -> "tuple[Tensor, State]":
        """One step."""
        mean = gradients
        if self.momentum:
            mean = self.momentum * state["mean"] + (1 - self.momentum) * gradients
            state = {"mean": mean}
        return weights - learning_rate * (mean.sign() + weight_decay * weights), state

    def __str__(self) -> str:
        return "sign SGD" + (f", momentum {self.momentum:g}" if self.momentum else "")


def _of_replica(weights: "Tensor") -> "Tensor":
    """A zero of each replica, [replica, 1, ...] with as many axes as its weights."""
    return weights.new_zeros((len(weights), *[1] * (weights.dim() - 1)))


def _check_below_one(optimizer: Optimizer, *fields: str) -> None:
    for field in fields:
        value = getattr(optimizer, field)
        if not 0 <= value < 1:
            raise ValueError(f"{type(optimizer).__name__}: {field}={value} must be 0 or more and below 1")
