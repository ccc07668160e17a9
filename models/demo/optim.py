"""Muon for the matrices of the blocks, AdamW for the rest.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces a
matrix's momentum by the nearest matrix with singular values near one, found by
a few Newton-Schulz steps. All matrices of one shape are done in one batch.
"""

import torch


def orthogonal(g, steps=4):
    """A stack of wide matrices, each with its singular values brought near one."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.transpose(-1, -2)
        x = a * x + (b * s + c * (s @ s)) @ x
    return x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.95, decay=0.01):
        super().__init__(params, dict(lr=lr, base=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            shapes = {}
            for p in g["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - g["momentum"])
                u = p.grad.lerp(m, g["momentum"])  # Nesterov's look ahead
                tall = u.shape[0] > u.shape[1]
                u = u.t() if tall else u
                shapes.setdefault(tuple(u.shape), []).append((p, u, tall))
            for group in shapes.values():
                for (p, _, tall), u in zip(group, orthogonal(torch.stack([u for _, u, _ in group]))):
                    u = u.t() if tall else u
                    p.mul_(1 - g["lr"] * g["decay"])
                    p.add_(u, alpha=-g["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)

    @staticmethod
    def split(model, matrix_lr, other_lr):
        """The model's optimizers: [Muon, AdamW], or AdamW alone where matrix_lr is 0."""
        inner = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("blocks.") and "router" not in n]
        ids = {id(p) for p in inner} if matrix_lr else set()
        rest = [p for p in model.parameters() if id(p) not in ids]
        adam = torch.optim.AdamW([{"params": rest, "base": other_lr}], lr=other_lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01, foreach=True)
        return [Muon(inner, matrix_lr), adam] if matrix_lr else [adam]
