"""Detectors trained for SkyNet: loss, training that resumes, folding, tuning, the study, and what is committed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from accelerators.poetbin.learning.train import one_thread
from accelerators.skynet import accuracy, boxes, detection, fixed, measured, network
from accelerators.skynet.accuracy import FLOAT, Scheme
from accelerators.skynet.fixed import Formats
from accelerators.skynet.learning import __main__ as command
from accelerators.skynet.learning import loss, short, study, training, tuning
from accelerators.skynet.learning.detector import Detector
from accelerators.skynet.learning.training import BATCH, Settings, Sight
from accelerators.skynet.measured import Row
from accelerators.skynet.structure import KINDS, PUBLISHED, Structure
from hwsim.errors import EXIT_BAD_INPUT, InputError
from workloads import skynet

pytest.importorskip("skimage")
pytest.importorskip("sklearn")

SMALL = Structure(channels=(4, 6, 8, 8, 8), last=8, height=detection.HEIGHT, width=detection.WIDTH)
WIDE = Formats(feature_bits=26, feature_integer_bits=8, weight_bits=24, weight_integer_bits=8, accumulator_bits=34,
               accumulator_integer_bits=12, tree_bits=48, tree_integer_bits=12)  # fmt: skip
"""In which rounding is far below what a float32 tells apart."""
SHIPPED = accuracy.TRAINED / "skynet_c_narrow.npz"


@pytest.fixture(scope="module")
def seen() -> Sight:
    return training.sight()


@pytest.fixture(scope="module")
def test_frames(seen: Sight) -> detection.Frames:
    return detection.compose(seen.sources, "test", accuracy.TEST_FRAMES)


@pytest.fixture(scope="module")
def shipped() -> network.Network:
    return accuracy.load(SHIPPED)


def message(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def first(frames: detection.Frames, count: int) -> detection.Frames:
    return detection.Frames(frames.images[:count], frames.boxes[:count])


# --- loss ---------------------------------------------------------------------------------------------------------


def slow_loss(box_map: np.ndarray, box: Sequence[float], anchors: Sequence[tuple[float, float]]) -> float:
    """The loss of one frame with plain numbers, written from the definition of each term."""
    _, rows, columns = box_map.shape
    x, y, w, h = box[0] * columns, box[1] * rows, box[2] * columns, box[3] * rows
    column, row = int(x), int(y)
    fits = [float(boxes.iou((0, 0, w, h), (0, 0, *anchor))) for anchor in anchors]
    anchor = fits.index(max(fits))
    confidences = {(a, r, c): 2 * min(max(float(box_map[5 * a + 4, r, c]), -4), 4)
                   for a in range(2) for r in range(rows) for c in range(columns)}  # fmt: skip
    where = math.log(sum(math.exp(v) for v in confidences.values())) - confidences[anchor, row, column]
    tx, ty, tw, th = (float(v) for v in box_map[5 * anchor : 5 * anchor + 4, row, column])
    sizes = [size * math.exp(min(max(t, -4), 4)) for size, t in zip(anchors[anchor], (tw, th), strict=True)]
    found = (column + 1 / (1 + math.exp(-tx)), row + 1 / (1 + math.exp(-ty)), *sizes)
    return where + 2 * (1 - slow_giou(found, (x, y, w, h)))


def slow_giou(first: Sequence[float], second: Sequence[float]) -> float:
    """IoU less the share of the smallest box around both that neither covers."""
    spans = [(b[i] - b[2 + i] / 2, b[i] + b[2 + i] / 2) for i in (0, 1) for b in (first, second)]
    shared = around = 1.0
    for (low, high), (other_low, other_high) in ((spans[0], spans[1]), (spans[2], spans[3])):
        shared *= max(0.0, min(high, other_high) - max(low, other_low))
        around *= max(high, other_high) - min(low, other_low)
    union = first[2] * first[3] + second[2] * second[3] - shared
    return shared / union - (around - union) / around


def test_the_loss_is_its_formula(seen: Sight) -> None:
    rng = np.random.default_rng(4)
    maps = rng.normal(0, 1.5, (40, 10, 10, 20))
    wanted = detection.compose(seen.sources, "train", 40).boxes
    slow = np.mean([slow_loss(m, b, seen.anchors) for m, b in zip(maps, wanted, strict=True)])
    found = loss.loss(torch.from_numpy(maps), torch.from_numpy(wanted), seen.anchors)
    assert float(found) == pytest.approx(slow, rel=1e-9)
    assert (np.abs(maps[:, 4::5]) > 4).any()  # beyond what a feature tells apart


def test_the_loss_is_least_at_the_object(seen: Sight) -> None:
    """A map that decodes to the object exactly, with one confident cell, has nearly no loss."""
    wanted = detection.compose(seen.sources, "train", 30).boxes
    maps = np.full((30, 10, 10, 20), -4.0)
    for box_map, box in zip(maps, wanted, strict=True):
        x, y, w, h = box * (20, 10, 20, 10)
        a = int(detection.shape_iou(np.array([[w, h]]), np.array(seen.anchors)).argmax())
        part = [math.log((v % 1 + 1e-9) / (1 - v % 1 + 1e-9)) for v in (x, y)]
        cell = [*part, math.log(w / seen.anchors[a][0]), math.log(h / seen.anchors[a][1]), 4.0]
        box_map[5 * a : 5 * a + 5, int(y), int(x)] = cell
    assert accuracy.mean_iou(maps, wanted, seen.anchors) > 0.999
    assert float(loss.loss(torch.from_numpy(maps), torch.from_numpy(wanted), seen.anchors)) < 0.001


# --- detectors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_detector_is_the_network_of_the_workload(name: str) -> None:
    """The same arrays by name give the same box map."""
    plan = skynet.PLANS[name]
    small = skynet.Plan(tuple(c // 8 for c in plan.channels), plan.last // 8)
    theirs = skynet.network(small).eval()
    ours = Detector(Structure(channels=small.channels, last=small.last)).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (2, 3, 16, 32))).float()
    with one_thread(), torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_bundle_of_the_search_trains(kind: str, seen: Sight) -> None:
    structure = Structure(kind, (4, 6, 8), (1, 2, 3), 8, "relu", detection.HEIGHT, detection.WIDTH)
    made = training.train(structure, Settings(BATCH, 1), seen)
    assert training.box_maps(made, np.zeros((3, 3, 80, 160), np.uint8)).shape == (3, 10, 10, 20)


def test_folding_changes_nothing(seen: Sight, test_frames: detection.Frames) -> None:
    """The folded layers in float64 and the module with its batch norms: the same maps, of norms that have moved."""
    trained = training.train(SMALL, Settings(6 * BATCH, 1), seen)
    state = training.state(trained)
    assert np.abs(state["bundle6.pw_bn.running_mean"]).max() > 0.01
    folded = network.fold(network.Plan(SMALL.channels, SMALL.last), state)
    images = test_frames.images[:6]
    by_layers = np.array(list(accuracy.float_maps(folded, images)))
    assert np.abs(by_layers - training.box_maps(trained, images)).max() < 1e-4


# --- training -----------------------------------------------------------------------------------------------------


def same(one: Detector, other: Detector) -> bool:
    pairs = zip(training.state(one).items(), training.state(other).items(), strict=True)
    return all(a == b and np.array_equal(x, y) for (a, x), (b, y) in pairs)


def test_a_training_follows_from_structure_frames_and_seed(seen: Sight) -> None:
    one, again, other, longer = (training.train(SMALL, Settings(frames, seed), seen)
                                 for frames, seed in ((96, 1), (96, 1), (96, 2), (128, 1)))  # fmt: skip
    assert same(one, again)
    assert not same(one, other) and not same(one, longer)


def test_a_training_that_is_interrupted_ends_in_the_same_bytes(
    seen: Sight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after each of its steps in turn, saved every second: the same file as in one go."""
    monkeypatch.setattr(training, "SAVED_EVERY", 2)
    settings = Settings(5 * BATCH, 3)
    whole = training.train(SMALL, settings, seen, tmp_path / "whole.npz")
    for stop in range(1, settings.steps):
        path = tmp_path / f"{stop}.npz"
        with pytest.raises(KeyboardInterrupt):
            training.train(SMALL, settings, seen, path, report=interrupting(stop))
        steps: list[int] = []
        resumed = training.train(SMALL, settings, seen, path, report=lambda done, of, s=steps: s.append(done))
        assert steps[0] == stop // 2 * 2 + 1
        assert same(resumed, whole)
        assert path.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def interrupting(stop: int) -> training.Report:
    """As Ctrl-C does it."""

    def report(done: int, steps: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    return report


def test_a_finished_training_is_not_repeated(seen: Sight, tmp_path: Path) -> None:
    made = training.train(SMALL, Settings(64, 1), seen, tmp_path / "t.npz")
    steps: list[int] = []
    again = training.train(SMALL, Settings(64, 1), seen, tmp_path / "t.npz", lambda done, of: steps.append(done))
    assert same(made, again) and steps == []


def test_the_rate_rises_and_falls() -> None:
    rates = [training.rate(step, 375) for step in range(375)]
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.01 / 25) and max(rates) == pytest.approx(0.01)
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert top == round(0.3 * 375) and rates[-1] < 1e-6


