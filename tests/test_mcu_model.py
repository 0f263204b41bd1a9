"""Networks on microcontrollers: which kernel at which bits, what it counts, where tensors lie, what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from accelerators.mcu import lowering, mixes
from accelerators.mcu.design import Design
from accelerators.mcu.kernels import Kernel, Operation, Scheme, Shape
from accelerators.mcu.model import MODEL
from accelerators.mcu.quantized import violations
from accelerators.mcu.tasks import count, instructions
from accelerators.mcu.toolchain import Isa
from hwsim.config import load_design
from hwsim.energy import node as node_of
from hwsim.energy import sram_read_pj_per_bit, sram_write_pj_per_bit
from hwsim.errors import InputError
from hwsim.model import Program
from hwsim.quant import assign
from hwsim.quant.branching import assign_flow
from hwsim.quant.chain import chain_of
from hwsim.quant.graphs import flow_of
from hwsim.simulate import run
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload

NET = "mobilenet-v1-0.25-160"


def design_of(*overrides: str) -> Design:
    return load_design("stm32h7", overrides).design


def lowered(*overrides: str, net: str = NET) -> Program:
    return MODEL.lower(load_workload(net), design_of(*overrides), {})


def changed(workload: Workload, name: str, **attrs: Any) -> Workload:
    """The workload with attributes of one operator replaced."""
    [(key, graph)] = workload.graphs.items()
    ops = tuple(dataclasses.replace(op, attrs={**op.attrs, **attrs}) if op.name == name else op for op in graph.ops)
    return dataclasses.replace(workload, graphs={key: dataclasses.replace(graph, ops=ops)})


def test_layers_come_one_by_one_in_network_order() -> None:
    names = [line.name for line in lowered().layers]
    blocks = [f"{kind}{i}.conv" for i in range(1, 14) for kind in ("dw", "pw")]
    assert names == ["conv0.conv", *blocks, "network.pool", "network.fc"]
    assert lowered().layer == list(range(len(names)))


def test_a_layer_is_counted_as_its_kernel() -> None:
    program = lowered("weight=4 bit", "activation=2 bit", "scaling=pc")
    kernel = Kernel(Operation.POINTWISE, 2, 2, 4, Scheme.PC_ICN)
    want = mixes.instructions(Isa.ARMV7EM, kernel, Shape(10, 10, 128, 10, 10, 128))
    task = program.tasks[program.task[16]]
    assert program.layers[16].name == "pw8.conv"
    assert instructions(task) == sum(n for name, n in want.items() if name not in mixes_words())
    assert task.weight_bits == 128 * 128 * 4 + 8 * (10 * 128 + 8)
    assert task.macs == 128 * 128 * 100 and task.weight_sweeps == 50


def mixes_words() -> tuple[str, ...]:
    return ("load_words", "store_words")


@pytest.mark.parametrize(("operation", "index"), [(Operation.CONV, 0), (Operation.DEPTHWISE, 1), (Operation.DENSE, 28)])
def test_every_operation_takes_its_own_kernel(operation: Operation, index: int) -> None:
    shapes = {
        Operation.CONV: Shape(160, 160, 4, 80, 80, 8, 3, 3, 2, 2, 1, 1),
        Operation.DEPTHWISE: Shape(80, 80, 8, 80, 80, 8, 3, 3, 1, 1, 1, 1),
        Operation.DENSE: Shape(1, 1, 256, 1, 1, 1000),
    }
    kernel = Kernel(operation, 8, 8, 8, Scheme.PL_FB)
    want = mixes.instructions(Isa.ARMV7EM, kernel, shapes[operation])
    program = lowered()
    assert instructions(program.tasks[program.task[index]]) == sum(
        n for name, n in want.items() if name not in mixes_words()
    )


def test_rules_give_the_plan_of_the_quantizer() -> None:
    net = "mobilenet-v1-0.75-224"
    overrides = ("assignment=rules", "flash_capacity=2048 kB", "ram=512 kB", "scaling=pc")
    workload, design = load_workload(net), design_of(*overrides)
    plan = assign.assign_by_rules(chain_of(workload), assign.Limits(2_048_000 * 8, 512_000 * 8), assign.Scheme.PC)
    widths = lowering.widths_of(workload, next(iter(workload.graphs.values())), design)
    assert tuple(widths.weights.values()) == plan.bits.weights and 4 in plan.bits.weights
    assert tuple(widths.outputs.values()) == plan.bits.values[1:] and 4 in plan.bits.values
    held = [p for p in lowered(*overrides, net=net).occupied if p.level == "ram"]
    assert max(p.address_bits + p.bits for p in held) == plan.ram_bits


@pytest.mark.parametrize("net", [NET, "efficientnet-lite0"])
def test_tensors_in_the_arena_never_overlap(net: str) -> None:
    placed = [p for p in lowered(net=net).occupied if p.level == "ram"]
    pairs = 0
    for a, b in itertools.combinations(placed, 2):
        if a.first <= b.last and b.first <= a.last:
            pairs += 1
            assert a.address_bits + a.bits <= b.address_bits or b.address_bits + b.bits <= a.address_bits, (a, b)
    assert pairs >= 28 and all(p.address_bits % 32 == 0 for p in placed)


CHANNELS = (8, 16, 32, 32, 64, 64, *(128,) * 6, 256, 256)
"""Of MobileNetV1 0.25, layer by layer: the first convolution's, then what each pointwise layer makes."""


