"""Compiled functions as parts and wholes: what is linked, what is kept, and what stays callable."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from hwsim.pure import pure
from hwsim.timing.compile import LOOP, compile_pure, pure_part
from hwsim.timing.linking import PartLibrary, WholeLibrary, _in_order


@pure
def tripled(x: int) -> int:
    return 3 * x


@pure
def above(x: int) -> int:
    if x > 10:
        return tripled(x) + 1
    return tripled(x)


@pure
def both(x: int) -> int:
    """Calls one function directly and through another."""
    return tripled(x) - above(x + 1) // 2


def _library(function: Any) -> Any:
    [result] = function.overloads.values()
    return result.library


def test_a_part_stays_as_it_was_written_and_a_whole_is_machine_code() -> None:
    whole, part = compile_pure(both), pure_part(both)
    assert whole(12) == both(12)

    @numba.njit(**LOOP)
    def drive(out: Any) -> None:
        for i in range(len(out)):
            out[i] = part(i)

    out = np.zeros(20, np.int64)
    drive(out)
    assert out.tolist() == [both(i) for i in range(20)]
    assert type(_library(part)) is PartLibrary and type(_library(whole)) is type(_library(drive)) is WholeLibrary
    assert _library(whole)._final_module.closed and _library(drive)._final_module.closed
    assert not _library(part)._final_module.closed
    names = [f.name for f in _library(part)._final_module.functions if not f.is_declaration]
    assert len(names) == 1 and "both" in names[0]
    assert _library(part).get_pointer_to_function(names[0]) == 0


def test_a_library_comes_behind_all_that_link_it() -> None:
    """The inner one is linked by the outermost and by the one between: it must come last."""
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    outer, between, inner = (PartLibrary(codegen, name) for name in ("outer", "between", "inner"))
    outer._linking_libraries = [inner, between]
    between._linking_libraries = [inner]
    assert _in_order([outer]) == [outer, between, inner]
    assert _in_order([inner, outer]) == [outer, between, inner]


def test_a_function_that_was_not_linked_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    part = pure_part(tripled)

    @numba.njit(**LOOP)
    def drive(x: Any) -> Any:
        return part(x)

    monkeypatch.setattr("hwsim.timing.linking._in_order", lambda libraries: [])
    with pytest.raises(RuntimeError, match=r"is linked without _ZN.*tripled"):
        drive(1)


def test_a_whole_can_be_linked_by_others() -> None:
    whole = compile_pure(above)

    @numba.njit
    def total(n: int) -> int:
        found = 0
        for i in range(n):
            found += whole(i)
        return found

    assert total(30) == sum(map(above, range(30)))
