"""A report's figures as files: SVG as they are stored, PNG and PDF drawn from that."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import matplotlib

from ilr.report.evidence import Evidence

Drawn = Literal["png", "pdf"]
Format = Literal["svg"] | Drawn
FORMATS: tuple[Format, ...] = ("svg", "png", "pdf")

PIXELS_PER_INCH = 200.0
"""Of a PNG; a figure's own unit is the point, 72 to an inch."""

_PAGE = "#set page(width: auto, height: auto, margin: 0pt, fill: white)\n#image(sys.inputs.figure)\n"
"""A typst document that is nothing but one figure, at its own size."""

_SVG = "{http://www.w3.org/2000/svg}"
_HARMLESS = {
    "svg", "g", "defs", "use", "symbol", "title", "desc", "metadata", "style", "path", "rect", "circle", "ellipse",
    "line", "polyline", "polygon", "text", "tspan", "clipPath", "mask", "marker", "pattern", "image", "linearGradient",
    "radialGradient", "stop",
}  # fmt: skip
"""Elements that draw, or say what is drawn, and neither run nor load anything."""


def figures_of(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Every figure as SVG text, under a name for its file: the claim's id, with a number from its second figure on.

    Raises:
        ValueError: a claim's id is no name for a file, or a figure is more than a drawing.
    """
    owners = [(claim.id, claim.figures) for claim in evidence.claims]
    for owner, figures in [*owners, ("appendix", evidence.appendix)]:
        if figures and re.fullmatch(r"\w[\w-]*", owner) is None:
            raise ValueError(f"the claim {owner!r} cannot name a file: letters, digits, - and _ are allowed")
        for number, svg in enumerate(figures, 1):
            name = owner if number == 1 else f"{owner}-{number}"
            _check(svg, f"figure {number} of {owner!r}")
            yield name, svg


def drawn(svg: str, kind: Drawn) -> bytes:
    """A figure in another format.

    Args:
        svg: its SVG text.
        kind: "png", on white at `PIXELS_PER_INCH`, or "pdf", whose lines stay lines and whose text stays text.

    Raises:
        ValueError: typst, which draws it, is not installed.
    """
    try:
        import typst
    except ImportError:
        raise ValueError(f"--figures={kind} needs the package typst: python -m pip install typst") from None
    with tempfile.TemporaryDirectory() as folder:
        # Nothing outside this folder can be read from the figure.
        Path(folder, "figure.svg").write_text(svg, encoding="utf-8")
        page = Path(folder, "page.typ")
        page.write_text(_PAGE, encoding="utf-8")
        # The fonts that matplotlib had when it placed the text.
        fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
        made: bytes = typst.compile(
            str(page),
            root=folder,
            format=kind,
            ppi=PIXELS_PER_INCH,
            font_paths=[str(fonts)],
            sys_inputs={"figure": "figure.svg"},
        )
    return made


def _check(svg: str, owner: str) -> None:
    """Raises a ValueError if an SVG text is not one, or would run or load anything where it is opened."""
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ValueError(f"{owner} is not well-formed SVG: {error}") from None
    if root.tag not in ("svg", f"{_SVG}svg"):
        raise ValueError(f"{owner} is not an SVG file")
    _check_element(root, owner)


def _check_element(element: ElementTree.Element, owner: str) -> None:
    name = element.tag.removeprefix(_SVG)
    if name == "metadata":
        return  # says who drew it, in elements of other languages that no viewer draws
    if name not in _HARMLESS:
        raise ValueError(f"{owner} has an element {name!r}, which is no drawing")
    if name == "style" and re.search(r"@import|url\(", element.text or ""):
        raise ValueError(f"{owner} has a style that loads something")
    for attribute, value in element.items():
        plain = attribute.rpartition("}")[2].lower()
        foreign = plain == "href" and not value.startswith(("#", "data:image/"))
        if foreign or plain.startswith("on") or re.search(r"url\((?!['\"]?#)", value):
            raise ValueError(f"{owner} has {plain}={value[:60]!r} in an element {name!r}: it may load or run something")
    for child in element:
        _check_element(child, owner)
