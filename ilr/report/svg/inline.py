"""A figure made fit to stand inline in a page beside others: `Figure`."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from ilr.report.svg.compact import compact
from ilr.report.svg.theme import themed

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
# What a figure may be made of; whatever else an SVG file holds, no figure needs.
# fmt: off
ELEMENTS = frozenset((
    "circle", "clipPath", "defs", "desc", "ellipse", "g", "image", "line", "linearGradient", "path", "pattern",
    "polygon", "polyline", "radialGradient", "rect", "stop", "svg", "text", "title", "tspan", "use",
))
# fmt: on
"""By name; all of them shapes, text, or what these refer to."""
DROPPED = frozenset(("metadata", "style"))
"""Left out in silence. A style sheet would reach over the whole page, whose own says what matplotlib's does."""
# fmt: off
ATTRIBUTES = frozenset((
    "class", "clip-path", "clip-rule", "clipPathUnits", "cx", "cy", "d", "dx", "dy", "fill", "fill-opacity",
    "fill-rule", "font-family", "font-size", "font-style", "font-weight", "fx", "fy", "gradientTransform",
    "gradientUnits", "height", "href", "id", "offset", "opacity", "patternContentUnits", "patternTransform",
    "patternUnits", "points", "preserveAspectRatio", "r", "rx", "ry", "stop-color", "stop-opacity", "stroke",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "style", "text-anchor", "transform", "version", "viewBox", "width", "x", "x1",
    "x2", "y", "y1", "y2",
))
# fmt: on
"""Of any element."""
# fmt: off
PROPERTIES = frozenset((
    "clip-path", "clip-rule", "fill", "fill-opacity", "fill-rule", "font", "font-family", "font-size",
    "font-stretch", "font-style", "font-variant", "font-weight", "image-rendering", "mix-blend-mode", "opacity",
    "stop-color", "stop-opacity", "stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap",
    "stroke-linejoin", "stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor", "writing-mode",
))
# fmt: on
"""Of a style."""
_REFERENCE = re.compile(r"url\((['\"]?)#([\w.:-]+)\1\)")
_RASTER = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]*")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_SIZE = re.compile(r"(?:font|font-size):[^;]*?(\d+\.?\d*)px")
_FONT = re.compile(r"font:\s*((?:italic|oblique|bold|\d{3})\s+)*([\d.]+px)[^;]*")
_VIEW_BOX = re.compile(r"\s*(-?\d+\.?\d*[\s,]+){2}\d+\.?\d*[\s,]+\d+\.?\d*\s*")
_FAMILY = re.compile(r";?\s*font-family:[^;]*")


@dataclass(frozen=True)
class Panel:
    """One drawing of a figure; where the page is narrow, panels stand below each other."""

    svg: Markup


@dataclass(frozen=True)
class Figure:
    """A drawing, its caption, what it shows in words, and the numbers drawn."""

    caption: str
    description: str
    """What is drawn, in words and numbers; empty where the figure does not say."""
    csv: str
    """The points drawn, as a table; empty where the figure does not hold them."""
    panels: tuple[Panel, ...]
    view_box: str
    """Of the whole figure."""
    width: float
    """Of the widest panel, in the drawing's own units."""
    smallest_text: float
    """In the same units."""

    @classmethod
    def parse(cls, text: str, prefix: str) -> "Figure":
        """The figure in an SVG file's text; its title is the caption, and `prefix` stands before every id in it.

        Every figure matplotlib draws has an `axes_1` and a `text_1`, and figures drawn with one `svg.hashsalt` share
        even their clip paths, so two of them in one page would borrow each other's.

        Raises:
            ValueError: the text is not an SVG file, or holds something that no figure needs.
        """
        if "<!ENTITY" in text:
            raise ValueError("no figure: it declares an entity")
        try:
            return cls._made(ElementTree.fromstring(text), prefix)
        except (ElementTree.ParseError, UnicodeEncodeError) as error:
            raise ValueError(f"not well-formed SVG: {error}") from None
        except RecursionError:
            raise ValueError("no figure: it is nested too deep") from None

    @classmethod
    def _made(cls, original: ElementTree.Element, prefix: str) -> "Figure":
        if original.tag not in ("svg", f"{_SVG}svg"):
            raise ValueError("not an SVG file")
        metadata = original.find(f"{_SVG}metadata")
        csv = "" if metadata is None or metadata.get("id") != "csv" else "".join(metadata.itertext()).strip()
        root = _copy(original, prefix)
        assert root is not None
        caption, description = _taken(root, "title"), _taken(root, "desc")
        view_box = root.get("viewBox") or f"0 0 {_number(root.get('width'))} {_number(root.get('height'))}"
        if _VIEW_BOX.fullmatch(view_box) is None:
            raise ValueError(f"no figure: its viewBox is {view_box[:40]!r}, and must be four numbers")
        panels = _panels(root, view_box)
        inside = [one for panel in panels for one in panel.iter()]
        sizes = [float(size) for one in inside for size in _SIZE.findall(one.get("style", ""))]
        compact(panels, prefix)
        return cls(
            caption=caption,
            description=description,
            csv=csv,
            panels=tuple(Panel(_serialized(panel)) for panel in panels),
            view_box=view_box,
            width=max(_number(panel.get("viewBox", "").split()[2]) for panel in panels),
            smallest_text=min((size for size in sizes if size > 0), default=10.0),
        )


