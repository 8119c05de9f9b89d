"""`ilr claims`: list the claims of a folder, compare them with a report, write a run down in their histories."""

import argparse
from pathlib import Path
from typing import Any

from ilr.session.options import expanded


def add(commands: Any) -> None:
    """Adds the command to those of a parser."""
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


def _claims(arguments: argparse.Namespace) -> int:
    from ilr.report.files import read_evidence
    from ilr.report.text import one_line
    from ilr.trials.registration import claim_modules, compare

    if arguments.record is not None:
        from ilr.trials.history import record

        for claim_id in record(read_evidence(arguments.record.parent, arguments.record.name), arguments.directory):
            print(f"recorded   {claim_id}")
        return 0
    evidence = None if arguments.check is None else read_evidence(arguments.check.parent, arguments.check.name)
    claims = [module.CLAIM for module in claim_modules(arguments.directory)]
    if evidence is None:
        for claim in claims:
            print(f"{claim.id:<44} {claim.title}")
        return 0
    differs = False
    for comparison in compare(evidence, claims):
        print(f"{comparison.status:<10} {one_line(comparison.id)}")
        for line in comparison.changes:
            print(f"{'':<10}   {one_line(line)}")
        differs |= comparison.breaks
    return int(differs)
