"""Put a trained network of look-up tables in the place of a stack of linear layers.

    python -m accelerators.poetbin.replace mnist-classifier --network mnist-5k --out mnist_luts.json
    python -m accelerators.poetbin.replace FILE.json --network DIR --stack features.fc1 --alone --out NEW.json

`--network` names a network of `accelerators/poetbin/trained` or the folder of a finished training. The new workload has
one operator of kind `lut_network` in the stack's place, which carries the network's counts: its tables, and how often
they change over the training's test samples, one after another in an order mixed once and for all. Accelerators other
than PoET-BiN refuse it by name, and PoET-BiN refuses what stands before it, such as convolutions; `--alone` leaves out
all but the network.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING

from accelerators.poetbin.counts import rinc_luts, rinc_shape
from accelerators.poetbin.stacks import NETWORK_KIND, Stack, stacks
from hwsim.document import Checker, read_json, shown_path
from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, InputError, Where, bad_input
from hwsim.expr import parse
from hwsim.netlist.lut6 import lut6_of
from hwsim.workload import store
from hwsim.workload.ir import Attr, Graph, Op, Phase, Role, Workload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hwsim.netlist.netlist import Netlist

RESULTS = {"inputs_per_lut": "p", "trees_per_group": "trees", "groups": "groups", "neurons": "neurons", "q": "q"}
"""Design field -> key of a training's results."""


SHIFTED_SAMPLES = 17
"""Samples that pass a shift register to measure its changes: the first one fills it."""

# --- what is measured of a network ----------------------------------------------------------------------------------


def measured(netlist: Netlist, bits: NDArray[np.uint8]) -> dict[str, int]:
    """The numbers of a `tasks.Network` by field: tables as they are and as synthesis is expected to cover them
    (`hwsim.netlist.mapping`), registers, and changes over the samples `bits`[samples, inputs] in order."""
    from hwsim.netlist.evaluate import toggles
    from hwsim.netlist.mapping import estimate_of
    from hwsim.netlist.simplify import simplify

    simple = simplify(netlist)
    covered = estimate_of(simple)
    changes, opaque = toggles(simple, bits), toggles(netlist, bits)
    primitives = {signal: len(lut.pins) for signal, lut in enumerate(netlist.luts, netlist.inputs)}
    return {
        "depth": netlist.depth,
        "lut6": covered.lut6,
        "lut6_opaque": sum(map(lut6_of, primitives.values())),
        **{f"inside_{level}": len(crossing(netlist, level)) for level in (1, 2, 3)},
        "toggled_vectors": len(bits) - 1,
        **_changes("", covered.tables, changes),
        **_changes("opaque_", primitives, opaque),
        "input_toggles": int(opaque[: netlist.inputs].sum()),
        "output_toggles": int(sum(opaque[s] for s in netlist.outputs)),
        **_shifted(netlist, bits, opaque),
    }


def _shifted(netlist: Netlist, bits: NDArray[np.uint8], changes: NDArray[np.int64]) -> dict[str, int]:
    """How much more often features and tables change from one state of a shift register of one bit a clock to the next
    than from one sample to the next (`changes`), in thousandths; over the first samples."""
    from accelerators.poetbin.bits import shifted
    from hwsim.netlist.evaluate import toggles

    states = shifted(bits[:SHIFTED_SAMPLES], 1)[bits.shape[1] :]
    moved = toggles(netlist, states)
    found = {}
    for what, part in (("input", slice(0, netlist.inputs)), ("table", slice(netlist.inputs, None))):
        a_state, a_sample = moved[part].sum() / max(1, len(states) - 1), changes[part].sum() / max(1, len(bits) - 1)
        found[f"shifted_{what}_permille"] = round(1000 * a_state / a_sample) if a_sample else 1000
    return found


def _changes(prefix: str, tables: Mapping[int, int], changes: NDArray[np.int64]) -> dict[str, int]:
    """Changes at the outputs of tables (signal -> inputs), and weighted by the 6-input tables of each."""
    weighted = sum(lut6_of(pins) * int(changes[signal]) for signal, pins in tables.items())
    return {f"{prefix}table_toggles": sum(int(changes[s]) for s in tables), f"{prefix}lut6_toggles": weighted}


def crossing(netlist: Netlist, level: int) -> set[int]:
    """Signals that a register behind `level` holds: of that level or below, and read behind it or an output."""
    levels = (*(0 for _ in range(netlist.inputs)), *netlist.levels())
    if level >= netlist.depth:
        return set()
    read = {pin for i, lut in enumerate(netlist.luts) if levels[netlist.inputs + i] > level for pin in lut.pins}
    return {s for s in read | set(netlist.outputs) if levels[s] <= level}


