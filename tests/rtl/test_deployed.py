"""A deployed network on the RTL of each core: the sources written for a Cortex-M7, built for RISC-V, to the word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelerators.mcu.deploy import binding, deployer
from accelerators.mcu.deploy.parts import find_part
from accelerators.mcu.rv32.model import cycles_of
from accelerators.mcu.rv32.profile import call_of
from accelerators.mcu.rv32.trace import traced
from accelerators.mcu.toolchain import Isa
from hwsim.config import load_design
from hwsim.cosim.circuit import Image, Stimulus
from hwsim.cosim.simulator import build, run
from hwsim.deploy.folder import write_folder
from hwsim.errors import InputError
from hwsim.quant import formats
from hwsim.quant.assign import Bits
from hwsim.quant.infer import infer, quantize_input
from rtl_models.mcu import firmware
from rtl_models.mcu.cores import SOURCES, hdl_of


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The folder of a residual network at 8- and 4-bit values and weights, and the bytes that must come out."""
    pytest.importorskip("torch")
    from hwsim.quant.training.blocks import Recipe
    from hwsim.quant.training.convert import convert
    from hwsim.quant.training.prepare import prepare
    from tests.deploy_target import residual

    module, images = residual()
    network = convert(prepare(module, Bits((8, 4, 4), (8, 4, 8, 8, 8)), Recipe.PC_ICN, images), (3, 12, 12), "residual")
    image = deployer.image_of(network, Isa.ARMV7EM)
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    found = deployer.deployment(image, network, find_part("stm32h743"), codes)
    folder = tmp_path_factory.mktemp("rtl") / "net"
    write_folder(found.files, folder, force=False)
    out = image.network.values[image.network.output]
    wanted = infer(image.network, binding.fill(network.values[network.input], codes)[None])[0]
    assert len(set(wanted.reshape(-1).tolist())) > 3
    return folder, formats.pack(wanted, out.bits).tobytes()


@pytest.mark.parametrize("core", list(SOURCES))
def test_a_deployed_network_gives_the_golden_words(core: str, deployed: tuple[Path, bytes]) -> None:
    """And its cycles, the copy of the input and the comparison within them, are those of the model."""
    from hwsim.cosim import toolchain

    try:
        hdl = hdl_of(core)
        toolchain.require("verilator")
    except InputError as error:
        pytest.skip(str(error))
    folder, output = deployed
    content, base = firmware.network_of(Isa.RV32IM, folder, len(output))
    assert len(content) < firmware.MEMORY_BYTES - firmware.STACK_BYTES
    expected = firmware.words(bytes(4) + output + bytes(-len(output) % 4))
    unwritten = b"\xa5" * 4
    if len(output) % 4:
        expected[-1] |= int.from_bytes(unwritten[len(output) % 4 :].rjust(4, b"\0"), "little")
    stimulus = Stimulus(
        {"result_base": base // 4, "result_words": len(expected)},
        {"program": Image(32, firmware.words(content))},
        {"results": Image(32, expected)},
        limit=40_000_000,
    )
    seen = run(build(hdl, {}, "verilator"), [stimulus], ["cycles_total"])[0]
    assert seen.memories["results"] == expected
    design = load_design(core).design
    trace = traced(content, firmware.ENTRY, firmware.MEMORY_BYTES, data=bool(design.dcache_bits))
    cycles, total = cycles_of(design, call_of(trace, 0, design)), int(seen.counters["cycles_total"] or 0)
    print(f"{core}: {len(output)} bytes as golden, {total:,} cycles, the model {cycles:,} ({cycles / total - 1:+.2%})")
    assert abs(cycles / total - 1) < 0.02
    assert np.any(np.frombuffer(output, np.uint8))
