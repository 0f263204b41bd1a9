"""A decoder of the Llama kind at the sizes of TinyLlama 1.1B (Zhang et al., arXiv 2401.02385; Llama: Touvron et al.,
arXiv 2302.13971): 22 layers, d 2048, 32 heads over 4 of keys and values, a gated feed-forward of 5632, 32,000 pieces.

RMS norm before each part, rotary positions, grouped queries, SwiGLU, no biases, an output matrix of its own. The sines
and cosines depend on sizes alone. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.expr import parse
from hwsim.workload.ir import Call, Phase, Repeat, Role, Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.untrained import on_meta

if TYPE_CHECKING:
    import torch

LAYERS, D, HEADS, KV_HEADS, FF, VOCABULARY, CONTEXT = 22, 2048, 32, 4, 5632, 32_000, 2048
HEAD = D // HEADS
ROTARY_BASE = 10_000.0


def tiny() -> TraceSpec:
    """A step of q new rows over p past ones, and the logits."""
    net = on_meta(network)
    past = tuple(Input((1, KV_HEADS, "p", HEAD), role=Role.STATE) for _ in range(LAYERS))
    limits = {"q": (1, CONTEXT), "p": (0, CONTEXT), "r": (1, CONTEXT)}
    tokens = Input((1, "q"), "int64", below=VOCABULARY)
    return TraceSpec(
        name="tinyllama",
        summary="Llama-like decoder (TinyLlama 1.1B: 22 layers, d 2048), m tokens written after a prompt of n",
        graphs=(
            GraphSpec("step", net, (tokens, past, past), "step", limits),
            GraphSpec("logits", net, (Input((1, "r", D)),), "logits", limits),
        ),
        symbols={
            "n": Symbol(128, 1, CONTEXT, "tokens of the prompt"),
            "m": Symbol(32, 1, CONTEXT, "tokens to generate"),
        },
        schedules=_schedules(),
        trained=False,
        provenance={"network": "arXiv 2401.02385, table 1", "weights": "none: untrained"},
    )


def _schedules() -> dict[str, tuple[Phase, ...]]:
    """The prompt in one go, which yields the first token, then a token at a time."""
    logits = Call("logits", {"r": parse(1)})
    prompt = Call("step", {"q": parse("n"), "p": parse(0)})
    next_token = Call("step", {"q": parse(1), "p": parse("n + t - 1")})
    return {
        "cached": (
            Phase("prefill", (prompt, logits), generates=True),
            Phase("decode", (next_token, logits), Repeat("t", parse(1), parse("m - 1")), True),
        )
    }


def network() -> torch.nn.Module:
    """The decoder: `step` and `logits` are its graphs."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    Rotation = tuple[Tensor, Tensor]

    def turned(x: Tensor, rotation: Rotation) -> Tensor:
        """Pairs of values, half a head apart, turned by the angles of their position."""
        cos, sin = rotation
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    class Layer(nn.Module):
        """Attention and gated feed-forward, each normalised before and added to its input."""

        def __init__(self) -> None:
            super().__init__()
            self.norm_attention, self.norm_ff = nn.RMSNorm(D, 1e-5), nn.RMSNorm(D, 1e-5)
            self.q, self.o = nn.Linear(D, D, bias=False), nn.Linear(D, D, bias=False)
            self.k, self.v = (nn.Linear(D, KV_HEADS * HEAD, bias=False) for _ in range(2))
            self.gate, self.up = nn.Linear(D, FF, bias=False), nn.Linear(D, FF, bias=False)
            self.down = nn.Linear(FF, D, bias=False)

        def forward(self, x: Tensor, mask: Tensor, rotation: Rotation, past: Rotation) -> tuple[Tensor, ...]:
            y = self.norm_attention(x)
            q, k, v = (part(y).unflatten(2, (-1, HEAD)).transpose(1, 2) for part in (self.q, self.k, self.v))
            q, k = turned(q, rotation), turned(k, rotation)
            keys, values = (torch.cat(pair, 2) for pair in zip(past, (k, v), strict=True))
            y = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=True)
            x = x + self.o(y.transpose(1, 2).flatten(2))
            y = self.norm_ff(x)
            return x + self.down(functional.silu(self.gate(y)) * self.up(y)), k, v

    class Llama(nn.Module):
        """Token embedding, layers, a last norm, and the output matrix."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, D)
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.norm, self.output = nn.RMSNorm(D, 1e-5), nn.Linear(D, VOCABULARY, bias=False)

        def step(
            self, tokens: Tensor, past_k: tuple[Tensor, ...], past_v: tuple[Tensor, ...]
        ) -> dict[str, Tensor | list[Tensor]]:
            """q new rows over p past ones; causal within the new rows."""
            q, p = tokens.shape[1], past_k[0].shape[2]
            rows = torch.arange(q, device=tokens.device) + p
            mask = rows[:, None] >= torch.arange(p + q, device=tokens.device)[None, :]
            turns = ROTARY_BASE ** (torch.arange(0, HEAD, 2, device=tokens.device) / -HEAD)
            angles = rows[:, None] * turns
            rotation, x = (angles.cos(), angles.sin()), self.embedding(tokens)
            new_k, new_v = [], []
            for layer, k, v in zip(self.layers, past_k, past_v, strict=True):
                x, added_k, added_v = layer(x, mask, rotation, (k, v))
                new_k.append(added_k)
                new_v.append(added_v)
            return {"hidden": self.norm(x), "new_k": new_k, "new_v": new_v}

        def logits(self, hidden: Tensor) -> dict[str, Tensor]:
            """(1, r, D) hidden rows to (1, r, VOCABULARY)."""
            return {"scores": self.output(hidden)}

    return Llama()
