"""The catalogue: asking changes nothing, nothing is asked of the disk twice, and every recording says who made it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from ilr.data.catalog import DataUnavailableError
from ilr.experiments.experiment import Data, Experiment
from ilr.experiments.schedules import Constant
from ilr.lab import jobs
from ilr.lab.catalogue import SLICE
from ilr.lab.data_folder import STAND_IN, DataFolder
from ilr.lab.engines import InProcess
from ilr.lab.hardware import processor
from ilr.lab.scheduler import Lab, TrainingFailedError
from ilr.lab.store import Store, keys
from ilr.lab.store import store as store_module
from ilr.training import loop
from ilr.version import __version__
from tests import fake_graph
from tests.stores import arrays_of, sealed


@pytest.fixture
def experiments(small_experiment: Experiment, small_toy: Experiment) -> list[Experiment]:
    """Five slices in two kinds; two experiments share a slice."""
    return [
        replace(small_experiment, replicas=SLICE),
        replace(small_experiment, replicas=2 * SLICE),
        replace(small_experiment, learning_rate=Constant(0.2), first_replica=SLICE - 2),
        small_toy,
    ]


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[..., Lab]:
    def make(**options: Any) -> Lab:
        return Lab(Store(tmp_path), InProcess(), choose=False, **options)

    return make


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Counter[Any]:
    """How often a function of a module of the store is called with each argument, or file, from now on."""
    calls: Counter[Any] = Counter()
    function = getattr(module, name)

    def counting(argument: Any) -> Any:
        calls[getattr(argument, "name", argument)] += 1
        return function(argument)

    monkeypatch.setattr(module, name, counting)
    return calls


def test_planning_twice_changes_nothing(make_lab: Callable[..., Lab], experiments: list[Experiment]) -> None:
    lab = make_lab()
    first = lab.plan(experiments)
    origins = [lab.source(one) for one in experiments]
    assert lab.plan(experiments) == first
    assert [lab.source(one) for one in experiments] == origins
    assert {one.origin for one in origins} == {"never trained"}
    for _ in range(2):
        lab.train(first)
    origins = [lab.source(one) for one in experiments]
    assert lab.plan(experiments).jobs == lab.plan(experiments).jobs == ()
    assert [lab.source(one) for one in experiments] == origins
    assert {one.origin for one in origins} == {"trained here: never trained"}


def test_what_was_trained_again_is_not_trained_again(
    make_lab: Callable[..., Lab], experiments: list[Experiment]
) -> None:
    lab = make_lab()
    lab.train(lab.plan(experiments))
    lab = make_lab(refresh=True)
    lab.train(lab.plan(experiments))
    assert lab.plan(experiments).jobs == ()
    assert lab.missing(experiments) == 0
    assert lab.source(experiments[0]).origin == "trained here: to be trained again"


def test_a_recording_that_was_to_be_made_again_is_not_used(
    make_lab: Callable[..., Lab], small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab()
    lab.train(lab.plan([small_experiment]))
    lab = make_lab(refresh=True)
    monkeypatch.setattr("ilr.training.trainers.train", lambda *_: 1 / 0)
    lab.train(lab.plan([small_experiment]))
    with pytest.raises(TrainingFailedError, match="division by zero"):
        lab.recording(small_experiment)
    assert lab.source(small_experiment).seconds == 0.0


def test_no_digest_is_computed_twice(
    make_lab: Callable[..., Lab], experiments: list[Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = counted(monkeypatch, keys, "digest")
    texts = counted(monkeypatch, keys, "canonical")
    lab = make_lab()
    lab.train(lab.plan(experiments))
    for experiment in experiments:
        lab.recording(experiment)
        lab.source(experiment)
    assert lab.missing(experiments) == 0
    # Of each slice's experiment and of its key.
    assert len(digests) == len(texts) == 5
    assert {*digests.values(), *texts.values()} == {1}


@pytest.mark.parametrize("code", ["as it was", "changed"])
def test_planning_reads_each_file_once(
    code: str, make_lab: Callable[..., Lab], experiments: list[Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the code has changed, the files there are read to say so."""
    lab = make_lab()
    lab.train(lab.plan(experiments))
    if code == "changed":
        monkeypatch.setattr("ilr.lab.catalogue.training_code_sha256", lambda: code)
    reads = counted(monkeypatch, store_module, "read_header")
    lab = make_lab()
    first = lab.plan(experiments)
    assert lab.plan(experiments) == first
    for experiment in experiments:
        lab.source(experiment)
    assert len(reads) == 5
    assert set(reads.values()) == {1}


