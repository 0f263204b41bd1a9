"""The commands `hwsim cosim` and `hwsim validate`. What they need is imported when they run."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hwsim.errors import EXIT_BOUND_FAILED, EXIT_OK, InputError, bad_input
from hwsim.sweep.commands import terminated_like_interrupted

if TYPE_CHECKING:
    from hwsim.cosim.case import Case, CaseFile
    from hwsim.cosim.circuit import Circuit
    from hwsim.cosim.compare import Spread, Verdict
    from hwsim.cosim.resources import Resources
    from hwsim.cosim.validation import Validation

T = TypeVar("T")

_SIMULATOR = click.option("--simulator", metavar="icarus|verilator", help="Default: Verilator where it is installed.")
_JOBS = click.option(
    "--jobs", type=click.IntRange(min=1), help="Builds and simulations at a time. Default: processors."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


class Progress:
    """How many cases (or other things) are done, on stderr where that is a terminal."""

    def __init__(self, total: int, what: str, things: str = "cases") -> None:
        self.total, self.what, self.things, self.done = total, what, things, 0
        self.shown = sys.stderr.isatty()

    def of(self, verdicts: Iterable[T]) -> Iterator[T]:
        """The verdicts, counted as they pass."""
        self.show()
        for verdict in verdicts:
            self.done += 1
            self.clear()
            yield verdict
            self.show()
        self.clear()

    def show(self) -> None:
        """Write the line."""
        if self.shown:
            sys.stderr.write(f"\r{self.what}: {self.done} of {self.total} {self.things}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, so that others can be printed."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _chosen(simulator: str | None) -> str:
    """The simulator asked for, or the fastest there is. Raises InputError when it is missing."""
    from hwsim.cosim.toolchain import SIMULATORS, available, require

    name = simulator or next(iter(available()), SIMULATORS[0])
    require(name)
    return name


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value


def spread_document(groups: dict[str, Spread]) -> dict[str, Any]:
    """A summary as JSON."""
    return {name: {k: _finite(v) for k, v in s._asdict().items()} for name, s in groups.items()}


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))


# --- cosim ------------------------------------------------------------------------------------------------------


@click.command("cosim")
@click.argument("name", metavar="CIRCUIT")
@click.option("--case", "names", multiple=True, metavar="C", help="Only this case. May be repeated.")
@click.option("--family", "families", multiple=True, metavar="F", help="Only cases of this family. May be repeated.")
@_SIMULATOR
@click.option("--waves", is_flag=True, help="Write a wave file a case.")
@click.option("--cases", "cases_file", type=click.Path(path_type=Path), metavar="FILE.yaml",
              help="Run these cases instead of the circuit's own.")  # fmt: skip
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the events of model and circuit here.")  # fmt: skip
@click.option("--golden", is_flag=True, help="Write golden.csv of the circuit anew.")
@click.option("--resources", is_flag=True, help="What Yosys makes of the circuit's leaf module: LUT/FF/DSP.")
@_JOBS
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="waves", show_default=True,
              metavar="DIR", help="Where wave files go.")  # fmt: skip
@_JSON
def cosim_command(
    name: str, names: tuple[str, ...], families: tuple[str, ...], simulator: str | None, waves: bool,
    cases_file: Path | None, trace_file: Path | None, golden: bool, resources: bool, jobs: int | None, out: Path,
    as_json: bool,
) -> int:  # fmt: skip
    """Run a circuit's cases, and hold the model to its cycles, counts and outputs."""
    from hwsim.cosim.case import read_cases
    from hwsim.cosim.circuit import load_circuit
    from hwsim.cosim.compare import Wanted, compare, in_order

    circuit = load_circuit(name)
    if golden and (names or families or cases_file):
        raise bad_input("usage", "--golden", "golden figures are of all the circuit's own cases",
                        "Leave --case, --family and --cases away.", key="--golden")  # fmt: skip
    file = read_cases(cases_file or circuit.cases, circuit)
    cases = file.selected(names, families)
    chosen = _chosen(simulator)
    wanted = Wanted(out if waves else None, trace_file is not None)
    started = time.perf_counter()
    with terminated_like_interrupted():
        takes = _resources(circuit, cases, jobs) if resources else {}
        reached = compare(file, cases, chosen, jobs=jobs, wanted=wanted)
        verdicts = in_order(cases, _shown(Progress(len(cases), name).of(reached), file, cases, takes, quiet=as_json))
    whole = len(cases) == len(file.cases)
    held = _conclude(file, verdicts, takes, chosen, time.perf_counter() - started, whole=whole, as_json=as_json)
    if trace_file:
        _write(trace_file, trace_text(verdicts), "--trace")
    if golden:
        from hwsim.cosim.golden import write_golden

        click.echo(f"wrote {write_golden(circuit, verdicts, chosen)}", err=True)
    return EXIT_OK if held else EXIT_BOUND_FAILED


