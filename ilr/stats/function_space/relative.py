"""The rule on a relative distance: two groups are nearer to each other than so many doublings of λₑ would move them."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from scipy import optimize, special

from ilr.stats.decision import Prediction
from ilr.stats.function_space.noise import FEWEST, LARGEST, DistanceNoise
from ilr.stats.function_space.pairs import PairedNoise, Pairs, jackknife_error, noise_of
from ilr.stats.groups import Group, are_paired
from ilr.stats.rule import Assessment, Below, Chances, Range, Rule, Test, floor_of
from ilr.stats.t_tests import check_positive, in_standard_errors

DOUBLINGS = np.concatenate([[0.0], np.geomspace(0.02, 50.0, 80)])
"""Doublings between which the ends of an interval are looked for."""


@dataclass(frozen=True)
class Yardstick:
    """The noise of the squared distance of two like groups of pairs; the squared distance that a doubled λₑ makes, with
    its standard error for as many pairs.
    """

    noise: DistanceNoise
    distance: float
    error: float

    def __post_init__(self) -> None:
        check_positive("the distance that a doubled λₑ makes", self.distance)

    @classmethod
    def of(cls, reference: Group, doubled: Group) -> Self:
        """What a pilot tells, the noise of whose two groups is taken for that of any two."""
        pairs = Pairs.of(reference.values, doubled.values, FEWEST)
        return cls(noise_of(reference, doubled), pairs.squared_distance, pairs.jackknife_error)


@dataclass(frozen=True)
class Comparison:
    """What quadruples of nets (a_i, b_i, r_i, x_i) tell: the distance D of a and b, and the yardstick Y of r and x."""

    pairs: Pairs
    yardstick: Pairs

    @property
    def size(self) -> int:
        """The number of quadruples."""
        return self.pairs.smaller

    @cached_property
    def noise(self) -> PairedNoise:
        """That of D."""
        return self.pairs.noise

    @property
    def measures(self) -> bool:
        """Whether there is something to measure with: the estimate of Y is positive."""
        return self.yardstick.squared_distance > 0

    @cached_property
    def p_positive(self) -> float:
        """The p-value of the hypothesis that Y is not positive, where its estimate is."""
        error = self.yardstick.jackknife_error
        t = in_standard_errors(self.yardstick.squared_distance, error)
        return max(float(special.stdtr(self.size - 1, -t)), floor_of(error, self.size))

    @property
    def doublings(self) -> float:
        """The estimate √(D / Y)."""
        # What is not positive measures nothing; its error tells how large it might be, or the finest difference does.
        unit = self.yardstick.squared_distance
        if not self.measures:
            unit = max(self.yardstick.jackknife_error, 1 / self.yardstick.comparisons)
        return math.sqrt(max(self.pairs.squared_distance, 0.0) / unit)

    def p_further(self, doublings: float) -> float:
        """The p-value of the hypothesis that D is at most so many doublings, squared, of Y: the jackknife's t test."""
        if not self.measures:
            return 1.0
        share, n = doublings**2, self.size
        excess = self.pairs.squared_distance - share * self.yardstick.squared_distance
        error = jackknife_error(self.pairs.without - share * self.yardstick.without)
        # An excess of 0 is on the bound, and that is near enough.
        return max(float(special.stdtr(n - 1, in_standard_errors(-excess, error))), floor_of(error, n))

    def p_nearer(self, doublings: float) -> float:
        """The p-value of the hypothesis that D is at least so many doublings, squared, of Y: the gamma test."""
        if not self.measures:
            return 1.0
        share = doublings**2
        bound = share * self.yardstick.squared_distance
        noise = replace(self.noise, of_bound=(share * self.yardstick.jackknife_error) ** 2)
        distance = self.pairs.squared_distance
        p = float(distance > bound) if noise.is_none else noise.at_or_beyond(distance, bound)
        return max(p, self.p_positive, floor_of(self.noise.square, self.size))

    def interval(self, alpha: float) -> Range:
        """The doublings that neither test rejects."""
        lower = _where(lambda doublings: self.p_further(doublings) - alpha)
        upper = _where(lambda doublings: alpha - self.p_nearer(doublings))
        return lower, upper


def _where(excess: Callable[[float], float]) -> float:
    """Where a function that rises with the doublings turns positive; at most 0 at once, infinite never."""
    i = bisect_left(DOUBLINGS, 0.0, key=excess)
    if i in (0, len(DOUBLINGS)):
        return 0.0 if i == 0 else math.inf
    return float(optimize.brentq(excess, DOUBLINGS[i - 1], DOUBLINGS[i]))


