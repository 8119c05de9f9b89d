"""What rules on means have in common: t tests at the ends of a region, and how likely they decide."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import special

from ilr.stats.decision import Prediction
from ilr.stats.rule import Assessment, Chances, Floats, Range, Rule, Test, floor_of

DEVIATES: Floats = special.ndtri((np.arange(100) + 0.5) / 100)
"""Equally likely deviates of a normal number. Ten leave gaps: a power of 90% came out as 88% to 93%."""


@dataclass(frozen=True)
class Estimate:
    """What n replicas (of the smaller group, where there are two) tell of a quantity, whose error is Student's t."""

    value: float
    error: float
    """Standard error of the value."""
    df: float
    n: float
    skewness: float | None = None
    """Of the value, not of a replica: it falls with √n. None: no test allows for it."""

    def planned(self, replicas: int) -> Self:
        """What to expect of another number of replicas."""
        shrunk = math.sqrt(self.n / replicas)
        df = self.df * (replicas - 1) / (self.n - 1)
        skewness = None if self.skewness is None else self.skewness * shrunk
        return replace(self, error=self.error * shrunk, df=df, n=replicas, skewness=skewness)


def in_standard_errors(distance: float, error: float) -> float:
    """How many standard errors a distance is; infinitely many where these are zero, and then 0 counts as positive."""
    if error > 0:
        return distance / error
    return math.inf if distance >= 0 else -math.inf


def without_skewness(t: float, skewness: float) -> float:
    """Hall's (1992) cubic: what t would be had the estimate no skewness; it rises with t."""
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


def with_skewness(t: float, skewness: Floats) -> Floats:
    """The t that Hall's cubic takes to the one given, for each skewness."""
    skewed = np.abs(skewness) >= 1e-9
    divisor = np.where(skewed, skewness, 1.0)
    inverse = 3 / divisor * (np.cbrt(1 + divisor * (t - divisor / 6)) - 1)
    return np.where(skewed, inverse, t)


def pooled(
    value: float, variances: Sequence[float], sizes: Sequence[float], thirds: Sequence[float] | None = None
) -> Estimate:
    """A sum of independent estimates, with the degrees of freedom of Satterthwaite (1946).

    Args:
        value: the sum.
        variances: squared standard errors of the estimates.
        sizes: numbers of replicas they rest on.
        thirds: third cumulants of the estimates, if a test is to allow for their skewness.
    """
    total = math.fsum(variances)
    # Shares of the variance, as squares of tiny variances would vanish.
    shares = [variance / total if 0 < total < math.inf else 1 / len(variances) for variance in variances]
    df = 1 / sum(share**2 / (n - 1) for share, n in zip(shares, sizes, strict=True))
    skewness = None if thirds is None else skewness_of(total, math.fsum(thirds))
    return Estimate(value, math.sqrt(total), df, min(sizes), skewness)


def skewness_of(variance: float, third_cumulant: float) -> float:
    """The skewness of what has these cumulants; 0 where nothing varies."""
    unit = variance * math.sqrt(variance)
    return third_cumulant / unit if 0 < unit < math.inf else 0.0