def test_flash_and_scratch_hold_what_the_reference_counts() -> None:
    """Weights and parameters by the table for PC+ICN, its last layer apart; each function once; the widest window."""
    hidden = [9 * 4 * 8, *(9 * c for c in CHANNELS[:-1]), *(a * b for a, b in itertools.pairwise(CHANNELS))]
    outputs = [8, *CHANNELS[:-1], *CHANNELS[1:]]
    weights = sum(hidden) + sum(10 * c + 8 for c in outputs) + 256 * 1000 + 7 * 1000 + 4
    operations = (Operation.CONV, Operation.DEPTHWISE, Operation.POINTWISE, Operation.DENSE)
    kernels = [Kernel(operation, 8, 8, 8, Scheme.PC_ICN) for operation in operations]
    names = {name for kernel in kernels for name in kernel.parts(Isa.ARMV7EM)} | {"average_pool_u8"}
    code = sum(mixes.part(Isa.ARMV7EM, name).text_bytes for name in names)
    held = {p.what: p.bits // 8 for p in lowered("scaling=pc").occupied if p.level != "ram"}
    assert held == {"weights": weights, "code": code, "im2col columns": 9 * 256}
    tight = run("stm32h7", NET, overrides=("scratch=2 KiB",), interval=False)
    assert [v.what for v in tight.violations if "scratch" in v.what] == ["scratch holds too little"]


def test_the_networks_output_keeps_eight_bits() -> None:
    program = lowered("activation=4 bit")
    tasks = [program.tasks[i] for i in program.task]
    assert tasks[0].input_bits == 8 * 160 * 160 * 4 and tasks[0].output_bits == 4 * 80 * 80 * 8
    assert tasks[-1].input_bits == 4 * 256 and tasks[-1].output_bits == 8 * 1000


def test_gaps_in_the_arena_take_ram() -> None:
    program = lowered()
    last = max((p for p in program.occupied if p.level == "ram"), key=lambda p: p.last)
    program.occupied.append(last._replace(address_bits=8 * 600_000))
    [found] = violations(design_of(), program)
    assert (found.demand, found.bound) == (600_000 + last.bits // 8, 512 * 1024)


def test_sums_have_a_kernel() -> None:
    program = lowered(net="efficientnet-lite0")
    ops = [program.layers[line].op for line in program.layer]
    assert ops.count("elementwise") == 9, "the nine residual sums; the clamps belong to the layers before them"


def test_what_does_not_fit_is_named_with_its_bytes() -> None:
    result = run("stm32h7", NET, overrides=("flash_capacity=256 KiB", "ram=100 KiB"), interval=False)
    whats = {v.what: v for v in result.violations}
    assert not result.feasible
    assert whats["weights do not fit flash; network.fc takes most, 260020 bytes"].demand > 262_144
    ram = whats["tensors of pw1.conv do not fit RAM"]
    assert (ram.demand, ram.bound, ram.unit) == (153_600, 102_400, "bytes")


@pytest.mark.parametrize(
    ("name", "attrs", "rule"),
    [
        ("conv0.relu", {"function": "silu"}, "there is no kernel for silu"),
        ("pw3.conv", {"dilation_h": 2}, "without dilation"),
        ("fc", {"static": False}, "one operand of weights"),
    ],
)
def test_what_no_kernel_computes_is_refused_by_name(name: str, attrs: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError) as caught:
        MODEL.lower(changed(load_workload(NET), name, **attrs), design_of(), {})
    assert name in str(caught.value) and rule in str(caught.value)


def test_a_network_of_several_calls_is_refused() -> None:
    with pytest.raises(InputError):
        MODEL.lower(load_workload("gpt2-small"), design_of(), {"n": 4, "m": 2})


@pytest.mark.parametrize("override", ["weight=6 bit", "activation=3 bit", "idle_power=1 W"])
def test_impossible_designs_are_refused(override: str) -> None:
    with pytest.raises(InputError):
        design_of(override)


README = (Path(lowering.__file__).parent / "README.md").read_text(encoding="utf-8")
FRAMES = re.compile(r"^\| (\d\.\d+)(?:, PL / PC, frames a second)? \| (.+/.+) \|$", re.MULTILINE)
PER_CYCLE = re.compile(r"^\| (\d), (PL|PC) \| (.+) \|$", re.MULTILINE)


def test_the_frames_a_second_of_the_readme_are_those_of_fresh_runs() -> None:
    rows = FRAMES.findall(README)
    assert [width for width, _ in rows] == ["0.25", "0.5", "0.75", "1.0"]
    limits = ("assignment=rules", "flash_capacity=2048 kB", "ram=512 kB")
    for width, cells in rows:
        for size, cell in zip((224, 192, 160, 128), cells.split(" | "), strict=True):
            for scaling, text in zip(("pl", "pc"), cell.split(" / "), strict=True):
                net = f"mobilenet-v1-{width}-{size}"
                result = run("stm32h7", net, overrides=(*limits, f"scaling={scaling}"), interval=False)
                assert result.feasible and float(text) == pytest.approx(1 / result.latency_s.value, rel=0.02)


def test_the_macs_a_cycle_of_the_readme_are_those_of_fresh_runs() -> None:
    rows = PER_CYCLE.findall(README)
    assert len(rows) == 6
    for weight, scaling, cells in rows:
        for activation, cell in zip((8, 4, 2), cells.split(" | "), strict=True):
            overrides = (f"weight={weight} bit", f"activation={activation} bit", f"scaling={scaling.lower()}")
            result = run("stm32h7", "mobilenet-v1-0.5-160", overrides=overrides, interval=False)
            layers = {layer.name: layer for layer in result.layers}
            found = [result.macs / result.cycles] + [
                layers[name].macs / layers[name].cycles for name in ("pw8.conv", "dw8.conv")
            ]
            assert [float(text) for text in cell.split("; ")] == pytest.approx(found, abs=6e-4)


def test_narrow_weights_are_faster_and_scaling_by_channel_slower() -> None:
    """CMix-NN's authors put PC at about 20 % over PL."""

    def seconds(*overrides: str) -> float:
        return run("stm32h7", NET, overrides=overrides, interval=False).latency_s.value

    base, narrow, channel = seconds(), seconds("weight=4 bit"), seconds("scaling=pc")
    print(f"{NET}: 4-bit weights {narrow / base:.3f}, PC {channel / base:.3f} of the time")
    assert narrow < base and 1.15 < channel / base < 1.3
    assert seconds("clock=200 MHz") == pytest.approx(2 * base, rel=1e-9)


def test_energy_is_the_chips_power_and_little_more() -> None:
    """234 mW for 142 ms, and what crosses the bus; at half the clock the core takes what it took, idling twice that."""
    full, half = (run("stm32h7", NET, overrides=given, interval=False) for given in ((), ("clock=200 MHz",)))
    seconds, found = full.latency_s.value, full.energy_breakdown_j
    assert seconds == pytest.approx(full.cycles / 400e6)
    assert found["core"] + found["core (static)"] == pytest.approx(0.234 * seconds)
    assert found["core (static)"] == pytest.approx(0.060 * seconds)
    assert 0 < found["flash"] + found["ram"] < 0.005 * full.energy_j.value
    counts = [count(design_of(), lowered().tasks[i]) for i in lowered().task]
    node = node_of("45nm")
    read, written = (f(node, 1 << 20, 64) for f in (sram_read_pj_per_bit, sram_write_pj_per_bit))
    assert found["flash"] == pytest.approx(1e-12 * node.flash_read_pj_per_bit * sum(c.flash_read_bits for c in counts))
    assert found["ram"] == pytest.approx(
        1e-12 * sum(c.ram_read_bits * read + c.ram_write_bits * written for c in counts)
    )
    want = {name: joules * (2 if name == "core (static)" else 1) for name, joules in found.items()}
    assert half.energy_breakdown_j == pytest.approx(want)
    assert full.area_mm2 == 25


def test_a_sum_reads_both_operands() -> None:
    """Lines of RAM of the residual sums of EfficientNet-Lite0: two operands read, and one output, fetched as it is
    written."""
    program = lowered(net="efficientnet-lite0")
    sums = [program.tasks[task] for task, line in zip(program.task, program.layer, strict=True)
            if program.layers[line].op == "elementwise"]  # fmt: skip
    assert len(sums) == 9
    for task in sums:
        assert task.input_bits == 2 * task.output_bits
        assert count(design_of(), task).ram_read_bits == pytest.approx(3 * task.output_bits, abs=2 * 256)
        assert count(design_of(), task).ram_write_bits == pytest.approx(task.output_bits, abs=256)


def test_what_the_classes_leave_open_is_noted() -> None:
    """The class of the energy is the literature's, and every run says that its power is recalled."""
    result = run("stm32h7", NET, interval=False)
    assert result.accuracy[""] == "literature-checked" and result.accuracy["area_mm2"] == "unvalidated"
    assert any(note.startswith("energy: ") and "recalled" in note for note in result.notes)
    assert any(note.startswith("latency: ") and "never timed" in note for note in result.notes)
    assert set(run("ibex", NET, interval=False).accuracy.values()) == {"unvalidated"}


def test_rules_on_a_network_that_branches_fit_and_reach_its_sums() -> None:
    """RAM is what the rules count; flash holds the code beside, for which a little is left here."""
    net = "efficientnet-lite0"
    flow = flow_of(load_workload(net), as_given=True)
    plan = assign_flow(flow, assign.Limits(1900 * 8192, 400 * 8192), assign.Scheme.PL)
    assert plan.fits
    program = lowered("assignment=rules", "flash_capacity=1900 KiB", "ram=400 KiB", net=net)
    held = max(p.address_bits + p.bits for p in program.occupied if p.level == "ram")
    assert plan.ram_bits == held
    weights = sum(p.bits for p in program.occupied if p.what == "weights")
    assert weights == pytest.approx(plan.flash_bits, rel=0.01)
    sums = {step.name: plan.widths[step.writes] for step in flow.steps if step.layer is None and not step.pools}
    assert len(sums) == 9
    tight = run(
        "stm32h7", net, overrides=("assignment=rules", "flash_capacity=1900 KiB", "ram=400 KiB"), interval=False
    )
    assert {v.unit for v in tight.violations} <= {"bits", "bytes"} and not any(
        "RAM" in v.what for v in tight.violations
    )
