"""Numbers and figures of a report taken out of it, as CSV and as SVG, PNG or PDF files."""

from collections.abc import Sequence
from pathlib import Path

from ilr.report.evidence import Evidence
from ilr.report.files import write_whole
from ilr.tools.figures import Format, drawn, figures_of
from ilr.tools.tables import FINDING_COLUMNS, VALUE_COLUMNS, as_csv, finding_rows, value_rows


def export_csv(evidence: Evidence, folder: Path) -> list[Path]:
    """Writes numbers as CSV, and gives the files' paths.

    `findings.csv` and `values.csv` are as `ilr.tools.tables` describes them; `curves/` has the points drawn of each
    figure that holds them: panel, line, x, y.

    Raises:
        ValueError: a figure is more than a drawing.
    """
    drawings = [one for one in figures_of(evidence) if one.csv]
    folder.mkdir(parents=True, exist_ok=True)
    findings, values = folder / "findings.csv", folder / "values.csv"
    write_whole(findings, as_csv(FINDING_COLUMNS, finding_rows(evidence)))
    write_whole(values, as_csv(VALUE_COLUMNS, value_rows(evidence)))
    paths = [findings, values]
    for one in drawings:
        (folder / "curves").mkdir(exist_ok=True)
        paths.append(folder / "curves" / f"{one.name}.csv")
        write_whole(paths[-1], one.csv + "\n")
    return paths


def export_figures(evidence: Evidence, folder: Path, formats: Sequence[Format]) -> list[Path]:
    """Writes every figure in some of `ilr.tools.figures.FORMATS` into `figures/`, and gives their paths.

    Raises:
        ValueError: a figure is more than a drawing, or the package that a format needs is not installed.
    """
    # All of them are checked before the first is written.
    figures = list(figures_of(evidence))
    folder = folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for figure in figures:
        for kind in formats:
            path = folder / f"{figure.name}.{kind}"
            if kind == "svg":
                write_whole(path, figure.svg)
            else:
                path.write_bytes(drawn(figure.svg, kind))
            paths.append(path)
    return paths
