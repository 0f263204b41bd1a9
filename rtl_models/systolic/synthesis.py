"""What Yosys makes of small arrays: resources.csv. `hwsim validate systolic --deep` makes it anew, in some minutes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from accelerators.systolic.design import Dataflow
from hwsim.cosim.circuit import Hdl
from hwsim.cosim.resources import resources

TABLE = Path(__file__).parent / "resources.csv"
COUNTS = ("luts", "flip_flops", "dsps", "carries")


class Subject(NamedTuple):
    """An array to synthesize: sides, dataflow, overlap, and bits of an input, a weight and a sum."""

    rows: int
    columns: int
    dataflow: Dataflow
    overlap: bool
    input_bits: int = 8
    weight_bits: int = 8
    accumulator_bits: int = 32

    @property
    def name(self) -> str:
        """All of it in a word."""
        overlap = "-overlap" if self.overlap else ""
        widths = f"{self.input_bits}-{self.weight_bits}-{self.accumulator_bits}"
        return f"{self.dataflow.name.lower()}{overlap}-{self.rows}x{self.columns}-{widths}"


def subjects() -> Iterator[Subject]:
    """Every dataflow with and without overlap at one size; then a larger array and wider numbers."""
    for dataflow in Dataflow:
        yield Subject(4, 4, dataflow, False)
        yield Subject(4, 4, dataflow, True)
    yield Subject(8, 8, Dataflow.WS, True)
    yield Subject(8, 8, Dataflow.OS, True)
    yield Subject(4, 4, Dataflow.WS, True, 16, 16, 48)
    yield Subject(4, 4, Dataflow.OS, True, 16, 16, 48)


def row(hdl: Hdl, subject: Subject) -> dict[str, str]:
    """One line of the table. Raises InputError as `resources` does."""
    parameters = {name: int(value) for name, value in subject._asdict().items()}
    found = resources(hdl, parameters)
    counted = {name: str(getattr(found, name)) for name in COUNTS}
    return {"name": subject.name, "elements": str(subject.rows * subject.columns), **counted, "tool": found.tool}


def read_table() -> list[dict[str, str]]:
    """The lines of resources.csv."""
    return list(csv.DictReader(io.StringIO(TABLE.read_text(encoding="utf-8"))))


def summary() -> list[str]:
    """What the validation page says of the table, as Markdown."""
    table = read_table()
    return [
        f"What Yosys ({table[0]['tool']}) makes of whole arrays with their skew registers, and the share of an "
        "element (`resources.csv`):",
        "",
        "| dataflow, size, bits | DSP | LUT | flip-flops | LUT an element | flip-flops an element |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {line['name']} | {line['dsps']} | {int(line['luts']):,} | {int(line['flip_flops']):,} "
            f"| {share(line, 'luts')} | {share(line, 'flip_flops')} |"
            for line in table
        ),
    ]


def share(line: Mapping[str, str], what: str) -> str:
    """A count over the elements."""
    return f"{int(line[what]) / int(line['elements']):.1f}"
