"""Where the lab's data comes from, and what takes the place of a data set whose files are absent."""

from dataclasses import dataclass
from pathlib import Path

from ilr.data.catalog import DataUnavailableError
from ilr.data.dataset import Dataset, load, synthetic
from ilr.data.readers import read
from ilr.experiments.experiment import Data
from ilr.experiments.own_data import OwnData

STAND_IN = "random data in its place"
"""Takes the place of the sha256 of a data set whose files are absent: no recording of real data has such a key."""


@dataclass(frozen=True)
class DataFolder:
    """A folder of data files, for any process that sees it."""

    root: Path | None = None
    """`None` has the data sets that ship with a package, and no other."""
    stand_in: bool = False
    """Let random data of the same form stand in for sets whose files are absent."""

    def sha256(self, name: str | OwnData) -> str:
        """The sha256 of the data set called `name`, or of one of somebody's own; or STAND_IN.

        Raises:
            DataUnavailableError: it is not there, and nothing may stand in for it.
        """
        try:
            return read(name, self.root).sha256
        except DataUnavailableError:
            # Of what cannot be loaded not even the form is known.
            if not self.stand_in or isinstance(name, OwnData):
                raise
            return STAND_IN

    def load(self, data: Data) -> Dataset:
        """The data set as trained on, or random data of its form.

        Raises:
            DataUnavailableError: it is not there, and nothing may stand in for it; or it is smaller than asked for.
        """
        return synthetic(data) if self.sha256(data.name) == STAND_IN else load(data, self.root)
