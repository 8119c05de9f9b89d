"""A choice is what was typed, or one line that says what is allowed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilr.data.catalog import whole_info
from ilr.experiments.architectures import CNN, MLP
from ilr.experiments.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm, WeightNorm
from ilr.experiments.optimizers import SGD, AdamW, Lion, SignSGD
from ilr.variations.choices import Choice
from ilr.variations.variation import AXES

MINE = """
import numpy as np
import ilr

@ilr.record
class {name}(ilr.OwnData):
    classes: int = 3
    def load(self):
        images, labels = np.eye(12, 4), np.arange(12) % self.classes
        return images, labels, images, labels

GIVEN = {name}(2)
NET = ilr.PreResNet(1, (4,))
NORM = ilr.GroupNorm(4, eps=0.5)
NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with records of somebody's own, by a name that no other test has imported."""
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    name = f"Mine{abs(hash(tmp_path))}"
    path = tmp_path / f"{name.lower()}.py"
    path.write_text(MINE.format(name=name))
    return path


@pytest.mark.parametrize(
    ("axis", "typed", "value"),
    [
        ("norm", "batch", BatchNorm()),
        ("norm", "group", GroupNorm(2)),
        ("norm", "group:4", GroupNorm(4)),
        ("norm", "layer", LayerNorm()),
        ("norm", "instance", InstanceNorm()),
        ("norm", "weight", WeightNorm()),
        ("norm", "none", NoNorm()),
        ("net", "mlp", MLP()),
        ("net", "mlp:5", MLP((5,))),
        ("net", "cnn:8-16", CNN((8, 16))),
        ("optimizer", "sgd", SGD()),
        ("optimizer", "momentum", SGD(momentum=0.9)),
        ("optimizer", "nesterov", SGD(momentum=0.9, nesterov=True)),
        ("optimizer", "adamw", AdamW()),
        ("optimizer", "lion", Lion()),
        ("optimizer", "signsgd", SignSGD()),
        ("momentum", "0", 0.0),
        ("momentum", ".9", 0.9),
        ("data", "digits", "digits"),
        ("data", "cifar-10", "cifar-10"),
    ],
)
def test_what_was_typed(axis: str, typed: str, value: Any) -> None:
    assert AXES[axis].check(typed) == Choice(typed, value)


def test_what_is_in_a_file(mine: Path) -> None:
    assert AXES["net"].check(f"{mine}:NET").value.blocks_per_stage == 1
    assert AXES["norm"].check(f"{mine}:NORM").value == GroupNorm(4, eps=0.5)
    own = AXES["data"].check(f"{mine}:GIVEN")
    assert whole_info(own.value).classes == 2
    # Evidence does not say what a machine calls its folders.
    assert str(own) == f"DIR/{mine.name}:GIVEN"


def test_an_npz_file(tmp_path: Path) -> None:
    images, labels = np.eye(12, 4), np.arange(12) % 3
    np.savez(tmp_path / "mine.npz", images=images, labels=labels, test_images=images, test_labels=labels)
    choice = AXES["data"].check(f"{tmp_path}/mine.npz")
    assert whole_info(choice.value).classes == 3
    assert str(choice) == "DIR/mine.npz"


@pytest.mark.parametrize(
    ("axis", "typed", "complaint"),
    [
        ("norm", "", "choose from batch, group, layer, instance, weight, none, group:4 for other groups than 2"),
        ("norm", "Batch", "choose from"),
        ("norm", "layer:2", "choose from"),
        ("norm", "group:0", "group:0: '0' must be whole numbers, 1 or more"),
        ("norm", "group:x", "must be whole numbers"),
        ("net", "vit", r"choose from mlp, cnn, with widths as in mlp:64-64, or FILE\.py:NAME of your own"),
        ("net", "mlp:8-0", "mlp:8-0: '8-0' must be whole numbers, 1 or more, joined by hyphens"),
        ("net", "mlp:8,8", "must be whole numbers"),
        ("net", "cnn:-8", "must be whole numbers"),
        ("net", "cnn:999999999999", "must be whole numbers"),
        (
            "optimizer",
            "adam",
            "choose from sgd, momentum, nesterov, adamw, lion, signsgd, or FILE",
        ),
        ("momentum", "1", "must be a number, 0 or more and below 1"),
        ("momentum", "-0.1", "must be a number, 0 or more and below 1"),
        ("momentum", "nan", "must be a number"),
        ("momentum", "much", "must be a number"),
        ("data", "letters", r"choose from digits, .*, a FILE\.npz, or FILE\.py:NAME of your own"),
        ("data", "absent.npz", r"absent\.npz: No such file or directory: give an \.npz file with images"),
        ("data", "absent.py:IT", r"absent\.py is no file"),
        ("norm", "absent.py:IT", r"absent\.py is no file"),
        ("net", "absent.py:IT", r"absent\.py is no file"),
    ],
)
def test_what_is_no_choice_is_one_line(axis: str, typed: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        AXES[axis].check(typed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("axis", "name", "complaint"),
    [
        ("norm", "NUMBER", "NUMBER is 3, and must be a norm: a record that is an ilr.Norm"),
        ("optimizer", "NORM", "must be an optimiser: a record that is an ilr.Optimizer"),
        ("data", "NORM", "must be a data set: a record that is an ilr.OwnData"),
        ("net", "NUMBER", "NUMBER is 3, and must be a net: a record that is an ilr.Net"),
        ("net", "ABSENT", r"has no 'ABSENT': give \S+\.py:NET$"),
        ("optimizer", "ABSENT", r"has no 'ABSENT', and \S+\.py has no record that is an optimiser$"),
    ],
)
def test_what_a_file_has_not_is_one_line(axis: str, name: str, complaint: str, mine: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        AXES[axis].check(f"{mine}:{name}")


@pytest.mark.parametrize(
    ("axis", "names"), [("norm", ["NORM"]), ("net", ["NET"]), ("data", ["{name}", "GIVEN"]), ("optimizer", [])]
)
def test_a_file_without_a_name_says_which_it_has(axis: str, names: list[str], mine: Path) -> None:
    with pytest.raises(ValueError, match=r"^a record's name is missing") as told:
        AXES[axis].check(str(mine))
    given = [f"{mine}:{name.format(name=mine.stem.capitalize())}" for name in names]
    assert str(told.value).endswith(
        f"give {' or '.join(given)}" if given else f"{mine} has no record that is an optimiser"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("x = (", "cannot be imported: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(text: str, complaint: str, mine: Path) -> None:
    mine.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        AXES["net"].check(f"{mine}:NET")


def test_a_file_called_as_a_module_that_there_is_is_refused(mine: Path) -> None:
    path = mine.with_name("json.py")
    path.write_text("NET = 1")
    with pytest.raises(ValueError, match=r"which is imported already: rename it"):
        AXES["net"].check(f"{path}:NET")
