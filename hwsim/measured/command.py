"""`hwsim validate --data DIR`: models against measurements. What it needs is imported when it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.errors import bad_input

if TYPE_CHECKING:
    from hwsim.measured.file import DataSet
    from hwsim.measured.predict import Outcome, Prediction

    Shown = Callable[[Iterable[Prediction], int, str], Iterable[Prediction]]

DEFAULT_NAME = "measurements.yaml"


def validate_data(
    folder: Path, description: Path | None, out: Path | None, picture: Path | None, shown: Shown, *, as_json: bool
) -> bool:
    """Predict every row of every table in `folder`, say how far off the models are, and draw it where asked.

    description     what the tables are; `measurements.yaml` in the folder where it is None
    shown           wraps the predictions of a table, of which it gets the number and the name, to tell of progress
    out             where the page goes instead of to stdout

    Returns whether every stated tolerance holds. Raises InputError for anything wrong with the files.
    """
    from hwsim.measured.file import read_measurements
    from hwsim.measured.text import document, markdown

    measurements = read_measurements(description or folder / DEFAULT_NAME, folder)
    if picture:
        _check_suffix(picture)
    outcomes = [_outcome_of(data, shown) for data in measurements.sets]
    if out:
        _write(out, markdown(measurements, outcomes))
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **document(measurements, outcomes)}, indent=1, allow_nan=False))
    elif not out:
        click.echo(markdown(measurements, outcomes), nl=False)
    if picture:
        _draw(outcomes, picture)
    return not any(outcome.broken() for outcome in outcomes)


def _outcome_of(data: DataSet, shown: Shown) -> Outcome:
    from hwsim.measured.predict import Outcome, design_of, predictions

    return Outcome(data, design_of(data), tuple(shown(predictions(data), len(data.rows), data.table.file)))


def _check_suffix(path: Path) -> None:
    from hwsim.report.plots import FORMATS

    if path.suffix.removeprefix(".") not in FORMATS:
        raise bad_input("picture", path.name, f"a picture is one of {', '.join(FORMATS)}",
                        f"Name it {path.stem}.{FORMATS[0]}.", key="--picture")  # fmt: skip


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error, "--out") from None
    click.echo(f"wrote {path}", err=True)


def _draw(outcomes: list[Outcome], path: Path) -> None:
    from hwsim.report import measured_plots

    clouds = [
        measured_plots.Cloud(
            f"{o.design.name}: {o.data.workload}", f"{o.data.column} [{o.data.unit}]",
            [p.measured.value for p in o.predictions], [p.predicted for p in o.predictions],
            [p.measured.held_out for p in o.predictions],
        )
        for o in outcomes
    ]  # fmt: skip
    try:
        measured_plots.save(clouds, path)
    except OSError as error:
        raise _unwritable(path, error, "--picture") from None
    click.echo(f"wrote {path}", err=True)


def _unwritable(path: Path, error: OSError, option: str) -> Exception:
    return bad_input("write", str(path), f"the file cannot be written: {error.strerror}",
                     "Name a file that can be written.", key=option)  # fmt: skip
