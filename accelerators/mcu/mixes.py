"""How many instructions of each class a layer executes: loop-trip counts times instruction mixes, exactly.

`trips(kernel, shape)` says how often each loop of a kernel runs; `mix_table(isa, kernel)` how many instructions of each
class one round of it takes. Their product is the number of executed instructions, to the instruction, for every shape:
no branch of the kernels depends on data. The mixes come from compiled code run in an emulator, by solving for integers
over designed shapes, each function of `c/` by itself; `mixes.json` holds them beside the compiler and its flags.

    python -m accelerators.mcu.mixes --write     measure and solve again
    python -m accelerators.mcu.mixes             print instructions per multiply-accumulate

The trip counts are @pure functions of integers, and `executed` and `traffic` too, so kernels of a model can call them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accelerators.mcu.toolchain import Isa, compiler_version, flags_of
from hwsim.pure import ceil_div, pure

if TYPE_CHECKING:
    from accelerators.mcu.kernels import Kernel, Shape

TABLE = Path(__file__).resolve().parent / "mixes.json"

# --- loop trips -------------------------------------------------------------------------------------------------------


class Trips(NamedTuple):
    """How often the parts of a kernel run for one layer. A quad is four channels of a pixel."""

    layer: int = 0
    """1"""
    rows: int = 0
    """output rows"""
    pixels: int = 0
    """output pixels"""
    pairs: int = 0
    """pairs of output pixels that share a sweep over the weights"""
    single: int = 0
    """1 if a last pixel is handled on its own"""
    tail: int = 0
    """1 if the last word of a filter is not full"""
    tail_quads: int = 0
    """quads missing to fill it"""
    tops: int = 0
    """windows that hang over the upper border"""
    top_quads: int = 0
    bottoms: int = 0
    bottom_quads: int = 0
    window_rows: int = 0
    """rows of windows inside the input, over all pixels"""
    lefts: int = 0
    """those that hang over the left border"""
    left_quads: int = 0
    rights: int = 0
    right_quads: int = 0
    inside_quads: int = 0
    """quads read from the input"""
    pair_groups: int = 0
    """quads of outputs, over all pairs of pixels"""
    pair_words: int = 0
    """rounds of the inner loop: a word of each of two filters with two pixels"""
    single_groups: int = 0
    single_words: int = 0
    groups: int = 0
    """quads of outputs (depthwise, pools, sums)"""
    paired_groups: int = 0
    """those of a depthwise layer with two taps or more"""
    tap_pairs: int = 0
    """pairs of taps, over all quads of outputs (depthwise)"""
    odd_taps: int = 0
    pool_rows: int = 0
    """rows of windows inside the input, over all quads of outputs (pools)"""
    pool_taps: int = 0


class Clip(NamedTuple):
    """Windows along one axis: the taps cut off in front and behind, windows so cut, and taps left, over all outputs."""

    front: int
    fronts: int
    back: int
    backs: int
    inside: int


@pure
def clip(size: int, outputs: int, kernel: int, stride: int, pad: int) -> Clip:
    """What of `outputs` windows of `kernel` taps lies outside an axis of `size` values."""
    front, fronts, back, backs = 0, 0, 0, 0
    for i in range(outputs):
        first = i * stride - pad
        before = max(0, -first)
        behind = max(0, first + kernel - size)
        front = front + before
        fronts = fronts + min(1, before)
        back = back + behind
        backs = backs + min(1, behind)
    return Clip(front, fronts, back, backs, outputs * kernel - front - back)


@pure
def filter_words(quads: int, weight_bits: int) -> int:
    """32-bit words of a filter of `quads` quads."""
    return ceil_div(quads * weight_bits, 8)


@pure
def product_trips(pixels: int, quads: int, out_c: int, weight_bits: int) -> Trips:
    """The matrix product of a layer with `pixels` columns of `quads` quads."""
    words = filter_words(quads, weight_bits)
    spare = words * (8 // weight_bits) - quads
    pairs = pixels // 2
    single = pixels - 2 * pairs
    return Trips(
        layer=1,
        pixels=pixels,
        pairs=pairs,
        single=single,
        tail=min(1, spare),
        tail_quads=spare,
        pair_groups=pairs * out_c // 4,
        pair_words=pairs * out_c // 2 * words,
        single_groups=single * out_c // 4,
        single_words=single * out_c // 2 * words,
    )


@pure
def window_trips(
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_top: int,
    pad_left: int,
) -> Trips:
    """im2col of every output pixel."""
    quads = in_c // 4
    y = clip(in_h, out_h, kernel_h, stride_h, pad_top)
    x = clip(in_w, out_w, kernel_w, stride_w, pad_left)
    return Trips(
        rows=out_h,
        pixels=out_h * out_w,
        tops=y.fronts * out_w,
        top_quads=y.front * out_w * kernel_w * quads,
        bottoms=y.backs * out_w,
        bottom_quads=y.back * out_w * kernel_w * quads,
        window_rows=y.inside * out_w,
        lefts=y.inside * x.fronts,
        left_quads=y.inside * x.front * quads,
        rights=y.inside * x.backs,
        right_quads=y.inside * x.back * quads,
        inside_quads=y.inside * x.inside * quads,
    )


@pure
def conv_trips(
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_top: int,
    pad_left: int,
    weight_bits: int,
) -> Trips:
    """A convolution."""
    window = window_trips(
        in_h, in_w, in_c, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left
    )  # fmt: skip
    product = product_trips(out_h * out_w, kernel_h * kernel_w * (in_c // 4), out_c, weight_bits)
    return Trips(
        layer=1,
        rows=window.rows,
        pixels=window.pixels,
        pairs=product.pairs,
        single=product.single,
        tail=product.tail,
        tail_quads=product.tail_quads,
        tops=window.tops,
        top_quads=window.top_quads,
        bottoms=window.bottoms,
        bottom_quads=window.bottom_quads,
        window_rows=window.window_rows,
        lefts=window.lefts,
        left_quads=window.left_quads,
        rights=window.rights,
        right_quads=window.right_quads,
        inside_quads=window.inside_quads,
        pair_groups=product.pair_groups,
        pair_words=product.pair_words,
        single_groups=product.single_groups,
        single_words=product.single_words,
    )


@pure
def vector_trips(pixels: int, quads: int, out_c: int, weight_bits: int) -> Trips:
    """A pointwise layer, or, with one pixel of all inputs, a fully connected one."""
    product = product_trips(pixels, quads, out_c, weight_bits)
    return Trips(
        layer=1,
        pixels=pixels,
        pairs=product.pairs,
        single=product.single,
        tail=product.tail,
        tail_quads=product.tail_quads,
        inside_quads=pixels * quads,
        pair_groups=product.pair_groups,
        pair_words=product.pair_words,
        single_groups=product.single_groups,
        single_words=product.single_words,
    )


@pure
def depthwise_trips(
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_top: int,
    pad_left: int,
) -> Trips:
    """A depthwise convolution, or a pool."""
    window = window_trips(
        in_h, in_w, in_c, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left
    )  # fmt: skip
    taps = kernel_h * kernel_w
    quads = in_c // 4
    groups = out_h * out_w * quads
    return Trips(
        layer=1,
        rows=window.rows,
        pixels=window.pixels,
        tops=window.tops,
        top_quads=window.top_quads,
        bottoms=window.bottoms,
        bottom_quads=window.bottom_quads,
        window_rows=window.window_rows,
        lefts=window.lefts,
        left_quads=window.left_quads,
        rights=window.rights,
        right_quads=window.right_quads,
        inside_quads=window.inside_quads,
        groups=groups,
        paired_groups=groups * min(1, taps // 2),
        tap_pairs=groups * (taps // 2),
        odd_taps=groups * (taps % 2),
        pool_rows=window.window_rows * quads,
        pool_taps=window.inside_quads,
    )


@pure
def add_trips(values: int) -> Trips:
    """An element-wise sum."""
    return Trips(layer=1, groups=values // 4)


@pure
def padded_add_trips(pixels: int, in_c: int, out_c: int) -> Trips:
    """A sum whose input has fewer channels."""
    return Trips(layer=1, pixels=pixels, inside_quads=pixels * (in_c // 4), groups=pixels * (out_c // 4))


def trips(kernel: Kernel, shape: Shape) -> Trips:
    """The loop trips of any kernel: one of the pure functions above."""
    from accelerators.mcu.kernels import Operation

    s = shape
    axes = (s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.pad_top, s.pad_left)
    match kernel.operation:
        case Operation.CONV:
            return conv_trips(s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, *axes, kernel.weight_bits)
        case Operation.POINTWISE:
            return vector_trips(s.out_h * s.out_w, s.in_c // 4, s.out_c, kernel.weight_bits)
        case Operation.DENSE:
            return vector_trips(1, s.in_h * s.in_w * s.in_c // 4, s.out_c, kernel.weight_bits)
        case Operation.ADD:
            return add_trips(s.in_h * s.in_w * s.in_c)
        case Operation.PADDED_ADD:
            return padded_add_trips(s.out_h * s.out_w, s.in_c, s.out_c)
        case _:
            return depthwise_trips(s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, *axes)


# --- instructions -----------------------------------------------------------------------------------------------------


@pure
def executed(mix: Trips, done: Trips) -> int:
    """How often it happens in a layer: the sum over all loops of rounds times occurrences a round."""
    return (
        mix.layer * done.layer
        + mix.rows * done.rows
        + mix.pixels * done.pixels
        + mix.pairs * done.pairs
        + mix.single * done.single
        + mix.tail * done.tail
        + mix.tail_quads * done.tail_quads
        + mix.tops * done.tops
        + mix.top_quads * done.top_quads
        + mix.bottoms * done.bottoms
        + mix.bottom_quads * done.bottom_quads
        + mix.window_rows * done.window_rows
        + mix.lefts * done.lefts
        + mix.left_quads * done.left_quads
        + mix.rights * done.rights
        + mix.right_quads * done.right_quads
        + mix.inside_quads * done.inside_quads
        + mix.pair_groups * done.pair_groups
        + mix.pair_words * done.pair_words
        + mix.single_groups * done.single_groups
        + mix.single_words * done.single_words
        + mix.groups * done.groups
        + mix.paired_groups * done.paired_groups
        + mix.tap_pairs * done.tap_pairs
        + mix.odd_taps * done.odd_taps
        + mix.pool_rows * done.pool_rows
        + mix.pool_taps * done.pool_taps
    )


_WINDOW = ("pixels", "tops", "top_quads", "bottoms", "bottom_quads", "window_rows", "lefts", "left_quads", "rights",
           "right_quads", "inside_quads")  # fmt: skip
_POOL = ("layer", "rows", "pixels", "groups", "pool_rows", "pool_taps")

LOOPS = {
    "conv": ("layer", "rows", "pairs", "single"),
    "pointwise": ("layer", "pairs", "single"),
    "dense": ("layer",),
    "depthwise": ("layer", "rows", "pixels"),
    "im2col": _WINDOW,
    "window": _WINDOW,
    "unpack": ("pixels", "inside_quads"),
    "product2": ("pairs", "pair_groups", "pair_words"),
    "product1": ("single", "single_groups", "single_words"),
    "taps": ("pixels", "groups", "paired_groups", "tap_pairs", "odd_taps"),
    "max_pool": _POOL,
    "average_pool": _POOL,
    "add": ("layer", "groups"),
    "padded_add": ("layer", "pixels", "inside_quads", "groups"),
}
"""The loops that the instructions of each kind of function depend on, none the sum of others."""

TAILS: dict[str, tuple[str, ...]] = {"u8": (), "u4": ("tail_quads",), "u2": ("tail", "tail_quads")}
"""Further loops of convolution, pointwise and fully connected layers by weights: 8-bit quads always fill a word, and
4-bit ones lack one quad at most."""


def loops_of(function: str) -> tuple[str, ...]:
    """The loops that the instructions of `function` depend on."""
    kind = next(k for k in LOOPS if function.startswith(k + "_"))
    if kind not in {"conv", "pointwise", "dense"}:
        return LOOPS[kind]
    return LOOPS[kind] + TAILS[function.split("_")[3]]


class Part(NamedTuple):
    """One compiled function: the bytes of its code, and occurrences a round by measure and loop."""

    text_bytes: int
    measures: Mapping[str, Mapping[str, int]]


@cache
def _table() -> dict[str, Any]:
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


@cache
def part(isa: Isa, function: str) -> Part:
    """What `mixes.json` says of one function of `c/`."""
    entry = _table()[isa.name.lower()]
    text_bytes, index = entry["functions"][function]
    return Part(text_bytes, entry["mixes"][index])


@cache
def mix_table(isa: Isa, kernel: Kernel) -> dict[str, Trips]:
    """By measure (`emulate.MEASURES`) the mix of a whole kernel: its functions together."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for function in kernel.parts(isa):
        for measure, loops in part(isa, function).measures.items():
            total[measure].update(loops)
    return {measure: Trips(**loops) for measure, loops in total.items()}


