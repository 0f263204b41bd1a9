"""The OPTIMUS circuit for the harness: what drives it, what must come out, and what the model says to the same case.

Results are computed by `rtl_models.optimus.data` from integers alone. The model is asked for the pieces a matrix is
cut into (the format is its own), for the cycles of a row by its windowed kernel, which allow no tolerance, and for the
tasks of the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from accelerators.optimus import closed_form, masks, sparse
from accelerators.optimus.design import WeightFormat
from accelerators.optimus.tasks import DenseProduct
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.model import Program
from rtl_models.optimus import data, images, timeline
from rtl_models.optimus.data import Kind, Task

FOLDER = Path(__file__).parent
COUNTED = (
    "chunks", "dram_read_bits", "dram_read_runs", "weight_write_bits", "weight_read_bits", "activation_read_bits",
    "activation_write_bits", "macs_executed", "window_reads", "index_reads", "accumulations",
)  # fmt: skip


class OptimusCircuit:
    """See the module's text."""

    name: ClassVar[str] = "optimus"
    model: ClassVar[str] = "optimus"
    hdl: ClassVar[Hdl] = Hdl(
        "optimus",
        tuple(sorted((FOLDER / "hdl").glob("*.sv"))),
        ("macs", "sets", "window"),
        tuple(sorted((FOLDER / "hdl").glob("*.vlt"))),
        "sparse_set",
    )
    cases: ClassVar[Path] = FOLDER / "cases.yaml"
    unit: ClassVar[str] = "array"
    counters: ClassVar[Mapping[str, str]] = {name: f"count_{name}" for name in COUNTED}
    built_for: ClassVar[Mapping[str, Any]] = {
        "weight_format": WeightFormat.SA_RCSC, "intermediates_on_chip": True, "value_width_bits": 16,
        "activation_width_bits": 16, "accumulator_width_bits": 40, "pipeline_cycles": 4,
    }  # fmt: skip
    Task: ClassVar[type] = Task

    def check(self, design: Any, task: Task) -> None:
        """Raises InputError where the sizes alone are beyond the circuit."""
        images.check_sizes(design, task)

    def stimulus(self, design: Any, task: Task, seed: int) -> Stimulus:
        """Memories and registers of a case. Raises InputError where a memory of the circuit is too small for it."""
        image = images.images(design, task, seed)
        registers = {
            "rate": design.rate, "dram_channels": design.dram_channels, "load_overlap": int(design.load_overlap),
            "shift": task.shift, "commands": image.pieces, "result_base": 0, "result_words": image.result_words,
        }  # fmt: skip
        memories = {"commands": image.commands, "weights": image.weights, "activations": image.activations}
        expected = [word for p in data.products(task, seed) for word in images.unsigned(p.results)]
        return Stimulus(
            registers,
            memories,
            {"results": Image(images.ELEMENT_BITS, expected)},
            {"run": run_cycles(design, task, seed)},
            timeline.limit(design, images.steps(design, task, seed)),
            {"run": closed_run_cycles(design, task, seed)} if task.kind == Kind.SPARSE else {},
        )

    def program(self, design: Any, task: Task, seed: int) -> Program:
        """A step a piece, measured on its mask; or one in closed form for a dense product."""
        program = Program()
        last: tuple[int, ...] = ()
        for number, product in enumerate(data.products(task, seed)):
            macs = task.rows * product.matrices.size
            layer = program.add_layer(f"product {number}", "matmul", "run", macs)
            after = last if task.chain else ()
            steps = [program.add(one, layer, after) for one in _tasks(design, task, product)]
            last = (steps[-1],)
        return program

    def trace(self, design: Any, task: Task, seed: int) -> Iterable[Event]:
        """The model's events: its pieces placed in time by the rules of the weight port."""
        return timeline.events(design, images.steps(design, task, seed), task.kind == Kind.SPARSE)


def _tasks(design: Any, task: Task, product: data.Product) -> Sequence[Any]:
    if task.kind == Kind.DENSE:
        return [DenseProduct(task.rows, task.heads * task.kv, task.reduction, task.heads * task.reduction, 0)]
    return masks.packed_pieces(product.matrices[0] != 0, design, task.rows)


def run_cycles(design: Any, task: Task, seed: int) -> int:
    """Cycles in which rows run, by the windowed kernel: C of every row of every piece."""
    return sum(
        task.rows * sparse.windowed_cycles(piece.packed, design.window, design.rate)
        for step in images.steps(design, task, seed)
        for piece in step.pieces
    )


def closed_run_cycles(design: Any, task: Task, seed: int) -> int:
    """`run_cycles` of a sparse product as the closed form has them, for the non-zeros that each piece has."""
    fields = (design.macs, design.sets, design.window, design.rate)
    return task.rows * sum(
        closed_form.windowed_cycles(design.weight_format, piece.packed.nnz, *piece.packed.shape, *fields)
        for step in images.steps(design, task, seed)
        for piece in step.pieces
    )


CIRCUIT = OptimusCircuit()
