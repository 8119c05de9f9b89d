"""The page in a browser, headless: where one is installed; it says so where there is none."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilr.report.page.html import render_html
from ilr.tools.index import write_index
from ilr.tools.matrix import write_matrix
from ilr.trials.plotting import draw_band, in_style, new_figure, to_svg
from tests.report.reading import with_claims
from tests.sample_evidence import sample_evidence

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not tried in a browser")
axe = pytest.importorskip("axe_playwright_python.base", reason="no axe: the page is not tried in a browser")

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: the page is not tried in a browser"),
    # Of the loop that the browser's client leaves behind.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

DRAWN = "#claim-function-space-equilibrium figure"
"""The figure of two panels."""
NORMS = ("batch", "group", "layer", "weight", "none")
WIDTHS = (390, 1024, 1280, 2560)
GUIDELINES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
HALF_OF_WHAT_IT_WAS = 1228
"""Pixels at a width of 1280: sections of the report at reduced of 22 November were 2,456 high in the mean."""
HEIGHTS = """() => [...document.querySelectorAll("section.claim")].map((one) => one.getBoundingClientRect().height)"""
SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll(".panels svg")].flatMap((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll("text")].map((text) => parseFloat(getComputedStyle(text).fontSize) * scale);
}))"""
FROM_TITLE_TO_FIGURE = """() => Math.max(...[...document.querySelectorAll("section.claim")]
  .filter((claim) => claim.querySelector(".plate"))
  .map((claim) => claim.querySelector(".plate").getBoundingClientRect().top - claim.getBoundingClientRect().top))"""


