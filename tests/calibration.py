"""How often every rule errs and decides, and what it detects, by simulation.

`python -m tests.calibration` writes docs/calibration.md.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from scipy import optimize, special, stats

from ilr.stats.decision import Finding, Prediction, Verdict, classify
from ilr.stats.function_space import closer_than, further_than, noise_of
from ilr.stats.function_space.relative import Yardstick, nearer_than
from ilr.stats.jackknife import Places, power_law
from ilr.stats.means import at_least, at_most, equivalence, equivalence_of_groups, increasing, ratio, slope
from ilr.stats.rule import Rule
from ilr.stats.sample_size import Spread, smallest_detectable
from ilr.stats.shares import VIOLATORS, Share, quantile_at_least, share_at_least, universal
from ilr.stats.t_tests import OneGroup, TwoGroups
from tests.stats.test_function_space import World as Distance
from tests.stats.test_function_space import few_functions, independent_points, one_trait, one_trait_at_several_moments

REPRODUCED, REFUTED = Verdict.REPRODUCED, Verdict.REFUTED

PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"
ALPHA = 0.05
STRICT = 0.005
"""The level of claims."""
REPLICAS = (12, 30)


@dataclass(frozen=True)
class Noise:
    """A distribution of replicas, of mean 0 and variance 1."""

    name: str
    distribution: Any


def noise(name: str, family: Any, *shapes: float) -> Noise:
    """A family of `scipy.stats`, brought to mean 0 and variance 1."""
    mean, standard_deviation = float(family(*shapes).mean()), float(family(*shapes).std())
    return Noise(name, family(*shapes, loc=-mean / standard_deviation, scale=1 / standard_deviation))


NORMAL = noise("normal", stats.norm)
LOGNORMAL = noise("lognormal, σ = 0.5", stats.lognorm, 0.5)
EXPONENTIAL = noise("exponential", stats.expon)
HEAVY = noise("Student t, 4 degrees", stats.t, 4)
NOISES = (NORMAL, LOGNORMAL, EXPONENTIAL, HEAVY)
ANY_NOISE = replace(NORMAL, name="any")

Draw = Callable[[np.random.Generator, Noise, int, float], tuple[Any, ...]]
"""What n replicas give in a world of this noise and truth."""


def own_world(rule: Rule) -> Draw:
    """That which comes with the rule."""
    return lambda generator, noise, n, truth: rule.simulate(generator, n, truth, noise.distribution)


@dataclass(frozen=True)
class Case:
    """A rule on trial: data whose quantity has a given truth, and truths on the edge, inside and outside the range."""

    rule: Rule
    expected: float
    margin: float
    edge: float
    inside: float
    outside: float
    noises: Sequence[Noise] = NOISES
    at_the_edge: int = 10_000
    elsewhere: int = 1000
    world: Draw | None = None
    """Instead of the rule's own."""

    @property
    def prediction(self) -> Prediction:
        return Prediction("quantity", self.rule.name, self.expected, self.margin, "calibration", ALPHA)

    def findings(
        self, generator: np.random.Generator, noise: Noise, n: int, truth: float, data_sets: int
    ) -> list[Finding]:
        prediction, draw = self.prediction, self.world or own_world(self.rule)
        # Verdicts do not depend on how many replicas would decide, and looking for that takes most of the time.
        with mock.patch.object(Rule, "most", 2):
            return [self.rule(prediction, *draw(generator, noise, n, truth)) for _ in range(data_sets)]


def counts(findings: Sequence[Finding], alpha: float = ALPHA) -> dict[Verdict, int]:
    """How often each verdict is given at the level alpha."""
    verdicts = [classify(finding.p, finding.p_refuted, alpha) for finding in findings]
    return {verdict: verdicts.count(verdict) for verdict in Verdict}


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
        yield Case(rule, bound, 0.0, 1.0, inside, outside, noises, 2000, 300, draw)


