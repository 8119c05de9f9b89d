"""What this process may take of the machine: CPU cores and memory, as far as the system, or a container, says so."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

UNREADABLE = (OSError, ValueError)
"""How a file of the system's fails that is not there, or not of the form that is known."""


def cpu_cores(root: Path = Path("/")) -> int:
    """CPU cores that this process may use: those it is bound to (Linux), or all; and no more than a container's quota.

    Args:
        root: of the file system, for tests.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Of a quota of 2.5 cores two are kept busy: a third worker would only slow them down.
    return max(int(min(cores, _quota(root))), 1)


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that are free, or that caches would make free; `None` where the system does not say.

    Args:
        root: of the file system, for tests.
    """
    found = [free for free in (_free(root), *_free_in_groups(root)) if free is not None]
    if found:
        return max(min(found), 0)
    try:
        # Of macOS all there is, of which nobody says in a file how much is free.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _quota(root: Path) -> float:
    """CPU cores' worth of time that control groups grant, version 2 or 1; infinite without a limit."""
    quotas = [math.inf]
    for group in _groups(root, "cpu"):
        try:
            quota, period = (group / "cpu.max").read_text().split()
        except UNREADABLE:
            try:
                quota = (group / "cpu.cfs_quota_us").read_text().strip()
                period = (group / "cpu.cfs_period_us").read_text().strip()
            except UNREADABLE:
                continue
        try:
            if float(quota) > 0:
                quotas.append(float(quota) / float(period))
        except (ValueError, ZeroDivisionError):  # "max"
            continue
    return min(quotas)


def _free(root: Path) -> int | None:
    """Linux' own estimate of what a new process can have without swapping."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (*UNREADABLE, StopIteration, IndexError):
        return None


def _free_in_groups(root: Path) -> Iterator[int]:
    """What the limits of control groups leave."""
    for group in _groups(root, "memory"):
        for most, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                limit, taken = int((group / most).read_text()), int((group / used).read_text())
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                yield limit - taken + int(stat.get(cached, 0))
            except UNREADABLE:  # "max", or the other version
                continue


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process' control groups, from its own one up."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except UNREADABLE:
        return
    for line in lines:
        _, controllers, place = (*line.split(":", 2), "", "")[:3]
        base = root / "sys/fs/cgroup"
        if controllers:
            if controller not in controllers.split(","):
                continue
            base /= controller
        group = base / place.lstrip("/")
        # In a container the group's own folder is often the outermost one, whatever its name outside.
        yield from dict.fromkeys((group, *(one for one in group.parents if one.is_relative_to(base)), base))
