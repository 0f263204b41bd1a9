"""A network on a part: bits that fit, sources, memory plan and report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from accelerators.mcu import mixes
from accelerators.mcu.deploy import sources
from accelerators.mcu.deploy.binding import BoundLayer, bind, fill, filled
from accelerators.mcu.deploy.memory import BYTE_BITS, MemoryPlan, plan_memory, value_bytes
from accelerators.mcu.deploy.parts import TABLE, Part, find_part
from accelerators.mcu.kernels import WITH_WEIGHTS, filter_values
from accelerators.mcu.toolchain import Isa
from hwsim.deploy.plugin import Answer, Request, Target
from hwsim.errors import bad_input
from hwsim.quant import formats
from hwsim.quant.assign import Bits, Limits, Overflow, Scheme
from hwsim.quant.branching import Flow, FlowPlan, Step, assign_flow
from hwsim.quant.chain import Kind, Layer
from hwsim.quant.formats import Ints
from hwsim.quant.infer import infer_all, quantize_input
from hwsim.quant.network import Network, Pool, Product, inputs_of

STACK_BYTES = 2048
"""RAM that is left to the stack. Kernels take less than 1 KiB (tests measure it); the rest is the caller's."""
STRUCT_BYTES = 120
"""`struct nn_layer`: ten pointers and twenty numbers of 32 bits."""
CALL_BYTES = 16
"""Code of one call in `network_run`, at most."""
CHECK_BYTES = 192
"""Code of `network_check` and of what encloses the calls, at most."""
HEAD_BYTES = 64
"""Code of `network_check` for each further output, at most."""
ROUNDS = 24


@dataclass(frozen=True)
class Deployment:
    """What goes to a folder: texts by file name, and the report as plain data."""

    files: dict[str, str]
    report: dict[str, Any]


