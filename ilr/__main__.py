"""The command line: `python -m ilr report DIR` renders a report again from its evidence."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ilr.version import __version__


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, or 2 after one line on stderr about what is wrong."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(f"ilr: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ilr", description="A reproducibility benchmark of the intrinsic-learning-rate paper.")
    parser.add_argument("--version", action="version", version=f"ilr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    report = commands.add_parser(
        "report",
        help="render a report again from its evidence",
        description="Make index.html and junit.xml in DIR again from DIR/evidence.json alone.",
    )
    report.add_argument("directory", metavar="DIR", type=Path)
    report.set_defaults(run=_report)
    return parser


def _report(arguments: argparse.Namespace) -> None:
    # Imported here so that `ilr --version` need not load jinja2.
    from ilr.report import render_again

    render_again(arguments.directory)
    print(arguments.directory / "index.html")


if __name__ == "__main__":
    sys.exit(main())
