"""Which layers a torch network runs on which values, branches included: read by `torch.fx`, without running it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from hwsim.errors import InputError, bad_input

CHANNEL_SIDES = 6
"""Both sides of width, height and channels, as functional.pad counts them."""
LEAVES = (
    nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
    nn.Flatten, nn.Dropout, nn.Identity, nn.ZeroPad2d, nn.Hardtanh,
)  # fmt: skip
SUPPORTED = (
    "Conv2d (dense or depth-wise, undilated), Linear, BatchNorm2d, ReLU, ReLU6, Hardtanh, MaxPool2d, AvgPool2d, "
    "AdaptiveAvgPool2d(1), ZeroPad2d before a convolution, sums of two values (one of them filled up with channels of "
    "zeros, if need be), Flatten and Dropout"
)


@dataclass(frozen=True)
class Step:
    """One layer and the steps it reads, by number; -1 is the network's input. A sum of two has no layer."""

    name: str
    reads: tuple[int, ...]
    layer: nn.Module | None


class ZeroChannels(nn.Module):
    """Fills an image up with channels of zeros, behind those it has."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more


class _Tracer(fx.Tracer):
    """Goes into every module but those that are layers here; a layer's subclass may do anything and is gone into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LEAVES or (type(m).__module__.startswith("torch.nn.") and not isinstance(m, nn.Sequential))


def read_graph(network: nn.Module) -> tuple[Step, ...]:
    """The steps of `network`: the first half of what `read_network` gives."""
    return read_network(network)[0]


def read_network(network: nn.Module) -> tuple[tuple[Step, ...], tuple[int, ...]]:
    """The steps of `network` in the order they run, and those that make its outputs. Layers are the network's own.

    Shapes, and what does nothing in inference (dropout, flattening), are left out. Raises InputError for an operation
    or a control flow that quantized networks do not have.
    """
    try:
        traced = _Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError, RuntimeError, AssertionError, ValueError) as bad:
        rule = "a network is quantized if the same layers run for every image"
        remedy = "Move what depends on values out of forward."
        raise bad_input("not-a-graph", str(bad), rule, remedy, key=type(network).__name__) from None
    return _Reader(network).read(traced)


