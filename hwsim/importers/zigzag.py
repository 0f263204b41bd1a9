"""ZigZag 3.9: accelerator and workload YAML, as far as the hierarchy is that of a systolic array.

The formats are those of zigzag-dse 3.9.1, accelerator_validator.py and workload_validator.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwsim.document import Checker, Path_, read_yaml, shown_path
from hwsim.dram import part, part_names, peak_bits_per_s
from hwsim.errors import Where, bad_input
from hwsim.importers.design import DEFAULT_DRAM, Array, Value, chosen, design_text
from hwsim.importers.layers import MAX_MACS, MAX_SIZE, Convolution, Layer, Matmul, Widths, workload_of
from hwsim.importers.notes import Findings, Imported, counted, provenance, shown_name
from hwsim.workload.ir import Workload

TOOL = "ZigZag"
OPERANDS = {"I1": "input", "I2": "weight", "O": "output"}
AXES = 2
MAX_BITS = 1 << 46
DEFAULT_WIDTHS = (8, 8, 16, 8)
"""Of input, weight, partial sum and output where the workload says nothing: an ONNX model."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory: bits, what it holds, which axes share it, bits a cycle it reads and writes at most."""

    name: str
    path: Path_
    size: int
    operands: tuple[str, ...]
    served: tuple[str, ...]
    read_bits: int
    write_bits: int
    shared_ports: bool
    is_dram: bool


@dataclass(slots=True)
class Hardware:
    """An accelerator file: axes with their sizes, memories from the multipliers outward, unrolled loops by axis."""

    check: Checker
    name: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    memories: list[Memory] = field(default_factory=list)
    unrolled: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def where(self, path: Path_) -> Where:
        """The place of a value."""
        return self.check.document.where(path)


def read_zigzag(hardware: Path, workload: Path, mapping: Path | None = None, dram: str | None = None) -> Imported:
    """The design and the workload of an accelerator and a workload, YAML or ONNX.

    mapping     its spatial mapping says which loops run on which axis; without it the accelerator's `dataflows` do
    dram        the DRAM part; DEFAULT_DRAM where it is None

    Raises InputError for what is wrong in the files, and for what cannot be carried over.
    """
    found = Findings()
    machine = _hardware(hardware, found)
    if mapping is not None:
        machine.unrolled = _mapping(mapping)
    files = {"hardware": hardware, "workload": workload, **({"mapping": mapping} if mapping else {})}
    network, widths = _workload(workload, files, found)
    array = _array(machine, widths, dram or DEFAULT_DRAM, hardware, found)
    found.check()
    assert array is not None
    return Imported(network, design_text(array, TOOL, shown_name(hardware)), tuple(found.notes))


# --- hardware -----------------------------------------------------------------------------------------------------

_MEMORY = ("size", "operands", "ports", "served_dimensions")
_LEFT = ("r_cost", "w_cost", "area", "latency", "auto_cost_extraction", "force_double_buffering")
_ARRAY = ("dimensions", "sizes")
_ARRAY_LEFT = ("unit_energy", "unit_area", "input_precision", "systolic_dimensions")
_IMC = ("is_imc", "imc_type", "adc_resolution", "bit_serial_precision")
_PORT = ("name", "type", "bandwidth_min", "bandwidth_max", "allocation")
_PRICES = "left out: energy, area and latency of this file; those here come from the tables of technology and DRAM"
_BUFFERS = "SRAMs here are double buffered: a tile fills at most half of one"


def _hardware(path: Path, found: Findings) -> Hardware:
    check = Checker(read_yaml(path))
    raw = check.keys(
        (), check.document.data, "an accelerator", ("name", "memories", "operational_array"), ("dataflows",)
    )
    check.raise_problems()
    assert raw is not None
    machine = Hardware(check, check.text((), raw, "name") or "")
    machine.sizes = _axes(check, raw["operational_array"])
    memories = check.mapping(("memories",), raw["memories"], "memories") or {}
    machine.memories = [m for name, value in memories.items() if (m := _memory(check, name, value)) is not None]
    if "dataflows" in raw:
        machine.unrolled = _loops(check, ("dataflows",), raw["dataflows"])
    check.raise_problems()
    found.note(machine.where(("memories",)), _PRICES)
    found.note(machine.where(("memories",)), _BUFFERS)
    return machine


