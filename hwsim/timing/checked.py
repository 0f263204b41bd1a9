"""Compiled integer arithmetic that notices when it leaves 64 bits.

Python's integers are unbounded and machine integers wrap, so a compiled function could answer with a wrong number
where the plain one is right. Functions compiled with `CheckedCompiler` raise OverflowError instead: a compiler pass
replaces each integer `+ - * **` by a call that uses the processor's overflow flag. It costs about a tenth of the speed.

Importing this module imports numba. The pass follows numba's "Customizing the compiler" manual page.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core import ir
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.extending import intrinsic, overload, register_jitable

from hwsim.timing.constructors import SpellOutConstructors, assign_new, replace_value
from hwsim.timing.linking import PartCompiler, WholeCompiler

MIN_INT = -(2**63)
TOO_LARGE = "an integer left 64 bits"


def checked_pow(a: Any, b: Any) -> Any:
    """a ** b; for integers b must not be negative."""
    return a**b


def checked_int(x: Any) -> int:
    """int(x)."""
    return int(x)


def checked_floor(x: Any) -> int:
    """math.floor(x)."""
    return math.floor(x)  # type: ignore[no-any-return]


def checked_ceil(x: Any) -> int:
    """math.ceil(x)."""
    return math.ceil(x)  # type: ignore[no-any-return]


# --- integer + - * with the processor's overflow flag -----------------------------------------------------------


def _raise_overflow(context: Any, builder: Any, beyond: Any) -> None:
    with builder.if_then(beyond, likely=False):
        context.call_conv.return_user_exc(builder, OverflowError, (TOO_LARGE,))


def _checked(plain: Callable[..., Any], instruction: str) -> Any:
    """An intrinsic: for two integers, the LLVM instruction `llvm.*.with.overflow` and its flag; else as `plain`.

    The smallest 64-bit integer counts as overflow too: its negation and its quotient by -1 would leave 64 bits.
    """

    def exact(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pair = getattr(builder, instruction)(*args)
        value = builder.extract_value(pair, 0)
        least = builder.icmp_signed("==", value, value.type(MIN_INT))
        _raise_overflow(context, builder, builder.or_(builder.extract_value(pair, 1), least))
        return value

    def as_plain(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_function(plain, signature)(builder, args)

    @intrinsic
    def checked(typing_context: Any, a: Any, b: Any) -> Any:
        if isinstance(a, types.Integer) and isinstance(b, types.Integer):
            return types.int64(types.int64, types.int64), exact
        return typing_context.resolve_function_type(plain, (a, b), {}), as_plain

    return checked


checked_add = _checked(operator.add, "sadd_with_overflow")
"""a + b, raising OverflowError in compiled code where integers leave 64 bits; so for the two below."""
checked_sub = _checked(operator.sub, "ssub_with_overflow")
checked_mul = _checked(operator.mul, "smul_with_overflow")


CHECKED_OPERATORS: dict[Any, Any] = {
    operator.add: checked_add,
    operator.sub: checked_sub,
    operator.mul: checked_mul,
    operator.pow: checked_pow,
}
CHECKED_CALLS: dict[Any, Callable[..., Any]] = {int: checked_int, math.floor: checked_floor, math.ceil: checked_ceil}


@overload(checked_pow)
def _choose_pow(a: Any, b: Any) -> Any:
    def power(a: Any, b: Any) -> Any:
        if b < 0:
            raise ValueError("a negative power of an integer is not an integer")
        value = 1
        for _ in range(b):
            value = checked_mul(value, a)
        return value

    def float_power(a: Any, b: Any) -> Any:
        return a**b

    return power if isinstance(a, types.Integer) and isinstance(b, types.Integer) else float_power


@register_jitable
def _fits(x: float) -> bool:
    return -9223372036854775808.0 < x < 9223372036854775808.0


def _register_rounding(checked: Callable[..., Any], rounding: Callable[..., Any]) -> None:
    @overload(checked)
    def choose(x: Any) -> Any:
        def exact(x: Any) -> Any:
            if not _fits(x):
                raise OverflowError(TOO_LARGE)
            return np.int64(rounding(x))

        def same(x: Any) -> Any:
            return np.int64(x)

        return exact if isinstance(x, types.Float) else same


_register_rounding(checked_int, int)
_register_rounding(checked_floor, math.floor)
_register_rounding(checked_ceil, math.ceil)


@register_pass(mutates_CFG=False, analysis_only=False)
class CheckArithmetic(FunctionPass):  # type: ignore[misc]
    """Replaces each `a op b` whose operator is in CHECKED_OPERATORS by a call of the checked function."""

    _name = "hwsim_check_arithmetic"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        for block in state.func_ir.blocks.values():
            block.body = [new for old in block.body for new in _replaced(old, block.scope, state.func_ir)]
        return True


def _replaced(statement: Any, scope: Any, func_ir: Any) -> list[Any]:
    checked = _checked_operator(statement)
    if checked is None:
        return [statement]
    loc, operands = statement.loc, (statement.value.lhs, statement.value.rhs)
    load = assign_new(ir.Global("checked", checked, loc), "$checked", scope, loc, func_ir)
    replace_value(statement, ir.Expr.call(load.target, operands, (), loc), func_ir)
    return [load, statement]


def _checked_operator(statement: Any) -> Any:
    expression = getattr(statement, "value", None)
    if not isinstance(expression, ir.Expr) or expression.op not in ("binop", "inplace_binop"):
        return None
    return CHECKED_OPERATORS.get(expression.fn if expression.op == "binop" else expression.immutable_fn)


class WrappingPart(PartCompiler):
    """numba's compiler of parts, with NamedTuple constructors as in Python."""

    added = (SpellOutConstructors,)


class CheckedPart(PartCompiler):
    """The same as `WrappingPart`, with integer arithmetic that raises OverflowError."""

    added = (SpellOutConstructors, CheckArithmetic)


class CheckedCompiler(WholeCompiler):
    """The same for wholes."""

    added = (SpellOutConstructors, CheckArithmetic)
