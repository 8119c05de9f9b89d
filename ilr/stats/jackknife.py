"""Rules on quantities that only a group of replicas has, such as the time at which the distance of two groups falls.

Such a quantity has no value for one replica, so its error comes from measuring parts of the group: subsets that leave
out a quarter of the replicas (the delete-d jackknife of Shao & Wu 1989). A subset holds no replica twice; a bootstrap's
resample does, and replicas that agree with their copies make two groups look further apart than they are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ilr.stats.decision import Prediction
from ilr.stats.rule import Assessment, Floats, Within
from ilr.stats.t_tests import Estimate, TTest, check_positive, pooled

Group = TypeVar("Group", NDArray[Any], tuple[NDArray[Any], ...])
"""One array, replica axis first; or several such arrays of independent replicas, equally many of each."""

SUBSETS = 200
"""How many parts of a group are measured."""
FEWEST = 4
"""A smaller group has no quarter to leave out."""


@dataclass(frozen=True)
class Places:
    """The places x of groups of equal size, and the standard deviation of log t for one replica.

    The log t of n replicas is taken to vary as a mean does: with this standard deviation over √n.
    """

    x: Sequence[float]
    standard_deviation: float

    def __post_init__(self) -> None:
        check_positive("the standard deviation", self.standard_deviation)
        check_positive("x", *self.x)
        if len(set(self.x)) < 2:
            raise ValueError(f"x={self.x}: a slope needs two different places")

    def expected(self, replicas: int) -> Estimate:
        """What to expect of the exponent of n replicas, where it is 0."""
        errors = log_log_weights(np.asarray(self.x, np.float64)) * self.standard_deviation
        return pooled(0.0, (errors**2 / replicas).tolist(), [replicas] * len(errors))


class PowerLaw(Within, TTest):
    """The exponent b of t = c · x^b is `expected ± margin`, where t[k] = `measure(groups[k])` belongs to `x[k]`.

    b is the least-squares slope of log t against log x; the errors of all log t count. `measure` takes a group and
    gives a positive number, or NaN where the quantity is not reached. If it is not reached in some subset of a group,
    the interval is open and nothing is decided. The groups must be independent, so they share no seed; the arrays of
    one group likewise. The interval is that of Student's t with Satterthwaite's degrees of freedom.

    It was chosen by simulation, for four groups of 12 and of 30 replicas, at alpha = 0.05 and 0.005, among bootstraps
    (percentile, basic, BCa, bootstrap-t; with and without a widening for small n) and jackknives. Where t is a mean,
    of lognormal or of exponential values, Student's t errs with 0.049 to 0.057 and with 0.004 to 0.008 on either side;
    percentile, basic and BCa with up to 0.078 and 0.018. Where t is the time at which a noisy curve, averaged over
    replicas, first crosses a threshold, it errs with at most 0.046 and 0.009; basic and BCa with up to 0.13 and 0.04,
    Student's t with the jackknife that leaves out one replica with up to 0.08 and 0.03. Where t is the time at which a
    squared distance of two groups falls to a given share, it errs with at most 0.052 and 0.005; but of a bootstrap's
    resamples of 12 replicas too many never come so close, which left 96% of the data sets without any interval where
    the subsets left 11%.

    No interval repairs a biased `measure`: a threshold crossed early by noise is crossed earlier the more often one
    looks, so look equally often in every group relative to its t, and interpolate between the times observed.

    Raises:
        ValueError: also where `x` is not a positive number for each group, at least two of them different; where a
            group has fewer than 4 replicas, or arrays of different numbers of them; and where the quantity is not
            reached by a whole group.
    """

    name = "power_law"
    spread = Places
    fewest = FEWEST
    test = f"Two one-sided t tests on the log-log slope, its error from {SUBSETS} subsets of each group's replicas"

    def assess(
        self,
        prediction: Prediction,
        x: ArrayLike,
        measure: Callable[[Group], float],
        groups: Sequence[Group],
        generator: np.random.Generator | None = None,
    ) -> Assessment:
        """A t test of the log-log slope, at each end of the region.

        Args:
            prediction: what is to be decided.
            x: places, [group].
            measure: what gives t of a group, or of a part of it.
            groups: arrays [replica, ...], or tuples of such arrays; [group].
            generator: of the subsets; without it they are always the same.
        """
        at, quantity = np.asarray(x, np.float64), prediction.quantity
        if at.shape != (len(groups),) or not (np.isfinite(at) & (at > 0)).all() or len(np.unique(at)) < 2:
            raise ValueError(f"{quantity!r}: x must be {len(groups)} positive numbers that are not all equal")
        sizes = [_size(quantity, group) for group in groups]
        measured = np.array([float(measure(group)) for group in groups])
        if not (np.isfinite(measured) & (measured > 0)).all():
            raise ValueError(f"{quantity!r} must be measured by positive numbers, not by {measured.tolist()}")
        weights = log_log_weights(at)  # [group]
        generator = generator or np.random.default_rng(0)
        variances = [
            weight**2 * _variance_of_logarithm(measure, group, n, generator)
            for weight, group, n in zip(weights.tolist(), groups, sizes, strict=True)
        ]
        if not all(map(math.isfinite, variances)):
            # The middle one of three places may have the weight 0, and 0 · ∞ is no number.
            variances = [math.inf] * len(groups)
        exponent = float((weights * np.log(measured)).sum())
        return self.of_estimate(prediction, pooled(exponent, variances, sizes))

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Means of replicas of standard deviation 0.3, relative to the mean, at three places."""
        x = (1.0, 4.0, 16.0)
        return x, np.mean, [at**truth * (1 + 0.3 * noise.rvs(n, random_state=generator)) for at in x], generator


