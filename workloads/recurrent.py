"""Language models of two recurrent layers of 650 units over a vocabulary of 10,000 words: the "medium" LSTM of Zaremba,
Sutskever and Vinyals ("Recurrent Neural Network Regularization", arXiv 1409.2329), and the same with gated recurrent
units (Cho et al., EMNLP 2014, arXiv 1406.1078) in place of the LSTM's.

One graph is one word: its row of the embedding, the layers, scores of all words. A text is that graph, repeated: what
the layers remember is a state. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.expr import parse
from hwsim.workload.ir import Call, Phase, Repeat, Role, Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.untrained import BATCH, LARGEST_BATCH, on_meta

if TYPE_CHECKING:
    import torch

LAYERS, D, VOCABULARY = 2, 650, 10_000
LONGEST = 4096
STATES = {"lstm": ("h", "c"), "gru": ("h",)}


def lstm() -> TraceSpec:
    """The LSTM, `n` words written by each of `batch` texts."""
    return _spec("lstm", "LSTM language model (2 layers of 650), n words, one at a time", "arXiv 1409.2329, medium")


def gru() -> TraceSpec:
    """The same with gated recurrent units."""
    source = "arXiv 1409.2329, medium, with the units of arXiv 1406.1078"
    return _spec("gru", "GRU language model (2 layers of 650), n words, one at a time", source)


def _spec(kind: str, summary: str, source: str) -> TraceSpec:
    words = Input((1, "batch"), "int64", below=VOCABULARY)
    states = tuple(Input((LAYERS, "batch", D), role=Role.STATE) for _ in STATES[kind])
    word = GraphSpec("word", on_meta(lambda: network(kind)), (words, *states), limits={"batch": (1, LARGEST_BATCH)})
    text = Phase("text", (Call("word"),), Repeat("t", parse(1), parse("n")), generates=True)
    return TraceSpec(
        name=f"{kind}-lm",
        summary=summary,
        graphs=(word,),
        symbols={"batch": BATCH, "n": Symbol(35, 1, LONGEST, "words of a text")},
        schedules={"words": (text,)},
        trained=False,
        provenance={"network": source, "weights": "none: untrained"},
    )


def network(kind: str) -> torch.nn.Module:
    """Words (1, batch) and states (LAYERS, batch, D) to the scores of the next words and the new states."""
    from torch import Tensor, nn

    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, D)
            self.layers = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](D, D, LAYERS)
            self.scores = nn.Linear(D, VOCABULARY)

        def run(self, words: Tensor, state: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
            rows, new = self.layers(self.embedding(words), state)
            named = zip(STATES[kind], (new,) if isinstance(new, Tensor) else new, strict=True)
            return {"scores": self.scores(rows), **{f"new_{name}": value for name, value in named}}

    class Lstm(LanguageModel):
        def forward(self, words: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
            return self.run(words, (h, c))

    class Gru(LanguageModel):
        def forward(self, words: Tensor, h: Tensor) -> dict[str, Tensor]:
            return self.run(words, h)

    return Lstm() if kind == "lstm" else Gru()
