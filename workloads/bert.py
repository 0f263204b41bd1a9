"""BERT base (Devlin et al., "BERT", NAACL 2019, arXiv 1810.04805): 12 layers, d 768, 12 heads, a vocabulary of 30,522
word pieces, up to 512 tokens; and one of its layers by itself.

Sums are normalised after the residual, the feed-forward part has a GELU, and the pooler is a linear layer and a tanh
over the first token. Every token of a sentence is one to read: there is no padding to mask. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.ir import Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.untrained import BATCH, LARGEST_BATCH, on_meta

if TYPE_CHECKING:
    import torch

LAYERS, D, HEADS, FF, VOCABULARY, LONGEST, SEGMENTS = 12, 768, 12, 3072, 30_522, 512, 2
SOURCE = "arXiv 1810.04805, BERT base"
TOKENS = Symbol(128, 1, LONGEST, "tokens of a sentence")
LIMITS = {"batch": (1, LARGEST_BATCH), "n": (1, LONGEST)}


def base() -> TraceSpec:
    """The encoder on `batch` sentences of `n` tokens."""
    tokens = Input(("batch", "n"), "int64", below=VOCABULARY)
    segments = Input(("batch", "n"), "int64", below=SEGMENTS)
    return TraceSpec(
        name="bert-base",
        summary="BERT base (12 layers, d 768, 12 heads), sentences of n tokens",
        graphs=(GraphSpec("encoder", on_meta(network), (tokens, segments), limits=LIMITS),),
        symbols={"batch": BATCH, "n": TOKENS},
        trained=False,
        provenance={"network": SOURCE, "weights": "none: untrained"},
    )


def layer() -> TraceSpec:
    """One of its twelve layers, on rows that an earlier one made."""
    return TraceSpec(
        name="bert-layer",
        summary="one layer of BERT base (d 768, 12 heads), sentences of n tokens",
        graphs=(GraphSpec("layer", on_meta(encoder_layer), (Input(("batch", "n", D)),), limits=LIMITS),),
        symbols={"batch": BATCH, "n": TOKENS},
        trained=False,
        provenance={"network": SOURCE, "weights": "none: untrained"},
    )


def encoder_layer() -> torch.nn.Module:
    """(batch, n, D) rows to (batch, n, D)."""
    from torch import Tensor, nn
    from torch.nn import functional

    class Layer(nn.Module):
        """Self-attention and feed-forward, each with a residual sum and a norm after it."""

        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(D, D) for _ in range(4))
            self.up, self.down = nn.Linear(D, FF), nn.Linear(FF, D)
            self.norm_attention, self.norm_ff = nn.LayerNorm(D), nn.LayerNorm(D)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (part(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
            y = functional.scaled_dot_product_attention(q, k, v)
            x = self.norm_attention(x + self.o(y.transpose(1, 2).flatten(2)))
            return self.norm_ff(x + self.down(functional.gelu(self.up(x))))

    return Layer()


def network() -> torch.nn.Module:
    """Tokens and segments, each (batch, n), to the rows of the last layer and the pooled first one."""
    import torch
    from torch import Tensor, nn

    class Bert(nn.Module):
        """Three embeddings, their norm, the layers, the pooler."""

        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = nn.Embedding(VOCABULARY, D), nn.Embedding(LONGEST, D)
            self.segment, self.norm = nn.Embedding(SEGMENTS, D), nn.LayerNorm(D)
            self.layers = nn.ModuleList(encoder_layer() for _ in range(LAYERS))
            self.pooler = nn.Linear(D, D)

        def forward(self, tokens: Tensor, segments: Tensor) -> dict[str, Tensor]:
            rows = torch.arange(tokens.shape[1], device=tokens.device)
            x = self.norm(self.token(tokens) + self.segment(segments) + self.position(rows))
            for layer_ in self.layers:
                x = layer_(x)
            return {"hidden": x, "pooled": torch.tanh(self.pooler(x[:, 0]))}

    return Bert()
