"""ilr: the claims of the intrinsic-learning-rate paper, each as a statistical test."""

from ilr.claim import Claim, Control, Replicas, Setting
from ilr.experiment import (
    CNN,
    MLP,
    BatchNorm,
    CropFlip,
    Data,
    Experiment,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoNorm,
    Observe,
    Partners,
    ResizedCropFlip,
    Toy,
    WeightNorm,
    every,
)
from ilr.schedules import Constant, Cosine, Exponential, Phases, Schedule, StepDecay, WarmupLinear
from ilr.verdicts import Finding, Prediction, Verdict
from ilr.version import __version__

__all__ = [
    "CNN",
    "MLP",
    "BatchNorm",
    "Claim",
    "Constant",
    "Control",
    "Cosine",
    "CropFlip",
    "Data",
    "Experiment",
    "Exponential",
    "Finding",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "NoNorm",
    "Observe",
    "Partners",
    "Phases",
    "Prediction",
    "Replicas",
    "ResizedCropFlip",
    "Schedule",
    "Setting",
    "StepDecay",
    "Toy",
    "Verdict",
    "WarmupLinear",
    "WeightNorm",
    "__version__",
    "every",
]
