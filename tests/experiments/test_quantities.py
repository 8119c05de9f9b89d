"""The table of quantities: that its rows do not contradict themselves."""

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
