"""The PoET-BiN circuit for the harness: networks, what drives them, what must come out, and what the model is asked.

Expected outputs and toggles come from `hwsim.netlist`, which knows no registers; classes from the scores by numpy; the
cycles from the model, which knows the architecture page alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from accelerators.poetbin import trained
from accelerators.poetbin.tasks import Network, beats, latency, untrained
from hwsim.config import Doc, Range
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.errors import bad_input
from hwsim.model import Program
from hwsim.netlist.evaluate import evaluate, toggles
from hwsim.netlist.netlist import Netlist
from hwsim.netlist.verilog import Style
from rtl_models.poetbin import generate, networks, synthesis
from rtl_models.poetbin.generate import VECTORS, Block

FOLDER = Path(__file__).parent
LIMIT_BEYOND = 100
"""Cycles after which a run that should be over is given up."""
NETWORKS_A_BUILD = 16

Bits = npt.NDArray[np.uint8]


class Kind(IntEnum):
    """Where a network comes from."""

    GRAPH = 0
    CLASSIFIER = 1
    DIGITS = 2
    MNIST_5K = 3
    FASHION_MNIST = 4

    @property
    def trained(self) -> str:
        """The name of the trained network; "" for random ones."""
        return self.name.lower().replace("_", "-") if self >= Kind.DIGITS else ""


class Written(IntEnum):
    """How the network is written."""

    PLAIN = 0
    LUT6 = 1


@dataclass(frozen=True)
class Task:
    """Vectors through one network."""

    network: Annotated[Kind, Doc("a random graph, a random classifier, or a trained one")]
    number: Annotated[int, Range(0, 100_000), Doc("which of the random ones")]
    depth: Annotated[int, Range(0, 16), Doc("levels of a graph; 0 for others, which have their own")]
    written: Annotated[Written, Doc("as plain tables or as primitives")]
    vectors: Annotated[int, Range(1, VECTORS), Doc("vectors, one behind the other")]
    probe: Annotated[bool, Doc("whether the changes of each look-up table are counted")]

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy)."""
        if (self.network == Kind.GRAPH) == (self.depth == 0):
            return [("depth", "a graph has levels, and others have their own", "Write 0 for others than graphs.")]
        return []


@lru_cache(maxsize=128)
def netlist_of(design: Any, task: Task) -> Netlist:
    """The network of a case. Raises InputError where a trained one has another shape than the design says."""
    d, rng = design, np.random.default_rng([6, task.number])
    outputs = d.classes * d.q
    if task.network == Kind.GRAPH:
        return networks.graph(rng, d.inputs, d.inputs_per_lut, outputs, task.depth)
    if task.network == Kind.CLASSIFIER:
        shape = (d.trees_per_group, d.groups, d.neurons, d.classes, d.q)
        return networks.classifier(rng, d.inputs, d.inputs_per_lut, *shape)
    found = trained.load(task.network.trained).netlist
    if (found.inputs, len(found.outputs)) != (d.inputs, outputs):
        got = f"{d.inputs} inputs, {outputs} outputs"
        rule = f"the network {task.network.trained} has {found.inputs} inputs and {len(found.outputs)} outputs"
        raise bad_input("shape", got, rule, "Give the design its inputs, classes and q.")
    return found


@lru_cache(maxsize=128)
def block_of(design: Any, task: Task) -> Block:
    """The network of a case between its registers."""
    style = (Style.PLAIN, Style.LUT6)[task.written]
    fields = (design.serial_width, design.argmax, design.pipeline)
    return Block(netlist_of(design, task), design.classes, design.q, *fields, style, task.probe)


def vectors_of(task: Task, netlist: Netlist, seed: int) -> Bits:
    """The vectors of a case: real samples for a trained network, from a place that the seed says; else random bits
    of which each feature has its own share of ones."""
    if task.network.trained:
        samples = trained.load(task.network.trained).samples.bits
        return samples[(np.arange(task.vectors) + seed) % len(samples)]
    rng = np.random.default_rng([7, seed])
    share = rng.choice((0.05, 0.5, 0.5, 0.5, 0.95), netlist.inputs)
    return (rng.random((task.vectors, netlist.inputs)) < share).astype(np.uint8)


# --- what must come out -----------------------------------------------------------------------------------------


