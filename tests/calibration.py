"""How often every rule errs and decides, and what it detects, by simulation.

`python -m tests.calibration` writes docs/calibration.md.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from ilr.stats import power, rules
from ilr.stats.decision import Finding, Prediction, Verdict, classify
from ilr.stats.function_space import closer_than, differ, further_than, noise_of
from ilr.stats.jackknife import power_law
from ilr.stats.sample_size import OneGroup, Places, Share, Spread, TwoGroups, smallest_detectable
from tests.stats.test_function_space import World as Distance
from tests.stats.test_function_space import few_functions, independent_points, one_trait, one_trait_at_several_moments

Floats = NDArray[np.float64]
Rule = Callable[..., Finding]
REPRODUCED, REFUTED = Verdict.REPRODUCED, Verdict.REFUTED

PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"
ALPHA = 0.05
STRICT = 0.005
"""The level of claims."""
REPLICAS = (12, 30)


@dataclass(frozen=True)
class Noise:
    """A distribution of replicas, brought to mean 0 and variance 1."""

    name: str
    raw: Callable[[np.random.Generator, int | tuple[int, ...]], Floats]
    distribution: Any
    mean: float
    deviation: float

    def draw(self, generator: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        return (self.raw(generator, size) - self.mean) / self.deviation

    def quantile(self, order: float) -> float:
        return float((self.distribution.ppf(order) - self.mean) / self.deviation)


def noise(
    name: str, raw: Callable[[np.random.Generator, int | tuple[int, ...]], Floats], distribution: Any = None
) -> Noise:
    distribution = distribution or stats.norm()
    return Noise(name, raw, distribution, float(distribution.mean()), float(distribution.std()))


NORMAL = noise("normal", lambda generator, size: generator.standard_normal(size))
LOGNORMAL = noise("lognormal, σ = 0.5", lambda generator, size: generator.lognormal(0, 0.5, size), stats.lognorm(0.5))
EXPONENTIAL = noise("exponential", lambda generator, size: generator.exponential(size=size), stats.expon())
HEAVY = noise("Student t, 4 degrees", lambda generator, size: generator.standard_t(4, size), stats.t(4))
NOISES = (NORMAL, LOGNORMAL, EXPONENTIAL, HEAVY)
ANY_NOISE = replace(NORMAL, name="any")

Draw = Callable[[np.random.Generator, Noise, int, float], tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A rule on trial: data whose quantity has a given truth, and truths on the edge, inside and outside the range."""

    rule: Rule
    expected: float
    margin: float
    draw: Draw
    edge: float
    inside: float
    outside: float
    noises: Sequence[Noise] = NOISES
    at_the_edge: int = 10_000
    elsewhere: int = 1000

    @property
    def prediction(self) -> Prediction:
        return Prediction("quantity", self.rule.__name__, self.expected, self.margin, "calibration", ALPHA)

    def findings(
        self, generator: np.random.Generator, noise: Noise, n: int, truth: float, data_sets: int
    ) -> list[Finding]:
        prediction = self.prediction
        # Verdicts do not depend on how many replicas would decide, and looking for that takes most of the time.
        with mock.patch.object(power, "MOST_REPLICAS", 2):
            return [self.rule(prediction, *self.draw(generator, noise, n, truth)) for _ in range(data_sets)]


def counts(findings: Sequence[Finding], alpha: float = ALPHA) -> dict[Verdict, int]:
    """How often each verdict is given at the level alpha."""
    verdicts = [classify(finding.p, finding.p_refuted, alpha) for finding in findings]
    return {verdict: verdicts.count(verdict) for verdict in Verdict}


