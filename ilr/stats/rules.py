"""Rules that decide a prediction from one number, or one row of numbers, per replica.

A rule takes a `Prediction` and the data, replica axis first, and returns a `Finding`. It asks whether the truth lies in
the region the prediction accepts: `expected ± margin`, or for a bound from one side only that end of it.

- `p` belongs to the hypothesis "the truth lies outside the region": small means REPRODUCED.
- `p_refuted` belongs to the hypothesis "the truth lies inside the region": small means REFUTED.
- Each of the two errors has probability at most `alpha`. The interval reported has confidence 1 - 2 alpha: REPRODUCED
  means that it lies inside the region, REFUTED that it lies wholly outside.

The replica (one seed) is the unit of analysis, always: what happens within one training is summarised before anything
is tested. Every rule raises ValueError, naming the quantity, where the prediction asks for another rule, where there
are fewer than 2 replicas, where the axes are wrong and where a value is not finite. The rules on whole distributions of
functions are in `ilr.stats.function_space`, those on what only a group of replicas has in `ilr.stats.jackknife`. How
many replicas to train for a rule to decide is in `ilr.stats.sample_size`.

A t test is exact for normal replicas only. What skewed and heavy-tailed ones do to it is measured in
`docs/calibration.md`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Concatenate, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from ilr.stats.decision import Finding, Prediction, Verdict, classify
from ilr.stats.power import (
    Edge,
    Floats,
    SignedEdge,
    deciding_counts,
    fewest_of_any,
    fewest_replicas,
    in_standard_errors,
    inside_chance,
    outside_chance,
    pooled,
    share_chances,
)

Region = tuple[float, float]
"""Lower and upper end of the accepted values; an open end is infinite."""
Arguments = ParamSpec("Arguments")

VIOLATORS = 0.2
"""`universal` is to notice a world in which this share of the networks, or more, violates the identity."""


def rule(
    decide: Callable[Concatenate[Prediction, Arguments], Finding],
) -> Callable[Concatenate[Prediction, Arguments], Finding]:
    """Make a function a rule: it refuses a prediction that was written down for another one."""

    @wraps(decide)
    def checked(prediction: Prediction, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Finding:
        if prediction.rule != decide.__name__:
            raise ValueError(
                f"{prediction.quantity!r} is to be decided by {prediction.rule!r}, not {decide.__name__!r}"
            )
        return decide(prediction, *args, **kwargs)

    return checked


@rule
def equivalence(prediction: Prediction, values: ArrayLike) -> Finding:
    """The mean of `values` [replica] is `expected ± margin`: two one-sided t tests (Schuirmann 1987)."""
    return _of_mean(prediction, _replicas(prediction, values), within(prediction), "Two one-sided t tests on the mean")


@rule
def equivalence_of_groups(prediction: Prediction, values: ArrayLike, reference: ArrayLike) -> Finding:
    """The mean of `values` [replica] less that of `reference` [replica] is `expected ± margin`: two Welch (1947) tests.

    The two groups must be independent, so they share no seed. `replicas_needed` counts the smaller one, and takes the
    other to grow in proportion.
    """
    group, other = _replicas(prediction, values), _replicas(prediction, reference)
    test = "Two one-sided Welch t tests on the difference of two groups' means"
    return of_estimate(prediction, test, within(prediction), *_welch(group, other, 1.0), min(len(group), len(other)))


@rule
def ratio(prediction: Prediction, values: ArrayLike, reference: ArrayLike) -> Finding:
    """The mean of `values` [replica] is `expected ± margin` times that of `reference` [replica], which is positive.

    The ratio exceeds a bound where mean(values) - bound · mean(reference) is positive: two one-sided Welch tests of
    that difference, one at each bound (Sasabuchi 1988), need no ratio of random numbers. The interval holds the ratios
    they would not reject (Fieller 1954). Where the reference is not clearly positive, at the level alpha, any ratio is
    possible: then the interval is open and nothing is reproduced. The groups must be independent, so they share no
    seed; `replicas_needed` counts as for `equivalence_of_groups`.

    Raises:
        ValueError: also where the mean of `reference` is not positive.
    """
    group, other = _replicas(prediction, values), _replicas(prediction, reference)
    mean, variance = _mean_and_its_variance(other)
    if mean <= 0:
        raise ValueError(f"{prediction.quantity!r} has a reference of mean {mean:g}: a ratio needs a positive one")
    region = within(prediction)
    lower, upper = (Edge(*_welch(group, other, bound)) for bound in region)
    positive = Edge(mean, math.sqrt(variance), len(other) - 1)
    return _of_edges(
        prediction,
        "Two one-sided Welch t tests on one group's mean less a multiple of the other's, with Fieller's interval",
        region,
        (lower, upper.mirrored),
        float(_mean_and_its_variance(group)[0] / mean),
        _fieller(group, other, prediction.alpha) if positive.outside <= prediction.alpha else (-math.inf, math.inf),
        min(len(group), len(other)),
        (positive.outside, 0.0),
    )


@rule
def at_least(prediction: Prediction, values: ArrayLike) -> Finding:
    """The mean of `values` [replica] is at least `expected - margin`: a one-sided t test."""
    return _of_mean(prediction, _replicas(prediction, values), above(prediction), "One-sided t test on the mean")


@rule
def at_most(prediction: Prediction, values: ArrayLike) -> Finding:
    """The mean of `values` [replica] is at most `expected + margin`: a one-sided t test."""
    return _of_mean(prediction, _replicas(prediction, values), below(prediction), "One-sided t test on the mean")


@rule
def slope(prediction: Prediction, x: ArrayLike, values: ArrayLike) -> Finding:
    """The slope of `values` [replica, k] against `x` [k] is `expected ± margin`: two one-sided t tests on its mean.

    Each replica gives one least-squares slope. For a power law pass the logarithms of both.

    Raises:
        ValueError: also where `x` is not k finite numbers, at least two of them different.
    """
    rows, at = _replicas(prediction, values, dimensions=2), np.asarray(x, np.float64)
    if at.shape != rows.shape[1:] or not np.isfinite(at).all() or len(np.unique(at)) < 2:
        raise ValueError(f"{prediction.quantity!r}: x must be {rows.shape[1]} finite numbers that are not all equal")
    lever = at - at.mean()
    # A sum, not a matrix product: BLAS may round equal rows differently, but equal replicas must have no variance.
    slopes = (rows * lever).sum(axis=1) / (lever**2).sum()
    return _of_mean(prediction, slopes, within(prediction), "Two one-sided t tests on the mean least-squares slope")


@rule
def increasing(prediction: Prediction, values: ArrayLike) -> Finding:
    """`values` [replica, k] rise along the columns: their mean rank correlation is at least `expected - margin`.

    Each replica gives Spearman's correlation of its row with the order of the columns, in [-1, 1]; ties count as no
    trend. A one-sided t test on the mean and Fisher's (1935) sign-flip test must both reject, so the larger p-value is
    reported. The sign-flip test is exact where a row without trend is as likely as its mirror image, whatever the
    dependence within it: Page's (1963) test would take the values of one replica to be independent, which checkpoints
    of one training are not. It needs log2(1 / alpha) replicas, and a mean exactly on the bound never reproduces.

    Raises:
        ValueError: also where there are fewer than 3 columns.
    """
    rows = _replicas(prediction, values, dimensions=2)
    n, columns = rows.shape
    if columns < 3:
        raise ValueError(f"{prediction.quantity!r} has {columns} column(s): a trend needs at least 3")
    order = np.arange(columns) - (columns - 1) / 2
    correlations = (stats.rankdata(rows, axis=1) * order).sum(axis=1) / (order**2).sum()
    region = above(prediction)
    mean, variance = _mean_and_its_variance(correlations)
    found = of_estimate(
        prediction,
        "One-sided t test and sign-flip test on the mean rank correlation with the order of the columns",
        region,
        mean,
        math.sqrt(variance),
        n - 1,
        n,
        _sign_flips(correlations - region[0]),
        SignedEdge,
    )
    if found.replicas_needed is None or mean == region[0]:
        return replace(found, replicas_needed=None)
    return replace(found, replicas_needed=max(found.replicas_needed, n + 1))


@rule
def universal(prediction: Prediction, values: ArrayLike) -> Finding:
    """Every one of `values` [replica] is at most `expected + margin`: for exact identities.

    A single violation refutes an identity: p = 1, p_refuted = 0. Without one, p = 0.8^n: how likely n replicas are to
    show none in a world in which a fifth of the networks violate it; a rarer violation is beyond what replicas can
    exclude. The estimate is the largest value, the interval runs from the smallest to the largest.
    """
    array, region = _replicas(prediction, values), below(prediction)
    largest, n = float(array.max()), len(array)
    holds = largest <= region[1]
    return finding(
        prediction,
        "Every replica must satisfy the identity and a single violation refutes it; if "
        f"{VIOLATORS:.0%} or more of all networks violated it, {n} replicas would show none with probability "
        f"{unviolated(n):.2g} at most, and REPRODUCED needs {prediction.alpha:g}",
        region,
        largest,
        (float(array.min()), largest),
        n,
        unviolated(n) if holds else 1.0,
        1.0 if holds else 0.0,
        lambda: fewest_replicas(1.0, lambda size: float(unviolated(size) <= prediction.strictest_alpha)),
    )


@rule
def share_at_least(prediction: Prediction, successes: ArrayLike) -> Finding:
    """The share of replicas that succeed, `successes` [replica] being booleans, is at least `expected - margin`.

    The exact binomial test, with the interval of Clopper and Pearson (1934).

    Raises:
        ValueError: also where a value is neither true nor false, or `expected - margin` is not in (0, 1].
    """
    outcomes, region = _replicas(prediction, successes), above(prediction)
    alpha, n, count = prediction.alpha, len(outcomes), int(outcomes.sum())
    if not np.isin(outcomes, (0, 1)).all():
        raise ValueError(f"{prediction.quantity!r} must be true or false for each replica")
    check_share(prediction, region[0])
    interval = (
        float(stats.beta.ppf(alpha, count, n - count + 1)) if count else 0.0,
        float(stats.beta.isf(alpha, count + 1, n - count)) if count < n else 1.0,
    )
    test = "Exact binomial test on the share of replicas"
    return _of_share(prediction, test, region, region[0], outcomes, count / n, interval)


@rule
def quantile_at_least(prediction: Prediction, values: ArrayLike, share: float) -> Finding:
    """A share of at least `share` of the networks has a value of at least `expected - margin`.

    That is a lower bound on the value that so many networks reach, the quantile 1 - `share`: for what happens again and
    again, not on average. Exact whatever the distribution, as only the replicas that reach the bound are counted; the
    estimate and the interval of the quantile are order statistics.

    Raises:
        ValueError: also where `share` is not in (0, 1].
    """
    array, region = _replicas(prediction, values), above(prediction)
    check_share(prediction, share)
    n = len(array)
    # The largest value that 0, 1, ... n replicas reach, and beyond: that of none, and that of more than there are.
    reached = np.array([math.inf, *np.sort(array)[::-1], -math.inf])
    most, fewest = (int(count) for count in deciding_counts(share, n, prediction.alpha))
    return _of_share(
        prediction,
        f"Exact binomial test on the share of replicas that reach the bound, which is to be {share:g} or more",
        region,
        share,
        array >= region[0],
        float(reached[max(1, math.ceil(share * n))]),
        (float(reached[fewest]), float(reached[most + 1])),
    )


def within(prediction: Prediction) -> Region:
    """The region `expected ± margin`."""
    return prediction.expected - prediction.margin, prediction.expected + prediction.margin


def above(prediction: Prediction) -> Region:
    """The region from `expected - margin` up."""
    return prediction.expected - prediction.margin, math.inf


def below(prediction: Prediction) -> Region:
    """The region up to `expected + margin`."""
    return -math.inf, prediction.expected + prediction.margin


def check_share(prediction: Prediction, share: float) -> None:
    """Refuse a share of the networks that no test can be of."""
    if not 0 < share <= 1:
        raise ValueError(f"{prediction.quantity!r}: no test of a share of at least {share:g}; it must be in (0, 1]")


def unviolated(n: int) -> float:
    """How likely n replicas are to show no violation of an identity that a fifth of the networks violate."""
    return (1 - VIOLATORS) ** n


def _open(ends: Region) -> tuple[float | None, float | None]:
    low, high = (end if math.isfinite(end) else None for end in ends)
    return low, high


def with_errors(prediction: Prediction, test: str) -> str:
    """A rule in words: the test, what it counts, and its error rates."""
    errors = f"false REPRODUCED and false REFUTED each with probability ≤ {prediction.alpha:g}"
    return f"{test}; the replica is the unit, {errors}"


def finding(
    prediction: Prediction,
    rule_in_words: str,
    region: Region,
    estimate: float,
    interval: tuple[float, float],
    n: int,
    p: float,
    p_refuted: float,
    replicas_needed: Callable[[], int | None],
) -> Finding:
    """The finding on a prediction, decided by itself.

    An infinite end of the region or of the interval is open. `replicas_needed` is called only where Holm's correction
    may leave the finding INCONCLUSIVE.
    """
    undecided = classify(p, p_refuted, prediction.strictest_alpha) is Verdict.INCONCLUSIVE
    return Finding(
        name=prediction.quantity,
        estimate=estimate,
        interval=_open(interval),
        expected=prediction.expected,
        margin=prediction.margin,
        accepted=_open(region),
        rule=rule_in_words,
        alpha=prediction.alpha,
        n=n,
        p=p,
        p_refuted=p_refuted,
        verdict=classify(p, p_refuted, prediction.alpha),
        replicas_needed=replicas_needed() if undecided else None,
    )


def _replicas(prediction: Prediction, values: ArrayLike, dimensions: int = 1) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != dimensions:
        axes = ("replica", "column")[:dimensions]
        raise ValueError(f"{prediction.quantity!r} must have the axes [{', '.join(axes)}], not the shape {array.shape}")
    if len(array) < 2:
        raise ValueError(f"{prediction.quantity!r} has {len(array)} replica(s): a decision needs at least 2")
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise ValueError(f"{prediction.quantity!r} holds {bad} non-finite value(s): a replica diverged")
    return array


def _mean_and_its_variance(values: Floats) -> tuple[float, float]:
    # The mean of equal numbers may differ from them by rounding, which would look like variance.
    if np.ptp(values) == 0:
        return float(values[0]), 0.0
    return float(values.mean()), float(values.var(ddof=1)) / len(values)


def _welch(group: Floats, other: Floats, bound: float) -> tuple[float, float, float]:
    """The mean of `group` less `bound` times that of `other`, its standard error, and its degrees of freedom (1947)."""
    (mean, variance), (other_mean, other_variance) = _mean_and_its_variance(group), _mean_and_its_variance(other)
    error, freedom = pooled((variance, bound**2 * other_variance), (len(group), len(other)))
    return mean - bound * other_mean, error, freedom


def _fieller(group: Floats, other: Floats, alpha: float) -> tuple[float, float]:
    """The ratios of two means that Welch's test does not reject on either side, if the mean of `other` is positive."""
    (mean, variance), (other_mean, other_variance) = _mean_and_its_variance(group), _mean_and_its_variance(other)
    estimate = mean / other_mean
    scale = max(abs(estimate), math.sqrt(variance) / other_mean)
    if scale == 0 or variance == other_variance == 0:
        return estimate, estimate

    def excess(angle: float, side: int) -> float:
        # Angles make a bounded search of all ratios, scale · tan(angle); the ends are those of the reference alone.
        across, along = math.cos(angle), math.sin(angle) * scale
        parts = across**2 * variance, along**2 * other_variance
        error, freedom = pooled(parts, (len(group), len(other)))
        t = in_standard_errors(side * (across * mean - along * other_mean), error)
        return float(special.stdtr(freedom, -t)) - alpha

    middle = math.atan(estimate / scale)
    ends = (optimize.brentq(excess, middle, side * math.pi / 2, (-side,), 1e-15) for side in (-1, 1))
    low, high = (scale * math.tan(end) for end in ends)
    return low, high


