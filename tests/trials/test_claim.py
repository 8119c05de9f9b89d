"""What claims are written with: a prediction for each of some names, experiments with some fields changed."""

import pytest

from ilr import Constant, Observe, Prediction, changed, for_each, observe_all
from ilr.trials.claim import Setting

GROWTH = Prediction("{}: growth", "at_least", 1.0, 0.0, reason="no decay")
FALL = Prediction("{}: fall", "at_most", 0.0, 0.1, reason="rounding")


def test_for_each_name_all_predictions() -> None:
    predictions = for_each({"slow": 1, "fast": 2}, GROWTH, FALL)
    assert predictions == (GROWTH.of("slow"), FALL.of("slow"), GROWTH.of("fast"), FALL.of("fast"))
    assert [one.quantity for one in predictions] == ["slow: growth", "slow: fall", "fast: growth", "fast: fall"]


def test_changed_leaves_the_others_and_its_argument(small_experiment) -> None:
    planned = {"one": small_experiment, "other": small_experiment}
    result = changed(planned, only=["other"], weight_decay=0.0)
    assert result["one"] is small_experiment
    assert result["other"].weight_decay == Constant(0.0)
    assert planned["other"] is small_experiment
    assert set(changed(planned, steps=7).values()) == {changed(planned, only=["one"], steps=7)["one"]}


def test_changed_knows_its_experiments(small_experiment) -> None:
    with pytest.raises(KeyError, match="two"):
        changed({"one": small_experiment}, only=["two"], steps=7)


def test_observe_all_looks_at_the_same_steps() -> None:
    assert observe_all("test_loss", "weight_norm", at=(1, 2)) == (
        Observe("test_loss", (1, 2)),
        Observe("weight_norm", (1, 2)),
    )


def test_the_regime_is_the_scale_unless_the_papers_lengths_are_asked_for() -> None:
    assert [Setting(scale, 1, 8).regime for scale in ("tiny", "reduced", "full")] == ["tiny", "reduced", "full"]
    literal = Setting("full", 1, 8, literal=True)
    assert (literal.regime, literal.scale) == ("literal", "full")
    for scale in ("tiny", "reduced"):
        with pytest.raises(ValueError, match=f"are those of the scale full, not of {scale}"):
            Setting(scale, 1, 8, literal=True)
