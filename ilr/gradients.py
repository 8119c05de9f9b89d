"""Losses and gradients of R replicas: by automatic differentiation, and by hand where that is much faster.

A step of a multi-layer perceptron of a few thousand weights costs some ten microseconds, and the graph of automatic
differentiation would add half of that. So its chain rule is written out here, with torch's own kernels for the parts.
"""

import torch
from torch import Tensor

from ilr.fused import FusedNet
from ilr.layers import ByBatch, Layers
from ilr.nets import FusedMLP, loss


def loss_and_gradient(
    net: FusedNet, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor, layers: Layers
) -> tuple[Tensor, Tensor]:
    """Each replica's loss [R] and its gradient [R, weight].

    Args:
        net: the architecture.
        weights: [R, weight].
        head: [R, class, feature]; part of `weights` too where it is trained.
        images: [R or 1, N, channel, row, column].
        labels: [R or 1, N].
        layers: how the layers are computed.
    """
    if isinstance(net, FusedMLP) and isinstance(layers.normalise, ByBatch):
        return _by_hand(net, weights, head, images, labels, layers.normalise.eps)
    weights = weights.detach().requires_grad_()
    losses = loss(net.forward(weights, head, images, layers), labels)
    # The sum, not the mean: a mean would divide every replica's learning rate by their number.
    (gradient,) = torch.autograd.grad(losses.sum(), weights)
    return losses.detach(), gradient


@torch.no_grad()
def _by_hand(
    net: FusedMLP, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The chain rule of linear, batch normalisation, ReLU, ..., linear, cross-entropy."""
    layers = net.layers_of(weights)
    if net.trainable_head:
        head = layers.pop()
    hidden = [images.flatten(2).transpose(1, 2)]
    normalisations = []
    for layer in layers:
        linear = torch.matmul(layer, hidden[-1]).flatten(0, 1)[None]
        normalised, mean, inverse_deviation = torch.native_batch_norm(linear, None, None, None, None, True, 1.0, eps)
        normalisations.append((linear, mean, inverse_deviation))
        hidden.append(normalised.view(len(weights), -1, linear.shape[2]).relu_())
    log_probabilities = torch.log_softmax(torch.matmul(head, hidden[-1]), dim=1)
    right = labels.expand(len(weights), -1)[:, None]
    losses = -log_probabilities.gather(1, right).mean(dim=(1, 2))

    # The derivative of cross-entropy by the logits: probabilities, less one for the right class.
    outer = log_probabilities.exp_()
    outer.scatter_add_(1, right, outer.new_full((1, 1, 1), -1.0).expand_as(right)).div_(right.shape[2])
    gradients = [torch.matmul(outer, hidden[-1].transpose(1, 2))] if net.trainable_head else []
    outer = torch.matmul(head.transpose(1, 2), outer)
    for index in reversed(range(len(layers))):
        linear, mean, inverse_deviation = normalisations[index]
        outer = torch.ops.aten.threshold_backward(outer, hidden[index + 1], 0)
        inner, _, _ = torch.ops.aten.native_batch_norm_backward(
            outer.view_as(linear),
            linear,
            None,
            None,
            None,
            mean,
            inverse_deviation,
            True,
            eps,
            [True, False, False],
        )
        outer = inner.view_as(outer)
        gradients.append(torch.matmul(outer, hidden[index].transpose(1, 2)))
        if index:
            outer = torch.matmul(layers[index].transpose(1, 2), outer)
    return losses, torch.cat([gradient.flatten(1) for gradient in reversed(gradients)], dim=1)
