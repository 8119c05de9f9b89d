"""The command line: render a report again, list the claims, compare them with a report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ilr.session.options import expanded
from ilr.session.output import replace_unprintable
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
        print(f"ilr: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ilr", description="A reproducibility benchmark of the intrinsic-learning-rate paper.")
    parser.add_argument("--version", action="version", version=f"ilr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    report = commands.add_parser(
        "report",
        help="render a report again from its evidence",
        description="Make index.html and junit.xml in DIR again from DIR/evidence.json alone.",
    )
    report.add_argument("directory", metavar="DIR", type=expanded)
    report.set_defaults(run=_report)
    claims = commands.add_parser(
        "claims",
        help="list the claims of a folder, or what changed in them since a report",
        description="List the claims as they are written down; with --check, what changed since an evidence file.",
    )
    claims.add_argument("directory", metavar="DIR", type=expanded, nargs="?", default=Path("claims"))
    claims.add_argument(
        "--check", metavar="EVIDENCE", type=expanded, help="an evidence.json; status 1 if a claim changed"
    )
    claims.add_argument(
        "--record", metavar="EVIDENCE", type=expanded, help="an evidence.json; append its run to DIR/history"
    )
    claims.set_defaults(run=_claims)
    return parser


def _report(arguments: argparse.Namespace) -> int:
    # Imported here so that `ilr --version` need not load jinja2.
    from ilr.report.files import render_again

    render_again(arguments.directory)
    print(arguments.directory / "index.html")
    return 0


def _claims(arguments: argparse.Namespace) -> int:
    from ilr.report.files import read_evidence
    from ilr.trials.registration import claim_modules, compare

    if arguments.record is not None:
        from ilr.trials.history import record

        for claim_id in record(read_evidence(arguments.record.parent, arguments.record.name), arguments.directory):
            print(f"recorded   {claim_id}")
        return 0
    claims = [module.CLAIM for module in claim_modules(arguments.directory)]
    if arguments.check is None:
        for claim in claims:
            print(f"{claim.id:<44} {claim.title}")
        return 0
    differs = False
    for comparison in compare(read_evidence(arguments.check.parent, arguments.check.name), claims):
        print(f"{comparison.status:<10} {comparison.id}")
        for line in comparison.changes:
            print(f"{'':<10}   {line}")
        differs |= comparison.breaks
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
