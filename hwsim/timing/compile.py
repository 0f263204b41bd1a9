"""Pure functions as machine code: the same source as a single run, for a million rows.

    compile_pure(fn)       a @pure function and every @pure function it calls, compiled
    table(count)           count(design, task) over all designs x tasks, a status per row
    agreement(fn, rows)    plain and compiled compared, row by row
    compiled_recurrence()  `hwsim.timing.recurrence.run_recurrence`, compiled

Importing this module imports numba; a single run never does. Compiled code raises ZeroDivisionError where Python does
and OverflowError where an integer leaves 64 bits (`hwsim.timing.checked`), so it answers with the same integer as
Python or with none. Floats are the same too but for two things: where Python raises because a result is beyond range
or undefined, compiled code has inf or nan; and `int / int` beyond 2**53 is rounded once more than Python's.
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn, get_type_hints

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError

from hwsim.pure import ceil_div, clog2, is_pure, isqrt
from hwsim.timing import recurrence
from hwsim.timing.checked import CHECKED_CALLS, CheckedCompiler, CheckedPart, WrappingPart
from hwsim.timing.linking import LinkedCompiler, PartCompiler, WholeCompiler

OK, ZERO_DIVISION, OVERFLOW = range(3)
"""Status of a row: computed; a divisor was zero; an integer left 64 bits."""

BUILTINS = frozenset({"min", "max", "abs", "range", "int", "float", "bool", "len"})
MATH = frozenset({"ceil", "cos", "exp", "floor", "log", "log10", "log1p", "log2", "pow", "sin", "sqrt", "tanh"})
REFUSED_OPERATORS = frozenset({"<<", "<<=", "@", "@="})

# Without numba's reference counts, which are half a microsecond a step in the recurrence: nothing here allocates.
_PYTHON: dict[str, Any] = {"error_model": "python", "nogil": True, "_nrt": False}
_FAST: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
CHECKED = _PYTHON | {"pipeline_class": CheckedCompiler}
CHECKED_PART = _PYTHON | {"pipeline_class": CheckedPart}
WRAPPING_PART = _PYTHON | {"pipeline_class": WrappingPart}
ENGINE_PART = _FAST | {"pipeline_class": PartCompiler}
KEPT_ENGINE = _FAST | {"pipeline_class": LinkedCompiler, "cache": True}
ENGINE = _FAST | {"pipeline_class": WholeCompiler}
LOOP = _PYTHON | {"pipeline_class": WholeCompiler}
"""Options of what walks over rows and catches the errors of each."""

_PART_OF = {
    id(CHECKED): CHECKED_PART,
    id(CHECKED_PART): CHECKED_PART,
    id(WRAPPING_PART): WRAPPING_PART,
    id(ENGINE_PART): ENGINE_PART,
    id(KEPT_ENGINE): ENGINE_PART,
    id(ENGINE): ENGINE_PART,
}
"""How what a function calls is compiled."""

_built: dict[tuple[Any, int], Any] = {}


# --- pure functions -> machine code -----------------------------------------------------------------------------


def compile_pure(function: Callable[..., Any]) -> Any:
    """`function`, marked @pure, as a compiled function; its pure callees are compiled with it.

    Arguments may be numbers, NamedTuples of numbers (nested too), and rows of arrays made by `rows`. The result raises
    ZeroDivisionError like Python, and OverflowError where an integer leaves 64 bits.

    Raises TypeError, naming function, file and line, for anything outside the grammar of pure functions: a call of an
    unmarked function, a closure, an inner function, a module's attribute, a global that is no number, tuple of numbers,
    IntEnum or NamedTuple class. This is a bug of the function's author.
    """
    return _rebuild(function, CHECKED, ())


def pure_part(function: Callable[..., Any]) -> Any:
    """`function`, marked @pure, for compiled code to call: as `compile_pure`, but Python must not call it."""
    return _rebuild(function, CHECKED_PART, ())


def engine_part(function: Callable[..., Any]) -> Any:
    """`function`, marked @pure, for compiled code to call, over arrays and without checks: for the engine's own loops,
    whose integers are known to stay within 64 bits. Raises TypeError as `compile_pure` does."""
    return _rebuild(function, ENGINE_PART, ())


def names_read(function: Callable[..., Any]) -> frozenset[str]:
    """Every name that the pure `function` and its pure callees read: globals and attributes.

    A field whose name is not among them cannot change what the function answers. Raises TypeError where `compile_pure`
    would for a callee that is not pure.
    """
    found: set[str] = set()
    seen: set[Any] = set()
    waiting = [function]
    while waiting:
        this = waiting.pop()
        if this in seen:
            continue
        seen.add(this)
        _check_form(this)
        found |= set(this.__code__.co_names)
        used = (this.__globals__.get(name) for name, _ in _globals_used(this.__code__))
        waiting += [value for value in used if isinstance(value, FunctionType)]
    return frozenset(found)


def _rebuild(function: Any, options: dict[str, Any], callers: tuple[Any, ...]) -> Any:
    key = (function, id(options))
    if key not in _built:
        if function in callers:
            _refuse(function, 0, "calls itself, directly or through another function")
        if function in _QUICK:
            _built[key] = numba.njit(**options)(_QUICK[function])
            return _built[key]
        _check_form(function)
        used, inside = dict(_globals_used(function.__code__)), _PART_OF[id(options)]
        names = {name: _compilable(function, line, name, inside, (*callers, function)) for name, line in used.items()}
        known = {name: value for name, value in names.items() if value is not getattr(builtins, name, None)}
        _built[key] = _jit(function, {**known, "__builtins__": builtins}, options)
    return _built[key]


def _quick_isqrt(x: int) -> int:
    """`hwsim.pure.isqrt` by the processor's square root, which is at most one off."""
    if x <= 0:
        return 0
    r = int(math.sqrt(float(x)))
    if r > x // r:
        return r - 1
    if r + 1 <= x // (r + 1):
        return r + 1
    return r


