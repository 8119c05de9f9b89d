"""Rules that count replicas: how many succeed, reach a bound, or violate an identity."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ilr.stats.decision import Prediction
from ilr.stats.rule import Above, Assessment, Below, Chances, Floats, Rule, Test, replicas_of

VIOLATORS = 0.2
"""`universal` is to notice a world in which this share of the networks, or more, violates the identity."""


def deciding_counts(share: float, sizes: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """At most how many successes refute, and at least how many prove, that a `share` of the networks succeeds.

    Args:
        share: the proportion that is to be proved.
        sizes: numbers of replicas, [size].
        alpha: level of the test.

    Returns:
        Two counts for each size; -1 refutes nothing, and more than there are replicas prove nothing.
    """
    most = stats.binom.ppf(alpha, sizes, share)
    # The quantile is the first count whose lower tail reaches alpha; where it exceeds alpha, that is one too many.
    most = most - (stats.binom.cdf(most, sizes, share) > alpha)
    return most, stats.binom.isf(alpha, sizes, share) + 1


@dataclass(frozen=True)
class Share:
    """The share of the networks that are to reach the bound."""

    share: float


class CountRule(Rule):
    """A rule that counts replicas."""

    def simulate(self, generator: np.random.Generator, n: int, truth: float, _: Any) -> tuple[Any, ...]:
        """Replicas that are 1, not 0, with the probability `truth`."""
        return ((generator.random(n) < truth).astype(float),)


class ShareRule(Above, CountRule):
    """A rule that asks whether a share of the networks, or more, have an outcome: an exact binomial test."""

    def share(self, prediction: Prediction, spread: Share | None) -> float:
        """The share asked for: the bound itself, unless that is of something else.

        Raises:
            ValueError: no test is of this share.
        """
        share = spread.share if spread else self.region(prediction)[0]
        if not 0 < share <= 1:
            raise ValueError(f"{prediction.quantity!r}: no test of a share of at least {share:g}; it must be in (0, 1]")
        return share

    def of_outcomes(self, prediction: Prediction, share: float, outcomes: Floats) -> Assessment:
        """What the binomial test says; the interval of the share is that of Clopper and Pearson (1934).

        Args:
            prediction: what is to be decided.
            share: how many of the networks are to have an outcome.
            outcomes: whether a replica has it, 1 or 0, [replica].
        """
        # Beta distributions need a success for the lower end, and a failure for the upper one.
        n, count, alpha = len(outcomes), int(outcomes.sum()), prediction.alpha
        low = float(stats.beta.ppf(alpha, count, n - count + 1)) if count else 0.0
        high = float(stats.beta.isf(alpha, count + 1, n - count)) if count < n else 1.0
        p, p_refuted = float(stats.binom.sf(count - 1, n, share)), float(stats.binom.cdf(count, n, share))
        outlook = partial(self.chances_of, prediction, share, count / n)
        return Assessment(count / n, n, Test(p, p_refuted, (low, high)), outlook)

    def room(self, prediction: Prediction, spread: Share | None) -> tuple[float, float]:
        """A truth is a share of the networks."""
        share = self.share(prediction, spread)
        return 1 - share, share

    def chances(self, prediction: Prediction, spread: Share | None, inside: float, replicas: Any) -> Chances[Floats]:
        """The truth is a share of the networks."""
        share = self.share(prediction, spread)
        return self.chances_of(prediction, share, min(max(share + inside, 0.0), 1.0), replicas)

    def chances_of(self, prediction: Prediction, share: float, truth: float, sizes: ArrayLike) -> Chances[Floats]:
        """How likely either verdict is, [size].

        Args:
            prediction: what is to be decided.
            share: how many of the networks are to have an outcome.
            truth: how many have it.
            sizes: numbers of replicas, [size].
        """
        most, _ = deciding_counts(share, sizes, prediction.strictest_alpha)
        _, fewest = deciding_counts(share, sizes, prediction.alpha)
        return Chances(stats.binom.sf(fewest - 1, sizes, truth), stats.binom.cdf(most, sizes, truth))

    def fewest_replicas(self, prediction: Prediction, chance: Callable[[Any], Any]) -> int | None:
        """All numbers are tried, as the chance does not always rise with the number of replicas."""
        sizes = np.arange(self.fewest, self.most + 1)
        enough = np.flatnonzero(chance(sizes) >= prediction.power)
        return int(sizes[enough[0]]) if len(enough) else None


class ShareAtLeast(ShareRule):
    """The share of replicas that succeed, `successes` [replica] being booleans, is at least `expected - margin`.

    The binomial test is exact. The interval is that of Clopper and Pearson (1934).

    Raises:
        ValueError: also where a value is neither true nor false, or `expected - margin` is not in (0, 1].
    """

    name = "share_at_least"
    test = "Exact binomial test on the share of replicas"

    def assess(self, prediction: Prediction, successes: ArrayLike) -> Assessment:
        """The exact binomial test.

        Args:
            prediction: what is to be decided.
            successes: whether a replica succeeds, [replica].
        """
        outcomes = replicas_of(prediction, successes)
        if not np.isin(outcomes, (0, 1)).all():
            raise ValueError(f"{prediction.quantity!r} must be true or false for each replica")
        return self.of_outcomes(prediction, self.share(prediction, None), outcomes)


class QuantileAtLeast(ShareRule):
    """A share of at least `share` of the networks has a value of at least `expected - margin`.

    That is a lower bound on the quantile 1 - `share`: for what happens again and again, not on average. The binomial
    test is exact whatever the distribution, as only the replicas that reach the bound are counted; the estimate and the
    interval of the quantile are order statistics.

    Raises:
        ValueError: also where `share` is not in (0, 1].
    """

    name = "quantile_at_least"
    test = "Exact binomial test on the share of replicas that reach the bound, which is to be {share:g} or more"
    spread = Share

    def assess(self, prediction: Prediction, values: ArrayLike, share: float) -> Assessment:
        """The exact binomial test.

        Args:
            prediction: what is to be decided.
            values: one number per replica, [replica].
            share: how many of the networks are to reach the bound.
        """
        array = replicas_of(prediction, values)
        share = self.share(prediction, Share(share))
        bound, _ = self.region(prediction)
        found = self.of_outcomes(prediction, share, (array >= bound).astype(np.float64))
        # The largest value that 0, 1, ... n replicas reach, and beyond: that of none, and that of more than there are.
        reached = [math.inf, *np.sort(array)[::-1].tolist(), -math.inf]
        most, fewest = (int(count) for count in deciding_counts(share, found.n, prediction.alpha))
        value = reached[max(1, math.ceil(share * found.n))]
        return replace(found, value=value, test=replace(found.test, interval=(reached[fewest], reached[most + 1])))

    def in_words(self, prediction: Prediction, *samples: Any) -> str:
        """The test with the share asked for."""
        return super().in_words(prediction).format(share=samples[1])

    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Replicas of standard deviation 0.3; the truth is the value that 0.7 of them reach."""
        share = 0.7
        return truth + 0.3 * (noise.rvs(n, random_state=generator) - noise.ppf(1 - share)), share


