"""The step of SGD against torch.optim.SGD, replica by replica, with gradients that are given."""

import pytest
import torch

from ilr.sgd import SGD

REPLICAS, WEIGHTS, STEPS = 3, 5, 6


@pytest.mark.parametrize("velocity", [0.0, -0.7])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_every_replica_steps_as_torchs_optimiser(momentum: float, velocity: float) -> None:
    stream = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=stream, dtype=torch.float64) + 0.1

    start, gradients = draw(REPLICAS, WEIGHTS), draw(STEPS, REPLICAS, WEIGHTS) - 0.6
    learning_rates, weight_decays = draw(STEPS, REPLICAS, 1), draw(STEPS, REPLICAS, 1)
    velocities = torch.tensor([[velocity], [2 * velocity], [0.0]], dtype=torch.float64)
    weights = start.clone()
    fused = SGD(weights, momentum, velocities)
    for step in range(STEPS):
        fused.step(gradients[step].clone(), learning_rates[step], weight_decays[step])

    for replica in range(REPLICAS):
        plain = start[replica].clone().requires_grad_()
        optimiser = torch.optim.SGD([plain], lr=1.0, momentum=momentum)
        if momentum:
            optimiser.state[plain]["momentum_buffer"] = velocities[replica] * start[replica]
        for step in range(STEPS):
            [group] = optimiser.param_groups
            group["lr"] = learning_rates[step, replica].item()
            group["weight_decay"] = weight_decays[step, replica].item()
            plain.grad = gradients[step, replica].clone()
            optimiser.step()
        torch.testing.assert_close(weights[replica], plain.detach(), rtol=1e-12, atol=1e-12)


def test_weights_change_in_place() -> None:
    weights, gradient = torch.ones(2, 4), torch.full((2, 4), 0.5)
    optimiser = SGD(weights, 0.9, torch.zeros(2, 1))
    optimiser.step(gradient, torch.full((2, 1), 0.1), torch.full((2, 1), 0.01))
    assert optimiser.weights is weights
    torch.testing.assert_close(weights, torch.full((2, 4), 1 - 0.1 * (0.5 + 0.01)))


def test_weights_that_need_a_gradient_can_step() -> None:
    weights = torch.ones(1, 2, requires_grad=True)
    SGD(weights, 0.9, torch.ones(1, 1)).step(torch.ones(1, 2), torch.ones(1, 1), torch.zeros(1, 1))
    torch.testing.assert_close(weights.detach(), torch.full((1, 2), 1 - (0.9 + 1)))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_a_step_changes_is_the_state(momentum: float) -> None:
    optimiser = SGD(torch.ones(2, 4), momentum, torch.ones(2, 1))

    def step() -> list[torch.Tensor]:
        optimiser.step(torch.full((2, 4), 0.5), torch.full((2, 1), 0.1), torch.full((2, 1), 0.01))
        return [tensor.clone() for tensor in optimiser.state]

    before = [tensor.clone() for tensor in optimiser.state]
    first = step()
    for tensor, value in zip(optimiser.state, before, strict=True):
        tensor.copy_(value)
    assert len(before) == (2 if momentum else 1)
    for tensor, value in zip(step(), first, strict=True):
        assert torch.equal(tensor, value)
