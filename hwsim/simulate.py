"""The four steps, once, for every accelerator: lower -> count -> time -> price -> Result.

`run` is the whole of it: it reads the question, evaluates it (`hwsim.evaluation`), moves every uncertain input through
its range, and has the answer added up (`hwsim.accounting`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hwsim.accounting import result_of
from hwsim.config import DesignFile, load_design
from hwsim.document import nearest
from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.evaluation import Evaluation, Job, Known, evaluate
from hwsim.model import Program, structural_of
from hwsim.parts import TABLES, resolve_parts
from hwsim.result import Interval, Result
from hwsim.workload.family import Network, Parameter, load_network, network_of
from hwsim.workload.ir import Workload

FIDELITIES = ("closed", "events")
_PARTS = {table.figures: table.part for table in TABLES.values()}


# --- the inputs of a run ----------------------------------------------------------------------------------------


def resolve_binding(workload: Workload | Network, given: Mapping[str, float] | None = None) -> dict[str, float]:
    """Every symbol of `workload` with its value: the one given, or its default. Of a family, every parameter as well.

    Raises InputError for unknown symbols, values out of range, and fractions where an integer is due.
    """
    given = given or {}
    problems = []
    for name in given:
        if name not in workload.symbols:
            problems.append(_unknown_symbol(workload, name, given[name]))
    binding: dict[str, float] = {}
    for name, symbol in workload.symbols.items():
        value = given.get(name, symbol.default)
        if not symbol.ratio and value != int(value):
            problems.append(_binding_problem(name, value, "must be a whole number", "type"))
        elif not symbol.low <= value <= symbol.high or (symbol.ratio and value <= 0):
            rule = f"must be from {symbol.low:g} to {symbol.high:g}"
            problems.append(_binding_problem(name, value, rule, "range"))
        elif isinstance(symbol, Parameter) and symbol.choices and value not in symbol.choices:
            rule = f"must be one of {', '.join(map(str, symbol.choices))}"
            problems.append(_binding_problem(name, value, rule, "choice"))
        binding[name] = value if symbol.ratio else int(value)
    if problems:
        raise InputError(problems)
    return binding


def _unknown_symbol(workload: Workload | Network, name: str, value: float) -> Problem:
    family = isinstance(workload, Network) and workload.family is not None
    what = ("family", "parameter or symbol") if family else ("workload", "symbol")
    known = ", ".join(workload.symbols) or "none"
    rule = f"the {what[0]} {workload.name} has no such {what[1]} (it has: {known})"
    problem = _binding_problem(name, value, rule, "unknown-symbol")
    remedy = nearest(name, sorted(workload.symbols))
    return dataclasses.replace(problem, remedy=remedy) if remedy else problem


def _binding_problem(name: str, value: float, rule: str, code: str) -> Problem:
    remedy = f"Bind it: --bind {name}=NUMBER." if code != "unknown-symbol" else "Leave it out or correct its name."
    return Problem(code, Where(file=f"--bind {name}={value:g}", key=name), shown(value), rule, remedy)


# --- the interval -----------------------------------------------------------------------------------------------


def _uncertain(file: DesignFile, workload: Workload, given: Mapping[str, float]) -> dict[str, tuple[Any, Any]]:
    """Every uncertain input with the two ends of its range: design values, the figures of the tables
    that the design names (each table as a whole), and, unless the user bound them, the workload's symbols."""
    ends: dict[str, tuple[Any, Any]] = {
        v.key: (v.low, v.high) for v in file.values if v.low is not None and v.low != v.high
    }
    for name, symbol in workload.symbols.items():
        if symbol.uncertain and name not in given:
            ends[f"bind.{name}"] = symbol.uncertain
    ends |= {TABLES[key].figures: TABLES[key].bounds(name) for key, name in file.named.items()}
    return ends


class Figures(NamedTuple):
    """What an interval is made of."""

    latency_s: float
    energy_j: float


Moved = Callable[[Mapping[str, Any]], Figures | None]
Ends = Mapping[str, tuple[Any, Any]]
Tries = Mapping[str, Sequence[tuple[Any, Figures]]]


def _intervals(nominal: Figures, ends: Ends, moved: Moved, climb: bool) -> tuple[Interval, Interval, list[str]]:
    """Latency and energy intervals: each input to each end alone, then all together to the ends that lower and that
    raise the figure; with `climb`, on from there and from every single end, input by input, while any move gains.

    Every end was run, so the interval is an inner estimate: exact where the figure is monotone in every input, and too
    narrow where inputs act differently together than alone.
    """
    notes: list[str] = []
    alone: dict[str, list[tuple[Any, Figures]]] = {}
    for key, pair in ends.items():
        tried = [(end, moved({key: end})) for end in pair]
        alone[key] = [(end, e) for end, e in tried if e is not None]
        if len(alone[key]) < len(pair):
            notes.append(f"interval: an end of the range of {key} gives an impossible design and was left out")
    latency, energy = (_interval(figure, nominal, alone, moved, climb) for figure in (0, 1))
    return latency, energy, notes