def _axes(check: Checker, raw: Any) -> dict[str, int]:
    at: Path_ = ("operational_array",)
    array = check.keys(at, raw, "the operational array", _ARRAY, (*_ARRAY_LEFT, *_IMC))
    if array is None or any(key not in array for key in _ARRAY):
        return {}
    for key in _IMC:
        if array.get(key):
            check.fail((*at, key), "not-carried", array[key], "computing in memory is not carried over", at_key=True)
    names = check.items((*at, "dimensions"), array["dimensions"], "dimensions")
    sizes = check.items((*at, "sizes"), array["sizes"], "sizes")
    if len(names) != AXES or len(sizes) != AXES or len(set(map(str, names))) != AXES:
        check.fail((*at, "dimensions"), "not-carried", names, "a systolic array has two dimensions, each with its size")
        return {}
    moving = array.get("systolic_dimensions") or []
    if not isinstance(moving, list) or sorted(map(str, moving)) != sorted(map(str, names)):
        rule = "operands that reach all multipliers at once are not carried over: here they move from one to the next"
        remedy = f"Write systolic_dimensions: [{', '.join(map(str, names))}] if they do."
        check.fail((*at, "systolic_dimensions"), "not-carried", moving, rule, remedy)
    whole = [check.integer((*at, "sizes", i), size, 1, 4096) for i, size in enumerate(sizes)]
    return {str(name): size or 1 for name, size in zip(names, whole, strict=True)}


def _memory(check: Checker, name: str, value: Any) -> Memory | None:
    at: Path_ = ("memories", name)
    raw = check.keys(at, value, "a memory", _MEMORY, (*_LEFT, "mem_type"))
    if raw is None or any(key not in raw for key in _MEMORY):
        return None
    size = check.integer((*at, "size"), raw["size"], 1, MAX_BITS)
    operands = [str(o) for o in check.items((*at, "operands"), raw["operands"], "operands")]
    served = [str(d) for d in check.items((*at, "served_dimensions"), raw["served_dimensions"], "served_dimensions")]
    for i, operand in enumerate(operands):
        if operand not in OPERANDS:
            check.fail((*at, "operands", i), "choice", operand, "operands are I1, I2 and O")
    ports = check.items((*at, "ports"), raw["ports"], "ports")
    rates = {kind: [0] for kind in ("read", "write")}
    for i, port in enumerate(ports):
        kind, bits = _port(check, (*at, "ports", i), port)
        for side in rates:
            rates[side] += [bits] if side in kind else []
    is_dram = raw.get("mem_type", "sram") == "dram" or "dram" in name.lower()
    return Memory(name, at, size or 1, tuple(operands), tuple(served), max(rates["read"]), max(rates["write"]),
                  len(ports) < 2 * len(operands), is_dram)  # fmt: skip


def _port(check: Checker, at: Path_, value: Any) -> tuple[str, int]:
    """Of a port its type, and bits a cycle."""
    port = check.keys(at, value, "a port", _PORT)
    if port is None or any(key not in port for key in _PORT):
        return "", 0
    kinds = {kind: kind for kind in ("read", "write", "read_write")}
    kind = check.choice((*at, "type"), port["type"], kinds)
    bits = check.integer((*at, "bandwidth_max"), port["bandwidth_max"], 1, 1 << 24)
    return kind or "", bits or 1


_LOOP = re.compile(r"([A-Z]+)\s*,\s*[0-9]+\Z")


