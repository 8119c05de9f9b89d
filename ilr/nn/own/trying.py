"""What somebody brought is tried before anything trains: a norm and a net, on random numbers."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ilr.experiments.norms import Norm
from ilr.experiments.own import calling, wrong
from ilr.fields import shown
from ilr.nn.architectures import FusedMLP
from ilr.nn.base import FusedNet
from ilr.nn.norms import COMPUTED_BY, has_activations, has_weights, stacked_activations, stacked_weights
from ilr.nn.own.devices import check_device
from ilr.nn.own.modules import IMAGES, Blueprint, FusedModule
from ilr.nn.own.stacking import Stacked, Tensors

REPLICAS, EXAMPLES, SIDE = 2, 5, 4
"""Of the activations that a norm is tried on."""

ALIKE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Relative deviation of what counts as the same numbers."""

Compute = Callable[[Tensors, Tensors], Tensor]
"""As `Stacked` is called: by vmap, or in a loop."""


def try_net(net: FusedNet, dtype: torch.dtype) -> None:
    """Tries a net of somebody's own; those of ilr pass.

    Raises:
        OwnRecordError: it does not do what it must; in one line with its file.
    """
    if isinstance(net, FusedModule):
        try_module(net.blueprint, dtype)


def try_norm(norm: Norm, net: FusedNet, dtype: torch.dtype) -> None:
    """Tries a norm of somebody's own on activations and weights like those of a net; those of ilr pass.

    Raises:
        OwnRecordError: it does not do what it must; in one line with its file.
    """
    if type(norm) in COMPUTED_BY:
        return
    if not (has_activations(norm) or has_weights(norm)):
        raise wrong(norm, "has neither activations(self, inputs) nor weights(self, weights)")
    pixels = () if isinstance(net, FusedMLP) else (SIDE, SIDE)
    if has_activations(norm):
        for channels in sorted({*net.net.normalised}):
            _try_activations(norm, (EXAMPLES, channels, *pixels), dtype)
    if has_weights(norm):
        # Of each number of axes, the first layer: the largest have millions of weights.
        for shape in {len(shape): shape for shape in reversed(net.layers)}.values():
            _try_function(norm, "weights()", stacked_weights(norm), shape, dtype)


