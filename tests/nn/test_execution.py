"""Every formulation computes what all replicas at once compute; the fastest is one of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.experiments.experiment import Experiment, Observe, every
from ilr.experiments.norms import NoNorm
from ilr.nn.base import FusedNet
from ilr.nn.execution import Formulation, candidates, fastest
from ilr.training.loop import train
from tests.training.test_loop import BASE, EXACT, NETS, STEPS

SEVERAL = replace(BASE, replicas=5, observe=(Observe("weights", every(8, STEPS)), Observe("batch_loss", range(STEPS))))


def with_formulation(experiment: Experiment, dataset: Dataset, formulation: Formulation) -> dict[str, np.ndarray]:
    [arrays] = train([experiment], dataset, choose=lambda *_: formulation)
    return arrays


@pytest.mark.parametrize(
    "formulation",
    [Formulation(1), Formulation(2), Formulation(5, "unfolded"), Formulation(5, "channels-first"), Formulation(9)],
    ids=str,
)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("change", [{}, {"batch_size": None}, {"norm": NoNorm()}, {"trainable_head": True}], ids=str)
def test_every_formulation_trains_the_same_networks(
    change: dict[str, object], net: str, formulation: Formulation, random_dataset: Dataset
) -> None:
    experiment = replace(SEVERAL, net=NETS[net], **change)
    expected = with_formulation(experiment, random_dataset, Formulation(5))
    for quantity, values in with_formulation(experiment, random_dataset, formulation).items():
        np.testing.assert_allclose(values, expected[quantity], err_msg=quantity, **EXACT)


@pytest.mark.parametrize("net", NETS)
def test_the_fastest_is_one_of_the_candidates(net: str, random_dataset: Dataset) -> None:
    experiment = replace(SEVERAL, net=NETS[net])
    chosen: list[Formulation] = []
    tried: list[Formulation] = []

    def choose(net: FusedNet, weights: Tensor, *rest: Any) -> Formulation:
        chosen.append(fastest(net, weights, *rest))
        tried.extend(candidates(net, len(weights), weights.device))
        return chosen[-1]

    train([experiment], random_dataset, choose=choose)
    assert chosen[0] in tried
    assert {formulation.at_once for formulation in tried} == {1, 4, 5}
