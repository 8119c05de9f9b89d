"""What rules on means have in common: t tests at the ends of a region, and how likely they decide."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import special

from ilr.stats.decision import Prediction
from ilr.stats.rule import Assessment, Chances, Floats, Range, Rule, Test, none_of


@dataclass(frozen=True)
class Estimate:
    """What n replicas (of the smaller group, where there are two) tell of a quantity, whose error is Student's t."""

    value: float
    error: float
    """Standard error of the value."""
    df: float
    n: float

    def planned(self, replicas: int) -> Self:
        """What to expect of another number of replicas."""
        error = self.error * math.sqrt(self.n / replicas)
        df = self.df * (replicas - 1) / (self.n - 1)
        return replace(self, error=error, df=df, n=replicas)


def in_standard_errors(distance: float, error: float) -> float:
    """How many standard errors a distance is; infinitely many where these are zero, and then 0 counts as positive."""
    if error > 0:
        return distance / error
    return math.inf if distance >= 0 else -math.inf


def floor_of(error: float, n: float) -> float:
    """The least p-value of n replicas: equal ones may hide a share of networks that differ, as in `universal`."""
    return 0.0 if error > 0 else none_of(int(n))


def pooled(value: float, variances: Sequence[float], sizes: Sequence[float]) -> Estimate:
    """A sum of independent estimates, with the degrees of freedom of Satterthwaite (1946).

    Args:
        value: the sum.
        variances: squared standard errors of the estimates.
        sizes: numbers of replicas they rest on.
    """
    total = math.fsum(variances)
    # Shares of the variance, as squares of tiny variances would vanish.
    shares = [variance / total if 0 < total < math.inf else 1 / len(variances) for variance in variances]
    df = 1 / sum(share**2 / (n - 1) for share, n in zip(shares, sizes, strict=True))
    return Estimate(value, math.sqrt(total), df, min(sizes))


@dataclass(frozen=True)
class Edge(Estimate):
    """The estimate of how far inside one edge of the region the truth lies."""

    @classmethod
    def of(cls, estimate: Estimate, distance: float) -> Self:
        """An edge that the estimate lies so far inside."""
        return cls(distance, estimate.error, estimate.df, estimate.n)

    @property
    def t(self) -> float:
        """The distance in standard errors."""
        return in_standard_errors(self.value, self.error)

    @property
    def outside(self) -> float:
        """The p-value of the hypothesis that the truth lies outside this edge."""
        return float(special.stdtr(self.df, -self.t))

    @property
    def inside(self) -> float:
        """The p-value of the hypothesis that the truth lies inside this edge."""
        return float(special.stdtr(self.df, self.t))

    @property
    def mirrored(self) -> Self:
        """The edge of a region on its other side."""
        return replace(self, value=-self.value)

    def critical(self, alpha: float, width: float = math.inf) -> float:
        """The t beyond which a truth at the edge comes with probability `alpha`.

        For a region `width` standard errors wide, an estimate as far beyond the other edge counts, too.
        """
        if not 0 <= width < math.inf:
            return float(special.stdtrit(self.df, 1 - alpha))
        double = float(special.stdtrit(self.df, 1 - alpha / 2))
        # Two rounds are plenty; the second one errs upwards.
        for _ in range(2):
            double = float(special.stdtrit(self.df, 1 - alpha + special.stdtr(self.df, -double - width)))
        return double

    def passed(self, critical: float) -> float:
        """The probability that the t to come exceeds a critical value, if this is the one to expect."""
        if critical == math.inf:
            return 0.0
        # A noncentral t exceeds its critical value about as a normal one does: Abramowitz & Stegun 26.7.10.
        centre = critical * (1 - 1 / (4 * self.df))
        standard_deviation = math.sqrt(1 + critical**2 / (2 * self.df))
        return float(special.ndtr((self.t - centre) / standard_deviation))


class SignedEdge(Edge):
    """An edge where the sign-flip test must reject, too, as in `increasing`."""

    def critical(self, alpha: float, width: float = math.inf) -> float:
        """The t beyond which both tests reject; infinite where even equal replicas are too few for the signs."""
        n, z = self.df + 1, float(special.ndtri(1 - alpha))
        if 2.0**-n > alpha or z**2 >= n:
            return math.inf
        # A sum of coin tosses ± d is nearly normal with the variance Σ d²; that is how many standard errors, as a t.
        return max(super().critical(alpha, width), z * math.sqrt((n - 1) / (n - z**2)))


def edge_chances(edges: Sequence[Edge], prediction: Prediction, also: Sequence[Edge] = ()) -> Chances[float]:
    """How likely t tests find a truth inside both edges of a region, and outside one or the other.

    The chance of the first is at least this, whatever the dependence of the tests.

    Args:
        edges: what to expect at the lower and at the upper edge.
        prediction: what is to be decided, at which levels.
        also: what must be found positive, too, for a truth to be found inside.
    """
    missed = sum(1 - edge.passed(edge.critical(prediction.alpha)) for edge in (*edges, *also))
    # How wide the region is, in standard errors.
    width = sum(edge.t for edge in edges)
    refuted = sum(edge.mirrored.passed(edge.critical(prediction.strictest_alpha, width)) for edge in edges)
    return Chances(reproduced=max(0.0, 1 - missed), refuted=refuted)


