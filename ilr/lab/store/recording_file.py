"""The form of a recording's file, and what of it is checked when it is read: every bit.

It is a safetensors file. Its metadata holds the key, the facts, the sha256 of all bytes behind the header, and a check:
the sha256 of the header itself, with the check's own digits taken as zeros. So the header can be believed without the
arrays being read, and the arrays once they are.
"""

import hashlib
import json
import re
from datetime import datetime
from functools import cache
from io import BytesIO
from typing import Annotated, BinaryIO

import msgspec
import numpy as np
import safetensors.numpy

from ilr.experiments.experiment import Experiment, kind_of
from ilr.experiments.recording import DIVERGED_AT, Array
from ilr.lab.store.keys import Key
from ilr.training.trainers import trainer_of

_CHECK = re.compile(rb'"check":"([0-9a-f]{64})"')
_ZEROS = b"0" * 64
_LENGTH = 8
"""Bytes in which a safetensors file tells the length of its header."""

Form = tuple[str, tuple[int, ...]]
"""An array's dtype and shape."""


class DamagedError(Exception):
    """A file is not what was written under its name; says in a few words why not."""


class Facts(msgspec.Struct, frozen=True):
    """Who made a recording, with what, when, and how long it took: known of every recording, deciding nothing.

    Fields that a recording's maker did not know of are empty.
    """

    ilr: str = ""
    """Version."""
    torch: str = ""
    """Version."""
    batch: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Replicas that trained together."""
    formulation: str = ""
    """How they were computed."""
    peak_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Most that the worker had held by the end."""
    peak_gpu_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The same of its GPU's memory."""
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """The slice's share of its batch's training time."""
    trained: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """When training ended, in UTC."""
    device: str = ""
    """A torch device such as "cpu" or "cuda:0"."""
    processor: str = ""
    """The name of the processor behind it."""
    gpu_software: str = ""
    """Driver, CUDA and cuDNN; empty for a CPU."""
    commit: str = ""
    """Of ilr's own source, and whether it was changed; empty where it is installed without its repository."""
    machine: str = ""
    """Its name in its network."""


_DECODER = msgspec.json.Decoder(Facts)


class Header(msgspec.Struct, frozen=True):
    """What the header of a recording's file says, once it is known to be what was written."""

    key: str
    """The text of the key."""
    facts: Facts
    arrays_sha256: str
    forms: dict[str, Form]
    """Of the arrays, by name."""


def to_bytes(key: Key, arrays: dict[str, Array], facts: Facts) -> bytes:
    """The file of a recording.

    Raises:
        ValueError: the arrays are not those of the key's experiment.
    """
    found = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    if wrong := _not_as_expected(found, forms(key.experiment)):
        raise ValueError(f"{key.experiment}: {wrong}")
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"key": key.text, "facts": msgspec.json.encode(facts).decode(), "check": _ZEROS.decode()}
    # Twice, as the metadata stands before the arrays whose digest it holds.
    _, behind = _split(safetensors.numpy.save(tensors, metadata | {"arrays_sha256": _ZEROS.decode()}))
    metadata["arrays_sha256"] = hashlib.sha256(behind).hexdigest()
    header, behind = _split(safetensors.numpy.save(tensors, metadata))
    check = hashlib.sha256(header).hexdigest().encode()
    return _CHECK.sub(b'"check":"' + check + b'"', header, count=1) + behind


def read_header(file: BinaryIO) -> Header:
    """The header of a recording's file, which is read up to its end.

    Raises:
        DamagedError: it is not what was written, or nothing that this version of ilr writes.
        OSError: it cannot be read.
    """
    length = file.read(_LENGTH)
    size = int.from_bytes(length, "little")
    rest = file.seek(0, 2) - _LENGTH
    file.seek(_LENGTH)
    if len(length) < _LENGTH or size > rest:
        raise DamagedError("it is cut short, or no recording")
    text = file.read(size)
    checks = _CHECK.findall(text)
    if len(checks) != 1:
        raise DamagedError("it has no checksum: ilr did not write it, or an earlier version did")
    unchecked = length + text.replace(checks[0], _ZEROS)
    if hashlib.sha256(unchecked).hexdigest().encode() != checks[0]:
        raise DamagedError("its header is not as it was written")
    try:
        content = json.loads(text)
        metadata = content.pop("__metadata__")
        ends = [one["data_offsets"][1] for one in content.values()]
        header = Header(
            key=metadata["key"],
            facts=_DECODER.decode(metadata["facts"]),
            arrays_sha256=metadata["arrays_sha256"],
            forms={name: (_DTYPES[one["dtype"]], tuple(one["shape"])) for name, one in content.items()},
        )
    except Exception as error:  # its check holds, so somebody has made it by hand: whatever is wrong, it is not used
        raise DamagedError(f"its header means nothing ({type(error).__name__}: {error})") from None
    if max(ends, default=0) != rest - size:
        raise DamagedError("its arrays are cut short, or more than were written")
    return header


def read_whole(content: bytes) -> tuple[Header, dict[str, Array]]:
    """Header and arrays of a recording's file.

    Raises:
        DamagedError: it is not what was written, or nothing that this version of ilr writes.
    """
    header = read_header(BytesIO(content))
    _, behind = _split(content)
    if hashlib.sha256(behind).hexdigest() != header.arrays_sha256:
        raise DamagedError("its arrays are not as they were written")
    try:
        arrays: dict[str, Array] = safetensors.numpy.load(content)
    except Exception as error:  # as above
        raise DamagedError(f"its arrays cannot be read ({type(error).__name__}: {error})") from None
    return header, arrays


def check_forms(header: Header, experiment: Experiment) -> None:
    """Compares names, shapes and dtypes with those that an experiment's recording has.

    Raises:
        DamagedError: they differ.
    """
    if wrong := _not_as_expected(header.forms, forms(experiment)):
        raise DamagedError(wrong)


def forms(experiment: Experiment) -> dict[str, Form]:
    """The form of each array of an experiment's recording, by name."""
    count = experiment.replicas
    expected: dict[str, Form] = {DIVERGED_AT: ("int64", (count,))}
    for name, dtype, behind in _forms_of_one(kind_of(experiment)):
        expected[name] = (dtype, (count, *behind))
    return expected


@cache
def _forms_of_one(kind: Experiment) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, dtype and lengths behind [replica] of each observation; what fuses has the same."""
    trainer = trainer_of(kind)
    return [(one.quantity, trainer.dtype(one).name, (len(one.at), *trainer.shape(one))) for one in kind.observe]


def _not_as_expected(found: dict[str, Form], expected: dict[str, Form]) -> str:
    """The first difference in words; empty where there is none."""
    if found.keys() != expected.keys():
        return f"it holds {', '.join(sorted(found)) or 'nothing'}, not {', '.join(sorted(expected)) or 'nothing'}"
    for name, (dtype, shape) in expected.items():
        if found[name] != (dtype, shape):
            there, lengths = found[name]
            return f"{name!r} is {there} {[*lengths]}, not {dtype} {[*shape]}"
    return ""


def _split(content: bytes) -> tuple[bytes, bytes]:
    """A safetensors file as its header, with the length in front, and what stands behind."""
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    return content[:end], content[end:]


_DTYPES = {"F32": "float32", "F64": "float64", "I16": "int16", "I64": "int64"}
"""The types in which quantities are recorded, as safetensors calls them."""
