"""Keeps what is observed while replicas train."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.experiments.experiment import Observe

Array = npt.NDArray[Any]


class Recorder:
    """The observations of R replicas as arrays [replica, time, ...], which fill step by step.

    Each array is made as a whole with its first values: thousands of small ones, kept until the end, would lie
    scattered among the large tensors of the steps and make holes that those no longer fit into.
    """

    def __init__(self, observations: Sequence[Observe]) -> None:
        self._steps = {one: one.at if isinstance(one.at, range) else frozenset(one.at) for one in observations}
        self._times: dict[str, int] = {one.quantity: len(one.at) for one in observations}
        self._kept: Counter[str] = Counter()
        self.arrays: dict[str, Array] = {}

    def due(self, step: int) -> list[Observe]:
        """What is observed at a step."""
        return [observation for observation, steps in self._steps.items() if step in steps]

    def keep(self, quantity: str, values: Array) -> None:
        """Keeps a quantity's next values [replica, ...]."""
        if quantity not in self.arrays:
            self.arrays[quantity] = np.empty((len(values), self._times[quantity], *values.shape[1:]), values.dtype)
        self.arrays[quantity][:, self._kept[quantity]] = values
        self._kept[quantity] += 1
