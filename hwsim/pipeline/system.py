"""What a system is: a source of frames, stages with workers and queues, their steps, and what they draw.

Times are picoseconds, as everywhere in the engine; what is uncertain carries its range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwsim.document import suggestion
from hwsim.errors import bad_input
from hwsim.units import QuantityError, parse_number

MAX_BATCH = 4096
MAX_WORKERS = 1024
MAX_QUEUE = 1 << 20
MAX_FRAMES = 10_000_000
MAX_RATE_HZ = 1e9
MIN_RATE_HZ = 1e-6

FIXED, UNIFORM, EXPONENTIAL, LOGNORMAL = DISTRIBUTIONS = ("fixed", "uniform", "exponential", "lognormal")


@dataclass(frozen=True, slots=True)
class Value:
    """A number in the unit of its key, with the range the truth is thought to lie in and what vouches for it."""

    value: float
    low: float
    high: float
    evidence: str = ""
    source: str = ""

    @classmethod
    def of(cls, value: float) -> Value:
        """A number without a range."""
        return cls(value, value, value)


NOTHING = Value.of(0)


@dataclass(frozen=True, slots=True)
class Runs:
    """An accelerator that does a step: a design and a workload, and how many frames one run of it takes.

    With `batched` the workload is run on as many inputs as the batch has; otherwise one run takes `frames` of them.
    """

    accelerator: str
    workload: str
    overrides: tuple[str, ...] = ()
    bind: tuple[tuple[str, float], ...] = ()
    frames: int = 1
    batched: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What a worker does at a stretch: `unit_time` once for what it holds, and `frame_time` for each frame of it.

    unit_time, frame_time  picoseconds
    uses                   what it needs one of while it works (a core), by name; "" for nothing that is shared
    distribution, spread   how single times vary around the mean: standard deviation over mean (uniform: half width
                           over mean)
    active_power           watts drawn while it works, beside what is drawn all the time
    """

    name: str
    unit_time: Value = NOTHING
    frame_time: Value = NOTHING
    uses: str = ""
    distribution: str = FIXED
    spread: float = 0.0
    active_power: Value = NOTHING
    runs: Runs | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Workers that take frames (or a batch of them) from a queue, do the steps one after another, and pass them on.

    `queue` is how many frames may wait before the stage; a full queue blocks the stage before it.
    """

    name: str
    steps: tuple[Step, ...]
    workers: int = 1
    queue: int = 2
    batched: bool = False


@dataclass(frozen=True, slots=True)
class Contest:
    """The scoring of a design contest (see `hwsim.pipeline.score`)."""

    iou: float
    reference_energy_j: float
    base: float


@dataclass(frozen=True, slots=True)
class System:
    """A source, stages in order, and the choices: batch, workers, queues, overlap."""

    name: str
    summary: str
    frames: int
    stages: tuple[Stage, ...]
    batch: int = 1
    overlap: bool = True
    frame_rate_hz: float = 0.0
    """Of a camera; 0 for files, which are there when asked for."""
    seed: int = 1
    base_power: Value = NOTHING
    """Watts drawn all the time, beside the accelerators' own static power."""
    resources: Mapping[str, int] | None = None
    """How many there are of what steps use."""
    contest: Contest | None = None
    published: Mapping[str, Value] | None = None

    def units(self, stage: Stage) -> int:
        """Frames that a worker of `stage` holds at a time."""
        return self.batch if stage.batched else 1


def uncertain(system: System) -> dict[str, Value]:
    """Every input of a system that has a range, by its key."""
    found = {"base_power": system.base_power}
    for stage in system.stages:
        for step in stage.steps:
            for what in ("unit_time", "frame_time", "active_power"):
                found[f"{stage.name}.{step.name}.{what}"] = getattr(step, what)
    return {key: value for key, value in found.items() if value.low < value.high}


def moved(system: System, values: Mapping[str, float]) -> System:
    """`system` with some of its uncertain inputs, by key, at other values."""
    stages = tuple(replace(s, steps=tuple(_moved_step(s, step, values) for step in s.steps)) for s in system.stages)
    base = values.get("base_power", system.base_power.value)
    return replace(system, stages=stages, base_power=replace(system.base_power, value=base))


def _moved_step(stage: Stage, step: Step, values: Mapping[str, float]) -> Step:
    changed: dict[str, Any] = {}
    for what in ("unit_time", "frame_time", "active_power"):
        key = f"{stage.name}.{step.name}.{what}"
        if key in values:
            changed[what] = replace(getattr(step, what), value=values[key])
    return replace(step, **changed) if changed else step


# --- choices ----------------------------------------------------------------------------------------------------

_BOUNDS = {"batch": MAX_BATCH, "frames": MAX_FRAMES, "workers": MAX_WORKERS, "queue": MAX_QUEUE}


def choices(system: System) -> Iterator[str]:
    """The keys of everything that is chosen, not measured."""
    yield from ("batch", "overlap", "frames", "frame_rate")
    for stage in system.stages:
        yield from (f"{stage.name}.workers", f"{stage.name}.queue")


def chosen(system: System, key: str, text: str) -> System:
    """`system` with the choice called `key` made as `text` says.

    Raises InputError for an unknown key or a value that it cannot have.
    """
    if key not in choices(system):
        raise bad_input("unknown-key", key, f"{system.name} has no such choice", suggestion(key, choices(system)),
                        key=f"{key}={text}")  # fmt: skip
    if key == "overlap":
        if text not in ("true", "false"):
            raise bad_input("type", text, "must be true or false", key=key)
        return replace(system, overlap=text == "true")
    if key == "frame_rate":
        return replace(system, frame_rate_hz=_rate(key, text))
    stage, _, name = key.rpartition(".")
    value = _integer(key, text, _BOUNDS[name])
    change: dict[str, Any] = {name: value}
    if not stage:
        return replace(system, **change)
    stages = tuple(replace(s, **change) if s.name == stage else s for s in system.stages)
    return replace(system, stages=stages)


RATE_RULE = f"must be 0 Hz, or from {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz"


def rate_allowed(rate_hz: float) -> bool:
    """Whether a camera can have this rate; 0 stands for files."""
    return rate_hz == 0 or MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ


def _rate(key: str, text: str) -> float:
    """Frames a second of a camera; "0 Hz" for files."""
    try:
        value = parse_number(text, "frame_rate_hz")
    except QuantityError as bad:
        raise bad_input(bad.code, text, bad.rule, bad.remedy, key=key) from None
    if not rate_allowed(value):
        raise bad_input("range", text, RATE_RULE, key=key)
    return value


def _integer(key: str, text: str, high: int) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:12]) <= high or len(text) > len(str(high)):
        raise bad_input("range", text, f"must be an integer from 1 to {high}", key=key)
    return int(text)
