"""Fused nets: R networks of one architecture, their weights one tensor [replica, weight]."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ilr.experiment import CNN, MLP, Experiment, Net
from ilr.layers import Layers, linear
from ilr.streams import Stream, generator

Float64 = npt.NDArray[np.float64]


class FusedNet(ABC):
    """The architecture of one replica; its methods take R replicas at once.

    The trainable weights of a replica are one vector: the layers' weights one after another, and the head's at the
    end if the head is trained. No layer has a bias: normalisation would remove it.
    """

    def __init__(self, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        self.layers = self._layer_shapes(image_shape)
        self.head = (classes, self.layers[-1][0])
        self.trainable_head = trainable_head
        self.shapes = [*self.layers, self.head] if trainable_head else list(self.layers)
        self.sizes = [math.prod(shape) for shape in self.shapes]

    @abstractmethod
    def _layer_shapes(self, image_shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Weight shapes [out, in, ...] of the layers below the head, for images [channel, row, column]."""

    @abstractmethod
    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        """What the head sees, [R, feature, N]."""

    @abstractmethod
    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass below the head."""

    @abstractmethod
    def activations(self) -> int:
        """Numbers that one example's forward pass leaves below the head."""

    def layers_of(self, weights: Tensor) -> list[Tensor]:
        """The weights [R, weight] as layers [R, out, in, ...], and last the head if it is trained."""
        parts = torch.split(weights, self.sizes, dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, weights: Tensor, head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        """Logits [R, class, N] of images [R or 1, N, channel, row, column] by weights [R, weight] and their heads."""
        parts = self.layers_of(weights)
        if self.trainable_head:
            head = parts.pop()
        return linear(head, self._features([layers.normalise.weights(part) for part in parts], images, layers))

    def initial_weights(self, root_seed: int, replica: int) -> Float64:
        """One replica's trainable weights [weight]: normal with variance 2/fan-in (He et al. 2015)."""
        stream = generator(root_seed, replica, Stream.INITIALISATION)
        layers = [
            stream.normal(scale=math.sqrt(2 / math.prod(shape[1:])), size=math.prod(shape)) for shape in self.layers
        ]
        if self.trainable_head:
            layers.append(self.initial_head(root_seed, replica).ravel())
        return np.concatenate(layers)

    def initial_head(self, root_seed: int, replica: int) -> Float64:
        """One replica's top linear layer [class, feature], normal with variance 1/fan-in."""
        stream = generator(root_seed, replica, Stream.HEAD)
        return stream.normal(scale=1 / math.sqrt(self.head[1]), size=self.head)


class FusedMLP(FusedNet):
    """R multi-layer perceptrons; activations are feature-major, [R, feature, N]: normalisation copies nothing."""

    def __init__(self, net: MLP, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        self.net = net
        super().__init__(image_shape, classes, trainable_head=trainable_head)

    def _layer_shapes(self, image_shape: Sequence[int]) -> list[tuple[int, ...]]:
        widths = (math.prod(image_shape), *self.net.widths)
        return [(out, into) for into, out in pairwise(widths)]

    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        hidden = images.flatten(2).transpose(1, 2)
        for weight in weights:
            hidden = F.relu(layers.normalise.features(linear(weight, hidden)))
        return hidden

    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass below the head."""
        return sum(self.sizes[: len(self.layers)])

    def activations(self) -> int:
        """Numbers that one example's forward pass leaves below the head."""
        return sum(self.net.widths)


class FusedCNN(FusedNet):
    """R convolutional nets; activations are [N, R·channel, row, column]."""

    def __init__(self, net: CNN, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        self.net = net
        self.side = image_shape[1]
        super().__init__(image_shape, classes, trainable_head=trainable_head)

    def _layer_shapes(self, image_shape: Sequence[int]) -> list[tuple[int, ...]]:
        channels = (image_shape[0], *self.net.channels)
        return [(out, into, 3, 3) for into, out in pairwise(channels)]

    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        replicas = weights[0].shape[0]
        shared = images.shape[0] == 1
        hidden = images.transpose(0, 1).flatten(1, 2)
        for layer, weight in enumerate(weights):
            outputs = layers.convolution(weight, hidden, shared=shared and layer == 0)
            hidden = F.relu(layers.normalise.maps(outputs, replicas))
            if self._halves_after(layer):
                hidden = F.avg_pool2d(hidden, 2)
        return hidden.mean(dim=(2, 3)).view(len(hidden), replicas, -1).permute(1, 2, 0)

    def _halves_after(self, layer: int) -> bool:
        return layer % 2 == 1 and layer < len(self.net.channels) - 1

    def _sides(self) -> list[int]:
        """Side of each layer's images."""
        sides = [self.side]
        for layer in range(len(self.layers) - 1):
            sides.append(sides[-1] // 2 if self._halves_after(layer) else sides[-1])
        return sides

    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass below the head."""
        return sum(math.prod(shape) * side**2 for shape, side in zip(self.layers, self._sides(), strict=True))

    def activations(self) -> int:
        """Numbers that one example's forward pass leaves below the head."""
        return sum(shape[0] * side**2 for shape, side in zip(self.layers, self._sides(), strict=True))


def build(experiment: Experiment, image_shape: Sequence[int], classes: int) -> FusedNet:
    """The fused net of an experiment, for images [channel, row, column]."""
    net: Net = experiment.net
    if isinstance(net, MLP):
        return FusedMLP(net, image_shape, classes, trainable_head=experiment.trainable_head)
    if isinstance(net, CNN):
        return FusedCNN(net, image_shape, classes, trainable_head=experiment.trainable_head)
    raise TypeError(f"{net} is not trained on data")


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each replica [R], of logits [R, class, N] and labels [R or 1, N]."""
    return F.cross_entropy(logits, labels.expand(logits.shape[0], -1), reduction="none").mean(dim=1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of right answers of each replica [R]."""
    return (logits.argmax(dim=1) == labels).to(torch.float64).mean(dim=1)
