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
functions are in `ilr.function_space`.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Concatenate, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ilr.verdicts import Finding, Prediction, Verdict, classify

Floats = NDArray[np.float64]
Region = tuple[float, float]
"""Lower and upper end of the accepted values; an open end is infinite."""
Arguments = ParamSpec("Arguments")

MOST_REPLICAS = 10_000
"""Where the search for the number of replicas needed gives up."""
VIOLATORS = 0.2
"""`universal` is to notice a world in which this share of the networks, or more, violates the identity."""


RULES: set[str] = set()
"""Names of the rules there are; a folder of claims may bring rules of its own."""


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

    RULES.add(decide.__name__)
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
    (mean, variance), (other_mean, other_variance) = _mean_and_its_variance(group), _mean_and_its_variance(other)
    total = variance + other_variance
    # Shares of the variance, as squares of tiny variances would vanish.
    share = variance / total if total else 0.5
    freedom = 1 / (share**2 / (len(group) - 1) + (1 - share) ** 2 / (len(other) - 1))
    test = "Two one-sided Welch t tests on the difference of two groups' means"
    n = min(len(group), len(other))
    return _t_finding(prediction, test, within(prediction), mean - other_mean, math.sqrt(total), freedom, n)


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
    test = "One-sided t test and sign-flip test on the mean rank correlation with the order of the columns"
    found = _of_mean(prediction, correlations, region, test, _sign_flips(correlations - region[0]))
    if found.replicas_needed is None or found.estimate == region[0]:
        return replace(found, replicas_needed=None)
    fewest = math.ceil(-math.log2(prediction.strictest_alpha))
    return replace(found, replicas_needed=max(found.replicas_needed, n + 1, fewest))


@rule
def universal(prediction: Prediction, values: ArrayLike) -> Finding:
    """Every one of `values` [replica] is at most `expected + margin`: for exact identities.

    A single violation refutes an identity: p = 1, p_refuted = 0. Without one, p = 0.8^n: how likely n replicas are to
    show none in a world in which a fifth of the networks violate it; a rarer violation is beyond what replicas can
    exclude. The estimate is the largest value, the interval runs from the smallest to the largest.
    """
    array, region = _replicas(prediction, values), below(prediction)
    largest, n, kept = float(array.max()), len(array), 1 - VIOLATORS
    holds = largest <= region[1]
    return finding(
        prediction,
        "Every replica must satisfy the identity and a single violation refutes it; if "
        f"{VIOLATORS:.0%} or more of all networks violated it, {n} replicas would show none with probability "
        f"{kept**n:.2g} at most, and REPRODUCED needs {prediction.alpha:g}",
        region,
        largest,
        (float(array.min()), largest),
        n,
        kept**n if holds else 1.0,
        1.0 if holds else 0.0,
        lambda: math.ceil(math.log(prediction.strictest_alpha) / math.log(kept)),
    )