def test_a_short_training_learns_where_objects_are() -> None:
    """Beside the same boxes held to the objects of other frames, which is what sizes and places alone would give."""
    structure = Structure(channels=(48, 64, 96), pools=(1, 2, 3))
    seen = short._sight(8)
    trained = training.train(short.twin(structure), Settings(1280, 1), seen)
    test = short._test(seen)
    maps = training.box_maps(trained, test.images)
    learned = accuracy.mean_iou(maps, test.boxes, seen.anchors)
    chance = accuracy.mean_iou(maps, np.roll(test.boxes, 7, 0), seen.anchors)
    print(f"IoU {learned:.3f} after 1,280 frames; {chance:.3f} on other frames' objects")
    assert learned > 0.08 > 2 * chance


@pytest.mark.parametrize("pools", [(1, 2), (1, 2, 3, 4)])
def test_structures_with_other_cells_are_measured(pools: tuple[int, ...]) -> None:
    structure = Structure(channels=(8, 8, 8, 8), pools=pools)
    found = short.train_short(structure, 1, BATCH)
    assert 0 <= found < 1 and found == short.train_short(structure, 1, BATCH)


# --- tuning -------------------------------------------------------------------------------------------------------


def test_rounding_in_training_is_that_of_the_engine() -> None:
    values = np.concatenate((np.arange(-9, 9, 1 / 512), [100.0, -100.0]))
    for kind in (Formats().feature, Formats().weight, Formats(feature_bits=5).feature):
        found = tuning.rounded(torch.from_numpy(values), kind).numpy()
        assert np.array_equal(found, fixed.dequantize(fixed.quantize_array(values, kind), kind))


