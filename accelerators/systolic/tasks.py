"""What runs on the arrays, the vector unit, the host and its link, and what each asks of the machine.

A task names sizes of the network; `count` brings them together with the design. Counts are of all cores together, but
for cycles: those are of the core that has most to do.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from accelerators.systolic.array import free_pace, pace
from accelerators.systolic.design import Design
from accelerators.systolic.tiling import (
    Folds,
    Tile,
    array_blocks,
    choose,
    fold_cycles,
    moved,
    pieces,
    tile_folds,
    trips,
)
from hwsim.model import Action, Chunks, Drain, Runs, Traffic, Work
from hwsim.pure import ceil_div, pure

PS_PER_S = 1_000_000_000_000
PS_PER_US = 1_000_000
KHZ_PER_THZ = 1_000_000_000
"""Host and link are counted in picoseconds: cycles of a clock of 1 THz."""


class Counts(NamedTuple):
    """What one task asks for.

    array_cycles are those of the circuit with its operands always there; buffer_cycles those with SRAMs that hold it
    back; post_cycles those in which vector lanes finish its results. The largest holds the array.
    """

    array_cycles: Annotated[int, Work("array")]
    buffer_cycles: Annotated[int, Work("array", "buffers")]
    post_cycles: Annotated[int, Work("array", "vector")]
    vector_cycles: Annotated[int, Work("vector")]
    host_ps: Annotated[int, Work("host")]
    infeed_ps: Annotated[int, Work("infeed")]
    array_overhead_cycles: Annotated[int, Drain("array")]
    vector_overhead_cycles: Annotated[int, Drain("vector")]
    chunks: Annotated[int, Chunks()]
    dram_read_bits: Annotated[int, Traffic("dram", "read", "load")]
    dram_read_runs: Annotated[int, Runs("dram", "read")]
    dram_write_bits: Annotated[int, Traffic("dram", "write", "store")]
    dram_write_runs: Annotated[int, Runs("dram", "write")]
    input_read_bits: Annotated[int, Traffic("inputs", "read")]
    weight_read_bits: Annotated[int, Traffic("weights", "read")]
    output_read_bits: Annotated[int, Traffic("outputs", "read")]
    output_write_bits: Annotated[int, Traffic("outputs", "write")]
    input_fill_bits: Annotated[int, Action("inputs")]
    weight_fill_bits: Annotated[int, Action("weights")]
    output_fill_bits: Annotated[int, Action("outputs")]
    output_drain_bits: Annotated[int, Action("outputs")]
    macs_executed: Annotated[int, Action("array")]
    vector_ops: Annotated[int, Action("vector")]
    infeed_bits: Annotated[int, Action("infeed")]


class Product(NamedTuple):
    """`batch` products of m x n over k, each with operands of its own.

    unique, halo     different elements of one input matrix, and those that a further tile of rows reads again
                     (a convolution whose addresses are formed on the fly); 0 and 0 for a plain matrix
    added            elements that are added to the results: biases, or another operand
    fused            operators that run on the results as they leave
    handed_in        elements of the inputs if the step before makes them for this one alone, else 0
    handed_out       elements of the results if the next step alone reads them, else 0
    """

    batch: int
    m: int
    n: int
    k: int
    unique: int
    halo: int
    added: int
    fused: int
    handed_in: int
    handed_out: int


class MappedProduct(NamedTuple):
    """A product in tiles that somebody chose, of the rows that one core works on (`hwsim map`)."""

    product: Product
    tile_m: int
    tile_n: int
    tile_k: int
    order: int


class Stream(NamedTuple):
    """`operations` of vector lanes on `read` elements, which leave `written` elements.

    A row of `row` elements that half the input SRAM cannot hold is read `passes` times. `added` are parameters;
    handed_in and handed_out as in `Product`; handed_in counts in `read`.
    """

    read: int
    written: int
    operations: int
    row: int
    passes: int
    added: int
    handed_in: int
    handed_out: int


class Lookup(NamedTuple):
    """`rows` rows of `width` elements from a table in DRAM."""

    rows: int
    width: int
    handed_out: int


class Overhead(NamedTuple):
    """What the host does before `runs` runs."""

    runs: int


class Infeed(NamedTuple):
    """`elements` of inputs that come over the link, for the step after this one, and `targets` classes of them all."""

    elements: int
    targets: int = 0


class Parameters(NamedTuple):
    """Elements of weights in DRAM."""

    elements: int


class Values(NamedTuple):
    """Elements of activations in DRAM."""

    elements: int


@pure
def parameter_bits(design: Design, held: Parameters) -> int:
    """Bits of parameters in DRAM."""
    return held.elements * design.weight_bits


@pure
def value_bits(design: Design, held: Values) -> int:
    """Bits of activations in DRAM, at the width they are written with."""
    return held.elements * design.output_bits


# --- parts of a count -------------------------------------------------------------------------------------------


class Share(NamedTuple):
    """How a batch of products falls on the cores.

    each     products that the busiest core works on
    rows     rows of a product that one core works on
    split    cores that share a product's rows
    copies   times that the weights of one product are read from DRAM at a time
    active   cores at work
    """

    each: int
    rows: int
    split: int
    copies: int
    active: int


@pure
def shared(design: Design, batch: int, m: int) -> Share:
    """Whole products go to cores in turn; where there are fewer of them than cores, their rows are split."""
    if batch >= design.cores:
        return Share(ceil_div(batch, design.cores), m, 1, 1, design.cores)
    rows = ceil_div(m, max(1, design.cores // max(1, batch)))
    split = ceil_div(m, max(1, rows))
    copies = split
    if design.replicas > 1:
        copies = min(split, design.replicas)
    if design.share_weights:
        copies = 1
    return Share(1, rows, split, copies, max(1, batch) * split)


@pure
def half_input(design: Design) -> int:
    """Bits of one half of all input SRAMs."""
    return design.cores * (design.input_sram_bits // 2)


@pure
def stays(design: Design, elements: int) -> bool:
    """Whether a tensor of `elements` that one step hands to the next stays in the input SRAMs."""
    return design.keep_on_chip and elements > 0 and elements * design.input_bits <= half_input(design)


@pure
def overhead_cycles(design: Design) -> int:
    """Cycles behind an operator."""
    return ceil_div(design.op_overhead_ps * design.clock_khz, KHZ_PER_THZ)


# --- counts -----------------------------------------------------------------------------------------------------


@pure
def waited(host_ps: int, infeed_ps: int, infeed_bits: int) -> Counts:
    """Time of the host or of its link, and nothing else."""
    return Counts(
        array_cycles=0,
        buffer_cycles=0,
        post_cycles=0,
        vector_cycles=0,
        host_ps=host_ps,
        infeed_ps=infeed_ps,
        array_overhead_cycles=0,
        vector_overhead_cycles=0,
        chunks=1,
        dram_read_bits=0,
        dram_read_runs=0,
        dram_write_bits=0,
        dram_write_runs=0,
        input_read_bits=0,
        weight_read_bits=0,
        output_read_bits=0,
        output_write_bits=0,
        input_fill_bits=0,
        weight_fill_bits=0,
        output_fill_bits=0,
        output_drain_bits=0,
        macs_executed=0,
        vector_ops=0,
        infeed_bits=infeed_bits,
    )


@pure
def on_lanes(
    design: Design, work: int, read: int, runs: int, written: int, sram_read: int, sram_written: int, fill: int,
    operations: int,
) -> Counts:  # fmt: skip
    """The vector lanes of all cores at work on `work` elements; `read` and `written` are bits through DRAM, the others
    bits of the SRAMs, `operations` what is priced."""
    cycles = ceil_div(work, design.cores * design.vector_lanes)
    return Counts(
        array_cycles=0,
        buffer_cycles=0,
        post_cycles=0,
        vector_cycles=cycles,
        host_ps=0,
        infeed_ps=0,
        array_overhead_cycles=0,
        vector_overhead_cycles=overhead_cycles(design),
        chunks=pieces(design, cycles, read + written),
        dram_read_bits=read,
        dram_read_runs=runs,
        dram_write_bits=written,
        dram_write_runs=min(written, 1),
        input_read_bits=sram_read,
        weight_read_bits=0,
        output_read_bits=0,
        output_write_bits=sram_written,
        input_fill_bits=fill,
        weight_fill_bits=0,
        output_fill_bits=0,
        output_drain_bits=sram_written,
        macs_executed=0,
        vector_ops=operations,
        infeed_bits=0,
    )


@pure
def count_product(design: Design, task: Product) -> Counts:
    """Products in the tiles that `choose` takes, on all cores."""
    if min(task.batch, task.m, task.n, task.k) < 1:
        return waited(0, 0, 0)
    s = shared(design, task.batch, task.m)
    unique = unique_share(task, s)
    copies = max(1, s.active * s.copies // s.split)
    tile = choose(design, s.rows, task.n, task.k, unique, task.halo, s.active, copies)
    return count_in_tiles(design, task, tile)


@pure
def unique_share(task: Product, s: Share) -> int:
    """Different elements of the inputs of the rows that one core works on."""
    unique = ceil_div(task.unique, s.split)
    if s.split > 1 and unique > 0:
        unique = unique + task.halo
    return unique


@pure
def count_mapped(design: Design, task: MappedProduct) -> Counts:
    """Products in the tiles that the task names, on all cores."""
    if min(task.product.batch, task.product.m, task.product.n, task.product.k) < 1:
        return waited(0, 0, 0)
    return count_in_tiles(design, task.product, Tile(task.tile_m, task.tile_n, task.tile_k, task.order))


@pure
def count_in_tiles(design: Design, task: Product, tile: Tile) -> Counts:
    """Products in these tiles, on all cores."""
    m, n, k = task.m, task.n, task.k
    s = shared(design, task.batch, m)
    unique = unique_share(task, s)
    t = trips(s.rows, n, k, tile.tile_m, tile.tile_n, tile.tile_k, tile.order)
    f = tile_folds(design, s.rows, n, k, tile, t)
    own = moved(design, s.rows, n, k, tile, t, f, unique, task.halo)
    f = Folds(f.blocks * s.each, f.pieces, f.full, f.last)
    parts = task.batch * s.split
    read_runs, write_runs = parts * own.read_runs, parts * own.write_runs
    if t.m * t.n == 1:
        # Products that are a tile each lie one behind the other.
        write_runs = 1
        if t.k == 1:
            read_runs = 2
    inputs = parts * own.input_bits
    if stays(design, task.handed_in):
        inputs = 0
    weights = task.batch * s.copies * own.weight_bits
    partial = parts * own.partial_read_bits
    results = parts * own.result_bits
    added = task.added * design.weight_bits
    into = 0
    if stays(design, task.handed_out):
        into = task.handed_out * design.input_bits
        results = 0
    read = inputs + weights + partial + added
    written = partial + results
    steps = task.batch * array_blocks(design, m, n, k)
    fused = task.fused * task.batch * m * n
    return Counts(
        array_cycles=fold_cycles(design, f, free_pace(design)),
        buffer_cycles=fold_cycles(design, f, pace(design, tile.tile_m, tile.tile_n, tile.tile_k)),
        post_cycles=ceil_div(task.fused * s.each * s.rows * n, design.vector_lanes),
        vector_cycles=0,
        host_ps=0,
        infeed_ps=0,
        array_overhead_cycles=overhead_cycles(design),
        vector_overhead_cycles=0,
        chunks=pieces(design, steps, read + written),
        dram_read_bits=read,
        dram_read_runs=min(read, read_runs),
        dram_write_bits=written,
        dram_write_runs=min(written, write_runs),
        input_read_bits=parts * own.input_reads,
        weight_read_bits=parts * own.weight_reads,
        output_read_bits=parts * own.output_reads,
        output_write_bits=parts * own.output_writes,
        input_fill_bits=inputs + into,
        weight_fill_bits=parts * own.weight_bits,
        output_fill_bits=partial,
        output_drain_bits=partial + task.batch * m * n * design.accumulator_bits,
        macs_executed=task.batch * m * n * k,
        vector_ops=fused,
        infeed_bits=0,
    )


@pure
def count_stream(design: Design, task: Stream) -> Counts:
    """Vector lanes at work on a stream from DRAM, or from the step before."""
    if task.read + task.written + task.added < 1:
        return waited(0, 0, 0)
    width = design.output_bits
    passes = 1
    if task.row * width > design.input_sram_bits // 2:
        passes = task.passes
    from_dram = task.read
    if stays(design, task.handed_in):
        from_dram = task.read - task.handed_in
    into, results = 0, task.written * width
    if stays(design, task.handed_out):
        into, results = task.handed_out * design.input_bits, 0
    fetched = passes * from_dram * width
    read = fetched + task.added * design.weight_bits
    work = max(task.operations, passes * task.read, task.written, 1)
    return on_lanes(
        design, work, read, min(read, passes), results, passes * task.read * width, task.written * width,
        fetched + into, task.operations,
    )  # fmt: skip


@pure
def count_lookup(design: Design, task: Lookup) -> Counts:
    """Rows of a table, each somewhere else, through the vector unit."""
    elements = task.rows * task.width
    if elements < 1:
        return waited(0, 0, 0)
    into, results = 0, elements * design.output_bits
    if stays(design, task.handed_out):
        into, results = task.handed_out * design.input_bits, 0
    read = elements * design.weight_bits
    return on_lanes(design, elements, read, task.rows, results, 0, elements * design.output_bits, into, 0)


@pure
def count_overhead(design: Design, task: Overhead) -> Counts:
    """The host's time before a run."""
    return waited(task.runs * design.step_overhead_ps, 0, 0)


@pure
def infeed_ps(design: Design, bits: int) -> int:
    """Picoseconds that `bits` take over the link, split so that no intermediate leaves 64 bits."""
    rate = design.infeed_rate_bits_per_s
    whole = bits // rate
    rest = ceil_div((bits - whole * rate) * PS_PER_US, max(1, rate // PS_PER_US))
    return whole * PS_PER_S + rest


@pure
def count_infeed(design: Design, task: Infeed) -> Counts:
    """The link's time for the inputs of the next step; none without a link."""
    bits = task.elements * design.infeed_element_bits + task.targets * design.infeed_target_bits
    if design.infeed_rate_bits_per_s == 0 or bits == 0:
        return waited(0, 0, 0)
    return waited(0, design.infeed_overhead_ps + infeed_ps(design, bits), bits)