def _resources(circuit: Circuit, cases: Sequence[Case], jobs: int | None) -> dict[str, Resources]:
    """What the leaf module of the circuit takes, by case: one synthesis for all that share parameters."""
    from hwsim.cosim.case import hdl_of
    from hwsim.cosim.resources import resources
    from hwsim.cosim.simulator import in_parallel

    if not circuit.hdl.leaf:
        raise bad_input("resources", circuit.name, "this circuit names no module that can be synthesized",
                        "Give its Hdl a leaf.", key="--resources")  # fmt: skip
    asked = {case.name: (hdl_of(circuit, [case]), tuple(case.parameters(circuit).items())) for case in cases}
    sets = list(dict.fromkeys(asked.values()))
    counted = in_parallel(lambda one: resources(one[0], dict(one[1])), sets, jobs)
    of = {sets[at]: found for at, found in Progress(len(sets), "synthesis", "parameter sets").of(counted)}
    return {name: of[one] for name, one in asked.items()}


def _shown(
    verdicts: Iterable[Verdict], file: CaseFile, cases: Sequence[Case], takes: Mapping[str, Resources], *, quiet: bool
) -> Iterator[Verdict]:
    """The verdicts; each is printed as it passes."""
    from hwsim.cosim.text import Lines, details

    lines = Lines(cases, takes)
    if not quiet:
        click.echo(lines.head())
    for verdict in verdicts:
        if not quiet:
            within = verdict.within(file.tolerance)
            click.echo("\n".join([lines.of(verdict), *details(verdict, within=within)]))
        yield verdict


def _conclude(
    file: CaseFile, verdicts: Sequence[Verdict], takes: Mapping[str, Resources], simulator: str, seconds: float, *,
    whole: bool, as_json: bool,
) -> bool:  # fmt: skip
    """Print the summary; whether everything agrees within tolerance."""
    from hwsim.cosim.compare import estimate_spreads, summary, verdict_document
    from hwsim.cosim.text import summary_lines
    from hwsim.cosim.toolchain import require

    groups, estimates = summary(verdicts), estimate_spreads(verdicts)
    held = groups["all"].holds(file.tolerance, whole=whole) and all(v.within(file.tolerance) for v in verdicts)
    tolerance = {bound: getattr(file.tolerance, bound) for bound in ("mape", "p95", "worst", "reason")}
    cycles, run_s = sum(v.cycles for v in verdicts), sum(v.seconds for v in verdicts)
    if as_json:
        _print_json({
            "circuit": file.circuit.name, "model": file.circuit.model, "simulator": simulator,
            "versions": require(simulator).versions, "within_tolerance": held, "tolerance": tolerance,
            "seconds": seconds, "rtl_cycles_per_s": cycles / run_s if run_s else None,
            "summary": spread_document(groups),
            "estimates": {name: spread_document(of_groups) for name, of_groups in estimates.items()},
            "cases": [_with_resources(verdict_document(v), takes.get(v.case.name)) for v in verdicts],
        })  # fmt: skip
        return held
    click.echo()
    click.echo("\n".join(summary_lines(groups, estimates, file, whole=whole, held=held)))
    rate = f", {cycles / run_s:,.0f} RTL cycles/s while they ran" if run_s else ""
    click.echo(f"{len(verdicts)} cases in {seconds:.1f} s on {simulator}{rate}")
    return held


def _with_resources(document: dict[str, Any], takes: Resources | None) -> dict[str, Any]:
    if takes is None:
        return document
    from hwsim.cosim.resources import as_json

    return {**document, "resources": as_json(takes)}


def trace_text(verdicts: Sequence[Verdict]) -> str:
    """The events of both sides, a line each: case, side, and the event as the circuit logs it."""
    lines = []
    for v in verdicts:
        for side, events in zip(("model", "rtl"), v.events or ((), ()), strict=True):
            lines += [" ".join(map(str, (v.case.name, side, e.cycle, e.name, *e.numbers))) for e in events]
    return "".join(f"{line}\n" for line in lines)


def _write(path: Path, text: str, option: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise bad_input("write", str(path), f"the file cannot be written: {error.strerror}",
                        "Name a file that can be written.", key=option) from None  # fmt: skip
    click.echo(f"wrote {path}", err=True)


# --- validate ---------------------------------------------------------------------------------------------------


@click.command("validate")
@click.argument("names", nargs=-1, metavar="[CIRCUIT]...")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.md",
              help="Write the table here instead of to stdout, for instance docs/validation.md.")  # fmt: skip
