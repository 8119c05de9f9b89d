"""A function of tensors as one CUDA graph: launching the kernels of a small step costs more than running them."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import torch
from torch import Tensor

Outputs = TypeVar("Outputs")

WARM_UPS = 3
"""Runs before the capture, in which libraries choose their kernels and reserve memory; torch advises three."""

REPLAYS, TIMED_SECONDS = 100, 0.1
"""Most replays that are timed, and about how long they may take in all."""

NOTHING_CAPTURED = "The CUDA Graph is empty"
"""How torch's warning begins where a graph got no kernels: they were launched on another device."""


refusals: list[str] = []
"""Why steps of this process' training became no graphs."""


class CaptureError(RuntimeError):
    """A function runs on the device but does not become a graph."""


def capturable(device: torch.device) -> bool:
    """Whether a device has graphs."""
    return device.type == "cuda"


def free_bytes(device: torch.device) -> int:
    """Bytes of a GPU's memory that this process can still have: those that nobody holds, and its own unused ones."""
    unheld, _ = torch.cuda.mem_get_info(device)
    return unheld + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def current(device: torch.device) -> AbstractContextManager[object]:
    """Makes a GPU the current one: a graph records what is launched on that, and on no other."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


class Replay(Generic[Outputs]):
    """`function`, captured once and replayed with other contents of its inputs.

    The GPU that the tensors are on must be the current one, now and at every call.

    Args:
        function: of tensors on a CUDA device; reads no other tensor that is replaced, only such as change in place.
        inputs: tensors of the shapes that every call will have.
        state: the tensors that `function` changes; the capture leaves them as they were, also where it fails.

    Raises:
        CaptureError: `function` runs but cannot be captured.
        torch.OutOfMemoryError: there is no room for its tensors.
    """

    def __init__(self, function: Callable[..., Outputs], inputs: Sequence[Tensor], state: Sequence[Tensor]) -> None:
        # A graph reads and writes the very memory it was recorded with: inputs are copied into tensors of its own.
        self.inputs = [tensor.clone() for tensor in inputs]
        before = [tensor.clone() for tensor in state]
        try:
            # Torch asks for a stream of its own for the warm-up; each stream waits for what the other has begun.
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    function(*self.inputs)
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            self.outputs = self._captured(function)
        finally:
            # The warm-ups have taken steps that do not count.
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)

    def _captured(self, function: Callable[..., Outputs]) -> Outputs:
        """The function's outputs, which the graph will fill."""
        try:
            with warnings.catch_warnings():
                # Torch only warns of an empty graph, which would train nothing.
                warnings.filterwarnings("error", NOTHING_CAPTURED)
                with torch.cuda.graph(self.graph):
                    return function(*self.inputs)
        except (RuntimeError, UserWarning) as error:
            # What goes wrong inside may leave a capture that cannot be ended either: the first error is the reason.
            reason = error.__context__ or error
            if isinstance(reason, torch.OutOfMemoryError):
                raise reason from None
            raise CaptureError(f"no CUDA graph could be made: {reason}") from error

    def __call__(self, *inputs: Tensor) -> Outputs:
        """The function's outputs, valid until the next call."""
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return self.outputs

    def seconds(self) -> float:
        """Time that one replay takes on the device: the mean of as many as take a while, but not too many."""
        one = self._timed(1)
        return self._timed(max(1, min(REPLAYS, int(TIMED_SECONDS / max(one, 1e-9)))))

    def _timed(self, times: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        for _ in range(times):
            self.graph.replay()
        end.record()
        end.synchronize()
        milliseconds: float = begin.elapsed_time(end)
        return milliseconds / 1e3 / times
