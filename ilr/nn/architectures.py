"""The nets there are, each as a fused net, and what their logits are worth."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ilr.experiments.architectures import CNN, MLP, BottleneckResNet, Net, PreResNet, ResNet, Toy, is_own
from ilr.experiments.experiment import Experiment
from ilr.nn.base import Convolution, FusedConvolutionalNet, FusedLayers, FusedNet, Pass
from ilr.nn.layers import Layers, linear
from ilr.nn.own.modules import FusedModule
from ilr.nn.resnet import FusedBottleneckResNet, FusedPreResNet, FusedResNet


class FusedMLP(FusedLayers):
    """R multi-layer perceptrons; activations are feature-major, [R, feature, N]: normalisation copies nothing."""

    net: MLP

    def _layer_shapes(self) -> list[tuple[int, ...]]:
        widths = (math.prod(self.image_shape), *self.net.widths)
        return [(out, into) for into, out in pairwise(widths)]

    def _features(self, weights: Sequence[Tensor], images: Tensor, layers: Layers) -> Tensor:
        hidden = images.flatten(2).transpose(1, 2)  # [R or 1, N, pixel], then [R or 1, pixel, N]
        for weight in weights:
            hidden = F.relu_(layers.normalise.features(linear(weight, hidden)))
        return hidden

    def _outputs(self) -> list[int]:
        return list(self.net.widths)


class FusedCNN(FusedConvolutionalNet):
    """R convolutional nets.

    Raises:
        ValueError: the images are too small to be halved so often.
    """

    net: CNN

    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        for layer, (into, out) in enumerate(pairwise((channels, *self.net.channels))):
            if side == 0:
                raise ValueError(f"{self.net} halves the images until nothing is left: larger images or fewer layers")
            yield Convolution(into, out, kernel=3, side=side)
            if self._halves_after(layer):
                side //= 2

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        for layer in range(len(self.layers)):
            maps = F.relu_(through.normalised(through.convolved(maps)))
            if self._halves_after(layer):
                maps = F.avg_pool2d(maps, 2)
        return maps

    def _features_seen(self) -> int:
        return self.convolutions[-1].activations

    def _halves_after(self, layer: int) -> bool:
        return layer % 2 == 1 and layer < len(self.net.channels) - 1


_FUSED: dict[type[Net], type[FusedLayers]] = {
    MLP: FusedMLP,
    CNN: FusedCNN,
    PreResNet: FusedPreResNet,
    ResNet: FusedResNet,
    BottleneckResNet: FusedBottleneckResNet,
}


def build(experiment: Experiment, image_shape: Sequence[int], classes: int) -> FusedNet:
    """The fused net of an experiment.

    Args:
        experiment: says which net, and whether its head is trained.
        image_shape: [channel, row, column].
        classes: how many logits an example has.

    Raises:
        TypeError: the net is not trained on data.
        OwnRecordError: a net of somebody's own gives no network.
    """
    net = experiment.net
    if isinstance(net, Toy):
        raise TypeError(f"{net} is not trained on data")
    if is_own(net):
        return FusedModule(net, image_shape, classes)
    return _built(net, tuple(image_shape), classes, experiment.trainable_head)


@lru_cache(maxsize=64)
def _built(net: Net, image_shape: tuple[int, ...], classes: int, trainable_head: bool) -> FusedLayers:
    """One object for all experiments of a net, with which goes what is compiled of it."""
    return _FUSED[type(net)](net, image_shape, classes, trainable_head=trainable_head)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each replica [R], of logits [R, class, N] and labels [R or 1, N]."""
    labels = labels.expand(len(logits), -1)  # [R, N]
    return F.cross_entropy(logits, labels, reduction="none").mean(dim=1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Proportion of right answers of each replica [R], of logits [R, class, N] and labels [R or 1, N]."""
    right = (logits.argmax(dim=1) == labels).to(torch.float64)  # [R, N]
    # Divided by a tensor: by a number, or in a mean, a GPU multiplies by its reciprocal, which rounds once more.
    return right.sum(dim=1) / right.new_tensor(right.shape[1])
