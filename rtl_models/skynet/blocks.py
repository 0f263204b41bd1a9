"""Blocks of the circuit that are synthesized, and what Yosys makes of them: resources.csv.

The whole datapath (`engine`: both engines, buffers, outlet, weight registers) at many sizes, its parts by themselves,
and the control (`loader`, `engine_control`, `walker`), whose multipliers are those of addresses. `hwsim validate
--deep` makes the table anew.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from accelerators.skynet import resources as estimates
from hwsim.cosim.circuit import Hdl
from hwsim.cosim.resources import resources

TABLE = Path(__file__).parent / "resources.csv"
FORMATS = {
    "released": (9, 3, 11, 4, 12, 4),
    "narrow": (8, 3, 10, 4, 12, 4),
    "wide": (10, 4, 12, 4, 14, 5),
    "roomy": (9, 4, 11, 4, 12, 4),
    "tall": (8, 4, 10, 4, 13, 5),
    "ample": (12, 4, 12, 5, 15, 5),
    "broad": (11, 5, 13, 5, 16, 6),
}
FORMAT_FIELDS = ("feature_bits", "feature_integer_bits", "weight_bits", "weight_integer_bits", "accumulator_bits",
                 "accumulator_integer_bits")  # fmt: skip
ENGINE_FIELDS = ("lanes", "inputs_per_cycle", "outputs_per_cycle", "pw_interval", "tile_height", "tile_width")
COUNTS = ("luts", "memory_luts", "flip_flops", "dsps", "block_rams_18k", "carries")


class Subject(NamedTuple):
    """A block with its parameters. quick: of a size for every day; held_out: kept from whoever fits estimates."""

    block: str
    parameters: Mapping[str, int]
    quick: bool = True
    held_out: bool = False

    @property
    def name(self) -> str:
        """The block and its parameters in one word."""
        return "-".join((self.block, *(str(value) for value in self.parameters.values())))


def formats(name: str, *prefixes: str) -> dict[str, int]:
    """The parameters of number formats, those that begin with one of `prefixes` where any is given."""
    pairs = zip(FORMAT_FIELDS, FORMATS[name], strict=True)
    return {key: value for key, value in pairs if not prefixes or key.startswith(prefixes)}


def _engine(sizes: tuple[int, ...], format_name: str, quick: bool, held_out: bool) -> Subject:
    named = dict(zip(ENGINE_FIELDS, sizes, strict=True))
    return Subject("engine", named | formats(format_name), quick, held_out)


def engines() -> Iterator[Subject]:
    """Whole datapaths. The twelfth is the released design; those after it came later, with an interval of 8 and with
    types that reach 6, six to fit what they ask for and five held out."""
    small, large = (12, 22), (42, 82)
    yield _engine((4, 2, 4, 1, *small), "released", True, False)
    yield _engine((8, 4, 8, 2, *small), "released", True, False)
    yield _engine((8, 8, 4, 1, *small), "released", False, False)
    yield _engine((8, 2, 8, 4, *small), "released", False, False)
    yield _engine((8, 4, 8, 2, *small), "narrow", False, False)
    yield _engine((16, 8, 16, 4, *large), "released", False, False)
    yield _engine((16, 16, 16, 2, 20, 42), "released", False, False)
    yield _engine((4, 4, 2, 2, *small), "released", True, True)
    yield _engine((16, 16, 8, 2, *small), "released", False, True)
    yield _engine((8, 8, 8, 8, *small), "wide", False, True)
    yield _engine((16, 4, 16, 1, *large), "released", False, True)
    yield _engine((32, 16, 32, 2, *large), "released", False, True)
    yield _engine((8, 4, 8, 2, *small), "roomy", False, False)
    yield _engine((8, 4, 8, 4, *small), "roomy", False, False)
    yield _engine((16, 4, 8, 8, *small), "roomy", False, False)
    yield _engine((8, 8, 8, 8, *small), "released", False, False)
    yield _engine((4, 2, 4, 4, *small), "tall", False, False)
    yield _engine((8, 4, 4, 1, *small), "tall", False, False)
    yield _engine((4, 4, 4, 2, *small), "tall", True, True)
    yield _engine((8, 2, 8, 8, *small), "broad", False, True)
    yield _engine((8, 4, 8, 1, *small), "broad", False, True)
    yield _engine((16, 8, 8, 4, *small), "ample", False, True)
    yield _engine((16, 16, 16, 8, *small), "roomy", False, True)


def parts() -> Iterator[Subject]:
    """Engines, buffers and outlet by themselves."""
    for name, lanes in (("released", 4), ("released", 16), ("narrow", 8), ("wide", 8)):
        held_out = name == "wide"
        yield Subject("depthwise", {"lanes": lanes} | formats(name, "feature", "weight"), lanes < 16, held_out)
        yield Subject("outlet", {"lanes": lanes} | formats(name, "feature", "accumulator"), lanes < 16, held_out)
    for name, sizes in (("released", (2, 4, 1)), ("released", (4, 8, 2)), ("released", (8, 4, 1)),
                        ("released", (8, 16, 4)), ("narrow", (4, 8, 2)), ("released", (4, 2, 2)),
                        ("wide", (8, 8, 8)), ("released", (16, 8, 2))):  # fmt: skip
        fields = dict(zip(("inputs_per_cycle", "outputs_per_cycle", "pw_interval"), sizes, strict=True))
        yield Subject(
            "pointwise", fields | formats(name), sizes[0] * sizes[1] <= 32, sizes in ((4, 2, 2), (8, 8, 8), (16, 8, 2))
        )
    for bits, depth in (
        (9, 336),
        (9, 3696),
        (12, 264),
        (12, 3444),
        (8, 3696),
        (10, 3696),
        (14, 3444),
        (9, 2048),
        (9, 2049),
    ):
        yield Subject("tile_buffer", {"lanes": 2, "BITS": bits, "DEPTH": depth}, depth != 2048, bits in (10, 14))


def control() -> Iterator[Subject]:
    """What decides and addresses."""
    yield Subject("walker", {}, False)
    yield Subject("loader", {"lanes": 32}, False)
    yield Subject(
        "engine_control", {"lanes": 32, "inputs_per_cycle": 16, "outputs_per_cycle": 32, "pw_interval": 2}, False
    )


@lru_cache(maxsize=1)
def subjects() -> tuple[Subject, ...]:
    """Every block."""
    return (*parts(), *control(), *engines())


def row(hdl: Hdl, subject: Subject) -> dict[str, str]:
    """One line of the table. Raises InputError as `resources` does."""
    found = resources(hdl, subject.parameters, subject.block)
    counted = {name: str(getattr(found, name)) for name in COUNTS}
    return {**described(subject), **counted, "tool": found.tool}


def described(subject: Subject) -> dict[str, str]:
    """The columns that say which block it is."""
    parameters = " ".join(f"{key}={value}" for key, value in subject.parameters.items())
    return {"name": subject.name, "block": subject.block, "parameters": parameters,
            "quick": str(subject.quick).lower(), "held_out": str(subject.held_out).lower()}  # fmt: skip


def read_table() -> list[dict[str, str]]:
    """The lines of resources.csv."""
    return list(csv.DictReader(io.StringIO(TABLE.read_text(encoding="utf-8"))))


def parameters_of(line: Mapping[str, str]) -> dict[str, int]:
    """The parameters of a line."""
    pairs = (pair.split("=") for pair in line["parameters"].split())
    return {key: int(value) for key, value in pairs}


# --- estimates ----------------------------------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A datapath: what Yosys counts of it, and what the model says."""

    name: str
    held_out: bool
    luts: tuple[int, int]
    dsps: tuple[int, int]
    block_rams: tuple[int, int]

    @property
    def lut_error(self) -> float:
        """Of the model's look-up tables, as a share."""
        return self.luts[1] / self.luts[0] - 1


