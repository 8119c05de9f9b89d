"""What the tests of the rules have in common: data for each rule, and counts of verdicts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ilr.stats.decision import Finding, Prediction, Verdict
from ilr.stats.groups import Group
from ilr.stats.means import at_least, at_most, equivalence, equivalence_of_groups, increasing, ratio, slope
from ilr.stats.rule import Assessment, Floats, Rule
from ilr.stats.shares import QuantileAtLeast, share_at_least, universal
from tests.verdicts import counts

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE
Draw = Callable[[np.random.Generator, float], tuple[Any, ...]]

SIMULATIONS = 2000
FALSE_ALARM = 1e-7
"""Probability that a check of a rate fails although the rate is right."""


def predict(rule: Rule, expected: float, margin: float = 0.0, alpha: float = 0.05) -> Prediction:
    # A trend is compared with none only.
    return Prediction("quantity", rule.name, margin if rule is increasing else expected, margin, "because", alpha)


def at_most_times(rate: float) -> float:
    return float(stats.binom.isf(FALSE_ALARM, SIMULATIONS, rate))


def at_least_times(rate: float) -> float:
    return float(stats.binom.ppf(FALSE_ALARM, SIMULATIONS, rate))


# What a rule is given, for replicas whose true value of the quantity is `truth`.
X = np.array([0.0, 1.0, 2.0, 4.0])


def sample(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (generator.normal(truth, 0.3, size=10),)


def apart(values: ArrayLike, reference: ArrayLike) -> tuple[Group, Group]:
    """Groups that share no replica."""
    first, second = np.asarray(values), np.asarray(reference)
    return Group(first, range(len(first))), Group(second, range(10_000, 10_000 + len(second)))


def in_pairs(values: ArrayLike, reference: ArrayLike) -> tuple[Group, Group]:
    """Groups of the same replicas."""
    return tuple(Group(group, range(len(np.asarray(group)))) for group in (values, reference))  # type: ignore[return-value]


def changed(sample: Any, change: Callable[[Any], Any]) -> Any:
    """A sample whose values are changed, be it a group or an array."""
    if isinstance(sample, Group):
        values = change(sample.values)
        return Group(values, sample.ids[: len(values)])
    return change(sample)


def symmetric(generator: np.random.Generator, mean: float, standard_deviation: float, size: int) -> Floats:
    """Replicas without skewness: Hall's correction has nothing to do."""
    half = generator.normal(0, standard_deviation, size // 2)
    return mean + np.concatenate([half, -half, np.zeros(size % 2)])


def two_samples(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return apart(generator.normal(5 + truth, 0.4, size=14), generator.normal(5, 0.2, size=9))


def two_in_pairs(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    common = generator.normal(5, 1.0, size=12)
    return in_pairs(common + generator.normal(truth, 0.3, size=12), common)


def lines(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return X, truth * X + generator.normal(size=(10, 1)) + generator.normal(0, 1, size=(10, 4))


def rows(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (truth * np.arange(6) + generator.normal(size=(12, 6)),)


def walks(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (np.cumsum(truth + generator.normal(size=(10, 20)), axis=1),)


def successes(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return (generator.random(40) < truth,)


def multiples(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    return apart(generator.normal(2 * truth, 0.4, size=14), generator.normal(2, 0.3, size=9))


def multiples_in_pairs(generator: np.random.Generator, truth: float) -> tuple[Any, ...]:
    reference = generator.normal(2, 0.3, size=12)
    return in_pairs(truth * reference + generator.normal(0, 0.3, size=12), reference)


class MedianAtLeast(QuantileAtLeast):
    """The same rule, for half of the networks: it takes what the other rules take."""

    def assess(self, prediction: Prediction, *samples: Any) -> Assessment:
        return super().assess(prediction, *samples, 0.5)

    def in_words(self, prediction: Prediction, *samples: Any) -> str:
        return super().in_words(prediction, *samples, 0.5)


median_at_least = MedianAtLeast()
ANY = {
    equivalence: sample,
    equivalence_of_groups: two_samples,
    at_least: sample,
    at_most: sample,
    slope: lines,
    increasing: rows,
    universal: sample,
    share_at_least: successes,
    ratio: multiples,
    median_at_least: sample,
}
"""Every rule, and data it takes."""
BOTH_SIDES = [
    (equivalence, sample),
    (equivalence_of_groups, two_samples),
    (equivalence_of_groups, two_in_pairs),
    (slope, lines),
    (ratio, multiples),
    (ratio, multiples_in_pairs),
]
ONE_SIDE = [(at_least, sample, -1), (at_most, sample, 1)]
OPEN = (-math.inf, math.inf)


def ends(found: Finding) -> tuple[float, float]:
    low, high = found.interval
    assert low is not None
    assert high is not None
    return low, high


def rates(
    rule: Rule, prediction: Prediction, draw: Draw, truth: float, generator: np.random.Generator
) -> dict[Verdict, int]:
    return counts(rule, prediction, (draw(generator, truth) for _ in range(SIMULATIONS)))
