"""The warranty for accelerator authors: one class to subclass, and every promise of the engine is tested on a model.

from hwsim.testing import ModelSuite

class TestMine(ModelSuite):
    designs = ("mine",)
    workloads = ("transformer-base",)
    bindings = {"transformer-base": {"n": 4, "m": 3}}

`CircuitSuite` does the same for a circuit and its cases; `hwsim.testing.rtl` has a pytest fixture for one run of any
circuit.
"""

from hwsim.testing.circuits import CircuitSuite
from hwsim.testing.samples import matmul_chain, random_designs, random_tasks, unsupported_workload
from hwsim.testing.suite import ModelSuite

__all__ = ["CircuitSuite", "ModelSuite", "matmul_chain", "random_designs", "random_tasks", "unsupported_workload"]