def _quick_clog2(x: int) -> int:
    """`hwsim.pure.clog2` by halving the 64 bits."""
    rest = x - 1
    if rest <= 0:
        return 0
    bits = 1
    for half in (32, 16, 8, 4, 2, 1):
        if rest >> half > 0:
            rest = rest >> half
            bits = bits + half
    return bits


def _quick_ceil_div(a: int, b: int) -> int:
    """`hwsim.pure.ceil_div` without signs where there are none."""
    if a > 0 and b > 0:
        return np.int64(np.uint64(a - 1) // np.uint64(b)) + 1  # type: ignore[return-value]
    return -((-a) // b)


_QUICK: dict[Any, Any] = {isqrt: _quick_isqrt, clog2: _quick_clog2, ceil_div: _quick_ceil_div}
"""Pure functions for which the processor has a shorter way, and what stands for them in compiled code."""


def _jit(function: Any, names: dict[str, Any], options: dict[str, Any]) -> Any:
    names["__name__"] = function.__module__
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return numba.njit(**options)(copy)


def _check_form(function: Any) -> None:
    if not isinstance(function, FunctionType):
        raise TypeError(f"{function!r} is no plain function and cannot be compiled; mark a function with @pure")
    if not is_pure(function):
        _refuse(function, 0, "is not marked @pure")
    code = function.__code__
    if code.co_freevars:
        _refuse(function, 0, f"is a closure over {code.co_freevars[0]!r}; pass it as an argument")
    if any(isinstance(constant, CodeType) for constant in code.co_consts):
        _refuse(function, 0, "defines a function, class or comprehension inside; write a loop or a @pure function")
    for step in dis.get_instructions(code):
        if step.opname == "BINARY_OP" and step.argrepr in REFUSED_OPERATORS:
            _refuse(function, _line(step), f"uses the operator {step.argrepr}, which pure functions do not have")


def _globals_used(code: CodeType) -> Iterator[tuple[str, int]]:
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            yield step.argval, _line(step)


def _line(step: dis.Instruction) -> int:
    return (step.positions.lineno if step.positions else None) or 0


def _refuse(function: Any, line: int, what: str) -> NoReturn:
    code = function.__code__
    place = f"{code.co_filename}:{line or code.co_firstlineno}"
    raise TypeError(f"{place}: {function.__qualname__} cannot be compiled: it {what}")


def _compilable(function: Any, line: int, name: str, options: dict[str, Any], callers: tuple[Any, ...]) -> Any:
    """What compiled code uses for the global `name` of `function`."""
    missing = object()
    value = function.__globals__.get(name, getattr(builtins, name, missing))
    if value is missing:
        _refuse(function, line, f"uses the name {name!r}, which is not defined")
    if _is_known_call(name, value):
        return CHECKED_CALLS.get(value, value) if options is CHECKED_PART else value
    if isinstance(value, FunctionType):
        if not is_pure(value):
            _refuse(function, line, f"calls {name}, which is not marked @pure")
        return _rebuild(value, options, callers)
    if isinstance(value, ModuleType):
        _refuse(function, line, f"reads from the module {name!r}; import what it needs by its own name")
    if isinstance(value, type) and (issubclass(value, IntEnum) or _is_named_tuple(value)):
        return value
    if _is_constant(value):
        return _plain_constant(value)
    _refuse(
        function, line, f"uses the global {name!r}, a {type(value).__name__}; "
        "pure functions may use numbers, tuples of numbers, IntEnum and NamedTuple classes, and pure functions",
    )  # fmt: skip


def _is_known_call(name: str, value: object) -> bool:
    if name in BUILTINS and value is getattr(builtins, name):
        return True
    return any(value is getattr(math, known) for known in MATH)


def _is_named_tuple(value: type) -> bool:
    return issubclass(value, tuple) and hasattr(value, "_fields")


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float)


def _plain_constant(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(_plain_constant, value))
    return value


@contextmanager
def _explained(function: Any) -> Iterator[None]:
    """numba's report as one sentence with a place."""
    try:
        yield
    except NumbaError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        _refuse(function, 0, "has types that do not fit: " + " ".join(lines[:4]))


# --- classes of numbers -> rows of arrays -----------------------------------------------------------------------


@cache
def dtype_of(cls: type) -> np.dtype[Any]:
    """The numpy record type of a frozen dataclass or NamedTuple of int, float, bool, IntEnum and such classes.

    Raises TypeError naming the field that is none of these.
    """
    hints = get_type_hints(cls)
    return np.dtype([(name, _field_type(cls, name, hints[name])) for name in _field_names(cls)], align=True)


def _field_names(cls: Any) -> Sequence[str]:
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    return cls._fields  # type: ignore[no-any-return]


def _field_type(cls: type, name: str, hint: Any) -> Any:
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint) or _is_named_tuple(hint):
            return dtype_of(hint)
        if hint is bool:
            return np.bool_
        if issubclass(hint, int):
            return np.int64
        if hint is float:
            return np.float64
    raise TypeError(f"{cls.__qualname__}.{name} is {hint}; a row holds int, float, bool, IntEnum and classes of these")


