"""What a rule is: it decides whether the truth lies in the region that a `Prediction` accepts.

That region is `expected ± margin`, or for a bound from one side only that end of it.

- `p` belongs to the hypothesis "the truth lies outside the region": small means REPRODUCED.
- `p_refuted` belongs to the hypothesis "the truth lies inside the region": small means REFUTED.
- Each of the two errors has probability at most `alpha`. The interval reported has confidence 1 - 2 alpha: REPRODUCED
  means that it lies inside the region, REFUTED that it lies wholly outside.

The replica (one seed) is the unit of analysis, always: what happens within one training is summarised before anything
is tested. Rules on means are in `ilr.stats.means`, on counts of replicas in `ilr.stats.shares`, on whole distributions
of functions in `ilr.stats.function_space`, on what only a group of replicas has in `ilr.stats.jackknife`; all of them
are listed in `ilr.stats.registry`. How many replicas to train for a rule to decide is in `ilr.stats.sample_size`.

A t test is exact for normal replicas only; Hall's correction takes away most of what skewed ones do to it. What is
left, and what rare outliers do, is measured in `docs/calibration.md`. Where replicas are all alike no test knows how
they scatter: a p-value is then at least what they would show if one network in ten differed.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ilr.stats.decision import Finding, Prediction, classify

Floats = NDArray[np.float64]
Chance = TypeVar("Chance", float, Floats)
Range = tuple[float, float]
"""Lower and upper end of a region or of an interval; an open end is infinite."""


RARE = 0.1
"""Where n replicas are all alike, a rule on means or distances is to notice a world in which so many of the networks
are not.
"""


@dataclass(frozen=True)
class Test:
    """What a test says of the data: the p-values of the two hypotheses, and the values that are not rejected."""

    __test__ = False

    p: float
    p_refuted: float
    interval: Range


@dataclass(frozen=True)
class Chances(Generic[Chance]):
    """How likely a rule gives either verdict: numbers, or arrays [size] for several numbers of replicas."""

    reproduced: Chance
    refuted: Chance


@dataclass(frozen=True)
class Assessment:
    """What a rule finds in its samples."""

    value: float
    """The estimate."""
    n: int
    """Replicas it rests on (of the smaller group, where there are two)."""
    test: Test
    outlook: Callable[[Any], Chances[Any]]
    """How likely either verdict is for another number of replicas, if the truth is what these ones show."""


class Rule(ABC):
    """Everything about one way to decide a prediction.

    The docstring of a rule's class is the paragraph for the reader: what it asks, and what its error rates rest on.

    >>> from ilr.stats.means import at_least
    >>> prediction = Prediction("growth", "at_least", expected=1.0, margin=0.0, reason="the norm does not shrink")
    >>> at_least(prediction, [1.3, 1.2, 1.4, 1.3]).verdict
    <Verdict.REPRODUCED: 'REPRODUCED'>
    """

    name: ClassVar[str]
    """What predictions call it."""
    test: ClassVar[str]
    """The test, in words."""
    rests_on: ClassVar[str] = ""
    """What its error rates rest on, where it is not said with the test."""
    spread: ClassVar[type] = NoneType
    """What must be known of replicas to plan how many to train; None: nothing."""
    fewest: ClassVar[int] = 2
    """It does not decide on fewer replicas."""
    most: ClassVar[int] = 10_000
    """Where the search for the number of replicas needed gives up."""

    def __call__(self, prediction: Prediction, /, *samples: Any) -> Finding:
        """The finding on a prediction, decided by itself.

        Args:
            prediction: it must name this rule.
            samples: the data, replica axis first; see `assess` of the rule.

        Raises:
            ValueError: it names the quantity, where the prediction asks for another rule, where there are too few
                replicas, where the axes are wrong, and where a value is not finite.
        """
        if prediction.rule != self.name:
            raise ValueError(f"{prediction.quantity!r} is to be decided by {prediction.rule!r}, not {self.name!r}")
        found = self.assess(prediction, *samples)
        p, p_refuted = found.test.p, found.test.p_refuted
        # Holm's correction may leave undecided what is refuted by itself.
        undecided = p > prediction.alpha and p_refuted > prediction.strictest_alpha
        return Finding(
            name=prediction.quantity,
            estimate=found.value,
            interval=_open(found.test.interval),
            expected=prediction.expected,
            margin=prediction.margin,
            accepted=_open(self.region(prediction)),
            rule=self.in_words(prediction, *samples),
            alpha=prediction.alpha,
            n=found.n,
            p=p,
            p_refuted=p_refuted,
            verdict=classify(p, p_refuted, prediction.alpha),
            replicas_needed=self.replicas_needed(prediction, found) if undecided else None,
        )

    @abstractmethod
    def region(self, prediction: Prediction) -> Range:
        """The values that agree with the prediction."""

    @abstractmethod
    def assess(self, prediction: Prediction, *samples: Any) -> Assessment:
        """The rule's test."""

    @abstractmethod
    def room(self, prediction: Prediction, spread: Any) -> tuple[float, float]:
        """How far inside the edge of the region a truth can lie, and how far outside; negative where none can."""

    @abstractmethod
    def chances(self, prediction: Prediction, spread: Any, inside: float, replicas: Any) -> Chances[Any]:
        """How likely either verdict is, wherever the edge of the region is that the truth lies near.

        Args:
            prediction: what is to be decided.
            spread: what is known of replicas.
            inside: how far inside the edge the truth lies; negative: outside.
            replicas: their number (in the smaller group).
        """

    @abstractmethod
    def simulate(self, generator: np.random.Generator, n: int, truth: float, noise: Any) -> tuple[Any, ...]:
        """Samples from a world in which the truth is known: by such the rule is calibrated.

        Args:
            generator: of random numbers.
            n: replicas in each group.
            truth: true value of the quantity, in the unit of the prediction unless the rule says another.
            noise: how replicas scatter, a distribution of `scipy.stats` of mean 0 and variance 1; a world of counts or
                labels has its own noise.
        """

    def in_words(self, prediction: Prediction, *_: Any) -> str:
        """The test in words, with what it counts and its error rates."""
        errors = f"false REPRODUCED and false REFUTED each with probability ≤ {prediction.alpha:g}"
        return f"{self.test}{self.rests_on}; the replica is the unit, {errors}"

    def replicas_needed(self, prediction: Prediction, found: Assessment) -> int | None:
        """How many replicas would decide as often as aimed at, were the truth what is found; `None` if no number."""

        def decided(replicas: Any) -> Any:
            chances = found.outlook(replicas)
            return chances.reproduced + chances.refuted

        return self.fewest_replicas(prediction, decided)

    def fewest_replicas(self, prediction: Prediction, chance: Callable[[Any], Any]) -> int | None:
        """The fewest replicas for which a chance, which rises with them, reaches the power that is aimed at."""
        sizes = range(self.fewest, self.most + 1)
        i = bisect_left(sizes, prediction.power, key=chance)
        return sizes[i] if i < len(sizes) else None