def words(rows: Bits) -> list[int]:
    """Rows of bits as numbers, the first bit the least significant."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(rows, axis=1, bitorder="little")]


def signed_scores(outputs: Bits, classes: int, q: int) -> npt.NDArray[np.int64]:
    """Scores int64[vectors, classes] of the output bits."""
    bits = outputs.reshape(len(outputs), classes, q).astype(np.int64)
    weights = 1 << np.arange(q, dtype=np.int64)
    weights[-1] = -weights[-1]
    return np.asarray(bits @ weights)


def register_states(block: Block, vectors: Bits) -> Bits:
    """What the network sees in a run: the vector register behind reset, then after each beat. One row a state."""
    if block.beats == 1:
        return np.vstack([np.zeros((1, vectors.shape[1]), np.uint8), vectors])
    size = block.beats * block.width
    sent = np.zeros((len(vectors), size), np.uint8)
    sent[:, : vectors.shape[1]] = vectors
    line = np.concatenate([np.zeros(size, np.uint8), sent.reshape(-1)])
    return np.lib.stride_tricks.sliding_window_view(line, size)[:: block.width, : vectors.shape[1]]


def expected(block: Block, vectors: Bits) -> dict[str, Image]:
    """The words that a run leaves in the memories of the bench."""
    outputs = evaluate(block.netlist, vectors)
    found = {"scores": Image(block.classes * block.q, words(outputs))}
    if block.argmax:
        found["classes"] = Image(32, signed_scores(outputs, block.classes, block.q).argmax(axis=1).tolist())
    if block.probed:
        changes = toggles(block.netlist, register_states(block, vectors))
        found["toggles"] = Image(32, changes[block.netlist.inputs :].tolist())
    return found


def registers(block: Block, vectors: int, idle: int = 0) -> dict[str, int]:
    """The registers of the bench for a run."""
    return {"network": block.number, "vectors": vectors, "beats": block.beats, "width": block.width,
            "argmax": int(block.argmax), "luts": block.probed, "idle": idle}  # fmt: skip


def stimulus_of(block: Block, vectors: Bits, exact: Mapping[str, int]) -> Stimulus:
    """A run of `vectors` through `block`, one behind the other."""
    memories = {"vectors": Image(block.netlist.inputs, words(vectors))}
    limit = len(vectors) * block.beats + block.latency_scores + LIMIT_BEYOND
    return Stimulus(registers(block, len(vectors)), memories, expected(block, vectors), exact, limit)


# --- the circuit ------------------------------------------------------------------------------------------------


class PoetBinCircuit:
    """See the module's text."""

    name: ClassVar[str] = "poetbin"
    model: ClassVar[str] = "poetbin"
    hdl: ClassVar[Hdl] = Hdl(
        "poetbin_top",
        tuple(sorted((FOLDER / "hdl").glob("*.sv"))),
        waivers=tuple(sorted((FOLDER / "hdl").glob("*.vlt"))),
        leaf="poetbin",
    )
    cases: ClassVar[Path] = FOLDER / "cases.yaml"
    unit: ClassVar[str] = "block"
    counters: ClassVar[Mapping[str, str]] = {"vectors": "count_vectors", "beats": "count_beats"}
    built_for: ClassVar[Mapping[str, Any]] = {}
    Task: ClassVar[type] = Task
    deep_table: ClassVar[Path] = synthesis.TABLE

    def check(self, design: Any, task: Task) -> None:
        """Raises InputError where a trained network has another shape than the design says."""
        if task.network.trained:
            netlist_of(design, task)

    def build_key(self, design: Any, task: Task) -> Hashable:
        """Random networks share builds by their numbers; trained ones have each its own."""
        return task.network.trained or f"random {task.number // NETWORKS_A_BUILD}"

    def hdl_of(self, pairs: Sequence[tuple[Any, Task]]) -> Hdl:
        """The bench with every network of these cases; the leaf is the first one."""
        blocks = tuple(dict.fromkeys(block_of(design, task) for design, task in pairs))
        made = generate.sources(blocks)
        return Hdl(self.hdl.top, self.hdl.sources, waivers=self.hdl.waivers, leaf=blocks[0].name, generated=made)

    def stimulus(self, design: Any, task: Task, seed: int) -> Stimulus:
        """The vectors of a case, and what they must give."""
        block = block_of(design, task)
        return stimulus_of(block, vectors_of(task, block.netlist, seed), latencies(design, task))

    def program(self, design: Any, task: Task, seed: int) -> Program:
        """One task: all vectors."""
        program = Program()
        layer = program.add_layer("classifier", "classifier", "run", 0)
        program.add(asked(design, task), layer)
        return program

    def deep(self) -> Iterator[dict[str, str]]:
        """What Yosys makes of every network: some minutes, and more for those of thousands of tables."""
        return map(synthesis.row, synthesis.subjects())

    def deep_lines(self) -> list[str]:
        """What the validation page says of that."""
        return synthesis.summary()

    def trace(self, design: Any, task: Task, seed: int) -> Iterable[Event]:
        """Every vector's first beat, scores and class, placed by the model's latency."""
        network = asked(design, task)
        every, late = beats(design), latency(design, network) - int(design.argmax)
        classes = self.stimulus(design, task, seed).expected.get("classes")
        events = [(every * v, 2, Event(every * v, "in", (v,))) for v in range(task.vectors)]
        events += [(every * v + late, 1, Event(every * v + late, "out", (v,))) for v in range(task.vectors)]
        for v, found in enumerate(classes.words if classes else ()):
            at = every * v + late + 1
            events.append((at, 0, Event(at, "class", (v, found))))
        return [event for _, _, event in sorted(events)]


def asked(design: Any, task: Task) -> Network:
    """What the model is asked: a network of the design's shape, or one of known depth."""
    shape = untrained(task.vectors, design.inputs, design.classes)
    if task.network == Kind.CLASSIFIER:
        return shape
    return shape._replace(trained=1, depth=netlist_of(design, task).depth)


def latencies(design: Any, task: Task) -> dict[str, int]:
    """Counters of the bench and the model's cycles from a vector's first beat to its results: of the quickest and
    the slowest vector."""
    result = latency(design, asked(design, task))
    scores = result - int(design.argmax)
    found = {"latency_scores_min": scores, "latency_scores_max": scores}
    return found | ({"latency_class_min": result, "latency_class_max": result} if design.argmax else {})


CIRCUIT = PoetBinCircuit()