@click.option("--golden", is_flag=True, help="Write golden.csv of every circuit anew, too.")
@click.option("--deep", is_flag=True, help="Make the tables anew that take too long for every day. May take an hour.")
@click.option("--data", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Hold models to the measurements in DIR instead of to circuits.")  # fmt: skip
@click.option("--measurements", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.yaml",
              help="What the tables in DIR are. Default: DIR/measurements.yaml.")  # fmt: skip
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
              help="Draw predicted against measured (with --data).")  # fmt: skip
@_SIMULATOR
@_JOBS
@_JSON
def validate_command(
    names: tuple[str, ...], out: Path | None, golden: bool, deep: bool, folder: Path | None,
    measurements: Path | None, picture: Path | None, simulator: str | None, jobs: int | None, as_json: bool,
) -> int:  # fmt: skip
    """Run every case of every circuit, or predict every measurement in a folder, and say how far models are off."""
    circuits_only = {"CIRCUIT": names, "--golden": golden, "--deep": deep, "--simulator": simulator, "--jobs": jobs}
    _refuse_mixed(circuits_only if folder else {"--measurements": measurements, "--picture": picture}, folder)
    if folder:
        from hwsim.measured.command import validate_data

        held = validate_data(folder, measurements, out, picture, _rows_shown, as_json=as_json)
        return EXIT_OK if held else EXIT_BOUND_FAILED
    from hwsim.cosim.circuit import circuit_names
    from hwsim.cosim.validation import markdown

    chosen = _chosen(simulator)
    with terminated_like_interrupted():
        if deep:
            _write_deep(names or circuit_names())
        found = [_validated(name, chosen, jobs) for name in names or circuit_names()]
    if out:
        _write(out, markdown(found), "--out")
    if as_json:
        _print_json({"circuits": [_validation_document(one) for one in found]})
    elif not out:
        click.echo(markdown(found), nl=False)
    held = all(one.holds for one in found)
    return EXIT_OK if held and (not golden or _golden_written(found)) else EXIT_BOUND_FAILED


def _rows_shown(rows: Iterable[T], total: int, file: str) -> Iterator[T]:
    return Progress(total, file, "rows").of(rows)


def _refuse_mixed(others: Mapping[str, object], folder: Path | None) -> None:
    """Raise InputError for an option of the other of the two questions that `validate` answers."""
    given = [name for name, value in others.items() if value]
    if given:
        rule = "is about circuits, not about measurements" if folder else "needs --data DIR"
        remedy = "Leave one of the two away." if folder else "Name the folder of the measurements."
        raise bad_input("usage", given[0], f"{given[0]} {rule}", remedy, key=given[0])


def _write_deep(names: Sequence[str]) -> None:
    """Make the deep table of every circuit that has one."""
    from hwsim.cosim.circuit import load_circuit
    from hwsim.cosim.golden import table_text

    for name in names:
        circuit: Any = load_circuit(name)
        if hasattr(circuit, "deep"):
            rows = list(Progress(0, name, "lines").of(circuit.deep()))
            _write(circuit.deep_table, table_text(rows, list(rows[0])), "--deep")


def _validated(name: str, simulator: str, jobs: int | None) -> Validation:
    from hwsim.cosim.case import read_cases
    from hwsim.cosim.circuit import load_circuit
    from hwsim.cosim.compare import Wanted, compare, in_order
    from hwsim.cosim.toolchain import require
    from hwsim.cosim.validation import Validation

    circuit = load_circuit(name)
    file = read_cases(circuit.cases, circuit)
    reached = compare(file, file.cases, simulator, jobs=jobs, wanted=Wanted(explained=0))
    verdicts = in_order(file.cases, Progress(len(file.cases), name).of(reached))
    return Validation(file, tuple(verdicts), simulator, require(simulator).versions)


def _golden_written(found: Sequence[Validation]) -> bool:
    """Write the golden figures of every circuit; False, said, where a case has none."""
    from hwsim.cosim.golden import write_golden

    for one in found:
        try:
            click.echo(f"wrote {write_golden(one.file.circuit, one.verdicts, one.simulator)}", err=True)
        except InputError as error:
            click.echo(f"error: {error}", err=True)
            return False
    return True


def _validation_document(one: Validation) -> dict[str, Any]:
    from hwsim.cosim.compare import estimate_spreads, summary, verdict_document

    estimates = estimate_spreads(one.verdicts)
    return {
        "circuit": one.file.circuit.name, "within_tolerance": one.holds, "simulator": one.simulator,
        "versions": dict(one.versions), "summary": spread_document(summary(one.verdicts)),
        "estimates": {name: spread_document(of_groups) for name, of_groups in estimates.items()},
        "cases": [verdict_document(v) for v in one.verdicts],
    }  # fmt: skip
