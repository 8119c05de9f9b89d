"""A function of one network's tensors, for R networks at once: by `torch.func.vmap`, or one after another."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

Tensors = Mapping[str, Tensor]
"""By name."""

NONE: Tensors = {}


def written_out() -> AbstractContextManager[None]:
    """Attention is computed by products and a softmax within, whose derivatives torch knows up to any order."""
    written: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return written


class Stacked:
    """A function of one replica's tensors, for all replicas.

    Where vmap declines it, which it does to what looks at numbers or changes tensors of its own, replicas are computed
    one after another from then on.

    Args:
        function: of tensors of one replica, by name; gives one tensor.
    """

    def __init__(self, function: Callable[[Tensors], Tensor]) -> None:
        self.function = function
        self.declined = ""
        """Why vmap declines it; empty where it does not, as far as is known."""

    def __call__(self, stacked: Tensors, shared: Tensors = NONE) -> Tensor:
        """The function's values [R, ...].

        Args:
            stacked: each [R, ...].
            shared: the same for all replicas, without that axis.
        """
        if len(next(iter(stacked.values()))) > 1 and not self.declined:
            try:
                return self.at_once(stacked, shared)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind; where the function itself is wrong, the loop raises it again
                self.declined = f"{type(error).__name__}: {error}"
        return self.one_by_one(stacked, shared)

    def at_once(self, stacked: Tensors, shared: Tensors = NONE) -> Tensor:
        """By vmap; raises what it raises."""
        on_cpu = next(iter(stacked.values())).device.type == "cpu"
        # The attention that torch would take on a CPU is not among what vmap knows; written out, it is.
        with warnings.catch_warnings(), written_out() if on_cpu else nullcontext():
            # It warns of what it would do one by one itself.
            warnings.filterwarnings("error", "There is a performance drop")
            outputs: Tensor = vmap(lambda own: self.function({**own, **shared}))(dict(stacked))
        return outputs

    def one_by_one(self, stacked: Tensors, shared: Tensors = NONE) -> Tensor:
        """By a loop over replicas."""
        replicas = len(next(iter(stacked.values())))
        if replicas == 1:
            # Views, of which not even the way back copies anything.
            only = {name: tensor.squeeze(0) for name, tensor in stacked.items()}
            return self.function({**only, **shared}).unsqueeze(0)
        # Not by index: on the way back each replica would be added to zeros of all.
        each = {name: tensor.unbind() for name, tensor in stacked.items()}
        return torch.stack(
            [self.function({name: parts[r] for name, parts in each.items()} | {**shared}) for r in range(replicas)]
        )
