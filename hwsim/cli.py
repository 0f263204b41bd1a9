"""The `hwsim` command: results on stdout, talk on stderr, `--json` everywhere.

Every command imports what it needs when it runs, so that `--help`, `check` and `explain` answer at once.

Exit codes: 0 done, 1 a stated bound failed, 2 bad input, 3 part of the work failed, 70 a bug of ours.
"""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from hwsim.cosim.commands import cosim_command, validate_command
from hwsim.deploy.command import deploy_command
from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, EXIT_OUR_BUG, InputError, Problem, Where, bad_input
from hwsim.importers.commands import import_command
from hwsim.netlist.commands import netlist_command
from hwsim.pipeline.command import system_command
from hwsim.quant.commands import quantize_command
from hwsim.sweep.commands import export_command, sweep_command
from hwsim.version import __version__

EXIT_INTERRUPTED = 130
GC_THRESHOLD = 200_000
"""Allocations between collections: a run makes many small tuples and no cycles worth looking for."""
JSON_HELP = "Print one JSON document on stdout."


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run the command line and exit with its code."""
    gc.set_threshold(GC_THRESHOLD)
    _ready_streams()
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def _ready_streams() -> None:
    """Streams to write to, whatever we were started with: none at all, or an encoding that lacks some characters."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_command(arguments: list[str]) -> int:
    """Run one command line; its exit code. User errors become messages, our own bugs a request to send us them."""
    try:
        outcome = cli.main(args=arguments, prog_name="hwsim", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else EXIT_OK
    except InputError as error:
        return _tell_input_error(error, "--json" in arguments)
    except click.ClickException as error:
        if "--json" in arguments:
            _print_json({"errors": [Problem("usage", Where(), "", error.format_message()).as_json()]})
        error.show()
        return EXIT_BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # click itself ends with SystemExit when the reader of stdout has gone, and for nothing else in this mode.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _tell_our_bug(arguments)
        click.echo(f"error: {error.strerror}", err=True)
        return EXIT_BAD_INPUT
    except Exception:
        return _tell_our_bug(arguments)


def _tell_input_error(error: InputError, as_json: bool) -> int:
    if as_json:
        _print_json({"errors": [p.as_json() for p in error.problems]})
    for problem in error.problems:
        click.echo(f"error: {problem}", err=True)
    return EXIT_BAD_INPUT


def _tell_our_bug(arguments: list[str]) -> int:
    handle, name = tempfile.mkstemp(prefix="hwsim-bug-", suffix=".txt")
    with os.fdopen(handle, "w") as log:
        log.write(f"hwsim {__version__}\npython {sys.version}\narguments {arguments!r}\n\n{traceback.format_exc()}")
    kind = type(sys.exc_info()[1]).__name__
    click.echo(f"hwsim has a bug ({kind}). Please report it with the file {name}.", err=True)
    return EXIT_OUR_BUG


def _print_json(document: Mapping[str, object]) -> None:
    click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))


# --- options ----------------------------------------------------------------------------------------------------


class _Bindings(click.ParamType[dict[str, float]]):
    """`n=30,m=30` as a dictionary of numbers."""

    name = "NAME=NUMBER[,...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        if isinstance(value, dict):
            return value
        bound: dict[str, float] = {}
        for part in str(value).split(","):
            name, equals, text = part.partition("=")
            where = f"--bind {part}"
            if not equals or not name.strip():
                raise bad_input("bind", part, "must read NAME=NUMBER", "For instance --bind n=30,m=30.", key=where)
            if name.strip() in bound:
                raise bad_input("bind", part, f"{name.strip()} is bound twice", "Keep one of the two.", key=where)
            bound[name.strip()] = _number(text.strip(), where)
        return bound


def _number(text: str, where: str) -> float:
    plain = text.removeprefix("-").replace(".", "", 1)
    if not (plain.isascii() and plain.isdigit()) or len(plain) > 18:
        raise bad_input("bind", text, "must be a plain number", "For instance 30 or 0.25.", key=where)
    return float(text) if "." in text else int(text)


