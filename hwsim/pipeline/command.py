"""The command `hwsim system`: frames a second, latency and joules of a host around an accelerator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.errors import EXIT_OK, bad_input

if TYPE_CHECKING:
    from hwsim.pipeline.explore import Point
    from hwsim.pipeline.outcome import Outcome
    from hwsim.pipeline.system import System


@click.command("system")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Choose: batch=8, overlap=false, "
              "STAGE.workers=4, STAGE.queue=64, frames=1000, frame_rate='30 Hz'.")  # fmt: skip
@click.option("--sweep", "axes", multiple=True, metavar="KEY=V1,V2,...", help="Run every combination of choices.")
@click.option("--interval/--no-interval", default=True, show_default=True,
              help="Move every uncertain input through its range.")  # fmt: skip
@click.option("--report", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write figures, frames and a timeline here.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def system_command(
    file: Path, overrides: tuple[str, ...], axes: tuple[str, ...], interval: bool, folder: Path | None, as_json: bool
) -> int:
    """Run a host pipeline around an accelerator: throughput, latency, what bounds it, energy a frame."""
    from hwsim.pipeline.file import read_system

    system = _chosen(read_system(file), overrides)
    if axes:
        if folder:
            raise bad_input("usage", "--sweep and --report", "a report is about one run", "Drop one of the two.")
        _sweep(system, axes, as_json)
    else:
        _run(system, interval, folder, as_json)
    return EXIT_OK


def _chosen(system: System, overrides: tuple[str, ...]) -> System:
    from hwsim.pipeline.system import chosen

    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise bad_input("override", text, "must read KEY=VALUE", "For instance --set batch=8.", key=f"--set {text}")
        system = chosen(system, key.strip(), value.strip())
    return system


def _run(system: System, interval: bool, folder: Path | None, as_json: bool) -> None:
    from hwsim.pipeline.document import document, lines
    from hwsim.pipeline.outcome import Spread, figures_of, outcome, spreads
    from hwsim.pipeline.service import Services, runs_of

    runs = runs_of(system)
    services = Services(runs)
    result = outcome(system, services)
    if interval:
        found = spreads(system, services, result)
    else:
        found = {name: Spread(value, value, value, ()) for name, value in figures_of(system, result).items()}
    told = document(system, result, found, runs)
    written = _write(system, result, told, folder) if folder else []
    if as_json:
        _print_json(told)
    else:
        click.echo("\n".join(lines(system, result, found, runs)))
    for path in written:
        click.echo(f"wrote {path}", err=as_json)


def _write(system: System, result: Outcome, told: Mapping[str, object], folder: Path) -> list[Path]:
    from hwsim.pipeline.report import write_report

    try:
        return write_report(system, result, told, folder)
    except OSError as error:
        raise bad_input("write", str(folder), f"the report can't be written: {error.strerror}",
                        "Name a folder that can be written.", key="--report") from None  # fmt: skip


def _sweep(system: System, texts: tuple[str, ...], as_json: bool) -> None:
    from hwsim.pipeline.document import sweep_document, sweep_lines
    from hwsim.pipeline.explore import explore, grid

    axes: dict[str, tuple[str, ...]] = {}
    for text in texts:
        key, values = grid(text)
        if key in axes:
            raise bad_input("sweep", text, f"{key} is swept twice", "Keep one of the two.", key="--sweep")
        axes[key] = values
    points: list[Point] = explore(system, axes)
    if as_json:
        _print_json(sweep_document(system, points))
    else:
        click.echo("\n".join(sweep_lines(system, points)))


def _print_json(document: Mapping[str, object]) -> None:
    click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))
