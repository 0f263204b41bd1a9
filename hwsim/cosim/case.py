"""Case files: which designs and tasks a circuit is run with, and how far its model may be off.

    circuit: optimus
    design: circuit.yaml            # a file beside this one, or the name of a shipped design
    tolerance: {mape: 1 %, p95: 3 %, worst: 8 %, reason: "..."}
    held_out: [n8m4]                # families never looked at while the model was written
    split: "..."                    # how they were chosen and kept apart; printed with their figures
    cases:
      - {name: s001, family: n16m4, design: {macs: 16}, task: {rows: 3}, seed: 17}

Values of `design` and `task` are those of the model's Design and of the circuit's Task, with their units, ranges and
rules. Problems are reported together, each with its place.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hwsim.config import DesignFile, describe, leaves, load_design, plain, read_record, read_values
from hwsim.cosim.circuit import Circuit, Hdl, circuit_names, load_circuit
from hwsim.document import Checker, Document, Path_, read_yaml, suggestion
from hwsim.errors import InputError, Problem, Where, bad_input
from hwsim.parts import TABLES, Parts, resolve_parts

REQUIRED = ("circuit", "design", "tolerance", "cases")
OPTIONAL = ("held_out", "split")
BOUNDS = ("mape", "p95", "worst")
CASE_REQUIRED = ("name", "family", "task", "seed")
CASE_OPTIONAL = ("design",)
MAX_SEED = 2**32 - 1
MAX_CASES = 10_000

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PERCENT_PATTERN = r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%"
_NAME = re.compile(NAME_PATTERN)
_PERCENT = re.compile(PERCENT_PATTERN)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far the model's total cycles may be from the circuit's, as fractions, and why: the mean and the 95th
    percentile of the absolute errors of all cases, and the largest."""

    mape: float
    p95: float
    worst: float
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """One run: a design and its parts, a task, and the seed of its data. `where` is its place in the file."""

    name: str
    family: str
    design: Any
    parts: Parts
    task: Any
    seed: int
    held_out: bool
    where: Where

    def parameters(self, circuit: Circuit) -> dict[str, int]:
        """The Verilog parameters the circuit is built with for this case."""
        return {name: int(getattr(self.design, name)) for name in circuit.hdl.parameters}

    def build_key(self, circuit: Circuit) -> Hashable:
        """What cases share that share a build."""
        own = getattr(circuit, "build_key", lambda design, task: None)(self.design, self.task)
        return (tuple(self.parameters(circuit).items()), own)


