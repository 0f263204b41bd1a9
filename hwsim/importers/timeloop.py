"""Timeloop v4: an architecture of one flat hierarchy, and a problem, as a design and a workload of one layer.

The formats are those of timeloopfe (architecture version 0.4: a list of nodes tagged !Container, !Component and
!Parallel, from the DRAM to the multipliers). Tags are read as words and make nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwsim.document import MAX_YAML_BYTES, Checker, Document, Path_, parse_yaml, read_text, shown_path
from hwsim.importers.design import DEFAULT_DRAM, Array, Value, design_text
from hwsim.importers.layers import MAX_MACS, MAX_SIZE, Convolution, Layer, Matmul, Widths, workload_of
from hwsim.importers.notes import Findings, Imported, provenance, shown_name

TOOL = "Timeloop"
TAG = "!"
KINDS = ("Container", "Component", "Parallel", "Hierarchical")
SPACES = {"Inputs": "input", "Weights": "weight", "Outputs": "output"}
MAX_BITS = 1 << 46
REGISTER_WORDS = 2
"""Most words of an operand that a processing element of a systolic array holds: the one in use and the next."""
_TAGGED = re.compile(rf"^(\s*-\s+)!({'|'.join(KINDS)})[ ]*(#.*)?$", re.MULTILINE)


@dataclass(slots=True)
class Buffer:
    """A storage of an architecture."""

    name: str
    path: Path_
    bits: int
    word_bits: int
    spaces: tuple[str, ...]
    read: int
    write: int


@dataclass(slots=True)
class Machine:
    """What an architecture says, from the outside in."""

    check: Checker
    found: Findings
    shared: list[Buffer] = field(default_factory=list)
    mesh: dict[str, int] = field(default_factory=dict)
    mesh_path: Path_ = ()
    dram: Path_ | None = None
    dram_rate: bool = False
    mac: dict[str, int] | None = None
    cycle_s: float | None = None

    def left(self, path: Path_, why: str) -> None:
        """Note something that is left out."""
        self.found.note(self.check.document.where(path), why)


def read_timeloop(architecture: Path, problem: Path, dataflow: str, dram: str | None = None) -> Imported:
    """The design and the workload of an architecture and a problem.

    dataflow    ws, os or is: Timeloop's mapper chooses it for each layer, a design here has one
    dram        the DRAM part; DEFAULT_DRAM where it is None

    Raises InputError for what is wrong in the files, and for what cannot be carried over.
    """
    found = Findings()
    machine = _machine(architecture, found, dram)
    layer, name = _problem(problem, machine.mac or {}, found)
    origin = provenance(TOOL, {"architecture": architecture, "problem": problem})
    workload = workload_of(name, f"one layer, Timeloop's problem {shown_name(problem)}", [layer], origin)
    array = _array(machine, dataflow, dram, architecture)
    return Imported(workload, design_text(array, TOOL, shown_name(architecture)), tuple(found.notes))


def read_tagged(path: Path) -> Document:
    """A YAML file whose list entries may carry one of KINDS as a tag, which becomes the value of the key TAG.

    Raises InputError for what every YAML file is refused for, other tags among it.
    """
    text = read_text(path, MAX_YAML_BYTES)
    return parse_yaml(_TAGGED.sub(rf'\1"{TAG}": \2', text), shown_path(path))


# --- the architecture -----------------------------------------------------------------------------------------------

_NODE = (TAG, "name")
_NODE_MORE = ("class", "subclass", "attributes", "spatial", "constraints", "nodes", "enabled", "required_actions")
_CARRIED = ("depth", "width", "datawidth", "word-bits", "read_bandwidth", "write_bandwidth", "global_cycle_seconds",
            "multiplier_width", "adder_width")  # fmt: skip
_LEFT_OUT = {
    "technology": "energies here come from the technology table",
    "type": "the DRAM here is a part with timing of its own",
    **dict.fromkeys(("n_banks", "block_size", "block-size", "cluster_size", "n_rdwr_ports", "n_rd_ports", "n_wr_ports"),
                    "it decides energy and area there, which come from the technology table here"),
    **dict.fromkeys(("latency", "update_fifo_depth", "version"), "Timeloop's cycles do not depend on it"),
    **dict.fromkeys(("has_power_gating", "power_gated_at"), "power gating is not modelled here"),
}  # fmt: skip
_CONSTRAINTS = "left out: constraints of the mapper; tiles here are those with the fewest bits of DRAM traffic"


def _machine(path: Path, found: Findings, dram: str | None) -> Machine:
    check = Checker(read_tagged(path))
    machine = Machine(check, found)
    data = check.keys((), check.document.data, "an architecture file", ("architecture",),
                      ("variables", "components", "compound_components"))  # fmt: skip
    for key in data or ():
        if key != "architecture":
            machine.left((key,), "left out: energies and areas here come from the technology table")
    check.raise_problems()
    assert data is not None
    body = check.keys(("architecture",), data["architecture"], "an architecture", ("version", "nodes"))
    check.raise_problems()
    assert body is not None
    for at, node in _nodes(check, ("architecture", "nodes"), body["nodes"]):
        _node(machine, at, node)
    _whole(machine, dram)
    check.raise_problems()
    return machine


def _nodes(check: Checker, at: Path_, value: Any) -> Iterator[tuple[Path_, dict[str, Any]]]:
    """The nodes in order, those of a !Parallel as if they stood one behind the other."""
    for i, raw in enumerate(check.items(at, value, "nodes")):
        place = (*at, i)
        if isinstance(raw, dict) and raw.get(TAG) in ("Parallel", "Hierarchical"):
            if "nodes" in raw and len(place) < MAX_PLACE:
                yield from _nodes(check, (*place, "nodes"), raw["nodes"])
            else:
                check.fail(place, "missing-key", raw, "nodes side by side stand below `nodes`")
            continue
        node = check.keys(place, raw, "a node", _NODE, _NODE_MORE)
        if node is not None and all(key in node for key in _NODE):
            yield place, node


MAX_PLACE = 16


def _node(machine: Machine, at: Path_, node: dict[str, Any]) -> None:
    check = machine.check
    attributes = check.mapping((*at, "attributes"), node.get("attributes") or {}, "attributes") or {}
    for key in attributes:
        if key in _LEFT_OUT:
            machine.left((*at, "attributes", key), f"left out: {_LEFT_OUT[key]}")
        elif key not in _CARRIED:
            rule = "this attribute is not known, so what it means would be lost"
            check.fail((*at, "attributes", key), "unknown-key", key, rule, at_key=True)
    if "global_cycle_seconds" in attributes:
        machine.cycle_s = check.number((*at, "attributes", "global_cycle_seconds"), attributes["global_cycle_seconds"])
    if node.get("spatial"):
        _spatial(machine, (*at, "spatial"), node["spatial"])
    spaces = _constraints(machine, at, node.get("constraints"))
    if node[TAG] == "Component":
        _component(machine, at, node, attributes, spaces)
    elif node[TAG] != "Container":
        check.fail((*at, TAG), "choice", node[TAG], f"nodes are {', '.join(KINDS)}")


def _spatial(machine: Machine, at: Path_, value: Any) -> None:
    mesh = machine.check.keys(at, value, "spatial", (), ("meshX", "meshY")) or {}
    for key, size in mesh.items():
        whole = machine.check.integer((*at, key), size, 1, 4096)
        if key in machine.mesh:
            machine.check.fail((*at, key), "not-carried", size, f"{key} is spread out once: the array is one mesh")
        machine.mesh[key] = whole or 1
        machine.mesh_path = at


def _constraints(machine: Machine, at: Path_, value: Any) -> tuple[str, ...]:
    """The data spaces that a storage keeps."""
    if not value:
        return tuple(SPACES)
    raw = machine.check.mapping((*at, "constraints"), value, "constraints") or {}
    if set(raw) - {"dataspace"}:
        machine.left((*at, "constraints"), _CONSTRAINTS)
    place = (*at, "constraints", "dataspace")
    space = (
        machine.check.keys(place, raw.get("dataspace") or {}, "dataspace", (), ("keep", "keep_only", "bypass")) or {}
    )
    named = {key: [str(s) for s in machine.check.items((*place, key), space[key], key)] for key in space}
    for key, names in named.items():
        for name in names:
            if name not in SPACES:
                machine.check.fail((*place, key), "choice", name, f"data spaces are {', '.join(SPACES)}")
    kept = named.get("keep_only") or named.get("keep")
    return tuple(s for s in SPACES if (s in kept if kept else s not in named.get("bypass", ())))


def _component(machine: Machine, at: Path_, node: dict[str, Any], attributes: dict[str, Any],
               spaces: tuple[str, ...]) -> None:  # fmt: skip
    check, kind = machine.check, str(node.get("class", "")).lower()
    if machine.mac is not None:
        check.fail(at, "not-carried", node["name"], "nothing stands behind the multipliers")
    elif "mac" in kind or "compute" in kind:
        widths = ("datawidth", "multiplier_width", "adder_width")
        machine.mac = {k: w for k in widths if k in attributes
                       and (w := check.integer((*at, "attributes", k), attributes[k], 1, 64))}  # fmt: skip
    elif "dram" in kind:
        if machine.dram is not None or machine.shared or machine.mesh:
            check.fail(at, "not-carried", node["name"], "one DRAM stands before everything else")
        machine.dram, machine.dram_rate = at, bool({"read_bandwidth", "write_bandwidth"} & set(attributes))
    else:
        buffer = _buffer(check, at, node, attributes, spaces)
        if buffer is not None:
            _place(machine, buffer)


def _buffer(check: Checker, at: Path_, node: dict[str, Any], attributes: dict[str, Any],
            spaces: tuple[str, ...]) -> Buffer | None:  # fmt: skip
    number = {}
    for key, low in (("depth", 1), ("width", 1), ("datawidth", 0), ("read_bandwidth", 0), ("write_bandwidth", 0)):
        value = attributes.get(key, attributes.get("word-bits", 0) if key == "datawidth" else 0)
        number[key] = check.integer((*at, "attributes", key), value, low, MAX_BITS if key == "depth" else 1 << 24)
    depth, width = number["depth"], number["width"]
    if depth is None or width is None or depth * width > MAX_BITS:
        return None
    return Buffer(str(node["name"]), at, depth * width, number["datawidth"] or 0, spaces, number["read_bandwidth"] or 0,
                  number["write_bandwidth"] or 0)  # fmt: skip


def _place(machine: Machine, buffer: Buffer) -> None:
    """A buffer before the mesh is an SRAM; one behind it a register of each processing element."""
    check = machine.check
    if not machine.mesh:
        machine.shared.append(buffer)
        return
    words = buffer.bits // (buffer.word_bits or buffer.bits)
    if words > REGISTER_WORDS * max(1, len(buffer.spaces)):
        rule = f"a processing element holds {REGISTER_WORDS} words of an operand, and not a buffer"
        check.fail(buffer.path, "not-carried", f"{buffer.name}: {words} words", rule)
    machine.left(buffer.path, "left out: registers of each processing element; they are the array's own here")


def _whole(machine: Machine, dram: str | None) -> None:
    """Whether everything that a systolic array needs is there."""
    check, at = machine.check, ("architecture", "nodes")
    if machine.dram is None:
        check.fail(at, "not-carried", "no DRAM", "the first storage is a DRAM")
    elif machine.dram_rate and dram is None:
        rule = "a DRAM of so many words a cycle is not carried over: here it is a part with timing of its own"
        check.fail(machine.dram, "not-carried", "a bandwidth", rule, "Name the part with --dram.")
    elif machine.dram is not None:
        machine.left(machine.dram, f"Timeloop's DRAM is one of energy alone; here it is one channel of "
                                   f"{dram or DEFAULT_DRAM}")  # fmt: skip
    if machine.mac is None:
        check.fail(at, "not-carried", "no multiplier", "the last component is a multiplier (class intmac, fpmac ...)")
    if not machine.mesh:
        check.fail(at, "not-carried", "no mesh", "a container spreads the array out: spatial: {meshX: 16, meshY: 16}")
    for space, operand in SPACES.items():
        levels = [b for b in machine.shared if space in b.spaces]
        if not levels:
            check.fail(at, "not-carried", space, f"{operand}s need one buffer between DRAM and mesh")
        elif len(levels) > 1:
            rule = f"{operand}s have one buffer here, and this is a second one"
            check.fail(levels[1].path, "not-carried", levels[1].name, rule)


def _array(machine: Machine, dataflow: str, dram: str | None, path: Path) -> Array:
    file, where = shown_name(path), machine.check.document.where
    rows, columns = machine.mesh.get("meshY", 1), machine.mesh.get("meshX", 1)
    values = {
        "rows": Value(rows, f"{file}: meshY", where=where(machine.mesh_path)),
        "columns": Value(columns, f"{file}: meshX", where=where(machine.mesh_path)),
        "dataflow": Value(dataflow, "as asked for with --dataflow", "assumed"),
    }
    widths = _widths(machine.mac or {})
    for name, bits in zip(("input", "weight", "accumulator", "output"), (widths[0], *widths), strict=True):
        values[name] = Value(f"{bits} bit", f"{file}: widths of the multiplier")
    for space, name in SPACES.items():
        (buffer,) = [b for b in machine.shared if space in b.spaces]
        share = len(buffer.spaces)
        if share > 1:
            machine.left(buffer.path, f"{name}: this buffer is shared by {share} operands; here each has an equal part")
        place = where((*buffer.path, "attributes"))
        values[f"{name}_sram"] = Value(f"{buffer.bits // share} bit", f"{file}: {buffer.name}", "verified", place)
        rate = buffer.write if name == "output" else buffer.read
        if rate:
            values[f"{name}_bandwidth"] = Value(rate, f"{file}: {buffer.name}, words a cycle", "verified", place)
            values[f"{name}_banks"] = Value(1, f"{file}: {buffer.name} as one")
    if machine.cycle_s is not None:
        khz = round(1e-3 / machine.cycle_s) if machine.cycle_s > 0 else 0
        values["clock"] = Value(f"{khz} kHz", f"{file}: global_cycle_seconds", "verified")
    return Array(f"{rows} x {columns} array of Timeloop's {file}", values, dram or DEFAULT_DRAM)


def _widths(mac: Mapping[str, int]) -> tuple[int, int, int]:
    """Bits of operands, sums and results."""
    operand = mac.get("multiplier_width", mac.get("datawidth", 8))
    return operand, mac.get("adder_width", mac.get("datawidth", 2 * operand)), operand


# --- the problem ----------------------------------------------------------------------------------------------------

_CONV = frozenset("NGCMPQRS")
"""Batch, groups, input and output channels, output width and height, kernel width and height."""
_PLAIN = set(_CONV - {"G"})
_CONV_SPACES = {"Weights": set("CMRS"), "Inputs": set("NCPRQS"), "Outputs": set("NMPQ")}
_GEMM = {"M", "N", "K"}
_STEPS = ("Wstride", "Hstride", "Wdilation", "Hdilation")


def _problem(path: Path, mac: Mapping[str, int], found: Findings) -> tuple[Layer, str]:
    check = Checker(read_tagged(path))
    data = check.keys((), check.document.data, "a problem file", ("problem",))
    check.raise_problems()
    assert data is not None
    at: Path_ = ("problem",)
    body = check.keys(at, data["problem"], "a problem", ("instance",), ("version", "shape", "name"))
    check.raise_problems()
    assert body is not None
    shape, steps = _shape(check, body.get("shape", "cnn-layer"))
    instance = check.mapping((*at, "instance"), body["instance"], "an instance") or {}
    sizes = dict(steps)
    for key, value in instance.items():
        if key == "densities":
            check.fail((*at, "instance", key), "not-carried", value, "densities are not carried over", at_key=True)
        elif key not in shape and key not in _STEPS:
            check.fail((*at, "instance", key), "unknown-key", key, f"loops are {', '.join(sorted(shape))}", at_key=True)
        else:
            sizes[key] = check.integer((*at, "instance", key), value, 1, MAX_SIZE) or 1
    check.raise_problems()
    operand, _, result = _widths(mac)
    layer = _layer(path.stem, shape, sizes, Widths(operand, operand, result))
    if layer.macs > MAX_MACS or any(size > MAX_SIZE for size in layer.op()[1].values()):
        rule = f"a loop has at most {MAX_SIZE} steps, a layer {MAX_MACS} multiply-accumulates"
        check.fail((*at, "instance"), "too-large", layer.macs, rule)
    check.raise_problems()
    return layer, path.stem


def _shape(check: Checker, value: Any) -> tuple[set[str], dict[str, int]]:
    """The loops of a shape, and the steps that it has by default."""
    at: Path_ = ("problem", "shape")
    if value in ("cnn-layer", "cnn_layer", "CNN_Layer"):
        return set(_PLAIN), {}
    raw = check.keys(at, value, "a shape", ("dimensions", "data_spaces"), ("name", "version", "coefficients"))
    if raw is None or any(key not in raw for key in ("dimensions", "data_spaces")):
        check.raise_problems()
        return set(), {}
    loops = {str(d) for d in check.items((*at, "dimensions"), raw["dimensions"], "dimensions")}
    spaces = {}
    for i, space in enumerate(check.items((*at, "data_spaces"), raw["data_spaces"], "data_spaces")):
        one = check.keys((*at, "data_spaces", i), space, "a data space", ("name", "projection"), ("read_write",)) or {}
        spaces[str(one.get("name"))] = _loops_in(one.get("projection"), loops)
    gemm = loops == _GEMM and sorted(map(sorted, spaces.values())) == [["K", "M"], ["K", "N"], ["M", "N"]]
    gemm = gemm and spaces.get("Outputs") == {"M", "N"}
    grouped = {name: want | (loops & {"G"}) for name, want in _CONV_SPACES.items()}
    if not gemm and not (loops - {"G"} == _PLAIN and spaces == grouped):
        rule = "a shape is that of cnn-layer (C M R S N P Q, with or without G), or of a product (M N K)"
        check.fail(at, "not-carried", " ".join(sorted(loops)), rule)
    steps = {}
    for i, raw_step in enumerate(check.items((*at, "coefficients"), raw.get("coefficients") or [], "coefficients")):
        one = check.keys((*at, "coefficients", i), raw_step, "a coefficient", ("name", "default")) or {}
        if one.get("name") not in _STEPS:
            check.fail((*at, "coefficients", i), "choice", one.get("name"), f"coefficients are {', '.join(_STEPS)}")
        else:
            steps[str(one["name"])] = (
                check.integer((*at, "coefficients", i, "default"), one.get("default"), 1, 4096) or 1
            )
    check.raise_problems()
    return loops, steps


def _loops_in(value: Any, loops: set[str]) -> set[str]:
    """The loops that a projection names, however deeply they stand."""
    if isinstance(value, list):
        return {name for inner in value for name in _loops_in(inner, loops)}
    return {value} & loops if isinstance(value, str) else set()


def _layer(name: str, loops: set[str], sizes: Mapping[str, int], widths: Widths) -> Layer:
    if loops == _GEMM:
        m, n, k = _all(sizes, "MNK")
        return Matmul(name, m, n, k, widths=widths, source="problem")
    n, g, c, m, p, q, r, s = _all(sizes, "NGCMPQRS")
    wide, high, wide_d, high_d = _all(sizes, _STEPS)
    in_h, in_w = (q - 1) * high + (s - 1) * high_d + 1, (p - 1) * wide + (r - 1) * wide_d + 1
    return Convolution(name, c * g, m * g, in_h, in_w, q, p, s, r, high, wide, high_d, wide_d, groups=g, batch=n,
                       widths=widths, source="problem")  # fmt: skip


def _all(sizes: Mapping[str, int], names: Sequence[str]) -> list[int]:
    return [sizes.get(name, 1) for name in names]
