"""The detection set: the same frames every time, sources kept apart, boxes exact, sizes as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distribution
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from accelerators.skynet import boxes, detection
from accelerators.skynet.detection import HEIGHT, WIDTH, Frames, Part, compose
from hwsim.errors import InputError

pytest.importorskip("PIL")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

PICTURE = "skynet_detection.jpg"
SHOWN, COLUMNS = 24, 6


@pytest.fixture(scope="module")
def sources() -> Mapping[str, Part]:
    return detection.load_sources()


@pytest.fixture(scope="module")
def many(sources: Mapping[str, Part]) -> dict[str, Frames]:
    return {part: compose(sources, part, 1500) for part in sources}


def message(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


# --- sources ------------------------------------------------------------------------------------------------------


def test_every_picture_comes_inside_a_package() -> None:
    """Nothing is fetched at run time: what is read stands in the lists of files that pip installed."""
    held = {Path(str(file)).name for name in ("scikit-image", "scikit-learn") for file in distribution(name).files or ()
            if "skimage/data/" in str(file) or "sklearn/datasets/images/" in str(file)}  # fmt: skip
    read = {name for names in detection.BACKGROUNDS.values() for name in names} | {"lfw_subset.npy", "coins.png"}
    assert read <= held


def test_train_and_test_share_no_picture(sources: Mapping[str, Part]) -> None:
    """Faces, coins, distractors and backgrounds: none is in both, also not nearly (a correlation of 0.98)."""
    train, test = sources["train"], sources["test"]
    assert (len(train.objects), len(test.objects)) == (70 + 16, 30 + 8)
    assert not set(detection.BACKGROUNDS["train"]) & set(detection.BACKGROUNDS["test"])
    for kind in ("objects", "distractors"):
        first, second = (np.array([_standard(p) for p in getattr(part, kind)]) for part in (train, test))
        likest = (first @ second.T).max()
        print(f"{kind}: {len(first)} and {len(second)}, the two likest correlate by {likest:.2f}")
        assert likest < 0.98


def _standard(picture: np.ndarray) -> np.ndarray:
    """A picture as a vector of 400 numbers of mean 0 and length 1."""
    from PIL import Image

    values = np.asarray(Image.fromarray(picture[:, :, 0]).resize((20, 20)), float).reshape(-1)
    values -= values.mean()
    return values / max(np.linalg.norm(values), 1e-9)


def test_coins_overlap_by_their_edges_at_most() -> None:
    every = [box for part in detection.COINS.values() for box in part]
    assert len(every) == len(set(every)) == 24
    for (left, top, right, bottom), (left_2, top_2, right_2, bottom_2) in combinations(every, 2):
        shared = max(0, min(right, right_2) - max(left, left_2)) * max(0, min(bottom, bottom_2) - max(top, top_2))
        assert shared <= 0.02 * (right - left) * (bottom - top)


@pytest.fixture
def unread() -> Iterator[None]:
    """Pictures are read anew, and again afterwards."""
    detection.load_sources.cache_clear()
    yield
    detection.load_sources.cache_clear()


@pytest.mark.usefixtures("unread")
def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    assert "pip install scikit-image" in message(detection.load_sources)


@pytest.mark.usefixtures("unread")
def test_a_picture_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "BACKGROUNDS", {"train": ("none.png",), "test": ("none.png",)})
    assert "none.png" in message(detection.load_sources)


# --- frames -------------------------------------------------------------------------------------------------------


def test_frames_follow_from_their_number(sources: Mapping[str, Part], many: dict[str, Frames]) -> None:
    for part, frames in many.items():
        again = compose(sources, part, 5, first=40)
        assert np.array_equal(again.images, frames.images[40:45]) and np.array_equal(again.boxes, frames.boxes[40:45])
    assert not np.array_equal(many["train"].boxes, many["test"].boxes)
    assert len({image.tobytes() for frames in many.values() for image in frames.images}) == 3000


def test_the_test_frames_are_those_measured_on(many: dict[str, Frames]) -> None:
    """What accuracy.csv was measured on. Another version of Pillow may read or scale a picture otherwise."""
    first = Frames(many["test"].images[:400], many["test"].boxes[:400])
    assert first.digest() == "42480a5dbe2f22e8104132eaa16d5d1a664b75546be8c2e75743ee3f72117ffe"
    moved = Frames(first.images, first.boxes + 1e-9)
    assert moved.digest() != first.digest()


def plain(sources: Mapping[str, Part]) -> dict[str, Part]:
    """White objects, black distractors and backgrounds, of the same shapes and numbers: everything falls alike."""
    part = sources["test"]
    white = tuple(np.full_like(p, 255) for p in part.objects)
    black, dark = (tuple(np.zeros_like(p) for p in group) for group in (part.distractors, part.backgrounds))
    return {"test": Part(white, black, dark)}


def test_boxes_are_those_of_the_pixels(sources: Mapping[str, Part], many: dict[str, Frames]) -> None:
    """With white objects on black, what is not black lies in the box and touches its four sides."""
    frames = compose(plain(sources), "test", 300)
    assert np.array_equal(frames.boxes, many["test"].boxes[:300])
    for image, box in zip(frames.images, frames.boxes, strict=True):
        rows, columns = np.nonzero(image.max(0))
        wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert detection.edges(box) == wanted
        assert box * (WIDTH, HEIGHT, WIDTH, HEIGHT) == pytest.approx(_centred(*wanted))


def _centred(left: int, top: int, right: int, bottom: int) -> tuple[float, ...]:
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def test_the_object_alone_differs_from_the_same_frame_with_another(sources: Mapping[str, Part]) -> None:
    """Outside its box no pixel of a frame depends on the object."""
    part = sources["test"]
    other = {"test": Part(tuple(255 - p for p in part.objects), part.distractors, part.backgrounds)}
    here, there = compose(sources, "test", 100), compose(other, "test", 100)
    for one, two, box in zip(here.images, there.images, here.boxes, strict=True):
        left, top, right, bottom = detection.edges(box)
        differs = (one != two).any(0)
        assert differs[top:bottom, left:right].any()
        differs[top:bottom, left:right] = False
        assert not differs.any()


def test_sizes_are_spread_as_wanted(many: dict[str, Frames]) -> None:
    """31 % of the objects below 1 % of the frame, 91 % below 9 %; all inside the frame."""
    for part, frames in many.items():
        area = frames.boxes[:, 2] * frames.boxes[:, 3]
        small, large = (float((area < share).mean()) for share in (0.01, 0.09))
        print(f"{part}: {small:.1%} below 1 %, {large:.1%} below 9 %, {area.min():.2%} to {area.max():.1%}")
        assert small == pytest.approx(0.31, abs=0.04) and large == pytest.approx(0.91, abs=0.03)
        assert area.min() > 0.9 * detection.SMALLEST and area.max() < 1.05 * detection.LARGEST
        low, high = frames.boxes[:, :2] - frames.boxes[:, 2:] / 2, frames.boxes[:, :2] + frames.boxes[:, 2:] / 2
        assert low.min() > -1e-9 and high.max() < 1 + 1e-9


@pytest.mark.parametrize(("part", "count", "first"), [("other", 1, 0), ("train", 0, 0), ("test", 3, -1)])
def test_frames_that_cannot_be(sources: Mapping[str, Part], part: str, count: int, first: int) -> None:
    assert "positive counts" in message(lambda: compose(sources, part, count, first))


# --- anchors ------------------------------------------------------------------------------------------------------


def test_shapes_overlap_as_boxes_about_one_centre_do(many: dict[str, Frames]) -> None:
    sizes, centres = many["train"].boxes[:50, 2:], many["test"].boxes[:2, 2:]
    found = detection.shape_iou(sizes, centres)
    for i, k in product(range(50), range(2)):
        assert found[i, k] == pytest.approx(boxes.iou((0, 0, *sizes[i]), (0, 0, *centres[k])))


def test_anchors_are_where_no_box_wants_to_change_sides(many: dict[str, Frames]) -> None:
    """Each is the mean of the boxes that it fits better than the other, which is where k-means rests."""
    sizes = many["train"].boxes[:, 2:] * (20, 10)
    small, large = found = detection.anchors(many["train"].boxes, 10, 20)
    groups: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for size in sizes:
        fits = [float(boxes.iou((0, 0, *size), (0, 0, *anchor))) for anchor in found]
        groups[fits[1] > fits[0]].append(size)
    print(f"anchors {small} and {large} of {len(groups[0])} and {len(groups[1])} boxes")
    assert small[0] * small[1] < large[0] * large[1]
    for anchor, group in zip(found, groups, strict=True):
        assert anchor == pytest.approx(np.mean(group, axis=0), abs=0.02)


def test_two_anchors_need_two_sizes() -> None:
    assert "boxes of two sizes" in message(lambda: detection.anchors(np.full((5, 4), 0.25), 10, 20))


# --- the picture --------------------------------------------------------------------------------------------------


def test_the_picture_of_the_set_shows_its_frames(root: Path, sources: Mapping[str, Part]) -> None:
    """docs/skynet_detection.jpg, up to what JPEG changes: 12 frames to train on above 12 to test on."""
    from PIL import Image

    parts = [compose(sources, part, SHOWN // 2) for part in ("train", "test")]
    both = Frames(np.concatenate([p.images for p in parts]), np.concatenate([p.boxes for p in parts]))
    drawn = detection.sheet(both, COLUMNS)
    with Image.open(root / "docs" / PICTURE) as picture:
        held = np.asarray(picture.convert("RGB"), float)
    assert held.shape == drawn.shape
    assert np.abs(held - drawn).mean() < 6
    assert np.abs(held - np.roll(drawn, 160, 1)).mean() > 20
