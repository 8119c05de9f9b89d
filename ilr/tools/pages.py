"""Pages over several reports, each one self-contained HTML file."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ilr.report.text import printable
from ilr.tools.comparison import Comparison


def render_comparison(comparison: Comparison) -> str:
    """The comparison as one self-contained page, with every finding of every claim."""
    return render("comparison.html.j2", {"comparison": comparison})


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page of this room, from a template that lies beside this file; nothing is loaded from elsewhere."""
    environment = Environment(
        loader=PackageLoader("ilr.tools", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment.get_template(template).render(values)
