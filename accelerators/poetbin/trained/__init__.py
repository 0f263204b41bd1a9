"""Networks trained from real data, each with the binary features of real test samples.

    <name>/netlist.json.gz   the network of tables
    <name>/test.npz          features and classes of test samples (the first ones where there are many)
    <name>/results.json      how it was trained, and the accuracies measured there on all samples
    <name>/measured.json     how many of the samples in test.npz the network classifies as labelled
    <name>/classifier.json   the classifier with its votes and weights, where that is small

`python -m accelerators.poetbin.trained DIR NAME` copies a finished training here.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelerators.arrays import Samples, read_samples, write_samples
from accelerators.poetbin.classifier import scores_from_outputs
from accelerators.poetbin.folder import write_json
from hwsim.document import read_json
from hwsim.errors import EXIT_OK, bad_input
from hwsim.netlist.document import read as read_netlist
from hwsim.netlist.evaluate import evaluate
from hwsim.netlist.netlist import Netlist

FOLDER = Path(__file__).parent
MAX_SAMPLES = 4000
MAX_CLASSIFIER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Network:
    """A trained network. Its outputs are the classes' q-bit scores, output c*q + b being bit b of class c's."""

    netlist: Netlist
    samples: Samples
    classes: int
    q: int

    def predicted(self) -> NDArray[np.int64]:
        """The class of each sample as the tables find it, the lowest of equal scores."""
        outputs = evaluate(self.netlist, self.samples.bits)
        return np.asarray(np.argmax(scores_from_outputs(outputs, self.classes, self.q), axis=1), dtype=np.int64)

    def correct(self) -> int:
        """How many samples are classified as labelled."""
        return int((self.predicted() == self.samples.labels).sum())


def names() -> list[str]:
    """The networks there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/netlist.json.gz"))


def load(name: str) -> Network:
    """The network called `name`. Raises InputError when there is none."""
    if name not in names():
        raise bad_input("unknown-network", name, "no trained network has this name", f"Known: {', '.join(names())}.")
    return _read(FOLDER / name)


def _read(folder: Path) -> Network:
    results = read_json(folder / "results.json").data
    netlist = read_netlist(folder / "netlist.json.gz")
    q = int(results["q"])
    return Network(netlist, read_samples(folder / "test.npz"), len(netlist.outputs) // q, q)


def keep(training: Path, name: str, limit: int = MAX_SAMPLES) -> Network:
    """Copy a finished training here as `name`, with at most `limit` of its test samples."""
    out = FOLDER / name
    out.mkdir(exist_ok=True)
    shutil.copyfile(training / "netlist.json.gz", out / "netlist.json.gz")
    shutil.copyfile(training / "results.json", out / "results.json")
    if (training / "classifier.json").stat().st_size <= MAX_CLASSIFIER_BYTES:
        shutil.copyfile(training / "classifier.json", out / "classifier.json")
    samples = read_samples(training / "test.npz")
    write_samples(out / "test.npz", Samples(samples.bits[:limit], samples.labels[:limit]))
    found = _read(out)
    write_json(out / "measured.json", {"samples": len(found.samples.labels), "correct": found.correct()})
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.poetbin.trained", description=keep.__doc__)
    parser.add_argument("training", type=Path, metavar="DIR")
    parser.add_argument("name", metavar="NAME")
    options = parser.parse_args(arguments)
    found = keep(options.training, options.name)
    print(f"{found.correct()} of {len(found.samples.labels)} samples right")
    return EXIT_OK