def sample(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return (truth + 0.3 * noise.draw(generator, n),)


def two_groups(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return 5 + truth + 0.3 * noise.draw(generator, n), 5 + 0.2 * noise.draw(generator, n)


def multiples(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return 2 * truth + 0.3 * noise.draw(generator, n), 2 + 0.3 * noise.draw(generator, n)


X = np.array([0.0, 1.0, 2.0, 4.0])


def lines(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return X, (truth + 0.3 * noise.draw(generator, (n, 1))) * X + 0.1 * noise.draw(generator, (n, 4))


def rows(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return (truth * np.arange(6) + noise.draw(generator, (n, 6)),)


def successes(generator: np.random.Generator, _: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return (generator.random(n) < truth,)


def violations(generator: np.random.Generator, _: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return ((generator.random(n) < truth).astype(float),)


SHARE = 0.7


def quantiles(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return truth + 0.3 * (noise.draw(generator, n) - noise.quantile(1 - SHARE)), SHARE


def times(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    x = (1.0, 4.0, 16.0)
    return x, np.mean, [at**truth * (1 + 0.3 * noise.draw(generator, n)) for at in x], generator


def labels(*worlds: tuple[str, Callable[[float], Distance], float]) -> tuple[Sequence[Noise], Draw]:
    """Worlds of labels: their names in place of noises, and how to draw from them; truth is a share of a difference."""
    by_name = {name: (world, difference) for name, world, difference in worlds}

    def draw(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
        world, difference = by_name[noise.name]
        return world(truth * difference).groups(generator, n)

    return [replace(NORMAL, name=name) for name in by_name], draw


def distances(world: Callable[[float], Distance], difference: float, name: str) -> Iterator[Case]:
    noises, draw = labels((name, world, difference))
    bound = world(difference).distance
    for rule, inside, outside in ((closer_than, 0.0, 2.0), (further_than, 2.0, 0.0)):
        yield Case(rule, bound, 0.0, draw, 1.0, inside, outside, noises, 2000, 300)


def apart(generator: np.random.Generator, _: Noise, n: int, truth: float) -> tuple[Any, ...]:
    return *independent_points(0.2 * truth).groups(generator, n), generator


CASES = (
    Case(rules.equivalence, 0.5, 0.4, sample, 0.9, 0.5, 1.5),
    Case(rules.equivalence_of_groups, 0.5, 0.4, two_groups, 0.9, 0.5, 1.5),
    Case(rules.ratio, 0.5, 0.25, multiples, 0.75, 0.5, 1.1),
    Case(rules.slope, 0.5, 0.4, lines, 0.9, 0.5, 1.5),
    Case(rules.at_least, 0.5, 0.2, sample, 0.3, 0.7, -0.1),
    Case(rules.at_most, 0.5, 0.2, sample, 0.7, 0.3, 1.1),
    Case(rules.increasing, 0.0, 0.0, rows, 0.0, 1.0, -1.0),
    Case(rules.quantile_at_least, 0.5, 0.1, quantiles, 0.4, 1.2, -0.4, at_the_edge=5000),
    Case(rules.share_at_least, 0.7, 0.0, successes, 0.7, 0.99, 0.2, [ANY_NOISE], 5000),
    Case(rules.universal, 0.0, 0.5, violations, rules.VIOLATORS, 0.0, 0.5, [ANY_NOISE]),
    *distances(independent_points, 0.2, "points apart"),
    *distances(few_functions, 0.3, "three functions"),
    *distances(one_trait, 1.0, "one trait"),
    *distances(one_trait_at_several_moments, 1.0, "four moments"),
    Case(differ, 0.0, 0.0, apart, 0.0, 2.0, 0.0, [replace(NORMAL, name="points apart")], 2000, 300),
    Case(power_law, 1.0, 0.2, times, 1.2, 1.0, 1.5, NOISES, 600, 100),
)


@dataclass(frozen=True)
class Effect:
    """A rule on trial with normal replicas, whose truth is as little off the edge as they detect."""

    rule: Rule
    expected: float
    margin: float
    spread: Callable[[np.random.Generator], Spread]
    edge: float
    """As in the plan: a share for the rules that count replicas."""
    outwards: int
    """The sign of the way out of the accepted range."""
    draw: Callable[[np.random.Generator, int, float], tuple[Any, ...]]
    """What so many replicas give with this truth."""
    data_sets: int = 2000

    def prediction(self, alpha: float) -> Prediction:
        return Prediction("quantity", self.rule.__name__, self.expected, self.margin, "calibration", alpha)

    def smallest(self, generator: np.random.Generator, n: int, alpha: float, verdict: Verdict) -> float:
        return smallest_detectable(self.prediction(alpha), self.spread(generator), n, verdict)

    def times_given(
        self, generator: np.random.Generator, n: int, alpha: float, verdict: Verdict, distance: float
    ) -> int:
        """How often the verdict is given where the truth is so far off the edge."""
        truth = self.edge + (self.outwards if verdict is REFUTED else -self.outwards) * distance
        prediction = self.prediction(alpha)
        with mock.patch.object(power, "MOST_REPLICAS", 2):
            findings = (self.rule(prediction, *self.draw(generator, n, truth)) for _ in range(self.data_sets))
            return sum(finding.verdict is verdict for finding in findings)


def known(spread: Spread) -> Callable[[np.random.Generator], Spread]:
    return lambda _: spread


def normal(draw: Draw) -> Callable[[np.random.Generator, int, float], tuple[Any, ...]]:
    return lambda generator, n, truth: draw(generator, NORMAL, n, truth)


def trends(generator: np.random.Generator, n: int, correlation: float) -> tuple[Any, ...]:
    """Rows whose mean rank correlation with the order of their columns is given."""
    order = np.arange(6) - 2.5

    def excess(trend: float) -> float:
        # A column's expected rank counts how likely it exceeds each of the others.
        ranks = special.ndtr((order[:, None] - order) * trend / math.sqrt(2)).sum(axis=1)
        return float((ranks * order).sum() / (order**2).sum()) - correlation

    return rows(generator, NORMAL, n, optimize.brentq(excess, -10, 10))


def reaching(generator: np.random.Generator, n: int, share: float) -> tuple[Any, ...]:
    """Values of which a share reaches 0.4."""
    return 0.4 + 0.3 * (generator.standard_normal(n) + special.ndtri(share)), SHARE


def points_apart(generator: np.random.Generator, n: int, distance: float) -> tuple[Any, ...]:
    """Forty points of three classes, all predicted independently."""
    chances = np.full(3, 1 / 3) + math.sqrt(distance / 1.5) * np.array([1, -0.5, -0.5])
    return generator.integers(0, 3, (n, 40)), generator.choice(3, (n, 40), p=chances)


def points_or_noise(generator: np.random.Generator, n: int, distance: float) -> tuple[Any, ...]:
    return *points_apart(generator, n, distance), generator


def pilot(generator: np.random.Generator) -> Spread:
    """Enough replicas that what is planned from them depends little on which they are."""
    return noise_of(*points_apart(generator, 100, 0.0))


EFFECTS = (
    Effect(rules.equivalence, 0.5, 0.6, known(OneGroup(0.3)), 1.1, 1, normal(sample)),
    Effect(rules.equivalence_of_groups, 0.5, 0.6, known(TwoGroups((0.3, 0.2))), 1.1, 1, normal(two_groups)),
    Effect(rules.ratio, 0.5, 0.3, known(TwoGroups((0.15, 0.15))), 0.8, 1, normal(multiples)),
    Effect(rules.slope, 0.5, 0.6, known(OneGroup(math.sqrt(0.09 + 0.01 / 8.75))), 1.1, 1, normal(lines)),
    Effect(rules.at_least, 0.5, 0.2, known(OneGroup(0.3)), 0.3, -1, normal(sample)),
    Effect(rules.at_most, 0.5, 0.2, known(OneGroup(0.3)), 0.7, 1, normal(sample)),
    Effect(rules.increasing, 0.0, 0.0, known(OneGroup(math.sqrt(1 / 5))), 0.0, -1, trends),
    Effect(rules.quantile_at_least, 0.5, 0.1, known(Share(SHARE)), SHARE, -1, reaching),
    Effect(rules.share_at_least, 0.6, 0.1, known(None), 0.5, -1, normal(successes)),
    Effect(rules.universal, 0.0, 0.5, known(None), 0.0, 1, normal(violations)),
    Effect(closer_than, 0.2, 0.0, pilot, 0.2, 1, points_apart),
    Effect(further_than, 0.2, 0.0, pilot, 0.2, -1, points_apart),
    Effect(differ, 0.0, 0.0, pilot, 0.0, -1, points_or_noise, 500),
    Effect(power_law, 1.0, 0.3, known(Places((1.0, 4.0, 16.0), 0.3)), 1.3, 1, normal(times), 500),
)


def cell(count: int, data_sets: int) -> str:
    """A rate with its exact binomial interval."""
    interval = stats.binomtest(count, data_sets).proportion_ci(0.95, "exact")
    return f"{count / data_sets:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def lines_of_table(generator: np.random.Generator) -> Iterator[str]:
    for case in CASES:
        for noise, n in product(case.noises, REPLICAS):
            edge = case.findings(generator, noise, n, case.edge, case.at_the_edge)
            inside = counts(case.findings(generator, noise, n, case.inside, case.elsewhere))
            outside = counts(case.findings(generator, noise, n, case.outside, case.elsewhere))
            errors = [counts(edge, alpha)[verdict] for verdict in (REPRODUCED, REFUTED) for alpha in (ALPHA, STRICT)]
            rates = [cell(count, case.at_the_edge) for count in errors]
            if case.rule is rules.universal:
                # One network that violates an identity refutes it, and at the edge a fifth of the networks do.
                rates[2:] = ["no error"] * 2
            if case.rule is differ:
                # What is not on the edge lies inside: there is no distance below 0.
                rates[2:] = ["never"] * 2
            rates += [cell(inside[REPRODUCED], case.elsewhere)]
            rates += ["never" if case.rule is differ else cell(outside[REFUTED], case.elsewhere)]
            yield f"| `{case.rule.__name__}` | {noise.name} | {n} | {case.at_the_edge} | {' | '.join(rates)} |"


def lines_of_effects(generator: np.random.Generator) -> Iterator[str]:
    for effect, n in product(EFFECTS, REPLICAS):
        cells = []
        for verdict in (REFUTED, REPRODUCED):
            distance = effect.smallest(generator, n, STRICT, verdict)
            if distance == math.inf:
                cells += ["none", "never"]
            else:
                count = effect.times_given(generator, n, STRICT, verdict, distance)
                cells += [f"{distance:.3g}", cell(count, effect.data_sets)]
        yield f"| `{effect.rule.__name__}` | {n} | {effect.data_sets} | {' | '.join(cells)} |"


HEAD = f"""# How often the rules err

Made by `python -m tests.calibration`, from seeds drawn afresh: each rule judged simulated data sets of known truth.
With the truth at the edge of the accepted range either verdict is an error, to be given with probability α at most;
these rates are for α = {ALPHA:g} and for α = {STRICT:g}, the level of claims. Well inside and well outside the range
the verdict is to be right; these rates are for α = {ALPHA:g}, from a tenth of the data sets or more. Each rate is
followed by its exact 95% interval.

A t test is exact for normal replicas. With few skewed ones a mean that came out far from the long tail comes with a
small standard error, so that a t test errs towards that side more often than α, and towards the other side less often;
the excess is relatively larger the smaller α is.

| rule | replicas | n | data sets at the edge | edge: REPRODUCED | at {STRICT:g} | edge: REFUTED | at {STRICT:g} | \
inside: REPRODUCED | outside: REFUTED |
|---|---|---|---|---|---|---|---|---|---|
"""


EFFECTS_HEAD = f"""
## What the rules detect

The smallest effect that [ilr.stats.sample_size](../ilr/stats/sample_size.py) promises for n replicas: the truth must
lie so far outside the accepted range to be REFUTED, or so far inside to be REPRODUCED, with probability about 0.9 at
α = {STRICT:g}.
Beside it is how often the verdict was given to simulated data sets with the truth just there, with its exact 95%
interval.

Replicas are normal, of the standard deviation 0.3 where a rule is on one mean; all of these worlds are in
[tests/calibration.py](../tests/calibration.py). The effect has the unit of the prediction, but for
`quantile_at_least` it is a share of the networks (0.7 is asked for), and for `universal` the share that violate the
identity. Some plans are on the safe side: the rank correlations of `increasing` are taken to vary as they do without a
trend, and two distributions to differ in the direction with most noise, as no plan knows the direction.

| rule | n | data sets | smallest outside | there: REFUTED | smallest inside | there: REPRODUCED |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    generator = np.random.default_rng()
    errors, effects = "\n".join(lines_of_table(generator)), "\n".join(lines_of_effects(generator))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"{HEAD}{errors}\n{EFFECTS_HEAD}{effects}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
