"""Options: one table, from which the command line and what a run is told are both made."""

import argparse
import configparser
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ilr.session import selection
from ilr.session.options import Options, check, flag, table
from ilr.trials.scales import Scale


def given(**values: object) -> argparse.Namespace:
    """What argparse would make of a command line."""
    return argparse.Namespace(**{**dict.fromkeys(table()), **values})


def test_what_is_not_given_keeps_its_default() -> None:
    assert check(given()) == Options()


def test_every_option_is_a_row() -> None:
    # What pytest itself was asked to select is no row.
    assert [*table(), "selected"] == [field.name for field in fields(Options)]
    assert all(option.help for option in table().values())
    assert flag("data_root") == "--data-root"


def test_what_is_given_is_converted() -> None:
    options = check(given(seed="7", replicas="16", workers="2", no_train=True))
    assert (options.seed, options.replicas, options.workers, options.no_train) == (7, 16, 2, True)


@pytest.mark.parametrize("option", ["store", "report", "data_root"])
def test_paths_are_expanded(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    assert getattr(check(given(**{option: "~/here"})), option) == tmp_path / "here"


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "XDG_CACHE_HOME", "OMP_NUM_THREADS"])
def test_tox_passes_on_what_chooses_devices_cache_and_threads(variable: str) -> None:
    tox = configparser.ConfigParser()
    tox.read(Path(__file__).parents[2] / "tox.ini")
    passed = tox["testenv"]["pass_env"].split(",")
    assert any(fnmatch(variable, pattern.strip()) for pattern in passed)


@pytest.mark.parametrize(("scale", "device"), [("tiny", "cpu"), ("reduced", "cuda"), ("full", "cuda")])
def test_a_gpu_is_taken_by_default_but_not_at_tiny(
    scale: Scale, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "default_device", lambda: "cuda")
    monkeypatch.setattr(selection, "gpus", lambda device: 3 if device == "cuda" else 0)
    lab = selection.lab_for(Options(scale=scale), tmp_path)
    assert lab.device == device
    if device == "cuda":
        assert lab.engine.workers == 3
