"""`ilr matrix`: all claims under every combination of some choices, and one page of what survives."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ilr.session.options import expanded
from ilr.tools.reports import AS_REGISTERED, OWN
from ilr.variations.variation import AXES, Variation

PASSED, FAILED, INTERRUPTED, USAGE_ERROR = 0, 1, 2, 4
"""How pytest ends. A run that has judged its claims has passed or failed, as some may be REFUTED."""

OURS = ("--report", "--plan", "--rehearse", "--compare", *(f"--{name}" for name in AXES))
"""Options of pytest that are not passed on."""


def add(commands: Any) -> None:
    """Adds the command to those of a parser."""
    matrix = commands.add_parser(
        "matrix",
        help="try claims under every combination of norms, nets, data and so on",
        description="Run or resume the claims under every combination of the choices given, and write DIR/index.html: "
        "claims by variations, each cell a verdict with its weakest number. What stands behind -- is passed to pytest.",
        epilog="python -m ilr matrix --norm=batch,group --momentum=0,0.9 -- claims --seed=7 -k equilibrium",
    )
    for name, axis in AXES.items():
        matrix.add_argument(f"--{name}", metavar="A,B,...", help=f"{axis.nouns}, as for pytest --{name}, or own")
    matrix.add_argument(
        "--to", metavar="DIR", type=expanded, default=Path("reports/matrix"), help="default: reports/matrix"
    )
    matrix.add_argument("pytest", metavar="...", nargs="*", help="default: claims")
    matrix.set_defaults(run=_matrix)


def _matrix(arguments: argparse.Namespace) -> int:
    from ilr.tools.matrix import Choices, write_matrix

    variations = combinations({name: getattr(arguments, name) for name in AXES})
    passed_on = _passed_on(arguments.pytest)
    worst = PASSED
    for number, variation in enumerate(variations, 1):
        print(f"\n{variation or AS_REGISTERED} ({number} of {len(variations)})", flush=True)
        status = _run(passed_on, variation, arguments.to / folder_of(variation))
        if status in (INTERRUPTED, USAGE_ERROR):
            # The user's wish; or what would be the same for every other variation.
            worst = status
            if status == INTERRUPTED:
                print("the same command goes on from there", file=sys.stderr)
            break
        if status not in (PASSED, FAILED):
            worst = FAILED
    first: list[Choices] = [{name: str(one) for name, one in variation.choices.items()} for variation in variations]
    try:
        matrix = write_matrix(arguments.to, list(AXES), first)
    except ValueError:
        # What has stopped before its first report has said why.
        if worst == PASSED:
            raise
        return worst
    for line in matrix.unreadable:
        print(f"left out: {line}")
    print(arguments.to / "index.html")
    return worst


def _passed_on(arguments: Sequence[str]) -> list[str]:
    """What pytest is given beside the choices: the folder of the claims, unless another place is named.

    Raises:
        ValueError: it holds an option that is not the user's here.
    """
    for given in arguments:
        if given.partition("=")[0] in OURS:
            raise ValueError(f"{given} cannot stand behind --: give choices before it, and --to for the folder")
    places = [one for one in arguments if not one.startswith("-") and Path(one.partition("::")[0]).exists()]
    return [*arguments] if places else ["claims", *arguments]


def combinations(given: dict[str, str | None]) -> list[Variation]:
    """Every combination of the choices that were typed, those of the last axis changing fastest.

    Args:
        given: by axis, its choices with commas between them; `None` for an axis that stays as claims have it.

    Raises:
        ValueError: one is no choice or stands there twice, or there is none at all.
    """
    axes = {name: text.split(",") for name, text in given.items() if text is not None}
    if not axes:
        raise ValueError(
            f"nothing to vary: give --norm=batch,group or another of {', '.join(f'--{one}' for one in AXES)}"
        )
    checked = {}
    for name, typed in axes.items():
        for one in typed:
            if one == OWN:
                continue
            try:
                checked[name, one] = AXES[name].check(one)
            except ValueError as error:
                raise ValueError(f"--{name}={one}: {error}") from None
    variations = [
        Variation({name: checked[name, one] for name, one in zip(axes, choice, strict=True) if one != OWN})
        for choice in product(*axes.values())
    ]
    folders = [folder_of(variation) for variation in variations]
    for folder in folders:
        if folders.count(folder) > 1:
            raise ValueError(f"two variations would have the folder {folder}: give each choice once, by its own name")
    return variations


def folder_of(variation: Variation) -> str:
    """The name of the folder for its report."""
    return variation.suffix.lstrip("-") if variation else AS_REGISTERED


def _run(arguments: Sequence[str], variation: Variation, report: Path) -> int:
    """The exit status of pytest, in a process of its own: what it held is free for the next one."""
    choices = [f"--{name}={choice.typed}" for name, choice in variation.choices.items()]
    return ended([sys.executable, "-m", "pytest", "-p", "ilr.plugin", *arguments, *choices, f"--report={report}"])


def ended(command: Sequence[str]) -> int:
    """The exit status of a command, which ends by itself when this process is told to: it keeps what it has."""
    process: subprocess.Popen[bytes] | None = None
    told = False

    def end(*_: object) -> None:
        nonlocal told
        told = True
        if process is not None:
            process.terminate()

    before = signal.signal(signal.SIGTERM, end)
    try:
        process = subprocess.Popen(command)
        if told:  # before there was anything to end
            process.terminate()
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # Ctrl-C reaches the whole terminal.
                continue
    finally:
        signal.signal(signal.SIGTERM, before)
