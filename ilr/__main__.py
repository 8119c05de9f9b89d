"""The command line; its commands are in `ilr.commands`."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from ilr.commands import claims, matrix, new, pilot, reports, store
from ilr.session.process import replace_unprintable
from ilr.version import __version__


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status is the command's own, or 2 after one line on stderr of what is wrong."""
    replace_unprintable()
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (OSError, ValueError) as error:
        from ilr.report.text import one_line

        print(f"ilr: {one_line(str(error))}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ilr", description="A reproducibility benchmark of the intrinsic-learning-rate paper.")
    parser.add_argument("--version", action="version", version=f"ilr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for one in (reports, claims, new, pilot, matrix, store):
        one.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
