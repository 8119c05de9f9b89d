"""The rules on the squared distance of two groups: closer than a bound, or further."""

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy import special

from ilr.stats.decision import Prediction
from ilr.stats.function_space.distances import Pool
from ilr.stats.function_space.noise import FEWEST, LARGEST, DistanceNoise, noise_in
from ilr.stats.function_space.pairs import Pairs
from ilr.stats.groups import Group, are_paired
from ilr.stats.rule import Above, Assessment, Below, Chances, Rule, Test, floor_of
from ilr.stats.t_tests import in_standard_errors


class DistanceRule(Rule):
    """A rule that bounds a squared distance on one side.

    The noise grows with the distance and is skewed to the right. Two tests of n - 1 degrees of freedom allow for that:

    - "further than the bound": a t test with the jackknife's standard error, which is too large where Δ is small;
    - "closer than the bound": the lower tail of the noise that there is with the truth on the bound or beyond it,
      whichever is likeliest: far below zero an estimate may be a little likelier from further away, where there is more
      noise. The t test would falsely accept up to a quarter of the time at alpha = 0.05, as an estimate that came out
      small by chance brings a small standard error with it.
    """

    spread = DistanceNoise
    fewest = FEWEST
    test = "Jackknife t test and gamma test on the unbiased squared distance of two groups{paired}"
    further: ClassVar[bool]
    """Whether the region lies above the bound."""

    def simulate(self, generator: np.random.Generator, n: int, truth: float, _: Any) -> tuple[Any, ...]:
        """Forty points of three classes, all predicted independently; the truth is at most 2/3."""
        chances = np.full(3, 1 / 3) + math.sqrt(truth / 1.5) * np.array([1, -0.5, -0.5])
        first, second = generator.integers(0, 3, (n, 40)), generator.choice(3, (n, 40), p=chances)
        return Group(first, range(n)), Group(second, range(n, 2 * n))

    def in_words(self, prediction: Prediction, *samples: Any) -> str:
        """The test, with what its unit is."""
        paired = ", whose replicas come in pairs" if are_paired(prediction.quantity, samples) else ""
        return super().in_words(prediction).format(paired=paired)

    def by_verdict(self, closer: float, further: float) -> tuple[float, float]:
        """What belongs to REPRODUCED and to REFUTED, of two numbers on a truth closer and further than the bound."""
        return (further, closer) if self.further else (closer, further)

    def excess(self, estimate: float, bound: float, error: float) -> float:
        """How many standard errors an estimate is above the bound; on it, it lies inside the region."""
        if self.further:
            return in_standard_errors(estimate - bound, error)
        return -in_standard_errors(bound - estimate, error)

    def bound(self, prediction: Prediction) -> float:
        """The one end of the region."""
        lower, upper = self.region(prediction)
        return lower if math.isfinite(lower) else upper

    def assess(self, prediction: Prediction, a: Group, b: Group) -> Assessment:
        """The two tests.

        Args:
            prediction: what is to be decided.
            a: a Group of labels, [n, point] or [n, moment, point].
            b: a Group of labels, [m, point] or [m, moment, point]; of the same replicas, or of none of them.
        """
        kind = Pairs if are_paired(prediction.quantity, (a, b)) else Pool
        try:
            found = kind.of(a.values, b.values, least=FEWEST)
        except ValueError as refusal:
            raise ValueError(f"{prediction.quantity!r}: {refusal}") from None
        n, alpha, bound = found.smaller, prediction.alpha, self.bound(prediction)
        estimate, error, noise = (
            found.squared_distance,
            found.jackknife_error,
            found.noise if isinstance(found, Pairs) else noise_in(found),
        )

        # The first is small where the truth is clearly further than the bound, the second where it is clearly closer.
        p_further = float(special.stdtr(n - 1, -self.excess(estimate, bound, error)))
        on_or_above = float(self.excess(estimate, bound, 0.0) > 0)
        p_closer = on_or_above if noise.is_none else noise.at_or_beyond(estimate, bound)
        least = floor_of(error, n), floor_of(noise.square, n)
        p, p_refuted = self.by_verdict(max(p_closer, least[1]), max(p_further, least[0]))

        lower = estimate - error * float(special.stdtrit(n - 1, 1 - alpha))
        # The jackknife's variance is 4 ΔΣΔ + 4 tr Σ² on average, twice too much in the second term.
        linear = max(error**2 - 4 * noise.square, 0.0)
        test = Test(p, p_refuted, (lower, noise.upper_bound(estimate, alpha)))
        return Assessment(estimate, n, test, partial(self.chances_of, prediction, noise, estimate, linear))

    def room(self, prediction: Prediction, _: DistanceNoise) -> tuple[float, float]:
        """A truth lies between 0 and the largest distance."""
        bound = self.bound(prediction)
        return self.by_verdict(closer=bound, further=LARGEST - bound)

    def chances(self, prediction: Prediction, spread: DistanceNoise, inside: float, replicas: int) -> Chances[float]:
        """Of a truth in the direction with most noise."""
        bound = self.bound(prediction)
        truth = bound + inside if self.further else bound - inside
        return self.chances_of(prediction, spread, truth, float(spread.linear(truth)), replicas)

    def chances_of(
        self, prediction: Prediction, noise: DistanceNoise, distance: float, linear: float, replicas: int
    ) -> Chances[float]:
        """How likely either verdict is.

        Args:
            prediction: what is to be decided.
            noise: what is known of replicas.
            distance: the truth.
            linear: 4 ΔΣΔ for as many replicas as that noise is of.
            replicas: their number (in the smaller group).
        """
        bound, levels = self.bound(prediction), self.by_verdict(prediction.alpha, prediction.strictest_alpha)
        linear_then = linear * noise.replicas / replicas
        closer, further = noise.planned(replicas).decided(distance, linear_then, bound, levels)
        reproduced, refuted = self.by_verdict(closer, further)
        return Chances(reproduced, refuted)


class CloserThan(Below, DistanceRule):
    """The squared distance of `a` [n, point] and `b` [m, point] is at most `expected + margin`.

    Groups of the same replicas are compared in pairs, others must be independent, so they share no replica. Closer is
    tested by the lower tail of the estimate's noise, which is measured from replicas (or pairs) about the mean of their
    group; further by a t test with the jackknife's standard error. Both are approximate; the rates are in
    docs/calibration.md. `replicas_needed` counts the smaller group, and takes the other to grow in proportion.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 3 replicas in a group.
    """

    name = "closer_than"
    further = False


class FurtherThan(Above, DistanceRule):
    """The squared distance of `a` [n, point] and `b` [m, point] is at least `expected - margin`; as `closer_than`.

    Raises:
        ValueError: the labels are not integers, not of the same points, or of fewer than 3 replicas in a group.
    """

    name = "further_than"
    further = True


closer_than = CloserThan()
further_than = FurtherThan()