@dataclass(frozen=True)
class Edge(Estimate):
    """The estimate of how far inside one edge of the region the truth lies.

    Each p-value is the larger one of Student's t and of Hall's t, which allows for the skewness of replicas: a mean
    that came out far from their long tail comes with a small standard error. Hall's alone would err more often than
    alpha where the skewness itself came out by chance.
    """

    @classmethod
    def above(cls, estimate: Estimate, bound: float) -> Self:
        """The lower edge of a region."""
        return cls(estimate.value - bound, estimate.error, estimate.df, estimate.n, estimate.skewness)

    @classmethod
    def below(cls, estimate: Estimate, bound: float) -> Self:
        """The upper edge of a region."""
        return cls.above(estimate, bound).mirrored

    @property
    def t(self) -> float:
        """The distance in standard errors."""
        return in_standard_errors(self.value, self.error)

    @property
    def outside(self) -> float:
        """The p-value of the hypothesis that the truth lies outside this edge."""
        return float(special.stdtr(self.df, -min(self._both)))

    @property
    def inside(self) -> float:
        """The p-value of the hypothesis that the truth lies inside this edge."""
        return float(special.stdtr(self.df, max(self._both)))

    @property
    def _both(self) -> tuple[float, float]:
        """Student's t and Hall's."""
        if self.skewness is None or not math.isfinite(self.t):
            return self.t, self.t
        return self.t, without_skewness(self.t, self.skewness)

    @property
    def mirrored(self) -> Self:
        """The edge of a region on its other side."""
        return replace(self, value=-self.value, skewness=None if self.skewness is None else -self.skewness)

    def critical(self, alpha: float) -> float:
        """The t that Student's test and Hall's both exceed with probability `alpha` at most, the truth at the edge."""
        # Of these two alone, whatever else must reject: intervals have their ends there.
        return float(Edge._criticals(self, alpha, math.inf, np.asarray(self.skewness or 0.0)))

    def found(self, alpha: float, width: float = math.inf) -> float:
        """The probability that the test to come exceeds its critical value, if this edge is what to expect.

        For a region `width` standard errors wide, an estimate as far beyond the other edge counts, too.
        """
        m = self.df + 1
        skewness = np.asarray([self.skewness or 0.0])
        if self.skewness is not None and m > 2:
            # Skewness that comes out by chance costs power: it has this standard deviation for m normal replicas.
            by_chance = math.sqrt(6 * (m - 1) / ((m - 2) * (m + 1) * (m + 3)))
            skewness = self.skewness + by_chance * DEVIATES
        return float(self._passed(self._criticals(alpha, width, skewness)).mean())

    def _criticals(self, alpha: float, width: float, skewness: Floats) -> Floats:
        """The t beyond which the test rejects, for each skewness; infinite if too few are equal."""
        if floor_of(self.error, self.n) > alpha:
            return np.full_like(skewness, math.inf)
        student = self._students(alpha, width)
        return np.maximum(student, with_skewness(student, skewness))

    def _students(self, alpha: float, width: float) -> float:
        if not 0 <= width < math.inf:
            return float(special.stdtrit(self.df, 1 - alpha))
        double = float(special.stdtrit(self.df, 1 - alpha / 2))
        # Two rounds are plenty; the second one errs upwards.
        for _ in range(2):
            double = float(special.stdtrit(self.df, 1 - alpha + special.stdtr(self.df, -double - width)))
        return double

    def _passed(self, critical: Floats) -> Floats:
        """The probability that the t to come exceeds each critical value, if this is the one to expect."""
        possible = np.isfinite(critical)
        finite = np.where(possible, critical, 0.0)
        # A noncentral t exceeds its critical value about as a normal one does: Abramowitz & Stegun 26.7.10.
        centre = finite * (1 - 1 / (4 * self.df))
        variance = 1 + finite**2 / (2 * self.df)
        return np.where(possible, special.ndtr((self.t - centre) / np.sqrt(variance)), 0.0)


class SignedEdge(Edge):
    """An edge where the sign-flip test must reject, too, as in `increasing`."""

    def _criticals(self, alpha: float, width: float, skewness: Floats) -> Floats:
        """Where both tests reject; infinite where even equal replicas are too few for the signs."""
        n, z = self.df + 1, float(special.ndtri(1 - alpha))
        if 2.0**-n > alpha or z**2 >= n:
            return np.full_like(skewness, math.inf)
        # A sum of coin tosses ± d is nearly normal with the variance Σ d²; that is how many standard errors, as a t.
        signs = z * math.sqrt((n - 1) / (n - z**2))
        return np.maximum(super()._criticals(alpha, width, skewness), signs)


def edge_chances(edges: Sequence[Edge], prediction: Prediction, also: Sequence[Edge] = ()) -> Chances[float]:
    """How likely t tests find a truth inside both edges of a region, and outside one or the other.

    The chance of the first is at least this, whatever the dependence of the tests.

    Args:
        edges: what to expect at the lower and at the upper edge.
        prediction: what is to be decided, at which levels.
        also: what must be found positive, too, for a truth to be found inside.
    """
    missed = sum(1 - edge.found(prediction.alpha) for edge in (*edges, *also))
    # How wide the region is, in standard errors.
    width = sum(edge.t for edge in edges)
    refuted = sum(edge.mirrored.found(prediction.strictest_alpha, width) for edge in edges)
    return Chances(reproduced=max(0.0, 1 - missed), refuted=refuted)


