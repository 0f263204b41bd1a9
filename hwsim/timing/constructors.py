"""NamedTuple constructors in compiled code: keyword arguments in any order, and defaults.

numba takes a NamedTuple's fields by position and all of them. This compiler pass writes each call of a NamedTuple class
in that form, so that pure functions may build one as Python lets them. Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from numba.core import ir
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.errors import TypingError


@register_pass(mutates_CFG=False, analysis_only=False)
class SpellOutConstructors(FunctionPass):  # type: ignore[misc]
    """Gives each call of a NamedTuple class all of its fields by position."""

    _name = "hwsim_spell_out_constructors"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        for block in state.func_ir.blocks.values():
            block.body = [new for old in block.body for new in _spelled_out(old, block.scope, state.func_ir)]
        return True


def replace_value(statement: Any, value: Any, func_ir: Any) -> None:
    """Assign `value` in place of what `statement` assigned, keeping numba's table of definitions true."""
    known = func_ir._definitions[statement.target.name]
    known[known.index(statement.value)] = value
    statement.value = value


def assign_new(value: Any, name: str, scope: Any, loc: Any, func_ir: Any) -> Any:
    """An assignment of `value` to a fresh variable."""
    variable = scope.redefine(name, loc)
    func_ir._definitions[variable.name].append(value)
    return ir.Assign(value, variable, loc)


def _spelled_out(statement: Any, scope: Any, func_ir: Any) -> list[Any]:
    call: Any = getattr(statement, "value", None)
    cls = _named_tuple_called(call, func_ir)
    if cls is None or call.vararg is not None:
        return [statement]
    given = dict(zip(cls._fields, call.args, strict=False)) | dict(call.kws)
    _check_fields(cls, call, given)
    added = list(_defaults(cls, given, scope, statement.loc, func_ir))
    given |= {name: assignment.target for name, assignment in added}
    by_position = tuple(given[name] for name in cls._fields)
    replace_value(statement, ir.Expr.call(call.func, by_position, (), statement.loc), func_ir)
    return [*(assignment for _, assignment in added), statement]


def _named_tuple_called(call: Any, func_ir: Any) -> Any:
    if not isinstance(call, ir.Expr) or call.op != "call":
        return None
    callee = func_ir.get_definition(call.func)
    cls = callee.value if isinstance(callee, ir.Global) else None
    return cls if isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields") else None


def _check_fields(cls: Any, call: Any, given: dict[str, Any]) -> None:
    twice_or_many = len(given) != len(call.args) + len(call.kws)
    missing = [name for name in cls._fields if name not in given and name not in cls._field_defaults]
    if twice_or_many or missing or not set(given) <= set(cls._fields):
        raise TypingError(f"{cls.__qualname__} is not given its fields {', '.join(cls._fields)}", loc=call.loc)


def _defaults(cls: Any, given: dict[str, Any], scope: Any, loc: Any, func_ir: Any) -> Iterator[tuple[str, Any]]:
    for name, value in cls._field_defaults.items():
        if name not in given:
            constant = int(value) if isinstance(value, IntEnum) else value
            yield name, assign_new(ir.Const(constant, loc), f"$default_{name}", scope, loc, func_ir)
