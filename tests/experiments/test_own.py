"""What a record of somebody's own raises is told with the line of its own file that raised it, and with no other."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from ilr.data.catalog import DataUnavailableError
from ilr.experiments.own import LONGEST, OwnRecordError, calling, wrong
from ilr.lab.engines.engine import attempt
from ilr.trials.judging import described

OWN = """
import json


class Own:
    def itself(self):
        raise ValueError("no")

    def by_a_helper(self):
        helper()

    def by_a_library(self):
        return json.loads("{")

    def by_a_callback(self):
        return [*map(int, map(str.upper, "a"))]

    def at_length(self):
        raise ValueError("x " * 1000)

    def by_leaving(self):
        raise SystemExit(3)


def helper():
    raise KeyError("k")
"""
RAISED = {
    "itself": 'raise ValueError("no")',
    "by_a_helper": 'raise KeyError("k")',
    "by_a_library": 'return json.loads("{")',
    "by_a_callback": 'return [*map(int, map(str.upper, "a"))]',
    "at_length": 'raise ValueError("x " * 1000)',
    "by_leaving": "raise SystemExit(3)",
}
"""By method, the line that is to be told."""


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "brought.py"
    path.write_text(OWN, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("brought", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["brought"] = module
    spec.loader.exec_module(module)
    yield module.Own()
    del sys.modules["brought"]


@pytest.mark.parametrize("method", RAISED)
def test_the_line_is_that_of_the_records_own_file(record: Any, method: str) -> None:
    with pytest.raises(OwnRecordError) as told, calling(record, f"{method}()"):
        getattr(record, method)()
    line = str(told.value)
    assert line.startswith(f"brought.py: Own: {method}() raises ")
    number = [text.strip() for text in OWN.splitlines()].index(RAISED[method]) + 1
    assert line.endswith(f" (line {number})")
    assert len(line) < LONGEST + 30
    # However it is told on: neither by the name of ilr's error nor with a line of ilr's.
    assert described(told.value) == line
    assert attempt(failing(told.value), lambda _: None) == line


def test_what_no_line_of_its_file_raises_is_told_without_one(record: Any) -> None:
    with (
        pytest.raises(OwnRecordError, match=r"^brought\.py: Own: step\(\) raises ValueError: no$"),
        calling(record, "step()"),
    ):
        raise ValueError("no")


def failing(error: Exception) -> Any:
    """A job that ends with an error."""
    return SimpleNamespace(device="cpu", run=Mock(side_effect=error))


@pytest.mark.parametrize("error", [wrong(OwnRecordError("x"), "step() is wrong"), DataUnavailableError("no such data")])
def test_an_error_that_says_all_is_told_as_it_is(error: Exception) -> None:
    assert attempt(failing(error), lambda _: None) == str(error)
    assert described(error) == str(error)