def drawn() -> str:
    """A figure of two panels, as a claim draws it."""
    with in_style():
        figure, panels = new_figure("The norm of the weights against the step.", panels=2)
        for axes in panels:
            draw_band(axes, range(1, 6), np.arange(20.0).reshape(4, 5) + 1, "measured")
            axes.set(xlabel="step", ylabel="norm", yscale="log", title="growth")
            axes.legend()
        return to_svg(figure, "claim")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    claims = sample_evidence()["claims"]
    claims[1]["figures"] = [drawn()]
    path: Path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(render_html(with_claims(claims)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # In a container there is no sandbox to be had, and the page is ours.
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at 1280 pixels; whatever it says to the console, or asks of the network, fails its test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request", lambda request: said.append(request.url) if request.url[:5] not in ("file:", "blob:") else None
    )
    opened.goto(address)
    yield opened
    opened.close()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_anybody_can_use_it(browser: Any, address: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(SMALLEST_TEXT) >= 9
    assert page.evaluate(FROM_TITLE_TO_FIGURE) <= 900
    # Folded parts are tried, too.
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate(axe.AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run(document, {{ runOnly: {GUIDELINES} }})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scale", ["tiny", "reduced"])
def test_a_report_of_ours_fits_and_can_be_read(browser: Any, scale: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((REFERENCE / scale / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(FROM_TITLE_TO_FIGURE) <= 900
    if width == min(WIDTHS):
        assert page.evaluate(SMALLEST_TEXT) >= 9
    page.close()


@pytest.fixture(scope="module")
def over_reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pages over reports: a matrix of two variations, one of more than have room for words, an index."""
    folder = tmp_path_factory.mktemp("over")
    for name, norms in (("few", NORMS[:2]), ("many", NORMS)):
        for norm in norms:
            invocation = {"command": "pytest", "selected": [], "overrides": {"--norm": norm}}
            place = folder / name / f"norm-{norm}"
            place.mkdir(parents=True)
            (place / "evidence.json").write_text(json.dumps(sample_evidence() | {"invocation": invocation}))
        write_matrix(folder / name, ["norm"])
    write_index(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("few/index.html", 1280, "dark"), ("many/index.html", 390, "light"), ("index.html", 390, "dark")],
)
def test_a_page_over_reports_fits_and_anybody_can_use_it(
    browser: Any, over_reports: Path, name: str, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page.goto((over_reports / name).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for one in WIDTHS:
        page.set_viewport_size({"width": one, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(axe.AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run(document, {{ runOnly: {GUIDELINES} }})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    page.close()


def test_a_claim_is_half_as_high_as_it_was(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((REFERENCE / "reduced" / "index.html").as_uri())
    heights = page.evaluate(HEIGHTS)
    page.close()
    assert sum(heights) / len(heights) <= HALF_OF_WHAT_IT_WAS


def test_every_figure_has_a_name_and_words(page: Any) -> None:
    figures = page.locator("figure.drawing .panels[role=img]")
    assert figures.count() == 3
    for figure in figures.all():
        assert figure.get_attribute("aria-label")
        words = page.locator(f"#{figure.get_attribute('aria-describedby')}")
        assert words.text_content().strip()
    assert "measured: from 8.5 at 1 to 12.5 at 5" in page.locator(DRAWN).text_content()


def test_panels_stand_below_each_other_on_a_phone(browser: Any, address: str) -> None:
    def tops(width: int) -> set[float]:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(address)
        boxes = [one.bounding_box() for one in page.locator(f"{DRAWN} .panels > svg").all()]
        page.close()
        assert len(boxes) == 2
        return {box["y"] for box in boxes}

    assert len(tops(1280)) == 1
    assert len(tops(390)) == 2


def rows(page: Any) -> list[str]:
    return [row.get_attribute("data-claim") for row in page.locator("table.verdicts > tbody > tr:visible").all()]


def test_claims_are_filtered_by_verdict_group_and_text(page: Any) -> None:
    assert len(rows(page)) == 7
    page.get_by_label("REPRODUCED", exact=True).uncheck()
    assert len(rows(page)) == len(page.locator("section.claim:visible").all()) == 5
    assert page.locator("#count").text_content() == "5 of 7 shown"
    page.get_by_label("Figures").uncheck()
    assert len(rows(page)) == 1
    page.get_by_label("Figures").check()
    page.get_by_label("REPRODUCED", exact=True).check()
    page.get_by_label("Text").fill("Tail Index")
    assert len(rows(page)) == 1


def test_claims_are_sorted(page: Any) -> None:
    assert rows(page) == [str(number) for number in range(1, 8)]
    page.get_by_label("Order").select_option("by verdict")
    verdicts = page.locator("table.verdicts > tbody .badge").all_text_contents()
    assert [one.strip() for one in verdicts][:4] == ["REFUTED", "UNSOUND", "ERROR", "INCONCLUSIVE"]
    page.get_by_label("Order").select_option("of the documents")
    assert rows(page) == [str(number) for number in range(1, 8)]


def test_figures_and_findings_can_be_taken_out(page: Any) -> None:
    def saved(name: str) -> str:
        with page.expect_download() as download:
            page.locator(f"[data-save='{name}']").first.click()
        return str(Path(download.value.path()).read_text(encoding="utf-8"))

    svg = saved("function-space-equilibrium.svg")
    assert svg.startswith("<svg xmlns=")
    assert "var(" not in svg
    assert "#0072b2" in svg
    assert svg.count("<rect width=") == 1
    assert svg.count(">growth<") == 2
    assert saved("function-space-equilibrium-figure.csv").startswith("panel,line,x,y\ngrowth,measured,1,8.5\n")
    assert saved("function-space-equilibrium.csv").startswith("name,estimate,interval_low,")


def test_without_a_script_the_page_is_whole(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert len(rows(page)) == 7
    assert page.locator(".scripted:visible").count() == 0
    page.get_by_label("REPRODUCED", exact=True).uncheck()
    assert len(rows(page)) == 5
    context.close()


def test_paper_gets_a_tagged_document_with_nothing_folded(page: Any) -> None:
    assert b"/StructTreeRoot" in page.pdf(tagged=True)
    page.emulate_media(media="print")
    assert page.locator("nav.contents:visible, .filters:visible").count() == 0
    assert page.locator("table.predictions").first.bounding_box()["height"] > 0
