"""Checkpoints: training that is interrupted anywhere ends as it would have, and nothing damaged is gone on from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import CNN, MLP, Net, PreResNet
from ilr.experiments.experiment import CropFlip, Experiment, Observe, Partners
from ilr.experiments.noise import GaussianNoise
from ilr.experiments.optimizers import AdamW
from ilr.experiments.quantities import OF_PARTNERS, QUANTITIES
from ilr.experiments.schedules import Constant, Cosine, Phases
from ilr.lab import checkpoints
from ilr.lab.checkpoints import FOLDER, Checkpoint, StoppedError, begun
from ilr.lab.engines import InProcess
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store
from ilr.training import loop
from ilr.training.loop import Tick, all_at_once, silent, train
from ilr.training.recorder import Arrays
from ilr.training.snapshots import STEP, Snapshot
from ilr.training.toy import train_toy
from tests import fake_graph
from tests.training.test_loop import BASE

STEPS = 9
EVERYTHING = replace(
    BASE,
    steps=STEPS,
    replicas=4,
    momentum=0.9,
    initial_velocity=-0.3,
    learning_rate=Cosine(0.3, STEPS),
    weight_decay=Constant(0.05),
    augmentation=CropFlip(padding=2),
    partners=Partners(parted_at=3),
    observe=tuple(
        Observe(name, range(1 + row.last(STEPS)), (0.5, 2.0) if row.needs.kind == "rescaling" else ())
        for name, row in QUANTITIES.items()
    ),
)
"""Observes all there is at every step."""


class InMemory:
    """Keeps a snapshot before one step, and ends the training there."""

    def __init__(self, at: int) -> None:
        self.at: int | None = at
        self.kept: Snapshot | None = None

    def load(self) -> Snapshot | None:
        return self.kept

    def due(self) -> bool:
        if self.at is None:
            return False
        self.at -= 1
        return self.at < 0

    def keep(self, snapshot: Snapshot) -> None:
        self.kept = {name: array.copy() for name, array in snapshot.items()}
        self.at = None
        raise InterruptedError


def assert_goes_on(
    network_steps: int, training: Callable[[InMemory, Tick], list[Arrays]], before: Sequence[int]
) -> None:
    """Asserts that training that ends before any of some steps, and is begun again, records what it does in one go."""
    expected = training(InMemory(1000), silent)
    for at in before:
        keeper = InMemory(at)
        with pytest.raises(InterruptedError):
            training(keeper, silent)
        assert keeper.kept is not None
        assert keeper.kept[STEP].item() == at
        ticks: list[int] = []
        for found, of_slice in zip(training(keeper, ticks.append), expected, strict=True):
            assert found.keys() == of_slice.keys()
            for name, array in of_slice.items():
                assert array.dtype == found[name].dtype
                np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert sum(ticks) == network_steps


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("net", "before"),
    [(MLP((7, 6)), range(STEPS)), (CNN((4, 3)), (2, 5)), (PreResNet(1, (4, 4)), (5,))],
    ids=["mlp", "cnn", "preresnet"],
)
def test_training_goes_on_to_the_last_bit(
    net: Net, before: Sequence[int], precision: str, random_dataset: Dataset
) -> None:
    experiment = replace(EVERYTHING, net=net, precision=precision)

    def training(keeper: InMemory, tick: Tick) -> list[Arrays]:
        return train([experiment], random_dataset, "cpu", tick, all_at_once, keeper)

    assert_goes_on(experiment.steps * experiment.replicas, training, before)


def test_training_goes_on_before_and_after_networks_part(random_dataset: Dataset) -> None:
    parted_at_2, parted_at_5 = (Phases((Constant(0.1), Constant(0.02)), (at,)) for at in (2, 5))
    slices = [replace(EVERYTHING, learning_rate=rate) for rate in (Constant(0.1), parted_at_2, parted_at_5)]

    def training(keeper: InMemory, tick: Tick) -> list[Arrays]:
        return train(slices, random_dataset, "cpu", tick, all_at_once, keeper)

    in_common = 2 * 2 + 3  # all three are one network for 2 steps, and two of them for 3 more
    assert_goes_on((3 * STEPS - in_common) * EVERYTHING.replicas, training, range(STEPS))


def test_training_goes_on_before_and_after_a_shorter_run_has_ended(random_dataset: Dataset) -> None:
    whole = replace(EVERYTHING, learning_rate=0.1)
    looked_at = Observe("weights", (1, 3)), Observe("average_test_accuracy", (0, 2))
    shorter = replace(whole, steps=3, observe=looked_at)
    parted = replace(whole, learning_rate=Phases((0.1, 0.02), (2,)))

    def training(keeper: InMemory, tick: Tick) -> list[Arrays]:
        return train([shorter, parted, whole], random_dataset, "cpu", tick, all_at_once, keeper)

    # All three are one network for 2 steps, and the shorter one is the whole one until it has ended.
    assert_goes_on((2 * STEPS - 2) * EVERYTHING.replicas, training, range(STEPS))


def test_noise_goes_on_to_the_last_bit(random_dataset: Dataset) -> None:
    observe = tuple(one for one in EVERYTHING.observe if one.row.needs is not OF_PARTNERS)
    experiment = replace(EVERYTHING, gradient_noise=GaussianNoise(2), partners=None, observe=observe)

    def training(keeper: InMemory, tick: Tick) -> list[Arrays]:
        return train([experiment], random_dataset, "cpu", tick, all_at_once, keeper)

    assert_goes_on(experiment.steps * experiment.replicas, training, (1, 5))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_what_an_optimiser_keeps_goes_on_to_the_last_bit(precision: str, random_dataset: Dataset) -> None:
    experiment = replace(EVERYTHING, momentum=0.0, initial_velocity=0.0, optimizer=AdamW(), precision=precision)

    def training(keeper: InMemory, tick: Tick) -> list[Arrays]:
        return train([experiment], random_dataset, "cpu", tick, all_at_once, keeper)

    assert_goes_on(experiment.steps * experiment.replicas, training, (1, 5))


def test_the_toy_goes_on_to_the_last_bit(small_toy: Experiment) -> None:
    observe = tuple(Observe(name, range(101)) for name, row in QUANTITIES.items() if row.toy)
    experiment = replace(small_toy, steps=100, observe=observe)
    steps = experiment.steps * experiment.replicas
    assert_goes_on(steps, lambda keeper, tick: train_toy([experiment], tick, keeper), (0, 1, 70))


def test_training_goes_on_between_graphs(monkeypatch: pytest.MonkeyPatch, random_dataset: Dataset) -> None:
    fake_graph.install(monkeypatch)
    monkeypatch.setattr(loop, "capturable", lambda _: True)

    def training(keeper: InMemory, tick: Tick) -> list[Arrays]:
        return train([EVERYTHING], random_dataset, "cpu", tick, all_at_once, keeper)

    assert_goes_on(EVERYTHING.steps * EVERYTHING.replicas, training, (4,))


# In the store


@pytest.fixture
def experiment(small_experiment: Experiment) -> Experiment:
    """Two slices that train as one batch."""
    return replace(small_experiment, replicas=16, momentum=0.9, observe=(Observe("weights", (0, 3, 6)),))


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "KEEP_EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "WRITING_SHARE", np.inf)


def lab(root: Path, *, refresh: bool = False) -> Lab:
    # What is measured would decide by chance how replicas are computed.
    return Lab(Store(root), InProcess(), refresh=refresh, choose=False)


def unfinished(root: Path) -> list[Path]:
    return list((root / FOLDER).glob("*"))


def recorded(root: Path, experiment: Experiment) -> np.ndarray:
    there = lab(root)
    there.train(there.plan([experiment]))
    assert not unfinished(root)
    return there.recording(experiment)["weights"]


def interrupt(root: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Trains until so many snapshots are kept, and loses the process."""
    kept = 0
    keep = Checkpoint.keep

    def keep_and_die(checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        nonlocal kept
        keep(checkpoint, snapshot)
        kept += 1
        if kept == after:
            raise KeyboardInterrupt

    dies_in_training(root, experiment, monkeypatch, Checkpoint, "keep", keep_and_die)
    assert len(unfinished(root)) == 1


def dies_in_training(
    root: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, deadly: Any
) -> None:
    """Trains with a method that ends the process, and loses it."""
    there = lab(root)
    plan = there.plan([experiment])
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, deadly)
        with pytest.raises(KeyboardInterrupt):
            there.train(plan)


