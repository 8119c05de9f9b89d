"""ilr: the claims of the intrinsic-learning-rate paper, each as a statistical test.

What stands here is all that a claim needs. Importing it is light: torch, scipy and matplotlib are loaded with the first
name that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ilr.experiments.architectures import CNN, MLP, BottleneckResNet, Net, PreResNet, ResNet, Toy
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe, Partners, ResizedCropFlip, every
from ilr.experiments.noise import SVAG, GaussianNoise
from ilr.experiments.norms import BatchNorm, GroupNorm, InNet, InstanceNorm, LayerNorm, NoNorm, Norm, WeightNorm
from ilr.experiments.optimizers import SGD, AdamW, Lion, Optimizer, SignSGD
from ilr.experiments.own_data import NpzFile, OwnData, npz
from ilr.experiments.recording import Array, Recording
from ilr.experiments.schedules import Constant, Cosine, Exponential, Phases, Scaled, Schedule, StepDecay, WarmupLinear
from ilr.serialization import record
from ilr.stats import tails, theory
from ilr.stats.decision import Finding, Prediction, Verdict
from ilr.stats.groups import Group
from ilr.trials.claim import (
    Claim,
    Control,
    ControlRecordings,
    Differs,
    Experiments,
    Measurements,
    Recordings,
    Replicas,
    Setting,
    changed,
    for_each,
    group,
    observe_all,
)
from ilr.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ilr.alone import run
    from ilr.stats.function_space import agreement, l1_distance
    from ilr.stats.means import rank_correlations
    from ilr.trials.outcome import JudgedClaim
    from ilr.trials.plotting import (
        as_control,
        draw_accepted,
        draw_band,
        draw_groups,
        draw_largest,
        draw_mean,
        label_lines,
        new_figure,
        ticks_at,
    )

_HEAVY = {
    "ilr.alone": ("run",),
    "ilr.stats.function_space": ("agreement", "l1_distance"),
    "ilr.stats.means": ("rank_correlations",),
    "ilr.trials.outcome": ("JudgedClaim",),
    "ilr.trials.plotting": (
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
    "matplotlib.axes": ("Axes",),
    "matplotlib.figure": ("Figure",),
}
"""Modules that are imported when one of their names is first asked for."""

__all__ = [
    "CNN",
    "MLP",
    "SGD",
    "SVAG",
    "AdamW",
    "Array",
    "Axes",
    "BatchNorm",
    "BottleneckResNet",
    "Claim",
    "Constant",
    "Control",
    "ControlRecordings",
    "Cosine",
    "CropFlip",
    "Data",
    "Differs",
    "Experiment",
    "Experiments",
    "Exponential",
    "Figure",
    "Finding",
    "GaussianNoise",
    "Group",
    "GroupNorm",
    "InNet",
    "InstanceNorm",
    "JudgedClaim",
    "LayerNorm",
    "Lion",
    "Measurements",
    "Net",
    "NoNorm",
    "Norm",
    "NpzFile",
    "Observe",
    "Optimizer",
    "OwnData",
    "Partners",
    "Phases",
    "PreResNet",
    "Prediction",
    "Recording",
    "Recordings",
    "Replicas",
    "ResNet",
    "ResizedCropFlip",
    "Scaled",
    "Schedule",
    "Setting",
    "SignSGD",
    "StepDecay",
    "Toy",
    "Verdict",
    "WarmupLinear",
    "WeightNorm",
    "__version__",
    "agreement",
    "as_control",
    "changed",
    "draw_accepted",
    "draw_band",
    "draw_groups",
    "draw_largest",
    "draw_mean",
    "every",
    "for_each",
    "group",
    "l1_distance",
    "label_lines",
    "new_figure",
    "npz",
    "observe_all",
    "rank_correlations",
    "record",
    "run",
    "tails",
    "theory",
    "ticks_at",
]


def __getattr__(name: str) -> Any:
    for module, names in _HEAVY.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
