"""The C kernels for microcontrollers: outputs against a slow golden function, counts against their formulas."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from accelerators.mcu import emulate, mixes, toolchain
from accelerators.mcu import kernels as k
from accelerators.mcu.emulate import Execution
from accelerators.mcu.kernels import Kernel, LayerData, Operation, Scheme, Shape
from accelerators.mcu.toolchain import Isa
from hwsim.errors import InputError

COMPILERS = {target.compiler for target in toolchain.TARGETS.values()}
pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in COMPILERS), reason=f"needs {' and '.join(sorted(COMPILERS))}"
)

# --- the golden function: written from the arithmetic alone, one output at a time, in Python's integers ---------------


def wrap32(value: int) -> int:
    """`value` in a 32-bit register."""
    return (value + 2**31) % 2**32 - 2**31


def icn(total: int, multiplier: int, shift: int, zero: int, bits: int) -> int:
    """Left shift, high word of the product, right shift, zero point, saturation."""
    high = (wrap32(total * 2 ** max(0, -shift)) * multiplier) // 2**32
    return min(max(high // 2 ** max(0, shift) + zero, 0), 2**bits - 1)


def requantized(kernel: Kernel, data: LayerData, total: int, channel: int) -> int:
    """The output of one channel from its sum of products."""
    if kernel.scheme == Scheme.THRESHOLDS:
        return sum(total >= int(threshold) for threshold in data.thresholds[channel])
    if kernel.scheme == Scheme.SHIFTS:
        middle = min(max(round(Fraction(total, 2**data.shift)), -(2**15)), 2**15 - 1) + int(data.thresholds[channel, 0])
        steps = round(middle / Fraction(2) ** data.multiplier)
        return min(max(steps + data.output_zero, 0), 2**kernel.out_bits - 1)
    total = wrap32(total + int(data.bias[channel]))
    if kernel.scheme == Scheme.PL_FB:
        return icn(total, data.multiplier, data.shift, data.output_zero, kernel.out_bits)
    return icn(total, int(data.multipliers[channel]), int(data.shifts[channel]), data.output_zero, kernel.out_bits)


def windows(shape: Shape):
    """(output row, output column, [(kernel row, kernel column, input row, input column) inside]) of every output."""
    for oy in range(shape.out_h):
        for ox in range(shape.out_w):
            taps = [
                (ky, kx, oy * shape.stride_h - shape.pad_top + ky, ox * shape.stride_w - shape.pad_left + kx)
                for ky in range(shape.kernel_h)
                for kx in range(shape.kernel_w)
            ]
            yield oy, ox, [t for t in taps if 0 <= t[2] < shape.in_h and 0 <= t[3] < shape.in_w]


def weight_zero(kernel: Kernel, data: LayerData, channel: int) -> int:
    return int(data.weight_zeros[channel]) if kernel.scheme in k.PER_CHANNEL else data.weight_zero


def golden_weighted(kernel: Kernel, shape: Shape, data: LayerData) -> np.ndarray:
    """Convolutions of all kinds; a fully connected layer is a convolution with a kernel as large as its input."""
    if kernel.operation == Operation.DENSE:
        shape = shape._replace(kernel_h=shape.in_h, kernel_w=shape.in_w)
    out = np.zeros((shape.out_h, shape.out_w, shape.out_c), np.int64)
    values = data.inputs - data.input_zero
    for oy, ox, taps in windows(shape):
        for c in range(shape.out_c):
            zero = weight_zero(kernel, data, c)
            if kernel.operation == Operation.DEPTHWISE:
                total = sum(int(values[y, x, c]) * (int(data.weights[ky, kx, c]) - zero) for ky, kx, y, x in taps)
            else:
                total = sum(int(values[y, x] @ (data.weights[c, ky, kx] - zero)) for ky, kx, y, x in taps)
            out[oy, ox, c] = requantized(kernel, data, total, c)
    return out


def golden_pool(kernel: Kernel, shape: Shape, data: LayerData) -> np.ndarray:
    out = np.zeros((shape.out_h, shape.out_w, shape.out_c), np.int64)
    for oy, ox, taps in windows(shape):
        seen = np.array([data.inputs[y, x] for _, _, y, x in taps])
        mean = (2 * seen.sum(axis=0) + len(taps)) // (2 * len(taps))  # halves round up
        out[oy, ox] = seen.max(axis=0) if kernel.operation == Operation.MAX_POOL else mean
    return out


def golden_add(kernel: Kernel, data: LayerData) -> np.ndarray:
    lacking = data.other.shape[-1] - data.inputs.shape[-1]
    inputs = np.pad(data.inputs, ((0, 0), (0, 0), (0, lacking)), constant_values=data.input_zero)
    total = (inputs - data.input_zero) * data.input_scale + (data.other - data.other_zero) * data.other_scale
    results = [
        icn(wrap32(int(t) + int(data.bias[0])), data.multiplier, data.shift, data.output_zero, kernel.out_bits)
        for t in total.reshape(-1)
    ]
    return np.array(results).reshape(total.shape)


def golden(kernel: Kernel, shape: Shape, data: LayerData) -> np.ndarray:
    if kernel.operation in k.SUMS:
        return golden_add(kernel, data)
    if kernel.operation in k.WITH_WEIGHTS:
        return golden_weighted(kernel, shape, data)
    return golden_pool(kernel, shape, data)


# --- outputs and counts -----------------------------------------------------------------------------------------------

ISAS = [pytest.param(isa, id=isa.name.lower()) for isa in Isa]
ALL = list(k.all_kernels())


def compare_counts(isa: Isa, kernel: Kernel, shape: Shape, execution: Execution) -> None:
    """The measures of every function, and of the whole, are what the table says."""
    done = mixes.trips(kernel, shape)
    for function in kernel.parts(isa):
        told = {n: mixes.executed(mixes.Trips(**m), done) for n, m in mixes.part(isa, function).measures.items()}
        got = execution.functions.get(function, {})
        assert {n: c for n, c in told.items() if c} == {n: c for n, c in got.items() if c}, (function, shape)
    whole = {n: c for n, c in mixes.instructions(isa, kernel, shape).items() if c}
    assert whole == {n: c for n, c in execution.total.items() if c}


@pytest.fixture
def made_here(isa: Isa) -> None:
    """The table describes this compiler's code; with another compiler its numbers would say nothing."""
    if mixes._table()[isa.name.lower()]["compiler"] != toolchain.compiler_version(isa):
        pytest.skip(f"mixes.json was made with another compiler than {toolchain.compiler_version(isa)}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.usefixtures("made_here")
def test_the_table_was_made_from_this_code_and_these_flags(isa: Isa) -> None:
    entry = mixes._table()[isa.name.lower()]
    assert entry["code"] == mixes.code_digest(isa)
    assert entry["flags"] == " ".join(toolchain.flags_of(isa))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.usefixtures("made_here")
def test_outputs_equal_the_golden_function_and_counts_the_table(isa: Isa, deep: bool) -> None:
    rng = np.random.default_rng(20 + isa)
    layers = outputs = inner = instructions = 0
    for kernel in ALL:
        for _ in range(20 if deep else 2):
            shape = k.random_shape(kernel.operation, rng, 6 if deep else 4)
            data = k.random_data(kernel, shape, rng)
            run = k.run_layer(isa, kernel, shape, data)
            assert (run.output == golden(kernel, shape, data)).all(), (kernel, shape)
            compare_counts(isa, kernel, shape, run.execution)
            layers, outputs = layers + 1, outputs + run.output.size
            inner += int(((run.output > 0) & (run.output < 2**kernel.out_bits - 1)).sum())
            instructions += run.execution.instructions
    print(f"{isa.name.lower()}: {layers} layers of {len(ALL)} kernels: {outputs} outputs equal ({inner} within range), "
          f"{instructions} instructions counted, difference 0")  # fmt: skip
    assert inner > outputs // 4


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.usefixtures("made_here")
def test_counts_of_larger_layers(isa: Isa, deep: bool) -> None:
    rng = np.random.default_rng(40 + isa)
    chosen = rng.permutation(len(ALL))[: 200 if deep else 12]
    for kernel in (ALL[i] for i in chosen):
        shape = k.random_shape(kernel.operation, rng, 16 if isa != Isa.XPULP else 9)
        execution = k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng)).execution
        compare_counts(isa, kernel, shape, execution)
    print(f"{isa.name.lower()}: {len(chosen)} layers up to 16 x 16, difference 0")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.usefixtures("made_here")
