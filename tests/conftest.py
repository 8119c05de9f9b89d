"""Fixtures of all tests."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.backends.backend_svg
import numpy as np
import numpy.fft
import pytest
import sklearn.datasets
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

import ilr.dryrun.planning
import ilr.dryrun.rehearsal
import ilr.report.files
import ilr.session.session
from ilr.data.dataset import Dataset
from ilr.data.lazy_images import ImageFiles
from ilr.experiments.architectures import MLP, Toy
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.norms import BatchNorm, NoNorm
from ilr.experiments.schedules import Constant

pytest_plugins = ["pytester"]

LOADS_ILR = 'pytest_plugins = ["ilr.plugin"]\n'
"""The conftest.py of a folder of claims."""

Run = Callable[..., pytest.RunResult]

PRELOADED = (
    ilr.dryrun.planning,
    ilr.dryrun.rehearsal,
    ilr.report.files,
    ilr.session.session,
    matplotlib.backends.backend_svg,
    numpy.fft,
    sklearn.datasets,
)
"""pytester forgets what a run inside this process has imported, and compiled modules cannot be imported twice."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run beside each other: threads of BLAS would wait for each other, which took up to twice as long."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture
def fresh_seed(request: pytest.FixtureRequest) -> int:
    """A seed no run has used before; shown where a test fails."""
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    request.node.add_report_section("setup", "seed", f"fresh seed: {seed}")
    return seed


@pytest.fixture
def small_experiment() -> Experiment:
    """An experiment that trains in milliseconds."""
    return Experiment(
        net=MLP((8, 8)),
        norm=BatchNorm(),
        data=Data("digits", train=64, test=32),
        batch_size=16,
        learning_rate=Constant(0.1),
        weight_decay=Constant(0.05),
        steps=6,
        replicas=3,
        seed=5,
        observe=(Observe("weight_norm", (0, 3, 6)), Observe("test_predictions", (6,))),
    )


@pytest.fixture
def small_toy() -> Experiment:
    """Three steps of the toy loss."""
    return Experiment(
        net=Toy(),
        norm=NoNorm(),
        learning_rate=Constant(0.1),
        weight_decay=Constant(0.1),
        steps=3,
        replicas=2,
        seed=0,
        observe=(Observe("train_loss", (3,)),),
    )


@pytest.fixture
def toy_that_fails(small_toy: Experiment) -> Experiment:
    """Asks the toy for something it does not have."""
    return replace(small_toy, observe=(Observe("test_accuracy", (0,)),))


@pytest.fixture(scope="session")
def random_dataset() -> Dataset:
    """Forty training and thirty test images of 6×6 random pixels with two channels."""
    stream = np.random.default_rng(11)
    return Dataset(
        train_images=stream.standard_normal((40, 2, 6, 6)).astype(np.float32),
        train_labels=stream.integers(0, 5, 40),
        test_images=stream.standard_normal((30, 2, 6, 6)).astype(np.float32),
        test_labels=stream.integers(0, 5, 30),
        classes=5,
        black=np.array([-1.5, 0.5], np.float32),
    )


@pytest.fixture
def image_files(tmp_path: Path) -> ImageFiles:
    """Four images of random pixels in different sizes, one of them grey."""
    stream = np.random.default_rng(4)
    paths = []
    for index, shape in enumerate([(40, 60, 3), (300, 250, 3), (70, 30), (256, 256, 3)]):
        paths.append(str(tmp_path / f"{index}.JPEG"))
        Image.fromarray(stream.integers(0, 256, shape).astype(np.uint8)).save(paths[-1])
    return ImageFiles(tuple(paths))


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs pytest on the claims folder, training in this process into a store of the test's own."""

    def run(*arguments: str) -> pytest.RunResult:
        claims = pytester.path / "claims"
        claims.mkdir(exist_ok=True)
        (claims / "conftest.py").write_text(LOADS_ILR)
        store = f"--store={pytester.path / 'store'}"
        return pytester.runpytest_inprocess(
            "claims", "--engine=in-process", store, "-p", "no:cacheprovider", *arguments
        )

    return run