CASES = (
    Case(equivalence, 0.5, 0.4, 0.9, 0.5, 1.5),
    Case(equivalence_of_groups, 0.5, 0.4, 0.9, 0.5, 1.5),
    Case(ratio, 0.5, 0.25, 0.75, 0.5, 1.1),
    Case(slope, 0.5, 0.4, 0.9, 0.5, 1.5),
    Case(at_least, 0.5, 0.2, 0.3, 0.7, -0.1),
    Case(at_most, 0.5, 0.2, 0.7, 0.3, 1.1),
    Case(increasing, 0.0, 0.0, 0.0, 1.0, -1.0),
    Case(quantile_at_least, 0.5, 0.1, 0.4, 1.2, -0.4, at_the_edge=5000),
    Case(share_at_least, 0.7, 0.0, 0.7, 0.99, 0.2, [ANY_NOISE], 5000),
    Case(universal, 0.0, 0.5, VIOLATORS, 0.0, 0.5, [ANY_NOISE]),
    *distances(independent_points, 0.2, "points apart"),
    *distances(few_functions, 0.3, "three functions"),
    *distances(one_trait, 1.0, "one trait"),
    *distances(one_trait_at_several_moments, 1.0, "four moments"),
    Case(nearer_than, 0.0, 1.0, 1.0, 0.0, 3.0, [ANY_NOISE], 2000, 300),
    Case(power_law, 1.0, 0.2, 1.2, 1.0, 1.5, NOISES, 600, 100),
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
    world: Callable[[np.random.Generator, int, float], tuple[Any, ...]] | None = None
    """What n replicas give with this truth, instead of the rule's own world with normal noise."""
    data_sets: int = 2000

    def prediction(self, alpha: float) -> Prediction:
        return Prediction("quantity", self.rule.name, self.expected, self.margin, "calibration", alpha)

    def smallest(self, generator: np.random.Generator, n: int, alpha: float, verdict: Verdict) -> float:
        return smallest_detectable(self.prediction(alpha), self.spread(generator), n, verdict)

    def times_given(
        self, generator: np.random.Generator, n: int, alpha: float, verdict: Verdict, distance: float
    ) -> int:
        """How often the verdict is given where the truth is so far off the edge."""
        truth = self.edge + (self.outwards if verdict is REFUTED else -self.outwards) * distance
        prediction = self.prediction(alpha)
        draw = self.world or partial(own_world(self.rule), noise=NORMAL)
        with mock.patch.object(Rule, "most", 2):
            findings = (self.rule(prediction, *draw(generator, n=n, truth=truth)) for _ in range(self.data_sets))
            return sum(finding.verdict is verdict for finding in findings)


def known(spread: Spread) -> Callable[[np.random.Generator], Spread]:
    return lambda _: spread


def trends(generator: np.random.Generator, n: int, truth: float) -> tuple[Any, ...]:
    """Rows whose mean rank correlation with the order of their columns is given."""
    order = np.arange(6) - 2.5

    def excess(trend: float) -> float:
        # A column's expected rank counts how likely it exceeds each of the others.
        ranks = special.ndtr((order[:, None] - order) * trend / math.sqrt(2)).sum(axis=1)
        return float((ranks * order).sum() / (order**2).sum()) - truth

    return increasing.simulate(generator, n, optimize.brentq(excess, -10, 10), NORMAL.distribution)


SHARE = 0.7


def reaching(generator: np.random.Generator, n: int, truth: float) -> tuple[Any, ...]:
    """Values of which a share reaches 0.4."""
    return 0.4 + 0.3 * (generator.standard_normal(n) + special.ndtri(truth)), SHARE


def pilot(generator: np.random.Generator) -> Spread:
    """Enough replicas that what is planned from them depends little on which they are."""
    return noise_of(*closer_than.simulate(generator, 100, 0.0, None))


def measure(generator: np.random.Generator) -> Spread:
    """As `pilot`, with a yardstick."""
    _, _, reference, doubled = nearer_than.simulate(generator, 100, 0.0, None)
    return Yardstick.of(reference, doubled)


EFFECTS = (
    Effect(equivalence, 0.5, 0.6, known(OneGroup(0.3)), 1.1, 1),
    Effect(equivalence_of_groups, 0.5, 0.6, known(TwoGroups((0.3, 0.2))), 1.1, 1),
    Effect(ratio, 0.5, 0.3, known(TwoGroups((0.15, 0.15))), 0.8, 1),
    Effect(slope, 0.5, 0.6, known(OneGroup(math.sqrt(0.09 + 0.01 / 8.75))), 1.1, 1),
    Effect(at_least, 0.5, 0.2, known(OneGroup(0.3)), 0.3, -1),
    Effect(at_most, 0.5, 0.2, known(OneGroup(0.3)), 0.7, 1),
    Effect(increasing, 0.0, 0.0, known(OneGroup(math.sqrt(1 / 5))), 0.0, -1, trends),
    Effect(quantile_at_least, 0.5, 0.1, known(Share(SHARE)), SHARE, -1, reaching),
    Effect(share_at_least, 0.6, 0.1, known(None), 0.5, -1),
    Effect(universal, 0.0, 0.5, known(None), 0.0, 1),
    Effect(closer_than, 0.2, 0.0, pilot, 0.2, 1),
    Effect(further_than, 0.2, 0.0, pilot, 0.2, -1),
    Effect(nearer_than, 0.0, 1.0, measure, 1.0, 1),
    Effect(power_law, 1.0, 0.3, known(Places((1.0, 4.0, 16.0), 0.3)), 1.3, 1, data_sets=500),
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
            if case.rule is universal:
                # One network that violates an identity refutes it, and at the edge a fifth of the networks do.
                rates[2:] = ["no error"] * 2
            rates += [cell(inside[REPRODUCED], case.elsewhere), cell(outside[REFUTED], case.elsewhere)]
            yield f"| `{case.rule.name}` | {noise.name} | {n} | {case.at_the_edge} | {' | '.join(rates)} |"


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
        yield f"| `{effect.rule.name}` | {n} | {effect.data_sets} | {' | '.join(cells)} |"


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
