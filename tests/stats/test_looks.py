"""False claims through four looks, and errors in worlds that are made from recordings."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ilr.stats.decision import Prediction, Verdict
from ilr.stats.function_space import nearer_than
from ilr.stats.function_space.pairs import Pairs
from ilr.stats.groups import Group
from ilr.stats.means import equivalence_of_groups
from tests import looks
from tests.recorded import Pool, groups_of, train
from tests.worlds import NORMAL

SEEDS = 200
FALSE_ALARM = 1e-7


@pytest.fixture(scope="module")
def pool() -> Pool:
    """A small pool: 48 ids, of which five networks each train in a quarter of a minute."""
    return train(48)


@pytest.mark.parametrize(
    "world",
    [
        lambda generator, off: looks.mean(NORMAL.distribution, generator, off),
        looks.saturated,
        looks.mean_of_pairs,
        lambda generator, off: looks.distance_of_pairs("nearer_than", generator, off),
    ],
    ids=["mean", "saturated", "pairs", "distance"],
)
def test_a_false_claim_is_reproduced_through_all_looks_at_most_with_alpha(
    world: Callable[..., Any], generator: np.random.Generator
) -> None:
    found = [looks.verdict_through_looks(*world(generator, 1.5))[0] for _ in range(SEEDS)]
    assert found.count(Verdict.REPRODUCED) <= stats.binom.isf(1e-4, SEEDS, looks.ALPHA)


def test_a_look_sees_its_own_replicas_only(generator: np.random.Generator) -> None:
    seen = []

    def statistic(values: Any) -> float:
        seen.append(len(values))
        return float(values.mean())

    x, _, groups = looks.power_of_pairs(generator, 1.0)[0]
    looks.verdict_through_looks((x, statistic, groups), looks.predict("power_law", 1.0, 1e-6))
    assert max(seen[:3]) == 16
    assert max(seen) in looks.LOOKS


def test_a_pool_knows_its_own_truth(pool: Pool, generator: np.random.Generator) -> None:
    assert pool.distance("η", "η") == 0.0
    # Twice the λₑ moves the functions far more than a tenth of the learning rate does.
    assert pool.distance("η", "λₑ × 2") > 4 * pool.distance("η", "η/10")
    a, b = groups_of(generator.integers(0, pool.size, 400), pool.labels["η"], pool.labels["λₑ × 2"])
    assert Pairs.of(a.values, b.values, 3).squared_distance == pytest.approx(pool.distance("η", "λₑ × 2"), rel=0.2)


def test_on_the_edge_the_rules_err_with_little_more_than_alpha_in_recorded_worlds(
    pool: Pool, generator: np.random.Generator
) -> None:
    sets, accuracy = 400, [pool.numbers[group]["mean accuracy"] for group in ("η", "λₑ × 2")]
    doublings = math.sqrt(pool.distance("η/10", "λₑ × √2") / pool.distance("η", "λₑ × 2"))
    fours = [pool.labels[group] for group in ("η/10", "λₑ × √2", "η", "λₑ × 2")]
    truth = float((accuracy[0] - accuracy[1]).mean())
    for rule, expected, margin, values in (
        (nearer_than, 0.0, doublings, fours),
        (equivalence_of_groups, truth - 1.0, 1.0, accuracy),
    ):
        prediction = Prediction("edge", rule.name, expected, margin, "because", 0.05)
        tests = []
        for _ in range(sets):
            groups: tuple[Group, ...] = groups_of(generator.integers(0, pool.size, 32), *values)
            tests.append(rule.assess(prediction, *groups).test)
        for errors in ([test.p <= 0.05 for test in tests], [test.p_refuted <= 0.05 for test in tests]):
            assert sum(errors) <= stats.binom.isf(FALSE_ALARM, sets, 0.06)
