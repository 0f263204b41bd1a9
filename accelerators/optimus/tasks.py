"""What runs on the array and on the vector unit, and what each run asks of the hardware.

A task names sizes of the network, never of the design; `count` brings the two together. All counts are integers: clock
cycles, bits, or numbers of events.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from accelerators.optimus.array import (
    array_ways,
    drain_cycles,
    piece_cycles,
    write_cycles,
)
from accelerators.optimus.closed_form import (
    array_sets,
    column_bits,
    entry_bits,
    input_cycles,
    stored_bits,
    windowed_cycles,
)
from accelerators.optimus.design import Design, WeightFormat
from hwsim.model import Action, Chunks, Drain, Runs, Traffic, Work
from hwsim.pure import ceil_div, pure

DENSE = int(WeightFormat.DENSE)


class Counts(NamedTuple):
    """What one task asks for."""

    array_cycles: Annotated[int, Work("array")]
    array_drain_cycles: Annotated[int, Drain("array")]
    vector_cycles: Annotated[int, Work("vector")]
    vector_drain_cycles: Annotated[int, Drain("vector")]
    chunks: Annotated[int, Chunks()]
    dram_read_bits: Annotated[int, Traffic("dram", "read", "load")]
    dram_read_runs: Annotated[int, Runs("dram", "read")]
    dram_write_bits: Annotated[int, Traffic("dram", "write", "store")]
    dram_write_runs: Annotated[int, Runs("dram", "write")]
    weight_read_bits: Annotated[int, Traffic("weights", "read")]
    weight_write_bits: Annotated[int, Traffic("weights", "write")]
    activation_read_bits: Annotated[int, Traffic("activations", "read")]
    activation_write_bits: Annotated[int, Traffic("activations", "write")]
    fetched_bits: Annotated[int, Action("activations")]
    macs_executed: Annotated[int, Action("array")]
    window_reads: Annotated[int, Action("window")]
    index_reads: Annotated[int, Action("index")]
    accumulations: Annotated[int, Action("accumulators")]
    vector_ops: Annotated[int, Action("vector")]


class SparseProduct(NamedTuple):
    """`rows` input vectors times one weight matrix of `outputs` x `columns` with `nnz` non-zeros, spread evenly.

    The matrix is loaded once and serves all rows. `spilled` outputs leave the chip.
    """

    rows: int
    outputs: int
    columns: int
    nnz: int
    spilled: int


class PackedProduct(NamedTuple):
    """A `SparseProduct` whose mask is known, measured on its packed pieces; or one of these pieces.

    cycles         for which the array is held, all rows and pieces
    pieces         in which the matrix passes through the weight buffer
    stored_bits    of all pieces
    read_bits      of weights read from their buffer, all rows
    elements_read  input elements that come into the window, all rows
    sums_aside     partial sums that are set aside, and come back, all rows
    results        outputs that are written, all rows: none by a piece that is not the last of its tile
    runs           contiguous runs in off-chip memory: 1, and 0 for a piece that follows another of its matrix
    writing        cycles in which results are still written when the array is held no more
    """

    rows: int
    outputs: int
    columns: int
    nnz: int
    cycles: int
    pieces: int
    stored_bits: int
    read_bits: int
    elements_read: int
    sums_aside: int
    results: int
    runs: int
    writing: int
    spilled: int


class DenseProduct(NamedTuple):
    """`rows` products of an activation matrix of `outputs` x `reduction` with a vector; both operands are on chip.

    `inputs` elements pass the window per row: `reduction` of them for each head, interleaved.
    """

    rows: int
    outputs: int
    reduction: int
    inputs: int
    spilled: int


class VectorOp(NamedTuple):
    """`passes` over `elements` elements with `operands` operands each, leaving `results` results."""

    elements: int
    operands: int
    results: int
    passes: int
    spilled: int


class Lookup(NamedTuple):
    """`rows` rows of `width` elements from a table off chip, handed on by the vector unit."""

    rows: int
    width: int
    spilled: int


class Fetch(NamedTuple):
    """`elements` intermediates in `runs` tensors back from off-chip memory; only where they do not stay on chip."""

    elements: int
    runs: int


# --- parts of a count -------------------------------------------------------------------------------------------


@pure
def weight_slots(design: Design) -> int:
    """Chunks the weight buffer holds: two with overlap, one without."""
    if design.load_overlap:
        return 2
    return 1


@pure
def slot_bits(design: Design) -> int:
    """Bits that one slot of the weight buffer holds."""
    return max(1, design.weight_buffer_bits // weight_slots(design))


@pure
def chunks_of(design: Design, bits: int) -> int:
    """Pieces in which `bits` pass through the weight buffer."""
    return max(1, ceil_div(bits, slot_bits(design)))


@pure
def tile_rows(design: Design, outputs: int) -> int:
    """Output rows of a full tile: as many as there are accumulators."""
    return max(1, min(outputs, design.accumulators))


@pure
def last_tile_rows(design: Design, outputs: int) -> int:
    """Output rows of the last tile."""
    tile = tile_rows(design, outputs)
    return outputs - (ceil_div(outputs, tile) - 1) * tile


class Held(NamedTuple):
    """What a weight product asks of the array and its buffers, beyond its non-zeros; see `PackedProduct`."""

    cycles: int
    pieces: int
    stored_bits: int
    read_bits: int
    elements_read: int
    sums_aside: int
    results: int
    runs: int
    writing: int


@pure
def run_cycles(design: Design, outputs: int, columns: int, nnz: int, parts: int) -> int:
    """Cycles in which a row of one piece is issued, closed form; the piece is one of `parts` of its tile."""
    return windowed_cycles(
        design.weight_format, nnz, outputs, columns, design.macs, design.sets, design.window, design.rate, 0, parts
    )


@pure
def tile_pieces(design: Design, outputs: int, columns: int, nnz: int) -> int:
    """Pieces of a tile, from its bits."""
    return min(columns, chunks_of(design, tile_bits(design, outputs, columns, nnz)))


@pure
def tile_cycles(design: Design, rows: int, outputs: int, columns: int, nnz: int) -> int:
    """Cycles for which one tile holds the array, closed form: its columns and non-zeros are spread evenly over its
    pieces, those with a column more first."""
    parts = tile_pieces(design, outputs, columns, nnz)
    narrow, wider = columns // parts, columns % parts
    run = run_cycles(design, outputs, narrow, nnz * narrow // columns, parts)
    if parts == 1:
        return piece_cycles(design, rows, outputs, columns, run, 1, 1)
    last = piece_cycles(design, rows, outputs, narrow, run, 0, 1)
    between = piece_cycles(design, rows, outputs, narrow, run, 0, 0)
    if wider == 0:
        return piece_cycles(design, rows, outputs, narrow, run, 1, 0) + (parts - 2) * between + last
    wide_run = run_cycles(design, outputs, narrow + 1, nnz * (narrow + 1) // columns, parts)
    first = piece_cycles(design, rows, outputs, narrow + 1, wide_run, 1, 0)
    wide = piece_cycles(design, rows, outputs, narrow + 1, wide_run, 0, 0)
    return first + (wider - 1) * wide + (parts - 1 - wider) * between + last


@pure
def tile_held(design: Design, rows: int, outputs: int, columns: int, nnz: int) -> Held:
    """What one tile asks for, closed form. All columns come into the window, except where there are no non-zeros and
    it stays where it began."""
    if outputs < 1 or columns < 1:
        return Held(0, 0, 0, 0, 0, 0, 0, 0, 0)
    parts = tile_pieces(design, outputs, columns, nnz)
    seen = columns
    if nnz < 1 and design.weight_format != DENSE:
        seen = min(columns, parts * design.window)
    elements = nnz
    if design.weight_format == DENSE:
        elements = outputs * columns
    entry = entry_bits(design.weight_format, outputs, design.macs, design.sets, design.value_width_bits)
    lengths = column_bits(design.weight_format, outputs, design.macs, design.sets)
    aside = 0
    if rows > 1:
        aside = (parts - 1) * rows * outputs
    return Held(
        cycles=tile_cycles(design, rows, outputs, columns, nnz),
        pieces=parts,
        stored_bits=tile_bits(design, outputs, columns, nnz),
        read_bits=rows * (elements * entry + seen * lengths),
        elements_read=rows * seen,
        sums_aside=aside,
        results=rows * outputs,
        runs=1,
        writing=write_cycles(design, outputs),
    )


@pure
def product_held(design: Design, rows: int, outputs: int, columns: int, nnz: int) -> Held:
    """What a weight product asks for, closed form: full tiles, then the rest."""
    tile = tile_rows(design, outputs)
    full = outputs // tile
    tile_nnz = nnz * tile // max(1, outputs)
    each = tile_held(design, rows, tile, columns, tile_nnz)
    rest = tile_held(design, rows, outputs - full * tile, columns, nnz - full * tile_nnz)
    return Held(
        cycles=full * each.cycles + rest.cycles,
        pieces=full * each.pieces + rest.pieces,
        stored_bits=full * each.stored_bits + rest.stored_bits,
        read_bits=full * each.read_bits + rest.read_bits,
        elements_read=full * each.elements_read + rest.elements_read,
        sums_aside=full * each.sums_aside + rest.sums_aside,
        results=rows * outputs,
        runs=1,
        writing=write_cycles(design, last_tile_rows(design, outputs)),
    )


@pure
def tile_bits(design: Design, outputs: int, columns: int, nnz: int) -> int:
    """Bits of one stored tile."""
    if outputs < 1 or columns < 1:
        return 0
    return stored_bits(design.weight_format, nnz, outputs, columns, design.macs, design.sets, design.value_width_bits)


@pure
def product_bits(design: Design, outputs: int, columns: int, nnz: int) -> int:
    """Bits of a stored weight matrix, tile by tile."""
    tile = tile_rows(design, outputs)
    full = outputs // tile
    tile_nnz = nnz * tile // max(1, outputs)
    rest = tile_bits(design, outputs - full * tile, columns, nnz - full * tile_nnz)
    return full * tile_bits(design, tile, columns, tile_nnz) + rest


@pure
def matrix_bits(design: Design, outputs: int, columns: int, nnz: int, measured_bits: int) -> int:
    """Bits of a stored weight matrix: as measured on its real mask, or by the format's formula."""
    if measured_bits >= 0:
        return measured_bits
    return product_bits(design, outputs, columns, nnz)


