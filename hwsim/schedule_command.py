"""The command `hwsim schedule`. What it needs is imported when it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.errors import bad_input

if TYPE_CHECKING:
    from hwsim.schedule.graph import Graph
    from hwsim.schedule.order import Schedule
    from hwsim.schedule.place import Placement
    from hwsim.schedule.plan import Options, Plan

BYTE_BITS = 8
LARGEST_BITS = BYTE_BITS << 40


def schedule_command_line(workload: str, bind: Mapping[str, float], train: str, graph: str, picture: Path | None,
                          as_json: bool, **how: Any) -> None:  # fmt: skip
    """Plan, print, and draw."""
    from hwsim.schedule.plan import plan
    from hwsim.simulate import resolve_binding
    from hwsim.workload.family import load_network

    if isnan(how["seconds"] or 1.0):
        raise bad_input("range", "nan", "must be a number of seconds", "For instance 10.", key="--seconds")
    network = load_network(workload, train)
    values = resolve_binding(network, bind)
    built = network.built(values)
    sizes = {n: int(v) for n, v in network.own(values).items() if not built.symbols[n].ratio}
    found = plan(built, sizes, graph, _options(**how))
    if picture:
        _draw(found, picture)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **found.as_json()}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join(lines_of(found)))


def _options(order: str, place: str, rewrite: bool, align: int, scratchpad: str, seconds: float | None,
             fuse: bool, copy_concat: bool, in_place: bool, resident_inputs: bool) -> Options:  # fmt: skip
    from hwsim.schedule.extract import Rules
    from hwsim.schedule.plan import Options

    return Options(order, place, rewrite, align * BYTE_BITS, _size(scratchpad), seconds,
                   Rules(fuse, copy_concat, in_place, resident_inputs))  # fmt: skip


def _size(text: str) -> int | None:
    from hwsim.units import QuantityError, parse_integer

    if not text:
        return None
    try:
        found = parse_integer(text, "scratchpad_bits")
    except QuantityError as error:
        raise bad_input(error.code, text, str(error), error.remedy, key="--scratchpad") from None
    if not 1 <= found <= LARGEST_BITS:
        rule = "a scratchpad holds at least one bit" if found < 1 else "a scratchpad holds at most 1 TiB"
        raise bad_input("range", text, rule, 'For instance "64 KiB".', key="--scratchpad")
    return found


def lines_of(plan: Plan) -> list[str]:
    """The plan for people: a line a step, then the sums."""
    from hwsim.report.text import memory, plain, ratio

    s, p = plan.schedule, plan.placement
    lines = [f"{plan.workload} {plan.graph.name}: {len(plan.graph)} nodes"]
    for step in plan.as_json()["order"]:
        where = memory(p.offset_bits[plan.graph[step["node"]].storage]) if step["size_bits"] else ""
        lines.append(f"  {plain(step['node'], 44):44} {memory(step['size_bits']):>10} at {where:>10}"
                     f"  live {memory(step['live_bits']):>10}")  # fmt: skip
    sure = "no order stays below" if s.proven else f"no order stays below {memory(s.lower_bound_bits)}"
    gain = ratio(plan.other.peak_bits, s.peak_bits)
    lines.append(f"peak of live tensors {memory(s.peak_bits)} ({s.method}): {sure}")
    lines.append(f"breadth first on the graph as given {memory(plan.other.peak_bits)}, {gain:.2f} times as much")
    fit = "no arena is smaller" if p.proven else f"no arena is smaller than {memory(p.lower_bound_bits)}"
    lines.append(f"arena {memory(p.arena_bits)} ({p.method}): {fit}")
    if s.timed_out:
        lines.append("the time ran out: this answer depends on the machine")
    if plan.traffic:
        t = plan.traffic
        lines.append(f"through a scratchpad of {memory(t.scratchpad_bits)}: {memory(t.loaded_bits)} loaded, "
                     f"{memory(t.written_bits)} written, {t.streamed} nodes streamed")  # fmt: skip
    return lines


def _draw(plan: Plan, path: Path) -> None:
    from hwsim.report import arena

    if path.suffix != ".svg":
        raise bad_input("write", str(path), "the picture is an SVG file", "Name a file FILE.svg.", key="--picture")
    panels = [_panel("breadth first, as given", plan.other_graph, plan.other, plan.other_placement),
              _panel(f"order {plan.schedule.method}{', rewritten' if plan.options.rewrite else ''}", plan.graph,
                     plan.schedule, plan.placement)]  # fmt: skip
    try:
        arena.save(panels, path)
    except OSError as error:
        raise bad_input("write", str(path), f"the picture can't be written: {error.strerror}",
                        "Name a file in a folder that can be written.", key="--picture") from None  # fmt: skip


def _panel(title: str, graph: Graph, schedule: Schedule, placement: Placement) -> Any:
    from hwsim.report.arena import Panel, Tenant
    from hwsim.schedule.graph import live_steps

    tenants = [Tenant(" = ".join(b.buffers), b.first, b.last, placement.offset_bits[b.buffers[0]], b.size_bits)
               for b in placement.blocks]  # fmt: skip
    live = [during for during, _ in live_steps(graph, schedule.order)]
    return Panel(title, schedule.order, live, tenants, placement.arena_bits)