def instructions(isa: Isa, kernel: Kernel, shape: Shape) -> dict[str, int]:
    """Executed instructions by class, and words moved by multiple transfers, of one layer."""
    done = trips(kernel, shape)
    return {measure: executed(mix, done) for measure, mix in mix_table(isa, kernel).items()}


def text_bytes(isa: Isa, kernels: Iterable[Kernel]) -> int:
    """Bytes of code of all functions that `kernels` need, each once."""
    return sum(part(isa, name).text_bytes for name in {name for kernel in kernels for name in kernel.parts(isa)})


# --- memory traffic ---------------------------------------------------------------------------------------------------


class Traffic(NamedTuple):
    """Bits read and written by array, and how often each is swept from end to end.

    `input_read_bits` counts overlapping windows as often as they are read. Parameters (bias, multipliers, shifts, zero
    points, thresholds) are swept as often as the weights. `column_read_bits` counts each word once an inner round; on
    ARM, threshold layers with 2-bit weights, short of registers, load one word of eight twice.
    """

    weight_read_bits: int
    weight_sweeps: int
    input_read_bits: int
    column_write_bits: int
    column_read_bits: int
    column_sweeps: int
    output_write_bits: int


@pure
def product_traffic(
    done: Trips, in_bits: int, out_bits: int, weight_bits: int, out_c: int, columns: int, halfwords: int
) -> Traffic:
    """Of a convolution, pointwise (two columns) or fully connected layer (one); `halfwords`: 1, or 0 for byte columns.

    Each pair of pixels sweeps its columns once per two filters.
    """
    value_bits = 8 + 8 * halfwords
    border = done.top_quads + done.bottom_quads + done.left_quads + done.right_quads
    return Traffic(
        weight_read_bits=(done.pair_words + done.single_words) * 64,
        weight_sweeps=done.pairs + done.single,
        input_read_bits=done.inside_quads * 4 * in_bits,
        column_write_bits=(done.inside_quads + border + columns * done.tail_quads) * 4 * value_bits,
        column_read_bits=(2 * done.pair_words + done.single_words) * (32 // weight_bits) * value_bits,
        column_sweeps=(done.pairs + done.single) * out_c // 2,
        output_write_bits=(2 * done.pair_groups + done.single_groups) * 4 * out_bits,
    )


@pure
def depthwise_traffic(done: Trips, in_bits: int, out_bits: int, weight_bits: int) -> Traffic:
    """Of a depthwise layer: the column of each pixel is written and read once."""
    border = done.top_quads + done.bottom_quads + done.left_quads + done.right_quads
    taps = 2 * done.tap_pairs + done.odd_taps
    return Traffic(
        weight_read_bits=taps * 4 * weight_bits,
        weight_sweeps=done.pixels,
        input_read_bits=done.inside_quads * 4 * in_bits,
        column_write_bits=(done.inside_quads + border) * 32,
        column_read_bits=taps * 32,
        column_sweeps=done.pixels,
        output_write_bits=done.groups * 4 * out_bits,
    )


@pure
def pool_traffic(done: Trips, bits: int) -> Traffic:
    """Of a pool."""
    return Traffic(0, 0, done.pool_taps * 4 * bits, 0, 0, 0, done.groups * 4 * bits)


@pure
def add_traffic(done: Trips, in_bits: int, out_bits: int, other_bits: int) -> Traffic:
    """Of an element-wise sum; both operands count as input."""
    return Traffic(0, 0, done.groups * 4 * (in_bits + other_bits), 0, 0, 0, done.groups * 4 * out_bits)


@pure
def padded_add_traffic(done: Trips, in_bits: int, out_bits: int, other_bits: int) -> Traffic:
    """Of a sum whose input has fewer channels; both operands count as input."""
    read = done.inside_quads * 4 * in_bits + done.groups * 4 * other_bits
    return Traffic(0, 0, read, 0, 0, 0, done.groups * 4 * out_bits)


def traffic(isa: Isa, kernel: Kernel, shape: Shape) -> Traffic:
    """The memory traffic of any kernel: one of the pure functions above."""
    from accelerators.mcu.kernels import WITH_WEIGHTS, Operation

    done, (operation, in_bits, out_bits, weight_bits, _) = trips(kernel, shape), kernel
    if operation == Operation.DEPTHWISE:
        return depthwise_traffic(done, in_bits, out_bits, weight_bits)
    if operation in WITH_WEIGHTS:
        columns = 1 if operation == Operation.DENSE else 2
        return product_traffic(done, in_bits, out_bits, weight_bits, shape.out_c, columns, int(isa != Isa.XPULP))
    if operation == Operation.ADD:
        return add_traffic(done, in_bits, out_bits, weight_bits)
    if operation == Operation.PADDED_ADD:
        return padded_add_traffic(done, in_bits, out_bits, weight_bits)
    return pool_traffic(done, in_bits)


# --- measuring and solving --------------------------------------------------------------------------------------------

SPARE_LAYERS = 6
"""Layers of each kernel that `measured` runs beyond those that tell its loops apart."""

Sample = tuple["Trips", Mapping[str, int]]
"""The trips of a layer, and what one function executed in it."""


def _rounds(function: str, done: Iterable[Trips]) -> Any:
    """A row per layer: the trips of the loops of `function`."""
    import numpy as np

    return np.array([[getattr(one, loop) for loop in loops_of(function)] for one in done], np.int64)


def _told_apart(function: str, done: Sequence[Trips]) -> bool:
    import numpy as np

    rounds = _rounds(function, done)
    return bool(len(done)) and int(np.linalg.matrix_rank(rounds)) == rounds.shape[1]


def designed_shapes(kernel: Kernel, rng: Any) -> list[Shape]:
    """Random shapes, enough to tell the loops of all functions of the kernel apart, and `SPARE_LAYERS` more."""
    from accelerators.mcu.kernels import random_shape

    shapes: list[Shape] = []
    for function in kernel.parts(Isa.ARMV7EM):
        while not _told_apart(function, [trips(kernel, shape) for shape in shapes]):
            shapes.append(random_shape(kernel.operation, rng))
    return shapes + [random_shape(kernel.operation, rng) for _ in range(SPARE_LAYERS)]


def measured(isa: Isa, seed: int) -> dict[str, list[Sample]]:
    """Samples by function: every kernel run on random shapes with random data."""
    import numpy as np

    from accelerators.mcu import kernels as k

    rng = np.random.default_rng(seed)
    samples: dict[str, list[Sample]] = defaultdict(list)
    for kernel in k.all_kernels():
        for shape in designed_shapes(kernel, rng):
            execution = k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng)).execution
            done = trips(kernel, shape)
            if set(execution.functions) - set(kernel.parts(isa)):
                raise ValueError(f"{kernel.name} called {sorted(execution.functions)}")
            for function in kernel.parts(isa):
                samples[function].append((done, execution.functions.get(function, {})))
    return samples


