"""Vectors as text: lines of 0 and 1, the first character for input 0, read and answered block by block.

Blank lines and lines that begin with `#` are skipped, and so are blanks around a line. Memory does not grow with the
number of lines, and what has arrived on a pipe is answered without waiting for more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from hwsim.document import shown_path
from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.netlist.evaluate import evaluate
from hwsim.netlist.netlist import Netlist

Bits = npt.NDArray[np.uint8]

STDIN = "<stdin>"
_CHUNK_BYTES = 1 << 20
_ANSWER_BYTES = 8 << 20
_COMMENT_BYTES = 1 << 16
_ZERO = ord("0")
_BOM = b"\xef\xbb\xbf"


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """A file of vectors. Raises InputError for one that cannot be read."""
    try:
        stream: IO[bytes] = Path(path).open("rb", buffering=0)  # noqa: SIM115 (closed below)
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "strerror", None) or "the path is not legal"
        rule = f"the file of vectors cannot be read ({reason})"
        raise bad_input("unreadable-file", shown_path(path), rule, key="--run") from None
    with stream:
        yield stream


def answers(netlist: Netlist, stream: IO[bytes], file: str) -> Iterator[bytes]:
    """The output bits for the vectors in `stream`, output 0 first, a line a vector; several lines at a time.

    `file` names the stream in messages. Raises InputError for the first line that is no vector, after the answers to
    those before it.
    """
    for bits in vectors(netlist.inputs, stream, file, _lines_at_once(netlist)):
        text = np.full((len(bits), len(netlist.outputs) + 1), ord("\n"), np.uint8)
        text[:, :-1] = evaluate(netlist, bits) + _ZERO
        yield text.tobytes()


def _lines_at_once(netlist: Netlist) -> int:
    return max(1, min(_CHUNK_BYTES // (netlist.inputs + 1), _ANSWER_BYTES // (len(netlist.outputs) + 1)))


def vectors(inputs: int, stream: IO[bytes], file: str, lines_at_once: int) -> Iterator[Bits]:
    """The vectors in a stream, uint8[lines, inputs] at a time. Raises InputError for a line that is none."""
    rest, number = b"", 1
    longest = inputs + _COMMENT_BYTES
    while chunk := stream.read(lines_at_once * (inputs + 1)):
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield from _parsed(whole + newline, inputs, file, number)
            number += whole.count(b"\n") + 1
        if len(rest) > longest:
            where = Where(file, number, inputs + 1)
            raise InputError((Problem("width", where, f"more than {longest} characters", _width_rule(inputs)),))
    if rest:
        yield from _parsed(rest + b"\n", inputs, file, number)


def _parsed(text: bytes, inputs: int, file: str, number: int) -> Iterator[Bits]:
    """The vectors of whole lines, of which the first has this number."""
    if number == 1:
        text = text.removeprefix(_BOM)
    found = _regular(text, inputs)
    if found is not None:
        yield found
        return
    good, refused = _vector_lines(text, inputs, file, number)
    if good:
        yield np.frombuffer(b"".join(good), np.uint8).reshape(-1, inputs) - _ZERO
    if refused:
        raise refused


def _vector_lines(text: bytes, inputs: int, file: str, number: int) -> tuple[list[bytes], InputError | None]:
    """The lines that are vectors, up to the first that is wrong, and what is wrong with it."""
    good: list[bytes] = []
    for nth, raw in enumerate(text.split(b"\n")[:-1], number):
        line = raw.strip()
        if line and not line.startswith(b"#"):
            problem = _line_problem(line, inputs, file, nth, raw.index(line) + 1)
            if problem:
                return good, InputError((problem,))
            good.append(line)
    return good, None


def _regular(text: bytes, inputs: int) -> Bits | None:
    """The vectors, where every line is one and nothing else; None otherwise."""
    if len(text) % (inputs + 1):
        return None
    table = np.frombuffer(text, np.uint8).reshape(-1, inputs + 1)
    bits = table[:, :-1] - _ZERO
    return bits if (table[:, -1] == ord("\n")).all() and (bits <= 1).all() else None


def _line_problem(line: bytes, inputs: int, file: str, number: int, col: int) -> Problem | None:
    """What is wrong with a line that begins at column `col`."""
    odd = len(line) - len(line.lstrip(b"01"))
    if odd < len(line):
        got = shown(line[odd : odd + 1].decode("ascii", "backslashreplace"))
        rule, remedy = "a vector holds the characters 0 and 1 alone", "Put comments on lines of their own."
        return Problem("character", Where(file, number, col + odd), got, rule, remedy)
    if len(line) != inputs:
        where = Where(file, number, col + min(len(line), inputs))
        return Problem("width", where, f"{len(line)} characters", _width_rule(inputs))
    return None


def _width_rule(inputs: int) -> str:
    return f"a vector of this network has {inputs} character{'s'[: inputs != 1]}, one an input"
