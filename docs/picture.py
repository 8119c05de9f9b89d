"""Takes the README's picture of a report: `python docs/picture.py reports/reference/tiny`, with Chromium installed."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("report.png")
WIDTH, HEIGHT = 1280, 1280
"""Pixels: the first screen, and the first verdicts."""


def take(report: Path) -> None:
    """The top of a report's page, light, as a PNG file."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = started.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto((report / "index.html").resolve().as_uri())
        page.screenshot(path=PICTURE)
        started.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
