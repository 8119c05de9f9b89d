"""Worlds in which the truth is known, by which the rules are calibrated: how replicas scatter, and labels of pairs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from ilr.stats.groups import Group
from ilr.stats.rule import Floats

Labels = NDArray[np.integer]


# How replicas scatter


@dataclass(frozen=True)
class Distribution:
    """A distribution brought to mean 0 and variance 1, drawn from as those of `scipy.stats` are, but faster."""

    sample: Callable[[np.random.Generator, Any], Floats]
    mean: float
    standard_deviation: float
    quantile: Callable[[float], float] | None = None

    def rvs(self, size: Any, random_state: np.random.Generator) -> Floats:
        return (self.sample(random_state, size) - self.mean) / self.standard_deviation

    def ppf(self, q: float) -> float:
        assert self.quantile is not None
        return (float(self.quantile(q)) - self.mean) / self.standard_deviation


@dataclass(frozen=True)
class Noise:
    """A distribution of replicas, of mean 0 and variance 1."""

    name: str
    distribution: Distribution

    def __str__(self) -> str:
        return self.name


def noise(name: str, sample: Callable[[np.random.Generator, Any], Floats], family: Any) -> Noise:
    """A frozen family of `scipy.stats`, and how numpy draws from it."""
    return Noise(name, Distribution(sample, float(family.mean()), float(family.std()), family.ppf))


def one_in_ten(generator: np.random.Generator, size: Any, spread: float = 0.0) -> Floats:
    """Saturated, but that one network in ten fails."""
    fails = (generator.random(size) < 0.1).astype(np.float64)
    return -fails + spread * generator.standard_normal(size)


NORMAL = noise("normal", lambda generator, size: generator.standard_normal(size), stats.norm())
LOGNORMAL = noise("lognormal, σ = 0.5", lambda generator, size: generator.lognormal(0, 0.5, size), stats.lognorm(0.5))
EXPONENTIAL = noise("exponential", lambda generator, size: generator.standard_exponential(size), stats.expon())
HEAVY = noise("Student t, 4 degrees", lambda generator, size: generator.standard_t(4, size), stats.t(4))
SATURATED = noise(
    "saturated: 20 right of 20 by half",
    lambda generator, size: generator.binomial(20, 0.97, size).astype(np.float64),
    stats.binom(20, 0.97),
)
ONE_IN_TEN = Noise("one in ten fails", Distribution(one_in_ten, -0.1, 0.3))
OUTLIERS = Noise(
    "one in ten fails, the others scatter",
    Distribution(partial(one_in_ten, spread=0.02), -0.1, math.sqrt(0.09 + 0.02**2)),
)
NOISES = (NORMAL, LOGNORMAL, EXPONENTIAL, HEAVY)
"""Continuous: quantiles are defined by them."""
CLUSTERED = (SATURATED, ONE_IN_TEN, OUTLIERS)


# Labels of networks that come in pairs, or in fours

Quadruple = tuple[Labels, Labels, Labels, Labels]
Draw = Callable[[np.random.Generator, int], Quadruple]


@dataclass(frozen=True)
class Fours:
    """How to draw labels of a, b, a reference and a group of doubled λₑ, of n ids; and how many doublings b is off."""

    name: str
    draw: Draw
    doublings: float
    distance: float
    """The squared distance of a and b."""

    def groups(self, generator: np.random.Generator, n: int) -> tuple[Group, ...]:
        return tuple(Group(labels, range(n)) for labels in self.draw(generator, n))


LOGITS, LOADS = np.linspace(-2, 2, 50), np.resize([-1.5, -0.5, 1.0, 2.0], 50)
ACROSS = np.roll(LOADS, 1) - np.roll(LOADS, 1) @ LOADS / (LOADS @ LOADS) * LOADS
"""A direction in which the trait does not move the logits."""


def trait(name: str, doublings: float, shared: float, doubled: float, moments: int = 1, along: Floats = LOADS) -> Fours:
    """A trait shifts all logits of a network; a share of its variance is that of the id.

    Args:
        name: of the world.
        doublings: how far b is off.
        shared: the share of the trait's variance that networks of one id have in common.
        doubled: by how much twice the λₑ shifts the logits.
        moments: how often each network is looked at.
        along: how much it shifts each logit.
    """

    def distance(shift: float) -> float:
        chances = [special.ndtr((LOGITS + by * along) / np.sqrt(1 + LOADS**2)) for by in (0.0, shift)]
        return float(2 * ((chances[0] - chances[1]) ** 2).mean())

    yardstick = distance(doubled)
    off = 0.0
    if doublings:
        off = float(optimize.brentq(lambda shift: distance(shift) - doublings**2 * yardstick, 0, 3 * doubled))

    def draw(generator: np.random.Generator, n: int) -> Quadruple:
        common = math.sqrt(shared) * generator.standard_normal((n, 1, 1))

        def group(shift: float) -> Labels:
            own = math.sqrt(1 - shared) * generator.standard_normal((n, 1, 1))
            noise = generator.standard_normal((n, moments, len(LOGITS)))
            labels: Labels = (LOGITS + (common + own) * LOADS + shift * along + noise > 0).astype(int)
            return labels

        return group(0.0), group(off), group(0.0), group(doubled)

    return Fours(name, draw, doublings, distance(off))


def functions(name: str, doublings: float, shared: float, doubled: float) -> Fours:
    """Each network is one of three functions; networks of one id are mostly the same one."""
    of = np.array([[0] * 12, [0] * 4 + [1] * 8, [2] * 8 + [1] * 4])
    kernel = (of[:, None] == of).mean(axis=-1)
    step = np.array([-0.5, 1.0, -0.5])

    def draw(generator: np.random.Generator, n: int) -> Quadruple:
        common = generator.random(n)

        def group(moved: float) -> Labels:
            place = np.where(generator.random(n) < shared, common, generator.random(n))
            ends = np.cumsum(np.array([0.4, 0.3, 0.3]) + moved * step)[:2]
            labels: Labels = of[np.searchsorted(ends, place)]
            return labels

        return group(0.0), group(doublings * doubled), group(0.0), group(doubled)

    return Fours(name, draw, doublings, float((doublings * doubled) ** 2 * step @ kernel @ step))


def points(name: str, doublings: float, many: int, doubled: float = 0.2) -> Fours:
    """Points of three classes, each predicted independently: nothing is in common."""
    step = np.array([1.0, -0.5, -0.5])

    def draw(generator: np.random.Generator, n: int) -> Quadruple:
        def group(moved: float) -> Labels:
            labels: Labels = generator.choice(3, (n, many), p=1 / 3 + moved * step)
            return labels

        return group(0.0), group(doublings * doubled), group(0.0), group(doubled)

    return Fours(name, draw, doublings, float((doublings * doubled) ** 2 * 1.5))


def fours(doublings: float) -> tuple[Fours, ...]:
    """Worlds of fours, b so many doublings off."""
    return (
        points("40 points apart", doublings, 40),
        points("400 points apart", doublings, 400),
        trait("own trait", doublings, 0.0, 1.0),
        trait("shared trait", doublings, 0.9, 0.6),
        trait("shared trait, little moved", doublings, 0.9, 0.3),
        trait("shared trait, moved across it", doublings, 0.9, 0.6, along=ACROSS),
        trait("shared trait, five moments", doublings, 0.9, 0.6, moments=5),
        functions("three functions", doublings, 0.0, 0.3),
        functions("three functions, mostly shared", doublings, 0.8, 0.3),
    )
