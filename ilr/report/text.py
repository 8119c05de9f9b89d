"""Text: a count with its noun, and what comes from elsewhere, a crash's message above all, made fit to print."""

import re

_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# XML has no way to hold these characters, not even escaped, and a page shows them as boxes.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """The text without terminal colours; what else cannot be printed becomes a replacement character."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", _TERMINAL.sub("", text))


def one_line(text: str, longest: int = 600) -> str:
    r"""The text in one line that can be printed; of a long one its beginning and its end.

    >>> one_line("a\nb", longest=40)
    'a b'
    """
    line = " ".join(printable(text).splitlines())
    half = longest // 2
    return line if len(line) <= longest else f"{line[:half]} … {line[-half:]}"


def plural(count: int, word: str) -> str:
    """A count with its noun.

    >>> plural(1, "claim"), plural(1200, "claim")
    ('1 claim', '1,200 claims')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}"
