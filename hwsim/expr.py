"""Integer size expressions: `8*(p + q)`, `ceil(n, 4)`.

A small arithmetic grammar over named symbols: integers, `+ - * //`, parentheses, `min`, `max`, `ceil(a, b)` for a
rounded-up quotient. It is walked over Python's `ast` with a whitelist; nothing is evaluated as code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from hwsim.errors import InputError, bad_input
from hwsim.pure import ceil_div

MAX_LENGTH = 300
MAX_VALUE = 2**62
_CALLS: Mapping[str, Callable[[int, int], int]] = {"min": min, "max": max, "ceil": ceil_div}
_REMEDY = "Use integers, symbols, + - * //, parentheses, min(a, b), max(a, b) or ceil(a, b)."


class Expr:
    """An immutable integer expression, equal to and hashed as its canonical text."""

    __slots__ = ("_tree", "symbols", "text")

    text: str
    symbols: frozenset[str]

    def __init__(self, text: str, tree: ast.expr) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "_tree", tree)
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - set(_CALLS)
        object.__setattr__(self, "symbols", frozenset(names))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Expr is immutable")

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse, (self.text,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expr({self.text!r})"

    def __str__(self) -> str:
        return self.text

    def value(self, binding: Mapping[str, int]) -> int:
        """The integer this expression has under `binding`.

        Raises InputError for an unbound symbol, a zero divisor, or a result beyond 2**62.
        """
        try:
            result = _walk(self._tree, binding)  # type: ignore[attr-defined]
        except KeyError as missing:
            raise bad_input(
                "unbound",
                self.text,
                f"the symbol {missing.args[0]!r} has no value",
                f"Bind it: --bind {missing.args[0]}=NUMBER.",
            ) from None
        except ZeroDivisionError:
            raise bad_input("zero-division", self.text, "the divisor is zero under this binding") from None
        if not -MAX_VALUE <= result <= MAX_VALUE:
            raise bad_input("too-large", self.text, "the value must stay within 2**62")
        return result


def _walk(node: ast.expr, binding: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.Name):
        return binding[node.id]
    if isinstance(node, ast.BinOp):
        a, b = _walk(node.left, binding), _walk(node.right, binding)
        if isinstance(node.op, ast.Add):
            return a + b
        if isinstance(node.op, ast.Sub):
            return a - b
        if isinstance(node.op, ast.Mult):
            return a * b
        return a // b
    if isinstance(node, ast.UnaryOp):
        return -_walk(node.operand, binding)
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    a, b = (_walk(arg, binding) for arg in node.args)
    return _CALLS[node.func.id](a, b)


def _allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int and abs(node.value) <= MAX_VALUE
    if isinstance(node, ast.Name):
        return node.id.isascii() and node.id not in _CALLS
    if isinstance(node, ast.BinOp):
        legal = isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv)
        return legal and _allowed(node.left) and _allowed(node.right)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _allowed(node.operand)
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id in _CALLS
        return named and not node.keywords and len(node.args) == 2 and all(map(_allowed, node.args))
    return False


@lru_cache(maxsize=65536)
def _parse(text: str) -> Expr:
    if len(text) > MAX_LENGTH:
        raise bad_input("expression", text, f"a size expression has at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if not _allowed(tree):
            raise bad_input("expression", text, "this is not a size expression", _REMEDY)
        return Expr(ast.unparse(tree), tree)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise bad_input("expression", text, "this is not a size expression", _REMEDY) from None


def parse(text: str | int) -> Expr:
    """Read a size expression from text, or make one of an integer.

    Raises InputError when the text is not in the grammar.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise bad_input("expression", text, "a size is an integer or an expression over symbols", _REMEDY)
    return _parse(str(text))


def unbound(expressions: Iterable[Expr], known: Iterable[str]) -> frozenset[str]:
    """The symbols used in `expressions` that are not in `known`."""
    used: set[str] = set()
    for e in expressions:
        used |= e.symbols
    return frozenset(used) - frozenset(known)


__all__ = ["Expr", "InputError", "parse", "unbound"]
