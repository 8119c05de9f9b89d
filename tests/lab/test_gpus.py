"""What GPUs are said to take is what one of them was measured to take, or follows from that."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.gpu_parts.setting import Case, Setting, cases
from ilr.experiments.architectures import CNN, MLP, PreResNet
from ilr.experiments.experiment import Data, Experiment
from ilr.lab.cost import OPERATIONS_PER_SECOND, STARTUP_SECONDS, operations, training_bytes
from ilr.lab.engines import Processes
from ilr.lab.gpus import (
    GPU,
    GPUS,
    H100,
    LARGEST_BATCH,
    LAYER_SECONDS,
    MEASURED,
    SHARE,
    Measured,
    gpu_called,
    is_measured,
    nearest,
    room_on,
)
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store
from ilr.training.loop import LARGE_STEP
from ilr.training.trainers import trainer_of

ROOT = Path(__file__).parents[2]
FOUND: dict[str, Any] = json.loads((ROOT / "reports" / "reference" / "gpu" / "h100-2-graphs.json").read_text())
CASES = cases(Setting(torch.device("cpu"), toy=False, out=ROOT, until=0.0))
V100, A100, _ = GPUS


def reported(row: Measured, case: Case, precision: str) -> Iterator[float]:
    """Every time that the report has of a net in a precision as training computes it, at the replicas of the table."""
    replicas = case.replicas[1]
    timed = precision == "float64" or row.operations * replicas > LARGE_STEP
    for one in FOUND["cuDNN by its rules and timing its kernels, in two processes"]:
        if (one["net"], one["arithmetic"]) == (row.name, precision) and (one["cudnn"] != "by its rules") == timed:
            yield one["us a replica-step"]
    # The other table is of cuDNN by its rules, and the only one for bfloat16 and for the MLP.
    suffix = "" if precision == "float32" else f", {precision}"
    if not timed or precision == "bfloat16":
        for label in (f"{replicas} at once{suffix}", f"{replicas} as {replicas} at once, channels-first convolutions"):
            if label in FOUND["steps"][row.name] and (suffix == "" or label.endswith(suffix)):
                yield FOUND["steps"][row.name][label]["us a replica-step"]


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.name)
def test_the_table_is_the_fastest_of_the_report(row: Measured) -> None:
    case = CASES[row.name]
    assert row.operations == pytest.approx(trainer_of(case.experiment(1)).step_operations, rel=1e-4)
    for precision, microseconds in row.microseconds.items():
        assert microseconds == pytest.approx(min(reported(row, case, precision)), rel=2e-3), precision


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.name)
def test_what_was_measured_takes_what_was_measured(row: Measured) -> None:
    replicas = CASES[row.name].replicas[1]
    for precision, microseconds in row.microseconds.items():
        experiment = replace(CASES[row.name].experiment(replicas, steps=1000), precision=precision, observe=())
        assert is_measured(experiment)
        taken = H100.seconds(experiment, operations(experiment) * replicas)
        assert taken == pytest.approx(1000 * replicas * microseconds / 1e6, rel=0.05)


def test_a_step_takes_its_time_however_few_train(small_experiment: Experiment) -> None:
    for gpu in GPUS:
        assert gpu.seconds(small_experiment, 1.0) == LAYER_SECONDS * 3 * small_experiment.steps


def test_other_nets_are_like_the_nearest(small_experiment: Experiment, small_toy: Experiment) -> None:
    def like(net: Any, data: str, batch: int) -> str:
        experiment = replace(small_experiment, net=net, data=Data(data), batch_size=batch)
        assert not is_measured(experiment)
        return nearest(experiment).name

    assert like(MLP((512,) * 8), "cifar-10", 512) == "MLP 32-32-32 on 8×8"
    assert like(CNN((8, 8)), "digits", 32) == "CNN 8-8-16-16 on 14×14"
    assert like(CNN((32, 32, 64, 64)), "mnist", 64) == "CNN 32-32-64-64 on 28×28"
    assert like(PreResNet(), "cifar-10", 512) == "PreResNet32"
    # The toy loss is computed by numpy, whoever has a GPU.
    assert not is_measured(small_toy)
    assert {gpu.seconds(small_toy, OPERATIONS_PER_SECOND) for gpu in GPUS} == {1.0}


def test_cards_that_nobody_ran_are_in_proportion() -> None:
    def seconds(gpu: GPU, precision: Any) -> float:
        return gpu.seconds(replace(CASES["PreResNet32"].experiment(8, steps=10), precision=precision), 1e15)

    for precision in ("float32", "float64", "tf32", "bfloat16"):
        assert seconds(A100, precision) == pytest.approx(seconds(H100, precision) * 67 / 19.5)
    assert seconds(V100, "tf32") == seconds(V100, "bfloat16") == seconds(V100, "float32")
    assert seconds(H100, "tf32") < seconds(H100, "float32")
    assert gpu_called("NVIDIA H100 80GB HBM3") is H100
    assert gpu_called("NVIDIA A100-SXM4-40GB") is A100
    assert gpu_called("") is gpu_called("Quadro") is V100


def cards(patch: pytest.MonkeyPatch, *gigabytes: int) -> None:
    """Makes up GPUs with so much memory."""
    patch.setattr(torch.cuda, "device_count", lambda: len(gigabytes))
    patch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    properties = [SimpleNamespace(total_memory=one * 10**9) for one in gigabytes]
    patch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)


def test_batches_are_as_large_as_a_workers_share_of_its_gpu(
    small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = CASES["PreResNet32"].experiment(8, steps=1000)

    def most(device: str, workers: int) -> int:
        return room_on(device, workers).most_at_once(experiment)

    cards(monkeypatch, 80)
    alone = most("cuda:0", 1)
    assert alone * training_bytes(experiment) < 80e9 * SHARE < 1.1 * (alone + 8) * training_bytes(experiment)
    assert most("cuda:0", 2) < alone / 2
    # A worker may come to any of them.
    cards(monkeypatch, 80, 40)
    assert most("cuda", 2) == most("cuda:1", 1) < alone == most("cuda:0", 1)
    assert most("cuda", 4) < most("cuda", 2)
    cards(monkeypatch)
    of_a_cluster = [most("cuda", workers) for workers in (1, 16)]
    assert 0 < of_a_cluster[0] == of_a_cluster[1] < alone
    cards(monkeypatch, 1)
    assert most("cuda:0", 4) == 0
    cards(monkeypatch, 80)
    assert room_on("cuda:0", 1).most_at_once(small_experiment) == LARGEST_BATCH


@pytest.mark.parametrize(("device", "replicas"), [("cpu", [8, 8, 8, 8]), ("cuda", [32])])
def test_jobs_are_made_for_the_device(
    device: str, replicas: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(monkeypatch, 80)
    lab = Lab(Store(tmp_path), Processes(1), device, stand_in=True)
    experiment = CASES["PreResNet32"].experiment(32)
    assert [job.replicas for job in lab.plan([experiment]).jobs] == replicas


def test_training_on_gpus_is_not_estimated_as_on_a_core(
    tmp_path: Path, small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = replace(CASES["CNN 8-8-16-16 on 14×14"].experiment(64, steps=10_000), data=small_experiment.data)

    def planned(device: str, workers: int) -> float:
        return Lab(Store(tmp_path), Processes(workers), device).plan([experiment]).seconds - STARTUP_SECONDS

    cards(monkeypatch, 80)
    alone = planned("cuda", 1)
    assert 0 < alone < planned("cpu", 1) / 10
    # Two workers of one GPU are no faster than it is.
    assert planned("cuda", 2) == pytest.approx(alone, rel=0.3)
