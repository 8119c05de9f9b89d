"""Distances between distributions of functions: how differently two groups of replicas classify the same test points.

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
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from ilr.stats.decision import Finding, Prediction
from ilr.stats.power import Floats, fewest_replicas, in_standard_errors
from ilr.stats.rules import Region, above, below, finding, rule, with_errors

Labels = NDArray[np.integer]
Members = NDArray[np.bool_]

PERMUTATIONS = 4999
"""How often `differ` exchanges replicas: enough for an alpha of 0.005 over a family of twenty-five."""

LARGEST = 2.0
"""No squared distance is larger."""
TRUTHS = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 200) * LARGEST])
"""True squared distances that are tried where any beyond a bound may be the truth."""
FEWEST = 3
"""So many replicas in a group have a noise."""


def agreement(a: ArrayLike, b: ArrayLike) -> Floats:
    """The share of points on which replicas agree, for `a` [n, point] and `b` [m, point]: [n, m].

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
    first, second = _groups(a, b, least=2)
    pooled, members = _pool(first, second)
    return float(_squared_distances(pooled, members, ~members) / _comparisons(first, first))


def l1_distance(a: ArrayLike, b: ArrayLike) -> float:
    """The plug-in estimate of Σ_k |P_k - Q_k|, averaged over points, for `a` [n, point] and `b` [m, point].

    It is biased upwards, as frequencies of equal groups differ by noise: for figures beside its `split_half_null`.

    Raises:
        ValueError: the labels are not integers, or not of the same points.
    """
    first, second = (group.reshape(-1, group.shape[-1]) for group in _groups(a, b))
    classes = np.union1d(first, second)
    return float(sum(np.abs((first == k).mean(axis=0) - (second == k).mean(axis=0)).mean() for k in classes))


def split_half_null(
    distance: Callable[[Labels, Labels], float], labels: ArrayLike, generator: np.random.Generator, repeats: int
) -> Floats:
    """`distance` between random halves of one group, `labels` [n, point]: [repeats].

    This is what `distance` reads where nothing differs, for groups of n // 2 replicas. Compare it with groups of that
    size, as the bias of a plug-in distance falls with the number of replicas.

    Raises:
        ValueError: the labels are not integers, or of fewer than 4 replicas.
    """
    (group,) = _groups(labels, least=4)
    half = len(group) // 2
    orders = [generator.permutation(len(group)) for _ in range(repeats)]
    return np.array([distance(group[order[:half]], group[order[half : 2 * half]]) for order in orders])


def permutation_p_value(a: ArrayLike, b: ArrayLike, generator: np.random.Generator, permutations: int) -> float:
    """The p-value of "`a` [n, point] and `b` [m, point] are equal in distribution", judged by their squared distance.

    Replicas change groups at random. The data counts as one of the permutations: that makes the test exact (Phipson &
    Smyth 2010).

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 2 replicas in a group.
    """
    pooled, members = _pool(*_groups(a, b, least=2))
    exchanged = generator.permuted(np.tile(members, (permutations, 1)), axis=1)
    observed = _squared_distances(pooled, members, ~members)
    as_far = np.count_nonzero(_squared_distances(pooled, exchanged, ~exchanged) >= observed)
    return (1 + int(as_far)) / (1 + permutations)


@rule
def closer_than(prediction: Prediction, a: ArrayLike, b: ArrayLike) -> Finding:
    """The squared distance of `a` [n, point] and `b` [m, point] is at most `expected + margin`.

    The groups must be independent, so they share no seed. `replicas_needed` counts the smaller one, and takes the other
    to grow in proportion. How the distance is bounded: see `_of_distance`.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 3 replicas in a group.
    """
    return _of_distance(prediction, a, b, below(prediction))


@rule
def further_than(prediction: Prediction, a: ArrayLike, b: ArrayLike) -> Finding:
    """The squared distance of `a` [n, point] and `b` [m, point] is at least `expected - margin`; as `closer_than`.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 3 replicas in a group.
    """
    return _of_distance(prediction, a, b, above(prediction))


