"""What all benchmarks train with."""

from collections.abc import Iterator

import pytest

from benchmarks.machine import Workers, workers


@pytest.fixture(scope="module")
def team() -> Iterator[Workers]:
    with workers() as team:
        yield team
