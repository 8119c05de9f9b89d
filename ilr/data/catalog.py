"""The data sets there are: what is known of them without their files."""

from dataclasses import dataclass, replace

from ilr.experiments.experiment import Data


class DataUnavailableError(Exception):
    """A data set that is not there or not whole; the message is one line that says how to obtain it."""


@dataclass(frozen=True)
class DatasetInfo:
    """Shape and size of a data set of square images."""

    channels: int
    side: int
    """In pixels."""
    classes: int
    train: int
    """Training examples."""
    test: int
    """Test examples."""
    streamed: bool = False
    """Whether images are decoded when a batch needs them; otherwise they are resident."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[channel, row, column]."""
        return self.channels, self.side, self.side

    def cut(self, data: Data) -> "DatasetInfo":
        """What is left after cutting down as `data` asks.

        Raises:
            DataUnavailableError: fewer examples than asked for, or a side that does not divide.
        """
        for part, there, wanted in (("train", self.train, data.train), ("test", self.test, data.test)):
            if wanted is not None and wanted > there:
                raise DataUnavailableError(f"{data.name} has {there} {part} examples, not the {wanted} asked for")
        if data.side is not None and self.streamed:
            raise DataUnavailableError(f"{data.name} is streamed at side {self.side}: leave side={data.side} out")
        if data.side is not None and self.side % data.side:
            raise DataUnavailableError(f"{data.name} has images of side {self.side}, which {data.side} does not divide")
        return replace(
            self,
            side=self.side if data.side is None else data.side,
            train=self.train if data.train is None else data.train,
            test=self.test if data.test is None else data.test,
        )


DATASETS = {
    "digits": DatasetInfo(1, 8, 10, train=1297, test=500),
    "mnist": DatasetInfo(1, 28, 10, train=60_000, test=10_000),
    "fashion-mnist": DatasetInfo(1, 28, 10, train=60_000, test=10_000),
    "cifar-10": DatasetInfo(3, 32, 10, train=50_000, test=10_000),
    "cifar-100": DatasetInfo(3, 32, 100, train=50_000, test=10_000),
    "imagenet": DatasetInfo(3, 224, 1000, train=1_281_167, test=50_000, streamed=True),
}
"""The whole data sets, by name."""


def whole_info(name: str) -> DatasetInfo:
    """What is known of the whole data set called `name`.

    Raises:
        DataUnavailableError: no such data set.
    """
    if name not in DATASETS:
        raise DataUnavailableError(f"no data set is called {name!r}; choose from {', '.join(DATASETS)}")
    return DATASETS[name]


def info_of(data: Data) -> DatasetInfo:
    """What is known of a data set as trained on.

    Raises:
        DataUnavailableError: no such data set, or it cannot be cut down as asked.
    """
    return whole_info(data.name).cut(data)
