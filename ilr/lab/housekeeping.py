"""What a store holds, how large it is, and what in it this version of ilr cannot find any more."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors

from ilr.lab.store import training_code_sha256

DAY = 86_400.0
"""Seconds."""

RECORDING = ".safetensors"


@dataclass(frozen=True)
class Kept:
    """One recording in a store: a slice of an experiment's replicas."""

    path: Path
    bytes: int
    saved: float
    """Seconds since 1970."""
    net: str
    """Kind of net; empty where its file cannot be read."""
    data: str
    """Empty for the toy, and where its file cannot be read."""
    steps: int
    replicas: int
    readable: bool
    current: bool
    """Whether the training code of this version made it: what other code made is never found again by this one."""


@dataclass(frozen=True)
class Size:
    """Files of a store, counted."""

    files: int
    bytes: int


def kept(root: Path) -> Iterator[Kept]:
    """Every recording in a store, in order of path, known by its header alone.

    Raises:
        ValueError: there is no such folder.
    """
    if not root.is_dir():
        raise ValueError(f"there is no store at {root}")
    for path in sorted(root.glob(f"*/*{RECORDING}")):
        try:
            status = path.stat()
        except FileNotFoundError:  # another process has just taken it away
            continue
        key = _key(path)
        experiment = key.get("experiment", {})
        net, data = experiment.get("net") or {}, experiment.get("data") or {}
        yield Kept(
            path=path,
            bytes=status.st_size,
            saved=status.st_mtime,
            net=str(net.get("record", "")),
            data=str(data.get("name", "")),
            steps=int(experiment.get("steps", 0)),
            replicas=int(experiment.get("replicas", 0)),
            readable=bool(key),
            current=key.get("code_sha256") == training_code_sha256(),
        )


def size(root: Path) -> Size:
    """Everything under a folder; nothing where it does not exist."""
    files = total = 0
    for path in root.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
                files += 1
        except FileNotFoundError:  # another process has just taken it away
            continue
    return Size(files, total)


def unfindable(root: Path, days: float) -> list[Kept]:
    """Recordings that other training code made, or whose file cannot be read, saved more than so many days ago.

    Another version of ilr that shares the store may still want them: hence the days.
    """
    before = time.time() - days * DAY
    return [one for one in kept(root) if not one.current and one.saved < before]


def remove(recordings: list[Kept]) -> None:
    """Deletes recordings, and the folders that are empty without them."""
    for one in recordings:
        one.path.unlink(missing_ok=True)
        if not any(one.path.parent.iterdir()):
            one.path.parent.rmdir()


def _key(path: Path) -> dict[str, Any]:
    """What a recording is of, as plain JSON: it may hold records that only a claim's file declares."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            key = json.loads((file.metadata() or {})["key"])
    except (OSError, safetensors.SafetensorError, ValueError, KeyError):
        return {}
    return key if isinstance(key, dict) and isinstance(key.get("experiment"), dict) else {}
