"""The notebook of docs/ runs from its first cell to its last, comes to verdicts, and is kept without outputs."""

import ast
import json
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

NOTEBOOK = json.loads((Path(__file__).parents[1] / "docs" / "explore.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert {cell["cell_type"] for cell in NOTEBOOK["cells"]} == {"code", "markdown"}
    for cell in CODE:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_it_runs_and_comes_to_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mpl.use("agg")
    monkeypatch.setattr("ilr.alone.CACHE", tmp_path)
    names: dict[str, object] = {}
    shown = None
    for cell in CODE:
        body = ast.parse("".join(cell["source"])).body
        # What a notebook shows below a cell: the value of its last line.
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), cell["id"], "exec"), names)
        shown = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names) if last else None
    out = capsys.readouterr().out
    assert "at the end: REPRODUCED" in out
    assert "after 10 steps: REFUTED" in out
    assert isinstance(shown, Figure)
    assert [*tmp_path.iterdir()]
