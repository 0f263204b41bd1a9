"""Verilog of a build: each network between its registers, and a top that puts the one asked for on the bench."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from hwsim.cosim.circuit import Generated
from hwsim.errors import bad_input
from hwsim.netlist.netlist import Netlist
from hwsim.netlist.verilog import Style, stages_inside, verilog

VECTORS = 1024
"""Capacity of the bench."""

REGISTERS = {"vectors": 16, "beats": 16, "width": 16, "argmax": 1, "luts": 16, "idle": 16}
"""Run-time registers of the bench and their bits."""
CYCLES = ("cycles_total", "cycles_fill", "cycles_compute", "cycles_stall", "cycles_drain")
COUNTS = ("count_vectors", "count_beats")
LATENCIES = ("latency_scores_min", "latency_scores_max", "latency_class_min", "latency_class_max", "settle_min",
             "settle_max")  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A network with its registers and ports, as README.md has them.

    serial_width  bits a beat; 0, or the number of inputs and more, for all at once
    pipeline      levels between registers inside the network, 0 for none
    probe         whether the outputs of look-up tables are brought out; only without registers inside
    """

    netlist: Netlist
    classes: int
    q: int
    serial_width: int = 0
    argmax: bool = False
    pipeline: int = 0
    style: Style = Style.PLAIN
    probe: bool = True

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.serial_width if 0 < self.serial_width < self.netlist.inputs else self.netlist.inputs

    @property
    def beats(self) -> int:
        """Beats of a vector: B of README.md."""
        return -(-self.netlist.inputs // self.width)

    @property
    def inside(self) -> int:
        """Registers on the way through the network: S."""
        return stages_inside(self.netlist.depth, self.pipeline)

    @property
    def latency_scores(self) -> int:
        """Cycles from a vector's first beat to its scores."""
        return self.beats + 1 + self.inside

    @property
    def probed(self) -> int:
        """Look-up tables whose outputs are brought out."""
        return len(self.netlist.luts) if self.probe and not self.pipeline else 0

    @cached_property
    def number(self) -> int:
        """What names it in a build: a checksum of all that it consists of."""
        return zlib.crc32(self._text("").encode())

    @property
    def name(self) -> str:
        """The name of its module."""
        return f"poetbin_{self.number:08x}"

    def source(self) -> Generated:
        """Its file: the network, and the module that puts registers round it."""
        return Generated(f"{self.name}.v", self._text(f"{self.number:08x}"))

    def _text(self, number: str) -> str:
        network = verilog(
            self.netlist, top=f"network_{number}", style=self.style, pipeline=self.pipeline, probe=bool(self.probed)
        )
        return f"{network}\n{self._wrapper(number)}"

    def _wrapper(self, number: str) -> str:
        n, outputs = self.netlist, self.classes * self.q
        class_bits = max(1, (self.classes - 1).bit_length())
        clock = ["        .clk(clk),"] if self.pipeline else []
        probe = ["        .luts(luts),"] if self.probed else []
        ports = [f",\n    output wire [{self.probed - 1}:0] luts"] if self.probed else [""]
        return "\n".join([
            f"// {self._summary()}",
            f"module poetbin_{number} (",
            "    input  wire clk,",
            "    input  wire reset,",
            "    input  wire in_valid,",
            f"    input  wire [{self.width - 1}:0] in_data,",
            "    output wire out_valid,",
            f"    output wire [{outputs - 1}:0] out_scores,",
            "    output wire class_valid,",
            f"    output wire [{class_bits - 1}:0] out_class{ports[0]}",
            ");",
            f"    wire [{n.inputs - 1}:0] vector;",
            f"    wire [{outputs - 1}:0] scores;",
            "    wire settled;",
            "",
            f"    poetbin_input #(.INPUTS({n.inputs}), .WIDTH({self.width}), .BEATS({self.beats})) front (",
            "        .clk(clk), .reset(reset), .in_valid(in_valid), .in_data(in_data), .vector(vector),",
            "        .settled(settled)",
            "    );",
            "",
            f"    network_{number} network (",
            *clock,
            *probe,
            "        .in(vector), .out(scores)",
            "    );",
            "",
            f"    poetbin_output #(.CLASSES({self.classes}), .SCORE_BITS({self.q}), .INSIDE({self.inside}), "
            f".ARGMAX({int(self.argmax)})) back (",
            "        .clk(clk), .reset(reset), .settled(settled), .scores(scores), .out_valid(out_valid),",
            "        .out_scores(out_scores), .class_valid(class_valid), .out_class(out_class)",
            "    );",
            "endmodule",
            "",
        ])  # fmt: skip

    def _summary(self) -> str:
        port = "parallel" if self.beats == 1 else f"{self.beats} beats of {self.width} bits"
        return f"{port}, {self.classes} classes of {self.q} bits, {self.inside} registers inside"

    def __hash__(self) -> int:
        return self.number


@lru_cache(maxsize=64)
def sources(blocks: tuple[Block, ...]) -> tuple[Generated, ...]:
    """The generated sources of a build with these blocks: one file a block, and the top.

    Raises InputError for two blocks with one number.
    """
    found: dict[int, Generated] = {}
    for block in blocks:
        text = block.source()
        if found.setdefault(block.number, text) != text:
            raise bad_input("checksum", block.name, "two networks of one build have the same checksum",
                            "Run them in two builds.")  # fmt: skip
    return (*found.values(), Generated("poetbin_top.sv", top(blocks)))


def top(blocks: Iterable[Block]) -> str:
    """The top module: the bench, every block, and the choice between them by the register `network`."""
    kinds = {block.number: block for block in blocks}
    inputs = max(b.netlist.inputs for b in kinds.values())
    outputs = max(b.classes * b.q for b in kinds.values())
    luts = max(1, *(b.probed for b in kinds.values()))
    sizes = f"#(.INPUTS({inputs}), .OUTPUTS({outputs}), .LUTS({luts}), .VECTORS({VECTORS}))"
    counters = (*CYCLES, *COUNTS, *LATENCIES)
    own = ("in_valid", "in_data", "out_valid", "out_scores", "class_valid", "out_class", "lut_values")
    names = ("clk", "reset", "start", "case_id", *REGISTERS, *own, "done", *counters)
    lines = [
        "// Written by rtl_models.poetbin.generate.",
        "module poetbin_top (",
        "    input  logic clk,",
        "    input  logic reset,",
        "    input  logic start,",
        "    input  logic [31:0] case_id,",
        "    input  logic [31:0] network,",
        *(f"    input  logic [{bits - 1}:0] {name}," for name, bits in REGISTERS.items()),
        "    output logic done,",
        ",\n".join(f"    output logic [31:0] {name}" for name in counters),
        ");",
        "    logic in_valid, out_valid, class_valid;",
        f"    logic [{inputs - 1}:0] in_data;",
        f"    logic [{outputs - 1}:0] out_scores;",
        "    logic [31:0] out_class;",
        f"    logic [{luts - 1}:0] lut_values;",
        "",
        f"    poetbin_bench {sizes} bench (",
        ",\n".join(f"        .{name}({name})" for name in names),
        "    );",
        *(line for block in kinds.values() for line in _instance(block)),
        "",
        *_choice(list(kinds.values())),
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def _instance(block: Block) -> list[str]:
    mine, outputs = f"b{block.number:08x}", block.classes * block.q
    class_bits = max(1, (block.classes - 1).bit_length())
    luts = [f"    wire [{block.probed - 1}:0] {mine}_luts;"] if block.probed else []
    probe = f", .luts({mine}_luts)" if block.probed else ""
    return [
        "",
        f"    wire {mine}_valid, {mine}_class_valid;",
        f"    wire [{outputs - 1}:0] {mine}_scores;",
        f"    wire [{class_bits - 1}:0] {mine}_class;",
        *luts,
        f"    {block.name} {mine} (",
        f"        .clk(clk), .reset(reset), .in_valid(in_valid && network == 32'h{block.number:08x}),",
        f"        .in_data(in_data[{block.width - 1}:0]), .out_valid({mine}_valid), .out_scores({mine}_scores),",
        f"        .class_valid({mine}_class_valid), .out_class({mine}_class){probe}",
        "    );",
    ]


def _choice(blocks: Sequence[Block]) -> list[str]:
    lines = ["    always_comb begin"]
    outs = ("out_valid", "out_scores", "class_valid", "out_class", "lut_values")
    lines += [f"        {name} = '0;" for name in outs]
    lines += ["        case (network)"]
    for block in blocks:
        mine, outputs = f"b{block.number:08x}", block.classes * block.q
        class_bits = max(1, (block.classes - 1).bit_length())
        lines += [
            f"            32'h{block.number:08x}: begin",
            f"                out_valid = {mine}_valid;",
            f"                out_scores[{outputs - 1}:0] = {mine}_scores;",
            f"                class_valid = {mine}_class_valid;",
            f"                out_class[{class_bits - 1}:0] = {mine}_class;",
            *([f"                lut_values[{block.probed - 1}:0] = {mine}_luts;"] if block.probed else []),
            "            end",
        ]
    return [*lines, "            default: ;", "        endcase", "    end"]