@dataclass(frozen=True)
class Mean:
    """The mean of a sample, and the second and third cumulant of that mean."""

    value: float
    variance: float
    third: float
    n: int

    @classmethod
    def of(cls, values: Floats, size: float = 0.0) -> "Mean":
        """Of `values` [replica], made from numbers that may be as large as `size`."""
        n = len(values)
        # Rounding would look like variance, be it of the mean of equal numbers or of equal differences.
        rounding = 4 * math.ulp(1.0) * size
        if values.max() - values.min() <= rounding:
            return cls(float(values[0]), 0.0, 0.0, n)
        mean = float(values.sum()) / n  # numpy's mean() and var() take several times as long of few numbers
        deviations = values - mean
        variance = float((deviations * deviations).sum()) / (n - 1)
        third = float((deviations * deviations * deviations).sum()) * n / ((n - 1) * (n - 2)) if n > 2 else 0.0
        return cls(mean, variance / n, third / n**2, n)

    @property
    def estimate(self) -> Estimate:
        """The mean with its standard error."""
        skewness = skewness_of(self.variance, self.third)
        return Estimate(self.value, math.sqrt(self.variance), self.n - 1, self.n, skewness)

    def times(self, factor: float) -> "Mean":
        """That of the sample, times a number."""
        return Mean(factor * self.value, factor**2 * self.variance, factor**3 * self.third, self.n)

    def less(self, other: "Mean", multiple: float) -> Estimate:
        """The mean less a multiple of another sample's, with Welch's (1947) degrees of freedom."""
        rest = other.times(-multiple)
        return pooled(
            self.value + rest.value, (self.variance, rest.variance), (self.n, rest.n), (self.third, rest.third)
        )


def _times(error: float, critical: float) -> float:
    """So many standard errors; where no number of them is enough, infinitely far even if they are 0."""
    return math.inf if critical == math.inf else error * critical


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
        return Estimate(0.0, self.standard_deviation / math.sqrt(replicas), replicas - 1, replicas, skewness=0.0)


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
        variances = group**2 / sizes[0], (multiple * reference) ** 2 / sizes[1]
        return pooled(0.0, variances, sizes, thirds=(0.0, 0.0))


class TTest(Rule):
    """A rule that tests an estimate, whose error is Student's t, at each end of its region."""

    rests_on = ", Student's and Hall's both, nearly exact for normal replicas"
    spread: ClassVar[type] = OneGroup
    edge: ClassVar[type[Edge]] = Edge

    def of_estimate(self, prediction: Prediction, found: Estimate) -> Assessment:
        """What t tests say of an estimate."""
        lower, upper = self.region(prediction)
        edges = self.edge.above(found, lower), self.edge.below(found, upper)
        # Each end of the interval errs with alpha, as each of the tests does.
        below, above = (edge.critical(prediction.alpha) for edge in edges)
        interval = found.value - _times(found.error, below), found.value + _times(found.error, above)
        return self.of_edges(prediction, found.value, edges, interval)

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
        least = floor_of(near.error, near.n)
        p, p_refuted = max(near.outside, far.outside, least), max(p_refuted, least)

        def outlook(replicas: int) -> Chances[float]:
            return edge_chances([edge.planned(replicas) for edge in edges], prediction)

        return Assessment(value, int(near.n), Test(p, p_refuted, interval), outlook)

    def room(self, prediction: Prediction, _: Any) -> tuple[float, float]:
        """Inside both ends of the region at most half its width."""
        lower, upper = self.region(prediction)
        return (upper - lower) / 2, math.inf

    def chances(self, prediction: Prediction, spread: Any, inside: float, replicas: int) -> Chances[float]:
        """The same near either end of the region, as what is expected of the estimate is the same."""
        lower, upper = self.region(prediction)
        expected = spread.expected(replicas)
        edges = [self.edge.above(expected, -distance) for distance in (inside, upper - lower - inside)]
        return edge_chances(edges, prediction)
