"""The command `hwsim import`: files of other tools. What it needs is imported when it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, bad_input

if TYPE_CHECKING:
    from hwsim.importers.notes import Imported

Command = Callable[..., Any]
_FILE = click.Path(path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group("import")
def import_command() -> None:
    """Read the files of other tools as designs and workloads; say what is left out, refuse what cannot be carried."""


def _outputs(command: Command) -> Command:
    options = (
        click.option("--out-design", type=_OUT, metavar="D.yaml", help="Write the design here."),
        click.option("--out-workload", type=_OUT, metavar="W.json", help="Write the workload here."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@import_command.command("scalesim")
@click.argument("config", type=_FILE, metavar="CFG")
@click.argument("topology", type=_FILE, metavar="TOPOLOGY.csv")
@click.option("--round-up", is_flag=True, help="Output sizes as SCALE-Sim rounds them, not as PyTorch does.")
@click.option("--depthwise", is_flag=True, help='Layers whose name says depthwise are, not only those named "DP".')
@click.option("--dram", metavar="PART", help="The DRAM part in place of SCALE-Sim's DRAM.")
@_outputs
def scalesim_command(
    config: Path, topology: Path, round_up: bool, depthwise: bool, dram: str | None, out_design: Path | None,
    out_workload: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """SCALE-Sim 2 and 3: a configuration, and a topology of convolutions or GEMMs."""
    from hwsim.importers.scalesim import Options, read_scalesim

    _check_outputs(out_design, out_workload)
    found = read_scalesim(config, topology, Options(round_up, depthwise, dram))
    return _finish(found, out_design, out_workload, as_json=as_json)


@import_command.command("zigzag")
@click.argument("hardware", type=_FILE, metavar="HARDWARE.yaml")
@click.argument("workload", type=_FILE, metavar="WORKLOAD")
@click.option("--mapping", type=_FILE, metavar="MAPPING.yaml", help="Says which loops run on which axis of the array.")
@click.option("--dram", metavar="PART", help="The DRAM part; the clock is made for its peak.")
@_outputs
def zigzag_command(
    hardware: Path, workload: Path, mapping: Path | None, dram: str | None, out_design: Path | None,
    out_workload: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """ZigZag 3.9: an accelerator, and a workload in YAML or ONNX."""
    from hwsim.importers.zigzag import read_zigzag

    _check_outputs(out_design, out_workload)
    return _finish(read_zigzag(hardware, workload, mapping, dram), out_design, out_workload, as_json=as_json)


@import_command.command("timeloop")
@click.argument("architecture", type=_FILE, metavar="ARCH.yaml")
@click.argument("problem", type=_FILE, metavar="PROBLEM.yaml")
@click.option("--dataflow", required=True, type=click.Choice(["ws", "os", "is"]),
              help="What stays in the array; Timeloop's mapper chooses it, a design has one.")  # fmt: skip
@click.option("--dram", metavar="PART", help="The DRAM part in place of Timeloop's DRAM.")
@_outputs
def timeloop_command(
    architecture: Path, problem: Path, dataflow: str, dram: str | None, out_design: Path | None,
    out_workload: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Timeloop v4: an architecture of one flat hierarchy, and a problem."""
    from hwsim.importers.timeloop import read_timeloop

    _check_outputs(out_design, out_workload)
    return _finish(read_timeloop(architecture, problem, dataflow, dram), out_design, out_workload, as_json=as_json)


@import_command.command("onnx")
@click.argument("model", type=_FILE, metavar="MODEL")
@click.option("--bind", "bindings", multiple=True, metavar="NAME=NUMBER", help="Fix an open dimension of the model.")
@click.option("--out", "out_workload", type=_OUT, metavar="W.json", help="Write the workload here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def onnx_command(model: Path, bindings: tuple[str, ...], out_workload: Path | None, as_json: bool) -> int:
    """An ONNX model: its graph with inferred shapes. Weights' values are not read."""
    from hwsim.importers.onnx_model import read_onnx

    _check_outputs(None, out_workload)
    return _finish(read_onnx(model, _bound(bindings)), None, out_workload, as_json=as_json)


def _bound(bindings: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in bindings:
        name, equals, number = text.partition("=")
        if not equals or not (number.isascii() and number.isdigit()) or len(number) > _DIGITS or name in found:
            raise bad_input("bind", text, "must read NAME=NUMBER, each name once", key="--bind")
        found[name] = int(number)
    return found


_DIGITS = 18


def _check_outputs(design: Path | None, workload: Path | None) -> None:
    if design is not None and design.suffix not in (".yaml", ".yml"):
        raise bad_input("out", str(design), "designs are files in .yaml", key="--out-design")
    if workload is not None and workload.suffix != ".json":
        raise bad_input("out", str(workload), "workloads are files in .json", key="--out-workload")


def _finish(found: Imported, design: Path | None, workload: Path | None, *, as_json: bool) -> int:
    """Write what is asked for and say what was found; a workload that cannot run is not written."""
    from hwsim.importers.notes import write_text
    from hwsim.workload import store
    from hwsim.workload.ir import Disposition

    ops = [op for g in found.workload.graphs.values() for op in g.ops] if found.workload else []
    unsupported = [op for op in ops if op.disposition is Disposition.UNSUPPORTED]
    if found.workload and workload and not unsupported:
        store.write(found.workload, workload)
    if found.design and design and not unsupported:
        write_text(found.design, design)
    written = [str(path) for path in (design, workload) if path and not unsupported]
    counts = _counts(found, ops)
    if as_json:
        broken = [{"name": op.name, "source": op.source, "reason": op.reason} for op in unsupported]
        document = {**counts, "out": written, "notes": [n.as_json() for n in found.notes], "unsupported": broken}
        click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))
    else:
        _tell(found, counts, written)
    for op in unsupported:
        click.echo(f"error: unsupported: {op.name} ({op.source}): {op.reason}", err=True)
    return EXIT_BAD_INPUT if unsupported else EXIT_OK


def _counts(found: Imported, ops: list[Any]) -> dict[str, Any]:
    from hwsim.workload.family import weights_of

    if found.workload is None:
        return {}
    sizes = {name: int(symbol.default) for name, symbol in found.workload.symbols.items()}
    return {"workload": found.workload.name, "operators": len(ops), "weights": weights_of(found.workload, sizes),
            "macs": found.workload.macs(sizes)}  # fmt: skip


def _tell(found: Imported, counts: dict[str, Any], written: list[str]) -> None:
    if found.workload:
        click.echo(f"{found.workload.name}: {found.workload.summary}")
        click.echo(f"  {counts['operators']:,} operators, {counts['weights']:,} weights, {counts['macs']:,} MACs")
    for path in written:
        click.echo(f"wrote {path}")
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
