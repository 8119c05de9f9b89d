"""Fixtures of the statistics' tests."""

import numpy as np
import pytest

from ilr.stats.rule import Rule


def pytest_make_parametrize_id(val: object) -> str | None:
    """A rule is called by its name in the names of tests."""
    return val.name if isinstance(val, Rule) else None


@pytest.fixture
def generator(fresh_seed: int) -> np.random.Generator:
    return np.random.default_rng(fresh_seed)
