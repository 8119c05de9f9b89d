"""Records of somebody's own: how what is wrong with one is told, in one line with its file."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    """Within, a method of a record is called: what it raises is told of the record, with the line in its own file.

    Ctrl-C stays what it is.

    Raises:
        OwnRecordError: it raises something, or ends the process.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        # The line stands behind however much is told of the error.
        line = _line(record, error)
        told = in_a_line(f"{method} raises {type(error).__name__}: {error}", LONGEST - len(line) - 1)
        raise wrong(record, f"{told}{line}") from error


def _line(record: Any, error: BaseException) -> str:
    """The last line of the record's file before it was raised: "(line 12)"; empty where none is, as in notebooks."""
    file = getattr(sys.modules.get(type(record).__module__), "__file__", None)
    if file is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).absolute() == Path(file).absolute()]
    return f" (line {lines[-1]})" if lines else ""


def check_told(record: Any) -> None:
    """A record can be told of: progress, reports and errors all do.

    Raises:
        OwnRecordError: it cannot; in one line.
    """
    with calling(record, "__str__()"):
        text = str(record)
    if not text or text != in_a_line(text, len(text)):
        raise wrong(record, f"__str__() gives {text!r}, and must give a line of text")
