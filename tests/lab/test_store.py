"""The store: what is not what was written is never used and never fatal, whatever has become of it."""

import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from ilr.__main__ import main
from ilr.experiments.experiment import Data, Experiment, Observe
from ilr.experiments.recording import DIVERGED_AT
from ilr.lab.engines import Processes
from ilr.lab.jobs import Job
from ilr.lab.scheduler import Lab, TrainingFailedError
from ilr.lab.store import Facts, Key, Store, StoreError, writing
from ilr.lab.store import store as store_module
from ilr.lab.store.recording_file import DamagedError, forms, read_header, read_whole, to_bytes
from ilr.lab.store.writing import PARTIAL, leftovers, write_whole
from ilr.training.loop import train as train_nets
from tests.claim_files import write_claim
from tests.conftest import Run
from tests.stores import (
    FACTS,
    TOY,
    arrays_of,
    files,
    key_of,
    lab_at,
    recordings,
    sealed,
    sealed_with,
    toys,
    trained_at,
)

CONTENT = to_bytes(key_of(), arrays_of(), FACTS)
"""The file of a small recording."""
HEADER_BYTES = 8 + int.from_bytes(CONTENT[:8], "little")


def placed(root: Path, content: bytes, key: Key | None = None) -> Path:
    """Writes something where the recording of a key is looked for."""
    path = root / (key or key_of()).place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def assert_is_not_used(root: Path, content: bytes) -> None:
    """It is set aside, named once, and missed from then on."""
    path = placed(root, content)
    store = Store(root)
    assert store.find(key_of())[0] is None
    [note] = store.notes
    assert path.relative_to(root).as_posix() in note
    assert "\n" not in note
    assert not path.exists()
    assert [one.read_bytes() for one in files(root)] == [content]
    assert store.find(key_of()) == (None, "never trained")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(key_of(), arrays_of(), FACTS)
    recording, reason = store.find(key_of())
    assert recording is not None
    assert reason == "in the store"
    assert recording.arrays.keys() == arrays_of().keys()
    for name, values in arrays_of().items():
        np.testing.assert_array_equal(recording.arrays[name], values)
    assert store.look_up(key_of()).facts == FACTS
    assert store.notes == []


def test_every_bit_counts() -> None:
    """Each bit of a file, header and arrays, one at a time; for the header also where the arrays are not read."""
    for index in range(len(CONTENT)):
        for bit in range(8):
            flipped = bytearray(CONTENT)
            flipped[index] ^= 1 << bit
            with pytest.raises(DamagedError):
                read_whole(bytes(flipped))
            if index < HEADER_BYTES and bit == index % 8:
                with pytest.raises(DamagedError):
                    read_header(BytesIO(bytes(flipped)))


def test_every_byte_has_its_place() -> None:
    for length in range(len(CONTENT)):
        with pytest.raises(DamagedError):
            read_whole(CONTENT[:length])
    with pytest.raises(DamagedError):
        read_whole(CONTENT + b"\0")


