"""The command line's options, checked: a bad value gives one line with the option, the value and what is allowed."""

import argparse
import os.path
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

from platformdirs import user_cache_path

from ilr.experiments.experiment import LOW, Precision
from ilr.fields import in_a_line
from ilr.trials.claim import MOST_REPLICAS
from ilr.trials.scales import SCALES, Scale
from ilr.variations import choices
from ilr.variations.choices import Choice
from ilr.variations.variation import AXES, Variation

LONGEST_NUMBER = 4000
"""Digits that Python reads."""

LONGEST_REASON = 500
"""Characters."""

LARGEST_SEED = 2**63 - 1
"""What any program that reads a report takes for a whole number."""

MOST_WORKERS, MOST_GPUS, LONGEST_TASK = 10_000, 1_000, 366 * 24 * 60
"""Of a cluster: its tasks, the GPUs and the minutes of a task."""

WORKERS_PER_CORE = 4
"""More only take memory from each other."""

Check = Callable[[str], Any]
"""Makes of what was typed what the option means; raises a ValueError that says what is allowed."""


class BadOptionError(Exception):
    """A value that an option does not take; the message is the line for the user."""


def expanded(path: str) -> Path:
    """A path as it was typed, with the user's home for `~`, which no shell fills in within --option=~/folder."""
    # pathlib's own raises where there is no such user; a shell leaves such a name as it is.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _one_of(*allowed: str) -> Check:
    def check(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"choose from {', '.join(allowed)}")
        return value

    return check


def _whole(least: int, most: int) -> Check:
    def check(value: str) -> int:
        # Every `least` is 0 or more, so a sign is none of the characters allowed.
        if not value.isdecimal() or len(value) > LONGEST_NUMBER or int(value) < least:
            raise ValueError(f"must be a whole number, {least} or more")
        if int(value) > most:
            raise ValueError(f"must be {most} or less")
        return int(value)

    return check


def _engine(value: str) -> str:
    _one_of(*ENGINES)(value)
    if value == "slurm":
        from ilr.lab.engines.slurm import unavailable

        if reason := unavailable():
            raise ValueError(reason)
    return value


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must be some text")
    return value


def _settings(values: list[str]) -> tuple[tuple[str, str], ...]:
    settings = []
    for value in values:
        name, _, text = value.lstrip("-").partition("=")
        if not re.fullmatch(r"[a-z][a-z-]*", name) or not text.isprintable():
            raise ValueError("must be an option of sbatch as name=value, such as qos=low or mem=8G")
        settings.append((name, text))
    return tuple(settings)


def _device(value: str) -> str:
    # Here, because the import takes seconds and most runs leave the device to us.
    import torch

    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if value not in available and not (value == "cuda" and len(available) > 1):
        raise ValueError(f"this machine has {', '.join(available)}")
    return value


def _data_folder(value: str) -> Path:
    path = expanded(value)
    if not value or not path.is_dir():
        raise ValueError("must be an existing folder that holds the data sets' files")
    return path.resolve()


def _report(value: str) -> Path:
    """A folder with a report, read now: the run may replace it, and should not train before it says that it cannot."""
    from ilr.report.files import read_evidence

    path = expanded(value).resolve()
    read_evidence(path)
    return path


def _store(value: str) -> Path:
    """A folder of recordings: one that can be read serves whoever trains nothing; training asks for more."""
    path = _folder(value)
    try:
        if path.is_dir():
            next(path.iterdir(), None)
            return path
    except OSError:
        raise ValueError("must be a folder that can be read") from None
    return _writable(value)


def _folder(value: str) -> Path:
    path = expanded(value)
    if not value or path.parts[:1] == ("~",):
        raise ValueError("must be a folder, and there is no home to look for it in")
    return path.resolve()


def _writable(value: str) -> Path:
    """A folder that exists or can be made."""
    path = _folder(value)
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        # Trying beats asking: permissions tell root nothing about /proc or a read-only disk.
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError:
        raise ValueError(f"must be a folder that can be written, and {nearest} is not") from None
    return path


class Option(NamedTuple):
    """What the command line knows of one option."""

    help: str
    check: Check = bool
    """With `bool`, it takes no value."""
    typed: str = ""
    """How it is typed, where its name does not say."""
    repeated: bool = False
    """Whether it may be given several times; its check takes all the values."""


