"""Keeps what is observed while replicas train."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.recording import DIVERGED_AT, Array
from ilr.training.branching import Indices
from ilr.training.snapshots import Snapshot

Arrays = dict[str, Array]
"""[replica, time, ...] by quantity."""

NEVER = np.iinfo(np.int64).max
"""Later than any step."""

RECORDED = "recorded "
"""How the names of what was recorded begin in a snapshot."""

BUFFERED = 64
"""Values of an observation that a GPU keeps before they are fetched together."""


class Recorder:
    """The observations of R replicas as arrays [replica, time, ...], which fill step by step.

    Each array is made as a whole with its first values: thousands of small ones, kept until the end, would lie
    scattered among the large tensors of the steps and make holes that those no longer fit into.
    """

    def __init__(self, observations: Sequence[Observe]) -> None:
        # To look a step up in a range, or in a set, takes no time however many there are.
        self._steps = {one: one.at if isinstance(one.at, range) else frozenset(one.at) for one in observations}
        self._kept: Counter[str] = Counter()
        self._buffered: dict[Observe, list[Tensor]] = {}
        self.arrays: Arrays = {}

    def due(self, step: int) -> list[Observe]:
        """What is observed at a step."""
        return [observation for observation, steps in self._steps.items() if step in steps]

    def keep_tensor(self, observation: Observe, values: Tensor) -> None:
        """As `keep`, of a tensor; one number a replica stays on a GPU for a while: fetching waits for the step."""
        if not (values.is_cuda and values.dim() == 1):
            self.keep(observation, values.cpu().numpy())
            return
        buffered = self._buffered.setdefault(observation, [])
        # Cloned, because a graph writes the next step's values over these.
        buffered.append(values.clone())
        if len(buffered) == BUFFERED:
            self._fetch(observation)

    def gather(self, index: Indices) -> None:
        """Goes on with other replicas: what was kept so far is that of those at `index`, [R']."""
        self._fetch_all()
        self.arrays = {name: array[index] for name, array in self.arrays.items()}

    def finished(self) -> Arrays:
        """All that was kept."""
        self._fetch_all()
        return self.arrays

    def snapshot(self) -> Snapshot:
        """All that was kept so far, each [replica, time so far, ...]."""
        self._fetch_all()
        return {f"{RECORDED}{name}": array[:, : self._kept[name]] for name, array in self.arrays.items()}

    def resume(self, snapshot: Snapshot) -> None:
        """Goes on from a snapshot."""
        for observation in self._steps:
            name = observation.quantity
            kept = snapshot.get(f"{RECORDED}{name}")
            if kept is not None:
                self._make(observation, kept[:, 0])
                self._kept[name] = kept.shape[1]
                self.arrays[name][:, : kept.shape[1]] = kept

    def _fetch_all(self) -> None:
        for observation in list(self._buffered):
            self._fetch(observation)

    def _fetch(self, observation: Observe) -> None:
        for values in torch.stack(self._buffered.pop(observation)).cpu().numpy():
            self.keep(observation, values)

    def keep(self, observation: Observe, values: Array) -> None:
        """Keeps the next values [replica, ...] of an observation."""
        name = observation.quantity
        if name not in self.arrays:
            self._make(observation, values)
        self.arrays[name][:, self._kept[name]] = values
        self._kept[name] += 1

    def _make(self, observation: Observe, values: Array) -> None:
        """Makes room for all values of an observation, of which some [replica, ...] are given."""
        shape = len(values), len(observation.at), *values.shape[1:]
        self.arrays[observation.quantity] = np.empty(shape, values.dtype)


def by_slice(slices: Sequence[Experiment], arrays: Arrays) -> list[Arrays]:
    """Each slice's part of the arrays of a batch, and when its replicas diverged."""
    arrays = {**arrays, DIVERGED_AT: _diverged_at(slices[0], arrays)}
    ends = np.cumsum([experiment.replicas for experiment in slices])
    return [
        {name: array[end - experiment.replicas : end] for name, array in arrays.items()}
        for experiment, end in zip(slices, ends, strict=True)
    ]


def _diverged_at(experiment: Experiment, arrays: Arrays) -> Array:
    """First observed step with a value that is not finite, for each replica; −1 if there is none."""
    first = np.full(len(next(iter(arrays.values()))), NEVER)
    for observation in experiment.observe:
        values = arrays[observation.quantity]  # [replica, time, ...]
        finite = np.isfinite(values).all(axis=tuple(range(2, values.ndim)))  # [replica, time]
        steps = np.where(finite, NEVER, np.asarray(observation.at))
        first = np.minimum(first, steps.min(axis=1))
    return np.where(first == NEVER, -1, first)