def test_gradients_pass_where_nothing_saturates() -> None:
    values = torch.tensor([-5.0, -1.01, 0.3, 3.9, 4.5], requires_grad=True)
    tuning.rounded(values, Formats().feature).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [0, 1, 1, 1, 0]


def test_tuning_sees_the_network_that_the_engine_runs(shipped: network.Network, test_frames: detection.Frames) -> None:
    """In types so wide that sums are not rounded, the tuned module and the engine's arithmetic give the same maps."""
    images = test_frames.images[:2]
    with one_thread(), torch.no_grad():
        module = tuning.Folded(shipped, WIDE)(training.pictures(images)).numpy()
    engine = np.array(list(accuracy.fixed_maps(shipped, images, WIDE)))
    assert np.abs(module - engine).max() < 2e-3 < np.abs(engine).max()


def test_tuning_regains_what_rounding_took(
    shipped: network.Network, seen: Sight, test_frames: detection.Frames
) -> None:
    formats, shown = Scheme(9, 6).formats, first(test_frames, 60)

    def iou(trained: network.Network) -> float:
        return accuracy.mean_iou(accuracy.fixed_maps(trained, shown.images, formats), shown.boxes, seen.anchors)

    before, after = iou(shipped), iou(tuning.tune(shipped, formats, Settings(10 * BATCH, 1), seen))
    print(f"9-bit features, 6-bit weights: IoU {before:.3f}, tuned on 320 frames {after:.3f}")
    assert after > before + 0.03


