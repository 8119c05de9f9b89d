"""The report of a run: `evidence.json` written, read back, and rendered as one HTML page and as JUnit XML.

`evidence.json` is the only input of the page and of the XML, so both can be made again, at any time, from it alone.
"""

from ilr.report.files import read_evidence, render_again, write_report
from ilr.report.html import render_html
from ilr.report.junit import render_junit

__all__ = ["read_evidence", "render_again", "render_html", "render_junit", "write_report"]
