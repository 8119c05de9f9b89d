"""Recordings on disk, found again by what they are recordings of.

A recording lies at `<root>/<digest of the experiment>/<digest of the key>.safetensors`. The key adds what else
decides the numbers: the code of the training path, the data, the kind of device. So an unchanged experiment is
never trained twice, and a changed one is never mistaken for it.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from ilr.experiments.experiment import Experiment
from ilr.experiments.recording import Array, Recording
from ilr.serialization import digest, from_json, record, to_json

T = TypeVar("T")

DECIDING_PACKAGES = ("data", "nn", "training", "experiments")
"""Packages whose source decides what a training run computes: every file of them is part of every key."""
_RESULTS = "recording.py"
"""The one file of `experiments` that training does not run: it holds results."""


def deciding_files() -> list[Path]:
    """The source files that decide a recording's numbers, in order of path."""
    root = Path(__file__).parents[1]
    files = [path for package in DECIDING_PACKAGES for path in sorted((root / package).rglob("*.py"))]
    return [path for path in files if path.name != _RESULTS]


@cache
def training_code_sha256() -> str:
    """sha256 of the source that decides a recording's numbers, file names included."""
    checksum = hashlib.sha256()
    for path in deciding_files():
        checksum.update(f"{path.parent.name}/{path.name}\n".encode())
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


@record
class Key:
    """Everything that decides a recording's numbers."""

    experiment: Experiment
    code_sha256: str
    data_sha256: str
    """Empty for an experiment without data."""
    device: str
    """Kind of device: "cpu" or "cuda"."""


class Store:
    """A folder of recordings."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: Key) -> tuple[Recording | None, str]:
        """The recording of a key, or `None`; and why it was found or not, in a few words."""
        arrays, reason = self._read(key, load_file)
        return None if arrays is None else Recording(key.experiment, arrays), reason

    def has(self, key: Key) -> tuple[bool, str]:
        """Whether there is a recording of a key, from its file's header alone; and why or why not, in a few words."""
        header, reason = self._read(key, _header)
        return header is not None, reason

    def save(self, key: Key, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        """Writes a recording; a reader sees all of it or nothing.

        `facts` (how long it took, with which versions) go into the header and decide nothing.
        """
        header = {"key": json.dumps(to_json(key)), "facts": json.dumps(facts)}
        with _written_whole(self._path(key)) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata=header)

    def remember(self, what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was measured before under the description `what`, or is measured now and kept for the next time."""
        path = self.root / "measured" / f"{hashlib.sha256(what.encode()).hexdigest()}.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text())["found"]
        except (OSError, ValueError, KeyError):
            found = measure()
            with _written_whole(path) as temporary:
                temporary.write_text(json.dumps({"what": what, "found": found}))
        return found

    def facts(self, key: Key) -> dict[str, Any]:
        """What `save` was told about a recording that is in the store."""
        facts: dict[str, Any] = json.loads(_header(self._path(key))["facts"])
        return facts

    def _read(self, key: Key, read: Callable[[Path], T]) -> tuple[T | None, str]:
        """What `read` makes of a key's file, or `None`; and why."""
        path = self._path(key)
        if not path.is_file():
            return None, self._why_missing(key)
        try:
            return read(path), "in the store"
        except (OSError, safetensors.SafetensorError) as error:
            return None, f"its file cannot be read ({error})"

    def _path(self, key: Key) -> Path:
        return self.root / digest(key.experiment) / f"{digest(key)}.safetensors"

    def _why_missing(self, key: Key) -> str:
        """Compares a key that is not there with those of the same experiment that are."""
        for path in sorted(self._path(key).parent.glob("*.safetensors")):
            try:
                other: Key = from_json(json.loads(_header(path)["key"]))
            except (OSError, safetensors.SafetensorError, ValueError, KeyError):
                continue
            changes = {
                "the training code": other.code_sha256 != key.code_sha256,
                "the data": other.data_sha256 != key.data_sha256,
                "the kind of device": other.device != key.device,
            }
            return " and ".join(what for what, changed in changes.items() if changed) + " changed since it was trained"
        return "never trained"


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A temporary file to write, which then takes the name `path`: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _header(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, framework="numpy") as file:
        header: dict[str, str] = file.metadata()
    return header
