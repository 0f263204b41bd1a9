"""From a traced network to layers of the engine.

| operator | runs as |
|---|---|
| depthwise 3x3, then pointwise that alone reads it | a bundle, if its groups fit the buffers; else two layers |
| depthwise k x k | ceil(k/3)^2 depthwise layers on shifted maps, and a pointwise layer of unit weights that adds them |
| convolution k x k | a pointwise layer of k^2 commands a group, each on a shifted map |
| product with weights | a pointwise layer, one pixel a row |
| stride, of a depthwise layer | computed at every pixel and stored whole; the next layer reads every second one |
| stride, of a pointwise layer | every second pixel is loaded, as of a reordered map |
| ReLU, ReLU6, batch norm | part of the layer before; alone, a pointwise layer of unit weights |
| max pool 2x2 | part of the pointwise layer before; alone, a pointwise layer of unit weights |
| average pool | a depthwise convolution of equal weights |
| addition | a pointwise layer of unit weights, two commands a group |
| concatenation, reorder | where maps are written and how they are read |
| anything but a depthwise 3x3 on the image | a bundle of unit weights first, that normalizes it |

Frames of a batch are stitched; a run of fewer frames takes as long as a full batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from accelerators.skynet.commands import BUNDLE_BUFFERS, EngineLayer, Kind, Tiling, add, joined, split, weight_words
from accelerators.skynet.design import ELEMENT_BITS, Design
from accelerators.skynet.tasks import IMAGE_BITS, IMAGE_CHANNELS, Host
from hwsim.errors import InputError, Problem, Where, bad_input
from hwsim.lowering import Item, items, refuse
from hwsim.model import Placement, Program
from hwsim.pure import ceil_div
from hwsim.workload.ir import Disposition, Op, Role, Workload
from hwsim.workload.ir import Graph as Network

KINDS = frozenset({"conv2d", "matmul", "pool", "elementwise", "concat"})
CLAMPS = frozenset({"hardtanh", "relu", "relu6"})
SHAPE = frozenset({
    "lanes", "tile_height", "tile_width", "whole_tiles", "batch_rows", "batch_columns", "overlap_image",
    "overlap_bundle", "overlap_single",
})  # fmt: skip
"""Design fields that decide the program."""
REACH = 3
"""Rows and columns of the depthwise engine's window."""
RANK = 4


class Part(NamedTuple):
    """Channels of one stored map, from stage `stage` (-1: the image), and whether they are read through reorder."""

    channels: int
    stage: int
    reorder: bool = False


class Map(NamedTuple):
    """A value of the network as it lies in memory: parts side by side, each of height x width pixels a frame."""

    parts: tuple[Part, ...]
    height: int
    width: int

    @property
    def channels(self) -> int:
        """Channels as the network counts them."""
        return sum(part.channels * (4 if part.reorder else 1) for part in self.parts)

    @property
    def image(self) -> bool:
        """Whether it is what the network is given."""
        return any(part.stage < 0 for part in self.parts)


def groups(parts: Sequence[Part], lanes: int) -> int:
    """Groups of so many parts, each filled up to whole groups."""
    return sum((4 if part.reorder else 1) * ceil_div(part.channels, lanes) for part in parts)


@dataclass
class Stage:
    """A layer of the engine in the program to be: its report lines, what it reads and the map it leaves."""

    layer: EngineLayer
    depthwise_line: int
    pointwise_line: int
    reads: tuple[int, ...]
    pixels: int
    """Pixels a frame that it stores, of a full map."""


