"""A sweep file as it is read: what the YAML says, with overrides of the command line in it, each value with its place.

The reader (`hwsim.sweep.file`) knows one shape. Overrides and files of the Weights & Biases shape are brought into it
here; a `Source` remembers where each part stood, so that messages speak of what the user wrote.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hwsim.document import Checker, Document, Path_, ScalarError, described, dotted, plain_scalar
from hwsim.errors import InputError, Problem, Where, shown
from hwsim.sweep.study import BIND

STUDY_KEYS = {
    "accelerator": "accelerators", "accelerators": "accelerators", "workload": "workloads", "workloads": "workloads",
    "method": "method", "fidelity": "fidelity", "budget": "budget", "seed": "seed", "keep_rows": "keep_rows",
    "study": "study", "summary": "summary", "train": "train",
}  # fmt: skip
"""Keys that an override means as the study's own, and where each stands."""

_LISTS = ("accelerators", "workloads")
_RANGE = re.compile(r"(range|log_range)\((.*)\)\Z", re.DOTALL)


class Source(Document):
    """A document in the native shape, whose parts may stand elsewhere: under another path of the file, or in an
    override."""

    def __init__(self, document: Document, data: Any) -> None:
        super().__init__(data, document.file, lambda: document._marks)
        self._moved: dict[Path_, Path_ | Where] = {}

    def move(self, path: Path_, to: Path_ | Where) -> None:
        """Say where the value at `path` really stands."""
        self._moved[path] = to

    def where(self, path: Path_ = (), *, at_key: bool = False) -> Where:
        """As of Document, at the real place."""
        for length in range(len(path), 0, -1):
            to = self._moved.get(path[:length])
            if isinstance(to, Where):
                return to
            if to is not None:
                whole = length == len(path) and at_key and to[-1:] in (("value",), ("values",))
                path = to[:-1] if whole else (*to, *path[length:])
                break
        return replace(super().where(path, at_key=at_key), key=dotted(_split(path)))


def _split(path: Path_) -> Path_:
    """A path as people write it: the key of a parameter, `bind.n`, is two words of it."""
    if len(path) > 1 and path[0] in ("space", "set") and isinstance(path[1], str):
        return (path[0], *path[1].split("."), *path[2:])
    return path


# --- overrides --------------------------------------------------------------------------------------------------


def _problem(text: str, code: str, got: object, rule: str, remedy: str) -> InputError:
    key = text.partition("=")[0].strip()
    where = Where(_place(text), key=dotted([*key.split(".")]) if key else "")
    return InputError((Problem(code, where, described(got), rule, remedy),))


def _place(text: str) -> str:
    return f"--set {text if text.isprintable() and len(text) <= 100 else shown(text)}"


def _scalar(text: str, part: str) -> Any:
    try:
        return plain_scalar(part.strip())
    except ScalarError as bad:
        raise _problem(text, bad.code, part, bad.rule, bad.remedy) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Key and value of "KEY=VALUE": a scalar, a list for `1,2`, or {"range": [1, 9]} for `range(1,9)`.

    Raises InputError for anything else.
    """
    key, equals, raw = (part.strip() for part in text.partition("="))
    if not equals or not key or not raw:
        rule = "an override is KEY=VALUE, KEY=VALUE,VALUE or KEY=range(LOW,HIGH)"
        raise _problem(text, "override", text, rule, "For example macs=256,512 or macs=range(1,9).")
    found = _RANGE.match(raw)
    if found:
        parts = [_scalar(text, part) for part in found[2].split(",")]
        third = "step" if found[1] == "range" else "grid"
        if len(parts) not in (2, 3):
            rule = f"must be {found[1]}(LOW,HIGH) or {found[1]}(LOW,HIGH,{third.upper()})"
            raise _problem(text, "override", raw, rule, "Both ends are part of the range.")
        return key, {found[1]: parts[:2], **dict(zip([third], parts[2:], strict=False))}
    values = [_scalar(text, part) for part in raw.split(",")]
    return key, values if "," in raw else values[0]


def apply_overrides(source: Source, overrides: Sequence[str]) -> None:
    """Put overrides into the data of a source of the native shape. Raises InputError for the first bad one."""
    if overrides:
        source.data = copy.deepcopy(source.data)
    seen: set[str] = set()
    for text in overrides:
        key, value = parse_override(text)
        if key in seen:
            raise _problem(text, "override", key, "this key is set twice", "Keep one of the two.")
        seen.add(key)
        _put(source, key, value, Where(_place(text), key=dotted(key.split("."))))


def _put(source: Source, key: str, value: Any, where: Where) -> None:
    data = source.data
    if key in STUDY_KEYS:
        target = STUDY_KEYS[key]
        several = target in _LISTS
        for other in (target, target.removesuffix("s")) if several else (target,):
            data.pop(other, None)
        data[target] = [value] if several and not isinstance(value, list) else value
        source.move((target,), where)
        return
    varied = isinstance(value, list | dict)
    section = "space" if varied else "bind" if key.startswith(BIND) else "set"
    before = data["space"].get(key) if isinstance(data.get("space"), dict) else None
    if varied and isinstance(before, dict) and "when" in before:
        value = {**(value if isinstance(value, dict) else {"values": value}), "when": before["when"]}
    for other in ("space", "set", "bind"):
        # A parameter that stays one keeps its place: conditions read those above them.
        if other != section and isinstance(data.get(other), dict):
            data[other].pop(_name_in(other, key), None)
    if data.get(section) is None:
        data[section] = {}
    if isinstance(data[section], dict):
        data[section][_name_in(section, key)] = value
        source.move((section, _name_in(section, key)), where)


def _name_in(section: str, key: str) -> str:
    """How a key is written in a section: `bind` has no need of the word."""
    return key.removeprefix(BIND) if section == "bind" else key


# --- the shape of Weights & Biases ------------------------------------------------------------------------------

WANDB_METHODS: Mapping[str, str] = {"grid": "grid", "random": "random", "bayes": "tpe"}
WANDB_BUDGET = 100
"""Points of a file that does not say when to stop (`run_cap`) and whose method has no end of its own."""

WANDB_IGNORED = ("program", "command", "project", "entity", "imageuri", "job")
"""Keys about a training script and about where it runs: hwsim runs the points itself."""

WANDB_KEYS = ("method", "metric", "parameters", "name", "description", "run_cap", "early_terminate", *WANDB_IGNORED)

DISTRIBUTIONS = ("uniform", "log_uniform", "log_uniform_values", "q_uniform", "int_uniform", "categorical", "constant")
WANDB_PARAMETER_KEYS = ("value", "values", "min", "max", "distribution", "q", "parameters")


def is_wandb(data: Any) -> bool:
    """Whether a file has the shape of a Weights & Biases sweep."""
    return isinstance(data, dict) and "parameters" in data and "space" not in data


def is_sweep(data: Any) -> bool:
    """Whether a YAML file's data are a sweep, of either shape."""
    return isinstance(data, dict) and ("space" in data or "parameters" in data) and "model" not in data


