"""A network as Verilog: plain tables, or look-up table primitives of an FPGA; with registers between levels if asked.

    module NAME (input wire [inputs-1:0] in, output wire [outputs-1:0] out);

Both styles are Verilog-2005. Table bit a stands at address a, and the first pin is the most significant address bit,
as in the netlist; look-up table i of the netlist drives the wire n<i>.

    plain   one constant table a look-up table, indexed by its pins
    lut6    LUT1 ... LUT6 with INIT as AMD's libraries name them; 7 and 8 pins as two and four LUT6 with MUXF7 and MUXF8
            (AMD UG474, "Multiplexers"); multiplexers above those, for 9 pins and more, are a LUT3 each. A behavioural
            model of the primitives comes along for simulators; tools that define SYNTHESIS use their own.

With `pipeline` = k, registers stand behind levels k, 2k, ... below the depth, and the module has a clock. Nothing is
simplified or left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from hwsim.errors import bad_input
from hwsim.netlist.netlist import Lut, Netlist

LUT6_PINS = 6
_WIDE_MUXES = {7: "MUXF7", 8: "MUXF8"}
PRIMITIVES = frozenset({*(f"LUT{pins}" for pins in range(1, 7)), *_WIDE_MUXES.values()})
"""Modules that the style `lut6` instantiates."""
_LONGEST_NUMBER_BITS = 1024
_LONGEST_NAME = 1024
"""IEEE 1364-2005, 3.7: tools may limit identifiers, but not below 1024 characters."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_PRINTABLE = re.compile(r"[!-~]+")

