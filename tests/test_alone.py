"""`ilr.run`: one experiment without pytest, kept and found again, with progress for whoever waits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ilr
from ilr.experiments.experiment import Experiment
from ilr.lab.jobs import Job
from ilr.lab.scheduler import TrainingFailedError


@pytest.mark.parametrize("in_cache", [False, True], ids=["store given", "user's cache"])
def test_one_experiment_is_trained_or_found(
    in_cache: bool,
    tmp_path: Path,
    small_experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ilr.alone.CACHE", tmp_path / "ilr")
    store = None if in_cache else str(tmp_path / "store")
    recording = ilr.run(small_experiment, store=store, device="cpu")
    assert recording.experiment == small_experiment
    assert {path.name for path in tmp_path.iterdir()} == {"ilr" if in_cache else "store"}
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("Training 3 networks, 18 steps in all, on 1 worker, cpu: about ")
    monkeypatch.setattr(Job, "run", lambda *_: pytest.fail("trained again"))
    again = ilr.run(small_experiment, store=store, device="cpu")
    np.testing.assert_array_equal(again["weight_norm"], recording["weight_norm"])
    assert capsys.readouterr() == ("", "")


def test_nothing_is_said_where_nobody_asks(
    tmp_path: Path, small_toy: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    ilr.run(small_toy, store=tmp_path, device="cpu", progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("progress", [False, True])
def test_what_diverges_is_told_trained_or_found(
    progress: bool, tmp_path: Path, small_toy: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    observe = ilr.observe_all("weight_norm", at=(0, 2, 3))
    diverging = replace(small_toy, learning_rate=ilr.Constant(1e308), observe=observe)
    for _ in range(2):
        recording = ilr.run(diverging, store=tmp_path, device="cpu", progress=progress)
        assert not np.isfinite(recording.final("weight_norm")).any()
        out, err = capsys.readouterr()
        assert not out
        assert err.endswith("2 of 2 replicas diverged: not finite from step 2 on, the first that was observed so\n")


def test_it_goes_on_after_an_interruption(
    tmp_path: Path, small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ilr.run(small_experiment, store=tmp_path, device="cpu", progress=False)
    recording = ilr.run(small_experiment, store=tmp_path, device="cpu", progress=False)
    assert recording["weight_norm"].shape == (3, 3)


def test_one_experiment_that_cannot_be_trained_says_why(tmp_path: Path, toy_that_fails: Experiment) -> None:
    with pytest.raises(TrainingFailedError, match="cannot be observed on the toy loss"):
        ilr.run(toy_that_fails, store=tmp_path, device="cpu", progress=False)


def test_what_does_not_fit_its_data_is_refused_before_anything_is_kept(
    tmp_path: Path, small_experiment: Experiment
) -> None:
    with pytest.raises(ValueError, match="a batch of 65 cannot be drawn from the 64 training examples of digits"):
        ilr.run(replace(small_experiment, batch_size=65), store=tmp_path / "store", device="cpu")
    assert not [*tmp_path.iterdir()]