def _copy(element: ElementTree.Element, prefix: str) -> ElementTree.Element | None:
    """The element without namespaces, which HTML does without.

    Raises:
        ValueError: it is not one that figures are made of.
    """
    name = element.tag.removeprefix(_SVG)
    if name in DROPPED:
        return None
    if name not in ELEMENTS:
        raise ValueError(f"no figure: it holds <{name.rpartition('}')[2]}>")
    copy = ElementTree.Element(name)
    copy.text, copy.tail = _text(element.text), _text(element.tail)
    for attribute, value in element.items():
        kept = attribute.removeprefix(_XLINK)
        if kept.startswith("{http://www.w3.org/XML/1998/namespace}"):
            continue
        if kept not in ATTRIBUTES:
            raise ValueError(f"no figure: its <{name}> has the attribute {kept.rpartition('}')[2]}")
        copy.set(kept, _cleaned(name, kept, value, prefix))
    for child in element:
        if (inner := _copy(child, prefix)) is not None:
            copy.append(inner)
    return copy


def _text(text: str | None) -> str | None:
    """Text between elements; the file's indentation is of no use in a page."""
    return text if text and text.strip() else None


def _cleaned(element: str, attribute: str, value: str, prefix: str) -> str:
    """An attribute's value with its ids prefixed, its colours themed, and no more digits than can be seen."""
    if attribute == "id":
        return prefix + value
    if attribute == "href":
        if value.startswith("#"):
            return f"#{prefix}{value[1:]}"
        if element == "image" and _RASTER.fullmatch(value):
            return value
        raise ValueError(f"no figure: its <{element}> refers to something outside of it")
    if attribute == "style":
        value = ";".join(_declared(element, one, prefix) for one in value.split(";") if one.strip())
        return _FAMILY.sub("", _FONT.sub(r"font-size:\2;\1", value)).replace("bold ", "font-weight:bold")
    if attribute == "d":
        # Its digits are cut where its places are told.
        return _safe(element, value, prefix)
    return " ".join(_LONG_NUMBER.sub(_shortened, _safe(element, value, prefix)).split())


def _declared(element: str, declaration: str, prefix: str) -> str:
    """One declaration of a style."""
    name, _, value = (part.strip() for part in declaration.partition(":"))
    if name not in PROPERTIES:
        raise ValueError(f"no figure: its <{element}> has the style {name}")
    return f"{name}:{themed(_LONG_NUMBER.sub(_shortened, _safe(element, value, prefix)))}"


def _safe(element: str, value: str, prefix: str) -> str:
    """A value that loads nothing from outside the figure, with the ids it refers to prefixed."""
    value = _REFERENCE.sub(rf"url(#{prefix}\2)", value)
    rest = value.replace(f"url(#{prefix}", "")
    if re.search(r"url\s*\(|[\\<>@{}]|/\*|image\s*\(|image-set|var\s*\(", rest, re.IGNORECASE):
        raise ValueError(f"no figure: a value of its <{element}> refers to something outside of it")
    return value


def _shortened(number: re.Match[str]) -> str:
    """A hundredth of a unit is less than a pixel shows."""
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".") or "0"


def _taken(root: ElementTree.Element, name: str) -> str:
    """The text of a child, which is taken out."""
    child = root.find(name)
    if child is None:
        return ""
    root.remove(child)
    return " ".join("".join(child.itertext()).split())


def _panels(root: ElementTree.Element, view_box: str) -> list[ElementTree.Element]:
    """The drawing as one element for each panel that the figure keeps apart, or as one for all of it."""
    figure = root.find("g")
    parts = [] if figure is None else [one for one in figure if "subfigure_" in one.get("id", "")]
    if figure is None or len(parts) < 2:
        whole = ElementTree.Element("svg", viewBox=view_box)
        whole.extend(list(root))
        return [whole]
    panels = []
    for part in parts:
        left, top, right, bottom = _extent(part)
        panel = ElementTree.Element("svg", viewBox=f"{left:g} {top:g} {right - left:g} {bottom - top:g}")
        panel.append(part)
        panels.append(panel)
    # Clip paths stand after all panels.
    panels[0].extend(one for one in root if one is not figure)
    return panels


def _extent(part: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a panel: the first path in it is its background."""
    path = part.find(".//path")
    numbers = [float(one) for one in re.findall(r"-?\d+\.?\d*", path.get("d", "") if path is not None else "")]
    if len(numbers) < 4:
        raise ValueError("no figure: a panel of it has no background")
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def _number(text: str | None) -> float:
    """A length without its unit."""
    found = re.match(r"\d+\.?\d*", text or "")
    return float(found.group()) if found else 1.0


def _serialized(element: ElementTree.Element) -> Markup:
    element.set("aria-hidden", "true")
    # Safe: `_copy` let through shapes and text only, and the serialiser has escaped those.
    return Markup(ElementTree.tostring(element, encoding="unicode"))
