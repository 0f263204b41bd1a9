"""The text of the generated C: the network's parameters and calls, its check, and which kernels it uses.

Names of layers appear in comments alone, with everything but letters, digits, dots and dashes taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from accelerators.mcu.deploy.binding import BoundLayer
from accelerators.mcu.deploy.memory import MemoryPlan, value_bytes
from accelerators.mcu.kernels import POINTERS, SUMS, WITH_WEIGHTS, Kernel, LayerData, Operation, Shape, arrays_of
from accelerators.mcu.toolchain import C_FOLDER, TARGETS, Isa, flags_of
from hwsim.quant.network import Network, Value

HEADERS = ("isa.h", "kernels.h", "layer.h", "quad.h", "requantize.h")
COLUMN = 110
WORD = 4
ELEMENTS = {
    "weights": ("uint32_t", "<u4"),
    "bias": ("int32_t", "<i4"),
    "multipliers": ("int32_t", "<i4"),
    "shifts": ("int8_t", "i1"),
    "weight_zeros": ("uint8_t", "u1"),
    "thresholds": ("int16_t", "<i2"),
}
"""Parameters that live in flash: C type, and how their bytes read."""
SOFT_FLOAT, HARD_FLOAT = "-mfloat-abi=soft", "make FLOAT='-mfpu=fpv5-d16 -mfloat-abi=hard'"
NUMBERS = ("input_zero", "weight_zero", "output_zero", "multiplier", "shift", "other_zero", "input_scale",
           "other_scale")  # fmt: skip


def all_sources(
    network: Network, plan: MemoryPlan, isa: Isa, given: bytes, wanted: Sequence[bytes]
) -> dict[str, str]:  # fmt: skip
    """Every source file by name. `given` is a packed input, `wanted` the packed outputs it must give."""
    kernels = [layer.kernel for layer in plan.layers]
    texts = {name: (C_FOLDER / name).read_text() for name in (*HEADERS, *kernel_files(kernels))}
    return texts | {
        "nn_used.h": used_text(kernels),
        "network.h": header_text(network, plan),
        "network.c": network_text(network, plan, isa),
        "check.c": check_text(given, dict(zip(output_names(network), wanted, strict=True))),
        "Makefile": makefile_text(isa),
    }


def kernel_files(kernels: Iterable[Kernel]) -> list[str]:
    """The kernel sources that a network needs."""
    used = {kernel.operation for kernel in kernels}
    wanted = {
        "add.c": set(SUMS),
        "columns.c": set(WITH_WEIGHTS),
        "convolution.c": {Operation.CONV, Operation.POINTWISE, Operation.DENSE},
        "depthwise.c": {Operation.DEPTHWISE},
        "pooling.c": {Operation.MAX_POOL, Operation.AVERAGE_POOL},
        "product.c": {Operation.CONV, Operation.POINTWISE, Operation.DENSE},
    }
    return [name for name, operations in wanted.items() if operations & used]


# --- which kernels --------------------------------------------------------------------------------------------------


def used_text(kernels: Iterable[Kernel]) -> str:
    """`nn_used.h`: the lists of `kernels.h` cut down to `kernels`; the linker drops what of these nobody calls."""
    bits, products, layers = set[int](), set[str](), set[str]()
    sums: dict[Operation, set[str]] = {operation: set() for operation in SUMS}
    for kernel in kernels:
        name, i, o, w = kernel.scheme.name, kernel.in_bits, kernel.out_bits, kernel.weight_bits
        if kernel.operation in sums:
            sums[kernel.operation].add(f"M({i}, {o}, {w})")
            continue
        bits.add(i)
        if kernel.operation in WITH_WEIGHTS:
            products.add(f"M({w}, {o}, {name.lower()}, NN_{name})")
            layers.add(f"M({i}, {w}, {o}, {name.lower()}, NN_{name})")
    lists = {"NN_EACH_BITS": {f"M({n})" for n in bits}, "NN_EACH_PRODUCT": products, "NN_EACH_LAYER": layers,
             **{f"NN_EACH_{operation.name}": found for operation, found in sums.items()}}  # fmt: skip
    lines = [f"#define {name}(M) {' '.join(sorted(found))}".rstrip() for name, found in lists.items()]
    return "\n".join(["/* Generated: the kernels of this network. */", *lines, ""])


# --- the network ------------------------------------------------------------------------------------------------------


def header_text(network: Network, plan: MemoryPlan) -> str:
    """`network.h`: the arena, where input and output lie in it, and what their codes mean."""
    lines = [
        f"/* Generated from {plain(network.name)}: what a program needs of the network. */",
        "#ifndef NETWORK_H",
        "#define NETWORK_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define NETWORK_ARENA_BYTES {plan.arena_bytes}",
        "extern uint32_t network_arena[NETWORK_ARENA_BYTES / 4];",
        "",
    ]
    for title, name in {"INPUT": network.input, **output_names(network)}.items():
        value = network.values[name]
        what = f" of {plain(name)}" if network.heads and name != network.input else ""
        lines += [f"/* {title.lower()}{what}: {_format(value)} */",
                  f"#define NETWORK_{title} ((uint8_t *)network_arena + {plan.offset_bytes(name)})",
                  f"#define NETWORK_{title}_BYTES {value_bytes(value)}", ""]  # fmt: skip
    outputs = " and ".join(f"NETWORK_{title}" for title in output_names(network))
    lines += [f"/* From the codes at NETWORK_INPUT to those at {outputs}; the input is written over. */",
              "void network_run(void);", "", "/* How many bytes of all output differ from the expected ones: 0. */",
              "int32_t network_check(void);", "", "#endif", ""]  # fmt: skip
    return "\n".join(lines)


def output_names(network: Network) -> dict[str, str]:
    """The outputs by what they are called in C: OUTPUT, OUTPUT_2 and so on."""
    return {f"OUTPUT_{i}" if i > 1 else "OUTPUT": name for i, name in enumerate(network.outputs, 1)}


def _format(value: Value) -> str:
    height, width, channels = value.shape
    shape = f"{height} x {width} x {channels}, {value.bits} bits"
    return f"{shape}, value = {value.scale:.9g} * (code - {value.zero})"


def network_text(network: Network, plan: MemoryPlan, isa: Isa) -> str:
    """`network.c`: parameters, layer structures, and the calls in order."""
    layers = plan.layers
    arrays = [_arrays(layer, i, isa) for i, layer in enumerate(layers)]
    structs = [_struct(layer, i, plan, isa) for i, layer in enumerate(layers)]
    calls = [f"    {layer.kernel.name}(&layers[{i}]);" for i, layer in enumerate(layers)]
    return "\n".join([
        f"/* Generated from {plain(network.name)}. */",
        '#include "network.h"',
        '#include "isa.h"',
        '#include "kernels.h"',
        "",
        f"#if NN_BYTE_COLUMNS != {int(isa == Isa.XPULP)}",
        "#error weights and biases were packed for another instruction set",
        "#endif",
        "",
        "#ifndef NETWORK_ARENA",
        "#define NETWORK_ARENA /* say where it lies, for instance __attribute__((section(...))) */",
        "#endif",
        "NETWORK_ARENA uint32_t network_arena[NETWORK_ARENA_BYTES / 4];",
        "",
        "#define AT(offset) ((uint8_t *)network_arena + (offset))",
        "",
        *(line for lines in arrays for line in lines),
        f"static const struct nn_layer layers[{len(layers)}] = {{",
        *structs,
        "};",
        "",
        "void network_run(void)",
        "{",
        *calls,
        "}",
        "",
    ])  # fmt: skip


def constants_of(layer: BoundLayer, isa: Isa) -> dict[str, bytes]:
    """The parameters of a layer that live in flash, packed as its kernel reads them."""
    found = arrays_of(layer.kernel, layer.shape, layer.data, isa)
    return {name: _in_words(found[name]) if name == "weights" else found[name] for name in ELEMENTS if found[name]}


def _in_words(data: bytes) -> bytes:
    return data + bytes(-len(data) % WORD)


def _arrays(layer: BoundLayer, number: int, isa: Isa) -> list[str]:
    lines = [f"/* {number}: {plain(layer.name)} */"]
    for name, data in constants_of(layer, isa).items():
        kind, read = ELEMENTS[name]
        values = np.frombuffer(data, read).tolist()
        texts = [f"0x{v:x}" for v in values] if name == "weights" else [str(v) for v in values]
        # Kernels read whole words of some of these.
        lines.append(f"static const {kind} {name}_{number}[{len(values)}] __attribute__((aligned(4))) = {{")
        lines += [*wrapped_list(texts), "};"]
    return [*lines, ""]


def wrapped_list(texts: Sequence[str]) -> list[str]:
    """Texts with commas, in indented lines of a readable length."""
    lines, line = [], "   "
    for text in texts:
        if len(line) + len(text) + 2 > COLUMN:
            lines.append(line)
            line = "   "
        line += f" {text},"
    return [*lines, line]


def _struct(layer: BoundLayer, number: int, plan: MemoryPlan, isa: Isa) -> str:
    places = {"input": layer.reads[0], "output": layer.output, "other": layer.reads[1] if layer.reads[1:] else ""}
    fields = {name: f"AT({plan.offset_bytes(value)})" for name, value in places.items() if value}
    columns = plan.columns_bytes(layer.name)
    if columns is not None:
        fields["columns"] = f"AT({columns})"
    fields |= {name: f"{name}_{number}" for name in constants_of(layer, isa)}
    pointers = [f".{name} = {fields.get(name, '0')}" for name in POINTERS]
    numbers = [f".{name} = {value}" for name, value in numbers_of(layer.shape, layer.data).items()]
    lines = wrapped_list([*pointers, *numbers])
    return "\n".join(["    {", *(f"    {line}" for line in lines), "    },"])


def numbers_of(shape: Shape, data: LayerData) -> dict[str, int]:
    """The fields of `struct nn_layer` that are numbers."""
    return {**shape._asdict(), **{name: int(getattr(data, name)) for name in NUMBERS}}


def plain(name: str) -> str:
    """A name of the user's as it may stand in a comment."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:80]


