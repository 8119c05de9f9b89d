"""Rules on the mean of one number per replica, of a line or a trend fitted to each replica's row, or on two means."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from ilr.stats.decision import Prediction
from ilr.stats.groups import Group, are_paired
from ilr.stats.rule import Above, Assessment, Below, Chances, Floats, Range, Test, Within, floor_of, replicas_of
from ilr.stats.t_tests import Edge, Mean, OneGroup, SignedEdge, TTest, TwoGroups, edge_chances


class OneMean(TTest):
    """A rule on the mean of one number per replica."""

    def assess(self, prediction: Prediction, values: ArrayLike) -> Assessment:
        """A t test at each end of the region.

        Args:
            prediction: what is to be decided.
            values: one number per replica, [replica].
        """
        return self.of_estimate(prediction, Mean.of(replicas_of(prediction, values)).estimate)

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Replicas of standard deviation 0.3."""
        return (truth + 0.3 * noise.rvs(n, random_state=generator),)


class Equivalence(Within, OneMean):
    """The mean of `values` [replica] is `expected ± margin`: two one-sided t tests (Schuirmann 1987).

    For normal replicas they err with at most alpha, with skewed ones more often the fewer they are, and with rare
    outliers far more often.
    """

    name = "equivalence"
    test = "Two one-sided t tests on the mean"


class AtLeast(Above, OneMean):
    """The mean of `values` [replica] is at least `expected - margin`: a one-sided t test, as in `equivalence`."""

    name = "at_least"
    test = "One-sided t test on the mean"


class AtMost(Below, OneMean):
    """The mean of `values` [replica] is at most `expected + margin`: a one-sided t test, as in `equivalence`."""

    name = "at_most"
    test = "One-sided t test on the mean"


class Slope(Within, TTest):
    """The slope of `values` [replica, k] against `x` [k] is `expected ± margin`: two one-sided t tests on its mean.

    Each replica gives one least-squares slope, and the tests are those of `equivalence` on the slopes. For a power law
    pass the logarithms of both.

    Raises:
        ValueError: also where `x` is not k finite numbers, at least two of them different.
    """

    name = "slope"
    test = "Two one-sided t tests on the mean least-squares slope"

    def assess(self, prediction: Prediction, x: ArrayLike, values: ArrayLike) -> Assessment:
        """A t test of the mean slope, at each end of the region.

        Args:
            prediction: what is to be decided.
            x: places, [k].
            values: a number at each place, [replica, k].
        """
        rows, at = replicas_of(prediction, values, dimensions=2), np.asarray(x, np.float64)
        k = rows.shape[1]
        if at.shape != (k,) or not np.isfinite(at).all() or len(np.unique(at)) < 2:
            raise ValueError(f"{prediction.quantity!r}: x must be {k} finite numbers that are not all equal")
        lever = at - at.mean()  # [k]
        # A sum, not a matrix product: BLAS may round equal rows differently, but equal replicas must have no variance.
        slopes = (rows * lever).sum(axis=1) / (lever**2).sum()  # [replica]
        return self.of_estimate(prediction, Mean.of(slopes).estimate)

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Lines through 0 whose slopes have the standard deviation 0.3, and whose points 0.1."""
        x = np.array([0.0, 1.0, 2.0, 4.0])
        slopes = truth + 0.3 * noise.rvs((n, 1), random_state=generator)
        return x, slopes * x + 0.1 * noise.rvs((n, 4), random_state=generator)


class Increasing(Above, TTest):
    """`values` [replica, k] rise along the columns: their mean rank correlation is above 0.

    Each replica gives Spearman's correlation of its row with the order of the columns, in [-1, 1]; ties count as no
    trend. A one-sided t test on the mean and Fisher's (1935) sign-flip test must both reject, so the larger p-value is
    reported. The sign-flip test is exact where a row without trend is as likely as its mirror image, whatever the
    dependence within it: Page's (1963) test would take the values of one replica to be independent, which checkpoints
    of one training are not. It needs log2(1 / alpha) replicas, and a mean of 0 never reproduces. Correlations about
    another bound are no mirror images, and both tests err there: give `quantile_at_least` their `rank_correlations`.

    Raises:
        ValueError: also where `expected - margin` is not 0, or there are fewer than 3 columns.
    """

    name = "increasing"
    test = "One-sided t test and sign-flip test on the mean rank correlation with the order of the columns"
    edge = SignedEdge
    rests_on = ", exact where a row is as likely as its mirror image"

    def assess(self, prediction: Prediction, values: ArrayLike) -> Assessment:
        """The t test and the sign-flip test.

        Args:
            prediction: what is to be decided.
            values: a row for each replica, [replica, k].
        """
        rows = replicas_of(prediction, values, dimensions=2)
        columns = rows.shape[1]
        if columns < 3:
            raise ValueError(f"{prediction.quantity!r} has {columns} column(s): a trend needs at least 3")
        correlations = rank_correlations(rows)
        # Mirror images have no skewness: there is nothing to correct.
        found = self.of_estimate(prediction, replace(Mean.of(correlations).estimate, skewness=None))
        p, p_refuted = _sign_flips(correlations)
        t_test = found.test
        return replace(found, test=Test(max(t_test.p, p), max(t_test.p_refuted, p_refuted), t_test.interval))

    def replicas_needed(self, prediction: Prediction, found: Assessment) -> int | None:
        """More than there are, as the signs may leave open what the t test decides; `None` for a mean on the bound."""
        needed = super().replicas_needed(prediction, found)
        return None if needed is None or found.value == 0 else max(needed, found.n + 1)

    def region(self, prediction: Prediction) -> Range:
        """From 0, which `expected - margin` must be, up."""
        lower, upper = super().region(prediction)
        if lower != 0:
            raise ValueError(
                f"{prediction.quantity!r}: 'increasing' is calibrated for the bound 0 only, not {lower:g}; "
                "give 'quantile_at_least' the rank correlations"
            )
        return lower, upper

    def room(self, prediction: Prediction, _: Any) -> tuple[float, float]:
        """A correlation lies between -1 and 1."""
        self.region(prediction)
        return 1.0, 1.0

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Six columns; the truth is by how much a column lies above the one before, in standard deviations."""
        return (truth * np.arange(6) + noise.rvs((n, 6), random_state=generator),)