@settings(max_examples=200, deadline=None)
@given(
    start=st.integers(0, len(CONTENT)),
    end=st.integers(0, len(CONTENT)),
    put=st.binary(max_size=40),
    times=st.sampled_from([1, 2]),
)
def test_no_part_can_be_replaced(start: int, end: int, put: bytes, times: int) -> None:
    """Cut out, inserted, doubled, overwritten."""
    changed = CONTENT[:start] + put * times + CONTENT[end:]
    if changed != CONTENT:
        with pytest.raises(DamagedError):
            read_whole(changed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_nothing_else_is_a_recording(content: bytes) -> None:
    with pytest.raises(DamagedError):
        read_whole(content)


def _arrays(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    return {name: values for name, values in (arrays_of() | changes).items() if values is not None}


FOREIGN = {
    "nothing": b"",
    "text": b"not a recording, but long enough to look like a header's length\n" * 9,
    "JSON": b'{"key": "x", "check": "' + b"0" * 64 + b'"}',
    "zeros": bytes(4096),
    "endless header": b"\xff" * 64,
    "no metadata": safetensors.numpy.save(arrays_of()),
    "of an earlier version": safetensors.numpy.save(
        arrays_of(), {"key": key_of().text, "facts": msgspec.json.encode(FACTS).decode()}
    ),
    "another key": to_bytes(key_of(data_sha256="other"), arrays_of(), FACTS),
    "another experiment": to_bytes(key_of(replace(TOY, seed=1)), arrays_of(), FACTS),
    "a key that is none": sealed_with(key="{}"),
    "facts that are none": sealed_with(facts=[]),
    "seconds in words": sealed_with(facts={"seconds": "long"}),
    "less than no seconds": sealed_with(facts={"seconds": -1}),
    "a batch of halves": sealed_with(facts={"batch": 1.5}),
    "a moment somewhere": sealed_with(facts={"trained": "2026-01-01T00:00:00"}),
    "no facts": sealed({"key": key_of().text}, arrays_of()),
    "no arrays": sealed_with(arrays={}),
    "an array less": sealed_with(arrays=_arrays(train_loss=None)),
    "an array more": sealed_with(arrays=_arrays(test_loss=np.ones((2, 1)))),
    "another type": sealed_with(arrays=_arrays(train_loss=np.ones((2, 1), np.float32))),
    "a type that no quantity has": sealed_with(arrays=_arrays(train_loss=np.ones((2, 1), np.uint8))),
    "a replica less": sealed_with(arrays=_arrays(train_loss=np.ones((1, 1)))),
    "a step more": sealed_with(arrays=_arrays(train_loss=np.ones((2, 2)))),
    "the other way round": sealed_with(arrays=_arrays(weight_norm=np.ones((4, 1)))),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_recording_of_this_key_is_set_aside(content: bytes, tmp_path: Path) -> None:
    assert_is_not_used(tmp_path, content)


@pytest.mark.parametrize("region", ["length", "metadata", "an array's entry", "arrays"])
def test_a_damaged_file_is_set_aside(region: str, tmp_path: Path) -> None:
    index = {
        "length": 0,
        "metadata": CONTENT.index(b"2.6.0"),
        "an array's entry": CONTENT.index(b'"train_loss"') + 3,
        "arrays": HEADER_BYTES + 5,
    }[region]
    assert_is_not_used(tmp_path, CONTENT[:index] + bytes([CONTENT[index] ^ 4]) + CONTENT[index + 1 :])


@pytest.mark.parametrize("thing", ["folder", "full folder", "pipe", "dangling link", "link to a folder"])
def test_what_is_no_file_is_out_of_the_way(thing: str, tmp_path: Path) -> None:
    path = tmp_path / key_of().place
    path.parent.mkdir(parents=True)
    if thing.endswith("folder") and "link" not in thing:
        path.mkdir()
        if thing == "full folder":
            (path / "file").touch()
    elif thing == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path if "folder" in thing else tmp_path / "nowhere")
    store = Store(tmp_path)
    assert store.look_up(key_of()).facts is None
    assert len(store.notes) == 1
    store.save(key_of(), arrays_of(), FACTS)
    assert store.find(key_of())[0] is not None


@pytest.mark.parametrize("what", ["a bit of the arrays", "a bit of the header", "cut short", "exchanged", "deleted"])
@pytest.mark.parametrize("when", ["before planning", "after planning"])
def test_what_was_damaged_is_trained_again(what: str, when: str, tmp_path: Path) -> None:
    """To the same numbers; and it is said."""
    one, other = toys(2)
    lab = trained_at(tmp_path, one, other)
    before = lab.recording(one)
    path, second = (tmp_path / lab.keys(experiment)[0].place for experiment in (one, other))
    content = bytearray(path.read_bytes())

    lab = lab_at(tmp_path)
    if when == "after planning":
        lab.plan([one, other])
    if what == "exchanged":
        path.write_bytes(second.read_bytes())
        second.write_bytes(content)
    elif what == "deleted":
        path.unlink()
    else:
        content[-1 if "arrays" in what else 60] ^= 1
        path.write_bytes(content[:-20] if what == "cut short" else content)
    if when == "before planning":
        lab.train(lab.plan([one, other]))
    again = lab.recording(one)
    for name, values in before.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values)
    lab.recording(other)
    damaged = {"exchanged": 2, "deleted": 0}.get(what, 1)
    assert len(lab.store.notes) == damaged
    assert lab.source(one).origin.startswith("trained here: " + ("its file was damaged: " if damaged else ""))
    assert trained_at(tmp_path, one, other).store.notes == []


def test_where_nothing_may_be_trained_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / trained_at(tmp_path, TOY).keys(TOY)[0].place
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    lab = lab_at(tmp_path, frozen=True)
    assert lab.missing([TOY]) == 0
    with pytest.raises(TrainingFailedError, match="its file was damaged: its arrays are not as they were written"):
        lab.recording(TOY)


def test_a_run_says_what_was_damaged(pytester: pytest.Pytester, run: Run) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    assert run().ret == pytest.ExitCode.OK
    arrays, header = recordings(pytester.path / "store")
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"\x7f")
    header.write_bytes(b"\x01" + header.read_bytes()[1:])
    result = run()
    assert result.ret == pytest.ExitCode.OK
    told = [line for line in result.outlines if line.startswith("damaged in the store: ")]
    assert len(told) == 2
    for path in (arrays, header):
        assert sum(path.name in line for line in told) == 1
    assert not [line for line in run().outlines if line.startswith("damaged in the store: ")]


