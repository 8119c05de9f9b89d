"""Replica-steps a second of the fused engine against the loop a user would write; ratios, measured in one run."""

import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ilr.data import Dataset, load
from ilr.experiment import MLP, BatchNorm, Data, Experiment, Observe
from ilr.schedules import Constant
from ilr.training import train

STEPS, BATCH_SIZE, WIDTHS = 200, 32, (32, 32, 32)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    torch.set_num_threads(1)
    return load(Data("digits"))


def dataloader_loop(dataset: Dataset, steps: int) -> float:
    """Seconds a step of one plain network, fed by a DataLoader."""
    layers: list[nn.Module] = [nn.Flatten()]
    for into, out in zip((64, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Linear(into, out, bias=False), nn.BatchNorm1d(out, affine=False), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 10, bias=False))
    examples = TensorDataset(torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels))
    loader = DataLoader(examples, BATCH_SIZE, shuffle=True, drop_last=True)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()
    done, started = 0, time.perf_counter()
    while done < steps:
        for images, labels in loader:
            optimiser.zero_grad()
            criterion(net(images), labels).backward()
            optimiser.step()
            done += 1
    return (time.perf_counter() - started) / done


@pytest.mark.parametrize("replicas", [8, 32, 128])
def test_fused_mlp(benchmark: BenchmarkFixture, digits: Dataset, replicas: int) -> None:
    experiment = Experiment(
        net=MLP(WIDTHS),
        norm=BatchNorm(),
        data=Data("digits"),
        batch_size=BATCH_SIZE,
        learning_rate=Constant(0.1),
        weight_decay=Constant(0.01),
        steps=STEPS,
        replicas=replicas,
        seed=0,
        observe=(Observe("weight_norm", (STEPS,)),),
    )
    # Interleaved with the fused rounds, so that both see the same state of the machine.
    plain: list[float] = []
    benchmark.pedantic(
        lambda: train([experiment], digits),
        setup=lambda: plain.append(dataloader_loop(digits, STEPS)),
        rounds=5,
    )
    fused = benchmark.stats.stats.median / (STEPS * replicas)
    benchmark.extra_info["net"] = str(experiment.net)
    benchmark.extra_info["replicas"] = replicas
    speedup = round(float(np.median(plain)) / fused, 1)
    benchmark.extra_info["speedup_over_dataloader_loop"] = speedup
    print(f"\n{experiment.net}, {replicas} replicas: {speedup}× the plain loop")
