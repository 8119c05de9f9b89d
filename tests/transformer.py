"""A small vision transformer (Dosovitskiy et al. 2021), as anybody would write it with torch.nn."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """A block of a vision transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, patches: Tensor) -> Tensor:
        examples, count, width = patches.shape
        parts = self.queries_keys_values(self.before(patches)).view(examples, count, 3, self.heads, -1)
        attended = F.scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4))
        patches = patches + self.out(attended.transpose(1, 2).reshape(examples, count, width))
        return patches + self.mlp(self.between(patches))


class VisionTransformer(nn.Module):
    """Patches of 2×2, two blocks, and the mean over patches."""

    def __init__(self, channels: int, side: int, classes: int, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, 2, 2)
        self.position = nn.Parameter(0.1 * torch.randn((side // 2) ** 2, width))
        self.blocks = nn.Sequential(Attention(width, 2), Attention(width, 2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(patches)).mean(dim=1))
