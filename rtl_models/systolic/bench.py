"""The systolic circuit for the harness: what drives it, what must come out, and what the model says to the same case.

Results are those of integers. Every counter has two oracles: README.md's rules in `folds`, which allow no tolerance,
and the model, which is asked for a product whose operands lie in the SRAMs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from accelerators.systolic.resident import Resident
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.errors import bad_input
from hwsim.model import Program
from rtl_models.systolic import data, folds, synthesis
from rtl_models.systolic.data import Task

FOLDER = Path(__file__).parent
SPARE_CYCLES = 1000
BUILT = ("rows", "columns", "dataflow", "overlap", "input_bits", "weight_bits", "accumulator_bits")
COUNTED = {
    "macs_executed": "count_macs",
    "input_read_bits": "count_input_reads",
    "weight_read_bits": "count_weight_reads",
    "output_read_bits": "count_output_reads",
    "output_write_bits": "count_output_writes",
}
MOST_WORDS = 1 << 16
MOST_VECTORS = 4096
MOST_SIDE = 128


class SystolicCircuit:
    """See the module's text."""

    name: ClassVar[str] = "systolic"
    model: ClassVar[str] = "systolic"
    hdl: ClassVar[Hdl] = Hdl("systolic", tuple(sorted((FOLDER / "hdl").glob("*.sv"))), BUILT,
                             tuple(sorted((FOLDER / "hdl").glob("*.vlt"))), "systolic_array")  # fmt: skip
    cases: ClassVar[Path] = FOLDER / "cases.yaml"
    unit: ClassVar[str] = "array"
    counters: ClassVar[Mapping[str, str]] = COUNTED
    built_for: ClassVar[Mapping[str, Any]] = {"cores": 1, "op_overhead_ps": 0}
    Task: ClassVar[type] = Task
    deep_table: ClassVar[Path] = synthesis.TABLE

    def check(self, design: Any, task: Task) -> None:
        """Raises InputError where the array or the product is beyond the bench."""
        p = task.product
        for got, most, what, key in (
            (max(design.rows, design.columns), MOST_SIDE, "rows or columns", "rows"),
            (max(p.m * p.k, p.k * p.n, p.m * p.n), MOST_WORDS, "elements in a matrix", "m"),
            (folds.plan(design, p).vectors, MOST_VECTORS, "vectors of a fold", "m"),
        ):
            if got > most:
                raise bad_input("circuit", got, f"the circuit has room for {most} {what}", "Make it smaller.", key=key)

    def stimulus(self, design: Any, task: Task, seed: int) -> Stimulus:
        """Registers, operands and results of a case. Raises InputError where it is too large for the bench."""
        self.check(design, task)
        p, found = task.product, data.operands(design, task, seed)
        pace, exact = folds.paces(design, p), folds.exact(design, p)
        return Stimulus(
            {**p._asdict(), "stream_interval": pace.stream, "fill_interval": pace.fill},
            {"inputs": _image(found.inputs, design.input_bits), "weights": _image(found.weights, design.weight_bits)},
            {"results": _image(found.results, design.accumulator_bits)},
            exact,
            2 * exact["cycles_total"] + SPARE_CYCLES,
        )

    def program(self, design: Any, task: Task, seed: int) -> Program:
        """One product."""
        p, program = task.product, Program()
        program.add(Resident(p.m, p.n, p.k), program.add_layer("product", "matmul", "run", p.m * p.k * p.n))
        return program

    def trace(self, design: Any, task: Task, seed: int) -> Iterable[Event]:
        """The events of README.md's rules."""
        return folds.events(design, task.product)

    def deep(self) -> Iterator[dict[str, str]]:
        """The lines of resources.csv, synthesized anew."""
        return (synthesis.row(self.hdl, subject) for subject in synthesis.subjects())

    def deep_lines(self) -> list[str]:
        """What the validation page says of that table."""
        return synthesis.summary()


def _image(numbers: data.Numbers, bits: int) -> Image:
    return Image(bits, data.words(numbers, bits))


CIRCUIT = SystolicCircuit()
