"""What a claim's folder computes for itself is part of the key: its records' source, and what that imports."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ilr.experiments.experiment import Experiment
from ilr.experiments.norms import InNet
from ilr.experiments.schedules import Constant, Phases
from ilr.lab.store.own_code import _sources, own_code_sha256
from ilr.serialization import _RECORDS
from tests.conftest import LOADS_ILR
from tests.stores import TOY, lab_at, trained_at

SAWTOOTH = """
import numpy as np
from ilr.serialization import record
{imports}

@record
class Sawtooth:
    top: float
    def values(self, steps):
        return {formula}
"""
FORMULA = "self.top * (np.arange(steps) % 3)"

Write = Callable[..., Experiment]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes and imports a folder with a schedule of its own, and gives an experiment that has it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known, modules = dict(_RECORDS), set(sys.modules)

    def forget() -> None:
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
        _RECORDS.clear()
        _RECORDS.update(known)

    def write(imports: str = "", formula: str = FORMULA, /, **files: str) -> Experiment:
        forget()
        for name, text in ({"schedules": SAWTOOTH.format(imports=imports, formula=formula)} | files).items():
            path = folder / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        return replace(TOY, learning_rate=importlib.import_module("schedules").Sawtooth(0.1))

    yield write
    forget()
    _sources.cache_clear()


def test_ilrs_own_records_add_nothing() -> None:
    assert own_code_sha256(TOY) == ""
    assert own_code_sha256(replace(TOY, learning_rate=Phases((Constant(0.1), 0.2), (2,)))) == ""


def test_another_formula_is_another_recording(write: Write, tmp_path: Path) -> None:
    """The very fault: the numbers of the old one used to be served for the new one."""
    before = trained_at(tmp_path / "store", write()).recording(write())
    assert lab_at(tmp_path / "store").plan([write()]).jobs == ()
    changed = write("", "100 * " + FORMULA)
    lab = lab_at(tmp_path / "store")
    assert lab.source(changed).origin == "the code of its own records changed since it was trained"
    lab.train(lab.plan([changed]))
    assert (lab.recording(changed)["train_loss"] != before["train_loss"]).any()


@pytest.mark.parametrize(
    ("imports", "formula", "file"),
    [
        ("from shape import tooth", "tooth(self.top, steps)", "shape"),
        ("import shape", "shape.tooth(self.top, steps)", "shape"),
        ("import package.shape", "package.shape.tooth(self.top, steps)", "package__in__shape"),
        ("from package import shape", "shape.tooth(self.top, steps)", "package__in__shape"),
        ("from package.shape import tooth", "tooth(self.top, steps)", "package__in__shape"),
        ("import between", "between.tooth(self.top, steps)", "shape"),
        ("from package import between", "between.tooth(self.top, steps)", "package__in__shape"),
    ],
)
def test_what_it_imports_from_beside_counts(imports: str, formula: str, file: str, write: Write) -> None:
    files = {
        "between": "from shape import tooth",
        "shape": "import numpy as np\ndef tooth(top, steps): return top * (np.arange(steps) % 3)",
        "package__in____init__": "",
        "package__in__between": "from .shape import tooth",
        "package__in__shape": "import numpy as np\ndef tooth(top, steps): return top * (np.arange(steps) % 3)",
        "unrelated": "",
    }
    before = own_code_sha256(write(imports, formula, **files))
    assert own_code_sha256(write(imports, formula, **files)) == before
    assert own_code_sha256(write(imports, formula, **files | {"unrelated": "1"})) == before
    assert own_code_sha256(write(imports, formula, **files | {file: files[file].replace("% 3", "% 4")})) != before


def test_a_class_it_inherits_from_counts(write: Write) -> None:
    imports, base = "from base import Base", "class Base:\n    factor = {}\n"
    digests = set()
    for factor in (1, 2):
        experiment = write(imports, "np.full(steps, self.top)", base=base.format(factor))
        digests.add(own_code_sha256(experiment))
    assert len(digests) == 2


def test_a_record_within_another_counts(write: Write) -> None:
    own = write()
    inside = replace(TOY, weight_decay=Phases((0.1, own.learning_rate), (2,)))
    assert own_code_sha256(inside) == own_code_sha256(own) != ""


@pytest.mark.parametrize(("field", "base"), [("net", "Net"), ("norm", "Norm"), ("optimizer", "Optimizer")], ids=str)
def test_every_record_of_an_experiments_counts(
    field: str, base: str, write: Write, small_experiment: Experiment
) -> None:
    digests = []
    for formula in ("1", "1", "2"):
        text = "import ilr\n\n@ilr.record\nclass Own(ilr.{}):\n    def computed(self):\n        return {}\n"
        write(own=text.format(base, formula))
        kind = importlib.import_module("own").Own
        norm = {"norm": InNet()} if field == "net" else {}
        digests.append(own_code_sha256(replace(small_experiment, **{field: kind(), **norm})))
    assert digests[0] == digests[1] != digests[2]
    assert all(digests)


def test_it_is_the_same_wherever_the_folder_lies(write: Write, tmp_path: Path) -> None:
    before = own_code_sha256(write())
    experiment = write()
    moved = type(experiment.learning_rate)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = (tmp_path / "folder" / "schedules.py").rename(tmp_path / "elsewhere" / "schedules.py")
    sys.modules[moved.__module__].__file__ = str(elsewhere)
    moved.values.__code__ = moved.values.__code__.replace(co_filename=str(elsewhere))  # type: ignore[attr-defined]
    _sources.cache_clear()
    assert own_code_sha256(experiment) == before


def test_what_was_typed_into_an_interpreter_counts() -> None:
    digests = []
    for formula in (FORMULA, FORMULA, "2 * " + FORMULA):
        scope: dict[str, Any] = {"__name__": "nowhere"}
        _RECORDS.pop("Sawtooth", None)
        exec(SAWTOOTH.format(imports="", formula=formula), scope)
        digests.append(own_code_sha256(replace(TOY, learning_rate=scope["Sawtooth"](0.1))))
    _RECORDS.pop("Sawtooth", None)
    assert digests[0] == digests[1] != digests[2]
    assert all(digests)


CLAIM = """
import numpy as np
from ilr import (
    Claim, Control, Experiment, NoNorm, Observe, Prediction, Replicas, Toy, changed, new_figure
)
from ilr.serialization import record

