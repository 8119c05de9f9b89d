"""Leases: what one process trains no other trains, on this machine or on another that shares the store.

A lease is a lock of the system on a file in the store's folder `leases`. The system gives it back when its holder
ends, however that ends, so a dead process holds nothing and no clock has to be trusted.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ilr.lab.store.writing import StoreError, ToldError

FOLDER = "leases"


class LeasedError(ToldError):
    """Another process trains this; it may be asked for again later."""


@contextmanager
def leased(root: Path, places: Iterable[Path]) -> Iterator[None]:
    """Holds the leases of some places in a store, all of them or none.

    Raises:
        LeasedError: another process holds one of them.
        StoreError: a lease cannot be written.
    """
    with ExitStack() as held:
        # In one order for all processes: of several that want the same, one gets through.
        for place in sorted(places):
            held.enter_context(_lock(root, _file(root, place)))
        yield


def is_leased(root: Path, places: Iterable[Path]) -> bool:
    """Whether a process holds the lease of one of some places."""
    try:
        with leased(root, [place for place in places if _file(root, place).exists()]):
            return False
    except LeasedError:
        return True


def remove_abandoned(root: Path) -> None:
    """Removes the files of leases that nobody holds."""
    for path in (root / FOLDER).glob("*"):
        # One of another user, where the group may not write, is for him to remove.
        with suppress(LeasedError, StoreError), _lock(root, path):
            pass


def _file(root: Path, place: Path) -> Path:
    """Short: its name must fit wherever a recording's does."""
    return root / FOLDER / hashlib.sha256(place.as_posix().encode()).hexdigest()[:32]


@contextmanager
def _lock(root: Path, path: Path) -> Iterator[None]:
    """Holds a file, and removes it afterwards."""
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise LeasedError("another process trains it") from None
    except OSError as error:
        raise StoreError.of(root, error) from None
    try:
        yield
    finally:
        # Before it is given back: whoever takes a file that is gone notices, and takes the one that is there then.
        with suppress(OSError):
            path.unlink()
        lock.release()
