"""What a run asks of its own process: to end on SIGTERM as on Ctrl-C, and to write on any terminal."""

import io
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends what runs within as Ctrl-C does: so workers are ended, and what is kept is said."""
    # Only the main thread may handle signals; whoever runs pytest in another decides about them.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def replace_unprintable() -> None:
    """Makes standard output write "?" for what its encoding lacks, such as λ in ASCII, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
