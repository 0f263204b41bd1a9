"""System files: YAML to a `System`, every problem with its place.

    system: skynet-tx2
    summary: one line
    frames: 640
    batch: 32
    overlap: true
    resources: {cores: 6}
    base_power: {value: 1 W, evidence: assumed, source: "...", range: [0 W, 2 W]}
    stages:
      - name: fetch
        workers: 10
        queue: 64
        steps:
          - {name: decode, frame_time: 5 ms, uses: cores, distribution: lognormal, spread: 0.2}
      - name: infer
        batched: true
        steps:
          - {name: gpu, accelerator: jetson-tx2, workload: skynet-c, batched: true}

A quantity is written plainly, or as a mapping {value, source, evidence, range}, as in a design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.config import EVIDENCE, VALUE_KEYS
from hwsim.document import Checker, Path_, read_yaml
from hwsim.pipeline.system import (
    DISTRIBUTIONS,
    EXPONENTIAL,
    FIXED,
    LOGNORMAL,
    MAX_BATCH,
    MAX_FRAMES,
    MAX_QUEUE,
    MAX_WORKERS,
    NOTHING,
    RATE_RULE,
    UNIFORM,
    Contest,
    Runs,
    Stage,
    Step,
    System,
    Value,
    rate_allowed,
)
from hwsim.units import QuantityError, dimension_of, missing_unit, parse_number

REQUIRED = ("system", "summary", "frames", "stages")
OPTIONAL = ("batch", "overlap", "frame_rate", "seed", "base_power", "resources", "contest", "published")
STAGE_REQUIRED = ("name", "steps")
STAGE_OPTIONAL = ("workers", "queue", "batched")
STEP_OPTIONAL = ("unit_time", "frame_time", "uses", "distribution", "spread", "active_power", "accelerator",
                 "workload", "set", "bind", "run_frames", "batched")  # fmt: skip
RUN_KEYS = ("workload", "set", "bind", "run_frames", "batched")
MAX_STAGES = 32
MAX_STEPS = 32
MAX_NAME = 60
MAX_SPREAD = 10.0
MAX_SEED = 2**32 - 1
LARGEST = 10.0**18


def is_system(data: Any) -> bool:
    """Whether what a YAML file says is meant as a system."""
    return isinstance(data, dict) and "system" in data


def read_system(path: str | Path) -> System:
    """The system in a file.

    Raises InputError with every problem of it.
    """
    document = read_yaml(path)
    reader = _Reader(Checker(document))
    found = reader.system(document.data)
    reader.check.raise_problems()
    assert found is not None
    return found


@dataclass(slots=True)
class _Reader:
    """Reads one file; every problem is noted in `check`."""

    check: Checker
    resources: Mapping[str, int] | None = None

    def system(self, data: Any) -> System | None:
        raw = self.check.keys((), data, "a system", REQUIRED, OPTIONAL)
        if raw is None:
            return None
        self.resources = self.counts(raw)
        name, summary = self.check.text((), raw, "system"), self.check.text((), raw, "summary")
        return System(
            name=name or "",
            summary=summary or "",
            frames=self.integer((), raw, "frames", 1, MAX_FRAMES),
            stages=self.stages(raw),
            batch=self.integer((), raw, "batch", 1, MAX_BATCH),
            overlap=self.flag((), raw, "overlap", True),
            frame_rate_hz=self.rate(raw),
            seed=self.integer((), raw, "seed", 0, MAX_SEED, 1),
            base_power=self.quantity((), raw, "base_power", "base_power_w"),
            resources=self.resources,
            contest=self.contest(raw),
            published=self.published(raw),
        )

    # Values

    def integer(self, path: Path_, raw: Mapping[str, Any], key: str, low: int, high: int, default: int = 1) -> int:
        """An integer, or its default when it is absent."""
        if key not in raw:
            return default
        found = self.check.integer((*path, key), raw[key], low, high)
        return default if found is None else found

    def flag(self, path: Path_, raw: Mapping[str, Any], key: str, default: bool = False) -> bool:
        return bool(self.check.flag(path, raw, key)) if key in raw else default

    def number(self, path: Path_, raw: Mapping[str, Any], key: str, low: float, high: float, default: float) -> float:
        """A plain number from `low` to `high`."""
        if key not in raw:
            return default
        found = self.check.number((*path, key), raw[key])
        if found is not None and not low <= found <= high:
            self.check.fail((*path, key), "range", found, f"must be a number from {low:g} to {high:g}")
        return default if found is None else float(found)

    def quantity(self, path: Path_, raw: Mapping[str, Any], key: str, name: str) -> Value:
        """A quantity in the unit of the field `name`, never negative; nothing when it is absent."""
        if key not in raw:
            return NOTHING
        here, given = (*path, key), raw[key]
        if not isinstance(given, dict):
            return Value.of(self.converted(here, given, name))
        parts = self.check.keys(here, given, "a value", ("value",), VALUE_KEYS[1:]) or {}
        value = self.converted((*here, "value"), parts["value"], name) if "value" in parts else 0.0
        source, evidence = self.vouched(here, parts)
        low, high = self.range((*here, "range"), parts, name, value)
        return Value(value, low, high, evidence, source)

    def converted(self, path: Path_, given: Any, name: str) -> float:
        dimension = dimension_of(name)
        assert dimension is not None
        try:
            if not isinstance(given, str):
                raise missing_unit(given, dimension)
            value = parse_number(given, name)
        except QuantityError as bad:
            self.check.fail(path, bad.code, given, bad.rule, bad.remedy)
            return 0.0
        if not 0 <= value <= LARGEST:
            self.check.fail(path, "range", given, f"must be from 0 to {LARGEST:g} {dimension.unit}")
        return value

    def vouched(self, path: Path_, parts: Mapping[str, Any]) -> tuple[str, str]:
        source = self.check.text(path, parts, "source", "") or ""
        if "evidence" not in parts:
            if "range" in parts:
                self.check.fail((*path, "range"), "missing-key", None, "a value with a range needs the key evidence")
            return source, ""
        evidence = self.check.choice((*path, "evidence"), parts["evidence"], {e: e for e in EVIDENCE}) or ""
        if not source:
            self.check.fail(path, "missing-key", None, "a value with evidence needs the key source")
        return source, evidence

    def range(self, path: Path_, parts: Mapping[str, Any], name: str, value: float) -> tuple[float, float]:
        if "range" not in parts:
            return value, value
        ends = self.check.items(path, parts["range"], "a range")
        if len(ends) != 2:
            self.check.fail(path, "type", parts["range"], "must be a list of two values, [low, high]")
            return value, value
        low, high = (self.converted((*path, i), end, name) for i, end in enumerate(ends))
        if not low <= value <= high:
            self.check.fail(path, "range", parts["range"], "must hold the value, low end first")
            return value, value
        return low, high

    def rate(self, raw: Mapping[str, Any]) -> float:
        """Frames a second of a camera; 0 for files."""
        found = self.quantity((), raw, "frame_rate", "frame_rate_hz").value
        if not rate_allowed(found):
            self.check.fail(("frame_rate",), "range", raw["frame_rate"], RATE_RULE)
        return found

    def counts(self, raw: Mapping[str, Any]) -> dict[str, int]:
        """How many there are of each shared resource."""
        if "resources" not in raw:
            return {}
        given = self.check.mapping(("resources",), raw["resources"], "resources") or {}
        return {name: self.integer(("resources",), given, name, 1, MAX_WORKERS) for name in given}

    def name(self, path: Path_, raw: Mapping[str, Any], seen: set[str]) -> str:
        """A name that no sibling has, without the dot that parts names in keys."""
        name = self.check.text(path, raw, "name")
        if name is None:
            return ""
        if not name.isprintable() or len(name) > MAX_NAME:
            rule = f"a name is one line of at most {MAX_NAME} printable characters"
            self.check.fail((*path, "name"), "name", name, rule)
        if "." in name:
            self.check.fail((*path, "name"), "name", name, "a name has no dot")
        if name in seen:
            self.check.fail((*path, "name"), "duplicate", name, "another one has this name", "Give each its own.")
        seen.add(name)
        return name

    # Stages

    def stages(self, raw: Mapping[str, Any]) -> tuple[Stage, ...]:
        return tuple(self.each((), raw, "stages", MAX_STAGES, self.stage))

    def each(
        self, path: Path_, raw: Mapping[str, Any], key: str, most: int, read: Callable[[Path_, Any, set[str]], Any]
    ) -> Iterator[Any]:
        """What `read` makes of every entry of the list `key` of 1 to `most` mappings with names of their own."""
        if key not in raw:
            return
        path = (*path, key)
        entries = self.check.items(path, raw[key], key)
        if type(raw[key]) is list and not 1 <= len(entries) <= most:
            self.check.fail(path, "range", len(entries), f"there are 1 to {most} {key}")
        seen: set[str] = set()
        for i, entry in enumerate(entries[:most]):
            found = read((*path, i), entry, seen)
            if found is not None:
                yield found

    def stage(self, path: Path_, raw: Any, seen: set[str]) -> Stage | None:
        if self.check.keys(path, raw, "a stage", STAGE_REQUIRED, STAGE_OPTIONAL) is None:
            return None
        return Stage(
            name=self.name(path, raw, seen),
            steps=tuple(self.each(path, raw, "steps", MAX_STEPS, self.step)),
            workers=self.integer(path, raw, "workers", 1, MAX_WORKERS),
            queue=self.integer(path, raw, "queue", 1, MAX_QUEUE, 2),
            batched=self.flag(path, raw, "batched"),
        )

    def step(self, path: Path_, raw: Any, seen: set[str]) -> Step | None:
        if self.check.keys(path, raw, "a step", ("name",), STEP_OPTIONAL) is None:
            return None
        if not {"unit_time", "frame_time", "accelerator"} & set(raw):
            rule = "a step takes time: unit_time, frame_time or the run of an accelerator"
            self.check.fail(path, "missing-key", None, rule, "Write for example frame_time: 5 ms.")
        distribution, spread = self.variation(path, raw)
        return Step(
            name=self.name(path, raw, seen),
            unit_time=self.quantity(path, raw, "unit_time", "unit_time_ps"),
            frame_time=self.quantity(path, raw, "frame_time", "frame_time_ps"),
            uses=self.used(path, raw),
            distribution=distribution,
            spread=spread,
            active_power=self.quantity(path, raw, "active_power", "active_power_w"),
            runs=self.runs(path, raw),
        )

    def used(self, path: Path_, raw: Mapping[str, Any]) -> str:
        if "uses" not in raw:
            return ""
        names = {name: name for name in self.resources or {}}
        if not names:
            self.check.fail((*path, "uses"), "choice", raw["uses"], "the system has no resources",
                            "Write for example resources: {cores: 4}.")  # fmt: skip
            return ""
        return self.check.choice((*path, "uses"), raw["uses"], names) or ""

    def variation(self, path: Path_, raw: Mapping[str, Any]) -> tuple[str, float]:
        kinds = {name: name for name in DISTRIBUTIONS}
        kind = self.check.choice((*path, "distribution"), raw.get("distribution", FIXED), kinds) or FIXED
        most = {UNIFORM: 1.0, LOGNORMAL: MAX_SPREAD}.get(kind, 0.0)
        if "spread" in raw and kind in (FIXED, EXPONENTIAL):
            self.check.fail((*path, "spread"), "conflict", raw["spread"], f"a {kind} time has no spread of its own",
                            "Leave it out, or choose uniform or lognormal.")  # fmt: skip
            return kind, 0.0
        return kind, self.number(path, raw, "spread", 0.0, most, 0.0)

    def runs(self, path: Path_, raw: Mapping[str, Any]) -> Runs | None:
        if "accelerator" not in raw:
            for key in RUN_KEYS:
                if key in raw:
                    self.check.fail((*path, key), "missing-key", raw[key], f"{key} is about an accelerator",
                                    "Name it: accelerator: DESIGN.")  # fmt: skip
            return None
        if "workload" not in raw:
            self.check.fail((*path, "workload"), "missing-key", None, "an accelerator needs the key workload")
        design, workload = self.check.text(path, raw, "accelerator"), self.check.text(path, raw, "workload")
        whole = self.flag(path, raw, "batched")
        if whole and "run_frames" in raw:
            self.check.fail((*path, "run_frames"), "conflict", raw["run_frames"], "a batched run takes the whole batch",
                            "Keep one of the two.")  # fmt: skip
        frames = self.integer(path, raw, "run_frames", 1, MAX_BATCH)
        return Runs(design or "", workload or "", self.overrides(path, raw), self.bound(path, raw), frames, whole)

    def overrides(self, path: Path_, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """Design values that the step overrides, as texts "key=value"."""
        given = self.check.mapping((*path, "set"), raw["set"], "set") if "set" in raw else {}
        return tuple(f"{key}={_text(value)}" for key, value in (given or {}).items())

    def bound(self, path: Path_, raw: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
        given = self.check.mapping((*path, "bind"), raw["bind"], "bind") if "bind" in raw else {}
        pairs = ((key, self.check.number((*path, "bind", key), value)) for key, value in (given or {}).items())
        return tuple((key, value) for key, value in pairs if value is not None)

    # What it is held to

    def contest(self, raw: Mapping[str, Any]) -> Contest | None:
        if "contest" not in raw:
            return None
        path = ("contest",)
        given = self.check.keys(path, raw["contest"], "a contest", ("iou", "reference_energy", "base"))
        if given is None:
            return None
        energy = self.quantity(path, given, "reference_energy", "reference_energy_j").value
        base = self.number(path, given, "base", 1.0, 1e6, 2.0)
        for key, value, rule in (("reference_energy", energy, "must be above 0 J"), ("base", base - 1, "is above 1")):
            if key in given and value <= 0:
                self.check.fail((*path, key), "range", given[key], rule)
        return Contest(self.number(path, given, "iou", 0.0, 1.0, 0.0), energy, base)

    def published(self, raw: Mapping[str, Any]) -> dict[str, Value] | None:
        """Published figures, shown beside the system's own."""
        if "published" not in raw:
            return None
        names = {"throughput": "throughput_hz", "power": "power_w", "energy": "energy_j"}
        path = ("published",)
        given = self.check.keys(path, raw["published"], "published figures", (), (*names, "score")) or {}
        found = {key: self.quantity(path, given, key, name) for key, name in names.items() if key in given}
        if "score" in given:
            found["score"] = Value.of(self.number(path, given, "score", 0.0, 10.0, 0.0))
        return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__: Sequence[str] = ("is_system", "read_system")
