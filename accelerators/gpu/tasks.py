"""The kernels a GPU runs, as tasks; what is asked of the machine for each; and the machine."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from hwsim.memory import MemoryLevel, Unit
from hwsim.model import Action, Chunks, Runs, Traffic, Work


class Product(NamedTuple):
    """`batch` products of `m` rows by `n` columns over `k`, convolutions included (pixels by channels over windows).

    `dram_a_bits` and `dram_b_bits` are what of either operand has to come from DRAM, each once; `result_bits` what of
    the result has to go there. `a_bits`, `b_bits` and `out_bits` are all of them.
    """

    batch: int
    m: int
    n: int
    k: int
    a_bits: int
    b_bits: int
    out_bits: int
    dram_a_bits: int
    dram_b_bits: int
    result_bits: int


class Window(NamedTuple):
    """`outputs` results of `taps` multiply-accumulates each, by a thread each, that share no operand in registers."""

    outputs: int
    taps: int
    read_bits: int
    write_bits: int
    dram_read_bits: int
    dram_write_bits: int


class Stream(NamedTuple):
    """`operations` arithmetic operations over data that is read once, by `threads` threads."""

    threads: int
    operations: int
    read_bits: int
    write_bits: int
    dram_read_bits: int
    dram_write_bits: int


class Start(NamedTuple):
    """What happens before the first kernel of `runs` runs."""

    runs: int


class Infeed(NamedTuple):
    """`elements` of inputs that a host makes ready and brings, for the run after this one."""

    elements: int


class Counts(NamedTuple):
    """What one kernel asks for, or the host. All cycles are of the SMs' clock and hold the whole GPU."""

    compute_cycles: Annotated[int, Work("gpu", "arithmetic")]
    load_cycles: Annotated[int, Work("gpu", "load/store lanes")]
    bandwidth_cycles: Annotated[int, Work("gpu", "dram")]
    latency_cycles: Annotated[int, Work("gpu", "memory latency")]
    launch_cycles: Annotated[int, Work("gpu", "launch")]
    start_cycles: Annotated[int, Work("gpu", "start")]
    infeed_ps: Annotated[int, Work("infeed")]
    chunks: Annotated[int, Chunks()]
    dram_read_bits: Annotated[int, Traffic("dram", "read")]
    dram_read_runs: Annotated[int, Runs("dram", "read")]
    dram_write_bits: Annotated[int, Traffic("dram", "write")]
    dram_write_runs: Annotated[int, Runs("dram", "write")]
    cache_read_bits: Annotated[int, Traffic("cache", "read")]
    cache_write_bits: Annotated[int, Traffic("cache", "write")]
    macs_executed: Annotated[int, Action("gpu")]
    vector_ops: Annotated[int, Action("gpu")]


class Machine(NamedTuple):
    """All SMs as one unit, the host that brings inputs, the second-level cache, and the DRAM."""

    gpu: Unit
    infeed: Unit
    cache: MemoryLevel
    dram: MemoryLevel


class Statics(NamedTuple):
    """Watts at idle."""

    gpu: float


class Areas(NamedTuple):
    """mm2."""

    die: float
