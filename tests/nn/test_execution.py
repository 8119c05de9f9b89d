"""Every formulation computes what all replicas at once compute; the fastest is one of them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import PreResNet
from ilr.experiments.experiment import Experiment, Observe, every
from ilr.experiments.norms import NoNorm
from ilr.experiments.schedules import Constant
from ilr.nn import execution, gradients, layers
from ilr.nn.base import FusedNet
from ilr.nn.execution import Formulation, candidates, fastest
from ilr.nn.layers import Layers
from ilr.nn.norms import in_training
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


@pytest.mark.parametrize("channels", [4, 16])
def test_a_strided_1x1_convolution_is_what_it_is_by_matrix_products(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few channels oneDNN never sees one: on some CPUs its gradient wrote beyond its memory."""
    strides: list[int] = []
    conv2d = torch.nn.functional.conv2d

    def seen(*given: Any, stride: int, **rest: Any) -> Tensor:
        strides.append(stride)
        return conv2d(*given, stride=stride, **rest)

    monkeypatch.setattr(layers.F, "conv2d", seen)
    stream = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 5, channels, 1, 1, generator=stream, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(2, 3 * channels, 7, 7, generator=stream, dtype=torch.float64, requires_grad=True)
    found = []
    for kernel in ("grouped", "unfolded"):
        outputs = Layers(in_training(NoNorm()), kernel).convolution(weights, inputs, stride=2)
        found.append((outputs, *torch.autograd.grad(outputs.square().sum(), (weights, inputs))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert strides == [1 if channels == 4 else 2]


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


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    """What one test compiles, or fails to, no other one meets."""
    gradients.compiled.cache_clear()
    yield
    gradients.compiled.cache_clear()


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize(
    ("change", "formulation", "numbers"),
    [
        ({"net": NETS["cnn"]}, Formulation(2, compiled=True), 2),
        (
            {"net": PreResNet(1, (4, 6)), "learning_rate": Constant(0.001)},
            Formulation(5, "channels-first", compiled=True),
            1,
        ),
    ],
    ids=str,
)
def test_compiled_passes_train_the_same_networks(
    change: dict[str, Any], formulation: Formulation, numbers: int, random_dataset: Dataset
) -> None:
    experiment = replace(SEVERAL, **change)
    expected = with_formulation(experiment, random_dataset, Formulation(5))
    for quantity, values in with_formulation(experiment, random_dataset, formulation).items():
        np.testing.assert_allclose(values, expected[quantity], err_msg=quantity, **EXACT)
    # Five replicas are two, two and one.
    assert gradients.compiled.cache_info().currsize == numbers


class NoCompilerError(Exception):
    pass


def compiler(fails: type[Exception] | None, called: list[int]) -> Callable[..., Any]:
    """A stand-in for torch.compile: what it gives fails, or is the function as it was; says with how many replicas."""

    def compile_(function: Callable[..., Tensor], **_: object) -> Callable[..., Tensor]:
        def compiled(*given: Any) -> Tensor:
            called.append(len(given[1]))
            if fails:
                raise fails("g++: not found")
            return function(*given)

        return compiled

    return compile_


@pytest.mark.usefixtures("nothing_compiled")
def test_what_cannot_be_compiled_is_computed_as_it_is_written(
    random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(torch, "compile", compiler(NoCompilerError, tried))
    experiment = replace(SEVERAL, net=NETS["cnn"])
    with pytest.warns(UserWarning, match="not compiled, which takes longer: NoCompilerError: g"):
        found = with_formulation(experiment, random_dataset, Formulation(5, compiled=True))
    for quantity, values in with_formulation(experiment, random_dataset, Formulation(5)).items():
        np.testing.assert_array_equal(found[quantity], values)
    assert len(tried) == 1


@pytest.mark.usefixtures("nothing_compiled")
def test_want_of_memory_is_no_want_of_a_compiler(random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", compiler(torch.OutOfMemoryError, []))
    with pytest.raises(torch.OutOfMemoryError):
        with_formulation(replace(SEVERAL, net=NETS["cnn"]), random_dataset, Formulation(5, compiled=True))


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize(
    ("net", "formulation", "passes"),
    [
        ("cnn", Formulation(2, compiled=True), [2, 2, 1]),
        ("cnn", Formulation(4, compiled=True), [4]),  # the last one is not worth it
        ("cnn", Formulation(9, compiled=True), [5]),
        ("cnn", Formulation(64, compiled=True), []),
        ("cnn", Formulation(2), []),
        ("mlp", Formulation(2, compiled=True), []),  # by hand
    ],
    ids=str,
)
def test_passes_of_more_than_a_few_are_compiled(
    net: str, formulation: Formulation, passes: list[int], random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    monkeypatch.setattr(torch, "compile", compiler(None, called))
    with_formulation(replace(SEVERAL, net=NETS[net]), random_dataset, formulation)
    assert called == passes * STEPS


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize("fails", [None, NoCompilerError])
@pytest.mark.parametrize("compiling", [True, False])
@pytest.mark.parametrize("net", NETS)
def test_the_best_is_tried_compiled_where_that_was_asked_for(
    net: str,
    compiling: bool,
    fails: type[Exception] | None,
    random_dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[Formulation] = []

    def seconds(run: Any, _: torch.device) -> float:
        run()
        return 1.0 if run.func.__self__.compiled else 2.0

    def choose(*given: Any) -> Formulation:
        chosen.append(fastest(*given, compiling=compiling))
        return Formulation(5)

    monkeypatch.setattr(torch, "compile", compiler(fails, []))
    monkeypatch.setattr(execution, "seconds", seconds)
    train([replace(SEVERAL, net=NETS[net])], random_dataset, choose=choose)
    assert [one.compiled for one in chosen] == [net == "cnn" and compiling and fails is None]
