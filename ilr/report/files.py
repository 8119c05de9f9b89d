"""The files of a report: `evidence.json`, and `index.html` and `junit.xml` made from it."""

import json
import os
from pathlib import Path
from typing import NoReturn

import msgspec

from ilr.report.evidence import Evidence
from ilr.report.junit import render_junit
from ilr.report.page.html import render_html

EVIDENCE = "evidence.json"


def write_report(evidence: Evidence, directory: Path) -> None:
    """Write the evidence into `directory`, then the page and the JUnit XML made from what was written.

    The evidence comes first: whatever else goes wrong, a run's data are kept.

    Raises:
        ValueError: the evidence holds NaN or infinity, or departs from schema 2.
    """
    # numpy's floats, which a rule may leave in a finding, are no plain data yet.
    plain = msgspec.to_builtins(evidence, enc_hook=float)
    # msgspec's own JSON writes NaN as null, which would pass for the open end of an interval.
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / EVIDENCE, text + "\n")
    render_again(directory)


def render_again(directory: Path) -> None:
    """Write the page and the JUnit XML from the evidence in `directory` alone.

    Raises:
        ValueError: the evidence is missing or not readable, as `read_evidence` says.
    """
    evidence = read_evidence(directory)
    try:
        page, junit = render_html(evidence), render_junit(evidence)
    except ValueError as error:
        raise ValueError(f"{directory / EVIDENCE}: {error}") from error
    _write(directory / "index.html", page)
    _write(directory / "junit.xml", junit)


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
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader, or a crash, never meets half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Half of a surrogate pair (JSON allows it) has no UTF-8; its escape is what JSON itself would write.
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
