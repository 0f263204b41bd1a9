"""Draws the cases of the SkyNet circuit: `python -m rtl_models.skynet.draw > rtl_models/skynet/cases.yaml`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from scipy.stats import qmc

from hwsim.errors import InputError
from rtl_models.skynet import data, timeline
from rtl_models.skynet.layers import check, groups_in

Case = dict[str, Any]

SOBOL_SEED, SOBOL_CASES, SOBOL_POINTS = 7, 240, 9
LONGEST_CYCLES = 60_000
LARGEST_WORDS = 1 << 16
"""What a drawn case may take of memory: the named ones may take all that the bench has."""
TILE = (12, 22)
"""The largest tile of every build."""
RELEASED = {"feature_bits": 9, "feature_integer_bits": 3, "weight_bits": 11, "weight_integer_bits": 4,
            "accumulator_bits": 12, "accumulator_integer_bits": 4}  # fmt: skip
NARROW = {"feature_bits": 8, "weight_bits": 10}
WIDE = {"feature_bits": 10, "feature_integer_bits": 4, "weight_bits": 12, "accumulator_bits": 14,
        "accumulator_integer_bits": 5}  # fmt: skip


class Build(NamedTuple):
    """What a build is made for."""

    lanes: int
    inputs_per_cycle: int
    outputs_per_cycle: int
    pw_interval: int
    formats: tuple[tuple[str, int], ...] = ()

    @property
    def family(self) -> str:
        """Its name: lanes, inputs, outputs, interval, and the bits of a feature where not the released ones."""
        bits = dict(self.formats).get("feature_bits")
        name = f"l{self.lanes}i{self.inputs_per_cycle}o{self.outputs_per_cycle}p{self.pw_interval}"
        return name + (f"f{bits}" if bits else "")

    def fields(self) -> dict[str, int]:
        """Its fields of a design."""
        return {**{k: v for k, v in self._asdict().items() if k != "formats"}, **dict(self.formats)}


DEVELOPMENT = (
    Build(8, 4, 8, 2), Build(8, 8, 4, 1), Build(4, 2, 4, 1), Build(16, 8, 16, 4), Build(8, 2, 8, 4),
    Build(8, 4, 8, 2, tuple(NARROW.items())),
)  # fmt: skip
HELD_OUT = (Build(4, 4, 2, 2), Build(16, 16, 8, 2), Build(8, 8, 8, 8, tuple(WIDE.items())))
BUILDS = (*DEVELOPMENT, *HELD_OUT)
WHOLE = Build(32, 16, 32, 2, (("tile_height", 42), ("tile_width", 82)))
"""The released engine at its full size, which takes too long for drawn cases."""
TOLERANCE = {"mape": "0 %", "p95": "0 %", "worst": "0 %",
             "reason": "README.md has a closed form of every command, and the model has nothing coarser"}  # fmt: skip
SPLIT = """\
split: >-
  Held out are three whole shapes of the engines, l4i4o2p2, l16i16o8p2 and l8i8o8p8f10, the last with wider numbers. The
  split was committed before the model ran a case. Model and circuit agreed on every case the first time they were
  compared, so nothing was mended after; the circuit had been held to the formulas of its page alone, on all cases,
  before that. The last four corners, short ones for seeded mistakes of the circuit to show in, were added later; and so
  was l32i16o32p2, the released engine at its full size, on which both agreed the first time as well.
