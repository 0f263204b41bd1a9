"""Draws the cases of the OPTIMUS circuit: `python -m rtl_models.optimus.draw > rtl_models/optimus/cases.yaml`.

A Sobol sequence over designs and tasks, named corners, and dense products. Which families (shapes of the array) are
held out was settled with the first list of cases, before circuit and model had run.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from scipy.stats import qmc


class Build(NamedTuple):
    """One set of Verilog parameters."""

    macs: int
    sets: int
    window: int

    @property
    def family(self) -> str:
        """The shape: both windows of a shape are one family."""
        return f"n{self.macs}m{self.sets}"

    @property
    def ways(self) -> int:
        """Multipliers of a set."""
        return self.macs // self.sets


DEVELOPMENT = (
    Build(4, 1, 2), Build(4, 1, 24), Build(4, 4, 4), Build(4, 4, 16), Build(8, 2, 3), Build(8, 2, 32),
    Build(12, 4, 5), Build(12, 4, 48), Build(16, 4, 8), Build(16, 4, 64), Build(16, 16, 2), Build(16, 16, 40),
    Build(32, 8, 6), Build(32, 8, 32), Build(64, 8, 8), Build(64, 8, 64),
)  # fmt: skip
HELD_OUT = (
    Build(8, 4, 4), Build(8, 4, 20), Build(20, 4, 7), Build(20, 4, 40), Build(32, 32, 3), Build(32, 32, 16),
    Build(48, 16, 8), Build(48, 16, 56),
)  # fmt: skip
BUILDS = DEVELOPMENT + HELD_OUT

SOBOL_CASES = 336
DENSE_CASES = 60
SOBOL_SEED = 4
DENSE_SEED = 5
LONGEST_CYCLES = 18_000
"""Estimated; keeps every run below about 20,000 cycles."""

PORT_BITS = 16
"""Bits a cycle that a channel of the weight port brings: 64 in 4 cycles."""

LEAST_BUFFER_BITS = 1024
MOST_SLOT_BITS = 1 << 19
MOST_CHANNELS = 256
"""What a slot of the circuit's weight buffer holds, and the channels of its port (hdl/README.md)."""

VALUE_BITS = 16

TOLERANCE = {
    "mape": "1 %",
    "p95": "3 %",
    "worst": "8 %",
    "reason": "a load is charged an eighth of a cycle for a refresh that the port has not, and results still being "
    "written count as if no piece had waited for its load; the cycles of the array itself are exact",
}

Case = dict[str, Any]


# --- sizes, from README.md ----------------------------------------------------------------------------------------


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def stored_bits(nnz: int, outputs: int, columns: int, sets: int) -> int:
    """Bits of a stored tile: value and row in set per non-zero; per column and set that has rows, a length."""
    depth = ceil_div(outputs, sets)
    return nnz * (VALUE_BITS + (depth - 1).bit_length()) + columns * min(outputs, sets) * depth.bit_length()


def shift_for(terms: float) -> int:
    """A shift at which sums of `terms` products of random 16-bit numbers neither vanish nor all saturate."""
    return 15 + (max(1, round(terms)).bit_length() - 1) // 2


def between(u: float, low: float, high: float) -> int:
    """An integer from `low` to `high`, both ends included, for u in [0, 1)."""
    return int(low + u * (high - low + 1))


def geometric(u: float, low: float, high: float) -> float:
    """A number from `low` to `high` whose logarithm is uniform."""
    return float(low * (high / low) ** u)


# --- the Sobol cases ----------------------------------------------------------------------------------------------

DIMENSIONS = (
    "build", "outputs", "columns", "density", "skew", "rate", "bandwidth", "rows", "products", "chain", "overlap",
    "pieces", "tiles",
)  # fmt: skip


class Estimate(NamedTuple):
    """What a product roughly asks for: cycles of the array, and bits of its weights."""

    cycles: int
    bits: int


