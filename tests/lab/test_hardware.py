"""Workers, the cores and the GPUs they take. No machine that ran this had a GPU: what torch says of them is made up."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ilr.lab.hardware import gpu_software, gpus, peak_memory, processor, take_gpu


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


def test_the_software_of_a_gpu_is_as_bug_reports_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess((), 0, "580.159.04\n580.159.04\n", "")

    def absent(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)
    found = []
    for run in (answers, absent):
        monkeypatch.setattr(subprocess, "run", run)
        gpu_software.cache_clear()
        found.append(gpu_software("cuda:0"))
        assert gpu_software("cpu") == ""
    gpu_software.cache_clear()
    assert found == ["driver 580.159.04, CUDA 13.0, cuDNN 91900", "CUDA 13.0, cuDNN 91900"]


def test_a_gpu_elsewhere_has_no_name_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert processor("cuda") == ""


def test_memory_is_unknown_without_the_module_that_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() == 0


ELSEWHERE = """
import os, sys
from argparse import Namespace
from pathlib import Path
sys.modules["resource"] = None
if hasattr(os, "sched_getaffinity"):
    del os.sched_getaffinity

from ilr.experiments.architectures import MLP
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm
from ilr.session.selection import lab_for

experiment = Experiment(
    net=MLP((8, 8)), norm=BatchNorm(), data=Data("digits", train=64, test=32), batch_size=16,
    learning_rate=0.1, weight_decay=0.05, steps=3, replicas=2, seed=5, observe=(Observe("weight_norm", (3,)),),
)
options = Namespace(
    device="cpu", workers=None, engine="in-process", data_root=None, refresh=False, no_train=False, arithmetic="float32"
)
lab = lab_for(options, Path(sys.argv[1]))
lab.train(lab.plan([experiment]))
assert lab.recording(experiment).final("weight_norm").shape == (2,)
assert lab.peak_memory([lab.source(experiment)]) == 0
"""
"""A run on a system that has neither of the calls that exist only on Linux, or only on Unix."""


def test_a_run_needs_nothing_that_only_linux_has(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path)], check=True, timeout=120)
