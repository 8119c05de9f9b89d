"""Steps as graphs. No GPU is needed: what a graph does is done by a fake, whose kernels are operations on the CPU."""

from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.experiments.architectures import PreResNet
from ilr.experiments.experiment import CropFlip, Experiment, Observe, Partners, every
from ilr.experiments.noise import GaussianNoise
from ilr.experiments.norms import GroupNorm, WeightNorm
from ilr.experiments.schedules import Constant, StepDecay
from ilr.nn import execution
from ilr.nn.cuda_graph import CaptureError, Replay
from ilr.nn.execution import Formulation
from ilr.training import loop
from ilr.training.loop import train
from tests import fake_graph
from tests.training.test_loop import BASE, EXACT, NETS, STEPS


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Lets the CPU have graphs, and training use them."""
    fake_graph.install(monkeypatch)
    monkeypatch.setattr(loop, "capturable", lambda _: True)
    return monkeypatch


OBSERVED = replace(
    BASE,
    observe=(
        Observe("weights", every(8, STEPS)),
        Observe("batch_loss", range(STEPS)),
        Observe("gradient_second_moment", range(0, STEPS, 3)),
        Observe("sampled_gradient", range(0, STEPS, 3)),
        Observe("step_angle", range(0, STEPS, 5)),
    ),
)
VARIANTS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "momentum": {"momentum": 0.9, "initial_velocity": 0.1, "trainable_head": True},
    "drops": {"learning_rate": StepDecay(0.1, 0.1, (6,)), "weight_decay": StepDecay(0.1, 0.5, (3,))},
    "full batch": {"batch_size": None},
    "cnn": {"net": NETS["cnn"]},
    "cnn, augmented": {"net": NETS["cnn"], "augmentation": CropFlip(2)},
    "cnn, group norm": {"net": NETS["cnn"], "norm": GroupNorm(1), "learning_rate": Constant(0.001)},
    "cnn, weight norm": {"net": NETS["cnn"], "norm": WeightNorm(), "learning_rate": Constant(0.001)},
    "preresnet": {"net": PreResNet(1, (4, 6)), "learning_rate": Constant(0.001)},
    "gaussian noise": {"gradient_noise": GaussianNoise(3), "augmentation": CropFlip(1)},
    "partners": {"replicas": 4, "partners": Partners(5), "augmentation": CropFlip(1)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_replayed_steps_are_the_steps(variant: str, random_dataset: Dataset, graphs: pytest.MonkeyPatch) -> None:
    experiment = replace(OBSERVED, **VARIANTS[variant])
    [replayed] = train([experiment], random_dataset)
    graphs.setattr(loop, "capturable", lambda _: False)
    [eager] = train([experiment], random_dataset)
    for quantity, values in eager.items():
        # Not to the last bit: a BLAS may round otherwise where its operands lie otherwise in memory, as copies do.
        np.testing.assert_allclose(replayed[quantity], values, **EXACT, err_msg=quantity)


def test_one_graph_measures_all_that_is_ever_asked_and_one_nothing(
    random_dataset: Dataset, graphs: pytest.MonkeyPatch
) -> None:
    made: list[Replay[Any]] = []

    class Kept(Replay[Any]):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    graphs.setattr(loop, "Replay", Kept)
    sparse = replace(OBSERVED, observe=(Observe("batch_loss", (0, 1)), Observe("step_angle", (1, 5)), *_weights()))
    train([sparse], random_dataset)
    assert [sorted(replay.outputs) for replay in made] == [["batch_loss", "step_angle"], []]
    assert sum(replay.graph.replays for replay in made) == STEPS


def _weights() -> tuple[Observe, ...]:
    return (Observe("weights", (STEPS,)),)


def test_a_step_that_cannot_be_captured_is_taken_all_the_same(
    random_dataset: Dataset, graphs: pytest.MonkeyPatch
) -> None:
    [expected] = train([OBSERVED], random_dataset)

    @contextmanager
    def refusing(_: object) -> Any:
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs.setattr(torch.cuda, "graph", refusing)
    with pytest.warns(UserWarning, match="takes longer: no CUDA graph could be made: operation not permitted"):
        [arrays] = train([OBSERVED], random_dataset)
    for quantity, values in expected.items():
        np.testing.assert_array_equal(arrays[quantity], values, err_msg=quantity)


def test_without_room_for_the_graph_training_fails(random_dataset: Dataset, graphs: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(_: object) -> Any:
        yield
        raise torch.OutOfMemoryError("CUDA out of memory")

    graphs.setattr(torch.cuda, "graph", full)
    with pytest.raises(torch.OutOfMemoryError):
        train([OBSERVED], random_dataset)


@pytest.mark.usefixtures("graphs")
def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(CaptureError, match="Graph is empty"):
        Replay(lambda: None, (), ())


@pytest.mark.usefixtures("graphs")
def test_what_failed_leaves_the_state_as_it_was() -> None:
    state = torch.ones(3)

    def step() -> None:
        state.mul_(2)
        if state[0] > 4:
            raise RuntimeError("too large")

    with pytest.raises(RuntimeError, match="too large"):
        Replay(step, (), (state,))
    assert state.tolist() == [1, 1, 1]


def test_the_gpu_of_the_tensors_is_the_current_one(random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[torch.device] = []

    @contextmanager
    def device(chosen: torch.device) -> Any:
        entered.append(chosen)
        yield

    class StoppedError(Exception):
        pass

    def run(*_: object) -> None:
        assert entered == [torch.device("cuda:1")]
        raise StoppedError

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(loop, "_Run", run)
    with pytest.raises(StoppedError):
        train([BASE], random_dataset, "cuda:1")


@pytest.mark.parametrize("fits", [True, False])
def test_a_formulation_without_room_is_passed_over(
    fits: bool, random_dataset: Dataset, graphs: pytest.MonkeyPatch
) -> None:
    class Timed:
        def __init__(self, run: Any, *_: object) -> None:
            formulation, weights = run.func.__self__, run.args[1]
            assert len(weights) == min(formulation.at_once, 5)
            if formulation.at_once > 1 or not fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.slow = formulation.kernel == "grouped"

        def seconds(self) -> float:
            return 2.0 if self.slow else 1.0

    chosen: list[Formulation] = []

    def choose(net: Any, weights: Tensor, *rest: Any) -> Formulation:
        with graphs.context() as patch:
            patch.setattr(execution, "Replay", Timed)
            patch.setattr(execution, "capturable", lambda _: True)
            patch.setattr(execution, "free_bytes", lambda _: 2**30)
            chosen.append(execution.fastest(net, weights, *rest))
        return chosen[-1]

    experiment: Experiment = replace(OBSERVED, net=NETS["cnn"], replicas=5)
    train([experiment], random_dataset, choose=choose)
    assert chosen == [Formulation(1, "unfolded" if fits else "grouped")]


def test_what_certainly_has_no_room_is_not_tried(random_dataset: Dataset, graphs: pytest.MonkeyPatch) -> None:
    """A full batch of all replicas may take most of a minute to fail."""
    tried: list[int] = []

    def timed(run: Any) -> float:
        tried.append(len(run.args[1]))
        return 1.0 / len(run.args[1])

    def choose(net: Any, weights: Tensor, head: Tensor, images: Tensor, *rest: Any) -> Formulation:
        of_one = net.activations() * images.shape[1] * weights.element_size()
        with graphs.context() as patch:
            patch.setattr(execution, "capturable", lambda _: True)
            patch.setattr(execution, "free_bytes", lambda _: 4 * of_one)
            patch.setattr(execution, "seconds_replayed", timed)
            return execution.fastest(net, weights, head, images, *rest)

    train([replace(OBSERVED, net=NETS["cnn"], replicas=5)], random_dataset, choose=choose)
    assert tried == [1, 1, 4, 4]