class _Reader:
    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.steps: list[Step] = []
        self.value: dict[fx.Node, int] = {}
        """The step whose value each node stands for."""
        self.results: tuple[int, ...] = ()

    def read(self, traced: fx.Graph) -> tuple[tuple[Step, ...], tuple[int, ...]]:
        inputs = [n for n in traced.nodes if n.op == "placeholder" and (n.users or not n.args)]
        for node in traced.nodes:
            if node.op == "placeholder":
                if node is not inputs[0] and node.users:
                    raise self._unsupported(node, "a second input")
                self.value[node] = -1
            elif node.op == "output":
                given = node.args[0] if isinstance(node.args[0], tuple | list) else (node.args[0],)
                if not given or not all(isinstance(one, fx.Node) and one in self.value for one in given):
                    raise self._unsupported(node, "an output that no layer makes")
                self.results = tuple(self.value[one] for one in given)
            elif node.op in {"call_module", "call_function", "call_method"}:
                self._call(node)
        return tuple(self.steps[: max(self.results) + 1]), self.results

    def _call(self, node: fx.Node) -> None:
        if node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            self._layer(node, str(node.target), module)
            return
        name = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
        handler: Callable[[fx.Node], None] | None = _functions(self).get(str(name))
        if handler is None:
            raise self._unsupported(node, str(name))
        handler(node)

    def _layer(self, node: fx.Node, name: str, layer: nn.Module) -> None:
        if isinstance(layer, nn.Dropout | nn.Identity | nn.Flatten):
            self.alias(node)
            return
        if type(layer) not in LEAVES:
            raise self._unsupported(node, type(layer).__name__)
        self._step(node, name, (self.value[node.args[0]],), layer)

    def _step(self, node: fx.Node, name: str, reads: tuple[int, ...], layer: nn.Module | None) -> None:
        self.value[node] = len(self.steps)
        self.steps.append(Step(name, reads, layer))

    def _unsupported(self, node: fx.Node, got: str) -> InputError:
        return bad_input(
            "unsupported",
            got,
            f"a quantized network is made of {SUPPORTED}",
            key=str(node.target if node.op == "call_module" else node.name),
        )

    # Functions

    def alias(self, node: fx.Node) -> None:
        """The same value under another shape."""
        self.value[node] = self.value[node.args[0]]

    def size(self, node: fx.Node) -> None:
        """A size, which only reshaping uses: no value."""

    def add(self, node: fx.Node) -> None:
        if len(node.args) != 2 or not all(isinstance(a, fx.Node) and a in self.value for a in node.args):
            raise self._unsupported(node, "a sum with a number")
        a, b = (self.value[arg] for arg in node.args)
        if a == b or -1 in (a, b):
            raise self._unsupported(node, "a sum of a value with itself or with the input")
        self._step(node, node.name, (a, b), None)

    def pad(self, node: fx.Node) -> None:
        """functional.pad with channels of zeros behind an image's own."""
        names = ("input", "pad", "mode", "value")
        given: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        sides = tuple(given["pad"])
        plain = all(isinstance(n, int) for n in sides) and len(sides) == CHANNEL_SIDES and not any(sides[:-1])
        if not plain or sides[-1] < 0 or given.get("mode", "constant") != "constant" or given.get("value"):
            raise self._unsupported(node, "padding other than ZeroPad2d and channels of zeros behind an image's own")
        self._step(node, node.name, (self.value[given["input"]],), ZeroChannels(sides[-1]))

    def relu(self, node: fx.Node) -> None:
        layer = nn.ReLU6() if "6" in str(getattr(node.target, "__name__", node.target)) else nn.ReLU()
        self._step(node, node.name, (self.value[node.args[0]],), layer)

    def mean(self, node: fx.Node) -> None:
        """An average over the image, however written."""
        sizes = (node.kwargs.get("output_size", node.args[1] if len(node.args) > 1 else None),)
        if sizes[0] not in (1, (1, 1), [1, 1]):
            raise self._unsupported(node, "an average over parts of the image")
        self._step(node, node.name, (self.value[node.args[0]],), nn.AdaptiveAvgPool2d(1))

    def conv2d(self, node: fx.Node) -> None:
        """functional.conv2d with the parameters of a module: the call that its subclasses make."""
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        given: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        owner = str(given["weight"].target).rpartition(".")[0] if isinstance(given["weight"], fx.Node) else ""
        module = self.network.get_submodule(owner) if owner else None
        if not isinstance(module, nn.Conv2d) or given["weight"].op != "get_attr":
            raise self._unsupported(node, "a convolution with computed weights")
        self._step(node, owner, (self.value[given["input"]],), plain_conv(module, given))


def plain_conv(module: nn.Conv2d, given: Mapping[str, Any]) -> nn.Conv2d:
    """An nn.Conv2d with the parameters of `module` and the stride, padding, dilation and groups of a call."""
    layer = nn.Conv2d(
        module.in_channels, module.out_channels, module.kernel_size, _pair(given.get("stride", 1)),
        _pair(given.get("padding", 0)), _pair(given.get("dilation", 1)), int(given.get("groups", 1)),
        bias=given.get("bias") is not None,
    )  # fmt: skip
    layer.weight = copy.deepcopy(module.weight)
    if given.get("bias") is not None:
        layer.bias = copy.deepcopy(module.bias)
    return layer.eval()


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _functions(reader: _Reader) -> dict[str, Callable[[fx.Node], None]]:
    same = dict.fromkeys(("flatten", "view", "reshape", "dropout", "contiguous", "squeeze"), reader.alias)
    return {
        **same, "add": reader.add, "iadd": reader.add, "add_": reader.add, "size": reader.size, "getitem": reader.size,
        "relu": reader.relu, "relu_": reader.relu, "relu6": reader.relu, "conv2d": reader.conv2d, "pad": reader.pad,
        "adaptive_avg_pool2d": reader.mean, "getattr": reader.size,
    }  # fmt: skip