class Values(NamedTuple):
    """Activations, keys, values or table entries that are held."""

    elements: int


class Matrices(NamedTuple):
    """Equal weight matrices in off-chip memory; `measured_bits` is -1 without a real mask."""

    outputs: int
    columns: int
    nnz: int
    measured_bits: int
    copies: int


class InFlight(NamedTuple):
    """What the weight buffer holds of the largest matrix."""

    outputs: int
    columns: int
    nnz: int
    measured_bits: int


@pure
def values_bits(design: Design, held: Values) -> int:
    """Bits of values at the width of activations."""
    return held.elements * design.activation_width_bits


@pure
def matrices_bits(design: Design, held: Matrices) -> int:
    """Bits of equal stored matrices."""
    return held.copies * matrix_bits(design, held.outputs, held.columns, held.nnz, held.measured_bits)


@pure
def in_flight_bits(design: Design, held: InFlight) -> int:
    """Bits of weights on the chip: at most a matrix, at most the buffer."""
    stored = matrix_bits(design, held.outputs, held.columns, held.nnz, held.measured_bits)
    return min(stored, design.weight_buffer_bits)


@pure
def weight_product(design: Design, rows: int, outputs: int, columns: int, nnz: int, held: Held, spilled: int) -> Counts:
    """Counts of a weight product. Its stored matrix is one run in off-chip memory, whatever its pieces."""
    multiplied, indexed = nnz, nnz
    if design.weight_format == DENSE:
        multiplied, indexed = outputs * columns, 0
    set_aside_bits = held.sums_aside * design.accumulator_width_bits
    spilled_bits = spilled * design.activation_width_bits
    return Counts(
        array_cycles=held.cycles,
        array_drain_cycles=drain_cycles(design, held.writing),
        vector_cycles=0,
        vector_drain_cycles=0,
        chunks=max(1, held.pieces),
        dram_read_bits=held.stored_bits,
        dram_read_runs=min(held.runs, held.stored_bits),
        dram_write_bits=spilled_bits,
        dram_write_runs=min(1, spilled_bits),
        weight_read_bits=held.read_bits,
        weight_write_bits=held.stored_bits,
        activation_read_bits=held.elements_read * design.activation_width_bits + set_aside_bits,
        activation_write_bits=held.results * design.activation_width_bits + set_aside_bits,
        fetched_bits=0,
        macs_executed=rows * multiplied,
        window_reads=rows * multiplied,
        index_reads=rows * indexed,
        accumulations=rows * multiplied,
        vector_ops=0,
    )