@dataclass(frozen=True)
class Mean:
    """The mean of a sample, and the variance of that mean."""

    value: float
    variance: float
    n: int

    @classmethod
    def of(cls, values: Floats) -> "Mean":
        """Of `values` [replica]."""
        # The mean of equal numbers may differ from them by rounding, which would look like variance.
        if np.ptp(values) == 0:
            return cls(float(values[0]), 0.0, len(values))
        return cls(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values))

    @property
    def estimate(self) -> Estimate:
        """The mean with its standard error."""
        return Estimate(self.value, math.sqrt(self.variance), self.n - 1, self.n)

    def times(self, factor: float) -> "Mean":
        """That of the sample, times a number."""
        return Mean(factor * self.value, factor**2 * self.variance, self.n)

    def less(self, other: "Mean", multiple: float) -> Estimate:
        """The mean less a multiple of another sample's, with Welch's (1947) degrees of freedom."""
        value = self.value - multiple * other.value
        return pooled(value, (self.variance, multiple**2 * other.variance), (self.n, other.n))


# What is known of replicas before they are trained


def check_positive(what: str, *values: float) -> None:
    """Refuse what no standard deviation, proportion or place can be."""
    for value in values:
        if not 0 < value < math.inf:
            raise ValueError(f"{what} is {value:g}, not a positive number")


@dataclass(frozen=True)
class OneGroup:
    """The standard deviation of a replica's number; for `slope` of its slope, for `increasing` of its rank correlation
    (1 / √(k - 1) without a trend).
    """

    standard_deviation: float

    def __post_init__(self) -> None:
        check_positive("the standard deviation", self.standard_deviation)

    def expected(self, replicas: float) -> Estimate:
        """What to expect of the mean of n replicas, where it is 0."""
        return Estimate(0.0, self.standard_deviation / math.sqrt(replicas), replicas - 1, replicas)


@dataclass(frozen=True)
class TwoGroups:
    """The standard deviations of a replica of a group and of its reference, for `ratio` in units of the reference's
    mean; and the proportion of the groups' sizes.
    """

    standard_deviations: tuple[float, float]
    proportion: tuple[float, float] = (1.0, 1.0)
    """Replicas are counted in the smaller group."""

    def __post_init__(self) -> None:
        check_positive("the standard deviation", *self.standard_deviations)
        check_positive("the proportion of the groups", *self.proportion)

    def sizes(self, replicas: int) -> tuple[float, float]:
        """The numbers of replicas of the two groups."""
        group, reference = (replicas * part / min(self.proportion) for part in self.proportion)
        return group, reference

    def expected(self, replicas: int, multiple: float = 1.0) -> Estimate:
        """What to expect of the group's mean less a multiple of the reference's, where that is 0."""
        sizes = self.sizes(replicas)
        group, reference = self.standard_deviations
        return pooled(0.0, [group**2 / sizes[0], (multiple * reference) ** 2 / sizes[1]], sizes)


class TTest(Rule):
    """A rule that tests an estimate, whose error is Student's t, at each end of its region."""

    rests_on = ", exact for normal replicas"
    spread: ClassVar[type] = OneGroup
    edge: ClassVar[type[Edge]] = Edge

    def of_estimate(self, prediction: Prediction, found: Estimate) -> Assessment:
        """What t tests say of an estimate."""
        lower, upper = self.region(prediction)
        edges = self.edge.of(found, found.value - lower), self.edge.of(found, upper - found.value)
        # Each end of the interval errs with alpha, as each of the tests does.
        half = found.error * float(special.stdtrit(found.df, 1 - prediction.alpha))
        return self.of_edges(prediction, found.value, edges, (found.value - half, found.value + half))

    def of_edges(self, prediction: Prediction, value: float, edges: tuple[Edge, Edge], interval: Range) -> Assessment:
        """What t tests say at the two edges of the region.

        Args:
            prediction: what is to be decided.
            value: the estimate.
            edges: how far inside the lower and the upper end of the region it lies.
            interval: the values that the tests do not reject.
        """
        near, far = sorted(edges, key=lambda edge: edge.t)
        # With the truth on the near edge, an estimate could be as far out on either side of the region. The far side
        # counts only if the region is as narrow as the noise; without it a margin of 0 would be refuted falsely at
        # 2 alpha.
        p_refuted = min(1.0, near.inside + far.outside)

        def outlook(replicas: int) -> Chances[float]:
            return edge_chances([edge.planned(replicas) for edge in edges], prediction)

        return Assessment(value, int(near.n), Test(max(near.outside, far.outside), p_refuted, interval), outlook)

    def room(self, prediction: Prediction, _: Any) -> tuple[float, float]:
        """Inside both ends of the region at most half its width."""
        lower, upper = self.region(prediction)
        return (upper - lower) / 2, math.inf

    def chances(self, prediction: Prediction, spread: Any, inside: float, replicas: int) -> Chances[float]:
        """The same near either end of the region, as what is expected of the estimate is the same."""
        lower, upper = self.region(prediction)
        expected = spread.expected(replicas)
        edges = [self.edge.of(expected, distance) for distance in (inside, upper - lower - inside)]
        return edge_chances(edges, prediction)
