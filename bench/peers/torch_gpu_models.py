"""GPT and Llama shapes in plain PyTorch for the GPU bench, written as a careful user would for speed.

gpt:   learned positions, LayerNorm, biases, GELU (tanh), head tied to the embedding.
llama: RoPE, RMSNorm, SwiGLU, grouped key-value heads; qwen: the same with biases on q, k and v and a tied head.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {  # layers, hidden, heads, key-value heads, inner, vocabulary, family
    "gpt2-124m": (12, 768, 12, 12, 3072, 50304, "gpt"),
    "gpt2-1.5b": (48, 1600, 25, 25, 6400, 50304, "gpt"),
    "gpt3-1.3b": (24, 2048, 16, 16, 8192, 50304, "gpt"),
    "llama3.2-1b": (16, 2048, 32, 8, 8192, 128256, "llama"),
    "qwen2.5-1.5b": (28, 1536, 12, 2, 8960, 151936, "qwen"),
}


class Attention(nn.Module):
    def __init__(self, hidden, heads, kv_heads, family):
        super().__init__()
        self.heads, self.kv_heads, self.head = heads, kv_heads, hidden // heads
        self.qkv = nn.Linear(hidden, (heads + 2 * kv_heads) * self.head, bias=family != "llama")
        self.out = nn.Linear(hidden, hidden, bias=family == "gpt")

    def forward(self, x, rope):
        b, t, c = x.shape
        widths = [self.heads * self.head, self.kv_heads * self.head, self.kv_heads * self.head]
        q, k, v = (part.view(b, t, -1, self.head).transpose(1, 2) for part in self.qkv(x).split(widths, -1))
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        return self.out(y.transpose(1, 2).reshape(b, t, c))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Block(nn.Module):
    def __init__(self, hidden, heads, kv_heads, inner, family):
        super().__init__()
        self.gpt = family == "gpt"
        norm = nn.LayerNorm if self.gpt else nn.RMSNorm
        self.norm1, self.norm2 = norm(hidden), norm(hidden)
        self.attention = Attention(hidden, heads, kv_heads, family)
        self.up = nn.Linear(hidden, inner if self.gpt else 2 * inner, bias=self.gpt)
        self.down = nn.Linear(inner, hidden, bias=self.gpt)

    def forward(self, x, rope):
        x = x + self.attention(self.norm1(x), rope)
        h = self.up(self.norm2(x))
        if self.gpt:
            return x + self.down(F.gelu(h, approximate="tanh"))
        gate, up = h.chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, shape, length, words=None):
        """Of a row of SHAPES; `words`: rows of the vocabulary that count, the others being there for speed."""
        super().__init__()
        layers, hidden, heads, kv_heads, inner, vocab, family = shape
        self.words = words or vocab
        self.gpt, self.vocab, self.head_size = family == "gpt", vocab, hidden // heads
        self.tokens = nn.Embedding(vocab, hidden)
        self.positions = nn.Embedding(length, hidden) if self.gpt else None
        self.blocks = nn.ModuleList(Block(hidden, heads, kv_heads, inner, family) for _ in range(layers))
        self.norm = (nn.LayerNorm if self.gpt else nn.RMSNorm)(hidden)
        self.head = nn.Linear(hidden, vocab, bias=False)
        if family != "llama":
            self.head.weight = self.tokens.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0.0, 0.02)

    def forward(self, tokens, targets):
        """The mean loss of tokens, targets (B, T)."""
        t = tokens.shape[1]
        x, rope = self.tokens(tokens), None
        if self.gpt:
            x = x + self.positions(torch.arange(t, device=x.device))
        else:
            size = self.head_size
            angle = torch.arange(t, device=x.device)[:, None] * 500000.0 ** -(
                torch.arange(0, size, 2, device=x.device) / size)
            rope = (angle.cos(), angle.sin())
        for block in self.blocks:
            x = block(x, rope)
        logits = self.head(self.norm(x))[..., :self.words]
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