def estimate(build: Build, task: Mapping[str, Any], rate: int, tiles: int, pieces: int) -> Estimate:
    """Cycles and bits of one product, for sizing ports and buffers; no case depends on its being right."""
    outputs, columns, rows = task["outputs"], task["columns"], task["rows"]
    nnz = outputs * columns * task["density"] // 1000
    travel = max(0, columns - build.window) // min(rate, build.window) + 1
    run = max(ceil_div(nnz, build.macs), tiles * travel)
    back = ceil_div(ceil_div(outputs, build.sets) * 40, 16 * build.ways) if pieces > 1 and rows > 1 else 0
    write = ceil_div(ceil_div(outputs, build.sets), build.ways)
    return Estimate(rows * (max(run, write) + 2 * back * pieces), stored_bits(nnz, outputs, columns, build.sets))


def tiles_of(u: float) -> int:
    """One tile in three of five cases, else two to four."""
    return 1 if u < 0.6 else between((u - 0.6) / 0.4, 2, 4)


def pieces_of(u: float) -> int:
    """One piece a tile in about half of the cases, else two to six a product."""
    return 1 if u < 0.5 else between(2 * u - 1, 2, 6)


def slot_bits(task: Mapping[str, Any], build: Build, tile: int, pieces: int, bits: int) -> int:
    """A slot of the weight buffer that holds a piece, and a column of any shape the task has."""
    shapes = [(task["outputs"], task["columns"])]
    if task["chain"]:
        shapes.append(shapes[0][::-1])
    column = max(stored_bits(min(tile, outputs), min(tile, outputs), 1, build.sets) for outputs, _ in shapes)
    whole = max(stored_bits(min(tile, o) * c, min(tile, o), c, build.sets) for o, c in shapes)
    return min(MOST_SLOT_BITS, max(column, whole if pieces == 1 else ceil_div(bits, pieces)))


def sobol_task(point: Mapping[str, float]) -> dict[str, Any]:
    """The task at a point: sizes lean to the small, densities and rows are geometric."""
    outputs, columns = between(point["outputs"] ** 1.5, 1, 192), between(point["columns"] ** 1.5, 1, 256)
    density = round(geometric(point["density"], 20, 1000))
    products = between(point["products"], 1, 4)
    return {
        "kind": "sparse", "products": products, "rows": int(geometric(point["rows"], 1, 13)), "outputs": outputs,
        "columns": columns, "density": density, "skew": between(point["skew"], 0, 1000),
        "chain": products > 1 and point["chain"] < 0.5, "shift": shift_for(columns * density / 1000),
    }  # fmt: skip


def sobol_design(point: Mapping[str, float], build: Build, task: Mapping[str, Any]) -> dict[str, Any]:
    """The design at a point: a port from starved to plenty, buffers for the drawn numbers of pieces and tiles."""
    rate, tiles, pieces = between(point["rate"], 1, 16), tiles_of(point["tiles"]), pieces_of(point["pieces"])
    need = estimate(build, task, rate, tiles, pieces)
    matched = need.bits / (PORT_BITS * need.cycles)
    tile = max(build.sets, ceil_div(task["outputs"], tiles))
    overlap = point["overlap"] < 0.5
    slot = slot_bits(task, build, tile, pieces, need.bits)
    return {
        **build._asdict(), "rate": rate, "accumulators": tile, "load_overlap": overlap,
        "weight_buffer": f"{max(LEAST_BUFFER_BITS, (1 + overlap) * slot)} bit",
        "dram_channels": max(1, min(MOST_CHANNELS, round(matched * geometric(point["bandwidth"], 0.1, 3)))),
    }  # fmt: skip


def run_cycles(build: Build, design: Mapping[str, Any], task: Mapping[str, Any]) -> int:
    """Estimated cycles of a whole run."""
    tiles = ceil_div(task["outputs"], design["accumulators"])
    slot = int(design["weight_buffer"].split()[0]) // (1 + design["load_overlap"])
    need = estimate(build, task, design["rate"], tiles, 1)
    need = estimate(build, task, design["rate"], tiles, max(1, ceil_div(need.bits, slot)))
    load = need.bits // (PORT_BITS * design["dram_channels"])
    hidden = design["load_overlap"] and not task["chain"]
    return task["products"] * (max(need.cycles, load) if hidden else need.cycles + load)


