"""What a claim trains where it does not say otherwise: net, normalisation, data and batch size of each scale."""

from typing import Any, Literal, get_args

from ilr.experiment import CNN, MLP, BatchNorm, Data

Scale = Literal["tiny", "reduced", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)

STANDARD: dict[Scale, dict[str, Any]] = {
    # 1,297 digits of 8×8 pixels that ship with a package: thousands of networks train in a minute.
    "tiny": {"net": MLP(), "norm": BatchNorm(), "data": Data("digits"), "batch_size": 32},
    # The blog's 4-layer CNN on real images, small enough that two CPU cores train hundreds of networks in an hour.
    "reduced": {
        "net": CNN((8, 8, 16, 16)),
        "norm": BatchNorm(),
        "data": Data("fashion-mnist", train=10_000, test=2_000, side=14),
        "batch_size": 64,
    },
    "full": {"net": CNN((32, 32, 64, 64)), "norm": BatchNorm(), "data": Data("mnist"), "batch_size": 128},
}
"""Fields of `ilr.experiment.Experiment`."""
