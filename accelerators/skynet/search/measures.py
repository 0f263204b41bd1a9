"""The measures of the search by name: the training-free one, and short trainings that are kept on disk."""

from __future__ import annotations

import math
import multiprocessing
import signal
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from accelerators.skynet.search import folder
from accelerators.skynet.search.measure import ENTROPY, Measure
from accelerators.skynet.structure import Structure
from hwsim.document import shown_path
from hwsim.errors import Where, bad_input

ENTROPY_NAME, TRAINING_NAME, BOTH_NAME = "entropy", "training", "both"
NAMES = (ENTROPY_NAME, TRAINING_NAME, BOTH_NAME)
FRAMES = 3_200


class Measures(NamedTuple):
    """What ranks Bundle kinds, the swarm's networks, and the designs at the end."""

    kinds: Measure
    networks: Measure
    designs: Measure


def named(name: str, kept: Path, seeds: range, frames: int, workers: int = 1) -> Measures:
    """The measures of a search; trainings are kept in the CSV file `kept`, and run in `workers` processes.

    entropy    the training-free measure everywhere
    training   short trainings everywhere, as the paper had it: a training for each network of the swarm
    both       trainings of Bundle kinds and of the networks at the end, the training-free measure in the swarm
    A kind and a network of the swarm are trained from the first seed, a network at the end from all of them.
    """
    if name == ENTROPY_NAME:
        return Measures(ENTROPY, ENTROPY, ENTROPY)
    quick = Measure(TRAINING_NAME, Trainings(kept, seeds[:1], frames, workers))
    thorough = Measure(TRAINING_NAME, Trainings(kept, seeds, frames, workers))
    return Measures(quick, quick if name == TRAINING_NAME else ENTROPY, thorough)


Asked = tuple[str, int]
"""A structure's text and a seed."""


class Trainings:
    """Mean IoU after short trainings from `seeds` on `frames` frames. One that `kept` has is not repeated."""

    def __init__(self, kept: Path, seeds: range, frames: int, workers: int) -> None:
        self.kept, self.seeds, self.frames, self.workers = kept, seeds, frames, workers

    def __call__(self, structures: Sequence[Structure]) -> list[float]:
        """The IoU of each. Raises InputError as `train_short` does."""
        known = self._known()
        wanted = [(s, seed) for s in dict.fromkeys(structures) for seed in self.seeds if (s.text, seed) not in known]
        for (text, seed), iou in self._trained(wanted):
            known[text, seed] = iou
            folder.append_csv(self.kept, {"structure": text, "seed": seed, "frames": self.frames, "iou": iou})
        return [statistics.fmean(known[s.text, seed] for seed in self.seeds) for s in structures]

    def _known(self) -> dict[Asked, float]:
        """Trainings on as many frames that were done before, by this search or an earlier part of it."""
        found: dict[Asked, float] = {}
        for number, row in enumerate(folder.read_csv(self.kept), 2):
            try:
                key, iou = (row["structure"], int(row["seed"])), float(row["iou"])
                own = row["frames"] == str(self.frames)
            except (KeyError, TypeError, ValueError):
                iou, own = math.nan, True
            if not 0 <= iou <= 1:
                rule = "a row has structure, seed, frames, and an IoU from 0 to 1"
                raise bad_input("csv", "another line", rule, "Delete the file to train anew.",
                                Where(shown_path(self.kept), number, 1))  # fmt: skip
            if own:
                found[key] = iou
        return found

    def _trained(self, wanted: Sequence[tuple[Structure, int]]) -> Iterator[tuple[Asked, float]]:
        """What was asked and IoU, as they come."""
        if min(self.workers, len(wanted)) < 2:
            yield from (_train(*one, self.frames) for one in wanted)
            return
        # Spawned: PyTorch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_leave_interrupts_to_the_parent)
        try:
            for done in as_completed([pool.submit(_train, *one, self.frames) for one in wanted]):
                yield done.result()
        except BaseException:
            for child in multiprocessing.active_children():  # a training would go on for nobody
                child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _train(structure: Structure, seed: int, frames: int) -> tuple[Asked, float]:
    from accelerators.skynet.learning.short import train_short  # PyTorch

    return (structure.text, seed), train_short(structure, seed, frames)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
