"""The tables of docs/networks.md: what the shipped networks are, and which shipped designs run them.

    python -m workloads.page

writes them, in a checkout; tests/test_networks.py makes them again and compares.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hwsim.errors import InputError
from hwsim.simulate import run
from hwsim.workload import store
from hwsim.workload.ir import Disposition, Graph, Op, Role, Workload

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "networks.md"

NETWORKS = (
    "resnet18", "resnet50", "vgg11", "mobilenet-v1-1.0-224", "mobilenet-v1-0.25-128", "mobilenet-v2",
    "mobilenet-v3-large", "efficientnet-lite0", "squeezenet1-1", "shufflenet-v2-1.0", "unet", "skynet-a", "skynet-b",
    "skynet-c", "blazeface", "vit-b16", "swin-t", "mixer-b16", "lstm-lm", "gru-lm", "transformer-base", "bert-base",
    "bert-layer", "minilm-l6", "gpt2-small", "tinyllama", "gcn-cora", "ddpm-cifar10", "ddpm-block",
)  # fmt: skip
"""The table's rows. Left out are the other sizes of MobileNetV1, and cells, stacks and classifiers on binary features,
which belong to one study each."""

DESIGNS = ("titan-xp", "i7-6900k", "tesla-v100", "systolic-128", "optimus", "skynet-ultra96", "stm32h7", "ibex")
"""One design for each way to run a network: what it refuses, the others of its model refuse too."""
LINEAR_DESIGNS = ("fpga-mac-fp32", "poetbin")
"""Designs for chains of linear layers: they refuse every network of the table."""


@dataclass(frozen=True)
class Published:
    """What others say of a network, to the digits they give: parameters, multiply-accumulates, and where."""

    parameters: str
    macs: str
    source: str


def agrees(told: str, value: int) -> bool:
    """Whether `value` is what a text such as "4.2 M", "110 M" or "1,235,496" says, to its digits."""
    number, _, unit = told.replace(",", "").partition(" ")
    whole, _, decimals = number.partition(".")
    zeros = len(whole) - len(whole.rstrip("0")) if unit else 0
    digits = len(decimals) or -zeros
    return round(value / {"": 1, "M": 10**6, "G": 10**9}[unit], digits) == float(number)


TORCHVISION = "torchvision (`num_params`, `_ops`)"
PUBLISHED: Mapping[str, Published] = {
    "resnet18": Published("11,689,512", "1.814 G", TORCHVISION),
    "resnet50": Published("25,557,032", "4.089 G", TORCHVISION),
    "vgg11": Published("132,863,336", "7.609 G", TORCHVISION),
    "mobilenet-v1-1.0-224": Published("4.2 M", "569 M", "arXiv 1704.04861, table 4"),
    "mobilenet-v2": Published("3,504,872", "0.301 G", TORCHVISION),
    "mobilenet-v3-large": Published("5,483,032", "0.217 G", TORCHVISION),
    "efficientnet-lite0": Published("4,652,008", "", "glasses (PyPI), table of models"),
    "squeezenet1-1": Published("1,235,496", "0.349 G", TORCHVISION),
    "shufflenet-v2-1.0": Published("2,278,604", "0.145 G", TORCHVISION),
    "vit-b16": Published("86,567,656", "17.56 G", TORCHVISION),
    "swin-t": Published("28,288,354", "4.49 G", TORCHVISION),
    "mixer-b16": Published("59.88 M", "", "mmpretrain, configs/mlp_mixer"),
    "bert-base": Published("110 M", "", "arXiv 1810.04805, section 3"),
    "gpt2-small": Published("124 M", "", "the repository openai/gpt-2"),
    "tinyllama": Published("1.1 G", "", "arXiv 2401.02385"),
    "ddpm-cifar10": Published("35.7 M", "", "arXiv 2006.11239, appendix B"),
}


# --- one network ------------------------------------------------------------------------------------------------


@cache
def workload(name: str) -> Workload:
    """A shipped network."""
    return store.load_workload(name)


def binding(found: Workload) -> dict[str, int]:
    """Its sizes at their defaults; a share, such as a density, is no size."""
    return {name: int(symbol.default) for name, symbol in found.symbols.items() if not symbol.ratio}


def parameters(found: Workload) -> int:
    """Trained numbers that its graphs read: each tensor once, however many graphs read it.

    Tables of indices and masks are no numbers to train, nor are the running statistics of a batch norm.
    """
    sizes = binding(found)
    weights = {t.name: t for g in found.graphs.values() for t in g.tensors.values() if t.role is Role.WEIGHT}
    trained = (t for t in weights.values() if t.dtype.startswith("float") and not re.search(r"\.running_\w+$", t.name))
    return sum(t.elements(sizes) for t in trained)


def operators(found: Workload) -> Counter[Disposition]:
    """How many operators ended each way, every graph once."""
    return Counter(op.disposition for graph in found.graphs.values() for op in graph.ops)


def bits_by_disposition(found: Workload) -> dict[Disposition, int]:
    """Bits that the operators of the default schedule read and write, each alone and nothing kept between them."""
    total = dict.fromkeys(Disposition, 0)
    known: dict[tuple[str, tuple[int, ...]], dict[Disposition, int]] = {}
    for _, _, local, graph in found.walk(binding(found), found.schedule()):
        key = graph.name, tuple(local[symbol] for symbol in sorted(graph.symbols))
        if key not in known:
            known[key] = _bits_of_graph(graph, local)
        for disposition, bits in known[key].items():
            total[disposition] += bits
    return total


def _bits_of_graph(graph: Graph, sizes: Mapping[str, int]) -> dict[Disposition, int]:
    bits = {name: tensor.elements(sizes) * tensor.bits for name, tensor in graph.tensors.items()}
    found = dict.fromkeys(Disposition, 0)
    for op in graph.ops:
        found[op.disposition] += _moved(op, bits)
    return found


def _moved(op: Op, bits: Mapping[str, int]) -> int:
    """Bits an operator reads and writes; of a table, the rows that are looked up alone."""
    written = sum(bits[name] for name in op.outputs)
    if op.kind == "embedding":
        return 2 * written + sum(bits[name] for name in op.inputs[1:])
    return written + sum(bits[name] for name in op.inputs)


# --- one network on one design ----------------------------------------------------------------------------------

RUNS, TOO_LARGE, REFUSED = "runs", "too large", "refused"


@dataclass(frozen=True)
class Answer:
    """How a design took a network, and the operators it refused with its reason for each."""

    verdict: str
    reasons: tuple[tuple[str, str], ...] = ()


@cache
def answer(design: str, name: str) -> Answer:
    """Run the network on the design, all sizes at their defaults."""
    try:
        result = run(design, name, interval=False)
    except InputError as error:
        named = dict.fromkeys((str(p.got).strip("'"), p.rule) for p in error.problems)
        return Answer(REFUSED, tuple(named))
    return Answer(RUNS if result.feasible else TOO_LARGE)


# --- tables -----------------------------------------------------------------------------------------------------


def table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (heads, *rows)]
    return [lines[0], "|" + "---|" * len(heads), *lines[1:]]


def share(part: int, whole: int) -> str:
    """A percentage with one decimal, "0" for nothing at all."""
    return f"{100 * part / whole:.1f}" if part else "0"


def network_rows() -> Iterator[tuple[str, ...]]:
    for name in NETWORKS:
        found = workload(name)
        sizes = ", ".join(f"{k} = {v:,}" for k, v in binding(found).items()) or "fixed"
        target = found.provenance["target"]
        link = f"[`{target}`](../{target.partition(':')[0].replace('.', '/')}.py)"
        yield name, link, sizes, f"{parameters(found):,}", f"{found.macs(binding(found)):,}"


def coverage_rows() -> Iterator[tuple[str, ...]]:
    for name in NETWORKS:
        found = workload(name)
        counts, bits = operators(found), bits_by_disposition(found)
        everything = sum(bits.values())
        shares = (share(bits[d], everything) for d in Disposition)
        yield (name, *(str(counts[d]) for d in Disposition), f"{everything / 8e6:,.1f}", *shares)


def published_rows() -> Iterator[tuple[str, ...]]:
    for name, told in PUBLISHED.items():
        found = workload(name)
        macs = f"{found.macs(binding(found)):,}"
        yield name, f"{parameters(found):,}", told.parameters, macs, told.macs or "-", told.source


def design_rows() -> Iterator[tuple[str, ...]]:
    for name in NETWORKS:
        yield (name, *(answer(design, name).verdict for design in DESIGNS))


Refusals = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
"""Reason -> the operators and the networks it is given for."""


def refusals_of(design: str) -> Refusals:
    """What one design refuses of the networks, and why."""
    told: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for name in NETWORKS:
        for got, rule in answer(design, name).reasons:
            operators_, networks = told.setdefault(rule, ({}, {}))
            operators_[got] = None
            networks[name] = None
    return {rule: (tuple(operators_), tuple(networks)) for rule, (operators_, networks) in told.items()}


def refusals() -> list[str]:
    """For every design that refuses anything: each reason once; a design that refuses as an earlier one says so."""
    lines: list[str] = []
    earlier: dict[str, Refusals] = {}
    for design in DESIGNS:
        told = refusals_of(design)
        twin = next((other for other, theirs in earlier.items() if theirs == told), "")
        earlier[design] = told
        if twin and told:
            lines += [f"**{design}**: as {twin}.", ""]
        elif told:
            lines += [f"**{design}**", "", *map(_refusal, told.items()), ""]
    return lines[:-1]


def _refusal(told: tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> str:
    rule, (operators_, networks) = told
    return f"- {rule} ({'; '.join(f'`{got}`' for got in operators_)}): {', '.join(networks)}"


def blocks() -> dict[str, list[str]]:
    """The generated parts of the page by name."""
    dispositions = tuple(d.value for d in Disposition)
    return {
        "networks": table(("network", "traced from", "sizes", "parameters", "MACs"), network_rows()),
        "coverage": table(
            ("network", *dispositions, "MB moved", *(f"{d}, %" for d in dispositions)), coverage_rows()
        ),
        "published": table(
            ("network", "parameters", "published", "MACs", "published", "by"), published_rows()
        ),
        "designs": table(("network", *DESIGNS), design_rows()),
        "refusals": refusals(),
    }  # fmt: skip


def filled(page: str, made: Mapping[str, list[str]]) -> str:
    """`page` with every part between `<!-- NAME: generated -->` and `<!-- end -->` replaced."""
    for name, lines in made.items():
        start, end = f"<!-- {name}: generated -->\n", "<!-- end -->"
        head, found, rest = page.partition(start)
        if not found:
            raise ValueError(f"the page has no place for {name}")
        page = head + start + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), blocks()), encoding="utf-8")