@pure
def vector_work(
    design: Design,
    cycles: int,
    operations: int,
    loaded_bits: int,
    loaded_runs: int,
    read_bits: int,
    results: int,
    spilled: int,
) -> Counts:
    """Counts of a task of the vector unit that leaves `results` elements."""
    spilled_bits = spilled * design.activation_width_bits
    return Counts(
        array_cycles=0,
        array_drain_cycles=0,
        vector_cycles=cycles,
        vector_drain_cycles=design.vector_pipeline_cycles,
        chunks=chunks_of(design, loaded_bits),
        dram_read_bits=loaded_bits,
        dram_read_runs=min(loaded_runs, loaded_bits),
        dram_write_bits=spilled_bits,
        dram_write_runs=min(1, spilled_bits),
        weight_read_bits=0,
        weight_write_bits=0,
        activation_read_bits=read_bits,
        activation_write_bits=results * design.activation_width_bits,
        fetched_bits=0,
        macs_executed=0,
        window_reads=0,
        index_reads=0,
        accumulations=0,
        vector_ops=operations,
    )


# --- kernels ----------------------------------------------------------------------------------------------------


@pure
def count_sparse(design: Design, task: SparseProduct) -> Counts:
    """A weight product in closed form (README.md, section "One weight product")."""
    held = product_held(design, task.rows, task.outputs, task.columns, task.nnz)
    return weight_product(design, task.rows, task.outputs, task.columns, task.nnz, held, task.spilled)


