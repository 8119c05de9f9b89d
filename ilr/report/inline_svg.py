"""A figure made fit to stand inline in a page beside others: `Figure`."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
# A style sheet inside an inline figure would reach over the whole page; the page's own gives what matplotlib's says.
_DROPPED = {"foreignObject", "metadata", "script", "style"}


@dataclass(frozen=True)
class Figure:
    """An SVG drawing and its caption."""

    caption: str
    svg: Markup

    @classmethod
    def parse(cls, text: str, prefix: str) -> "Figure":
        """The figure in an SVG file's text; its title is the caption, and `prefix` stands before every id in it.

        Every figure matplotlib draws has an `axes_1` and a `text_1`, and figures drawn with one `svg.hashsalt` share
        even their clip paths, so two of them in one page would borrow each other's.

        Raises:
            ValueError: the text is not an SVG file.
        """
        try:
            root = _copy(ElementTree.fromstring(text), prefix)
        except ElementTree.ParseError as error:
            raise ValueError(f"not well-formed SVG: {error}") from None
        if root is None or root.tag != "svg":
            raise ValueError("not an SVG file")
        caption = ""
        if (title := root.find("title")) is not None:
            caption = (title.text or "").strip()
            root.remove(title)
        # Safe: `_copy` let through shapes and text only, and the serialiser has escaped those.
        return cls(caption, Markup(ElementTree.tostring(root, encoding="unicode")))


def _copy(element: ElementTree.Element, prefix: str) -> ElementTree.Element | None:
    """The element without namespaces, which HTML does without, and without what only a document of its own needs."""
    namespace, _, name = element.tag.rpartition("}")
    if namespace not in ("", f"{{{_SVG}") or name in _DROPPED:
        return None
    copy = ElementTree.Element(name)
    copy.text = element.text
    copy.tail = element.tail
    for attribute, value in element.items():
        kept = attribute.replace(f"{{{_XLINK}}}", "")
        if not kept.startswith(("on", "{")) and _is_local(kept, value):
            copy.set(kept, _with_prefix(kept, value, prefix))
    for child in element:
        if (inner := _copy(child, prefix)) is not None:
            copy.append(inner)
    return copy


def _is_local(attribute: str, value: str) -> bool:
    """Whether the attribute loads nothing from outside the figure."""
    if attribute == "href":
        return value.startswith(("#", "data:image/"))
    return re.search(r"url\((?!['\"]?#)", value) is None


def _with_prefix(attribute: str, value: str, prefix: str) -> str:
    if attribute == "id":
        return prefix + value
    if attribute == "href":
        return re.sub("^#", f"#{prefix}", value)
    return re.sub(r"url\((['\"]?)#", rf"url(\g<1>#{prefix}", value)
