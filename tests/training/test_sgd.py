"""The step of SGD against torch.optim.SGD, replica by replica, with gradients that are given."""

import pytest
import torch

from ilr.training.optimizers.sgd import SGD

REPLICAS, STEPS = 3, 6
SHAPES = (5,), (2, 3, 1, 1)
"""Of the layers of one replica."""


@pytest.mark.parametrize("velocity", [0.0, -0.7])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_every_replica_steps_as_torchs_optimiser(momentum: float, velocity: float) -> None:
    stream = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=stream, dtype=torch.float64) + 0.1

    start = [draw(REPLICAS, *shape) for shape in SHAPES]
    gradients = [[draw(REPLICAS, *shape) - 0.6 for shape in SHAPES] for _ in range(STEPS)]
    learning_rates, weight_decays = draw(STEPS, REPLICAS, 1), draw(STEPS, REPLICAS, 1)
    velocities = torch.tensor([[velocity], [2 * velocity], [0.0]], dtype=torch.float64)
    layers = [layer.clone() for layer in start]
    fused = SGD(layers, momentum, velocities)
    for step in range(STEPS):
        fused.step([gradient.clone() for gradient in gradients[step]], learning_rates[step], weight_decays[step])

    for replica in range(REPLICAS):
        plain = [layer[replica].clone().requires_grad_() for layer in start]
        optimiser = torch.optim.SGD(plain, lr=1.0, momentum=momentum)
        if momentum:
            for weights in plain:
                optimiser.state[weights]["momentum_buffer"] = velocities[replica] * weights.detach()
        for step in range(STEPS):
            [group] = optimiser.param_groups
            group["lr"] = learning_rates[step, replica].item()
            group["weight_decay"] = weight_decays[step, replica].item()
            for weights, gradient in zip(plain, gradients[step], strict=True):
                weights.grad = gradient[replica].clone()
            optimiser.step()
        for layer, weights in zip(layers, plain, strict=True):
            torch.testing.assert_close(layer[replica], weights.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_layers_that_are_parts_of_one_tensor_change_in_place(momentum: float) -> None:
    weights = torch.ones(2, 7)
    layers = [weights[:, :4].view(2, 2, 2), weights[:, 4:]]
    gradients = [torch.full(layer.shape, 0.5) for layer in layers]
    SGD(layers, momentum, torch.zeros(2, 1)).step(gradients, torch.full((2, 1), 0.1), torch.full((2, 1), 0.01))
    torch.testing.assert_close(weights, torch.full((2, 7), 1 - 0.1 * (0.5 + 0.01)))


def test_weights_that_need_a_gradient_can_step() -> None:
    weights = torch.ones(1, 2, requires_grad=True)
    SGD([weights], 0.9, torch.ones(1, 1)).step([torch.ones(1, 2)], torch.ones(1, 1), torch.zeros(1, 1))
    torch.testing.assert_close(weights.detach(), torch.full((1, 2), 1 - (0.9 + 1)))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_a_step_changes_is_the_state(momentum: float) -> None:
    layers = [torch.ones(2, 4), torch.ones(2, 3, 3)]
    optimiser = SGD(layers, momentum, torch.ones(2, 1))

    def step() -> list[torch.Tensor]:
        gradients = [torch.full(layer.shape, 0.5) for layer in layers]
        optimiser.step(gradients, torch.full((2, 1), 0.1), torch.full((2, 1), 0.01))
        return [tensor.clone() for tensor in optimiser.state]

    before = [tensor.clone() for tensor in optimiser.state]
    first = step()
    for tensor, value in zip(optimiser.state, before, strict=True):
        tensor.copy_(value)
    assert len(before) == (4 if momentum else 2)
    for tensor, value in zip(step(), first, strict=True):
        assert torch.equal(tensor, value)


def test_a_gradient_is_missing() -> None:
    with pytest.raises(ValueError, match="zip"):
        SGD([torch.ones(1, 2), torch.ones(1, 2)], 0.0, torch.zeros(1, 1)).step(
            [torch.ones(1, 2)], torch.ones(1, 1), torch.zeros(1, 1)
        )
