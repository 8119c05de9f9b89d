"""The noise of a squared distance of two groups: how its estimate scatters about the truth."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from ilr.stats.function_space.distances import Pool
from ilr.stats.rule import Floats
from ilr.stats.t_tests import in_standard_errors

LARGEST = 2.0
"""No squared distance is larger."""
TRUTHS = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 200) * LARGEST])
"""True squared distances that are tried where any beyond a bound may be the truth."""
FEWEST = 3
"""A smaller group has no noise that could be measured."""


@dataclass(frozen=True)
class DistanceNoise:
    """The noise of a squared distance, for any true distance: what `noise_of` a pilot tells.

    The estimate is |Δ + ε|² - E|ε|², where Δ is the difference of the two distributions and ε is nearly normal with
    covariance Σ. Its variance is 4 ΔΣΔ + 2 tr Σ² and its third cumulant 24 ΔΣΣΔ + 8 tr Σ³. Nothing is known of the
    direction of Δ where it is small, so the one with most noise is taken; tr Σ³ is left out, as that widens the tail.
    Like Imhof (1961) we take the gamma distribution of these moments; it then goes from the normal to Student's t, for
    Σ is estimated, too.
    """

    strongest: float
    """The largest eigenvalue of Σ."""
    square: float
    """tr Σ²."""
    replicas: int
    """n of the smaller group."""

    @property
    def df(self) -> int:
        """Degrees of freedom of Student's t."""
        return self.replicas - 1

    def planned(self, replicas: int) -> "DistanceNoise":
        """What to expect of another number of replicas: Σ is inversely proportional to it.

        But fewer replicas find its largest eigenvalue larger than it is: by 2 √(tr Σ² / N) for N in all where no
        direction stands out (Marchenko & Pastur 1967, without the diagonal), by less where one does.
        """
        ratio = self.replicas / replicas
        square = self.square * ratio**2
        too_large_then = 2 * math.sqrt(square / (2 * replicas))
        too_large_now = 2 * math.sqrt(square / (2 * self.replicas))
        strongest = self.strongest * ratio + max(too_large_then - too_large_now, 0.0)
        return DistanceNoise(strongest, square, replicas)

    @property
    def is_none(self) -> bool:
        """Whether all replicas are alike."""
        return not self.square

    def linear(self, distance: ArrayLike) -> Floats:
        """4 ΔΣΔ in the direction with most noise."""
        return 4 * self.strongest * np.maximum(distance, 0.0)

    def third(self, distance: ArrayLike) -> Floats:
        """The third cumulant, 24 ΔΣΣΔ, in the direction with most noise."""
        return np.asarray(24 * self.strongest**2 * np.maximum(distance, 0.0))

    def standard_deviation(self, distance: ArrayLike) -> Floats:
        """That of the estimate, for each true distance."""
        return np.sqrt(self.linear(distance) + 2 * self.square)

    def shape(self, distance: ArrayLike) -> Floats:
        """Shape of the gamma distribution, finite even without skewness."""
        skewness = 0.0 if self.is_none else self.third(distance) / self.standard_deviation(distance) ** 3
        return np.asarray(4 / np.maximum(skewness, 1e-3) ** 2)

    def lower_tail(self, deviates: Floats | float, distance: ArrayLike) -> Floats:
        """Probability of an estimate at most `deviates` standard deviations above the true distance."""
        shape = self.shape(distance)
        below = special.gammainc(shape, np.maximum(shape + deviates * np.sqrt(shape), 0.0))
        return np.asarray(special.stdtr(self.df, special.ndtri(below)))

    def lower_tails(self, estimate: float, distances: Floats) -> Floats:
        """Probability of at most this estimate, for each of the true distances, where there is noise: [distance]."""
        return self.lower_tail((estimate - distances) / self.standard_deviation(distances), distances)

    def at_or_beyond(self, estimate: float, bound: float) -> float:
        """Probability of at most this estimate with the truth on the bound or beyond it, where there is noise."""
        # Far below zero an estimate may be a little likelier from further away, where there is more noise.
        truths = np.append(bound, TRUTHS[bound < TRUTHS])
        return float(self.lower_tails(estimate, truths).max())

    def quantile(self, probability: float, distance: float) -> float:
        """The estimate that has `probability` in its lower tail."""
        shape = self.shape(distance)
        below = special.ndtr(special.stdtrit(self.df, probability))
        above_mean = special.gammaincinv(shape, below) - shape
        return distance + float(self.standard_deviation(distance) * above_mean / np.sqrt(shape))

    def upper_bound(self, estimate: float, alpha: float) -> float:
        """The true distance beyond which the estimate is in the lower tail of probability `alpha`."""
        if self.is_none:
            return estimate

        def excess(distance: float) -> float:
            return estimate - self.quantile(alpha, distance)

        possible = np.flatnonzero(self.lower_tails(estimate, TRUTHS) > alpha)
        if not possible.size:
            return excess(0.0)
        last = possible[-1]
        if TRUTHS[last] == LARGEST:
            return LARGEST
        return float(optimize.brentq(excess, TRUTHS[last], TRUTHS[last + 1]))

    def decided(self, distance: float, linear: float, bound: float, levels: tuple[float, float]) -> tuple[float, float]:
        """How likely a truth is found to be closer than a bound, and further.

        Args:
            distance: the truth.
            linear: 4 ΔΣΔ, and the variance of the bound.
            bound: what it is compared with.
            levels: of the test for closer, and of that for further.
        """
        standard_deviation = math.sqrt(linear + 2 * self.square)
        jackknife = math.sqrt(linear + 4 * self.square)

        def chance(beyond: float, critical: float) -> float:
            # How far a critical value is from the bound is estimated, too: of n - 1 degrees of freedom.
            error = math.hypot(standard_deviation, (critical - bound) / math.sqrt(2 * self.df))
            return float(special.ndtr(in_standard_errors(beyond, error)))

        most = self.quantile(levels[0], bound)
        least = bound + jackknife * float(special.stdtrit(self.df, 1 - levels[1]))
        return chance(most - distance, most), chance(distance - least, least)


def noise_in(pool: Pool) -> DistanceNoise:
    """The noise of the squared distance, from the covariance of replicas about the mean of their group."""
    centred = pool.agreements.copy()  # [replica, replica]
    weights = np.empty(len(centred))  # [replica]
    for group in (pool.members, ~pool.members):
        n = int(group.sum())
        centred[group] -= centred[group].mean(axis=0)
        centred[:, group] -= centred[:, group].mean(axis=1, keepdims=True)
        weights[group] = 1 / math.sqrt(n * (n - 1))
    covariance = centred * np.outer(weights, weights) / pool.comparisons
    # A replica's covariance with itself would count its own noise as if it were shared by all.
    np.fill_diagonal(covariance, 0.0)
    return DistanceNoise(float(np.linalg.eigvalsh(covariance)[-1]), float((covariance**2).sum()), pool.smaller)