def test_a_tuning_follows_from_network_formats_frames_and_seed(shipped: network.Network, seen: Sight) -> None:
    def weights(bits: int, seed: int) -> bytes:
        tuned = tuning.tune(shipped, Scheme(9, bits).formats, Settings(BATCH, seed), seen)
        return b"".join(layer.arrays()[0].tobytes() for layer in tuned.convolutions())

    assert len({weights(6, 1), weights(6, 1), weights(6, 2), weights(8, 1)}) == 3


# --- what is committed --------------------------------------------------------------------------------------------


def test_the_shipped_detector_has_the_iou_of_the_table(
    shipped: network.Network, seen: Sight, test_frames: detection.Frames
) -> None:
    """All 400 frames through the engine's arithmetic, to the last digit of accuracy.csv."""
    rows = measured.read(measured.TABLE)
    assert SHIPPED.stat().st_size < 500_000
    for scheme in (Scheme(9, 11), Scheme(8, 10)):
        maps = accuracy.fixed_maps(shipped, test_frames.images, scheme.formats)
        iou = accuracy.mean_iou(maps, test_frames.boxes, seen.anchors)
        print(f"features {scheme.feature_bits}, weights {scheme.weight_bits}: IoU {iou:.6f} on 400 frames")
        assert round(iou, 4) == rows[Row("c", "relu6", 1, scheme, 0)]


def test_the_shipped_detector_in_floating_point(
    shipped: network.Network, seen: Sight, test_frames: detection.Frames, deep: bool
) -> None:
    """A module in float32 with no rounding in sight; a float64 twin when deep. Sums in another order may move a box."""
    rows = measured.read(measured.TABLE)
    wanted = rows[Row("c", "relu6", 1, FLOAT, 0)]
    maps = training.box_maps(tuning.Folded(shipped, WIDE), test_frames.images)
    assert accuracy.mean_iou(maps, test_frames.boxes, seen.anchors) == pytest.approx(wanted, abs=2e-3)
    if deep:
        exact = accuracy.float_maps(shipped, test_frames.images)
        assert accuracy.mean_iou(exact, test_frames.boxes, seen.anchors) == pytest.approx(wanted, abs=2e-3)


def test_what_the_released_types_cost_is_range(
    shipped: network.Network, seen: Sight, test_frames: detection.Frames
) -> None:
    """One more bit in front of a feature's point gives back what floating point has: docs/studies.md."""
    wider = Formats(feature_bits=10, feature_integer_bits=4)
    maps = accuracy.fixed_maps(shipped, test_frames.images, wider)
    iou = accuracy.mean_iou(maps, test_frames.boxes, seen.anchors)
    rows = measured.read(measured.TABLE)
    plain, released = (rows[Row("c", "relu6", 1, scheme, 0)] for scheme in (FLOAT, Scheme(9, 11)))
    print(f"IoU {released:.3f} with <9, 3>, {iou:.3f} with <10, 4>, {plain:.3f} in floating point")
    assert [round(value, 3) for value in (plain, released, iou)] == [0.488, 0.396, 0.491]


def test_a_network_is_kept_as_plain_arrays(shipped: network.Network, tmp_path: Path) -> None:
    accuracy.save(shipped, tmp_path / "n.npz")
    assert (tmp_path / "n.npz").read_bytes() == SHIPPED.read_bytes()
    with np.load(SHIPPED, allow_pickle=False) as held:
        assert all(held[name].dtype == np.float32 for name in held.files)


# --- the study ----------------------------------------------------------------------------------------------------


