"""Writes the pages of this folder that are made from the code: `python docs/reference.py`."""

import ast
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ilr.report import evidence

FOLDER = Path(__file__).parent


def evidence_schema() -> str:
    """The JSON Schema of evidence.json, with what the source says of each field."""
    schema = msgspec.json.schema(evidence.Evidence)
    said = _docstrings()
    for kind, definition in schema["$defs"].items():
        if "properties" in definition:
            # Defaults are for reading schema 1: what is written has every field.
            definition["required"] = list(definition["properties"])
        for field, text in said.get(kind, {}).items():
            definition["properties"][field]["description"] = text
    about: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "evidence.json, schema 2",
    }
    return json.dumps(about | schema, indent=1, ensure_ascii=False) + "\n"


def _docstrings() -> dict[str, dict[str, str]]:
    """The string below each field, by class and field; Python itself does not keep them."""
    said: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(evidence)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = said.setdefault(node.name, {})
        for field, after in zip(node.body, node.body[1:], strict=False):
            match field, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    fields[name] = " ".join(text.split())
    return said


PAGES: dict[str, Callable[[], str]] = {"evidence.schema.json": evidence_schema}
"""What each page is made by."""


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
