"""The lab and what it stands on: store, jobs, engines."""

import ast
import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ilr
from ilr.data.catalog import DataUnavailableError
from ilr.data.dataset import load
from ilr.experiments.architectures import CNN, MLP, Net
from ilr.experiments.experiment import Data, Experiment
from ilr.experiments.recording import DIVERGED_AT, Array
from ilr.experiments.schedules import Constant, Phases
from ilr.lab import jobs
from ilr.lab.engines import Engine, InProcess, Processes
from ilr.lab.scheduler import Lab, TrainingFailedError, TrainingPlan
from ilr.lab.store import Facts, Key, Store, deciding_files
from ilr.nn.execution import Formulation
from ilr.serialization import record
from ilr.training.loop import train
from tests.stores import arrays_of

MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path) -> MakeLab:
    def make(engine: Engine | None = None, *, refresh: bool = False) -> Lab:
        return Lab(Store(tmp_path / "store"), engine or InProcess(), refresh=refresh)

    return make


def trained(lab: Lab, *experiments: Experiment) -> TrainingPlan:
    plan = lab.plan(experiments)
    lab.train(plan)
    return plan


@pytest.mark.parametrize("engine", [InProcess(), Processes(2)], ids=["in-process", "processes"])
def test_a_recording_holds_what_training_gives(make_lab: MakeLab, small_experiment: Experiment, engine: Engine) -> None:
    experiment = replace(small_experiment, replicas=11, first_replica=3, precision="float64")
    lab = make_lab(engine)
    ticks: list[int] = []
    plan = lab.plan([experiment])
    lab.train(plan, ticks.append)
    recording = lab.recording(experiment)
    assert experiment.data is not None
    [arrays] = train([experiment], load(experiment.data))
    for quantity, values in arrays.items():
        np.testing.assert_allclose(recording.arrays[quantity], values, rtol=1e-9, err_msg=quantity)
    assert sum(ticks) == plan.work


@pytest.mark.parametrize(
    ("net", "pays", "compiles"), [(CNN((4, 6)), 1e3, True), (CNN((4, 6)), 1e15, False), (MLP((7, 6)), 1e3, False)]
)
def test_steps_are_compiled_where_training_is_long_enough(
    net: Net,
    pays: float,
    compiles: bool,
    make_lab: MakeLab,
    small_experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def fastest(*given: Any, compiling: bool) -> Formulation:
        asked.append(compiling)
        # More at once than there are, of which nothing is compiled: this is about what is asked for, and told.
        return Formulation(len(given[1]) + 1, compiled=compiling)

    monkeypatch.setattr(jobs, "fastest", fastest)
    monkeypatch.setattr(jobs, "COMPILING_PAYS", {"cpu": pays})
    experiment = replace(small_experiment, net=net)
    lab = make_lab()
    trained(lab, experiment)
    assert asked == [compiles]
    [computed] = lab.source(experiment).formulations
    assert computed.endswith(", compiled") == compiles


def test_nothing_is_trained_twice(make_lab: MakeLab, small_experiment: Experiment) -> None:
    assert trained(make_lab(), small_experiment).replicas == 3
    lab = make_lab()
    again = lab.plan([small_experiment, small_experiment])
    assert again.jobs == ()
    assert again.stored == 1
    assert lab.source(small_experiment).origin == "in the store"
    assert lab.source(small_experiment).seconds > 0


def test_refresh_trains_again(make_lab: MakeLab, small_experiment: Experiment) -> None:
    trained(make_lab(), small_experiment)
    lab = make_lab(refresh=True)
    assert trained(lab, small_experiment).replicas == 3
    assert "to be trained again" in lab.source(small_experiment).origin


def test_more_replicas_reuse_those_there_are(make_lab: MakeLab, small_experiment: Experiment) -> None:
    trained(make_lab(), replace(small_experiment, replicas=16))
    plan = make_lab().plan([replace(small_experiment, replicas=24)])
    assert (plan.replicas, plan.stored) == (8, 2)


def test_compatible_experiments_train_as_one_batch(make_lab: MakeLab, small_experiment: Experiment) -> None:
    other = replace(small_experiment, learning_rate=Constant(0.3), seed=9)
    incompatible = replace(small_experiment, batch_size=8)
    plan = make_lab().plan([small_experiment, other, incompatible])
    assert sorted(job.replicas for job in plan.jobs) == [3, 6]


def test_longer_jobs_start_first(make_lab: MakeLab, small_experiment: Experiment) -> None:
    long = replace(small_experiment, steps=60, seed=9)
    plan = make_lab().plan([small_experiment, long])
    assert [job.keys[0].experiment.steps for job in plan.jobs] == [60, 6]
    assert plan.seconds > 0


def test_every_worker_gets_a_share(make_lab: MakeLab, small_experiment: Experiment) -> None:
    plan = make_lab(Processes(2)).plan([replace(small_experiment, replicas=40)])
    assert sorted(job.replicas for job in plan.jobs) == [16, 24]


def test_a_batch_is_spread_only_where_a_worker_would_have_much_of_its_work_in_it(
    make_lab: MakeLab, small_experiment: Experiment
) -> None:
    """Half a batch of small nets takes hardly less time than a whole one."""
    small = [replace(small_experiment, replicas=16, batch_size=size) for size in range(8, 16)]
    large = replace(small_experiment, replicas=16, steps=120)
    plan = make_lab(Processes(2)).plan([*small, large])
    assert [(job.slices[0].steps, job.replicas) for job in plan.jobs] == [(120, 8)] * 2 + [(6, 16)] * 8
    # To more workers than there are batches every batch is spread.
    assert [job.replicas for job in make_lab(Processes(2)).plan(small[:2]).jobs] == [8] * 4


def test_what_experiments_have_in_common_is_trained_in_one_job(make_lab: MakeLab, small_experiment: Experiment) -> None:
    """A job has both schedules of some replicas, not one schedule of all of them."""
    trunk = replace(small_experiment, replicas=16)
    branch = replace(trunk, learning_rate=Phases((Constant(0.1), Constant(0.01)), (4,)))
    plan = make_lab(Processes(2)).plan([trunk, branch])
    assert [{key.experiment.first_replica for key in job.keys} for job in plan.jobs] == [{0}, {8}]
    assert plan.network_steps == 2 * 16 * trunk.steps - 4 * 16


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code_sha256": "other"}, "the training code changed since it was trained"),
        ({"data_sha256": "other"}, "the data changed since it was trained"),
        ({"own_code_sha256": "x"}, "the code of its own records changed since it was trained"),
        ({"device": "cuda"}, "the kind of device changed since it was trained"),
        ({"device": "cuda", "data_sha256": "x"}, "the data and the kind of device changed since it was trained"),
    ],
    ids=str,
)
def test_a_miss_says_why(tmp_path: Path, small_experiment: Experiment, change: dict[str, str], reason: str) -> None:
    store = Store(tmp_path)
    key = Key(small_experiment, "code", "data", "cpu")
    assert store.find(key) == (None, "never trained")
    store.save(key, arrays_of(small_experiment), Facts(seconds=1.5))
    recording, why = store.find(key)
    assert recording is not None
    assert why == "in the store"
    assert store.look_up(key).facts == Facts(seconds=1.5)
    assert store.find(replace(key, **change)) == (None, reason)


