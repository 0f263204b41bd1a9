"""The memories of the OPTIMUS circuit before a run: commands, weights and activations, laid out as in hdl/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.optimus import sparse
from hwsim.cosim.circuit import Image
from hwsim.errors import InputError, Problem, Where
from hwsim.pure import ceil_div, clog2
from rtl_models.optimus.data import Kind, Product, Task, Words, products

WORD_BITS, ELEMENT_BITS = 32, 16
RECORD_WORDS, SET_WORDS = 18, 2
COMMAND_WORDS, WEIGHT_WORDS, ACTIVATION_WORDS = 1 << 16, 1 << 18, 1 << 17
SLOT_BITS = WORD_BITS << 14
ACCUMULATORS, ASIDE_SUMS = 1 << 12, 1 << 17
MOST_RATE, CHANNELS = 16, 256

OPENS, CLOSES, WAITS, DENSE, FIRST, LAST = (1 << bit for bit in range(6))

Bits = NDArray[np.uint8]


class Step(NamedTuple):
    """A product with the pieces it is cut into."""

    product: Product
    pieces: tuple[sparse.Piece, ...]
    waits: bool


@lru_cache(maxsize=8)
def steps(design: Any, task: Task, seed: int) -> tuple[Step, ...]:
    """The products of a case and their pieces on `design`."""
    return tuple(
        Step(product, _pieces(design, task, product), task.chain and number > 0)
        for number, product in enumerate(products(task, seed))
    )


def _pieces(design: Any, task: Task, product: Product) -> tuple[sparse.Piece, ...]:
    if task.kind == Kind.DENSE:
        return (sparse.attention_piece(task.heads, task.kv, task.reduction, design),)
    return tuple(sparse.pieces(product.matrices[0], design))


# --- weights ------------------------------------------------------------------------------------------------------


def bits_of(numbers: NDArray[Any], width_bits: int) -> Bits:
    """The low `width_bits` of each number, lowest first, one number after the other."""
    return ((numbers.astype(np.int64)[:, None] >> np.arange(width_bits)) & 1).astype(np.uint8).ravel()


class Stream(NamedTuple):
    """A piece as it lies in the weight memory: its bits, and where each set with rows begins and what it holds."""

    bits: Bits
    starts: tuple[int, ...]
    entries: tuple[int, ...]


def stream(packed: sparse.Packed) -> Stream:
    """Set after set: the lengths of its columns, then its entries, each the value below the row in the set."""
    depth = ceil_div(packed.shape[0], packed.sets)
    entries = tuple(int(n) for n in packed.lengths.sum(axis=1))
    ends = list(accumulate(entries, initial=0))
    row_and_value = packed.row_in_set << ELEMENT_BITS | packed.values.astype(np.int64) & 0xFFFF
    sets = [
        np.concatenate((
            bits_of(lengths, clog2(depth + 1)),
            bits_of(row_and_value[first:end], ELEMENT_BITS + clog2(depth)),
        ))
        for lengths, first, end in zip(packed.lengths, ends, ends[1:], strict=False)
    ]  # fmt: skip
    starts = tuple(accumulate((s.size for s in sets[:-1]), initial=0))
    return Stream(np.concatenate(sets), starts, entries)


def words_of(bits: Bits) -> NDArray[np.uint32]:
    """Bits in words, bit 0 first; the last word is filled up with zeros."""
    padded = np.zeros(ceil_div(bits.size, WORD_BITS) * WORD_BITS, np.uint8)
    padded[: bits.size] = bits
    return np.packbits(padded, bitorder="little").view("<u4")


# --- activations --------------------------------------------------------------------------------------------------


def interleaved(vectors: Words) -> Words:
    """Input rows as they lie in memory: (rows, matrices, columns) with the matrices element by element."""
    return vectors.transpose(0, 2, 1).reshape(vectors.shape[0], -1)


@dataclass(frozen=True, slots=True)
class Activations:
    """What the activation memory holds at first, and where each product finds its inputs, matrices and results."""

    words: Words
    inputs: tuple[int, ...]
    matrices: tuple[int, ...]
    results: tuple[int, ...]
    result_words: int


def activations(run: Sequence[Step], dense: bool) -> Activations:
    """Results of all products, one after the other; then inputs, except those that are results; then dense
    matrices. Results are all ones at first, so that a word which is not written shows."""
    sizes = [step.product.results.size for step in run]
    results = list(accumulate(sizes[:-1], initial=0))
    parts: list[Words] = [np.full(sum(sizes), -1, np.int16)]
    inputs, matrices = [], []
    for number, step in enumerate(run):
        inputs.append(results[number - 1] if step.waits else _append(parts, interleaved(step.product.inputs)))
        matrices.append(_append(parts, step.product.matrices) if dense else 0)
    return Activations(np.concatenate(parts), tuple(inputs), tuple(matrices), tuple(results), sum(sizes))


def _append(parts: list[Words], more: Words) -> int:
    at = sum(part.size for part in parts)
    parts.append(more.ravel())
    return at


# --- commands -----------------------------------------------------------------------------------------------------


def _flags(step: Step, at: int, dense: bool) -> int:
    piece = step.pieces[at]
    first = at == 0
    chosen = {
        OPENS: piece.opens, CLOSES: piece.closes, WAITS: step.waits and first, DENSE: dense, FIRST: first,
        LAST: at == len(step.pieces) - 1,
    }  # fmt: skip
    return sum(flag for flag, on in chosen.items() if on)


def _dense_starts(outputs: int, sets: int, reduction: int) -> list[int]:
    """Start and entries of each set of a dense product."""
    return [word for s in range(sets) for word in (0, reduction * len(range(s, outputs, sets)))]


def _sparse_starts(packed: sparse.Packed, of_piece: Stream) -> list[int]:
    """Start and entries of each set; those without rows begin behind the last."""
    pairs = list(zip(of_piece.starts, of_piece.entries, strict=True))
    pairs += [(of_piece.bits.size, 0)] * (packed.sets - len(pairs))
    return [word for pair in pairs for word in pair]


@dataclass(frozen=True, slots=True)
class Images:
    """The three memories, and which words of the activations are results."""

    commands: Image
    weights: Image
    activations: Image
    pieces: int
    result_words: int


def images(design: Any, task: Task, seed: int) -> Images:
    """The memories for a case. Raises InputError where one of them is too small for it."""
    run = steps(design, task, seed)
    dense = task.kind == Kind.DENSE
    held = activations(run, dense)
    streams = [Stream(np.zeros(0, np.uint8), (), ()) if dense else stream(p.packed) for s in run for p in s.pieces]
    words = [words_of(s.bits) for s in streams]
    commands = _commands(design, task, run, held, streams, [w.size for w in words])
    weights = np.concatenate(words)
    check(design, task, run, len(commands), weights.size, held.words.size)
    return Images(
        Image(WORD_BITS, commands),
        Image(WORD_BITS, weights.tolist() or [0]),
        Image(ELEMENT_BITS, unsigned(held.words)),
        len(streams),
        held.result_words,
    )


def unsigned(words: Words) -> list[int]:
    """16-bit words as a memory image has them."""
    return [int(word) for word in words.ravel().view(np.uint16)]


def _commands(
    design: Any, task: Task, run: Sequence[Step], held: Activations, streams: Sequence[Stream], sizes: Sequence[int]
) -> list[int]:
    """A record a piece, then the order table of each."""
    pieces = [(number, at) for number, step in enumerate(run) for at in range(len(step.pieces))]
    tables = [run[number].pieces[at].packed.order.tolist() for number, at in pieces]
    records_words = len(pieces) * (RECORD_WORDS + SET_WORDS * design.sets)
    orders = accumulate((len(table) for table in tables), initial=records_words)
    weight_bases = accumulate(sizes, initial=0)
    words: list[int] = []
    for (number, at), of_piece, order, base in zip(pieces, streams, orders, weight_bases, strict=False):
        words += _record(task, run[number], number, at, held, of_piece, order, base)
    return [*words, *(position for table in tables for position in table)]


def _record(
    task: Task, step: Step, number: int, at: int, held: Activations, of_piece: Stream, order: int, weight_base: int
) -> Iterator[int]:
    """The words of one piece's record."""
    piece = step.pieces[at]
    packed, dense = piece.packed, task.kind == Kind.DENSE
    outputs, columns = packed.shape
    depth = ceil_div(outputs, packed.sets)
    rows, matrices, of_input = step.product.inputs.shape
    output_stride = step.product.results.size // rows
    yield from (_flags(step, at, dense), rows, outputs, depth, columns)
    yield from (held.inputs[number] + piece.first_column, matrices * of_input)
    yield from (held.results[number] + piece.first_row, output_stride)
    yield from (order, weight_base, of_piece.bits.size, clog2(depth + 1), clog2(depth))
    yield from (task.heads, task.kv, task.reduction, held.matrices[number])
    yield from _dense_starts(outputs, packed.sets, task.reduction) if dense else _sparse_starts(packed, of_piece)


