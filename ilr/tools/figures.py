"""A report's figures as files: SVG as they are stored, PNG and PDF drawn from that."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import matplotlib

from ilr.report.evidence import NAME, Evidence
from ilr.report.svg.inline import Figure

Drawn = Literal["png", "pdf"]
Format = Literal["svg"] | Drawn
FORMATS: tuple[Format, ...] = ("svg", "png", "pdf")

PIXELS_PER_INCH = 200.0
"""Of a PNG; a figure's own unit is the point, 72 to an inch."""

_PAGE = "#set page(width: auto, height: auto, margin: 0pt, fill: white)\n#image(sys.inputs.figure)\n"
"""A typst document that is nothing but one figure, at its own size."""

_SVG = "{http://www.w3.org/2000/svg}"
_RDF = re.compile(r"\{http://(www\.w3\.org/1999/02/22-rdf-syntax-ns#|creativecommons\.org/ns#|purl\.org/dc/)")
"""Namespaces of what says who drew a figure."""


@dataclass(frozen=True)
class Drawing:
    """A figure and the name of its file."""

    name: str
    """The claim's id, with a number from its second figure on."""
    svg: str
    """As it is stored."""
    csv: str
    """The points drawn; empty where the figure does not hold them."""


def figures_of(evidence: Evidence) -> Iterator[Drawing]:
    """Every figure of a report, of claims and of no claim.

    Raises:
        ValueError: a claim's id is no name for a file, or a figure is more than a drawing.
    """
    owners = [(claim.id, claim.figures) for claim in evidence.claims]
    for owner, figures in [*owners, ("appendix", evidence.appendix)]:
        if figures and NAME.fullmatch(owner) is None:
            raise ValueError(f"the claim {owner!r} cannot name a file: letters, digits, - and _ are allowed")
        for number, svg in enumerate(figures, 1):
            try:
                csv = Figure.parse(svg, prefix="").csv
                _check_what_pages_drop(svg)
            except ValueError as error:
                raise ValueError(f"figure {number} of {owner!r} is {error}") from None
            yield Drawing(owner if number == 1 else f"{owner}-{number}", svg, csv)


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


def _check_what_pages_drop(svg: str) -> None:
    """Raises a ValueError if a part that a page leaves out would run or load anything where the file is opened."""
    for element in ElementTree.fromstring(svg).iter():
        if element.tag == f"{_SVG}style" and re.search(r"@import|url\s*\(|\\\\", element.text or ""):
            raise ValueError("no figure: its style sheet loads something")
        if element.tag == f"{_SVG}metadata":
            for inner in list(element.iter())[1:]:
                if _RDF.match(inner.tag) is None:
                    raise ValueError(f"no figure: its metadata hold <{inner.tag.rpartition('}')[2]}>")
