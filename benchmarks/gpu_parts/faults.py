"""What becomes of a process in which something on the GPU goes wrong: each kind in a process of its own."""

import multiprocessing
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch

from benchmarks.gpu_parts.exactness import BASE, LIMIT, deviation, random_dataset
from benchmarks.gpu_parts.setting import Found, Setting, cases, dataset_of
from ilr.lab.hardware import answers
from ilr.nn.cuda_graph import Replay
from ilr.training import loop
from ilr.training.loop import train

ROOM = 1.5e9
"""Bytes that are left to a process that is to run out of memory."""


def no_room(device: torch.device) -> None:
    """A net that does not fit."""
    case = next(iter(cases(Setting(device, False, None, 0.0)).values()))  # type: ignore[arg-type]
    _limited(device)
    train([case.experiment(8)], dataset_of(case.data), str(device))


def no_room_for_the_graph(device: torch.device) -> None:
    """What fits, but only once: the graph has memory of its own."""
    _limited(device)
    kept: list[torch.Tensor] = []

    def hungry() -> torch.Tensor:
        if torch.cuda.is_current_stream_capturing():
            kept.extend(torch.empty(2**28, device=device) for _ in range(8))
        return torch.ones(1, device=device)

    Replay(hungry, (), ())


def refused(device: torch.device) -> None:
    """A step that asks the device for a number, which no graph can do; training goes on without graphs."""
    own = loop._Run._step

    def asking(run: loop._Run, *given: Any) -> Any:
        measured = own(run, *given)
        run.weights.sum().item()
        return measured

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(loop._Run, "_step", asking)
        train([BASE], random_dataset(), str(device))


def refused_and_went_on(device: torch.device) -> None:
    """As `refused`, and nobody makes an error of the warning."""
    own = loop._Run._step

    def asking(run: loop._Run, *given: Any) -> Any:
        measured = own(run, *given)
        run.weights.sum().item()
        return measured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "_step", asking)
        [arrays] = train([BASE], random_dataset(), str(device))
    [expected] = train([BASE], random_dataset())
    raise AssertionError(f"trained all the same, {deviation(arrays, expected):.0e} from the CPU")


def empty_graph(_: torch.device) -> None:
    """A function that launches nothing."""
    Replay(lambda: None, (), ())


def bad_index(device: torch.device) -> None:
    """A kernel that fails, which costs the process its GPU."""
    torch.zeros(4, device=device)[torch.full((4,), 9, device=device)].sum().item()


FAULTS: tuple[Callable[[torch.device], None], ...] = (
    no_room,
    no_room_for_the_graph,
    refused,
    refused_and_went_on,
    empty_graph,
    bad_index,
)


def _limited(device: torch.device) -> None:
    torch.cuda.set_per_process_memory_fraction(ROOM / torch.cuda.get_device_properties(device).total_memory, device)


def after(fault: int, device: str) -> Found:
    """What one fault looks like, and whether the process can train afterwards."""
    with torch.cuda.device(device):
        try:
            FAULTS[fault](torch.device(device))
        except Exception as error:
            found: Found = {"seen": f"{type(error).__name__}: {str(error)[:160]}"}
        else:
            found = {"seen": "nothing"}
        found["the device answers"] = answers(device)
        if found["the device answers"]:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
            [arrays] = train([BASE], random_dataset(), device)
            [expected] = train([BASE], random_dataset())
            found["training afterwards is right"] = deviation(arrays, expected) <= LIMIT
    return found


def faults(setting: Setting, _: Mapping[str, Found]) -> Found:
    """By fault, what was seen of it and what became of the process."""
    if setting.device.type != "cuda":
        return {"not run": "this is no GPU"}
    context = multiprocessing.get_context("spawn")
    found: Found = {}
    # As many at once as there are: most of the time goes into starting.
    with ProcessPoolExecutor(len(FAULTS), context, max_tasks_per_child=1) as pool:
        running = [pool.submit(after, index, str(setting.device)) for index in range(len(FAULTS))]
        for fault, future in zip(FAULTS, running, strict=True):
            try:
                found[fault.__name__] = future.result(60)
            except Exception as error:
                found[fault.__name__] = {"seen": f"the process died: {error}"}
    wrong = [name for name, one in found.items() if one.get("training afterwards is right") is False]
    return {"wrong": wrong, **found}
