"""Pages over several reports, each one self-contained HTML file."""

from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, PackageLoader

from ilr.report.page.html import environment
from ilr.tools.comparison import Comparison


def render_comparison(comparison: Comparison) -> str:
    """The comparison as one self-contained page, with every finding of every claim."""
    return render("comparison.html.j2", {"comparison": comparison})


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page of this room, from a template that lies beside this file; colours and verdicts are those of reports."""
    made = environment()
    made.loader = ChoiceLoader([PackageLoader("ilr.tools", package_path="."), PackageLoader("ilr.report.page")])
    return made.get_template(template).render(values)
