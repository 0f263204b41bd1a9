"""The grammar of formulas: what may be written, of what kind it is, and its value at one point.

`hwsim.sweep.formula` is the door; this is the machinery, over Python's `ast` with a whitelist.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from hwsim.errors import bad_input
from hwsim.sweep.study import Value

MAX_LENGTH = 1000
MAX_DEPTH = 40
MAX_CONSTANT = 2**62

_CALLS = {"min": 0, "max": 0, "abs": 1, "log2": 1}
"""Functions with their number of arguments; 0 for two or more."""

_REMEDY = "Use numbers, names, + - * / // %, < <= == != >= >, and, or, not, min(), max(), abs() and log2()."


class Kind(Enum):
    """What a value is, for the rules about what may be compared and added. ANY is not known before it runs."""

    NUMBER = "a number"
    TRUTH = "true or false"
    TEXT = "a text"
    ANY = "anything"


def kind_of(value: object) -> Kind:
    """The kind of a plain value."""
    if isinstance(value, bool):
        return Kind.TRUTH
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER


# --- reading ----------------------------------------------------------------------------------------------------


class RefusedError(Exception):
    """What in a text is not of the grammar, and what to write instead."""

    def __init__(self, what: str, remedy: str = _REMEDY) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` of a chain of attributes, "" for any other node."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted_name(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


def _check(node: ast.AST, depth: int = 1) -> None:
    """Raise RefusedError unless `node` and all below it are of the grammar."""
    if depth > MAX_DEPTH:
        raise RefusedError(f"a formula nests at most {MAX_DEPTH} deep", "Split it in two.")
    for child in _operands(node):
        _check(child, depth + 1)


def _operands(node: ast.AST) -> list[ast.expr]:
    """The operands of a node of the grammar; raises RefusedError for another node."""
    if isinstance(node, ast.Constant):
        return _checked_constant(node)
    if isinstance(node, ast.Name | ast.Attribute):
        return _checked_name(node)
    if isinstance(node, ast.BinOp):
        if not isinstance(node.op, _OPERATORS):
            power = "Write x * x for a square." if isinstance(node.op, ast.Pow) else _REMEDY
            raise RefusedError("this operator is not one of a formula", power)
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Invert):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare) and all(isinstance(op, _COMPARISONS) for op in node.ops):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Call):
        return _checked_call(node)
    raise RefusedError("this is not a formula")


def _checked_constant(node: ast.Constant) -> list[ast.expr]:
    value = node.value
    if type(value) not in (int, float, bool, str):
        raise RefusedError("this is not a formula")
    if type(value) in (int, float) and not (math.isfinite(value) and abs(value) <= MAX_CONSTANT):  # type: ignore[arg-type]
        raise RefusedError("a number in a formula lies within 2**62 of zero", "")
    return []


def _checked_name(node: ast.expr) -> list[ast.expr]:
    name = dotted_name(node)
    if not name or not name.isascii() or name in _CALLS:
        raise RefusedError(f"{name} is a function" if name in _CALLS else "this is not a name of a formula")
    return []


def _checked_call(node: ast.Call) -> list[ast.expr]:
    name = dotted_name(node.func)
    if name not in _CALLS:
        raise RefusedError("the functions of a formula are min, max, abs and log2")
    wanted, given = _CALLS[name], len(node.args)
    if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
        raise RefusedError("functions of a formula take plain arguments")
    if given != wanted if wanted else given < 2:
        raise RefusedError(f"{name} takes {'one argument' if wanted else 'two arguments or more'}")
    return node.args


class _Booleans(ast.NodeTransformer):
    """`true` and `false`, as YAML writes them, are the booleans."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in ("true", "false"):
            return ast.copy_location(ast.Constant(node.id == "true"), node)
        return node


