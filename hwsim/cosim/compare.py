"""Model beside circuit, case by case: cycles by cause, counts, output words, and where they first differ."""

from __future__ import annotations

import math
import tempfile
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from hwsim.cosim.case import Case, CaseFile, Tolerance, at_case, hdl_of
from hwsim.cosim.circuit import CAUSES, Circuit, Event, Stimulus
from hwsim.cosim.model_side import Cycles, Modelled, modelled
from hwsim.cosim.simulator import Built, Observation, build, in_parallel, run, words_of
from hwsim.errors import InputError, Problem, bad_input

CYCLE_PORTS = ("cycles_total", *(f"cycles_{cause}" for cause in CAUSES))
RUN_FAILURES = frozenset({"simulation", "assertion", "trace"})
"""Problems of one run, which others of the same build need not share."""
EXPLAINED = 10
"""Mismatching cases whose first differing event is looked for: each costs a run of its own."""
EVENTS_BEFORE = 3
SUM_OF_CAUSES = "sum of causes"


class WordDifference(NamedTuple):
    """The first word of a memory that is not as expected; `got` is None where bits are undefined or it was not
    written."""

    memory: str
    address: int
    expected: int
    got: int | None


class CountDifference(NamedTuple):
    """A count, or a counter that allows no tolerance, that is not the same on both sides."""

    name: str
    model: int
    rtl: int | None


class EventDifference(NamedTuple):
    """The first place where the two logs differ, None where a log has ended, and the events before it."""

    position: int
    model: Event | None
    rtl: Event | None
    before: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One case, held against the circuit.

    model, rtl       cycles in total and by cause; `rtl` is None when the run failed, a cause NaN when it is undefined
    error            model / RTL - 1 of the totals; None without both
    counts           Counts field -> (model, RTL)
    exact            counter port -> (required, RTL); "sum of causes" -> (total, sum) of the circuit's own
    estimates        counter port -> (what a coarser form of the model says, RTL)
    failure          why there is no result, else ""
    outputs_crc32    of the words the circuit left in all expected memories
    """

    case: Case
    model: Cycles
    rtl: Cycles | None = None
    error: float | None = None
    outputs_match: bool = False
    counts: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    exact: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    seconds: float = 0.0
    cycles: int = 0
    timed_out: bool = False
    failure: str = ""
    outputs_crc32: int = 0
    first_word: WordDifference | None = None
    first_event: EventDifference | None = None
    waves: Path | None = None
    events: tuple[tuple[Event, ...], tuple[Event, ...]] | None = None
    """The logs of model and circuit, where the case was traced."""
    estimates: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)

    @property
    def counts_match(self) -> bool:
        """Whether every count is the same on both sides."""
        return bool(self.rtl) and all(model == rtl for model, rtl in self.counts.values())

    @property
    def exact_match(self) -> bool:
        """Whether every counter that allows no tolerance has its value."""
        return bool(self.rtl) and all(model == rtl for model, rtl in self.exact.values())

    @property
    def first_count(self) -> CountDifference | None:
        """The first count, or exact counter, that differs."""
        pairs = (*self.counts.items(), *self.exact.items())
        return next((CountDifference(name, *pair) for name, pair in pairs if pair[0] != pair[1]), None)

    @property
    def agrees(self) -> bool:
        """Whether all that allows no tolerance is the same."""
        complete = not self.timed_out and not self.failure and self.error is not None
        return complete and self.outputs_match and self.counts_match and self.exact_match

    def within(self, tolerance: Tolerance) -> bool:
        """Whether it agrees, and neither its total nor the cycles of any cause are further off than the worst that is
        allowed of the total."""
        if not self.agrees or self.rtl is None:
            return False
        allowed = tolerance.worst * self.rtl.total
        return all(abs(model - rtl) <= allowed for model, rtl in zip(self.model, self.rtl, strict=True))


# --- one case ---------------------------------------------------------------------------------------------------


class Question(NamedTuple):
    """A case with what drives the circuit and what the model says to it."""

    case: Case
    stimulus: Stimulus
    answer: Modelled


def question(circuit: Circuit, case: Case) -> Question:
    """Ask bench and model about a case. Raises InputError, with the case's place, where it cannot run."""
    try:
        stimulus = circuit.stimulus(case.design, case.task, case.seed)
        return Question(case, stimulus, modelled(circuit, case))
    except InputError as error:
        raise at_case(case, error) from None


