"""Residual nets that are scale-invariant: at eps = 0, with a frozen head, exactly so.

Scaling all weights by c scales the output of every convolution of normalised maps by c. Where the output is normalised
before it is added (`FusedResNet`), the sum does not change. Where it is added as it is (`FusedPreResNet`), all summands
must scale by c, so every convolution, those of shortcuts too, must see normalised maps; and the sum must be normalised
before the head sees it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ilr.experiments.architectures import BottleneckResNet, PreResNet, ResNet
from ilr.nn.base import Convolution, FusedConvolutionalNet, Pass, strided


@dataclass(frozen=True)
class Block:
    """A residual block."""

    inputs: int
    """Channels."""
    width: int
    """Channels within."""
    outputs: int
    """Channels."""
    side: int
    """Side of its inputs in pixels."""
    stride: int
    starts: bool
    """Whether it is the first of its stage."""

    @property
    def changes(self) -> bool:
        """Whether its outputs have another shape than its inputs."""
        return self.stride != 1 or self.inputs != self.outputs

    @property
    def shortcut(self) -> Convolution:
        """The 1×1 convolution from its inputs to its outputs."""
        return Convolution(self.inputs, self.outputs, 1, self.side, self.stride)


def blocks(counts: Sequence[int], widths: Sequence[int], inputs: int, side: int, expansion: int = 1) -> Iterator[Block]:
    """The blocks of all stages, so many in each; every stage but the first halves the side.

    Args:
        counts: blocks of each stage.
        widths: channels within the blocks of each stage.
        inputs: channels of the stem's outputs.
        side: their side in pixels.
        expansion: channels of a block's outputs, for one within it.
    """
    for stage, (count, width) in enumerate(zip(counts, widths, strict=True)):
        for index in range(count):
            stride = 2 if stage and not index else 1
            block = Block(inputs, width, expansion * width, side, stride, starts=not index)
            inputs, side = block.outputs, strided(side, stride)
            yield block


class FusedPreResNet(FusedConvolutionalNet):
    """R residual nets with pre-activation (He et al. 2016b).

    A stage starts with a shortcut of a normalisation and a 1×1 convolution; without the normalisation its output would
    scale by c². Between the last normalisation and the mean over pixels there is no ReLU.
    """

    def __init__(self, net: PreResNet, image_shape: Sequence[int], classes: int, *, trainable_head: bool) -> None:
        self.net = net
        self.blocks = list(blocks(net.blocks, net.widths, net.widths[0], image_shape[1]))
        super().__init__(image_shape, classes, trainable_head=trainable_head)

    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        yield Convolution(channels, self.net.widths[0], 3, side)
        for block in self.blocks:
            yield Convolution(block.inputs, block.outputs, 3, block.side, block.stride)
            yield Convolution(block.outputs, block.outputs, 3, strided(block.side, block.stride))
            if block.starts:
                yield block.shortcut

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        stream = through.convolved(maps)
        for block in self.blocks:
            normalised = through.normalised(stream)
            hidden = F.relu(through.normalised(through.convolved(F.relu(normalised))))
            branch = through.convolved(hidden)
            stream = branch + (through.convolved(normalised) if block.starts else stream)
        return through.normalised(stream).mean(dim=(2, 3))


class FusedResNet(FusedConvolutionalNet):
    """R residual nets (He et al. 2016a) for small images: the stem is a 3×3 convolution without pooling."""

    stem_kernel = 3
    stem_stride = 1
    stem_pooling = 1
    """Stride of the maximum over 3×3 pixels behind the stem; 1 for none."""
    expansion = 1
    """Channels of a block's outputs, for one within it."""

    def __init__(
        self, net: ResNet | BottleneckResNet, image_shape: Sequence[int], classes: int, *, trainable_head: bool
    ) -> None:
        self.net = net
        side = strided(image_shape[1], self.stem_stride * self.stem_pooling)
        self.blocks = list(blocks(net.blocks, net.widths, net.widths[0], side, self.expansion))
        super().__init__(image_shape, classes, trainable_head=trainable_head)

    def _branch(self, block: Block) -> list[Convolution]:
        """The convolutions of a block, but for its shortcut."""
        return [
            Convolution(block.inputs, block.width, 3, block.side, block.stride),
            Convolution(block.width, block.outputs, 3, strided(block.side, block.stride)),
        ]

    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        yield Convolution(channels, self.net.widths[0], self.stem_kernel, side, self.stem_stride)
        for block in self.blocks:
            yield from self._branch(block)
            if block.changes:
                yield block.shortcut

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        stream = F.relu(through.normalised(through.convolved(maps)))
        if self.stem_pooling > 1:
            stream = F.max_pool2d(stream, 3, self.stem_pooling, padding=1)
        for block in self.blocks:
            branch = through.normalised(through.convolved(stream))
            for _ in self._branch(block)[1:]:
                branch = through.normalised(through.convolved(F.relu(branch)))
            shortcut = through.normalised(through.convolved(stream)) if block.changes else stream
            stream = F.relu(branch + shortcut)
        return stream.mean(dim=(2, 3))


class FusedBottleneckResNet(FusedResNet):
    """R residual nets of bottleneck blocks for ImageNet: torchvision's, where the 3×3 convolution has the stride."""

    stem_kernel = 7
    stem_stride = 2
    stem_pooling = 2
    expansion = 4

    def _branch(self, block: Block) -> list[Convolution]:
        return [
            Convolution(block.inputs, block.width, 1, block.side),
            Convolution(block.width, block.width, 3, block.side, block.stride),
            Convolution(block.width, block.outputs, 1, strided(block.side, block.stride)),
        ]
