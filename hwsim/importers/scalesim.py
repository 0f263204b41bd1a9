"""SCALE-Sim 2 and 3: a configuration (.cfg) and a topology (.csv) as a design and a workload.

What SCALE-Sim reads is taken from its own readers, scale_config.py and topology_utils.py of release 3.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwsim.document import nearest, read_text, shown_path
from hwsim.errors import Where
from hwsim.importers.design import DEFAULT_DRAM, Array, Value, chosen, design_text
from hwsim.importers.layers import MAX_MACS, MAX_SIZE, Convolution, Layer, Matmul, workload_of
from hwsim.importers.notes import Findings, Imported, counted, provenance, shown_name
from hwsim.pure import ceil_div

TOOL = "SCALE-Sim"
MAX_CONFIG_BYTES = 1 << 18
MAX_TOPOLOGY_BYTES = 4 << 20
MAX_LAYERS = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the files leave open.

    round_up     output sizes as SCALE-Sim rounds them, not as PyTorch does
    depthwise    layers whose name says depthwise are, and not only those that SCALE-Sim knows by "DP"
    dram         the DRAM part; None: DEFAULT_DRAM, where SCALE-Sim's has no limit
    """

    round_up: bool = False
    depthwise: bool = False
    dram: str | None = None


def read_scalesim(config: Path, topology: Path, options: Options) -> Imported:
    """The design and the workload of two files.

    Raises InputError for what is wrong in them, and for what cannot be carried over.
    """
    found = Findings()
    cells = read_config(config, found)
    array = _array(cells, config, options, found)
    layers = read_topology(topology, options, found)
    found.check()
    assert array is not None
    origin = provenance(TOOL, {"configuration": config, "topology": topology},
                        **{"output sizes": "rounded up" if options.round_up else "rounded down"})  # fmt: skip
    summary = f"{counted(len(layers), 'layer')} of SCALE-Sim's topology {shown_name(topology)}"
    workload = workload_of(topology.stem, summary, layers, origin)
    return Imported(workload, design_text(array, TOOL, shown_name(config)), tuple(found.notes))


# --- the configuration ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a file and its place."""

    text: str
    where: Where


SECTIONS = ("general", "architecture_presets", "layout", "sparsity", "run_presets", "network_presets")
NEEDED = ("ArrayHeight", "ArrayWidth", "IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB", "Dataflow",
          "InterfaceBandwidth")  # fmt: skip
UNUSED = "SCALE-Sim 3.0.0 does not read it"
OFF = "without effect in SCALE-Sim while {switch} is off"
_OFFSET = "an address of its traces; cycles and traffic do not depend on it"
_LAYOUT = {side: OFF.format(switch=f"{side}CustomLayout") for side in ("Ifmap", "Filter")}
_SPARSE = OFF.format(switch="SparsitySupport")
LEFT_OUT: Mapping[str, str] = {
    "run_name": "the name of its reports",
    "IfmapOffset": _OFFSET,
    "FilterOffset": _OFFSET,
    "OfmapOffset": _OFFSET,
    "ReadRequestBuffer": "requests that wait for its DRAM simulator, which is off",
    "WriteRequestBuffer": "requests that wait for its DRAM simulator, which is off",
    **{f"{side}SRAMBank{what}": _LAYOUT[side] for side in _LAYOUT for what in ("Bandwidth", "Num", "Port")},
    "SparseRep": _SPARSE,
    "OptimizedMapping": _SPARSE,
    "BlockSize": _SPARSE,
    "RandomNumberGeneratorSeed": _SPARSE,
    "NonZeroElems": _SPARSE,
    "TopologyCsvLoc": "the topology is the one that is given",
    **dict.fromkeys(("MemoryBanks", "SRAM_row_size", "SRAM_bank_size", "DRAM_row_size", "DRAM_bank_size"), UNUSED),
}
"""Keys that are not carried over, and why that is no loss."""
SWITCHES: Mapping[str, str] = {
    "IfmapCustomLayout": "bank conflicts of a data layout are not carried over",
    "FilterCustomLayout": "bank conflicts of a data layout are not carried over",
    "SparsitySupport": "N:M sparsity is not carried over: no model of a systolic array here skips zeros",
    "UseRamulatorTrace": "DRAM times from Ramulator's traces are not carried over",
}
"""Switches that must be off."""
KNOWN = {key.lower(): key for key in (*NEEDED, *LEFT_OUT, *SWITCHES, "Bandwidth")}
DATAFLOWS = ("ws", "os", "is")