def native(source: Source) -> list[str]:
    """Bring a source of the Weights & Biases shape into the native one; remarks for the user.

    Raises InputError with every problem of the shape.
    """
    return _Wandb(source, Checker(source)).translate()


class _Wandb:
    """Translates one file, key by key."""

    def __init__(self, source: Source, check: Checker) -> None:
        self.source, self.check, self.raw = source, check, source.data
        self.moves: dict[Path_, Path_] = {}
        self.notes: list[str] = []
        self.out: dict[str, Any] = {"space": {}}

    def translate(self) -> list[str]:
        raw = self.raw
        self.check.keys((), raw, "a Weights & Biases sweep", ("method", "metric", "parameters"), WANDB_KEYS)
        if "early_terminate" in raw:
            self.check.fail(("early_terminate",), "unsupported", raw["early_terminate"],
                            "hwsim does not stop trials of this file early",
                            "Remove it; method: asha of the native form stops points early.", at_key=True)  # fmt: skip
        for key in WANDB_IGNORED:
            if key in raw:
                self.notes.append(f"{key} is not used: hwsim runs the points itself")
        for old, new in (("name", "study"), ("description", "summary"), ("run_cap", "budget")):
            if old in raw:
                self.put((new,), raw[old], (old,))
        self.method()
        self.metric()
        self.parameters(("parameters",), raw["parameters"], "")
        self.check.raise_problems()
        for name in ("accelerator", "workload"):
            self.moves.setdefault((f"{name}s",), ("parameters", name))
        self.source.data = self.out
        for path, to in self.moves.items():
            self.source.move(path, to)
        return self.notes

    def put(self, path: tuple[str, ...], value: Any, origin: Path_) -> None:
        owner = self.out
        for part in path[:-1]:
            owner = owner.setdefault(part, {})
        owner[path[-1]] = value
        self.moves[path] = origin

    def method(self) -> None:
        if "method" not in self.raw:
            return
        given = self.check.choice(("method",), self.raw["method"], WANDB_METHODS)
        if given is None:
            return
        self.put(("method",), given, ("method",))
        if self.raw["method"] == "bayes":
            self.notes.append("method bayes is run as tpe, Optuna's tree-structured Parzen estimator")
        if given != "grid" and "run_cap" not in self.raw:
            self.put(("budget",), WANDB_BUDGET, ("method",))
            self.notes.append(f"no run_cap is given: the sweep stops after {WANDB_BUDGET} points")

    def metric(self) -> None:
        raw = self.raw.get("metric")
        if (
            "metric" not in self.raw
            or self.check.keys(("metric",), raw, "a metric", ("name",), ("goal", "target")) is None
        ):
            return
        if "target" in raw:
            self.check.fail(("metric", "target"), "unsupported", raw["target"], "hwsim does not stop at a target",
                            "Remove it, or write a constraint in the native form.", at_key=True)  # fmt: skip
        name = self.check.text(("metric",), raw, "name")
        if name is not None:
            self.put(("objectives", name), raw.get("goal", "minimize"), ("metric", "goal" if "goal" in raw else "name"))

    def parameters(self, path: Path_, raw: Any, prefix: str) -> None:
        for name, given in (self.check.mapping(path, raw, "parameters") or {}).items():
            key = f"{prefix}{name}"
            here = (*path, name)
            body = self.check.mapping(here, given, "a parameter")
            if body is None or not self.is_known(here, body):
                continue
            if "parameters" in body:
                self.parameters((*here, "parameters"), body["parameters"], f"{key}.")
            else:
                self.parameter(key, here, body)

    def is_known(self, path: Path_, body: dict[str, Any]) -> bool:
        """Whether every key of a parameter is known; noted if not, or else that the distribution is not."""
        if set(body) <= set(WANDB_PARAMETER_KEYS):
            return True
        if body.get("distribution", "uniform") in DISTRIBUTIONS:
            self.check.keys(path, body, "a parameter", (), WANDB_PARAMETER_KEYS)
        else:
            self.kind(path, body)
        return False

    def parameter(self, key: str, path: Path_, body: dict[str, Any]) -> None:
        kind = self.kind(path, body)
        if kind is None:
            return
        needed = {"constant": ("value",), "categorical": ("values",)}.get(kind, ("min", "max"))
        allowed = (*needed, "distribution", *(("q",) if kind == "q_uniform" else ()))
        self.check.keys(path, body, f"a parameter with the distribution {kind}", needed, allowed)
        if not set(needed) <= set(body) <= set(allowed):
            return
        subject = {"accelerator": "accelerators", "workload": "workloads"}.get(key)
        if kind in {"constant", "categorical"}:
            self.listed(key, subject, path, body, needed[0])
        elif subject:
            self.check.fail(path, "type", kind, f"the {key} has values, not a range")
        else:
            self.ranged(key, path, body, kind)

    def kind(self, path: Path_, body: dict[str, Any]) -> str | None:
        """The distribution, given or implied as Weights & Biases implies it."""
        if "distribution" in body:
            known = {name: name for name in DISTRIBUTIONS}
            chosen: str | None = self.check.choice((*path, "distribution"), body["distribution"], known)
            return chosen
        if "value" in body or "values" in body:
            return "constant" if "value" in body else "categorical"
        both = type(body.get("min")) is int and type(body.get("max")) is int
        return "int_uniform" if both else "uniform"

    def listed(self, key: str, subject: str | None, path: Path_, body: dict[str, Any], which: str) -> None:
        value = body[which]
        if subject:
            self.put((subject,), [value] if which == "value" else value, (*path, which))
        elif which == "values":
            self.put(("space", key), {"values": value}, path)
        elif key.startswith(BIND):
            self.put(("bind", key.removeprefix(BIND)), value, (*path, which))
        else:
            self.put(("set", key), value, (*path, which))

    def ranged(self, key: str, path: Path_, body: dict[str, Any], kind: str) -> None:
        low, high = body["min"], body["max"]
        form: dict[str, Any] = {"log_range" if kind.startswith("log") else "range": [low, high]}
        if kind == "log_uniform":
            ends = [self.exponential((*path, name), body[name]) for name in ("min", "max")]
            form = {"log_range": ends}
        if kind == "q_uniform":
            form = {"range": [_multiple(low, body.get("q", 1)), high], "step": body.get("q", 1)}
            self.moves["space", key, "step"] = (*path, "q")
        self.put(("space", key), form, path)
        name = next(iter(form))
        self.moves["space", key, name] = path
        self.moves["space", key, name, 0], self.moves["space", key, name, 1] = (*path, "min"), (*path, "max")

    def exponential(self, path: Path_, value: Any) -> float | None:
        """The end of a log_uniform range, which is given as its natural logarithm."""
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 40:
            rule = "log_uniform gives the natural logarithm of each end, a number from -40 to 40"
            self.check.fail(path, "type", value, rule, "log_uniform_values takes the ends themselves.")
            return None
        return math.exp(value)


def _multiple(low: Any, q: Any) -> Any:
    """The first multiple of `q` from `low` on, which is where q_uniform starts; `low` itself where there is none."""
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (low, q))
    if not numbers or q <= 0:
        return low
    exact, step = Fraction(repr(low)), Fraction(repr(q))
    first = -(-exact // step) * step
    return int(first) if first.denominator == 1 and isinstance(low, int) else float(first)


def refuse_shape(document: Document) -> InputError:
    """The error about a file that is no sweep."""
    rule = "a sweep has the key space (or parameters, in the shape of Weights & Biases)"
    return InputError((document.problem((), "type", document.data, rule),))