# --- around it --------------------------------------------------------------------------------------------------------


def check_text(given: bytes, wanted: Mapping[str, bytes]) -> str:
    """`check.c`: runs one input whose outputs, by what they are called in C, are known."""
    return "\n".join([
        "/* Generated: one input, and the output it must give. NETWORK_MAIN: with a main, for `make check`. */",
        '#include "network.h"',
        "",
        f"static const uint8_t given[{len(given)}] = {{",
        *wrapped_list([str(b) for b in given]),
        "};",
        *(line for name, data in wanted.items() for line in (
            f"static const uint8_t {_wanted(name)}[{len(data)}] = {{", *wrapped_list([str(b) for b in data]), "};",
        )),
        "",
        "int32_t network_check(void)",
        "{",
        "    int32_t wrong = 0;",
        "    for (int32_t i = 0; i < NETWORK_INPUT_BYTES; i++)",
        "        NETWORK_INPUT[i] = given[i];",
        "    network_run();",
        *(line for name in wanted for line in (
            f"    for (int32_t i = 0; i < NETWORK_{name}_BYTES; i++)",
            f"        wrong += NETWORK_{name}[i] != {_wanted(name)}[i];",
        )),
        "    return wrong;",
        "}",
        "",
        "#ifdef NETWORK_MAIN",
        "int main(void)",
        "{",
        "    return network_check() != 0;",
        "}",
        "#endif",
        "",
    ])  # fmt: skip


