"""What a store holds, how large it is, whether it is sound, and what in it this version of ilr cannot find any more."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilr.data.catalog import DataUnavailableError
from ilr.experiments.experiment import Experiment
from ilr.lab.store.keys import RECORDING, training_code_sha256
from ilr.lab.store.leases import remove_abandoned
from ilr.lab.store.recording_file import DamagedError, check_forms, read_whole
from ilr.lab.store.store import MEASURED, SET_ASIDE, check_measurement, recorded_key
from ilr.lab.store.writing import leftovers
from ilr.serialization import canonical_json, from_json

DAY = 86_400.0
"""Seconds."""


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
        except OSError:  # another process has just taken it away
            continue
        key = _key(path)
        experiment = key.get("experiment", {})
        net, data = experiment.get("net") or {}, experiment.get("data") or {}
        yield Kept(
            path=path,
            bytes=status.st_size,
            saved=status.st_mtime,
            net=str(net.get("record", "")),
            data=_name(data.get("name", "")),
            steps=int(experiment.get("steps", 0)),
            replicas=int(experiment.get("replicas", 0)),
            readable=bool(key),
            current=key.get("code_sha256") == training_code_sha256(),
        )


def _name(name: Any) -> str:
    """What a data set is called in a key: by the catalogue, or by the record of somebody's own."""
    return str(name.get("record", "")) if isinstance(name, dict) else str(name)


def size(root: Path) -> Size:
    """Everything under a folder; nothing where it does not exist."""
    files = total = 0
    for path in root.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
                files += 1
        except OSError:  # another process has just taken it away, or it is not for us
            continue
    return Size(files, total)


def unfindable(root: Path, days: float) -> list[Kept]:
    """Recordings that other training code made, or whose file cannot be read, saved more than so many days ago.

    Another version of ilr that shares the store may still want them: hence the days.
    """
    before = time.time() - days * DAY
    return [one for one in kept(root) if not one.current and one.saved < before]


def verify(root: Path) -> Iterator[tuple[Path, str]]:
    """Every recording and measurement of a store, read to its last bit, with what is wrong with it; empty if nothing.

    Changes nothing: what is damaged is set aside when it is asked for.

    Raises:
        ValueError: there is no such folder.
    """
    if not root.is_dir():
        raise ValueError(f"there is no store at {root}")
    for path in sorted((*root.glob(f"*/*{RECORDING}"), *root.glob(f"{MEASURED}/*.json"))):
        try:
            content = path.read_bytes()
            if path.suffix == RECORDING:
                _check_recording(path, content)
            else:
                check_measurement(path, content)
        except FileNotFoundError:  # another process has just taken it away
            continue
        except (OSError, DamagedError) as error:
            yield path, str(error)
        else:
            yield path, ""


def _check_recording(path: Path, content: bytes) -> None:
    """Raises a DamagedError where a file is no sound recording, or one of something else than its place says."""
    header, _ = read_whole(content)
    key = json.loads(header.key)
    named = [hashlib.sha256(text.encode()).hexdigest() for text in (canonical_json(key["experiment"]), header.key)]
    if [path.parent.name, path.stem] != named:
        raise DamagedError("it is the recording of something else")
    # What a claim's own file defines cannot be made here, nor can somebody's own data be loaded.
    with suppress(ValueError, DataUnavailableError):
        experiment = from_json(key["experiment"])
        if isinstance(experiment, Experiment):
            check_forms(header, experiment)


def set_aside(root: Path, days: float = 0.0) -> list[Path]:
    """Files that were found damaged, at least so many days ago."""
    before = time.time() - days * DAY
    return [path for path in sorted((root / SET_ASIDE).glob("*")) if path.lstat().st_mtime <= before]


def remove_leftovers(root: Path, days: float) -> None:
    """Deletes what killed processes have left behind, and what was found damaged so many days ago."""
    remove_abandoned(root)
    # Earlier versions wrote into folders of this name.
    old = [path for path in root.glob("*/tmp*") if path.is_dir() and path.stat().st_mtime < time.time() - DAY]
    for path in (*leftovers(root), *set_aside(root, days), *old):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove(recordings: list[Kept]) -> None:
    """Deletes recordings, and the folders that are empty without them."""
    for one in recordings:
        one.path.unlink(missing_ok=True)
        if not any(one.path.parent.iterdir()):
            one.path.parent.rmdir()


def _key(path: Path) -> dict[str, Any]:
    """What a recording is of, as plain JSON: it may hold records that only a claim's file declares."""
    try:
        key = json.loads(recorded_key(path))
    except (OSError, DamagedError, ValueError):
        return {}
    return key if isinstance(key, dict) and isinstance(key.get("experiment"), dict) else {}
