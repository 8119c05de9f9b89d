"""Files written whole or not at all, with the modes that the umask gives; and what killed writers leave behind."""

import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PARTIAL = "partial"
"""The folder of a store in which files lie while they are written."""

ABANDONED_AFTER = 86_400.0
"""Seconds after which a file that another machine has begun counts as left behind."""

SPARE_BYTES = 2**24
"""Room on the disk beyond what is needed: for headers, folders and whatever else is written meanwhile."""


class ToldError(Exception):
    """An error that is known again where a job's error is told as text, which begins with the error's name."""

    @classmethod
    def is_told_by(cls, text: str) -> bool:
        """Whether the text of a job's error tells of this one."""
        return text.startswith(f"{cls.__name__}: ")


class StoreError(ToldError):
    """The store cannot be written; in one line. No training helps against it, nor training again."""

    @classmethod
    def of(cls, root: Path, error: OSError) -> "StoreError":
        """What an error of the system means for a store."""
        return cls(f"the store {root} cannot be written: {error.strerror or error}")


def write_whole(root: Path, path: Path, content: bytes) -> None:
    """Writes a file of a store; a reader sees all of it or nothing, and it has the mode that the umask gives.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Within one store, so on one disk: there a file takes another's place in one step.
    temporary = _temporary(root)
    try:
        # By `open`, not by a library that makes its files private: a store may be shared by a group.
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def check_room(root: Path, needed: int) -> None:
    """Refuses a store that cannot be written, or whose disk has too little room.

    Args:
        root: of the store; it is made if it is not there.
        needed: bytes.

    Raises:
        StoreError: as said.
    """
    from ilr.report.numbers import size

    try:
        # Trying beats asking: permissions tell root nothing about a disk that is read-only.
        trial = _temporary(root)
        trial.touch()
        trial.unlink()
        free = shutil.disk_usage(root).free
    except OSError as error:
        raise StoreError.of(root, error) from None
    if needed + SPARE_BYTES > free:
        raise StoreError(
            f"the store {root} has no room for what is to be trained: that takes about {size(needed)}, and its disk "
            f"has {size(free)} left; `python -m ilr store gc` makes room, --store=DIR takes another folder"
        )


def _temporary(root: Path) -> Path:
    """A place for a file of this process that is not yet whole; its name is what `leftovers` knows its writer by."""
    folder = root / PARTIAL
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"


def leftovers(root: Path) -> Iterator[Path]:
    """Files that writers which do not live any more have begun and not ended."""
    here = platform.node()
    for path in sorted((root / PARTIAL).glob("*")):
        try:
            age = time.time() - path.stat().st_mtime
        except OSError:  # it has just been ended
            continue
        machine, _, rest = path.name.rpartition("-")[0].rpartition("-")
        if age > ABANDONED_AFTER or (machine == here and rest.isdecimal() and not lives(int(rest))):
            yield path


def lives(process: int) -> bool:
    """Whether a process of this machine lives; where it cannot be asked without harm (Windows), it does."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
