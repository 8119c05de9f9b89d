"""CUDA graphs without a GPU: what a function launches is written down and launched again, over the same memory."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ilr.nn import cuda_graph


class FakeGraph(TorchDispatchMode):
    """Stands in for `torch.cuda.CUDAGraph`: a kernel of it is an operation on CPU tensors.

    As in a graph, numbers of the host are those of the capture, and tensors keep their places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        outputs = function(*args, **given)
        self.kernels.append((function, args, given, outputs))
        return outputs

    def replay(self) -> None:
        self.replays += 1
        # Below automatic differentiation, where kernels are.
        with torch._C._AutoDispatchBelowAutograd():
            self._launch()

    def _launch(self) -> None:
        for function, args, kwargs, outputs in self.kernels:
            for place, value in zip(tree_leaves(outputs), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class NoStream:
    """What a stream of the CPU would be."""

    def wait_stream(self, other: "NoStream") -> None:
        pass


@contextmanager
def capture(graph: FakeGraph) -> Iterator[None]:
    with graph:
        yield
    if not graph.kernels:
        warnings.warn("The CUDA Graph is empty. This usually means ...", stacklevel=2)


def install(patch: pytest.MonkeyPatch) -> None:
    """Lets a CPU have graphs."""
    patch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    patch.setattr(torch.cuda, "graph", capture)
    patch.setattr(torch.cuda, "Stream", NoStream)
    patch.setattr(torch.cuda, "current_stream", NoStream)
    patch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    patch.setattr(cuda_graph, "capturable", lambda _: True)
