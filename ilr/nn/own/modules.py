"""Nets of somebody's own: one network as an ordinary torch.nn.Module, of which R are computed at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ilr.experiments.architectures import Net
from ilr.experiments.own import calling, wrong
from ilr.experiments.seeding import Stream, generator
from ilr.fields import shown
from ilr.nn.base import Float64, FusedNet
from ilr.nn.layers import Layers
from ilr.nn.norms import WithinNet
from ilr.nn.own.stacking import Stacked, Tensors, written_out

IMAGES = "images "
"""What images are called beside a module's tensors, none of which is called so."""

COUNTED = 2
"""Images of the pass in which operations and activations are counted."""


class Blueprint:
    """One network of a record's, as a pattern: what it holds, and how it is computed with other tensors in it.

    Args:
        net: the record.
        image_shape: [channel, row, column].
        classes: how many logits an example has.

    Raises:
        OwnRecordError: the record gives no network that could be trained.
    """

    def __init__(self, net: Net, image_shape: tuple[int, ...], classes: int) -> None:
        self.net = net
        self.image_shape = image_shape
        self.classes = classes
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Of all parameters, by name."""
        self.module = self.drawn(0).train()
        for layer in self.module.modules():
            if isinstance(layer, _NormBase):
                # So that the statistics of a pass over the training set are those of that set.
                layer.momentum = 1.0
        parameters = dict(self.module.named_parameters())
        self.trained = {name: tuple(one.shape) for name, one in parameters.items() if one.requires_grad}
        self.frozen = {name: tuple(one.shape) for name, one in parameters.items() if not one.requires_grad}
        if not self.trained:
            raise wrong(net, "module() gives a network without a parameter that requires a gradient")
        # Each place of a tensor in the module, with the tensor's one name: layers share weights, or are used twice.
        names = {id(one): name for name, one in (*parameters.items(), *self.module.named_buffers())}
        self.places = {
            f"{prefix}.{place}".lstrip("."): names[id(one)]
            for prefix, layer in self.module.named_modules()
            for place, one in (*layer._parameters.items(), *layer._buffers.items())
            if one is not None
        }
        self.forward = {training: Stacked(partial(self.logits, training=training)) for training in (True, False)}
        self._buffers: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}

    def drawn(self, seed: int) -> nn.Module:
        """A network whose initial weights follow from a seed."""
        if type(self.net).module is Net.module:
            raise wrong(self.net, "has no module(self, image_shape, classes)")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with calling(self.net, f"module({self.image_shape}, {self.classes})"):
                module: Any = self.net.module(self.image_shape, self.classes)
        if not isinstance(module, nn.Module):
            raise wrong(self.net, f"module() gives {shown(module)}, not a torch.nn.Module")
        self._check_parameters(module)
        return module

    def _check_parameters(self, module: nn.Module) -> None:
        """Those of every network are numbers of the same shapes, as torch makes them if nothing else is asked for."""
        of = "module() gives a network whose"
        for name, one in module.named_parameters():
            if isinstance(one, nn.parameter.UninitializedParameter):
                raise wrong(self.net, f"{of} {name} has no shape yet: say how many features its layer takes")
            if (one.dtype, one.device.type) != (torch.float32, "cpu"):
                raise wrong(
                    self.net,
                    f"{of} {name} is {one.dtype} on {one.device}, and must be torch.float32 on the CPU: the experiment "
                    "says in which precision it trains, the run where",
                )
        shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
        self.shapes = self.shapes or shapes
        if shapes != self.shapes:
            name = next(name for name in (*shapes, *self.shapes) if shapes.get(name) != self.shapes.get(name))
            found, before = (of.get(name, "not there") for of in (shapes, self.shapes))
            raise wrong(self.net, f"{of} {name} has another shape each time: {before}, then {found}")

    def logits(self, tensors: Tensors, *, training: bool) -> Tensor:
        """One network's logits [N, class], of its parameters, buffers and images; buffers may change in place."""
        if self.module.training != training:
            self.module.train(training)
        within = {place: tensors[name] for place, name in self.places.items()}
        outputs: Tensor = functional_call(self.module, within, (tensors[IMAGES],), tie_weights=False)
        return outputs

    def buffers(self, like: Tensor) -> dict[str, Tensor]:
        """The module's buffers, on the device of a tensor and in its type where they are no whole numbers."""
        place = like.device, like.dtype
        if place not in self._buffers:
            self._buffers[place] = {
                name: buffer.to(like.device, like.dtype if buffer.is_floating_point() else buffer.dtype)
                for name, buffer in self.module.named_buffers()
            }
        return self._buffers[place]

    @property
    def unregistered(self) -> list[Tensor]:
        """Tensors that layers hold beside their parameters and buffers: nothing moves them to another device."""
        registered = {id(one) for one in (*self.module.parameters(), *self.module.buffers())}
        held = [one for layer in self.module.modules() for one in tree_leaves({**vars(layer), "_modules": None})]
        return [one for one in held if isinstance(one, Tensor) and id(one) not in registered]

    @cached_property
    def changes_buffers(self) -> bool:
        """Whether a forward pass in training changes the module's buffers, as batch normalisation does."""
        tensors = {name: one.detach() for name, one in self.module.named_parameters()}
        buffers = {name: one.clone() for name, one in self.module.named_buffers()}
        before = {name: one.clone() for name, one in buffers.items()}
        with torch.no_grad():
            self.logits(tensors | buffers | {IMAGES: torch.zeros(COUNTED, *self.image_shape)}, training=True)
        return any(not torch.equal(buffers[name], before[name]) for name in buffers)

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Multiplications with addition of an example's forward pass, and numbers that it keeps for the way back."""
        saved: dict[int, int] = {}
        weights = {one.untyped_storage().data_ptr() for one in self.module.parameters()}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in weights:
                saved[tensor.data_ptr()] = tensor.numel()
            return tensor

        tensors = {name: one.clone() for name, one in self.module.named_buffers()}
        tensors |= dict(self.module.named_parameters())
        tensors[IMAGES] = torch.zeros(COUNTED, *self.image_shape)
        with (
            written_out(),  # the products of the fast attention are not counted
            _Operations() as counter,  # type: ignore[no-untyped-call]
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            outputs = self.logits(tensors, training=True)
        kept = sum(saved.values()) + outputs.numel()
        return math.ceil(counter.operations / 2 / COUNTED), math.ceil(kept / COUNTED)

    @cached_property
    def single(self) -> "Single":
        """A network of its own, whose tensors are replaced by those of one replica after another."""
        module = self.drawn(0).train()
        parameters = dict(module.named_parameters())
        trained, frozen = ([parameters[name] for name in names] for names in (self.trained, self.frozen))
        return Single(module, trained, frozen, dict(module.named_buffers()))


@dataclass(frozen=True)
class Single:
    """A network whose tensors can be replaced."""

    module: nn.Module
    trained: Sequence[Tensor]
    frozen: Sequence[Tensor]
    buffers: dict[str, Tensor]


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations, by torch's formulas."""

    operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch loads its compiler, to keep it off from here; so does torch's own counter. It takes a second.
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        outputs = function(*args, **given)
        formula = flop_registry.get(function._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **given, out_val=outputs)
        return outputs


@lru_cache(maxsize=64)
def blueprint(net: Net, image_shape: tuple[int, ...], classes: int) -> Blueprint:
    """The pattern of a record's networks; made once."""
    return Blueprint(net, image_shape, classes)


class FusedModule(FusedNet):
    """R networks of a record of somebody's own.

    What requires a gradient is trained: the weights. All other parameters are the head.

    Raises:
        OwnRecordError: the record gives no network that could be trained.
    """

    def __init__(self, net: Net, image_shape: Sequence[int], classes: int) -> None:
        super().__init__(net, image_shape, classes)
        self.blueprint = blueprint(net, self.image_shape, classes)
        self.layers = self.shapes = list(self.blueprint.trained.values())
        self.frozen_sizes = [math.prod(shape) for shape in self.blueprint.frozen.values()]
        self.head = (sum(self.frozen_sizes),)

    def multiply_adds(self) -> int:
        """Multiplications with addition for one example's forward pass, counted by torch."""
        return self.blueprint.counts[0]

    def activations(self) -> int:
        """Numbers that one example's forward pass keeps for the way back."""
        return self.blueprint.counts[1]

    def forward_layers(self, weights: Sequence[Tensor], head: Tensor, images: Tensor, layers: Layers) -> Tensor:
        """Logits [R, class, N].

        Args:
            weights: of each parameter that is trained, [R, ...].
            head: [R, number], all other parameters one after another.
            images: [R or 1, N, channel, row, column].
            layers: says whether statistics are those of the batch, of the batch and kept, or those that were kept.
        """
        within = layers.normalise
        assert isinstance(within, WithinNet)
        pattern, replicas = self.blueprint, len(weights[0])
        stacked = dict(zip(pattern.trained, weights, strict=True))
        for (name, shape), part in zip(
            pattern.frozen.items(), torch.split(head, self.frozen_sizes, dim=1), strict=True
        ):
            stacked[name] = part.view(replicas, *shape)
        shared: dict[str, Tensor] = {}
        (stacked if len(images) == replicas else shared)[IMAGES] = images if len(images) == replicas else images[0]
        buffers = pattern.buffers(head)
        if within.is_frozen and within.statistics:
            stacked |= dict(zip(buffers, within.statistics[0], strict=True))
        elif pattern.changes_buffers:
            # Clones, because the pass writes over them.
            own = {name: one.expand(replicas, *one.shape).clone() for name, one in buffers.items()}
            stacked |= own
            if within.statistics is not None:
                within.statistics.append(tuple(own.values()))
        else:
            shared |= buffers
        logits = pattern.forward[not within.is_frozen](stacked, shared)  # [R, N, class]
        return logits.transpose(1, 2)

    def loss_and_gradients(
        self, weights: Tensor, head: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Each replica's loss [R] and the gradient of each parameter [R, ...], in a loop as plain as anybody's.

        Args:
            weights: [R, weight].
            head: [R, number].
            images: [R or 1, N, channel, row, column].
            labels: [R or 1, N].
        """
        pattern, single = self.blueprint, self.blueprint.single
        losses, gradients = [], []
        for r in range(len(weights)):
            # Put in place: to call a module as a function of its parameters takes longer than a small one does.
            _put(single.trained, torch.split(weights[r], self.sizes))
            _put(single.frozen, torch.split(head[r], self.frozen_sizes))
            for name, buffer in pattern.buffers(head).items():
                single.buffers[name].data = buffer.clone() if pattern.changes_buffers else buffer
            own = r if len(images) > 1 else 0
            loss = F.cross_entropy(single.module(images[own]), labels[own], reduction="none").mean()
            gradients.append(torch.autograd.grad(loss, single.trained))
            losses.append(loss.detach())
        return torch.stack(losses), [torch.stack(of_layer) for of_layer in zip(*gradients, strict=True)]

    def initial_weights(self, root_seed: int, replica: int) -> Float64:
        """One replica's trainable weights [weight], as its module draws them."""
        return self._drawn(root_seed, replica, Stream.INITIALISATION, list(self.blueprint.trained))

    def initial_head(self, root_seed: int, replica: int) -> Float64:
        """One replica's other parameters [number], as its module draws them from another stream."""
        return self._drawn(root_seed, replica, Stream.HEAD, list(self.blueprint.frozen))

    def _drawn(self, root_seed: int, replica: int, stream: Stream, names: Sequence[str]) -> Float64:
        module = self.blueprint.drawn(int(generator(root_seed, replica, stream).integers(2**63)))
        parameters = dict(module.named_parameters())
        parts = [parameters[name].detach().double().flatten() for name in names]
        drawn: Float64 = torch.cat([torch.empty(0, dtype=torch.float64), *parts]).numpy()
        return drawn


def _put(parameters: Sequence[Tensor], parts: Sequence[Tensor]) -> None:
    """Makes parts of a vector the contents of parameters."""
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.data = part.view(parameter.shape)
