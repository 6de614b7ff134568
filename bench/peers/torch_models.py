"""The bench's two models in plain PyTorch, 1.13 or newer, written as a careful user would for speed.

6 layers x 384, 6 heads, vocabulary 8192, up to 256 positions, float32.
gpt:   learned positions, LayerNorm, biases, GELU (tanh), F = 1536, head tied to the embedding.
llama: RoPE, RMSNorm, SwiGLU with F = 1024, no biases, 6 key-value heads, a head of its own.
q, k, v are one product, gate and up another; attention is scaled_dot_product_attention where PyTorch has it.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, HIDDEN, HEADS, VOCAB, POSITIONS = 6, 384, 6, 8192, 256
HEAD = HIDDEN // HEADS
FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")


class RmsNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6))


def attention(q, k, v, mask, causal):
    """q (B, H, T, D) on k, v (B, H, S, D); `mask` (T, S) is added to the scores where `causal` does not say it."""
    if FUSED_ATTENTION:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=None if causal else mask, is_causal=causal)
    scores = q @ k.transpose(-2, -1) / math.sqrt(HEAD)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ v


def rotate(x, cos, sin):
    """x (B, H, T, D); the two halves of D turn by the angles (T, D/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(nn.Module):
    def __init__(self, gpt):
        super().__init__()
        self.gpt = gpt
        norm = nn.LayerNorm if gpt else getattr(nn, "RMSNorm", RmsNorm)
        inner = 4 * HIDDEN if gpt else 1024
        self.norm1, self.norm2 = norm(HIDDEN), norm(HIDDEN)
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN, bias=gpt)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=gpt)
        self.up = nn.Linear(HIDDEN, inner if gpt else 2 * inner, bias=gpt)
        self.down = nn.Linear(inner, HIDDEN, bias=gpt)

    def forward(self, x, rope, mask=None, cache=None, pos=None, length=None):
        """`cache` (k, v), each (B, H, POSITIONS, D), takes the new rows at `pos`; the first `length` are read."""
        b, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4).unbind(0)
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        if cache is not None:
            cache[0].index_copy_(2, pos, k)
            cache[1].index_copy_(2, pos, v)
            k, v = cache[0][:, :, :length], cache[1][:, :, :length]
        y = attention(q, k, v, mask, causal=cache is None)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, HIDDEN))
        h = self.up(self.norm2(x))
        if self.gpt:
            return x + self.down(F.gelu(h, approximate="tanh"))
        gate, up = h.chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, family):
        super().__init__()
        self.gpt = family == "gpt"
        self.embedding = nn.Embedding(VOCAB, HIDDEN)
        self.blocks = nn.ModuleList(Block(self.gpt) for _ in range(LAYERS))
        self.norm = (nn.LayerNorm if self.gpt else getattr(nn, "RMSNorm", RmsNorm))(HIDDEN)
        self.head = nn.Linear(HIDDEN, VOCAB, bias=False)
        if self.gpt:
            self.positions = nn.Embedding(POSITIONS, HIDDEN)
            self.head.weight = self.embedding.weight
        angle = torch.arange(POSITIONS)[:, None] * 10000.0 ** -(torch.arange(0, HEAD, 2) / HEAD)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        mask = torch.full((POSITIONS, POSITIONS), float("-inf")).triu(1)
        self.register_buffer("mask", mask)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0.0, 0.02)

    def hidden(self, tokens, pos, mask, caches=None, length=None):
        x = self.embedding(tokens)
        if self.gpt:
            x = x + self.positions(pos)
            rope = None
        else:
            rope = (self.cos[pos], self.sin[pos])
        for i, block in enumerate(self.blocks):
            x = block(x, rope, mask, None if caches is None else caches[i], pos, length)
        return self.norm(x)

    def forward(self, tokens, targets):
        """The mean loss of tokens, targets (B, T)."""
        t = tokens.shape[1]
        pos = torch.arange(t, device=tokens.device)
        x = self.hidden(tokens, pos, None if FUSED_ATTENTION else self.mask[:t, :t])
        return F.cross_entropy(self.head(x).flatten(0, 1), targets.flatten())

    def next_token(self, tokens, pos, caches, length):
        """Greedy: the token (1, 1) after `tokens` (1, T) at positions `pos` (T), reading `length` cached rows."""
        x = self.hidden(tokens, pos, self.mask[pos, :length], caches, length)
        return self.head(x[:, -1:]).argmax(-1)