def rows(cls: type, items: Iterable[Any]) -> np.ndarray[Any, Any]:
    """`items`, all of class `cls`, as a record array of `dtype_of(cls)`."""
    return np.array([_as_tuple(item) for item in items], dtype=dtype_of(cls))


def _as_tuple(value: Any) -> Any:
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return tuple(_as_tuple(getattr(value, name)) for name in _field_names(type(value)))
    return value


# --- counts over designs x tasks --------------------------------------------------------------------------------


def _check_counts(count: Callable[..., Any], compiled: Any, designs: Any, tasks: Any) -> None:
    arguments = (numba.typeof(designs).dtype, numba.typeof(tasks).dtype)
    compiled.compile(arguments)
    found = compiled.overloads[arguments].signature.return_type
    if not isinstance(found, types.BaseTuple) or not all(isinstance(t, types.Integer) for t in found):
        _refuse(count, 0, f"returns {found}, which is no NamedTuple of integers")


def _over_table(count: Any) -> Any:
    @numba.njit(**LOOP)
    def drive(designs: Any, tasks: Any, out: Any, status: Any) -> None:
        for i in range(len(designs)):
            for j in range(len(tasks)):
                status[i, j] = 0
                try:
                    row = count(designs[i], tasks[j])
                    for k in range(len(row)):
                        out[i, j, k] = row[k]
                except Exception:
                    out[i, j, :] = 0
                    status[i, j] = OVERFLOW

    return drive


def _over_failures(count: Any) -> Any:
    @numba.njit(**LOOP)
    def drive(designs: Any, tasks: Any, failed: Any, status: Any) -> None:
        for k in range(len(failed)):
            i, j = failed[k, 0], failed[k, 1]
            try:
                count(designs[i], tasks[j])
            except Exception:
                status[i, j] = ZERO_DIVISION

    return drive


