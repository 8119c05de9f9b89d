"""The table of quantities: that its rows do not contradict themselves."""

from pathlib import Path

import pytest

from ilr.experiments.quantities import _TABLE, QUANTITIES, Quantity


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=lambda quantity: quantity.name)
def test_a_row_is_of_one_kind(quantity: Quantity) -> None:
    assert (quantity.needs.kind == "rescaling") == ("factor" in quantity.axes)
    assert quantity.last(steps=9) == (8 if quantity.needs.kind == "step" else 9)
    assert (quantity.unit == "class") == (quantity.dtype == "int16")
    assert quantity.formula
    assert quantity.needs.cost


def test_no_name_is_taken_twice() -> None:
    assert len(_TABLE) == len(QUANTITIES)


def test_every_quantity_is_compared_with_something_known() -> None:
    tests = Path(__file__).parents[1]
    sources = [path.read_text(encoding="utf-8") for room in ("training", "nn") for path in (tests / room).glob("*.py")]
    for name in QUANTITIES:
        assert any(f'"{name}"' in source for source in sources), f"no test of training or nn asks for {name}"
