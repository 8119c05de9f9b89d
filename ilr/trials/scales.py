"""What a claim trains where it does not say otherwise: net, normalisation and data of each scale."""

from typing import Any, Literal, get_args

from ilr.experiments.architectures import CNN, MLP, PreResNet
from ilr.experiments.experiment import CropFlip, Data
from ilr.experiments.norms import BatchNorm

Scale = Literal["tiny", "reduced", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)

STANDARD: dict[Scale, dict[str, Any]] = {
    # 1,297 digits of 8×8 pixels that ship with a package: thousands of networks train in a minute.
    "tiny": {"net": MLP(), "norm": BatchNorm(), "data": Data("digits"), "batch_size": 32},
    # The blog's 4-layer CNN on real images, so small that two CPU cores train thousands of networks in an hour: a step
    # at 14×14 costs a quarter of one at 28×28. Of 5,000 images each has been seen several times when a run of some
    # 10/λₑ steps ends.
    "reduced": {
        "net": CNN((8, 8, 16, 16)),
        "norm": BatchNorm(),
        "data": Data("fashion-mnist", train=5_000, test=1_000, side=14),
        "batch_size": 32,
    },
    # The defaults of the authors' later public code: PreResNet32, exactly scale-invariant, on CIFAR-10.
    "full": {
        "net": PreResNet(),
        "norm": BatchNorm(),
        "data": Data("cifar-10"),
        "batch_size": 128,
        "augmentation": CropFlip(),
    },
}
"""Fields of `ilr.experiments.experiment.Experiment`."""
