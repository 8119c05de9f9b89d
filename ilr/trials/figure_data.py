"""What a figure shows, as words and as a table: made from what was drawn, so that both say what the picture does."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

MOST_POINTS = 40
"""Of one line in the table: a page holds some thirty figures."""


@dataclass(frozen=True)
class Line:
    """One line or set of points of a figure."""

    panel: str
    label: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


def in_words(figure: Figure) -> str:
    """The panels, their axes, and each line with its first and last value, and its least and greatest."""
    return " ".join(_panel(axes) for axes in figure.axes)


def as_csv(figure: Figure) -> str:
    """The points of every line that has a label: panel, line, x, y. Of a long line, evenly chosen points."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("panel", "line", "x", "y"))
    for axes in figure.axes:
        for line in _lines(axes):
            chosen = np.unique(np.linspace(0, len(line.x) - 1, min(len(line.x), MOST_POINTS)).round().astype(int))
            for x, y in zip(line.x[chosen].tolist(), line.y[chosen].tolist(), strict=True):
                writer.writerow((line.panel, line.label, f"{x:.6g}", f"{y:.6g}"))
    return written.getvalue()


def _panel(axes: Axes) -> str:
    title = axes.get_title("left") or axes.get_title() or axes.get_ylabel() or "panel"
    lines = list(_lines(axes))
    # Of groups side by side, each with its name below it, the place says nothing.
    is_named = isinstance(axes.xaxis.get_major_locator(), FixedLocator)
    side_by_side = is_named and all(len(line.x) == 1 for line in lines)
    against = "" if side_by_side and not axes.get_xlabel() else f" against {_axis(axes, 'x')}"
    told = [f"Panel “{title}”: {_axis(axes, 'y')}{against}."]
    for line in lines:
        values = line.y[np.isfinite(line.y)]
        if not values.size:
            continue
        if len(line.x) == 1:
            where = "" if side_by_side else f" at {line.x[0]:.3g}"
            told.append(f"{line.label}: {values[0]:.3g}{where}.")
            continue
        told.append(
            f"{line.label}: from {values[0]:.3g} at {line.x[0]:.3g} to {values[-1]:.3g} at {line.x[-1]:.3g}, "
            f"least {values.min():.3g}, greatest {values.max():.3g}."
        )
    return " ".join(told)


def _axis(axes: Axes, name: str) -> str:
    """What an axis says, and whether it is logarithmic."""
    label = getattr(axes, f"get_{name}label")() or ("value" if name == "y" else "position")
    return f"{label} (logarithmic)" if getattr(axes, f"get_{name}scale")() == "log" else str(label)


def _lines(axes: Axes) -> Iterator[Line]:
    """Everything that has a label and holds points, in the order in which it was drawn."""
    panel = axes.get_title("left") or axes.get_title() or axes.get_ylabel()
    labelled: list[tuple[str, Any]] = [(str(line.get_label()), line.get_xydata()) for line in axes.lines]
    dots = [group for group in axes.collections if isinstance(group, PathCollection)]
    labelled += [(str(group.get_label()), group.get_offsets()) for group in dots]
    bars = [one for one in axes.containers if isinstance(one, ErrorbarContainer) and one[0] is not None]
    labelled += [(str(one.get_label()), one[0].get_xydata()) for one in bars]
    for label, points in labelled:
        if label and not label.startswith("_"):
            x, y = np.asarray(points, np.float64).reshape(-1, 2).T
            yield Line(panel, label, x, y)
