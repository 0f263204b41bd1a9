"""Symbolic sizes: from the sympy expressions that torch.export keeps to `hwsim.expr`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy  # type: ignore[import-untyped]

from hwsim import expr
from hwsim.errors import bad_input

Size = Any
"""An int, or a sympy expression over torch's size symbols."""


def size_of(value: Any) -> Size:
    """The sympy expression behind a torch.SymInt, or the plain integer."""
    node = getattr(value, "node", None)
    return sympy.sympify(node.expr if node is not None else value)


def sizes_of(values: Iterable[Any]) -> list[Size]:
    """`size_of` each."""
    return [size_of(v) for v in values]


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none."""
    return sympy.Mul(*sizes)


def to_expr(size: Size, names: Mapping[Any, str]) -> expr.Expr:
    """`size` as an `Expr`, torch's symbols renamed by `names`.

    Raises InputError for a symbol not in `names` (a size that depends on the data) and for functions outside the
    grammar of `hwsim.expr`.
    """
    return expr.parse(_text(sympy.sympify(size), names))


def _text(e: Any, names: Mapping[Any, str]) -> str:
    if e.is_Integer:
        return str(int(e))
    if e.is_Symbol:
        return _symbol(e, names)
    if e.is_Add:
        return _sum(e, names)
    if e.is_Mul:
        return _times(e, names)
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        return "*".join([f"({_text(e.base, names)})"] * int(e.exp))
    return _function(e, names)


def _symbol(e: Any, names: Mapping[Any, str]) -> str:
    if e not in names:
        raise bad_input(
            "data-dependent-size",
            str(e),
            "a size of this network depends on the values it computes",
            "Only sizes that follow from the sizes of the inputs can be traced.",
        )
    return names[e]


def _sum(e: Any, names: Mapping[Any, str]) -> str:
    # sympy orders terms by torch's own symbol numbers, which change from release to release; text order does not.
    constant, rest = e.as_coeff_Add()
    signed = [(c.is_negative, _text(-t if c.is_negative else t, names)) for t in rest.as_ordered_terms()
              for c in (t.as_coeff_Mul()[0],)]  # fmt: skip
    if constant != 0:
        signed.append((constant.is_negative, str(abs(int(constant)))))
    terms = sorted(t for minus, t in signed if not minus)
    minus = sorted(t for minus, t in signed if minus)
    head = " + ".join(terms) or "0"
    return head + "".join(f" - {t}" for t in minus)


def _times(e: Any, names: Mapping[Any, str]) -> str:
    coefficient, rest = e.as_coeff_Mul()
    if not coefficient.is_Integer:
        raise _outside(e)
    factors = sorted(f"({_text(f, names)})" if f.is_Add else _text(f, names) for f in sympy.Mul.make_args(rest))
    return "*".join(([] if coefficient == 1 else [str(int(coefficient))]) + factors)


def _function(e: Any, names: Mapping[Any, str]) -> str:
    name = type(e).__name__
    if name == "CeilToInt" and type(e.args[0]).__name__ == "IntTrueDiv":
        a, b = (_text(x, names) for x in e.args[0].args)
        return f"ceil({a}, {b})"
    if name not in ("FloorDiv", "CleanDiv", "Mod", "PythonMod", "Max", "Min"):
        raise _outside(e)
    texts = [_text(x, names) for x in e.args]
    if name in ("Max", "Min"):
        return _nested(name.lower(), sorted(texts))
    a, b = (f"({t})" for t in texts)
    return f"({a} // {b})" if name.endswith("Div") else f"({a} - {b}*({a} // {b}))"


def _nested(function: str, texts: list[str]) -> str:
    first, *rest = texts
    return f"{function}({first}, {_nested(function, rest)})" if rest else first


def _outside(e: Any) -> Exception:
    return bad_input(
        "size-expression",
        str(e),
        "this size is not built from + - * //, min, max and rounded-up quotients",
        "Give the size as an input dimension of its own.",
    )
