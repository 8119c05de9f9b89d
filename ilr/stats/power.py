"""How likely a test decides: on it rests what rules say of the replicas needed, and `ilr.stats.sample_size` of those to
train.

There are two kinds of test. A t test asks how far inside each `Edge` of the accepted region an estimate lies, a
binomial test how many of the replicas succeed. `alpha` is the level of each test.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

MOST_REPLICAS = 10_000
"""Where the search for the number of replicas needed gives up."""


def fewest_replicas(power: float, power_of: Callable[[int], float], least: int = 2) -> int | None:
    """The smallest number of replicas, `least` or more, for which `power_of`, which rises with it, reaches `power`."""
    sizes = range(least, MOST_REPLICAS + 1)
    i = bisect_left(sizes, power, key=power_of)
    return sizes[i] if i < len(sizes) else None


def fewest_of_any(power: float, powers_of: Callable[[NDArray[np.int64]], Floats]) -> int | None:
    """The same for a power that rises and falls, as it does where replicas are counted: all numbers are tried."""
    sizes = np.arange(2, MOST_REPLICAS + 1)
    enough = np.flatnonzero(powers_of(sizes) >= power)
    return int(sizes[enough[0]]) if len(enough) else None


# Tests of a share


def deciding_counts(share: float, sizes: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """At most how many successes refute, and at least how many prove, that a `share` of the networks succeeds.

    For each of the numbers of replicas `sizes`; -1 refutes nothing, and more than there are prove nothing.
    """
    most = stats.binom.ppf(alpha, sizes, share)
    most = most - (stats.binom.cdf(most, sizes, share) > alpha)
    return most, stats.binom.isf(alpha, sizes, share) + 1


def share_chances(share: float, truth: float, sizes: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """How likely a `share` is refuted, and proved, where `truth` is the share of the networks that succeed: [size]."""
    most, fewest = deciding_counts(share, sizes, alpha)
    refuted: Floats = stats.binom.cdf(most, sizes, truth)
    proved: Floats = stats.binom.sf(fewest - 1, sizes, truth)
    return refuted, proved


# Tests of a mean


def in_standard_errors(distance: float, standard_error: float) -> float:
    """How many standard errors a distance is; infinitely many where these are zero, and then 0 counts as positive."""
    if standard_error > 0:
        return distance / standard_error
    return math.inf if distance >= 0 else -math.inf


def pooled(variances: Sequence[float], sizes: Sequence[float]) -> tuple[float, float]:
    """The standard error of a sum of independent estimates, and its degrees of freedom (Satterthwaite 1946).

    `variances` are those of the estimates, `sizes` the numbers of replicas they rest on.
    """
    total = math.fsum(variances)
    # Shares of the variance, as squares of tiny variances would vanish.
    shares = [variance / total if 0 < total < math.inf else 1 / len(variances) for variance in variances]
    return math.sqrt(total), 1 / sum(share**2 / (n - 1) for share, n in zip(shares, sizes, strict=True))


@dataclass(frozen=True)
class Edge:
    """How far an estimate lies inside one edge of the region, with the standard error of that distance."""

    distance: float
    standard_error: float
    freedom: float

    @property
    def t(self) -> float:
        """The distance in standard errors."""
        return in_standard_errors(self.distance, self.standard_error)

    @property
    def outside(self) -> float:
        """The p-value of the hypothesis that the truth lies outside this edge."""
        return float(special.stdtr(self.freedom, -self.t))

    @property
    def inside(self) -> float:
        """The p-value of the hypothesis that the truth lies inside this edge."""
        return float(special.stdtr(self.freedom, self.t))

    @property
    def mirrored(self) -> "Edge":
        """The edge of a region on its other side."""
        return replace(self, distance=-self.distance)

    def planned(self, n: int, replicas: int) -> "Edge":
        """What to expect of so many replicas in place of the n there are."""
        error, freedom = self.standard_error * math.sqrt(n / replicas), self.freedom * (replicas - 1) / (n - 1)
        return replace(self, standard_error=error, freedom=freedom)

    def critical(self, alpha: float, width: float = math.inf) -> float:
        """The t beyond which a truth at the edge comes with probability `alpha`.

        For a region `width` standard errors wide, an estimate as far beyond the other edge counts, too.
        """
        simple, double = (float(special.stdtrit(self.freedom, 1 - a)) for a in (alpha, alpha / 2))
        if not 0 <= width < math.inf:
            return simple
        # Two rounds are plenty; the second one errs upwards.
        for _ in range(2):
            double = float(special.stdtrit(self.freedom, 1 - alpha + special.stdtr(self.freedom, -double - width)))
        return double

    def passed(self, critical: float) -> float:
        """The probability that the t to come exceeds a critical value, if this is the one to expect."""
        if critical == math.inf:
            return 0.0
        # A noncentral t exceeds its critical value about as a normal one does: Abramowitz & Stegun 26.7.10.
        centre, spread = critical * (1 - 1 / (4 * self.freedom)), math.sqrt(1 + critical**2 / (2 * self.freedom))
        return float(special.ndtr((self.t - centre) / spread))


class SignedEdge(Edge):
    """An edge where the sign-flip test must reject, too, as in `increasing`."""

    def critical(self, alpha: float, width: float = math.inf) -> float:
        """The t beyond which both tests reject; infinite where even equal replicas are too few for the signs."""
        n, z = self.freedom + 1, float(special.ndtri(1 - alpha))
        if 2.0**-n > alpha or z**2 >= n:
            return math.inf
        # A sum of coin tosses ± d is nearly normal with the variance Σ d²; that is how many standard errors, as a t.
        return max(super().critical(alpha, width), z * math.sqrt((n - 1) / (n - z**2)))


def inside_chance(edges: Sequence[Edge], alpha: float) -> float:
    """How likely all the tests find a truth inside: at least this, whatever the dependence of the tests."""
    return max(0.0, 1 - sum(1 - edge.passed(edge.critical(alpha)) for edge in edges))


def outside_chance(edges: tuple[Edge, Edge], alpha: float) -> float:
    """How likely a truth is found outside one edge or the other."""
    width = sum(edge.t for edge in edges)
    return sum(edge.mirrored.passed(edge.critical(alpha, width)) for edge in edges)
