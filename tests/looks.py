"""Claims that are false, judged at up to four looks: how often any of them comes out REPRODUCED."""

import math
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from ilr.stats.decision import Prediction, Verdict
from ilr.stats.groups import Group
from ilr.stats.registry import RULES
from tests.recorded import Pool, pool
from tests.verdicts import verdicts
from tests.worlds import EXPONENTIAL, NORMAL, Distribution, fours, one_in_ten

LOOKS = (16, 32, 64, 128)
ALPHA = 0.005
SEEDS = 1000

Replicas = tuple[Any, ...]
"""The samples of all replicas of the last look."""
World = Callable[[np.random.Generator, float], tuple[Replicas, Prediction]]
"""A claim of which the truth is so many margins off what it expects; 1 is the edge."""


def verdict_through_looks(samples: Replicas, prediction: Prediction) -> tuple[Verdict, int]:
    """The first decision, each look at a quarter of α, and how many replicas it took."""
    rule = RULES[prediction.rule]
    for n in LOOKS:
        [verdict] = verdicts(rule, prediction, [tuple(_first(sample, n) for sample in samples)])
        if verdict is not Verdict.INCONCLUSIVE:
            break
    return verdict, n


def _first(sample: Any, n: int) -> Any:
    """What the first n replicas have of a sample."""
    if isinstance(sample, Group):
        return Group(sample.values[:n], sample.ids[:n])
    if isinstance(sample, list):
        return [_first(part, n) for part in sample]
    return sample[:n] if isinstance(sample, np.ndarray) else sample


def predict(rule: str, expected: float, margin: float) -> Prediction:
    return Prediction("quantity", rule, expected, margin, "planted", alpha=ALPHA / len(LOOKS))


# Worlds


