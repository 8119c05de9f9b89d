"""Stores for tests, and files that are not what their names say."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ilr.experiments.architectures import Toy
from ilr.experiments.experiment import Experiment, Observe
from ilr.experiments.norms import NoNorm
from ilr.experiments.recording import Array
from ilr.lab.engines import InProcess
from ilr.lab.scheduler import Lab
from ilr.lab.store import Facts, Key, Store
from ilr.lab.store import recording_file as form

TOY = Experiment(
    net=Toy(),
    norm=NoNorm(),
    learning_rate=0.1,
    weight_decay=0.1,
    steps=3,
    replicas=2,
    seed=0,
    observe=(Observe("train_loss", (3,)), Observe("weight_norm", (0, 3))),
)
"""Three steps of the toy loss."""

FACTS = Facts(ilr="0.0.9", torch="2.6.0", batch=2, seconds=1.5, device="cpu")


def toys(count: int, steps: int = 3) -> list[Experiment]:
    """Experiments that do not fuse, as each has another number of steps."""
    return [replace(TOY, steps=steps + extra) for extra in range(count)]


def lab_at(root: Path, **options: Any) -> Lab:
    """A lab that trains in this process."""
    return Lab(Store(root), InProcess(), **options)


def trained_at(root: Path, *experiments: Experiment, **options: Any) -> Lab:
    """A lab that has trained some experiments."""
    lab = lab_at(root, **options)
    lab.train(lab.plan(experiments))
    return lab


def key_of(experiment: Experiment = TOY, **changes: str) -> Key:
    """A key, of nobody's code and data."""
    return replace(Key(experiment, "code", "data", "cpu"), **changes)


def arrays_of(experiment: Experiment = TOY) -> dict[str, Array]:
    """Numbers in the form of an experiment's recording."""
    stream = np.random.default_rng(3)
    return {name: (stream.random(shape) * 9).astype(dtype) for name, (dtype, shape) in form.forms(experiment).items()}


def sealed(metadata: Mapping[str, str], arrays: Mapping[str, Array]) -> bytes:
    """A recording's file with true checksums, whatever it says: as somebody makes it who knows how."""
    text = {"check": form._ZEROS.decode(), "arrays_sha256": form._ZEROS.decode()} | metadata
    _, behind = form._split(form.safetensors.numpy.save(dict(arrays), text))
    if "arrays_sha256" not in metadata:
        text["arrays_sha256"] = form.hashlib.sha256(behind).hexdigest()
    header, behind = form._split(form.safetensors.numpy.save(dict(arrays), text))
    check = form.hashlib.sha256(header).hexdigest().encode()
    return form._CHECK.sub(b'"check":"' + check + b'"', header) + behind


def sealed_with(facts: Any = None, key: str | None = None, arrays: Mapping[str, Array] | None = None) -> bytes:
    """A recording's file of TOY, with something else than it should hold."""
    text = msgspec.json.encode(FACTS).decode() if facts is None else json.dumps(facts)
    named = key_of().text if key is None else key
    return sealed({"key": named, "facts": text}, arrays_of() if arrays is None else arrays)


def files(root: Path) -> list[Path]:
    """Every file of a store but its measurements."""
    return [path for path in sorted(root.rglob("*")) if path.is_file() and path.parent.name != "measured"]


def recordings(root: Path) -> list[Path]:
    """The files of recordings that are found."""
    return [path for path in sorted(root.glob("*/*.safetensors")) if path.parent.name != "set-aside"]
