"""Workers and the GPUs they take. No machine that ran this had one: what torch says of them is made up."""

import pytest
import torch

from ilr.lab.hardware import gpus, take_gpu


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The GPUs that are taken, of three."""
    indices: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", indices.append)
    return indices


@pytest.mark.usefixtures("taken")
def test_cuda_stands_for_all_gpus_and_an_index_for_one() -> None:
    assert [gpus(device) for device in ("cuda", "cuda:1", "cpu")] == [3, 1, 0]


def test_each_worker_takes_a_gpu_of_its_own(taken: list[int]) -> None:
    for worker in range(4):
        take_gpu("cuda", worker)
    assert taken == [0, 1, 2, 0]


def test_a_worker_takes_the_gpu_that_was_asked_for(taken: list[int]) -> None:
    take_gpu("cuda:2", worker=0)
    assert taken == [2]


def test_a_cpu_needs_no_gpu(taken: list[int]) -> None:
    take_gpu("cpu", worker=1)
    assert taken == []
