"""`ilr store`: what is kept of trained networks, how large it is, and what of it is of no use any more."""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ilr.session.options import CACHE, expanded

if TYPE_CHECKING:
    from ilr.lab.housekeeping import Kept

DAYS = 30
"""For which recordings of other training code are kept: another version may share the store."""


def add(commands: Any) -> None:
    """Adds the command to those of a parser."""
    store = commands.add_parser(
        "store",
        help="list, measure and clean the store of recordings",
        description="The folder in which recordings of trained networks are kept.",
    )
    actions = store.add_subparsers(metavar="ACTION", required=True)
    helps = {
        "ls": "list what is kept, a line for each kind of experiment",
        "du": "say where the store is and how large",
        "verify": "read everything to its last bit, and name what is damaged",
        "gc": "delete what other training code made, which this version cannot use, and what killed runs left behind",
        "key": "print what changes with the training code: the key of a cache",
    }
    runs = {"ls": _list, "du": _measure, "verify": _verify, "gc": _clean, "key": _key}
    for name, text in helps.items():
        action = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        action.set_defaults(run=runs[name])
        if name == "key":
            continue
        action.add_argument("--store", metavar="DIR", type=expanded, default=CACHE, help=f"default: {CACHE}")
        if name == "gc":
            action.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
            action.add_argument(
                "--older-than", metavar="DAYS", type=_days, default=DAYS, help=f"at least so old (default: {DAYS})"
            )


def _days(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value!r} must be a whole number of days, 0 or more")
    return int(value)


def _list(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from ilr.lab.housekeeping import kept
    from ilr.report.numbers import size

    kinds: dict[tuple[str, ...], list[Kept]] = {}
    for one in kept(arguments.store):
        code = "this version" if one.current else "another version"
        if not one.readable:
            code = "cannot be read"
        kinds.setdefault((one.net or "–", one.data or "–", f"{one.steps:,}", code), []).append(one)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("net", "data", "steps", "trained by", "networks", "files", "size", "last"):
        table.add_column(header, justify="right" if header in ("steps", "networks", "files", "size") else "left")
    for kind, ones in sorted(kinds.items()):
        last = datetime.fromtimestamp(max(one.saved for one in ones), UTC)
        networks = sum(one.replicas for one in ones)
        table.add_row(*kind, str(networks), str(len(ones)), size(_bytes(ones)), f"{last:%Y-%m-%d}")
    console = Console()
    # A line that a narrow terminal wraps can be read, one that is cut cannot.
    console.width = max(console.width, 120)
    console.print(table)
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    from ilr.lab.housekeeping import kept, set_aside, size
    from ilr.lab.store.store import SET_ASIDE
    from ilr.report.numbers import size as in_words

    recordings = list(kept(arguments.store))
    whole = size(arguments.store)
    stale = [one for one in recordings if not one.current]
    print(f"{in_words(whole.bytes)} in {whole.files} files at {arguments.store}")
    print(f"{in_words(_bytes(recordings))} in {len(recordings)} recordings")
    if aside := set_aside(arguments.store):
        print(f"{len(aside)} damaged files in {SET_ASIDE}, which are never used")
    print(f"{in_words(_bytes(stale))} in {len(stale)} recordings of other training code, which this version cannot use")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ilr.lab.housekeeping import verify

    sound = damaged = 0
    for path, wrong in verify(arguments.store):
        if wrong:
            print(f"{path.relative_to(arguments.store)}: {wrong}")
        damaged += bool(wrong)
        sound += not wrong
    print(f"{sound} files are sound, {damaged} are not" + (" and will never be used" if damaged else ""))
    return 1 if damaged else 0


def _clean(arguments: argparse.Namespace) -> int:
    from ilr.lab.housekeeping import remove, remove_leftovers, unfindable
    from ilr.report.numbers import size

    recordings = unfindable(arguments.store, arguments.older_than)
    if not arguments.dry_run:
        remove(recordings)
        remove_leftovers(arguments.store, arguments.older_than)
    done = "would be deleted" if arguments.dry_run else "deleted"
    print(
        f"{len(recordings)} recordings {done}, {size(_bytes(recordings))}: "
        f"of other training code, {arguments.older_than} days old or more"
    )
    return 0


def _key(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    from ilr.lab.store import training_code_sha256

    print(training_code_sha256()[:16])
    return 0


def _bytes(recordings: "Iterable[Kept]") -> int:
    return sum(one.bytes for one in recordings)
