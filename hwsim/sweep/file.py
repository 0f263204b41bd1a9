"""Sweep files: YAML to a Study, every value through the rules of the design or workload it is for.

docs/sweeps.md describes the form. Problems are reported together, each with its place in the file (or the override)
and its key path: first those of the YAML, then those of the designs and workloads, then all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from hwsim.config import design_name
from hwsim.document import Checker, Path_, nearest, one_line, read_yaml, suggestion
from hwsim.errors import InputError
from hwsim.simulate import FIDELITIES
from hwsim.sweep.formula import Formula
from hwsim.sweep.grammar import Kind
from hwsim.sweep.search import GRID, METHODS, proposer_of
from hwsim.sweep.source import Source, apply_overrides, is_wandb, native, refuse_shape
from hwsim.sweep.space import MAX_GRID, Space
from hwsim.sweep.study import ACCELERATOR, BIND, WORKLOAD, Direction, Objective, Parameter, Study, Value
from hwsim.sweep.subjects import PARTS, RESULT, Subjects, Target, ValueRefusedError, refusal
from hwsim.workload.training import OPTIMIZERS

REQUIRED = ("space", "objectives")
SUBJECTS = {"accelerator": "accelerators", "workload": "workloads"}
OPTIONAL = (
    "study", "summary", *SUBJECTS, *SUBJECTS.values(), "train", "set", "bind", "constraints", "method", "options",
    "fidelity", "budget", "seed", "keep_rows",
)  # fmt: skip
AXIS_KEYS = ("values", "range", "log_range", "step", "grid", "when")
FORMS = ("values", "range", "log_range")
MAX_AXES = 64
MAX_BUDGET = 10**15
MAX_SEED = 2**32 - 1
MAX_KEEP_ROWS = 10**9
DEFAULT_KEEP_ROWS = 1_000_000

_CHOSEN = (ACCELERATOR, WORKLOAD)


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study with what its file leaves to say: remarks about keys that were read in another sense than written."""

    study: Study
    subjects: Subjects
    notes: tuple[str, ...] = ()


