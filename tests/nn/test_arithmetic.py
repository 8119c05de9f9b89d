"""Products of fewer bits: within steps only, in graphs too, and never where an identity needs all of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import MLP, PreResNet
from ilr.experiments.experiment import CropFlip, Experiment, Observe, every
from ilr.experiments.norms import GroupNorm, WeightNorm
from ilr.experiments.schedules import Constant
from ilr.nn import arithmetic
from ilr.nn.arithmetic import multiplying, refused
from ilr.nn.execution import Formulation
from ilr.serialization import digest
from ilr.training import loop
from ilr.training.loop import train
from tests import fake_graph
from tests.training.test_loop import BASE, NETS, STEPS

CPU = torch.device("cpu")
FLAGS = torch.backends.cuda.matmul, torch.backends.cudnn

SINGLE = replace(
    BASE,
    precision="float32",
    learning_rate=Constant(0.01),
    momentum=0.9,
    observe=(
        Observe("weights", every(8, STEPS)),
        Observe("batch_loss", range(STEPS)),
        Observe("train_loss", (STEPS,)),
        Observe("gradient_second_moment", range(STEPS)),
    ),
)


def tf32() -> tuple[bool, ...]:
    return tuple(flag.allow_tf32 for flag in FLAGS)


@pytest.fixture(params=[(False, True), (True, False)], ids=str)
def found_on_entry(request: pytest.FixtureRequest) -> Iterator[tuple[bool, ...]]:
    """The process' own setting, which is torch's default or some other."""
    before = tf32()
    for flag, value in zip(FLAGS, request.param, strict=True):
        flag.allow_tf32 = value
    yield request.param
    for flag, value in zip(FLAGS, before, strict=True):
        flag.allow_tf32 = value


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_it_ends_with_its_block_whatever_happens(precision: Any, found_on_entry: tuple[bool, ...]) -> None:
    def fail() -> None:
        with multiplying(precision, CPU):
            assert tf32() == (precision == "tf32",) * 2
            assert torch.is_autocast_enabled("cpu") == (precision == "bfloat16")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert tf32() == found_on_entry
    assert not torch.is_autocast_enabled("cpu")


class Watched:
    """What the flags are, pass by pass, and whenever something is observed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.in_steps: set[tuple[bool, ...]] = set()
        self.outside: set[tuple[bool, ...]] = set()
        in_step, outside = Formulation.loss_and_gradients, loop._Run._observe_state

        def step(*given: Any) -> Any:
            self.in_steps.add(tf32())
            return in_step(*given)

        def observe(*given: Any) -> Any:
            self.outside.add(tf32())
            return outside(*given)

        patch.setattr(Formulation, "loss_and_gradients", step)
        patch.setattr(loop._Run, "_observe_state", observe)
        # Without a GPU nothing multiplies so: only the flags are looked at.
        patch.setattr(loop, "refused", lambda *_: "")


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("precision", ["float32", "float64", "tf32"])
def test_steps_multiply_so_and_nothing_else_does(
    precision: Any,
    captured: bool,
    random_dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    found_on_entry: tuple[bool, ...],
) -> None:
    """A graph keeps what was chosen in its capture, so that is when the flags count."""
    watched = Watched(monkeypatch)
    if captured:
        fake_graph.install(monkeypatch)
        monkeypatch.setattr(loop, "capturable", lambda _: True)
    choices: list[tuple[bool, ...]] = []

    def choose(_: object, weights: torch.Tensor, *__: object) -> Formulation:
        choices.append(tf32())
        return Formulation(len(weights))

    train([replace(SINGLE, precision=precision)], random_dataset, choose=choose)
    assert watched.in_steps == {(precision == "tf32",) * 2} == set(choices)
    assert watched.outside == {(False, False)}
    assert tf32() == found_on_entry


VARIANTS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "mlp, full batch, trained head": {"batch_size": None, "trainable_head": True},
    "cnn, augmented": {"net": NETS["cnn"], "augmentation": CropFlip(2)},
    "cnn, group norm": {"net": NETS["cnn"], "norm": GroupNorm(1)},
    "cnn, weight norm": {"net": NETS["cnn"], "norm": WeightNorm(), "learning_rate": Constant(0.001)},
    "preresnet": {"net": PreResNet(1, (4, 6)), "learning_rate": Constant(0.001)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_is_near_float32_and_recorded_in_it(variant: str, random_dataset: Dataset) -> None:
    def trained(precision: Any) -> dict[str, Any]:
        experiment: Experiment = replace(SINGLE, precision=precision, **VARIANTS[variant])
        [arrays] = train([experiment], random_dataset, choose=lambda *_: Formulation(2))
        return arrays

    full, low = trained("float32"), trained("bfloat16")
    for quantity, values in low.items():
        assert values.dtype == full[quantity].dtype
    moved = np.linalg.norm(full["weights"][:, -1] - full["weights"][:, 0], axis=1)
    apart = np.linalg.norm(full["weights"][:, -1] - low["weights"][:, -1], axis=1)
    # Weights that were kept in 7 bits would not move at all by such small steps.
    assert (apart > 0).all()
    assert (apart < 0.3 * moved).all()


def test_captured_and_eager_steps_multiply_alike(random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = replace(SINGLE, precision="bfloat16", net=NETS["cnn"])
    [eager] = train([experiment], random_dataset)
    fake_graph.install(monkeypatch)
    monkeypatch.setattr(loop, "capturable", lambda _: True)
    [replayed] = train([experiment], random_dataset)
    for quantity, values in eager.items():
        np.testing.assert_array_equal(replayed[quantity], values, err_msg=quantity)


def test_what_a_device_does_not_multiply_is_refused_in_a_line(
    random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"tf32 products: tf32 is how GPUs multiply, and this is trained on cpu"):
        train([replace(SINGLE, precision="tf32")], random_dataset)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    gpu = torch.device("cuda:0")
    assert refused("bfloat16", gpu) == "bfloat16 needs an A100 or a later GPU, not Tesla V100"
    assert refused("float32", gpu) == refused("float64", gpu) == refused("bfloat16", CPU) == ""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: arithmetic.LEAST_CAPABILITY)
    assert refused("tf32", gpu) == refused("bfloat16", gpu) == ""


def test_it_is_part_of_an_experiments_name_and_digest(small_experiment: Experiment, small_toy: Experiment) -> None:
    low = replace(small_experiment, precision="tf32")
    assert digest(low) != digest(small_experiment)
    assert str(low) == f"{small_experiment}, tf32 products"
    assert low.dtype == small_experiment.dtype == "float32"
    with pytest.raises(ValueError, match="precision='tf32' is for nets: the toy loss is computed in float64"):
        replace(small_toy, precision="tf32")
    assert replace(small_experiment, net=MLP((4,)), precision="float64").dtype == "float64"
