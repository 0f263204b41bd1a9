"""The fixture `rtl`: a circuit and the model of it meet in one test. PYTEST_DONT_REWRITE

A test module (or conftest.py) asks for it by name:

    pytest_plugins = ["hwsim.testing.rtl"]

    def test_mine(rtl):
        seen = rtl(["mine.sv"], "mine", memories={"a": a}, expected={"y": y}, counters=Counts._fields)
        assert Counts(**seen.counters) == count(Design(), Task())

The test runs once on every simulator that hwsim knows, and is skipped on one that is not installed. The top module has
the ports that `hwsim.cosim.circuit` states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.cosim.simulator import Observation, build, run
from hwsim.cosim.toolchain import SIMULATORS, require
from hwsim.errors import InputError

Words: TypeAlias = "Image | np.ndarray[Any, Any]"
"""Contents of a memory: an Image, or a numpy integer array, whose type says how wide a word is: `int8` makes words of
8 bits in two's complement. Arrays of several dimensions are laid out row after row."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the circuit did in a run that ended well.

    counters  by port, as they stood when it was done
    memories  the words it left in each memory that something was expected of; arrays like those expected
    events    its log, if the circuit writes one (see `hwsim.cosim.circuit`)
    cycles    from the first one after start until done rose, by the clock
    waves     the file of waves that was asked for
    """

    counters: Mapping[str, int]
    memories: Mapping[str, np.ndarray[Any, Any]]
    events: tuple[Event, ...]
    cycles: int
    waves: Path | None


@dataclass(frozen=True, slots=True)
class Rtl:
    """Builds and runs circuits on one simulator. Relative paths start in `folder`, the test's own."""

    simulator: str
    folder: Path

    def __call__(
        self,
        sources: str | Path | Sequence[str | Path],
        top: str,
        *,
        parameters: Mapping[str, int] | None = None,
        registers: Mapping[str, int] | None = None,
        memories: Mapping[str, Words] | None = None,
        expected: Mapping[str, Words] | None = None,
        counters: Iterable[str] = (),
        limit: int = 1_000_000,
        waves: str | Path | None = None,
    ) -> Seen:
        """Build `top` (again only if something changed), run it once, and hold what it leaves to what is expected.

        parameters  Verilog parameter -> value, of the top module
        registers   input port -> value, held for the whole run
        memories    name -> words the circuit reads from <case_id>.<name>.hex
        expected    name -> words it must have written to <case_id>.<name>.out
        counters    output ports to read when it is done
        limit       clock cycles after which it has failed
        waves       a folder to write waves into: VCD from Verilator, FST from Icarus

        The test fails, with the reason alone, at the first word that differs or is undefined, at an undefined counter,
        when the circuit is not done within the limit, and when the simulator refuses it.
        """
        given = [sources] if isinstance(sources, str | Path) else list(sources)
        hdl = Hdl(top, tuple(self.folder / source for source in given), tuple(parameters or {}))
        stimulus = Stimulus(dict(registers or {}), _images(memories), _images(expected), limit=limit)
        seen = self._run(hdl, dict(parameters or {}), stimulus, list(counters), waves)
        wrong = seen if isinstance(seen, str) else next(_differences(stimulus, seen), "")
        if wrong:
            pytest.fail(f"{top} on {self.simulator}: {wrong}", pytrace=False)
        assert not isinstance(seen, str)
        return _seen(seen, expected or {})

    def _run(
        self, hdl: Hdl, parameters: Mapping[str, int], stimulus: Stimulus, counters: list[str], waves: str | Path | None
    ) -> Observation | str:
        """One run, or why there is none."""
        folder = self.folder / waves if waves is not None else False
        try:
            built = build(hdl, parameters, self.simulator)
            [seen] = run(built, [stimulus], counters, trace=True, waves=folder)
        except InputError as error:
            return str(error)
        return seen


@pytest.fixture(params=SIMULATORS)
def rtl(request: pytest.FixtureRequest) -> Rtl:
    """A function that runs a circuit on a simulator; see `Rtl`. The test is run once a simulator.

    To keep to one: `pytest -k icarus`, or `@pytest.mark.parametrize("rtl", ["icarus"], indirect=True)`.
    """
    try:
        require(request.param)
    except InputError as error:
        pytest.skip(f"{request.param} cannot be used: {error}")
    return Rtl(request.param, request.path.parent)


# --- words ------------------------------------------------------------------------------------------------------


def _images(words: Mapping[str, Words] | None) -> dict[str, Image]:
    return {name: _image(name, each) for name, each in (words or {}).items()}


def _image(name: str, words: Words) -> Image:
    """Words as unsigned numbers. Fails the test where their width is not known."""
    if isinstance(words, Image):
        return words
    array = np.ascontiguousarray(words)
    if array.dtype.kind not in "iu":
        pytest.fail(f"{name}: words of type {array.dtype} have no width in bits; "
                    "give an integer array, for instance of type int16, or an Image", pytrace=False)  # fmt: skip
    unsigned = array.reshape(-1).view(f"u{array.itemsize}")
    return Image(8 * array.itemsize, [int(word) for word in unsigned])


def _like(words: Sequence[int | None], pattern: Words) -> np.ndarray[Any, Any]:
    """Words the circuit left, as an array of the type and shape of those expected."""
    if isinstance(pattern, Image):
        return np.array(words, dtype=object)
    array = np.asarray(pattern)
    return np.array(words, dtype=f"u{array.itemsize}").view(array.dtype).reshape(array.shape)


# --- comparison -------------------------------------------------------------------------------------------------


def _differences(stimulus: Stimulus, seen: Observation) -> Iterator[str]:
    """What is wrong with a run, the most telling first."""
    if seen.timed_out:
        yield f"not done after {stimulus.limit} cycles"
    for name, value in seen.counters.items():
        if value is None:
            yield f"counter {name} has undefined bits"
    for name, image in stimulus.expected.items():
        found = list(zip(image.words, seen.memories[name], strict=True))
        wrong = [at for at, (word, got) in enumerate(found) if word != got]
        if wrong:
            yield _told(name, image.width_bits, wrong, *found[wrong[0]])


def _told(name: str, width_bits: int, wrong: Sequence[int], word: int, got: int | None) -> str:
    digits = -(-width_bits // 4)
    left = "undefined or missing" if got is None else f"0x{got:0{digits}x}"
    return f"{name}[{wrong[0]}] is {left}, expected 0x{word:0{digits}x} ({len(wrong)} words differ)"


def _seen(seen: Observation, expected: Mapping[str, Words]) -> Seen:
    counters = {name: value for name, value in seen.counters.items() if value is not None}
    memories = {name: _like(seen.memories[name], words) for name, words in expected.items()}
    return Seen(counters, memories, seen.events, seen.cycles, seen.waves)