class Table:
    """count(design, task) over all pairs, compiled at the first call. See `table`."""

    def __init__(self, count: Callable[..., Any]) -> None:
        self.count = count
        self._compiled = pure_part(count)
        self._all = _over_table(self._compiled)
        self._failures: Any = None

    def __call__(
        self,
        designs: np.ndarray[Any, Any],
        tasks: np.ndarray[Any, Any],
        out: np.ndarray[Any, Any],
        status: np.ndarray[Any, Any],
    ) -> None:
        shape = (len(designs), len(tasks))
        if out.ndim != 3 or out.shape[:2] != shape or out.dtype != np.int64 or status.shape != shape:
            raise ValueError(f"out must be int64 of shape {(*shape, 'fields')} and status of shape {shape}")
        with _explained(self.count):
            if not self._all.signatures:
                _check_counts(self.count, self._compiled, designs, tasks)
            self._all(designs, tasks, out, status)
            if status.any():
                self._tell_apart(designs, tasks, status)

    def _tell_apart(self, designs: Any, tasks: Any, status: Any) -> None:
        """Failed rows fail again with wrapping integers when a divisor is zero: only then was it not the overflow."""
        if self._failures is None:
            self._failures = _over_failures(_rebuild(self.count, WRAPPING_PART, ()))
        self._failures(designs, tasks, np.argwhere(status == OVERFLOW), status)


def table(count: Callable[..., Any]) -> Table:
    """A driver(designs, tasks, out, status) for the pure function count(design, task) -> NamedTuple of ints.

    designs, tasks  record arrays from `rows`, of length n and m
    out             int64[n, m, fields], filled with the counts; zeros where a row failed
    status          integer[n, m]: OK, ZERO_DIVISION or OVERFLOW; a row in which both happen may be called either

    Every integer operation is checked by the processor's overflow flag, so an overflow of any intermediate is found,
    and a row is marked only when there was one. One row's failure leaves the others alone. Runs without the GIL.
    """
    return Table(count)


# --- plain against compiled -------------------------------------------------------------------------------------


class _Outcome(NamedTuple):
    value: Any
    error: type[Exception] | None


def _outcome(function: Callable[..., Any], arguments: Sequence[Any]) -> _Outcome:
    try:
        return _Outcome(function(*arguments), None)
    except (ZeroDivisionError, OverflowError, ValueError) as error:
        return _Outcome(None, type(error))


def agreement(function: Callable[..., Any], argument_rows: Iterable[Sequence[Any]]) -> int:
    """Run `function` plain and compiled over rows of arguments; how many rows were compared and found equal.

    Arguments are numbers, NamedTuples or frozen dataclasses. A row counts when both give a value or both find a zero
    divisor. It does not count when one of them has no answer: the compiled function when an integer leaves 64 bits,
    Python when a float leaves its range or `log` its domain.

    Raises AssertionError with the first row in which the two differ.
    """
    compiled = compile_pure(function)
    n_equal = 0
    for arguments in argument_rows:
        plain = _outcome(function, arguments)
        with _explained(function):
            fast = _outcome(compiled, [_for_compiled(argument) for argument in arguments])
        if fast.error is OverflowError or plain.error in (OverflowError, ValueError):
            continue
        if plain.error is not fast.error or not _same(plain.value, fast.value):
            raise AssertionError(f"{function.__qualname__}{tuple(arguments)}: plain {plain}, compiled {fast}")
        n_equal += 1
    return n_equal


def _for_compiled(argument: Any) -> Any:
    if dataclasses.is_dataclass(argument):
        return rows(type(argument), [argument])[0]
    return argument


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b) or (a != a and b != b)  # noqa: PLR0124  NaN equals NaN here


# --- the recurrence ---------------------------------------------------------------------------------------------


def as_arrays(columns: Any) -> Any:
    """A NamedTuple of lists (Steps, Resources, Times, Scratch) with int64 arrays in their place."""
    return type(columns)(*(np.array(c, np.int64) if isinstance(c, list) else c for c in columns))


@cache
def compiled_recurrence() -> Any:
    """`run_recurrence(steps, resources, out, scratch)` compiled, for NamedTuples of int64 arrays; callable from other
    compiled code, where it allocates nothing. The machine code is kept on disk where numba finds a place to write."""
    try:
        return _rebuild(recurrence.run_recurrence, KEPT_ENGINE, ())
    except RuntimeError:  # numba's word for "no place to write"
        return _rebuild(recurrence.run_recurrence, ENGINE, ())
