"""What becomes of a traced graph, by hand: which operators are joined, what is counted, what lies over what."""

from __future__ import annotations

import pytest

from hwsim.expr import parse
from hwsim.schedule.extract import Rules, from_workload
from hwsim.schedule.graph import Graph, Node, peak_bits
from hwsim.schedule.order import search
from hwsim.schedule.traffic import belady
from hwsim.workload.ir import Disposition, Op, Role, Tensor
from hwsim.workload.ir import Graph as Traced

CONV = {"batch": 1, "groups": 1, "in_channels": 4, "out_channels": 4, "in_h": 1, "in_w": 1, "out_h": 1, "out_w": 1,
        "kernel_h": 1, "kernel_w": 1}  # fmt: skip
APART = Rules(fuse=False)


def op(name: str, kind: str, reads: str, writes: str, **attrs: bool) -> Op:
    dims = {key: parse(size) for key, size in CONV.items()} if kind == "conv2d" else {}
    free = Disposition.FREE if kind == "view" else Disposition.MODELLED
    return Op(name, kind, tuple(reads.split()), tuple(writes.split()), dims, attrs, disposition=free)


def traced(*ops: Op, inputs: str = "x", outputs: str, channels: dict[str, int], states: str = "") -> Traced:
    """Tensors of 1 x channels x 1 x 1 elements of 8 bits, 4 channels unless it is said."""
    names = {t for o in ops for t in (*o.inputs, *o.outputs)} | {*inputs.split()}
    roles = dict.fromkeys(inputs.split(), Role.INPUT) | dict.fromkeys(states.split(), Role.STATE)
    tensors = {
        name: Tensor(name, tuple(parse(n) for n in (1, channels.get(name, 4), 1, 1)), 8, "int8",
                     roles.get(name, Role.ACTIVATION))
        for name in sorted(names)
    }  # fmt: skip
    return Traced("hand", tensors, ops, (*inputs.split(), *states.split()), tuple(outputs.split()))


def sizes(graph: Graph) -> dict[str, int]:
    return {node.name: node.size_bits // 8 for node in graph.nodes}


def test_an_elementwise_operator_is_computed_by_its_neighbour() -> None:
    graph = traced(op("c", "conv2d", "x", "y"), op("r", "elementwise", "y", "z"), outputs="z", channels={})
    assert sizes(from_workload(graph, {})) == {"x": 4, "c": 4}
    assert sizes(from_workload(graph, {}, APART)) == {"x": 4, "c": 4, "r": 4}
    # By the one before, by the one behind if nothing computes its operand, or by none.
    before = traced(op("r", "elementwise", "x", "y"), op("c", "conv2d", "y", "z"), outputs="z", channels={})
    assert sizes(from_workload(before, {})) == {"x": 4, "c": 4}


@pytest.mark.parametrize("outputs", ["y z", "z w"])
def test_a_value_that_something_else_needs_is_not_joined_away(outputs: str) -> None:
    more = (op("s", "conv2d", "y", "w"),) if "w" in outputs else ()
    graph = traced(op("c", "conv2d", "x", "y"), op("r", "elementwise", "y", "z"), *more, outputs=outputs, channels={})
    assert {"c": 4, "r": 4}.items() <= sizes(from_workload(graph, {})).items()


def test_an_operator_that_changes_the_size_is_not_joined() -> None:
    graph = traced(op("c", "conv2d", "x", "y"), op("up", "elementwise", "y", "z"), outputs="z", channels={"z": 12})
    assert sizes(from_workload(graph, {})) == {"x": 4, "c": 4, "up": 12}


def test_states_and_what_is_appended_to_them_are_not_counted() -> None:
    graph = traced(op("k", "conv2d", "x", "k"), op("append", "concat", "cache k", "grown", append=True),
                   op("use", "matmul", "x grown", "y"), outputs="y grown", channels={"cache": 40, "grown": 44},
                   states="cache")  # fmt: skip
    found = from_workload(graph, {})
    assert sizes(found) == {"x": 4, "k": 4, "append": 0, "use": 4}
    assert not found["append"].alias and search(found).peak_bits == 8 * 8


def test_a_node_with_several_outputs_holds_them_together() -> None:
    graph = traced(op("split", "copy", "x", "a b unread"), op("p", "conv2d", "a", "y"), op("q", "conv2d", "b", "z"),
                   outputs="y z", channels={"x": 8, "a": 5, "b": 3, "unread": 2})  # fmt: skip
    found = from_workload(graph, {})
    assert sizes(found)["split"] == 5 + 3 + 2
    assert found["p"].reads == found["q"].reads == ("split",)


def test_inputs_are_there_when_they_are_needed_or_from_the_start() -> None:
    graph = traced(op("p", "conv2d", "x", "y"), op("q", "matmul", "y other", "z"), inputs="x other", outputs="z",
                   channels={"x": 10, "other": 20, "y": 2, "z": 1})  # fmt: skip
    assert search(from_workload(graph, {})).peak_bits == 8 * (2 + 20 + 1)
    resident = from_workload(graph, {}, Rules(resident_inputs=True))
    assert search(resident).peak_bits == 8 * (10 + 20 + 2)
    assert peak_bits(resident, resident.names) == 8 * (10 + 20 + 2)


def test_a_sum_is_written_over_the_operand_that_ends_with_it() -> None:
    """Of two, the one with fewer readers."""
    graph = traced(op("p", "conv2d", "x", "a"), op("q", "conv2d", "x", "b"), op("sum", "elementwise", "a b", "c"),
                   op("last", "matmul", "a c", "d"), outputs="d", channels={"x": 1, "d": 1})  # fmt: skip
    found = from_workload(graph, {}, Rules(in_place=True))
    assert (found["sum"].in_place, found["last"].in_place) == ("q", "")
    assert search(found).peak_bits == 8 * (1 + 4 + 4)
    assert search(from_workload(graph, {})).peak_bits == 8 * (4 + 4 + 4)


def test_a_concat_leaves_its_parts_where_they_lie_or_copies() -> None:
    graph = traced(op("p", "conv2d", "x", "a"), op("q", "conv2d", "x", "b"), op("cat", "concat", "a b", "c"),
                   op("v", "view", "c", "seen"), op("last", "matmul", "seen", "d"), outputs="d",
                   channels={"c": 8, "seen": 8, "d": 1})  # fmt: skip
    leaves, copies = (from_workload(graph, {}, Rules(copy_concat=copy)) for copy in (False, True))
    assert (leaves["cat"].alias, copies["cat"].alias) == (True, False)
    assert (search(leaves).peak_bits, search(copies).peak_bits) == (8 * 12, 8 * 16)


def test_who_adds_to_a_buffer_that_was_begun_reads_it() -> None:
    """Two partial sums of 6 bytes from parts of 4, on a scratchpad that holds one sum and one part: the second part is
    loaded, the sum stays. On one that holds less than both, each step streams and the sum goes out and in again."""
    nodes = [Node("a", (), 4, "input"), Node("b", (), 4, "input"), Node("y0", ("a",), 6, buffer="y[]"),
             Node("y1", ("b",), 6, buffer="y[]"), Node("y", ("y0", "y1"), alias=True)]  # fmt: skip
    graph = Graph(nodes, ["y"])
    held, streamed = (belady(graph, graph.names, size) for size in (10, 9))
    assert (held.loaded_bits, held.written_bits, held.streamed) == (4 + 4, 6, 0)
    assert (streamed.loaded_bits, streamed.written_bits, streamed.streamed) == (4 + 4 + 6, 6 + 6, 2)