_KEYWORDS = """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind
    bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config
    const constraint context continue cover covergroup coverpoint cross deassign default defparam design disable
    dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup
    endinterface endmodule endpackage endprimitive endprogram endproperty endspecify endsequence endtable endtask
    enum event eventually expect export extends extern final first_match for force foreach forever fork forkjoin
    function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import
    incdir include initial inout input inside instance int integer interconnect interface intersect join join_any
    join_none large let liblist library local localparam logic longint macromodule matches medium modport module
    nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed
    parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg
    reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime
    s_until s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve specify
    specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table
    tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
    type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
KEYWORDS = frozenset(_KEYWORDS.split())
"""Of IEEE 1800-2017, which include those of Verilog-2005: annex B."""


class Style(StrEnum):
    """How look-up tables are written."""

    PLAIN = "plain"
    LUT6 = "lut6"


# --- names ------------------------------------------------------------------------------------------------------


def identifier(name: str) -> str:
    """`name` as Verilog has it: as it is, or escaped (a backslash before it and a blank behind).

    Raises InputError for what no escaping makes a name: blanks, control characters, non-ASCII, nothing.
    """
    if not _PRINTABLE.fullmatch(name) or len(name) > _LONGEST_NAME:
        rule = f"a Verilog name has 1 to {_LONGEST_NAME} printable ASCII characters and no blanks"
        raise bad_input("name", name, rule, "Choose another name.", key="--top")
    if _IDENTIFIER.fullmatch(name) and name not in KEYWORDS:
        return name
    return f"\\{name} "


def default_name(path: str | Path) -> str:
    """A plain module name made of that of a file."""
    stem = re.sub(r"\W", "_", Path(path).name.partition(".")[0], flags=re.ASCII)
    name = stem if _IDENTIFIER.fullmatch(stem) else f"network_{stem}"
    return f"{name}_" if name in KEYWORDS else name[:_LONGEST_NAME]


# --- registers between levels -----------------------------------------------------------------------------------


def stages_inside(depth: int, pipeline: int) -> int:
    """Registers on the way through a network of `depth` levels with one behind every `pipeline` levels; 0 for none."""
    return 0 if pipeline < 1 or depth < 1 else -(-depth // pipeline) - 1


@dataclass(frozen=True)
class Stages:
    """Which register stage each signal of a network is computed in, and how far it has to be kept."""

    netlist: Netlist
    pipeline: int

    @property
    def count(self) -> int:
        """Registers between input and output."""
        return stages_inside(self.netlist.depth, self.pipeline)

    @cached_property
    def home(self) -> tuple[int, ...]:
        """Signal -> the stage it is computed in; features arrive in stage 0."""
        levels = self.netlist.levels()
        of_luts = ((max(level, 1) - 1) // self.pipeline if self.pipeline else 0 for level in levels)
        return (*(0 for _ in range(self.netlist.inputs)), *of_luts)

    @cached_property
    def last(self) -> tuple[int, ...]:
        """Signal -> the last stage it is read in; outputs are read in the last of all. A constant needs no register."""
        last = list(self.home)
        for at, lut in enumerate(self.netlist.luts, self.netlist.inputs):
            for pin in lut.pins:
                last[pin] = max(last[pin], self.home[at])
        for output in self.netlist.outputs:
            last[output] = max(last[output], self.count)
        return tuple(
            self.home[s] if s >= self.netlist.inputs and not self.netlist.luts[s - self.netlist.inputs].pins else end
            for s, end in enumerate(last)
        )


def pipeline_registers(netlist: Netlist, pipeline: int) -> int:
    """Flip-flops between levels: a signal has one at each boundary between where it is computed and last read."""
    stages = Stages(netlist, pipeline)
    return sum(last - home for home, last in zip(stages.home, stages.last, strict=True))


# --- text -------------------------------------------------------------------------------------------------------


def verilog(
    netlist: Netlist, *, top: str = "network", style: Style | str = Style.PLAIN, pipeline: int = 0, probe: bool = False
) -> str:
    """The module `top` of a network. `probe` adds a port `luts` with the output of every look-up table, for benches.

    Raises InputError for a name that Verilog cannot have.
    """
    if style == Style.LUT6 and top in PRIMITIVES:
        rule = "a module of primitives cannot have the name of one"
        raise bad_input("name", top, rule, "Choose another name.", key="--top")
    text = _Text(netlist, Stages(netlist, pipeline), Style(style), probe)
    model = [primitives()] if text.style is Style.LUT6 else []
    return "\n".join([*text.module(identifier(top)), *model])


def primitives() -> str:
    """The behavioural model of the primitives, between guards."""
    return (Path(__file__).parent / "primitives.v").read_text(encoding="utf-8")


@dataclass(frozen=True)
class _Text:
    """Writes one module."""

    netlist: Netlist
    stages: Stages
    style: Style
    probe: bool

    def module(self, name: str) -> list[str]:
        return [
            f"// {self.summary()}",
            f"module {name} (",
            ",\n".join(f"    {port}" for port in self.ports()),
            ");",
            *(f"    {line}" if line else "" for line in self.body()),
            "endmodule",
            "",
        ]

    def summary(self) -> str:
        n = self.netlist
        counted = f"{n.inputs} inputs, {len(n.luts)} look-up tables, depth {n.depth}, {len(n.outputs)} outputs"
        registers = f", {self.stages.count} registers on the way" if self.stages.pipeline else ""
        return f"Written by hwsim: {counted}{registers}."

    def ports(self) -> Iterator[str]:
        n = self.netlist
        if self.stages.pipeline:
            yield "input  wire clk"
        if n.inputs:
            yield f"input  wire [{n.inputs - 1}:0] in"
        yield f"output wire [{len(n.outputs) - 1}:0] out"
        if self.probe and n.luts:
            yield f"output wire [{len(n.luts) - 1}:0] luts"

    def body(self) -> Iterator[str]:
        n = self.netlist
        yield from (f"reg {name};" for name, _ in self.kept())
        level = -1
        levels = n.levels()
        for at in sorted(range(len(n.luts)), key=levels.__getitem__):
            if levels[at] != level:
                level = levels[at]
                yield from ("", f"// level {level}")
            yield from self.lut(at)
        yield from self.registers()
        yield from ("", *_joined("out", [self.signal(s, self.stages.count) for s in n.outputs]))
        if self.probe and n.luts:
            yield from _joined("luts", [f"n{at}" for at in range(len(n.luts))])

    def signal(self, signal: int, stage: int) -> str:
        """The text of a signal as it is read in a stage."""
        inputs, home = self.netlist.inputs, self.stages.home[signal]
        behind = min(stage, self.stages.last[signal]) - home
        if behind <= 0:
            return f"in[{signal}]" if signal < inputs else f"n{signal - inputs}"
        return self.register(signal, home + behind)

    def register(self, signal: int, stage: int) -> str:
        inputs = self.netlist.inputs
        return f"in{signal}_r{stage}" if signal < inputs else f"n{signal - inputs}_r{stage}"

    def registers(self) -> Iterator[str]:
        """One block that clocks every register."""
        kept = self.kept()
        if kept:
            yield from ("", "always @(posedge clk) begin")
            yield from (f"    {name} <= {source};" for name, source in kept)
            yield "end"

    def kept(self) -> list[tuple[str, str]]:
        """Every register, and the signal it takes."""
        return [
            (self.register(signal, stage), self.signal(signal, stage - 1))
            for signal, (home, last) in enumerate(zip(self.stages.home, self.stages.last, strict=True))
            for stage in range(home + 1, last + 1)
        ]

    def lut(self, at: int) -> Iterator[str]:
        lut = self.netlist.luts[at]
        pins = [self.signal(pin, self.stages.home[self.netlist.inputs + at]) for pin in lut.pins]
        yield f"wire n{at};"
        if not pins:
            yield f"assign n{at} = 1'b{lut.table & 1};"
        elif self.style is Style.PLAIN:
            yield from _plain(at, lut, pins)
        else:
            yield from _primitives(f"n{at}", lut.table, pins)


def _joined(port: str, signals: Sequence[str]) -> Iterator[str]:
    """The port as all its signals, the last the most significant, some to a line."""
    parts = [", ".join(reversed(signals[i : i + 8])) for i in range(0, len(signals), 8)]
    yield f"assign {port} = {{"
    yield ",\n".join(f"        {part}" for part in reversed(parts))
    yield "};"


def _constant(table: int, pins: int) -> str:
    """A table as a number; a long one in parts, for Icarus reads no number of 16,384 digits."""
    bits = 1 << pins
    if bits <= _LONGEST_NUMBER_BITS:
        return f"{bits}'h{table:0{max(1, bits // 4)}x}"
    digits = f"{table:0{bits // 4}x}"
    size = _LONGEST_NUMBER_BITS // 4
    parts = (digits[i : i + size] for i in range(0, len(digits), size))
    return "{" + ", ".join(f"{_LONGEST_NUMBER_BITS}'h{part}" for part in parts) + "}"


def _plain(at: int, lut: Lut, pins: Sequence[str]) -> Iterator[str]:
    yield f"localparam [{(1 << len(pins)) - 1}:0] T{at} = {_constant(lut.table, len(pins))};"
    yield f"assign n{at} = T{at}[{{{', '.join(pins)}}}];"


def _primitives(name: str, table: int, pins: Sequence[str]) -> Iterator[str]:
    """The primitives of one look-up table, whose output is the wire `name`: a multiplexer chooses by the first pin
    between the halves of a table that is too large."""
    if len(pins) <= LUT6_PINS:
        ports = ", ".join(f".I{i}({pin})" for i, pin in enumerate(reversed(pins)))
        yield f"LUT{len(pins)} #(.INIT({_constant(table, len(pins))})) lut_{name} (.O({name}), {ports});"
        return
    half = 1 << (len(pins) - 1)
    halves = (table & ((1 << half) - 1), table >> half)
    for at, part in enumerate(halves):
        yield f"wire {name}_{at};"
        yield from _primitives(f"{name}_{at}", part, pins[1:])
    yield _mux(name, len(pins), pins[0])


def _mux(name: str, pins: int, select: str) -> str:
    cell = _WIDE_MUXES.get(pins)
    if cell:
        return f"{cell} mux_{name} (.O({name}), .I0({name}_0), .I1({name}_1), .S({select}));"
    # 8'hca: I1 where I2, else I0.
    return f"LUT3 #(.INIT(8'hca)) mux_{name} (.O({name}), .I0({name}_0), .I1({name}_1), .I2({select}));"
