"""Records of somebody's own: how what is wrong with one is told, in one line with its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ilr.fields import in_a_line, where

LONGEST = 300
"""Characters of a complaint that are told of an error of a stranger's."""


class OwnRecordError(ValueError):
    """A record that somebody brought does not do what it is asked for; in one line with its file."""


def wrong(record: Any, what: str) -> OwnRecordError:
    """The error that says what is wrong with a record.

    Args:
        record: of somebody's own.
        what: begins with the method's or field's name.
    """
    return OwnRecordError(f"{where(type(record))}: {in_a_line(what, LONGEST)}")


@contextmanager
def calling(record: Any, method: str) -> Iterator[None]:
    """Within, a method of a record is called: what it raises is told of the record. Ctrl-C stays what it is.

    Raises:
        OwnRecordError: it raises something, or ends the process.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        raise wrong(record, f"{method} raises {type(error).__name__}: {error}") from error


def check_told(record: Any) -> None:
    """A record can be told of: progress, reports and errors all do.

    Raises:
        OwnRecordError: it cannot; in one line.
    """
    with calling(record, "__str__()"):
        text = str(record)
    if not text or text != in_a_line(text, len(text)):
        raise wrong(record, f"__str__() gives {text!r}, and must give a line of text")
