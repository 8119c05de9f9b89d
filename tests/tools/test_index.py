"""One page over all reports under a folder."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ilr.__main__ import main
from ilr.report.files import write_report
from ilr.tools.index import index_of
from tests.sample_evidence import REPORTS, claim, finding, sample_evidence, typed

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
FULL = {"command": "pytest claims", "selected": ["claims"], "overrides": {}}


def write(folder: Path, **changes: Any) -> None:
    claims = [
        claim("one", "REPRODUCED", findings=[finding("x")]),
        claim("two", "REFUTED", title="<b>Two</b>", findings=[finding("x", "REFUTED")]),
    ]
    write_report(typed(sample_evidence() | {"claims": claims, "invocation": FULL} | changes), folder)


def test_every_report_is_a_row_with_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "tiny")
    write(
        tmp_path / "deep" / "a b",
        seed=7,
        invocation=FULL | {"selected": ["claims", "-k", "one"], "overrides": {"--replicas": "8"}},
    )
    (tmp_path / "robustness.html").write_text("matrix")
    assert main(["index", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<a href="tiny/index.html">tiny</a>' in page
    assert '<a href="deep/a%20b/index.html">deep/a b</a>' in page
    assert '<a href="robustness.html">' in page
    assert "claims -k one --replicas=8" in page
    assert page.count("1 of 2 claims REPRODUCED, 1 REFUTED") == 2
    assert "<b>" not in page


def test_reports_of_a_scale_stand_together_the_latest_first(tmp_path: Path) -> None:
    write(tmp_path / "old")
    write(tmp_path / "new", started="2026-11-23T23:30:00Z")
    write(tmp_path / "other", scale="full", started="2026-01-01T00:00:00Z")
    assert [run.name for run in index_of(tmp_path).runs] == ["other", "new", "old"]


def test_a_report_that_cannot_be_read_costs_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "evidence.json").write_text("{")
    assert main(["index", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"left out: {tmp_path / 'bad' / 'evidence.json'} is not JSON")
    assert "is not JSON" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_report_is_not_overwritten_by_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    before = (tmp_path / "index.html").read_bytes()
    assert main(["index", str(tmp_path)]) == 2
    assert "holds a report" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_bytes() == before


def test_a_folder_without_reports_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"ilr: {tmp_path} has no evidence.json under it\n"


def test_the_reference_reports_have_an_index(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path / "reference")
    index = index_of(tmp_path)
    names = {run.name for run in index.runs if not run.name.startswith("reference/matrix/")}
    assert names == {f"reference/{name}" for name in REPORTS}
    assert len(index.claims) >= 18