def test_the_digest_of_the_code_covers_every_module_training_imports() -> None:
    """A module of ilr that training loads but the digest leaves out would let stale recordings pass for fresh ones."""
    root = Path(ilr.__file__).parents[1]
    modules = (".".join(path.relative_to(root).with_suffix("").parts) for path in deciding_files())
    covered = {name.removesuffix(".__init__") for name in modules}
    reached: set[str] = set()
    waiting = ["ilr.training.trainers"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        source = Path(str(importlib.import_module(name).__file__)).read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                # What is imported from a package is a module of it.
                imported = {str(node.module), *(f"{node.module}.{one.name}" for one in node.names)}
                waiting += [name for name in (imported - reached) & set(sys.modules) if name.startswith("ilr.")]
    # Records carry data, whose fields are checked, and do no arithmetic; recordings hold results.
    assert reached - covered == {"ilr.fields", "ilr.serialization", "ilr.experiments.recording"}


@pytest.mark.parametrize("engine", [InProcess(), Processes(2)], ids=["in-process", "processes"])
def test_a_job_that_fails_costs_only_its_own_experiments(
    make_lab: MakeLab, small_experiment: Experiment, toy_that_fails: Experiment, engine: Engine
) -> None:
    lab = make_lab(engine)
    trained(lab, toy_that_fails, small_experiment)
    assert lab.recording(small_experiment).arrays[DIVERGED_AT].shape == (3,)
    with pytest.raises(TrainingFailedError, match="'test_accuracy' cannot be observed on the toy loss"):
        lab.recording(toy_that_fails)
    assert lab.source(toy_that_fails).seconds == 0.0


@record
class Undefined:
    """A schedule without values."""

    def values(self, steps: int) -> Array:
        return np.full(steps, 1 / (steps - steps))


def test_what_failed_in_company_is_trained_alone(make_lab: MakeLab, small_toy: Experiment) -> None:
    """A schedule raises in one experiment; the one it was fused with did nothing wrong."""
    bad = replace(small_toy, learning_rate=Phases((Constant(0.1), Undefined()), (1,)), first_replica=8)
    lab = make_lab()
    plan = trained(lab, small_toy, bad)
    assert [job.replicas for job in plan.jobs] == [4]
    assert lab.recording(small_toy).final("train_loss").shape == (2,)
    with pytest.raises(TrainingFailedError, match="divi"):
        lab.recording(bad)


def test_unknown_data_is_noticed_before_training(make_lab: MakeLab, small_experiment: Experiment) -> None:
    with pytest.raises(DataUnavailableError, match="no data set is called 'letters'"):
        make_lab().plan([replace(small_experiment, data=Data("letters"))])


def test_a_recording_answers_by_quantity_and_step(make_lab: MakeLab, small_experiment: Experiment) -> None:
    lab = make_lab()
    trained(lab, small_experiment)
    recording = lab.recording(small_experiment)
    np.testing.assert_array_equal(recording.steps("weight_norm"), [0, 3, 6])
    np.testing.assert_array_equal(recording.at("weight_norm", 3), recording["weight_norm"][:, 1])
    np.testing.assert_array_equal(recording.final("weight_norm"), recording["weight_norm"][:, 2])
    assert recording.final("test_predictions").shape == (3, 32)
    assert recording.diverged == {}
    for question in (
        lambda: recording["weights"],
        lambda: recording.steps("weights"),
        lambda: recording.at("weight_norm", 4),
    ):
        with pytest.raises(KeyError, match="was not observed"):
            question()