def read_config(path: Path, found: Findings) -> dict[str, Cell]:
    """The known keys of a configuration, in SCALE-Sim's spelling. Problems go to `found`.

    Raises InputError where the file cannot be read.
    """
    file = shown_path(path)
    cells: dict[str, Cell] = {}
    section = ""
    for number, line in enumerate(read_text(path, MAX_CONFIG_BYTES).split("\n"), 1):
        where = Where(file, number, len(line) - len(line.lstrip()) + 1)
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
            if section not in SECTIONS:
                found.fail(where, "unknown-section", section, f"sections are {', '.join(SECTIONS)}")
        elif text and text[0] not in "#;":
            _config_line(text, section, where, cells, found)
    for key in NEEDED:
        if key not in cells:
            found.fail(Where(file, 1, 1, key), "missing-key", "", "SCALE-Sim needs this key", f"Write {key} = ...")
    return cells


def _config_line(text: str, section: str, where: Where, cells: dict[str, Cell], found: Findings) -> None:
    parts = re.match(r"([^=:]*?)\s*[=:]\s*(.*)\Z", text)
    if not parts or not parts[1]:
        found.fail(where, "syntax", text, "a line is a [section] or KEY = VALUE")
        return
    key = KNOWN.get(parts[1].lower())
    if key is None:
        rule = "this key is not known, so what it means would be lost"
        found.fail(where, "unknown-key", parts[1], rule, nearest(parts[1], KNOWN.values()))
    elif not section:
        found.fail(where, "syntax", text, "a key stands below a [section]")
    elif key in cells:
        line = cells[key].where.line
        found.fail(where, "duplicate-key", key, f"the key stands at line {line} already", "Keep one.")
    else:
        cells[key] = Cell(parts[2], Where(where.file, where.line, where.col, key))


def _array(cells: Mapping[str, Cell], config: Path, options: Options, found: Findings) -> Array | None:
    """The array; None where a key that it needs is missing or wrong."""
    rows, columns = (_count(cells, key, 4096, found) for key in ("ArrayHeight", "ArrayWidth"))
    srams = {
        operand: _count(cells, key, 1 << 20, found)
        for operand, key in (("input", "IfmapSramSzkB"), ("weight", "FilterSramSzkB"), ("output", "OfmapSramSzkB"))
    }
    dataflow = _dataflow(cells, found)
    _leave_out(cells, found)
    _bandwidth(cells, options, found)
    if not (rows and columns and dataflow and all(srams.values())):
        return None
    values = {
        "rows": _value(rows, cells["ArrayHeight"], config),
        "columns": _value(columns, cells["ArrayWidth"], config),
        "dataflow": _value(dataflow, cells["Dataflow"], config),
    }
    for operand, key in (("input", "IfmapSramSzkB"), ("weight", "FilterSramSzkB"), ("output", "OfmapSramSzkB")):
        values[f"{operand}_sram"] = _value(f"{srams[operand]} KiB", cells[key], config)
    for key in ("input", "weight", "accumulator", "output"):
        values[key] = Value("8 bit", "SCALE-Sim 3.0.0, single_layer_sim.py: words of one byte, sums as well")
    values["overlap"] = Value(False, "SCALE-Sim's count: a fold's filling, stream and draining follow one another")
    if options.dram is None:
        return Array(_summary(config, rows, columns), {**values, **_no_limit()})
    return Array(_summary(config, rows, columns), values, options.dram)


