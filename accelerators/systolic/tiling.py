"""Tiles of a product, the traffic they cause and the cycles they take: one cost function, for layers and mappers alike.

out[m, n] = in[m, k] x w[k, n] in tiles of tile_m x tile_n x tile_k, each of which lies in half of its SRAM. Three loops
over tiles, outermost first in the name of the order (`LoopOrder`); the array works through one tile at a time.

An operand's tile is loaded when it differs from the one before. A loop that does not index the operand (n for inputs,
m for weights, k for results) therefore multiplies its traffic by its trips, but only where a loop inside it makes more
than one trip over the operand's own indices. Results that come round again before they are complete leave for DRAM and
come back, at the width of a partial sum.

All are pure functions of integers. An input matrix that a convolution forms on the fly holds only `unique` different
elements, and each further tile of rows reads `halo` of them again; 0 and 0 stand for a plain matrix.
"""

from __future__ import annotations

from typing import NamedTuple

from accelerators.systolic.array import IS, OS, WS, Pace, folds, free_pace, pace, run_cycles, streamed
from accelerators.systolic.design import Design, LoopOrder
from hwsim.pure import ceil_div, pure

MNK, MKN, NMK, NKM, KMN, KNM, BEST = (int(order) for order in LoopOrder)
MOST_PIECES = 64
"""The transfers of a layer are cut into as many pieces at most. More would change the first load, the last store and
nothing else: the 64th part of a layer's transfers."""
PIECE_BITS = 1 << 14
"""Fewest bits of a piece and DRAM channel: 2 KiB take longer on every shipped part than its first access, so that two
pieces in flight hide the latency, as a whole half of an SRAM would."""


class Tile(NamedTuple):
    """A choice: sizes of a tile, and the order of the loops over tiles."""

    tile_m: int
    tile_n: int
    tile_k: int
    order: int


class Trips(NamedTuple):
    """Trips of each loop over tiles, and how often each operand passes."""

    m: int
    n: int
    k: int
    inputs: int
    weights: int
    results: int


class Folds(NamedTuple):
    """How the array works through a product in tiles.

    blocks   fillings but for the streamed dimension: rows of blocks times columns of blocks, over all tiles
    pieces   streams a block is cut into, one a tile; 1 where the block stays in the array from tile to tile
    full     length of all streams but the last
    last     length of the last one
    """

    blocks: int
    pieces: int
    full: int
    last: int


class Moved(NamedTuple):
    """Bits that one product moves.

    DRAM: input_bits, weight_bits, partial_read_bits (reads), partial_write_bits, result_bits (writes). Reads come in
    read_runs contiguous stretches, writes in write_runs. SRAM, as the array uses it: input_reads, weight_reads,
    output_reads and output_writes, in bits; what fills and empties the SRAMs is the DRAM traffic.
    """

    input_bits: int
    weight_bits: int
    partial_read_bits: int
    partial_write_bits: int
    result_bits: int
    read_runs: int
    write_runs: int
    input_reads: int
    weight_reads: int
    output_reads: int
    output_writes: int


class Traffic(NamedTuple):
    """The same, and `chunks`: the pieces in which the transfers pass."""

    input_bits: int
    weight_bits: int
    partial_read_bits: int
    partial_write_bits: int
    result_bits: int
    read_runs: int
    write_runs: int
    input_reads: int
    weight_reads: int
    output_reads: int
    output_writes: int
    chunks: int


# --- loops over tiles -------------------------------------------------------------------------------------------


@pure
def trips(m: int, n: int, k: int, tile_m: int, tile_n: int, tile_k: int, order: int) -> Trips:
    """Trips of the loops, and passes of the operands (see the module's text)."""
    return passes(ceil_div(m, tile_m), ceil_div(n, tile_n), ceil_div(k, tile_k), order)


@pure
def passes(over_m: int, over_n: int, over_k: int, order: int) -> Trips:
    """`trips` of so many tiles along each dimension."""
    within_n, within_m, within_k = 1, 1, 1
    if order == MNK:
        within_n, within_m = over_k, over_n * over_k
    elif order == MKN:
        within_m, within_k = over_n * over_k, over_n
    elif order == NMK:
        within_n, within_m = over_m * over_k, over_k
    elif order == NKM:
        within_n, within_k = over_m * over_k, over_m
    elif order == KMN:
        within_m, within_k = over_n, over_m * over_n
    else:
        within_n, within_k = over_m, over_m * over_n
    inputs, weights, results = 1, 1, 1
    if within_n > 1:
        inputs = over_n
    if within_m > 1:
        weights = over_m
    if within_k > 1:
        results = over_k
    return Trips(over_m, over_n, over_k, inputs, weights, results)