def ports(circuit: Circuit, stimuli: Iterable[Stimulus]) -> list[str]:
    """Every counter port that is read for these runs."""
    asked = (name for stimulus in stimuli for name in (*stimulus.exact, *stimulus.estimates))
    return list(dict.fromkeys((*CYCLE_PORTS, *circuit.counters.values(), *asked)))


def judge(circuit: Circuit, asked: Question, seen: Observation) -> Verdict:
    """Hold one run against the model and the expected words."""
    read = seen.counters
    rtl = Cycles(*(_or_nan(read[port]) for port in CYCLE_PORTS))
    exact = {name: (int(value), read[name]) for name, value in asked.stimulus.exact.items()}
    if not any(map(math.isnan, rtl)):
        exact[SUM_OF_CAUSES] = (int(rtl.total), int(sum(rtl[1:])))
    first_word = first_difference(asked.stimulus, seen)
    return Verdict(
        asked.case,
        asked.answer.cycles,
        rtl,
        _error(asked.answer.cycles.total, rtl.total),
        first_word is None,
        {name: (asked.answer.counts[name], read[port]) for name, port in circuit.counters.items()},
        exact,
        seen.seconds,
        seen.cycles,
        seen.timed_out,
        "",
        crc32_of(seen.memories),
        first_word,
        estimates={name: (int(value), read[name]) for name, value in asked.stimulus.estimates.items()},
    )


def _or_nan(value: int | None) -> float:
    return math.nan if value is None else value


def _error(model: float, rtl: float) -> float | None:
    return None if math.isnan(rtl) or rtl <= 0 else model / rtl - 1


def first_difference(stimulus: Stimulus, seen: Observation) -> WordDifference | None:
    """The first word, by memory and address, that is not as expected; None when all are."""
    for memory, image in stimulus.expected.items():
        pairs = zip(words_of(image), seen.memories[memory], strict=True)
        for address, (expected, got) in enumerate(pairs):
            if expected != got:
                return WordDifference(memory, address, expected, got)
    return None


def crc32_of(memories: Mapping[str, Sequence[int | None]]) -> int:
    """CRC-32 of the words of all memories, by name: what two runs with the same outputs share."""
    crc = 0
    for name in sorted(memories):
        text = " ".join("x" if word is None else f"{word:x}" for word in memories[name])
        crc = zlib.crc32(f"{name} {text}\n".encode("ascii"), crc)
    return crc


def first_event_difference(model: Sequence[Event], rtl: Sequence[Event]) -> EventDifference | None:
    """The first position at which cycle, name or numbers differ; None when the logs are the same."""
    shared = min(len(model), len(rtl))
    at = next((i for i in range(shared) if tuple(model[i]) != tuple(rtl[i])), shared)
    if at == len(model) == len(rtl):
        return None
    before = tuple(Event(*event) for event in rtl[max(0, at - EVENTS_BEFORE) : at])
    ours, theirs = (Event(*log[at]) if at < len(log) else None for log in (model, rtl))
    return EventDifference(at, ours, theirs, before)


# --- many cases -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a comparison keeps besides figures. waves: the folder wave files go to; trace: every case's events."""

    waves: Path | None = None
    trace: bool = False
    explained: int = EXPLAINED


def compare(
    file: CaseFile, cases: Sequence[Case], simulator: str, *, jobs: int | None = None, wanted: Wanted | None = None
) -> Iterator[Verdict]:
    """The verdict of every case, as it is reached: one build and one simulator process for all cases that share
    parameters, several at a time. The first `wanted.explained` cases that do not agree are run once more, alone, for
    the first event that differs.

    Raises InputError when the simulator is missing, the circuit does not build, or a case cannot be run on it.
    """
    wanted = wanted or Wanted()
    groups = _groups(file.circuit, cases)
    if not groups:
        return
    # The first build alone leaves what all others share.
    for case in cases:
        _check(file.circuit, case)
    build(hdl_of(file.circuit, groups[0]), groups[0][0].parameters(file.circuit), simulator)
    left = wanted.explained
    for _, verdicts in in_parallel(lambda group: _group(file, group, simulator, wanted), groups, jobs):
        for verdict in verdicts:
            if verdict.within(file.tolerance) or verdict.failure or verdict.events or left <= 0:
                yield verdict
            else:
                left -= 1
                yield explained(file.circuit, verdict, simulator)


