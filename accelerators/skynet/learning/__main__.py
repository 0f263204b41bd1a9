"""`python -m accelerators.skynet.learning --folder DIR`: trainings on the detection set, and what they measure."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from accelerators.skynet import accuracy
from accelerators.skynet.learning.study import Study
from accelerators.skynet.measured import Row
from hwsim.errors import EXIT_BAD_INPUT, InputError


@click.command()
@click.option("--folder", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Where trainings and accuracy.csv are kept; what is there is not done again.")  # fmt: skip
@click.option("--frames", default=12_000, show_default=True, help="Frames of a training.")
@click.option("--seeds", default="1,2,3", show_default=True, help="Seeds, with commas.")
@click.option("--test-frames", default=accuracy.TEST_FRAMES, show_default=True, type=click.IntRange(1),
              help="Frames that are measured on.")  # fmt: skip
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path),
              help="Also write the network that is shipped here: C with ReLU6 of the first seed.")  # fmt: skip
def main(folder: Path, frames: int, seeds: str, test_frames: int, save: Path | None) -> None:
    """Train small SkyNets on the composed detection set, and measure how few bits they stand."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        study = Study(folder, frames, numbers(seeds), test_frames, say=lambda text: click.echo(text, err=True))
        rows = study.rows()
        if save:
            first = Row("c", "relu6", study.seeds[0], accuracy.FLOAT, 0)
            accuracy.save(study.folded(first), save)
    except InputError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_BAD_INPUT)
    except OSError as failed:
        place = failed.filename or folder
        click.echo(f"{place} cannot be read or written ({failed.strerror}). Name another, or make room.", err=True)
        sys.exit(EXIT_BAD_INPUT)
    click.echo(f"{len(rows)} rows in {folder / 'accuracy.csv'}")


def numbers(text: str) -> tuple[int, ...]:
    """Seeds as given. Raises click's error for anything but numbers."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts) or len(set(parts)) != len(parts):
        raise click.BadParameter(
            "different whole numbers with commas between, for instance 1,2,3", param_hint="--seeds"
        )
    return tuple(map(int, parts))


if __name__ == "__main__":
    main()