@pure
def blocks(size: int, tile: int, side: int) -> int:
    """Blocks of `side` that `size` falls into, tile by tile."""
    if tile >= size:
        return ceil_div(size, side)
    if tile <= side:
        return ceil_div(size, tile)
    full = size // tile
    return full * ceil_div(tile, side) + ceil_div(size - full * tile, side)


@pure
def input_elements(m: int, k: int, over_m: int, unique: int, halo: int) -> int:
    """Elements of one pass over the inputs in `over_m` tiles of rows; never more than the matrix holds."""
    if unique < 1:
        return m * k
    return min(m * k, unique + (over_m - 1) * halo)


@pure
def dram_bits(design: Design, m: int, n: int, k: int, t: Trips, unique: int = 0, halo: int = 0) -> int:
    """All bits through DRAM."""
    inputs = t.inputs * input_elements(m, k, t.m, unique, halo) * design.input_bits
    partial = 2 * (t.results - 1) * m * n * design.accumulator_bits
    return inputs + t.weights * k * n * design.weight_bits + partial + m * n * design.output_bits


# --- cycles -----------------------------------------------------------------------------------------------------


@pure
def tile_folds(design: Design, m: int, n: int, k: int, tile: Tile, t: Trips) -> Folds:
    """How the array works through the tiles. Where tiles are no larger than the array, and what stays in it is not
    loaded again while the streamed loop runs, a block stays in the array from tile to tile."""
    rows, columns = design.rows, design.columns
    if design.dataflow == WS:
        full, last, pieces = tile.tile_m, m - (t.m - 1) * tile.tile_m, t.m
        n_blocks = blocks(k, tile.tile_k, rows) * blocks(n, tile.tile_n, columns)
        stays = t.weights == 1 and tile.tile_k <= rows and tile.tile_n <= columns
        length = m
    elif design.dataflow == IS:
        full, last, pieces = tile.tile_n, n - (t.n - 1) * tile.tile_n, t.n
        n_blocks = blocks(k, tile.tile_k, rows) * blocks(m, tile.tile_m, columns)
        stays = t.inputs == 1 and tile.tile_k <= rows and tile.tile_m <= columns
        length = n
    else:
        full, last, pieces = tile.tile_k, k - (t.k - 1) * tile.tile_k, t.k
        n_blocks = blocks(m, tile.tile_m, rows) * blocks(n, tile.tile_n, columns)
        stays = t.results == 1 and tile.tile_m <= rows and tile.tile_n <= columns
        length = k
    if stays:
        return Folds(n_blocks, 1, length, length)
    return Folds(n_blocks, pieces, full, last)


@pure
def fold_cycles(design: Design, f: Folds, p: Pace) -> int:
    """Cycles of all folds at this pace."""
    return run_cycles(design.overlap, design.rows, design.columns, f.blocks, f.pieces, f.full, f.last, p)


@pure
def cycles(
    design: Design, m: int, n: int, k: int, tile_m: int, tile_n: int, tile_k: int, order: int, held_back: int = 1
) -> int:
    """Cycles that the array takes for a product in these tiles; with `held_back` 0 as if no SRAM ever held it back."""
    tile = Tile(tile_m, tile_n, tile_k, order)
    f = tile_folds(design, m, n, k, tile, trips(m, n, k, tile_m, tile_n, tile_k, order))
    if held_back == 0:
        return fold_cycles(design, f, free_pace(design))
    return fold_cycles(design, f, pace(design, tile_m, tile_n, tile_k))


# --- traffic ----------------------------------------------------------------------------------------------------


@pure
def runs_of(passes: int, tiles: int) -> int:
    """Contiguous stretches of an operand that lies in DRAM tile by tile: a whole pass, where that is all, else a tile
    (between two of which other operands move)."""
    if tiles == 1:
        return 1
    return passes * tiles