def small_study(folder: Path, said: list[str] | None = None) -> study.Study:
    told = said if said is not None else []
    return study.Study(folder, BATCH, (1,), 2, features=(9,), weights=(11,), say=told.append)


def test_the_study_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after its third row; what it then adds, and what it does not do again."""
    monkeypatch.setattr(study, "TUNED", (Scheme(9, 11),))
    whole = small_study(tmp_path / "whole")
    part = tmp_path / "part"
    for folder in (whole.folder, part):
        folder.mkdir()
    rows = whole.rows()
    assert list(rows) == list(study.planned(whole)) and len(rows) == 8
    with monkeypatch.context() as patch:
        patch.setattr(study.Study, "measured", stopping(study.Study.measured, 3))
        with pytest.raises(KeyboardInterrupt):
            small_study(part).rows()
    assert len(measured.read(part / "accuracy.csv")) == 3
    said: list[str] = []
    assert small_study(part, said).rows() == rows
    assert len([line for line in said if " of 8: " in line]) == 5
    for name in ("accuracy.csv", "c-relu6-1.npz"):
        assert (part / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def stopping(measure: Callable[..., float], after: int) -> Callable[..., float]:
    """`measure`, which is interrupted when it was asked `after` times."""
    asked: list[Any] = []

    def stopped(self: study.Study, row: Row) -> float:
        asked.append(row)
        if len(asked) > after:
            raise KeyboardInterrupt
        return measure(self, row)

    return stopped


# --- messages -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_trained_is_said(seen: Sight, tmp_path: Path) -> None:
    assert "at least one batch of 32 frames" in message(lambda: Settings(31, 0))
    assert "a seed is 0 or more" in message(lambda: Settings(32, -1))
    assert "80 x 160" in message(lambda: training.train(PUBLISHED["skynet-c"], Settings(32, 0), seen))
    path = tmp_path / "t.npz"
    training.train(SMALL, Settings(32, 0), seen, path)
    assert "not the training of" in message(lambda: training.train(SMALL, Settings(32, 1), seen, path))
    path.write_bytes(path.read_bytes()[:5000])
    assert "t.npz" in message(lambda: training.train(SMALL, Settings(32, 0), seen, path))


def test_a_network_of_other_shapes_is_refused(shipped: network.Network, tmp_path: Path) -> None:
    assert "float32 (12, 3) for this plan" not in message(lambda: accuracy.load(tmp_path / "none.npz"))
    narrow = network.Plan((12, 24, 32, 48, 64), 23)
    assert "for this plan" in message(lambda: accuracy.load(SHIPPED, narrow))
    assert "floating point" in message(lambda: FLOAT.formats)


@pytest.mark.parametrize(("words", "code", "text"), [
    (("--frames", "5"), EXIT_BAD_INPUT, "at least one batch of 32 frames"),
    (("--seeds", "1,x"), EXIT_BAD_INPUT, "different whole numbers"),
    (("--seeds", "²"), EXIT_BAD_INPUT, "different whole numbers"),
    (("--seeds", "2,2"), EXIT_BAD_INPUT, "different whole numbers"),
    (("--test-frames", "0"), EXIT_BAD_INPUT, "0 is not in the range"),
])  # fmt: skip
def test_bad_options_of_the_command(tmp_path: Path, words: tuple[str, ...], code: int, text: str) -> None:
    result = CliRunner().invoke(command.main, ["--folder", str(tmp_path), *words])
    assert result.exit_code == code and text in result.output
    assert "Traceback" not in result.output


def test_a_table_that_was_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "accuracy.csv").write_text("network,activation\nc,relu6\n", encoding="utf-8")
    result = CliRunner().invoke(command.main, ["--folder", str(tmp_path)])
    assert result.exit_code == EXIT_BAD_INPUT and "accuracy.csv:2" in result.output


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(command.main, ["--folder", str(tmp_path / "file" / "x")])
    assert result.exit_code == EXIT_BAD_INPUT and "cannot be read or written" in result.output
