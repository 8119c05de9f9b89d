"""The points of a figure as a page holds them: the table of a download, with the names of each line said once."""

import csv
import io

HEADER = ["panel", "line", "x", "y"]


def in_groups(table: str) -> str:
    r"""The table with a line "=panel,line" for each line of the figure, and its points after it; the script undoes it.

    Args:
        table: CSV, as `ilr.trials.figure_data` writes it.

    Returns:
        The same in fewer bytes; empty where it is another kind of table.

    >>> in_groups("panel,line,x,y\nnorm,mean,0,1\nnorm,mean,1,2.5")
    'panel,line,x,y\n=norm,mean\n0,1 1,2.5'
    """
    rows = list(csv.reader(io.StringIO(table)))
    if not rows or rows[0] != HEADER or any(len(row) != len(HEADER) for row in rows):
        return ""
    told, before, points = [",".join(HEADER)], None, list[str]()
    for *names, x, y in rows[1:]:
        if any(set(number) & set(' \n=,"') for number in (x, y)):
            return ""
        if names != before:
            if points:
                told.append(" ".join(points))
            # Labels may go over several lines.
            told.append(f"={_as_row([' '.join(name.split()) for name in names])}")
            before, points = names, []
        points.append(f"{x},{y}")
    return "\n".join([*told, " ".join(points)] if points else told)


def _as_row(cells: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(cells)
    return written.getvalue()