def estimate(line: Mapping[str, str], design: Any) -> Estimate:
    """A line of an `engine` beside the model's figures for `design`, which has its parameters."""
    return Estimate(
        line["name"],
        line["held_out"] == "true",
        (int(line["luts"]) + int(line["memory_luts"]), estimates.datapath_luts(design)),
        (int(line["dsps"]), estimates.dsps(design)),
        (int(line["block_rams_18k"]), estimates.buffer_bram18s(design)),
    )


def summary(found: Sequence[Estimate]) -> list[str]:
    """What the validation page says of the datapaths, as Markdown."""
    return [
        f"Resources of {len(found)} datapaths (both engines, buffers, outlet) by the model against Yosys "
        f"({read_table()[0]['tool']}; `resources.csv`, which has their parts, loader, control and sequencer too):",
        "",
        "| lanes-inputs-outputs-interval, tile, formats | | DSP | block RAM (18 Kb) | LUT | error |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {one.name.removeprefix('engine-')} | {'held out' if one.held_out else 'fitted'} | {_pair(one.dsps)} "
            f"| {_pair(one.block_rams)} | {_pair(one.luts)} | {one.lut_error:+.1%} |"
            for one in found
        ),
    ]


def _pair(pair: tuple[int, int]) -> str:
    counted, said = pair
    return f"{said:,}" if counted == said else f"{said:,} for {counted:,}"
