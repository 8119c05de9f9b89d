"""What a store holds, and what is taken out of it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

import ilr.lab.housekeeping as housekeeping
from ilr.__main__ import main
from ilr.experiments.experiment import Experiment
from ilr.lab.engines import InProcess
from ilr.lab.scheduler import Lab
from ilr.lab.store import Store, training_code_sha256

MONTHS = 100 * housekeeping.DAY


@pytest.fixture
def store(tmp_path: Path, small_toy: Experiment, small_experiment: Experiment) -> Path:
    """Three recordings: two of the toy, with different steps, and one of a net."""
    root = tmp_path / "store"
    lab = Lab(Store(root), InProcess())
    lab.train(lab.plan([small_toy, replace(small_toy, steps=4), small_experiment]))
    return root


@pytest.fixture
def changed_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the training code had changed since."""
    monkeypatch.setattr(housekeeping, "training_code_sha256", lambda: "another")


def age(root: Path, seconds: float) -> None:
    for one in housekeeping.kept(root):
        os.utime(one.path, (one.saved - seconds, one.saved - seconds))


def test_what_is_kept_is_listed_by_kind(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "0").mkdir()
    (store / "0" / "0.safetensors").write_bytes(b"damaged")
    assert main(["store", "ls", f"--store={store}"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["net", "data", "steps", "trained", "by", "networks", "files", "size", "last"]
    told = sorted(line.split() for line in lines)
    assert [line[:3] for line in told] == [
        ["MLP", "digits", "6"],
        ["Toy", "–", "3"],
        ["Toy", "–", "4"],
        ["–", "–", "0"],
    ]
    assert told[0][3:7] == ["this", "version", "3", "1"]
    assert told[-1][3:6] == ["cannot", "be", "read"]


def test_the_size_is_that_of_the_files(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "du", f"--store={store}"]) == 0
    total = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    assert housekeeping.size(store).bytes == total
    whole, recordings, stale = capsys.readouterr().out.splitlines()
    assert whole.endswith(f"files at {store}")
    assert recordings.endswith("in 3 recordings")
    assert stale.startswith("0\N{NO-BREAK SPACE}bytes in 0 recordings of other training code")


@pytest.mark.usefixtures("changed_code")
def test_cleaning_takes_what_other_code_made_some_time_ago(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "gc", f"--store={store}"]) == 0
    assert capsys.readouterr().out.startswith("0 recordings deleted")
    age(store, MONTHS)
    assert main(["store", "gc", f"--store={store}", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("3 recordings would be deleted")
    assert len(list(housekeeping.kept(store))) == 3
    assert main(["store", "gc", f"--store={store}"]) == 0
    assert capsys.readouterr().out.startswith("3 recordings deleted")
    assert not list(housekeeping.kept(store))
    assert {path.name for path in store.iterdir()} <= {"measured", "unfinished"}


def test_cleaning_leaves_what_this_version_uses(store: Path) -> None:
    age(store, MONTHS)
    assert main(["store", "gc", f"--store={store}", "--older-than=0"]) == 0
    assert len(list(housekeeping.kept(store))) == 3


def test_the_key_of_a_cache_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "key"]) == 0
    assert training_code_sha256().startswith(capsys.readouterr().out.strip())


@pytest.mark.parametrize("action", ["ls", "du", "gc"])
def test_a_store_that_is_not_there_is_one_line(action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", action, f"--store={tmp_path / 'nowhere'}"]) == 2
    assert capsys.readouterr().err == f"ilr: there is no store at {tmp_path / 'nowhere'}\n"


def test_days_are_a_whole_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["store", "gc", f"--store={tmp_path}", "--older-than=-1"])
    assert ended.value.code == 2
    assert "must be a whole number of days, 0 or more" in capsys.readouterr().err
