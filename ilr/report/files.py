"""The files of a report: `evidence.json`, and the page and what a CI server reads, all made from it."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from ilr.report.ci.badge import render_badge
from ilr.report.ci.junit import render_junit
from ilr.report.ci.summary import render_summary
from ilr.report.evidence import Evidence
from ilr.report.page.html import render_html

EVIDENCE = "evidence.json"

UNFINISHED = "unfinished.json"
"""The evidence of a run that goes on, or was killed: what it has judged so far. A report takes its place."""

MADE = {
    "index.html": render_html,
    "junit.xml": render_junit,
    "summary.md": render_summary,
    "badge.svg": render_badge,
}
"""What is made from the evidence, by file name."""


def write_report(evidence: Evidence, directory: Path) -> None:
    """Write the evidence into `directory`, then all that is made from what was written.

    The evidence comes first: whatever else goes wrong, a run's data are kept.

    Raises:
        ValueError: the evidence holds NaN or infinity, or departs from schema 2.
    """
    write_evidence(evidence, directory / EVIDENCE)
    render_again(directory)
    (directory / UNFINISHED).unlink(missing_ok=True)


def write_evidence(evidence: Evidence, path: Path) -> None:
    """Write the evidence alone.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    text = json.dumps(_plain(evidence), indent=1, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text + "\n")


def check_plain(part: Struct) -> None:
    """Checks that a part of the evidence can be written and read again.

    Raises:
        ValueError: it holds NaN or infinity, or departs from the schema.
        TypeError: it holds what JSON cannot.
    """
    text = json.dumps(_plain(part), allow_nan=False)
    msgspec.convert(json.loads(text), type(part))


def _plain(part: Struct) -> Any:
    # numpy's floats, which a rule may leave in a finding, are no plain data yet. Not msgspec's own JSON: it writes NaN
    # as null, which would pass for the open end of an interval.
    return msgspec.to_builtins(part, enc_hook=float)


def render_again(directory: Path) -> None:
    """Write everything in `MADE` from the evidence in `directory` alone.

    Raises:
        ValueError: the evidence is missing or not readable, as `read_evidence` says.
    """
    evidence = read_evidence(directory)
    try:
        texts = {name: render(evidence) for name, render in MADE.items()}
    except ValueError as error:
        raise ValueError(f"{directory / EVIDENCE}: {error}") from error
    for name, text in texts.items():
        write_whole(directory / name, text)


def read_evidence(directory: Path, name: str = EVIDENCE) -> Evidence:
    """The evidence in `directory`, in the file called `name`; of schema 1 or 2.

    Raises:
        ValueError: the file is missing, is not JSON, or departs from its schema; in one line.
    """
    path = directory / name
    try:
        # msgspec's own JSON refuses half of a surrogate pair, which the message of a crash may hold.
        parsed = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if isinstance(parsed, dict) and parsed.get("schema") == 1:
        # Schema 2 only adds to it, and what it adds has defaults.
        parsed["schema"] = 2
    try:
        return msgspec.convert(parsed, Evidence)
    except (msgspec.ValidationError, UnicodeError) as error:  # the latter where half a pair stands for a choice
        raise ValueError(f"{path}: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader, or a crash, never meets half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Half of a surrogate pair (JSON allows it) has no UTF-8; its escape is what JSON itself would write.
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