def test_what_another_process_has_just_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed(tmp_path, CONTENT[:-1])
    store = Store(tmp_path)
    set_aside = Store._set_aside

    def late(self: Store, *arguments: object) -> str:
        Store(tmp_path).save(key_of(), arrays_of(), FACTS)
        return set_aside(self, *arguments)

    monkeypatch.setattr(Store, "_set_aside", late)
    assert store.find(key_of())[0] is None
    assert store.notes == []
    assert store.find(key_of())[0] is not None


def test_recordings_have_the_form_that_training_gives(small_experiment: Experiment) -> None:
    """Of nets; that of the toy is tested wherever it is trained."""
    from ilr.data.dataset import load

    observed = (Observe("weights", (0, 6)), Observe("test_predictions", (3,)), Observe("test_accuracy", (6,)))
    experiment = replace(small_experiment, observe=(*observed, Observe("loss_rescaling", (6,), (0.5, 2.0))))
    assert experiment.data is not None
    [arrays] = train_nets([experiment], load(experiment.data))
    assert forms(experiment) == {name: (values.dtype.name, values.shape) for name, values in arrays.items()}


def test_nothing_of_another_form_is_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'train_loss' is float32 \[2, 1\], not float64 \[2, 1\]"):
        Store(tmp_path).save(key_of(), _arrays(train_loss=np.ones((2, 1), np.float32)), FACTS)
    with pytest.raises(ValueError, match=f"it holds {DIVERGED_AT}, train_loss, not"):
        Store(tmp_path).save(key_of(), _arrays(weight_norm=None), FACTS)
    assert files(tmp_path) == []


# Measurements


class Measured(msgspec.Struct, forbid_unknown_fields=True):
    at_once: int


def remembered(root: Path) -> tuple[int, list[str]]:
    """What is remembered, or measured; and what was found damaged."""
    store = Store(root)
    return store.remember("this", lambda: Measured(7), Measured).at_once, store.notes


def test_a_measurement_is_remembered_by_the_code_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).remember("this", lambda: Measured(3), Measured)
    assert remembered(tmp_path) == (3, [])
    monkeypatch.setattr(store_module, "training_code_sha256", lambda: "other")
    assert remembered(tmp_path) == (7, [])


def test_every_bit_of_a_measurement_counts(tmp_path: Path) -> None:
    Store(tmp_path).remember("this", lambda: Measured(3), Measured)
    [path] = (tmp_path / "measured").iterdir()
    content = path.read_bytes()
    for index in range(len(content)):
        path.write_bytes(content[:index] + bytes([content[index] ^ (1 << index % 8)]) + content[index + 1 :])
        found, notes = remembered(tmp_path)
        assert (found, len(notes)) == (7, 1), content[index - 5 : index + 5]


