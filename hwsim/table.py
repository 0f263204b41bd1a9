"""Tables of physical figures: every number with its source, its evidence class, its range and its place in the file.

The technology and DRAM tables (`hwsim/tables`) are written in this form, and so are the user's own. A figure is
either a plain number under a mapping that names `source` and `evidence` for all of them, or a mapping of its own::

    source: Micron MT40A1G8 datasheet        # of every plain number beside it
    evidence: verified
    width_bits: 64
    cl_cycles: {value: 16, source: "speed bin 083E", evidence: verified, range: [15, 17]}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hwsim.document import Checker, Document, suggestion
from hwsim.errors import Where, bad_input

T = TypeVar("T")
Path_ = tuple[str | int, ...]

TABLES = Path(__file__).parent / "tables"
EVIDENCE = ("verified", "computed", "simulated", "recalled", "assumed")
_TEXTS = ("source", "evidence")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, the range its truth is thought to lie in, and what vouches for it."""

    value: float
    low: float
    high: float
    source: str
    evidence: str
    where: Where


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a figure may be: `low` to `high`, both included; whole numbers only where `whole`."""

    low: float
    high: float
    whole: bool = False

    def __str__(self) -> str:
        return f"{'an integer' if self.whole else 'a number'} from {self.low:.12g} to {self.high:.12g}"

    def allow(self, value: Any) -> bool:
        """Whether `value` is a number of this kind, within the bounds."""
        return self.is_kind(value) and bool(self.low <= value <= self.high)

    def is_kind(self, value: Any) -> bool:
        """Whether `value` is a number of this kind, whatever its size."""
        return type(value) is int or (type(value) is float and not self.whole)


_NO_RANGE: Any = object()
"""No range is given, which an empty `range:` is not."""


class Reader:
    """Reads figures of one document, collecting every problem in `checker`."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.checker = Checker(document)

    def figure(self, path: Path_, raw: Any, bounds: Bounds, shared: Mapping[str, Any]) -> Figure | None:
        """The figure at `path`; None (and problems noted) when it is wrong. `shared` holds the source and evidence
        of plain numbers."""
        texts: Mapping[str, Any] = shared
        value, span = raw, _NO_RANGE
        if isinstance(raw, dict):
            if self.checker.keys(path, raw, "a figure", ("value",), (*_TEXTS, "range")) is None or "value" not in raw:
                return None
            texts = {**shared, **raw}
            value, span = raw["value"], raw.get("range", _NO_RANGE)
            path = (*path, "value")
        if not self.allowed(path, value, bounds):
            return None
        source, evidence = self._vouched(path, texts)
        low, high = self._range((*path[:-1], "range"), span, float(value), bounds)
        return Figure(float(value), low, high, source, evidence, self.document.where(path))

    def allowed(self, path: Path_, value: Any, bounds: Bounds) -> bool:
        """Whether `value`, which stands at `path`, is within `bounds`; a problem is noted when it is not."""
        if bounds.allow(value):
            return True
        code = "range" if bounds.is_kind(value) else "type"
        self.checker.fail(path, code, value, f"must be {bounds}")
        return False

    def _vouched(self, path: Path_, texts: Mapping[str, Any]) -> tuple[str, str]:
        source = texts.get("source")
        if not isinstance(source, str) or not source:
            self.checker.fail(path, "source", source, "every figure needs a source, its own or its mapping's",
                              "Write where the number is from: source: \"...\".")  # fmt: skip
        evidence = texts.get("evidence")
        if evidence not in EVIDENCE:
            rule = f"every figure needs its evidence: one of {', '.join(EVIDENCE)}"
            self.checker.fail(path, "evidence", evidence, rule)
        return str(source), str(evidence)

    def _range(self, path: Path_, span: Any, value: float, bounds: Bounds) -> tuple[float, float]:
        if span is _NO_RANGE:
            return value, value
        ends = span if isinstance(span, list) else []
        wide = Bounds(bounds.low, bounds.high)
        if len(ends) != 2 or not all(map(wide.allow, ends)) or not ends[0] <= value <= ends[1]:
            self.checker.fail(path, "range", span, f"a range is [low, high] around the value {value:g}, each {wide}")
            return value, value
        return float(ends[0]), float(ends[1])

    def figures(
        self, path: Path_, raw: Any, what: str, known: Mapping[str, Bounds], required: tuple[str, ...] | None = None
    ) -> dict[str, Figure]:
        """Every figure of a mapping whose keys are in `known`; all of `required` (or else all of `known`) must be
        there. The mapping may name `source` and `evidence` for its plain numbers."""
        needed = tuple(known) if required is None else required
        optional = tuple(k for k in known if k not in needed)
        if self.checker.keys(path, raw, what, needed, (*optional, *_TEXTS)) is None:
            return {}
        shared = {k: raw[k] for k in _TEXTS if k in raw}
        found = {k: self.figure((*path, k), raw[k], known[k], shared) for k in known if k in raw}
        return {k: f for k, f in found.items() if f is not None}


def select(name: str, kind: str, shipped: str, entries: Callable[[Path], Mapping[str, T]]) -> T:
    """The entry called `name` of the shipped table, or the only entry of the table file `name` is the path of.

    `FILE.yaml#ENTRY` names one entry of several. Raises InputError when there is no such entry or file.
    """
    path, _, entry = name.partition("#")
    if not path.endswith((".yaml", ".yml")):
        path, entry = "", name
    found = entries(Path(path) if path else TABLES / shipped)
    if entry in found:
        return found[entry]
    if not entry and len(found) == 1:
        return next(iter(found.values()))
    rule = f"no {kind} has this name" if entry else f"this table has several entries; name one {kind}: {path}#NAME"
    raise bad_input(f"unknown-{kind}", name, rule, suggestion(entry, found))
