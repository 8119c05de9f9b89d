"""What a record's fields may hold, by their annotations: checked when a record is built, so before anything trains.

What means the same is taken as the same: numbers of numpy for plain ones, lists for tuples.
"""

import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

SHOWN = 80
"""Characters of a value that a complaint repeats."""


PLAIN: tuple[Any, ...] = (int, float)
"""Types of numbers that are kept as they are."""


class _MisfitError(Exception):
    """A value that a field does not take."""


Fit = Callable[[Any], Any]
"""Gives a value as a field holds it; raises _MisfitError if the field does not take it."""


def fit_fields(record: Any) -> None:
    """Checks every field of a record, and puts plain values in the place of those that mean the same.

    Args:
        record: an instance of a frozen dataclass that is being built.

    Raises:
        ValueError: a field holds what it does not take; in one line with field, value and what is allowed.
    """
    for name, (fit, allowed) in _fits_of(record).items():
        given = getattr(record, name)
        try:
            taken = fit(given)
        except _MisfitError:
            # Of what somebody wrote, the class that is to be mended.
            of = f" ({where(type(given))})" if is_dataclass(given) and not isinstance(given, type) else ""
            raise ValueError(f"{where(type(record))}: {name}={shown(given)}{of} must be {allowed}") from None
        if taken is not given:
            object.__setattr__(record, name, taken)


def is_ilrs(cls: type) -> bool:
    """Whether a class is one of ilr's own."""
    return cls.__module__.partition(".")[0] == "ilr"


def where(cls: type) -> str:
    """A class in an error: its name; with the file that defines it, without folders, where it is somebody's own."""
    if is_ilrs(cls):
        return cls.__name__
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return f"{Path(file).name if file else cls.__module__}: {cls.__name__}"


def shown(value: Any) -> str:
    """A value in one line, however it prints."""
    try:
        return in_a_line(repr(value))
    except Exception:  # a stranger's __repr__
        return f"<{type(value).__name__}>"


def in_a_line(text: str, longest: int = SHOWN) -> str:
    """A text without line breaks, cut off where it gets long."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest]}…"


def _fits_of(record: Any) -> Mapping[str, tuple[Fit, str]]:
    cls: Any = type(record)
    return _fits(cls)


@cache
def _fits(cls: Any) -> Mapping[str, tuple[Fit, str]]:
    """For each field of a dataclass, what checks it and what it takes, in words."""
    try:
        hints = get_type_hints(cls)
    except Exception:  # annotations as text, of a module that is not loaded any more: nothing is known of them
        return {}
    return {field.name: (_fit(hints[field.name]), _in_words(hints[field.name])) for field in fields(cls)}


def _fit(hint: Any) -> Fit:
    """What checks values of an annotated type; types that are not known here take everything."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _any_of([_fit(argument) for argument in arguments])
    if origin is Literal:
        return lambda value: _must(value, isinstance(value, str | int) and value in arguments)
    if origin is tuple:
        return _items(arguments)
    if hint in (None, type(None)):
        return lambda value: _must(value, value is None)
    if hint is bool:
        return lambda value: bool(_must(value, type(value).__name__ in ("bool", "bool_")))
    if hint is int:
        return _whole
    if hint is float:
        return _number
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: _member(hint, value)
    if isinstance(hint, type):
        return lambda value: _must(value, _is_a(value, hint))
    return lambda value: value


def _is_a(value: Any, kind: Any) -> bool:
    cls: Any = type(value)
    return _is(cls, kind)


@cache
def _is(cls: Any, kind: Any) -> bool:
    """Whether a class is of a kind. A protocol fits much that is no record: dicts have `values`, too."""
    return issubclass(cls, kind) and (is_dataclass(cls) or not getattr(kind, "_is_protocol", False))


def _any_of(fits: list[Fit]) -> Fit:
    def fit(value: Any) -> Any:
        for one in fits:
            try:
                return one(value)
            except _MisfitError:
                continue
        raise _MisfitError

    return fit


def _items(arguments: tuple[Any, ...]) -> Fit:
    """What checks tuples: of any length, or with a type for each place."""
    alike = len(arguments) == 2 and arguments[1] is Ellipsis
    fits = [_fit(argument) for argument in (arguments[:1] if alike else arguments)]

    def fit(values: Any) -> Any:
        if isinstance(values, str | bytes | Mapping | set | frozenset) or not hasattr(values, "__iter__"):
            raise _MisfitError
        try:
            items = list(values)
        except Exception:  # an array without axes, and whatever else cannot be gone through
            raise _MisfitError from None
        checks = fits * len(items) if alike else fits
        if len(items) != len(checks):
            raise _MisfitError
        taken = tuple(check(item) for check, item in zip(checks, items, strict=True))
        unchanged = type(values) is tuple and all(new is old for new, old in zip(taken, values, strict=True))
        return values if unchanged else taken

    return fit


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is bool or not isinstance(value, Integral):
        raise _MisfitError
    return int(value)


def _number(value: Any) -> Any:
    if type(value) is bool or not isinstance(value, Real):
        raise _MisfitError
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        finite = False
    if not finite:
        raise _MisfitError
    return value if type(value) in PLAIN else float(value)


def _member(kind: type[Enum], value: Any) -> Enum:
    try:
        return kind(value)
    except ValueError:
        raise _MisfitError from None


def _must(value: T, fits: bool) -> T:
    if not fits:
        raise _MisfitError
    return value


def _in_words(hint: Any) -> str:
    """What an annotated type takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(argument) for argument in arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return f"a tuple of: {', '.join(_names(arguments))}"
    if hint in (None, type(None)):
        return "None"
    named = {int: "a whole number", float: "a finite number", str: "a text", bool: "True or False"}
    if hint in named:
        return named[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(repr(member.value) for member in hint)
    return getattr(hint, "__name__", str(hint))


def _names(arguments: tuple[Any, ...]) -> Iterator[str]:
    for argument in arguments:
        yield "…" if argument is Ellipsis else _in_words(argument)
