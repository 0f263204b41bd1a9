"""A small detection set composed from packages' pictures: a face or a coin at a known box over another picture.

    frames = compose(load_sources(), "train", 2000)       frames.images [n, 3, 80, 160] bytes, frames.boxes [n, 4]

Composed, not photographed. Objects: the 100 faces of `lfw_subset` and the 24 coins of `coins`, each cut out by the
ellipse its box holds, flipped, tinted, stretched and lit at random. In half of the frames a distractor, one of the
subset's 100 pictures without a face, is cut by an ellipse in the same way first and must not be taken for the object.
Backgrounds are crops of other pictures. Train and test share no face, coin, distractor or background. All come from the
wheels of scikit-image and scikit-learn; frames follow from the seed and an index alone.

Sizes follow what is known of the contest's objects (share of the frame's area): 31 % below 1 %, 91 % below 9 %, log-
uniform within each of the three ranges. The ends, SMALLEST and LARGEST, are ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.document import shown_path
from hwsim.errors import InputError, Problem, Where, bad_input

HEIGHT, WIDTH = 80, 160
SMALLEST, LARGEST = 0.005, 0.2
"""Shares of the frame's area: an object below 8 x 8 pixels shows nothing, and above a fifth it is no small object."""
AREAS = ((0.31, SMALLEST, 0.01), (0.60, 0.01, 0.09), (0.09, 0.09, LARGEST))
"""Probability, from, to. Shares below 1 % and 9 %: SkyNet's paper, as known from reading notes."""
STRETCH = (0.7, 1.4)
"""Width over height."""
DISTRACTOR_PROBABILITY = 0.5
BACKGROUNDS: Mapping[str, tuple[str, ...]] = {
    "train": ("coffee.png", "chelsea.png", "china.jpg", "rocket.jpg", "ihc.png", "brick.png", "gravel.png", "moon.png"),
    "test": ("flower.jpg", "motorcycle_left.png", "hubble_deep_field.jpg", "grass.png", "clock_motion.png"),
}
FACES = {"train": slice(0, 70), "test": slice(70, 100)}
OTHERS = {"train": slice(100, 170), "test": slice(170, 200)}
"""Pictures of the subset: the first 100 are faces, the others are not."""
COINS = {
    "train": (
        (22, 35, 67, 74), (132, 28, 179, 74), (192, 30, 240, 73), (255, 34, 297, 72), (305, 16, 365, 72),
        (25, 104, 67, 145), (245, 95, 296, 144), (84, 108, 122, 145), (134, 110, 173, 145), (186, 105, 226, 144),
        (317, 106, 356, 145), (81, 39, 120, 74), (80, 175, 124, 217), (189, 170, 237, 217), (251, 172, 297, 217),
        (315, 156, 380, 218),
    ),
    "test": (
        (18, 233, 75, 288), (26, 179, 63, 217), (135, 179, 174, 217), (144, 236, 201, 288), (220, 240, 269, 288),
        (276, 239, 326, 289), (93, 245, 136, 287), (336, 248, 382, 289),
    ),
}  # fmt: skip
"""Left, top, right, bottom of each coin of coins.png in pixels: watershed of its Sobel edges from levels 30 and 150."""
SEEDS = {"train": 1, "test": 2}

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Part:
    """The pictures one part of the set is made from: objects and distractors [h, w, 3], backgrounds [h, w, 3]."""

    objects: tuple[Pixels, ...]
    distractors: tuple[Pixels, ...]
    backgrounds: tuple[Pixels, ...]


@dataclass(frozen=True, eq=False)
class Frames:
    """Images [n, 3, HEIGHT, WIDTH] and boxes [n, 4] (x, y, w, h: centre and size as shares of the image)."""

    images: Pixels
    boxes: NDArray[np.float64]

    def digest(self) -> str:
        """SHA-256 of images and boxes."""
        return hashlib.sha256(self.images.tobytes() + self.boxes.tobytes()).hexdigest()


