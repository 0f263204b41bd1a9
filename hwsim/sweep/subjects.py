"""What a study is about: its designs and workloads, loaded, and what each key of the space may hold.

A key is a value of a design (`macs`, `buffer.capacity`), `technology`, `dram`, or `bind.NAME` for a symbol of a
workload. Values go through the design's own rules (`hwsim.config.convert`), so units, ranges and enums are those of
design files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hwsim.config import DesignFile, Leaf, convert, describe, leaves, load_design
from hwsim.config import plain as plain_value
from hwsim.demand import layout
from hwsim.document import plain_scalar, suggestion
from hwsim.errors import InputError
from hwsim.parts import TABLES, resolve_parts
from hwsim.sweep.grammar import Kind
from hwsim.sweep.metrics import SCALARS
from hwsim.sweep.study import ACCELERATOR, BIND, WORKLOAD, Study, Value
from hwsim.units import bare_name, dimension_of, parse_integer, parse_number
from hwsim.workload.family import Network, Parameter, load_network
from hwsim.workload.ir import Symbol

PARTS = tuple(TABLES)
"""Keys that name an entry of a table."""
RESULT = "result."
"""Before the name of a figure in a constraint, where a key of the design has the same name."""


class ValueRefusedError(ValueError):
    """A value that a key cannot take: code, rule and remedy as in a Problem."""

    def __init__(self, code: str, rule: str, remedy: str = "") -> None:
        super().__init__(rule)
        self.code, self.rule, self.remedy = code, rule, remedy


def refusal(bad: ValueError) -> tuple[str, str, str]:
    """(code, rule, remedy) of any error that converting a value raises."""
    return getattr(bad, "code", "type"), getattr(bad, "rule", str(bad)), getattr(bad, "remedy", "")


@dataclass(frozen=True, slots=True)
class Target:
    """What one key stands for: a leaf of a design, a symbol of a workload or a parameter of its family, or (neither) a
    part by name."""

    key: str
    leaf: Leaf | None = None
    symbol: Symbol | None = None

    @property
    def kind(self) -> Kind:
        """What the values are, to a formula."""
        if self.leaf is None:
            return Kind.NUMBER if self.symbol else Kind.TEXT
        if self.leaf.kind is bool:
            return Kind.TRUTH
        return Kind.NUMBER if self.leaf.kind in (int, float) else Kind.TEXT

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return not self.symbol.ratio if self.symbol else self.leaf is not None and self.leaf.kind is int

    @property
    def has_unit(self) -> bool:
        """Whether values are written with a unit."""
        return self.leaf is not None and self.leaf.kind in (int, float) and dimension_of(self.leaf.name) is not None

    @property
    def unit_name(self) -> str:
        """The field name whose suffix is the unit of the values; "" for symbols and parts."""
        return self.leaf.name if self.leaf else ""

    def convert(self, raw: object) -> Value:
        """The value that a YAML scalar stands for. Raises a ValueError with code, rule and remedy."""
        if self.leaf is not None:
            return plain_value(convert(self.leaf, raw))  # type: ignore[return-value]
        return _symbol_value(self.symbol, raw) if self.symbol else _part_name(self.key, raw)

    def distance(self, raw: object) -> int | float:
        """The difference of two values (a step), in the unit of the key. Raises as `convert` does."""
        if self.has_unit and isinstance(raw, str):
            return (parse_integer if self.whole else parse_number)(raw, self.unit_name)
        if isinstance(raw, bool) or not isinstance(raw, int | float) or self.has_unit:
            raise ValueRefusedError("type", "must be a quantity with a unit" if self.has_unit else "must be a number")
        if self.whole and raw != int(raw):
            raise ValueRefusedError("type", "must be an integer")
        return int(raw) if self.whole else float(raw)


def _symbol_value(symbol: Symbol, raw: object) -> Value:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueRefusedError("type", "must be a number")
    if not symbol.ratio and raw != int(raw):
        raise ValueRefusedError("type", "must be a whole number")
    if not symbol.low <= raw <= symbol.high or (symbol.ratio and raw <= 0):
        raise ValueRefusedError("range", f"must be from {symbol.low:g} to {symbol.high:g}")
    if isinstance(symbol, Parameter) and symbol.choices and raw not in symbol.choices:
        raise ValueRefusedError("choice", f"must be one of {', '.join(map(str, symbol.choices))}")
    return float(raw) if symbol.ratio else int(raw)


def _part_name(key: str, raw: object) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueRefusedError("type", "a text is needed here")
    try:
        TABLES[key].read(raw)
    except InputError as bad:
        first = bad.problems[0]
        place = f"{first.where}: " if str(first.where) else ""
        raise ValueRefusedError(first.code, f"{place}{first.rule}", first.remedy) from None
    return raw


class Subjects:
    """The designs and workloads of a study by the names it uses, and everything they say about keys.

    Raises InputError when one of them cannot be loaded.
    """

    def __init__(self, designs: Mapping[str, DesignFile], workloads: Mapping[str, Network]) -> None:
        self.designs, self.workloads = dict(designs), dict(workloads)

    @classmethod
    def named(cls, accelerators: Sequence[str], workloads: Sequence[str], train: str = "") -> Subjects:
        """The subjects with these names; with `train`, the workloads' training steps with that optimizer."""
        return cls({a: load_design(a) for a in accelerators}, {w: load_network(w, train) for w in workloads})

    @classmethod
    def of(cls, study: Study) -> Subjects:
        """The subjects of a study."""
        return cls.named(study.accelerators, study.workloads, study.train)

    # Keys

    @cached_property
    def leaves(self) -> dict[str, dict[str, Leaf]]:
        """Accelerator -> key -> leaf."""
        return {a: {leaf.key: leaf for leaf in leaves(describe(_type_of(f)))} for a, f in self.designs.items()}

    @cached_property
    def targets(self) -> dict[str, Target]:
        """Every key that any design or workload of the study has."""
        found = {key: Target(key) for key in PARTS if any(key in f.named for f in self.designs.values())}
        for known in self.leaves.values():
            for key, leaf in known.items():
                found.setdefault(key, Target(key, leaf=leaf))
        for workload in self.workloads.values():
            for name, symbol in workload.symbols.items():
                found.setdefault(BIND + name, Target(BIND + name, symbol=symbol))
        return found

    def without(self, key: str) -> tuple[list[str], list[str]]:
        """The accelerators and the workloads to which `key` means nothing."""
        if key.startswith(BIND):
            return [], [w for w, net in self.workloads.items() if key.removeprefix(BIND) not in net.symbols]
        return [a for a, known in self.leaves.items() if key not in known and key not in self.designs[a].named], []

    def disagreement(self, key: str) -> str:
        """How designs differ about the unit or the kind of `key`, "" where they agree."""
        found = {(known[key].name, known[key].kind) for known in self.leaves.values() if key in known}
        return " and ".join(sorted(f"{name} ({kind.__name__})" for name, kind in found)) if len(found) > 1 else ""

    def unknown_key(self, key: str) -> tuple[str, str]:
        """Rule and remedy about a key that no subject has."""
        bare = self.targets.get(".".join(map(bare_name, key.split("."))))
        if bare is not None and bare.key != key:
            return "keys drop the unit suffix", f"Write {bare.key}."
        owner = "workload" if key.startswith(BIND) else "accelerator"
        return f"no {owner} of this study has such a key", suggestion(key, self.targets)

    # Figures

    @cached_property
    def figures(self) -> frozenset[str]:
        """Every figure that a Result of these designs may hold (`hwsim.sweep.metrics`)."""
        found = set(SCALARS)
        for file in self.designs.values():
            found |= _figures_of(file)
        return frozenset(found)

    # Values

    def base(self, accelerator: str, workload: str, study: Study) -> dict[str, Value]:
        """The value of every key of the study for one accelerator and workload, before anything is varied.

        A key that means nothing to them holds a stand-in of the right kind.
        """
        values = {key: _stand_in(target) for key, target in self.targets.items()}
        values |= self.design_values(accelerator, study)
        symbols = self.workloads[workload].symbols
        bound = {name: study.bind.get(name, symbol.default) for name, symbol in symbols.items()}
        values |= {BIND + n: float(v) if symbols[n].ratio else int(v) for n, v in bound.items()}
        return values | {ACCELERATOR: accelerator, WORKLOAD: workload}

    def design_values(self, accelerator: str, study: Study) -> dict[str, Value]:
        """The values of one design under the study's `fixed` ones, with the entries of tables that it names."""
        file = self.designs[accelerator]
        values: dict[str, Any] = {v.key: v.value for v in file.values if v.key != "model"}
        values |= file.named
        return values | self.fixed_of(accelerator, study)

    def fixed_of(self, accelerator: str, study: Study) -> dict[str, Value]:
        """The values that `fixed` gives to this accelerator: those of its keys."""
        known = (*self.leaves[accelerator], *self.designs[accelerator].named)
        return {key: value for key, value in self.fixed(study.fixed).items() if key in known}

    def fixed(self, texts: Iterable[str]) -> dict[str, Value]:
        """The values of "key=value" texts."""
        found: dict[str, Value] = {}
        for text in texts:
            key, _, raw = text.partition("=")
            target = self.targets[key]
            as_text = target.kind is Kind.TEXT or target.has_unit
            found[key] = target.convert(raw if as_text else plain_scalar(raw))
        return found


def _type_of(file: DesignFile) -> type:
    kind: type = type(file.design)
    return kind


def _stand_in(target: Target) -> Value:
    return "" if target.kind is Kind.TEXT else target.kind is Kind.NUMBER and 1


def _figures_of(file: DesignFile) -> set[str]:
    model, parts = file.model, resolve_parts(file.named)
    _, names = layout(model.Counts, model.machine(file.design, parts))
    found = {f"traffic_bits.{level}.{way}" for level in names.levels for way in ("read", "write")}
    found |= {f"memory_peak_bits.{level}" for level in names.levels}
    found |= {f"energy_breakdown_j.{c or f}" for c, f in zip(names.components, names.fields, strict=True)}
    return found | {f"energy_breakdown_j.{c} (static)" for c in model.static_w(file.design, parts)._fields}
