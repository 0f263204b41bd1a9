"""The measures of the search by name: the training-free one, and short trainings that are kept on disk."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from accelerators.skynet.search import folder
from accelerators.skynet.search.measure import ENTROPY, Measure
from accelerators.skynet.structure import Structure

ENTROPY_NAME, TRAINING_NAME = "entropy", "training"
NAMES = (ENTROPY_NAME, TRAINING_NAME)
FRAMES = 3_200


def named(name: str, kept: Path, seed: int, frames: int, workers: int = 1) -> Measure:
    """A measure; trainings are kept in the CSV file `kept`, and run in `workers` processes."""
    if name == ENTROPY_NAME:
        return ENTROPY
    return Measure(TRAINING_NAME, Trainings(kept, seed, frames, workers))


class Trainings:
    """IoU after a short training from `seed` on `frames` frames. One that `kept` has is not repeated."""

    def __init__(self, kept: Path, seed: int, frames: int, workers: int) -> None:
        self.kept, self.seed, self.frames, self.workers = kept, seed, frames, workers
        mine = (str(seed), str(frames))
        rows = [row for row in folder.read_csv(kept) if (row["seed"], row["frames"]) == mine]
        self.known = {row["structure"]: float(row["iou"]) for row in rows}

    def __call__(self, structures: Sequence[Structure]) -> list[float]:
        """The IoU of each. Raises InputError as `train_short` does."""
        wanted = {s.text: s for s in structures if s.text not in self.known}
        for text, iou in self._trained(list(wanted.values())):
            self.known[text] = iou
            folder.append_csv(self.kept, {"structure": text, "seed": self.seed, "frames": self.frames, "iou": iou})
        return [self.known[s.text] for s in structures]

    def _trained(self, structures: Sequence[Structure]) -> Iterator[tuple[str, float]]:
        """Texts and IoU, as they come."""
        if min(self.workers, len(structures)) < 2:
            yield from (_train(one, self.seed, self.frames) for one in structures)
            return
        # Spawned: PyTorch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_leave_interrupts_to_the_parent)
        try:
            for done in as_completed([pool.submit(_train, one, self.seed, self.frames) for one in structures]):
                yield done.result()
        except BaseException:
            for child in multiprocessing.active_children():  # a training would go on for nobody
                child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _train(structure: Structure, seed: int, frames: int) -> tuple[str, float]:
    from accelerators.skynet.learning.short import train_short  # PyTorch

    return structure.text, train_short(structure, seed, frames)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
