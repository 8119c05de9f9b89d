"""The oracle: one network as anybody would write it, plain torch modules under torch.optim.SGD in float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torchvision.models.resnet import Bottleneck
from torchvision.transforms import functional

from ilr.data.augmentation import Draws
from ilr.data.dataset import Dataset
from ilr.data.sampling import BatchOrder
from ilr.experiments.architectures import CNN, MLP, BottleneckResNet, Net, PreResNet, ResNet
from ilr.experiments.experiment import Experiment
from ilr.experiments.noise import SVAG, GaussianNoise, GradientNoise
from ilr.experiments.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, NoNorm, Norm, WeightNorm
from ilr.experiments.optimizers import SGD, AdamW, Lion, Optimizer, SignSGD
from ilr.experiments.seeding import Stream, generator
from ilr.nn.architectures import build
from ilr.training.noise import BLOCK


class Standardise(nn.Module):
    """Batch normalisation from its definition, for the eps = 0 that torch's module refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics: tuple[Tensor, Tensor] | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        if self.training:
            mean, variance = inputs.mean(axes, keepdim=True), inputs.var(axes, unbiased=False, keepdim=True)
            self.statistics = inputs.mean(axes, keepdim=True), inputs.var(axes, unbiased=True, keepdim=True)
        else:
            assert self.statistics is not None
            mean, variance = self.statistics
        return (inputs - mean) / variance.sqrt()