class Universal(Below, CountRule):
    """Every one of `values` [replica] is at most `expected + margin`: for exact identities.

    A single violation refutes an identity: p = 1, p_refuted = 0. Without one, p = 0.8^n: how likely n replicas are to
    show none in a world in which a fifth of the networks violate it; a rarer violation is beyond what replicas can
    exclude. The estimate is the largest value, the interval runs from the smallest to the largest.
    """

    name = "universal"

    def assess(self, prediction: Prediction, values: ArrayLike) -> Assessment:
        """One violation refutes; none is the less likely the more replicas there are.

        Args:
            prediction: what is to be decided.
            values: one number per replica, [replica].
        """
        array = replicas_of(prediction, values)
        smallest, largest, n = float(array.min()), float(array.max()), len(array)
        holds = largest <= self.region(prediction)[1]
        test = Test(_no_violation(n) if holds else 1.0, 1.0 if holds else 0.0, (smallest, largest))
        return Assessment(largest, n, test, outlook=partial(self.chances, prediction, None, 0.0))

    def in_words(self, prediction: Prediction, *samples: Any) -> str:
        """What one violation says, and what none."""
        n = len(samples[0])
        return (
            "Every replica must satisfy the identity and a single violation refutes it; if "
            f"{VIOLATORS:.0%} or more of all networks violated it, {n} replicas would show none with probability "
            f"{_no_violation(n):.2g} at most, and REPRODUCED needs {prediction.alpha:g}"
        )

    def room(self, prediction: Prediction, spread: None) -> tuple[float, float]:  # noqa: ARG002
        """A truth is the share of the networks that violate the identity."""
        return 0.0, 1.0

    def chances(self, prediction: Prediction, _: None, inside: float, replicas: int) -> Chances[float]:
        """The truth is the share of the networks that violate the identity, with a minus."""
        none = (1 + inside) ** replicas
        enough = _no_violation(replicas) <= prediction.alpha
        return Chances(reproduced=none if enough else 0.0, refuted=1 - none)


def _no_violation(n: int) -> float:
    """How likely n replicas are to show no violation of an identity that a fifth of the networks violate."""
    return (1 - VIOLATORS) ** n


share_at_least = ShareAtLeast()
quantile_at_least = QuantileAtLeast()
universal = Universal()