def test_counts_do_not_depend_on_data(isa: Isa) -> None:
    shape = Shape(5, 5, 8, 3, 3, 8, 3, 3, 2, 2, 1, 1)
    kernel = Kernel(Operation.CONV, 4, 2, 4, Scheme.THRESHOLDS)
    rng = np.random.default_rng(5)
    seen = [k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng)).execution.total for _ in range(20)]
    assert all(total == seen[0] for total in seen)


@pytest.mark.parametrize("isa", ISAS)
def test_traffic_is_what_the_core_reads_and_writes(isa: Isa, deep: bool) -> None:
    rng = np.random.default_rng(60 + isa)
    chosen = [*ALL[-6:], *(ALL[i] for i in rng.permutation(len(ALL))[: len(ALL) if deep else 80])]
    twice = 0
    for kernel in chosen:
        shape = k.random_shape(kernel.operation, rng, 4)
        run = k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng), watch=True)
        read, written = run.execution.bytes_read, run.execution.bytes_written
        told = mixes.traffic(isa, kernel, shape)
        assert told.weight_read_bits == 8 * read.get("weights", 0), (kernel, shape)
        assert told.input_read_bits == 8 * (read.get("input", 0) + read.get("other", 0)), (kernel, shape)
        assert told.column_write_bits == 8 * written.get("columns", 0), (kernel, shape)
        again = isa == Isa.ARMV7EM and kernel.scheme == Scheme.THRESHOLDS and kernel.weight_bits == 2
        most = told.column_read_bits * 9 // 8 if again else told.column_read_bits  # one word of eight is loaded twice
        assert told.column_read_bits <= 8 * read.get("columns", 0) <= most, (kernel, shape)
        twice += told.column_read_bits < 8 * read.get("columns", 0)
        assert told.output_write_bits == 8 * written["output"], (kernel, shape)
        assert not {"input", "weights", "bias", "multipliers", "shifts", "thresholds"} & set(written)
        assert told.weight_read_bits == 8 * told.weight_sweeps * k.weights_bytes(kernel, shape)
    print(f"{isa.name.lower()}: traffic of {len(chosen)} layers, difference 0 but for {twice} with words read twice")


