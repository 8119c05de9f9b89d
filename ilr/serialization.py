"""Frozen records: plain data that can be hashed, written as JSON and read back.

Everything a verdict depends on (experiments, schedules, claims, findings) is a record. A record is a frozen
dataclass whose fields hold numbers, strings, `None`, tuples, `range`s, enums of strings or further records, so it
has one canonical JSON text and therefore one digest.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

from ilr.fields import fit_fields, is_ilrs, shown, where

T = TypeVar("T")

VALUES = bool, int, float, str, tuple, list, dict, set
"""What an attribute of a class holds that was meant as a field."""

_RECORDS: dict[str, type] = {}
TOLD = {"Claim": ("question", "differs"), "NpzFile": ("path",)}
"""Fields that tell of a record and decide nothing: they are no part of its digest, so their words may be mended."""


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass that `to_json` and `from_json` know by its name.

    Each field is held to its annotation when a record is built, before a `__post_init__` of the class's own: a
    ValueError with one line says which field has which value, and what is allowed.

    Raises:
        ValueError: another record of the same name exists, or an attribute was meant as a field.
    """
    _check_attributes(cls)
    own: Callable[[Any], None] | None = getattr(cls, "__post_init__", None)

    def check(self: Any) -> None:
        fit_fields(self)
        if not is_ilrs(type(self)):
            _check_kept(self)
        if own is not None:
            own(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
    frozen = dataclass(frozen=True)(cls)
    if _RECORDS.setdefault(cls.__name__, frozen).__module__ != cls.__module__:
        raise ValueError(
            f"two records are called {cls.__name__}: in {_RECORDS[cls.__name__].__module__} and {cls.__module__}; "
            f"rename that of {cls.__module__}"
        )
    return frozen


def _check_attributes(cls: type) -> None:
    """Refuses `gain = 2.0` in a class of somebody's own, which no instance could have otherwise.

    Constants are written in capitals, or with an underscore before them.

    Raises:
        ValueError: there is such an attribute.
    """
    if is_ilrs(cls):
        return
    for name, value in vars(cls).items():
        is_meant = not (name.startswith("_") or name.isupper() or name in inspect.get_annotations(cls))
        if is_meant and isinstance(value, VALUES):
            kind = type(value).__name__
            raise ValueError(f"{where(cls)}: {name}={shown(value)} is no field: write {name}: {kind} = {shown(value)}")


def _check_kept(value: Any) -> None:
    """Holds the fields of a record of somebody's own to what can be written down and compared.

    Raises:
        ValueError: one holds something else; in one line.
    """
    for field in fields(value):
        held = getattr(value, field.name)
        place = f"{where(type(value))}: {field.name}="
        try:
            to_json(held, place)
        except TypeError as error:
            raise ValueError(str(error)) from None
        try:
            hash(held)
        except TypeError:  # a list, here or within
            raise ValueError(f"{place}{shown(held)} must be a tuple, which nothing changes later") from None


def is_record(value: Any) -> bool:
    """Whether the class of a value is a record itself; one that only inherits from a record is none."""
    return "__dataclass_fields__" in vars(type(value)) and type(value).__name__ in _RECORDS


def to_json(value: Any, place: str = "") -> Any:
    """The JSON form of a record (or of a value a record may hold).

    Args:
        value: the record.
        place: where it stands, for the error: "Experiment: norm=".

    Raises:
        TypeError: the value is not something a record may hold; in one line.
    """
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case range():
            return {"record": "range", "start": value.start, "stop": value.stop, "step": value.step}
        case tuple() | list():
            return [to_json(item, place) for item in value]
        case _ if is_dataclass(value) and type(value).__name__ in _RECORDS:
            within = where(type(value))
            return {"record": type(value).__name__} | {
                f.name: to_json(getattr(value, f.name), f"{within}: {f.name}=") for f in fields(value)
            }
    kind = type(value)
    if kind.__module__.partition(".")[0] in ("builtins", "numpy", "torch"):
        allowed = "it holds numbers, texts, None, tuples and records"
        raise TypeError(f"{place}{shown(value)} of the type {kind.__name__} is nothing that a record holds: {allowed}")
    raise TypeError(f"{place}{shown(value)} must be a record: put @ilr.record above the class ({where(kind)})")


def from_json(value: Any) -> Any:
    """The record a JSON form was made from; lists come back as tuples.

    Raises:
        ValueError: the JSON names a record that does not exist, or fields it does not have.
    """
    match value:
        case list():
            return tuple(from_json(item) for item in value)
        case {"record": "range", "start": int(start), "stop": int(stop), "step": int(step)}:
            return range(start, stop, step)
        case {"record": str(name), **given}:
            make: Callable[..., Any] | None = _RECORDS.get(name)
            if make is None:
                raise ValueError(f"unknown record {name!r}")
            try:
                return make(**{str(field): from_json(item) for field, item in given.items()})
            except TypeError as error:
                raise ValueError(f"record {name!r}: {error}") from None
    return value


def canonical(value: Any) -> str:
    """The one JSON text of what decides in a record: sorted keys, no spaces, no NaN, the same for 1 and 1.0."""
    return canonical_json(decisive(to_json(value)))


def canonical_json(value: Any) -> str:
    """The same of JSON that holds no field that only tells."""
    return json.dumps(_whole_as_int(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def decisive(value: Any) -> Any:
    """The JSON form of a record without the fields that only tell of it."""
    match value:
        case list():
            return [decisive(item) for item in value]
        case dict():
            told = TOLD.get(str(value.get("record")), ())
            return {name: decisive(item) for name, item in value.items() if name not in told}
    return value


def digest(value: Any) -> str:
    """sha256 of a record's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _whole_as_int(value: Any) -> Any:
    """Records that are equal in Python must have one digest, whichever way a whole number was written."""
    match value:
        case dict():
            return {name: _whole_as_int(item) for name, item in value.items()}
        case list():
            return [_whole_as_int(item) for item in value]
        case float() if value.is_integer():
            return int(value)
    return value


def differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """What differs between the JSON forms of two records, a line a field: "replicas.tiny: 12 → 16".

    Args:
        before: what stands left of the arrow.
        now: what stands right of it.
        place: of both, as the lines name it; empty for a whole record.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for field in dict.fromkeys((*before, *now)):
            inner = f"{place}.{field}" if place else field
            yield from differences(before.get(field, "absent"), now.get(field, "absent"), inner)
    elif _are_named(before) and _are_named(now):
        yield from _differences_by_name(place, {_name(one): one for one in before}, {_name(one): one for one in now})
    elif before != now:
        yield f"{place}: {_shown(before)} → {_shown(now)}"


def _differences_by_name(place: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Compares predictions or controls that have the same name, wherever in their list they stand."""
    for name in dict.fromkeys((*before, *now)):
        inner = f"{place}[{name!r}]"
        if name not in now:
            yield f"{inner}: removed"
        elif name not in before:
            yield f"{inner}: added"
        else:
            yield from differences(before[name], now[name], inner)
    if list(before) != list(now) and set(before) == set(now):
        yield f"{place}: in another order"


def _are_named(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(_name(one) for one in values)


def _name(value: Any) -> str:
    """What a record in a list is known by."""
    return str(value.get("quantity") or value.get("name") or "") if isinstance(value, dict) else ""


def _shown(value: Any) -> str:
    return value if value == "absent" else repr(value)