def mean(distribution: Distribution, generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    values = off * 0.2 + 0.3 * distribution.rvs(LOOKS[-1], generator)
    return (values,), predict("equivalence", 0.0, 0.2)


def saturated(generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    """All networks are right, but for one in ten that fails."""
    return (1 + 0.5 * one_in_ten(generator, LOOKS[-1]),), predict("equivalence", 1.0, 0.05 / off)


def mean_of_pairs(generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    common, ids = generator.standard_normal(LOOKS[-1]), range(LOOKS[-1])
    values = common + off * 0.2 + 0.3 * generator.standard_normal(LOOKS[-1])
    return (Group(values, ids), Group(common, ids)), predict("equivalence_of_groups", 0.0, 0.2)


def ratio_of_pairs(generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    reference, ids = 2 + 0.3 * generator.standard_normal(LOOKS[-1]), range(LOOKS[-1])
    values = (1 + off * 0.1) * reference + 0.3 * generator.standard_normal(LOOKS[-1])
    return (Group(values, ids), Group(reference, ids)), predict("ratio", 1.0, 0.1)


def power_of_pairs(generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    x, common = (1.0, 4.0, 16.0), generator.standard_normal(LOOKS[-1])
    scatter = [1 + 0.2 * common + 0.2 * generator.standard_normal(LOOKS[-1]) for _ in x]
    groups = [Group(at ** (1 + off * 0.1) * of, range(LOOKS[-1])) for at, of in zip(x, scatter, strict=True)]
    return (x, np.mean, groups), predict("power_law", 1.0, 0.1)


def share(generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    """Of a share of 0.8 that is asked for, so many times 0.2 are missing from 1."""
    return ((generator.random(LOOKS[-1]) >= 0.2 * off).astype(float),), predict("share_at_least", 0.8, 0.0)


def distance_of_pairs(name: str, generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    [world] = [world for world in fours(0.5) if world.name == "shared trait, five moments"]
    groups = world.groups(generator, LOOKS[-1])
    if name == "nearer_than":
        return groups, predict(name, 0.0, world.doublings / off)
    return groups[:2], predict(name, 0.0, world.distance / off)


def recorded(of: Pool, name: str, generator: np.random.Generator, off: float) -> tuple[Replicas, Prediction]:
    """Networks on the digits, half a doubling of λₑ apart."""
    places, ids = generator.integers(0, of.size, LOOKS[-1]), range(LOOKS[-1])
    one, other, reference, doubled = "η/10", "λₑ × √2", "η", "λₑ × 2"
    if name == "equivalence_of_groups":
        values = [of.numbers[group]["mean accuracy"] for group in (one, other)]
        truth = abs(float((values[0] - values[1]).mean()))
        return tuple(Group(of_group[places], ids) for of_group in values), predict(name, 0.0, truth / off)
    groups = tuple(Group(of.labels[group][places], ids) for group in (one, other, reference, doubled))
    distance, yardstick = of.distance(one, other), of.distance(reference, doubled)
    if name == "nearer_than":
        return groups, predict(name, 0.0, math.sqrt(distance / yardstick) / off)
    return groups[:2], predict(name, 0.0, distance / off)


def worlds(of: Pool) -> Mapping[str, World]:
    """By their names on the page."""
    return {
        "`equivalence`, normal": partial(mean, NORMAL.distribution),
        "`equivalence`, exponential": partial(mean, EXPONENTIAL.distribution),
        "`equivalence`, saturated: one network in ten fails": saturated,
        "`equivalence_of_groups`, pairs": mean_of_pairs,
        "`ratio`, pairs": ratio_of_pairs,
        "`power_law`, pairs": power_of_pairs,
        "`share_at_least`": share,
        "`closer_than`, pairs with a shared trait": partial(distance_of_pairs, "closer_than"),
        "`nearer_than`, fours with a shared trait": partial(distance_of_pairs, "nearer_than"),
        "`equivalence_of_groups`, digits: mean accuracy": partial(recorded, of, "equivalence_of_groups"),
        "`closer_than`, digits: classes": partial(recorded, of, "closer_than"),
        "`nearer_than`, digits: classes": partial(recorded, of, "nearer_than"),
    }


# The section of the page


def row(name: str, off: float, seeds: int) -> tuple[int, int, float]:
    """How often REPRODUCED and REFUTED were given to a false claim, and to how many replicas on average."""
    generator, world = np.random.default_rng(), worlds(pool())[name]
    found = [verdict_through_looks(*world(generator, off)) for _ in range(seeds)]
    verdicts = [verdict for verdict, _ in found]
    counted = verdicts.count(Verdict.REPRODUCED), verdicts.count(Verdict.REFUTED)
    return *counted, float(np.mean([n for _, n in found]))


HEAD = f"""
## Through four looks

False claims of one finding, judged at {", ".join(map(str, LOOKS[:-1]))} and {LOOKS[-1]} replicas, at a quarter of
α = {ALPHA:g} each; the first look that decides is final. The truth lies 1.5 margins from what is expected, where
REFUTED is right, or on the edge, where nothing is. Of {SEEDS:,} seeds each at most α, {SEEDS * ALPHA:g} or a few more
by chance, should come out REPRODUCED. The last column is what the claims that are 1.5 margins off cost, in replicas.

| claim | 1.5 margins off: REPRODUCED | REFUTED | on the edge: REPRODUCED | REFUTED | replicas |
|---|---|---|---|---|---|
"""


def section(rules: Collection[str], workers: Executor) -> str:
    """The table of the worlds in which some rules judge."""
    judged_by = tuple(f"`{rule}`" for rule in rules)
    by_name = [name for name in worlds(pool()) if name.startswith(judged_by)]
    tasks = [(name, off) for name in by_name for off in (1.5, 1.0)]
    found = list(workers.map(row, *zip(*tasks, strict=True), [SEEDS] * len(tasks)))
    lines = []
    for name, off, edge in zip(by_name, found[::2], found[1::2], strict=True):
        lines.append(f"| {name} | {off[0]} | {off[1]} | {edge[0]} | {edge[1]} | {off[2]:.0f} |\n")
    return HEAD + "".join(lines)