def _of_share(
    prediction: Prediction,
    test: str,
    region: Region,
    share: float,
    outcomes: NDArray[np.generic],
    estimate: float,
    interval: tuple[float, float],
) -> Finding:
    """The finding on whether a `share` of the networks, or more, have the outcome that so many replicas have."""
    n, count = len(outcomes), int(outcomes.sum())

    def powers_of(sizes: NDArray[np.int64]) -> Floats:
        refuted, proved = share_chances(share, count / n, sizes, prediction.strictest_alpha)
        return refuted + proved

    return finding(
        prediction,
        with_errors(prediction, test),
        region,
        estimate,
        interval,
        n,
        float(stats.binom.sf(count - 1, n, share)),
        float(stats.binom.cdf(count, n, share)),
        lambda: fewest_of_any(prediction.power, powers_of),
    )


def _of_mean(prediction: Prediction, values: Floats, region: Region, test: str) -> Finding:
    mean, variance = _mean_and_its_variance(values)
    return of_estimate(prediction, test, region, mean, math.sqrt(variance), len(values) - 1, len(values))


def of_estimate(
    prediction: Prediction,
    test: str,
    region: Region,
    estimate: float,
    standard_error: float,
    freedom: float,
    n: int,
    floors: tuple[float, float] = (0.0, 0.0),
    edge: type[Edge] = Edge,
) -> Finding:
    """The finding on an estimate whose error is Student's t; `p` and `p_refuted` are not below their `floors`."""
    edges = edge(estimate - region[0], standard_error, freedom), edge(region[1] - estimate, standard_error, freedom)
    half = standard_error * float(special.stdtrit(freedom, 1 - prediction.alpha))
    return _of_edges(prediction, test, region, edges, estimate, (estimate - half, estimate + half), n, floors)


