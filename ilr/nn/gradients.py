"""Losses and gradients of R replicas: by automatic differentiation, by hand or compiled where that is much faster.

A step of a multi-layer perceptron of a few thousand weights costs some ten microseconds, and the graph of automatic
differentiation would add half of that. So its chain rule is written out here, with torch's own kernels for the parts.

What lies between two convolutions (normalisation, ReLU, sums, and their ways back) reads and writes whole maps many
times. torch.compile makes few kernels of it. That takes a compiler, g++ for a CPU and Triton for a GPU, and half a
minute, or seconds where the kernels are on the disk from before.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ilr.nn.architectures import FusedMLP, loss
from ilr.nn.base import FusedConvolutionalNet, FusedNet
from ilr.nn.layers import Layers
from ilr.nn.norms import BatchStatistics
from ilr.nn.own.modules import FusedModule

Losses = Callable[[Sequence[Tensor], Tensor, Tensor, Tensor], Tensor]
"""Each replica's loss [R], of the layers' weights, the head, the images and the labels."""

# Whenever something is compiled, it would log that a machine has no GPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def loss_and_gradients(
    net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor, layers: Layers
) -> tuple[Tensor, list[Tensor]]:
    """Each replica's loss [R] and the gradient of each layer's weights [R, out, in, ...], in the layers' order.

    Args:
        net: the architecture.
        weights: [R, weight].
        head: [R, class, feature]; part of `weights` too where it is trained.
        images: [R or 1, N, channel, row, column].
        labels: [R or 1, N].
        layers: how the layers are computed.
    """
    # By hand statistics would have the type of the products: under autocast that is not the weights'.
    exact = not torch.is_autocast_enabled(weights.device.type)
    if isinstance(net, FusedMLP) and isinstance(layers.normalise, BatchStatistics) and exact:
        return _by_hand(net, weights, head, images, labels, layers.normalise.eps)
    if isinstance(net, FusedModule) and (len(weights) == 1 or net.blueprint.forward[True].declined):
        return net.loss_and_gradients(weights, head, images, labels)
    if layers.compiled and compilable(net):
        return compiled(net, layers, len(weights), images.shape).loss_and_gradients(weights, head, images, labels)
    return _differentiated(net, losses_of(net, layers), weights, head, images, labels)


def losses_of(net: FusedNet, layers: Layers) -> Losses:
    """The losses as a function of tensors alone."""

    def losses(parts: Sequence[Tensor], head: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return loss(net.forward_layers(parts, head, images, layers), labels)

    return losses


def _differentiated(
    net: FusedNet, losses_by: Losses, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Losses [R] and gradients, by automatic differentiation."""
    parts = [part.detach().requires_grad_() for part in net.layers_of(weights)]
    losses = losses_by(parts, head, images, labels)
    # The sum, not the mean: a mean would divide every replica's learning rate by their number.
    return losses.detach(), list(torch.autograd.grad(losses.sum(), parts))


def compilable(net: FusedNet) -> bool:
    """Whether compiling is worth a try: an MLP's chain rule is written out, and nets of one's own may do anything."""
    return isinstance(net, FusedConvolutionalNet)


class NotCompiledWarning(UserWarning):
    """What should be compiled is computed as it is written."""


