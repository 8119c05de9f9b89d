"""Recordings on disk, found again by what they are recordings of.

A recording lies at `<root>/<digest of the experiment>/<digest of the key>.safetensors`. The key adds what else
decides the numbers: the code of the training path, the data, the kind of device. So an unchanged experiment is
never trained twice, and a changed one is never mistaken for it.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from ilr.experiments.experiment import Experiment
from ilr.experiments.recording import Array, Recording
from ilr.serialization import digest, from_json, record, to_json

T = TypeVar("T")

DECIDING_PACKAGES = ("data", "nn", "training", "experiments")
"""Packages whose source decides what a training run computes: every file of them is part of every key."""


def deciding_files() -> list[Path]:
    """The source files that decide a recording's numbers, in order of path."""
    root = Path(__file__).parents[1]
    files = [path for package in DECIDING_PACKAGES for path in sorted((root / package).rglob("*.py"))]
    # Training does not run it: it holds results.
    return [path for path in files if path.name != "recording.py"]


@cache
def training_code_sha256() -> str:
    """sha256 of the source that decides a recording's numbers, file names included."""
    named = [f"{path.parent.name}/{path.name}\n".encode() + path.read_bytes() for path in deciding_files()]
    return hashlib.sha256(b"".join(named)).hexdigest()


@record
class Key:
    """Everything that decides a recording's numbers."""

    experiment: Experiment
    code_sha256: str
    data_sha256: str
    """Empty for an experiment without data."""
    device: str
    """Kind of device: "cpu" or "cuda"."""

    @cached_property
    def place(self) -> Path:
        """Where in a store its recording lies."""
        return Path(digest(self.experiment), f"{digest(self)}.safetensors")


_IN_WORDS = {"code_sha256": "the training code", "data_sha256": "the data", "device": "the kind of device"}
"""What a key's fields are to a reader, in whose words a recording's absence is explained."""


class Facts(msgspec.Struct, frozen=True):
    """Who made a recording, with what, when, and how long it took: known of every recording, deciding nothing.

    Fields that a recording's maker did not know of are empty.
    """

    ilr: str = ""
    """Version."""
    torch: str = ""
    """Version."""
    batch: int = 0
    """Replicas that trained together."""
    formulation: str = ""
    """How they were computed."""
    peak_memory_bytes: int = 0
    """Most that the worker had held by the end."""
    seconds: float = 0.0
    """The slice's share of its batch's training time."""
    trained: datetime | None = None
    """When training ended, in UTC."""
    device: str = ""
    """A torch device such as "cpu" or "cuda:0"."""
    processor: str = ""
    """The name of the processor behind it."""


class Lookup(NamedTuple):
    """Whether there is a recording of a key."""

    facts: Facts | None
    """`None` where there is none."""
    reason: str
    """Why there is one or not, in a few words."""


class Store:
    """A folder of recordings."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: Key) -> tuple[Recording | None, str]:
        """The recording of a key, or `None`; and why it was found or not, in a few words."""
        arrays, reason = self._read(key, load_file)
        return None if arrays is None else Recording(key.experiment, arrays), reason

    def look_up(self, key: Key) -> Lookup:
        """Whether there is a recording of a key, and who made it, from its file's header alone."""
        return Lookup(*self._read(key, _facts))

    def save(self, key: Key, arrays: dict[str, Array], facts: Facts) -> None:
        """Writes a recording, with its facts in the header; a reader sees all of it or nothing."""
        header = {"key": json.dumps(to_json(key)), "facts": msgspec.json.encode(facts).decode()}
        with _written_whole(self.root / key.place) as temporary:
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

    def _read(self, key: Key, read: Callable[[Path], T]) -> tuple[T | None, str]:
        """What `read` makes of a key's file, or `None`; and why."""
        path = self.root / key.place
        if not path.is_file():
            return None, self._why_missing(key)
        try:
            return read(path), "in the store"
        except (OSError, safetensors.SafetensorError, KeyError, msgspec.DecodeError) as error:
            return None, f"its file cannot be read ({error})"

    def _why_missing(self, key: Key) -> str:
        """Compares a key that is not there with those of the same experiment that are."""
        for path in sorted((self.root / key.place).parent.glob("*.safetensors")):
            try:
                other: Key = from_json(json.loads(_header(path)["key"]))
            except (OSError, safetensors.SafetensorError, ValueError, KeyError):
                continue
            changed = [what for field, what in _IN_WORDS.items() if getattr(other, field) != getattr(key, field)]
            return f"{' and '.join(changed)} changed since it was trained"
        return "never trained"


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A temporary file to write, which then takes the name `path`: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder beside it: a file moves in one step only within a disk.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder, path.name)
        yield temporary
        temporary.replace(path)


def _header(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def _facts(path: Path) -> Facts:
    return msgspec.json.decode(_header(path)["facts"], type=Facts)
