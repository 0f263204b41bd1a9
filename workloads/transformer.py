"""The Transformer of Vaswani et al., "Attention Is All You Need" (NeurIPS 2017), base size of its table 3.

Six layers a side, d 512, 8 heads, d_ff 2048, normalisation after each residual sum, one embedding shared by source,
target and output. The vocabulary of 37,000 is the paper's shared English-German one (section 5.1). Untrained: shapes
and operators are what counts here, so the weights live on PyTorch's meta device and hold nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.expr import parse
from hwsim.workload.ir import Call, Phase, Repeat, Role, Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

LAYERS, D, HEADS, FF, VOCABULARY = 6, 512, 8, 2048, 37_000
LONGEST = 4096


def base() -> TraceSpec:
    """Encoder, cross-attention keys and values, a decoder step of q new rows over p past ones, and the logits."""
    net = network()
    past = tuple(_state("p") for _ in range(LAYERS))
    cross = tuple(_state("n") for _ in range(LAYERS))
    row = Input((1, "q"), "int64", below=VOCABULARY)
    limits = {"n": (1, LONGEST), "q": (1, LONGEST), "p": (0, LONGEST), "r": (1, LONGEST)}
    graphs = (
        GraphSpec("encoder", net, (Input((1, "n"), "int64", below=VOCABULARY),), "encode", limits),
        GraphSpec("cross_kv", net, (Input((1, "n", D)),), "cross_kv", limits),
        GraphSpec("decoder_step", net, (row, past, past, cross, cross), "step", limits),
        GraphSpec("logits", net, (Input((1, "r", D)),), "logits", limits),
    )
    return TraceSpec(
        name="transformer-base",
        summary="Transformer base (6+6 layers, d 512, 8 heads), one sentence of n tokens translated into m",
        graphs=graphs,
        symbols=_symbols(),
        schedules=_schedules(),
        trained=False,
        provenance={
            "network": 'Vaswani et al., "Attention Is All You Need", NeurIPS 2017, base model of table 3',
            "weights": "none: untrained, densities are a binding",
        },
    )


def _state(rows: str) -> Input:
    return Input((1, HEADS, rows, D // HEADS), role=Role.STATE)


def _symbols() -> dict[str, Symbol]:
    return {
        "n": Symbol(30, 1, LONGEST, "source tokens"),
        "m": Symbol(30, 1, LONGEST, "target tokens"),
        "density": Symbol(
            0.25, 0.001, 1.0, "share of the weights that pruning leaves", ratio=True,
            source="assumed: the paper's pruning ratio is not known", uncertain=(0.15, 0.5),
        ),
    }  # fmt: skip


def _schedules() -> dict[str, tuple[Phase, ...]]:
    """Decoding with a cache of keys and values, and without one, where every step starts over.

    Without a cache, logits are computed for the newest row, or for all rows and all but the newest thrown away.
    """
    encode = Phase("encode", (Call("encoder"),))
    every = Repeat("t", parse(1), parse("m"))
    one, t = parse(1), parse("t")
    step = Call("decoder_step", {"q": one, "p": parse("t - 1")})
    again = (Call("cross_kv"), Call("decoder_step", {"q": t, "p": parse(0)}))
    newest, all_rows = Call("logits", {"r": one}), Call("logits", {"r": t})
    return {
        "cached": (encode, Phase("cross", (Call("cross_kv"),)), Phase("decode", (step, newest), every, True)),
        "recompute": (encode, Phase("decode", (*again, newest), every, True)),
        "recompute_all_logits": (encode, Phase("decode", (*again, all_rows), every, True)),
    }


def network() -> torch.nn.Module:
    """The network on the meta device: `encode`, `cross_kv`, `step` and `logits` are its four graphs."""
    import torch

    with torch.device("meta"):
        return _build()


def _build() -> torch.nn.Module:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    class Attention(nn.Module):
        """Multi-head attention with a projection each for query, key, value and output."""

        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(D, D) for _ in range(4))

        @staticmethod
        def heads(x: Tensor) -> Tensor:
            """(1, rows, D) to (1, HEADS, rows, D / HEADS)."""
            return x.view(1, -1, HEADS, D // HEADS).transpose(1, 2)

        def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.heads(self.k(x)), self.heads(self.v(x))

        def forward(self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
            y = functional.scaled_dot_product_attention(self.heads(self.q(x)), k, v, attn_mask=mask)
            return self.o(y.transpose(1, 2).reshape(1, -1, D))

    class FeedForward(nn.Module):
        """Two linear layers with a ReLU between them."""

        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(D, FF), nn.Linear(FF, D)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(functional.relu(self.up(x)))

    class EncoderLayer(nn.Module):
        """Self-attention and feed-forward, each with a residual sum and a norm after it."""

        def __init__(self) -> None:
            super().__init__()
            self.attention, self.ff = Attention(), FeedForward()
            self.norm_attention, self.norm_ff = nn.LayerNorm(D), nn.LayerNorm(D)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm_attention(x + self.attention(x, *self.attention.keys_values(x)))
            return self.norm_ff(x + self.ff(x))

    class DecoderLayer(nn.Module):
        """Self-attention over past and new rows, attention to the source, feed-forward."""

        def __init__(self) -> None:
            super().__init__()
            self.attention, self.cross, self.ff = Attention(), Attention(), FeedForward()
            self.norm_attention, self.norm_cross, self.norm_ff = (nn.LayerNorm(D) for _ in range(3))

        def forward(self, x: Tensor, mask: Tensor, past: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
            past_k, past_v, cross_k, cross_v = past
            k, v = self.attention.keys_values(x)
            y = self.attention(x, torch.cat([past_k, k], 2), torch.cat([past_v, v], 2), mask)
            x = self.norm_attention(x + y)
            x = self.norm_cross(x + self.cross(x, cross_k, cross_v))
            return self.norm_ff(x + self.ff(x)), k, v

    class Transformer(nn.Module):
        """Encoder and decoder stacks over one shared embedding."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, D)
            # Sines and cosines of the position; a table, as in every implementation.
            self.positions = nn.Embedding(LONGEST, D)
            self.encoder = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
            self.decoder = nn.ModuleList(DecoderLayer() for _ in range(LAYERS))

        def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
            return self.embedding(tokens) * D**0.5 + self.positions(positions)

        def encode(self, tokens: Tensor) -> dict[str, Tensor]:
            """(1, n) source tokens to (1, n, D) memory."""
            x = self.embed(tokens, torch.arange(tokens.shape[1], device=tokens.device))
            for layer in self.encoder:
                x = layer(x)
            return {"memory": x}

        def cross_kv(self, memory: Tensor) -> dict[str, list[Tensor]]:
            """Keys and values of the source for every decoder layer, once per sentence."""
            pairs = [layer.cross.keys_values(memory) for layer in self.decoder]
            return {"cross_k": [k for k, _ in pairs], "cross_v": [v for _, v in pairs]}

        def step(
            self,
            tokens: Tensor,
            past_k: tuple[Tensor, ...],
            past_v: tuple[Tensor, ...],
            cross_k: tuple[Tensor, ...],
            cross_v: tuple[Tensor, ...],
        ) -> dict[str, Tensor | list[Tensor]]:
            """q new rows over p past ones and n source rows; causal within the new rows."""
            q, p = tokens.shape[1], past_k[0].shape[2]
            rows = torch.arange(q, device=tokens.device) + p
            mask = rows[:, None] >= torch.arange(p + q, device=tokens.device)[None, :]
            x, new_k, new_v = self.embed(tokens, rows), [], []
            for layer, *past in zip(self.decoder, past_k, past_v, cross_k, cross_v, strict=True):
                x, k, v = layer(x, mask, tuple(past))
                new_k.append(k)
                new_v.append(v)
            return {"hidden": x, "new_k": new_k, "new_v": new_v}

        def logits(self, hidden: Tensor) -> dict[str, Tensor]:
            """(1, r, D) hidden rows to (1, r, VOCABULARY), through the shared embedding."""
            return {"scores": functional.linear(hidden, self.embedding.weight)}

    return Transformer().eval()
