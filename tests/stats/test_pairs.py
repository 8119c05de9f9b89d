"""Distances of groups whose replicas come in pairs or in fours: against loops and formulas, and how often they err."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from ilr.serialization import canonical
from ilr.stats.decision import Prediction, Verdict
from ilr.stats.function_space import agreement, closer_than, further_than, nearer_than, noise_of
from ilr.stats.function_space.pairs import Pairs
from ilr.stats.function_space.relative import Comparison, Yardstick
from ilr.stats.groups import Group
from ilr.stats.rule import Floats
from tests.verdicts import counts
from tests.worlds import Fours, Labels, fours

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE

SIMULATIONS = 1000
FALSE_ALARM = 1e-7
"""Probability that a check of a rate fails although the rate is right."""


def predict(margin: float = 0.5, alpha: float = 0.05) -> Prediction:
    return Prediction("apart", "nearer_than", 0.0, margin, "because", alpha)


def at_most_times(rate: float) -> float:
    return float(stats.binom.isf(FALSE_ALARM, SIMULATIONS, rate))


WORLDS = [pytest.param(world, id=world.name) for world in fours(0.5)]
[SHARED] = [world for world in fours(0.5) if world.name == "shared trait"]


def kernel(a: Labels, b: Labels) -> Floats:
    """H as it is defined."""
    return agreement(a, a) + agreement(b, b) - agreement(a, b) - agreement(b, a)


def mean_of_pairs(h: Floats, ids: list[int]) -> float:
    return float(np.mean([h[i, j] for i, j in itertools.permutations(ids, 2)]))


@pytest.mark.parametrize("moments", [(), (3,)])
def test_the_distance_of_pairs_is_the_mean_of_its_kernel(
    moments: tuple[int, ...], generator: np.random.Generator
) -> None:
    a, b = generator.integers(0, 4, (2, 6, *moments, 9))
    pairs, h = Pairs.of(a, b, least=3), kernel(a, b)
    assert pairs.squared_distance == pytest.approx(mean_of_pairs(h, list(range(6))), abs=1e-12)
    without = [mean_of_pairs(h, [j for j in range(6) if j != i]) for i in range(6)]
    np.testing.assert_allclose(pairs.without, without, atol=1e-12)
    assert pairs.jackknife_error == pytest.approx(math.sqrt(5 * np.var(without)))


def test_pairs_with_themselves_would_bias_the_distance_of_groups(generator: np.random.Generator) -> None:
    """Groups of the same ids, treated as independent: networks of one id agree more than others do."""
    a, b, *_ = SHARED.draw(generator, 400)
    independent = Pairs.of(a, b, least=3).squared_distance
    i_equals_j = float(np.diagonal(kernel(a, b)).mean())
    assert i_equals_j < 0.9 * (2 - 2 * agreement(a[:200], b[200:]).mean())
    assert independent == pytest.approx(SHARED.distance, abs=0.01)


@pytest.mark.parametrize("world", WORLDS)
def test_the_distances_have_no_bias(world: Fours, generator: np.random.Generator) -> None:
    values = [Pairs.of(*world.draw(generator, 8)[:2], least=3).squared_distance for _ in range(SIMULATIONS)]
    error = np.std(values) / math.sqrt(SIMULATIONS)
    assert abs(np.mean(values) - world.distance) < stats.norm.isf(FALSE_ALARM / 2) * error


def by_formula(a: Labels, b: Labels, r: Labels, x: Labels, share: float) -> tuple[float, float]:
    """The p-values of nearer and of further, written down a second time."""
    n = len(a)
    h, y = kernel(a, b), kernel(r, x)
    off = ~np.eye(n, dtype=bool)

    def distance(matrix: Floats, ids: list[int]) -> float:
        return mean_of_pairs(matrix, ids)

    everyone = list(range(n))
    d_all, y_all = distance(h, everyone), distance(y, everyone)
    d_without = np.array([distance(h, [j for j in everyone if j != i]) for i in everyone])
    y_without = np.array([distance(y, [j for j in everyone if j != i]) for i in everyone])

    def error(values: Floats) -> float:
        return math.sqrt((n - 1) * values.var())

    s_d, s_y = error(d_without), error(y_without)
    if y_all <= 0:
        return 1.0, 1.0
    further = stats.t.sf((d_all - share * y_all) / error(d_without - share * y_without), n - 1)

    centring = np.eye(n) - 1 / n
    c = (centring @ h @ centring) / (n * (n - 1)) * off
    strongest, square, found = np.linalg.eigvalsh(c)[-1], (c**2).sum(), max(d_all, 0.0)
    linear = min(max(s_d**2 - 4 * square, 0.0), 4 * strongest * found)
    p = stats.t.sf(y_all / s_y, n - 1)
    for bound in [
        share * y_all,
        *(t for t in np.concatenate([[0], np.geomspace(1e-6, 1, 200) * 2]) if t > share * y_all),
    ]:
        rest = max(bound - found, 0.0)
        variance = linear + 4 * strongest * rest + 2 * square + share**2 * s_y**2
        third = 24 * (((linear / 4) ** 2 / found if found else 0.0) + strongest**2 * rest)
        k = 4 * variance**3 / max(third, 1e-3 * variance**1.5) ** 2
        below = special.gammainc(k, max(k + (d_all - bound) / math.sqrt(variance) * math.sqrt(k), 0.0))
        p = max(p, special.stdtr(n - 1, special.ndtri(below)))
    return p, further


@pytest.mark.parametrize("world", WORLDS)
def test_the_p_values_are_those_of_the_formulas(world: Fours, generator: np.random.Generator) -> None:
    labels = world.draw(generator, 20)
    found = nearer_than(predict(), *(Group(one, range(20)) for one in labels))
    nearer, further = by_formula(*labels, share=0.25)
    assert found.p == pytest.approx(nearer, rel=1e-4)
    assert found.p_refuted == pytest.approx(further, rel=1e-6)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("world", WORLDS)
def test_the_verdict_is_where_the_interval_lies(world: Fours, margin: float, generator: np.random.Generator) -> None:
    found = nearer_than(predict(margin, alpha=0.2), *world.groups(generator, 32))
    low, high = found.interval
    assert low is not None
    assert (found.verdict is REPRODUCED) == (high is not None and high <= margin)
    assert (found.verdict is REFUTED) == (low > margin)
    canonical(found)


@pytest.mark.parametrize("world", WORLDS)
def test_on_the_bound_the_rules_err_at_most_with_alpha(world: Fours, generator: np.random.Generator) -> None:
    """All three rules in one simulation: `further_than` mirrors `closer_than`."""
    nearer, closer = predict(world.doublings), Prediction("apart", "closer_than", world.distance, 0.0, "because", 0.05)
    relative, absolute = [], []
    for _ in range(SIMULATIONS):
        groups = world.groups(generator, 16)
        compared = nearer_than.compare(nearer, *groups)
        relative.append((compared.p_nearer(world.doublings), compared.p_further(world.doublings)))
        test = closer_than.assess(closer, *groups[:2]).test
        absolute.append((test.p, test.p_refuted))
    for pairs in (relative, absolute):
        for p_values in zip(*pairs, strict=True):
            assert sum(p <= 0.05 for p in p_values) <= at_most_times(0.05)


def test_the_truth_is_found_far_from_the_bound(generator: np.random.Generator) -> None:
    [far] = [world for world in fours(1.0) if world.name == SHARED.name]
    [none] = [world for world in fours(0.0) if world.name == SHARED.name]
    for world, verdict in ((far, REFUTED), (none, REPRODUCED)):
        counted = counts(nearer_than, predict(), (world.groups(generator, 96) for _ in range(100)))
        assert counted[verdict] >= 75


def test_pairs_are_nearer_to_decide_than_independent_groups(generator: np.random.Generator) -> None:
    """Their intervals are narrower, on average over data sets."""
    [none] = [world for world in fours(0.0) if world.name == SHARED.name]
    prediction = Prediction("apart", "closer_than", 0.0, 0.01, "because", 0.05)
    widths = np.zeros(2)
    for _ in range(20):
        a, b, *_ = none.draw(generator, 32)
        c, *_ = none.draw(generator, 32)
        paired = closer_than(prediction, Group(a, range(32)), Group(b, range(32)))
        apart = closer_than(prediction, Group(a, range(32)), Group(c, range(32, 64)))
        widths += np.diff([paired.interval, apart.interval])[:, 0]
        assert "whose replicas come in pairs" in paired.rule
        assert "pairs" not in apart.rule
    assert widths[0] < widths[1]


def test_further_mirrors_closer_for_pairs_too(generator: np.random.Generator) -> None:
    groups = SHARED.groups(generator, 12)[:2]
    closer, further = (
        rule(Prediction("apart", rule.name, 0.02, 0.0, "because", 0.05), *groups)
        for rule in (closer_than, further_than)
    )
    assert (closer.p, closer.p_refuted, closer.interval) == (further.p_refuted, further.p, further.interval)


# What cannot be measured


def constant(label: int, n: int = 60) -> Group:
    return Group(np.full((n, 7), label), range(n))


def test_a_yardstick_without_length_decides_nothing() -> None:
    found = nearer_than(predict(), constant(1), constant(1), constant(2), constant(2))
    assert (found.p, found.verdict, found.estimate, found.interval) == (1.0, INCONCLUSIVE, 0.0, (0.0, None))
    apart = nearer_than(predict(), constant(1), constant(3), constant(2), constant(2))
    assert (apart.p_refuted, apart.verdict, apart.interval) == (1.0, INCONCLUSIVE, (0.0, None))


def test_a_yardstick_that_chance_makes_negative_decides_nothing() -> None:
    """Networks that agree more across the two groups than within: far groups are not refuted by their distance."""
    n = 60
    labels = np.repeat(np.arange(n) % 2, 7).reshape(n, 7)
    reference, opposite = Group(labels, range(n)), Group(1 - labels, range(n))
    assert Pairs.of(reference.values, opposite.values, least=3).squared_distance < 0
    found = nearer_than(predict(), constant(1), constant(3), reference, opposite)
    assert (found.verdict, found.interval) == (INCONCLUSIVE, (0.0, None))


def test_equal_replicas_leave_the_doubt_that_few_others_are_not_among_them() -> None:
    for n, verdict in ((28, INCONCLUSIVE), (29, REPRODUCED)):
        groups = (constant(1, n), constant(1, n), constant(1, n), constant(2, n))
        assert nearer_than(predict(), *groups).verdict is verdict
    for n, verdict in ((28, INCONCLUSIVE), (29, REFUTED)):
        groups = (constant(1, n), constant(2, n), constant(1, n), constant(2, n))
        assert nearer_than(predict(), *groups).verdict is verdict


def test_the_four_groups_are_of_the_same_replicas(generator: np.random.Generator) -> None:
    a, b, r, x = SHARED.groups(generator, 8)
    with pytest.raises(ValueError, match=r"^'apart' compares the replicas 0 to 7 with 3 to 10: the ids of all groups"):
        nearer_than(predict(), a, b, r, Group(x.values, range(3, 11)))
    apart = (Group(group.values, range(8 * k, 8 * k + 8)) for k, group in enumerate((a, b, r, x)))
    with pytest.raises(ValueError, match=r"^'apart' compares four groups of the same replicas, not disjoint ones$"):
        nearer_than(predict(), *apart)
    with pytest.raises(ValueError, match=r"^'apart': a group has 2 replica\(s\): at least 3 are needed$"):
        nearer_than(predict(), *(Group(group.values[:2], range(2)) for group in (a, b, r, x)))


# Plans


def test_a_pilot_tells_how_many_replicas_decide(generator: np.random.Generator) -> None:
    [none] = [world for world in fours(0.0) if world.name == SHARED.name]
    needed = [nearer_than(predict(), *none.groups(generator, 24)).replicas_needed or 24 for _ in range(60)]
    n = int(np.median(needed))
    counted = counts(nearer_than, predict(), (none.groups(generator, n) for _ in range(200)))
    assert counted[REPRODUCED] >= 150


def test_noise_and_yardstick_of_a_pilot(generator: np.random.Generator) -> None:
    a, _, reference, doubled = SHARED.groups(generator, 50)
    measured = Yardstick.of(reference, doubled)
    pairs = Pairs.of(reference.values, doubled.values, least=3)
    assert (measured.distance, measured.error) == (pairs.squared_distance, pairs.jackknife_error)
    assert measured.noise == noise_of(reference, doubled)
    in_common = noise_of(a, reference)
    apart = noise_of(a, Group(reference.values, range(50, 100)))
    assert in_common.square < apart.square
    with pytest.raises(ValueError, match="the distance that a doubled λₑ makes is 0, not a positive number"):
        replace(measured, distance=0.0)


def test_comparisons_are_made_once(generator: np.random.Generator) -> None:
    found: Any = nearer_than.compare(predict(), *SHARED.groups(generator, 8))
    assert isinstance(found, Comparison)
    assert found.noise is found.noise
