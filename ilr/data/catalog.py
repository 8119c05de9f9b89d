"""The data sets there are: what is known of them without their files."""

from dataclasses import dataclass, replace

from ilr.experiments.architectures import CNN, BottleneckResNet, PreResNet, ResNet
from ilr.experiments.experiment import Data, Experiment
from ilr.experiments.own_data import OwnData, arrays_of


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
    number_bytes: int = 1
    """Of a number as it is read and kept: those of the catalogue are bytes."""

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
            # Means of pixels are kept in float32.
            number_bytes=self.number_bytes if data.side in (None, self.side) else 4,
            train=self.train if data.train is None else data.train,
            test=self.test if data.test is None else data.test,
        )


PUBLISHED = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""sha256 of each file's content as published, uncompressed, by the set's name; of CIFAR torchvision knows the sums."""

DATASETS = {
    "digits": DatasetInfo(1, 8, 10, train=1297, test=500),
    "mnist": DatasetInfo(1, 28, 10, train=60_000, test=10_000),
    "fashion-mnist": DatasetInfo(1, 28, 10, train=60_000, test=10_000),
    "cifar-10": DatasetInfo(3, 32, 10, train=50_000, test=10_000),
    "cifar-100": DatasetInfo(3, 32, 100, train=50_000, test=10_000),
    "imagenet": DatasetInfo(3, 224, 1000, train=1_281_167, test=50_000, streamed=True),
}
"""The whole data sets, by name."""


IMAGE_NETS = (CNN, PreResNet, ResNet, BottleneckResNet)
"""Nets that convolve: vectors are nothing to them."""


def whole_info(name: str | OwnData) -> DatasetInfo:
    """What is known of the whole data set called `name`, or of one of somebody's own, which is loaded for that.

    Raises:
        DataUnavailableError: no such data set.
        OwnRecordError: one of somebody's own is not as it must be.
    """
    if isinstance(name, OwnData):
        own = arrays_of(name)
        channels, side, _ = own.images.shape[1:]
        train, test, number_bytes = len(own.labels), len(own.test_labels), own.images.itemsize
        return DatasetInfo(channels, side, own.classes, train, test, number_bytes=number_bytes)
    if name not in DATASETS:
        raise DataUnavailableError(f"no data set is called {name!r}; choose from {', '.join(DATASETS)}")
    return DATASETS[name]


def info_of(data: Data) -> DatasetInfo:
    """What is known of a data set as trained on.

    Raises:
        DataUnavailableError: no such data set, or it cannot be cut down as asked.
    """
    return whole_info(data.name).cut(data)


def check_fit(experiment: Experiment) -> None:
    """Refuses what cannot be trained on the data of an experiment, before anything is.

    Raises:
        ValueError: vectors for a net or an augmentation of images, or fewer examples than a batch takes.
        DataUnavailableError: as `info_of`.
    """
    data = experiment.data
    if data is None:
        return
    info = info_of(data)
    vectors = f"{data} has vectors of {info.channels} features"
    if info.side == 1 and isinstance(experiment.net, IMAGE_NETS):
        raise ValueError(f"{experiment.net} takes images, and {vectors}: take an MLP")
    if info.side == 1 and experiment.augmentation is not None:
        raise ValueError(f"{experiment.augmentation} is for images, and {vectors}")
    batch = experiment.batch_size
    if batch is not None and batch > info.train:
        raise ValueError(f"a batch of {batch} cannot be drawn from the {info.train} training examples of {data}")
