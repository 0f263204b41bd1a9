"""The order of a network's layers and the address of every tensor: `hwsim.schedule` on an integer network.

Nodes are the values between layers, packed, and for each layer that unpacks its input into columns the scratch buffer
of that; a sum may be written over an operand of its shape. Addresses are multiples of four bytes: kernels read words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelerators.mcu.deploy.binding import BoundLayer
from accelerators.mcu.kernels import Operation, columns_bytes
from accelerators.mcu.toolchain import Isa
from hwsim.quant.network import Network, Value
from hwsim.schedule.graph import Graph, Node
from hwsim.schedule.order import Schedule, search
from hwsim.schedule.place import Placement, place

BYTE_BITS = 8
ALIGN_BITS = 32
TRIES = 2000
"""Blocks that the exact placement puts down before the best so far is taken."""
COLUMNS = "columns of "
OVERWRITTEN = {Operation.ADD: 0, Operation.PADDED_ADD: 1}
"""Which operand a sum may be written over: one of its shape."""


@dataclass(frozen=True)
class MemoryPlan:
    """Layers in the order they run, and where values and columns lie (bytes from the start of the arena)."""

    layers: tuple[BoundLayer, ...]
    schedule: Schedule
    placement: Placement

    @property
    def arena_bytes(self) -> int:
        """Size of the arena, in whole words."""
        return -(-self.placement.arena_bits // ALIGN_BITS) * (ALIGN_BITS // BYTE_BITS)

    def offset_bytes(self, name: str) -> int:
        """Where a value lies."""
        return self.placement.offset_bits[name] // BYTE_BITS

    def columns_bytes(self, layer: str) -> int | None:
        """Where a layer's columns lie; None for a layer without."""
        found = self.placement.offset_bits.get(COLUMNS + layer)
        return None if found is None else found // BYTE_BITS

    def largest(self) -> tuple[str, int]:
        """The layer at whose run most bytes of the arena are live, and how many."""
        steps = self.schedule.order
        live = [sum(b.size_bits for b in self.placement.blocks if b.first <= i <= b.last) for i in range(len(steps))]
        made = {layer.output: layer.name for layer in self.layers}
        at = max((i for i in range(len(steps)) if steps[i] in made), key=live.__getitem__)
        return made[steps[at]], live[at] // BYTE_BITS


def value_bytes(value: Value) -> int:
    """Size of a packed value."""
    height, width, channels = value.shape
    return height * width * channels * value.bits // BYTE_BITS


def plan_memory(network: Network, layers: Sequence[BoundLayer], isa: Isa) -> MemoryPlan:
    """Order and addresses for a network whose channels come in fours, and its layers as the kernels take them."""
    nodes = [Node(network.input, (), _padded_bits(value_bytes(network.values[network.input])))]
    for layer in layers:
        reads = layer.reads
        if scratch := columns_bytes(layer.kernel, layer.shape, isa):
            # Only once its input is there: columns that wait would multiply the orders to look at.
            nodes.append(Node(COLUMNS + layer.name, (), _padded_bits(scratch), after=layer.reads))
            reads = (*reads, COLUMNS + layer.name)
        over = layer.reads[OVERWRITTEN[operation]] if (operation := layer.kernel.operation) in OVERWRITTEN else ""
        size = _padded_bits(value_bytes(network.values[layer.output]))
        nodes.append(Node(layer.output, reads, size, in_place=over))
    graph = Graph(nodes, network.outputs, network.name)
    schedule = search(graph)
    made = {layer.output: layer for layer in layers}
    ordered = tuple(made[name] for name in schedule.order if name in made)
    return MemoryPlan(ordered, schedule, place(graph, schedule.order, "exact", ALIGN_BITS, TRIES))


def _padded_bits(size_bytes: int) -> int:
    return -(-size_bytes * BYTE_BITS // ALIGN_BITS) * ALIGN_BITS
