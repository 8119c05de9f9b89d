"""A batch of replicas in the middle of its training, as arrays: what training goes on from as if nothing had happened.

Random numbers are keyed by step, and normalisation keeps no statistics, so weights, momentum, running averages and what
was recorded are all there is.
"""

from typing import Protocol

from ilr.experiments.recording import Array

Snapshot = dict[str, Array]
"""Arrays by name; `STEP` is the step that comes next."""

STEP = "step"


class Keeper(Protocol):
    """Keeps snapshots, and knows when the next one is due."""

    def load(self) -> Snapshot | None:
        """The last snapshot that was kept, to go on from; `None` to begin at the beginning."""

    def due(self) -> bool:
        """Whether a snapshot should be kept now; asked before every step."""

    def keep(self, snapshot: Snapshot) -> None:
        """Keeps a snapshot, whose arrays change afterwards."""


class NoKeeper:
    """Keeps nothing: training begins at the beginning."""

    def load(self) -> Snapshot | None:
        """None."""
        return None

    def due(self) -> bool:
        """Never."""
        return False

    def keep(self, snapshot: Snapshot) -> None:
        """Does nothing."""


UNKEPT = NoKeeper()