@rule
def share_at_least(prediction: Prediction, successes: ArrayLike) -> Finding:
    """The share of replicas that succeed, `successes` [replica] being booleans, is at least `expected - margin`.

    The exact binomial test, with the interval of Clopper and Pearson (1934).

    Raises:
        ValueError: also where a value is neither true nor false, or `expected - margin` is not in (0, 1].
    """
    outcomes, region = _replicas(prediction, successes), above(prediction)
    bound, alpha, n, count = region[0], prediction.alpha, len(outcomes), int(outcomes.sum())
    if not np.isin(outcomes, (0, 1)).all():
        raise ValueError(f"{prediction.quantity!r} must be true or false for each replica")
    if not 0 < bound <= 1:
        raise ValueError(f"{prediction.quantity!r}: no test of a share of at least {bound:g}; it must be in (0, 1]")

    def replicas_needed() -> int | None:
        sizes, strictest = np.arange(2, MOST_REPLICAS + 1), prediction.strictest_alpha
        reproduced = stats.binom.sf(stats.binom.isf(strictest, sizes, bound), sizes, count / n)
        refuted = stats.binom.cdf(stats.binom.ppf(strictest, sizes, bound) - 1, sizes, count / n)
        decided = np.flatnonzero(reproduced + refuted >= prediction.power)
        return int(sizes[decided[0]]) if len(decided) else None

    return finding(
        prediction,
        with_errors(prediction, "Exact binomial test on the share of replicas"),
        region,
        count / n,
        (
            float(stats.beta.ppf(alpha, count, n - count + 1)) if count else 0.0,
            float(stats.beta.isf(alpha, count + 1, n - count)) if count < n else 1.0,
        ),
        n,
        float(stats.binom.sf(count - 1, n, bound)),
        float(stats.binom.cdf(count, n, bound)),
        replicas_needed,
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

    `replicas_needed` is called only where Holm's correction may leave it INCONCLUSIVE.
    """
    undecided = classify(p, p_refuted, prediction.strictest_alpha) is Verdict.INCONCLUSIVE
    lower, upper = (end if math.isfinite(end) else None for end in region)
    return Finding(
        name=prediction.quantity,
        estimate=estimate,
        interval=interval,
        expected=prediction.expected,
        margin=prediction.margin,
        accepted=(lower, upper),
        rule=rule_in_words,
        alpha=prediction.alpha,
        n=n,
        p=p,
        p_refuted=p_refuted,
        verdict=classify(p, p_refuted, prediction.alpha),
        replicas_needed=replicas_needed() if undecided else None,
    )


def in_standard_errors(distance: float, standard_error: float) -> float:
    """How many standard errors a distance is; infinitely many where these are zero, and then 0 counts as positive."""
    if standard_error > 0:
        return distance / standard_error
    return math.inf if distance >= 0 else -math.inf


def fewest_replicas(power: float, power_of: Callable[[int], float]) -> int | None:
    """The smallest number of replicas for which `power_of`, which rises with it, reaches `power`, if any does."""
    sizes = range(2, MOST_REPLICAS + 1)
    i = bisect_left(sizes, power, key=power_of)
    return sizes[i] if i < len(sizes) else None


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


def _of_mean(
    prediction: Prediction, values: Floats, region: Region, test: str, floors: tuple[float, float] = (0.0, 0.0)
) -> Finding:
    mean, variance = _mean_and_its_variance(values)
    n = len(values)
    return _t_finding(prediction, test, region, mean, math.sqrt(variance), n - 1, n, floors)


def _t_finding(
    prediction: Prediction,
    test: str,
    region: Region,
    estimate: float,
    standard_error: float,
    freedom: float,
    n: int,
    floors: tuple[float, float] = (0.0, 0.0),
) -> Finding:
    """The finding on an estimate whose error is Student's t; `p` and `p_refuted` are not below their `floors`."""
    lower, upper = region
    near, far = sorted(in_standard_errors(inside, standard_error) for inside in (estimate - lower, upper - estimate))
    # With the truth on the near edge, an estimate could be as far out on either side of the region. The far side counts
    # only if the region is as narrow as the noise; without it a margin of 0 would be refuted falsely at 2 alpha.
    p_refuted = min(1.0, float(special.stdtr(freedom, near) + special.stdtr(freedom, -far)))
    half = standard_error * float(special.stdtrit(freedom, 1 - prediction.alpha))

    def power_of(replicas: int) -> float:
        error = standard_error * math.sqrt(n / replicas)
        dof = freedom * (replicas - 1) / (n - 1)
        critical = float(special.stdtrit(dof, 1 - prediction.strictest_alpha))

        def passed(distance: float) -> float:
            # The noncentral t beyond its critical value: Abramowitz & Stegun 26.7.10.
            t = in_standard_errors(distance, error)
            return float(special.ndtr((t - critical * (1 - 1 / (4 * dof))) / math.sqrt(1 + critical**2 / (2 * dof))))

        reproduced = max(0.0, passed(estimate - lower) + passed(upper - estimate) - 1)
        return reproduced + passed(lower - estimate) + passed(estimate - upper)

    return finding(
        prediction,
        with_errors(prediction, test),
        region,
        estimate,
        (estimate - half, estimate + half),
        n,
        max(float(special.stdtr(freedom, -near)), floors[0]),
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