@dataclass
class Lowering:
    """One network on one design: the stages so far, and which map each tensor is."""

    workload: Workload
    design: Design
    network: Network
    sizes: Mapping[str, int]
    program: Program = field(default_factory=Program)
    stages: list[Stage] = field(default_factory=list)
    maps: dict[str, Map] = field(default_factory=dict)
    pending: dict[str, Item] = field(default_factory=dict)
    """Depthwise convolutions that wait for the pointwise one that reads them, by the tensor it reads."""
    batches: int = 1
    names: list[str] = field(default_factory=list)
    """Report lines by the numbers that stages have; the program keeps those with steps alone."""
    made: dict[str, str] = field(init=False)
    """The kind of operator that makes each tensor."""
    shown: dict[str, str] = field(init=False)
    """Tensors that views and fused operators give, and what they show."""
    padded: dict[str, str] = field(init=False)
    """Of these, what fused operators give: a padded map is read as the map it pads."""

    def __post_init__(self) -> None:
        self.made = {name: op.kind for op in self.network.ops for name in op.outputs}
        self.shown = {name: op.inputs[0] for op in self.network.ops if op.disposition is not Disposition.MODELLED
                      for name in op.outputs}  # fmt: skip
        self.padded = {name: op.inputs[0] for op in self.network.ops if op.disposition is Disposition.FUSED
                       for name in op.outputs}  # fmt: skip

    # --- what is read ---------------------------------------------------------------------------------------------

    @property
    def frames(self) -> tuple[int, int]:
        """Frames of a batch, down and across."""
        return self.design.batch_rows, self.design.batch_columns

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(size.value(self.sizes) for size in self.network.tensors[tensor].shape)

    def root(self, tensor: str) -> str:
        """The tensor whose values it shows: through views and what was fused into the operator before."""
        while tensor not in self.maps and tensor not in self.pending and tensor in self.shown:
            tensor = self.shown[tensor]
        return tensor

    def values(self, item: Item) -> list[str]:
        """Its inputs that are no weights."""
        weights = set(item.weights())
        return [name for name in item.op.inputs if name not in weights]

    def source(self, item: Item, tensor: str) -> Map:
        """The map that an operator reads as `tensor`; of the shape it has there."""
        root = self.root(tensor)
        if root in self.pending:
            self.flush(root)
        while tensor in self.padded:
            tensor = self.padded[tensor]
        found, shape = self.maps.get(root), self.shape(tensor)
        if found is None:
            raise _refused(self.workload, item, "its input is no map of the engine")
        if len(shape) != RANK or shape[1:] == (found.channels, found.height, found.width):
            return found
        reordered = (4 * found.channels, found.height // 2, found.width // 2)
        if shape[1:] == reordered and not found.height % 2 and not found.width % 2 and not found.image:
            parts = tuple(part._replace(reorder=True) for part in found.parts)
            if not any(part.reorder for part in found.parts):
                return Map(parts, *reordered[1:])
        raise _refused(self.workload, item, "its input is a view that is neither the map nor its 2x2 reorder")

    def readers(self, tensor: str) -> list[Op | None]:
        """Operators that read `tensor`, through views and fused ones; None where the network gives it away."""
        found: list[Op | None] = [None] if tensor in self.network.outputs else []
        for op in self.network.ops:
            if tensor in op.inputs:
                found += [op] if op.disposition is Disposition.MODELLED else self.readers(op.outputs[0])
        return found

    # --- what is made ---------------------------------------------------------------------------------------------

    def tiling(self, height: int, width: int, *, pooled: bool = False) -> Tiling:
        """All frames in one tile where they fit and nothing is pooled, else frame by frame."""
        d = self.design
        together = joined(height, width, self.frames)
        if not pooled and together.height <= d.tile_height and together.width <= d.tile_width:
            return together
        largest = (d.tile_height, d.tile_width)
        return split(height, width, self.frames, largest, whole=d.whole_tiles, even=pooled)

    def stage(self, layer: EngineLayer, source: Map, pixels: int, depthwise_line: int, pointwise_line: int) -> int:
        """A new stage; its index."""
        reads = tuple(part.stage for part in source.parts)
        self.stages.append(Stage(layer, depthwise_line, pointwise_line, reads, pixels))
        return len(self.stages) - 1

    def pointwise(self, source: Map, height: int, width: int, passes: int, outputs: int, line: int) -> int:
        """A pointwise layer of `passes` commands to each of `outputs` groups."""
        tiling = self.tiling(height, width)
        layer = EngineLayer(Kind.POINTWISE, tiling, passes, outputs, overlap=self.design.overlap_single)
        return self.stage(layer, source, height * width, line, line)

    def depthwise(self, source: Map, height: int, width: int, line: int) -> tuple[Part, ...]:
        """Depthwise layers: one for the parts as they lie, one for those read through reorder. The parts they leave."""
        made = []
        for reorder in sorted({part.reorder for part in source.parts}, reverse=True):
            parts = tuple(part for part in source.parts if part.reorder == reorder)
            count = groups(parts, self.design.lanes)
            layer = EngineLayer(Kind.DEPTHWISE, self.tiling(height, width), count, overlap=self.design.overlap_single)
            at = self.stage(layer, Map(parts, height, width), height * width, line, line)
            made += [Part(part.channels * (4 if reorder else 1), at) for part in parts]
        return tuple(made)

    def bundle(self, source: Map, outputs: int, depthwise_line: int, pointwise_line: int) -> int:
        """A bundle: depthwise 3x3 and pointwise."""
        d = self.design
        count = groups(source.parts, d.lanes)
        overlap = (d.overlap_image if source.image else d.overlap_bundle) and count < BUNDLE_BUFFERS
        layer = EngineLayer(Kind.BUNDLE, self.tiling(source.height, source.width), count,
                            ceil_div(outputs, d.lanes), source.image, overlap=overlap)  # fmt: skip
        return self.stage(layer, source, source.height * source.width, depthwise_line, pointwise_line)

    def on_map(self, source: Map, line: int) -> Map:
        """`source`, normalized first by a bundle of unit weights where it is the image."""
        if not source.image:
            return source
        at = self.bundle(source, source.channels, line, line)
        return Map((Part(source.channels, at),), source.height, source.width)

    # --- operators ------------------------------------------------------------------------------------------------

    def convolution(self, item: Item, tensor: str) -> None:
        """Depthwise or dense, of any window and stride."""
        s, out = item.sizes, item.op.outputs[0]
        attrs, window = item.op.attrs, (item.sizes["kernel_h"], item.sizes["kernel_w"])
        if attrs.get("dilation_h", 1) != 1 or attrs.get("dilation_w", 1) != 1:
            raise _refused(self.workload, item, "windows are not dilated: tiles have a halo of one pixel")
        strides = (attrs.get("stride_h", 1), attrs.get("stride_w", 1))
        if s["groups"] == s["in_channels"] == s["out_channels"] > 1:
            self.depthwise_convolution(item, tensor, window, strides == (1, 1))
        elif s["groups"] == 1:
            if self.root(tensor) in self.pending and (window, strides) == ((1, 1), (1, 1)):
                self.fused(item, self.root(tensor))
                return
            source = self.on_map(self.source(item, tensor), item.layer)
            passes = prod(window) * groups(source.parts, self.design.lanes)
            outputs = ceil_div(s["out_channels"], self.design.lanes)
            at = self.pointwise(source, s["out_h"], s["out_w"], passes, outputs, item.layer)
            self.maps[out] = Map((Part(s["out_channels"], at),), s["out_h"], s["out_w"])
        else:
            rule = "a convolution has one group, or as many as channels in and out"
            raise _refused(self.workload, item, rule)

    def depthwise_convolution(self, item: Item, tensor: str, window: tuple[int, int], dense: bool) -> None:
        """One that may wait for its pointwise layer, or is run at once."""
        out = item.op.outputs[0]
        source = self.source(item, tensor)
        if window == (REACH, REACH) and dense and self.fits_bundle(source):
            self.pending[out] = item
            if self.bundled(out):
                return
            del self.pending[out]
        self.windows(item, self.on_map(source, item.layer), window)

    def fits_bundle(self, source: Map) -> bool:
        """Whether depthwise results of all its groups stay in the buffers."""
        few = groups(source.parts, self.design.lanes) <= BUNDLE_BUFFERS
        return few and not any(part.reorder for part in source.parts)

    def bundled(self, tensor: str) -> bool:
        """Whether one pointwise convolution alone reads `tensor`, but for an activation on the way."""
        readers = self.readers(tensor)
        if len(readers) == 1 and readers[0] is not None and readers[0].attrs.get("function") in CLAMPS:
            readers = self.readers(readers[0].outputs[0])
        if len(readers) != 1 or readers[0] is None or readers[0].kind != "conv2d":
            return False
        s, attrs = readers[0].sizes(self.sizes), readers[0].attrs
        plain = (attrs.get("stride_h", 1), attrs.get("stride_w", 1)) == (1, 1)
        return s["groups"] == 1 and (s["kernel_h"], s["kernel_w"]) == (1, 1) and plain

    def fused(self, item: Item, tensor: str) -> None:
        """A bundle of the depthwise convolution that waits as `tensor` and this pointwise one."""
        first = self.pending.pop(tensor)
        source = self.source(first, self.values(first)[0])
        outputs = item.sizes["out_channels"]
        at = self.bundle(source, outputs, first.layer, item.layer)
        self.maps[item.op.outputs[0]] = Map((Part(outputs, at),), source.height, source.width)

    def flush(self, tensor: str) -> None:
        """Run a depthwise convolution that waited in vain."""
        item = self.pending.pop(tensor)
        source = self.source(item, self.values(item)[0])
        self.windows(item, self.on_map(source, item.layer), (REACH, REACH))

    def windows(self, item: Item, source: Map, window: tuple[int, int]) -> None:
        """A depthwise convolution as one layer for each 3x3 of its window, and their sum."""
        s, line = item.sizes, item.layer
        pieces = ceil_div(window[0], REACH) * ceil_div(window[1], REACH)
        made = [self.depthwise(source, source.height, source.width, line) for _ in range(pieces)]
        parts = made[0]
        if pieces > 1:
            every = Map(tuple(part for each in made for part in each), source.height, source.width)
            count = groups(made[0], self.design.lanes)
            at = self.pointwise(every, source.height, source.width, pieces, count, line)
            parts = (Part(source.channels, at),)
        self.maps[item.op.outputs[0]] = Map(parts, s["out_h"], s["out_w"])

    def product(self, item: Item, tensor: str) -> None:
        """Rows of inputs by weights: the rows of a batch are frames of one pixel."""
        s = item.sizes
        if item.op.attrs.get("static") is not True:
            rule = "only products with weights run here; this one multiplies two activations"
            raise _refused(self.workload, item, rule)
        source = self.on_map(self.source(item, tensor), item.layer)
        if source.channels * source.height * source.width != s["k"]:
            raise _refused(self.workload, item, "its input is no frame of a map")
        passes = source.height * source.width * groups(source.parts, self.design.lanes)
        at = self.pointwise(source, 1, 1, passes, ceil_div(s["n"], self.design.lanes), item.layer)
        self.maps[item.op.outputs[0]] = Map((Part(s["n"], at),), 1, 1)

    def pool(self, item: Item, tensor: str) -> None:
        """Maximum of 2x2, or an average."""
        s, attrs = item.sizes, item.op.attrs
        window = (s["kernel_h"], s["kernel_w"])
        source = self.on_map(self.source(item, tensor), item.layer)
        if attrs.get("function") == "avg":
            self.windows(item, source, window)
            return
        strides = (attrs.get("stride_h", 1), attrs.get("stride_w", 1))
        halved = (s["out_h"], s["out_w"]) == (source.height // 2, source.width // 2)
        if window != (2, 2) or strides != (2, 2) or not halved:
            rule = f"the maximum of 2x2 pixels at a stride of 2 is pooled, not of {window[0]}x{window[1]}"
            raise _refused(self.workload, item, rule)
        at = self.pooled(item, source, self.root(tensor))
        self.maps[item.op.outputs[0]] = Map((Part(source.channels, at),), s["out_h"], s["out_w"])

    def pooled(self, item: Item, source: Map, root: str) -> int:
        """Let the stage before pool as it stores, where it can; else a layer of unit weights does."""
        at = source.parts[0].stage
        tiling = self.tiling(source.height, source.width, pooled=True)
        whole = len(source.parts) == 1 and not source.parts[0].reorder
        if whole and at == len(self.stages) - 1 and self.stages[at].layer.kind is not Kind.DEPTHWISE:
            layer = self.stages[at].layer
            if layer.outputs and not layer.pooled and self.stages[at].pixels == source.height * source.width:
                full = len(self.readers(root)) > 1
                self.stages[at].layer = layer._replace(tiling=tiling, pooled=True, full=full)
                self.program.free_ops[item.op.name] = "pooled as the layer before stores"
                return at
        count = groups(source.parts, self.design.lanes)
        layer = EngineLayer(
            Kind.POINTWISE, tiling, 1, count, full=False, pooled=True, overlap=self.design.overlap_single
        )
        return self.stage(layer, source, source.height * source.width, item.layer, item.layer)

    def elementwise(self, item: Item) -> None:
        """An activation, or the sum of two maps."""
        function, values = item.op.attrs.get("function"), self.values(item)
        out = item.op.outputs[0]
        if function in CLAMPS and len(values) == 1:
            self.clamp(item, values[0], out)
            return
        if function == "add" and len(values) == 2 and self.shape(values[0]) == self.shape(values[1]):
            one, other = (self.on_map(self.source(item, name), item.layer) for name in values)
            if one[1:] == other[1:]:
                # An operand may be filled up with channels of zeros: its pass over them has weights of zero.
                most = max((one, other), key=lambda found: found.channels)
                both = Map((*one.parts, *other.parts), one.height, one.width)
                count = max(groups(found.parts, self.design.lanes) for found in (one, other))
                at = self.pointwise(both, one.height, one.width, 2, count, item.layer)
                self.maps[out] = Map((Part(most.channels, at),), one.height, one.width)
                return
        raise _refused(self.workload, item, f"the engine has no {function or 'such'} of these operands")

    def clamp(self, item: Item, tensor: str, out: str) -> None:
        """Part of the layer before where nothing else reads what it clamps."""
        root = self.root(tensor)
        if root in self.pending:
            self.pending[out] = self.pending.pop(root)
            self.program.free_ops[item.op.name] = "clamped in place by the depthwise engine"
            return
        source = self.source(item, tensor)
        if len(self.readers(root)) == 1 and self.made.get(root) not in (None, "concat"):
            self.maps[out] = source
            self.program.free_ops[item.op.name] = "clamped as the layer before stores"
            return
        source = self.on_map(source, item.layer)
        count = groups(source.parts, self.design.lanes)
        at = self.pointwise(source, source.height, source.width, 1, count, item.layer)
        self.maps[out] = Map((Part(source.channels, at),), source.height, source.width)

    def concatenation(self, item: Item) -> None:
        """Maps side by side: where they were written is where they are read."""
        maps = [self.on_map(self.source(item, name), item.layer) for name in self.values(item)]
        shape = self.shape(item.op.outputs[0])
        if len({m[1:] for m in maps}) != 1 or shape[1:] != (sum(m.channels for m in maps), *maps[0][1:]):
            raise _refused(self.workload, item, "maps are joined along their channels")
        self.maps[item.op.outputs[0]] = Map(tuple(part for m in maps for part in m.parts), *maps[0][1:])
        self.program.free_ops[item.op.name] = "maps lie side by side in memory"

    def operator(self, item: Item) -> None:
        """One operator of the network."""
        kind = item.op.kind
        if kind == "elementwise":
            self.elementwise(item)
        elif kind == "concat":
            self.concatenation(item)
        else:
            tensor = self.values(item)[0]
            {"conv2d": self.convolution, "matmul": self.product, "pool": self.pool}[kind](item, tensor)

    # --- the program ----------------------------------------------------------------------------------------------

    def image(self) -> None:
        """The one input: frames of up to three channels."""
        given = [n for n in self.network.inputs if self.network.tensors[n].role is not Role.WEIGHT]
        shape = self.shape(given[0]) if given else ()
        if len(given) != 1 or len(shape) != RANK or shape[1] > min(IMAGE_CHANNELS, self.design.lanes):
            raise bad_input("not-an-image", f"inputs of {self.workload.name}: {[self.shape(n) for n in given]}",
                            "the engine reads one image of up to three channels (batch, channels, height, width)",
                            "Run the network on another accelerator.", key=self.workload.name)  # fmt: skip
        self.batches = ceil_div(shape[0], prod(self.frames))
        self.maps[given[0]] = Map((Part(shape[1], -1),), *shape[2:])

    def lower(self) -> Program:
        """Every operator, then the commands batch by batch, and where everything lies."""
        self.image()
        found = list(items(self.program, self.workload, self.workload.schedule(), self.sizes))
        for item, _ in found:
            self.operator(item)
        for tensor in list(self.pending):
            self.flush(tensor)
        host_line = self.program.add_layer("host", "host", self.program.layers[0].phase)
        steps: list[tuple[int, int]] = []
        for _ in range(self.batches):
            last = (len(self.program) - 1,) if len(self.program) else ()
            self.program.add(Host(1), host_line, last)
            steps = [add(self.program, s.layer, s.depthwise_line, s.pointwise_line) for s in self.stages]
        self.names = [layer.name for layer in self.program.layers]
        self.place(steps)
        _drop_unused_lines(self.program)
        self.note(found)
        return self.program

    def place(self, steps: Sequence[tuple[int, int]]) -> None:
        """Weights all the time; maps of the last batch from the layer that makes them to the last that reads them."""
        word, end = ELEMENT_BITS * self.design.lanes, len(self.program) - 1
        weights = sum(weight_words(s.layer, self.design.lanes) for s in self.stages)
        placed = [Placement("dram", weights * word, 0, end, "weights")]
        frames = prod(self.frames)
        image = next(m for m in self.maps.values() if m.image)
        bits = image.channels * IMAGE_BITS * image.height * image.width * frames
        placed.append(Placement("dram", bits, 0, end, "image"))
        for number, stage in enumerate(self.stages):
            used = [steps[k][1] for k, s in enumerate(self.stages) if number in s.reads]
            layer = stage.layer
            pixels = stage.pixels * layer.full + stage.pixels // 4 * layer.pooled
            held = (layer.outputs or layer.groups) * pixels * frames * word
            name = self.program.layers[stage.pointwise_line].name
            placed.append(Placement("dram", held, steps[number][0], max(used, default=end), name))
        self.program.occupied.extend(placed)

    def note(self, found: Sequence[tuple[Item, object]]) -> None:
        """How many frames a batch is, and how many of them the workload has."""
        full, given = prod(self.frames) * self.batches, self.shape(self.network.inputs[0])[0] if found else 0
        self.program.notes.append(
            f"{self.batches} batch{'es' if self.batches > 1 else ''} of {self.frames[0]} x {self.frames[1]} frames, of "
            f"which the workload asks for {given}; full batches give {full} frames in the same time"
        )


def _drop_unused_lines(program: Program) -> None:
    """Report lines of operators that another one does: they have no step of their own."""
    used = sorted(set(program.layer))
    place_of = {old: new for new, old in enumerate(used)}
    program.layers[:] = [program.layers[old] for old in used]
    program.layer[:] = [place_of[old] for old in program.layer]


def _refused(workload: Workload, item: Item, rule: str) -> InputError:
    where = Where(file=f"workload {workload.name}", key=f"graphs.{item.graph.name}.{item.op.name}")
    got = f"{item.op.kind} ({item.op.source})"
    return InputError([Problem("unsupported-op", where, got, rule, "Run the network on another accelerator.")])


def lower(workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
    """The program. Raises InputError naming every operator the engine cannot run."""
    schedule = workload.schedule()
    refuse(workload, schedule, KINDS, "the SkyNet engine")
    calls = [call for phase in schedule for call in phase.calls]
    if len(calls) != 1 or schedule[0].repeat is not None:
        raise bad_input("not-one-graph", f"{len(calls)} calls of graphs", "the engine runs one graph once",
                        "Take a network that is traced as one graph.", key=workload.name)  # fmt: skip
    sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
    return Lowering(workload, design, workload.graphs[calls[0].graph], sizes).lower()