@pytest.mark.parametrize(
    "found", ["null", "[]", "{}", '{"at_once": "4"}', '{"at_once": 4.5}', '{"at_once": 4, "more": 1}', "NaN", "1e999"]
)
def test_a_measurement_of_another_form_is_a_miss(found: str, tmp_path: Path) -> None:
    Store(tmp_path).remember("this", lambda: Measured(3), Measured)
    [path] = (tmp_path / "measured").iterdir()
    kept = msgspec.json.decode(path.read_bytes())
    what = kept["what"]
    path.write_text(
        msgspec.json.encode(kept | {"sha256": store_module._sha256_of_measurement(what, found.encode())})
        .decode()
        .replace('{"at_once":3}', found)
    )
    assert remembered(tmp_path)[0] == 7
    assert remembered(tmp_path) == (7, [])


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"found": {"at_once": 0}}', b"[" * 9999, b"\xff"], ids=len)
def test_what_is_no_measurement_is_a_miss(content: bytes, tmp_path: Path) -> None:
    Store(tmp_path).remember("this", lambda: Measured(3), Measured)
    [path] = (tmp_path / "measured").iterdir()
    path.write_bytes(content)
    found, [note] = remembered(tmp_path)
    assert found == 7
    assert path.name in note


def test_what_cannot_be_kept_is_measured_again(tmp_path: Path) -> None:
    (tmp_path / "measured").touch()
    assert remembered(tmp_path) == remembered(tmp_path) == (7, [])


# Writing


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_modes_follow_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        trained_at(tmp_path / "store", TOY)
        Store(tmp_path / "store").remember("this", lambda: Measured(3), Measured)
    finally:
        os.umask(before)
    found = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {mode}
    folders = [path for path in (tmp_path / "store").rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o777 & ~umask}


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(store_module, "write_whole", refuse)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often jobs of so many steps are trained."""
    count: Counter[int] = Counter()
    train = Job.train

    def counting(self: Job, tick: Callable[[int], None]) -> None:
        count[self.keys[0].experiment.steps] += 1
        train(self, tick)

    monkeypatch.setattr(Job, "train", counting)
    return count


def test_a_store_that_cannot_be_written_stops_the_run_at_once(
    tmp_path: Path, begun: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one job is tried after the first failure, nor that in halves."""
    experiments = [replace(one, replicas=24) for one in toys(4)]
    refuse_to_write(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(StoreError, match=r"cannot be written: No space left on device$"):
        trained_at(tmp_path, *experiments)
    assert begun.total() == 1


def test_it_stops_worker_processes_as_well(tmp_path: Path) -> None:
    [key] = lab_at(tmp_path).keys(TOY)
    # In the way of the folder of its recording.
    (tmp_path / key.place.parent).touch()
    lab = Lab(Store(tmp_path), Processes(1))
    with pytest.raises(StoreError, match="cannot be written: "):
        lab.train(lab.plan([TOY]))


@pytest.mark.parametrize("place", ["under a file", "no place at all"])
def test_a_store_that_cannot_be_made_is_one_line_before_training(
    place: str, tmp_path: Path, begun: Counter[int]
) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "store" if place == "under a file" else Path("/proc/store")
    with pytest.raises(StoreError, match=f"the store {root} cannot be written: "):
        trained_at(root, TOY)
    assert begun.total() == 0


@pytest.mark.parametrize("free", [0, 2**20, 2**24])
def test_the_disk_has_room_for_all_before_anything_is_trained(
    free: int, pytester: pytest.Pytester, run: Run, begun: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_claim(pytester.path / "claims", "reproduced")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 2**40 - free, free))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in result.errlines if line]
    assert "has no room for what is to be trained: that takes about" in line
    assert begun.total() == 0