def hdl_of(circuit: Circuit, cases: Sequence[Case]) -> Hdl:
    """The sources of one build for `cases`: the circuit's own, or those it generates for them."""
    generate = getattr(circuit, "hdl_of", None)
    if generate is None:
        return circuit.hdl
    made: Hdl = generate([(case.design, case.task) for case in cases])
    return made


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case file, read and checked."""

    path: Path
    circuit: Circuit
    base: DesignFile
    tolerance: Tolerance
    held_out: tuple[str, ...]
    cases: tuple[Case, ...]
    split: str = ""

    def selected(self, names: Sequence[str] = (), families: Sequence[str] = ()) -> tuple[Case, ...]:
        """The cases called so or of these families; all of them when neither is given.

        Raises InputError for a name or family that no case has.
        """
        known = {"--case": {c.name for c in self.cases}, "--family": {c.family for c in self.cases}}
        for option, asked in (("--case", names), ("--family", families)):
            for one in asked:
                if one not in known[option]:
                    rule = f"no case has this {'name' if option == '--case' else 'family'}"
                    raise bad_input("unknown-case", one, rule, suggestion(one, known[option]), key=option)
        chosen = {*names}, {*families}
        return tuple(c for c in self.cases if not any(chosen) or c.name in chosen[0] or c.family in chosen[1])


def is_case_file(data: Any) -> bool:
    """Whether what a YAML file says is meant as cases of a circuit."""
    return isinstance(data, dict) and "circuit" in data


def read_cases(path: str | Path, circuit: Circuit | None = None) -> CaseFile:
    """The cases in a file; of `circuit`, or else of the installed one that the file names.

    Raises InputError with every problem of the file, and those of the base design where that is wrong.
    """
    document = read_yaml(path)
    return _Reader(document, Path(path)).file(circuit)


class _Reader:
    """Reads one case file; every problem is noted in `check`."""

    def __init__(self, document: Document, path: Path) -> None:
        self.check, self.document, self.path = Checker(document), document, path

    def file(self, circuit: Circuit | None) -> CaseFile:
        raw = self.check.keys((), self.document.data, "a case file", REQUIRED, OPTIONAL) or {}
        found = self.circuit(raw, circuit)
        base = self.base(raw, found)
        tolerance = self.tolerance(raw)
        if found is None or base is None:
            self.check.raise_problems()
        assert found is not None and base is not None
        reader = _CaseReader(self.check, found, base, self.path.parent)
        cases = reader.cases(raw)
        held_out = self.held_out(raw, reader.families)
        split = self.check.text((), raw, "split") if "split" in raw else ""
        self.check.raise_problems()
        assert tolerance is not None
        marked = tuple(replace(case, held_out=case.family in held_out) for case in cases)
        return CaseFile(self.path, found, base, tolerance, held_out, marked, split or "")

    def circuit(self, raw: Mapping[str, Any], circuit: Circuit | None) -> Circuit | None:
        """The circuit whose cases these are; None, noted, if the file names none or another one."""
        name = self.check.text((), raw, "circuit")
        if name is None:
            return None
        if circuit is not None and name != circuit.name:
            rule = f"these are to be cases of {circuit.name}"
            self.check.fail(("circuit",), "conflict", name, rule, f"Write circuit: {circuit.name}.")
        elif circuit is None and name not in circuit_names():
            rule = "no installed circuit has this name"
            self.check.fail(("circuit",), "unknown-circuit", name, rule, suggestion(name, circuit_names()))
        else:
            return circuit or load_circuit(name)
        return None

    def base(self, raw: Mapping[str, Any], circuit: Circuit | None) -> DesignFile | None:
        """The design that the cases vary; None, noted, if there is none or it is of another model."""
        name = self.check.text((), raw, "design")
        if name is None:
            return None
        try:
            file = load_design(_beside(name, self.path.parent))
        except InputError as bad:
            _refer(self.check, ("design",), name, bad)
            return None
        if circuit is not None and file.model.name != circuit.model:
            rule = f"the circuit {circuit.name} holds the model {circuit.model}"
            self.check.fail(("design",), "conflict", f"a design of {file.model.name}", rule)
            return None
        return file if self.has_parts(file) else None

    def has_parts(self, file: DesignFile) -> bool:
        """Whether the technology and the DRAM of the base design exist; noted if not."""
        folder = file.path.parent if file.path else self.path.parent
        try:
            resolve_parts({key: _beside(name, folder) for key, name in file.named.items()})
        except InputError as bad:
            _refer(self.check, ("design",), bad.problems[0].got, bad)
            return False
        return True

    def tolerance(self, raw: Mapping[str, Any]) -> Tolerance | None:
        if "tolerance" not in raw:
            return None
        path: Path_ = ("tolerance",)
        given = self.check.keys(path, raw["tolerance"], "a tolerance", (*BOUNDS, "reason"))
        if given is None:
            return None
        mape, p95, worst = (self.percent((*path, key), given[key]) if key in given else None for key in BOUNDS)
        reason = self.check.text(path, given, "reason")
        if mape is None or p95 is None or worst is None or reason is None:
            return None
        return Tolerance(mape, p95, worst, reason)

    def percent(self, path: Path_, value: Any) -> float | None:
        """A percentage such as "1.5 %" as a fraction."""
        found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        if found and float(found[1]) <= 100:
            return float(found[1]) / 100
        self.check.fail(path, "type", value, "must be a percentage from 0 % to 100 %", "For example 1.5 %.")
        return None

    def held_out(self, raw: Mapping[str, Any], families: set[str]) -> tuple[str, ...]:
        names = self.check.items(("held_out",), raw["held_out"], "held_out") if "held_out" in raw else []
        for i, name in enumerate(names):
            path = ("held_out", i)
            if not isinstance(name, str):
                self.check.fail(path, "type", name, "the name of a family is needed here")
            elif name not in families and families:
                self.check.fail(path, "unknown-family", name, "no case is of this family", suggestion(name, families))
            elif name in names[:i]:
                self.check.fail(path, "duplicate", name, "this family stands here already", "Keep one.")
        return tuple(name for name in names if isinstance(name, str))


class _CaseReader:
    """Reads the cases, all against one circuit and one base design."""

    def __init__(self, check: Checker, circuit: Circuit, base: DesignFile, folder: Path) -> None:
        self.check, self.circuit, self.base, self.folder = check, circuit, base, folder
        kind: type = type(base.design)
        self.tree = describe(kind)
        self.base_parts = base.named
        self.base_folder = base.path.parent if base.path else folder
        self.parts_of = lru_cache(maxsize=64)(lambda named: resolve_parts(dict(named)))
        self.first: dict[str, int] = {}
        self.families: set[str] = set()
        """Those that any case names, be the case wrong in other ways."""

    def cases(self, raw: Mapping[str, Any]) -> list[Case]:
        items = self.check.items(("cases",), raw["cases"], "cases") if "cases" in raw else []
        if raw.get("cases") == [] or len(items) > MAX_CASES:
            rule = f"a case file has 1 to {MAX_CASES} cases"
            self.check.fail(("cases",), "range", raw["cases"], rule)
        return [case for i, item in enumerate(items[:MAX_CASES]) if (case := self.case(("cases", i), item))]

    def case(self, path: Path_, raw: Any) -> Case | None:
        noted = len(self.check.problems)
        given = self.check.keys(path, raw, "a case", CASE_REQUIRED, CASE_OPTIONAL)
        if given is None:
            return None
        name, family = (self.word(path, given, key) for key in ("name", "family"))
        self.is_new(path, name)
        self.families |= {family} if family else set()
        seed = self.check.integer((*path, "seed"), given["seed"], 0, MAX_SEED) if "seed" in given else None
        design = self.design((*path, "design"), given.get("design", {}))
        task_path = (*path, "task")
        task = (
            read_record(self.check, task_path, given["task"], self.circuit.Task, "a task") if "task" in given else None
        )
        if len(self.check.problems) > noted or design is None:
            return None
        where = self.check.document.where(path)
        return Case(name or "", family or "", *design, task, seed or 0, False, where)

    def word(self, path: Path_, given: Mapping[str, Any], key: str) -> str | None:
        """A name that may be part of a file's name."""
        if key not in given:
            return None
        value = given[key]
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        rule = "must be a name of letters, digits, dots, dashes and underscores, at most 64"
        self.check.fail((*path, key), "type", value, rule)
        return None

    def is_new(self, path: Path_, name: str | None) -> None:
        if name is None:
            return
        first = self.first.setdefault(name, int(path[-1]))
        if first != path[-1]:
            line = self.check.document.where(("cases", first)).line
            self.check.fail((*path, "name"), "duplicate", name, f"the case at line {line} has this name", "Rename one.")

    def design(self, path: Path_, raw: Any) -> tuple[Any, Parts] | None:
        """The base design with the values at `path` moved; None, noted, if that cannot be."""
        noted = len(self.check.problems)
        plain_values = raw if not isinstance(raw, dict) else {k: v for k, v in raw.items() if k not in self.base_parts}
        moved = read_values(self.check, path, plain_values, self.tree, "the design")
        texts = self.texts(path, raw)
        if len(self.check.problems) > noted:
            return None
        parts = self.parts_of(tuple(texts.items()))
        changes = {leaf.key: value for leaf, value in moved.values()}
        try:
            design, _ = self.base.replaced(changes)
        except InputError as bad:
            self.rule(path, raw, bad)
            return None
        return (design, parts) if self.fits(path, design) else None

    def texts(self, path: Path_, raw: Any) -> dict[str, str]:
        """The entries of tables that are named: by the case, beside the case file; or by the base design, beside that.
        Noted where there is none of that name."""
        found = {key: _beside(text, self.base_folder) for key, text in self.base_parts.items()}
        for key in self.base_parts:
            text = self.check.text(path, raw, key) if isinstance(raw, dict) and key in raw else None
            if text is not None:
                found[key] = _beside(text, self.folder)
                try:
                    TABLES[key].read(found[key])
                except InputError as bad:
                    _refer(self.check, (*path, key), text, bad)
        return found

    def rule(self, path: Path_, raw: Mapping[str, Any], bad: InputError) -> None:
        """Note broken rules of a moved design at the values that were moved, where they are about those."""
        for p in bad.problems:
            if p.where.line:
                self.check.problems.append(p)
                continue
            keys = tuple(p.where.key.split(".")) if p.where.key else ()
            place = (*path, *keys) if keys[:1] and keys[0] in raw else path
            where = replace(self.check.document.where(place), key=self.check.document.where((*path, *keys)).key)
            self.check.problems.append(Problem(p.code, where, p.got, p.rule, p.remedy))

    def fits(self, path: Path_, design: Any) -> bool:
        """Whether the circuit can be built as `design`; noted if not."""
        noted = len(self.check.problems)
        keys = {leaf.fields: leaf.path for leaf in leaves(self.tree)}
        for field, wanted in self.circuit.built_for.items():
            names = tuple(field.split("."))
            got = _value(design, names)
            if got != wanted:
                rule = f"the circuit {self.circuit.name} is built for {plain(wanted)} alone"
                key = keys.get(names, names)
                self.check.fail((*path, *key), "not-built", plain(got), rule, f"Write {plain(wanted)}.")
        return len(self.check.problems) == noted


def _value(design: Any, names: Sequence[str]) -> Any:
    for name in names:
        design = getattr(design, name)
    return design


def _beside(name: str, folder: Path) -> str:
    """A file named relative to `folder`; any other name as it is."""
    file, mark, entry = name.partition("#")
    return f"{folder / file}{mark}{entry}" if file.endswith((".yaml", ".yml")) else name


def _refer(check: Checker, path: Path_, got: object, bad: InputError) -> None:
    """Note the problems of something the file refers to: at their own place where they have one."""
    for p in bad.problems:
        if p.where.line:
            check.problems.append(p)
        else:
            check.fail(path, p.code, got, p.rule, p.remedy)


def at_case(case: Case, error: InputError) -> InputError:
    """An error about a case with the place of the case, where it has none of its own."""
    return InputError(tuple(_placed(case, error.problems)))


def _placed(case: Case, problems: Sequence[Problem]) -> Iterator[Problem]:
    for p in problems:
        yield (
            p if p.where.line else replace(p, where=replace(case.where, key=f"{case.name}: {p.where.key}".rstrip(": ")))
        )