@pure
def pieces(design: Design, steps: int, bits: int) -> int:
    """Pieces in which `bits` that `steps` steps of work need pass: no more than there are steps, none too small to hide
    the latency of DRAM. It does not depend on the SRAMs."""
    return max(1, min(MOST_PIECES, steps, bits // (PIECE_BITS * design.dram_channels)))


@pure
def array_blocks(design: Design, m: int, n: int, k: int) -> int:
    """Cubes of the array's shorter side that a product falls into."""
    side = min(design.rows, design.columns)
    return ceil_div(m, side) * ceil_div(n, side) * ceil_div(k, side)


@pure
def traffic(
    design: Design, m: int, n: int, k: int, tile_m: int, tile_n: int, tile_k: int, order: int,
    unique: int = 0, halo: int = 0,
) -> Traffic:  # fmt: skip
    """What a product of one core moves in these tiles."""
    t = trips(m, n, k, tile_m, tile_n, tile_k, order)
    tile = Tile(tile_m, tile_n, tile_k, order)
    own = moved(design, m, n, k, tile, t, tile_folds(design, m, n, k, tile, t), unique, halo)
    bits = own.input_bits + own.weight_bits + own.partial_read_bits + own.partial_write_bits + own.result_bits
    return Traffic(
        own.input_bits, own.weight_bits, own.partial_read_bits, own.partial_write_bits, own.result_bits,
        own.read_runs, own.write_runs, own.input_reads, own.weight_reads, own.output_reads, own.output_writes,
        pieces(design, array_blocks(design, m, n, k), bits),
    )  # fmt: skip


@pure
def moved(design: Design, m: int, n: int, k: int, tile: Tile, t: Trips, f: Folds, unique: int, halo: int) -> Moved:
    """`traffic`, where trips and folds are known, less the pieces."""
    inputs = t.inputs * input_elements(m, k, t.m, unique, halo) * design.input_bits
    weights = t.weights * k * n * design.weight_bits
    partial = (t.results - 1) * m * n * design.accumulator_bits
    results = m * n * design.output_bits
    if design.dataflow == WS:
        along_m, along_n = f.pieces, blocks(n, tile.tile_n, design.columns)
        along_k = blocks(k, tile.tile_k, design.rows)
    elif design.dataflow == IS:
        along_n, along_m = f.pieces, blocks(m, tile.tile_m, design.columns)
        along_k = blocks(k, tile.tile_k, design.rows)
    else:
        along_k, along_m = f.pieces, blocks(m, tile.tile_m, design.rows)
        along_n = blocks(n, tile.tile_n, design.columns)
    return Moved(
        input_bits=inputs,
        weight_bits=weights,
        partial_read_bits=partial,
        partial_write_bits=partial,
        result_bits=results,
        read_runs=runs_of(t.inputs, t.m * t.k) + runs_of(t.weights, t.n * t.k) + (t.results - 1) * t.m * t.n,
        write_runs=runs_of(t.results, t.m * t.n),
        input_reads=m * k * along_n * design.input_bits,
        weight_reads=k * n * along_m * design.weight_bits,
        output_reads=m * n * (along_k - 1) * design.accumulator_bits,
        output_writes=m * n * along_k * design.accumulator_bits,
    )


# --- which tiles ------------------------------------------------------------------------------------------------


class Room(NamedTuple):
    """What half of each SRAM holds, in elements; the smallest tile; and what a convolution's inputs take less of it.

    reuse   elements of the input matrix that are one and the same element of the convolution's input, rounded down
    halo    elements beside them that a tile over all of k needs, in elements
    """

    inputs: int
    weights: int
    outputs: int
    least_m: int
    least_n: int
    least_k: int
    reuse: int
    halo: int


@pure
def room(design: Design, m: int, n: int, k: int, unique: int = 0, halo: int = 0) -> Room:
    """The room for tiles of a product."""
    least_m, least_n, least_k = 1, design.columns, design.rows
    if design.dataflow == OS:
        least_m, least_n, least_k = design.rows, design.columns, 1
    elif design.dataflow == IS:
        least_m, least_n, least_k = design.columns, 1, design.rows
    reuse = 1
    if unique > 0:
        reuse = max(1, m * k // unique)
    return Room(
        design.input_sram_bits // (2 * design.input_bits),
        design.weight_sram_bits // (2 * design.weight_bits),
        design.output_sram_bits // (2 * design.accumulator_bits),
        min(m, least_m), min(n, least_n), min(k, least_k), reuse, halo,
    )  # fmt: skip


@pure
def tile_input(r: Room, k: int, tile_m: int, tile_k: int) -> int:
    """Elements of the input SRAM that a tile takes: as a matrix, or its different elements and their halo."""
    if r.reuse == 1:
        return tile_m * tile_k
    return min(tile_m * tile_k, ceil_div(tile_m * tile_k, r.reuse) + ceil_div(r.halo * tile_k, k))


@pure
def fits(
    design: Design, m: int, n: int, k: int, tile_m: int, tile_n: int, tile_k: int, unique: int = 0, halo: int = 0
) -> bool:
    """Whether a tile lies in half of every SRAM."""
    r = room(design, m, n, k, unique, halo)
    held = tile_input(r, k, tile_m, tile_k) <= r.inputs
    return held and tile_k * tile_n <= r.weights and tile_m * tile_n <= r.outputs


@pure
def evened(size: int, limit: int, least: int) -> int:
    """A tile no larger than `limit` that cuts `size` into equal parts, in steps of `least` where it is no smaller."""
    if limit >= size:
        return size
    if limit < least or least == 1:
        return ceil_div(size, ceil_div(size, limit))
    parts = ceil_div(size, limit // least * least)
    return min(size, ceil_div(ceil_div(size, parts), least) * least)


@pure
def split(size: int, parts: int, least: int) -> int:
    """The tile that cuts `size` into about so many equal parts, in steps of `least` where it is no smaller."""
    tile = ceil_div(size, parts)
    if tile <= least // 2:
        return tile
    return min(size, ceil_div(tile, least) * least)


@pure
def most_rows(r: Room, k: int, tile_k: int) -> int:
    """The longest tile over m that the input SRAM holds at tile_k of k."""
    rows = r.inputs // tile_k
    if r.reuse > 1:
        rows = max(rows, (r.inputs - ceil_div(r.halo * tile_k, k)) * r.reuse // tile_k)
    return rows


class Cost(NamedTuple):
    """What a choice of tiles is judged by: first the slower of DRAM and array, then both together, each in
    thousandths of the bits that all channels could move in that time."""

    slower: int
    both: int


DEAREST = 2**62
"""Beyond any cost."""


class Question(NamedTuple):
    """What tiles are chosen for: a product, the cores that do the same at a time, and the rate that weighs bits.

    rate_milli  thousandths of the bits that all DRAM channels move in a cycle; 0: see `judged`
    """

    m: int
    n: int
    k: int
    unique: int
    halo: int
    active: int
    weight_copies: int
    rate_milli: int


@pure
def weighed_bits(design: Design, q: Question, t: Trips) -> int:
    """Thousandths of all bits through DRAM."""
    own = dram_bits(design, q.m, q.n, q.k, t, q.unique, q.halo)
    weights = t.weights * q.k * q.n * design.weight_bits
    return 1000 * (q.active * (own - weights) + q.weight_copies * weights)


@pure
def judged(q: Question, bits: int, worked: int) -> Cost:
    """The cost of so many bits and cycles (see `Cost`); with no rate all DRAM bits, then the cycles."""
    if q.rate_milli == 0:
        return Cost(bits, worked)
    return Cost(max(bits, q.rate_milli * worked), bits + q.rate_milli * worked)


@pure
def worked_cycles(design: Design, q: Question, tile: Tile, t: Trips) -> int:
    """Cycles that the array takes in these tiles."""
    f = tile_folds(design, q.m, q.n, q.k, tile, t)
    return fold_cycles(design, f, pace(design, tile.tile_m, tile.tile_n, tile.tile_k))


@pure
def cost(design: Design, q: Question, tile: Tile) -> Cost:
    """The cost of one choice."""
    t = trips(q.m, q.n, q.k, tile.tile_m, tile.tile_n, tile.tile_k, tile.order)
    return judged(q, weighed_bits(design, q, t), worked_cycles(design, q, tile, t))


@pure
def least_cost(design: Design, q: Question) -> Cost:
    """What no choice is below: every operand moved once, every block filled once, no SRAM in the way."""
    length = streamed(design.dataflow, q.m, q.n, q.k)
    f = Folds(folds(design.dataflow, design.rows, design.columns, q.m, q.n, q.k), 1, length, length)
    return judged(q, weighed_bits(design, q, Trips(1, 1, 1, 1, 1, 1)), fold_cycles(design, f, free_pace(design)))


@pure
def cheaper(a: Cost, b: Cost) -> bool:
    """Whether a comes before b."""
    return a.slower < b.slower or (a.slower == b.slower and a.both < b.both)


class Over(NamedTuple):
    """Tiles along each dimension."""

    m: int
    n: int
    k: int


@pure
def better(
    design: Design, q: Question, tile: Tile, over: Over, order: int, found: Tile, least: Cost
) -> tuple[Tile, Cost]:
    """The cheaper of what was found and these tiles in this order. Cycles are worked out where bits leave it open."""
    t = passes(over.m, over.n, over.k, order)
    bits = weighed_bits(design, q, t)
    if bits > least.slower:
        return found, least
    other = Tile(tile.tile_m, tile.tile_n, tile.tile_k, order)
    price = judged(q, bits, worked_cycles(design, q, other, t))
    if cheaper(price, least):
        return other, price
    return found, least


@pure
def best_order(design: Design, q: Question, tile: Tile, found: Tile, least: Cost) -> tuple[Tile, Cost]:
    """The cheaper of what was found and these tiles in the order that the design asks for, or in the best one.

    With all of k in a tile, mnk and nmk differ and no other order is better. Otherwise mkn and nkm alone can be better
    than mnk, and only where the partial sums they move are fewer bits than what mnk reads again, or where a block
    stays in the array from tile to tile.
    """
    over = Over(ceil_div(q.m, tile.tile_m), ceil_div(q.n, tile.tile_n), ceil_div(q.k, tile.tile_k))
    if design.loop_order != BEST:
        return better(design, q, tile, over, design.loop_order, found, least)
    found, least = better(design, q, tile, over, MNK, found, least)
    if tile.tile_k >= q.k:
        if tile.tile_m >= q.m or tile.tile_n >= q.n:
            return found, least
        return better(design, q, tile, over, NMK, found, least)
    again_inputs = q.m * q.k * (over.n - 1) * design.input_bits
    again_weights = q.k * q.n * (over.m - 1) * design.weight_bits
    partial = 2 * q.m * q.n * design.accumulator_bits
    shallow = tile.tile_k <= design.rows
    if partial < again_inputs or (design.dataflow == IS and shallow and tile.tile_m <= design.columns):
        found, least = better(design, q, tile, over, MKN, found, least)
    if partial < again_weights or (design.dataflow == WS and shallow and tile.tile_n <= design.columns):
        found, least = better(design, q, tile, over, NKM, found, least)
    return found, least


@pure
def shallower(design: Design, r: Room, k: int, depth: int) -> int:
    """The depth to try after `depth`: one block of the array where partial sums pass through it, so that no more depth
    saves anything; else, where k streams, a quarter."""
    if design.dataflow == OS:
        return max(r.least_k, ceil_div(depth, 4))
    return r.least_k


@pure
def choose(
    design: Design, m: int, n: int, k: int, unique: int = 0, halo: int = 0, active: int = 1, weight_copies: int = 1
) -> Tile:
    """The cheapest tiles of a product (see `Cost`) among a few dozen, in the order of the design or the best one.

    All of k, and less of it; for each of them n in 1, 2, 4 ... equal tiles, and m in as few as then fit; last, the
    smallest tile of the array, which always fits. The first that costs no more than any could is taken. What is tried
    does not depend on the SRAMs, only what fits does, so that a larger SRAM never costs more. `active` cores do the
    same at the same time, and read weights `weight_copies` times.
    """
    rate = design.dram_rate_bits_per_s * design.dram_channels // design.clock_khz
    q = Question(m, n, k, unique, halo, active, weight_copies, rate)
    r = room(design, m, n, k, unique, halo)
    found, least = Tile(r.least_m, r.least_n, r.least_k, MNK), Cost(DEAREST, DEAREST)
    bound = least_cost(design, q)
    depth, tried = k, 0
    while tried != depth:
        parts, tile_n, tile_m, rows = 1, 0, 0, 0
        most = most_rows(r, k, depth)
        while tile_n != 1 and tile_m != m and (tile_n > r.least_n or rows < 1 or parts == 1):
            before = tile_n
            tile_n = split(n, parts, r.least_n)
            rows = 0
            if tile_n * depth <= r.weights:
                rows = min(most, r.outputs // tile_n)
            if tile_n != before and rows >= 1:
                tile_m = evened(m, rows, r.least_m)
                found, least = best_order(design, q, Tile(tile_m, tile_n, depth, MNK), found, least)
                if not cheaper(bound, least):
                    return found
            parts = 2 * parts
        tried = depth
        depth = shallower(design, r, k, depth)
    smallest = Tile(r.least_m, r.least_n, r.least_k, MNK)
    return best_order(design, q, smallest, found, least)[0]
