"""The command `hwsim quantize`: bits for every tensor of a network from the two memory limits of a device."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.errors import EXIT_BOUND_FAILED, EXIT_OK, bad_input
from hwsim.units import QuantityError, parse_integer

if TYPE_CHECKING:
    from hwsim.quant.assign import Limits, Plan, Scheme
    from hwsim.quant.branching import FlowPlan
    from hwsim.quant.chain import Layer
    from hwsim.workload.ir import Workload

BYTE = 8
LARGEST_BITS = BYTE << 40
NUMBER = re.compile(r"[-+]?[0-9]+([.][0-9]*)?([eE][-+]?[0-9]+)?")
"""A size without a unit."""


class Size(click.ParamType[int]):
    """An amount of memory in bits: a whole number of bytes ("2048000"), or a quantity with its unit ("2 MB")."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        key = param.opts[0] if param else ""
        text = str(value).strip()
        try:
            bits = parse_integer(f"{text} B" if NUMBER.fullmatch(text) else text, "size_bits")
        except QuantityError as bad:
            remedy = bad.remedy or 'Write bytes, or a unit: 2048000, "2 MB", "512 KiB".'
            raise bad_input(bad.code, text, bad.rule, remedy, key=key) from None
        if bits < BYTE or bits % BYTE:
            raise bad_input("range", text, "must be a whole number of bytes and at least one",
                            'For instance "512 KiB".', key=key)  # fmt: skip
        if bits > LARGEST_BITS:
            raise bad_input("range", text, "must be at most 1 TiB", 'For instance "512 KiB".', key=key)
        return bits


@click.command("quantize")
@click.option("-w", "--workload", required=True, metavar="WORKLOAD", help="A shipped workload or a JSON file.")
@click.option("--flash", "flash_bits", required=True, type=Size(), help='Flash for weights: 2048000 or "2 MB".')
@click.option("--ram", "ram_bits", required=True, type=Size(), help='RAM for values: 512000 or "512 KiB".')
@click.option(
    "--method",
    default="rules",
    show_default=True,
    type=click.Choice(["rules", "exact"]),
    help="The published rules, or the least loss (needs SciPy).",
)
@click.option(
    "--scheme",
    default="pl",
    show_default=True,
    type=click.Choice(["pl", "pc", "tqt"]),
    help="One scale of weights a layer, or one a channel; tqt: powers of two.",
)
@click.option(
    "--proxy",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What bits cost, by layer and width (YAML or JSON). Default: 4^-bits for every tensor.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")  # fmt: skip
def quantize_command(
    workload: str, flash_bits: int, ram_bits: int, method: str, scheme: str, proxy: Path | None, as_json: bool
) -> int:
    """Choose 8, 4 or 2 bits for every tensor so that a network fits flash and RAM."""
    from hwsim.quant.assign import Limits, Scheme
    from hwsim.quant.chain import is_chain
    from hwsim.workload.store import load_workload

    found, limits, wanted = load_workload(workload), Limits(flash_bits, ram_bits), Scheme(scheme)
    planned = _chain_plan if is_chain(found) else _flow_plan
    plan, loss, layers = planned(found, limits, wanted, method, proxy)
    document = {
        "workload": found.name,
        "method": method,
        **plan_document(plan),
        "proxy": str(proxy) if proxy else "4^-bits",
        "loss": loss,
        "layers": layers,
    }
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join(_lines(document)))
    for overflow in plan.overflows:
        click.echo(f"error: does not fit {overflow}", err=True)
    return EXIT_OK if plan.fits else EXIT_BOUND_FAILED


Planned = tuple["Plan | FlowPlan", float, list[dict[str, Any]]]
"""A plan, its loss, and what is said of each layer."""


def _chain_plan(network: Workload, limits: Limits, scheme: Scheme, method: str, proxy: Path | None) -> Planned:
    from hwsim.quant.assign import assign_by_rules
    from hwsim.quant.chain import chain_of
    from hwsim.quant.proxy import noise_proxy, read_proxy

    layers = chain_of(network)
    costs = read_proxy(proxy, layers) if proxy else noise_proxy(layers)
    if method == "rules":
        plan = assign_by_rules(layers, limits, scheme)
    else:
        from hwsim.quant.exact import assign_exactly

        plan = assign_exactly(layers, limits, scheme, costs)
    return plan, costs.loss(plan.bits), [_layer(plan, i) for i in range(len(layers))]