"""
HEAD = """\
# Cases of the SkyNet circuit. Written by draw.py; edit that, not this.
#
# s...     {sobol} points of a Sobol sequence (scipy.stats.qmc.Sobol, scrambled, seed {seed}) over {dimensions}
#          dimensions: {names}.
#          A point that asks for more than the buffers hold, or for more than {longest} cycles by README.md, is passed
#          over ({passed} of {points}).
# layer... every layer of SkyNet C at a quarter of its channels, 24 x 40 pixels and 2 x 2 frames; on two builds.
# network  all of them in one run, image to head; on two builds.
# whole    the released engine at its full size, up to SkyNet C itself on a batch of four frames, image to head.
# others   named corners, each on a development build and a held-out one.
"""


# --- the sequence -------------------------------------------------------------------------------------------------

DIMENSIONS = ("build", "what", "frames", "height", "width", "tile_rows", "tile_columns", "pitch", "joined", "channels",
              "outputs", "source", "overlap", "stores", "port", "interval", "values")  # fmt: skip
FRAMES = ((1, 1), (1, 1), (1, 2), (2, 1), (2, 2))
WHATS = ("bundle", "bundle", "bundle", "depthwise", "depthwise", "pointwise", "pointwise", "bypass")
LATENCIES = (12, 12, 2, 30)
VALUES = ("normal", "normal", "any", "halves")


def between(x: float, low: int, high: int) -> int:
    """An integer from low to high."""
    return low + int(x * (high - low + 1))


def chosen(x: float, items: Sequence[Any]) -> Any:
    """One of the items."""
    return items[int(x * len(items))]


def task_of(p: Mapping[str, float], build: Build) -> dict[str, Any]:
    """A layer of any kind; some points ask for what the circuit cannot run."""
    what, frames, lanes = chosen(p["what"], WHATS), chosen(p["frames"], FRAMES), build.lanes
    pooled = what in ("bundle", "pointwise") and p["stores"] < 0.6
    task: dict[str, Any] = {"what": what, "frames_y": frames[0], "frames_x": frames[1], "overlap": p["overlap"] < 0.5}
    image = what in ("bundle", "depthwise") and p["source"] < 0.3
    most = {"bundle": 2 if task["overlap"] else 3, "depthwise": 3, "pointwise": 4, "bypass": 1}[what]
    task["channels"] = 3 if image else between(p["channels"], 1, most * lanes)
    if what != "depthwise":
        task["outputs"] = between(p["outputs"] ** 1.3, 1, 3 * lanes)
    if image:
        task["image"] = True
    elif what == "depthwise" and p["source"] > 0.7:
        task["reorder"] = True
    if pooled:
        task |= {"pooled": True, "stored": p["stores"] < 0.25}
    if p["source"] * 7 % 1 < 0.2:
        task["relu"] = False
    joined = not pooled and p["joined"] < (0.25 if what == "bundle" else 0.6)
    return (
        task | (joined_sizes(p, frames) if joined else split_sizes(p, pooled)) | {"values": chosen(p["values"], VALUES)}
    )


def joined_sizes(p: Mapping[str, float], frames: tuple[int, int]) -> dict[str, int]:
    """All frames in one tile."""
    most = [(limit + 2) // n - 2 for limit, n in zip(TILE, frames, strict=True)]
    return {"height": between(p["height"], 2, most[0]), "width": between(p["width"], 2, most[1])}


def split_sizes(p: Mapping[str, float], pooled: bool) -> dict[str, int]:
    """Frames cut into tiles, whose pitch may be smaller; even where it is pooled."""
    rows, columns = between(p["tile_rows"], 2, TILE[0]), between(p["tile_columns"], 2, TILE[1])
    pitch = (
        (rows, columns) if p["pitch"] < 0.5 else (max(2, rows - between(p["pitch"] * 2 - 1, 0, 3)), max(2, columns - 2))
    )
    if pooled:
        pitch = (pitch[0] // 2 * 2, pitch[1] // 2 * 2)
    return {
        "height": between(p["height"] ** 1.5, 2, 30), "width": between(p["width"] ** 1.5, 2, 40), "tile_rows": rows,
        "tile_columns": columns, "pitch_rows": pitch[0], "pitch_columns": pitch[1],
    }  # fmt: skip


def design_of(p: Mapping[str, float], build: Build) -> dict[str, Any]:
    """The build with a port of 1, 2, 4 or 8 cycles a word, and intervals."""
    return {
        **build.fields(), "port_bits": 16 * build.lanes >> between(p["port"], 0, 3),
        "dw_interval": chosen(p["interval"], (1, 1, 2, 3)), "image_interval": between(p["interval"] * 5 % 1, 1, 4),
        "latency": chosen(p["port"] * 7 % 1, LATENCIES),
    }  # fmt: skip


def as_design(fields: Mapping[str, Any]) -> SimpleNamespace:
    """What the circuit's side needs of a design."""
    return SimpleNamespace(
        **{
            **RELEASED,
            "image_interval": 1,
            "dw_interval": 1,
            "latency": 12,
            "tile_height": TILE[0],
            "tile_width": TILE[1],
            **fields,
        }
    )


def runs(case: Case) -> bool:
    """Whether the circuit can run the case, in time."""
    task = data.Task(**{**case["task"], "what": data.What[case["task"]["what"].upper()],
                        "values": data.Values[case["task"].get("values", "normal").upper()]})  # fmt: skip
    design = as_design(case["design"])
    try:
        run = data.planned(design, task)
        check(run, design)
    except InputError:
        return False
    cycles = timeline.cycle_counters(design, run)["cycles_total"]
    return cycles <= LONGEST_CYCLES and words_of(design, run) <= LARGEST_WORDS


def words_of(design: Any, layers: Sequence[Any]) -> int:
    """More than the case takes of memory: every map as large as its layer's, twice over, and the weights."""
    total = 0
    for layer in layers:
        groups = groups_in(layer, design.lanes) + layer.outputs // design.lanes + 1
        total += 2 * layer.frames * groups * layer.height * layer.width
        total += groups * 10 + groups_in(layer, design.lanes) * (layer.outputs + 2 * design.lanes)
    return total


