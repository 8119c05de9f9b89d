"""The report: its numbers, drawings and XML, its files, and what the command line says of evidence of every kind."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from ilr.__main__ import main
from ilr.report.ci.junit import render_junit
from ilr.report.evidence import FindingEvidence, History, Invocation, TrainedBy
from ilr.report.files import MADE, read_evidence, render_again, write_report
from ilr.report.findings import finding_texts
from ilr.report.numbers import duration, measured, p_value, registered, size
from ilr.report.page.intervals import interval_plot
from ilr.version import __version__
from tests.report.reading import Page, with_claims
from tests.sample_evidence import REPORTS, claim, finding, in_schema_1, sample_evidence, typed

ROOT = Path(__file__).parents[2]


def typed_finding(**changes: Any) -> FindingEvidence:
    return msgspec.convert(finding("x", **changes), FindingEvidence)


# --- numbers


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0.31967, 0.0172, "0.320"),
        (10.0213, 0.11, "10.02"),
        (10.02, 10.07 - 9.97, "10.02"),
        (0.0001, 0.0014, "0.0001"),
        (-54.2, 78, "−54"),
        (123456.0, 3000.0, "123,500"),
        (1.2346e8, 2e6, "1.235 × 10⁸"),
        (3.21e-7, 4e-8, "3.21 × 10⁻⁷"),
        (0.0, 0.1, "0"),
        (-0.0004, 0.1, "−0.0004"),
        (4.8e-6, 7e-4, "5 × 10⁻⁶"),
        (9.96e-16, 2e-16, "1.0 × 10⁻¹⁵"),
        (2 / 3, 0.0, "0.6667"),
    ],
)
def test_a_measured_number_has_the_digits_it_deserves(value: float, width: float, text: str) -> None:
    assert measured(value, width).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "margin", "text"),
    [
        (10**-0.5, 0.03, "0.3162"),
        (0.1 + 0.2, 0.01, "0.3"),
        (10.0001, 0.0002, "10.0001"),
        (0.0, 0.002, "0"),
        (0.92, 0.0, "0.92"),
        (5e-7, 1e-7, "5 × 10⁻⁷"),
        (100.0, 0.0, "100"),
    ],
)
def test_a_registered_number_has_no_idle_zeros(value: float, margin: float, text: str) -> None:
    assert registered(value, margin).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("p", "alpha", "text"),
    [
        (0.0, 0.005, "<0.001"),
        (0.0046, 0.005, "0.0046"),
        (0.005004, 0.005, "0.005004"),
        (0.005, 0.005, "0.0050"),
        (0.2345, 0.005, "0.23"),
        (1.0, 0.005, ">0.999"),
        (0.0003, 0.0002, "0.00030"),
        (0.00001, 0.0002, "<0.0001"),
    ],
)
def test_a_p_value_never_rounds_onto_its_alpha(p: float, alpha: float, text: str) -> None:
    assert p_value(p, alpha) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (59.96, "1 min 0 s"), (141.2, "2 min 21 s"), (3599.9, "1 h 0 min"), (9000, "2 h 30 min")],
)
def test_a_duration_has_two_units(seconds: float, text: str) -> None:
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_rounding_never_hides_on_which_side_of_a_bound_an_interval_ends() -> None:
    found = typed_finding(estimate=0.0017, interval=[None, 0.0020004], accepted=[None, 0.002], margin=0.002)
    assert finding_texts([found])[0].interval == "at most 0.0020004"
    on_the_bound = msgspec.structs.replace(found, interval=(None, 0.002))
    assert finding_texts([on_the_bound])[0].interval == "at most 0.00200"


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ([0.1, 0.5], "0.10 to 0.50"),
        ([0.1, None], "at least 0.10"),
        ([None, None], "any value"),
        ([0.3197, 0.3197], "0.3197 to 0.3197"),
    ],
)
def test_a_range_in_words(interval: list[float | None], text: str) -> None:
    assert finding_texts([typed_finding(interval=interval)])[0].interval == text


# --- drawings


def drawing(**changes: Any) -> ElementTree.Element:
    return ElementTree.fromstring(interval_plot(typed_finding(**changes)))


def path(element: ElementTree.Element, kind: str) -> str:
    """The data of a part of the drawing; empty where it has none."""
    part = element.find(f"path[@class='{kind}']")
    return "" if part is None else part.get("d", "")


def places(element: ElementTree.Element, kind: str) -> list[float]:
    """Where each stroke of a part begins, from left to right of the page."""
    return [float(one) for one in re.findall(r"M(-?[\d.]+)", path(element, kind))]


def ends(element: ElementTree.Element) -> tuple[float, float]:
    """Both ends of the interval."""
    found = re.match(r"M(-?[\d.]+) [\d.]+H(-?[\d.]+)", path(element, "interval"))
    assert found is not None
    return float(found[1]), float(found[2])


def estimate(element: ElementTree.Element) -> float:
    circle = element.find("circle")
    assert circle is not None
    return float(circle.get("cx", "nan"))


def test_a_drawing_puts_everything_in_the_order_of_its_values() -> None:
    element = drawing(estimate=0.5, interval=[0.4, 0.6], expected=0.3, accepted=[0.2, 0.45])
    low, high = places(element, "bound")
    left, right = ends(element)
    assert low < places(element, "expected")[0] < left < high < estimate(element) < right
    # Two caps and no arrow.
    assert places(element, "interval") == [left, left, right]
    assert "L" not in path(element, "interval")


def test_a_drawing_leaves_the_numbers_to_the_cells_around_it() -> None:
    assert drawing().get("aria-hidden") == "true"


@pytest.mark.parametrize("interval", [[None, 0.4], [0.2, None], [None, None]])
def test_an_open_end_is_an_arrow_beyond_every_value(interval: list[float | None]) -> None:
    element = drawing(interval=interval)
    tips = [float(one) for one in re.findall(r"L(-?[\d.]+)", path(element, "interval"))[::2]]
    assert len(tips) == interval.count(None)
    marks = [*places(element, "bound"), estimate(element)]
    assert all(tip < min(marks) - 20 or tip > max(marks) + 20 for tip in tips)


def test_an_open_accepted_range_reaches_the_edge() -> None:
    element = drawing(accepted=[None, 0.4])
    band = element.find("rect")
    assert band is not None
    assert float(band.get("x", "nan")) == 0
    assert len(places(element, "bound")) == 1


def test_a_narrow_accepted_range_is_still_seen() -> None:
    element = drawing(estimate=1e6, interval=[0.9e6, 1.1e6])
    band = element.find("rect")
    assert band is not None
    assert float(band.get("width", "nan")) >= 2


def test_values_that_all_coincide_are_drawn_in_the_middle() -> None:
    element = drawing(estimate=1.0, interval=[1.0, 1.0], expected=1.0, accepted=[1.0, 1.0])
    assert estimate(element) == 120


# --- JUnit


def test_junit_counts_every_verdict_as_what_it_is() -> None:
    evidence = sample_evidence()
    suite = ElementTree.fromstring(render_junit(typed(evidence)).encode())[0]
    assert suite.tag == "testsuite"
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "7",
        "failures": "3",
        "errors": "1",
        "skipped": "1",
        "time": "141.200",
    }
    cases = suite.findall("testcase")
    expected = {
        "REPRODUCED": [],
        "REFUTED": ["failure"],
        "UNSOUND": ["failure"],
        "INCONCLUSIVE": ["failure"],
        "ERROR": ["error"],
        "NOT RUN": ["skipped"],
    }
    for case, told in zip(cases, evidence["claims"], strict=True):
        assert (case.get("classname"), case.get("name")) == ("claims", told["id"])
        assert float(case.get("time", "nan")) == told["seconds"]
        assert [child.tag for child in case] == ["properties", *expected[told["verdict"]]]
        for child in case[1:]:
            assert child.get("message", "").startswith(told["verdict"])


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (
            "heavy-tailed-noise",
            "REFUTED: tail index α̂: REFUTED, estimate 1.997, interval 1.991 to 2.003, accepted at most 1.7",
        ),
        ("norm-follows-square-root", "UNSOUND: The control own-norm was reproduced too."),
        ("full-batch-spikes", "ERROR: FloatingPointError in judge"),
        ("cifar-test-accuracy", "NOT RUN: Needs CIFAR-10 and GPUs: it runs at full scale only."),
    ],
)
def test_junit_says_why(identity: str, message: str) -> None:
    suites = ElementTree.fromstring(render_junit(typed(sample_evidence())).encode())
    case = suites.find(f".//testcase[@name='{identity}']")
    assert case is not None
    assert case[1].get("message", "").startswith(message)


def test_junit_tells_an_unsound_control_where_the_claim_has_no_message() -> None:
    evidence = sample_evidence()
    evidence["claims"][4]["message"] = ""
    case = ElementTree.fromstring(render_junit(typed(evidence))).find(".//testcase[@name='norm-follows-square-root']")
    assert case is not None
    assert case[1].get("message") == "UNSOUND: control own-norm is not sound: REPRODUCED"


def test_characters_xml_cannot_hold_are_replaced(tmp_path: Path) -> None:
    evidence = with_claims([claim("one", "ERROR", message="\x1b[31mred\x1b[0m \x00 \ud800 <&>")])
    write_report(evidence, tmp_path)
    case = ElementTree.parse(tmp_path / "junit.xml").find(".//error")
    assert case is not None
    assert case.get("message") == "ERROR: red \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER} <&>"
    assert read_evidence(tmp_path) == evidence


# --- files


def test_a_report_is_its_evidence_and_what_is_made_of_it(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "report"
    write_report(typed(sample_evidence()), directory)
    assert sorted(path.name for path in directory.iterdir()) == sorted(["evidence.json", *MADE])
    assert read_evidence(directory) == typed(sample_evidence())
    written = (directory / "evidence.json").read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(json.dumps(sample_evidence()))
    assert written.startswith('{\n "schema": 2,\n "scale": "tiny"')


def test_evidence_of_schema_1_is_read_with_what_is_new_left_empty(tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_text(json.dumps(in_schema_1(sample_evidence())), encoding="utf-8")
    evidence = read_evidence(tmp_path)
    assert (evidence.schema, evidence.seed, evidence.invocation) == (2, 0, Invocation())
    first = evidence.claims[0]
    assert (first.looks, first.history, first.digests, first.values) == ((), History(), {}, {})
    assert first.findings == typed(sample_evidence()).claims[0].findings
    assert first.controls[0].values == {}
    assert {one.trained_by for one in evidence.experiments.values()} == {TrainedBy()}
    main(["report", str(tmp_path)])
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "History" not in page.text()
    assert "steps to equilibrium × 4λ_e" in page.text()


@pytest.mark.parametrize("report", REPORTS)
def test_the_reference_reports_are_what_their_evidence_says(report: str, tmp_path: Path) -> None:
    reference = ROOT / "reports" / "reference" / report
    (tmp_path / "evidence.json").write_bytes((reference / "evidence.json").read_bytes())
    render_again(tmp_path)
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (reference / name).read_bytes()


def test_the_evidence_alone_makes_the_same_report_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_report(typed(sample_evidence()), first)
    second.mkdir()
    (second / "evidence.json").write_bytes((first / "evidence.json").read_bytes())
    assert main(["report", str(second)]) == 0
    assert capsys.readouterr().out == f"{second / 'index.html'}\n"
    for name in ("evidence.json", "index.html", "junit.xml"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize(("field", "value"), [("estimate", float("nan")), ("interval", (0.1, float("inf")))])
def test_evidence_with_nan_is_refused_and_writes_nothing(tmp_path: Path, field: str, value: object) -> None:
    told = with_claims([claim("one", "REPRODUCED", findings=[finding("x")])]).claims[0]
    nan = msgspec.structs.replace(told.findings[0], **{field: value})
    told = msgspec.structs.replace(told, findings=(nan,))
    evidence = msgspec.structs.replace(with_claims([]), claims=(told,))
    with pytest.raises(ValueError, match="JSON"):
        write_report(evidence, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_report_that_cannot_be_drawn_keeps_the_evidence(tmp_path: Path) -> None:
    evidence = with_claims([claim("one", "NOT RUN", figures=["no figure"])])
    with pytest.raises(ValueError, match=r"evidence\.json: figure 1 of the claim 'one'"):
        write_report(evidence, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.json"]
    assert read_evidence(tmp_path) == evidence


def test_whoever_reads_a_report_while_it_is_written_again_reads_the_old_one(tmp_path: Path) -> None:
    write_report(typed(sample_evidence()), tmp_path)
    for name in ("evidence.json", "index.html", "junit.xml"):
        whole = (tmp_path / name).read_text(encoding="utf-8")
        with (tmp_path / name).open(encoding="utf-8") as reader:
            write_report(with_claims([]), tmp_path)
            assert reader.read() == whole
        write_report(typed(sample_evidence()), tmp_path)


def test_a_write_that_fails_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(typed(sample_evidence()), tmp_path)

    def fill_the_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        write_report(with_claims([]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["evidence.json", *MADE])
    assert len(read_evidence(tmp_path).claims) == 7


def test_evidence_of_another_encoding_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"^[^\n]*evidence\.json is not JSON: [^\n]*$"):
        read_evidence(tmp_path)


# --- the command line


def test_a_directory_that_cannot_be_read_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evidence.json").mkdir()
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["report"]])
def test_wrong_arguments_are_one_clear_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("ilr")
    assert error.count("\n") == 1


def test_the_module_runs() -> None:
    done = subprocess.run([sys.executable, "-m", "ilr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"ilr {__version__}\n"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (3 * 2**20, "3 MiB"), (2**31, "2 GiB"), (1020 * 1024, "1020 KiB")]
)
def test_sizes_are_read_at_a_glance(number: int, text: str) -> None:
    assert size(number).replace("\N{NO-BREAK SPACE}", " ") == text
