"""What all parts of the check share: where it runs, how large, and the nets it is about."""

import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ilr.data.dataset import Dataset, synthetic
from ilr.experiments.architectures import CNN, MLP, Net, PreResNet
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm
from ilr.experiments.schedules import Constant

Found = dict[str, Any]
"""What a part found, as JSON."""

STARTED = time.monotonic()


@dataclass(frozen=True)
class Setting:
    """Where and how large a check is."""

    device: torch.device
    toy: bool
    """Sizes at which everything takes seconds, on a CPU."""
    out: Path
    until: float
    """When it should have ended, by `time.monotonic`."""

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.until - time.monotonic()


def say(name: str, what: object) -> None:
    """Prints a line, and when that was."""
    print(f"{time.monotonic() - STARTED:6.1f} s  {name}: {json.dumps(what, ensure_ascii=False)[:1500]}", flush=True)


@dataclass(frozen=True)
class Case:
    """A net on the data it is meant for."""

    net: Net
    data: Data
    batch_size: int
    augmentation: CropFlip | None
    replicas: tuple[int, ...]
    """Replicas at once that are timed; the second are compared with other ways to train as many."""

    def experiment(self, replicas: int, **others: Any) -> Experiment:
        """An experiment with it, of one step unless told otherwise."""
        steps = others.get("steps", 1)
        standard: dict[str, Any] = {"observe": (Observe("weight_norm", (steps,)),), "steps": steps}
        return Experiment(
            net=self.net,
            norm=BatchNorm(),
            data=self.data,
            batch_size=self.batch_size,
            augmentation=self.augmentation,
            learning_rate=Constant(0.1),
            weight_decay=Constant(5e-4),
            replicas=replicas,
            seed=0,
            **(standard | others),
        )


def cases(setting: Setting) -> dict[str, Case]:
    """The nets, those that full scale is made of first."""
    if setting.toy:
        return {
            # Eight channels at least: see `ilr.nn.layers.NARROW`, by which the plain loop's torch.nn does not go.
            "PreResNet": Case(PreResNet(1, (8, 12)), Data("cifar-10", train=64, test=32), 8, CropFlip(), (1, 2)),
            "MLP": Case(MLP((8, 8)), Data("digits", train=64, test=32), 16, None, (1, 2)),
        }
    small = Data("fashion-mnist", train=5000, test=64, side=14)
    return {
        "PreResNet32": Case(PreResNet(), Data("cifar-10", train=4096, test=64), 128, CropFlip(), (1, 8, 32)),
        "CNN 32-32-64-64 on 28×28": Case(
            CNN((32, 32, 64, 64)), Data("mnist", train=4096, test=64), 128, None, (1, 8, 64)
        ),
        "CNN 8-8-16-16 on 14×14": Case(CNN((8, 8, 16, 16)), small, 32, None, (1, 16, 64)),
        "MLP 32-32-32 on 8×8": Case(MLP(), Data("digits"), 32, None, (1, 128, 1024)),
    }


@cache
def dataset_of(data: Data) -> Dataset:
    """Random images of the shapes: what they show costs nothing."""
    return synthetic(data)