def read_study(path: str | Path, overrides: Sequence[str] = ()) -> StudyFile:
    """The study in a YAML file, with `overrides` ("key=value", "key=1,2", "key=range(1,9)" texts) applied.

    Raises InputError with every problem of the file and of the overrides.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        raise refuse_shape(document)
    source = Source(document, document.data)
    notes = native(source) if is_wandb(document.data) else []
    apply_overrides(source, overrides)
    reader = _Reader(source, Path(path))
    return StudyFile(reader.study(), reader.subjects, tuple(notes))


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """The Study of `read_study`."""
    return read_study(path, overrides).study


# --- the reader -------------------------------------------------------------------------------------------------


class _Reader:
    """Reads one source; every problem is noted in `check`."""

    def __init__(self, source: Source, path: Path) -> None:
        self.check = Checker(source)
        self.source, self.path = source, path
        self.subjects = Subjects({}, {})
        self.given: dict[str, str] = {}
        """Names of designs and workloads as written -> as loaded."""

    def study(self) -> Study:
        """The whole study. Raises InputError with every problem."""
        raw = self.check.keys((), self.source.data, "a sweep", REQUIRED, OPTIONAL) or {}
        named = {singular: self.names(raw, singular, plural) for singular, plural in SUBJECTS.items()}
        train = self.check.choice(("train",), raw["train"], {o: o for o in OPTIMIZERS}) if "train" in raw else ""
        train = train or ""
        self.check.raise_problems()
        self.subjects = Subjects(
            self.loaded("accelerators", named["accelerator"]), self.loaded("workloads", named["workload"], train)
        )
        self.check.raise_problems()
        study = Study(
            name=self.name(raw),
            summary=self.check.text((), raw, "summary", "") or "",
            accelerators=tuple(self.subjects.designs),
            workloads=tuple(self.subjects.workloads),
            parameters=(),
            objectives=self.objectives(raw.get("objectives", {})),
            fixed=self.fixed(raw),
            bind=self.bind(raw),
            train=train,
            **self.how(raw),
        )
        return self.whole(study, raw)

    def whole(self, study: Study, raw: Mapping[str, Any]) -> Study:
        """The study with its space, which the values of the rest are needed for."""
        space = _SpaceReader(self, study, raw)
        study = replace(study, parameters=space.parameters())
        self.check.raise_problems()
        study = replace(study, constraints=space.constraints(study))
        self.check.raise_problems()
        self.method_fits(study)
        self.check.raise_problems()
        return study

    def name(self, raw: Mapping[str, Any]) -> str:
        """The name of the study: as written, or the file's."""
        name = self.check.text((), raw, "study", design_name(self.path))
        if name is not None and not name.strip():
            self.check.fail(("study",), "type", name, "a text is needed here")
        return name or ""

    # Designs and workloads

    def names(self, raw: Mapping[str, Any], singular: str, plural: str) -> list[tuple[Path_, str]]:
        """The names under `accelerators: [a, b]` or `accelerator: a`, each with its path."""
        if (singular in raw) == (plural in raw):
            rule = f"a sweep names its {plural}" if singular not in raw else f"{singular} and {plural} say the same"
            remedy = "" if singular not in raw else "Keep one of them."
            code = "missing-key" if singular not in raw else "conflict"
            self.check.fail((plural,), code, raw.get(plural), rule, remedy)
            return []
        key = plural if plural in raw else singular
        listed = isinstance(raw[key], list)
        found = raw[key] if listed else [raw[key]]
        if not found:
            self.check.fail((key,), "type", found, "at least one name is needed here")
        pairs: list[tuple[Path_, Any]] = [((key, i) if listed else (key,), name) for i, name in enumerate(found)]
        return [pair for pair in pairs if self.is_name(*pair, found)]

    def is_name(self, path: Path_, name: Any, among: Sequence[Any]) -> bool:
        if not isinstance(name, str) or not name.strip():
            self.check.fail(path, "type", name, "a name, or a list of names, is needed here")
        elif among.index(name) != path[-1] and among.count(name) > 1:
            self.check.fail(path, "duplicate", name, "this name stands here already", "Keep one.")
        else:
            return True
        return False

    def loaded(self, kind: str, named: Iterable[tuple[Path_, str]], train: str = "") -> dict[str, Any]:
        """Name -> design or workload; a path is relative to the sweep file."""
        found: dict[str, Any] = {}
        for path, name in named:
            located = self.located(name, overridden=not self.source.where(path).line)
            self.given[name] = located
            try:
                one = Subjects.named([located], []) if kind == "accelerators" else Subjects.named([], [located], train)
                found |= one.designs if kind == "accelerators" else one.workloads
            except InputError as bad:
                self.refer(path, name, bad)
        return found

    def located(self, name: str, *, overridden: bool) -> str:
        """A name as it is; a path relative to the folder of the sweep file (of an override: the working directory)."""
        file = name.partition("#")[0]
        if overridden or not file.endswith((".yaml", ".yml", ".json")):
            return name
        return str(self.path.parent / name)

    def refer(self, path: Path_, got: object, bad: InputError) -> None:
        """Note the problems of something the file refers to: at their own place where they have one."""
        for p in bad.problems:
            if p.where.line:
                self.check.problems.append(p)
            else:
                self.check.fail(path, p.code, got, p.rule, p.remedy)

    # What every point shares

    def fixed(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """The "key=value" texts of `set`."""
        given = self.check.mapping(("set",), raw["set"], "set") if "set" in raw else {}
        texts = []
        for key, value in (given or {}).items():
            target = self.target(("set", key), key, given_in="bind")
            if target is not None and self.converted(("set", key), value, target) is not None:
                text = self.located(value, overridden=False) if key in PARTS else _written(value)
                texts.append(f"{key}={text}")
        return tuple(texts)

    def bind(self, raw: Mapping[str, Any]) -> dict[str, float]:
        """The bindings of `bind`."""
        given = self.check.mapping(("bind",), raw["bind"], "bind") if "bind" in raw else {}
        bound: dict[str, float] = {}
        for name, value in (given or {}).items():
            target = self.target(("bind", name), BIND + name)
            number = self.converted(("bind", name), value, target) if target else None
            if number is not None:
                bound[name] = number  # type: ignore[assignment]
        return bound

    def target(self, path: Path_, key: str, given_in: str = "") -> Target | None:
        """What `key` stands for; None, noted, if nothing of this study has it, or designs differ about it."""
        target = self.subjects.targets.get(key)
        if target is None:
            rule, remedy = self.subjects.unknown_key(key)
            self.check.fail(path, "unknown-key", path[-1], rule, remedy, at_key=True)
        elif given_in and key.startswith(BIND):
            self.check.fail(path, "unknown-key", key, "symbols of a workload stand in bind",
                            f"Write bind: {{{key.removeprefix(BIND)}: ...}}.", at_key=True)  # fmt: skip
        elif differ := self.subjects.disagreement(key):
            self.check.fail(path, "conflict", key, f"the accelerators mean different things by it: {differ}",
                            "Sweep them in studies of their own.", at_key=True)  # fmt: skip
        else:
            return target
        return None

    def converted(self, path: Path_, raw: Any, target: Target) -> Value | None:
        """The value at `path`; None, noted, if the target cannot take it."""
        if target.key in PARTS and isinstance(raw, str):
            raw = self.located(raw, overridden=not self.source.where(path).line)
        value: Value | None = self.tried(path, raw, target.convert)
        return value

    def tried(self, path: Path_, raw: Any, convert: Callable[[Any], Any]) -> Any:
        """`convert(raw)`; None, noted, where it refuses."""
        try:
            return convert(raw)
        except ValueError as bad:
            self.check.fail(path, refusal(bad)[0], raw, *refusal(bad)[1:])
            return None

    # Objectives and method

    def objectives(self, raw: Any) -> tuple[Objective, ...]:
        """The objectives: figure -> direction."""
        given = self.check.mapping(("objectives",), raw, "objectives") if raw is not None else {}
        if not given and raw != {}:
            return ()
        if not given:
            self.check.fail(("objectives",), "missing-key", None, "a sweep needs an objective at least",
                            "Write objectives: {latency_s: minimize}.")  # fmt: skip
        found = []
        for figure, way in (given or {}).items():
            direction = self.check.choice(("objectives", figure), way, {d.value: d for d in Direction})
            if self.is_figure(("objectives", figure), figure) and direction is not None:
                found.append(Objective(figure, direction))
        return tuple(found)

    def is_figure(self, path: Path_, text: str) -> bool:
        """Whether a text names a figure or is a formula over figures and varied numbers that gives a number; noted if
        not."""
        figures = self.subjects.figures | self.varied_numbers()
        if text in self.subjects.figures:
            return True
        formula = self.formula(path, text)
        if formula is None:
            return False
        for name in sorted(formula.names - figures):
            self.check.fail(path, "unknown-name", name, "no figure of these accelerators has this name",
                            suggestion(name, figures), at_key=True)  # fmt: skip
        return self.has_kind(path, formula, dict.fromkeys(figures, Kind.NUMBER), Kind.NUMBER, "an objective")

    def varied_numbers(self) -> set[str]:
        """The keys of the space whose values are numbers."""
        data = self.source.data if isinstance(self.source.data, dict) else {}
        space = data.get("space")
        targets = self.subjects.targets
        return (
            {k for k in space if k in targets and targets[k].kind is Kind.NUMBER} if isinstance(space, dict) else set()
        )

    def formula(self, path: Path_, raw: Any) -> Formula | None:
        """The formula at `path`; None, noted, if it is none."""
        if not isinstance(raw, str) or not raw.strip():
            self.check.fail(path, "type", raw, "a formula is needed here", "For example macs % sets == 0.")
            return None
        try:
            return Formula(raw)
        except InputError as bad:
            self.refer(path, raw, bad)
            return None

    def has_kind(self, path: Path_, formula: Formula, kinds: Mapping[str, Kind], wanted: Kind, what: str) -> bool:
        """Whether a formula gives what is wanted of it; noted if not."""
        try:
            found = formula.kind(kinds)
        except InputError as bad:
            self.refer(path, formula.text, bad)
            return False
        if found not in (wanted, Kind.ANY):
            self.check.fail(path, "formula", formula.text, f"{what} gives {wanted.value}, and this is {found.value}")
        return found in (wanted, Kind.ANY)

    def how(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Method, options, fidelity, budget, seed and rows kept."""
        options = self.check.mapping(("options",), raw["options"], "options") if "options" in raw else {}
        return {
            "method": self.check.choice(("method",), raw.get("method", GRID), {m: m for m in METHODS}) or GRID,
            "options": options or {},
            "fidelity": self.check.choice(("fidelity",), raw.get("fidelity", "closed"), {f: f for f in FIDELITIES}),
            "budget": self.number(raw, "budget", 0, 1, MAX_BUDGET),
            "seed": self.number(raw, "seed", 0, 0, MAX_SEED),
            "keep_rows": self.number(raw, "keep_rows", DEFAULT_KEEP_ROWS, 0, MAX_KEEP_ROWS),
        }

    def number(self, raw: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
        return default if key not in raw else self.check.integer((key,), raw[key], low, high) or 0

    def method_fits(self, study: Study) -> None:
        """Whether the method can search this space: its options, its budget, and for a grid, that it is countable."""
        space = Space(study, self.subjects)
        for key in space.continuous if study.method == GRID else ():
            self.check.fail(("space", key), "continuous", {}, "the method grid needs a number of values here",
                            "Write grid: 10 (or a step) beside the range, or another method.")  # fmt: skip
        if self.check.problems:
            return
        try:
            proposer_of(study, space)
        except InputError as bad:
            for p in bad.problems:
                path = tuple(p.where.key.split("."))
                self.check.problems.append(replace(p, where=self.source.where(path)))


def _written(value: Any) -> str:
    """A YAML scalar as an override writes it."""
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else repr(value)


# --- the space --------------------------------------------------------------------------------------------------


class _SpaceReader:
    """Reads the parameters and constraints of one study."""

    def __init__(self, reader: _Reader, study: Study, raw: Mapping[str, Any]) -> None:
        self.reader, self.check, self.subjects = reader, reader.check, reader.subjects
        self.raw, self.study = raw, study
        self.found: dict[str, Parameter] = {}

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of `space`, in order."""
        given = self.raw.get("space")
        given = self.check.mapping(("space",), given, "space") if "space" in self.raw else {}
        if given is not None and len(given) > MAX_AXES:
            self.check.fail(("space",), "too-large", given, f"a space has at most {MAX_AXES} parameters")
            return ()
        for key, value in (given or {}).items():
            self.parameter(("space", key), key, value)
        return tuple(self.found.values())

    def parameter(self, path: Path_, key: str, raw: Any) -> None:
        """One axis, which goes into `found`."""
        if key in (*_CHOSEN, *SUBJECTS.values()):
            plural = SUBJECTS.get(key, key)
            self.check.fail(path, "unknown-key", key, f"what is compared stands under {plural} of the sweep",
                            f"Write {plural}: [...] beside space.", at_key=True)  # fmt: skip
            return
        target = self.reader.target(path, key)
        if target is None:
            return
        self.not_given_twice(path, key)
        body = {"values": raw} if isinstance(raw, list) else raw
        if not isinstance(body, dict):
            rule = "a parameter is a list of values, or a mapping with values, range or log_range"
            scalar = raw is not None and not isinstance(raw, dict)
            remedy = f"Write {key}: [{_written(raw)}, ...], or move it to set." if scalar else ""
            self.check.fail(path, "type", raw, rule, remedy)
            return
        self.check.keys(path, body, "a parameter", (), AXIS_KEYS)
        forms = [form for form in FORMS if form in body]
        if len(forms) != 1:
            rule = "a parameter needs exactly one of values, range and log_range"
            self.check.fail(path, "missing-key" if not forms else "conflict", raw, rule)
            return
        when = self.when(path, key, body)
        place = (*path, "values") if isinstance(raw, dict) else path
        if forms[0] == "values":
            parameter = self.listed(place, key, body, target)
        else:
            parameter = self.ranged(path, key, body, target, forms[0])
        if parameter is not None:
            self.found[key] = replace(parameter, when=when)

    def not_given_twice(self, path: Path_, key: str) -> None:
        section, name = ("bind", key.removeprefix(BIND)) if key.startswith(BIND) else ("set", key)
        if isinstance(self.raw.get(section), dict) and name in self.raw[section]:
            self.check.fail(path, "conflict", key, f"{section} gives this key one value already", "Keep one of them.",
                            at_key=True)  # fmt: skip

    # Values and ranges

    def listed(self, path: Path_, key: str, body: Mapping[str, Any], target: Target) -> Parameter | None:
        for name in ("step", "grid"):
            if name in body:
                self.check.fail((*path[:2], name), "conflict", body[name], f"{name} belongs to a range, not to values")
        raw = self.check.items(path, body["values"], "the values of a parameter")
        if not raw or len(raw) > MAX_GRID:
            if isinstance(body["values"], list):
                self.check.fail(path, "type", raw, "at least one value is needed here")
            return None
        values: list[Value] = []
        for i, one in enumerate(raw):
            value = self.reader.converted((*path, i), one, target)
            if value is not None and value in values:
                rule = f"the same value stands here already, as number {values.index(value) + 1}"
                self.check.fail((*path, i), "duplicate", one, rule, "Keep one.")
            values.append(value if value is not None else "")
        return Parameter(key, tuple(values))

    def ranged(self, path: Path_, key: str, body: Mapping[str, Any], target: Target, form: str) -> Parameter | None:
        if target.kind is not Kind.NUMBER:
            self.check.fail((*path, form), "type", body[form], f"{key} is {target.kind.value}; a range is of numbers",
                            "List its values.")  # fmt: skip
            return None
        ends = self.ends((*path, form), body[form], target, log=form == "log_range")
        grid = self.check.integer((*path, "grid"), body["grid"], 2, MAX_GRID) if "grid" in body else 0
        step = self.step(path, body, target, log=form == "log_range")
        if ends is None or grid is None or step is None:
            return None
        low, high = ends
        if step > high - low:
            self.check.fail((*path, "step"), "range", body["step"], "a step is no longer than its range")
            return None
        if not target.whole and step:
            return self.stepped((*path, "step"), key, ends, step)
        if target.whole and target.has_unit and not grid and "step" not in body and self.study.method == GRID:
            rule = "a grid over a quantity needs a step, or a number of values"
            self.check.fail(path, "continuous", body, rule, "Write step or grid beside the range.")
            return None
        return Parameter(key, low=low, high=high, step=step, log=form == "log_range", grid=grid)

    def ends(self, path: Path_, raw: Any, target: Target, *, log: bool) -> tuple[float, float] | None:
        """The two ends of a range: different, the low one first, and positive where the scale is logarithmic."""
        pair = self.check.items(path, raw, "a range")
        if len(pair) != 2:
            if isinstance(raw, list):
                self.check.fail(path, "type", raw, "a range is [low, high], both included")
            return None
        low, high = (self.reader.converted((*path, i), end, target) for i, end in enumerate(pair))
        if low is None or high is None:
            return None
        assert not isinstance(low, str) and not isinstance(high, str)
        if low >= high:
            self.check.fail(
                path, "range", f"[{pair[0]}, {pair[1]}]", "the low end of a range stands first, below the high one"
            )
        elif log and low <= 0:
            self.check.fail((*path, 0), "range", pair[0], "a logarithmic range starts above 0")
        else:
            return low, high
        return None

    def step(self, path: Path_, body: Mapping[str, Any], target: Target, *, log: bool) -> float | None:
        """The step of a range: of integers 1 if not given; 0 for a continuous one. None, noted, if it is wrong."""
        if "step" not in body:
            return int(target.whole)
        other = "grid" if "grid" in body else "log_range" if log else ""
        if other:
            self.check.fail((*path, "step"), "conflict", body["step"], f"a range with {other} has no step")
            return None
        step = self.reader.tried((*path, "step"), body["step"], target.distance)
        if step is not None and step <= 0:
            self.check.fail((*path, "step"), "range", body["step"], "a step is above 0")
            return None
        return step  # type: ignore[no-any-return]

    def stepped(self, path: Path_, key: str, ends: tuple[float, float], step: float) -> Parameter | None:
        """A range of floats in steps, spelled out in decimal so that 0.1 three times over is 0.3."""
        low, high, exact = (Fraction(repr(float(x))) for x in (*ends, step))
        count = math.floor((high - low) / exact) + 1
        if count > MAX_GRID:
            self.check.fail(path, "too-large", step, f"a range in steps has at most {MAX_GRID} values, not {count}")
            return None
        return Parameter(key, tuple(float(low + i * exact) for i in range(count)))

    # Conditions and constraints

    def when(self, path: Path_, key: str, body: Mapping[str, Any]) -> str:
        """The condition of a parameter as it is kept; "" where there is none, or it is wrong."""
        here = (*path, "when")
        formula = self.reader.formula(here, body["when"]) if "when" in body else None
        if formula is not None:
            space = self.raw.get("space")
            later = [k for k in (space if isinstance(space, dict) else {}) if k not in self.found]
            for name in sorted(formula.names & set(later)):
                rule = "a condition reads parameters that stand above it"
                self.check.fail(here, "order", name, rule, f"Move {name} up." if name != key else "")
                return ""
            formula = self.checked(here, formula, frozenset(), "a condition")
        if "when" not in body or formula is not None:
            self.applies(path, key, formula)
        return formula.text if formula else ""

    def applies(self, path: Path_, key: str, when: Formula | None) -> None:
        """Whether the parameter is varied only where its key means something; noted if not."""
        accelerators, workloads = self.subjects.without(key)
        for chosen, names in ((ACCELERATOR, accelerators), (WORKLOAD, workloads)):
            for name in names:
                if when is None or when.decided({chosen: name}) is not False:
                    other = next((n for n in getattr(self.study, f"{chosen}s") if n not in names), "")
                    remedy = f"Write when: {chosen} == '{other}'." if other else ""
                    self.check.fail(
                        path, "unknown-key", key, f"the {chosen} {name} has no such key", remedy, at_key=True
                    )
                    return

    def constraints(self, study: Study) -> tuple[str, ...]:
        """The constraints, which may speak of parameters, of values of the design and of figures."""
        raw = self.raw.get("constraints", [])
        figures = self.subjects.figures
        named = figures | {RESULT + figure for figure in figures}
        found = []
        for i, text in enumerate(self.check.items(("constraints",), raw, "constraints")):
            path = ("constraints", i)
            formula = self.reader.formula(path, text)
            formula = self.checked(path, formula, named, "a constraint") if formula else None
            if formula and self.meaningful(path, formula, study):
                found.append(formula.text)
        return tuple(found)

    def checked(self, path: Path_, formula: Formula, figures: frozenset[str], what: str) -> Formula | None:
        """A condition with its texts as values; None, noted, where a name is unknown or a kind is wrong."""
        targets = self.subjects.targets
        kinds = dict.fromkeys(figures, Kind.NUMBER) | {k: t.kind for k, t in targets.items()}
        kinds |= dict.fromkeys(_CHOSEN, Kind.TEXT)
        unknown = sorted(formula.names - set(kinds))
        for name in unknown:
            remedy = nearest(name, kinds) or suggestion(name, self.found)
            self.check.fail(
                path, "unknown-name", name, f"{what} speaks of {name}, which nothing here is called", remedy
            )
        if unknown:
            return None
        try:
            formula = formula.with_texts(self.text_value)
        except ValueError as bad:
            self.check.fail(path, refusal(bad)[0], formula.text, *refusal(bad)[1:])
            return None
        return formula if self.reader.has_kind(path, formula, kinds, Kind.TRUTH, what) else None

    def text_value(self, name: str, text: str) -> Value:
        """The value of a text that a formula compares `name` with. Raises a ValueError if it cannot be one."""
        if name in _CHOSEN:
            known = self.subjects.designs if name == ACCELERATOR else self.subjects.workloads
            located = text if text in known else self.reader.given.get(text, "")
            if located not in known:
                raise ValueRefusedError("choice", f"{name} is one of {', '.join(known)}", nearest(text, known))
            return located
        target = self.subjects.targets.get(name)
        if target is None or (target.kind is Kind.NUMBER and not target.has_unit) or target.kind is Kind.TRUTH:
            return text
        try:
            return target.convert(text)
        except ValueError as bad:
            code, rule, remedy = refusal(bad)
            raise ValueRefusedError(code, one_line(f"{name}: {rule}"), remedy) from None

    def meaningful(self, path: Path_, formula: Formula, study: Study) -> bool:
        """Whether a constraint can be decided for every accelerator and workload; noted if not."""
        for a in study.accelerators:
            for w in study.workloads:
                lacking = [n for n in sorted(formula.names) if self.lacks(n, a, w)]
                if lacking and formula.decided({ACCELERATOR: a, WORKLOAD: w}) is None:
                    who = w if lacking[0].startswith(BIND) else a
                    kind = WORKLOAD if lacking[0].startswith(BIND) else ACCELERATOR
                    self.check.fail(path, "unknown-name", lacking[0], f"the {kind} {who} has no such key",
                                    f"Write {kind} != '{who}' or ... before it.")  # fmt: skip
                    return False
        return True

    def lacks(self, name: str, accelerator: str, workload: str) -> bool:
        accelerators, workloads = self.subjects.without(name) if name in self.subjects.targets else ([], [])
        return accelerator in accelerators or workload in workloads
