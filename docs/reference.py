"""Writes the pages of this folder that are made from the code: `python docs/reference.py`."""

from collections.abc import Callable
from pathlib import Path

from ilr.experiments.quantities import QUANTITIES, Quantity
from ilr.training.metrics import EVALUATION_EXAMPLES, PROBE_EXAMPLES

FOLDER = Path(__file__).parent

_QUANTITIES = f"""# What can be observed

Made by `python docs/reference.py` from the table in [ilr/experiments/quantities.py](../ilr/experiments/quantities.py).

`Observe("weight_norm", range(101))` keeps ‖w‖ at steps 0 to 100; a recording then has it as an array [replica, time]. A
quantity has the axes of the table behind these two. What is observed at step t is the state before the update of that
step, so step 0 is the initialisation and, of a run of T steps, step T the end; or it is something of the step itself.

w are the trainable weights, η is the learning rate, L the loss of a batch. Loss and accuracy on training examples are
those of the first {EVALUATION_EXAMPLES:,}, which also give an evaluation its normalisation statistics. The rescaling
quantities compare each factor c with 1 on the first {PROBE_EXAMPLES} training examples; u is a random direction. The
dtype "training" is the experiment's precision; the toy loss has float64 alone.

Quantities with the same cost share it where they are observed at the same step. One evaluation is a forward pass of all
test examples and of those training examples.

"""

_OBSERVED_AT = {"state": "0 to T", "step": "0 to T − 1", "rescaling": "0 to T, with factors"}


def quantities() -> str:
    """The table of quantities."""
    columns = ("quantity", "formula", "unit", "axes", "dtype", "steps", "costs", "toy")
    rows = [columns, ("---",) * len(columns), *(_cells(quantity) for quantity in QUANTITIES.values())]
    return _QUANTITIES + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(quantity: Quantity) -> tuple[str, ...]:
    return (
        f"`{quantity.name}`",
        quantity.formula.replace("|", "\\|"),
        quantity.unit,
        ", ".join(quantity.axes),
        quantity.dtype,
        _OBSERVED_AT[quantity.needs.kind],
        quantity.needs.cost,
        "yes" if quantity.toy else "",
    )


PAGES: dict[str, Callable[[], str]] = {"quantities.md": quantities}
"""What each page is made by."""


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
