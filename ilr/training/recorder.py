"""Keeps what is observed while replicas train."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.recording import DIVERGED_AT, Array
from ilr.training.branching import ENDED, NEVER, Indices, Stage
from ilr.training.snapshots import Snapshot

Arrays = dict[str, Array]
"""[replica, time, ...] by quantity."""

RECORDED = "recorded "
"""How the names of what was recorded begin in a snapshot."""

BUFFERED = 64
"""Values of an observation that a GPU keeps before they are fetched together."""


class Recorder:
    """The observations of slices that train as one batch; those that observe the same are watched together."""

    def __init__(self, slices: Sequence[Experiment]) -> None:
        self.slices = slices
        watched: dict[tuple[Observe, ...], list[int]] = {}
        begin = 0
        for one in slices:
            watched.setdefault(one.observe, []).extend(range(begin, begin + one.replicas))
            begin += one.replicas
        self.watches = [Watch(observe, np.array(replicas)) for observe, replicas in watched.items()]

    def due(self, step: int) -> list["Due"]:
        """What is observed at a step."""
        return [Due(watch, observation) for watch in self.watches for observation in watch.due(step)]

    def by_slice(self) -> list[Arrays]:
        """Each slice's arrays, and when its replicas diverged."""
        kept = {watch.observe: watch.finished() for watch in self.watches}
        taken = dict.fromkeys(kept, 0)
        found = []
        for one in self.slices:
            begin = taken[one.observe]
            taken[one.observe] = end = begin + one.replicas
            found.append({name: array[begin:end] for name, array in kept[one.observe].items()})
        return found

    def snapshot(self) -> Snapshot:
        """All that was kept so far, each [replica, time so far, ...]."""
        return {
            f"{RECORDED}{place} {name}": array
            for place, watch in enumerate(self.watches)
            for name, array in watch.so_far().items()
        }

    def resume(self, snapshot: Snapshot) -> None:
        """Goes on from a snapshot."""
        for place, watch in enumerate(self.watches):
            for observation in watch.observe:
                kept = snapshot.get(f"{RECORDED}{place} {observation.quantity}")
                if kept is not None:
                    watch.go_on(observation, kept)


class Watch:
    """The observations of some of the replicas as arrays [replica, time, ...], which fill step by step.

    Each array is made as a whole with its first values: thousands of small ones, kept until the end, would lie
    scattered among the large tensors of the steps and make holes that those no longer fit into.

    Args:
        observe: what is observed of all of them.
        replicas: which they are, of those of the whole batch.
    """

    def __init__(self, observe: tuple[Observe, ...], replicas: Indices) -> None:
        self.observe = observe
        self.replicas = replicas
        # To look a step up in a range, or in a set, takes no time however many there are.
        self._steps = {one: one.at if isinstance(one.at, range) else frozenset(one.at) for one in observe}
        self._kept: Counter[str] = Counter()
        self._buffered: dict[Observe, list[Tensor]] = {}
        self._arrays: Arrays = {}

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

    def keep(self, observation: Observe, values: Array) -> None:
        """Keeps the next values [replica, ...] of an observation."""
        name = observation.quantity
        if name not in self._arrays:
            self._make(observation, values)
        self._arrays[name][:, self._kept[name]] = values
        self._kept[name] += 1

    def finished(self) -> Arrays:
        """All that was kept, and when replicas diverged."""
        self._fetch_all()
        return {**self._arrays, DIVERGED_AT: self._diverged_at()}

    def so_far(self) -> Arrays:
        """What was kept until now."""
        self._fetch_all()
        return {name: array[:, : self._kept[name]] for name, array in self._arrays.items()}

    def go_on(self, observation: Observe, kept: Array) -> None:
        """Goes on with an observation of which so much was kept."""
        name = observation.quantity
        self._make(observation, kept[:, 0])
        self._kept[name] = kept.shape[1]
        self._arrays[name][:, : kept.shape[1]] = kept

    def _fetch_all(self) -> None:
        for observation in list(self._buffered):
            self._fetch(observation)

    def _fetch(self, observation: Observe) -> None:
        for values in torch.stack(self._buffered.pop(observation)).cpu().numpy():
            self.keep(observation, values)

    def _make(self, observation: Observe, values: Array) -> None:
        """Makes room for all values of an observation, of which some [replica, ...] are given."""
        shape = len(values), len(observation.at), *values.shape[1:]
        self._arrays[observation.quantity] = np.empty(shape, values.dtype)

    def _diverged_at(self) -> Array:
        """First observed step with a value that is not finite, for each replica; −1 if there is none."""
        first = np.full(len(self.replicas), NEVER)
        for observation in self.observe:
            values = self._arrays[observation.quantity]  # [replica, time, ...]
            finite = np.isfinite(values).all(axis=tuple(range(2, values.ndim)))  # [replica, time]
            steps = np.where(finite, NEVER, np.asarray(observation.at))
            first = np.minimum(first, steps.min(axis=1))
        return np.where(first == NEVER, -1, first)


@dataclass(frozen=True)
class Due:
    """An observation at the step that it is due at, of the replicas of a watch."""

    watch: Watch
    observation: Observe

    @property
    def quantity(self) -> str:
        """What is observed."""
        return self.observation.quantity

    def keep(self, values: Tensor) -> None:
        """Keeps the values [replica, ...]."""
        self.watch.keep_tensor(self.observation, values)


class View:
    """Some of a stage's networks, which are looked at for some watches.

    Args:
        stage: the stage.
        networks: in ascending order.
        watches: all of whose replicas are among them.
        device: a torch device, that training is on.
    """

    def __init__(self, stage: Stage, networks: Indices, watches: Iterable[Watch], device: torch.device) -> None:
        self.networks = networks
        self._index = _gathered(self.networks, len(stage.replicas), device)
        self._rows = {
            # Where the replicas' networks are among those that are looked at.
            watch: _gathered(np.searchsorted(networks, stage.networks[watch.replicas]), len(networks), device)
            for watch in watches
        }

    def seen(self, tensor: Tensor) -> Tensor:
        """Of a tensor [network of the stage, ...] what is looked at."""
        return tensor if self._index is None else tensor[self._index]

    def rows(self, watch: Watch, values: Tensor) -> Tensor:
        """Values [network looked at, ...] as those of a watch's replicas, [replica, ...]."""
        rows = self._rows[watch]
        return values if rows is None else values[rows]


class Views:
    """The views of one stage, each made once: they are on the training device, to which every copy takes time."""

    def __init__(self, stage: Stage, watches: Iterable[Watch], device: torch.device) -> None:
        self._stage = stage
        self._device = device
        self._views: dict[frozenset[Watch], View] = {}
        # Once a replica of a watch has ended, none of that watch is looked at any more.
        training = [watch for watch in watches if ENDED not in stage.networks[watch.replicas]]
        self.of_all = View(stage, np.arange(len(stage.replicas)), training, device)

    def of(self, watches: Iterable[Watch]) -> View:
        """That of the networks of some watches."""
        together = frozenset(watches)
        if together not in self._views:
            of_each = [self._stage.networks[watch.replicas] for watch in together]
            networks = np.unique(np.concatenate(of_each))
            self._views[together] = View(self._stage, networks, together, self._device)
        return self._views[together]


def _gathered(places: Indices, count: int, device: torch.device) -> Tensor | None:
    """Places to gather from so many; `None` where they are all in order, as they nearly always are."""
    return None if np.array_equal(places, np.arange(count)) else torch.from_numpy(places).to(device)
