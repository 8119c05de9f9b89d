"""The source of records that are defined outside ilr, such as a schedule that a claim's own file declares.

A recording's numbers depend on it as they do on ilr's own training code, so it is part of the key: the file in which
the record is defined, and whatever that imports from beside it. What it reads from other files, or imports by a name
that only running it makes known, is not seen.
"""

import ast
import hashlib
import inspect
import linecache
import marshal
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from ilr.experiments.experiment import Experiment
from ilr.fields import is_ilrs

_PACKAGE = Path(__file__).parents[2]

_INSTALLED = ("site-packages", "dist-packages")
"""Folders of packages that have nothing to do with each other: what lies beside a module there is not its own."""


def own_code_sha256(experiment: Experiment) -> str:
    """sha256 of the source of every record in an experiment that is not ilr's; empty where there is none."""
    classes = sorted({*_foreign(experiment)}, key=lambda cls: (cls.__module__, cls.__qualname__))
    if not classes:
        return ""
    texts: dict[Path, bytes] = {}
    for cls in classes:
        texts |= _sources(cls)
    whole = hashlib.sha256()
    # Not where they lie: that is another place on every machine.
    for name, text in sorted((path.name, text) for path, text in texts.items()):
        whole.update(f"{name}\n{len(text)}\n".encode() + text)
    return whole.hexdigest()


def _foreign(value: Any) -> Iterator[type]:
    """The classes of records that are not ilr's, anywhere in a value."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _foreign(item)
    elif is_dataclass(value) and not isinstance(value, type):
        # A record may inherit what it computes from a class of yet another file.
        for cls in type(value).__mro__:
            if not is_ilrs(cls) and cls.__module__.partition(".")[0] not in sys.stdlib_module_names:
                yield cls
        for field in fields(value):
            yield from _foreign(getattr(value, field.name))


@cache
def _sources(cls: type) -> dict[Path, bytes]:
    """The source in which a class is defined, and what that imports from beside it: text by file."""
    codes = [code for member in vars(cls).values() if (code := _code_of(member)) is not None]
    # Methods that a dataclass has generated come from no file; those that ilr gives to every record are its own.
    files = {code.co_filename for code in codes if not Path(code.co_filename).is_relative_to(_PACKAGE)} - {"<string>"}
    module = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if module is not None:
        files.add(module)
    texts: dict[Path, bytes] = {}
    waiting = [Path(file) for file in files if Path(file).is_file()]
    while waiting:
        path = waiting.pop()
        if path not in texts:
            texts[path] = path.read_bytes()
            waiting += _imported_from_beside(path, texts[path])
    # A notebook's cells are no files, but Python remembers their lines.
    for file in files:
        if Path(file) not in texts and (lines := linecache.getlines(file)):
            texts[Path(file)] = "".join(lines).encode()
    if not texts:
        # Typed into an interpreter: what it was compiled to stands for it, which is the same for one version of Python.
        texts[Path(cls.__qualname__)] = b"".join(marshal.dumps(code) for code in codes)
    return texts


def _code_of(member: Any) -> CodeType | None:
    """What a method was compiled to; `None` for what is no method."""
    for wrapped in ("__func__", "fget", "func"):  # class methods, properties, cached properties
        member = getattr(member, wrapped, member)
    code = getattr(inspect.unwrap(member), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _imported_from_beside(path: Path, source: bytes) -> Iterator[Path]:
    """Files that a file imports from its own folder, or from its own package."""
    root = package = path.parent
    while (root / "__init__.py").exists():
        root = root.parent
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):  # it was never imported, or is no Python
        return
    for node in nodes:
        names: list[str] = []
        base = root
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package
                for _ in range(node.level - 1):
                    base = base.parent
            stem = node.module or ""
            # What is imported from a package may be a module of it.
            names = [stem, *(f"{stem}.{alias.name}".lstrip(".") for alias in node.names)]
        for name in names:
            yield from _files_of_module(base, name)


def _files_of_module(root: Path, name: str) -> Iterator[Path]:
    """The file of a module and those of the packages that it is in, if they lie under a folder."""
    place = root
    for part in name.split("."):
        if place.name in _INSTALLED or not part:
            return
        place /= part
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file
