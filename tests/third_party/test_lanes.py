"""The warranty: the engine's own conformance suite over this model."""

from hwsim.testing import ModelSuite
from hwsim.workload.ir import Workload


def two_layers() -> Workload:
    from hwsim.testing import matmul_chain

    return matmul_chain("two-layers", rows=3, widths=(64, 100, 10))


class TestLanes(ModelSuite):
    designs = ("lanes-small",)
    workloads = (two_layers,)
