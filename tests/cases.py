"""The rules on trial: worlds in which the truth is on an edge of the accepted range, inside it, or outside."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ilr.stats.decision import Prediction, Verdict
from ilr.stats.function_space import closer_than, further_than
from ilr.stats.function_space.relative import nearer_than
from ilr.stats.groups import Group
from ilr.stats.jackknife import power_law
from ilr.stats.means import at_least, at_most, equivalence, equivalence_of_groups, increasing, ratio, slope
from ilr.stats.rule import Floats, Rule
from ilr.stats.shares import VIOLATORS, quantile_at_least, share_at_least, universal
from tests.recorded import RECORDED, groups_of, pool
from tests.stats.test_function_space import World as Distance
from tests.stats.test_function_space import few_functions, independent_points, one_trait, one_trait_at_several_moments
from tests.verdicts import counts, p_values
from tests.worlds import CLUSTERED, EXPONENTIAL, LOGNORMAL, NOISES, NORMAL, ONE_IN_TEN, Fours, Noise, fours

REPRODUCED, REFUTED = Verdict.REPRODUCED, Verdict.REFUTED

ALPHA = 0.05
STRICT = 0.005
"""The level of claims."""
LOOK = STRICT / 4
"""The level of one of four looks."""
REPLICAS = (8, 16, 24, 32, 64, 128)
SOME_NOISES = (NORMAL, LOGNORMAL, EXPONENTIAL)
"""Where the test is that of another rule, which is tried in all of them."""
ANY_NOISE = replace(NORMAL, name="any")

Draw = Callable[[np.random.Generator, Noise, int, float], tuple[Any, ...]]
"""What n replicas give in a world of this noise and truth."""


def own_world(rule: Rule) -> Draw:
    """That which comes with the rule."""
    return lambda generator, noise, n, truth: rule.simulate(generator, n, truth, noise.distribution)


@dataclass(frozen=True)
class Case:
    """A rule on trial: data whose quantity has a given truth, and truths on the edges, inside and outside the range."""

    rule: Rule
    expected: float
    margin: float
    edges: Sequence[float]
    inside: float = math.nan
    outside: float = math.nan
    noises: Sequence[Noise] = (*NOISES, *CLUSTERED)
    data_sets: int = 10_000
    world: Draw | None = None
    """Instead of the rule's own."""
    groups: str = ""
    """How the groups are related, if there are several."""

    @property
    def edge(self) -> float:
        return self.edges[0]

    @property
    def prediction(self) -> Prediction:
        return Prediction("quantity", self.rule.name, self.expected, self.margin, "calibration", ALPHA)

    def draw(self, generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
        return (self.world or own_world(self.rule))(generator, noise, n, truth)

    def counts(
        self, generator: np.random.Generator, noise: Noise, n: int, truth: float, data_sets: int
    ) -> dict[Verdict, int]:
        """How often each verdict is given, of so many data sets."""
        drawn = (self.draw(generator, noise, n, truth) for _ in range(data_sets))
        return counts(self.rule, self.prediction, drawn)

    def p_values(self, generator: np.random.Generator, noise: Noise, n: int, truth: float) -> Floats:
        """Of many data sets, [data set, (p, p_refuted)]."""
        drawn = (self.draw(generator, noise, n, truth) for _ in range(self.data_sets))
        return p_values(self.rule, self.prediction, drawn)


# Worlds of groups


def differences(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Group, Group]:
    """Pairs that have most in common."""
    common = 5 + noise.distribution.rvs(n, generator)
    return Group(common + truth + 0.3 * noise.distribution.rvs(n, generator), range(n)), Group(common, range(n))


def multiples(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Group, Group]:
    """Pairs of which one is nearly a multiple of the other."""
    reference = 2 + 0.3 * noise.distribution.rvs(n, generator)
    return Group(truth * reference + 0.1 * noise.distribution.rvs(n, generator), range(n)), Group(reference, range(n))


def powers(generator: np.random.Generator, noise: Noise, n: int, truth: float) -> tuple[Any, ...]:
    """As the own world of `power_law`, half of the scatter in common to the replicas of one id."""
    x, common = (1.0, 4.0, 16.0), noise.distribution.rvs(n, generator)
    scatter = [0.2 * common + 0.2 * noise.distribution.rvs(n, generator) for _ in x]
    return (
        x,
        np.mean,
        [Group(at**truth * (1 + of_id), range(n)) for at, of_id in zip(x, scatter, strict=True)],
        generator,
    )


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
        yield Case(rule, bound, 0.0, (1.0,), inside, outside, noises, 2000, draw, "independent")


def pairs_of(world: Fours) -> Iterator[Case]:
    """A rule on the distance of a and b, at the bound, and the one that is relative to the others."""
    noises = [replace(NORMAL, name=world.name)]

    def pair(generator: np.random.Generator, _: Noise, n: int, __: float) -> tuple[Group, ...]:
        return world.groups(generator, n)[:2]

    def four(generator: np.random.Generator, _: Noise, n: int, __: float) -> tuple[Group, ...]:
        return world.groups(generator, n)

    # Of the two rules on a distance one mirrors the other: one is enough.
    yield Case(closer_than, world.distance, 0.0, (1.0,), math.nan, math.nan, noises, 2000, pair, "pairs")
    yield Case(nearer_than, 0.0, world.doublings, (1.0,), math.nan, math.nan, noises, 2000, four, "pairs")


CASES = (
    Case(equivalence, 0.5, 0.4, (0.9, 0.1), 0.5, 1.5),
    Case(equivalence_of_groups, 0.5, 0.4, (0.9, 0.1), 0.5, 1.5, (*NOISES, ONE_IN_TEN), groups="independent"),
    Case(
        equivalence_of_groups, 0.5, 0.4, (0.9, 0.1), 0.5, 1.5, (*NOISES, ONE_IN_TEN), world=differences, groups="pairs"
    ),
    Case(ratio, 0.5, 0.25, (0.75, 0.25), 0.5, 1.1, SOME_NOISES, groups="independent"),
    Case(ratio, 0.5, 0.25, (0.75, 0.25), 0.5, 1.1, SOME_NOISES, world=multiples, groups="pairs"),
    Case(slope, 0.5, 0.4, (0.9, 0.1), 0.5, 1.5, SOME_NOISES),
    Case(at_least, 0.5, 0.2, (0.3,), 0.7, -0.1, SOME_NOISES),
    Case(at_most, 0.5, 0.2, (0.7,), 0.3, 1.1, SOME_NOISES),
    Case(increasing, 0.0, 0.0, (0.0,), 1.0, -1.0, NOISES),
    Case(quantile_at_least, 0.5, 0.1, (0.4,), 1.2, -0.4, SOME_NOISES),
    Case(share_at_least, 0.7, 0.0, (0.7,), 0.99, 0.2, [ANY_NOISE]),
    Case(universal, 0.0, 0.5, (VIOLATORS,), 0.0, 0.5, [ANY_NOISE]),
    *distances(independent_points, 0.2, "points apart"),
    *distances(few_functions, 0.3, "three functions"),
    *distances(one_trait, 1.0, "one trait"),
    *distances(one_trait_at_several_moments, 1.0, "four moments"),
    *(case for world in fours(0.5) for case in pairs_of(world)),
    Case(power_law, 1.0, 0.2, (1.2, 0.8), 1.0, 1.5, SOME_NOISES[:2], 2000, groups="independent"),
    Case(power_law, 1.0, 0.2, (1.2, 0.8), 1.0, 1.5, SOME_NOISES[:2], 2000, powers, "pairs"),
)


# Worlds made from recordings


def recorded_worlds() -> Iterator[Case]:
    """Data sets drawn from recordings, with the truth on an edge: what is so in the pool itself."""
    of = pool()
    for quantity, values in of.numbers["η"].items():
        like, others = of.numbers["η/10"][quantity], of.numbers["λₑ × 2"][quantity]
        for rule, truth, samples in (
            (equivalence, values.mean(), (values,)),
            (equivalence_of_groups, (others - values).mean(), (others, values)),
            (equivalence_of_groups, (like - values).mean(), (like, values)),
            (ratio, others.mean() / values.mean(), (others, values)),
        ):
            # The range is wide, so that one edge only is near.
            wide = 10 * float(values.std())
            for edge, side in (("upper", -1), ("lower", 1)):
                name = f"{quantity} at equal λₑ, {edge} edge" if samples[0] is like else f"{quantity}, {edge} edge"
                yield _drawn(rule, truth + side * wide, wide, name, 10_000, *samples)
    off, doubled = (of.labels["η/10"], of.labels["λₑ × √2"]), (of.labels["η"], of.labels["λₑ × 2"])
    bound, yardstick = of.distance("η/10", "λₑ × √2"), of.distance("η", "λₑ × 2")
    pairs = _drawn(closer_than, bound, 0.0, "classes", 2000, *off)
    yield pairs
    yield replace(pairs, world=partial(_apart, off), groups="independent")
    yield _drawn(nearer_than, 0.0, math.sqrt(bound / yardstick), "classes", 2000, *off, *doubled)


def _drawn(rule: Rule, expected: float, margin: float, name: str, data_sets: int, *values: Any) -> Case:
    """A case whose data sets are drawn from a pool: one number per network, or groups in pairs."""

    def draw(generator: np.random.Generator, _: Noise, n: int, __: float) -> tuple[Any, ...]:
        places = generator.integers(0, RECORDED, n)
        return groups_of(places, *values) if len(values) > 1 else (values[0][places],)

    noises, groups = [replace(NORMAL, name=f"digits: {name}")], "pairs" if len(values) > 1 else ""
    return Case(rule, expected, margin, (math.nan,), noises=noises, data_sets=data_sets, world=draw, groups=groups)


def _apart(values: Sequence[Any], generator: np.random.Generator, _: Noise, n: int, __: float) -> tuple[Group, ...]:
    """Groups of different ids."""
    return tuple(
        Group(of_group[generator.integers(0, RECORDED, n)], range(k * n, (k + 1) * n))
        for k, of_group in enumerate(values)
    )
