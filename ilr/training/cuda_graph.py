"""A function of tensors as one CUDA graph: launching the kernels of a small step costs more than running them."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before the capture, in which libraries choose their kernels and reserve memory; torch advises three."""


class Replay:
    """`function`, captured once and replayed with other contents of its inputs.

    Args:
        function: of tensors on a CUDA device; reads no other tensor that is replaced, only such as change in place.
        inputs: tensors of the shapes that every call will have.
        state: the tensors that `function` changes; the capture leaves them as they were.
    """

    def __init__(
        self, function: Callable[..., Mapping[str, Tensor]], inputs: Sequence[Tensor], state: Sequence[Tensor]
    ) -> None:
        # A graph reads and writes the very memory it was recorded with: inputs are copied into tensors of its own.
        self.inputs = [tensor.clone() for tensor in inputs]
        before = [tensor.clone() for tensor in state]
        # Torch asks for a stream of its own for the warm-up; each stream waits for what the other has begun.
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                function(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = function(*self.inputs)
        # The warm-ups have taken steps that do not count.
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)

    def __call__(self, *inputs: Tensor) -> Mapping[str, Tensor]:
        """The function's outputs, valid until the next call."""
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return self.outputs
