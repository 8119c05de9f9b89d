"""What an experiment left behind: arrays with the replica axis first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ilr.experiments.experiment import Experiment

Array = npt.NDArray[Any]
"""An array of numpy; its axes are told where it is made."""

DIVERGED_AT = "diverged_at"
"""Name of the array [replica] with the first observed step at which a value is not finite; −1 if there is none."""


@dataclass(frozen=True)
class Recording:
    """The observations of one experiment, [replica, time, ...] by quantity."""

    experiment: Experiment
    arrays: Mapping[str, Array]

    def __getitem__(self, quantity: str) -> Array:
        """All observations of a quantity, [replica, time, ...].

        Raises:
            KeyError: the experiment did not observe it.
        """
        if quantity not in self.arrays:
            observed = ", ".join(sorted(set(self.arrays) - {DIVERGED_AT}))
            raise KeyError(f"{quantity!r} was not observed; observed: {observed}")
        return self.arrays[quantity]

    def steps(self, quantity: str) -> npt.NDArray[np.int64]:
        """The steps at which a quantity was observed, [time]."""
        for observation in self.experiment.observe:
            if observation.quantity == quantity:
                return np.asarray(observation.at, dtype=np.int64)
        raise KeyError(f"{quantity!r} was not observed")

    def at(self, quantity: str, step: int) -> Array:
        """A quantity at one step, [replica, ...].

        Raises:
            KeyError: it was not observed at that step.
        """
        [times] = np.nonzero(self.steps(quantity) == step)
        if not len(times):
            raise KeyError(f"{quantity!r} was not observed at step {step}")
        return np.asarray(self[quantity][:, times[0]])

    def final(self, quantity: str) -> Array:
        """A quantity at the last step it was observed, [replica, ...]."""
        return np.asarray(self[quantity][:, -1])

    @property
    def diverged(self) -> dict[int, int]:
        """Replica id and first observed step that is not finite, of every replica that diverged."""
        at = self.arrays[DIVERGED_AT]
        return {replica: int(step) for replica, step in zip(self.experiment.replica_ids, at, strict=True) if step >= 0}


def join(experiment: Experiment, parts: Sequence[Recording]) -> Recording:
    """The recording of an experiment from those of its slices, in order of replica."""
    return Recording(
        experiment, {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
    )
