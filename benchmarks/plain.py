"""What a user would write instead: one network, one optimiser, one process with torch's default threads."""

import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ilr.data.dataset import Dataset
from ilr.experiments.experiment import Experiment
from ilr.experiments.norms import BatchNorm
from tests.oracle import plain_net

Batches = Iterator[tuple[Tensor, Tensor]]


def dataloader_loop(experiment: Experiment, dataset: Dataset, steps: int) -> float:
    """Seconds a step of the loop of every tutorial: the data set behind a DataLoader."""
    loader = DataLoader(TensorDataset(*_tensors(dataset)), experiment.batch_size, shuffle=True, drop_last=True)

    def batches() -> Batches:
        while True:
            yield from loader

    return _seconds_a_step(_net(experiment, dataset), batches(), steps)


def tuned_loop(experiment: Experiment, dataset: Dataset, steps: int) -> float:
    """Seconds a step of a careful loop: resident data, indexed a batch at a time, images and net channels-last."""
    images, labels = _tensors(dataset)
    images = images.to(memory_format=torch.channels_last)

    def batches() -> Batches:
        while True:
            for part in torch.randperm(len(labels)).split(experiment.batch_size):
                if len(part) == experiment.batch_size:
                    yield images[part], labels[part]

    net = _net(experiment, dataset).to(memory_format=torch.channels_last)
    return _seconds_a_step(net, batches(), steps)


def _net(experiment: Experiment, dataset: Dataset) -> nn.Module:
    # With eps = 0 the oracle would compute the normalisation from its definition; torch's module is faster.
    net = plain_net(replace(experiment, norm=BatchNorm(eps=1e-5)), dataset).float()
    net[-1].weight.requires_grad_(False)
    return net


def _tensors(dataset: Dataset) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(dataset.train_images[:]), torch.from_numpy(dataset.train_labels)


def _seconds_a_step(net: nn.Module, batches: Batches, steps: int) -> float:
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(weights, lr=0.1, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()
    started = time.perf_counter()
    for _ in range(steps):
        images, labels = next(batches)
        optimiser.zero_grad()
        criterion(net(images), labels).backward()
        optimiser.step()
    return (time.perf_counter() - started) / steps