@pytest.mark.usefixtures("always_due")
def test_a_killed_run_goes_on_from_its_checkpoint(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = recorded(tmp_path / "undisturbed", experiment)
    root = tmp_path / "store"
    interrupt(root, experiment, monkeypatch, after=4)
    begun_at: list[int] = []
    load = Checkpoint.load

    def load_and_tell(checkpoint: Checkpoint) -> Snapshot | None:
        snapshot = load(checkpoint)
        assert snapshot is not None
        begun_at.append(snapshot[STEP].item())
        return snapshot

    monkeypatch.setattr(Checkpoint, "load", load_and_tell)
    np.testing.assert_array_equal(recorded(root, experiment), expected)
    assert begun_at == [3]


def test_what_is_half_saved_trains_in_the_company_it_had(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = recorded(tmp_path / "undisturbed", experiment)
    root = tmp_path / "store"
    save = Store.save

    def save_and_die(store: Store, *arguments: Any) -> None:
        save(store, *arguments)
        raise KeyboardInterrupt

    dies_in_training(root, experiment, monkeypatch, Store, "save", save_and_die)
    again = lab(root).plan([experiment])
    assert [len(job.keys) for job in again.jobs] == [2]
    assert again.stored == 0
    np.testing.assert_array_equal(recorded(root, experiment), expected)


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("damage", ["cut", "flipped", "other torch", "other job", "empty"])
def test_a_damaged_checkpoint_is_not_gone_on_from(
    damage: str, tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = recorded(tmp_path / "undisturbed", experiment)
    root = tmp_path / "store"
    interrupt(root, experiment, monkeypatch, after=3)
    [path] = unfinished(root)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    elif damage == "other torch":
        monkeypatch.setattr(torch, "__version__", "0.1")
    elif damage == "other job":
        path.rename(path.with_stem("0" * 64))
    else:
        path.write_bytes(b"")
    np.testing.assert_array_equal(recorded(root, experiment), expected)


@pytest.mark.usefixtures("always_due")
def test_refreshing_begins_at_the_beginning(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(tmp_path, experiment, monkeypatch, after=3)
    there = lab(tmp_path, refresh=True)
    monkeypatch.setattr(checkpoints, "KEEP_EVERY", 600.0)
    steps: list[int] = []
    there.train(there.plan([experiment]), steps.append)
    assert not unfinished(tmp_path)
    assert len(steps) == 1


def test_what_did_not_begin_is_divided_among_other_workers(tmp_path: Path, experiment: Experiment) -> None:
    there = lab(tmp_path)
    [job] = there.plan([experiment]).jobs
    job.checkpoint.begin(workers=3)
    assert list(begun(tmp_path, workers=2)) == []
    assert list(begun(tmp_path, workers=3)) == [tuple(key.place for key in job.keys)]


@pytest.mark.usefixtures("always_due")
def test_a_process_that_is_asked_to_stop_keeps_how_far_it_is(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_stopping", Event())
    there = lab(tmp_path)
    plan = there.plan([experiment])
    checkpoints.stop()
    with pytest.raises(StoppedError):
        there.train(plan)
    [path] = unfinished(tmp_path)
    assert checkpoints.About(path).arrays


@pytest.mark.usefixtures("always_due")
def test_a_checkpoint_that_cannot_be_written_costs_nothing(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = recorded(tmp_path / "undisturbed", experiment)
    save = checkpoints.save

    def disk_full(arrays: Snapshot, metadata: dict[str, str]) -> bytes:
        if arrays:
            raise OSError(28, "No space left on device")
        return save(arrays, metadata)

    monkeypatch.setattr(checkpoints, "save", disk_full)
    np.testing.assert_array_equal(recorded(tmp_path / "store", experiment), expected)


KEPT = {STEP: np.array(3), "weights": np.arange(6, dtype=np.float32).reshape(2, 3), "done": np.zeros(0)}


@settings(max_examples=100, deadline=None)
@given(
    start=st.integers(0, 900), length=st.integers(0, 900), put=st.binary(max_size=9), bit=st.none() | st.integers(0, 7)
)
def test_no_changed_checkpoint_is_gone_on_from(start: int, length: int, put: bytes, bit: int | None) -> None:
    """Cut out, overwritten, inserted, or one bit: it says what it said, or there is none; nothing fails."""
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), [Path("a", "b.safetensors")])
        checkpoint.begin(workers=2)
        checkpoint.keep(KEPT)
        content = bytearray(checkpoint.path.read_bytes())
        if bit is None:
            content[start : start + length] = put
        else:
            content[start % len(content)] ^= 1 << bit
        checkpoint.path.write_bytes(content)
        found = checkpoint.load()
        if found is not None:
            assert found.keys() == KEPT.keys()
            for name, array in KEPT.items():
                np.testing.assert_array_equal(found[name], array)
        assert set(begun(Path(folder), 2)) <= {(Path("a", "b.safetensors"),)}
        checkpoints.tidy(Path(folder))