def sobol_cases() -> Iterator[Case | None]:
    """The cases of the sequence; None for those that would run too long."""
    points = qmc.Sobol(len(DIMENSIONS), seed=SOBOL_SEED).random_base2(10)
    number = itertools.count(1)
    for values in points:
        point = dict(zip(DIMENSIONS, map(float, values), strict=True))
        build = BUILDS[int(point["build"] * len(BUILDS))]
        task = sobol_task(point)
        design = sobol_design(point, build, task)
        short = run_cycles(build, design, task) <= LONGEST_CYCLES
        yield named(f"s{next(number):03}", build, design, task) if short else None


def named(name: str, build: Build, design: Mapping[str, Any], task: Mapping[str, Any]) -> Case:
    """A case but for its seed."""
    return {"name": name, "family": build.family, "design": design, "task": task}


def first(cases: Iterable[Case | None], wanted: int) -> tuple[list[Case], int]:
    """The first `wanted` cases, and how many were passed over before the last of them."""
    found: list[Case] = []
    passed = 0
    for case in cases:
        if case is None:
            passed += 1
            continue
        found.append(case)
        if len(found) == wanted:
            return found, passed
    raise ValueError(f"the sequence has {len(found)} cases, not {wanted}")


# --- corners ------------------------------------------------------------------------------------------------------


class Corner(NamedTuple):
    """A named corner: what its task and design differ in from those of `corner_case`, and the builds it needs."""

    name: str
    task: Mapping[str, Any] = {}
    design: Mapping[str, Any] = {}
    builds: tuple[Build, ...] = ()


NARROW = (Build(4, 1, 2), Build(16, 16, 2), Build(32, 32, 3))
WIDE = (Build(4, 4, 16), Build(16, 4, 64), Build(8, 4, 20))
SIXTEEN = (Build(4, 4, 16), Build(32, 32, 16))

CORNERS = (
    Corner("one-row", {"outputs": 1}),
    Corner("one-column", {"columns": 1, "density": 1000}),
    Corner("one-by-one", {"outputs": 1, "columns": 1, "density": 1000, "rows": 1}),
    Corner("prime", {"outputs": 37, "columns": 53, "rows": 7, "products": 3}, {"rate": 3}),
    Corner("prime-tiles", {"outputs": 97, "columns": 31, "rows": 5}, {"accumulators": 41}),
    Corner("empty-first", {"pattern": "empty_first"}),
    Corner("empty-inner", {"pattern": "empty_inner"}),
    Corner("empty-last", {"pattern": "empty_last"}),
    Corner("empty-rows", {"pattern": "empty_rows"}),
    Corner("all-zero", {"pattern": "zero"}),
    Corner("all-zero-products", {"pattern": "zero", "products": 4, "rows": 1}),
    Corner("all-dense", {"pattern": "full"}),
    Corner("all-dense-pieces", {"pattern": "full", "rows": 4}, {"weight_buffer": "12288 bit"}),
    Corner("starved", {"products": 3, "rows": 1, "density": 500}, {"dram_channels": 1}),
    Corner("starved-no-overlap", {"products": 3, "rows": 1}, {"dram_channels": 1, "load_overlap": False}),
    Corner("one-channel", {"products": 2, "rows": 12}, {"dram_channels": 1, "weight_buffer": "4096 bit"}),
    Corner("plenty", {"products": 4}, {"dram_channels": MOST_CHANNELS}),
    Corner("rate-above-window", {"columns": 150, "density": 60}, {"rate": 16}, NARROW),
    Corner("window-above-columns", {"columns": 15, "density": 800}, {}, WIDE),
    Corner("window-is-columns", {"columns": 16, "density": 800}, {}, SIXTEEN),
    Corner("two-columns", {"columns": 2, "density": 800}),
    Corner("set-aside", {"rows": 12, "outputs": 96}, {"weight_buffer": "8192 bit"}),
    Corner("set-aside-tiles", {"rows": 12, "outputs": 96}, {"weight_buffer": "4096 bit", "accumulators": 48}),
    Corner("set-aside-two-rows", {"rows": 2, "outputs": 90}, {"weight_buffer": "4096 bit"}),
    Corner("kept-sums", {"rows": 1, "outputs": 80, "products": 2}, {"weight_buffer": "4096 bit"}),
    Corner("identity", {"pattern": "identity", "outputs": 64, "columns": 64}),
    Corner("diagonal", {"pattern": "identity", "outputs": 96, "columns": 33}),
    Corner("full-row", {"pattern": "full_row"}),
    Corner("full-column", {"pattern": "full_column"}),
    Corner("saturate-high", {"pattern": "full", "values": "lowest", "shift": 0}),
    Corner("saturate-low", {"pattern": "full", "values": "opposite", "shift": 3}),
    Corner("largest-sums", {"pattern": "full", "values": "lowest", "outputs": 5, "columns": 511, "shift": 39}),
    Corner("rounding-ties", {"values": "small", "shift": 1}),
    Corner("no-shift", {"values": "small", "shift": 0}),
    Corner("chain", {"products": 4, "chain": True, "rows": 3}, {"dram_channels": 1}),
    Corner("chain-pieces", {"products": 4, "chain": True, "rows": 3}, {"weight_buffer": "4096 bit"}),
    Corner("chain-zero", {"products": 3, "chain": True, "pattern": "zero"}),
    Corner("chain-no-overlap", {"products": 3, "chain": True}, {"load_overlap": False}),
)