# --- the emulator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", [Isa.ARMV7EM, Isa.RV32IM])
def test_counting_by_block_equals_counting_step_by_step(isa: Isa) -> None:
    rng = np.random.default_rng(3)
    core = emulate.Machine(k.machine(isa).program, step=True)
    for kernel in ALL[:: len(ALL) // 20]:
        shape = k.random_shape(kernel.operation, rng, 4)
        run = k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng), core=core)
        void = run.execution.instructions - core.steps.total()  # of up to four behind an IT, which are not reported
        assert 0 <= void <= 4 * run.execution.total["predicate"]
        assert core.steps.total() > 100


def test_mnemonics_have_one_class() -> None:
    for mnemonics in (emulate._ARM, emulate._RISCV):
        names = [name for group in mnemonics.values() for name in group.split()]
        assert len(names) == len(set(names))
        assert set(mnemonics) <= {*emulate.CLASSES, "branch"}


# --- formulas ---------------------------------------------------------------------------------------------------------


def test_trips_of_a_layer_worked_out_by_hand() -> None:
    """3 x 3 over 4 x 4 x 4 with padding 1 and stride 1, 8 filters, 2-bit weights: 36 weights are 2.25 words."""
    done = mixes.trips(Kernel(Operation.CONV, 8, 8, 2), Shape(4, 4, 4, 4, 4, 8, 3, 3, 1, 1, 1, 1))
    assert (done.pixels, done.pairs, done.single, done.rows) == (16, 8, 0, 4)
    assert (done.tail, done.tail_quads) == (1, 3)
    assert (done.tops, done.top_quads, done.bottoms, done.bottom_quads) == (4, 12, 4, 12)
    assert (done.window_rows, done.lefts, done.left_quads, done.inside_quads) == (40, 10, 10, 100)
    assert (done.pair_groups, done.pair_words) == (16, 8 * 4 * 3)


