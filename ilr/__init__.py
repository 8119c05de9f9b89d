"""ilr: the claims of the intrinsic-learning-rate paper, each as a statistical test."""

from ilr.experiments.architectures import CNN, MLP, BottleneckResNet, PreResNet, ResNet, Toy
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe, Partners, ResizedCropFlip, every
from ilr.experiments.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm, WeightNorm
from ilr.experiments.schedules import Constant, Cosine, Exponential, Phases, Schedule, StepDecay, WarmupLinear
from ilr.stats.decision import Finding, Prediction, Verdict
from ilr.trials.claim import Claim, Control, Replicas, Setting
from ilr.version import __version__

__all__ = [
    "CNN",
    "MLP",
    "BatchNorm",
    "BottleneckResNet",
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
    "PreResNet",
    "Prediction",
    "Replicas",
    "ResNet",
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