@dataclass(frozen=True)
class Image:
    """An integer network laid out for a part."""

    network: Network
    layers: tuple[BoundLayer, ...]
    plan: MemoryPlan
    isa: Isa

    @property
    def flash_bytes(self) -> dict[str, int]:
        """Flash by what takes it."""
        constants = [sources.constants_of(layer, self.isa) for layer in self.layers]
        weights = sum(len(found["weights"]) for found in constants if "weights" in found)
        total = sum(-(-len(data) // 4) * 4 for found in constants for data in found.values())
        code = mixes.text_bytes(self.isa, [layer.kernel for layer in self.layers])
        count = len(self.layers)
        return {"weights": weights, "parameters": total - weights, "layers": STRUCT_BYTES * count,
                "code": code + CALL_BYTES * count + CHECK_BYTES + HEAD_BYTES * len(self.network.heads)}  # fmt: skip

    @property
    def ram_bytes(self) -> dict[str, int]:
        """RAM by what takes it."""
        return {"arena": self.plan.arena_bytes, "stack": STACK_BYTES}


def image_of(network: Network, isa: Isa) -> Image:
    """`network` with its kernels, order and addresses. Raises InputError for a layer that no kernel computes."""
    whole = filled(network)
    layers = bind(whole)
    return Image(whole, layers, plan_memory(whole, layers, isa), isa)


# --- bits that fit ----------------------------------------------------------------------------------------------------


def flow_of(network: Network) -> Flow:
    """What choosing bits sees of a network, as the part stores it: channels in fours."""
    whole = filled(network)
    number = {name: i for i, name in enumerate([whole.input, *(layer.output for layer in whole.layers)])}
    elements = [0] * len(number)
    for name, i in number.items():
        elements[i] = int(np.prod(whole.values[name].shape))
    steps = [Step(layer.name, tuple(number[n] for n in inputs_of(layer)), number[layer.output],
                  _layer(whole, layer) if isinstance(layer, Product) else None, isinstance(layer, Pool))
             for layer in whole.layers]  # fmt: skip
    return Flow(tuple(elements), tuple(steps), tuple(number[name] for name in whole.outputs))


def _layer(network: Network, layer: Product) -> Layer:
    source, out = (network.values[name].shape for name in (layer.input, layer.output))
    weights = int(np.prod(layer.weight_shape))
    pixels = 1 if layer.kind is Kind.LINEAR else out[0] * out[1]
    return Layer(layer.name, layer.kind, weights, int(np.prod(source)), int(np.prod(out)), out[2], weights * pixels)


def fit(
    make: Callable[[Bits], Network], widest: Network, part: Part, scheme: Scheme, weight_bits: int = 0
) -> tuple[Image | None, tuple[Overflow, ...]]:
    """The network that `make` makes at bits by the rules, laid out; None, and what is over, where no bits fit.

    The rules count neither code nor scratch buffers nor what addresses waste, so where the layout is too large they are
    asked again with what it was over taken off their limits.
    """
    flow = flow_of(widest)
    ram = part.ram_bits - STACK_BYTES * BYTE_BITS
    limits = Limits(part.flash_bits, ram)
    for _ in range(ROUNDS):
        plan = assign_flow(flow, limits, scheme, weight_bits)
        if not plan.fits:
            return None, _over(plan, part, limits)
        image = image_of(make(plan.bits), part.isa)
        over_flash = BYTE_BITS * sum(image.flash_bytes.values()) - part.flash_bits
        over_ram = BYTE_BITS * image.plan.arena_bytes - ram
        if over_flash <= 0 and over_ram <= 0:
            return image, ()
        limits = Limits(limits.flash_bits - max(0, over_flash), limits.ram_bits - max(0, over_ram))
    return None, layout_overflows(image, part)


def _over(plan: FlowPlan, part: Part, limits: Limits) -> tuple[Overflow, ...]:
    """Overflows of a plan, with what its limits leave aside in the reason."""
    aside = {"flash": part.flash_bits - limits.flash_bits, "ram": part.ram_bits - limits.ram_bits}
    what = {"flash": "code and layer structures", "ram": "stack, columns and gaps"}
    return tuple(
        replace(o, reason=f"{o.reason}; {aside[o.memory] // BYTE_BITS} bytes are taken by {what[o.memory]}")
        if aside[o.memory] else o
        for o in plan.overflows
    )  # fmt: skip


def layout_overflows(image: Image, part: Part) -> tuple[Overflow, ...]:
    """Which memory of a part a layout exceeds, by how much, and at which layer."""
    found = []
    over = BYTE_BITS * sum(image.flash_bytes.values()) - part.flash_bits
    if over > 0:
        layer, size = max(((x, len(sources.constants_of(x, image.isa).get("weights", b""))) for x in image.layers),
                          key=lambda pair: pair[1])  # fmt: skip
        found.append(
            _overflow("flash", layer, over, f"that layer takes {size} of {sum(image.flash_bytes.values())} bytes")
        )
    over = BYTE_BITS * sum(image.ram_bytes.values()) - part.ram_bits
    if over > 0:
        name, live = image.plan.largest()
        layer = next(x for x in image.layers if x.name == name)
        found.append(_overflow("ram", layer, over, f"{live} bytes live while it runs"))
    return tuple(found)


def _overflow(memory: str, layer: BoundLayer, over_bits: int, reason: str) -> Overflow:
    kernel = layer.kernel
    return Overflow(memory, layer.name, over_bits, kernel.weight_bits, kernel.in_bits, kernel.out_bits, reason)


# --- what is written --------------------------------------------------------------------------------------------------


def deployment(image: Image, network: Network, part: Part, codes: Ints, notes: Sequence[str] = ()) -> Deployment:
    """All files for `image`, laid out from `network`. `codes` is one input, height x width x channels."""
    given = fill(network.values[network.input], codes)
    codes_of = infer_all(image.network, given[None])
    packed = [formats.pack(codes_of[name][0], image.network.values[name].bits).tobytes()
              for name in (network.input, *network.outputs)]  # fmt: skip
    files = sources.all_sources(image.network, image.plan, image.isa, packed[0], packed[1:])
    report = report_of(image, part, notes)
    report["files"] = sorted([*files, "plan.json", "report.txt"])
    files["plan.json"] = json.dumps({"schema_version": 1, **report}, indent=1, allow_nan=False) + "\n"
    files["report.txt"] = "\n".join(report_lines(report)) + "\n"
    return Deployment(files, report)


def report_of(image: Image, part: Part, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Sizes in bytes, layers in the order they run, values with their addresses."""
    plan = image.plan
    made = {image.network.input, *(layer.output for layer in plan.layers)}
    values = [{"name": name, "bits": value.bits, "shape": list(value.shape), "bytes": value_bytes(value),
               "offset_bytes": plan.offset_bytes(name), "scale": value.scale, "zero": value.zero}
              for name, value in image.network.values.items() if name in made]  # fmt: skip
    return {
        "network": image.network.name,
        "part": {"name": part.name, "core": part.core, "isa": part.isa.name.lower(),
                 "flash_bytes": part.flash_bits // BYTE_BITS, "ram_bytes": part.ram_bits // BYTE_BITS,
                 "clock_khz": part.clock_khz, "evidence": part.evidence, "source": part.source},
        "flash_bytes": {**image.flash_bytes, "total": sum(image.flash_bytes.values())},
        "ram_bytes": {**image.ram_bytes, "total": sum(image.ram_bytes.values())},
        "arena_lower_bound_bytes": -(-plan.placement.lower_bound_bits // BYTE_BITS),
        "order_proven": plan.schedule.proven,
        "input": image.network.input,
        "output": image.network.output,
        "heads": list(image.network.heads),
        "layers": [_row(image, layer) for layer in plan.layers],
        "values": values,
        "notes": list(notes),
    }  # fmt: skip


def _row(image: Image, layer: BoundLayer) -> dict[str, Any]:
    kernel, constants = layer.kernel, sources.constants_of(layer, image.isa)
    weighted = kernel.operation in WITH_WEIGHTS
    pixels = layer.shape.out_h * layer.shape.out_w * layer.shape.out_c
    return {
        "name": layer.name,
        "kernel": kernel.name,
        "reads": list(layer.reads),
        "writes": layer.output,
        "weight_bits": kernel.weight_bits if weighted else None,
        "input_bits": kernel.in_bits,
        "output_bits": kernel.out_bits,
        "macs": filter_values(kernel, layer.shape) * pixels if weighted else 0,
        "flash_bytes": sum(len(data) for data in constants.values()),
        "columns_offset_bytes": image.plan.columns_bytes(layer.name),
    }


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    part, at = report["part"], {v["name"]: v for v in report["values"]}
    lines = [f"{sources.plain(report['network'])} on {part['name']} ({part['core']})"]
    for name in ("flash", "ram"):
        parts = ", ".join(f"{what} {size:,}" for what, size in report[f"{name}_bytes"].items() if what != "total")
        total, limit = report[f"{name}_bytes"]["total"], part[f"{name}_bytes"]
        lines.append(f"  {name:5} {total:>10,} of {limit:>10,} bytes: {parts}")
    lines.append(f"  {'layer':28} {'kernel':32} {'weights':>7} {'output':>7} {'flash':>9}   address")
    for row in report["layers"]:
        out = at[row["writes"]]
        weights = f"{row['weight_bits']} b" if row["weight_bits"] else ""
        place = f"{out['offset_bytes']:>7} .. {out['offset_bytes'] + out['bytes']}"
        lines.append(
            f"  {sources.plain(row['name'])[-28:]:28} {row['kernel']:32} {weights:>7} {out['bits']:>5} b "
            f"{row['flash_bytes']:>9,}   {place}"
        )
    return [*lines, *(f"note: {note}" for note in report["notes"])]


def part_of(target: Target) -> Part:
    """The part with the memory that may be taken. Raises InputError where it has less."""
    part = find_part(target.part, target.parts or TABLE)
    given = {key: bits for key, bits in (("flash", target.flash_bits), ("ram", target.ram_bits)) if bits}
    for key, bits in given.items():
        there = getattr(part, f"{key}_bits")
        if bits > there:
            rule = f"{part.name} has {there // BYTE_BITS} bytes"
            raise bad_input("range", f"{bits // BYTE_BITS} bytes", rule, "Give at most that, or take a larger part.",
                            key=f"--{key}")  # fmt: skip
    return replace(part, **{f"{key}_bits": bits for key, bits in given.items()})


def _reserved(target: Target) -> list[str]:
    """What is left to the user's own code, as notes."""
    whole, taken = find_part(target.part, target.parts or TABLE), part_of(target)
    left = {"flash": whole.flash_bits - taken.flash_bits, "RAM": whole.ram_bits - taken.ram_bits}
    return [f"{bits // BYTE_BITS:,} bytes of {name} are left to other code" for name, bits in left.items() if bits]


# --- the plug-in ------------------------------------------------------------------------------------------------------


class McuDeployer:
    """Microcontrollers, as `hwsim deploy -a mcu` finds them."""

    def check(self, target: Target) -> None:
        """Raise InputError if there is no such part, or it has less memory."""
        part_of(target)

    def deploy(self, request: Request) -> Answer:
        """The files for a part, or what does not fit it."""
        part = part_of(request.target)
        image, over = fit(request.make, request.widest, part, request.scheme, request.weight_bits)
        if image is None:
            return Answer(overflows=over)
        codes = quantize_input(request.widest, request.image[None])[0]
        found = deployment(image, request.widest, part, codes, [*request.notes, *_reserved(request.target)])
        return Answer(found.files, found.report, report_lines(found.report))


DEPLOYER = McuDeployer()