def test_compiled_trips_equal_plain_ones() -> None:
    from hwsim.timing.compile import compile_pure

    def both(function, *sizes: int) -> None:
        assert tuple(compile_pure(function)(*sizes)) == tuple(function(*sizes))

    rng = np.random.default_rng(8)
    for _ in range(20):
        conv = k.random_shape(Operation.CONV, rng)
        both(mixes.conv_trips, *conv, 4)
        both(mixes.vector_trips, conv.out_h * conv.out_w, conv.in_c // 4, conv.out_c, 2)
        depthwise = k.random_shape(Operation.DEPTHWISE, rng)
        both(mixes.depthwise_trips, *depthwise[:5], *depthwise[6:])
        kernel = Kernel(Operation.CONV, 8, 4, 4, Scheme.PC_ICN)
        done = mixes.trips(kernel, conv)
        for mix in mixes.mix_table(Isa.ARMV7EM, kernel).values():
            assert compile_pure(mixes.executed)(mix, done) == mixes.executed(mix, done)


def test_inner_loops_of_the_products() -> None:
    """Below CMix-NN's counts where masks unpack pairs at once; zero points per channel run out of registers."""
    assert mixes.inner_loop(Isa.ARMV7EM, 8, False) == 1.25
    assert mixes.inner_loop(Isa.ARMV7EM, 4, False) < 1.375
    assert mixes.inner_loop(Isa.ARMV7EM, 2, False) < 1.3125
    assert mixes.inner_loop(Isa.XPULP, 8, False) < 1 < mixes.inner_loop(Isa.RV32IM, 8, False)


def test_solving_says_when_no_mix_fits() -> None:
    def sample(quads: int, count: int) -> mixes.Sample:
        return mixes.Trips(layer=1, groups=quads), {"alu": count}

    good = [sample(1, 5), sample(2, 7), sample(5, 13)]
    assert mixes.solve("add_u8_u8_u8", good) == {"alu": {"layer": 3, "groups": 2}}
    with pytest.raises(ValueError, match="no mix of"):
        mixes.solve("add_u8_u8_u8", [*good, sample(6, 16)])
    with pytest.raises(ValueError, match="do not tell its loops apart"):
        mixes.solve("add_u8_u8_u8", good[:1])


# --- packing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", k.BITS)
def test_field_order_is_a_permutation(isa: Isa, bits: int) -> None:
    assert sorted(k.field_order(bits, isa)) == list(range(32 // bits))


@pytest.mark.parametrize("bits", k.BITS)
def test_packing_has_an_inverse(bits: int) -> None:
    values = np.random.default_rng(1).integers(0, 2**bits, 64)
    assert (k.unpack(k.pack(values, bits), bits) == values).all()
    with pytest.raises(ValueError, match=f"beyond {bits} bits"):
        k.pack(values + 2**bits, bits)


def test_sizes_of_arrays() -> None:
    rng = np.random.default_rng(2)
    for kernel in ALL:
        shape = k.random_shape(kernel.operation, rng)
        arrays = k.arrays_of(kernel, shape, k.random_data(kernel, shape, rng), Isa.ARMV7EM)
        assert len(arrays["weights"]) == k.weights_bytes(kernel, shape)
        exact = shape.out_c * k.filter_values(kernel, shape) * kernel.weight_bits / 8
        assert not arrays["weights"] or 0 <= len(arrays["weights"]) - exact < 4 * shape.out_c


def test_code_size_counts_each_function_once() -> None:
    one = Kernel(Operation.CONV, 8, 8, 8, Scheme.PL_ICN)
    two = one._replace(operation=Operation.POINTWISE)
    sizes = {
        n: k.machine(Isa.ARMV7EM).program.symbols[n][1] for n in {*one.parts(Isa.ARMV7EM), *two.parts(Isa.ARMV7EM)}
    }
    assert mixes.text_bytes(Isa.ARMV7EM, [one, two, one]) == sum(sizes.values())


# --- compilers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("isa", "message"),
    [
        (Isa.ARMV7EM, "[no-compiler] arm-none-eabi-gcc: got 'nothing'; kernels for armv7em are compiled with "
         "arm-none-eabi-gcc, which must be on PATH. Install it: apt-get install gcc-arm-none-eabi"),
        (Isa.RV32IM, "[no-compiler] riscv64-unknown-elf-gcc: got 'nothing'; kernels for rv32im are compiled with "
         "riscv64-unknown-elf-gcc, which must be on PATH. Install it: apt-get install gcc-riscv64-unknown-elf"),
    ],
)  # fmt: skip
def test_a_missing_compiler_is_one_message(isa: Isa, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError) as caught:
        toolchain.find_compiler(isa)
    assert str(caught.value).strip() == message


def test_builds_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "one.c"
    source.write_text("int one(void);\nint one(void)\n{\n    return 1;\n}\n")
    options = ("-Wl,--entry=0",)
    first = toolchain.build(Isa.RV32IM, [source], options)
    made = first.stat().st_mtime_ns
    assert toolchain.build(Isa.RV32IM, [source], options) == first
    assert first.stat().st_mtime_ns == made
    source.write_text(source.read_text().replace("1", "2"))
    assert toolchain.build(Isa.RV32IM, [source], options) != first
    source.write_text("int one(void) { return x; }\n")
    with pytest.raises(InputError, match="sources must compile without warnings"):
        toolchain.build(Isa.RV32IM, [source], options)


# --- undefined behaviour ----------------------------------------------------------------------------------------------

HOST_MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "kernels.h"

typedef void kernel_fn(const struct nn_layer *);
static kernel_fn *const kernels[] = {KERNELS};

static void get(void *to, size_t bytes)
{
    if (fread(to, 1, bytes, stdin) != bytes)
        exit(3);
}

int main(void)
{
    uint32_t head[ARRAYS + 1];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        void *arrays[ARRAYS];
        int32_t numbers[20];
        get(numbers, sizeof numbers);
        for (int i = 0; i < ARRAYS; i++)
            get(arrays[i] = malloc(head[i + 1]), head[i + 1]);
        struct nn_layer layer = {
            arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], arrays[5], arrays[6], arrays[7], arrays[8],
            {arrays[9]}, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
            numbers[7], numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13], numbers[14],
            {numbers[15]}, numbers[16], numbers[17], numbers[18], numbers[19]};
        kernels[head[0]](&layer);
        fwrite(arrays[OUTPUT], 1, head[OUTPUT + 1], stdout);
        for (int i = 0; i < ARRAYS; i++)
            free(arrays[i]);
    }
    return 0;
}
"""
"""Runs layers from standard input: every array is a block of the heap of exactly its size."""

Layer = tuple[Kernel, Shape, LayerData]


@pytest.fixture(scope="module")
def host_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain C back end for this machine, with GCC's sanitizers for undefined behaviour and for addresses."""
    folder = tmp_path_factory.mktemp("host")
    numbers = {"KERNELS": ", ".join(kernel.name for kernel in ALL), "ARRAYS": len(k.POINTERS),
               "OUTPUT": k.POINTERS.index("output")}  # fmt: skip
    lines = [f"#define {name} {value}" for name, value in numbers.items()]
    (folder / "main.c").write_text("\n".join([*lines, HOST_MAIN]))
    sources = [*sorted(toolchain.C_FOLDER.glob("*.c")), folder / "main.c"]
    flags = ["-O0", "-std=c11", "-fsanitize=undefined,address", "-I", str(toolchain.C_FOLDER)]
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(folder / "main")], check=True, capture_output=True)
    return folder / "main"