class GroupRule(Within, TTest):
    """A rule on the means of two groups, of the same replicas or of different ones."""

    spread = TwoGroups
    paired: ClassVar[str]
    """The test on pairs, in words."""

    def in_words(self, prediction: Prediction, *samples: Any) -> str:
        """The test that fits the groups."""
        words = super().in_words(prediction)
        return words.replace(self.test, self.paired) if are_paired(prediction.quantity, samples) else words


class EquivalenceOfGroups(GroupRule):
    """The mean of `group` [replica] less that of `reference` [replica] is `expected ± margin`.

    Groups of the same replicas are compared in pairs: two one-sided t tests on the mean difference, exact where that is
    normal. Groups that share no replica are independent: two Welch (1947) tests, nearly exact for normal replicas; then
    `replicas_needed` counts the smaller one, and takes the other to grow in proportion.
    """

    name = "equivalence_of_groups"
    test = "Two one-sided Welch t tests on the difference of two groups' means"
    paired = "Two one-sided t tests on the mean difference of pairs"

    def assess(self, prediction: Prediction, group: Group, reference: Group) -> Assessment:
        """A t test at each end of the region, on pairs or Welch's.

        Args:
            prediction: what is to be decided.
            group: a Group of one number per replica, [replica].
            reference: the other Group of one number per replica, [replica]; of the same replicas, or of none of them.
        """
        in_pairs = are_paired(prediction.quantity, (group, reference))
        values, others = replicas_of(prediction, group.values), replicas_of(prediction, reference.values)
        if in_pairs:
            size = max(np.abs(values).max(), np.abs(others).max())
            return self.of_estimate(prediction, Mean.of(values - others, size).estimate)
        return self.of_estimate(prediction, Mean.of(values).less(Mean.of(others), 1.0))

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Independent groups of standard deviation 0.3 and 0.2."""
        values, others = noise.rvs(n, random_state=generator), noise.rvs(n, random_state=generator)
        return Group(5 + truth + 0.3 * values, range(n)), Group(5 + 0.2 * others, range(n, 2 * n))


class Ratio(GroupRule):
    """The mean of `group` [replica] is `expected ± margin` times that of `reference` [replica], which is positive.

    The ratio exceeds a bound where mean(group) - bound · mean(reference) is positive: two one-sided tests of that
    difference, one at each bound (Sasabuchi 1988), need no ratio of random numbers. For groups of the same replicas
    they are t tests on group_i - bound · reference_i, otherwise Welch's, nearly exact for normal replicas. The interval
    holds the ratios they would not reject (Fieller 1954). Where the reference is not clearly positive, at the level
    alpha, any ratio is possible: then the interval is open and nothing is reproduced. `replicas_needed` counts as for
    `equivalence_of_groups`.

    Raises:
        ValueError: also where the mean of `reference` is not positive.
    """

    name = "ratio"
    test = "Two one-sided Welch t tests on one group's mean less a multiple of the other's, with Fieller's interval"
    paired = "Two one-sided t tests on the mean of pairs, one less a multiple of the other, with Fieller's interval"

    def assess(self, prediction: Prediction, group: Group, reference: Group) -> Assessment:
        """A t test at each bound, on pairs or Welch's, and one of whether the reference is positive.

        Args:
            prediction: what is to be decided.
            group: a Group of one number per replica, [replica].
            reference: the other Group of one number per replica, [replica]; of the same replicas, or of none of them.
        """
        in_pairs = are_paired(prediction.quantity, (group, reference))
        values, others = replicas_of(prediction, group.values), replicas_of(prediction, reference.values)
        of_values, of_others = Mean.of(values), Mean.of(others)
        if of_others.value <= 0:
            mean = f"{of_others.value:g}"
            raise ValueError(f"{prediction.quantity!r} has a reference of mean {mean}: a ratio needs a positive one")

        largest, largest_other = float(np.abs(values).max()), float(np.abs(others).max())

        def less(across: float, along: float) -> Edge:
            """How far across · group - along · reference is above 0."""
            if in_pairs:
                size = max(abs(across) * largest, abs(along) * largest_other)
                found = Mean.of(across * values - along * others, size).estimate
            else:
                found = of_values.times(across).less(of_others, along)
            return Edge.above(found, 0.0)

        lower, upper = (less(1.0, bound) for bound in self.region(prediction))
        p_positive = Edge.above(of_others.estimate, 0.0).outside
        # Of what may be divided by zero nothing is known.
        interval = -math.inf, math.inf
        if p_positive <= prediction.alpha:
            interval = _fieller(of_values, of_others, less, prediction.alpha)
        # A difference that is positive lies inside the lower bound, and outside the upper one.
        found = self.of_edges(prediction, of_values.value / of_others.value, (lower, upper.mirrored), interval)
        return replace(found, test=replace(found.test, p=max(found.test.p, p_positive)))

    def chances(self, prediction: Prediction, spread: TwoGroups, inside: float, replicas: int) -> Chances[float]:
        """Of a truth near either bound, in units of the reference's mean, which must be found positive, too."""
        lower, upper = self.region(prediction)
        reference = OneGroup(spread.standard_deviations[1]).expected(spread.sizes(replicas)[1])
        positive = Edge.above(reference, -1.0)

        def near(bound: float, other: float) -> Chances[float]:
            at_bound = Edge.above(spread.expected(replicas, bound), -inside)
            at_other = Edge.above(spread.expected(replicas, other), inside - (upper - lower))
            return edge_chances([at_bound, at_other], prediction, also=[positive])

        one, other = near(lower, upper), near(upper, lower)
        return Chances(min(one.reproduced, other.reproduced), min(one.refuted, other.refuted))

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Independent groups of standard deviation 0.3, the reference of mean 2."""
        values, others = noise.rvs(n, random_state=generator), noise.rvs(n, random_state=generator)
        return Group(2 * truth + 0.3 * values, range(n)), Group(2 + 0.3 * others, range(n, 2 * n))


def rank_correlations(values: ArrayLike) -> Floats:
    """Spearman's correlation of each row of `values` [replica, k] with the order of its columns, [replica].

    >>> rank_correlations([[1.0, 2.0, 5.0], [3.0, 2.0, 1.0], [4.0, 4.0, 4.0]])
    array([ 1., -1.,  0.])
    """
    rows = np.asarray(values, np.float64)
    # Centred, so that the ranks of a row need not be; ties count as no trend.
    order = np.arange(rows.shape[1]) - (rows.shape[1] - 1) / 2
    correlations: Floats = (stats.rankdata(rows, axis=1) * order).sum(axis=1) / (order**2).sum()
    return correlations


def _fieller(group: Mean, other: Mean, less: Callable[[float, float], Edge], alpha: float) -> Range:
    """The ratios of two means that a t test does not reject on either side, if the mean of `other` is positive.

    Args:
        group: the mean above.
        other: the mean below.
        less: how far above 0 a multiple of the one less a multiple of the other is.
        alpha: level of the tests.
    """
    estimate = group.value / other.value
    scale = max(abs(estimate), math.sqrt(group.variance) / other.value)
    if scale == 0 or group.variance == other.variance == 0:
        known = floor_of(0.0, min(group.n, other.n)) <= alpha
        return (estimate, estimate) if known else (-math.inf, math.inf)

    def excess(angle: float, side: int) -> float:
        # Angles make a bounded search of all ratios, scale · tan(angle); the ends are those of the reference alone.
        edge = less(math.cos(angle), math.sin(angle) * scale)
        return (edge if side > 0 else edge.mirrored).outside - alpha

    # At a right angle the reference is all there is, and that it is positive is clear at the level alpha: so the excess
    # changes its sign on the way there.
    middle = math.atan(estimate / scale)
    low = optimize.brentq(excess, middle, -math.pi / 2, args=(1,), xtol=1e-15)
    high = optimize.brentq(excess, middle, math.pi / 2, args=(-1,), xtol=1e-15)
    return scale * math.tan(low), scale * math.tan(high)


def _sign_flips(deviations: Floats) -> tuple[float, float]:
    """How likely a sum of `deviations` is at least, and at most, as large as theirs if each sign were a coin toss."""
    # Rounding keeps the symmetry that makes the test exact, and whole numbers let convolution count the 2^n sums.
    hundredths = np.rint(100 * deviations).astype(int)
    # chances[s]: that the sizes of those that come out positive have the sum s.
    chances = np.ones(1)
    for size in np.abs(hundredths):
        negative, none = chances / 2, np.zeros(size)
        chances = np.append(negative, none) + np.append(none, negative)
    positive = hundredths[hundredths > 0].sum()
    return min(1.0, float(chances[positive:].sum())), min(1.0, float(chances[: positive + 1].sum()))


equivalence = Equivalence()
equivalence_of_groups = EquivalenceOfGroups()
ratio = Ratio()
at_least = AtLeast()
at_most = AtMost()
slope = Slope()
increasing = Increasing()
