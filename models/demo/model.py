"""The demo model: Mixtral's decoder in PyTorch, small and in float32.

It is the training twin of the Go engine: RMSNorm, grouped-query attention
with rotary embeddings on adjacent pairs, and a sparse mixture of SwiGLU
experts whose two gate logits go through a softmax of their own
(Mixtral of Experts, arXiv:2401.04088, section 2.1).
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    """Shape of the model; every width is a multiple of 32, Q8_0's block."""

    vocab: int = 2560
    dim: int = 192
    ffn: int = 256
    layers: int = 5
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 32
    experts: int = 8
    experts_used: int = 2
    context: int = 512
    rope_theta: float = 10000.0  # 1e6 is for 32k contexts; ours is 512
    norm_eps: float = 1e-5

    def dict(self):
        return asdict(self)


def rope_table(cfg, length):
    """e^(i·position·frequency), complex, of shape (length, head_dim/2)."""
    pair = torch.arange(0, cfg.head_dim, 2, dtype=torch.float64)
    freq = cfg.rope_theta ** (-pair / cfg.head_dim)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * freq[None]
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def rotate(x, table):
    """Rotate pairs (2i, 2i+1) of x (batch, time, heads, head_dim)."""
    z = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * table[:, None]
    return torch.view_as_real(z).flatten(-2)


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.q = nn.Linear(cfg.dim, cfg.heads * cfg.head_dim, bias=False)
        self.k = nn.Linear(cfg.dim, cfg.kv_heads * cfg.head_dim, bias=False)
        self.v = nn.Linear(cfg.dim, cfg.kv_heads * cfg.head_dim, bias=False)
        self.o = nn.Linear(cfg.heads * cfg.head_dim, cfg.dim, bias=False)

    def forward(self, x, table, mask):
        cfg, (b, t, _) = self.cfg, x.shape
        group = cfg.heads // cfg.kv_heads
        q = rotate(self.q(x).view(b, t, cfg.heads, cfg.head_dim), table)
        k = rotate(self.k(x).view(b, t, cfg.kv_heads, cfg.head_dim), table)
        v = self.v(x).view(b, t, cfg.kv_heads, cfg.head_dim)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        # The query heads of one group share a key head: stack them along time,
        # so that each key head meets one tall matrix and is never copied.
        q = q.reshape(b, cfg.kv_heads, group * t, cfg.head_dim) * cfg.head_dim**-0.5
        score = (q @ k.transpose(-1, -2)).view(b, cfg.heads, t, t) + mask
        out = F.softmax(score, -1).view(b, cfg.kv_heads, group * t, t) @ v
        out = out.view(b, cfg.heads, t, cfg.head_dim).transpose(1, 2)
        return self.o(out.reshape(b, t, -1))


class Experts(nn.Module):
    """Top-k of n SwiGLU experts. Tokens are sorted by expert, so that each
    expert is three dense matrix products over the rows it was given."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.router = nn.Linear(cfg.dim, cfg.experts, bias=False)
        def each(*shape):
            return nn.ParameterList(nn.Parameter(torch.empty(shape)) for _ in range(cfg.experts))

        # One parameter per expert: a slice of a stacked tensor would make
        # autograd fill a zero tensor of the whole stack for every expert.
        self.gate = each(cfg.ffn, cfg.dim)
        self.up = each(cfg.ffn, cfg.dim)
        self.down = each(cfg.dim, cfg.ffn)

    def forward(self, x):
        cfg, shape = self.cfg, x.shape
        x = x.reshape(-1, cfg.dim)
        logits = self.router(x)
        top, expert = logits.topk(cfg.experts_used, -1)
        weight = F.softmax(top, -1).reshape(-1)
        order = expert.reshape(-1).argsort()
        row = order // cfg.experts_used
        count = torch.bincount(expert.reshape(-1), minlength=cfg.experts)
        parts = x.index_select(0, row).split(count.tolist())
        out = []
        for e, part in enumerate(parts):
            gate, up = F.linear(part, self.gate[e]), F.linear(part, self.up[e])
            out.append(F.linear(F.silu(gate) * up, self.down[e]))
        out = torch.cat(out) * weight[order][:, None]
        y = torch.zeros_like(x).index_add(0, row, out)
        # Switch Transformer's balance loss (arXiv:2101.03961, equation 4):
        # 1 when the experts share the tokens evenly.
        share = count.float() / count.sum()
        balance = cfg.experts * (share * F.softmax(logits, -1).mean(0)).sum()
        return y.view(shape), balance


class Block(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.attn_norm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.attn = Attention(cfg)
        self.ffn_norm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.ffn = Experts(cfg)

    def forward(self, x, table, mask):
        x = x + self.attn(self.attn_norm(x), table, mask)
        y, balance = self.ffn(self.ffn_norm(x))
        return x + y, balance


class Mixtral(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.vocab, cfg.dim)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.norm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.head = nn.Linear(cfg.dim, cfg.vocab, bias=False)
        self.register_buffer("table", rope_table(cfg, cfg.context), persistent=False)
        self.init()

    def init(self):
        """GPT-2's initialisation: 0.02, residual outputs divided by √(2·layers)."""
        for name, p in self.named_parameters():
            if p.dim() > 1:
                out = "attn.o." in name or "ffn.down." in name
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * self.cfg.layers) if out else 0.02)

    def hidden(self, ids, docs=None):
        """ids (batch, time) → normed hidden states and the mean balance loss.

        docs, of the same shape, numbers the documents packed into a row:
        a token sees only its own document, and only what stands before it.
        """
        t = ids.shape[1]
        seen = torch.ones(t, t, dtype=torch.bool).tril()[None]
        if docs is not None:
            seen = seen & (docs[:, :, None] == docs[:, None, :])
        mask = torch.zeros(seen.shape).masked_fill(~seen, -1e9)[:, None]
        x, balance = self.embed(ids), 0.0
        for block in self.blocks:
            x, extra = block(x, self.table[:t], mask)
            balance = balance + extra
        return self.norm(x), balance / self.cfg.layers

    def forward(self, ids, docs=None):
        x, balance = self.hidden(ids, docs)
        return self.head(x), balance

    def sizes(self):
        """(all parameters, parameters one token uses)."""
        total = sum(p.numel() for p in self.parameters())
        cfg = self.cfg
        idle = cfg.layers * (cfg.experts - cfg.experts_used) * 3 * cfg.dim * cfg.ffn
        return total, total - idle