def _merged(bindings: Iterable[dict[str, float]]) -> dict[str, float]:
    merged: dict[str, float] = {}
    for one in bindings:
        for name, value in one.items():
            if name in merged:
                raise bad_input("bind", f"{name}={value:g}", f"{name} is bound twice", "Keep one of the two.",
                                key=f"--bind {name}")  # fmt: skip
            merged[name] = value
    return merged


Command = Callable[..., Any]


def _train_options(command: Command) -> Command:
    from hwsim.workload.training import OPTIMIZERS

    options = (
        click.option("--train", is_flag=True, help="Run one training step: forward, backward, update."),
        click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="Of the training step; default: sgd."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _optimizer(train: bool, optimizer: str | None) -> str:
    """The optimizer of a training step; "" for none."""
    if optimizer and not train:
        raise bad_input("optimizer", optimizer, "only a training step has an optimizer", "Add --train.",
                        key="--optimizer")  # fmt: skip
    return (optimizer or "sgd") if train else ""


def _run_options(command: Command) -> Command:
    options = (
        click.option("-a", "--accelerator", required=True, metavar="DESIGN", help="A shipped design or a YAML file."),
        click.option("-w", "--workload", required=True, metavar="WORKLOAD",
                     help="A shipped workload, a family or a JSON file."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a design value."),
        click.option("--bind", "bindings", multiple=True, type=_Bindings(), help="Bind sizes of the workload."),
        click.option("--mapping", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.json",
                     help="Tiles and loop orders that `hwsim map --out` found."),
        click.option("--fidelity", default="closed", show_default=True, type=click.Choice(["closed", "events"]),
                     help="Closed form, or replay event by event with contention."),
        click.option("--interval/--no-interval", default=True, show_default=True,
                     help="Move every uncertain input through its range."),
        click.option("--climb", is_flag=True,
                     help="Search on for the interval's ends where inputs interact (many times slower)."),
        click.option("--json", "as_json", is_flag=True, help=JSON_HELP),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return _train_options(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hwsim")
def cli() -> None:
    """What a network costs on an accelerator: cycles, energy, memory and area."""


# --- list -------------------------------------------------------------------------------------------------------


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_command(as_json: bool) -> None:
    """List the designs, models, workloads, families, circuits, technologies and DRAM parts there are."""
    from hwsim import dram, energy
    from hwsim.config import find_designs, summary_of
    from hwsim.cosim.circuit import circuit_names
    from hwsim.model import model_names
    from hwsim.workload.family import summaries
    from hwsim.workload.store import find_workloads
    from hwsim.workload.store import summary_of as workload_summary

    found = {
        "designs": {name: summary_of(path) for name, path in find_designs().items()},
        "workloads": {name: workload_summary(path) for name, path in find_workloads().items()},
        "families": dict(summaries()),
    }
    plain = {
        "models": model_names(),
        "circuits": circuit_names(),
        "technologies": energy.node_names(),
        "drams": dram.part_names(),
    }
    if as_json:
        _print_json({**found, **plain})
        return
    for title, entries in found.items():
        click.echo(f"{title}:")
        for name, summary in entries.items():
            click.echo(f"  {name:22} {summary}")
    for title, names in plain.items():
        click.echo(f"{title}: {', '.join(names)}")


# --- trace ------------------------------------------------------------------------------------------------------


@cli.command("trace")
@click.argument("target", metavar="MODULE:FUNCTION")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the workload here.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def trace_command(target: str, out: Path | None, as_json: bool) -> int:
    """Trace a PyTorch network: MODULE:FUNCTION returns it with example inputs."""
    from hwsim.trace import trace_target
    from hwsim.workload import store
    from hwsim.workload.ir import Disposition

    workload = trace_target(target)
    unsupported = [op for g in workload.graphs.values() for op in g.ops if op.disposition is Disposition.UNSUPPORTED]
    counts = {d.value: 0 for d in Disposition}
    for graph in workload.graphs.values():
        for op in graph.ops:
            counts[op.disposition.value] += 1
    if out and not unsupported:
        store.write(workload, out)
    if as_json:
        _print_json({
            "workload": workload.name,
            "out": str(out) if out and not unsupported else None,
            "ops": counts,
            "unsupported": [{"name": op.name, "source": op.source, "reason": op.reason} for op in unsupported],
        })  # fmt: skip
    else:
        click.echo(f"{workload.name}: " + ", ".join(f"{n} {kind}" for kind, n in counts.items() if n))
        if out and not unsupported:
            click.echo(f"wrote {out}")
    for op in unsupported:
        click.echo(f"error: unsupported: {op.name} ({op.source}): {op.reason}", err=True)
    return EXIT_BAD_INPUT if unsupported else EXIT_OK


# --- build ------------------------------------------------------------------------------------------------------


@cli.command("build")
@click.option(
    "-w", "--workload", required=True, metavar="WORKLOAD", help="A family, a shipped workload or a JSON file."
)
@click.option(
    "--bind", "bindings", multiple=True, type=_Bindings(), help="Parameters of the family; sizes to count at."
)
@_train_options
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the workload here.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def build_command(
    workload: str, bindings: tuple[dict[str, float], ...], train: bool, optimizer: str | None, out: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Build a workload of a family, or a training step, count what is in it, and write it to a file."""
    from hwsim.simulate import resolve_binding
    from hwsim.workload import store
    from hwsim.workload.family import load_network, parameters_of, weights_of

    network = load_network(workload, _optimizer(train, optimizer))
    values = resolve_binding(network, _merged(bindings))
    built = network.built(values)
    sizes = {name: int(value) for name, value in network.own(values).items() if not built.symbols[name].ratio}
    if out:
        store.write(built, out)
    found = {"workload": built.name, "out": str(out) if out else None, "parameters": parameters_of(built),
             "bind": network.own(values), "operators": sum(len(graph.ops) for graph in built.graphs.values()),
             "weights": weights_of(built, sizes), "macs": built.macs(sizes)}  # fmt: skip
    if as_json:
        _print_json(found)
        return
    at = ", ".join(f"{name}={value:g}" for name, value in values.items())
    click.echo(f"{built.name}: {built.summary}{f' ({at})' if at else ''}")
    click.echo(f"  {found['operators']:,} operators, {found['weights']:,} weights, {found['macs']:,} MACs")
    if out:
        click.echo(f"wrote {out}")


# --- check and explain ------------------------------------------------------------------------------------------


def _check_one(name: str) -> tuple[str, Any]:
    """What kind of file `name` is, and of a sweep its facts; raises InputError unless it is valid."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        from hwsim.document import read_yaml
        from hwsim.sweep.source import is_sweep

        if is_sweep(read_yaml(path).data):
            return "sweep", _facts(path)
    return _kind_of(name, path), None


def _kind_of(name: str, path: Path) -> str:
    """What kind of design, workload or table `name` is; raises InputError unless it is valid."""
    if path.suffix == ".json":
        from hwsim.workload import store

        store.load_workload(name)
        return "workload"
    if path.suffix in (".yaml", ".yml"):
        from hwsim.document import read_yaml

        keys = read_yaml(path).data
        if isinstance(keys, dict) and "nodes" in keys:
            from hwsim import energy

            energy.read_table(path)
            return "technology table"
        if isinstance(keys, dict) and "parts" in keys:
            from hwsim import dram

            dram.read_table(path)
            return "DRAM table"
        if isinstance(keys, dict) and "devices" in keys:
            from hwsim import fpga

            fpga.read_table(path)
            return "FPGA table"
        from hwsim.pipeline.file import is_system, read_system

        if is_system(keys):
            read_system(path)
            return "system"
        from hwsim.cosim.case import is_case_file
        from hwsim.measured.file import check_measurements, is_measurements

        if is_case_file(keys):
            return _cases_kind(path)
        if is_measurements(keys):
            return f"description of measurements ({check_measurements(path)} tables)"
    from hwsim.config import find_designs, load_design
    from hwsim.workload import store
    from hwsim.workload.family import find_families, load_network

    if path.suffix in (".yaml", ".yml") or name in find_designs():
        load_design(name)
        return "design"
    if name in store.find_workloads():
        store.load_workload(name)
        return "workload"
    if name in find_families():
        store.parse(store.dumps(load_network(name).built({})), name)
        return "family"
    raise bad_input("unknown-name", name, "this is neither a file (.yaml, .json) nor the name of a shipped design, "
                    "workload or family", "Run `hwsim list` to see the names.")  # fmt: skip


def _cases_kind(path: Path) -> str:
    """What a case file is; raises InputError unless it is valid."""
    from hwsim.cosim.case import read_cases

    file = read_cases(path)
    return f"file of {len(file.cases)} cases of {file.circuit.name}"


def _facts(path: Path, overrides: tuple[str, ...] = ()) -> Any:
    """The `StudyFacts` of a sweep file."""
    from hwsim.sweep.facts import describe
    from hwsim.sweep.file import read_study

    found = read_study(path, overrides)
    return describe(found.study, found.subjects, found.notes)


@cli.command("check")
@click.argument("names", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def check_command(names: tuple[str, ...], as_json: bool) -> int:
    """Validate designs, workloads, tables, sweeps and cases; touch nothing."""
    problems: list[Problem] = []
    kinds: dict[str, str | None] = {}
    facts: dict[str, Any] = {}
    for name in names:
        try:
            kinds[name], facts[name] = _check_one(name)
        except InputError as error:
            kinds[name] = None
            problems.extend(error.problems)
    if as_json:
        sweeps = {name: f.as_json() for name, f in facts.items() if f}
        told = {"files": kinds, **({"sweeps": sweeps} if sweeps else {})}
        _print_json({**told, "errors": [p.as_json() for p in problems]})
    for name, kind in kinds.items():
        if kind and not as_json:
            click.echo("\n".join([f"{name}: a valid {kind}", *(facts[name].counts() if facts[name] else ())]))
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    return EXIT_BAD_INPUT if problems else EXIT_OK


@cli.command("explain")
@click.argument("name", required=False, metavar="DESIGN|SWEEP")
@click.option("-a", "--accelerator", metavar="DESIGN", help="A shipped design or a YAML file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a design value.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of this design's model instead.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def explain_command(
    name: str | None, accelerator: str | None, overrides: tuple[str, ...], schema: bool, as_json: bool
) -> None:
    """Show every resolved value of a design, its unit, and the file and line it came from; or what a sweep asks."""
    from hwsim.config import design_schema, load_design
    from hwsim.parts import tables_of

    target = accelerator or name
    if not target:
        raise click.UsageError("name a design: hwsim explain DESIGN")
    if Path(target).suffix in (".yaml", ".yml") and _explain_sweep(Path(target), overrides, schema, as_json):
        return
    file = load_design(target, overrides)
    if schema:
        click.echo(json.dumps(design_schema(file.model.Design, tables_of(file.model)), indent=1))
        return
    if as_json:
        _print_json({"design": file.name, "values": [
            {"key": v.key, "value": v.value, "unit": v.unit, "place": v.place, "source": v.source,
             "evidence": v.evidence, "range": None if v.low is None else [v.low, v.high]} for v in file.values
        ]})  # fmt: skip
        return
    click.echo(f"{file.name} ({file.model.name}): {file.summary}")
    for v in file.values:
        spread = "" if v.low is None else f"  range {_quantity(v.low, v.unit)} .. {_quantity(v.high, v.unit)}"
        source = f"  [{v.evidence}] {v.source}" if v.source else ""
        click.echo(f"  {v.key} = {_quantity(v.value, v.unit)}  ({v.place}){spread}{source}")


def _explain_sweep(path: Path, overrides: tuple[str, ...], schema: bool, as_json: bool) -> bool:
    """Explain the sweep in a file; False if the file is none."""
    from hwsim.document import read_yaml
    from hwsim.sweep.source import is_sweep

    if not is_sweep(read_yaml(path).data):
        return False
    if schema:
        from hwsim.sweep.file import read_study
        from hwsim.sweep.schema import sweep_schema

        click.echo(json.dumps(sweep_schema(read_study(path, overrides).subjects), indent=1))
        return True
    facts = _facts(path, overrides)
    if as_json:
        _print_json(facts.as_json())
    else:
        click.echo("\n".join(facts.lines()))
    return True


def _quantity(value: Any, unit: str) -> str:
    """A design value as it would be written in its file."""
    from hwsim.units import readable

    return str(value).lower() if isinstance(value, bool) else readable(value, unit)


# --- run and report ---------------------------------------------------------------------------------------------


def _simulated(
    accelerator: str, workload: str, overrides: tuple[str, ...], bindings: tuple[dict[str, float], ...],
    fidelity: str, interval: bool, climb: bool = False, train: bool = False, optimizer: str | None = None,
    mapping: Path | None = None,
) -> Any:  # fmt: skip
    from hwsim.config import load_design
    from hwsim.simulate import run

    design = load_design(accelerator, overrides)
    if mapping:
        from hwsim.mapping.plan import mapped_design

        design = mapped_design(accelerator, mapping, overrides)
    return run(design, workload, bind=_merged(bindings), fidelity=fidelity,
               interval=interval, climb=climb, train=_optimizer(train, optimizer))  # fmt: skip


@cli.command("run")
@_run_options
@click.option("--report", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write a report here.")
@click.option("--layers", is_flag=True, help="Show every layer in network order, however many there are.")
def run_command_line(as_json: bool, folder: Path | None, layers: bool, **question: Any) -> None:
    """Run a workload on a design: latency, energy, memory, area."""
    result = _simulated(**question)
    written = _write_report(result, folder) if folder else []
    if as_json:
        _print_json(result.as_json())
    else:
        from hwsim.report.terminal import print_summary

        print_summary(result, layers)
    for path in written:
        click.echo(f"wrote {path}", err=as_json)


@cli.command("report")
@_run_options
@click.option("--out", "folder", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Write the report here.")  # fmt: skip
def report_command(as_json: bool, folder: Path, **question: Any) -> None:
    """Run, and write the report: HTML, CSV, JSON and a timeline for Perfetto."""
    written = _write_report(_simulated(**question), folder)
    if as_json:
        _print_json({"files": [str(path) for path in written]})
    else:
        for path in written:
            click.echo(str(path))


def _write_report(result: Any, folder: Path) -> list[Path]:
    from hwsim.report import write_report

    try:
        return list(write_report(result, folder))
    except OSError as error:
        raise bad_input("write", str(folder), f"the report can't be written: {error.strerror}",
                        "Name a folder that can be written.", key="--report") from None  # fmt: skip


# --- map --------------------------------------------------------------------------------------------------------


@cli.command("map")
@click.option("-a", "--accelerator", required=True, metavar="DESIGN", help="A shipped design or a YAML file.")
@click.option("-w", "--workload", required=True, metavar="WORKLOAD",
              help="A shipped workload, a family or a JSON file.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a design value.")
@click.option("--bind", "bindings", multiple=True, type=_Bindings(), help="Bind sizes of the workload.")
@_train_options
@click.option("--objective", default="latency", show_default=True, type=click.Choice(["latency", "energy", "edp"]),
              help="What is minimized, product by product.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.json",
              help="Write the mapping here, for `hwsim run --mapping`.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def map_command(bindings: tuple[dict[str, float], ...], train: bool, optimizer: str | None, **question: Any) -> None:
    """The cheapest tiles and loop order of every product, with proof."""
    from hwsim.mapping.commands import map_command_line

    map_command_line(bind=_merged(bindings), train=_optimizer(train, optimizer), **question)


# --- schedule ---------------------------------------------------------------------------------------------------


@cli.command("schedule")
@click.option(
    "-w", "--workload", required=True, metavar="WORKLOAD", help="A shipped workload, a family or a JSON file."
)
@click.option("--bind", "bindings", multiple=True, type=_Bindings(), help="Bind sizes of the workload.")
@_train_options
@click.option("--graph", default="", metavar="NAME", help="Which of its graphs, where there are several.")
@click.option(
    "--order",
    default="dp",
    show_default=True,
    type=click.Choice(["dp", "kahn", "dfs", "rpo"]),
    help="Lowest peak, breadth first, depth first, or reverse post-order.",
)
@click.option("--rewrite", is_flag=True, help="Take concat + convolution apart first.")
@click.option(
    "--place",
    default="greedy",
    show_default=True,
    type=click.Choice(["greedy", "best-fit", "exact"]),
    help="How tensors get their addresses.",
)
@click.option(
    "--align",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1 << 20),
    metavar="BYTES",
    help="Every address is a multiple of this.",
)
@click.option("--scratchpad", default="", metavar="SIZE", help='Off-chip traffic through so much, say "64 KiB".')
@click.option(
    "--fuse/--no-fuse",
    default=True,
    show_default=True,
    help="Elementwise operators of one operand run within a neighbour.",
)
@click.option("--copy-concat", is_flag=True, help="A concat copies; otherwise its parts stay where they lie.")
@click.option("--in-place", is_flag=True, help="Elementwise operators write over an operand that ends with them.")
@click.option("--resident-inputs", is_flag=True, help="All inputs lie in memory from the start.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Guard: stop searching after this.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw memory over time, beside breadth first.",
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def schedule_command(
    bindings: tuple[dict[str, float], ...], train: bool, optimizer: str | None, **question: Any
) -> None:
    """In which order operators run and where their tensors lie, at the lowest peak of memory."""
    from hwsim.schedule_command import schedule_command_line

    schedule_command_line(bind=_merged(bindings), train=_optimizer(train, optimizer), **question)


# --- compare ----------------------------------------------------------------------------------------------------


@cli.command("compare")
@click.option("-a", "first", required=True, metavar="DESIGN", help="The design to start from.")
@click.option("-b", "second", metavar="DESIGN", help="The design to hold against it; the same when left out.")
@click.option(
    "-w", "--workload", required=True, metavar="WORKLOAD", help="A shipped workload, a family or a JSON file."
)
@click.option("--set-a", "first_overrides", multiple=True, metavar="KEY=VALUE", help="Override a value of the first.")
@click.option("--set-b", "second_overrides", multiple=True, metavar="KEY=VALUE", help="Override a value of the second.")
@click.option("--bind", "bindings", multiple=True, type=_Bindings(), help="Bind sizes of the workload.")
@click.option("--fidelity", default="closed", show_default=True, type=click.Choice(["closed", "events"]),
              help="Closed form, or replay event by event with contention.")  # fmt: skip
@_train_options
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def compare_command(
    first: str, second: str | None, workload: str, first_overrides: tuple[str, ...], second_overrides: tuple[str, ...],
    bindings: tuple[dict[str, float], ...], fidelity: str, train: bool, optimizer: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Say why one design is better than another: by layer, by component, by what limits it."""
    from hwsim.sweep.compare import compare, print_comparison

    asked = ((first, first_overrides), (second or first, second_overrides))
    a, b = (_simulated(design, workload, changed, bindings, fidelity, False, False, train, optimizer)
            for design, changed in asked)  # fmt: skip
    names = [" ".join((r.accelerator, *changed)) for r, (_, changed) in zip((a, b), asked, strict=True)]
    comparison = compare(a, b, (names[0], names[1]))
    if as_json:
        _print_json(comparison.as_json())
        return
    from hwsim.report.terminal import stdout_console

    print_comparison(comparison, stdout_console())


# --- commands with modules of their own -------------------------------------------------------------------------

cli.add_command(quantize_command)
cli.add_command(deploy_command)
cli.add_command(import_command)
cli.add_command(netlist_command)
cli.add_command(sweep_command)
cli.add_command(system_command)
cli.add_command(export_command)
cli.add_command(cosim_command)
cli.add_command(validate_command)
