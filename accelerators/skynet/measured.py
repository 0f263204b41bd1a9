"""What detectors reached on the detection set: `accuracy.csv`, and the tables of docs/skynet-training.md.

`python -m accelerators.skynet.learning` measures the rows; this module needs no PyTorch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.arrays import write_atomically
from accelerators.skynet.accuracy import FLOAT, PUBLISHED_IOU, Scheme
from hwsim.document import shown_path
from hwsim.errors import InputError, Where, bad_input

TABLE = Path(__file__).with_name("accuracy.csv")
COLUMNS = ("network", "activation", "seed", "feature_bits", "weight_bits", "tuned", "iou")
PUBLISHED_NETWORKS: Mapping[str, tuple[float, float]] = {"a": (0.653, 0.673), "b": (0.685, 0.703), "c": (0.713, 0.741)}
"""IoU with ReLU and with ReLU6 on the contest's validation set: the paper, as known from reading notes."""


class Row(NamedTuple):
    """What is measured: a trained network, in one number format, tuned for it (1) or not (0)."""

    network: str
    activation: str
    seed: int
    scheme: Scheme
    tuned: int

    def text(self, iou: float) -> dict[str, str]:
        """Its line of accuracy.csv."""
        values = (self.network, self.activation, self.seed, *self.scheme, self.tuned, f"{iou:.4f}")
        return dict(zip(COLUMNS, map(str, values), strict=True))


Rows = Mapping[Row, float]


def write(path: Path, rows: Rows) -> None:
    """The table, atomically."""
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(row.text(iou) for row, iou in rows.items())
    write_atomically(path, out.getvalue().encode())


def read(path: Path) -> dict[Row, float]:
    """A table that `write` wrote. Raises InputError for another one: other columns or text, an IoU beyond 0 to 1, a row
    that stands there twice."""
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except UnicodeDecodeError:
        raise _refused(path, 1, "bytes that are no UTF-8") from None
    found: dict[Row, float] = {}
    for number, line in enumerate(lines, 2):
        try:
            seed, features, weights, tuned = (int(line[c]) for c in ("seed", "feature_bits", "weight_bits", "tuned"))
            row, iou = (
                Row(line["network"], line["activation"], seed, Scheme(features, weights), tuned),
                float(line["iou"]),
            )
        except (KeyError, TypeError, ValueError):
            raise _refused(path, number, "another line") from None
        if None in line or row in found or not 0 <= iou <= 1:
            raise _refused(path, number, ",".join(str(line.get(c)) for c in COLUMNS))
        found[row] = iou
    return found


def _refused(path: Path, line: int, got: str) -> InputError:
    rule = f"a row has {', '.join(COLUMNS)}, an IoU from 0 to 1, and stands there once"
    return bad_input("csv", got, rule, "Delete the file to measure anew.", Where(shown_path(path), line, 1))


def ious(rows: Rows, network: str, activation: str, scheme: Scheme, tuned: int = 0) -> NDArray[np.float64]:
    """IoU of every seed. Raises KeyError where there is none."""
    found = [iou for row, iou in rows.items() if row[:2] == (network, activation) and row[3:] == (scheme, tuned)]
    if not found:
        raise KeyError(f"{network} {activation} {scheme} {tuned}")
    return np.array(found)


def share(rows: Rows, scheme: Scheme, tuned: int = 0) -> float:
    """What a scheme leaves of the IoU that C with ReLU6 has in floating point: means over seeds."""
    return float(ious(rows, "c", "relu6", scheme, tuned).mean() / ious(rows, "c", "relu6", FLOAT).mean())


# --- on the page --------------------------------------------------------------------------------------------------


def networks_table(rows: Rows) -> str:
    """IoU in floating point of A, B, C with ReLU and ReLU6, beside the paper's."""
    lines = ["| network | ReLU | ReLU6 | published, ReLU | published, ReLU6 |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, published in PUBLISHED_NETWORKS.items():
        own = (_spread(ious(rows, name, activation, FLOAT)) for activation in ("relu", "relu6"))
        lines.append(_line(name.upper(), *own, *(f"{iou:.3f}" for iou in published)))
    return "\n".join(lines)


def schemes_table(rows: Rows) -> str:
    """IoU of C with ReLU6 by scheme, as trained and tuned; the share that is kept, and the paper's."""
    lines = ["| scheme | features, weights | as trained | tuned | kept | kept, tuned | published | kept there |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for number, (scheme, published) in enumerate(PUBLISHED_IOU.items()):
        plain, kept = _spread(ious(rows, "c", "relu6", scheme)), f"{share(rows, scheme):.0%}"
        tuned, tuned_kept = "", ""
        if scheme != FLOAT:
            tuned, tuned_kept = _spread(ious(rows, "c", "relu6", scheme, 1)), f"{share(rows, scheme, 1):.0%}"
        widths = f"{scheme.feature_bits}, {scheme.weight_bits}" if scheme != FLOAT else "floating point"
        there = f"{published / PUBLISHED_IOU[FLOAT]:.0%}"
        lines.append(_line(str(number), widths, plain, tuned, kept, tuned_kept, f"{published:.3f}", there))
    return "\n".join(lines)


def widths_table(rows: Rows) -> str:
    """Mean IoU of C with ReLU6 as trained, features by weights."""
    features, weights = grid(rows)
    head = [_line("features \\ weights", *map(str, weights)), _line("---", *("---:" for _ in weights))]
    return "\n".join([*head, *(_line(str(f), *(f"{_mean(rows, f, w):.3f}" for w in weights)) for f in features)])


def grid(rows: Rows) -> tuple[list[int], list[int]]:
    """The widths of features and of weights that were measured as trained."""
    schemes = {row.scheme for row in rows if row.scheme != FLOAT and not row.tuned}
    return sorted({s.feature_bits for s in schemes}), sorted({s.weight_bits for s in schemes})


def _mean(rows: Rows, features: int, weights: int) -> float:
    return float(ious(rows, "c", "relu6", Scheme(features, weights)).mean())


def _spread(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