def log_log_weights(x: Floats) -> Floats:
    """What each log t counts for in the least-squares slope of log t against log x."""
    lever = np.log(x) - np.log(x).mean()
    weights: Floats = lever / (lever**2).sum()
    return weights


def _variance_of_logarithm(
    measure: Callable[[Group], float], group: Group, n: int, generator: np.random.Generator
) -> float:
    """The variance of the logarithm of what is measured from n replicas; infinite if a subset does not have it."""
    left_out = n // 4
    measured = np.array([measure(_subset(group, n - left_out, generator)) for _ in range(SUBSETS)], np.float64)
    if not (np.isfinite(measured) & (measured > 0)).all():
        return math.inf
    # Equal numbers may have a variance by rounding; what n - d of n replicas vary is too little by (n - d) / d.
    return 0.0 if np.ptp(measured) == 0 else float(np.log(measured).var(ddof=1)) * (n - left_out) / left_out


def _subset(group: Group, size: int, generator: np.random.Generator) -> Group:
    if isinstance(group, tuple):
        # The arrays are of independent replicas: each leaves out its own.
        return tuple(array[generator.permutation(len(array))[:size]] for array in group)
    return group[generator.permutation(len(group))[:size]]


def _size(quantity: str, group: NDArray[Any] | tuple[NDArray[Any], ...]) -> int:
    """The number of replicas of a group."""
    arrays = group if isinstance(group, tuple) else (group,)
    sizes = sorted({len(array) for array in arrays})
    if len(sizes) != 1:
        raise ValueError(f"{quantity!r} has a group of arrays with {sizes} replicas: unequal numbers")
    if sizes[0] < FEWEST:
        raise ValueError(f"{quantity!r} has {sizes[0]} replica(s) in a group: at least {FEWEST} are needed")
    if bad := sum(np.count_nonzero(~np.isfinite(array)) for array in arrays):
        raise ValueError(f"{quantity!r} holds {bad} non-finite value(s): a replica diverged")
    return sizes[0]


power_law = PowerLaw()