# --- what fits ----------------------------------------------------------------------------------------------------


MOST_MACS = 256
MOST_WINDOW = 1024
"""Arrays beyond these would take a simulator hours to build."""
MOST_ELEMENTS = 1 << 20
"""Of all matrices of a task together; denser ones fill the memories long before."""


def check_sizes(design: Any, task: Task) -> None:
    """Raises InputError where the sizes alone say that a case is beyond the circuit. Nothing is drawn or packed."""
    inputs, outputs = max(task.columns, task.heads * task.reduction), max(task.outputs, task.heads * task.kv)
    elements = outputs * max(task.columns, task.reduction) * task.products
    words = task.products * task.rows * (inputs + outputs) + (elements if task.kind == Kind.DENSE else 0)
    fewer = "Give it fewer or smaller products."
    _refuse((
        ("macs", design.macs, MOST_MACS, "multipliers", "Lower macs."),
        ("window", design.window, MOST_WINDOW, "elements in its window", "Lower window."),
        ("task", elements, MOST_ELEMENTS, "matrix elements", fewer),
        # In a chain, results are the next product's inputs and lie in memory once.
        ("task", words // 2 if task.chain else words, ACTIVATION_WORDS, "activations", fewer),
    ))  # fmt: skip


def check(design: Any, task: Task, run: Sequence[Step], commands: int, weights: int, elements: int) -> None:
    """Raises InputError for every memory of the circuit that is too small, and a rate it cannot move the window by."""
    _refuse(_demands(design, task, run, commands, weights, elements))


def _refuse(demands: Iterable[tuple[str, int, int, str, str]]) -> None:
    problems = [
        Problem("circuit", Where(key=key), str(got), f"the circuit holds at most {most} {what}", remedy)
        for key, got, most, what, remedy in demands
        if got > most
    ]
    if problems:
        raise InputError(problems)


def _demands(
    design: Any, task: Task, run: Sequence[Step], commands: int, weights: int, elements: int
) -> Iterable[tuple[str, int, int, str, str]]:
    pieces = [piece for step in run for piece in step.pieces]
    depth = max(ceil_div(piece.packed.shape[0], design.sets) for piece in pieces)
    aside = task.rows * depth if any(not piece.opens for piece in pieces) and task.rows > 1 else 0
    fewer = "Give it fewer or smaller products."
    yield "task", commands, COMMAND_WORDS, "words of commands", "Give it fewer products, or larger pieces."
    yield "task", weights, WEIGHT_WORDS, "words of weights", fewer
    yield "task", elements, ACTIVATION_WORDS, "activations", fewer
    yield "accumulators", depth * design.sets, ACCUMULATORS, "accumulators", "Lower accumulators."
    yield "rows", aside * design.sets, ASIDE_SUMS, "sums set aside", "Give it fewer rows, or lower accumulators."
    yield "dram_channels", design.dram_channels, CHANNELS, "channels", "Lower dram_channels."
    yield "rate", design.rate, MOST_RATE, "elements a cycle", "Lower rate."
    if task.kind == Kind.SPARSE:
        bits = max(piece.bits(design.value_width_bits) for piece in pieces)
        yield "weight_buffer", bits, SLOT_BITS, "bits in a slot", "Lower weight_buffer."