def test_an_origin_says_who_trained_when_with_what(make_lab: Callable[..., Lab], experiments: list[Experiment]) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    lab = make_lab()
    lab.train(lab.plan(experiments))
    for origin in (lab.source(experiments[1]), make_lab().source(experiments[1])):
        made = origin.trained_by
        assert made.first_trained is not None
        assert made.last_trained is not None
        assert before < made.first_trained <= made.last_trained <= datetime.now(UTC)
        assert made.ilr_versions == (__version__,)
        assert made.torch_versions == (str(torch.__version__),)
        assert made.devices == ("cpu",)
        assert made.processors == (processor("cpu"),)
        assert origin.seconds > 0
        assert lab.peak_memory([origin]) > 0
    assert "at once" in " ".join(lab.source(experiments[0]).formulations)
    assert lab.source(experiments[3]).formulations == ()


@pytest.mark.filterwarnings("ignore:every kernel is launched on its own")
def test_an_origin_says_whether_steps_were_graphs(
    make_lab: Callable[..., Lab], small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_graph.install(monkeypatch)
    for module in (loop, jobs):
        monkeypatch.setattr(module, "capturable", lambda _: True)

    def computed(seed: int) -> tuple[str, ...]:
        experiment = replace(small_experiment, seed=seed)
        lab = make_lab()
        lab.train(lab.plan([experiment]))
        return lab.source(experiment).formulations

    as_graphs = "3 at once, grouped convolutions, steps as graphs"
    assert computed(1) == (as_graphs,)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "graph", refusing)
        assert computed(2) == ("3 at once, grouped convolutions, kernel by kernel",)
    # A job is not told of the one before it.
    assert computed(3) == (as_graphs,)


@contextmanager
def refusing(_: object) -> Iterator[None]:
    """A capture that fails."""
    yield
    raise RuntimeError("operation not permitted when stream is capturing")


def test_an_origin_tells_slices_apart(make_lab: Callable[..., Lab], small_toy: Experiment) -> None:
    lab = make_lab()
    lab.train(lab.plan([replace(small_toy, replicas=SLICE)]))
    more = replace(small_toy, replicas=2 * SLICE)
    lab = make_lab()
    lab.train(lab.plan([more]))
    assert lab.source(more).origin == "in the store and trained here: never trained"


def test_recordings_that_say_less_are_read(make_lab: Callable[..., Lab], small_toy: Experiment) -> None:
    """A maker may not know its device, and a later one may tell more."""
    lab = make_lab()
    [key] = lab.keys(small_toy)
    path = lab.store.root / key.place
    path.parent.mkdir(parents=True)
    facts = {"ilr": "0.0.9", "torch": "2.6.0", "batch": 2, "peak_memory_bytes": 7, "seconds": 2, "more": "than now"}
    path.write_bytes(sealed({"key": key.text, "facts": json.dumps(facts)}, arrays_of(small_toy)))
    origin = lab.source(small_toy)
    assert origin.origin == "in the store"
    made = origin.trained_by
    assert (made.ilr_versions, made.torch_versions) == (("0.0.9",), ("2.6.0",))
    assert (origin.seconds, origin.peak_memory) == (2.0, 7)
    assert (made.first_trained, made.last_trained, made.devices, made.processors) == (None, None, (), ())


def test_random_data_stands_in_only_where_it_may(make_lab: Callable[..., Lab], small_experiment: Experiment) -> None:
    absent = replace(small_experiment, data=Data("fashion-mnist", train=64, test=32))
    with pytest.raises(DataUnavailableError, match="--data-root"):
        make_lab().plan([absent])
    assert absent.data is not None
    with pytest.raises(DataUnavailableError, match="--data-root"):
        DataFolder().load(absent.data)
    lab = make_lab(stand_in=True)
    lab.train(lab.plan([absent, small_experiment]))
    assert lab.recording(absent).final("test_predictions").shape == (3, 32)
    assert lab.data_sha256["fashion-mnist"] == STAND_IN
    assert lab.data_sha256["digits"] == make_lab().keys(small_experiment)[0].data_sha256 != STAND_IN