@pure
def count_packed(design: Design, task: PackedProduct) -> Counts:
    """A weight product that was measured on its real mask."""
    held = Held(
        task.cycles,
        task.pieces,
        task.stored_bits,
        task.read_bits,
        task.elements_read,
        task.sums_aside,
        task.results,
        task.runs,
        task.writing,
    )
    return weight_product(design, task.rows, task.outputs, task.columns, task.nnz, held, task.spilled)


@pure
def count_dense(design: Design, task: DenseProduct) -> Counts:
    """An attention product. Rows of the activation matrix are dealt to the sets like rows of weights; the ways of a
    set share a row. Every multiplier reads its own element of the matrix, the vector comes through the window."""
    of_array = array_sets(design.weight_format, design.macs, design.sets)
    busy = ceil_div(ceil_div(task.outputs, of_array) * task.reduction, array_ways(design))
    run = max(busy, input_cycles(task.inputs, design.window, design.rate))
    macs = task.rows * task.outputs * task.reduction
    spilled_bits = task.spilled * design.activation_width_bits
    return Counts(
        array_cycles=piece_cycles(design, task.rows, task.outputs, task.inputs, run, 1, 1),
        array_drain_cycles=drain_cycles(design, write_cycles(design, task.outputs)),
        vector_cycles=0,
        vector_drain_cycles=0,
        chunks=1,
        dram_read_bits=0,
        dram_read_runs=0,
        dram_write_bits=spilled_bits,
        dram_write_runs=min(1, spilled_bits),
        weight_read_bits=0,
        weight_write_bits=0,
        activation_read_bits=(macs + task.rows * task.inputs) * design.activation_width_bits,
        activation_write_bits=task.rows * task.outputs * design.activation_width_bits,
        fetched_bits=0,
        macs_executed=macs,
        window_reads=macs,
        index_reads=0,
        accumulations=macs,
        vector_ops=0,
    )


@pure
def count_vector(design: Design, task: VectorOp) -> Counts:
    """Softmax, normalisation, elementwise work: elements over lanes, pass by pass."""
    cycles = task.passes * ceil_div(task.elements, design.vector_lanes)
    read_bits = task.passes * task.operands * task.elements * design.activation_width_bits
    return vector_work(design, cycles, task.passes * task.elements, 0, 0, read_bits, task.results, task.spilled)


@pure
def count_lookup(design: Design, task: Lookup) -> Counts:
    """Rows of a table, each a run of its own in off-chip memory."""
    elements = task.rows * task.width
    cycles = ceil_div(elements, design.vector_lanes)
    bits = elements * design.activation_width_bits
    return vector_work(design, cycles, elements, bits, task.rows, 0, elements, task.spilled)


@pure
def count_fetch(design: Design, task: Fetch) -> Counts:
    """Intermediates back on chip: a transfer that no unit waits on while it runs."""
    bits = task.elements * design.activation_width_bits
    return Counts(
        array_cycles=0,
        array_drain_cycles=0,
        vector_cycles=0,
        vector_drain_cycles=0,
        chunks=chunks_of(design, bits),
        dram_read_bits=bits,
        dram_read_runs=min(task.runs, bits),
        dram_write_bits=0,
        dram_write_runs=0,
        weight_read_bits=0,
        weight_write_bits=0,
        activation_read_bits=0,
        activation_write_bits=0,
        fetched_bits=bits,
        macs_executed=0,
        window_reads=0,
        index_reads=0,
        accumulations=0,
        vector_ops=0,
    )
