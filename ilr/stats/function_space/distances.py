"""How far apart two groups of replicas are, by the classes they predict for the same test points.

A group is an integer array `labels[replica, point]`: the class that each replica predicts for each test point. With P_k
and Q_k the chances that a replica of the one and of the other group predicts class k for a point, the squared distance
is Σ_k (P_k - Q_k)², averaged over points; it lies between 0 and 2. Instead of [replica, point] all labels may be
[replica, moment, point], of replicas that were looked at more than once: then the chances are those at a random moment.
At equilibrium all moments are alike, and means over them have less noise.

It rests on the agreement of two replicas, the share of points for which they predict the same class, at a random moment
of each: the mean over pairs of replicas within a group estimates Σ_k P_k², over pairs across the groups Σ_k P_k Q_k,
both without bias.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ilr.stats.rule import Floats

Labels = NDArray[np.integer]
Members = NDArray[np.bool_]


def agreement(a: ArrayLike, b: ArrayLike) -> Floats:
    """The share of points on which replicas agree, for `a` [n, point] and `b` [m, point]: [n, m].

    >>> agreement([[0, 1, 2, 3]], [[0, 1, 2, 2], [3, 2, 1, 0]])
    array([[0.75, 0.  ]])

    Raises:
        ValueError: the labels are not integers, or not of the same points.
    """
    first, second = _groups(a, b)
    shares: Floats = _agreements(first, second) / _comparisons(first, second)
    return shares


def squared_distance(a: ArrayLike, b: ArrayLike) -> float:
    """The squared distance of `a` [n, point] and `b` [m, point], estimated without bias.

    This is the U-statistic of the agreement (Gretton et al. 2012, lemma 6). Between groups of equal distribution its
    mean is 0, so there it is negative about as often as not.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 2 replicas in a group.
    """
    return Pool.of(a, b, least=2).squared_distance


def l1_distance(a: ArrayLike, b: ArrayLike) -> float:
    """The plug-in estimate of Σ_k |P_k - Q_k|, averaged over points, for `a` [n, point] and `b` [m, point].

    It is biased upwards, as frequencies of equal groups differ by noise: for figures, beside the distance of two halves
    of one group.

    Raises:
        ValueError: the labels are not integers, or not of the same points.
    """
    # [replica and moment, point]
    first, second = (group.reshape(-1, group.shape[-1]) for group in _groups(a, b))
    classes = np.union1d(first, second)
    return float(sum(np.abs((first == k).mean(axis=0) - (second == k).mean(axis=0)).mean() for k in classes))


@dataclass(frozen=True)
class Pool:
    """Two groups of replicas together: how they agree, and who is of which group."""

    agreements: Floats
    """In how many comparisons two replicas agree, [replica, replica]."""
    members: Members
    """Which replicas are of the first group, [replica]."""
    comparisons: int
    """Comparisons of two replicas: points times moments of the one times moments of the other."""

    @classmethod
    def of(cls, a: ArrayLike, b: ArrayLike, least: int) -> Self:
        """The replicas of `a` [n, point] and `b` [m, point].

        Raises:
            ValueError: the labels are not integers, not of the same points, of fewer than `least` replicas in a group,
                or the groups were not looked at equally often.
        """
        first, second = _groups(a, b, least=least)
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(f"labels must be of as many moments, not of shapes {first.shape} and {second.shape}")
        both = np.concatenate([first, second])
        return cls(_agreements(both, both), np.arange(len(both)) < len(first), _comparisons(first, second))

    @property
    def smaller(self) -> int:
        """Replicas in the smaller group."""
        n = int(self.members.sum())
        return min(n, len(self.members) - n)

    @property
    def squared_distance(self) -> float:
        """That of the two groups, without bias."""
        return float(self._counted(self.members, ~self.members)) / self.comparisons

    @property
    def jackknife_error(self) -> float:
        """Standard error of the squared distance, leaving out one replica at a time (Efron & Stein 1981)."""
        others = ~np.eye(len(self.members), dtype=bool)  # [left out, replica]
        without = self._counted(self.members & others, ~self.members & others)
        first, second = without[self.members], without[~self.members]
        variance = (len(first) - 1) * float(first.var()) + (len(second) - 1) * float(second.var())
        return math.sqrt(variance) / self.comparisons

    def _counted(self, in_a: Members, in_b: Members) -> Floats:
        """Squared distances, times the number of comparisons, of groups given by their members [..., replica].

        Sums of agreements are exact: so equal replicas have no variance, and exchanges of replicas that make no
        difference tie.
        """
        a, b = in_a.astype(np.float64), in_b.astype(np.float64)
        n, m = a.sum(axis=-1), b.sum(axis=-1)
        with_a, with_b, itself = a @ self.agreements, b @ self.agreements, self.agreements.diagonal()
        # That a replica agrees with itself tells nothing: only pairs of two count.
        within_a = ((with_a - itself) * a).sum(axis=-1) / (n * (n - 1))
        within_b = ((with_b - itself) * b).sum(axis=-1) / (m * (m - 1))
        distances: Floats = within_a + within_b - 2 * (with_a * b).sum(axis=-1) / (n * m)
        return distances


def _agreements(first: Labels, second: Labels) -> Floats:
    """In how many comparisons two replicas agree, every moment of the one with every moment of the other: [n, m]."""

    def times(labels: Labels, k: int) -> NDArray[np.float32]:
        """How often each replica chose the class k for each point, [n, point]."""
        chosen = (labels == k).reshape(len(labels), -1, labels.shape[-1])  # [n, moment, point]
        return np.asarray(chosen.sum(axis=1, dtype=np.float32))

    # One matrix product per class is far faster than comparing. float32 counts exactly up to 2^24 comparisons.
    counts = np.zeros((len(first), len(second)))
    for k in np.union1d(first, second):
        chosen = times(first, k)
        counts += chosen @ (chosen if second is first else times(second, k)).T
    return counts


def _comparisons(first: Labels, second: Labels) -> int:
    """How many comparisons of two replicas there are: points times moments of the one times moments of the other."""
    return math.prod(first.shape[1:]) * math.prod(second.shape[1:-1])


def _groups(a: ArrayLike, b: ArrayLike, least: int = 1) -> tuple[Labels, Labels]:
    first, second = np.asarray(a), np.asarray(b)
    for labels in (first, second):
        if labels.ndim not in (2, 3) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                "labels must be integers [replica, point] or [replica, moment, point], "
                f"not {labels.dtype} of shape {labels.shape}"
            )
        if len(labels) < least:
            raise ValueError(f"a group has {len(labels)} replica(s): at least {least} are needed")
    points, other_points = first.shape[-1], second.shape[-1]
    if points != other_points or points == 0:
        raise ValueError(f"labels must be of the same test points, not of {points} and {other_points}")
    return first, second