@lru_cache(maxsize=256)
def _try_activations(norm: Norm, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    inputs = _try_function(norm, "activations()", stacked_activations(norm), shape, dtype)
    _check_mixing(norm, "activations()", norm.activations, inputs[0], dtype)


def _check_mixing(
    record: object, name: str, function: Callable[[Tensor], Tensor], given: Tensor, dtype: torch.dtype
) -> None:
    """Each example comes out as it would by itself."""
    part, whole = function(given[:2]), function(given)
    if part.shape != whole[:2].shape or not torch.allclose(part, whole[:2], rtol=ALIKE[dtype], atol=ALIKE[dtype]):
        raise wrong(
            record,
            f"{name} mixes examples: two of them by themselves come out otherwise than among {EXAMPLES}, so that what "
            "a net makes of a test image would depend on the other ones",
        )


def _try_function(norm: Norm, name: str, function: Stacked, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Tries a norm's function of one replica's tensor of this shape; gives what it was tried on, [R, ...]."""
    stream = torch.Generator().manual_seed(0)
    inputs = torch.randn((REPLICAS, *shape), generator=stream, dtype=dtype)

    def of_one(given: Tensor) -> Any:
        return function.function({"inputs": given})

    check_output(norm, name, of_one, inputs[0], shape)
    given = inputs[0]
    check_device(norm, name, partial(of_one, given), [given])
    needing = inputs.clone().requires_grad_()
    with calling(norm, f"the gradient of {name}"):
        outputs = function.one_by_one({"inputs": needing})
        [gradient] = torch.autograd.grad(
            (outputs * torch.linspace(0, 1, outputs.numel()).view_as(outputs)).sum(), needing
        )
    _compare(function, lambda compute: compute({"inputs": inputs}, {}), outputs)
    if not gradient.isfinite().all():
        raise wrong(norm, f"the gradient of {name} is not finite at random numbers")
    return inputs


@lru_cache(maxsize=64)
def try_module(pattern: Blueprint, dtype: torch.dtype) -> None:
    """Tries a net of somebody's own on random images, in training and in evaluation; finds out what vmap takes of it.

    Raises:
        OwnRecordError: it does not do what it must; in one line with its file.
    """
    net, shape = pattern.net, (EXAMPLES, pattern.classes)
    _check_weights(pattern)
    parameters = {name: one.detach().to(dtype) for name, one in pattern.module.named_parameters()}
    buffers = pattern.buffers(torch.empty(0, dtype=dtype))
    stream = torch.Generator().manual_seed(0)
    images = torch.randn((EXAMPLES, *pattern.image_shape), generator=stream, dtype=dtype)
    # Replicas differ in their weights, and where a forward pass changes buffers, in those.
    factors = [1.0 + r / 10 for r in range(REPLICAS)]
    stacked = {name: torch.stack([factor * one for factor in factors]) for name, one in parameters.items()}

    for training in (True, False):
        name = f"the network in {'training' if training else 'evaluation'}"
        function = pattern.forward[training]

        def of_one(given: Tensor, function: Stacked = function) -> Tensor:
            copies = {of: one.clone() for of, one in buffers.items()}
            return function.function({**parameters, **copies, IMAGES: given})

        def of_all(compute: Compute) -> Tensor:
            if not pattern.changes_buffers:
                return compute(stacked, {**buffers, IMAGES: images})
            copies = {of: torch.stack([one] * REPLICAS) for of, one in buffers.items()}
            return compute({**stacked, **copies}, {IMAGES: images})

        with torch.set_grad_enabled(training):
            check_output(net, name, of_one, images, shape)
            given = [*parameters.values(), *buffers.values(), images]
            check_device(net, name, partial(of_one, images), given, pattern.unregistered)
            if not training:
                _check_mixing(net, name, of_one, images, dtype)
            _compare(function, of_all, of_all(function.one_by_one))
    _check_gradients(pattern, {**parameters, IMAGES: images}, buffers)


def _compare(function: Stacked, of_all: Callable[[Compute], Tensor], expected: Tensor) -> None:
    """What vmap computes otherwise than a loop over replicas it does not compute from then on."""
    tolerance = ALIKE[expected.dtype]
    if not torch.allclose(of_all(function), expected, rtol=tolerance, atol=tolerance):
        function.declined = "other numbers than one by one"


def _check_weights(pattern: Blueprint) -> None:
    """The initial weights follow from torch's random numbers alone, and are numbers."""
    first, again, other = (dict(pattern.drawn(seed).named_parameters()) for seed in (1, 1, 2))
    for name, weights in first.items():
        if weights is again[name]:
            raise wrong(pattern.net, "module() gives the same network every time: make a new one at each call")
        if not weights.isfinite().all():
            raise wrong(pattern.net, f"module() gives a network whose {name} are no finite numbers")
        if not torch.equal(weights, again[name]):
            raise wrong(
                pattern.net, f"module() gives other initial {name} for the same torch.manual_seed: draw them by torch"
            )
    if all(torch.equal(weights, other[name]) for name, weights in first.items()):
        raise wrong(
            pattern.net,
            "module() gives the same initial weights whatever torch.manual_seed, and replicas must differ in them: "
            "draw them by torch, and set no seed",
        )


def _check_gradients(pattern: Blueprint, tensors: Tensors, buffers: Tensors) -> None:
    """Everything that is trained takes part in the logits."""
    needing = {name: tensors[name].clone().requires_grad_() for name in pattern.trained}
    copies = {name: one.clone() for name, one in buffers.items()}
    logits = pattern.logits({**tensors, **needing, **copies}, training=True)
    with calling(pattern.net, "the gradient of the network"):
        first = logits.log_softmax(dim=1)[:, 0].sum()
        gradients = torch.autograd.grad(first, list(needing.values()), allow_unused=True)
    for name, gradient in zip(needing, gradients, strict=True):
        if gradient is None:
            raise wrong(
                pattern.net, f"the parameter {name} takes no part in the logits: leave it out, or requires_grad_(False)"
            )
        if not gradient.isfinite().all():
            raise wrong(pattern.net, f"the gradient of the parameter {name} is not finite at random images")


def check_output(
    record: object, name: str, function: Callable[[Tensor], Any], given: Tensor, shape: tuple[int, ...]
) -> None:
    """Calls a record's function twice.

    Args:
        record: whose function it is.
        name: of the function.
        function: of one tensor.
        given: that tensor.
        shape: of what the function must give, in the type of what it is given.

    Raises:
        OwnRecordError: it fails, or gives no tensor of this shape and type, or no numbers, or others the second time.
    """
    before = given.clone()
    with calling(record, name):
        output = function(given)
        unchanged = torch.equal(given, before)
        again = function(before)
    if not isinstance(output, Tensor):
        raise wrong(record, f"{name} gives {shown(output)}, not a tensor")
    if tuple(output.shape) != shape or output.dtype != given.dtype:
        raise wrong(
            record, f"{name} gives {[*output.shape]} of {output.dtype}, where {[*shape]} of {given.dtype} are wanted"
        )
    if not unchanged:
        raise wrong(record, f"{name} changes what it is given")
    if not output.isfinite().all():
        raise wrong(record, f"{name} gives what is not finite for random numbers")
    if not torch.equal(output, again):
        raise wrong(
            record,
            f"{name} gives other numbers the second time: what is drawn at random, as by dropout, or remembered is no "
            "function of the weights",
        )
