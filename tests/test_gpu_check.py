"""The check of a GPU runs at toy sizes on a CPU, so that it does not waste the minutes of one."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import PARTS, main

QUICK = sorted(set(PARTS) - {"suites"})
"""The suites start pytest twice."""


@pytest.mark.filterwarnings("default")
def test_the_check_runs_at_toy_sizes(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        assert main([f"--out={tmp_path}", "--device=cpu", "--toy", f"--only={','.join(QUICK)}"]) == 0
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = False
    found = json.loads((tmp_path / "check.json").read_text())
    assert sorted(found) == QUICK
    assert [name for name, part in found.items() if part.get("wrong") or "error" in part] == []
    for net in found["steps"].values():
        if isinstance(net, dict):
            assert all(isinstance(row, dict) for row in net.values()), net


def test_what_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> dict[str, object]:
        raise RuntimeError("this GPU is broken")

    monkeypatch.setitem(PARTS, "exactness", (failing, 0))
    assert main([f"--out={tmp_path}", "--device=cpu", "--toy", "--only=exactness"]) == 1
    assert "this GPU is broken" in json.loads((tmp_path / "check.json").read_text())["exactness"]["error"]
