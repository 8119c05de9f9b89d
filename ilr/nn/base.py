"""Fused nets: R networks of one architecture, their weights one tensor [replica, weight]."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ilr.experiments.seeding import Stream, generator
from ilr.nn.layers import Layers, linear

Float64 = npt.NDArray[np.float64]


class FusedNet(ABC):
    """The architecture of one replica; its methods take R replicas at once.

    The trainable weights of a replica are one vector: the layers' weights one after another, and the head's at the
    end if the head is trained. No layer has a bias: normalisation would remove it.
    """

    def __init__(self, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        self.layers = self._layer_shapes(image_shape)
        self.head = (classes, self._features_seen())
        self.trainable_head = trainable_head
        self.shapes = [*self.layers, self.head] if trainable_head else list(self.layers)
        self.sizes = [math.prod(shape) for shape in self.shapes]

    @abstractmethod
    def _layer_shapes(self, image_shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Weight shapes [out, in, ...] of the layers below the head, for images [channel, row, column]."""

    def _features_seen(self) -> int:
        """How many features of an example the head sees: one of each output of the last layer."""
        return self.layers[-1][0]

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
        return self.through(self.layers_of(weights), head, images, layers)

    def through(self, parts: Sequence[Tensor], head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        """As `forward`, by the parts that `layers_of` makes of the weights."""
        if self.trainable_head:
            *parts, head = parts
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
    """One forward pass of R replicas through a net of convolutions, which are applied in their order."""

    def __init__(
        self, convolutions: Sequence[Convolution], weights: Sequence[Tensor], layers: Layers, *, shared: bool
    ) -> None:
        self._remaining: Iterator[tuple[Convolution, Tensor]] = zip(convolutions, weights, strict=True)
        self._layers = layers
        self._shared = shared
        self.replicas = weights[0].shape[0]

    def convolved(self, maps: Tensor) -> Tensor:
        """Maps [N, R·channel, row, column], or those that all replicas share, through the next convolution."""
        convolution, weights = next(self._remaining)
        shared, self._shared = self._shared, False
        return self._layers.convolution(weights, maps, shared=shared, stride=convolution.stride)

    def normalised(self, maps: Tensor) -> Tensor:
        """Maps [N, R·channel, row, column] after normalisation."""
        return self._layers.normalise.maps(maps, self.replicas)


class FusedConvolutionalNet(FusedNet):
    """Nets of convolutions; activations are [N, R·channel, row, column]."""

    def __init__(self, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        channels, side, _ = image_shape
        self.convolutions = list(self._convolutions(channels, side))
        super().__init__(image_shape, classes, trainable_head=trainable_head)

    @abstractmethod
    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        """Every convolution, in the order of the forward pass, for images of such channels and side."""

    @abstractmethod
    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        """What the head sees of the images, as maps or as their means [N, R·channel]."""

    def _layer_shapes(self, image_shape: Sequence[int]) -> list[tuple[int, ...]]:  # noqa: ARG002 - known by now
        return [convolution.shape for convolution in self.convolutions]

    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        through = Pass(self.convolutions, weights, layers, shared=images.shape[0] == 1)
        maps = self._last_maps(images.transpose(0, 1).flatten(1, 2), through)
        return maps.reshape(len(maps), through.replicas, -1).permute(1, 2, 0)

    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass below the head."""
        return sum(one.activations * math.prod(one.shape[1:]) for one in self.convolutions)

    def activations(self) -> int:
        """Numbers that one example's forward pass leaves below the head."""
        return sum(one.activations for one in self.convolutions)
