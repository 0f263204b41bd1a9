"""Operators in soft logic: what they compute, what Yosys counts of them, and what the designs make of the counts."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from accelerators.fpga_mac import operators
from accelerators.fpga_mac.operators import OPERATORS, SAMPLES, Operator, random_operands, read_table, simulate
from hwsim.config import load_design
from hwsim.cosim.toolchain import require
from hwsim.errors import InputError
from hwsim.fpga import device
from hwsim.simulate import run

BY_NAME = {operator.name: operator for operator in OPERATORS}


def _has_icarus() -> bool:
    try:
        require("icarus")
    except InputError:
        return False
    return True


needs_icarus = pytest.mark.skipif(not _has_icarus(), reason="needs Icarus Verilog")


def split(operator: Operator, operands: list[int]) -> list[list[int]]:
    """Operands by port."""
    columns, at = [], sum(operator.ports.values())
    for bits in operator.ports.values():
        at -= bits
        columns.append([(o >> at) & ((1 << bits) - 1) for o in operands])
    return columns


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def hard_floats() -> list[int]:
    """Pairs of floats: equal exponents, opposite signs, near cancellation, ties, far apart, overflow, zeros."""
    rng = random.Random(4)
    found = []
    for i in range(SAMPLES):
        a = rng.getrandbits(1) << 31 | rng.randrange(1, 255) << 23 | rng.getrandbits(23)
        apart = (0, 1, 2, 24, 25, 26, 40)[i % 7]
        exponent = min(254, max(1, (a >> 23 & 255) - apart))
        b = (
            rng.getrandbits(1) << 31
            | exponent << 23
            | (rng.getrandbits(23) & (0x7FFFFF << rng.randrange(24)) & 0x7FFFFF)
        )
        if i % 11 == 0:
            b = a ^ 0x80000000 ^ rng.getrandbits(2)
        if i % 13 == 0:
            b = rng.getrandbits(1) << 31
        found.append(a << 32 | b)
    return found


@needs_icarus
@pytest.mark.parametrize("name", ["fp32_mult", "fp32_add"])
def test_floating_point_is_that_of_numpy(name: str) -> None:
    operator = BY_NAME[name]
    for operands in (random_operands(operator), hard_floats()):
        a, b = (np.array(c, np.uint32).view(np.float32) for c in split(operator, operands))
        with np.errstate(over="ignore", under="ignore"):
            wanted = (a * b if name == "fp32_mult" else a + b).view(np.uint32)
            # Subnormal results are zeros here. In double precision it is exact which results are normal.
            magnitude = np.abs(a.astype(float) * b if name == "fp32_mult" else a.astype(float) + b)
        got = np.array(simulate(operator, operands), np.uint32)
        normal = (magnitude >= 2.0**-126) | (magnitude == 0)
        assert np.array_equal(got[normal], wanted[normal])
        assert not (got[~normal] & 0x7FFFFFFF).any()
        print(f"{name}: {int(normal.sum())} results equal, {int((~normal).sum())} subnormal ones are zero")


@needs_icarus
@pytest.mark.parametrize("name", ["int32_mult", "int16_mult", "int32_add", "int16_add", "binary_mac"])
def test_integers_are_exact(name: str) -> None:
    operator = BY_NAME[name]
    operands = random_operands(operator)
    columns = split(operator, operands)
    bits = operator.ports["a"]
    if name == "binary_mac":
        wanted = [(s + (~(a ^ b) & (2**64 - 1)).bit_count()) % 2**13 for a, b, s in zip(*columns, strict=True)]
    elif name.endswith("mult"):
        wanted = [signed(a, bits) * signed(b, bits) % 4**bits for a, b in zip(*columns, strict=True)]
    else:
        wanted = [(a + b) % 2**bits for a, b in zip(*columns, strict=True)]
    assert simulate(operator, operands) == wanted


@needs_icarus
def test_the_committed_counts_are_those_of_synthesis() -> None:
    """The small operators; all of them with HWSIM_DEEP=1 (a minute and a half)."""
    pytest.importorskip("pyosys")
    names = list(BY_NAME) if os.environ.get("HWSIM_DEEP") else ["int16_add", "int32_add"]
    kept = read_table()
    for row in operators.rows([BY_NAME[name] for name in names]):
        wanted = kept[str(row["operator"])]
        for key in ("luts", "carries", "changes"):
            # Mapping depends on the version of Yosys.
            assert int(str(row[key])) == pytest.approx(int(wanted[key]), rel=0.05), (row["operator"], key)
    assert set(kept) == set(BY_NAME)


MACS = {"fp32": ("fp32_mult", "fp32_add"), "int32": ("int32_mult", "int32_add"), "int16": ("int16_mult", "int16_add"),
        "binary": ("binary_mac",)}  # fmt: skip


@pytest.mark.parametrize("name", MACS)
def test_designs_hold_what_the_table_says(name: str) -> None:
    kept = [read_table()[operator] for operator in MACS[name]]
    d = load_design(f"fpga-mac-{name}").design
    assert d.mac_milliluts == round(sum(1e3 * int(r["luts"]) / int(r["operations"]) for r in kept))
    changes = sum(1e3 * int(r["changes"]) / int(r["samples"]) / int(r["operations"]) for r in kept)
    assert d.mac_millichanges == round(changes)
    assert d.lanes * d.mac_milliluts <= 11_920_000


def test_time_and_energy_of_a_layer_by_hand() -> None:
    d, f = load_design("fpga-mac-int16").design, device("xc6slx45")
    result = run("fpga-mac-int16", "mnist-mlp", overrides=["glitch_factor=1.0"], interval=False)
    layers = (512 * 512, 512, 512 * 10)
    assert result.cycles == sum(-(-n // d.lanes) for n in layers)
    change_pj = f.lut_toggle_pj + f.net_ff * f.supply_v**2 / 2000
    e = result.energy_breakdown_j
    assert e["mac"] == pytest.approx(267_264 * d.mac_millichanges / 1e3 * change_pj * 1e-12)
    assert e["bram"] == pytest.approx(267_264 * 16 * f.bram_access_pj / 36 * 1e-12)
    assert result.macs_executed == 267_264


def test_ratios_are_of_the_published_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Float > 1 bit > tables for every data set; the largest ratios within a factor of 20 of 10^6 and 10^3."""
    ratios = {}
    for data, tables in (("mnist", "poetbin"), ("cifar10", "poetbin-cifar10"), ("svhn", "poetbin-svhn")):
        samples = 1_000
        own = run(tables, f"{data}-mlp", bind={"n": samples}, interval=False).energy_j.value / samples
        e = {f: run(f"fpga-mac-{f}", f"{data}-mlp", interval=False).energy_j.value for f in MACS}
        assert e["fp32"] > e["int16"] > e["binary"] > own
        ratios[data] = (e["fp32"] / own, e["binary"] / own)
    with capsys.disabled():
        print("\n" + "; ".join(f"{k}: float {a:.2g}, 1 bit {b:.2g}" for k, (a, b) in ratios.items()))
    assert 1e6 / 20 < max(a for a, _ in ratios.values()) < 1e6 * 20
    assert 1e3 / 20 < max(b for _, b in ratios.values()) < 1e3 * 20


def test_what_does_not_fit_and_what_does_not_run_is_said() -> None:
    result = run("fpga-mac-fp32", "mnist-mlp", overrides=["lanes=60"], interval=False)
    assert {v.what for v in result.violations} == {"bram holds too little", "look-up tables"}
    with pytest.raises(InputError, match="conv2d"):
        run("fpga-mac-fp32", "mobilenet-v1-0.25-128", interval=False)
