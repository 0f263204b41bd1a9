"""What a classifier of look-up tables does and holds: cycles, tables, registers, changes. Pure functions.

Cycles and registers are those of `rtl_models/poetbin/README.md`. Numbers of tables follow from the shape (nominal), or
were counted in a trained network (`Network`).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from accelerators.poetbin.design import Design
from hwsim.fpga import Fpga, level_ps
from hwsim.model import Action, Chunks, Drain, Work
from hwsim.netlist.lut6 import LUT_BITS, lut6_of
from hwsim.pure import ceil_div, clog2, pure

PERMILLE = 1_000


class Network(NamedTuple):
    """`vectors` samples of `features` bits through a network that gives `scores` numbers each. `trained` is 1 where the
    network was trained for this design's shape; the other numbers are its own then, and 0 otherwise.

    depth             levels as the network is written
    lut6, lut6_opaque 6-input tables that synthesis is expected to need, and of the primitives as they are
    inside_1 ... inside_3     signals that a register behind level 1, 2, 3 holds
    toggled_vectors           how often a sample followed another where changes were counted
    table_toggles     changes at the outputs of all those tables over that sequence
    lut6_toggles      the same, each as often as its table takes 6-input tables
    opaque_table_toggles, opaque_lut6_toggles   both of the primitives as they are
    input_toggles, output_toggles   changes of features, and of score bits
    shifted_input_permille, shifted_table_permille   changes from one state of a serial input register to the next, of
                      features and of tables, in thousandths of those from one sample to the next
    """

    vectors: int
    features: int
    scores: int
    trained: int
    depth: int
    lut6: int
    lut6_opaque: int
    inside_1: int
    inside_2: int
    inside_3: int
    toggled_vectors: int
    table_toggles: int
    lut6_toggles: int
    opaque_table_toggles: int
    opaque_lut6_toggles: int
    input_toggles: int
    output_toggles: int
    shifted_input_permille: int
    shifted_table_permille: int


def untrained(vectors: int, features: int, scores: int) -> Network:
    """`vectors` samples through a network of which the shape alone is known."""
    return Network(vectors, features, scores, *(0 for _ in Network._fields[3:]))


class Counts(NamedTuple):
    """What a run of samples asks for."""

    cycles: Annotated[int, Work("block")]
    drain: Annotated[int, Drain("block")]
    chunks: Annotated[int, Chunks()]
    vectors: Annotated[int, Action("input")]
    beats: Annotated[int, Action("input")]
    clocks: Annotated[int, Action("clock")]
    register_clocks: Annotated[int, Action("clock")]
    lut_toggles: Annotated[int, Action("lut")]
    net_toggles: Annotated[int, Action("net")]


# --- cycles -------------------------------------------------------------------------------------------------------


@pure
def beats(design: Design) -> int:
    """Clocks that the input port takes for a sample."""
    if design.serial_width == 0:
        return 1
    return ceil_div(design.inputs, min(design.serial_width, design.inputs))


@pure
def depth(design: Design, task: Network) -> int:
    """Levels of look-up tables from a feature to a score."""
    if task.trained == 1:
        return max(1, task.depth)
    levels = 2
    if design.trees_per_group > 1 or design.groups > 1:
        levels = 3
    if design.groups > 1:
        levels = 4
    return levels


@pure
def stages(design: Design, task: Network) -> int:
    """Registers inside the network, on the way from a feature to a score."""
    if design.pipeline == 0:
        return 0
    return ceil_div(depth(design, task), design.pipeline) - 1


@pure
def _classified(design: Design) -> int:
    if design.argmax:
        return 1
    return 0


@pure
def latency(design: Design, task: Network) -> int:
    """Clocks from a sample's first beat to its result on the port."""
    return beats(design) + 1 + stages(design, task) + _classified(design)


# --- look-up tables -----------------------------------------------------------------------------------------------


@pure
def neuron_luts(design: Design) -> int:
    """Look-up tables of one neuron: trees, a MAT module a group, and one over the groups."""
    tables = design.trees_per_group * design.groups
    if tables > 1:
        tables = tables + design.groups
    if design.groups > 1:
        tables = tables + 1
    return tables


@pure
def nominal_luts(design: Design) -> int:
    """Look-up tables of the network: neurons, and a table for each bit of each score."""
    return design.neurons * neuron_luts(design) + design.classes * design.q


