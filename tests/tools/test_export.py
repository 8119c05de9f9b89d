"""Numbers and figures taken out of a report: nothing is lost, nothing hostile gets out."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ilr.__main__ import main
from ilr.report.files import read_evidence, write_report
from ilr.tools.figures import figures_of
from ilr.tools.tables import FINDING_COLUMNS, VALUE_COLUMNS, as_csv, finding_rows, value_rows
from tests.claim_files import write_claim
from tests.conftest import Run
from tests.sample_evidence import claim, finding, sample_evidence, typed

SVG = '<svg xmlns="http://www.w3.org/2000/svg">'
REFERENCE = Path(__file__).parents[2] / "reports" / "reference"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_finding_is_a_row_with_all_digits() -> None:
    evidence = typed(sample_evidence())
    found = rows(as_csv(FINDING_COLUMNS, finding_rows(evidence)))
    expected = sum(len(one.findings) for one in evidence.claims)
    expected += sum(len(one.findings) for told in evidence.claims for one in told.controls)
    assert len(found) == expected
    [tail] = [row for row in found if row["finding"] == "tail index α̂"]
    assert (tail["claim"], tail["control"], tail["verdict"]) == ("heavy-tailed-noise", "", "REFUTED")
    assert float(tail["estimate"]) == 1.9968
    assert (tail["accepted_low"], tail["accepted_high"]) == ("", "1.7")
    assert (tail["scale"], tail["seed"]) == ("tiny", "0")


def values_of(samples: Any, n: int) -> list[dict[str, str]]:
    told = claim("one", "REPRODUCED", findings=[finding("x", n=n)], values={"x": samples})
    return rows(as_csv(VALUE_COLUMNS, value_rows(typed(sample_evidence() | {"claims": [told]}))))


def test_a_value_knows_its_replica() -> None:
    one, two = values_of([[[0.1, 0.2], [0.3, 0.4]]], 2)[1::2]
    assert (one["sample"], one["place"], one["replica"], one["value"]) == ("1", "0,1", "0", "0.2")
    assert (two["place"], two["replica"], two["value"]) == ("1,1", "1", "0.4")


def test_a_list_of_groups_counts_replicas_second() -> None:
    """Groups may differ in size; the points at which they were measured belong to no replica."""
    places, groups = [1.0, 2.0], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6, 0.7]]
    found = values_of([places, groups], 3)
    assert [row["replica"] for row in found[:2]] == ["", ""]
    assert [(row["place"], row["replica"]) for row in found[-2:]] == [("1,2", "2"), ("1,3", "3")]
    assert values_of([[0.5], 0.25], 3)[1]["place"] == ""


def test_a_run_exports_what_its_findings_rest_on(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    run()
    evidence = read_evidence(pytester.path / "reports" / "tiny")
    found = list(value_rows(evidence))
    assert [(row["control"], row["replica"]) for row in found] == [
        (control, replica) for control in ("", "decay") for replica in range(6)
    ]
    own = [row["value"] for row in found if not row["control"]]
    assert np.mean(own) == pytest.approx(evidence.claims[0].findings[0].estimate)
    assert {row["rule"] for row in found} == {"at_least"}


def test_a_run_exports_what_its_figures_show(
    pytester: pytest.Pytester, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_claim(pytester.path / "claims", "reproduced")
    plotted = 'axes.plot(recordings["run"].final("weight_norm"))'
    assert plotted in path.read_text()
    path.write_text(path.read_text().replace(plotted, f'{plotted[:-1]}, label="w")'))
    run()
    folder = pytester.path / "reports" / "tiny"
    capsys.readouterr()
    assert main(["export", str(folder), "--csv", "--figures=pdf"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    points = rows((folder / "export" / "curves" / "reproduced.csv").read_text())
    values = [row["value"] for row in value_rows(read_evidence(folder)) if not row["control"]]
    assert [row["line"] for row in points] == ["w"] * 6
    assert [float(row["y"]) for row in points] == pytest.approx(values, rel=1e-5)


def test_the_command_writes_files_and_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(typed(sample_evidence()), tmp_path)
    assert main(["export", str(tmp_path), "--csv", "--figures=svg,png,pdf"]) == 0
    names = [f"lr-drop-square-root-law{second}.{kind}" for second in ("", "-2") for kind in ("svg", "png", "pdf")]
    folder = tmp_path / "export"
    expected = [folder / "findings.csv", folder / "values.csv", *(folder / "figures" / name for name in names)]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in expected]
    svg, png, pdf = (path.read_bytes() for path in expected[2:5])
    assert svg.decode() == sample_evidence()["claims"][0]["figures"][0]
    assert pdf.startswith(b"%PDF-")
    with Image.open(io.BytesIO(png)) as image:
        # 6.2 × 3.4 inches, most of it white.
        assert image.size == pytest.approx((1240, 680), abs=2)
        pixels = np.asarray(image.convert("L"))
    assert 0.01 < (pixels < 128).mean() < 0.3
    assert (pixels > 250).mean() > 0.6


def test_an_evidence_file_and_a_folder_of_ones_own(tmp_path: Path) -> None:
    assert main(["export", str(REFERENCE / "tiny" / "evidence.json"), "--figures=svg", f"--to={tmp_path}"]) == 0
    written = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert written == {one.name for one in figures_of(read_evidence(REFERENCE / "tiny"))}
    assert len(written) >= 18


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to export: give --csv, --figures=svg,png,pdf or both"),
        (["--figures=svg,gif"], "--figures=svg,gif: 'gif' is none of svg, png, pdf"),
        (["--figures="], "--figures=: '' is none of svg, png, pdf"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(REFERENCE / "tiny"), *arguments]) == 2
    assert capsys.readouterr().err == f"ilr: {complaint}\n"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"identity": "../../escaped"}, r"the claim '../../escaped' cannot name a file"),
        ({"figure": "no svg"}, "figure 1 of 'one' is not well-formed SVG"),
        ({"figure": "<p/>"}, "is not an SVG file"),
        ({"figure": f"{SVG}<script>alert(1)</script></svg>"}, "is no figure: it holds <script>"),
        ({"figure": f'{SVG}<meta http-equiv="refresh" content="0"/></svg>'}, "is no figure: it holds <meta>"),
        ({"figure": '<svg onload="alert(1)"/>'}, "is no figure: its <svg> has the attribute onload"),
        ({"figure": f'{SVG}<image href="https://example.org/x.png"/></svg>'}, "refers to something outside of it"),
        ({"figure": f'{SVG}<rect style="fill: url(https://example.org)"/></svg>'}, "refers to something outside of it"),
        ({"figure": f"{SVG}<style>@import 'https://example.org'</style></svg>"}, "its style sheet loads something"),
        ({"figure": f"{SVG}<metadata><script>alert(1)</script></metadata></svg>"}, "its metadata hold <script>"),
        ({"figure": f'{SVG}<metadata><p xmlns="http://www.w3.org/1999/xhtml"/></metadata></svg>'}, "metadata hold <p>"),
    ],
)
def test_hostile_evidence_is_one_line_and_writes_nothing(
    changes: dict[str, str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = claim(changes.get("identity", "one"), "REPRODUCED", figures=[changes.get("figure", "<svg/>")])
    (tmp_path / "evidence.json").write_text(json.dumps(sample_evidence() | {"claims": [told]}), encoding="utf-8")
    assert main(["export", str(tmp_path), "--figures=svg"]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (tmp_path / "export").exists()


def test_without_typst_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    assert main(["export", str(REFERENCE / "tiny"), "--figures=svg,png", f"--to={tmp_path}"]) == 2
    assert capsys.readouterr().err == "ilr: --figures=png needs the package typst: python -m pip install typst\n"
