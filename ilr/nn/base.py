"""Fused nets: R networks of one architecture, their weights one tensor [replica, weight]."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ilr.experiments.architectures import Net
from ilr.experiments.seeding import Stream, generator
from ilr.nn.layers import Layers, linear

Float64 = npt.NDArray[np.float64]


class FusedNet(ABC):
    """The architecture of one replica; its methods take R replicas at once.

    The trainable weights of a replica are one vector: the layers' weights one after another. The head is what stays as
    it was drawn.

    Args:
        net: the architecture as plain data.
        image_shape: [channel, row, column].
        classes: how many logits an example has.
    """

    layers: list[tuple[int, ...]]
    """Weight shapes of the layers below the head."""
    head: tuple[int, ...]
    """Weight shape of the head."""
    shapes: list[tuple[int, ...]]
    """Weight shapes of all that is trained."""

    def __init__(self, net: Net, image_shape: Sequence[int], classes: int) -> None:
        self.net = net
        self.image_shape = tuple(image_shape)
        self.classes = classes

    @cached_property
    def sizes(self) -> list[int]:
        """Numbers of weights of all that is trained."""
        return [math.prod(shape) for shape in self.shapes]

    @abstractmethod
    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass below the head."""

    @abstractmethod
    def activations(self) -> int:
        """Numbers that one example's forward pass leaves below the head."""

    def layers_of(self, weights: Tensor) -> list[Tensor]:
        """The weights [R, weight] as layers [R, out, in, ...], and last the head if it is trained."""
        parts = torch.split(weights, self.sizes, dim=1)  # each [R, out·in·…]
        return [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]  # each [R, out, in, …]

    def forward(self, weights: Tensor, head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        """Logits [R, class, N].

        Args:
            weights: [R, weight].
            head: [R, class, feature]; not looked at if the head is among the weights.
            images: [R or 1, N, channel, row, column].
            layers: how the layers are computed.
        """
        return self.forward_layers(self.layers_of(weights), head, images, layers)

    @abstractmethod
    def forward_layers(self, weights: Sequence[Tensor], head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        """As `forward`, by the parts that `layers_of` makes of the weights."""

    @abstractmethod
    def initial_weights(self, root_seed: int, replica: int) -> Float64:
        """One replica's trainable weights [weight]."""

    @abstractmethod
    def initial_head(self, root_seed: int, replica: int) -> Float64:
        """One replica's head, of its shape."""


class FusedLayers(FusedNet):
    """An architecture of layers without biases, which normalisation would remove, under a linear head.

    Args:
        net: the architecture as plain data.
        image_shape: [channel, row, column].
        classes: how many logits an example has.
        trainable_head: whether the head is among the trainable weights: at their end.
    """

    def __init__(self, net: Net, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        super().__init__(net, image_shape, classes)
        self.trainable_head = trainable_head
        self.layers = self._layer_shapes()
        self.head = (classes, self._features_seen())
        self.shapes = [*self.layers, self.head] if trainable_head else list(self.layers)

    @abstractmethod
    def _layer_shapes(self) -> list[tuple[int, ...]]:
        """Weight shapes [out, in, ...] of the layers below the head."""

    def _features_seen(self) -> int:
        """Number of an example's features that the head sees: one of each output of the last layer."""
        return self.layers[-1][0]

    @abstractmethod
    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        """What the head sees, [R, feature, N]."""

    @abstractmethod
    def _outputs(self) -> list[int]:
        """How many numbers each layer below the head makes of one example."""

    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass below the head: a fan-in for each output."""
        return sum(count * math.prod(shape[1:]) for count, shape in zip(self._outputs(), self.layers, strict=True))

    def activations(self) -> int:
        """Numbers that one example's forward pass leaves below the head."""
        return sum(self._outputs())

    def forward_layers(self, weights: Sequence[Tensor], head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        """As `forward`, by the parts that `layers_of` makes of the weights."""
        if self.trainable_head:
            *weights, head = weights
        applied = [layers.normalise.weights(layer) for layer in weights]
        return linear(head, self._features(applied, images, layers))

    def initial_weights(self, root_seed: int, replica: int) -> Float64:
        """One replica's trainable weights [weight]: normal with variance 2/fan-in (He et al. 2015)."""
        stream = generator(root_seed, replica, Stream.INITIALISATION)
        parts = []
        for shape in self.layers:
            fan_in = math.prod(shape[1:])
            parts.append(stream.normal(scale=math.sqrt(2 / fan_in), size=math.prod(shape)))
        if self.trainable_head:
            parts.append(self.initial_head(root_seed, replica).ravel())  # [class·feature]
        return np.concatenate(parts)

    def initial_head(self, root_seed: int, replica: int) -> Float64:
        """One replica's top linear layer [class, feature], normal with variance 1/fan-in."""
        stream = generator(root_seed, replica, Stream.HEAD)
        return stream.normal(scale=1 / math.sqrt(self.head[1]), size=self.head)


@dataclass(frozen=True)
class Convolution:
    """A convolution of square maps, padded with zeros so that only its stride makes them smaller."""

    inputs: int
    """Channels."""
    outputs: int
    """Channels."""
    kernel: int
    """Side of the kernel in pixels, odd."""
    side: int
    """Side of its inputs in pixels."""
    stride: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Weight shape [out, in, row, column]."""
        return self.outputs, self.inputs, self.kernel, self.kernel

    @property
    def activations(self) -> int:
        """Numbers it makes of one example."""
        return self.outputs * strided(self.side, self.stride) ** 2


def strided(side: int, stride: int) -> int:
    """Side in pixels that is left of a padded map after a convolution or pooling with a stride."""
    return -(-side // stride)


class Pass:
    """One forward pass of R replicas through a net of convolutions, which are applied in their order.

    Args:
        convolutions: of the net, in that order.
        weights: of each convolution, [R, out, in, row, column].
        layers: how they are computed.
    """

    def __init__(self, convolutions: Sequence[Convolution], weights: Sequence[Tensor], layers: Layers) -> None:
        self._remaining: Iterator[tuple[Convolution, Tensor]] = zip(convolutions, weights, strict=True)
        self._layers = layers
        self.replicas = weights[0].shape[0]

    def convolved(self, maps: Tensor) -> Tensor:
        """Maps [N, R·channel, row, column], or those that all replicas share, through the next convolution."""
        convolution, weights = next(self._remaining)
        return self._layers.convolution(weights, maps, convolution.stride)

    def normalised(self, maps: Tensor) -> Tensor:
        """Maps [N, R·channel, row, column] after normalisation."""
        return self._layers.normalise.maps(maps, self.replicas)


class FusedConvolutionalNet(FusedLayers):
    """Nets of convolutions; activations are [N, R·channel, row, column]."""

    @cached_property
    def convolutions(self) -> list[Convolution]:
        """Every convolution, in the order of the forward pass."""
        channels, side, _ = self.image_shape
        return list(self._convolutions(channels, side))

    @abstractmethod
    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        """Every convolution, in the order of the forward pass, for images of such channels and side."""

    @abstractmethod
    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        """What the head sees of the images, as maps or as their means [N, R·channel]."""

    def _layer_shapes(self) -> list[tuple[int, ...]]:
        return [convolution.shape for convolution in self.convolutions]

    def _outputs(self) -> list[int]:
        return [convolution.activations for convolution in self.convolutions]

    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        through = Pass(self.convolutions, weights, layers)
        maps = images.transpose(0, 1).flatten(1, 2)  # [N, (R or 1)·channel, row, column]
        seen = self._last_maps(maps, through)
        features = seen.reshape(len(seen), through.replicas, -1)  # [N, R, feature]
        return features.permute(1, 2, 0)  # [R, feature, N]
