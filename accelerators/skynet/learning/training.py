"""A training that can be interrupted at any moment and resumes to the same numbers.

Frame i of a training is frame i of the detection set's training part (wrapped at DISTINCT), so every step knows its
frames; the rate of learning is a function of the step. State goes to a file of plain arrays every few steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from accelerators.arrays import read_arrays, write_arrays
from accelerators.poetbin.learning.train import one_thread
from accelerators.skynet import accuracy, detection
from accelerators.skynet.learning.detector import Detector
from accelerators.skynet.learning.loss import loss
from accelerators.skynet.structure import Structure
from hwsim.errors import bad_input

BATCH = 32
RATE, WEIGHT_DECAY = 0.01, 1e-4
WARM_SHARE = 0.3
"""Of the steps, during which the rate rises; it falls over the others (one cycle; Smith and Topin 2017)."""
LOWEST_SHARE = 1 / 25
"""Of RATE: where it starts; it ends at nearly nothing."""
DISTINCT = 1 << 20
SAVED_EVERY = 50
"""Steps."""
MOMENTS = ("exp_avg", "exp_avg_sq")

Report = Callable[[int, int], None]
"""Is told the steps done and those there are."""


@dataclass(frozen=True)
class Settings:
    """Frames to train on, in batches of 32, and the seed of the first weights and of which frames are seen.

    Raises InputError for fewer frames than a batch, or a negative seed.
    """

    frames: int
    seed: int

    def __post_init__(self) -> None:
        if self.frames < BATCH:
            raise bad_input("frames", self.frames, f"a training has at least one batch of {BATCH} frames")
        if self.seed < 0:
            raise bad_input("seed", self.seed, "a seed is 0 or more")

    @property
    def steps(self) -> int:
        """Whole batches."""
        return self.frames // BATCH


@dataclass(frozen=True)
class Sight:
    """What a training looks at: pictures, and anchors in cells."""

    sources: Mapping[str, detection.Part]
    anchors: tuple[tuple[float, float], ...]


def sight() -> Sight:
    """The detection set, with anchors for cells of CELL pixels. Raises InputError where its pictures are missing."""
    return Sight(detection.load_sources(), accuracy.anchor_cells())


def train(
    structure: Structure, settings: Settings, seen: Sight, checkpoint: Path | None = None, report: Report | None = None
) -> Detector:
    """A detector trained from its first weights, or on from `checkpoint`. In inference mode.

    Raises InputError for a structure of other frames than the set's, or a checkpoint of another training.
    """
    if (structure.height, structure.width) != (detection.HEIGHT, detection.WIDTH):
        rule = f"frames of the detection set are {detection.HEIGHT} x {detection.WIDTH}"
        raise bad_input("structure", structure.text, rule)
    torch.manual_seed(settings.seed)
    made = Detector(structure).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(made.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    identity = f"{structure.text} frames {settings.frames} seed {settings.seed}"
    with one_thread():
        done = _resume(checkpoint, identity, made, optimizer, settings.steps)
        for step in range(done, settings.steps):
            _step(made, optimizer, settings, step, seen)
            if checkpoint and ((step + 1) % SAVED_EVERY == 0 or step + 1 == settings.steps):
                _save(checkpoint, identity, step + 1, made, optimizer)
            if report:
                report(step + 1, settings.steps)
    return made.eval()


def _step(made: Detector, optimizer: torch.optim.Optimizer, settings: Settings, step: int, seen: Sight) -> None:
    # Seeds start apart from one another, and none sees a frame twice.
    first = (settings.seed * DISTINCT // 16 + step * BATCH) % (DISTINCT - BATCH)
    frames = detection.compose(seen.sources, "train", BATCH, first)
    optimizer.param_groups[0]["lr"] = rate(step, settings.steps)
    found = loss(made(pictures(frames.images)), torch.from_numpy(frames.boxes).float(), seen.anchors)
    optimizer.zero_grad()
    found.backward()
    optimizer.step()


def rate(step: int, steps: int, highest: float = RATE) -> float:
    """The rate of a step: up and down along cosines."""
    peak = max(1, round(WARM_SHARE * steps))
    if step < peak:
        return highest * (LOWEST_SHARE + (1 - LOWEST_SHARE) * (1 - math.cos(math.pi * step / peak)) / 2)
    return highest * (1 + math.cos(math.pi * (step - peak) / max(1, steps - peak))) / 2


def pictures(images: NDArray[np.uint8]) -> Tensor:
    """Images [n, 3, H, W] of bytes, normalized."""
    values = (torch.from_numpy(images).float() / 255 - 0.5) / 0.25
    return values.contiguous(memory_format=torch.channels_last)


def box_maps(made: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a module makes of images, in inference."""
    made.eval()
    with one_thread(), torch.no_grad():
        return torch.cat([made(pictures(part)) for part in np.array_split(images, max(1, len(images) // 50))]).numpy()


def state(made: nn.Module) -> dict[str, NDArray[Any]]:
    """Its arrays by name, as `accelerators.skynet.network.fold` reads them."""
    return {name: tensor.detach().numpy().copy() for name, tensor in made.state_dict().items()}


# --- the file -----------------------------------------------------------------------------------------------------


def _save(path: Path, identity: str, done: int, made: Detector, optimizer: torch.optim.Optimizer) -> None:
    arrays: dict[str, NDArray[Any]] = {"identity": _text(identity), "done": np.array(done)}
    arrays |= {f"state.{name}": array for name, array in state(made).items()}
    for name, parameter in made.named_parameters():
        arrays |= {f"{m}.{name}": optimizer.state[parameter][m].numpy() for m in MOMENTS}
    write_arrays(path, arrays)


def _resume(
    path: Path | None, identity: str, made: Detector, optimizer: torch.optim.Optimizer, steps: int
) -> int:  # fmt: skip
    """The steps done, with weights and moments as they were then; 0 without a file."""
    if path is None or not path.exists():
        return 0
    held = dict(made.state_dict())
    moments = [f"{m}.{name}" for name, _ in made.named_parameters() for m in MOMENTS]
    optional = ["identity", "done", *(f"state.{name}" for name in held), *moments]
    found = read_arrays(path, ["identity", "done"], optional)
    if not np.array_equal(found["identity"], _text(identity)) or len(found) != len(optional):
        raise bad_input("checkpoint", path.name, f"this is not the training of {identity}", "Name another folder.")
    same = all(found[f"state.{name}"].shape == tuple(value.shape) for name, value in held.items())
    if not same or not 0 < int(found["done"].flat[0] if found["done"].size == 1 else 0) <= steps:
        raise bad_input("checkpoint", path.name, "its arrays are not those of this training", "Delete the file.")
    made.load_state_dict({name: torch.from_numpy(found[f"state.{name}"]) for name in held})
    for name, parameter in made.named_parameters():
        kept = {m: torch.from_numpy(found[f"{m}.{name}"]).to(memory_format=_format(parameter)) for m in MOMENTS}
        optimizer.state[parameter] = {"step": torch.tensor(float(found["done"])), **kept}
    return int(found["done"])


def _format(parameter: Tensor) -> torch.memory_format:
    return torch.channels_last if parameter.dim() == 4 else torch.contiguous_format


def _text(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
