"""The files of a report: `evidence.json`, and `index.html` and `junit.xml` made from it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ilr.report.html import render_html
from ilr.report.junit import render_junit
from ilr.report.schema import problem

EVIDENCE = "evidence.json"
PAGE = "index.html"
JUNIT = "junit.xml"


def write_report(evidence: Mapping[str, Any], directory: Path) -> None:
    """Write the evidence into `directory`, then the page and the JUnit XML made from what was written.

    The evidence comes first: whatever else goes wrong, a run's data are kept.

    Raises:
        ValueError: the evidence holds NaN or infinity, or departs from schema 1.
    """
    text = json.dumps(evidence, indent=1, ensure_ascii=False, allow_nan=False)
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
    _write(directory / PAGE, page)
    _write(directory / JUNIT, junit)


def read_evidence(directory: Path, name: str = EVIDENCE) -> dict[str, Any]:
    """The evidence in `directory`, in the file called `name`.

    Raises:
        ValueError: the file is missing, is not JSON, or departs from schema 1; in one line.
    """
    path = directory / name
    try:
        evidence = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if wrong := problem(evidence):
        raise ValueError(f"{path}: {wrong}")
    assert isinstance(evidence, dict)
    return evidence


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
