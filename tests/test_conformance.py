"""The shipped accelerators pass the suite that third parties' must pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from hwsim.testing import ModelSuite, matmul_chain
from hwsim.workload.ir import Workload

SMALL = {"n": 3, "m": 2}


def two_layers() -> Workload:
    return matmul_chain("two-layers", rows=3, widths=(64, 100, 10))


class TestOptimus(ModelSuite):
    designs: ClassVar[Sequence[str]] = ("optimus", "optimus-baseline")
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ("transformer-base", "gpt2-small", two_layers)
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {"transformer-base": SMALL, "gpt2-small": SMALL}


class TestRoofline(ModelSuite):
    designs: ClassVar[Sequence[str]] = ("i7-6900k", "titan-xp")
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = (
        "transformer-base", "gpt2-small", "minilm-l6", "efficientnet-lite0", two_layers,
    )  # fmt: skip
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {"transformer-base": SMALL, "gpt2-small": SMALL}
