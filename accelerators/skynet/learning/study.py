"""All trainings of docs/skynet-training.md and what they measure, into accuracy.csv.

Each training, and each row, is done once: what the folder holds is not repeated, so that the study can be interrupted
and goes on where it was. Rows stand in the order of `planned`, however they were come by.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.arrays import write_atomically
from accelerators.skynet import accuracy, detection, network
from accelerators.skynet.accuracy import FLOAT, PUBLISHED_IOU, Scheme
from accelerators.skynet.learning import training, tuning
from accelerators.skynet.learning.training import Settings
from accelerators.skynet.network import Network
from accelerators.skynet.structure import Structure
from hwsim.document import shown_path
from hwsim.errors import bad_input

COLUMNS = ("network", "activation", "seed", "feature_bits", "weight_bits", "tuned", "iou")
LASTS = {"a": 0, "b": accuracy.PLAN.last // 2, "c": accuracy.PLAN.last}
"""Outputs of the last Bundle of the three networks, as the published ones' in proportion."""
ACTIVATIONS = ("relu", "relu6")
FEATURES, WEIGHTS = (6, 7, 8, 9, 10, 12), (5, 6, 7, 8, 9, 10, 11, 12)
TUNED = (*(scheme for scheme in PUBLISHED_IOU if scheme != FLOAT), Scheme(7, 8), Scheme(6, 8))
TUNING_SHARE = 4
"""A tuning sees a fourth of the frames of the training."""


class Row(NamedTuple):
    """What is measured: a trained network, in one number format, tuned for it (1) or not (0)."""

    network: str
    activation: str
    seed: int
    scheme: Scheme
    tuned: int

    def text(self, iou: float) -> dict[str, str]:
        """Its line of accuracy.csv."""
        values = (self.network, self.activation, self.seed, *self.scheme, self.tuned, f"{iou:.4f}")
        return dict(zip(COLUMNS, map(str, values), strict=True))


@dataclass(frozen=True)
class Study:
    """Frames a training, seeds, frames that are measured on, and where trainings are kept."""

    folder: Path
    frames: int = 12_000
    seeds: tuple[int, ...] = (1, 2, 3)
    test_frames: int = accuracy.TEST_FRAMES
    features: tuple[int, ...] = FEATURES
    weights: tuple[int, ...] = WEIGHTS
    say: Callable[[str], None] = field(default=lambda _: None)

    def rows(self) -> dict[Row, float]:
        """Every row's IoU, measured or read. Writes accuracy.csv in the folder after each."""
        known = read(self.folder / "accuracy.csv") if (self.folder / "accuracy.csv").exists() else {}
        found: dict[Row, float] = {}
        wanted = list(planned(self))
        for at, row in enumerate(wanted, 1):
            if row not in known:
                known[row] = round(self.measured(row), 4)
                self.say(f"{at} of {len(wanted)}: {' '.join(map(str, row.text(known[row]).values()))}")
                write(self.folder / "accuracy.csv", known)
            found[row] = known[row]
        write(self.folder / "accuracy.csv", found)
        return found

    def measured(self, row: Row) -> float:
        """IoU of one row."""
        seen, test = self.sight(), self.test()
        if row.scheme == FLOAT:
            maps = training.box_maps(self.detector(row), test.images)
            return accuracy.mean_iou(maps, test.boxes, seen.anchors)
        trained = self.tuned(row) if row.tuned else self.folded(row)
        maps = accuracy.fixed_maps(trained, test.images, row.scheme.formats)
        return accuracy.mean_iou(maps, test.boxes, seen.anchors)

    def detector(self, row: Row) -> training.Detector:
        """The trained network of a row, from its checkpoint where that is there."""
        name = f"{row.network}-{row.activation}-{row.seed}"
        report = partial(self.told, name)
        return training.train(
            structure(row.network, row.activation), Settings(self.frames, row.seed), self.sight(),
            self.folder / f"{name}.npz", report,
        )  # fmt: skip

    def folded(self, row: Row) -> Network:
        """It, with its batch norms folded."""
        plan = network.Plan(accuracy.PLAN.channels, LASTS[row.network])
        return network.fold(plan, training.state(self.detector(row)))

    def tuned(self, row: Row) -> Network:
        """It, after a tuning for the row's formats."""
        settings = Settings(max(training.BATCH, self.frames // TUNING_SHARE), row.seed)
        return tuning.tune(self.folded(row), row.scheme.formats, settings, self.sight())

    def sight(self) -> training.Sight:
        """The pictures."""
        return training.sight()

    def test(self) -> detection.Frames:
        """The frames measured on, which share nothing with those trained on."""
        return detection.compose(self.sight().sources, "test", self.test_frames)

    def told(self, name: str, done: int, steps: int) -> None:
        """A line about a training every tenth of it."""
        if done % max(1, steps // 10) == 0:
            self.say(f"{name}: {done} of {steps} steps")


def structure(name: str, activation: str) -> Structure:
    """The narrow SkyNet A, B or C on the set's frames."""
    return Structure(
        channels=accuracy.PLAN.channels, last=LASTS[name], activation=activation, height=detection.HEIGHT,
        width=detection.WIDTH,
    )  # fmt: skip


def planned(study: Study) -> Iterator[Row]:
    """All networks in floating point; C with ReLU6 in every format; and tuned for some."""
    for name in LASTS:
        for activation in ACTIVATIONS:
            yield from (Row(name, activation, seed, FLOAT, 0) for seed in study.seeds)
    for seed in study.seeds:
        for features in study.features:
            yield from (Row("c", "relu6", seed, Scheme(features, weights), 0) for weights in study.weights)
        yield from (Row("c", "relu6", seed, scheme, 1) for scheme in TUNED)


# --- the table ----------------------------------------------------------------------------------------------------


def write(path: Path, rows: dict[Row, float]) -> None:
    """The table, atomically."""
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(row.text(iou) for row, iou in rows.items())
    write_atomically(path, out.getvalue().encode())


def read(path: Path) -> dict[Row, float]:
    """A table that `write` wrote. Raises InputError for another one."""
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    found = {}
    for number, line in enumerate(lines, 2):
        try:
            seed, features, weights, tuned = (int(line[c]) for c in ("seed", "feature_bits", "weight_bits", "tuned"))
            found[Row(line["network"], line["activation"], seed, Scheme(features, weights), tuned)] = float(line["iou"])
        except (KeyError, TypeError, ValueError):
            rule = f"a row has {', '.join(COLUMNS)}"
            raise bad_input("csv", f"{shown_path(path)}:{number}", rule, "Delete the file to measure anew.") from None
    return found


def spread(
    rows: dict[Row, float], network_name: str, activation: str, scheme: Scheme, tuned: int = 0
) -> NDArray[np.float64]:
    """IoU of every seed."""
    return np.array([iou for row, iou in rows.items()
                     if row[:2] == (network_name, activation) and row[3:] == (scheme, tuned)])  # fmt: skip