def _summary(config: Path, rows: int, columns: int) -> str:
    return f"{rows} x {columns} array of SCALE-Sim's {shown_name(config)}"


def _no_limit() -> dict[str, Value]:
    return {"dram_channels": chosen(1, f"SCALE-Sim's DRAM has no limit; here it is a channel of {DEFAULT_DRAM}")}


def _value(value: str | int, cell: Cell, config: Path) -> Value:
    return Value(value, f"{shown_name(config)}: {cell.where.key}", "verified", cell.where)


def _count(cells: Mapping[str, Cell], key: str, highest: int, found: Findings) -> int:
    """A positive integer; 0 where there is none."""
    cell = cells.get(key)
    if cell is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,12}", cell.text) or not 1 <= int(cell.text) <= highest:
        found.fail(cell.where, "range", cell.text, f"an integer from 1 to {highest} is needed")
        return 0
    return int(cell.text)


def _dataflow(cells: Mapping[str, Cell], found: Findings) -> str:
    cell = cells.get("Dataflow")
    if cell is None or cell.text in DATAFLOWS:
        return cell.text if cell else ""
    found.fail(cell.where, "enum", cell.text, "dataflows are ws, os and is")
    return ""


def _leave_out(cells: Mapping[str, Cell], found: Findings) -> None:
    for key, cell in cells.items():
        if key in LEFT_OUT:
            found.note(cell.where, f"left out: {LEFT_OUT[key]}")
        elif key in SWITCHES and cell.text.lower() in ("true", "yes", "on", "1"):
            found.fail(cell.where, "not-carried", cell.text, SWITCHES[key], "Switch it off.")
        elif key in SWITCHES and cell.text.lower() not in ("false", "no", "off", "0"):
            found.fail(cell.where, "enum", cell.text, "a switch is True or False")


def _bandwidth(cells: Mapping[str, Cell], options: Options, found: Findings) -> None:
    mode, rate = cells.get("InterfaceBandwidth"), cells.get("Bandwidth")
    if mode is None:
        return
    if mode.text not in ("CALC", "USER"):
        found.fail(mode.where, "enum", mode.text, "InterfaceBandwidth is CALC or USER")
    elif mode.text == "USER" and options.dram is None:
        rule = "DRAM here is a part with timing of its own, not so many words a cycle for each operand"
        found.fail(mode.where, "not-carried", mode.text, rule, "Name the part with --dram, or write CALC.")
    elif options.dram is not None:
        limit = "of so many words a cycle for each operand" if mode.text == "USER" else "without limit"
        found.note(mode.where, f"left out: SCALE-Sim's DRAM {limit}; here it is {options.dram}, as asked for")
    else:
        found.note(mode.where, f"SCALE-Sim's DRAM has no limit in this mode; here it is one channel of {DEFAULT_DRAM}")
    if rate is not None:
        found.note(rate.where, "left out: words a cycle of its DRAM; DRAM here is a part with timing of its own")


# --- the topology -----------------------------------------------------------------------------------------------------

