"""What pytest does with the selected claims: one protocol for a run, a plan of its cost and a rehearsal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

# The plugin loads this module also where no claim is run.
if TYPE_CHECKING:
    from rich.console import Console

    from ilr.session.selection import Selection
    from ilr.trials.outcome import Outcome


class Mode(ABC):
    """What pytest needs of a run, a plan or a rehearsal, in the order in which it asks.

    Raises:
        DataUnavailableError: a data set that a claim needs is not there, or is smaller than a claim asks for.
    """

    tests_follow = True
    """Whether the tests run at all, once everything is prepared."""
    heading = ""
    """Of the summary."""
    interrupted = ""
    """What is said at the end where Ctrl-C or SIGTERM ended the run, whatever it was at."""

    def __init__(self, selection: "Selection") -> None:
        self.selection = selection

    @abstractmethod
    def prepare(self, console: "Console") -> int:
        """Does what comes before the first test, and gives the number of claims that have failed by then."""

    @abstractmethod
    def outcome(self, name: str) -> "Outcome | None":
        """How the test of one claim ends, by the id of the test; `None` where the claim is not to be judged."""

    def finish(self) -> bool:
        """Writes what is left behind when all tests have ended, or were interrupted; nothing unless overridden.

        Returns:
            Whether that went well, and something was shown.
        """
        return True

    def summary(self, width: int, *, verbose: bool) -> Iterable[str]:  # noqa: ARG002
        """Lines at the end of pytest's output, under the heading; none unless overridden.

        Args:
            width: columns of the terminal.
            verbose: whether pytest was asked for more, by -v.
        """
        return ()
