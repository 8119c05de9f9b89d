"""Pools of recordings from which data sets are drawn anew, so that the truth about them is known.

Five groups of networks on the digits, of the same replica ids: three learning rates at one λₑ, and λₑ times √2 and 2.
A world draws ids from the pool with replacement; its truths are the means of the pool and the distances of the pool's
own distributions over functions.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ilr
from ilr.stats.groups import Group
from ilr.stats.rule import Floats
from ilr.trials.scales import STANDARD

STEPS = 600
AT = range(STEPS - 200, STEPS + 1, 50)
RATE, INTRINSIC = 5.0, 0.01
RECORDED = 300
"""Ids of which networks are trained, five of each."""
IMAGES = 150
"""Test images whose classes are kept: fewer are faster."""
GROUPS = {
    "η": (1.0, 1.0),
    "η/10": (10.0, 1.0),
    "η/3": (3.0, 1.0),
    "λₑ × √2": (1.0, 2**0.5),
    "λₑ × 2": (3.0, 2.0),
}
"""By what the learning rate is divided, and λₑ multiplied."""


@dataclass(frozen=True)
class Pool:
    """What networks of the same ids left behind, by group."""

    labels: Mapping[str, NDArray[np.integer]]
    """Predicted classes, [replica, moment, image]."""
    numbers: Mapping[str, Mapping[str, Floats]]
    """One number per network, [replica], by group and quantity."""

    @property
    def size(self) -> int:
        """The number of ids."""
        return len(next(iter(self.labels.values())))

    def distance(self, one: str, other: str) -> float:
        """The squared distance of the pool's own distributions: of networks that are drawn with replacement."""
        a, b = self.labels[one], self.labels[other]
        squares = [(((a == k).mean(axis=(0, 1)) - (b == k).mean(axis=(0, 1))) ** 2).mean() for k in np.union1d(a, b)]
        return float(sum(squares))


def groups_of(places: NDArray[np.integer], *values: NDArray[Any]) -> tuple[Group, ...]:
    """Groups of the same drawn ids; a network that is drawn twice counts as two."""
    return tuple(Group(of_group[places], range(len(places))) for of_group in values)


@cache
def pool() -> Pool:
    """Networks trained once for all worlds that draw from them."""
    return train(RECORDED)


def train(replicas: int, seed: int = 0) -> Pool:
    """A pool of so many ids, trained in this process: 1,000 networks take about a minute."""
    labels, numbers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (divisor, factor) in GROUPS.items():
            experiment = ilr.Experiment(
                **STANDARD["tiny"],
                seed=seed,
                replicas=replicas,
                learning_rate=RATE / divisor,
                weight_decay=INTRINSIC * factor / RATE * divisor,
                steps=STEPS,
                observe=(
                    *ilr.observe_all("test_predictions", "test_accuracy", "weight_norm", at=AT),
                    ilr.Observe("train_accuracy", (STEPS,)),
                ),
            )
            recording = ilr.run(experiment, store=Path(folder), device="cpu")
            labels[name] = recording["test_predictions"][..., :IMAGES].astype(np.uint8)
            numbers[name] = {
                "final accuracy": recording.final("test_accuracy").astype(np.float64),
                "mean accuracy": recording["test_accuracy"].mean(axis=1, dtype=np.float64),
                "final norm": recording.final("weight_norm").astype(np.float64),
                "training accuracy": recording.final("train_accuracy").astype(np.float64),
            }
    return Pool(labels, numbers)
