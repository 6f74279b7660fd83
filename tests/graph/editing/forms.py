"""One small decoder written in several ways, with the same weights: what rewrites must not depend on."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

WIDTH, HEADS, HEAD = 16, 4, 4
FORMS = ("plain", "products", "einsum", "fused", "by_head", "conv1d", "other_blocks")


class Conv1D(nn.Module):
    """A linear layer with its weight the other way round."""

    def __init__(self, given, taken):
        super().__init__()
        self.given = given
        self.weight, self.bias = nn.Parameter(torch.empty(taken, given)), nn.Parameter(torch.empty(given))

    def forward(self, x):
        y = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return y.view(*x.shape[:-1], self.given)


class Attention(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form
        if form in ("fused", "by_head"):
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        elif form == "conv1d":
            self.qkv = Conv1D(3 * WIDTH, WIDTH)
        else:
            self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.o = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        if self.form == "fused":
            q, k, v = self.qkv(x).reshape(batch, length, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4).unbind(0)
        elif self.form == "by_head":
            q, k, v = self.qkv(x).view(batch, length, HEADS, 3 * HEAD).transpose(1, 2).chunk(3, dim=-1)
        else:
            if self.form == "conv1d":
                parts = self.qkv(x).split(WIDTH, dim=2)
            else:
                parts = (self.q(x), self.k(x), self.v(x))
            q, k, v = (part.view(batch, length, HEADS, HEAD).transpose(1, 2) for part in parts)
        y = self.mixed(q, k, v, length)
        return self.o(y.transpose(1, 2).reshape(batch, length, WIDTH))

    def mixed(self, q, k, v, length):
        if self.form not in ("products", "einsum"):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        if self.form == "products":
            scores = torch.matmul(q, k.transpose(-1, -2)) / HEAD**0.5
        else:
            scores = torch.einsum("bhid,bhjd->bhij", q, k) * HEAD**-0.5
        shares = F.softmax(scores.masked_fill(later, float("-inf")), dim=-1)
        return shares @ v if self.form == "products" else torch.einsum("bhij,bhjd->bhid", shares, v)


class MLP(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form
        if form in ("fused", "by_head"):
            self.gate_up, self.down = nn.Linear(WIDTH, 48), nn.Linear(24, WIDTH)
        elif form == "conv1d":
            self.gate, self.up, self.down = Conv1D(24, WIDTH), Conv1D(24, WIDTH), Conv1D(WIDTH, 24)
        else:
            self.gate, self.up, self.down = nn.Linear(WIDTH, 24), nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)

    def forward(self, x):
        if self.form == "fused":
            gate, up = self.gate_up(x).chunk(2, dim=-1)
        elif self.form == "by_head":
            gate, up = self.gate_up(x).split(24, dim=-1)
        else:
            gate, up = self.gate(x), self.up(x)
        return self.down(F.silu(gate) * up)


class Both(nn.Module):
    """Attention or MLP with its norm and its sum, as a block of its own."""

    def __init__(self, inner):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(WIDTH), inner

    def forward(self, x):
        return x + self.inner(self.norm(x))


class Layer(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.attn, self.mlp = Both(Attention(form)), Both(MLP(form))
        if form != "other_blocks":
            self.forward = self.flat

    def forward(self, x):
        return self.mlp(self.attn(x))

    def flat(self, x):
        x = x + self.attn.inner(self.attn.norm(x))
        return x + self.mlp.inner(self.mlp.norm(x))


class Decoder(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(30, WIDTH), nn.Embedding(64, WIDTH)
        self.layers = nn.ModuleList(Layer(form) for _ in range(2))

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return x


def weights(form):
    """The same numbers for every form, drawn once for the plain one."""
    torch.manual_seed(0)
    plain = {path: value.detach() for path, value in Decoder("plain").named_parameters()}
    own = dict(Decoder(form).named_parameters())
    found = {path: value for path, value in plain.items() if path in own}
    for path in own:
        front, _, kind = path.rpartition(".")
        owner = front.rpartition(".")[0]
        if front.endswith("qkv"):
            parts = [plain[f"{owner}.{name}.{kind}"] for name in "qkv"]
            found[path] = torch.cat(parts)
            if form == "by_head":
                found[path] = torch.stack([p.reshape(HEADS, HEAD, -1) for p in parts], 1).reshape(
                    own[path].shape
                )
        elif front.endswith("gate_up"):
            found[path] = torch.cat([plain[f"{owner}.{name}.{kind}"] for name in ("gate", "up")])
        if form == "conv1d" and found[path].dim() == 2 and found[path].shape != own[path].shape:
            found[path] = found[path].T
    if form == "conv1d":
        found |= {p: plain[p].T for p in own if p.endswith((".down.weight", ".gate.weight", ".up.weight"))}
    return {path: value.contiguous() for path, value in found.items()}