@rule
def differ(prediction: Prediction, a: ArrayLike, b: ArrayLike, generator: np.random.Generator | None = None) -> Finding:
    """`a` [n, point] and `b` [m, point] are not equal in distribution: a permutation test of their squared distance.

    It is exact, and it is never REFUTED: no data show that two distributions are equal, only that they are close (see
    `closer_than`). The prediction's expected value and margin are 0. The interval is open, as nothing is bounded.

    Raises:
        ValueError: also where the prediction expects anything but a distance of more than 0.
    """
    if prediction.expected or prediction.margin:
        raise ValueError(f"{prediction.quantity!r}: to differ is to be further apart than 0, with the margin 0")
    try:
        first, second = _groups(a, b, least=FEWEST)
    except ValueError as error:
        raise ValueError(f"{prediction.quantity!r}: {error}") from None
    estimate, noise = squared_distance(first, second), noise_of(first, second)

    return finding(
        prediction,
        with_errors(prediction, f"Permutation test on the squared distance of two groups, {PERMUTATIONS} permutations"),
        above(prediction),
        estimate,
        (-math.inf, math.inf),
        noise.replicas,
        permutation_p_value(first, second, generator or np.random.default_rng(0), PERMUTATIONS),
        1.0,
        lambda: fewest_replicas(
            prediction.power, lambda n: noise.planned(n).noticed(estimate, prediction.strictest_alpha), FEWEST
        ),
    )


@dataclass(frozen=True)
class Noise:
    """The noise of a squared distance, for a given true distance.

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
    """So many are in the smaller group."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of Student's t."""
        return self.replicas - 1

    def planned(self, replicas: int) -> "Noise":
        """What to expect of so many replicas: Σ is inversely proportional to their number.

        But fewer replicas find its largest eigenvalue larger than it is: by 2 √(tr Σ² / N) for N in all where no
        direction stands out (Marchenko & Pastur 1967, without the diagonal), by less where one does.
        """
        ratio = self.replicas / replicas
        square = self.square * ratio**2
        found, known = (2 * math.sqrt(square / (2 * n)) for n in (replicas, self.replicas))
        return Noise(self.strongest * ratio + max(found - known, 0.0), square, replicas)

    def linear(self, distance: ArrayLike) -> Floats:
        """4 ΔΣΔ in the direction with most noise."""
        return 4 * self.strongest * np.maximum(distance, 0.0)

    def deviation(self, distance: ArrayLike) -> Floats:
        """Standard deviation of the estimate."""
        return np.sqrt(self.linear(distance) + 2 * self.square)

    def shape(self, distance: ArrayLike) -> Floats:
        """Shape of the gamma distribution, finite even without skewness."""
        third = 24 * self.strongest**2 * np.maximum(distance, 0.0)
        skewness = third / self.deviation(distance) ** 3 if self.square else 0.0
        return np.asarray(4 / np.maximum(skewness, 1e-3) ** 2)

    def lower_tail(self, deviations: Floats | float, distance: ArrayLike) -> Floats:
        """Probability of an estimate at most so many standard deviations above the truth."""
        shape = self.shape(distance)
        below = special.gammainc(shape, np.maximum(shape + deviations * np.sqrt(shape), 0.0))
        return np.asarray(special.stdtr(self.freedom, special.ndtri(below)))

    def quantile(self, probability: float, distance: float) -> float:
        """The estimate that has `probability` in its lower tail."""
        shape = self.shape(distance)
        below = special.ndtr(special.stdtrit(self.freedom, probability))
        return distance + float(self.deviation(distance) * (special.gammaincinv(shape, below) - shape) / np.sqrt(shape))

    def lower_tails(self, estimate: float, distances: Floats) -> Floats:
        """Probability of at most this estimate, for each of the true distances, where there is noise: [distance]."""
        return self.lower_tail((estimate - distances) / self.deviation(distances), distances)

    def decided(self, distance: float, linear: float, bound: float, alpha: float) -> tuple[float, float]:
        """How likely a truth is found to be closer than the bound, and further, where 4 ΔΣΔ is `linear`."""
        deviation, jackknife = (math.sqrt(linear + part * self.square) for part in (2, 4))

        def chance(beyond: float, critical: float) -> float:
            # How far a critical value is from the bound is estimated, too: of n - 1 degrees of freedom.
            error = math.hypot(deviation, (critical - bound) / math.sqrt(2 * self.freedom))
            return float(special.ndtr(in_standard_errors(beyond, error)))

        most = self.quantile(alpha, bound)
        least = bound + jackknife * float(special.stdtrit(self.freedom, 1 - alpha))
        return chance(most - distance, most), chance(distance - least, least)

    def noticed(self, distance: float, alpha: float) -> float:
        """How likely a permutation test finds that distributions so far apart differ."""
        least_p = max(2 / float(special.binom(2 * self.replicas, self.replicas)), 1 / (1 + PERMUTATIONS))
        if distance <= 0 or least_p > alpha:
            return 0.0
        # Exchanged replicas have the difference of the groups as noise of their own: Σ becomes Σ + ΔΔᵀ / 2n.
        own = distance / (2 * self.replicas)
        strongest, square = self.strongest + own, self.square + 2 * own * self.strongest + own**2
        # Nothing else is known of tr Σ³ than that it is at most `strongest` tr Σ².
        shape = 4 * square / (8 * strongest**2)
        critical = math.sqrt(2 * square) * float(special.gammainccinv(shape, alpha) - shape) / math.sqrt(shape)
        return float(special.ndtr(in_standard_errors(distance - critical, float(self.deviation(distance)))))