def _loops(check: Checker, at: Path_, value: Any) -> dict[str, tuple[str, ...]]:
    """Loops by axis: `D1: [K, 32]` as texts "K, 32"."""
    unrolled = {}
    for axis, loops in (check.mapping(at, value, "a spatial mapping") or {}).items():
        names = []
        for i, loop in enumerate(check.items((*at, axis), loops, "loops")):
            parts = _LOOP.match(loop) if isinstance(loop, str) else None
            if parts:
                names.append(parts[1])
            else:
                check.fail((*at, axis, i), "syntax", loop, 'a loop is a name and a size: "K, 32"')
        unrolled[axis] = tuple(names)
    return unrolled


def _mapping(path: Path) -> dict[str, tuple[str, ...]]:
    """The spatial mapping of a mapping file's default entry."""
    check = Checker(read_yaml(path))
    for i, entry in enumerate(check.items((), check.document.data, "a mapping file")):
        if isinstance(entry, dict) and entry.get("name") == "default" and "spatial_mapping" in entry:
            unrolled = _loops(check, (i, "spatial_mapping"), entry["spatial_mapping"])
            check.raise_problems()
            return unrolled
    check.fail((), "missing-key", check.document.data, "a mapping file has an entry `default` with a spatial mapping")
    check.raise_problems()
    return {}


# --- the array ----------------------------------------------------------------------------------------------------

REDUCED, FILTERS, PIXELS = {"C", "FX", "FY"}, {"K"}, {"B", "OX", "OY", "D", "H"}
_FLOWS = (("ws", REDUCED, FILTERS), ("os", PIXELS, FILTERS), ("is", REDUCED, PIXELS))
"""Of each dataflow the loops down the rows, and across the columns."""


def _orientation(machine: Hardware, found: Findings) -> tuple[str, str, str] | None:
    """(dataflow, axis of the rows, axis of the columns)."""
    first, second = machine.sizes
    at = ("operational_array", "dimensions")
    if not machine.unrolled:
        held = [m for m in machine.memories if m.operands == ("I2",) and not m.served]
        if held and machine.sizes[first] == machine.sizes[second]:
            text = "taken as weight stationary: each multiplier holds weights of its own, and the array is square"
            found.note(machine.where(held[0].path), text)
            return "ws", second, first
        rule = "which loops run on which axis is not said"
        found.fail(machine.where(at), "not-carried", list(machine.sizes), rule, "Give the mapping with --mapping.")
        return None
    loops = {axis: set(machine.unrolled.get(axis, ())) for axis in machine.sizes}
    for flow, down, across in _FLOWS:
        for rows, columns in ((first, second), (second, first)):
            if loops[rows] and loops[columns] and loops[rows] <= down and loops[columns] <= across:
                return flow, rows, columns
    shown = ", ".join(f"{axis}: {' '.join(sorted(names))}" for axis, names in loops.items())
    rule = "a systolic array has C and K on its axes (ws), pixels and K (os), or C and pixels (is)"
    found.fail(machine.where(at), "not-carried", shown, rule)
    return None


def _array(machine: Hardware, widths: Sequence[int], dram: str, path: Path, found: Findings) -> Array | None:
    orientation = _orientation(machine, found)
    memory = _dram(machine, found)
    srams = {operand: _sram(machine, operand, found) for operand in OPERANDS}
    if orientation is None or memory is None or found.problems:
        return None
    flow, rows, columns = orientation
    file = shown_name(path)
    stored = ("operational_array", "sizes")
    values = {
        "rows": Value(machine.sizes[rows], f"{file}: size of {rows}", where=machine.where(stored)),
        "columns": Value(machine.sizes[columns], f"{file}: size of {columns}", where=machine.where(stored)),
        "dataflow": Value(flow, f"{file}: what the spatial mapping leaves in the array", "computed"),
    }
    names = ("input", "weight", "accumulator", "output")
    for name, bits in zip(names, widths, strict=True):
        values[name] = Value(f"{bits} bit", "precision of the workload's layers")
    for (operand, name), bits in zip(OPERANDS.items(), (widths[0], widths[1], widths[2]), strict=True):
        values |= _sram_values(machine, operand, name, bits, srams[operand], file, found)
    held = [m for m in machine.memories if m.operands == ("I2",) and not m.served]
    double = flow == "ws" and bool(held) and held[0].size >= 2 * widths[1]
    values["overlap"] = Value(double, f"{file}: whether a multiplier's register holds the next weight too", "computed")
    values |= _dram_values(machine, memory, dram, file, found)
    sizes = f"{machine.sizes[rows]} x {machine.sizes[columns]}"
    return Array(f"{sizes} array of ZigZag's {file}", values, dram)


