"""A net of somebody's own, by vmap and in a loop, beside the same net of ilr's and a plain loop, in one run.

All in one thread and in its processor time, so that what else the machine does tells less; every round times each in
turn, and the table at the end has medians. Nothing here asserts a time.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilr.data.dataset import Dataset, synthetic
from ilr.experiments.architectures import CNN, MLP, Net
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm, InNet
from ilr.nn.execution import Formulation, fastest
from ilr.nn.own.modules import blueprint
from ilr.training.loop import Choose, _Run, silent
from ilr.training.snapshots import UNKEPT
from tests.oracle import plain_net
from tests.transformer import VisionTransformer

ROUNDS = 3
RUN = Data("digits")


@dataclass(frozen=True)
class AsModule(Net):
    """A net of ilr's under batch norm, as anybody would write it with torch.nn; the head is frozen."""

    net: Net

    def module(self, image_shape: tuple[int, ...], classes: int) -> nn.Module:
        experiment = experiment_of(self.net, BatchNorm(eps=1e-5), RUN, 1)
        blank = torch.zeros(1, *image_shape).numpy()
        labels = torch.zeros(1, dtype=torch.int64).numpy()
        module = plain_net(experiment, Dataset(blank, labels, blank, labels, classes)).float()
        module[-1].weight.requires_grad_(False)
        return module


@dataclass(frozen=True)
class ViT(Net):
    width: int

    def module(self, image_shape: tuple[int, ...], classes: int) -> nn.Module:
        return VisionTransformer(image_shape[0], image_shape[1], classes, self.width)


@dataclass(frozen=True)
class Case:
    own: Net
    ours: Net | None
    data: Data
    batch_size: int
    replicas: int
    steps: int


CASES = {
    "MLP 32-32-32, 8×8, batch 32": Case(AsModule(MLP()), MLP(), RUN, 32, replicas=64, steps=40),
    "CNN 8-8-16-16, 14×14, batch 32": Case(
        AsModule(CNN()), CNN(), Data("mnist", train=2048, test=64, side=14), 32, replicas=16, steps=10
    ),
    "ViT 2×16, 8×8, batch 32": Case(ViT(16), None, RUN, 32, replicas=32, steps=10),
    "ViT 2×64, 14×14, batch 64": Case(
        ViT(64), None, Data("mnist", train=2048, test=64, side=14), 64, replicas=8, steps=4
    ),
}


def experiment_of(net: Net, norm: BatchNorm | InNet, data: Data, replicas: int, steps: int = 1) -> Experiment:
    return Experiment(
        net=net,
        norm=norm,
        data=data,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=0.01,
        steps=steps,
        replicas=replicas,
        seed=0,
        observe=(Observe("weight_norm", (steps,)),),
    )


def engine(experiment: Experiment, dataset: Dataset, choose: Choose) -> tuple[float, str]:
    """Processor seconds a replica-step, and how the replicas were computed."""
    run = _Run([experiment], dataset, torch.device("cpu"), choose)
    started = time.process_time()
    run.train(silent, UNKEPT)
    return (time.process_time() - started) / experiment.steps / experiment.replicas, str(run.formulation)


def plain_loop(experiment: Experiment, dataset: Dataset, steps: int) -> float:
    """Processor seconds a step of one network on resident data under torch.optim.SGD."""
    images, labels = torch.from_numpy(dataset.train_images[:]), torch.from_numpy(dataset.train_labels)
    module = experiment.net.module(images.shape[1:], dataset.classes)
    optimiser = torch.optim.SGD([one for one in module.parameters() if one.requires_grad], lr=0.01, weight_decay=0.01)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(labels)).split(experiment.batch_size)[:-1]

    drawn = batches()

    def step() -> None:
        batch = next(drawn)
        loss = F.cross_entropy(module(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    step()
    started = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - started) / steps


def declined(experiment: Experiment, dataset: Dataset) -> tuple[float, str]:
    """As `engine`, as if vmap declined the net."""
    stacked = blueprint(experiment.net, dataset.train_images.shape[1:], dataset.classes).forward[True]
    stacked.declined = "for once"
    try:
        return engine(experiment, dataset, fastest)
    finally:
        stacked.declined = ""


def at_once(replicas: int) -> Choose:
    return lambda *_: Formulation(replicas)


@pytest.mark.parametrize("name", CASES)
def test_own_nets_beside_ours_and_a_plain_loop(name: str) -> None:
    case = CASES[name]
    torch.set_num_threads(1)
    own = replace(experiment_of(case.own, InNet(), case.data, case.replicas, case.steps), batch_size=case.batch_size)
    dataset = synthetic(case.data)
    ways: dict[str, Callable[[], tuple[float, str]]] = {
        "a plain loop": lambda: (plain_loop(own, dataset, 4 * case.steps), ""),
        "own, if vmap declines it": lambda: declined(own, dataset),
        "own, one at a time": lambda: engine(own, dataset, at_once(1)),
        "own, by vmap": lambda: engine(own, dataset, at_once(case.replicas)),
        "own, as chosen": lambda: engine(own, dataset, fastest),
    }
    if case.ours is not None:
        ours = replace(own, net=case.ours, norm=BatchNorm(eps=1e-5))
        ways["hand-fused"] = lambda: engine(ours, dataset, fastest)
    found: dict[str, list[tuple[float, str]]] = {way: [] for way in ways}
    for _ in range(1 + ROUNDS):
        for way, measure in ways.items():
            found[way].append(measure())
    print(f"\n{name}, {case.replicas} replicas")
    for way, measured in found.items():
        # The first round warms up.
        times = sorted(1e6 * one for one, _ in measured[1:])
        chosen = {how for _, how in measured[1:]} if way in ("own, as chosen", "hand-fused") else ""
        print(f"{way}: {median(times):.0f} µs a replica-step ({times[0]:.0f} to {times[-1]:.0f}) {chosen or ''}")