def noise_of(a: ArrayLike, b: ArrayLike) -> Noise:
    """The noise of the squared distance of `a` [n, point] and `b` [m, point], from replicas about their group's mean.

    Of a pilot it tells `ilr.stats.sample_size` what other numbers of replicas detect; two halves of one group will do.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 3 replicas in a group.
    """
    first, second = _groups(a, b, least=FEWEST)
    return _noise(*_pool(first, second), comparisons=_comparisons(first, first))


def _of_distance(prediction: Prediction, a: ArrayLike, b: ArrayLike, region: Region) -> Finding:
    """The finding on a squared distance that is bounded on one side.

    The noise grows with the distance and is skewed to the right. Two tests of n - 1 degrees of freedom allow for that:

    - "further than the bound": a t test with the jackknife's standard error, which is too large where Δ is small;
    - "closer than the bound": the lower tail of the noise that there is with the truth on the bound or beyond it,
      whichever is likeliest: far below zero an estimate may be a little likelier from further away, where there is more
      noise. The t test would falsely accept up to a quarter of the time at alpha = 0.05, as an estimate that came out
      small by chance brings a small standard error with it.
    """
    try:
        first, second = _groups(a, b, least=FEWEST)
    except ValueError as error:
        raise ValueError(f"{prediction.quantity!r}: {error}") from None
    pooled, members = _pool(first, second)
    comparisons, n, alpha = _comparisons(first, first), min(len(first), len(second)), prediction.alpha
    estimate = float(_squared_distances(pooled, members, ~members)) / comparisons
    standard_error, noise = _jackknife(pooled, members) / comparisons, _noise(pooled, members, comparisons)

    # The sign makes an estimate exactly on the bound lie inside the region, even without any noise.
    sign, bound = (1, region[0]) if math.isfinite(region[0]) else (-1, region[1])
    further, closer = (
        sign * in_standard_errors(sign * (estimate - bound), unit)
        for unit in (standard_error, float(noise.deviation(bound)))
    )
    p_further = float(special.stdtr(n - 1, -further))
    p_closer = float(noise.lower_tail(closer, bound))
    if noise.square:
        p_closer = float(noise.lower_tails(estimate, TRUTHS[bound < TRUTHS]).max(initial=p_closer))

    # The jackknife's variance is 4 ΔΣΔ + 4 tr Σ² on average, twice too much in the second term.
    linear = max(standard_error**2 - 4 * noise.square, 0.0)

    def power_of(replicas: int) -> float:
        then = noise.planned(replicas)
        return sum(then.decided(estimate, linear * n / replicas, bound, prediction.strictest_alpha))

    return finding(
        prediction,
        with_errors(prediction, "Jackknife t test and gamma test on the unbiased squared distance of two groups"),
        region,
        estimate,
        (estimate - standard_error * float(special.stdtrit(n - 1, 1 - alpha)), _upper_bound(noise, estimate, alpha)),
        n,
        *((p_further, p_closer) if sign > 0 else (p_closer, p_further)),
        lambda: fewest_replicas(prediction.power, power_of),
    )