# --- sources ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def load_sources() -> Mapping[str, Part]:
    """The pictures of "train" and "test", read once. Raises InputError when a package or a picture in it is missing."""
    science, learn = _folder("scikit-image", "skimage", "data"), _folder("scikit-learn", "sklearn", "datasets/images")
    subset = (np.load(_there(science / "lfw_subset.npy"), allow_pickle=False) * 255).round().astype(np.uint8)
    coins = _read(science / "coins.png")
    return {
        name: Part(
            tuple(_colour(p) for p in subset[FACES[name]])
            + tuple(coins[top:bottom, left:right] for left, top, right, bottom in COINS[name]),
            tuple(_colour(p) for p in subset[OTHERS[name]]),
            tuple(_read((learn if (learn / file).exists() else science) / file) for file in BACKGROUNDS[name]),
        )
        for name in ("train", "test")
    }


def _folder(package: str, module: str, below: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        where, rule = Where(key="package"), "the detection set is composed from its pictures"
        raise InputError([Problem("package", where, package, rule, f"Install it: pip install {package}.")])
    return Path(spec.origin).parent / below


def _there(path: Path) -> Path:
    if not path.is_file():
        where, rule = Where(shown_path(path)), "the detection set is composed from pictures inside the packages"
        raise InputError([Problem("missing-file", where, "nothing", rule, "Reinstall scikit-image and scikit-learn.")])
    return path


def _read(path: Path) -> Pixels:
    from PIL import Image

    with Image.open(_there(path)) as picture:
        return np.asarray(picture.convert("RGB"))


def _colour(grey: Pixels) -> Pixels:
    return np.repeat(grey[:, :, None], 3, 2)


# --- composing --------------------------------------------------------------------------------------------------


def compose(sources: Mapping[str, Part], part: str, count: int, first: int = 0) -> Frames:
    """Frames `first` to `first + count` of a part; frame i is the same whatever the count.

    Raises InputError for an unknown part or a count below 1.
    """
    if part not in sources or count < 1 or first < 0:
        raise bad_input("frames", f"{part} {first} + {count}", f"a part ({', '.join(sources)}) and positive counts")
    made = [_frame(sources[part], np.random.default_rng([SEEDS[part], i])) for i in range(first, first + count)]
    images = np.stack([image.transpose(2, 0, 1) for image, _ in made])
    return Frames(np.ascontiguousarray(images), np.array([box for _, box in made]))


def _frame(part: Part, rng: np.random.Generator) -> tuple[Pixels, tuple[float, ...]]:
    canvas = _lit(_background(part.backgrounds[rng.integers(len(part.backgrounds))], rng), rng)
    if rng.random() < DISTRACTOR_PROBABILITY:
        canvas, _ = _pasted(canvas, part.distractors[rng.integers(len(part.distractors))], rng)
    kind = part.objects[rng.integers(len(part.objects))]
    canvas, (left, top, width, height) = _pasted(canvas, kind, rng)
    box = ((left + width / 2) / WIDTH, (top + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), box


def _background(picture: Pixels, rng: np.random.Generator) -> NDArray[Any]:
    """A crop of the frame's shape, from half the largest there is to the largest."""
    height, width = picture.shape[:2]
    wide = int(min(width, height * WIDTH / HEIGHT) * rng.uniform(0.5, 1))
    high = max(wide * HEIGHT // WIDTH, 1)
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    crop = _resized(picture[top : top + high, left : left + wide], HEIGHT, WIDTH)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _pasted(
    canvas: NDArray[Any], piece: Pixels, rng: np.random.Generator
) -> tuple[NDArray[Any], tuple[int, int, int, int]]:
    """The canvas with the piece on it, and where: left, top, width, height in pixels."""
    width, height = _size(rng)
    top, left = int(rng.integers(HEIGHT - height + 1)), int(rng.integers(WIDTH - width + 1))
    look = _lit(_resized(piece[:, ::-1] if rng.random() < 0.5 else piece, height, width), rng)
    mask = _ellipse(height, width)[:, :, None]
    out = canvas.copy()
    under = out[top : top + height, left : left + width]
    under[:] = mask * look + (1 - mask) * under
    return out, (left, top, width, height)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height of an object in pixels."""
    _, low, high = AREAS[rng.choice(len(AREAS), p=[share for share, _, _ in AREAS])]
    pixels = HEIGHT * WIDTH * np.exp(rng.uniform(np.log(low), np.log(high)))
    stretch = np.exp(rng.uniform(*np.log(STRETCH)))
    return round(float(np.sqrt(pixels * stretch))), round(float(np.sqrt(pixels / stretch)))


def _lit(picture: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Under a light of random strength and colour."""
    return np.clip(picture * rng.uniform(0.6, 1.2) * rng.uniform(0.8, 1.2, 3), 0, 255)


def _ellipse(height: int, width: int) -> NDArray[Any]:
    """How much of each pixel the ellipse that touches all four sides covers, from 4 x 4 points in each."""
    y, x = ((np.arange(4 * n) + 0.5) / (2 * n) - 1 for n in (height, width))
    inside = (y[:, None] ** 2 + x[None, :] ** 2 <= 1).astype(np.float64)
    return np.asarray(inside.reshape(height, 4, width, 4).mean((1, 3)))


def _resized(picture: Pixels, height: int, width: int) -> NDArray[Any]:
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float64)


# --- looking at them --------------------------------------------------------------------------------------------

EDGE = (255, 255, 0)


def sheet(frames: Frames, columns: int) -> Pixels:
    """Frames side by side, `columns` in a row, each with its box drawn around the object: [h, w, 3]."""
    rows = -(-len(frames.images) // columns)
    out = np.zeros((rows * HEIGHT, columns * WIDTH, 3), np.uint8)
    for at, (image, box) in enumerate(zip(frames.images, frames.boxes, strict=True)):
        top, left = at // columns * HEIGHT, at % columns * WIDTH
        out[top : top + HEIGHT, left : left + WIDTH] = _outlined(image.transpose(1, 2, 0), box)
    return out


def _outlined(picture: Pixels, box: NDArray[np.float64]) -> Pixels:
    """A copy with a line of one pixel around the box, where there is room for it."""
    left, top, right, bottom = edges(box)
    out, mask = picture.copy(), np.zeros(picture.shape[:2], bool)
    mask[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = True
    mask[top:bottom, left:right] = False
    out[mask] = EDGE
    return out


def edges(box: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (the last two excluded) of a box in pixels."""
    x, y, w, h = box * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    return round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)


# --- anchors ----------------------------------------------------------------------------------------------------


def anchors(boxes: NDArray[Any], rows: int, columns: int, rounds: int = 100) -> tuple[tuple[float, float], ...]:
    """Two anchors (w, h in cells, the smaller first): k-means under 1 - IoU, as YOLO's, on boxes [n, 4].

    Starts from the boxes at the first and the third quartile of area; raises InputError for fewer than two sizes.
    """
    sizes = np.asarray(boxes, np.float64)[:, 2:] * (columns, rows)
    if len(np.unique(sizes, axis=0)) < 2:
        raise bad_input("boxes", len(sizes), "two anchors need boxes of two sizes")
    order = np.argsort(sizes.prod(1), kind="stable")
    centres = sizes[order[[len(order) // 4, 3 * len(order) // 4]]]
    for _ in range(rounds):
        nearest = shape_iou(sizes, centres).argmax(1)
        moved = np.array([sizes[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in (0, 1)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    ordered = centres[np.argsort(centres.prod(1), kind="stable")]
    return tuple((round(float(w), 3), round(float(h), 3)) for w, h in ordered)


def shape_iou(sizes: NDArray[Any], centres: NDArray[Any]) -> NDArray[np.float64]:
    """IoU of sizes [n, 2] with sizes [k, 2] about one centre: [n, k]."""
    shared = np.minimum(sizes[:, None], centres[None]).prod(2)
    return np.asarray(shared / (sizes.prod(1)[:, None] + centres.prod(1)[None] - shared))
