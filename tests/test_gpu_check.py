"""The check of a GPU runs at toy sizes on a CPU, so that it does not waste the minutes of one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu_check import PARTS, main
from benchmarks.gpu_parts import faults, speed, suites
from benchmarks.gpu_parts.speed import timed
from ilr.nn.cuda_graph import CaptureError, Replay
from ilr.training import loop
from tests import fake_graph

QUICK = sorted(set(PARTS) - {"suites"})
"""The suites start pytest twice."""
TIMED = ["compiled", "loops", "rivals", "steps"]
"""What cannot be timed is a text in place of a number there, so that the others still are."""


def checked(folder: Path, parts: list[str]) -> dict[str, Any]:
    threads = torch.get_num_threads()
    try:
        assert main([f"--out={folder}", "--device=cpu", "--toy", f"--only={','.join(parts)}"]) == 0
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = False
    found: dict[str, Any] = json.loads((folder / "check.json").read_text())
    assert sorted(found) == sorted(parts)
    assert [name for name, part in found.items() if part.get("wrong") or "error" in part] == []
    return found


def untimed(found: Any) -> Iterator[str]:
    """The errors that stand where a number should."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from untimed(value)
        elif isinstance(value, str) and name != "formulation":
            yield f"{name}: {value}"


@pytest.mark.filterwarnings("default")
def test_the_check_runs_at_toy_sizes(tmp_path: Path) -> None:
    found = checked(tmp_path, QUICK)
    assert [line for name in TIMED for line in untimed(found[name])] == []


@pytest.mark.filterwarnings("default")
def test_what_it_does_on_a_gpu_alone_runs_with_fake_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_graph.install(monkeypatch)
    for module in (loop, speed):
        monkeypatch.setattr(module, "capturable", lambda _: True)
    monkeypatch.setattr(Replay, "seconds", lambda replay: timed(replay.graph.replay, torch.device("cpu")))
    found = checked(tmp_path, ["steps", "loops"])
    assert [line for part in found.values() for line in untimed(part)] == []


@pytest.mark.parametrize("fault", [faults.refused, faults.refused_and_went_on])
def test_faults_are_what_they_are_called(
    fault: Callable[[torch.device], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_graph(*_: object) -> None:
        raise CaptureError("not permitted when stream is capturing")

    monkeypatch.setattr(loop, "capturable", lambda _: True)
    monkeypatch.setattr(loop, "Replay", no_graph)
    with pytest.raises((UserWarning, AssertionError), match=r"not permitted|trained all the same"):
        fault(torch.device("cpu"))


def test_the_suites_are_held_to_the_reference_report() -> None:
    reference = json.loads(suites.REFERENCE.read_text())
    compared = suites._compared(reference, reference)
    assert len(compared) == len(reference["claims"])
    assert all(one["here"] == one["reference"] and one["largest shift"] == 0 for one in compared.values())


def test_what_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> dict[str, object]:
        raise RuntimeError("this GPU is broken")

    monkeypatch.setitem(PARTS, "exactness", (failing, 0))
    assert main([f"--out={tmp_path}", "--device=cpu", "--toy", "--only=exactness"]) == 1
    assert "this GPU is broken" in json.loads((tmp_path / "check.json").read_text())["exactness"]["error"]
