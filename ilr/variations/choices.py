"""A choice as it is typed, `group:4` or `nets.py:VIT` or `mine.npz`, made into what an experiment takes."""

import math
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ilr.data.catalog import DATASETS, whole_info
from ilr.experiments.architectures import CNN, MLP, Net
from ilr.experiments.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm, Norm, WeightNorm
from ilr.experiments.optimizers import SGD, AdamW, Lion, Optimizer, SignSGD, gains
from ilr.experiments.own import LONGEST, check_told
from ilr.experiments.own_data import OwnData, npz
from ilr.fields import in_a_line, shown
from ilr.serialization import is_record

GROUPS = 2
"""Of group norm, unless a number is given: those of the claim on other normalisations, which fit every net of ours."""

NORMS = {
    "batch": BatchNorm(),
    "group": GroupNorm(GROUPS),
    "layer": LayerNorm(),
    "instance": InstanceNorm(),
    "weight": WeightNorm(),
    "none": NoNorm(),
}
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "adamw": AdamW(),
    "lion": Lion(),
    "signsgd": SignSGD(),
}
NETS = {"mlp": MLP, "cnn": CNN}

IN_A_FILE = "FILE.py:NAME of your own"


@dataclass(frozen=True)
class Choice:
    """What stands in place of a claim's own choice."""

    typed: str
    """As it was given."""
    value: Any
    """What an experiment's field takes."""

    def __str__(self) -> str:
        """As evidence may say it."""
        return without_folder(self.typed)


def without_folder(typed: str) -> str:
    """A path, or an option with one, as evidence may say it: DIR for a folder given in full, which a machine has.

    >>> without_folder("/home/me/rms.py:SAFE"), without_folder("--ignore=/home/me/b"), without_folder("claims")
    ('DIR/rms.py:SAFE', '--ignore=DIR/b', 'claims')
    """
    name, equals, text = typed.partition("=") if typed.startswith("-") else ("", "", typed)
    path = Path(text)
    return f"{name}{equals}DIR/{path.name}" if path.is_absolute() or text.startswith("~") else typed


def norm(typed: str) -> Choice:
    """A normalisation: `batch`, `group`, `group:4`, `layer`, `instance`, `weight`, `none`, or one of somebody's own.

    Raises:
        ValueError: it is none; the message says what is allowed.
    """
    name, _, groups = typed.partition(":")
    if is_in_a_file(typed):
        return Choice(typed, from_file(typed, Norm, "a norm"))
    if name == "group" and groups:
        return Choice(typed, GroupNorm(_counts(groups, typed)[0]))
    if typed not in NORMS:
        raise ValueError(f"choose from {', '.join(NORMS)}, group:4 for other groups than {GROUPS}, or {IN_A_FILE}")
    return Choice(typed, NORMS[typed])


def net(typed: str) -> Choice:
    """A net: `mlp` or `cnn`, with widths as in `mlp:64-64` or their own, or one of somebody's own.

    Raises:
        ValueError: it is none; the message says what is allowed.
    """
    name, _, widths = typed.partition(":")
    if is_in_a_file(typed):
        return Choice(typed, from_file(typed, Net, "a net"))
    if name not in NETS:
        raise ValueError(f"choose from {', '.join(NETS)}, with widths as in mlp:64-64, or {IN_A_FILE}")
    kind = NETS[name]
    return Choice(typed, kind(_counts(widths, typed)) if widths else kind())


def data(typed: str) -> Choice:
    """A data set: an `.npz` file, one of the catalogue by its name, or one of somebody's own.

    Raises:
        ValueError: it is none, or not as it must be; the message says what is allowed.
    """
    if typed in DATASETS:
        return Choice(typed, typed)
    if is_in_a_file(typed):
        value: Any = from_file(typed, OwnData, "a data set")
    elif typed.endswith(".npz"):
        value = npz(typed)
    else:
        raise ValueError(f"choose from {', '.join(DATASETS)}, a FILE.npz, or {IN_A_FILE}")
    whole_info(value)
    return Choice(typed, value)


