"""Formulas over the names of a point: `macs % sets == 0 and clock >= 200_000`, `energy_j * latency_s`.

The grammar of size expressions (`hwsim.expr`) widened: numbers, `+ - * / // %`, comparisons, `and`, `or`, `not`,
parentheses, `min`, `max`, `abs`, `log2`, and texts to compare names with. A name may hold dots (`bind.density`). It is
walked over Python's `ast` with a whitelist; nothing is evaluated as code. One formula answers for one point (`value`)
or for columns of points (`column`), with the same answers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hwsim.errors import InputError, bad_input
from hwsim.sweep.grammar import (
    Kind,
    RefusedError,
    UndefinedError,
    WrongKindError,
    decided,
    dotted_name,
    kind_within,
    parse,
    value_of,
    walk,
)
from hwsim.sweep.study import Value

if TYPE_CHECKING:
    import numpy as np


class Formula:
    """An immutable formula over named values.

    text    as it was written
    names   every name it uses, with its dots
    Raises InputError when the text is not in the grammar.
    """

    __slots__ = ("_tree", "names", "text")

    def __init__(self, text: str) -> None:
        try:
            self._tree = parse(text)
        except RefusedError as bad:
            raise bad_input("formula", text, bad.what, bad.remedy) from None
        self.text = text.strip()
        self.names = frozenset(filter(None, map(dotted_name, walk(self._tree))))

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
        return kind_within(self._tree, kinds, self.text)

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
            return value_of(self._tree, names)  # type: ignore[no-any-return]
        except KeyError as missing:
            raise bad_input("unbound", self.text, f"the name {missing.args[0]} has no value here") from None
        except UndefinedError as bad:
            raise bad_input("undefined", self.text, str(bad)) from None
        except WrongKindError as bad:
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
        return decided(self._tree, names)

    def column(self, columns: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """What the formula says of many points: `columns` holds arrays of one length (or single values) by name.

        A condition gives booleans, False where it is undefined; a number gives float64, NaN where it is undefined.
        Raises InputError as `value` does for names and kinds.
        """
        from hwsim.sweep import vectors

        return vectors.column(self._tree, self.text, columns)
