"""Groups of replicas that are compared: the values of each, and which replicas they are of.

Replicas of one id have the same frozen head, and where the experiments allow it the same initial weights and batches:
two groups of equal ids are compared in pairs, so that what a pair shares is no noise. Groups of disjoint ids are
independent. Anything between the two is refused, as some pairs would count as if they were independent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Group:
    """Values of replicas [replica, ...], and the ids of these replicas [replica].

    Raises:
        ValueError: there is not one id for each replica, or an id stands there twice.
    """

    values: NDArray[Any]
    ids: tuple[int, ...]

    def __init__(self, values: ArrayLike, ids: Iterable[int]) -> None:
        array, numbers = np.asarray(values), tuple(int(number) for number in ids)
        if array.ndim == 0 or len(array) != len(numbers):
            raise ValueError(f"a group of {len(numbers)} replica ids has values of the shape {array.shape}")
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"a group holds a replica twice: {_in_words(numbers)}")
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "ids", numbers)

    def __len__(self) -> int:
        return len(self.ids)


def are_paired(quantity: str, groups: Sequence[Group]) -> bool:
    """Whether all groups are of the same replicas, in the same order; otherwise no two of them share a replica.

    Args:
        quantity: what is compared, for the refusal.
        groups: two or more.

    Raises:
        ValueError: they are neither; or something else than a group is given.
    """
    for group in groups:
        if not isinstance(group, Group):
            raise ValueError(  # a judge's mistake is a ValueError in every rule
                f"{quantity!r} compares groups of replicas: give ilr.group(recording, values), "
                f"not {type(group).__name__}"
            )
    if all(group.ids == groups[0].ids for group in groups):
        return True
    overlapping = [pair for pair in combinations(groups, 2) if not set(pair[0].ids).isdisjoint(pair[1].ids)]
    if not overlapping:
        return False
    # Of several groups some may be of the same replicas: others tell more of what is wrong.
    one, other = max(overlapping, key=lambda pair: pair[0].ids != pair[1].ids)
    raise ValueError(
        f"{quantity!r} compares the replicas {_in_words(one.ids)} with {_in_words(other.ids)}: "
        "the ids of all groups must be equal, or disjoint"
    )


def _in_words(ids: Sequence[int]) -> str:
    """Ids in a few words: a range by its ends."""
    if len(ids) > 2 and list(ids) == list(range(ids[0], ids[0] + len(ids))):
        return f"{ids[0]} to {ids[-1]}"
    shown = ", ".join(map(str, ids[:6]))
    return f"{shown}, …" if len(ids) > 6 else shown
