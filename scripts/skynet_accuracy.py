"""Write the tables and the picture of docs/skynet-training.md from accelerators/skynet/accuracy.csv.

python scripts/skynet_accuracy.py
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

from accelerators.skynet import measured
from accelerators.skynet.accuracy import FLOAT, Scheme

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, PICTURE = DOCS / "skynet-training.md", DOCS / "skynet_accuracy.svg"
TABLES = {"networks": measured.networks_table, "schemes": measured.schemes_table, "widths": measured.widths_table}


def filled(page: str, rows: measured.Rows) -> str:
    """The page with every generated table made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: generated -->", f"<!-- end of {name} -->"
        made = f"{begin}\n\n{table(rows)}\n\n{end}"
        page, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, m=made: m, page, flags=re.S)
        if count != 1:
            raise SystemExit(f"{PAGE.name} has no place for {name}")
    return page


def draw(rows: measured.Rows) -> None:
    """IoU over the bits of a weight, a line a width of features, a band from seed to seed."""
    features, weights = measured.grid(rows)
    plt.rcParams.update({"svg.hashsalt": "hwsim", "font.size": 9})
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    colours = plt.get_cmap("viridis")
    for at, bits in enumerate(features):
        values = [measured.ious(rows, "c", "relu6", Scheme(bits, w)) for w in weights]
        colour = colours(0.9 * at / max(1, len(features) - 1))
        axes.plot(weights, [v.mean() for v in values], marker="o", ms=3, color=colour, label=f"{bits}")
        axes.fill_between(weights, [v.min() for v in values], [v.max() for v in values], color=colour, alpha=0.12, lw=0)
    axes.axhline(
        measured.ious(rows, "c", "relu6", FLOAT).mean(), color="black", lw=0.8, ls="--", label="floating point"
    )
    axes.set(xlabel="bits of a weight", ylabel="mean IoU, 400 test frames", ylim=(0, 0.55), xticks=weights)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="bits of a feature", frameon=False, ncols=2, loc="lower right")
    figure.savefig(PICTURE, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Write both."""
    rows = measured.read(measured.TABLE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    draw(rows)


if __name__ == "__main__":
    main()
