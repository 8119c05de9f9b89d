"""Fused training against the oracle, and a replica alone against the same replica in company."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ilr.data.dataset import Dataset
from ilr.data.sampling import BatchOrder
from ilr.experiments.architectures import CNN, MLP
from ilr.experiments.experiment import CropFlip, Data, Experiment, Observe, Partners, every
from ilr.experiments.noise import SVAG, GaussianNoise
from ilr.experiments.norms import BatchNorm, LayerNorm, NoNorm, Norm
from ilr.experiments.optimizers import SGD, AdamW, Lion
from ilr.experiments.recording import DIVERGED_AT
from ilr.experiments.schedules import Constant, Cosine, Exponential, Phases, Schedule, StepDecay, WarmupLinear
from ilr.nn.architectures import FusedMLP, build
from ilr.nn.layers import Layers
from ilr.training.branching import fusion_key
from ilr.training.loop import train
from tests.oracle import plain_test_accuracy, train_plain

STEPS = 24
EXACT = {"rtol": 1e-9, "atol": 1e-12}

BASE = Experiment(
    net=MLP((7, 6)),
    norm=BatchNorm(),
    data=Data("random"),
    batch_size=8,
    learning_rate=Constant(0.2),
    weight_decay=Constant(0.05),
    steps=STEPS,
    replicas=3,
    seed=3,
    precision="float64",
    observe=(
        Observe("weights", every(8, STEPS)),
        Observe("weight_norm", every(4, STEPS)),
        Observe("effective_learning_rate", every(4, STEPS)),
        Observe("batch_loss", range(STEPS)),
        Observe("gradient_second_moment", range(STEPS)),
        Observe("train_loss", (STEPS,)),
        Observe("train_accuracy", (0, STEPS)),
        Observe("test_loss", (STEPS,)),
        Observe("test_accuracy", (STEPS,)),
        Observe("test_predictions", (0, STEPS)),
    ),
)

NETS = {"mlp": MLP((7, 6)), "cnn": CNN((4, 3, 5, 4))}
SCHEDULES: dict[str, tuple[Schedule, Schedule]] = {
    "constant": (Constant(0.2), Constant(0.05)),
    "steps": (StepDecay(0.4, 0.1, (8, 16)), StepDecay(0.1, 0.5, (5,))),
    "cosine": (Cosine(0.3, STEPS), Constant(0.05)),
    "warm-up": (WarmupLinear(0.3, 5, STEPS), Constant(0.05)),
    "exponential": (Exponential(0.1, 1.03), Constant(0.0)),
    "phases": (Phases((Constant(0.3), Constant(0.03)), (10,)), Phases((Constant(0.1), Constant(0.0)), (12,))),
}


def assert_equals_oracle(experiment: Experiment, dataset: Dataset) -> None:
    [arrays] = train([experiment], dataset)
    for position, replica in enumerate(experiment.replica_ids):
        plain = train_plain(experiment, replica, dataset)
        np.testing.assert_allclose(arrays["weights"][position, -1], plain.weights, **EXACT)
        np.testing.assert_allclose(arrays["batch_loss"][position], plain.batch_losses, **EXACT)
        np.testing.assert_allclose(arrays["train_loss"][position, -1], plain.train_loss, **EXACT)
        np.testing.assert_allclose(arrays["test_loss"][position, -1], plain.test_loss, **EXACT)
        assert arrays["train_accuracy"][position, -1] == plain.train_accuracy
        np.testing.assert_array_equal(arrays["test_predictions"][position, -1], plain.test_predictions)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("net", NETS)
def test_fused_training_equals_the_oracle(net: str, momentum: float, schedule: str, random_dataset: Dataset) -> None:
    learning_rate, weight_decay = SCHEDULES[schedule]
    assert_equals_oracle(
        replace(BASE, net=NETS[net], momentum=momentum, learning_rate=learning_rate, weight_decay=weight_decay),
        random_dataset,
    )


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(
    "change",
    [
        {"norm": BatchNorm(eps=1e-5)},
        {"norm": BatchNorm(eps=0.1)},
        {"norm": NoNorm(), "learning_rate": Constant(0.02)},
        {"trainable_head": True},
        {"batch_size": None},
        {"initial_scale": 10.0},
        {"momentum": 0.9, "initial_velocity": -0.3},
        {"weight_decay": Constant(0.0)},
        {"first_replica": 5, "seed": 12},
        {"augmentation": CropFlip(padding=2)},
        {"gradient_noise": SVAG(1)},
        {"gradient_noise": SVAG(4), "augmentation": CropFlip(padding=2), "momentum": 0.9},
        {"gradient_noise": GaussianNoise(3), "norm": LayerNorm(), "learning_rate": Cosine(0.3, STEPS)},
        {"gradient_noise": GaussianNoise(2, variance=0.5)},
        {"optimizer": AdamW(), "learning_rate": Cosine(0.02, STEPS)},
        {"optimizer": Lion(), "learning_rate": Constant(0.01), "gradient_noise": GaussianNoise(2)},
        {"optimizer": SGD(momentum=0.9, nesterov=True, decoupled=True), "trainable_head": True},
    ],
    ids=str,
)
def test_every_variant_equals_the_oracle(net: str, change: dict[str, object], random_dataset: Dataset) -> None:
    assert_equals_oracle(replace(BASE, net=NETS[net], **change), random_dataset)


@pytest.mark.parametrize("net", NETS)
def test_a_replica_is_the_same_alone_and_in_any_chunk(net: str, random_dataset: Dataset) -> None:
    whole = replace(BASE, net=NETS[net], replicas=5)
    other = replace(whole, learning_rate=Cosine(0.5, 20), weight_decay=Constant(0.2), seed=99, initial_scale=3.0)
    assert_equal_alone(whole, other, random_dataset)


def assert_equal_alone(whole: Experiment, other: Experiment, dataset: Dataset) -> None:
    for experiment, together in zip((whole, other), train([whole, other], dataset), strict=True):
        for replica in experiment.replica_ids:
            [alone] = train([experiment.slice(replica, 1)], dataset)
            for quantity, values in alone.items():
                np.testing.assert_allclose(values[0], together[quantity][replica], err_msg=quantity, **EXACT)


def test_a_replica_has_the_same_noise_alone_and_in_any_chunk(random_dataset: Dataset) -> None:
    whole = replace(BASE, gradient_noise=GaussianNoise(2))
    assert_equal_alone(whole, replace(whole, seed=99, weight_decay=0.2), random_dataset)


def test_observed_norms_and_rates_follow_from_observed_weights(random_dataset: Dataset) -> None:
    experiment = replace(BASE, learning_rate=StepDecay(0.2, 0.5, (8,)))
    [arrays] = train([experiment], random_dataset)
    norms = np.linalg.norm(arrays["weights"], axis=2)
    np.testing.assert_allclose(arrays["weight_norm"][:, ::2], norms, **EXACT)
    rates = experiment.learning_rate.values(STEPS + 1)[::8]
    np.testing.assert_allclose(arrays["effective_learning_rate"][:, ::2], rates / norms**2, **EXACT)


def test_step_zero_is_the_initialisation(random_dataset: Dataset) -> None:
    experiment = replace(BASE, initial_scale=3.0)
    [arrays] = train([experiment], random_dataset)
    net = build(experiment, random_dataset.train_images.shape[1:], random_dataset.classes)
    starts = [3.0 * net.initial_weights(experiment.seed, replica) for replica in experiment.replica_ids]
    np.testing.assert_array_equal(arrays["weights"][:, 0], starts)


def test_the_norm_follows_the_exact_law_with_the_observed_gradient(random_dataset: Dataset) -> None:
    """‖w₊‖² = (1−ηλ)²‖w‖² + η²·E/‖w‖² with E the second moment at unit norm; gradient and weights are orthogonal."""
    experiment = replace(BASE, observe=(Observe("weight_norm", every(1, STEPS)), BASE.observe[4]))
    [arrays] = train([experiment], random_dataset)
    squared = arrays["weight_norm"].astype(np.float64) ** 2
    predicted = (1 - 0.2 * 0.05) ** 2 * squared[:, :-1] + 0.2**2 * arrays["gradient_second_moment"] / squared[:, :-1]
    np.testing.assert_allclose(squared[:, 1:], predicted, rtol=1e-12)


def test_the_angle_of_a_step_is_the_one_between_the_weights(random_dataset: Dataset) -> None:
    observe = (Observe("weights", range(STEPS + 1)), Observe("step_angle", range(STEPS)))
    [arrays] = train([replace(BASE, momentum=0.9, observe=observe)], random_dataset)
    unit = arrays["weights"] / np.linalg.norm(arrays["weights"], axis=2, keepdims=True)
    cosines = (unit[:, 1:] * unit[:, :-1]).sum(axis=2)
    np.testing.assert_allclose(arrays["step_angle"], np.arccos(cosines), rtol=1e-6)


def test_sampled_gradients_are_what_a_step_subtracts(random_dataset: Dataset) -> None:
    observe = (Observe("weights", range(STEPS + 1)), Observe("sampled_gradient", range(STEPS)))
    for net in (MLP((7, 6)), MLP((2,))):
        [arrays] = train([replace(BASE, net=net, weight_decay=0.0, observe=observe)], random_dataset)
        weights = arrays["weights"]
        gradients = (weights[:, :-1] - weights[:, 1:]) / 0.2
        places = np.unique(np.linspace(0, weights.shape[2] - 1, 256).astype(int))
        np.testing.assert_allclose(arrays["sampled_gradient"], gradients[:, :, places], rtol=1e-9, atol=1e-12)


def test_the_average_is_that_of_the_weights_observed_so_far(random_dataset: Dataset) -> None:
    steps = (8, 12, 24)
    observe = (Observe("weights", steps), Observe("average_test_accuracy", steps), Observe("test_accuracy", steps))
    [arrays] = train([replace(BASE, observe=observe)], random_dataset)
    np.testing.assert_array_equal(arrays["average_test_accuracy"][:, 0], arrays["test_accuracy"][:, 0])
    for replica, weights in enumerate(arrays["weights"]):
        for count in (2, 3):
            measured = plain_test_accuracy(BASE, replica, weights[:count].mean(axis=0), random_dataset)
            assert arrays["average_test_accuracy"][replica, count - 1] == measured


def test_adjacent_averages_are_those_of_two_observations_in_a_row(random_dataset: Dataset) -> None:
    steps = (8, 12, 24)
    quantities = ("weights", "adjacent_average_test_accuracy", "test_accuracy")
    observe = tuple(Observe(quantity, steps) for quantity in quantities)
    [arrays] = train([replace(BASE, observe=observe)], random_dataset)
    np.testing.assert_array_equal(arrays["adjacent_average_test_accuracy"][:, 0], arrays["test_accuracy"][:, 0])
    for replica, weights in enumerate(arrays["weights"]):
        for later in (1, 2):
            average = (weights[later - 1] + weights[later]) / 2
            measured = plain_test_accuracy(BASE, replica, average, random_dataset)
            assert arrays["adjacent_average_test_accuracy"][replica, later] == measured


@pytest.mark.parametrize("parted_at", [None, 0, 7])
def test_partners_are_one_network_until_they_part(parted_at: int | None, random_dataset: Dataset) -> None:
    observe = (Observe("weights", range(STEPS + 1)), Observe("partner_average_test_accuracy", (STEPS,)))
    experiment = replace(BASE, replicas=4, partners=Partners(parted_at), observe=observe)
    [arrays] = train([experiment], random_dataset)
    one, other = arrays["weights"][::2], arrays["weights"][1::2]
    together = 0 if parted_at is None else parted_at + 1
    np.testing.assert_array_equal(one[:, :together], other[:, :together])
    assert (one[:, together:] != other[:, together:]).any(axis=2).all()
    assert (one[0] != one[1]).any()
    for pair in (0, 1):
        average = (one[pair, -1] + other[pair, -1]) / 2
        measured = plain_test_accuracy(BASE, 2 * pair, average, random_dataset)
        assert (arrays["partner_average_test_accuracy"][2 * pair : 2 * pair + 2, 0] == measured).all()
    [half] = train([experiment.slice(2, 2)], random_dataset)
    np.testing.assert_allclose(half["weights"], arrays["weights"][2:], **EXACT)


@pytest.mark.parametrize("norm", [BatchNorm(), LayerNorm(), NoNorm()], ids=str)
def test_what_is_measured_does_not_depend_on_what_else_is(norm: Norm, random_dataset: Dataset) -> None:
    """Only what an observation needs is computed for it; what is kept is the same bit by bit."""
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_predictions")
    observations = {name: Observe(name, (0, 2, 4)) for name in names}
    experiment = replace(BASE, norm=norm, steps=4, observe=tuple(observations.values()))
    [together] = train([experiment], random_dataset)
    for name, observation in observations.items():
        [alone] = train([replace(experiment, observe=(observation,))], random_dataset)
        assert np.array_equal(alone[name], together[name])


@pytest.mark.parametrize(
    ("norm", "quantity", "passed"),
    [
        (BatchNorm(), "train_accuracy", ["train"]),
        (BatchNorm(), "test_accuracy", ["train", "test"]),
        (LayerNorm(), "test_accuracy", ["test"]),
    ],
    ids=str,
)
def test_only_those_examples_pass_that_an_observation_needs(
    norm: Norm, quantity: str, passed: list[str], random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {len(random_dataset.train_labels): "train", len(random_dataset.test_labels): "test"}
    assert len(sizes) == 2
    seen = set()
    forward = FusedMLP.forward

    def noting(net: FusedMLP, weights: Tensor, head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        seen.add(sizes[images.shape[1]])
        return forward(net, weights, head, images, layers)

    monkeypatch.setattr(FusedMLP, "forward", noting)
    train([replace(BASE, norm=norm, steps=0, observe=(Observe(quantity, (0,)),))], random_dataset)
    assert seen == set(passed)


def test_partners_come_in_twos() -> None:
    with pytest.raises(ValueError, match="must be even, not 3 and 0"):
        replace(BASE, partners=Partners())
    with pytest.raises(ValueError, match="needs partners"):
        replace(BASE, observe=(Observe("partner_average_test_accuracy", (0,)),))


def test_rescaling_tells_an_invariant_net_from_others(random_dataset: Dataset) -> None:
    quantities = ("loss_rescaling", "gradient_rescaling", "curvature_rescaling")
    observe = tuple(Observe(quantity, (0, 2), (0.01, 100.0)) for quantity in quantities)
    invariant = replace(BASE, steps=2, observe=observe)
    for experiment, holds in [
        (invariant, True),
        (replace(invariant, trainable_head=True), False),
        (replace(invariant, norm=BatchNorm(eps=0.1)), False),
        (replace(invariant, norm=NoNorm()), False),
    ]:
        [arrays] = train([experiment], random_dataset)
        for quantity in quantities:
            assert arrays[quantity].shape == (3, 2, 2)
            assert (arrays[quantity].max(axis=(1, 2)) < 1e-9).all() == holds, (str(experiment), quantity)


def test_a_diverged_replica_is_recorded_and_leaves_the_others_alone(random_dataset: Dataset) -> None:
    stable = replace(BASE, norm=NoNorm(), precision="float32", learning_rate=Constant(0.01))
    exploding = replace(stable, learning_rate=Constant(1e6), first_replica=10)
    [healthy, diverged] = train([stable, exploding], random_dataset)
    assert (healthy[DIVERGED_AT] == -1).all()
    assert (diverged[DIVERGED_AT] >= 0).all()
    [alone] = train([stable], random_dataset)
    np.testing.assert_allclose(healthy["weights"], alone["weights"], rtol=1e-4, atol=1e-6)


def test_all_examples_are_seen_once_an_epoch() -> None:
    order = BatchOrder([(0, 0), (0, 1)], examples=20, batch_size=6)
    for replica in (0, 1):
        epoch = np.concatenate([order.indices(step)[replica] for step in range(3)])
        assert len(set(epoch)) == 18
    assert not np.array_equal(order.indices(0)[0], order.indices(0)[1])
    first = order.indices(0).copy()
    assert not np.array_equal(order.indices(3), first)
    np.testing.assert_array_equal(order.indices(0), first)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch of 30 cannot be drawn from 20"):
        BatchOrder([(0, 0)], examples=20, batch_size=30)


def test_only_compatible_experiments_are_fused(random_dataset: Dataset) -> None:
    assert fusion_key(BASE) == fusion_key(replace(BASE, seed=8, learning_rate=Constant(3.0), initial_scale=2.0))
    with pytest.raises(ValueError, match="train as one batch"):
        train([BASE, replace(BASE, momentum=0.5)], random_dataset)


def test_progress_adds_up_to_all_replica_steps(random_dataset: Dataset) -> None:
    ticks: list[int] = []
    train([replace(BASE, steps=STEPS)], random_dataset, tick=ticks.append)
    assert sum(ticks) == STEPS * BASE.replicas


def test_float32_stays_near_float64(random_dataset: Dataset) -> None:
    [double] = train([BASE], random_dataset)
    [single] = train([replace(BASE, precision="float32")], random_dataset)
    assert single["weights"].dtype == np.float32
    np.testing.assert_allclose(single["weights"][:, 1], double["weights"][:, 1], rtol=1e-3, atol=1e-3)
    assert torch.get_default_dtype() == torch.float32
