"""The public API: what `ilr` exports, that it is documented, and that importing it is light."""

import inspect
import re
import subprocess
import sys

import pytest

import ilr
from ilr.experiments import recording
from ilr.trials import claim

CLASSES_AND_FUNCTIONS = (
    *(
        "Claim",
        "Control",
        "Differs",
        "Finding",
        "Group",
        "JudgedClaim",
        "Prediction",
        "Recording",
        "Replicas",
        "Setting",
        "Verdict",
    ),
    *(
        "Experiment",
        "Data",
        "OwnData",
        "NpzFile",
        "npz",
        "Observe",
        "Partners",
        "CropFlip",
        "ResizedCropFlip",
    ),
    *("Net", "MLP", "CNN", "PreResNet", "ResNet", "BottleneckResNet", "Toy"),
    *("GaussianNoise", "SVAG"),
    *("AdamW", "Lion", "Optimizer", "SGD", "SignSGD"),
    *("Norm", "BatchNorm", "GroupNorm", "InNet", "InstanceNorm", "LayerNorm", "NoNorm", "WeightNorm"),
    *("Constant", "Cosine", "Exponential", "Phases", "Scaled", "Schedule", "StepDecay", "WarmupLinear"),
    *("changed", "every", "for_each", "group", "observe_all"),
    *(
        "Axes",
        "Figure",
        "as_control",
        "draw_accepted",
        "draw_band",
        "draw_groups",
        "draw_largest",
        "draw_mean",
        "label_lines",
        "new_figure",
        "ticks_at",
    ),
    *("agreement", "l1_distance", "rank_correlations", "record", "run", "tails", "theory"),
)
TYPES = ("Array", "ControlRecordings", "Experiments", "Measurements", "Recordings")

HEAVY = {"matplotlib", "scipy", "sklearn", "torch", "torchvision"}


def test_these_names_are_public() -> None:
    assert sorted(ilr.__all__) == sorted((*CLASSES_AND_FUNCTIONS, *TYPES, "__version__"))


@pytest.mark.parametrize("name", CLASSES_AND_FUNCTIONS)
def test_every_name_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(ilr, name))


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_documented_where_it_is_made(name: str) -> None:
    assert hasattr(ilr, name)
    sources = inspect.getsource(claim) + inspect.getsource(recording)
    assert re.search(rf'^{name} = .*\n"""', sources, flags=re.MULTILINE)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ilr' has no attribute 'nothing'"):
        ilr.nothing  # noqa: B018


@pytest.mark.parametrize(
    "module", ["ilr", "ilr.plugin", "ilr.session.options", "ilr.trials.claim", "ilr.trials.outcome"]
)
def test_importing_it_is_light(module: str) -> None:
    loaded = f"import sys, {module}; print(*sorted({HEAVY} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True) == "\n"