def run_on_host(program: Path, layers: list[Layer], columns_short: int = 0) -> tuple[list[np.ndarray], str]:
    """The outputs of layers, and what the sanitizers say. `columns_short`: bytes that the scratch buffer lacks."""
    given = []
    for kernel, shape, data in layers:
        arrays = k.arrays_of(kernel, shape, data, Isa.RV32IM)
        arrays["columns"] = arrays["columns"][: len(arrays["columns"]) - columns_short]
        numbers = k.layer_struct(dict.fromkeys(k.POINTERS, 0), shape, data)[4 * len(k.POINTERS) :]
        head = struct.pack(f"<{len(k.POINTERS) + 1}I", ALL.index(kernel), *(len(arrays[n]) for n in k.POINTERS))
        given += [head, numbers, *(arrays[name] for name in k.POINTERS)]
    done = subprocess.run([program], input=b"".join(given), capture_output=True, check=False)
    found, at = [], 0
    for kernel, shape, _ in layers:
        size = shape.out_h * shape.out_w * shape.out_c * kernel.out_bits // 8
        output = k.unpack(done.stdout[at : at + size], kernel.out_bits)
        found.append(output.reshape(shape.out_h, shape.out_w, shape.out_c) if len(output) else output)
        at += size
    return found, done.stderr.decode()


