"""What a graph may hold, of every net and norm: traced on meta tensors, which have a device and a shape but no numbers.

A graph is of one device, and asks the host nothing: a meta tensor that was asked for its numbers would raise.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import CNN, MLP, Net
from ilr.experiments.experiment import CropFlip, Experiment
from ilr.experiments.norms import InNet
from ilr.experiments.optimizers import AdamW, Lion
from ilr.nn.execution import Formulation
from ilr.training.loop import OF_STEPS, _Run
from tests.nn.test_architectures import EVERY_NET_AND_NORM, dataset
from tests.nn.test_own_nets import Own, batch_norms, tied
from tests.nn.test_own_norms import RMS, Standardised
from tests.training.test_loop import BASE

__all__ = ["dataset"]

META = torch.device("meta")


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which torch knows nothing for meta tensors."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)


class Devices(TorchDispatchMode):
    """Keeps, operation by operation, on which devices its tensors are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, set[str]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = function(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves((args, kwargs, outputs)) if isinstance(one, torch.Tensor)]
        self.seen.append((str(function), {one.device.type for one in tensors}))
        return outputs

    @property
    def elsewhere(self) -> list[str]:
        """Operations with a tensor that is not on the device of training."""
        return [name for name, devices in self.seen if devices - {"meta"}]


def of(experiment: Experiment, dataset: Dataset, formulation: Formulation) -> _Run:
    return _Run([experiment], dataset, META, lambda *_: formulation)


def traced(run: _Run) -> Devices:
    """A step that measures all that can be measured of it, from what was drawn for it."""
    rates = run.learning_rates[0], run.weight_decays[0]
    drawn = run.draws.at(0)
    with Devices() as devices:
        run._step(OF_STEPS, *rates, *drawn)
    return devices


@EVERY_NET_AND_NORM
def test_a_step_is_of_one_device_and_asks_the_host_nothing(experiment: Experiment, dataset: Dataset) -> None:
    experiment = replace(experiment, momentum=0.9, replicas=3, precision="float32", augmentation=CropFlip(1))
    devices = traced(of(experiment, dataset, Formulation(2)))
    assert devices.seen
    assert devices.elsewhere == []


@pytest.mark.parametrize("formulation", [Formulation(3), Formulation(3, "channels-first")], ids=str)
@pytest.mark.parametrize("change", [{}, {"batch_size": None}, {"trainable_head": True}], ids=str)
@pytest.mark.parametrize("net", [MLP((8, 6)), CNN((4, 6))], ids=str)
def test_so_is_every_formulation(
    net: Net, change: dict[str, Any], formulation: Formulation, random_dataset: Dataset
) -> None:
    assert traced(of(replace(BASE, net=net, **change), random_dataset, formulation)).elsewhere == []


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": AdamW()},
        {"norm": RMS()},
        {"net": CNN((4, 6)), "norm": Standardised()},
        {"net": Own(batch_norms), "norm": InNet()},
        {"net": Own(tied), "norm": InNet(), "optimizer": Lion()},
    ],
    ids=["optimiser", "norm of activations", "norm of weights", "net", "net and optimiser"],
)
def test_so_is_what_somebody_brought(change: dict[str, Any], random_dataset: Dataset) -> None:
    run = of(replace(BASE, **change), random_dataset, Formulation(3))
    # The first time a module's buffers are moved; a graph is captured after three.
    traced(run)
    assert traced(run).elsewhere == []


def test_what_comes_from_the_host_is_seen() -> None:
    with Devices() as devices:
        torch.ones(3, device=META) * torch.tensor(2.0)
    assert devices.elsewhere


@pytest.mark.parametrize("change", [{}, {"augmentation": CropFlip(1)}, {"batch_size": None}], ids=str)
def test_only_an_epoch_moves_anything_to_the_device(change: dict[str, Any], random_dataset: Dataset) -> None:
    run = of(replace(BASE, net=CNN((4, 6)), **change), random_dataset, Formulation(3))
    per_epoch = len(random_dataset.train_labels) // 8
    moved = []
    for step in range(1, 2 * per_epoch):
        with Devices() as devices:
            _ = run.learning_rates[step], run.weight_decays[step], run.draws.at(step)
        if devices.elsewhere:
            moved.append(step)
    assert moved == ([] if "batch_size" in change else [per_epoch])
