"""Checkpoints: how far jobs are that have not ended, in the store, so that a killed run goes on where it was.

A job's file lies at `<root>/unfinished/<digest of its keys>.checkpoint` from when its training is planned until its
recordings are written. At first it says only which slices train together: in another company they would come out
equal but for rounding. From then on it is replaced by a snapshot every few seconds of training.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

import numpy as np
import safetensors
import torch
from safetensors.numpy import load_file, save

from ilr.lab.store.writing import write_whole
from ilr.training.snapshots import Snapshot

FOLDER = "unfinished"

KEEP_EVERY = 5.0
"""Seconds of training between two snapshots, at least."""
WRITING_SHARE = 0.05
"""Of the time, that writing may take: large snapshots are rarer."""
KEEP_AT_LEAST_EVERY = 50.0
"""Seconds between two, however long writing takes: at most a minute of training is lost."""

UNREADABLE = (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError)
"""How the reading of a damaged file fails."""

_stopping = Event()


class StoppedError(BaseException):
    """The process was asked to stop, and has kept how far it is; no error that a job could end with."""


def stop() -> None:
    """Makes the job that this process trains keep how far it is, before its next step, and raise StoppedError."""
    _stopping.set()


def stopping() -> bool:
    """Whether this process was asked to stop."""
    return _stopping.is_set()


class Checkpoint:
    """How far one job is; the `Keeper` of its training.

    Args:
        root: of the store.
        places: of the job's keys in the store, in their order.
    """

    def __init__(self, root: Path, places: Sequence[Path]) -> None:
        self.places = [place.as_posix() for place in places]
        digest = hashlib.sha256("\n".join(self.places).encode()).hexdigest()
        self.path = root / FOLDER / f"{digest}.checkpoint"
        self._before = 0.0
        self._began = self._kept_at = time.monotonic()
        self._writing = 0.0
        self._workers = 0

    @property
    def seconds(self) -> float:
        """Of training: those before the snapshot that this process went on from, and since this object was made."""
        return self._before + time.monotonic() - self._began

    def begin(self, workers: int) -> None:
        """Notes that the job is to be trained, by so many workers; what an earlier run kept of it goes."""
        self._write({}, workers)

    def load(self) -> Snapshot | None:
        """The last snapshot; `None` where there is none, or it is damaged, or another version of torch made it."""
        try:
            about = About(self.path)
            self._workers = about.workers
            if not about.arrays or about.torch != str(torch.__version__):
                return None
            arrays = load_file(self.path)
            if _sha256(about.text, arrays) != about.sha256:
                return None
        except UNREADABLE:
            return None
        self._before = about.seconds
        return arrays

    def due(self) -> bool:
        """Whether the last one is long enough ago, or this process was asked to stop."""
        if stopping():
            return True
        pause = min(max(KEEP_EVERY, self._writing / WRITING_SHARE), KEEP_AT_LEAST_EVERY)
        return time.monotonic() - self._kept_at >= pause

    def keep(self, snapshot: Snapshot) -> None:
        """Writes a snapshot in place of the one before.

        Raises:
            StoppedError: it was due because this process was asked to stop.
        """
        started = time.monotonic()
        # Training can do without; where the disk is full, the recording will say so.
        with suppress(OSError, safetensors.SafetensorError):
            self._write(snapshot, self._workers)
        self._kept_at = time.monotonic()
        self._writing = self._kept_at - started
        if stopping():
            raise StoppedError

    def drop(self) -> None:
        """Removes it: the job has ended."""
        self.path.unlink(missing_ok=True)

    def _write(self, snapshot: Snapshot, workers: int) -> None:
        about = {
            "places": self.places,
            "seconds": self.seconds if snapshot else 0.0,
            "torch": str(torch.__version__),
            "workers": workers,
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in snapshot.items()}
        text = json.dumps(about)
        content = save(arrays, metadata={"about": text, "sha256": _sha256(text, arrays)})
        write_whole(self.path.parents[1], self.path, content)


class About:
    """What a checkpoint's file says of itself; its arrays are verified when they are read.

    Raises:
        UNREADABLE: it cannot be read, or does not lie where it should.
    """

    def __init__(self, path: Path) -> None:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            self.arrays = len(file.keys())
        self.text, self.sha256 = metadata["about"], metadata["sha256"]
        about = json.loads(self.text)
        self.places = tuple(Path(str(place)) for place in about["places"])
        self.seconds = float(about["seconds"])
        self.torch = str(about["torch"])
        self.workers = int(about["workers"])
        if Checkpoint(path.parents[1], self.places).path != path:
            raise ValueError(f"{path} is of another job")


def begun(root: Path, workers: int) -> Iterator[tuple[Path, ...]]:
    """The places of each job's keys that was to be trained, but has not ended, by so many workers, or is under way.

    With another number of workers what has not begun is better divided anew.
    """
    for path in sorted((root / FOLDER).glob("*.checkpoint")):
        with suppress(*UNREADABLE):
            about = About(path)
            if about.arrays or about.workers == workers:
                yield about.places


def tidy(root: Path) -> None:
    """Removes checkpoints of jobs whose recordings are all there, and those that nothing can be made of."""
    for path in (root / FOLDER).glob("*.checkpoint"):
        places: Sequence[Path] = ()
        with suppress(*UNREADABLE):
            places = About(path).places
        if all((root / place).is_file() for place in places):
            path.unlink(missing_ok=True)


def _sha256(about: str, arrays: Snapshot) -> str:
    """Of everything that is read of a file."""
    whole = hashlib.sha256(about.encode())
    for name, array in sorted(arrays.items()):
        whole.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        whole.update(array.reshape(-1).view(np.uint8).data)  # [byte]
    return whole.hexdigest()