def _interval(figure: int, nominal: Figures, alone: Tries, moved: Moved, climb: bool) -> Interval:
    base = nominal[figure]
    drivers, extremes = [], []
    for sign in (-1, 1):
        corner = {}
        best = base
        for key, tries in alone.items():
            reach, end = max(((sign * e[figure], i) for i, (_, e) in enumerate(tries)), default=(-math.inf, -1))
            if reach > sign * base:
                corner[key] = tries[end][0]
                best = max(best, sign * reach, key=lambda v: sign * v)
        joint = moved(corner) if len(corner) > 1 else None
        if joint is not None and sign * joint[figure] > sign * best:
            best = joint[figure]
        if climb:
            starts = [corner, *({key: end} for key, tries in alone.items() for end, _ in tries)]
            best = sign * max(sign * best, *(sign * _climbed(figure, sign, s, alone, moved) for s in starts))
        extremes.append(best)
    for key, tries in alone.items():
        figures = [base, *(e[figure] for _, e in tries)]
        if 0 < min(figures) < max(figures):
            drivers.append((key, max(figures) / min(figures)))
    drivers.sort(key=lambda d: (-d[1], d[0]))
    return Interval(base, extremes[0], extremes[1], tuple(drivers))


def _climbed(figure: int, sign: int, start: Mapping[str, Any], alone: Tries, moved: Moved) -> float:
    """The figure after moving one input after another to an end, or back, as long as any such move gains."""
    first = moved(start)
    if first is None:
        return -sign * math.inf
    here, best, gained = dict(start), first[figure], True
    while gained:
        gained = False
        for key, tries in alone.items():
            rest = {k: v for k, v in here.items() if k != key}
            for there in (rest, *({**rest, key: end} for end, _ in tries)):
                e = moved(there) if there != here else None
                if e is not None and sign * e[figure] > sign * best:
                    here, best, gained = there, e[figure], True
    return best


def _around(spread: Interval, value: float) -> Interval:
    """`spread`, which the closed form gave, with the run's own value, which a replay may put a little outside it."""
    return dataclasses.replace(spread, value=value, low=min(spread.low, value), high=max(spread.high, value))


def _figures(e: Evaluation) -> Figures:
    return Figures(e.latency_s, e.energy_j)


def _mover(file: DesignFile, job: Job, program: Program) -> Moved:
    """A function that evaluates the job with some inputs moved; None where the moved design is impossible.

    The program is lowered again only when a moved input is structural for the model.
    """
    structural = structural_of(job.model, program)
    known: Known = {}
    asked: dict[frozenset[tuple[str, Any]], Figures | None] = {}

    def moved(changes: Mapping[str, Any]) -> Figures | None:
        key = frozenset(changes.items())
        if key not in asked:
            asked[key] = anew(changes)
        return asked[key]

    def anew(changes: Mapping[str, Any]) -> Figures | None:
        binding = dict(job.binding)
        design_changes = {}
        prices = {}
        for key, value in changes.items():
            if key.startswith("bind."):
                binding[key[5:]] = value
            elif key in _PARTS:
                prices[_PARTS[key]] = value
            else:
                design_changes[key] = value
        try:
            design, named = file.replaced(design_changes)
        except InputError:
            return None
        parts = resolve_parts(named)._replace(**prices)
        there = dataclasses.replace(job, design=design, parts=parts, binding=binding)
        rebind = any(key.startswith("bind.") for key in changes)
        same = not rebind and not structural & {file.field_of(key) for key in design_changes}
        return _figures(evaluate(there, program, known=known) if same else evaluate(there))

    return moved


# --- the run ----------------------------------------------------------------------------------------------------


def _network(workload: str | Path | Workload | Network, train: str) -> Network:
    if isinstance(workload, Network):
        other = train and train != workload.train
        return dataclasses.replace(workload, train=train, _built={}) if other else workload
    return network_of(workload, train) if isinstance(workload, Workload) else load_network(workload, train)


def run(
    design: str | Path | DesignFile,
    workload: str | Path | Workload | Network,
    *,
    overrides: Sequence[str] = (),
    bind: Mapping[str, float] | None = None,
    fidelity: str = "closed",
    interval: bool = True,
    climb: bool = False,
    train: str = "",
) -> Result:
    """Run `workload` on `design` and answer with every figure.

    design      a shipped design's name, a YAML file, or a loaded DesignFile
    workload    a shipped workload's or a family's name, a JSON file, a Workload, or a Network
    overrides   "key=value" texts, as of --set
    bind        values of the workload's symbols (sizes and ratios) and of a family's parameters
    fidelity    "closed" (the recurrence) or "events" (SimPy replay with contention)
    interval    whether to move every uncertain input through its range
    climb       whether to search on for the interval's ends where inputs interact, which takes many times as long
    train       the name of an optimizer: run one training step of the workload with it; "" runs the workload itself

    Raises InputError for anything wrong with the input. An infeasible design is a Result, not an exception.
    """
    if fidelity not in FIDELITIES:
        raise bad_input("fidelity", fidelity, f"must be one of {', '.join(FIDELITIES)}", key="fidelity")
    file = design if isinstance(design, DesignFile) else load_design(design, overrides)
    network = _network(workload, train)
    given = dict(bind or {})
    values = resolve_binding(network, given)
    built = network.built(values)
    job = Job(file.model, file.design, resolve_parts(file.named), built, network.own(values))
    done = evaluate(job, fidelity=fidelity)
    latency = Interval(done.latency_s, done.latency_s, done.latency_s)
    energy = Interval(done.energy_j, done.energy_j, done.energy_j)
    notes: list[str] = []
    ends = _uncertain(file, built, given) if interval else {}
    if ends:
        closed = done if fidelity == "closed" else evaluate(job, done.program)
        latency, energy, notes = _intervals(_figures(closed), ends, _mover(file, job, done.program), climb)
        latency, energy = _around(latency, done.latency_s), _around(energy, done.energy_j)
    return result_of(file, done, fidelity, latency, energy, notes)
