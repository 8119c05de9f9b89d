"""Figures for the report: one style whatever the user's own settings, and the same SVG text for the same data."""

import io
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, NullLocator

from ilr.report.svg.theme import ACCEPTED, CONTROL, SERIES
from ilr.stats.decision import Prediction
from ilr.stats.registry import RULES
from ilr.trials.figure_data import as_csv, in_words

DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (1, 1.2)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Each group has a colour, a dash and a marker of its own, so that none of them is needed alone."""

BAND_POINTS = 100
"""Of a band, at most: more than that cannot be told apart in a panel, and make a page large."""

PANEL = (4.0, 3.2)
"""Inches of one panel of several: on a phone they stand below each other, and no word is too small to read."""
SINGLE = (5.0, 3.2)
"""Inches of a panel that stands alone."""

STYLE: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=SERIES) + cycler(linestyle=DASHES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "grid.alpha": 0.25,
    # What is behind a legend shows through it, and does not cross its words.
    "legend.frameon": True,
    "legend.framealpha": 0.8,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.borderpad": 0.2,
    "legend.fontsize": "medium",
    "legend.handlelength": 2.8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "path.simplify_threshold": 0.5,
    # Text stays text: the file is small and its words can be searched and read aloud.
    "svg.fonttype": "none",
}

_POWER = re.compile(r"(?:([-\d.]+)\\times)?10\^\{(-?\d+)\}")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def in_style() -> AbstractContextManager[None]:
    """The report's style, for as long as a figure is being drawn and written; the user's own settings do not matter."""
    return style.context(STYLE, after_reset=True)


def new_figure(caption: str, panels: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side; where the report's page is narrow they stand below each other.

    Args:
        caption: what axes and marks are; the report prints it beside the figure, and says itself what came out.
        panels: how many there are.
        rows: drawings in a panel, below each other, over one horizontal axis.

    Returns:
        The figure, and its axes: those of the first panel from top to bottom, then those of the next.
    """
    width, height = SINGLE if panels == 1 else (PANEL[0] * panels, PANEL[1])
    figure = Figure(figsize=(width, height * (1 + rows) / 2))
    figure.set_label(caption)
    # Each panel is laid out by itself, so that it can stand by itself.
    parts: Any = [figure] if panels == 1 else figure.subfigures(1, panels, wspace=0)
    return figure, [axes for part in parts for axes in part.subplots(rows, sharex=True, squeeze=False)[:, 0]]


def to_svg(figure: Figure, salt: str) -> str:
    """The figure as SVG text, with what it shows in words and as a table.

    Args:
        figure: as a claim drew it.
        salt: makes the ids inside it, so that the same data gives the same text.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _write_powers_plainly(axis)
        for line in axes.lines:
            _place_markers(axes, line)
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Title": str(figure.get_label())}
    with style.context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    words = f"<desc>{escape(in_words(figure))}</desc>"
    table = f'<metadata id="csv">{escape(as_csv(figure))}</metadata>'
    before, after = re.split(r"\s*<metadata>.*?</metadata>", text[text.index("<svg") :], maxsplit=1, flags=re.DOTALL)
    return f"{before}{words}{table}{after}"


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
    [line] = axes.plot(steps, middle(values, axis=0), label=label, **_marked(axes, label, style))
    low, high = np.quantile(values, (0.1, 0.9), axis=0)
    _fill(axes, steps, low, high, line.get_color())


def draw_mean(axes: Axes, steps: npt.ArrayLike, values: npt.NDArray[Any], label: str, **style: Any) -> None:
    """The mean over replicas of some values, with two standard errors of it either way as a band.

    Args:
        axes: to draw on.
        steps: where the values belong, [time].
        values: of every replica, [replica, time].
        label: for the legend.
        style: of the line, as for `Axes.plot`.
    """
    [line] = axes.plot(steps, values.mean(axis=0), label=label, **_marked(axes, label, style))
    low, high = _around_mean(values)
    _fill(axes, steps, low, high, line.get_color())


def draw_groups(axes: Axes, groups: Mapping[str, npt.NDArray[Any]], control: str = "") -> None:
    """Groups of values beside each other: a dot a replica, and in black the mean with two standard errors either way.

    Args:
        axes: to draw on; its horizontal axis gets the groups' names.
        groups: the values of every replica, [replica], by name.
        control: the group that is drawn in grey, if there is one.
    """
    for place, (name, values) in enumerate(groups.items()):
        across = place + np.linspace(-0.25, 0.25, len(values)) * (len(values) > 1)
        colour = CONTROL if name == control else SERIES[place % len(SERIES)]
        axes.plot(across, values, linestyle="", marker=".", color=colour, alpha=0.45)
        low, high = _around_mean(values)
        bars = [[values.mean() - low], [high - values.mean()]]
        axes.errorbar([place], [values.mean()], bars, fmt="D", color="black", linestyle="", capsize=4, label=name)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.5, len(groups) - 0.5)


def _fill(axes: Axes, steps: npt.ArrayLike, low: npt.NDArray[Any], high: npt.NDArray[Any], colour: Any) -> None:
    """A band between two curves, [time]. Unlike a line's, its points are all written: of many, every so many-th is."""
    at = np.asarray(steps)
    chosen = np.unique(np.linspace(0, len(at) - 1, min(len(at), BAND_POINTS)).round().astype(int))
    axes.fill_between(at[chosen], low[chosen], high[chosen], color=colour, alpha=0.15, linewidth=0)


