"""A folder of recordings and measurements, found again by what they are of, and verified whenever they are read.

A recording lies at `<root>/<digest of the experiment>/<digest of the key>.safetensors`. The key adds what else
decides the numbers: the code of the training path, the data, the kind of device. So an unchanged experiment is
never trained twice, and a changed one is never mistaken for it. A file that is not what was written under its name is
set aside, with a line that says why, and is as good as none: neither used nor fatal.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from ilr.experiments.recording import Array, Recording
from ilr.lab.store.keys import RECORDING, Key, changed_since, training_code_sha256
from ilr.lab.store.recording_file import DamagedError, Facts, check_forms, read_header, read_whole, to_bytes
from ilr.lab.store.writing import StoreError, write_whole

T = TypeVar("T")

MEASURED = "measured"
"""The folder of a store in which measurements of this and other machines lie."""

SET_ASIDE = "set-aside"
"""The folder of a store for files that are not what their names say."""


class Lookup(NamedTuple):
    """Whether there is a recording of a key."""

    facts: Facts | None
    """`None` where there is none."""
    reason: str
    """Why there is one or not, in a few words."""


class _Measured(msgspec.Struct, frozen=True):
    """What a file of a measurement holds."""

    what: str
    found: msgspec.Raw
    sha256: str
    """Of both."""


class Store:
    """A folder of recordings."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        """A line for each file that was found damaged."""

    def find(self, key: Key) -> tuple[Recording | None, str]:
        """The recording of a key, or `None`; and why it was found or not, in a few words."""

        def read(file: BinaryIO) -> Recording:
            header, arrays = read_whole(file.read())
            if header.key != key.text:
                raise DamagedError("it is the recording of something else")
            check_forms(header, key.experiment)
            return Recording(key.experiment, arrays)

        return self._read(key, read)

    def look_up(self, key: Key) -> Lookup:
        """Whether there is a recording of a key, and who made it, from its file's header alone."""

        def read(file: BinaryIO) -> Facts:
            header = read_header(file)
            if header.key != key.text:
                raise DamagedError("it is the recording of something else")
            check_forms(header, key.experiment)
            return header.facts

        return Lookup(*self._read(key, read))

    def save(self, key: Key, arrays: dict[str, Array], facts: Facts) -> None:
        """Writes a recording, with its facts in the header; a reader sees all of it or nothing.

        Raises:
            StoreError: it cannot be written.
            ValueError: the arrays are not those of the key's experiment.
        """
        content = to_bytes(key, arrays, facts)
        try:
            write_whole(self.root, self.root / key.place, content)
        except OSError as error:
            raise StoreError.of(self.root, error) from None

    def remember(self, what: str, measure: Callable[[], T], kind: type[T]) -> T:
        """What this version measured before under the description `what`, or measures now and keeps for next time.

        Args:
            what: everything that the measurement depends on but the training code, which is added here.
            measure: gives a value that msgspec can write.
            kind: its type; what was kept and is not of it counts as damaged.
        """
        # How fast the code is depends on the code.
        described = f"{what}; training code {training_code_sha256()}"
        path = self.root / MEASURED / f"{hashlib.sha256(described.encode()).hexdigest()}.json"
        try:
            with path.open("rb") as file:
                stamp, content = _stamp(file), file.read()
            return _measurement(content, described, kind)
        except DamagedError as error:
            self._set_aside(path, stamp, str(error))
        except OSError:  # there is none, or it is not ours to read
            pass
        found = measure()
        raw = msgspec.json.encode(found)
        kept = _Measured(described, msgspec.Raw(raw), _sha256_of_measurement(described, raw))
        # What cannot be kept is measured again next time.
        with suppress(OSError):
            write_whole(self.root, path, msgspec.json.encode(kept))
        return found

    def _read(self, key: Key, read: Callable[[BinaryIO], T]) -> tuple[T | None, str]:
        """What `read` makes of a key's file, or `None`; and why."""
        path = self.root / key.place
        if not os.path.lexists(path):
            return None, self._why_missing(key)
        try:
            # Neither a folder nor a pipe, which would have its reader wait.
            if not path.is_file():
                return None, self._set_aside(path, None, "it is no file")
            with path.open("rb") as file:
                stamp = _stamp(file)
                return read(file), "in the store"
        except DamagedError as error:
            return None, self._set_aside(path, stamp, str(error))
        except OSError as error:
            return None, f"its file cannot be read ({error.strerror or error})"

    def _set_aside(self, path: Path, stamp: tuple[int, int] | None, why: str) -> str:
        """Moves a damaged file out of the way, unless another process has just replaced it; the reason in words."""
        name = path.relative_to(self.root).as_posix()
        aside = self.root / SET_ASIDE / f"{name.replace('/', '-')}.damaged"
        try:
            if stamp is not None:
                with path.open("rb") as file:
                    if _stamp(file) != stamp:
                        return "never trained"
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
            where = f"set aside in {aside.parent}"
        except OSError as error:
            where = f"not used, and cannot be moved ({error.strerror or error})"
        self.notes.append(f"damaged in the store: {name}: {why}; {where}")
        return f"its file was damaged: {why}"

    def _why_missing(self, key: Key) -> str:
        """Compares a key that is not there with those of the same experiment that are."""
        for path in sorted((self.root / key.place).parent.glob(f"*{RECORDING}")):
            try:
                other = json.loads(recorded_key(path))
            except (OSError, DamagedError, ValueError):
                continue
            if isinstance(other, dict) and (changed := changed_since(key, other)):
                return f"{changed} changed since it was trained"
        return "never trained"


def recorded_key(path: Path) -> str:
    """The text of the key in the header of a recording's file.

    Raises:
        DamagedError: the header is not what was written.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return read_header(file).key


def check_measurement(path: Path, content: bytes) -> None:
    """Compares what stands in a measurement's file with its name and its checksum.

    Raises:
        DamagedError: it is not what was written under its name.
    """
    kept = _kept(content)
    if path.stem != hashlib.sha256(kept.what.encode()).hexdigest():
        raise DamagedError("it is the measurement of something else")


def _kept(content: bytes) -> _Measured:
    """What stands in a measurement's file, once it is known to be what was written."""
    try:
        kept = msgspec.json.decode(content, type=_Measured)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError(f"it is no measurement ({error})") from None
    if kept.sha256 != _sha256_of_measurement(kept.what, bytes(kept.found)):
        raise DamagedError("it is not as it was written")
    return kept


def _measurement(content: bytes, what: str, kind: type[T]) -> T:
    """What was measured.

    Raises:
        DamagedError: the file is not what was written.
    """
    kept = _kept(content)
    if kept.what != what:
        raise DamagedError("it is the measurement of something else")
    try:
        return msgspec.json.decode(bytes(kept.found), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError(f"it is no such measurement ({error})") from None


def _sha256_of_measurement(what: str, found: bytes) -> str:
    return hashlib.sha256(f"{what}\n".encode() + found).hexdigest()


def _stamp(file: BinaryIO) -> tuple[int, int]:
    """What tells a file from another that takes its name."""
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_mtime_ns
