"""The command line's options, checked: a bad value gives one line with the option, the value and what is allowed."""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from ilr.trials.scales import SCALES, Scale

T = TypeVar("T")

ENGINES = ("processes", "in-process")

EXCLUSIVE = ("--plan", "--rehearse", "--no-train", "--refresh")
"""At most one of these can be given."""


class BadOptionError(Exception):
    """A value that an option does not take; the message is the line for the user."""


@dataclass(frozen=True)
class Options:
    """The options of one run, checked."""

    scale: Scale
    seed: int
    replicas: int | None
    """Overrides every claim's number of replicas per group."""
    device: str | None
    """A torch device; `None` takes the GPU where there is one."""
    engine: str
    workers: int | None
    data_root: Path | None
    store: Path
    report: Path | None
    """Folder of the report; `None` is reports/<scale>."""
    train: bool
    refresh: bool
    plan: bool
    """Say what a run would cost, and run nothing."""
    rehearse: bool
    """Run everything in small, and judge nothing."""
    allow_inconclusive: bool
    selected: tuple[str, ...] = ()
    """Paths, -k and -m, which chose among the claims, as they were given."""


def check(given: argparse.Namespace) -> Options:
    """The options as given on the command line, checked and converted.

    Raises:
        BadOptionError: a value is not allowed.
    """
    chosen = [option for option in EXCLUSIVE if getattr(given, option[2:].replace("-", "_"))]
    if len(chosen) > 1:
        raise BadOptionError(f"{chosen[0]} and {chosen[1]} contradict each other: give one of them")
    scale: Scale = _choice("--scale", given.scale, SCALES)
    return Options(
        scale=scale,
        seed=_whole("--seed", given.seed, 0),
        replicas=None if given.replicas is None else _whole("--replicas", given.replicas, 2),
        device=None if given.device is None else _device(given.device),
        engine=_choice("--engine", given.engine, ENGINES),
        workers=None if given.workers is None else _whole("--workers", given.workers, 1),
        data_root=None if given.data_root is None else _folder("--data-root", given.data_root),
        store=Path(user_cache_path("ilr") if given.store is None else _place("--store", given.store)),
        report=None if given.report is None else _place("--report", given.report),
        train=not given.no_train,
        refresh=given.refresh,
        plan=given.plan,
        rehearse=given.rehearse,
        allow_inconclusive=given.allow_inconclusive,
        selected=_selected(given),
    )


def _selected(given: argparse.Namespace) -> tuple[str, ...]:
    # With --help pytest stops before it has read any paths.
    selected = list(getattr(given, "file_or_dir", ()))
    for option, expression in (("-k", given.keyword), ("-m", given.markexpr)):
        if expression:
            selected += [option, expression]
    return tuple(selected)


def _choice(option: str, value: str, allowed: tuple[T, ...]) -> T:
    for choice in allowed:
        if value == choice:
            return choice
    raise BadOptionError(f"{option}={value}: choose from {', '.join(map(str, allowed))}")


def _whole(option: str, value: str, least: int) -> int:
    complaint = f"{option}={value}: must be a whole number, {least} or more"
    try:
        number = int(value)
    except ValueError:
        raise BadOptionError(complaint) from None
    if number < least:
        raise BadOptionError(complaint)
    return number


def _folder(option: str, value: str) -> Path:
    if not Path(value).is_dir():
        raise BadOptionError(f"{option}={value}: must be an existing folder that holds the data sets' files")
    return Path(value).resolve()


def _place(option: str, value: str) -> Path:
    """A folder that exists or can be made."""
    path = Path(value).resolve()
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        # Trying beats asking: permissions tell root nothing about /proc or a read-only disk.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError:
        raise BadOptionError(f"{option}={value}: must be a folder that can be written, and {nearest} is not") from None
    return path


def _device(value: str) -> str:
    # Here, because the import takes seconds and most runs leave the device to us.
    import torch

    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if value not in available and not (value == "cuda" and len(available) > 1):
        raise BadOptionError(f"--device={value}: this machine has {', '.join(available)}")
    return value