def _upper_bound(noise: Noise, estimate: float, alpha: float) -> float:
    """The true distance beyond which the estimate is in the lower tail of probability `alpha`."""
    if not noise.square:
        return estimate

    def excess(distance: float) -> float:
        return estimate - noise.quantile(alpha, distance)

    possible = np.flatnonzero(noise.lower_tails(estimate, TRUTHS) > alpha)
    if not possible.size:
        return excess(0.0)
    if TRUTHS[possible[-1]] == LARGEST:
        return LARGEST
    return float(optimize.brentq(excess, *TRUTHS[possible[-1] : possible[-1] + 2]))


def _jackknife(pooled: Floats, members: Members) -> float:
    """Standard error of the squared distance, leaving out one replica at a time (Efron & Stein 1981)."""
    others = ~np.eye(len(pooled), dtype=bool)
    without = _squared_distances(pooled, members & others, ~members & others)
    return math.sqrt(sum((len(group) - 1) * float(group.var()) for group in (without[members], without[~members])))


def _noise(pooled: Floats, members: Members, comparisons: int) -> Noise:
    """The noise of the squared distance, from the covariance of replicas about the mean of their group."""
    centred = pooled.copy()
    weights = np.empty(len(pooled))
    for group in (members, ~members):
        n = int(group.sum())
        centred[group] -= centred[group].mean(axis=0)
        centred[:, group] -= centred[:, group].mean(axis=1, keepdims=True)
        weights[group] = 1 / math.sqrt(n * (n - 1))
    covariance = centred * np.outer(weights, weights) / comparisons
    # A replica's covariance with itself would count its own noise as if it were shared by all.
    np.fill_diagonal(covariance, 0.0)
    smaller = int(min(members.sum(), (~members).sum()))
    return Noise(float(np.linalg.eigvalsh(covariance)[-1]), float((covariance**2).sum()), smaller)


def _squared_distances(pooled: Floats, in_a: Members, in_b: Members) -> Floats:
    """Squared distances, times the number of comparisons, of groups given by their members [..., replica].

    `pooled` counts the comparisons in which two replicas agree. Sums of these are exact: so equal replicas have no
    variance, and exchanges of replicas that make no difference tie.
    """
    a, b = in_a.astype(np.float64), in_b.astype(np.float64)
    n, m = a.sum(axis=-1), b.sum(axis=-1)
    with_a, with_b, itself = a @ pooled, b @ pooled, pooled.diagonal()
    within_a = ((with_a - itself) * a).sum(axis=-1) / (n * (n - 1))
    within_b = ((with_b - itself) * b).sum(axis=-1) / (m * (m - 1))
    distances: Floats = within_a + within_b - 2 * (with_a * b).sum(axis=-1) / (n * m)
    return distances


def _pool(first: Labels, second: Labels) -> tuple[Floats, Members]:
    """The agreements of all pairs of replicas, and which of these are of the first group.

    Raises:
        ValueError: the groups were not looked at equally often.
    """
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(f"labels must be of as many moments, not of shapes {first.shape} and {second.shape}")
    both = np.concatenate([first, second])
    return _agreements(both, both), np.arange(len(both)) < len(first)


def _agreements(first: Labels, second: Labels) -> Floats:
    """In how many comparisons two replicas agree, every moment of the one with every moment of the other: [n, m]."""

    def times(labels: Labels, k: int) -> NDArray[np.float32]:
        """How often each replica chose the class k for each point, [n, point]."""
        chosen = (labels == k).reshape(len(labels), -1, labels.shape[-1])
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


def _groups(*groups: ArrayLike, least: int = 1) -> tuple[Labels, ...]:
    arrays = tuple(np.asarray(group) for group in groups)
    for labels in arrays:
        if labels.ndim not in (2, 3) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                "labels must be integers [replica, point] or [replica, moment, point], "
                f"not {labels.dtype} of shape {labels.shape}"
            )
        if len(labels) < least:
            raise ValueError(f"a group has {len(labels)} replica(s): at least {least} are needed")
    points = [labels.shape[-1] for labels in arrays]
    if len(set(points)) > 1 or not points[0]:
        raise ValueError(f"labels must be of the same test points, not of {' and '.join(map(str, points))}")
    return arrays