class Within(Rule):
    """A rule that accepts both sides of the value expected."""

    def region(self, prediction: Prediction) -> Range:
        """From `expected - margin` to `expected + margin`."""
        return prediction.expected - prediction.margin, prediction.expected + prediction.margin


class Above(Rule):
    """A rule with a lower bound."""

    def region(self, prediction: Prediction) -> Range:
        """From `expected - margin` up."""
        return prediction.expected - prediction.margin, math.inf


class Below(Rule):
    """A rule with an upper bound."""

    def region(self, prediction: Prediction) -> Range:
        """Up to `expected + margin`."""
        return -math.inf, prediction.expected + prediction.margin


def replicas_of(prediction: Prediction, values: ArrayLike, dimensions: int = 1) -> Floats:
    """The values as an array, [replica] or with two dimensions [replica, column].

    Raises:
        ValueError: the axes are wrong, there are fewer than 2 replicas, or a value is not finite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != dimensions:
        axes = ("replica", "column")[:dimensions]
        raise ValueError(f"{prediction.quantity!r} must have the axes [{', '.join(axes)}], not the shape {array.shape}")
    if len(array) < 2:
        raise ValueError(f"{prediction.quantity!r} has {len(array)} replica(s): a decision needs at least 2")
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise ValueError(f"{prediction.quantity!r} holds {bad} non-finite value(s): a replica diverged")
    return array


def floor_of(error: float, n: float) -> float:
    """The least p-value of n replicas: were one network in ten to differ, equal ones would show none as often.

    Where replicas do differ it is 0.
    """
    return 0.0 if error > 0 else (1 - RARE) ** n


def _open(ends: Range) -> tuple[float | None, float | None]:
    low, high = (end if math.isfinite(end) else None for end in ends)
    return low, high