def test_a_store_that_can_only_be_read_serves(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing has to be trained; with or without --no-train."""
    write_claim(pytester.path / "claims", "reproduced")
    assert run().ret == pytest.ExitCode.OK
    refuse_to_write(monkeypatch, PermissionError(13, "Permission denied"))
    monkeypatch.setattr(writing.Path, "touch", lambda *_: pytest.fail("written"))
    before = files(pytester.path / "store")
    for options in ([], ["--no-train"]):
        result = run(*options)
        assert result.ret == pytest.ExitCode.OK
        result.stdout.re_match_lines([r"REPRODUCED +reproduced"])
    assert files(pytester.path / "store") == before


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    trained_at(tmp_path, TOY)
    write_whole(tmp_path, tmp_path / "whole", b"whole")
    # No process has a number beyond the largest that Linux gives.
    name, _, rest = f"{os.uname().nodename}-{os.getpid()}-ab".rpartition(f"-{os.getpid()}-")
    dead, ours, elsewhere, old = (
        tmp_path / PARTIAL / one
        for one in (f"{name}-{2**22 + 1}-{rest}", f"{name}-{os.getpid()}-{rest}", "elsewhere-1-ab", "elsewhere-2-ab")
    )
    for path in (dead, ours, elsewhere, old):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert set(leftovers(tmp_path)) == {dead, old}
    trained_at(tmp_path, replace(TOY, steps=4))
    assert sorted((tmp_path / PARTIAL).iterdir()) == sorted([ours, elsewhere])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "more").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path, tmp_path / "folder", b"whole")
    assert files(tmp_path) == []


def test_a_store_deleted_in_mid_run_is_filled_again(tmp_path: Path) -> None:
    lab = trained_at(tmp_path / "store", *toys(2))
    shutil.rmtree(tmp_path / "store")
    for experiment in toys(2):
        assert lab.recording(experiment).experiment == experiment


# The command


def test_verify_names_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = toys(2)
    lab = trained_at(tmp_path, one, other, of_a_net())
    lab.store.remember("this", lambda: Measured(3), Measured)
    assert main(["store", "verify", f"--store={tmp_path}"]) == 0
    assert capsys.readouterr().out.endswith(" files are sound, 0 are not\n")
    first, second = (tmp_path / lab.keys(experiment)[0].place for experiment in (one, other))
    first.write_bytes(second.read_bytes())
    second.write_bytes(second.read_bytes()[:-1])
    measured = tmp_path / "measured" / "0.json"
    measured.write_text("null")
    before = files(tmp_path)
    assert main(["store", "verify", f"--store={tmp_path}"]) == 1
    *told, total = capsys.readouterr().out.splitlines()
    assert {line.partition(":")[0] for line in told} == {
        path.relative_to(tmp_path).as_posix() for path in (first, second, measured)
    }
    assert total.endswith("3 are not and will never be used")
    assert files(tmp_path) == before


def of_a_net() -> Experiment:
    from ilr.experiments.architectures import MLP
    from ilr.experiments.norms import BatchNorm

    return replace(
        TOY,
        net=MLP((4, 4)),
        norm=BatchNorm(),
        data=Data("digits", train=64, test=32),
        batch_size=16,
        observe=(Observe("weight_norm", (3,)),),
    )


def test_what_was_set_aside_is_counted_and_cleaned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained_at(tmp_path, TOY)
    path = recordings(tmp_path)[0]
    path.write_bytes(b"damaged")
    trained_at(tmp_path, TOY)
    assert main(["store", "du", f"--store={tmp_path}"]) == 0
    assert "1 damaged files in set-aside" in capsys.readouterr().out
    assert main(["store", "gc", f"--store={tmp_path}", "--dry-run", "--older-than=0"]) == 0
    assert len(list((tmp_path / "set-aside").iterdir())) == 1
    assert main(["store", "gc", f"--store={tmp_path}", "--older-than=0"]) == 0
    assert list((tmp_path / "set-aside").iterdir()) == []
    assert recordings(tmp_path) == [path]


def test_facts_say_who_made_a_recording(tmp_path: Path) -> None:
    lab = trained_at(tmp_path, TOY)
    facts = lab.store.look_up(lab.keys(TOY)[0]).facts
    assert facts is not None
    assert facts.machine == os.uname().nodename
    assert facts.trained is not None
    of_others = ("formulation", "commit", "peak_gpu_memory_bytes", "gpu_software")
    assert all(getattr(facts, name) for name in Facts.__struct_fields__ if name not in of_others)
