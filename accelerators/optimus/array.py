"""How long the array is held by a piece of a product, cycle by cycle as rtl_models/optimus/README.md says.

Pure functions of integers, for a measured run of the window and for one in closed form. A *piece* is some consecutive
columns of a *tile* of output rows; `outputs` are the rows of the tile, `rows` the input vectors.
"""

from __future__ import annotations

from accelerators.optimus.closed_form import array_sets
from accelerators.optimus.design import Design
from hwsim.pure import ceil_div, clog2, pure


@pure
def array_ways(design: Design) -> int:
    """Multipliers that share a row."""
    return design.macs // array_sets(design.weight_format, design.macs, design.sets)


@pure
def depth_of(design: Design, outputs: int) -> int:
    """Rows of a tile in the set that has most."""
    return ceil_div(outputs, array_sets(design.weight_format, design.macs, design.sets))


@pure
def fill_cycles(design: Design, columns: int) -> int:
    """F: the first window arrives, as many elements a cycle as there are multipliers."""
    return ceil_div(min(design.window, columns), design.macs)


@pure
def write_cycles(design: Design, outputs: int) -> int:
    """D of the last piece of a tile: a result a cycle and multiplier."""
    return ceil_div(depth_of(design, outputs), array_ways(design))


@pure
def aside_cycles(design: Design, outputs: int) -> int:
    """D where the sums of a row are set aside, and P where they come back: as many bits a cycle and set as its
    multipliers' activations have."""
    bits = depth_of(design, outputs) * design.accumulator_width_bits
    return ceil_div(bits, array_ways(design) * design.activation_width_bits)


@pure
def ending_cycles(design: Design, rows: int, outputs: int, closes: int) -> int:
    """D: cycles that a row's sums take after its end. `closes` is 1 for the last piece of a tile, else 0."""
    if closes == 1:
        return write_cycles(design, outputs)
    if rows == 1:
        return 0
    return aside_cycles(design, outputs)


@pure
def returning_cycles(design: Design, rows: int, outputs: int, opens: int) -> int:
    """P: cycles in which the sums of earlier pieces come back. `opens` is 1 for the first piece of a tile, else 0."""
    if opens == 1 or rows == 1:
        return 0
    return aside_cycles(design, outputs)


@pure
def piece_cycles(design: Design, rows: int, outputs: int, columns: int, run: int, opens: int, closes: int) -> int:
    """Cycles for which a piece holds the array, when each of its rows is issued in `run` cycles.

    Fill and sums of the first row; then rows of max(run, max(D', F') + P'), where F' and P' are for the next row of
    the piece and D' is that of the row before. At a first row nothing is left of D': sums that the piece before set
    aside took as long as those that came back since, and results are written while the array goes on (`late_cycles`).
    """
    fill = fill_cycles(design, columns)
    back = returning_cycles(design, rows, outputs, opens)
    if rows == 1:
        return fill + back + run
    end = ending_cycles(design, rows, outputs, closes)
    first = max(run, fill + back)
    between = max(run, max(end, fill) + back)
    return fill + back + first + (rows - 2) * between + max(run, end)


@pure
def late_cycles(
    design: Design, rows: int, outputs: int, columns: int, run: int, opens: int, closes: int, before: int
) -> int:
    """Cycles for which a piece holds the array beyond `piece_cycles` when results of what ran before it are still
    written in its first `before` cycles: the sums of its first row wait for them, and its second row for those sums."""
    if rows == 1:
        return 0
    fill = fill_cycles(design, columns)
    back = returning_cycles(design, rows, outputs, opens)
    end = ending_cycles(design, rows, outputs, closes)
    late = max(0, before - fill - back - max(run, fill + back))
    if rows == 2:
        return max(run, end + late) - max(run, end)
    return max(run, max(end + late, fill) + back) - max(run, max(end, fill) + back)


@pure
def writing_cycles(design: Design, rows: int, outputs: int, held: int, closes: int, before: int) -> int:
    """Cycles in which results are still written after a piece that held the array for `held` cycles, `before` being
    those after the piece before it.

    Results are written one row after the other, those of the last piece of a tile at D cycles a row. A row lasts at
    least as long as writing the row before it in its piece, so that only its first row can find the writer busy.
    """
    if closes == 0:
        return max(0, before - held)
    end = write_cycles(design, outputs)
    return max(0, before - held + (rows - 1) * end) + end


@pure
def drain_cycles(design: Design, writing: int) -> int:
    """Cycles from the last one in which a product holds the array to its last result: the pipeline, the reduction
    network of a set, and all but the first of `writing` cycles in which results are written."""
    return design.pipeline_cycles + clog2(array_ways(design)) + writing - 1
