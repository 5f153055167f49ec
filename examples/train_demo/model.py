"""InternVL-Chat-V1.5 in a few lines of torch, for training. Parameters have the checkpoint's names
(`vision_model.encoder.layers.0.attn.qkv.weight`), so that a state dict is a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


@dataclass
class Shape:
    image_size: int = 112
    patch_size: int = 14
    vision_hidden: int = 192
    vision_layers: int = 6
    vision_heads: int = 3
    vision_mlp: int = 576
    hidden: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    mlp: int = 448
    vocab: int = 1015
    rope_theta: float = 10000.0

    @property
    def side(self) -> int:
        """Patches along the side of a tile."""
        return self.image_size // self.patch_size

    @property
    def tokens_per_tile(self) -> int:
        return (self.side // 2) ** 2


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """(batch, heads, length, d) each. On a CPU two products are faster for short sequences than
    the backward pass of torch's fused attention."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1).to(v.dtype) @ v


class VisionAttention(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.heads = s.vision_heads
        self.qkv = nn.Linear(s.vision_hidden, 3 * s.vision_hidden)
        self.proj = nn.Linear(s.vision_hidden, s.vision_hidden)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class VisionMLP(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(s.vision_hidden, s.vision_mlp)
        self.fc2 = nn.Linear(s.vision_mlp, s.vision_hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class VisionLayer(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.attn, self.mlp = VisionAttention(s), VisionMLP(s)
        self.norm1 = nn.LayerNorm(s.vision_hidden, eps=1e-6)
        self.norm2 = nn.LayerNorm(s.vision_hidden, eps=1e-6)
        self.ls1 = nn.Parameter(0.3 * torch.ones(s.vision_hidden))
        self.ls2 = nn.Parameter(0.3 * torch.ones(s.vision_hidden))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x)) * self.ls1
        return x + self.mlp(self.norm2(x)) * self.ls2


class VisionEmbeddings(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(0.02 * torch.randn(1, 1, s.vision_hidden))
        self.patch_embedding = nn.Conv2d(3, s.vision_hidden, s.patch_size, s.patch_size)
        self.position_embedding = nn.Parameter(0.1 * torch.randn(1, s.side**2 + 1, s.vision_hidden))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), -1, -1).to(x.dtype), x], 1)
        return x + self.position_embedding.to(x.dtype)


class VisionModel(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.embeddings = VisionEmbeddings(s)
        layers = nn.ModuleList(VisionLayer(s) for _ in range(s.vision_layers))
        self.encoder = nn.ModuleDict({"layers": layers})

    def forward(self, pixels: Tensor) -> Tensor:
        """(tiles, 1 + patches, vision_hidden)"""
        x = self.embeddings(pixels)
        for layer in self.encoder["layers"]:
            x = layer(x)
        return x


class RMSNorm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, 1e-5).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Attention(nn.Module):
    """wqkv is interleaved by key/value head: its group of queries, then a key, then a value."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s, self.d = s, s.hidden // s.heads
        self.wqkv = nn.Linear(s.hidden, (s.heads + 2 * s.kv_heads) * self.d, bias=False)
        self.wo = nn.Linear(s.hidden, s.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, n, c = x.shape
        group = self.s.heads // self.s.kv_heads
        qkv = self.wqkv(x).view(b, n, self.s.kv_heads, group + 2, self.d)
        q = qkv[..., :group, :].reshape(b, n, self.s.heads, self.d).transpose(1, 2)
        k = qkv[..., group, :].transpose(1, 2)
        v = qkv[..., group + 1, :].transpose(1, 2).repeat_interleave(group, 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin).repeat_interleave(group, 1)
        future = torch.full((n, n), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
        y = attention(q, k, v, future)
        return self.wo(y.transpose(1, 2).reshape(b, n, c))


class FeedForward(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.w1 = nn.Linear(s.hidden, s.mlp, bias=False)
        self.w3 = nn.Linear(s.hidden, s.mlp, bias=False)
        self.w2 = nn.Linear(s.mlp, s.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class DecoderLayer(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(s), FeedForward(s)
        self.attention_norm, self.ffn_norm = RMSNorm(s.hidden), RMSNorm(s.hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.ffn_norm(x))


class Decoder(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(s.vocab, s.hidden)
        self.layers = nn.ModuleList(DecoderLayer(s) for _ in range(s.layers))
        self.norm = RMSNorm(s.hidden)


class LanguageModel(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.model = Decoder(s)
        self.output = nn.Linear(s.hidden, s.vocab, bias=False)


class InternVL(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.vision_model = VisionModel(s)
        self.language_model = LanguageModel(s)
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(4 * s.vision_hidden),
            nn.Linear(4 * s.vision_hidden, s.hidden),
            nn.GELU(),
            nn.Linear(s.hidden, s.hidden),
        )
        for name, p in self.named_parameters():
            if name.endswith(("wo.weight", "w2.weight", "proj.weight", "fc2.weight")):
                nn.init.normal_(p, std=0.04 / (2 * s.layers) ** 0.5)
            elif p.dim() == 2:
                nn.init.normal_(p, std=0.04)

    def image_rows(self, pixels: Tensor) -> Tensor:
        """(tiles, tokens_per_tile, hidden)"""
        x = self.vision_model(pixels)[:, 1:]
        n, half, c = len(x), self.s.side // 2, self.s.vision_hidden
        # pixel shuffle v2: rows, columns, then the 2 x 2 patches of a cell
        x = x.view(n, half, 2, half, 2, c).permute(0, 1, 3, 2, 4, 5)
        return self.mlp1(x.reshape(n, half * half, 4 * c))

    def forward(self, rows: Tensor, ids: Tensor, positions: Tensor, image_token: int) -> Tensor:
        """Hidden states (batch, length, hidden) after the final norm; `rows` are the tiles'."""
        lm = self.language_model.model
        x = lm.tok_embeddings(ids)
        x = x.masked_scatter((ids == image_token)[..., None], rows.to(x.dtype))
        d = self.s.hidden // self.s.heads
        inverse = 1.0 / self.s.rope_theta ** (torch.arange(0, d, 2, device=x.device) / d)
        angles = torch.outer(positions, inverse).repeat(1, 2)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for layer in lm.layers:
            x = layer(x, cos, sin)
        return lm.norm(x)
