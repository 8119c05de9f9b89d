"""Distances between distributions of functions: against loops, their bias, and the error rates of their rules."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from ilr.serialization import canonical
from ilr.stats.decision import Finding, Prediction, Verdict
from ilr.stats.function_space import (
    agreement,
    closer_than,
    further_than,
    l1_distance,
    squared_distance,
)
from ilr.stats.groups import Group
from ilr.stats.rule import Rule
from tests.stats.samples import apart, in_pairs
from tests.verdicts import counts

REPRODUCED, REFUTED, INCONCLUSIVE = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE
RULES = [closer_than, further_than]
Labels = NDArray[np.integer]

SIMULATIONS = 2000
FALSE_ALARM = 1e-7
"""Probability that a check of a rate fails although the rate is right."""
STANDARD_ERRORS = float(stats.norm.isf(FALSE_ALARM / 2))


def predict(rule: Rule, expected: float, margin: float = 0.0, alpha: float = 0.05) -> Prediction:
    return Prediction("distance", rule.name, expected, margin, "because", alpha)


def at_most_times(rate: float) -> float:
    return float(stats.binom.isf(FALSE_ALARM, SIMULATIONS, rate))


def at_least_times(rate: float) -> float:
    return float(stats.binom.ppf(FALSE_ALARM, SIMULATIONS, rate))


# Worlds of known distance


@dataclass
class World:
    """Two groups of networks: how to draw labels [n, point] of either, and the true squared distance."""

    draw: tuple[Callable[[np.random.Generator, int], Labels], Callable[[np.random.Generator, int], Labels]]
    distance: float

    def labels(self, generator: np.random.Generator, n: int, m: int | None = None) -> tuple[Labels, Labels]:
        return self.draw[0](generator, n), self.draw[1](generator, n if m is None else m)

    def groups(self, generator: np.random.Generator, n: int, m: int | None = None) -> tuple[Group, Group]:
        return apart(*self.labels(generator, n, m))


def independent_points(difference: float) -> World:
    """Forty points of three classes, each predicted independently: the noise goes in many directions."""
    p = np.array([0.5, 0.3, 0.2])
    q = p + difference * np.array([1.0, -0.5, -0.5])

    def group(chances: NDArray[np.float64]) -> Callable[[np.random.Generator, int], Labels]:
        return lambda generator, n: generator.choice(3, size=(n, 40), p=chances)

    return World((group(p), group(q)), float(((p - q) ** 2).sum()))


def few_functions(difference: float) -> World:
    """Each network is one of three functions: the noise goes in two directions."""
    functions = np.array([[0] * 12, [0] * 4 + [1] * 8, [2] * 8 + [1] * 4])
    p = np.array([0.4, 0.3, 0.3])
    q = p + difference * np.array([-0.5, 1.0, -0.5])
    kernel = (functions[:, None] == functions).mean(axis=-1)

    def group(chances: NDArray[np.float64]) -> Callable[[np.random.Generator, int], Labels]:
        def draw(generator: np.random.Generator, n: int) -> Labels:
            labels: Labels = functions[generator.choice(3, size=n, p=chances)]
            return labels

        return draw

    return World((group(p), group(q)), float((p - q) @ kernel @ (p - q)))


def one_trait(difference: float, moments: tuple[int, ...] = ()) -> World:
    """A trait of each network shifts all its logits, and the groups differ in that very trait: the worst direction."""
    logits, loads = np.linspace(-2, 2, 50), np.resize([-1.5, -0.5, 1.0, 2.0], 50)

    def group(shift: float) -> Callable[[np.random.Generator, int], Labels]:
        def draw(generator: np.random.Generator, n: int) -> Labels:
            traits = shift + generator.normal(size=(n, *(1 for _ in moments), 1))
            labels: Labels = (logits + traits * loads + generator.normal(size=(n, *moments, 50)) > 0).astype(int)
            return labels

        return draw

    chances = [special.ndtr((logits + shift * loads) / np.sqrt(1 + loads**2)) for shift in (0, difference)]
    return World((group(0), group(difference)), float(2 * ((chances[0] - chances[1]) ** 2).mean()))


def one_trait_at_several_moments(difference: float) -> World:
    """As `one_trait`, looked at four times: the trait stays, all else is drawn anew each time."""
    return one_trait(difference, moments=(4,))


WORLDS = [
    pytest.param(make(difference), id=f"{make.__name__}-{difference}")
    for make, differences in (
        (independent_points, (0.0, 0.2)),
        (few_functions, (0.0, 0.2)),
        (one_trait, (0.0, 1.0)),
        (one_trait_at_several_moments, (0.0, 1.0)),
    )
    for difference in differences
]
EQUAL = [
    pytest.param(make(0.0), id=make.__name__)
    for make in (independent_points, few_functions, one_trait, one_trait_at_several_moments)
]


# Distances


def by_loop(a: Labels, b: Labels) -> float:
    def mean_agreement(pairs: Any) -> float:
        return float(np.mean([np.mean(first == second) for first, second in pairs]))

    within = mean_agreement(itertools.permutations(a, 2)) + mean_agreement(itertools.permutations(b, 2))
    return within - 2 * mean_agreement(itertools.product(a, b))


@pytest.mark.parametrize("classes", [1, 2, 10])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 3)])
def test_squared_distance_is_that_of_a_loop(classes: int, n: int, m: int, generator: np.random.Generator) -> None:
    a, b = generator.integers(0, classes, size=(n, 7)), generator.integers(0, classes, size=(m, 7))
    assert squared_distance(a, b) == pytest.approx(by_loop(a, b), abs=1e-12)


def test_moments_are_a_replicas_own_distribution(generator: np.random.Generator) -> None:
    a, b = generator.integers(0, 3, size=(3, 4, 7)), generator.integers(0, 3, size=(2, 4, 7))
    pairs = list(itertools.product(range(4), repeat=2))
    at_moments = [agreement(a[:, one], b[:, other]) for one, other in pairs]
    np.testing.assert_allclose(agreement(a, b), np.mean(at_moments, axis=0))
    within = [np.mean([agreement(group[:, one], group[:, other]) for one, other in pairs], axis=0) for group in (a, b)]
    means = [(one.sum() - np.trace(one)) / (len(one) * (len(one) - 1)) for one in within]
    assert squared_distance(a, b) == pytest.approx(sum(means) - 2 * np.mean(at_moments), abs=1e-12)
    np.testing.assert_allclose(l1_distance(a[:, :1], b[:, :1]), l1_distance(a[:, 0], b[:, 0]))


def test_agreement_is_the_share_of_equal_labels(generator: np.random.Generator) -> None:
    a, b = generator.integers(-1, 3, size=(4, 30)), generator.integers(-1, 3, size=(6, 30))
    np.testing.assert_array_equal(agreement(a, b), (a[:, None] == b).mean(axis=-1))


def test_l1_distance_is_that_of_frequencies(generator: np.random.Generator) -> None:
    a, b = generator.integers(0, 4, size=(5, 9)), generator.integers(0, 4, size=(3, 9))
    expected = np.mean([sum(abs(np.mean(a[:, i] == k) - np.mean(b[:, i] == k)) for k in range(4)) for i in range(9)])
    assert l1_distance(a, b) == pytest.approx(expected)


@pytest.mark.parametrize("distance", [squared_distance, l1_distance])
def test_opposite_groups_are_as_far_as_can_be(distance: Callable[..., float]) -> None:
    assert distance(np.zeros((3, 5), int), np.ones((4, 5), int)) == 2
    assert distance(np.ones((3, 5), int), np.ones((4, 5), int)) == 0


@pytest.mark.parametrize("world", WORLDS)
def test_squared_distance_has_no_bias(world: World, generator: np.random.Generator) -> None:
    values = np.array([squared_distance(*world.labels(generator, 5, 3)) for _ in range(SIMULATIONS)])
    error = values.std() / math.sqrt(SIMULATIONS)
    assert abs(values.mean() - world.distance) < STANDARD_ERRORS * error


# Rules


@pytest.mark.parametrize("world", WORLDS)
def test_the_two_rules_mirror_each_other(world: World, generator: np.random.Generator) -> None:
    labels = world.labels(generator, 8, 5)
    groups = apart(*labels)
    closer, further = (rule(predict(rule, 0.04), *groups) for rule in (closer_than, further_than))
    assert (closer.p, closer.p_refuted) == (further.p_refuted, further.p)
    assert (closer.estimate, closer.interval, closer.n) == (further.estimate, further.interval, 5)
    assert closer.estimate == squared_distance(*labels)
    assert (closer.accepted, further.accepted) == ((None, 0.04), (0.04, None))


@pytest.mark.parametrize("bound", [0.0, 0.01, 0.1, 0.5, 1.5])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("alpha", [0.005, 0.2])
def test_the_verdict_is_where_the_interval_lies(
    world: World, bound: float, alpha: float, generator: np.random.Generator
) -> None:
    found = closer_than(predict(closer_than, bound, alpha=alpha), *world.groups(generator, 12))
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert (found.verdict is REPRODUCED) == (high <= bound)
    assert (found.verdict is REFUTED) == (low > bound)


@pytest.mark.parametrize("world", WORLDS)
def test_a_wider_margin_is_no_harder_to_keep(world: World, generator: np.random.Generator) -> None:
    bounds = [0.0, 0.001, 0.003, 0.005, 0.008, 0.01, 0.02, 0.05, 0.1, 0.5]
    for _ in range(100):
        groups = world.groups(generator, 12)
        p = [closer_than(predict(closer_than, bound), *groups).p for bound in bounds]
        # Truths between those that are tried may be likelier, by far less than would ever decide.
        assert max(np.diff(p)) < 1e-4


def test_the_lower_end_is_that_of_the_jackknife(generator: np.random.Generator) -> None:
    a, b = independent_points(0.2).labels(generator, 7, 5)
    without_a = [squared_distance(np.delete(a, i, axis=0), b) for i in range(7)]
    without_b = [squared_distance(a, np.delete(b, i, axis=0)) for i in range(5)]
    error = math.sqrt(6 * np.var(without_a) + 4 * np.var(without_b))
    found = further_than(predict(further_than, 0), *apart(a, b))
    assert found.interval[0] == pytest.approx(found.estimate - stats.t.isf(0.05, 4) * error)
    assert found.p == pytest.approx(stats.t.sf(found.estimate / error, 4))


@pytest.mark.parametrize("world", WORLDS)
def test_on_the_bound_the_rules_err_at_most_with_alpha(world: World, generator: np.random.Generator) -> None:
    # Only `closer_than` is asked: as the two rules mirror each other, its errors are those of `further_than`.
    prediction = predict(closer_than, world.distance)
    counted = counts(closer_than, prediction, (world.groups(generator, 12, 18) for _ in range(SIMULATIONS)))
    assert counted[REFUTED] <= at_most_times(0.05)
    # Where the distance is zero every truth is on the bound or beyond it, so that "closer" is no error.
    assert counted[REPRODUCED] <= at_most_times(0.05) or world.distance == 0


@pytest.mark.parametrize("world", [few_functions(0.15), one_trait(0.4)])
def test_the_jackknife_alone_would_err_more_often(world: World, generator: np.random.Generator) -> None:
    found = [closer_than(predict(closer_than, 0), *world.groups(generator, 16)) for _ in range(SIMULATIONS)]
    upper = [2 * f.estimate - f.interval[0] for f in found if f.interval[0] is not None]
    assert sum(end <= world.distance for end in upper) > at_least_times(0.08)


@pytest.mark.parametrize(
    ("rule", "bound", "inside", "outside"),
    [
        (closer_than, 0.1, independent_points(0.0), independent_points(0.4)),
        (further_than, 0.1, independent_points(0.4), independent_points(0.0)),
    ],
)
def test_the_truth_is_found_far_from_the_bound(
    rule: Rule, bound: float, inside: World, outside: World, generator: np.random.Generator
) -> None:
    for world, verdict in ((inside, REPRODUCED), (outside, REFUTED)):
        counted = counts(rule, predict(rule, bound), (world.groups(generator, 16) for _ in range(SIMULATIONS)))
        assert counted[verdict] >= at_least_times(0.95)


@pytest.mark.parametrize(
    ("rule", "labels", "bound", "verdict"),
    [
        (closer_than, (3, 3), 0.0, REPRODUCED),
        (closer_than, (3, 7), 2.0, REPRODUCED),
        (closer_than, (3, 7), 1.9, REFUTED),
        (further_than, (3, 3), 0.0, REPRODUCED),
        (further_than, (3, 7), 2.0, REPRODUCED),
        (further_than, (3, 3), 0.1, REFUTED),
    ],
)
@pytest.mark.parametrize("make", [apart, in_pairs])
def test_equal_replicas_leave_the_doubt_that_few_others_are_not_among_them(
    rule: Rule, labels: tuple[int, int], bound: float, verdict: Verdict, make: Callable[..., tuple[Group, Group]]
) -> None:
    a, b = (np.full((29, 13), label) for label in labels)
    found = rule(predict(rule, bound), *make(a, b))
    assert (found.verdict, {found.p, found.p_refuted}) == (verdict, {0.9**29, 1.0})
    assert found.interval == (found.estimate, found.estimate)
    assert rule(predict(rule, bound), *make(a[1:], b[1:])).verdict is INCONCLUSIVE


@pytest.mark.parametrize("rule", RULES)
def test_a_finding_is_plain_data(rule: Rule, generator: np.random.Generator) -> None:
    found = rule(predict(rule, 0.04), *independent_points(0.15).groups(generator, 8))
    canonical(found)
    assert {type(x) for x in (found.estimate, *found.interval, found.p, found.p_refuted)} == {float}


# Replicas needed


@pytest.mark.parametrize(
    ("rule", "world", "bound"),
    [
        (closer_than, independent_points(0.0), 0.03),
        (closer_than, independent_points(0.15), 0.08),
        (further_than, independent_points(0.4), 0.21),
    ],
)
def test_the_replicas_needed_decide_and_a_third_of_them_do_not(
    rule: Rule, world: World, bound: float, generator: np.random.Generator
) -> None:
    prediction = predict(rule, bound)

    def needed(found: Finding) -> float:
        right = (found.estimate < bound) == (world.distance < bound)
        return (found.replicas_needed or 3) if right else math.inf

    def decided(n: int) -> float:
        counted = counts(rule, prediction, (world.groups(generator, n) for _ in range(300)))
        return 1 - counted[INCONCLUSIVE] / 300

    # A pilot asks for more or fewer by its noise; the median of many pilots is what the true distance asks for.
    n = int(np.median([needed(rule(prediction, *world.groups(generator, 16))) for _ in range(300)]))
    assert decided(n // 3) < 0.65 < decided(n)


def test_no_number_of_replicas_decides_on_the_bound(generator: np.random.Generator) -> None:
    labels = independent_points(0.2).labels(generator, 8)
    prediction = predict(closer_than, squared_distance(*labels))
    assert closer_than(prediction, *apart(*labels)).replicas_needed is None


# What is refused


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_refuses_a_prediction_made_for_another(rule: Rule) -> None:
    with pytest.raises(ValueError, match="'distance' is to be decided by 'another'"):
        rule(Prediction("distance", "another", 0, 0, "because"), *apart(np.ones((3, 2), int), np.ones((3, 2), int)))


@pytest.mark.parametrize("rule", RULES)
def test_groups_that_share_some_replicas_are_refused(rule: Rule) -> None:
    labels = np.ones((4, 2), int)
    with pytest.raises(
        ValueError, match=r"^'distance' compares the replicas 0 to 3 with 2 to 5: the ids of all groups"
    ):
        rule(predict(rule, 0), Group(labels, range(4)), Group(labels, range(2, 6)))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_needs_three_replicas_and_names_the_quantity(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"^'distance': a group has 2 replica\(s\): at least 3 are needed$"):
        rule(predict(rule, 0), *apart(np.ones((9, 2), int), np.ones((2, 2), int)))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((3, 2)), np.ones((3, 2), int), "labels must be integers"),
        (np.ones(3, int), np.ones((3, 2), int), "labels must be integers"),
        (np.ones((3, 2), int), np.ones((3, 1), int), "the same test points, not of 2 and 1"),
        (np.ones((3, 0), int), np.ones((3, 0), int), "the same test points, not of 0 and 0"),
        (np.ones((1, 2), int), np.ones((3, 2), int), "1 replica"),
        (np.ones((3, 2, 2), int), np.ones((3, 4, 2), int), "as many moments"),
    ],
)
def test_wrong_labels_are_refused(a: Labels, b: Labels, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        squared_distance(a, b)