def optimizer(typed: str) -> Choice:
    """An optimiser: `sgd`, `momentum` (0.9), `nesterov`, `adamw`, `lion`, `signsgd`, or one of somebody's own.

    Raises:
        ValueError: it is none; the message says what is allowed.
    """
    if is_in_a_file(typed):
        of_ones_own: Optimizer = from_file(typed, Optimizer, "an optimiser")
        gains(of_ones_own)  # which decide the learning rates it is tried at
        return Choice(typed, of_ones_own)
    if typed not in OPTIMIZERS:
        raise ValueError(f"choose from {', '.join(OPTIMIZERS)}, or {IN_A_FILE}")
    return Choice(typed, OPTIMIZERS[typed])


def momentum(typed: str) -> Choice:
    """A momentum β.

    Raises:
        ValueError: it is no number, or none that momentum may be.
    """
    try:
        value = float(typed)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise ValueError("must be a number, 0 or more and below 1")
    return Choice(typed, value)


def is_in_a_file(typed: str) -> bool:
    """Whether a choice is named by the file that defines it."""
    return typed.endswith(".py") or typed.rpartition(":")[0].endswith(".py")


def from_file(typed: str, kind: type, what: str) -> Any:
    """What a file of Python calls by some name, as `nets.py:VIT`.

    Args:
        typed: the file, and behind a colon the name.
        kind: that it must be of.
        what: that is in words.

    Raises:
        ValueError: there is no such file or name, it cannot be imported, or it is something else.
    """
    file, _, name = (typed, "", "") if typed.endswith(".py") else typed.rpartition(":")
    module = imported(file)
    if not hasattr(module, name):
        there = [one for one, value in vars(module).items() if _is_of(value, kind, module)]
        fault = f"{file} has no {name!r}" if name else "a record's name is missing"
        choose = " or ".join(f"{file}:{one}" for one in there)
        raise ValueError(f"{fault}: give {choose}" if there else f"{fault}, and {file} has no record that is {what}")
    value = getattr(module, name)
    try:
        # A record that needs nothing may be named by its class.
        value = value() if isinstance(value, type) else value
    except (Exception, SystemExit) as error:  # whatever a stranger's class raises, the answer is one line
        raise ValueError(f"{typed} cannot be built: {type(error).__name__}: {in_a_line(str(error), LONGEST)}") from None
    if not isinstance(value, kind) or not is_record(value):
        raise ValueError(f"{typed} is {shown(value)}, and must be {what}: a record that is an ilr.{kind.__name__}")
    check_told(value)
    return value


def _is_of(value: Any, kind: type, module: ModuleType) -> bool:
    """Whether a value of a module is a record of a kind, or a class of such that it defines."""
    if isinstance(value, type):
        return issubclass(value, kind) and value.__module__ == module.__name__ and "__dataclass_fields__" in vars(value)
    return isinstance(value, kind) and is_record(value)


def imported(file: str) -> ModuleType:
    """A file of Python as a module that worker processes find, too, by its name.

    Raises:
        ValueError: there is no such file, or it cannot be imported.
    """
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise ValueError(f"{file} is no file")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        module = import_module(path.stem)
    except (Exception, SystemExit) as error:  # whatever a stranger's file raises, the answer is one line
        raise ValueError(
            f"{file} cannot be imported: {type(error).__name__}: {in_a_line(str(error), LONGEST)}"
        ) from None
    if Path(str(module.__file__)) != path:
        raise ValueError(f"{file} is called as {module.__file__}, which is imported already: rename it")
    return module


def _counts(text: str, typed: str) -> tuple[int, ...]:
    """Numbers joined by hyphens."""
    parts = text.split("-")
    if not all(part.isdecimal() and int(part[:9]) > 0 and len(part) < 9 for part in parts):
        raise ValueError(f"{typed}: {text!r} must be whole numbers, 1 or more, joined by hyphens")
    return tuple(int(part) for part in parts)