def sobol_cases() -> Iterator[Case | None]:
    """The points in turn, None for one that is passed over."""
    number = itertools.count(1)
    for values in qmc.Sobol(len(DIMENSIONS), seed=SOBOL_SEED).random_base2(SOBOL_POINTS):
        point = dict(zip(DIMENSIONS, map(float, values), strict=True))
        build = chosen(point["build"], BUILDS)
        case: Case = {"family": build.family, "design": design_of(point, build), "task": task_of(point, build)}
        yield {"name": f"s{next(number):03}", **case} if runs(case) else None


# --- named cases --------------------------------------------------------------------------------------------------

NETWORK = {"height": 24, "width": 40, "frames_y": 2, "frames_x": 2, "overlap": True}
SPLIT_TILES = {"tile_rows": 8, "tile_columns": 12, "pitch_rows": 6, "pitch_columns": 10}
"""A tile a little larger than its pitch, as in the released design."""
NETWORK_BUILDS = (DEVELOPMENT[0], HELD_OUT[2])


def network_layers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every layer of SkyNet C at a quarter of its channels, by itself."""
    first, second, third, fourth, fifth = (c // 4 for c in data.PUBLISHED.channels)
    frames = {"frames_y": 2, "frames_x": 2}
    bundle = {"what": "bundle", **frames, **SPLIT_TILES, "pooled": True, "stored": False}
    yield (
        "bundle1",
        {**bundle, "height": 24, "width": 40, "channels": 3, "outputs": first, "image": True, "overlap": True},
    )
    yield "bundle2", {**bundle, "height": 12, "width": 20, "channels": first, "outputs": second}
    yield "bundle3", {**bundle, "height": 6, "width": 10, "channels": second, "outputs": third, "stored": True}
    late = {**frames, "height": 3, "width": 5, "overlap": True}
    for name, channels in (("dw4", third), ("dw5", fourth), ("dw6-direct", fifth)):
        yield name, {"what": "depthwise", **late, "channels": channels}
    yield "dw6-reorder", {"what": "depthwise", **late, "channels": third, "reorder": True}
    last = data.PUBLISHED.last // 4
    for name, channels, outputs in (("pw4", third, fourth), ("pw5", fourth, fifth), ("pw6", 4 * third + fifth, last)):
        yield name, {"what": "pointwise", **late, "channels": channels, "outputs": outputs}
    yield "head", {"what": "pointwise", **late, "channels": last, "outputs": 10, "relu": False}


def corners() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, task and fields of the design of each corner."""
    small = {"height": 4, "width": 5, "channels": 5}
    tiles = {"tile_rows": 2, "tile_columns": 2}
    yield "least-tile", {"what": "bundle", **small, **tiles, "outputs": 7, "pooled": True}, {}
    yield "one-row", {"what": "depthwise", "height": 1, "width": 9, "channels": 5}, {}
    yield "one-column", {"what": "pointwise", "height": 9, "width": 1, "channels": 5, "outputs": 3}, {}
    yield (
        "one-pixel-frames",
        {"what": "depthwise", "height": 1, "width": 1, "frames_y": 2, "frames_x": 2, "channels": 6},
        {},
    )
    yield "fast-port", {"what": "bundle", **small, "tile_rows": 4, "tile_columns": 6, "outputs": 9, "pooled": True,
                        "overlap": True}, {"port_bits": 0}  # fmt: skip
    yield "slow-port", {"what": "depthwise", **small, "overlap": True, "channels": 17}, {"port_bits": 1}
    yield "largest-tile", {"what": "depthwise", "height": TILE[0], "width": TILE[1], "channels": 5, "overlap": True}, {}
    yield (
        "all-saturate",
        {"what": "bundle", **small, "tile_rows": 4, "tile_columns": 6, "outputs": 9, "values": "any"},
        {},
    )
    yield "all-halves", {"what": "bypass", "height": 3, "width": 4, "channels": 3, "outputs": 9, "values": "halves"}, {}
    yield "no-relu", {"what": "pointwise", **small, "outputs": 9, "relu": False, "values": "any"}, {}
    yield "odd-pooled", {"what": "bundle", "height": 7, "width": 9, "channels": 3, "outputs": 5, "image": True,
                         "tile_rows": 4, "tile_columns": 4, "pooled": True, "stored": False,
                         "overlap": True}, {}  # fmt: skip
    yield "pointwise-tiles", {"what": "pointwise", "height": 7, "width": 9, "channels": 9, "outputs": 9, "tile_rows": 4,
                              "tile_columns": 6, "pooled": True, "overlap": True, "frames_x": 2}, {}  # fmt: skip
    yield "last-word", {"what": "bundle", "height": 4, "width": 4, "channels": 5, "outputs": 3, **tiles, "pooled": True,
                        "stored": False, "overlap": True, "relu": False}, {"port_bits": 0}  # fmt: skip
    yield (
        "waiting-layers",
        {"what": "bypass", "height": 2, "width": 3, "channels": 3, "outputs": 3, "overlap": True},
        {},
    )
    yield "border", {"what": "depthwise", "height": 3, "width": 3, "channels": 3, **tiles}, {}
    yield "odd-pool", {"what": "pointwise", "height": 3, "width": 3, "channels": 3, "outputs": 7, **tiles,
                       "pooled": True, "stored": False}, {}  # fmt: skip


