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
    """A residual block: the sum of a branch and a shortcut."""

    branch: list[Convolution]
    shortcut: Convolution | None
    """Where there is none, the block's inputs themselves are added."""


class FusedResNet(FusedConvolutionalNet):
    """R residual nets (He et al. 2016a) for small images: the stem is a 3×3 convolution without pooling."""

    stem_kernel = 3
    stem_stride = 1
    stem_pooling = 1
    """Stride of the maximum over 3×3 pixels behind the stem; 1 for none."""
    expansion = 1
    """Expansion factor: the channels of a block's outputs over those within it."""
    every_stage_projects = False
    """Whether a stage's first shortcut is a convolution even where outputs have the shape of inputs."""

    net: PreResNet | ResNet | BottleneckResNet

    @cached_property
    def blocks(self) -> list[Block]:
        """All blocks, in the order of the forward pass; every stage but the first halves the side."""
        side = strided(self.image_shape[1], self.stem_stride * self.stem_pooling)
        inputs = self.net.widths[0]
        blocks = []
        for stage, (count, width) in enumerate(zip(self.net.blocks, self.net.widths, strict=True)):
            for index in range(count):
                outputs = self.expansion * width
                stride = 2 if stage > 0 and index == 0 else 1
                branch = self._branch(inputs, width, side, stride)
                shortcut = None
                if inputs != outputs or stride != 1 or (self.every_stage_projects and index == 0):
                    shortcut = Convolution(inputs, outputs, kernel=1, side=side, stride=stride)
                blocks.append(Block(branch, shortcut))
                inputs, side = outputs, strided(side, stride)
        return blocks

    def _branch(self, inputs: int, width: int, side: int, stride: int) -> list[Convolution]:
        """The convolutions of a block, but for its shortcut; inputs and width are channels, the side is the inputs'."""
        return [
            Convolution(inputs, width, kernel=3, side=side, stride=stride),
            Convolution(width, width, kernel=3, side=strided(side, stride)),
        ]

    def _convolutions(self, channels: int, side: int) -> Iterator[Convolution]:
        yield Convolution(channels, self.net.widths[0], self.stem_kernel, side, self.stem_stride)
        for block in self.blocks:
            yield from block.branch
            if block.shortcut:
                yield block.shortcut

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        maps = F.relu(through.normalised(through.convolved(maps)))
        if self.stem_pooling > 1:
            maps = F.max_pool2d(maps, 3, self.stem_pooling, padding=1)
        for block in self.blocks:
            branch = through.normalised(through.convolved(maps))
            # ReLU comes between the convolutions of a branch, and after the sum.
            for _ in block.branch[1:]:
                branch = through.normalised(through.convolved(F.relu(branch)))
            shortcut = through.normalised(through.convolved(maps)) if block.shortcut else maps
            maps = F.relu(branch + shortcut)
        return maps.mean(dim=(2, 3))


class FusedBottleneckResNet(FusedResNet):
    """R residual nets of bottleneck blocks for ImageNet: torchvision's, where the 3×3 convolution has the stride."""

    stem_kernel = 7
    stem_stride = 2
    stem_pooling = 2
    expansion = 4

    def _branch(self, inputs: int, width: int, side: int, stride: int) -> list[Convolution]:
        return [
            Convolution(inputs, width, kernel=1, side=side),
            Convolution(width, width, kernel=3, side=side, stride=stride),
            Convolution(width, self.expansion * width, kernel=1, side=strided(side, stride)),
        ]


class FusedPreResNet(FusedResNet):
    """R residual nets with pre-activation (He et al. 2016b).

    A stage starts with a shortcut of a normalisation and a 1×1 convolution; without the normalisation its output would
    scale by c². Between the last normalisation and the mean over pixels there is no ReLU.
    """

    every_stage_projects = True

    def _last_maps(self, maps: Tensor, through: Pass) -> Tensor:
        maps = through.convolved(maps)
        for block in self.blocks:
            normalised = through.normalised(maps)
            hidden = F.relu(through.normalised(through.convolved(F.relu(normalised))))
            branch = through.convolved(hidden)
            shortcut = through.convolved(normalised) if block.shortcut else maps
            maps = branch + shortcut
        return through.normalised(maps).mean(dim=(2, 3))
