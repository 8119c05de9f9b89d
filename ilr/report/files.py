"""The files of a report: `evidence.json`, and the page and what a CI server reads, all made from it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

MOST_TOLD = 60
"""Characters of a value that is not allowed."""

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
    except (ValueError, ArithmeticError) as error:
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
        parsed = json.loads(path.read_text(encoding="utf-8"), parse_constant=_Constant)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    for place, value in _leaves(parsed):
        if isinstance(value, _Constant):
            raise ValueError(f"{path}: {value.name} is no number, and JSON has none such - at `{place}`")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError(f"{path}: a number of {len(str(abs(value)))} digits, allowed are 18 - at `{place}`")
    if isinstance(parsed, dict) and parsed.get("schema") == 1:
        # Schema 2 only adds to it, and what it adds has defaults.
        parsed["schema"] = 2
    try:
        return msgspec.convert(parsed, Evidence)
    except UnicodeError as error:  # where half a pair stands for a choice
        raise ValueError(f"{path}: {error}") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {_with_value(str(error), parsed)}") from None


class _Constant:
    """NaN or an infinity: Python's JSON takes them for numbers, and no evidence may hold them, wherever it is free."""

    def __init__(self, name: str) -> None:
        self.name = name


def _leaves(parsed: Any) -> Iterator[tuple[str, Any]]:
    """Every value that holds no other, with its place as msgspec writes it."""
    # Not by recursion: how deep it goes is up to whoever wrote it. Last in, first out, so the last is put in first.
    waiting = [("$", parsed)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{place}.{name}", inner) for name, inner in reversed(value.items())]
        elif isinstance(value, list):
            inner_places = [(f"{place}[{number}]", inner) for number, inner in enumerate(value)]
            waiting += reversed(inner_places)
        else:
            yield place, value


def _with_value(message: str, parsed: Any) -> str:
    """What msgspec says is wrong, with the value that it is about, where that is one and not told already."""
    before, separator, place = message.rpartition(" - at `")
    value = dict(_leaves(parsed)).get(place.removesuffix("`"))
    told = json.dumps(value)
    if not separator or value is None or before.endswith((f" {told}", f"'{value}'")):
        return message
    return f"{before}, found {told if len(told) < MOST_TOLD else told[:MOST_TOLD] + '…'}{separator}{place}"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader, or a crash, never meets half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Half of a surrogate pair (JSON allows it) has no UTF-8; its escape is what JSON itself would write.
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