def solve(function: str, samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    """Occurrences a round by measure and loop: the one integer solution that explains every sample exactly.

    Raises ValueError if the samples leave it open or none exists: then an instruction depends on something else.
    """
    import numpy as np

    loops = loops_of(function)
    measures = sorted({name for _, counts in samples for name in counts})
    rounds = _rounds(function, [done for done, _ in samples])
    counts = np.array([[got.get(name, 0) for name in measures] for _, got in samples], np.int64)
    if not _told_apart(function, [done for done, _ in samples]):
        raise ValueError(f"{function}: the samples do not tell its loops apart")
    mix = np.rint(np.linalg.lstsq(rounds.astype(float), counts.astype(float), rcond=None)[0]).astype(np.int64)
    if (rounds @ mix != counts).any():
        raise ValueError(f"{function}: no mix of {loops} explains what it executed")
    found = {
        name: {loop: int(n) for loop, n in zip(loops, column, strict=True) if n}
        for name, column in zip(measures, mix.T, strict=True)
    }
    return {name: loops for name, loops in found.items() if loops}


def code_digest(isa: Isa) -> str:
    """A name for the machine code of all kernels, to tell whether the table describes it."""
    from accelerators.mcu.kernels import machine

    return hashlib.sha256(repr(machine(isa).program.segments).encode()).hexdigest()[:24]


def solved(isa: Isa, seed: int) -> dict[str, object]:
    """The entry of one instruction set in `mixes.json`."""
    from accelerators.mcu.kernels import machine

    sizes = machine(isa).program.symbols
    mixes: list[dict[str, dict[str, int]]] = []
    functions = {}
    for function, samples in sorted(measured(isa, seed).items()):
        mix = solve(function, samples)
        if mix not in mixes:
            mixes.append(mix)
        functions[function] = [sizes[function][1], mixes.index(mix)]
    return {
        "compiler": compiler_version(isa),
        "flags": " ".join(flags_of(isa)),
        "code": code_digest(isa),
        "functions": functions,
        "mixes": mixes,
    }


def _json(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The table with one function and one mix a line."""
    parts = []
    for isa, entry in entries.items():
        heads = [f'"{key}": {json.dumps(entry[key])}' for key in ("compiler", "flags", "code")]
        functions = ",\n".join(f"   {json.dumps(name)}: {json.dumps(got)}" for name, got in entry["functions"].items())
        mixes = ",\n".join(f"   {json.dumps(mix)}" for mix in entry["mixes"])
        body = ",\n  ".join([*heads, f'"functions": {{\n{functions}\n  }}', f'"mixes": [\n{mixes}\n  ]'])
        parts.append(f' "{isa}": {{\n  {body}\n }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(seed: int = 1) -> None:
    """Measure, solve and write `mixes.json`."""
    TABLE.write_text(_json({isa.name.lower(): solved(isa, seed) for isa in Isa}), encoding="utf-8")
    _table.cache_clear()
    part.cache_clear()
    mix_table.cache_clear()


# --- the table of instructions per multiply-accumulate ----------------------------------------------------------------


def inner_loop(isa: Isa, weight_bits: int, per_channel: bool) -> float:
    """Instructions per multiply-accumulate in the inner loop of the product of two filters with two pixels."""
    from accelerators.mcu.emulate import CLASSES

    scheme = "pc_icn" if per_channel else "pl_icn"
    measures = part(isa, f"product2_w{weight_bits}_u8_{scheme}").measures
    return sum(measures.get(name, {}).get("pair_words", 0) for name in CLASSES) / (4 * 32 // weight_bits)


def _lines() -> Iterator[str]:
    yield "instructions per multiply-accumulate, inner loop of convolutions (weights shared by two pixels)"
    yield f"{'':10}" + "".join(f"{f'{bits}-bit {s}':>10}" for s in ("PL", "PC") for bits in (8, 4, 2))
    for isa in Isa:
        cells = [f"{inner_loop(isa, bits, pc):10.3f}" for pc in (False, True) for bits in (8, 4, 2)]
        yield f"{isa.name.lower():10}" + "".join(cells)


def main(arguments: Sequence[str]) -> int:
    """`--write` makes the table; without it the table is summed up on standard output."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.mcu.mixes", description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="measure, solve and write mixes.json")
    if parser.parse_args(arguments).write:
        write()
    print("\n".join(_lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
