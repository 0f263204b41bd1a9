"""Formulas over the names of a point: `macs % sets == 0 and clock >= 200_000`, `energy_j * latency_s`.

The grammar of size expressions (`hwsim.expr`) widened: numbers, `+ - * / // %`, comparisons, `and`, `or`, `not`,
parentheses, `min`, `max`, `abs`, `log2`, and texts to compare names with. A name may hold dots (`bind.density`). It is
walked over Python's `ast` with a whitelist; nothing is evaluated as code. One formula answers for one point (`value`)
or for columns of points (`column`), with the same answers.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from hwsim.errors import InputError, bad_input
from hwsim.sweep.study import Value

if TYPE_CHECKING:
    import numpy as np

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


class _RefusedError(Exception):
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
    """Raise _RefusedError unless `node` and all below it are of the grammar."""
    if depth > MAX_DEPTH:
        raise _RefusedError(f"a formula nests at most {MAX_DEPTH} deep", "Split it in two.")
    for child in _operands(node):
        _check(child, depth + 1)


def _operands(node: ast.AST) -> list[ast.expr]:
    """The operands of a node of the grammar; raises _RefusedError for another node."""
    if isinstance(node, ast.Constant):
        return _checked_constant(node)
    if isinstance(node, ast.Name | ast.Attribute):
        return _checked_name(node)
    if isinstance(node, ast.BinOp):
        if not isinstance(node.op, _OPERATORS):
            power = "Write x * x for a square." if isinstance(node.op, ast.Pow) else _REMEDY
            raise _RefusedError("this operator is not one of a formula", power)
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Invert):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare) and all(isinstance(op, _COMPARISONS) for op in node.ops):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Call):
        return _checked_call(node)
    raise _RefusedError("this is not a formula")


def _checked_constant(node: ast.Constant) -> list[ast.expr]:
    value = node.value
    if type(value) not in (int, float, bool, str):
        raise _RefusedError("this is not a formula")
    if type(value) in (int, float) and not (math.isfinite(value) and abs(value) <= MAX_CONSTANT):  # type: ignore[arg-type]
        raise _RefusedError("a number in a formula lies within 2**62 of zero", "")
    return []


def _checked_name(node: ast.expr) -> list[ast.expr]:
    name = dotted_name(node)
    if not name or not name.isascii() or name in _CALLS:
        raise _RefusedError(f"{name} is a function" if name in _CALLS else "this is not a name of a formula")
    return []


def _checked_call(node: ast.Call) -> list[ast.expr]:
    name = dotted_name(node.func)
    if name not in _CALLS:
        raise _RefusedError("the functions of a formula are min, max, abs and log2")
    wanted, given = _CALLS[name], len(node.args)
    if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
        raise _RefusedError("functions of a formula take plain arguments")
    if given != wanted if wanted else given < 2:
        raise _RefusedError(f"{name} takes {'one argument' if wanted else 'two arguments or more'}")
    return node.args


class _Booleans(ast.NodeTransformer):
    """`true` and `false`, as YAML writes them, are the booleans."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in ("true", "false"):
            return ast.copy_location(ast.Constant(node.id == "true"), node)
        return node


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise _RefusedError(f"a formula has at most {MAX_LENGTH} characters", "")
    try:
        with warnings.catch_warnings(action="ignore"):  # Python remarks on odd texts, which are about to be refused
            tree: ast.expr = _Booleans().visit(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        lone = "=" in text and not any(sign in text for sign in ("==", "<=", ">=", "!="))
        raise _RefusedError("this is not a formula", "Equality is ==." if lone else _REMEDY) from None
    _check(tree)
    return tree


def _walk(node: ast.expr) -> Iterator[ast.expr]:
    """Every node of the grammar under `node`; a dotted name is one."""
    yield node
    for child in _operands(node):
        yield from _walk(child)


class Formula:
    """An immutable formula over named values.

    text    as it was written
    names   every name it uses, with its dots
    Raises InputError when the text is not in the grammar.
    """

    __slots__ = ("_tree", "names", "text")

    def __init__(self, text: str) -> None:
        try:
            self._tree = _parse(text)
        except _RefusedError as bad:
            raise bad_input("formula", text, bad.what, bad.remedy) from None
        self.text = text.strip()
        self.names = frozenset(filter(None, map(dotted_name, _walk(self._tree))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Formula, (self.text,)

    def kind(self, kinds: Mapping[str, Kind]) -> Kind:
        """What the formula yields, where `kinds` says what its names hold (others may hold anything).

        Raises InputError where something of one kind stands where another is due.
        """
        return _kind(self._tree, kinds, self.text)

    def with_texts(self, converted: Callable[[str, str], Value]) -> Formula:
        """The formula with each text that a name is compared with put through `converted(name, text)`."""
        tree = ast.parse(self.text, mode="eval").body
        changed = False
        for node in [n for n in ast.walk(tree) if isinstance(n, ast.Compare)]:
            operands = [node.left, *node.comparators]
            for i, operand in enumerate(operands):
                if not (isinstance(operand, ast.Constant) and isinstance(operand.value, str)):
                    continue
                near = [dotted_name(n) for n in operands[max(0, i - 1) : i + 2]]
                name = next(filter(None, near), "")
                value = converted(name, operand.value) if name else operand.value
                changed = changed or value != operand.value
                operand.value = value
        return Formula(ast.unparse(tree)) if changed else self

    def value(self, names: Mapping[str, Value]) -> Value:
        """What the formula says of one point.

        Raises InputError for a name without a value, a zero divisor, the logarithm of a number that is not positive,
        a number beyond 64-bit floats, and values of the wrong kind.
        """
        try:
            return _value(self._tree, names)  # type: ignore[no-any-return]
        except KeyError as missing:
            raise bad_input("unbound", self.text, f"the name {missing.args[0]} has no value here") from None
        except _UndefinedError as bad:
            raise bad_input("undefined", self.text, str(bad)) from None
        except _KindError as bad:
            raise bad_input("type", self.text, str(bad)) from None

    def holds(self, names: Mapping[str, Value]) -> bool:
        """Whether a condition holds of one point; one that is undefined there does not hold."""
        try:
            return self.value(names) is True
        except InputError as bad:
            if bad.problems[0].code != "undefined":
                raise
            return False

    def decided(self, names: Mapping[str, Value]) -> bool | None:
        """Whether a condition holds whatever the names that are not given may be; None if they decide."""
        return _decided(self._tree, names)

    def column(self, columns: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """What the formula says of many points: `columns` holds arrays of one length (or single values) by name.

        A condition gives booleans, False where it is undefined; a number gives float64, NaN where it is undefined.
        Raises InputError as `value` does for names and kinds.
        """
        from hwsim.sweep import vectors

        return vectors.column(self, columns)

    @property
    def tree(self) -> ast.expr:
        """The syntax tree, every node of which is of the grammar."""
        return self._tree


# --- kinds ------------------------------------------------------------------------------------------------------


def _kind(node: ast.expr, kinds: Mapping[str, Kind], text: str) -> Kind:
    def due(operand: ast.expr, wanted: Kind) -> None:
        found = _kind(operand, kinds, text)
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
    found = [_kind(o, kinds, text) for o in operands]
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


class _UndefinedError(Exception):
    """The formula has no value at this point."""


class _KindError(Exception):
    """A value of the wrong kind."""


def _value(node: ast.expr, names: Mapping[str, Value]) -> Any:
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
    value = _value(node, names)
    if kind_of(value) is not Kind.NUMBER:
        raise _KindError(f"{ast.unparse(node)} is {kind_of(value).value} where a number is due")
    return value


def _truth(node: ast.expr, names: Mapping[str, Value]) -> bool:
    value = _value(node, names)
    if not isinstance(value, bool):
        raise _KindError(f"{ast.unparse(node)} is {kind_of(value).value} where true or false is due")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise _UndefinedError("a number is beyond 64-bit floats, or not known")
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
        raise _UndefinedError("the divisor is zero here") from None
    except OverflowError:
        raise _UndefinedError("a number is beyond 64-bit floats") from None


def call(name: str, arguments: list[Any]) -> Any:
    """One function of the grammar on plain numbers."""
    if name == "min":
        return min(arguments)
    if name == "max":
        return max(arguments)
    if name == "abs":
        return abs(arguments[0])
    if arguments[0] <= 0:
        raise _UndefinedError("the logarithm is of positive numbers")
    return math.log2(arguments[0])


def _junction(node: ast.BoolOp, names: Mapping[str, Value]) -> bool:
    wanted = isinstance(node.op, ast.Or)
    return wanted if any(_truth(v, names) is wanted for v in node.values) else not wanted


def _comparison(node: ast.Compare, names: Mapping[str, Value]) -> bool:
    left = _value(node.left, names)
    for op, operand in zip(node.ops, node.comparators, strict=True):
        right = _value(operand, names)
        if kind_of(left) is not kind_of(right):
            raise _KindError(f"{kind_of(left).value} is compared with {kind_of(right).value}")
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


def _decided(node: ast.expr, names: Mapping[str, Value]) -> bool | None:
    if isinstance(node, ast.BoolOp):
        found = [_decided(v, names) for v in node.values]
        wanted = isinstance(node.op, ast.Or)
        if wanted in found:
            return wanted
        return None if None in found else not wanted
    if _is_not(node):
        assert isinstance(node, ast.UnaryOp)
        inside = _decided(node.operand, names)
        return None if inside is None else not inside
    try:
        value = _value(node, names)
    except (KeyError, _UndefinedError, _KindError):
        return None
    return value if isinstance(value, bool) else None
