"""The contract of evidence.json as code: `problem` says where evidence departs from schema 1."""

import math
from collections.abc import Iterable
from types import UnionType
from typing import Any, TypeAlias

from ilr.stats.decision import Verdict

SCHEMA = 1

Shape: TypeAlias = "type | UnionType | frozenset[Any] | tuple[Shape, ...] | list[Shape] | dict[str, Shape]"
"""What a value must be: of a type, one of some values, an array of this many, an array of any number, an object with
these keys (and perhaps more), or, under the key `*`, an object whose every value has one shape."""

_NUMBER = int | float
_NAMES: dict[type | UnionType, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    int | None: "an integer or null",
    _NUMBER: "a number",
    _NUMBER | None: "a number or null",
}
_VERDICT = frozenset(verdict.value for verdict in Verdict)
_RANGE: Shape = (_NUMBER | None, _NUMBER | None)

_FINDING: Shape = {
    "name": str,
    "estimate": _NUMBER,
    "interval": _RANGE,
    "expected": _NUMBER,
    "margin": _NUMBER,
    "accepted": _RANGE,
    "rule": str,
    "alpha": _NUMBER,
    "n": int,
    "p": _NUMBER,
    "p_refuted": _NUMBER,
    "verdict": _VERDICT,
    "replicas_needed": int | None,
}

_PREDICTION: Shape = {
    "quantity": str,
    "rule": str,
    "expected": _NUMBER,
    "margin": _NUMBER,
    "reason": str,
    "alpha": _NUMBER,
    "power": _NUMBER,
}

_CLAIM: Shape = {
    "id": str,
    "title": str,
    "source": str,
    "statement": str,
    "verdict": _VERDICT,
    "findings": [_FINDING],
    "controls": [
        {
            "name": str,
            "takes_away": str,
            "verdict": _VERDICT,
            "sound": bool,
            "findings": [_FINDING],
            "message": str,
        }
    ],
    "experiments": [str],
    "figures": [str],
    "seconds": _NUMBER,
    "message": str,
    "record": {"predictions": [_PREDICTION], "controls": [{"name": str, "takes_away": str}], "replicas": {}},
    "record_sha256": str,
}

EVIDENCE: Shape = {
    "schema": frozenset({SCHEMA}),
    "scale": str,
    "seed": int,
    "started": str,
    "seconds": _NUMBER,
    "provenance": {
        "ilr": str,
        "git": str,
        "python": str,
        "torch": str,
        "device": str,
        "cpu": str,
        "threads": int,
        "peak_memory_bytes": int,
        "data": {"*": {"sha256": str}},
        "claims_sha256": str,
    },
    "claims": [_CLAIM],
    "appendix": [str],
    "experiments": {
        "*": {"description": str, "replicas": int, "steps": int, "seconds": _NUMBER, "origin": str, "computed": str},
    },
}


def problem(value: Any, shape: Shape = EVIDENCE, where: str = "evidence") -> str | None:
    """The first departure of `value` from `shape`, in one line; `None` if there is none."""
    match shape:
        case frozenset():
            if isinstance(value, str | int) and value in shape:
                return None
            return f"{where} is {value!r}, not {' or '.join(repr(allowed) for allowed in sorted(shape))}"
        case dict():
            if not isinstance(value, dict):
                return f"{where} is not an object"
            inner = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
            return _first(
                problem(value[key], inner[key], f"{where}.{key}") if key in value else f"{where} has no {key!r}"
                for key in inner
            )
        case list() | tuple():
            if not isinstance(value, list):
                return f"{where} is not an array"
            if isinstance(shape, tuple) and len(value) != len(shape):
                return f"{where} has {len(value)} entries, not {len(shape)}"
            shapes = shape if isinstance(shape, tuple) else shape * len(value)
            return _first(problem(item, shapes[i], f"{where}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, shape):
        return f"{where} is not {_NAMES[shape]}"
    # JSON cannot write infinity, but Python reads 1e999 as that.
    return f"{where} is not finite" if isinstance(value, float) and not math.isfinite(value) else None


def _first(problems: Iterable[str | None]) -> str | None:
    return next((found for found in problems if found), None)
