"""`ilr new`: write a claim's file that runs as it is, to be changed into a claim of one's own."""

import argparse
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from ilr.report.evidence import file_name
from ilr.session.options import expanded

LOADS_ILR = 'pytest_plugins = ["ilr.plugin"]\n'
"""The conftest.py beside claims."""


def add(commands: Any) -> None:
    """Adds the command to those of a parser."""
    new = commands.add_parser(
        "new",
        help="write a claim's file to begin with",
        description="Write DIR/test_<name>.py, a claim that runs as it is, and what pytest needs beside it.",
    )
    new.add_argument("name", metavar="NAME", help="the claim's id: words joined by hyphens")
    new.add_argument("--to", metavar="DIR", type=expanded, default=Path("claims"), help="default: claims")
    new.set_defaults(run=_new)


def _new(arguments: argparse.Namespace) -> int:
    name, folder = arguments.name, arguments.to
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"{name!r} is no id of a claim: give small letters and digits, words joined by hyphens")
    path = folder / file_name(name)
    if path.exists():
        raise ValueError(f"{path} exists")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(claim_text(name), encoding="utf-8")
    print(path)
    conftest = folder / "conftest.py"
    # Where there is one, here or above, it may load the plugin, and is not ours to change.
    if not any((parent / "conftest.py").exists() for parent in (folder, *folder.absolute().parents)):
        conftest.write_text(LOADS_ILR, encoding="utf-8")
        print(conftest)
    return 0


def claim_text(name: str) -> str:
    """The file of a new claim.

    Args:
        name: id of the claim.
    """
    text = (files("ilr.commands") / "new_claim.txt").read_text(encoding="utf-8")
    title = name.replace("-", " ").capitalize()
    values = {"ID": name, "TITLE": title, "NAME": name.replace("-", "_")}
    return re.sub(r"\bID\b|\bTITLE\b|(?<=test_)NAME\b", lambda word: values[word[0]], text)
