"""What each replica draws once an epoch, for all steps of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Int64 = npt.NDArray[np.int64]


class EpochDraws(ABC):
    """What each replica draws when an epoch begins, for every place in its batches.

    A replica's draws follow from its own key and the epoch alone: they are the same in whichever batch of replicas it
    is, and at whichever step training starts.

    Args:
        replicas: (root seed, replica id) of each.
        batch_size: examples per step.
        steps_per_epoch: steps.
    """

    def __init__(self, replicas: Sequence[tuple[int, int]], batch_size: int, steps_per_epoch: int) -> None:
        self.replicas = replicas
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self._epoch = -1
        self._drawn = np.empty(0, dtype=np.int64)

    @abstractmethod
    def _draw(self, root_seed: int, replica: int, epoch: int) -> Int64:
        """One replica's draws of an epoch, [example, ...]."""

    def at(self, step: int) -> Int64:
        """What was drawn for one step, [R, batch_size, ...]."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._drawn = np.stack([self._draw(seed, replica, epoch) for seed, replica in self.replicas])
        start = position * self.batch_size
        return self._drawn[:, start : start + self.batch_size]


def draws_ahead(device: torch.device) -> bool:
    """Whether the next epoch is drawn while this one trains: where training leaves the host idle."""
    return device.type == "cuda"


class OnDevice:
    """Draws on the training device, moved there an epoch at a time: a copy at every step would wait for the device.

    For a GPU, a thread draws the next epoch meanwhile.

    Args:
        draws: gives those of a step, [R, batch_size, ...].
        steps_per_epoch: steps.
        device: a torch device.
    """

    def __init__(self, draws: Callable[[int], Int64], steps_per_epoch: int, device: torch.device) -> None:
        self.draws = draws
        self.steps_per_epoch = steps_per_epoch
        self.device = device
        self._epoch = -1
        self._moved = torch.empty(0)
        self._thread = ThreadPoolExecutor(1) if draws_ahead(device) else None
        self._next: tuple[int, Future[Tensor]] | None = None
        """The epoch that is drawn ahead, with its draws."""

    def at(self, step: int) -> Tensor:
        """What was drawn for one step, [R, batch_size, ...]."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            drawn = self._drawn(epoch)
            if self.device.type == "cuda":
                # Pinned, it is copied as soon as the device comes to that; otherwise the host would wait for it here.
                drawn = drawn.pin_memory()
            self._moved = drawn.to(self.device, non_blocking=True)
        return self._moved[position]

    def _drawn(self, epoch: int) -> Tensor:
        """What is drawn for an epoch, [step, R, batch_size, ...]; begins with the one after it, if it is to."""
        if self._thread is None:
            return self._draw(epoch)
        # Waited for, even if it is another epoch: two cannot draw at a time.
        ahead, future = self._next or (epoch, self._thread.submit(self._draw, epoch))
        drawn = future.result()
        if ahead != epoch:
            drawn = self._draw(epoch)
        self._next = epoch + 1, self._thread.submit(self._draw, epoch + 1)
        return drawn

    def _draw(self, epoch: int) -> Tensor:
        first = epoch * self.steps_per_epoch
        return torch.from_numpy(np.stack([self.draws(one) for one in range(first, first + self.steps_per_epoch)]))