def corner_design(build: Build, fields: Mapping[str, int]) -> dict[str, Any]:
    """A port of 4 cycles a word; 0 asks for the fastest, 1 for a slow one."""
    port = fields.get("port_bits", 2)
    return {**build.fields(), "port_bits": 16 * build.lanes >> {0: 0, 1: 4, 2: 2}[port]}


def named_cases() -> Iterator[Case]:
    """Layers and networks on two builds, corners on one of each half in turn."""
    for build in NETWORK_BUILDS:
        design = corner_design(build, {})
        for name, task in network_layers():
            yield {"name": f"layer-{name}-{build.family}", "family": build.family, "design": design, "task": task}
        task = {"what": "network", **NETWORK, **SPLIT_TILES, "channels": 4}
        yield {"name": f"network-{build.family}", "family": build.family, "design": design, "task": task}
    for at, (name, task, fields) in enumerate(corners()):
        for build in (DEVELOPMENT[at % len(DEVELOPMENT)], HELD_OUT[at % len(HELD_OUT)]):
            design = corner_design(build, fields)
            yield {"name": f"{name}-{build.family}", "family": build.family, "design": design, "task": task}
    for name, task in whole_tasks():
        yield {"name": name, "family": WHOLE.family, "design": corner_design(WHOLE, {}), "task": task}


def whole_tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """A short run, full tiles of each engine, and SkyNet C on four frames as released, image to head."""
    frames = {"frames_y": 2, "frames_x": 2, "overlap": True}
    yield "whole-short", {"what": "bundle", "height": 3, "width": 5, "channels": 3, "outputs": 5, "image": True,
                          "tile_rows": 2, "tile_columns": 4, "pooled": True, "stored": False}  # fmt: skip
    yield "whole-depthwise", {"what": "depthwise", "height": 42, "width": 82, "channels": 40, "overlap": True}
    yield "whole-bundle", {"what": "bundle", "height": 20, "width": 40, **frames, "channels": 33, "outputs": 64}
    yield "whole-network", {"what": "network", "height": 160, "width": 320, **frames, "tile_rows": 42,
                            "tile_columns": 82, "pitch_rows": 40, "pitch_columns": 80, "channels": 1}  # fmt: skip


# --- the file -----------------------------------------------------------------------------------------------------


def flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def drawn() -> tuple[list[Case], int]:
    """The first cases of the sequence, and how many points were passed over for them."""
    cases: list[Case] = []
    passed = 0
    for case in sobol_cases():
        if case is None:
            passed += 1
        else:
            cases.append(case)
        if len(cases) == SOBOL_CASES:
            break
    return cases, passed


def units(case: Case) -> Case:
    """The case with units where a design file wants them."""
    design = {k.removesuffix("_bits") if k.endswith("_bits") else k: f"{v} bit" if k.endswith("_bits") else v
              for k, v in case["design"].items()}  # fmt: skip
    return case | {"design": design}


def lines() -> Iterator[str]:
    """The case file."""
    sobol, passed = drawn()
    yield HEAD.format(sobol=len(sobol), seed=SOBOL_SEED, dimensions=len(DIMENSIONS), names=", ".join(DIMENSIONS),
                      longest=LONGEST_CYCLES, passed=passed, points=len(sobol) + passed)  # fmt: skip
    yield "circuit: skynet\ndesign: circuit.yaml\ntolerance:\n"
    yield from (f"  {key}: {text}\n" for key, text in TOLERANCE.items())
    yield f"held_out: [{', '.join(b.family for b in (*HELD_OUT, WHOLE))}]\n{SPLIT}cases:\n"
    for seed, case in enumerate([*sobol, *named_cases()], start=1):
        yield f"  - {flow(units(case) | {'seed': seed})}\n"


if __name__ == "__main__":
    sys.stdout.writelines(lines())