def read_network(name: str) -> tuple[Netlist, NDArray[np.uint8], dict[str, Attr]]:
    """The network called `name`, or in the folder of that name: netlist, test samples in mixed order, and what the
    operator says of them (shape, hashes). Raises InputError where a file is missing or wrong."""
    from accelerators.arrays import read_samples
    from accelerators.poetbin import trained
    from hwsim.netlist.document import read

    folder = trained.FOLDER / name if name in trained.names() else Path(name)
    if not (folder / "netlist.json.gz").is_file():
        raise bad_input("unknown-network", name, "this is neither a trained network nor the folder of a training",
                        f"Known: {', '.join(trained.names())}.", key="--network")  # fmt: skip
    trained_on, shape = _said(folder / "results.json")
    netlist, samples = read(folder / "netlist.json.gz"), read_samples(folder / "test.npz")
    _check_shape(folder, netlist, shape)
    if len(samples.bits) < 2 or samples.bits.shape[1] != netlist.inputs:
        raise bad_input("samples", f"{len(samples.bits)} samples of {samples.bits.shape[1]} features",
                        f"changes are counted over two samples or more of {netlist.inputs} features",
                        where=Where(shown_path(folder / "test.npz")))  # fmt: skip
    files = {key: hashlib.sha256((folder / file).read_bytes()).hexdigest()
             for key, file in (("netlist_sha256", "netlist.json.gz"), ("samples_sha256", "test.npz"))}  # fmt: skip
    return netlist, mixed(samples.bits), {"trained_on": trained_on, **shape, **files}


