"""One question, answered whole: in which order a network's operators run, and where its tensors lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwsim.errors import bad_input
from hwsim.schedule.extract import Rules, from_workload
from hwsim.schedule.graph import Graph, live_steps
from hwsim.schedule.order import Schedule, plain_schedule, search
from hwsim.schedule.place import BYTE_BITS, Placement, place
from hwsim.schedule.rewrite import rewrite
from hwsim.schedule.traffic import Traffic, belady
from hwsim.workload.ir import Workload

ORDERS = ("dp", "kahn", "dfs", "rpo")
PLACEMENTS = ("greedy", "best-fit", "exact")


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for: how to order and place, and what the machine's kernels do."""

    order: str = "dp"
    place: str = "greedy"
    rewrite: bool = False
    align_bits: int = BYTE_BITS
    scratchpad_bits: int | None = None
    seconds: float | None = None
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer. `other` is breadth first on the graph as given, to hold the order against."""

    workload: str
    binding: Mapping[str, int]
    options: Options
    graph: Graph
    schedule: Schedule
    placement: Placement
    other_graph: Graph
    other: Schedule
    other_placement: Placement
    traffic: Traffic | None

    def as_json(self) -> dict[str, Any]:
        """The `--json` document: every size in bits."""
        s, p, t = self.schedule, self.placement, self.traffic
        return {
            "workload": self.workload,
            "graph": self.graph.name,
            "binding": dict(self.binding),
            "nodes": len(self.graph),
            "order_method": s.method,
            "rewritten": self.options.rewrite,
            "order": self._steps(),
            "peak_bits": s.peak_bits,
            "lower_bound_bits": s.lower_bound_bits,
            "proven_optimal": s.proven,
            "states": s.states,
            "parts": list(s.parts),
            "timed_out": s.timed_out,
            "kahn_peak_bits": self.other.peak_bits,
            "placement": {
                "method": p.method,
                "align_bits": p.align_bits,
                "arena_bits": p.arena_bits,
                "lower_bound_bits": p.lower_bound_bits,
                "proven_optimal": p.proven,
                "offsets_bits": dict(p.offset_bits),
            },
            "traffic": None if t is None else {
                "scratchpad_bits": t.scratchpad_bits,
                "loaded_bits": t.loaded_bits,
                "written_bits": t.written_bits,
                "streamed_nodes": t.streamed,
            },
        }  # fmt: skip

    def _steps(self) -> list[dict[str, Any]]:
        steps = zip(self.schedule.order, live_steps(self.graph, self.schedule.order), strict=True)
        return [{"node": name, "op": self.graph[name].op, "size_bits": self.graph[name].size_bits, "live_bits": during}
                for name, (during, _) in steps]  # fmt: skip


def order_of(graph: Graph, method: str, seconds: float | None = None) -> Schedule:
    """The schedule by one of ORDERS."""
    return search(graph, seconds=seconds) if method == "dp" else plain_schedule(graph, method)


def plan(workload: Workload, binding: Mapping[str, int], graph: str = "", options: Options = Options()) -> Plan:
    """Order and place one graph of a workload at the sizes of `binding`, which binds every symbol.

    A graph that the default schedule calls several times is taken at its last call. Raises InputError for a graph that
    is not there, and where there are several and none is named.
    """
    name = _graph_name(workload, graph)
    calls = workload.walk(binding, workload.schedule())
    local = next((bound for _, _, bound, found in reversed(calls) if found.name == name), dict(binding))
    local = {s: v for s, v in local.items() if s in workload.graphs[name].symbols}
    given = from_workload(workload.graphs[name], local, options.rules)
    chosen = rewrite(given) if options.rewrite else given
    schedule = order_of(chosen, options.order, options.seconds)
    other = plain_schedule(given, "kahn")
    placed = place(chosen, schedule.order, options.place, options.align_bits)
    pad = options.scratchpad_bits
    traffic = None if pad is None else belady(chosen, schedule.order, pad)
    return Plan(workload.name, local, options, chosen, schedule, placed, given, other,
                place(given, other.order, options.place, options.align_bits), traffic)  # fmt: skip


def _graph_name(workload: Workload, wanted: str) -> str:
    names = list(workload.graphs)
    if wanted in names:
        return wanted
    if wanted or len(names) != 1:
        rule = f"the workload {workload.name} has the graphs {', '.join(names)}"
        raise bad_input("graph", wanted or "no graph", rule, "Name one of them: --graph NAME.", key="--graph")
    return names[0]
