"""Numbers and figures of a report taken out of it, as CSV and as SVG, PNG or PDF files."""

from collections.abc import Sequence
from pathlib import Path

from ilr.report.evidence import Evidence
from ilr.report.files import write_whole
from ilr.tools.figures import Format, drawn, figures_of
from ilr.tools.tables import FINDING_COLUMNS, VALUE_COLUMNS, as_csv, finding_rows, value_rows


def export_csv(evidence: Evidence, folder: Path) -> list[Path]:
    """Writes `findings.csv` and `values.csv`, as `ilr.tools.tables` describes them, and gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    findings, values = folder / "findings.csv", folder / "values.csv"
    write_whole(findings, as_csv(FINDING_COLUMNS, finding_rows(evidence)))
    write_whole(values, as_csv(VALUE_COLUMNS, value_rows(evidence)))
    return [findings, values]


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
    for name, svg in figures:
        for kind in formats:
            path = folder / f"{name}.{kind}"
            if kind == "svg":
                write_whole(path, svg)
            else:
                path.write_bytes(drawn(svg, kind))
            paths.append(path)
    return paths