def test_nothing_in_the_kernels_is_undefined_nor_beyond_its_arrays(host_program: Path, deep: bool) -> None:
    rng = np.random.default_rng(70)
    layers: list[Layer] = []
    for kernel in ALL * (10 if deep else 1):
        shape = k.random_shape(kernel.operation, rng, 4)
        data = k.random_data(kernel, shape, rng)
        if data.bias.size:  # as far out as they come: sums wrap
            data = replace(data, bias=rng.choice([-(2**31), 2**31 - 1], data.bias.shape))
        layers.append((kernel, shape, data))
    outputs, told = run_on_host(host_program, layers)
    assert told == ""
    for layer, output in zip(layers, outputs, strict=True):
        assert (output == golden(*layer)).all(), layer[:2]
    print(f"{len(layers)} layers on this machine under both sanitizers, all equal")


def test_a_column_sum_times_a_zero_point_may_wrap(host_program: Path) -> None:
    """The products of a wide layer fit 32 bits, and what is subtracted at once for the zero point of its weights does
    not."""
    kernel, shape = Kernel(Operation.DENSE, 8, 8, 8, Scheme.PL_ICN), Shape(24, 24, 64, 1, 1, 4)
    weights = np.random.default_rng(1).integers(250, 256, (4, 24, 24, 64))
    data = LayerData(np.full((24, 24, 64), 255), weights, np.zeros(4, np.int64), np.full(4, 2**30), np.full(4, 14),
                     weight_zero=253, output_zero=128)  # fmt: skip
    assert 253 * int(data.inputs.sum()) >= 2**31 > np.abs((weights - 253).sum(axis=(1, 2, 3)) * 255).max()
    [output], told = run_on_host(host_program, [(kernel, shape, data)])
    assert told == "" and (output == golden(kernel, shape, data)).all()


def test_the_sanitizers_see_what_is_wrong(host_program: Path) -> None:
    """A buffer a byte too short, and a factor of a sum that no conversion makes."""
    rng = np.random.default_rng(71)
    kernel, shape = Kernel(Operation.POINTWISE, 8, 8, 8), Shape(2, 1, 4, 2, 1, 4)
    data = k.random_data(kernel, shape, rng)
    assert "heap-buffer-overflow" in run_on_host(host_program, [(kernel, shape, data)], columns_short=1)[1]
    kernel, shape = Kernel(Operation.ADD, 8, 8, 8), Shape(1, 1, 4, 1, 1, 4)
    data = replace(k.random_data(kernel, shape, rng), inputs=np.full((1, 1, 4), 255), input_scale=2**30)
    assert "signed integer overflow" in run_on_host(host_program, [(kernel, shape, data)])[1]
