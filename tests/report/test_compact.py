"""Figures in few bytes: they look the same, and a page of all claims is no burden."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest

from ilr.report.files import read_evidence
from ilr.report.page.html import render_html
from ilr.report.svg.compact import LONG_PATH, shortened
from ilr.report.svg.inline import Figure
from ilr.report.svg.points import in_groups
from tests.sample_evidence import figure

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
CLAIMS, MOST_OF_A_PAGE = 28, 2_500_000
"""A page of so many claims has at most so many bytes."""
MOST_OF_A_FIGURE = 60_000
"""Bytes, at most. In `ilr.trials.testing` it is more: figures are drawn from noise there."""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'


@pytest.mark.parametrize("scale", ["tiny", "reduced"])
def test_a_page_of_all_claims_is_no_burden(scale: str) -> None:
    evidence = read_evidence(REFERENCE / scale)
    page = render_html(evidence)
    sections = re.findall(r'<section class="claim .*?</section>', page, flags=re.DOTALL)
    assert len(sections) == len(evidence.claims)
    of_claims = sum(len(section.encode()) for section in sections)
    assert len(page.encode()) + of_claims * (CLAIMS / len(sections) - 1) <= MOST_OF_A_PAGE


@pytest.mark.parametrize("scale", ["tiny", "reduced"])
def test_a_figure_is_a_small_part_of_its_page(scale: str) -> None:
    for claim in read_evidence(REFERENCE / scale).claims:
        for text in claim.figures:
            panels = Figure.parse(text, "figure-1-1-").panels
            assert sum(len(panel.svg.encode()) for panel in panels) <= MOST_OF_A_FIGURE, claim.id


def places(path: str) -> npt.NDArray[np.float64]:
    """The places of a path that has only lines, as `shortened` writes it."""
    found: list[npt.NDArray[np.float64]] = []
    for command, numbers in re.findall(r"([Ml])([^Mlz]*)", path):
        for pair in np.array(re.findall(r"-?\d*\.?\d+", numbers), np.float64).reshape(-1, 2):
            found.append(pair if command == "M" else found[-1] + pair)
    return np.array(found)


def distance(point: npt.NDArray[np.float64], line: npt.NDArray[np.float64]) -> float:
    """From a point to the nearest place of a line through several."""
    start, along = line[:-1], np.diff(line, axis=0)
    share = np.clip(((point - start) * along).sum(1) / np.maximum((along**2).sum(1), 1e-12), 0, 1)
    return float(np.hypot(*(point - start - share[:, None] * along).T).min())


def curve(points: int, noise: float) -> npt.NDArray[np.float64]:
    """A curve over a panel, [point, x and y]."""
    x = np.linspace(0, 250, points)
    return np.stack([x, 90 + 40 * np.sin(x / 20) + np.random.default_rng(1).normal(0, noise, points)], axis=1)


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
def test_a_thinned_curve_passes_within_a_fraction_of_its_width_of_every_point(noise: float) -> None:
    points = curve(500, noise)
    path = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    short = shortened(path)
    drawn = places(short)
    assert len(short) < 0.6 * len(path)
    # A tenth of a unit for the thinning, half a tenth for the digits; the line is 1.4 wide.
    assert max(distance(point, drawn) for point in points) < 0.18
    assert np.abs(drawn[[0, -1]] - points[[0, -1]]).max() < 0.051


def test_what_is_straight_needs_two_points() -> None:
    path = "M " + " L ".join(f"{step * 0.5:.1f} 3" for step in range(200))
    assert len(path) > LONG_PATH
    assert shortened(path) == "M0 3l99.5 0"


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 0 2 C 0.5303 2 1.0391 1.7894 1.4142 1.4142 z", "M0 2c.53 0 1.04-.21 1.41-.59z"),
        ("M 0 0 L 0 3.5", "M0 0l0 3.5"),
        ("M 1 1 L 2 2 z M 5 5 L 4 5", "M1 1l1 1zM5 5l-1 0"),
        ("M -0.004 0 L 0.004 0", "M0 0l0 0"),
        ("M 0 0 A 1 1 0 0 0 2 2", "M 0 0 A 1 1 0 0 0 2 2"),
        ("m 0 0 l 1 1", "m 0 0 l 1 1"),
        ("M 0 0 L 1", "M 0 0 L 1"),
        ("M 1e9 0  L 1 1", "M 1e9 0 L 1 1"),
        ("", ""),
    ],
)
def test_a_path_is_said_shortly_or_left_as_it_is(path: str, short: str) -> None:
    assert shortened(path) == short


def drawn(inside: str) -> ElementTree.Element:
    [panel] = Figure.parse(f"{SVG}{inside}</svg>", "f-").panels
    return ElementTree.fromstring(panel.svg)


def test_what_is_used_once_is_drawn_where_it_is_used() -> None:
    defined = '<defs><path id="a" d="M 0 0 L 1 0" style="stroke: #000000"/></defs>'
    root = drawn(f'<g>{defined}<use xlink:href="#a" x="2" y="3" style="fill: none"/></g>')
    assert [(one.tag, one.get("d"), one.get("style")) for one in root] == [
        ("path", "M2 3l1 0", "fill:none;stroke:var(--ink,#000000)")
    ]


def test_what_is_used_often_is_defined_once() -> None:
    defined = '<defs><path id="a" d="M 0 0 L 1 0" style="stroke: #000000"/></defs>'
    uses = '<use xlink:href="#a" x="2" y="3" style="stroke: #000000"/>' * 2
    root = drawn(defined + uses)
    assert [(one.tag, one.get("href"), one.get("style")) for one in root.iter("use")] == [("use", "#f-a", None)] * 2
    assert len(list(root.iter("path"))) == 1


def test_opacity_is_never_said_of_a_group_of_parts() -> None:
    defined = '<defs><path id="a" d="M 0 0 L 1 0"/></defs>'
    uses = '<use xlink:href="#a" x="2" y="3" style="opacity: 0.4"/>' * 2
    root = drawn(f"{defined}<g>{uses}</g>")
    sheet = root.findtext("style") or ""
    [declared] = re.findall(r"\.([\w-]+)\{opacity:0\.4\}", sheet)
    assert [one.get("class") for one in root.iter("use")] == [declared] * 2


def test_the_same_figure_is_the_same_text() -> None:
    text = figure("a", "b")
    assert Figure.parse(text, "f-") == Figure.parse(text, "f-")


def test_a_table_of_points_names_each_line_once() -> None:
    table = 'panel,line,x,y\nnorm,"a, b",0,1\nnorm,"a, b",1,2.5\n,c,0,-1e-05\n'
    assert in_groups(table) == 'panel,line,x,y\n=norm,"a, b"\n0,1 1,2.5\n=,c\n0,-1e-05'
    assert in_groups('panel,line,x,y\np,"two\nlines",0,1') == "panel,line,x,y\n=p,two lines\n0,1"


@pytest.mark.parametrize("table", ["", "x,y\n1,2", "panel,line,x,y\na,b,c", "panel,line,x,y\na,b,1 2,3"])
def test_another_kind_of_table_is_left_as_it_is(table: str) -> None:
    assert in_groups(table) == ""


def test_a_table_without_points_is_its_header() -> None:
    assert in_groups("panel,line,x,y\n") == "panel,line,x,y"