class LayerNormOfAll(nn.Module):
    """Layer normalisation over channels and pixels, whose number torch's module wants to know beforehand."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.layer_norm(inputs, inputs.shape[1:], eps=self.eps)


MakeNorm = Callable[[int], nn.Module]


def plain_batch_norm(norm: BatchNorm, features: int, batch_norm: Callable[..., nn.Module]) -> nn.Module:
    # With momentum 1, evaluation after a pass over the training set uses that pass's statistics.
    return batch_norm(features, eps=norm.eps, momentum=1.0, affine=False) if norm.eps else Standardise()


def plain_group_norm(norm: GroupNorm, features: int, _: Callable[..., nn.Module]) -> nn.Module:
    return nn.GroupNorm(norm.groups, features, eps=norm.eps, affine=False)


def plain_instance_norm(norm: InstanceNorm, features: int, _: Callable[..., nn.Module]) -> nn.Module:
    return nn.InstanceNorm2d(features, eps=norm.eps)


def with_weight_norm(net: nn.Sequential) -> nn.Sequential:
    """All layers but the head by torch's own weight normalisation, its gains frozen at √2."""
    for layer in list(net[:-1].modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            gains = parametrizations.weight_norm(layer).parametrizations.weight.original0
            gains.requires_grad_(False).fill_(math.sqrt(2))
    return net


@dataclass(frozen=True)
class PlainNorm:
    """A normalisation as a user of torch.nn would write it, and what our tests try of it."""

    example: Norm
    """Tried on every net it fits."""
    layer: Callable[[Any, int, Callable[..., nn.Module]], nn.Module] = lambda *_: nn.Identity()
    """The module for a norm, a number of features, and torch's batch norm for vectors or for maps."""
    finish: Callable[[nn.Sequential], nn.Sequential] = lambda net: net
    """What is done to the whole net."""
    refuses: tuple[type[Net], ...] = ()
    """Nets that it does not fit."""
    scale_invariant: bool = True


PLAIN_NORMS = (
    PlainNorm(BatchNorm(), plain_batch_norm),
    PlainNorm(GroupNorm(2), plain_group_norm),
    PlainNorm(LayerNorm(), lambda norm, *_: LayerNormOfAll(norm.eps)),
    PlainNorm(InstanceNorm(), plain_instance_norm, refuses=(MLP, PreResNet)),
    PlainNorm(WeightNorm(), finish=with_weight_norm),
    PlainNorm(NoNorm(), scale_invariant=False),
)
"""The one table of the norms' oracles: a new norm is tested by its entry here."""


OWN_NORMS: list[PlainNorm] = []
"""Of norms that a test brings, as a user might."""


def plain_norm(norm: Norm) -> PlainNorm:
    [found] = [one for one in (*PLAIN_NORMS, *OWN_NORMS) if type(one.example) is type(norm)]
    return found


def trained(net: nn.Sequential, *, head: bool) -> list[Tensor]:
    """The parameters that are trained, in the order of the fused nets' weights."""
    return [weight for weight in net.parameters() if weight.requires_grad and (head or weight is not net[-1].weight)]


class PlainBasicBlock(nn.Module):
    """Two convolutions, each with its normalisation, and a shortcut, which has one too where it changes the shape."""

    def __init__(self, norm: MakeNorm, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(into, out, 3, stride, 1, bias=False),
            norm(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            norm(out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if into != out or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), norm(out))

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.branch(maps) + self.shortcut(maps))


class PlainPreActivationBlock(nn.Module):
    """Normalisation and ReLU before each convolution; the first block of a stage projects its normalised inputs."""

    def __init__(self, norm: MakeNorm, into: int, out: int, stride: int, *, projects: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            norm(into),
            nn.ReLU(),
            nn.Conv2d(into, out, 3, stride, 1, bias=False),
            norm(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if projects:
            self.shortcut = nn.Sequential(norm(into), nn.Conv2d(into, out, 1, stride, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        return self.branch(maps) + self.shortcut(maps)


def plain_pre_resnet(net: PreResNet, channels: int, norm: MakeNorm) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels, net.widths[0], 3, padding=1, bias=False)]
    into = net.widths[0]
    for stage, out in enumerate(net.widths):
        layers.append(PlainPreActivationBlock(norm, into, out, 2 if stage > 0 else 1, projects=True))
        layers += [PlainPreActivationBlock(norm, out, out, 1, projects=False) for _ in range(net.blocks_per_stage - 1)]
        into = out
    return [*layers, norm(into)]


def plain_resnet(net: ResNet, channels: int, norm: MakeNorm) -> list[nn.Module]:
    into = net.widths[0]
    layers: list[nn.Module] = [nn.Conv2d(channels, into, 3, padding=1, bias=False), norm(into), nn.ReLU()]
    for stage, out in enumerate(net.widths):
        layers.append(PlainBasicBlock(norm, into, out, 2 if stage > 0 else 1))
        layers += [PlainBasicBlock(norm, out, out, 1) for _ in range(net.blocks_per_stage - 1)]
        into = out
    return layers


def plain_bottleneck_resnet(net: BottleneckResNet, channels: int, norm: MakeNorm) -> list[nn.Module]:
    """Torchvision's own blocks behind torchvision's stem."""
    into = net.widths[0]
    stem = nn.Conv2d(channels, into, 7, stride=2, padding=3, bias=False)
    layers: list[nn.Module] = [stem, norm(into), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    for stage, (count, width) in enumerate(zip(net.blocks, net.widths, strict=True)):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            out = width * Bottleneck.expansion
            projection = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), norm(out)) if index == 0 else None
            layers.append(Bottleneck(into, width, stride, projection, norm_layer=norm))
            into = out
    return layers


def plain_net(experiment: Experiment, dataset: Dataset) -> nn.Sequential:
    """The experiment's architecture as a torch.nn.Sequential; the last module is the head."""
    _, channels, side, _ = dataset.train_images.shape
    plain = plain_norm(experiment.norm)
    batch_norm = nn.BatchNorm1d if isinstance(experiment.net, MLP) else nn.BatchNorm2d

    def norm(features: int) -> nn.Module:
        return plain.layer(experiment.norm, features, batch_norm)

    layers: list[nn.Module] = []
    if isinstance(experiment.net, MLP):
        layers.append(nn.Flatten())
        widths = (channels * side**2, *experiment.net.widths)
        for into, out in pairwise(widths):
            layers += [nn.Linear(into, out, bias=False), norm(out), nn.ReLU()]
        features = widths[-1]
    elif isinstance(experiment.net, PreResNet | ResNet | BottleneckResNet):
        write = {PreResNet: plain_pre_resnet, ResNet: plain_resnet, BottleneckResNet: plain_bottleneck_resnet}
        layers += write[type(experiment.net)](experiment.net, channels, norm)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        features = experiment.net.normalised[-1]
    else:
        assert isinstance(experiment.net, CNN)
        counts = (channels, *experiment.net.channels)
        for index, (into, out) in enumerate(pairwise(counts)):
            layers += [nn.Conv2d(into, out, 3, padding=1, bias=False), norm(out), nn.ReLU()]
            if index % 2 == 1 and index < len(counts) - 2:
                layers.append(nn.AvgPool2d(2))
                side //= 2
        layers.append(nn.Flatten())
        features = counts[-1] * side**2
    net = nn.Sequential(*layers, nn.Linear(features, dataset.classes, bias=False)).double()
    return plain.finish(net)


class DecoupledSGD(torch.optim.SGD):
    """Torch's own, after the weights have been multiplied by 1 − ηλ."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                weight.mul_(1 - group["lr"] * group["weight_decay"])
            decay, group["weight_decay"] = group["weight_decay"], 0.0
        super().step()
        group["weight_decay"] = decay


class PlainLion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. (2023), line by line."""

    def __init__(self, weights: list[Tensor], betas: tuple[float, float]) -> None:
        super().__init__(weights, {"lr": 1.0, "weight_decay": 0.0, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                m = self.state[weight].setdefault("m", torch.zeros_like(weight))
                c = beta1 * m + (1 - beta1) * weight.grad
                weight.copy_(weight - group["lr"] * (torch.sign(c) + group["weight_decay"] * weight))
                m.copy_(beta2 * m + (1 - beta2) * weight.grad)


class SignsBySGD(torch.optim.SGD):
    """Torch's own, which is given the signs of gradients or of their running means in their place."""

    def __init__(self, weights: list[Tensor], beta: float) -> None:
        super().__init__(weights, lr=1.0)
        self.beta, self.means = beta, [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for weight, mean in zip(self.param_groups[0]["params"], self.means, strict=True):
            mean.lerp_(weight.grad, 1 - self.beta)
            weight.grad = torch.sign(mean)
        super().step()


def plain_optimizer(optimizer: Optimizer, weights: list[Tensor]) -> torch.optim.Optimizer:
    """What a user of torch would step one network's weights by; rates are set before every step."""
    match optimizer:
        case SGD(decoupled=True):
            return DecoupledSGD(weights, lr=1.0, momentum=optimizer.momentum, nesterov=optimizer.nesterov)
        case SGD():
            return torch.optim.SGD(weights, lr=1.0, momentum=optimizer.momentum, nesterov=optimizer.nesterov)
        case AdamW():
            return torch.optim.AdamW(weights, betas=(optimizer.beta1, optimizer.beta2), eps=optimizer.eps)
        case Lion():
            return PlainLion(weights, (optimizer.beta1, optimizer.beta2))
        case SignSGD():
            return SignsBySGD(weights, optimizer.momentum)
    raise TypeError(f"no oracle for {optimizer}")


def crop_and_flip_plain(images: Tensor, draws: np.ndarray, padding: int, black: np.ndarray) -> Tensor:
    """What a user would write with torchvision's functions, image by image."""
    changed = []
    for image, (row, column, mirrored) in zip(images, draws, strict=True):
        channels, side, _ = image.shape
        # Padded with zeros, so black is made zero first; a single value stands for every channel.
        shade = torch.from_numpy(np.broadcast_to(black, channels).copy()).to(image)[:, None, None]
        padded = functional.pad(image - shade, [padding] * 4)
        cropped = functional.crop(padded, row, column, side, side) + shade
        changed.append(functional.hflip(cropped) if mirrored else cropped)
    return torch.stack(changed)


@dataclass
class Trained:
    """What the oracle found for one replica at the end of training."""

    weights: np.ndarray
    batch_losses: np.ndarray
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_predictions: np.ndarray


def plain_test_accuracy(experiment: Experiment, replica: int, weights: np.ndarray, dataset: Dataset) -> float:
    """Test accuracy of the network with these weights and the replica's head, by the training set's statistics."""
    net = plain_net(experiment, dataset)
    fused = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    with torch.no_grad():
        net[-1].weight.copy_(torch.from_numpy(fused.initial_head(experiment.seed, replica)))
        nn.utils.vector_to_parameters(torch.from_numpy(weights), trained(net, head=False))
        net.train()(torch.from_numpy(dataset.train_images).double())
        logits = net.eval()(torch.from_numpy(dataset.test_images).double())
    return (logits.argmax(1).numpy() == dataset.test_labels).mean().item()


def noisy(noise: GradientNoise, gradients: list[Tensor], seed: int, replica: int, step: int) -> Tensor:
    """The gradient that a step takes, from those of its batches, as the definitions have it."""
    if isinstance(noise, SVAG):
        first, second = gradients
        root = math.sqrt(2 * noise.refinement - 1)
        return (1 + root) / 2 * first + (1 - root) / 2 * second
    assert isinstance(noise, GaussianNoise)
    count, stream = len(gradients), generator(seed, replica, Stream.GRADIENT_NOISE, step // BLOCK)
    normal = stream.standard_normal((BLOCK, count))[step % BLOCK]
    mean = sum(gradients) / count
    missing = sum(one * (gradient - mean) for one, gradient in zip(normal, gradients, strict=True))
    return mean + math.sqrt((noise.variance - 1 / count) / (count - 1)) * missing


def train_plain(experiment: Experiment, replica: int, dataset: Dataset) -> Trained:
    """Trains one replica of an experiment, the slow way."""
    net = plain_net(experiment, dataset)
    fused = build(experiment, dataset.train_images.shape[1:], dataset.classes)
    head: Tensor = net[-1].weight
    weights = trained(net, head=experiment.trainable_head)
    start = torch.from_numpy(experiment.initial_scale * fused.initial_weights(experiment.seed, replica))
    with torch.no_grad():
        head.copy_(torch.from_numpy(fused.initial_head(experiment.seed, replica)))
        nn.utils.vector_to_parameters(start, weights)
    head.requires_grad_(experiment.trainable_head)

    images, test_images = (torch.from_numpy(part).double() for part in (dataset.train_images, dataset.test_images))
    labels, test_labels = (torch.from_numpy(part) for part in (dataset.train_labels, dataset.test_labels))
    size = experiment.batch_size
    order = BatchOrder([(experiment.seed, replica)], len(labels), size) if size else None
    augmentation = experiment.augmentation
    draws = Draws(augmentation, order.replicas, size, order.steps_per_epoch) if augmentation else None
    learning_rates = experiment.learning_rate.values(experiment.steps)
    weight_decays = experiment.weight_decay.values(experiment.steps)
    optimiser = plain_optimizer(experiment.optimizer or SGD(experiment.momentum), weights)
    if experiment.momentum:
        for weight in weights:
            optimiser.state[weight]["momentum_buffer"] = experiment.initial_velocity * weight.detach().clone()
    criterion = nn.CrossEntropyLoss()

    def loss_of(number: int) -> Tensor:
        """On the batch of a number."""
        batch = torch.from_numpy(order.indices(number)[0]) if order else slice(None)
        seen = images[batch]
        if draws:
            seen = crop_and_flip_plain(seen, draws.at(number)[0], augmentation.padding, dataset.black)
        return criterion(net(seen), labels[batch])

    losses = []
    for step in range(experiment.steps):
        [group] = optimiser.param_groups
        group["lr"], group["weight_decay"] = learning_rates[step], weight_decays[step]
        optimiser.zero_grad()
        if experiment.gradient_noise is None:
            loss = loss_of(step)
            loss.backward()
            losses.append(loss.item())
        else:
            count = 2 if isinstance(experiment.gradient_noise, SVAG) else experiment.gradient_noise.batches
            of_batches = [loss_of(step * count + number) for number in range(count)]
            gradients = [nn.utils.parameters_to_vector(torch.autograd.grad(one, weights)) for one in of_batches]
            gradient = noisy(experiment.gradient_noise, gradients, experiment.seed, replica, step)
            for weight, part in zip(weights, gradient.split([weight.numel() for weight in weights]), strict=True):
                weight.grad = part.view_as(weight)
            losses.append(sum(one.item() for one in of_batches) / count)
        optimiser.step()
    with torch.no_grad():
        logits = net.train()(images)
        test_logits = net.eval()(test_images)
    return Trained(
        weights=nn.utils.parameters_to_vector(weights).detach().numpy(),
        batch_losses=np.array(losses),
        train_loss=criterion(logits, labels).item(),
        train_accuracy=(logits.argmax(1) == labels).double().mean().item(),
        test_loss=criterion(test_logits, test_labels).item(),
        test_predictions=test_logits.argmax(1).numpy(),
    )