def parse(text: str) -> ast.expr:
    """The tree of a text, every node of which is of the grammar. Raises RefusedError."""
    if len(text) > MAX_LENGTH:
        raise RefusedError(f"a formula has at most {MAX_LENGTH} characters", "")
    try:
        with warnings.catch_warnings(action="ignore"):  # Python remarks on odd texts, which are about to be refused
            tree: ast.expr = _Booleans().visit(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        lone = "=" in text and not any(sign in text for sign in ("==", "<=", ">=", "!="))
        raise RefusedError("this is not a formula", "Equality is ==." if lone else _REMEDY) from None
    _check(tree)
    return tree


def walk(node: ast.expr) -> Iterator[ast.expr]:
    """Every node of the grammar under `node`; a dotted name is one."""
    yield node
    for child in _operands(node):
        yield from walk(child)


# --- kinds ------------------------------------------------------------------------------------------------------


def kind_within(node: ast.expr, kinds: Mapping[str, Kind], text: str) -> Kind:
    """The kind of a node of the formula `text`. Raises InputError where one kind stands in for another."""

    def due(operand: ast.expr, wanted: Kind) -> None:
        found = kind_within(operand, kinds, text)
        if found not in (wanted, Kind.ANY):
            part = ast.unparse(operand)
            raise bad_input("formula", text, f"{part} is {found.value} where {wanted.value} is due")

    if isinstance(node, ast.Constant):
        return kind_of(node.value)
    if name := dotted_name(node):
        return kinds.get(name, Kind.ANY)
    if isinstance(node, ast.Compare):
        _check_comparison(node, kinds, text)
        return Kind.TRUTH
    wanted = Kind.TRUTH if isinstance(node, ast.BoolOp) or _is_not(node) else Kind.NUMBER
    for operand in _operands(node):
        due(operand, wanted)
    return wanted


def _check_comparison(node: ast.Compare, kinds: Mapping[str, Kind], text: str) -> None:
    operands = [node.left, *node.comparators]
    found = [kind_within(o, kinds, text) for o in operands]
    known = [(k, ast.unparse(o)) for k, o in zip(found, operands, strict=True) if k is not Kind.ANY]
    for kind, part in known[1:]:
        if kind is not known[0][0]:
            rule = f"{known[0][1]} is {known[0][0].value} and {part} is {kind.value}; they cannot be compared"
            raise bad_input("formula", text, rule)
    ordered = any(not isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
    if ordered and known and known[0][0] is not Kind.NUMBER:
        raise bad_input("formula", text, f"{known[0][1]} is {known[0][0].value}, which has no order", "Use == or !=.")


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


# --- one point --------------------------------------------------------------------------------------------------


class UndefinedError(Exception):
    """The formula has no value at this point."""


class WrongKindError(Exception):
    """A value of the wrong kind."""


def value_of(node: ast.expr, names: Mapping[str, Value]) -> Any:
    """The value of a node at one point. Raises KeyError, UndefinedError and WrongKindError."""
    if isinstance(node, ast.Constant):
        return node.value
    if name := dotted_name(node):
        return _finite(names[name])
    if isinstance(node, ast.BinOp):
        return _arithmetic(node.op, _number(node.left, names), _number(node.right, names))
    if isinstance(node, ast.BoolOp):
        return _junction(node, names)
    if isinstance(node, ast.Compare):
        return _comparison(node, names)
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not):
            return not _truth(node.operand, names)
        number = _number(node.operand, names)
        return -number if isinstance(node.op, ast.USub) else number
    assert isinstance(node, ast.Call)
    return call(dotted_name(node.func), [_number(a, names) for a in node.args])


def _number(node: ast.expr, names: Mapping[str, Value]) -> Any:
    value = value_of(node, names)
    if kind_of(value) is not Kind.NUMBER:
        raise WrongKindError(f"{ast.unparse(node)} is {kind_of(value).value} where a number is due")
    return value


def _truth(node: ast.expr, names: Mapping[str, Value]) -> bool:
    value = value_of(node, names)
    if not isinstance(value, bool):
        raise WrongKindError(f"{ast.unparse(node)} is {kind_of(value).value} where true or false is due")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise UndefinedError("a number is beyond 64-bit floats, or not known")
    return value


def _arithmetic(op: ast.operator, a: Any, b: Any) -> Any:
    try:
        if isinstance(op, ast.Add):
            return _finite(a + b)
        if isinstance(op, ast.Sub):
            return _finite(a - b)
        if isinstance(op, ast.Mult):
            return _finite(a * b)
        if isinstance(op, ast.Div):
            return _finite(a / b)
        return _finite(a // b if isinstance(op, ast.FloorDiv) else a % b)
    except ZeroDivisionError:
        raise UndefinedError("the divisor is zero here") from None
    except OverflowError:
        raise UndefinedError("a number is beyond 64-bit floats") from None


def call(name: str, arguments: list[Any]) -> Any:
    """One function of the grammar on plain numbers."""
    if name == "min":
        return min(arguments)
    if name == "max":
        return max(arguments)
    if name == "abs":
        return abs(arguments[0])
    if arguments[0] <= 0:
        raise UndefinedError("the logarithm is of positive numbers")
    return math.log2(arguments[0])


def _junction(node: ast.BoolOp, names: Mapping[str, Value]) -> bool:
    wanted = isinstance(node.op, ast.Or)
    return wanted if any(_truth(v, names) is wanted for v in node.values) else not wanted


def _comparison(node: ast.Compare, names: Mapping[str, Value]) -> bool:
    left = value_of(node.left, names)
    for op, operand in zip(node.ops, node.comparators, strict=True):
        right = value_of(operand, names)
        if kind_of(left) is not kind_of(right):
            raise WrongKindError(f"{kind_of(left).value} is compared with {kind_of(right).value}")
        if kind_of(left) is not Kind.NUMBER and not isinstance(op, ast.Eq | ast.NotEq):
            raise WrongKindError(f"{kind_of(left).value} has no order")
        if not compared(op, left, right):
            return False
        left = right
    return True


def compared(op: ast.cmpop, a: Any, b: Any) -> Any:
    """One comparison, of plain values or of arrays."""
    if isinstance(op, ast.Lt):
        return a < b
    if isinstance(op, ast.LtE):
        return a <= b
    if isinstance(op, ast.Gt):
        return a > b
    if isinstance(op, ast.GtE):
        return a >= b
    return a == b if isinstance(op, ast.Eq) else a != b


# --- with some names only ---------------------------------------------------------------------------------------


def decided(node: ast.expr, names: Mapping[str, Value]) -> bool | None:
    """What a condition is whatever the names that are not given may be; None if they decide."""
    if isinstance(node, ast.BoolOp):
        found = [decided(v, names) for v in node.values]
        wanted = isinstance(node.op, ast.Or)
        if wanted in found:
            return wanted
        return None if None in found else not wanted
    if _is_not(node):
        assert isinstance(node, ast.UnaryOp)
        inside = decided(node.operand, names)
        return None if inside is None else not inside
    try:
        value = value_of(node, names)
    except (KeyError, UndefinedError, WrongKindError):
        return None
    return value if isinstance(value, bool) else None
