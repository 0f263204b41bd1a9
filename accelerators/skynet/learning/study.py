"""All trainings of docs/skynet-training.md and what they measure, into accuracy.csv.

Each training, and each row, is done once: what the folder holds is not repeated, so that the study can be interrupted
and goes on where it was. Rows stand in the order of `planned`, however they were come by.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from accelerators.arrays import write_atomically
from accelerators.skynet import accuracy, detection, network
from accelerators.skynet.accuracy import FLOAT, PUBLISHED_IOU, Scheme
from accelerators.skynet.learning import training, tuning
from accelerators.skynet.learning.training import Settings
from accelerators.skynet.measured import Row, read, write
from accelerators.skynet.network import Network
from accelerators.skynet.structure import Structure
from hwsim.document import read_json, shown_path
from hwsim.errors import Where, bad_input

LASTS = {"a": 0, "b": accuracy.PLAN.last // 2, "c": accuracy.PLAN.last}
"""Outputs of the last Bundle of the three networks, as the published ones' in proportion."""
ACTIVATIONS = ("relu", "relu6")
FEATURES, WEIGHTS = (6, 7, 8, 9, 10, 12), (5, 6, 7, 8, 9, 10, 11, 12)
TUNED = (*(scheme for scheme in PUBLISHED_IOU if scheme != FLOAT), Scheme(7, 8), Scheme(6, 8))
TUNING_SHARE = 4
"""A tuning sees a fourth of the frames of the training."""


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
        self.keep_settings()
        table = self.folder / "accuracy.csv"
        known = read(table) if table.exists() else {}
        found: dict[Row, float] = {}
        wanted = list(planned(self))
        for at, row in enumerate(wanted, 1):
            if row not in known:
                known[row] = round(self.measured(row), 4)
                self.say(f"{at} of {len(wanted)}: {' '.join(map(str, row.text(known[row]).values()))}")
                write(table, known)
            found[row] = known[row]
        write(table, found)
        return found

    def keep_settings(self) -> None:
        """Note what decides a row beside what stands in it. Raises InputError in a folder of other settings."""
        path, own = self.folder / "settings.json", {"frames": self.frames, "test_frames": self.test_frames}
        if not path.exists():
            write_atomically(path, (json.dumps(own) + "\n").encode())
        elif (held := read_json(path).data) != own:
            rule = f"this folder was begun with {json.dumps(held)}"
            raise bad_input("settings", json.dumps(own), rule, "Name another folder.", Where(shown_path(path)))

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