class NearerThan(Below, Rule):
    """Two groups are at most `expected + margin` doublings of λₑ apart: √(D / Y) is, where D is the squared distance of
    `a` and `b`, and Y that of `reference` and `doubled`, which ends with twice the λₑ.

    On digits a λₑ that is off by a factor 2^s moves the squared distance by s² of what s = 1 does (0.04 to 0.09 for
    s = 1/4, 0.20 to 0.24 for s = 1/2), so with 0.5 doublings the bound D ≤ Y / 4 says: by less than a λₑ that is wrong
    by √2. The four groups are of the same replicas; `reference` has the λₑ of `a` and `b`, and is neither of them: with
    `a` as the reference the rule errs twice as often.

    Further is tested by a t test of D - Y / 4 with the jackknife's standard error, nearer by the lower tail of the
    noise of D that there is with the truth on the bound or beyond it, widened by the error of Y; and Y must be
    positive: by a yardstick that is measured as none, nothing is nearer and nothing is further. Both are approximate;
    the rates are in docs/calibration.md.

    Raises:
        ValueError: also where the labels are not integers, not of the same points, or of fewer than 3 replicas.
    """

    name = "nearer_than"
    spread = Yardstick
    fewest = FEWEST
    test = "Jackknife t test and gamma test on the squared distance of pairs, relative to that of a doubled λₑ"

    def assess(self, prediction: Prediction, a: Group, b: Group, reference: Group, doubled: Group) -> Assessment:
        """The two tests.

        Args:
            prediction: what is to be decided, in doublings of λₑ.
            a: a Group of labels, [n, point] or [n, moment, point].
            b: a Group of labels of the same replicas.
            reference: another one, of the same λₑ.
            doubled: another one, of twice the λₑ.
        """
        found = self.compare(prediction, a, b, reference, doubled)
        _, bound = self.region(prediction)
        test = Test(found.p_nearer(bound), found.p_further(bound), found.interval(prediction.alpha))
        distance, yardstick = max(found.pairs.squared_distance, 0.0), found.yardstick
        noise = replace(found.noise, of_bound=yardstick.jackknife_error**2)
        outlook = partial(self.chances_of, prediction, noise, distance, yardstick.squared_distance)
        return Assessment(found.doublings, found.size, test, outlook)

    def compare(self, prediction: Prediction, a: Group, b: Group, reference: Group, doubled: Group) -> Comparison:
        """The distance of `a` and `b`, and the yardstick."""
        groups = (a, b, reference, doubled)
        if not are_paired(prediction.quantity, groups):
            raise ValueError(f"{prediction.quantity!r} compares four groups of the same replicas, not disjoint ones")
        first, second, third, fourth = (group.values for group in groups)
        try:
            return Comparison(Pairs.of(first, second, FEWEST), Pairs.of(third, fourth, FEWEST))
        except ValueError as refusal:
            raise ValueError(f"{prediction.quantity!r}: {refusal}") from None

    def room(self, prediction: Prediction, spread: Yardstick) -> tuple[float, float]:
        """A truth lies between 0 and the largest distance, in doublings."""
        _, bound = self.region(prediction)
        return bound, math.sqrt(LARGEST / spread.distance) - bound

    def chances(self, prediction: Prediction, spread: Yardstick, inside: float, replicas: int) -> Chances[float]:
        """Of a truth in the direction with most noise."""
        _, bound = self.region(prediction)
        truth = (bound - inside) ** 2 * spread.distance
        noise = spread.noise
        linear = float(noise.linear(truth))
        known = PairedNoise(noise.strongest, noise.square, noise.replicas, truth, linear, spread.error**2)
        return self.chances_of(prediction, known, truth, spread.distance, replicas)

    def chances_of(
        self, prediction: Prediction, noise: PairedNoise, distance: float, yardstick: float, replicas: int
    ) -> Chances[float]:
        """How likely either verdict is.

        Args:
            prediction: what is to be decided.
            noise: what is known of quadruples, with the variance of the yardstick.
            distance: the true D.
            yardstick: the true Y.
            replicas: the number of quadruples.
        """
        _, bound = self.region(prediction)
        share, then = bound**2, noise.planned(replicas)
        then = replace(then, of_bound=share**2 * then.of_bound)
        levels = prediction.alpha, prediction.strictest_alpha
        linear = then.linear_found + then.of_bound
        nearer, further = then.decided(distance, linear, share * yardstick, levels)
        error = math.sqrt(noise.of_bound * noise.replicas / replicas)
        positive = special.ndtr(in_standard_errors(yardstick, error) - special.stdtrit(replicas - 1, 1 - levels[0]))
        return Chances(max(nearer + float(positive) - 1, 0.0), further)

    def simulate(self, generator: np.random.Generator, n: int, truth: float, _: Any) -> tuple[Any, ...]:
        """A hundred points of three classes, all predicted independently: a doubled λₑ changes chances by up to 0.2."""
        even, ids = np.full(3, 1 / 3), range(n)

        def group(moved: float) -> Group:
            chances = even + moved * np.array([0.2, -0.1, -0.1])
            return Group(generator.choice(3, (n, 100), p=chances), ids)

        return group(0.0), group(truth), group(0.0), group(1.0)


nearer_than = NearerThan()