def _cache() -> Path:
    """In the user's cache; where nobody knows a home, below a `~` that is left, and refused when it is to be used."""
    try:
        return expanded(str(user_cache_path("ilr")))
    except RuntimeError:
        return Path("~/.cache/ilr")


CACHE = _cache()
"""Where recordings are kept unless an option says otherwise."""

ENGINES = ("processes", "in-process", "slurm")

ARITHMETIC: tuple[Precision, ...] = ("float32", *LOW)

EXCLUSIVE = ("plan", "plan_json", "rehearse", "no_train", "refresh")
"""At most one of these can be given."""


@dataclass(frozen=True)
class Options:
    """The options of one run, checked.

    Each is a row: its name (`no_train` is typed `--no-train`), type, help, check, and value where it is not given.
    """

    scale: Annotated[Scale, Option("size of nets and data: tiny (default), reduced or full", _one_of(*SCALES))] = "tiny"
    seed: Annotated[int, Option("root seed of every replica (default: 0)", _whole(0, LARGEST_SEED))] = 0
    replicas: Annotated[
        int | None, Option("replicas per group, in place of each claim's own number", _whole(2, MOST_REPLICAS))
    ] = None
    literal: Annotated[
        bool, Option("at full: train for the lengths that the paper states, where theory needs less")
    ] = False
    norm: Annotated[Choice | None, Option("another norm than the claims' own", choices.norm)] = None
    net: Annotated[Choice | None, Option("another net than the claims' own", choices.net)] = None
    data: Annotated[Choice | None, Option("other data: a name, FILE.npz, FILE.py:NAME", choices.data)] = None
    optimizer: Annotated[Choice | None, Option("another optimiser than the claims' own", choices.optimizer)] = None
    momentum: Annotated[Choice | None, Option("another momentum β, at the same λₑ: η × (1 − β)", choices.momentum)] = (
        None
    )
    device: Annotated[
        str | None, Option("torch device: cpu, cuda:0, cuda (default: cpu at tiny, else all GPUs, if any)", _device)
    ] = None
    arithmetic: Annotated[
        Precision, Option("products of float32 nets on GPUs: float32 (default), tf32 or bfloat16", _one_of(*ARITHMETIC))
    ] = "float32"
    engine: Annotated[str, Option("who trains: processes (default), in-process or slurm", _engine)] = "processes"
    workers: Annotated[
        int | None,
        Option("worker processes (default: one per GPU or CPU core), or Slurm tasks (16)", _whole(1, MOST_WORKERS)),
    ] = None
    slurm_partition: Annotated[str | None, Option("partition of the cluster (default: its own)", _text)] = None
    slurm_account: Annotated[str | None, Option("account that the cluster charges", _text)] = None
    slurm_time: Annotated[
        int,
        Option(
            "minutes until a Slurm task is put in the queue again, to go on there (default: 60)",
            _whole(3, LONGEST_TASK),
        ),
    ] = 60
    slurm_gpus: Annotated[
        int, Option("GPUs per Slurm task (default: 0, which trains on CPUs)", _whole(0, MOST_GPUS))
    ] = 0
    slurm_option: Annotated[
        tuple[tuple[str, str], ...],
        Option("another option of sbatch, as name=value; can be repeated", _settings, repeated=True),
    ] = ()
    slurm_python: Annotated[
        str | None, Option("command that starts Python on the nodes, such as in a container", _text)
    ] = None
    data_root: Annotated[Path | None, Option("folder of data sets that come with no package", _data_folder)] = None
    store: Annotated[Path, Option("folder of recordings (default: the user's cache)", _store)] = CACHE
    report: Annotated[Path | None, Option("folder of the report (default: reports/<scale>)", _writable)] = None
    compare: Annotated[Path | None, Option("at the end, compare with the report in a folder", _report)] = None
    plan: Annotated[bool, Option("say what a run would cost, on GPUs too; train nothing")] = False
    # No value of --plan: `pytest --plan claims` would take the folder for it.
    plan_json: Annotated[bool, Option("the same as JSON on standard output", typed="--plan=json")] = False
    rehearse: Annotated[bool, Option("train a few steps of everything at true shapes, for no verdict")] = False
    no_train: Annotated[bool, Option("judge what the store has; train nothing")] = False
    refresh: Annotated[bool, Option("train again what the store has")] = False
    allow_inconclusive: Annotated[bool, Option("do not let an INCONCLUSIVE claim fail the run")] = False
    selected: tuple[str, ...] = ()
    """Paths, -k, -m and the like, which chose among the claims, as they were given: pytest's own, no rows."""

    @property
    def variation(self) -> Variation:
        """What stands in place of the claims' own choices."""
        return Variation({name: getattr(self, name) for name in AXES if getattr(self, name) is not None})


