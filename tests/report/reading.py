"""A page as a reader meets it, for the tests of the report."""

from collections import defaultdict
from html.parser import HTMLParser
from typing import Any

from ilr.report.evidence import Evidence
from tests.sample_evidence import sample_evidence, typed

VOID = {"br", "link", "meta", "hr", "img", "input"}


class Page(HTMLParser):
    """A page as a reader meets it: its text (of the whole, and of each element that has an id), ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.parts: dict[str, list[str]] = defaultdict(list)
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self.open.pop()
        assert opened == tag, f"<{opened}> closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] not in ("style", "title", "script"):
            for name in {identity for _, identity in self.open if identity} | {""}:
                self.parts[name].append(data)

    def text(self, identity: str = "") -> str:
        return " ".join(" ".join(self.parts[identity]).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]


def with_claims(claims: list[dict[str, Any]]) -> Evidence:
    """The sample evidence with other claims."""
    return typed(sample_evidence() | {"claims": claims})
