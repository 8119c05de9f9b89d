"""`ilr pilot`: a claim's first look on an exploratory seed, and how many replicas each prediction would need."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilr.session.options import BadOptionError, Options, check, expanded, flag, table

if TYPE_CHECKING:
    from ilr.dryrun.pilot import Need, Pilot

TAKEN = ("scale", "seed", "store", "engine", "workers", "device", "data_root")
"""Options of pytest that it has, too."""


def add(commands: Any) -> None:
    """Adds the command to those of a parser."""
    pilot = commands.add_parser(
        "pilot",
        help="train a claim's first look on an exploratory seed, and size it",
        description="Train the first look of the claim in FILE on an exploratory seed (1001), and say how many "
        "replicas each prediction would need. It is no trial, and writes no report.",
    )
    pilot.add_argument("file", metavar="FILE", help="the claim's file")
    for name in TAKEN:
        pilot.add_argument(flag(name), dest=name, help=table()[name].help.replace("(default: 0)", "(default: 1001)"))
    pilot.set_defaults(run=_pilot)


def _pilot(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from ilr.dryrun.pilot import SEED, Pilot
    from ilr.session.closing import as_lines, findings_table
    from ilr.session.progress import training_progress
    from ilr.session.selection import lab_for
    from ilr.trials.claim_file import ClaimFile
    from ilr.variations.choices import imported

    options = _options(arguments, SEED)
    file = ClaimFile.of(imported(arguments.file))
    # Where pytest puts them unless it is told otherwise: in its root folder, which may be any of these.
    roots = dict.fromkeys((Path.cwd(), *expanded(arguments.file).absolute().parents))
    reports = [root / "reports" / options.scale for root in roots]
    pilot = Pilot.of(file, options.scale, options.seed, reports)
    lab = lab_for(options, options.store)
    console = Console()
    plan = pilot.training(lab)
    with training_progress(plan, lab.engine.workers, console) as tick:
        lab.train(plan, tick)
    needs = pilot.needs(lab)
    print()
    rows = [
        (one.control, one.text, str(one.text.finding.verdict), "–" if one.replicas is None else f"{one.replicas:,}")
        for one in needs
    ]
    table = findings_table(rows, ("as it stands", "would need"))
    for line in [*as_lines(table, console.width, least=0), *_told(pilot, needs)]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return 0


def _options(arguments: argparse.Namespace, seed: int) -> Options:
    given = dict.fromkeys(table()) | {name: getattr(arguments, name) for name in TAKEN}
    given["seed"] = given["seed"] or str(seed)
    try:
        return check(argparse.Namespace(**given))
    except BadOptionError as error:
        raise ValueError(str(error)) from None


def _told(pilot: "Pilot", needs: Sequence["Need"]) -> Iterator[str]:
    """What the numbers come to, and what to write down."""
    from ilr.dryrun.pilot import outlooks
    from ilr.stats.decision import Verdict

    yield ""
    yield "Replicas a group for a verdict, were the truth as found:"
    for one in outlooks(needs):
        whose = f"control {one.control}" if one.control else "the claim"
        number = "no practical number" if one.replicas is None else f"{one.replicas:,}"
        unsound = one.control and one.verdict is Verdict.REPRODUCED
        yield f"  {whose}: {number}, to be {one.verdict}{', which makes the claim UNSOUND' if unsound else ''}"
    yield f"Registered: {', then '.join(f'{n:,}' for n in pilot.looks)}."
    yield ""
    first = next(iter(pilot.planned.experiments.values()))
    yield "This is no trial: judge the claim on another seed. If its regime is kept or left, its history says so:"
    yield ""
    yield "[[regimes]]"
    for name, value in (
        ("scale", pilot.scale),
        ("tried", f"{first}; {first.steps:,} steps"),
        ("found", ""),
        ("seeds", str(pilot.seed)),
    ):
        # JSON's strings are TOML's, too.
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
