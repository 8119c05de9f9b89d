"""The squared distance of two groups whose replicas come in pairs: its estimate, its errors, and its noise.

The nets a_i and b_i share the replica id i, and with it much of what makes them differ from other nets. With K the
agreement of two nets, H_ij = K(a_i, a_j) + K(b_i, b_j) - K(a_i, b_j) - K(b_i, a_j); its mean over i ≠ j estimates the
squared distance without bias. It is a U-statistic of one sample, whose unit is the pair.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ilr.stats.function_space.distances import Pool
from ilr.stats.function_space.noise import FEWEST, DistanceNoise, noise_in
from ilr.stats.groups import Group, are_paired
from ilr.stats.rule import Floats


@dataclass(frozen=True)
class PairedNoise(DistanceNoise):
    """The noise of the squared distance of pairs about the truth, for any truth that may be behind an estimate.

    Of the direction of Δ as much is known as the jackknife tells: its variance is 4 ΔΣΔ + 4 tr Σ² on average. Where the
    truth is larger than what was found, the rest of it may lie in the direction with most noise.
    """

    found: float = 0.0
    """The squared distance found, or 0."""
    linear_found: float = 0.0
    """4 ΔΣΔ, as found."""
    of_bound: float = 0.0
    """The variance of what the distance is compared with, if that is estimated, too."""

    @property
    def is_none(self) -> bool:
        """Whether all pairs are alike."""
        return not (self.square or self.linear_found or self.of_bound)

    def planned(self, replicas: int) -> "PairedNoise":
        """What to expect of another number of pairs."""
        then, ratio = super().planned(replicas), self.replicas / replicas
        linear, of_bound = self.linear_found * ratio, self.of_bound * ratio
        return PairedNoise(then.strongest, then.square, replicas, self.found, linear, of_bound)

    def linear(self, distance: ArrayLike) -> Floats:
        """4 ΔΣΔ: as found, and of what is beyond in the direction with most noise."""
        return self.linear_found + 4 * self.strongest * np.maximum(np.subtract(distance, self.found), 0.0)

    def third(self, distance: ArrayLike) -> Floats:
        """The third cumulant; ΔΣΣΔ is at least (ΔΣΔ)² / |Δ|²."""
        beyond = np.maximum(np.subtract(distance, self.found), 0.0)
        as_found = (self.linear_found / 4) ** 2 / self.found if self.found else 0.0
        return np.asarray(24 * (as_found + self.strongest**2 * beyond))

    def standard_deviation(self, distance: ArrayLike) -> Floats:
        """That of the estimate less what it is compared with, for each true distance."""
        return np.sqrt(self.linear(distance) + 2 * self.square + self.of_bound)


@dataclass(frozen=True)
class Pairs:
    """How pairs of nets (a_i, b_i) agree with each other."""

    kernel: Floats
    """H, in comparisons, [pair, pair]. Whole numbers, so that sums are exact and equal pairs have no variance."""
    comparisons: int
    """Comparisons of two replicas: points times moments of the one times moments of the other."""

    @classmethod
    def of(cls, a: ArrayLike, b: ArrayLike, least: int) -> Self:
        """The pairs of `a` and `b`, both [n, point] or both [n, moment, point].

        Raises:
            ValueError: the labels are not integers, not of the same points and as many moments, or of fewer than
                `least` pairs.
        """
        pool = Pool.of(a, b, least)
        n = len(pool.agreements) // 2
        across = pool.agreements[:n, n:]
        within = pool.agreements[:n, :n] + pool.agreements[n:, n:]
        return cls(within - across - across.T, pool.comparisons)

    @property
    def smaller(self) -> int:
        """The number of pairs."""
        return len(self.kernel)

    @property
    def squared_distance(self) -> float:
        """That of the two groups, without bias."""
        n = self.smaller
        return float(self._with_others.sum()) / (n * (n - 1)) / self.comparisons

    @property
    def without(self) -> Floats:
        """The squared distance where one pair is left out, [pair]."""
        n, of_pair = self.smaller, self._with_others
        left: Floats = (of_pair.sum() - 2 * of_pair) / ((n - 1) * (n - 2)) / self.comparisons
        return left

    @property
    def jackknife_error(self) -> float:
        """Standard error of the squared distance."""
        return jackknife_error(self.without)

    @property
    def noise(self) -> PairedNoise:
        """That of the squared distance, from the covariance of pairs about their mean."""
        n = self.smaller
        centred = self.kernel - self.kernel.mean(axis=0)
        centred -= centred.mean(axis=1, keepdims=True)
        covariance = centred / (n * (n - 1)) / self.comparisons
        # A pair's covariance with itself would count its own noise as if it were shared by all.
        np.fill_diagonal(covariance, 0.0)
        strongest, square = float(np.linalg.eigvalsh(covariance)[-1]), float((covariance**2).sum())
        found = max(self.squared_distance, 0.0)
        linear = min(max(self.jackknife_error**2 - 4 * square, 0.0), 4 * strongest * found)
        return PairedNoise(strongest, square, n, found, linear)

    @property
    def _with_others(self) -> Floats:
        """The sum of H over all other pairs, [pair]."""
        sums: Floats = self.kernel.sum(axis=1) - self.kernel.diagonal()
        return sums


def jackknife_error(without: Floats) -> float:
    """The standard error of what is `without[i]` where the replica i is left out (Efron & Stein 1981)."""
    # The mean of equal numbers may differ from them by rounding, which would look like variance.
    return 0.0 if np.ptp(without) == 0 else math.sqrt((len(without) - 1) * float(without.var()))


def noise_of(a: Group, b: Group) -> DistanceNoise:
    """The noise of the squared distance of two groups of labels, from replicas about their group's mean, or from pairs.

    Of a pilot it tells `ilr.stats.sample_size` what other numbers of replicas detect; two halves of one group will do.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 3 replicas in a group; or the
            groups share some of their replicas.
    """
    if not are_paired("the noise of a distance", (a, b)):
        return noise_in(Pool.of(a.values, b.values, least=FEWEST))
    noise = Pairs.of(a.values, b.values, least=FEWEST).noise
    # Where another distance lies nothing is known: what was found here tells nothing of it.
    return DistanceNoise(noise.strongest, noise.square, noise.replicas)
