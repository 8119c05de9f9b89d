"""Figures for the report: one quiet style, and SVG text that is the same for the same data."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

# Okabe and Ito's colours, which stay apart for colour-blind eyes; the black is left for text.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

STYLE: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "lines.linewidth": 1.3,
    "path.simplify_threshold": 0.5,
    # Text stays text: the file is small and its words can be searched and read aloud.
    "svg.fonttype": "none",
}


def in_style() -> AbstractContextManager[None]:
    """The report's style, for as long as a figure is being drawn and written."""
    return style.context(STYLE)


def new_figure(caption: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side; the report prints the caption below it."""
    figure = Figure(figsize=(4.0 * max(panels, 1.6), 3.2))
    figure.set_label(caption)
    return figure, [figure.add_subplot(1, panels, panel + 1) for panel in range(panels)]


def to_svg(figure: Figure, salt: str) -> str:
    """The figure as SVG text; ids inside it are made from `salt`, so that the same data gives the same text."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Title": str(figure.get_label())}
    with style.context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def draw_band(
    axes: Axes,
    steps: npt.ArrayLike,
    values: npt.NDArray[Any],
    label: str,
    middle: Callable[..., npt.NDArray[Any]] = np.mean,
    **style: Any,
) -> None:
    """The mean over replicas of some values, with the range of the middle four fifths as a band.

    Args:
        axes: to draw on.
        steps: where the values belong, [time].
        values: of every replica, [replica, time].
        label: for the legend.
        middle: drawn as a line, in place of the mean: `np.median`.
        style: of the line, as for `Axes.plot`.
    """
    [line] = axes.plot(steps, middle(values, axis=0), label=label, **style)
    low, high = np.quantile(values, (0.1, 0.9), axis=0)
    axes.fill_between(np.asarray(steps), low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def draw_largest(axes: Axes, at: npt.ArrayLike, values: npt.NDArray[Any], label: str = "", **style: Any) -> None:
    """The largest over replicas of deviations from an identity, on a logarithmic scale.

    Args:
        axes: to draw on.
        at: where the values belong, [time].
        values: of every replica, [replica, time], 0 or more.
        label: for the legend; without one the line is not in it.
        style: of the line, as for `Axes.plot`.
    """
    # A logarithmic scale has no place for a deviation of exactly 0: it is drawn a digit below float64's rounding.
    axes.semilogy(at, np.maximum(values.max(axis=0), 1e-17), label=label or None, **style)


def ticks_at(axis: Axis, values: npt.ArrayLike) -> None:
    """Ticks at these values and nowhere else, written as short numbers: for a few points on a logarithmic axis."""
    places = np.asarray(values)
    axis.set_ticks(places, labels=[f"{place:g}" for place in places.tolist()])
    axis.set_minor_locator(NullLocator())