def _of_edges(
    prediction: Prediction,
    test: str,
    region: Region,
    edges: tuple[Edge, Edge],
    estimate: float,
    interval: tuple[float, float],
    n: int,
    floors: tuple[float, float],
) -> Finding:
    near, far = sorted(edges, key=lambda edge: edge.t)
    # With the truth on the near edge, an estimate could be as far out on either side of the region. The far side counts
    # only if the region is as narrow as the noise; without it a margin of 0 would be refuted falsely at 2 alpha.
    p_refuted = min(1.0, near.inside + far.outside)

    def power_of(replicas: int) -> float:
        then = edges[0].planned(n, replicas), edges[1].planned(n, replicas)
        alpha = prediction.strictest_alpha
        return inside_chance(then, alpha) + outside_chance(then, alpha)

    return finding(
        prediction,
        with_errors(prediction, f"{test}, exact for normal replicas"),
        region,
        estimate,
        interval,
        n,
        max(*(edge.outside for edge in edges), floors[0]),
        max(p_refuted, floors[1]),
        lambda: fewest_replicas(prediction.power, power_of),
    )


def _sign_flips(deviations: Floats) -> tuple[float, float]:
    """How likely a sum of `deviations` is at least, and at most, as large as theirs if each sign were a coin toss."""
    # Rounding keeps the symmetry that makes the test exact, and whole numbers let convolution count the 2^n sums.
    hundredths = np.rint(100 * deviations).astype(int)
    chances = np.ones(1)
    for size in np.abs(hundredths):
        flipped = np.zeros((2, len(chances) + size))
        flipped[0, : len(chances)] = flipped[1, size:] = chances / 2
        chances = flipped.sum(axis=0)
    positive = hundredths[hundredths > 0].sum()
    return min(1.0, float(chances[positive:].sum())), min(1.0, float(chances[: positive + 1].sum()))
