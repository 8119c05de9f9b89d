"""Whether a function takes the device of its tensors for granted, found out on the CPU: it would fail on a GPU."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ilr.experiments.own import wrong

MEET = {"__getitem__", "__setitem__", "copy_", "index_put_", "set_"}
"""Functions of torch that take tensors of two devices."""

MOVE = {"to", "type_as", "cuda", "cpu"}
"""Functions of torch whose result lies where they are told."""


class MadeHereError(Exception):
    """A tensor of the CPU's has met one of those that a function was given."""


class Watch(TorchFunctionMode):
    """Within, every function of torch is followed: what it makes of given tensors, and what it makes of none.

    What is given stands for tensors of some device; what is made without naming one lies on the CPU. Only what is known
    to be of either kind counts: no right function is refused.

    Args:
        given: the tensors of some device.
        made: such as lie on the CPU already.
    """

    def __init__(self, given: Iterable[Tensor], made: Iterable[Tensor]) -> None:
        super().__init__()
        self.given = _by_id(given)
        self.made = _by_id(one for one in made if id(one) not in self.given)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls the function, and notes of what kind its results are."""
        named = kwargs or {}
        name = getattr(function, "__name__", "")
        tensors = [one for one in tree_leaves((args, named)) if isinstance(one, Tensor)]
        is_given = any(id(one) in self.given for one in tensors)
        # Of a single number torch takes one from the CPU everywhere.
        is_made = any(id(one) in self.made and one.dim() for one in tensors)
        if is_given and is_made and name not in MEET | MOVE:
            raise MadeHereError
        outputs = function(*args, **named)
        kind: dict[int, Tensor] | None = None
        if is_given:
            kind = self.given
        elif named.get("device") is None and name not in MOVE and all(id(one) in self.made for one in tensors):
            kind = self.made
        if kind is not None:
            kind |= _by_id(one for one in tree_leaves(outputs) if isinstance(one, Tensor))
        return outputs


def _by_id(tensors: Iterable[Tensor]) -> dict[int, Tensor]:
    """By their identity, which holds as long as they are kept."""
    return {id(one): one for one in tensors}


@torch.no_grad()
def check_device(
    record: object, name: str, compute: Callable[[], Any], given: Iterable[Tensor], made: Iterable[Tensor] = ()
) -> None:
    """A record takes no device for granted.

    Args:
        record: whose function it is.
        name: of the function.
        compute: calls it with the tensors that are given; it has been called before, and works on the CPU.
        given: all of these.
        made: tensors that the function finds beside them, on the CPU.

    Raises:
        OwnRecordError: it brings a tensor of the CPU's along.
    """
    watch = Watch(given, made)
    try:
        with watch:
            outputs = compute()
        is_made = any(id(one) in watch.made for one in tree_leaves(outputs))
    except MadeHereError:
        is_made = True
    if is_made:
        raise wrong(
            record,
            f"{name} makes a tensor on the CPU wherever its weights and inputs lie: make it by their new_zeros() and "
            "the like, with device=…, or register it as a buffer of a module",
        )
