"""Draws of an epoch are the same whether or not a thread makes them ahead, as it does for GPUs."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from ilr.data import epochs
from ilr.data.dataset import Dataset
from ilr.data.epochs import Int64, OnDevice
from ilr.experiments.experiment import CropFlip, Observe, Partners
from ilr.training.loop import train
from tests.training.test_loop import BASE, NETS, STEPS

STEPS_PER_EPOCH = 4
CPU = torch.device("cpu")


class Steps:
    """Draws that tell which step they are for; keeps who asked, and never for two epochs at a time."""

    def __init__(self) -> None:
        self.threads: dict[int, int] = {}
        self.busy = threading.Lock()

    def __call__(self, step: int) -> Int64:
        assert self.busy.acquire(blocking=False)
        self.threads.setdefault(step // STEPS_PER_EPOCH, threading.get_ident())
        self.busy.release()
        return np.full((2, 3), step)


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("order", [range(20), (9, 10, 11, 12, 3, 4, 18, 0), (0, 12, 16)], ids=str)
def test_each_step_gets_its_own(ahead: bool, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, after a resumption, and in leaps."""
    monkeypatch.setattr(epochs, "draws_ahead", lambda _: ahead)
    draws = OnDevice(Steps(), STEPS_PER_EPOCH, CPU)
    for step in order:
        assert draws.at(step).tolist() == [[step] * 3] * 2


def test_the_next_epoch_is_drawn_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "draws_ahead", lambda _: True)
    steps = Steps()
    draws = OnDevice(steps, STEPS_PER_EPOCH, CPU)
    draws.at(0)
    draws.at(STEPS_PER_EPOCH)
    assert {1, 0} <= steps.threads.keys()
    assert threading.get_ident() not in steps.threads.values()


def test_what_fails_in_the_thread_fails_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "draws_ahead", lambda _: True)

    def failing(step: int) -> Int64:
        if step >= STEPS_PER_EPOCH:
            raise MemoryError("no room for the second epoch")
        return np.zeros((1, 1), np.int64)

    draws = OnDevice(failing, STEPS_PER_EPOCH, CPU)
    draws.at(STEPS_PER_EPOCH - 1)
    with pytest.raises(MemoryError, match="second epoch"):
        draws.at(STEPS_PER_EPOCH)


def test_networks_are_the_same_to_the_last_bit(random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = replace(
        BASE,
        net=NETS["cnn"],
        replicas=4,
        partners=Partners(7),
        augmentation=CropFlip(2),
        observe=(Observe("weights", (STEPS,)), Observe("batch_loss", range(STEPS))),
    )
    [expected] = train([experiment], random_dataset)
    monkeypatch.setattr(epochs, "draws_ahead", lambda _: True)
    [found] = train([experiment], random_dataset)
    for quantity, values in expected.items():
        np.testing.assert_array_equal(found[quantity], values, err_msg=quantity)
