"""Residual nets that are scale-invariant: at eps = 0, with a frozen head, exactly so.

Scaling all weights by c scales the output of every convolution of normalised maps by c. Where the output is normalised
before it is added (`FusedResNet`), the sum does not change. Where it is added as it is (`FusedPreResNet`), all summands
must scale by c, so every convolution, those of shortcuts too, must see normalised maps; and the sum must be normalised
before the head sees it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

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


class FusedResNet(FusedConvolutionalNet):
    """R residual nets (He et al. 2016a) for small images: the stem is a 3×3 convolution without pooling."""

    stem_kernel = 3
    stem_stride = 1
    stem_pooling = 1
    """Stride of the maximum over 3×3 pixels behind the stem; 1 for none."""
    expansion = 1
    """Expansion factor: the channels of a block's outputs over those within it."""

    net: PreResNet | ResNet | BottleneckResNet

    @cached_property
    def blocks(self) -> list[Block]:
        """All blocks, in the order of the forward pass; every stage but the first halves the side."""
        side = strided(self.image_shape[1], self.stem_stride * self.stem_pooling)
        inputs = self.net.widths[0]
        blocks = []
        for stage, (count, width) in enumerate(zip(self.net.blocks, self.net.widths, strict=True)):
            for index in range(count):
                starts = index == 0
                stride = 2 if starts and stage > 0 else 1
                block = Block(inputs, width, self.expansion * width, side, stride, starts)
                inputs, side = block.outputs, strided(side, stride)
                blocks.append(block)
        return blocks

    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        yield Convolution(channels, self.net.widths[0], self.stem_kernel, side, self.stem_stride)
        for block in self.blocks:
            yield from self._branch(block)
            if self._projects(block):
                yield Convolution(block.inputs, block.outputs, kernel=1, side=block.side, stride=block.stride)

    def _branch(self, block: Block) -> list[Convolution]:
        """The convolutions of a block, but for its shortcut."""
        return [
            Convolution(block.inputs, block.width, kernel=3, side=block.side, stride=block.stride),
            Convolution(block.width, block.outputs, kernel=3, side=strided(block.side, block.stride)),
        ]

    def _projects(self, block: Block) -> bool:
        """Whether a block's shortcut is a 1×1 convolution: where its outputs have another shape than its inputs."""
        return block.stride != 1 or block.inputs != block.outputs

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        maps = F.relu(through.normalised(through.convolved(maps)))
        if self.stem_pooling > 1:
            maps = F.max_pool2d(maps, 3, self.stem_pooling, padding=1)
        for block in self.blocks:
            branch = through.normalised(through.convolved(maps))
            # ReLU comes between the convolutions of a branch, and after the sum.
            for _ in self._branch(block)[1:]:
                branch = through.normalised(through.convolved(F.relu(branch)))
            shortcut = through.normalised(through.convolved(maps)) if self._projects(block) else maps
            maps = F.relu(branch + shortcut)
        return maps.mean(dim=(2, 3))


class FusedBottleneckResNet(FusedResNet):
    """R residual nets of bottleneck blocks for ImageNet: torchvision's, where the 3×3 convolution has the stride."""

    stem_kernel = 7
    stem_stride = 2
    stem_pooling = 2
    expansion = 4

    def _branch(self, block: Block) -> list[Convolution]:
        return [
            Convolution(block.inputs, block.width, kernel=1, side=block.side),
            Convolution(block.width, block.width, kernel=3, side=block.side, stride=block.stride),
            Convolution(block.width, block.outputs, kernel=1, side=strided(block.side, block.stride)),
        ]


class FusedPreResNet(FusedResNet):
    """R residual nets with pre-activation (He et al. 2016b).

    A stage starts with a shortcut of a normalisation and a 1×1 convolution; without the normalisation its output would
    scale by c². Between the last normalisation and the mean over pixels there is no ReLU.
    """

    def _projects(self, block: Block) -> bool:
        return block.starts

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        maps = through.convolved(maps)
        for block in self.blocks:
            normalised = through.normalised(maps)
            hidden = F.relu(through.normalised(through.convolved(F.relu(normalised))))
            branch = through.convolved(hidden)
            shortcut = through.convolved(normalised) if self._projects(block) else maps
            maps = branch + shortcut
        return through.normalised(maps).mean(dim=(2, 3))
