"""GPT-2 small (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019): 12 layers, d 768,
12 heads, a vocabulary of 50,257 byte pairs, contexts of up to 1,024 tokens, output tied to the token embedding.

Untrained: the weights live on PyTorch's meta device and hold nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.expr import parse
from hwsim.workload.ir import Call, Phase, Repeat, Role, Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

LAYERS, D, HEADS, VOCABULARY, CONTEXT = 12, 768, 12, 50_257, 1024


def small() -> TraceSpec:
    """A step of q new rows over p past ones, and the logits."""
    net = network()
    past = tuple(Input((1, HEADS, "p", D // HEADS), role=Role.STATE) for _ in range(LAYERS))
    limits = {"q": (1, CONTEXT), "p": (0, CONTEXT), "r": (1, CONTEXT)}
    tokens = Input((1, "q"), "int64", below=VOCABULARY)
    graphs = (
        GraphSpec("step", net, (tokens, past, past), "step", limits),
        GraphSpec("logits", net, (Input((1, "r", D)),), "logits", limits),
    )
    return TraceSpec(
        name="gpt2-small",
        summary="GPT-2 small (12 layers, d 768), m tokens written after a prompt of n; n + m is at most 1,025",
        graphs=graphs,
        symbols={
            "n": Symbol(128, 1, CONTEXT, "tokens of the prompt"),
            "m": Symbol(32, 1, CONTEXT, "tokens to generate"),
        },
        schedules=_schedules(),
        trained=False,
        provenance={
            "network": 'Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, smallest model',
            "weights": "none: untrained",
        },
    )


def _schedules() -> dict[str, tuple[Phase, ...]]:
    """The prompt in one go, which yields the first token, then a token at a time; or everything again per token."""
    logits = Call("logits", {"r": parse(1)})
    prompt = Call("step", {"q": parse("n"), "p": parse(0)})
    next_token = Call("step", {"q": parse(1), "p": parse("n + t - 1")})
    again = Call("step", {"q": parse("n + t - 1"), "p": parse(0)})
    return {
        "cached": (
            Phase("prefill", (prompt, logits), generates=True),
            Phase("decode", (next_token, logits), Repeat("t", parse(1), parse("m - 1")), True),
        ),
        "recompute": (Phase("decode", (again, logits), Repeat("t", parse(1), parse("m")), True),),
    }


def network() -> torch.nn.Module:
    """The network on the meta device: `step` and `logits` are its graphs."""
    import torch

    with torch.device("meta"):
        return _build()


def _build() -> torch.nn.Module:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    class Block(nn.Module):
        """Attention and feed-forward, each normalised before and added to its input."""

        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(D), nn.LayerNorm(D)
            self.qkv, self.o = nn.Linear(D, 3 * D), nn.Linear(D, D)
            self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

        def forward(self, x: Tensor, mask: Tensor, past_k: Tensor, past_v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            split = self.qkv(self.ln_1(x)).split(D, dim=2)
            q, k, v = (part.view(1, -1, HEADS, D // HEADS).transpose(1, 2) for part in split)
            keys, values = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
            y = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
            x = x + self.o(y.transpose(1, 2).reshape(1, -1, D))
            y = functional.gelu(self.up(self.ln_2(x)), approximate="tanh")
            return x + self.down(y), k, v

    class GPT2(nn.Module):
        """Token and position embeddings, blocks, a last norm; the logits reuse the token embedding."""

        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(VOCABULARY, D), nn.Embedding(CONTEXT, D)
            self.h = nn.ModuleList(Block() for _ in range(LAYERS))
            self.ln_f = nn.LayerNorm(D)

        def step(
            self, tokens: Tensor, past_k: tuple[Tensor, ...], past_v: tuple[Tensor, ...]
        ) -> dict[str, Tensor | list[Tensor]]:
            """q new rows over p past ones; causal within the new rows."""
            q, p = tokens.shape[1], past_k[0].shape[2]
            rows = torch.arange(q, device=tokens.device) + p
            mask = rows[:, None] >= torch.arange(p + q, device=tokens.device)[None, :]
            x, new_k, new_v = self.wte(tokens) + self.wpe(rows), [], []
            for block, k, v in zip(self.h, past_k, past_v, strict=True):
                x, added_k, added_v = block(x, mask, k, v)
                new_k.append(added_k)
                new_v.append(added_v)
            return {"hidden": self.ln_f(x), "new_k": new_k, "new_v": new_v}

        def logits(self, hidden: Tensor) -> dict[str, Tensor]:
            """(1, r, D) hidden rows to (1, r, VOCABULARY)."""
            return {"scores": functional.linear(hidden, self.wte.weight)}

    return GPT2().eval()