def _dram(machine: Hardware, found: Findings) -> Memory | None:
    last = machine.memories[-1] if machine.memories else None
    if last is not None and last.is_dram and set(last.operands) == set(OPERANDS):
        return last
    got = last.name if last else ""
    rule = "the last memory is the DRAM of all operands (mem_type: dram, or so called)"
    found.fail(machine.where(("memories",)), "not-carried", got, rule)
    return None


def _sram(machine: Hardware, operand: str, found: Findings) -> Memory | None:
    """The one SRAM of an operand; None where its registers are all it has."""
    levels = [m for m in machine.memories if operand in m.operands and not m.is_dram]
    shared = [m for m in levels if set(m.served) == set(machine.sizes)]
    partly = [m for m in levels if m.served and m not in shared]
    if partly:
        rule = "a memory that serves a row or a column is not carried over: all multipliers share one, or each has its "
        rule += "own"
        found.fail(machine.where(partly[0].path), "not-carried", partly[0].name, rule)
    if len(shared) > 1:
        rule = f"{OPERANDS[operand]}s have one SRAM here, and this is a second one"
        found.fail(machine.where(shared[1].path), "not-carried", shared[1].name, rule)
    if not shared and (operand != "I2" or not levels):
        rule = f"{OPERANDS[operand]}s need an SRAM that serves all multipliers"
        found.fail(machine.where(("memories",)), "not-carried", operand, rule)
    for memory in levels:
        if memory not in shared and memory not in partly and (operand != "I2" or shared):
            found.note(machine.where(memory.path), f"left out: registers of {OPERANDS[operand]}s in each multiplier; "
                                                   "they are the array's own here")  # fmt: skip
    return shared[0] if shared else None


