"""Cycles of one systolic array, with its operands always there. Pure functions of integers.

out[M, N] = in[M, K] x w[K, N] on R rows by C columns. A *fold* is one filling of the array:

    ws  R of K by C of N weights stay, M rows of inputs stream through
    is  R of K by C of M inputs stay, N columns of weights stream through
    os  R of M by C of N results stay, K steps of inputs and weights stream through

Filling (ws, is) or draining (os) takes R cycles, the stream of length T its T cycles and R + C - 2 of skew:
2R + C + T - 2 a fold (SCALE-Sim's published equation; Samajdar et al., ISPASS 2020). With `overlap` the next filling,
or the last drain, runs under the stream. Counted from the first cycle in which an operand enters the array to the last
in which a result leaves, both included.

An SRAM that gives fewer words a cycle than the array takes holds the stream back: a step of it then takes `interval`
cycles, and a row of a filling or drain likewise (`Pace`). Bubbles travel through the array with the data, so the skew
stays as it is.
"""

from __future__ import annotations

from typing import NamedTuple

from accelerators.systolic.design import Dataflow, Design
from hwsim.pure import ceil_div, pure

WS, OS, IS = (int(flow) for flow in Dataflow)


class Pace(NamedTuple):
    """Cycles of a step of the stream, and of filling or draining the whole array."""

    interval: int
    fill: int


@pure
def folds(dataflow: int, rows: int, columns: int, m: int, n: int, k: int) -> int:
    """Times the array is filled for a product of m x n over k."""
    if dataflow == WS:
        return ceil_div(k, rows) * ceil_div(n, columns)
    if dataflow == OS:
        return ceil_div(m, rows) * ceil_div(n, columns)
    return ceil_div(k, rows) * ceil_div(m, columns)


@pure
def streamed(dataflow: int, m: int, n: int, k: int) -> int:
    """Length of the stream of one fold."""
    if dataflow == WS:
        return m
    if dataflow == OS:
        return k
    return n


@pure
def skew(rows: int, columns: int) -> int:
    """Cycles from the last operand that enters at a corner to the last result at the other."""
    return rows + columns - 2


@pure
def run_cycles(
    overlap: bool, rows: int, columns: int, n_folds: int, pieces: int, full: int, last: int, pace: Pace
) -> int:
    """Cycles of `n_folds` folds, each streamed in `pieces` fillings: pieces - 1 of length `full`, one of `last`."""
    whole = ((pieces - 1) * full + last) * pace.interval
    if not overlap:
        return n_folds * (pieces * (pace.fill + skew(rows, columns)) + whole)
    between = (pieces - 1) * max(full * pace.interval, pace.fill)
    end = max(last * pace.interval, pace.fill)
    hidden = n_folds * (between + end) - end
    return pace.fill + hidden + last * pace.interval + skew(rows, columns)


@pure
def array_cycles(dataflow: int, overlap: bool, rows: int, columns: int, m: int, n: int, k: int) -> int:
    """Cycles of a whole product, folds one after the other, no SRAM in the way; 0 for an empty one.

    Without overlap folds * (2R + C + T - 2); with it R + (folds - 1) * max(T, R) + T + R + C - 2.
    """
    if min(m, n, k) < 1:
        return 0
    length = streamed(dataflow, m, n, k)
    return run_cycles(overlap, rows, columns, folds(dataflow, rows, columns, m, n, k), 1, length, length, Pace(1, rows))


@pure
def free_pace(design: Design) -> Pace:
    """The pace when every word is there in time."""
    return Pace(1, design.rows)


@pure
def cycles_for(words: int, given: int) -> int:
    """Cycles for so many words of which `given` come a cycle."""
    if 0 < words <= given:
        return 1
    return ceil_div(words, given)


@pure
def pace(design: Design, tile_m: int, tile_n: int, tile_k: int) -> Pace:
    """The pace that the SRAMs allow, for folds as large as tiles of this size make them."""
    inputs = design.input_bandwidth * design.input_banks
    weights = design.weight_bandwidth * design.weight_banks
    outputs = design.output_bandwidth * design.output_banks
    if design.dataflow == WS:
        along, across = min(design.rows, tile_k), min(design.columns, tile_n)
        return Pace(
            max(cycles_for(along, inputs), cycles_for(across, outputs)), design.rows * cycles_for(across, weights)
        )
    if design.dataflow == OS:
        along, across = min(design.rows, tile_m), min(design.columns, tile_n)
        return Pace(
            max(cycles_for(along, inputs), cycles_for(across, weights)), design.rows * cycles_for(across, outputs)
        )
    along, across = min(design.rows, tile_k), min(design.columns, tile_m)
    return Pace(max(cycles_for(along, weights), cycles_for(across, outputs)), design.rows * cycles_for(across, inputs))
