"""How many CPU cores there are for us."""

import os


def cpu_cores() -> int:
    """CPU cores that this process may use: where the system does not say which (macOS, Windows), all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