def _around_mean(values: npt.NDArray[Any]) -> tuple[Any, Any]:
    """The mean over replicas [replica, ...] less and plus two standard errors; of a single one, the mean itself."""
    middle = values.mean(axis=0)
    error = 2 * values.std(axis=0) / np.sqrt(max(len(values) - 1, 1))
    return middle - error, middle + error


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
    axes.semilogy(at, np.maximum(values.max(axis=0), 1e-17), label=label or None, **_marked(axes, label, style))


def draw_accepted(axes: Axes, prediction: Prediction) -> None:
    """The values of the vertical axis that a prediction accepts, as a band behind everything else.

    Args:
        axes: whose vertical axis is the predicted quantity.
        prediction: registered, with its rule.
    """
    low, high = RULES[prediction.rule].region(prediction)
    bottom, top = axes.get_ylim()
    axes.axhspan(max(low, bottom), min(high, top), color=ACCEPTED, linewidth=0, zorder=0)
    axes.set_ylim(bottom, top)


def as_control(**style: Any) -> dict[str, Any]:
    """How a control is drawn: grey, whatever else it is.

    >>> as_control(linestyle="-")
    {'color': '#767676', 'linestyle': '-'}
    """
    return {"color": CONTROL, **style}


def label_lines(axes: Axes) -> None:
    """The label of each line at its right end, in its colour, in place of a legend; labels that meet move apart."""
    ends = []
    for line in axes.lines:
        points = np.asarray(line.get_xydata(), np.float64)
        if str(line.get_label()).startswith("_") or not len(points):
            continue
        share = float(axes.transAxes.inverted().transform(axes.transData.transform(points[-1]))[1])
        ends.append((min(max(share, 0.0), 1.0), line))
    figure = axes.get_figure()
    assert figure is not None
    height = axes.get_window_extent().height * 72 / figure.dpi
    apart, lowest = 1.25 * 10 / max(height, 1.0), -np.inf
    for share, line in sorted(ends, key=lambda end: end[0]):
        lowest = max(share, lowest + apart)
        axes.annotate(
            str(line.get_label()), (1.0, lowest), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
            color=line.get_color(), va="center", annotation_clip=False,
        )  # fmt: skip


def ticks_at(axis: Axis, values: npt.ArrayLike) -> None:
    """Ticks at these values and nowhere else, written as short numbers: for a few points on a logarithmic axis."""
    places = np.asarray(values)
    axis.set_ticks(places, labels=[f"{place:g}" for place in places.tolist()])
    axis.set_minor_locator(NullLocator())


class _PlainPowers(LogFormatterSciNotation):
    """Powers of ten as 10⁻³: in mathematical notation they would be set smaller than any other word."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos)
        if found := _POWER.search(text):
            factor, exponent = found.groups()
            return f"{factor}×10{exponent.translate(_RAISED)}" if factor else f"10{exponent.translate(_RAISED)}"
        return text.strip("$").removeprefix(r"\mathdefault{").removesuffix("}")


def _write_powers_plainly(axis: Axis) -> None:
    major, minor = axis.get_major_formatter(), axis.get_minor_formatter()
    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        if high > low * 1e4 > 0:
            # Over so many decades nobody reads the marks between two powers.
            axis.set_minor_locator(NullLocator())
    # Not subclasses of it, which know better, and not what a claim has set itself.
    if type(major) is LogFormatterSciNotation:
        axis.set_major_formatter(_PlainPowers())
    if type(minor) is LogFormatterSciNotation:
        axis.set_minor_formatter(_PlainPowers(labelOnlyBase=minor.labelOnlyBase))


def _place_markers(axes: Axes, line: Line2D) -> None:
    """Puts a line's few markers at even places across the panel: evenly along its length, a noisy line has hundreds."""
    spacing = line.get_markevery()
    if not isinstance(spacing, tuple) or not isinstance(spacing[1], float):
        return
    points = np.asarray(line.get_xydata(), np.float64)
    across = axes.transAxes.inverted().transform(axes.transData.transform(points))[:, 0]
    across[~np.isfinite(points).all(axis=1) | ~np.isfinite(across)] = np.inf
    wanted = np.arange(spacing[0], 1.0, spacing[1])
    inside = wanted[(wanted >= across.min(initial=np.inf)) & (wanted <= across[across < np.inf].max(initial=-np.inf))]
    nearest = {int(np.abs(across - place).argmin()) for place in inside}
    line.set_markevery(sorted(nearest) or [len(points) // 2])


def _marked(axes: Axes, label: str, style: dict[str, Any]) -> dict[str, Any]:
    """The style of a line with the marker of its place among the lines that have a label, at a few of its points."""
    if not label or "marker" in style:
        return style
    place = sum(not str(line.get_label()).startswith("_") for line in axes.lines)
    return {"marker": MARKERS[place % len(MARKERS)], "markevery": (0.03 * place + 0.02, 0.2), **style}
