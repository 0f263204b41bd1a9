"""The commands `hwsim sweep` and `hwsim export`. What they need is imported when they run."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.errors import EXIT_OK, EXIT_PARTIAL, bad_input

if TYPE_CHECKING:
    from hwsim.sweep.runner import Summary
    from hwsim.sweep.store import Outcome
    from hwsim.sweep.study import Study

_FRONT_LINES = 20


@click.command("sweep")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="DB",
    help="Where the points go, and where it continues. Default: FILE's name with .db, in this folder.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Worker processes.")
@click.option(
    "--engine",
    default="process",
    show_default=True,
    type=click.Choice(["process", "dask", "serial"]),
    help="A pool of processes, a Dask cluster, or this process.",
)
@click.option("--scheduler", default="", metavar="ADDRESS", help="A Dask scheduler that runs already.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override the sweep: a.b=1, a.b=1,2 or a.b=range(1,9).",
)
@click.option("--retry-failed", is_flag=True, help="Run the points that failed once more.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write a page to explore the answer in, and a picture, here.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def sweep_command(
    file: Path, store: Path | None, overrides: tuple[str, ...], report: Path | None, as_json: bool, **how: Any
) -> int:
    """Run a design-space sweep, or continue it, and print its Pareto front."""
    from hwsim.sweep.file import load_study
    from hwsim.sweep.progress import ProgressLine
    from hwsim.sweep.runner import run_study

    study = load_study(file, overrides)
    path = store or Path(file.with_suffix(".db").name)
    progress = ProgressLine(study.objectives[0].figure)
    try:
        with terminated_like_interrupted():
            summary = run_study(study, path, on_progress=progress, **how)
    except KeyboardInterrupt:
        progress.close()
        click.echo(f"the results so far are in {path}; the same command continues", err=True)
        raise
    progress.close()
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **summary_document(study, path, summary)}, indent=1))
    else:
        _print(study, path, summary)
    if report:
        _write_report(study, path, report, summary.points)
    return EXIT_PARTIAL if summary.failed else EXIT_OK


def _write_report(study: Study, store: Path, folder: Path, points: int) -> None:
    from hwsim.sweep.page import write_answer

    try:
        written = write_answer(study, store, folder, points)
    except OSError as error:
        raise bad_input("write", str(folder), f"the report cannot be written: {error.strerror}",
                        "Name a folder that can be written.", key="--report") from None  # fmt: skip
    click.echo(f"wrote {written[0]}, and {len(written) - 1} files beside it", err=True)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, which batch systems send when time is up, ends a command as Ctrl-C does. Once: what tidies up after it
    is not interrupted by another one."""

    def interrupt(_: int, __: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def summary_document(study: Study, path: Path, summary: Summary) -> dict[str, Any]:
    """The `--json` document of a sweep."""
    return {
        "study": study.name,
        "store": str(path),
        "points": summary.points,
        "feasible": summary.feasible,
        "infeasible": summary.infeasible,
        "failed": summary.failed,
        "reused": summary.reused,
        "points_per_second": summary.points_per_second,
        "seconds": summary.seconds,
        "objectives": [{"figure": o.figure, "direction": o.direction.value} for o in study.objectives],
        "front": [_front_entry(study, outcome) for outcome in summary.front],
    }


def _front_entry(study: Study, outcome: Outcome) -> dict[str, Any]:
    goals = {o.figure: value for o, value in zip(study.objectives, outcome.goals, strict=True)}
    return {"trial": outcome.trial, "point": outcome.row.point, "assignment": dict(outcome.row.assignment),
            "objectives": goals, "metrics": dict(outcome.row.metrics)}  # fmt: skip


def _print(study: Study, path: Path, summary: Summary) -> None:
    click.echo(f"{study.name}: {summary.points:,} points, {summary.feasible:,} feasible, "
               f"{summary.infeasible:,} infeasible, {summary.failed:,} failed, {summary.reused:,} reused; "
               f"{summary.points_per_second:,.4g} points/s")  # fmt: skip
    click.echo(f"Pareto front of {', '.join(f'{o.figure} ({o.direction.value})' for o in study.objectives)}: "
               f"{len(summary.front)} points")  # fmt: skip
    for outcome in summary.front[:_FRONT_LINES]:
        goals = "  ".join(f"{value:.6g}" for value in outcome.goals)
        click.echo(f"  {goals}   {', '.join(f'{k}={v}' for k, v in outcome.row.assignment.items())}")
    if len(summary.front) > _FRONT_LINES:
        click.echo(f"  ... and {len(summary.front) - _FRONT_LINES} more")
    click.echo(f"all of it: hwsim export {path} --csv OUT")
    if summary.failed:
        click.echo("some points failed: the table incident of the store has their logs", err=True)


@click.command("export")
@click.argument("db", type=click.Path(path_type=Path))
@click.option(
    "--csv",
    "csv_out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT",
    help="One line a point, in the order of the sweep.",
)
@click.option(
    "--parquet",
    "parquet_out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT",
    help="The same as Parquet.",
)
@click.option("--optuna", "optuna_url", metavar="URL", help="The points as trials of an Optuna storage.")
@click.option(
    "--salvage",
    "salvage_out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="NEW",
    help="Copy what is whole in a damaged store to a new one.",
)
@click.option("--study", "study_name", metavar="NAME", help="Which study of the store. Default: the last one run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def export_command(
    db: Path, csv_out: Path | None, parquet_out: Path | None, optuna_url: str | None, salvage_out: Path | None,
    study_name: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Write the points of a store elsewhere."""
    from hwsim.sweep import exports
    from hwsim.sweep.store import Store

    if not (csv_out or parquet_out or optuna_url or salvage_out):
        raise bad_input("export", None, "nothing to write was named", "Give --csv OUT, --parquet OUT, --optuna URL or "
                        "--salvage NEW.", key="hwsim export")  # fmt: skip
    written: dict[str, int] = {}
    if salvage_out:
        written[str(salvage_out)] = exports.salvage(db, salvage_out)
    if csv_out or parquet_out or optuna_url:
        with Store(db) as store:
            study = store.chosen(study_name)
            if csv_out:
                written[str(csv_out)] = exports.write_csv(store, study, csv_out)
            if parquet_out:
                written[str(parquet_out)] = exports.write_parquet(store, study, parquet_out)
            if optuna_url:
                written[optuna_url] = exports.write_optuna(store, study, optuna_url)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, "written": written}, indent=1))
    else:
        for name, count in written.items():
            click.echo(f"{name}: {count} points")