def _sram_values(machine: Hardware, operand: str, name: str, bits: int, memory: Memory | None, file: str,
                 found: Findings) -> dict[str, Value]:  # fmt: skip
    """Size and bandwidth of the SRAM of an operand."""
    if memory is None:
        (held, *_) = [m for m in machine.memories if operand in m.operands and not m.served and not m.is_dram]
        first, second = machine.sizes.values()
        size = held.size * first * second
        where = machine.where((*held.path, "size"))
        found.note(where, f"weights have registers alone: {first} x {second} of them become one SRAM")
        return {f"{name}_sram": Value(f"{size} bit", f"{file}: {held.name} of all multipliers", "computed", where)}
    where = machine.where((*memory.path, "size"))
    sharers = len(memory.operands)
    if sharers > 1:
        found.note(where, f"{name}: this SRAM is shared by {sharers} operands; here each has its part of equal size")
    if memory.shared_ports:
        found.note(where, f"{name}: operands or directions share ports of this SRAM; here none waits for another")
    rate = memory.write_bits if operand == "O" else memory.read_bits
    source = f"{file}: {memory.name}"
    words = max(1, rate // bits)
    return {
        f"{name}_sram": Value(f"{memory.size // sharers} bit", source, "verified", where),
        f"{name}_bandwidth": Value(words, f"{source}, {rate} bits a cycle", "computed", where),
        f"{name}_banks": Value(1, f"{source}: one port", "verified"),
    }


def _dram_values(machine: Hardware, memory: Memory, dram: str, file: str, found: Findings) -> dict[str, Value]:
    """The clock at which the DRAM part's peak is so many bits a cycle as the file says."""
    if dram not in part_names():
        raise bad_input("unknown-part", dram, f"parts are {', '.join(part_names())}", key="--dram")
    bits = max(memory.read_bits, memory.write_bits)
    clock_khz = peak_bits_per_s(part(dram)) // bits // 1000
    where = machine.where(memory.path)
    text = f"cycles have no length in ZigZag; at {clock_khz / 1000:g} MHz the peak of {dram} is its {bits} bits a cycle"
    found.note(where, text)
    return {
        "clock": Value(
            f"{clock_khz} kHz", f"the peak of {dram} is the {bits} bits a cycle of {file}", "computed", where
        ),
        "dram_capacity": Value(f"{memory.size} bit", f"{file}: {memory.name}", "verified", where),
        "dram_channels": chosen(1, "one channel is what the clock is made for"),
    }


# --- the workload -------------------------------------------------------------------------------------------------

_EQUATION = re.compile(r"O((?:\[\w+\])+)\s*\+?\s*=\s*([WI])((?:\[\w+\])+)\s*\*\s*([WI])((?:\[\w+\])+)\s*\Z", re.ASCII)
_RELATION = re.compile(r"(\w+)\s*=\s*(?:([0-9]+)\s*\*\s*)?(\w+)\s*\+\s*(?:([0-9]+)\s*\*\s*)?(\w+)\Z", re.ASCII)
_LAYER = ("id", "operator_type", "equation", "loop_dims", "loop_sizes", "operand_precision")
_LAYER_MORE = ("name", "dimension_relations", "operand_source", "pr_loop_dims", "pr_loop_sizes", "padding")
_IMAGE = {
    "b": "B",
    "g": "G",
    "k": "K",
    "c": "C",
    "oy": "OY",
    "ox": "OX",
    "fy": "FY",
    "fx": "FX",
    "iy": "IY",
    "ix": "IX",
}
PRODUCTS = ("Conv", "Conv_downsample", "Gemm")


def _workload(path: Path, files: Mapping[str, Path], found: Findings) -> tuple[Workload, Sequence[int]]:
    """The workload, and the widths of input, weight, partial sum and output."""
    if path.suffix == ".onnx":
        from hwsim.importers.onnx_model import read_onnx

        made = read_onnx(path)
        assert made.workload is not None
        found.note(Where(shown_path(path)), "an ONNX model: 8-bit operands and 16-bit sums are taken, as ZigZag does")
        found.notes += made.notes
        return made.workload, DEFAULT_WIDTHS
    check = Checker(read_yaml(path))
    layers: list[Layer] = []
    widths: set[tuple[int, ...]] = set()
    for i, raw in enumerate(check.items((), check.document.data, "a workload")):
        layer = _layer(check, (i,), raw, widths, found)
        if layer is not None:
            layers.append(layer)
    if not layers and not check.problems:
        check.fail((), "empty", check.document.data, "a workload has at least one layer")
    if len(widths) > 1:
        check.fail(
            (),
            "not-carried",
            " ".join(map(str, sorted(widths))),
            "a design has one width for each operand, and layers differ",
        )
    check.raise_problems()
    found.note(check.document.where(()), "left out: which layer feeds which; each has inputs and outputs of its own")
    summary = f"{counted(len(layers), 'layer')} of ZigZag's workload {shown_name(path)}"
    return workload_of(path.stem, summary, layers, provenance(TOOL, files)), widths.pop()


def _layer(check: Checker, at: Path_, value: Any, widths: set[tuple[int, ...]], found: Findings) -> Layer | None:
    before = len(check.problems)
    raw = check.keys(at, value, "a layer", _LAYER, _LAYER_MORE)
    if raw is None or len(check.problems) > before:
        return None
    if raw["operator_type"] not in PRODUCTS:
        rule = "convolutions and products alone are carried over (Conv, Conv_downsample, Gemm)"
        check.fail((*at, "operator_type"), "not-carried", raw["operator_type"], rule)
        return None
    sizes = _sizes(check, at, raw)
    bits = _precision(check, at, raw["operand_precision"])
    equation = raw["equation"]
    parts = _EQUATION.match(equation) if isinstance(equation, str) else None
    if parts is None or {parts[2], parts[4]} != {"W", "I"}:
        check.fail((*at, "equation"), "equation", equation, "an equation reads O[..]+=W[..]*I[..]")
        return None
    if len(check.problems) > before or sizes is None or bits is None:
        return None
    widths.add(bits)
    index = {"O": _letters(parts[1]), parts[2]: _letters(parts[3]), parts[4]: _letters(parts[5])}
    name = str(raw.get("name") or f"layer{raw['id']}")
    width = Widths(bits[0], bits[1], bits[3])
    source = f"id {raw['id']}"[:100]
    if raw.get("dimension_relations"):
        return _convolution(check, at, raw, index, sizes, (name, width, source))
    return _matmul(check, at, index, sizes, (name, width, source))


def _letters(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _sizes(check: Checker, at: Path_, raw: Mapping[str, Any]) -> dict[str, int] | None:
    names = check.items((*at, "loop_dims"), raw["loop_dims"], "loop_dims")
    sizes = check.items((*at, "loop_sizes"), raw["loop_sizes"], "loop_sizes")
    if len(names) != len(sizes) or len(set(map(str, names))) != len(names):
        check.fail((*at, "loop_sizes"), "length", sizes, f"there is one size for each of {len(names)} loops")
        return None
    whole = [check.integer((*at, "loop_sizes", i), size, 1, MAX_SIZE) for i, size in enumerate(sizes)]
    return {str(name): size or 1 for name, size in zip(names, whole, strict=True)}


def _precision(check: Checker, at: Path_, value: Any) -> tuple[int, int, int, int] | None:
    raw = check.keys((*at, "operand_precision"), value, "operand_precision", ("W", "I", "O", "O_final"))
    if raw is None or len(raw) != len(DEFAULT_WIDTHS):
        return None
    found = [check.integer((*at, "operand_precision", key), raw.get(key), 1, 64) for key in ("I", "W", "O", "O_final")]
    return (found[0] or 1, found[1] or 1, found[2] or 1, found[3] or 1)


_Named = tuple[str, Widths, str]


def _matmul(check: Checker, at: Path_, index: Mapping[str, list[str]], sizes: Mapping[str, int],
            named: _Named) -> Layer | None:  # fmt: skip
    """Loops in all three tensors are a batch, in output and input rows, in output and weight columns."""
    out, left, right = (set(index[o]) for o in ("O", "I", "W"))
    unknown = (out | left | right) ^ {name.lower() for name in sizes}
    groups = {"batch": out & left & right, "m": out & left - right, "n": out & right - left, "k": left & right - out}
    if unknown or len(groups["batch"] | groups["m"] | groups["n"] | groups["k"]) != len(out | left | right):
        rule = "each loop stands in two of the three tensors, or in all, and each index is a loop"
        check.fail((*at, "equation"), "equation", " ".join(sorted(unknown or out)), rule)
        return None
    value = dict.fromkeys(groups, 1)
    for name, letters in groups.items():
        for letter in letters:
            value[name] *= next(size for loop, size in sizes.items() if loop.lower() == letter)
    name, width, source = named
    return _bounded(check, at, Matmul(name, **value, widths=width, source=source))


def _convolution(check: Checker, at: Path_, raw: Mapping[str, Any], index: Mapping[str, list[str]],
                 sizes: Mapping[str, int], named: _Named) -> Layer | None:  # fmt: skip
    unknown = sorted(name for name in (*sizes, *(i for v in index.values() for i in v)) if name.lower() not in _IMAGE)
    wanted = {"O": {"b", "g", "k", "oy", "ox"}, "W": {"g", "k", "c", "fy", "fx"}, "I": {"b", "g", "c", "iy", "ix"}}
    if unknown or any(not set(index[o]) <= wanted[o] for o in wanted) or ("g" in index["I"]) != ("g" in index["W"]):
        rule = "a convolution is O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix], less what is of size 1"
        check.fail((*at, "equation"), "equation", raw["equation"], rule)
        return None
    steps = _relations(check, at, raw["dimension_relations"])
    if steps is None:
        return None
    one = {name: sizes.get(name, 1) for name in ("B", "G", "K", "C", "OY", "OX", "FY", "FX")}
    edges = {axis: _edge(check, at, raw, axis) for axis in ("Y", "X")}
    spans = {axis: (one[f"O{axis}"] - 1) * steps[axis][0] + (one[f"F{axis}"] - 1) * steps[axis][1] + 1 for axis in "YX"}
    held = {axis: edges[axis][2] or spans[axis] - edges[axis][0] - edges[axis][1] for axis in "YX"}
    if any(not 1 <= held[axis] <= MAX_SIZE for axis in "YX"):
        check.fail((*at, "padding"), "range", raw.get("padding"), "padding leaves at least one row and one column")
        return None
    name, width, source = named
    layer = Convolution(
        name, one["C"] * one["G"], one["K"] * one["G"], held["Y"], held["X"], one["OY"], one["OX"], one["FY"],
        one["FX"], steps["Y"][0], steps["X"][0], steps["Y"][1], steps["X"][1], (*edges["Y"][:2], *edges["X"][:2]),
        one["G"], one["B"], width, source,
    )  # fmt: skip
    return _bounded(check, at, layer)


def _relations(check: Checker, at: Path_, value: Any) -> dict[str, tuple[int, int]] | None:
    """(stride, dilation) of rows "Y" and columns "X", from `ix=2*ox+1*fx`."""
    steps = {"Y": (1, 1), "X": (1, 1)}
    for i, text in enumerate(check.items((*at, "dimension_relations"), value, "dimension_relations")):
        parts = _RELATION.match(text) if isinstance(text, str) else None
        axis = parts[1][1:].upper() if parts else ""
        factors = {parts[3].lower(): int(parts[2] or 1), parts[5].lower(): int(parts[4] or 1)} if parts else {}
        out, tap = f"o{axis.lower()}", f"f{axis.lower()}"
        if axis not in steps or set(factors) != {out, tap} or not all(1 <= f <= MAX_SIZE for f in factors.values()):
            check.fail((*at, "dimension_relations", i), "relation", text, "a relation reads ix=2*ox+1*fx, for ix or iy")
            return None
        steps[axis] = (factors[out], factors[tap])
    return steps


def _edge(check: Checker, at: Path_, raw: Mapping[str, Any], axis: str) -> tuple[int, int, int]:
    """Padding before and after along one axis, and the input's size, 0 where that is not said."""
    dims = [str(d).upper() for d in raw.get("pr_loop_dims") or []]
    if f"I{axis}" not in dims:
        return 0, 0, 0
    i = dims.index(f"I{axis}")
    found = []
    for key in ("padding", "pr_loop_sizes"):
        values = raw.get(key) or []
        if values and (not isinstance(values, list) or len(values) != len(dims)):
            check.fail((*at, key), "length", values, "there is one entry for each of pr_loop_dims")
            return 0, 0, 0
        found.append(values[i] if values else None)
    sides = found[0] if isinstance(found[0], list) and len(found[0]) == AXES else [0, 0]
    before, after = (check.integer((*at, "padding", i), side, 0, 1 << 16) or 0 for side in sides)
    size = check.integer((*at, "pr_loop_sizes", i), found[1], 1, MAX_SIZE) if found[1] is not None else 0
    return before, after, size or 0


def _bounded(check: Checker, at: Path_, layer: Layer) -> Layer | None:
    sizes = [size for size in layer.op()[1].values() if size > MAX_SIZE]
    if sizes or layer.macs > MAX_MACS:
        rule = f"a loop has at most {MAX_SIZE} steps, a layer {MAX_MACS} multiply-accumulates"
        check.fail((*at, "loop_sizes"), "too-large", sizes[:1] or layer.macs, rule)
        return None
    return layer