def _flow_plan(network: Workload, limits: Limits, scheme: Scheme, method: str, proxy: Path | None) -> Planned:
    from hwsim.quant.branching import assign_flow
    from hwsim.quant.graphs import flow_of
    from hwsim.quant.proxy import flow_noise_proxy, read_flow_proxy

    flow = flow_of(network)
    costs = read_flow_proxy(proxy, flow) if proxy else flow_noise_proxy(flow)
    if method == "rules":
        plan = assign_flow(flow, limits, scheme)
    else:
        from hwsim.quant.exact import assign_flow_exactly

        plan = assign_flow_exactly(flow, limits, scheme, costs)
    return plan, costs.flow_loss(plan), _steps(plan)


def plan_document(plan: Plan | FlowPlan) -> dict[str, Any]:
    """A plan as plain data: sizes in bytes."""
    return {
        "scheme": plan.scheme.value,
        "fits": plan.fits,
        "flash_bytes": plan.flash_bits // BYTE,
        "flash_limit_bytes": plan.limits.flash_bits // BYTE,
        "ram_bytes": plan.ram_bits // BYTE,
        "ram_limit_bytes": plan.limits.ram_bits // BYTE,
        "overflows": [
            {"memory": o.memory, "layer": o.layer, "over_bytes": o.over_bits // BYTE,
             "weight_bits": o.weight_bits or None, "input_bits": o.input_bits, "output_bits": o.output_bits,
             "reason": o.reason}
            for o in plan.overflows
        ],
    }  # fmt: skip


def _layer(plan: Plan, i: int) -> dict[str, Any]:
    from hwsim.quant import assign

    layer, bits = plan.layers[i], plan.bits
    flash = assign.flash_of(plan.layers, bits, plan.scheme, i)
    return {
        "name": layer.name,
        "kind": layer.kind.value,
        "weight_bits": bits.weights[i],
        "input_bits": bits.values[i],
        "output_bits": bits.values[i + 1],
        **_flash(layer, plan.scheme, bits.weights[i], bits.values[i + 1], flash),
        "ram_bytes": assign.ram_bits(plan.layers, bits, i) // BYTE,
    }


def _flash(layer: Layer, scheme: Scheme, weight_bits: int, output_bits: int, flash_bits: int) -> dict[str, Any]:
    from hwsim.quant import assign

    weights = assign.tensor_bits(layer.weights, weight_bits)
    return {
        "requantizer": assign.requantizer(scheme, weight_bits, output_bits).value,
        "weight_bytes": weights // BYTE,
        "auxiliary_bytes": (flash_bits - weights) // BYTE,
        "flash_bytes": flash_bits // BYTE,
    }


NO_FLASH = {"requantizer": None, "weight_bytes": 0, "auxiliary_bytes": 0, "flash_bytes": 0}
"""Of a step without weights."""


def _steps(plan: FlowPlan) -> list[dict[str, Any]]:
    """Every step in the order it runs; `input_bits` are those of its widest operand, `reads` says them all."""
    from hwsim.quant.branching import layer_flash

    flow, flash = plan.flow, iter(zip(plan.weights, layer_flash(plan), strict=True))
    names = {step.writes: step.name for step in flow.steps}
    rows = []
    for i, step in enumerate(flow.steps):
        weight_bits, flash_bits = next(flash) if step.layer else (None, 0)
        reads = {names.get(value, "input"): plan.widths[value] for value in step.reads}
        output_bits = plan.widths[step.writes]
        layer, bits = step.layer, weight_bits or 0
        rows.append({
            "name": step.name,
            "kind": layer.kind.value if layer else step.kind,
            "weight_bits": weight_bits,
            "input_bits": max(reads.values()),
            "output_bits": output_bits,
            "reads": reads,
            **(_flash(layer, plan.scheme, bits, output_bits, flash_bits) if layer else NO_FLASH),
            "ram_bytes": flow.ram_bits(plan.widths, i) // BYTE,
        })  # fmt: skip
    return rows


def _lines(document: dict[str, Any]) -> list[str]:
    verdict = "fits" if document["fits"] else "does not fit"
    head = f"{document['workload']} {verdict}: method {document['method']}, scheme {document['scheme']}"
    used = [
        f"  {name:5} {document[f'{key}_bytes']:>10,} of {document[f'{key}_limit_bytes']:>10,} bytes"
        for name, key in (("flash", "flash"), ("RAM", "ram"))
    ]
    wide = max(12, *(len(row["name"]) for row in document["layers"]))
    titles = f"  {'layer':{wide}} {'weights':>7} {'input':>6} {'output':>6} {'flash':>10} {'RAM':>10}"
    rows = [
        f"  {r['name']:{wide}} {r['weight_bits'] or '-':>5} {'b' if r['weight_bits'] else ' '} {r['input_bits']:>4} b "
        f"{r['output_bits']:>4} b {r['flash_bytes']:>8,} B {r['ram_bytes']:>8,} B"
        for r in document["layers"]
    ]
    return [head, *used, f"  loss  {document['loss']:.6g} ({document['proxy']})", titles, *rows]
