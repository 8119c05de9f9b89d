"""`ilr report`, `compare`, `index` and `export`: what is done with finished reports."""

import argparse
from pathlib import Path
from typing import Any

from ilr.session.options import expanded


def add(commands: Any) -> None:
    """Adds the commands to those of a parser."""
    report = commands.add_parser(
        "report",
        help="render a report again from its evidence",
        description="Make everything in DIR but DIR/evidence.json again, from that alone.",
    )
    report.add_argument("directory", metavar="DIR", type=expanded)
    report.set_defaults(run=_report)
    compare = commands.add_parser(
        "compare",
        help="compare reports claim by claim",
        description="Compare reports with the first of them; status 1 if a verdict got worse.",
    )
    compare.add_argument(
        "reports", metavar="REPORT", type=expanded, nargs="+", help="a folder of a report, or an evidence file"
    )
    compare.add_argument("--html", metavar="FILE", type=expanded, help="write a page, too")
    compare.add_argument("-v", "--verbose", action="store_true", help="print all findings, of controls too")
    compare.set_defaults(run=_compare)
    index = commands.add_parser(
        "index",
        help="one page over all reports under a folder",
        description="Write DIR/index.html over every evidence.json under DIR.",
    )
    index.add_argument("directory", metavar="DIR", type=expanded, nargs="?", default=Path("reports"))
    index.set_defaults(run=_index)
    export = commands.add_parser(
        "export",
        help="take numbers and figures out of a report",
        description="Write findings.csv and values.csv, and figures as files, into DIR/export.",
    )
    export.add_argument("report", metavar="DIR", type=expanded, help="a folder of a report, or an evidence file")
    export.add_argument("--csv", action="store_true", help="every finding, and every value that it rests on")
    export.add_argument("--figures", metavar="FORMATS", help="of svg, png and pdf, with commas between them")
    export.add_argument("--to", metavar="FOLDER", type=expanded, help="in place of DIR/export")
    export.set_defaults(run=_export)


def _report(arguments: argparse.Namespace) -> int:
    # Imported here, as below, so that `ilr --version` need not load jinja2.
    from ilr.report.files import render_again

    render_again(arguments.directory)
    print(arguments.directory / "index.html")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from ilr.report.files import write_whole
    from ilr.tools.comparison import compare
    from ilr.tools.comparison_text import print_comparison
    from ilr.tools.pages import render_comparison
    from ilr.tools.reports import read_report

    comparison = compare([read_report(path) for path in arguments.reports])
    print_comparison(comparison, Console(), verbose=arguments.verbose)
    if arguments.html is not None:
        write_whole(arguments.html, render_comparison(comparison))
        print(arguments.html)
    return int(comparison.got_worse)


def _index(arguments: argparse.Namespace) -> int:
    from ilr.tools.index import PAGE, write_index

    for line in write_index(arguments.directory).unreadable:
        print(f"left out: {line}")
    print(arguments.directory / PAGE)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from ilr.tools.export import export_csv, export_figures
    from ilr.tools.figures import FORMATS
    from ilr.tools.reports import read_report

    asked = arguments.figures.split(",") if arguments.figures is not None else []
    for kind in asked:
        if kind not in FORMATS:
            raise ValueError(f"--figures={arguments.figures}: {kind!r} is none of {', '.join(FORMATS)}")
    formats = [kind for kind in FORMATS if kind in asked]
    if not arguments.csv and not formats:
        raise ValueError("nothing to export: give --csv, --figures=svg,png,pdf or both")
    evidence = read_report(arguments.report).evidence
    folder = arguments.report if arguments.report.is_dir() else arguments.report.parent
    to = arguments.to or folder / "export"
    paths = export_csv(evidence, to) if arguments.csv else []
    if formats:
        paths += export_figures(evidence, to, formats)
    for path in paths:
        print(path)
    return 0
