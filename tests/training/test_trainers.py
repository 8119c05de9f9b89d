"""The table of quantities and what is measured cannot part; what trainers say beforehand is what comes out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ilr.data.dataset import Dataset, synthetic
from ilr.experiments.architectures import CNN, MLP
from ilr.experiments.experiment import Data, Experiment, Observe, Partners
from ilr.experiments.quantities import QUANTITIES, Quantity
from ilr.training.loop import all_at_once, silent
from ilr.training.recorder import Arrays
from ilr.training.trainers import trainer_of

FACTORS = (0.1, 10.0, 100.0)


def train(slices: list[Experiment], load: Callable[[Data], Dataset] = synthetic) -> list[Arrays]:
    return trainer_of(slices[0]).train(slices, load, "cpu", silent, all_at_once)


def observed(quantity: Quantity, steps: int) -> Observe:
    """A quantity at the first and the last step at which it can be."""
    return Observe(quantity.name, (0, quantity.last(steps)), FACTORS if "factor" in quantity.axes else ())


def assert_as_the_table_says(experiment: Experiment) -> None:
    trainer = trainer_of(experiment)
    [arrays] = train([experiment])
    for observation in experiment.observe:
        values = arrays[observation.quantity]
        assert values.shape == (experiment.replicas, 2, *trainer.shape(observation)), observation
        assert values.dtype == trainer.dtype(observation), observation


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("net", [MLP((8, 8)), CNN((3, 4))], ids=str)
def test_nets_have_every_quantity_as_the_table_says(
    small_experiment: Experiment, net: MLP | CNN, precision: str
) -> None:
    everything = tuple(observed(quantity, small_experiment.steps) for quantity in QUANTITIES.values())
    assert_as_the_table_says(
        replace(small_experiment, net=net, precision=precision, replicas=4, partners=Partners(), observe=everything)
    )


def test_the_toy_has_what_the_table_says(small_toy: Experiment) -> None:
    for quantity in QUANTITIES.values():
        experiment = replace(small_toy, partners=Partners(), observe=(observed(quantity, small_toy.steps),))
        if quantity.toy:
            assert_as_the_table_says(experiment)
        else:
            with pytest.raises(ValueError, match="cannot be observed on the toy loss"):
                assert_as_the_table_says(experiment)


def test_axes_are_as_long_as_they_should_be(small_experiment: Experiment) -> None:
    trainer = trainer_of(small_experiment)
    assert trainer.shape(Observe("weights", (0,))) == (64 * 8 + 8 * 8,)
    assert trainer.shape(Observe("test_predictions", (0,))) == (32,)
    assert trainer.shape(Observe("loss_rescaling", (0,), FACTORS)) == (3,)
    assert trainer.shape(Observe("test_loss", (0,))) == ()


def test_only_nets_load_data(small_experiment: Experiment, small_toy: Experiment) -> None:
    loaded = []

    def load(data: Data) -> Dataset:
        loaded.append(data)
        return synthetic(data)

    for experiment in (small_experiment, small_toy):
        train([experiment], load)
    assert loaded == [small_experiment.data]


def test_slices_are_fused_and_told_apart(small_experiment: Experiment, small_toy: Experiment) -> None:
    for experiment in (small_experiment, small_toy):
        slices = [experiment, replace(experiment, first_replica=10, replicas=1, seed=9)]
        together = train(slices)
        for one, arrays in zip(slices, together, strict=True):
            [alone] = train([one])
            assert alone.keys() == arrays.keys()
            for name, values in alone.items():
                np.testing.assert_allclose(arrays[name], values, rtol=1e-5)
        with pytest.raises(ValueError, match="train as one batch"):
            train([experiment, replace(experiment, momentum=0.5)])
