"""What a process may take of a machine: bound to cores, held by a container, or on a system that says nothing."""

import os
from pathlib import Path

import pytest

from ilr.lab.limits import available_memory, cpu_cores


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty file system, on a machine with eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8), ("nonsense", 8), ("", 8)],
)
def test_a_quota_of_cores_is_respected(files: Path, quota: str, cores: int) -> None:
    write(files, proc__self__cgroup="0::/pod\n", sys__fs__cgroup__cpu_dot_max=quota)
    assert cpu_cores(files) == cores


def test_the_narrowest_of_nested_groups_counts(files: Path) -> None:
    write(files, proc__self__cgroup="0::/a/b\n", sys__fs__cgroup__a__b__cpu_dot_max="max 100000")
    write(files, sys__fs__cgroup__a__cpu_dot_max="300000 100000")
    assert cpu_cores(files) == 3


def test_version_1_is_respected(files: Path) -> None:
    folder = "sys__fs__cgroup__cpu,cpuacct__"
    write(files, proc__self__cgroup="4:cpu,cpuacct:/\n3:memory:/\n")
    (files / "sys/fs/cgroup/cpu").mkdir(parents=True)
    (files / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").write_text("400000")
    (files / "sys/fs/cgroup/cpu/cpu.cfs_period_us").write_text("100000")
    assert cpu_cores(files) == 4, folder


def test_without_a_word_of_the_system_all_cores_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu_cores(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_cores(tmp_path) == 1


def test_memory_is_what_is_free_or_what_a_container_leaves(files: Path) -> None:
    write(files, proc__meminfo="MemTotal: 16 kB\nMemAvailable:       8 kB\n")
    assert available_memory(files) == 8192
    write(files, proc__self__cgroup="0::/pod\n", sys__fs__cgroup__memory_dot_max="6000")
    write(files, sys__fs__cgroup__memory_dot_current="5000", sys__fs__cgroup__memory_dot_stat="inactive_file 2000\n")
    assert available_memory(files) == 3000


def test_memory_of_a_system_that_has_no_such_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (available_memory(tmp_path) or 0) > 0
    monkeypatch.delattr(os, "sysconf")
    assert available_memory(tmp_path) is None
