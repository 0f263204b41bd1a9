"""The command `hwsim quantize`: bits for every tensor of a network from the two memory limits of a device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.errors import EXIT_BOUND_FAILED, EXIT_OK, bad_input
from hwsim.units import QuantityError, parse_integer

if TYPE_CHECKING:
    from hwsim.quant.assign import Plan
    from hwsim.quant.chain import Layer
    from hwsim.quant.proxy import Proxy

BYTE = 8


class _Size(click.ParamType[int]):
    """An amount of memory in bits: a whole number of bytes ("2048000"), or a quantity with its unit ("2 MB")."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        key = param.opts[0] if param else ""
        text = str(value).strip()
        try:
            bits = parse_integer(f"{text} B" if text.isascii() and text.isdigit() else text, "size_bits")
        except QuantityError as bad:
            remedy = bad.remedy or 'Write bytes, or a unit: 2048000, "2 MB", "512 KiB".'
            raise bad_input(bad.code, text, bad.rule, remedy, key=key) from None
        if bits < BYTE or bits % BYTE:
            raise bad_input("range", text, "must be a whole number of bytes and at least one",
                            'For instance "512 KiB".', key=key)  # fmt: skip
        return bits


@click.command("quantize")
@click.option("-w", "--workload", required=True, metavar="WORKLOAD", help="A shipped workload or a JSON file.")
@click.option("--flash", "flash_bits", required=True, type=_Size(), help='Flash for weights: 2048000 or "2 MB".')
@click.option("--ram", "ram_bits", required=True, type=_Size(), help='RAM for values: 512000 or "512 KiB".')
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
    type=click.Choice(["pl", "pc"]),
    help="One scale of weights a layer, or one a channel.",
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
    from hwsim.quant.chain import chain_of
    from hwsim.quant.proxy import noise_proxy, read_proxy
    from hwsim.workload.store import load_workload

    found = load_workload(workload)
    layers = chain_of(found)
    costs = read_proxy(proxy, layers) if proxy else noise_proxy(layers)
    plan = _planned(layers, Limits(flash_bits, ram_bits), Scheme(scheme), method, costs)
    document = plan_document(plan, found.name, method, costs, str(proxy) if proxy else "4^-bits")
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join(_lines(document)))
    for overflow in plan.overflows:
        click.echo(f"error: does not fit {overflow}", err=True)
    return EXIT_OK if plan.fits else EXIT_BOUND_FAILED


def _planned(layers: Sequence[Layer], limits: Any, scheme: Any, method: str, proxy: Proxy) -> Plan:
    from hwsim.quant.assign import assign_by_rules

    if method == "rules":
        return assign_by_rules(layers, limits, scheme)
    from hwsim.quant.exact import assign_exactly

    return assign_exactly(layers, limits, scheme, proxy)


def plan_document(plan: Plan, workload: str, method: str, proxy: Proxy, proxy_name: str) -> dict[str, Any]:
    """A plan as plain data: sizes in bytes, layers in network order."""
    return {
        "workload": workload,
        "method": method,
        "scheme": plan.scheme.value,
        "fits": plan.fits,
        "flash_bytes": plan.flash_bits // BYTE,
        "flash_limit_bytes": plan.limits.flash_bits // BYTE,
        "ram_bytes": plan.ram_bits // BYTE,
        "ram_limit_bytes": plan.limits.ram_bits // BYTE,
        "proxy": proxy_name,
        "loss": proxy.loss(plan.bits),
        "layers": [_layer(plan, i) for i in range(len(plan.layers))],
        "overflows": [
            {"memory": o.memory, "layer": o.layer, "over_bytes": o.over_bits // BYTE, "weight_bits": o.weight_bits,
             "input_bits": o.input_bits, "output_bits": o.output_bits, "reason": o.reason}
            for o in plan.overflows
        ],
    }  # fmt: skip


def _layer(plan: Plan, i: int) -> dict[str, Any]:
    from hwsim.quant import assign

    layer, bits = plan.layers[i], plan.bits
    weights = assign.tensor_bits(layer.weights, bits.weights[i])
    flash = assign.flash_of(plan.layers, bits, plan.scheme, i)
    return {
        "name": layer.name,
        "kind": layer.kind.value,
        "weight_bits": bits.weights[i],
        "input_bits": bits.values[i],
        "output_bits": bits.values[i + 1],
        "requantizer": assign.requantizer(plan.scheme, bits.weights[i], bits.values[i + 1]).value,
        "weight_bytes": weights // BYTE,
        "auxiliary_bytes": (flash - weights) // BYTE,
        "flash_bytes": flash // BYTE,
        "ram_bytes": assign.ram_bits(plan.layers, bits, i) // BYTE,
    }


def _lines(document: dict[str, Any]) -> list[str]:
    verdict = "fits" if document["fits"] else "does not fit"
    head = f"{document['workload']} {verdict}: method {document['method']}, scheme {document['scheme']}"
    used = [
        f"  {name:5} {document[f'{key}_bytes']:>10,} of {document[f'{key}_limit_bytes']:>10,} bytes"
        for name, key in (("flash", "flash"), ("RAM", "ram"))
    ]
    titles = f"  {'layer':12} {'weights':>7} {'input':>6} {'output':>6} {'flash':>10} {'RAM':>10}"
    rows = [
        f"  {r['name']:12} {r['weight_bits']:>5} b {r['input_bits']:>4} b {r['output_bits']:>4} b "
        f"{r['flash_bytes']:>8,} B {r['ram_bytes']:>8,} B"
        for r in document["layers"]
    ]
    return [head, *used, f"  loss  {document['loss']:.6g} ({document['proxy']})", titles, *rows]
