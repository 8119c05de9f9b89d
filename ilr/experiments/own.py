"""Records of a claim's own: where they are written, and how what is wrong with one is told."""

import sys
from typing import Any

from ilr.fields import in_a_line

LONGEST = 300
"""Characters of a complaint that are told of an error of a stranger's."""


class OwnRecordError(ValueError):
    """A record that somebody brought does not do what it is asked for; in one line with its file."""


def where(record: Any) -> str:
    """The file in which a record's class is written, and its name."""
    cls = type(record)
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
    return f"{file}: {cls.__name__}"


def wrong(record: Any, what: str) -> OwnRecordError:
    """The error that says what is wrong with a record.

    Args:
        record: of a claim's own.
        what: begins with the method's or field's name.
    """
    return OwnRecordError(f"{where(record)}: {in_a_line(what, LONGEST)}")


def failed(record: Any, method: str, error: Exception) -> OwnRecordError:
    """The error that says that a method of a record raised one."""
    return wrong(record, f"{method} raises {type(error).__name__}: {error}")