def corner_case(corner: Corner, build: Build) -> Case:
    """The case of `corner` on `build`."""
    task = {
        "kind": "sparse", "products": 1, "rows": 3, "outputs": 48, "columns": 40, "density": 300, "skew": 300,
        "chain": False, "shift": 17,
    } | corner.task  # fmt: skip
    if "pattern" in task:
        del task["density"], task["skew"]
    design = {
        **build._asdict(), "rate": 4, "accumulators": 192, "load_overlap": True, "weight_buffer": "131072 bit",
        "dram_channels": max(2, build.macs // 4),
    } | corner.design  # fmt: skip
    return named(f"{corner.name}-{build.family}", build, design, task)


def fits(build: Build) -> Iterator[Corner]:
    """Exact fit of a slot and of the accumulators, and one more: on a matrix without zeros, so that the bits follow
    from the sizes."""
    outputs, columns = 6 * build.sets + 1, 30
    bits = stored_bits(outputs * columns, outputs, columns, build.sets)
    task = {"pattern": "full", "outputs": outputs, "columns": columns, "rows": 2}
    yield Corner("slot-exact", task, {"weight_buffer": f"{2 * bits} bit"})
    yield Corner("slot-bit-more", task, {"weight_buffer": f"{2 * bits - 2} bit"})
    yield Corner("slot-column-more", task | {"columns": columns + 1}, {"weight_buffer": f"{2 * bits} bit"})
    yield Corner("buffer-exact", task, {"weight_buffer": f"{bits} bit", "load_overlap": False})
    yield Corner("buffer-bit-more", task, {"weight_buffer": f"{bits - 1} bit", "load_overlap": False})
    yield Corner("sums-exact", task, {"accumulators": outputs})
    yield Corner("sums-row-more", task | {"outputs": outputs + 1}, {"accumulators": outputs})
    yield Corner("sets-exact", task | {"outputs": build.sets}, {"accumulators": build.sets})
    yield Corner("sets-row-more", task | {"outputs": build.sets + 1}, {"accumulators": build.sets})


def corner_cases() -> Iterator[Case]:
    """Every corner on two development builds and a held-out one, all builds in turn."""
    development, held_out = itertools.cycle(turned(DEVELOPMENT)), itertools.cycle(turned(HELD_OUT))
    for at in range(len(CORNERS) + len(list(fits(BUILDS[0])))):
        builds = (next(development), next(development), next(held_out))
        if at < len(CORNERS):
            builds = CORNERS[at].builds or builds
        for build in builds:
            yield corner_case([*CORNERS, *fits(build)][at], build)


def turned(builds: tuple[Build, ...]) -> tuple[Build, ...]:
    """Every third build, so that shapes and windows change from one to the next."""
    return builds[::3] + builds[1::3] + builds[2::3]


# --- dense products -----------------------------------------------------------------------------------------------

DENSE_DIMENSIONS = ("build", "shape", "heads", "kv", "width", "rows", "products", "rate")
HEADS = (1, 2, 3, 8)


def dense_task(point: Mapping[str, float]) -> dict[str, Any]:
    """Scores of `kv` keys, or the sum of `kv` values, of `width` elements a head."""
    kv, width = between(point["kv"], 1, 40), between(point["width"] ** 1.5, 1, 32)
    outputs, reduction = (kv, width) if point["shape"] < 0.5 else (width, kv)
    return {
        "kind": "dense", "products": between(point["products"] ** 2, 1, 2), "rows": between(point["rows"], 1, 12),
        "heads": HEADS[int(point["heads"] * len(HEADS))], "kv": outputs, "reduction": reduction,
        "shift": shift_for(reduction),
    }  # fmt: skip


def dense_design(point: Mapping[str, float], build: Build, task: Mapping[str, Any]) -> dict[str, Any]:
    """Dense products load nothing and have one tile."""
    return {
        **build._asdict(), "rate": between(point["rate"], 1, 16),
        "accumulators": max(build.sets, task["heads"] * task["kv"]), "load_overlap": True,
        "weight_buffer": f"{LEAST_BUFFER_BITS} bit", "dram_channels": 1,
    }  # fmt: skip


def dense_cycles(build: Build, task: Mapping[str, Any]) -> int:
    """At least so many cycles a dense run has."""
    return task["products"] * task["rows"] * task["heads"] * task["kv"] * task["reduction"] // build.macs


def dense_cases() -> Iterator[Case | None]:
    """Dense products by a sequence of their own; None for those that would run too long."""
    number = itertools.count(1)
    for values in qmc.Sobol(len(DENSE_DIMENSIONS), seed=DENSE_SEED).random_base2(7):
        point = dict(zip(DENSE_DIMENSIONS, map(float, values), strict=True))
        build = BUILDS[int(point["build"] * len(BUILDS))]
        task = dense_task(point)
        short = dense_cycles(build, task) <= LONGEST_CYCLES
        yield named(f"d{next(number):02}", build, dense_design(point, build, task), task) if short else None


# --- the file -----------------------------------------------------------------------------------------------------

HEAD = """\
# Cases of the OPTIMUS circuit. Written by draw.py; edit that, not this.
#
# s...   {sobol} points of a Sobol sequence (scipy.stats.qmc.Sobol, scrambled, seed {seed}) over {dimensions}
#        dimensions: {names}.
#        A point whose run would take more than {longest} cycles by the estimate in draw.py is passed over
#        ({passed} of {points}); there is no other filter.
# d...   {dense} dense products by a sequence of their own (seed {dense_seed}) and the same rule
#        ({dense_passed} of {dense_points} passed over).
# others named corners, each on two or three builds, a held-out one among them.
"""


SPLIT = """\
split: >-
  Held out are four whole shapes of the array, n8m4, n20m4, n32m32 and n48m16, with both their windows. The split was
  committed with the first version of the cases, before there was a circuit; some cases were drawn again before it
  ran, to fit its memories. Held-out cases were first run when all others agreed. Then one rule of the architecture was
  made plain (sums that wait for results still being written): it showed in the log of s147, a held-out case, and moved
  the model's stall and compute cycles there, and by a cycle compute and drain of s214, which is not; no total moved.
"""


def flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def head(drawn: int, passed: int, dense: int, dense_passed: int) -> str:
    """The comment at the top of the file."""
    return HEAD.format(
        sobol=drawn, seed=SOBOL_SEED, dimensions=len(DIMENSIONS), names=", ".join(DIMENSIONS), longest=LONGEST_CYCLES,
        passed=passed, points=drawn + passed, dense=dense, dense_seed=DENSE_SEED, dense_passed=dense_passed,
        dense_points=dense + dense_passed,
    )  # fmt: skip


def lines() -> Iterator[str]:
    """The case file."""
    drawn, passed = first(sobol_cases(), SOBOL_CASES)
    dense, dense_passed = first(dense_cases(), DENSE_CASES)
    yield head(len(drawn), passed, len(dense), dense_passed)
    yield "circuit: optimus\ndesign: circuit.yaml\ntolerance:\n"
    yield from (f"  {key}: {text}\n" for key, text in TOLERANCE.items())
    yield f"held_out: [{', '.join(dict.fromkeys(b.family for b in HELD_OUT))}]\n{SPLIT}cases:\n"
    for seed, case in enumerate([*drawn, *corner_cases(), *dense], start=1):
        yield f"  - {flow(case | {'seed': seed})}\n"


if __name__ == "__main__":
    sys.stdout.writelines(lines())
