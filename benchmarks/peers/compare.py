"""Differences between tools, taken apart to the cycle. Pure arithmetic on what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accelerators.systolic.array import array_cycles, folds, streamed
from accelerators.systolic.design import Dataflow
from benchmarks.peers.work import Product, Window
from hwsim.pure import ceil_div


def ours(product: Product, rows: int, columns: int, dataflow: str = "ws", overlap: bool = False) -> int:
    """Cycles of hwsim's array for one copy, operands always there; held to RTL by tests/rtl/test_systolic.py."""
    flow = int(Dataflow[dataflow.upper()])
    return array_cycles(flow, overlap, rows, columns, product.m, product.n, product.k)


# --- SCALE-Sim --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CycleGap:
    """hwsim's compute cycles less SCALE-Sim's, by cause; `unexplained` is what no cause accounts for.

    from_zero    its last cycle of a count from zero: one a product
    drain        the cycles in which results leave, which its output-stationary count lacks: `rows` a fold
    rounding     rows it streams for outputs that do not exist, where padded sizes make it round up (negative)
    """

    theirs: int
    ours: int
    from_zero: int
    drain: int
    rounding: int

    @property
    def unexplained(self) -> int:
        """Zero, or SCALE-Sim does something that is not known here."""
        return self.ours - self.theirs - self.from_zero - self.drain - self.rounding


def scalesim_gap(
    answered: Iterable[tuple[Product, int]], rows: int, columns: int, dataflow: str = "ws", padded: bool = False
) -> CycleGap:
    """The gap over products and what SCALE-Sim answered for one copy of each; `padded` where it was given the padded
    sizes of the network instead of those that are read."""
    theirs = mine = from_zero = drain = rounding = 0
    flow = int(Dataflow[dataflow.upper()])
    for product, cycles in answered:
        runs = product.copies * product.times
        theirs += runs * cycles
        mine += runs * ours(product, rows, columns, dataflow)
        from_zero += runs
        seen = as_padded(product) if padded else product
        rounding -= runs * (ours(seen, rows, columns, dataflow) - ours(product, rows, columns, dataflow))
        if dataflow == "os":
            drain += runs * rows * folds(flow, rows, columns, seen.m, seen.n, seen.k)
    return CycleGap(theirs, mine, from_zero, drain, rounding)


def as_padded(product: Product) -> Product:
    """The product that SCALE-Sim makes of a convolution's whole padded input: it rounds the output size up."""
    w = product.window
    if w is None:
        return product
    in_h, in_w = w.in_h + w.rest_h, w.in_w + w.rest_w
    out_h = ceil_div(in_h - w.kernel_h + w.stride_h, w.stride_h)
    out_w = ceil_div(in_w - w.kernel_w + w.stride_w, w.stride_w)
    window = Window(in_h, in_w, w.kernel_h, w.kernel_w, w.channels, w.filters, w.stride_h, w.stride_w, out_h, out_w)
    return Product(
        product.name, out_h * out_w, product.n, product.k, product.copies, product.fixed, window, product.times
    )


# --- ZigZag -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LatencyGap:
    """hwsim's cycles less ZigZag's, by cause; the causes add up to it by construction.

    mapping  loops: channels and taps share the rows here, channels alone there
    fill     filling, skew and drain of the array here, less ZigZag's drain
    memory   cycles that wait for DRAM here, less ZigZag's on-loading, off-loading and stalls
    others   operators that are no products, which ZigZag is not given
    """

    theirs: int
    ours: int
    mapping: int
    fill: int
    memory: int
    others: int


def zigzag_gap(
    answered: Iterable[tuple[Product, Mapping[str, int]]], rows: int, columns: int, cycles: int, other_cycles: int
) -> LatencyGap:
    """The gap over products and what ZigZag answered for each with all its copies.

    cycles        hwsim's for the whole network, on an array that fills under the stream
    other_cycles  those of them in operators that are no products
    """
    theirs = loops = their_loops = array = drain = waits = 0
    flow = int(Dataflow.WS)
    for p, answer in answered:
        theirs += p.times * answer["cycles"]
        their_loops += p.times * answer["ideal"]
        drain += p.times * answer["drain"]
        waits += p.times * (answer["stall"] + answer["onloading"] + answer["offloading"])
        runs = p.times * p.copies
        loops += runs * folds(flow, rows, columns, p.m, p.n, p.k) * streamed(flow, p.m, p.n, p.k)
        array += runs * ours(p, rows, columns, overlap=True)
    memory = cycles - other_cycles - array - waits
    return LatencyGap(theirs, cycles, loops - their_loops, array - loops - drain, memory, other_cycles)


def below_own_bound(answer: Mapping[str, int], dram_words: int) -> int:
    """Cycles by which ZigZag's latency is below what its own words take on its one DRAM port; 0 where it holds."""
    return max(0, dram_words - answer["cycles"])