def _check(circuit: Circuit, case: Case) -> None:
    try:
        getattr(circuit, "check", lambda design, task: None)(case.design, case.task)
    except InputError as error:
        raise at_case(case, error) from None


def in_order(cases: Sequence[Case], verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts in the order of their cases."""
    place = {case.name: i for i, case in enumerate(cases)}
    return sorted(verdicts, key=lambda verdict: place[verdict.case.name])


def _groups(circuit: Circuit, cases: Sequence[Case]) -> list[list[Case]]:
    """Cases by the build they need, those with most cases first."""
    groups: dict[Hashable, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.build_key(circuit), []).append(case)
    return sorted(groups.values(), key=len, reverse=True)


def _group(file: CaseFile, cases: Sequence[Case], simulator: str, wanted: Wanted) -> list[Verdict]:
    circuit = file.circuit
    built = build(hdl_of(circuit, cases), cases[0].parameters(circuit), simulator)
    asked = [question(circuit, case) for case in cases]
    results = [_judged(circuit, one, seen) for one, seen in zip(asked, _observed(circuit, built, asked), strict=True)]
    return [_kept(circuit, built, one, verdict, wanted) for one, verdict in zip(asked, results, strict=True)]


def _observed(circuit: Circuit, built: Built, asked: Sequence[Question]) -> list[Observation | InputError]:
    """What each run did, or why it failed: after a failure in a shared process, each in one of its own."""
    stimuli = [one.stimulus for one in asked]
    try:
        return list(run(built, stimuli, ports(circuit, stimuli)))
    except InputError as error:
        if error.problems[0].code not in RUN_FAILURES:
            raise
        if len(asked) == 1:
            return [error]
    return [seen for one in asked for seen in _observed(circuit, built, [one])]


def _judged(circuit: Circuit, asked: Question, seen: Observation | InputError) -> Verdict:
    if isinstance(seen, InputError):
        return Verdict(asked.case, asked.answer.cycles, failure=_reason(seen.problems[0]))
    return judge(circuit, asked, seen)


def _reason(problem: Problem) -> str:
    return f"{problem.rule}\n{problem.got}"


def _kept(circuit: Circuit, built: Built, asked: Question, verdict: Verdict, wanted: Wanted) -> Verdict:
    """The verdict with waves and events, where they are wanted."""
    if verdict.failure or not (wanted.waves or wanted.trace):
        return verdict
    return _traced(circuit, built, asked, verdict, wanted.waves, wanted.trace)


def _traced(
    circuit: Circuit, built: Built, asked: Question, verdict: Verdict, waves: Path | None, trace: bool
) -> Verdict:
    """Run one case again, alone, for its waves and its events."""
    case, stimuli = asked.case, [asked.stimulus]
    with _room_for(waves) as room:
        try:
            seen = run(built, stimuli, ports(circuit, stimuli), trace=trace, waves=room or False)[0]
        except InputError as error:
            if error.problems[0].code not in RUN_FAILURES:
                raise
            return replace(verdict, failure=_reason(error.problems[0]))
        if seen.waves and waves:
            kept = waves / f"{case.name}{seen.waves.suffix}"
            try:
                seen.waves.replace(kept)
            except OSError as error:
                raise _unwritable(kept, error) from None
            verdict = replace(verdict, waves=kept)
    if not trace:
        return verdict
    events = tuple(Event(*event) for event in circuit.trace(case.design, case.task, case.seed))
    difference = first_event_difference(events, seen.events)
    return replace(verdict, events=(events, seen.events), first_event=difference)


@contextmanager
def _room_for(waves: Path | None) -> Iterator[Path | None]:
    """A folder of its own, inside the one for waves, for one run: what lies there may have the name of a case. None
    for no waves. Raises InputError where it cannot be made."""
    if waves is None:
        yield None
        return
    try:
        waves.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(prefix=".", dir=waves, ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritable(waves, error) from None
    with room as name:
        yield Path(name)


def _unwritable(path: Path, error: OSError) -> InputError:
    rule = f"wave files cannot be written there ({error.strerror})"
    return bad_input("write", str(path), rule, "Name another folder.", key="--out")


def explained(circuit: Circuit, verdict: Verdict, simulator: str) -> Verdict:
    """The verdict with the first event that differs between model and circuit, from a run of this case alone."""
    case = verdict.case
    built = build(hdl_of(circuit, [case]), case.parameters(circuit), simulator)
    return _traced(circuit, built, question(circuit, case), verdict, None, True)


# --- summary ----------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """Errors of the total cycles of a group of cases, as fractions: mean of the errors (bias) and of the absolute
    ones (MAPE), their median, 95th percentile (linear between ranks) and largest. NaN where no case has an error."""

    cases: int
    measured: int
    agreeing: int
    bias: float
    mape: float
    median: float
    p95: float
    worst: float

    def holds(self, tolerance: Tolerance, *, whole: bool = True) -> bool:
        """Whether every case agrees and the errors are within `tolerance`; of a selection of cases (not `whole`) the
        bound on the worst alone is asked, for a mean over a few says nothing."""
        if not self.cases or self.agreeing < self.cases:
            return False
        return self.worst <= tolerance.worst and (
            not whole or (self.mape <= tolerance.mape and self.p95 <= tolerance.p95)
        )


def spread(verdicts: Sequence[Verdict]) -> Spread:
    """The figures of one group of cases."""
    errors = [v.error for v in verdicts if v.error is not None]
    agreeing = sum(v.agrees for v in verdicts)
    return Spread(len(verdicts), len(errors), agreeing, *_figures(errors))


def _figures(errors: Sequence[float]) -> tuple[float, float, float, float, float]:
    if not errors:
        return (math.nan,) * 5
    sizes = sorted(map(abs, errors))
    bias, mape = math.fsum(errors) / len(errors), math.fsum(sizes) / len(sizes)
    return bias, mape, percentile(sizes, 0.5), percentile(sizes, 0.95), sizes[-1]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of ascending values lie, linear between ranks (Hyndman and Fan's type 7)."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


Chosen = Callable[[Verdict], bool]
GROUPS: Mapping[str, Chosen] = {
    "fitted": lambda v: not v.case.held_out,
    "held out": lambda v: v.case.held_out,
    "all": lambda v: True,
}


def summary(verdicts: Sequence[Verdict]) -> dict[str, Spread]:
    """The figures of fitted families, of those held out, and of all."""
    return {name: spread([v for v in verdicts if chosen(v)]) for name, chosen in GROUPS.items()}


def estimate_spreads(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Spread]]:
    """The errors of coarser forms of the model: counter port -> group of families -> figures. Cases in which the
    circuit counts nothing have no relative error."""
    names = dict.fromkeys(name for v in verdicts for name in v.estimates)
    return {
        name: {group: _estimate_spread([v for v in verdicts if chosen(v)], name) for group, chosen in GROUPS.items()}
        for name in names
    }


def _estimate_spread(verdicts: Sequence[Verdict], name: str) -> Spread:
    pairs = [v.estimates[name] for v in verdicts if name in v.estimates]
    errors = [said / counted - 1 for said, counted in pairs if counted]
    equal = sum(said == counted for said, counted in pairs)
    return Spread(len(pairs), len(errors), equal, *_figures(errors))


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON."""
    v = verdict
    word, count, event = v.first_word, v.first_count, v.first_event
    return {
        "name": v.case.name, "family": v.case.family, "held_out": v.case.held_out, "seed": v.case.seed,
        "model_cycles": v.model.total, "rtl_cycles": v.rtl and _finite(v.rtl.total), "error": v.error,
        "outputs_match": v.outputs_match, "counts_match": v.counts_match, "exact_match": v.exact_match,
        "seconds": v.seconds, "timed_out": v.timed_out, "failure": v.failure,
        "model_by_cause": dict(zip(CAUSES, v.model[1:], strict=True)),
        "rtl_by_cause": v.rtl and dict(zip(CAUSES, map(_finite, v.rtl[1:]), strict=True)),
        "counts": {name: list(pair) for name, pair in v.counts.items()},
        "exact": {name: list(pair) for name, pair in v.exact.items()},
        "estimates": {name: list(pair) for name, pair in v.estimates.items()},
        "first_word": word and word._asdict(), "first_count": count and count._asdict(),
        "first_event": event and _event_document(event), "waves": v.waves and str(v.waves),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value


def _event_document(difference: EventDifference) -> dict[str, Any]:
    return {
        "position": difference.position,
        "model": difference.model and difference.model._asdict(),
        "rtl": difference.rtl and difference.rtl._asdict(),
        "before": [event._asdict() for event in difference.before],
    }
