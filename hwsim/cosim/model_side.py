"""What the model says of a case: cycles in total and by cause, and counts, through the engine as everywhere else."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from hwsim.cosim.case import Case
from hwsim.cosim.circuit import Circuit
from hwsim.demand import WORK
from hwsim.evaluation import Timed, evaluate_program
from hwsim.model import Program, load_model

KHZ_PS = 10**9
"""Picoseconds of one cycle of a clock of 1 kHz."""


class Cycles(NamedTuple):
    """Cycles of the unit's clock. The causes (`hwsim.cosim.circuit.CAUSES`) sum to the total. The model's are exact:
    integers where whole, else floats; reports print two decimals of those."""

    total: float
    fill: float
    compute: float
    stall: float
    drain: float


class Modelled(NamedTuple):
    """The model's answer to a case: its cycles, and each Counts field of the circuit summed over all steps."""

    cycles: Cycles
    counts: dict[str, int]


def modelled(circuit: Circuit, case: Case) -> Modelled:
    """Ask the model. Raises InputError where the bench cannot make a program of the case."""
    program = circuit.program(case.design, case.task, case.seed)
    timed = evaluate_program(load_model(circuit.model), case.design, case.parts, program)
    return Modelled(cycles_of(timed, program, circuit.unit), counts_of(timed, program, circuit))


def counts_of(timed: Timed, program: Program, circuit: Circuit) -> dict[str, int]:
    """Counts field -> its sum over the steps, for the fields the circuit counts too."""
    at = {name: timed.names.fields.index(name) for name in circuit.counters}
    return {name: sum(timed.counts[t][i] for t in program.task) for name, i in at.items()}


def cycles_of(timed: Timed, program: Program, unit: str) -> Cycles:
    """The total by cause, for one unit of the machine.

    fill     before the unit first works
    compute  the cycles its tasks ask of it (the largest of a task's Work fields)
    stall    between its first and its last work, less compute
    drain    after its last work
    """
    index = timed.names.units.index(unit)
    fields = [f for f, kind in enumerate(timed.columns.kind) if kind == WORK and timed.columns.resource[f] == index]
    steps = [i for i, t in enumerate(program.task) if timed.times[t].unit == index]
    clock_khz = getattr(timed.machine, unit).clock_khz
    total = _cycles(max(timed.clocked.done_ps, default=0), clock_khz)
    if not steps:
        return Cycles(_number(total), _number(total), 0, 0, 0)
    first = _cycles(min(timed.clocked.work_start[i] for i in steps), clock_khz)
    last = _cycles(max(timed.clocked.work_end[i] for i in steps), clock_khz)
    compute = Fraction(sum(max(timed.counts[program.task[i]][f] for f in fields) for i in steps))
    return Cycles(*map(_number, (total, first, compute, last - first - compute, total - last)))


def _cycles(time_ps: int, clock_khz: Any) -> Fraction:
    return Fraction(time_ps * int(clock_khz), KHZ_PS)


def _number(value: Fraction) -> float:
    return value.numerator if value.denominator == 1 else float(value)