@pure
def nominal_lut6(design: Design) -> int:
    """6-input tables of the network before any simplification, each table by the inputs it uses."""
    tree = lut6_of(design.inputs_per_lut)
    neuron = design.trees_per_group * design.groups * tree
    if design.trees_per_group * design.groups > 1:
        neuron = neuron + design.groups * lut6_of(design.trees_per_group)
    if design.groups > 1:
        neuron = neuron + lut6_of(design.groups)
    own = max(1, design.neurons // design.classes)
    return design.neurons * neuron + design.classes * design.q * lut6_of(own)


@pure
def argmax_lut6(design: Design) -> int:
    """6-input tables of the arg-max: for each of classes - 1 comparisons two bits a table, and a choice of score and
    index bits."""
    if not design.argmax:
        return 0
    return (design.classes - 1) * (ceil_div(design.q, 2) + design.q + clog2(design.classes))


@pure
def network_lut6(design: Design, task: Network) -> int:
    """6-input tables of the network: counted where it is trained, else of the shape."""
    if task.trained == 1:
        if design.opaque:
            return task.lut6_opaque
        return task.lut6
    return nominal_lut6(design)


@pure
def lut6(design: Design, task: Network) -> int:
    """6-input tables of the whole block."""
    return network_lut6(design, task) + argmax_lut6(design)


# --- registers ----------------------------------------------------------------------------------------------------


@pure
def _boundary(design: Design, task: Network, level: int) -> int:
    """Flip-flops of a register behind `level`, where the design has one there."""
    if design.pipeline == 0 or level >= depth(design, task):
        return 0
    if level % design.pipeline != 0:
        return 0
    if task.trained == 1:
        if level == 1:
            return task.inside_1
        if level == 2:
            return task.inside_2
        return task.inside_3
    left = depth(design, task) - level
    if left == 1:
        return design.neurons
    if left == 2:
        if design.groups > 1:
            return design.neurons * design.groups
        return design.neurons * design.trees_per_group
    return design.neurons * design.groups * design.trees_per_group


@pure
def flip_flops(design: Design, task: Network) -> int:
    """Flip-flops of the whole block."""
    count = beats(design)
    vector = design.inputs
    if count > 1:
        vector = count * min(design.serial_width, design.inputs)
    classified = _classified(design)
    held = vector + clog2(count) + design.classes * design.q + classified * clog2(design.classes)
    inside = _boundary(design, task, 1) + _boundary(design, task, 2) + _boundary(design, task, 3)
    return held + 2 + stages(design, task) + classified + inside


# --- counting -----------------------------------------------------------------------------------------------------


@pure
def _share(whole: int, part: int, base: int) -> int:
    return whole * part // max(1, base)


@pure
def count(design: Design, task: Network) -> Counts:
    """Cycles of a run, clocks of registers, and settled changes of tables and nets.

    The network sees every state of the input register: one a sample where it comes in parallel, all of its beats where
    it is shifted in. A table of the arg-max is taken to change as often as a bit of a score.
    """
    states = task.vectors * beats(design)
    after = latency(design, task) - beats(design)
    cycles = states + after
    activity = 2 * design.ones_permille * (PERMILLE - design.ones_permille)
    tables = _share(nominal_luts(design), states * activity, PERMILLE * PERMILLE)
    tables6 = _share(nominal_lut6(design), states * activity, PERMILLE * PERMILLE)
    features = _share(design.inputs, states, 2)
    scores = _share(design.classes * design.q, task.vectors * activity, PERMILLE * PERMILLE)
    if task.trained == 1:
        tables = _share(task.table_toggles, states, task.toggled_vectors)
        tables6 = _share(task.lut6_toggles, states, task.toggled_vectors)
        if design.opaque:
            tables = _share(task.opaque_table_toggles, states, task.toggled_vectors)
            tables6 = _share(task.opaque_lut6_toggles, states, task.toggled_vectors)
        features = _share(task.input_toggles, states, task.toggled_vectors)
        if beats(design) > 1:
            tables = _share(tables, task.shifted_table_permille, PERMILLE)
            tables6 = _share(tables6, task.shifted_table_permille, PERMILLE)
            features = _share(features, task.shifted_input_permille, PERMILLE)
        scores = _share(task.output_toggles, task.vectors, task.toggled_vectors)
    largest = _share(argmax_lut6(design), scores, design.classes * design.q)
    return Counts(
        cycles=states,
        drain=after,
        chunks=1,
        vectors=task.vectors,
        beats=states,
        clocks=cycles,
        register_clocks=cycles * flip_flops(design, task),
        lut_toggles=tables6 + largest,
        net_toggles=tables + features + scores + largest,
    )


# --- what the chip holds ------------------------------------------------------------------------------------------


Tables = NamedTuple("Tables", [(name, int) for name in Network._fields])
"""The look-up tables of the block of a Network, as configuration bits. Fields as there."""

Registers = NamedTuple("Registers", [(name, int) for name in Network._fields])
"""The flip-flops of the block of a Network. Fields as there."""


@pure
def table_bits(design: Design, held: Tables) -> int:
    """Configuration bits of the block's look-up tables: 64 each."""
    return lut6(design, held) * LUT_BITS


@pure
def register_bits(design: Design, held: Registers) -> int:
    """Flip-flops, a bit each."""
    return flip_flops(design, held)


# --- delay --------------------------------------------------------------------------------------------------------


@pure
def delay_ps(design: Design, fpga: Fpga, levels: int) -> float:
    """Picoseconds through `levels` levels: all of them, or those between two registers."""
    between = levels
    if design.pipeline > 0:
        between = min(levels, design.pipeline)
    return between * level_ps(fpga, design.inputs_per_lut)