def _wanted(name: str) -> str:
    return f"wanted{name.removeprefix('OUTPUT').lower()}"


def makefile_text(isa: Isa) -> str:
    """Builds a library for the part; `make check` runs the plain C kernels on this computer."""
    portable = "" if isa == Isa.XPULP else "\n".join([
        "check: $(SOURCES) check.c",
        "\t$(HOSTCC) -O1 -std=c11 -DNETWORK_MAIN $^ -o check",
        "\t./check",
    ])  # fmt: skip
    flags = [flag for flag in flags_of(isa) if flag != SOFT_FLOAT]
    soft = [f"# The kernels compute without floats, but must be compiled as what calls them is: {HARD_FLOAT}",
            f"FLOAT = {SOFT_FLOAT}"] if len(flags) < len(flags_of(isa)) else []  # fmt: skip
    return "\n".join([
        f"CC = {TARGETS[isa].compiler}",
        "HOSTCC = cc",
        *soft,
        f"CFLAGS = {' '.join(flags)}{' $(FLOAT)' if soft else ''}",
        "SOURCES = $(filter-out check.c, $(wildcard *.c))",
        "",
        "libnetwork.a: $(SOURCES:.c=.o) check.o",
        f"\t{TARGETS[isa].compiler.removesuffix('gcc')}ar rcs $@ $^",
        "",
        portable,
        "clean:",
        "\trm -f *.o libnetwork.a check",
        "",
        ".PHONY: check clean" if portable else ".PHONY: clean",
        "",
    ])  # fmt: skip