def mixed(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The samples in an order that knows nothing of their classes, and is the same everywhere: by the SHA-256 of their
    places. Data sets may come class by class (mnist-5k does), and neighbours of one class change fewer tables."""
    return bits[sorted(range(len(bits)), key=lambda place: hashlib.sha256(str(place).encode()).digest())]


def _said(path: Path) -> tuple[str, dict[str, int]]:
    """What results.json says of a training: its data, and the network's shape by design field."""
    document = read_json(path)
    check = Checker(document)
    raw = check.mapping((), document.data, "the results of a training")
    check.raise_problems()
    assert raw is not None
    absent = [key for key in ("data", *RESULTS.values()) if key not in raw]
    if absent:
        check.fail((), "missing", ", ".join(map(str, raw)), f"results of a training have {', '.join(absent)}")
    check.raise_problems()
    data = check.text((), raw, "data")
    shape = {field: check.integer((key,), raw[key], 1, 1 << 16) for field, key in RESULTS.items()}
    check.raise_problems()
    return str(data), {field: size for field, size in shape.items() if size is not None}


def _check_shape(folder: Path, netlist: Netlist, shape: Mapping[str, int]) -> None:
    """Raise InputError unless a network of this shape has as many tables, none of them wider, and whole scores."""
    pins, q = shape["inputs_per_lut"], shape["q"]
    classes, rest = divmod(len(netlist.outputs), q)
    widest = max((len(lut.pins) for lut in netlist.luts), default=0)
    sizes = (shape["trees_per_group"], shape["groups"], shape["neurons"])
    tables = sizes[2] * rinc_luts(rinc_shape(sizes[1], sizes[0])) + len(netlist.outputs)
    if rest or not classes or widest > pins or tables != len(netlist.luts):
        got = f"{len(netlist.luts)} tables of up to {widest} inputs and {len(netlist.outputs)} outputs"
        rule = f"results.json says {tables} tables of up to {pins} inputs and scores of {q} bits"
        raise bad_input("conflict", got, rule, "Take both files of one training.",
                        where=Where(shown_path(folder / "netlist.json.gz")))  # fmt: skip


# --- the replacement ------------------------------------------------------------------------------------------------


def stack_of(workload: Workload, name: str = "") -> Stack:
    """The stack that begins with the linear layer `name`, or the only one. Raises InputError naming those there are."""
    found = [stack for graph in workload.graphs.values() for stack in stacks(graph)]
    chosen = [stack for stack in found if name in ("", stack.ops[0].name)]
    if len(chosen) != 1:
        known = ", ".join(stack.ops[0].name for stack in found) or "none"
        rule = f"the workload {workload.name} has these stacks of linear layers: {known}"
        raise bad_input("unknown-stack", name, rule, "Name the first layer of one: --stack NAME.", key="--stack")
    return chosen[0]


def replace(workload: Workload, stack: Stack, attrs: Mapping[str, Attr], inputs: int, outputs: int) -> Workload:
    """`workload` with the operator of a network, which says `attrs`, in the place of `stack`.

    Raises InputError where the network's inputs or classes are not those of the stack.
    """
    first, last = stack.products[0], stack.products[-1]
    binding = {name: int(s.default) for name, s in workload.symbols.items() if not s.ratio}
    sizes, ends = first.sizes(binding), last.sizes(binding)
    for what, here, there in (("inputs", inputs, sizes["k"]), ("classes", outputs, ends["batch"] * ends["n"])):
        if here != there:
            raise bad_input("conflict", here, f"the stack at {first.name} has {there} {what}, the network {here}",
                            "Train one for this stack.", key=what)  # fmt: skip
    dims = {"samples": first.dims["m"], "inputs": first.dims["k"], "outputs": parse(outputs)}
    fed = tuple(n for n in first.inputs if stack.graph.tensors[n].role is not Role.WEIGHT)
    name = f"{first.name}.luts"
    op = Op(name, NETWORK_KIND, fed, stack.ops[-1].outputs, dims, dict(attrs), source="accelerators.poetbin")
    graph = _without(stack, op)
    provenance = {
        **workload.provenance,
        "replaced": f"{first.name} to {stack.ops[-1].name} by a network of look-up tables",
    }
    return replaced(workload, name=f"{workload.name}-luts", graphs={**workload.graphs, graph.name: graph},
                    summary=f"{workload.summary}; {first.name} and what follows replaced by look-up tables",
                    provenance=provenance)  # fmt: skip


def alone(workload: Workload) -> Workload:
    """`workload` with nothing left but its network of look-up tables, run as often as before."""
    graph, op = next((g, o) for g in workload.graphs.values() for o in g.ops if o.kind == NETWORK_KIND)
    tensors = {n: replaced(graph.tensors[n], role=Role.INPUT) for n in op.inputs}
    tensors |= {n: replaced(graph.tensors[n], role=Role.OUTPUT) for n in op.outputs}
    only = replaced(graph, ops=(op,), tensors=tensors, inputs=op.inputs, outputs=op.outputs)
    schedules = {name: tuple(_calling(graph.name, phases)) for name, phases in workload.schedules.items()}
    return replaced(workload, graphs={graph.name: only}, schedules={n: p for n, p in schedules.items() if p})


def _calling(graph: str, phases: Sequence[Phase]) -> Iterator[Phase]:
    """What is left of `phases` when only `graph` is called."""
    for phase in phases:
        calls = tuple(call for call in phase.calls if call.graph == graph)
        if calls:
            yield replaced(phase, calls=calls)


def _without(stack: Stack, op: Op) -> Graph:
    """The stack's graph with `op` for the stack, and without tensors that nothing reads any more."""
    graph = stack.graph
    ops = (*graph.ops[: stack.first], op, *graph.ops[stack.last + 1 :])
    used = {n for o in ops for n in (*o.inputs, *o.outputs)} | {*graph.inputs, *graph.outputs}
    dropped = {n for o in stack.ops for n in (*o.inputs, *o.outputs)} - used
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name not in dropped}
    inputs = tuple(name for name in graph.inputs if name in tensors)
    return replaced(graph, ops=ops, tensors=tensors, inputs=inputs)


def with_network(workload: Workload, network: str, stack: str = "") -> Workload:
    """`workload` with the trained network called `network` in the place of a stack. Raises InputError."""
    netlist, bits, attrs = read_network(network)
    chosen = stack_of(workload, stack)
    classes = len(netlist.outputs) // int(attrs["q"])
    return replace(workload, chosen, {**attrs, **measured(netlist, bits)}, netlist.inputs, classes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.poetbin.replace",
                                     description=(__doc__ or "").split("\n")[0])  # fmt: skip
    parser.add_argument("workload", metavar="WORKLOAD", help="name or file")
    parser.add_argument("--network", required=True, metavar="NAME", help="a trained network, or a training's folder")
    parser.add_argument(
        "--stack", default="", metavar="LAYER", help="first layer of the stack, where there are several"
    )
    parser.add_argument("--alone", action="store_true", help="leave out all but the network")
    parser.add_argument("--name", default="", metavar="NAME", help="name of the new workload")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    try:
        made = with_network(store.load_workload(given.workload), given.network, given.stack)
        made = alone(made) if given.alone else made
        store.write(replaced(made, name=given.name or made.name), given.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(f"{made.name}: {sum(1 for g in made.graphs.values() for _ in g.ops)} operators, written to {given.out}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
