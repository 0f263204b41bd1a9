"""Formulas over columns: the same answers as point by point, at the speed of arrays.

Integers stay integers: every part carries the largest magnitude it can reach, and where that leaves what 64-bit
integers (or, beside floats, 64-bit floats) hold exactly, the formula is worked out row by row in unbounded integers.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from hwsim.errors import bad_input
from hwsim.sweep.grammar import (
    Kind,
    UndefinedError,
    WrongKindError,
    compared,
    dotted_name,
    kind_of,
    kind_within,
    value_of,
    walk,
)

_MAX_INTEGER = 2**62
_EXACT = 2**53

Array = np.ndarray[Any, Any]


class _WideError(Exception):
    """An integer may leave what arrays hold exactly."""


class _Part(NamedTuple):
    """The values of a part of a formula; `bound` is the largest magnitude of integers (-1 for other kinds), `bad`
    marks the rows where the part has no value (None: nowhere)."""

    array: Any
    bound: int
    bad: Any


def column(tree: ast.expr, text: str, columns: Mapping[str, Any]) -> Array:
    """`Formula.column` of the formula with this tree: booleans or float64, one a row."""
    names = set(filter(None, map(dotted_name, walk(tree))))
    arrays = {name: np.asarray(columns[name]) for name in names if name in columns}
    for name in sorted(names - set(arrays)):
        raise bad_input("unbound", text, f"the name {name} has no value here")
    rows = max((len(np.atleast_1d(a)) for a in columns.values() if np.ndim(a)), default=1)
    try:
        with np.errstate(all="ignore"):
            return _finished(_part(tree, arrays), rows)
    except _WideError:
        return _row_by_row(tree, text, arrays, rows)
    except WrongKindError as bad:
        raise bad_input("type", text, str(bad)) from None


def _finished(part: _Part, rows: int) -> Array:
    truth = part.array.dtype == np.bool_
    whole = np.array(np.broadcast_to(part.array, (rows,)), dtype=np.bool_ if truth else np.float64)
    if part.bad is not None:
        whole[np.broadcast_to(part.bad, (rows,))] = False if truth else math.nan
    return whole


def _row_by_row(tree: ast.expr, text: str, arrays: Mapping[str, Array], rows: int) -> Array:
    lists = {name: np.broadcast_to(a, (rows,)).tolist() for name, a in arrays.items()}
    found: list[Any] = []
    for i in range(rows):
        try:
            found.append(value_of(tree, {name: values[i] for name, values in lists.items()}))
        except UndefinedError:
            found.append(None)
        except WrongKindError as bad:
            raise bad_input("type", text, str(bad)) from None
    kinds = {name: kind_of(values[0]) for name, values in lists.items() if values}
    if kind_within(tree, kinds, text) is Kind.TRUTH:
        return np.array([v is True for v in found])
    return np.array([math.nan if v is None else _float(v) for v in found])


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


# --- parts ------------------------------------------------------------------------------------------------------


def _part(node: ast.expr, arrays: Mapping[str, Array]) -> _Part:
    if isinstance(node, ast.Constant):
        return _leaf(np.asarray(node.value))
    if name := dotted_name(node):
        return _leaf(arrays[name])
    if isinstance(node, ast.BinOp):
        return _arithmetic(node.op, _number(node.left, arrays), _number(node.right, arrays))
    if isinstance(node, ast.BoolOp):
        return _junction(isinstance(node.op, ast.Or), [_truth(v, arrays) for v in node.values])
    if isinstance(node, ast.Compare):
        return _comparison(node, arrays)
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not):
            inside = _truth(node.operand, arrays)
            return inside._replace(array=~inside.array)
        number = _number(node.operand, arrays)
        return number._replace(array=-number.array) if isinstance(node.op, ast.USub) else number
    assert isinstance(node, ast.Call)
    return _call(dotted_name(node.func), [_number(a, arrays) for a in node.args])


def _leaf(array: Array) -> _Part:
    if array.dtype.kind in "iu":
        largest = max(abs(int(array.max())), abs(int(array.min()))) if array.size else 0
        if largest > _MAX_INTEGER:
            raise _WideError
        return _Part(array.astype(np.int64, copy=False), largest, None)
    if array.dtype.kind == "f":
        return _checked(array.astype(np.float64, copy=False), None)
    if array.dtype.kind == "O":
        raise _WideError
    return _Part(array, -1, None)


def _checked(array: Any, bad: Any) -> _Part:
    """A part of floats, bad also where they are not finite."""
    finite = np.isfinite(array)
    return _Part(array, -1, bad if finite.all() else _either(bad, ~finite))


def _either(a: Any, b: Any) -> Any:
    if a is None:
        return b
    return a if b is None else a | b


def _kind(part: _Part) -> Kind:
    kind = part.array.dtype.kind
    return Kind.NUMBER if kind in "if" else Kind.TRUTH if kind == "b" else Kind.TEXT


def _number(node: ast.expr, arrays: Mapping[str, Array]) -> _Part:
    return _of_kind(node, arrays, Kind.NUMBER)


def _truth(node: ast.expr, arrays: Mapping[str, Array]) -> _Part:
    return _of_kind(node, arrays, Kind.TRUTH)


def _of_kind(node: ast.expr, arrays: Mapping[str, Array], wanted: Kind) -> _Part:
    part = _part(node, arrays)
    if _kind(part) is not wanted:
        raise WrongKindError(f"{ast.unparse(node)} is {_kind(part).value} where {wanted.value} is due")
    return part


def _same_type(parts: list[_Part]) -> bool:
    """Whether all are integers; integers beside floats must be exact as floats."""
    integers = [p for p in parts if p.bound >= 0]
    if len(integers) not in (0, len(parts)) and any(p.bound > _EXACT for p in integers):
        raise _WideError
    return len(integers) == len(parts)


def _arithmetic(op: ast.operator, a: _Part, b: _Part) -> _Part:
    whole = _same_type([a, b])
    bad = _either(a.bad, b.bad)
    if isinstance(op, ast.Add | ast.Sub | ast.Mult):
        bound = a.bound * b.bound if isinstance(op, ast.Mult) else a.bound + b.bound
        if whole and bound > _MAX_INTEGER:
            raise _WideError
        array = _ring(op, a.array, b.array)
        return _Part(array, bound, bad) if whole else _checked(array, bad)
    zero = b.array == 0
    bad = _either(bad, zero) if np.any(zero) else bad
    divisor = np.where(zero, b.array.dtype.type(1), b.array)
    if isinstance(op, ast.Div):
        if whole and max(a.bound, b.bound) > _EXACT:
            raise _WideError
        return _checked(a.array / divisor, bad)
    array = a.array // divisor if isinstance(op, ast.FloorDiv) else a.array % divisor
    if not whole:
        return _checked(array, bad)
    return _Part(array, a.bound if isinstance(op, ast.FloorDiv) else b.bound, bad)


def _ring(op: ast.operator, a: Any, b: Any) -> Any:
    if isinstance(op, ast.Add):
        return a + b
    return a - b if isinstance(op, ast.Sub) else a * b


_LOG2 = np.frompyfunc(math.log2, 1, 1)
"""The library's own logarithm, element by element: numpy's may differ in the last bit."""


def _call(name: str, parts: list[_Part]) -> _Part:
    whole = _same_type(parts)
    bad = reduce(_either, (p.bad for p in parts))
    first = parts[0].array
    if name == "log2":
        low = first <= 0
        logs = _LOG2(np.where(low | ~np.isfinite(first), 1, first))
        return _Part(np.asarray(logs, np.float64), -1, _either(bad, low) if np.any(low) else bad)
    if name == "abs":
        return _Part(np.abs(first), parts[0].bound, bad)
    chosen = reduce(np.minimum if name == "min" else np.maximum, (p.array for p in parts))
    return _Part(chosen, max(p.bound for p in parts) if whole else -1, bad)


def _comparison(node: ast.Compare, arrays: Mapping[str, Array]) -> _Part:
    parts = [_part(n, arrays) for n in (node.left, *node.comparators)]
    links = []
    for op, a, b in zip(node.ops, parts, parts[1:], strict=False):
        if _kind(a) is not _kind(b):
            raise WrongKindError(f"{_kind(a).value} is compared with {_kind(b).value}")
        if _kind(a) is not Kind.NUMBER and not isinstance(op, ast.Eq | ast.NotEq):
            raise WrongKindError(f"{_kind(a).value} has no order")
        _same_type([a, b]) if _kind(a) is Kind.NUMBER else None
        links.append(_Part(np.asarray(compared(op, a.array, b.array)), -1, _either(a.bad, b.bad)))
    return _junction(False, links)


def _junction(any_of: bool, parts: list[_Part]) -> _Part:
    """`and` or `or`, left to right: what comes after the part that decides a row does not count there."""
    if len(parts) == 1:
        return parts[0]
    if all(p.bad is None for p in parts):
        join = np.logical_or if any_of else np.logical_and
        return _Part(reduce(join, (p.array for p in parts)), -1, None)
    open_, found, bad = np.asarray(True), np.asarray(False), np.asarray(False)
    for p in parts:
        wrong = np.asarray(False) if p.bad is None else p.bad
        bad = bad | (open_ & wrong)
        decided = p.array if any_of else ~p.array
        found = found | (open_ & decided & ~wrong)
        open_ = open_ & ~decided & ~wrong
    return _Part(found if any_of else open_, -1, bad)