GEMM = ("M", "N", "K")
CONVOLUTION = ("IFMAP height", "IFMAP width", "filter height", "filter width", "channels", "num filter", "strides")
_RATIO = re.compile(r"([0-9]{1,6})(?::([0-9]{1,6}))?\Z")
_DEPTHWISE = re.compile(r"depth-?_?wise|(?<![a-z])dw(?:conv)?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """One layer as it is written: its name, its cells, and what each column is called."""

    name: Cell
    cells: tuple[Cell, ...]
    extra: str
    """What the column after the sizes is, by the header: "" for sparsity."""


def read_topology(path: Path, options: Options, found: Findings) -> list[Layer]:
    """The layers of a topology of convolutions or GEMMs. Problems go to `found`.

    Raises InputError where the file cannot be read.
    """
    file = shown_path(path)
    lines = read_text(path, MAX_TOPOLOGY_BYTES).split("\n")
    layers: list[Layer] = []
    header = [cell.strip() for cell in lines[0].split(",")]
    if all(cell.isdecimal() for cell in header[1:4]) and len(header) > 3:
        found.fail(Where(file, 1, 1), "header", lines[0], "the first line names the columns; SCALE-Sim skips it",
                   "Write a header above the layers.")  # fmt: skip
    for row in _rows(file, lines, found):
        layer = _layer(row, header, options, found)
        if layer is not None:
            layers.append(layer)
        if len(layers) > MAX_LAYERS or len(found.problems) > MAX_LAYERS:
            found.fail(row.name.where, "too-large", row.name.text, f"a topology has at most {MAX_LAYERS} layers")
            break
    if not layers and not found.problems:
        found.fail(Where(file, 1, 1), "empty", "", "there is no layer below the header")
    return layers


def _rows(file: str, lines: list[str], found: Findings) -> Iterator[Row]:
    for number, line in enumerate(lines[1:], 2):
        cells, col = [], 1
        for text in line.split(","):
            cells.append(Cell(text.strip(), Where(file, number, col + len(text) - len(text.lstrip()))))
            col += len(text) + 1
        while len(cells) > 1 and (not cells[-1].text or cells[-1].text.startswith("#")):
            cells.pop()
        if len(cells) == 1 and cells[0].text:
            found.fail(cells[0].where, "columns", line.strip(), "a layer is a name and its sizes, separated by commas")
        elif cells[0].text or len(cells) > 1:
            yield Row(cells[0], tuple(cells[1:]), "")


def _layer(row: Row, header: list[str], options: Options, found: Findings) -> Layer | None:
    """The layer of one row; None where something is wrong with it."""
    before = len(found.problems)
    names: tuple[str, ...]
    if len(row.cells) in (3, 4):
        names = GEMM
    elif 7 <= len(row.cells) <= 9:
        names = CONVOLUTION
    else:
        found.fail(row.name.where, "columns", f"{row.name.text}: {len(row.cells)} numbers",
                   "a GEMM has 3 (M, N, K), a convolution 7; one of sparsity may follow")  # fmt: skip
        return None
    sizes = [_size(cell, name, found) for cell, name in zip(row.cells, names, strict=False)]
    extras = _extras(row, names, header, found)
    if len(found.problems) > before:
        return None
    batch, stride_w = extras.get("batch", 1), extras.get("stride", sizes[-1])
    if names is GEMM:
        m, n, k = sizes
        return _checked(Matmul(row.name.text, m, n, k, source=_source(row)), row, found)
    return _convolution(row, sizes, batch, stride_w, options, found)


def _source(row: Row) -> str:
    return f"line {row.name.where.line}"


def _size(cell: Cell, name: str, found: Findings) -> int:
    where = Where(cell.where.file, cell.where.line, cell.where.col, name)
    if not re.fullmatch(r"[0-9]{1,12}", cell.text) or not 1 <= int(cell.text) <= MAX_SIZE:
        found.fail(where, "range", cell.text, f"an integer from 1 to {MAX_SIZE} is needed")
        return 0
    return int(cell.text)


def _extras(row: Row, names: tuple[str, ...], header: list[str], found: Findings) -> dict[str, int]:
    """What stands in columns after the sizes: a second stride or a batch by the header's word, else sparsity."""
    extras: dict[str, int] = {}
    for i, cell in enumerate(row.cells[len(names) :], len(names)):
        title = header[i + 1].lower() if i + 1 < len(header) else ""
        if "stride" in title:
            extras["stride"] = _size(cell, "stride width", found)
        elif "batch" in title:
            extras["batch"] = _size(cell, "batch", found)
        else:
            _sparsity(cell, found)
    return extras


def _sparsity(cell: Cell, found: Findings) -> None:
    where = Where(cell.where.file, cell.where.line, cell.where.col, "sparsity")
    ratio = _RATIO.match(cell.text)
    if not ratio:
        found.fail(where, "sparsity", cell.text, "sparsity is N:M", "Write 1:1 for a dense layer.")
    elif ratio[2] and ratio[1] != ratio[2]:
        found.note(where, f"left out: {cell.text} sparsity, {_SPARSE}")


def _convolution(
    row: Row, sizes: list[int], batch: int, stride_w: int, options: Options, found: Findings
) -> Layer | None:
    in_h, in_w, kernel_h, kernel_w, channels, filters, stride_h = sizes
    for what, kernel, size in (("height", kernel_h, in_h), ("width", kernel_w, in_w)):
        if kernel > size:
            where = Where(row.name.where.file, row.name.where.line, row.name.where.col, f"filter {what}")
            found.fail(where, "range", kernel, f"a filter is no larger than the input, of {size}")
            return None
    groups, filters = _groups(row, channels, filters, options, found)
    out_h, below = _output(in_h, kernel_h, stride_h, options)
    out_w, right = _output(in_w, kernel_w, stride_w, options)
    _note_rounding(row, (in_h, kernel_h, stride_h, out_h), (in_w, kernel_w, stride_w, out_w), options, found)
    layer = Convolution(row.name.text, channels, filters, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h,
                        stride_w, pad=(0, below, 0, right), groups=groups, batch=batch,
                        source=_source(row))  # fmt: skip
    return _checked(layer, row, found)


def _output(size: int, kernel: int, stride: int, options: Options) -> tuple[int, int]:
    """Windows along one side, and how far the last one reaches beyond the input."""
    out = ceil_div(size - kernel, stride) + 1 if options.round_up else (size - kernel) // stride + 1
    return out, max(0, (out - 1) * stride + kernel - size)


def _note_rounding(row: Row, high: tuple[int, ...], wide: tuple[int, ...], options: Options, found: Findings) -> None:
    """Say where SCALE-Sim rounds another way than PyTorch does, and what was done."""
    theirs = [ceil_div(size - kernel, stride) + 1 for size, kernel, stride, _ in (high, wide)]
    floors = [(size - kernel) // stride + 1 for size, kernel, stride, _ in (high, wide)]
    if theirs == floors:
        return
    up, down = (f"{h} x {w}" for h, w in (theirs, floors))
    done = f"{up} outputs, as SCALE-Sim counts, the last windows padded; PyTorch has {down}"
    if not options.round_up:
        done = f"{down} outputs, as PyTorch has; SCALE-Sim rounds up to {up} (--round-up does so too)"
    found.note(row.name.where, f"{row.name.text}: {done}")


def _groups(row: Row, channels: int, filters: int, options: Options, found: Findings) -> tuple[int, int]:
    """Groups and output channels. SCALE-Sim takes a layer apart by channels if its name holds "DP"."""
    name, where = row.name.text, row.name.where
    if "DP" in name:
        found.note(where, f'{name}: depthwise, for its name holds "DP": {channels} groups of {filters} filters')
        return channels, channels * filters
    if not _DEPTHWISE.search(name) or channels == 1:
        return 1, filters
    if not options.depthwise:
        found.note(where, f'{name}: no depthwise layer to SCALE-Sim, which knows those by "DP"; --depthwise takes it '
                          "for one")  # fmt: skip
        return 1, filters
    if filters not in (1, channels):
        found.fail(
            where, "depthwise", filters, f"a depthwise layer has 1 filter, or as many as its {channels} channels"
        )
    return channels, channels


def _checked(layer: Layer, row: Row, found: Findings) -> Layer | None:
    if layer.macs <= MAX_MACS:
        return layer
    found.fail(row.name.where, "too-large", row.name.text, f"a layer has at most {MAX_MACS} multiply-accumulates")
    return None