class Compiled:
    """Losses and gradients of one net, compiled when they are first asked for.

    Where that fails, they are computed as they are written from then on: nothing depends on a compiler.

    Args:
        net: the architecture.
        layers: how the layers are computed.
    """

    def __init__(self, net: FusedNet, layers: Layers) -> None:
        self.net = net
        self.written = losses_of(net, layers)
        # Torch keeps what it has compiled, up to eight times, with the code: all would share this function's.
        self.written.__code__ = self.written.__code__.replace()
        self.compiled: Losses = torch.compile(self.written, fullgraph=True, dynamic=False)
        self.declined = ""
        """Why it cannot be compiled; empty where it can, as far as is known."""

    def loss_and_gradients(
        self, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """As the function of that name."""
        given = weights, head, images, labels
        if not self.declined:
            try:
                # The compiler recommends TF32, and may warn of more in other versions.
                with warnings.catch_warnings(action="ignore"):
                    return _differentiated(self.net, self.compiled, *given)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind; where the net itself is wrong, it comes again below
                self.declined = f"{type(error).__name__}: {error}".splitlines()[0]
        # Every time; unless it is made an error, Python shows it once.
        warnings.warn(f"not compiled, which takes longer: {self.declined}", NotCompiledWarning, stacklevel=2)
        return _differentiated(self.net, self.written, *given)


@lru_cache(maxsize=64)
def compiled(net: FusedNet, layers: Layers, replicas: int, shape: torch.Size) -> Compiled:  # noqa: ARG001 - to find it by
    """What a process compiles once, for so many replicas and images of a shape."""
    return Compiled(net, layers)


@torch.no_grad()
def _by_hand(
    net: FusedMLP, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor, eps: float
) -> tuple[Tensor, list[Tensor]]:
    """The chain rule of linear, batch normalisation, ReLU, ..., linear, cross-entropy."""
    layers = net.layers_of(weights)  # each [R, out, in]
    if net.trainable_head:
        head = layers.pop()
    examples = images.shape[1]
    # What each layer sees, [R, in, N]; the images that all replicas share are [1, pixel, N].
    hidden = [images.flatten(2).transpose(1, 2)]
    normalisations = []
    for layer in layers:
        normalised, inverse_deviation = _normalised(torch.matmul(layer, hidden[-1]), eps)
        normalisations.append((normalised, inverse_deviation))
        hidden.append(torch.relu(normalised))
    log_probabilities = torch.log_softmax(torch.matmul(head, hidden[-1]), dim=1)  # [R, class, N]
    right = labels.expand(len(weights), -1)[:, None]  # [R, 1, N]
    losses = -log_probabilities.gather(1, right).mean(dim=(1, 2))

    # d_x is the derivative of each replica's loss by x, and has the shape of x. That of cross-entropy by the logits is
    # the probabilities, less one for the right class; the mean over examples divides by their number.
    d_logits = log_probabilities.exp_()
    minus_one = d_logits.new_full((1, 1, 1), -1.0).expand_as(right)  # [R, 1, N]
    d_logits.scatter_add_(1, right, minus_one).div_(examples)
    gradients = []
    if net.trainable_head:
        gradients.append(torch.matmul(d_logits, hidden[-1].transpose(1, 2)))  # [R, class, N] by [R, N, feature]
    d_hidden = torch.matmul(head.transpose(1, 2), d_logits)  # [R, feature, class] by [R, class, N]
    for index in reversed(range(len(layers))):
        d_normalised = torch.ops.aten.threshold_backward(d_hidden, hidden[index + 1], 0)
        d_features = _normalisation_backward(d_normalised, *normalisations[index])
        gradients.append(torch.matmul(d_features, hidden[index].transpose(1, 2)))  # [R, out, N] by [R or 1, N, in]
        # Nobody asks for the derivative by the images.
        if index > 0:
            d_hidden = torch.matmul(layers[index].transpose(1, 2), d_features)  # [R, in, out] by [R, out, N]
    return losses, gradients[::-1]


def _normalised(features: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Features [R, C, N] normalised over N, in place, and their inverse deviations [R, C, 1].

    Torch's kernel is made for long rows; for the few dozen examples of a batch these four passes take half its time.
    """
    features.sub_(features.mean(dim=2, keepdim=True))
    variance = torch.linalg.vector_norm(features, dim=2, keepdim=True).square_().div_(features.shape[2])
    inverse_deviation = variance.add_(eps).rsqrt_()
    return features.mul_(inverse_deviation), inverse_deviation


def _normalisation_backward(d_normalised: Tensor, normalised: Tensor, inverse_deviation: Tensor) -> Tensor:
    """The derivative by the features, from that by what they became: both [R, C, N]."""
    rows = normalised.flatten(0, 1)[None]  # [1, R·C, N]
    d_rows = d_normalised.view_as(rows)
    scales = inverse_deviation.flatten()  # [R·C]
    # Torch's kernel, told of features that were normal to begin with; what scales them back it takes for a weight.
    mean, one = torch.zeros_like(scales), torch.ones_like(scales)
    by_features, _, _ = torch.ops.aten.native_batch_norm_backward(
        d_rows, rows, scales, None, None, mean, one, True, 0.0, [True, False, False]
    )
    d_features: Tensor = by_features.view_as(d_normalised)
    return d_features