def table() -> dict[str, Option]:
    """Every option by its field of `Options`, in order."""
    hints = get_type_hints(Options, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def flag(name: str) -> str:
    """An option as it is typed, by its field of `Options`: "--no-train" for "no_train"."""
    return table()[name].typed or f"--{name.replace('_', '-')}"


def check(given: argparse.Namespace) -> Options:
    """The options as given on the command line, checked and converted.

    Raises:
        BadOptionError: a value is not allowed, or two options contradict each other.
    """
    alone = [flag(name) for name in EXCLUSIVE if getattr(given, name)]
    if len(alone) > 1:
        raise BadOptionError(f"{alone[0]} and {alone[1]} contradict each other: give one of them")
    checked: dict[str, Any] = {}
    for name, option in table().items():
        value = getattr(given, name)
        # What is not given keeps its field's default, unchecked: the check of a folder writes into it.
        if value is not None:
            try:
                checked[name] = option.check(value)
            except (OSError, ValueError) as error:
                shown = " ".join(value) if option.repeated else value
                raise BadOptionError(f"{flag(name)}={in_a_line(shown)}: {_reason(error)}") from None
    options = Options(**checked, selected=_selected(given))
    if options.literal and options.scale != "full":
        raise BadOptionError(f"--literal is for --scale=full: at {options.scale} no claim has the paper's lengths")
    _check_together(options)
    _check_workers(options)
    return options


def _check_together(options: Options) -> None:
    """Refuses what only another engine could follow."""
    if options.engine == "slurm":
        if options.device not in (None, "cpu"):
            raise BadOptionError(f"--device={options.device}: with --engine=slurm it follows from --slurm-gpus")
        return
    for name in table():
        if name.startswith("slurm_") and getattr(options, name) != getattr(Options, name):
            raise BadOptionError(f"{flag(name)} is for --engine=slurm")


def _reason(error: Exception) -> str:
    """Why a value is not taken, in one line; of what the system says, without the path, which stands before it."""
    return in_a_line(error.strerror or "" if isinstance(error, OSError) else str(error), LONGEST_REASON)


def _check_workers(options: Options) -> None:
    """Refuses more worker processes than this machine could ever keep busy."""
    # Elsewhere than here they are another machine's.
    if options.workers is None or options.engine not in ("processes", "in-process"):
        return
    from ilr.lab.limits import cpu_cores

    cores = cpu_cores()
    if options.workers > WORKERS_PER_CORE * cores:
        raise BadOptionError(
            f"--workers={options.workers}: must be {WORKERS_PER_CORE * cores} or less, "
            f"{WORKERS_PER_CORE} for each CPU core that may be used here ({cores})"
        )


def check_default(name: str, path: Path) -> None:
    """Checks the folder that is taken where an option is not given, as a given one is checked.

    Raises:
        BadOptionError: it would not be taken.
    """
    try:
        table()[name].check(str(path))
    except (OSError, ValueError) as error:
        raise BadOptionError(f"{flag(name)}, which is {path} unless you give another: {_reason(error)}") from None


def _selected(given: argparse.Namespace) -> tuple[str, ...]:
    # With --help pytest stops before it has read any paths.
    selected = list(getattr(given, "file_or_dir", None) or ())
    for option, name in (("-k", "keyword"), ("-m", "markexpr")):
        if expression := getattr(given, name, ""):
            selected += [option, expression]
    for option, name in (("--deselect", "deselect"), ("--ignore", "ignore"), ("--ignore-glob", "ignore_glob")):
        selected += [f"{option}={path}" for path in getattr(given, name, None) or ()]
    if getattr(given, "lf", False):
        selected.append("--last-failed")
    return tuple(selected)
