"""The shipped accelerators pass the suite that third parties' must pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from hwsim.testing import ModelSuite, matmul_chain
from hwsim.workload.ir import Workload

SMALL = {"n": 3, "m": 2}


def two_layers() -> Workload:
    return matmul_chain("two-layers", rows=3, widths=(64, 100, 10))


class TestOptimus(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "optimus",
        "optimus-baseline",
        ("optimus", "intermediates_on_chip=false", "load_overlap=false"),
        ("optimus", "weight_format=dense"),
        ("optimus", "weight_format=csc", "logits_rows=all", "decode_cache=false"),
    )
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = (
        "transformer-base", "gpt2-small", "minilm-l6", two_layers,
    )  # fmt: skip
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "transformer-base": SMALL, "gpt2-small": SMALL, "minilm-l6": {"n": 5},
    }  # fmt: skip


class TestRoofline(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = ("i7-6900k", "titan-xp")
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = (
        "transformer-base", "gpt2-small", "minilm-l6", "efficientnet-lite0", two_layers,
    )  # fmt: skip
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {"transformer-base": SMALL, "gpt2-small": SMALL}


class TestMcu(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "stm32h7",
        ("stm32h7", "scaling=pc", "weight=4 bit", "activation=4 bit"),
        ("stm32h7", "assignment=rules", "flash_capacity=256 KiB", "ram=100 KiB"),
    )
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ("mobilenet-v1-0.25-128",)


class TestRv32(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "ibex",
        "picorv32",
        "cv32e40p",
        ("cv32e40p", "scaling=pc", "weight=4 bit", "activation=2 bit"),
        ("ibex", "assignment=rules", "flash_capacity=256 KiB", "ram=100 KiB"),
    )
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ("mobilenet-v1-0.25-128",)


class TestPoetBin(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "poetbin",
        "poetbin-cifar10",
        ("poetbin-svhn", "serial_width=16", "pipeline=1", "argmax=true"),
    )
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ("mnist-classifier-luts", "mnist-classifier")
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {"mnist-classifier": {"n": 40}}


class TestFpgaMac(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "fpga-mac-fp32", "fpga-mac-int32", "fpga-mac-int16", "fpga-mac-binary",
    )  # fmt: skip
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ("mnist-classifier", "mnist-mlp", two_layers)


class TestSkyNet(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "skynet-ultra96", "skynet-zu7ev", ("skynet-xc7z020", "overlap_bundle=true", "port=32 bit"),
    )  # fmt: skip
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ("skynet-c", "mobilenet-v1-0.25-128")