@record
class Sawtooth:
    top: float
    def values(self, steps):
        return {factor} * self.top * (1 + np.arange(steps) % 3)

NORM = Prediction("norm", "at_least", 0.9, 0.0, "as small as it gets")
CLAIM = Claim(
    id="sawtooth", title="t", source="s", statement="s", predictions=(NORM,),
    controls=(Control("decay", "d"),), replicas=Replicas(tiny=6, reduced=None, full=None), not_run="only tiny",
)

def experiments(setting):
    return {{"run": Experiment(
        net=Toy(), norm=NoNorm(), learning_rate=Sawtooth(0.1), weight_decay=0.0, steps=20,
        replicas=setting.replicas, seed=setting.seed, observe=(Observe("weight_norm", (20,)),),
    )}}

def judge(recordings):
    yield NORM, recordings["run"].final("weight_norm")

def figure(recordings, controls):
    return new_figure("f")[0]

def control_decay(setting):
    return changed(experiments(setting), weight_decay=0.5)

def test_sawtooth(trial):
    trial.must_reproduce()
"""


def test_a_claims_own_schedule_is_trained_anew_when_it_changes(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("claims")
    (folder / "conftest.py").write_text(LOADS_ILR)

    def trained(factor: int) -> str:
        (folder / "test_sawtooth.py").write_text(CLAIM.format(factor=factor))
        result = pytester.runpytest_inprocess(
            "claims", "--store=store", "--engine=in-process", "-p", "no:cacheprovider"
        )
        [line] = [line for line in result.outlines if line.startswith(("Training", "Nothing to train"))]
        return line.partition(" in all")[0]

    kept = dict(_RECORDS)
    try:
        assert trained(1).startswith("Training 12 networks")
        assert trained(1).startswith("Nothing to train")
        assert trained(100).startswith("Training 12 networks")
    finally:
        _RECORDS.clear()
        _RECORDS.update(kept)
