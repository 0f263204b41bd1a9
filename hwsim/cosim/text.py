"""A comparison as people read it: a line a case as it is reached, and the summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from hwsim.cosim.case import Case, CaseFile
from hwsim.cosim.circuit import CAUSES, Event
from hwsim.cosim.compare import EventDifference, Spread, Verdict
from hwsim.cosim.resources import Resources
from hwsim.cosim.validation import disagreement, percent

Cells = tuple[str, ...]
HEADS: Cells = ("case", "family", "model", "RTL", "error", "outputs", "counts", "exact", "seconds")


def cycles(value: float) -> str:
    """Cycles with a thousands separator; two decimals where they are not whole."""
    if math.isnan(value):
        return "?"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.2f}"


class Lines:
    """The lines of a table whose rows come one by one: columns are as wide as the cases need."""

    def __init__(self, cases: Sequence[Case], takes: Mapping[str, Resources] | None = None) -> None:
        self.takes = takes or {}
        names, families = ([c.name for c in cases], [c.family for c in cases])
        self.widths = (max(map(len, (*names, "case"))), max(map(len, (*families, "family"))), 13, 11, 9, 7, 7, 7, 8)

    def head(self) -> str:
        """The line above the table."""
        return self.line(HEADS) + (f"  {'LUT / FF / DSP':>20}" if self.takes else "")

    def line(self, cells: Cells) -> str:
        """One row: the first two columns flush left, figures flush right."""
        pairs = zip(cells, self.widths, strict=True)
        return "  ".join(f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in enumerate(pairs)).rstrip()

    def of(self, v: Verdict) -> str:
        """The row of one case."""
        rtl = "failed" if v.rtl is None else cycles(v.rtl.total)
        error = "" if v.error is None else f"{v.error:+.3%}"
        marks = ("yes" if good else "NO" for good in (v.outputs_match, v.counts_match, v.exact_match))
        row = self.line((v.case.name, v.case.family, cycles(v.model.total), rtl, error, *marks, f"{v.seconds:.3f}"))
        takes = self.takes.get(v.case.name)
        return row + (f"  {f'{takes.luts:,} / {takes.flip_flops:,} / {takes.dsps:,}':>20}" if takes else "")


def details(v: Verdict, *, within: bool) -> Iterator[str]:
    """What an engineer needs to find the difference: seed, first word, count and event, waves."""
    if not within:
        wrong = disagreement(v) or f"the error of {v.error:+.3%} is beyond the tolerance of one case"
        yield f"    seed {v.case.seed}, {v.case.where}: {wrong}"
        yield from (f"    {line}" for line in v.failure.splitlines()[1:])
        yield from (f"    {line}" for line in _causes(v))
    if v.first_event:
        yield from (f"    {line}" for line in _event_lines(v.first_event))
    elif v.events and not within:
        yield f"    the logs of model and circuit are the same, {len(v.events[0])} events"
    if v.waves:
        yield f"    waves: {v.waves}"


def _causes(v: Verdict) -> Iterator[str]:
    if v.rtl is not None and v.rtl != v.model:
        pairs = zip(CAUSES, v.model[1:], v.rtl[1:], strict=True)
        yield "cycles, model / RTL: " + ", ".join(f"{cause} {cycles(m)} / {cycles(r)}" for cause, m, r in pairs)


def _event_lines(d: EventDifference) -> Iterator[str]:
    yield f"first event that differs (number {d.position}): model {event_text(d.model)}, RTL {event_text(d.rtl)}"
    if d.before:
        yield f"after {', '.join(map(event_text, d.before))}"


def event_text(event: Event | None) -> str:
    """An event as logs have it."""
    if event is None:
        return "nothing more"
    return f"`{' '.join(map(str, (event.cycle, event.name, *event.numbers)))}`"


def summary_lines(
    groups: Mapping[str, Spread],
    estimates: Mapping[str, Mapping[str, Spread]],
    file: CaseFile,
    *,
    whole: bool,
    held: bool,
) -> Iterator[str]:
    """The spread of errors by group of families, and whether the tolerance holds."""
    yield f"{'families':10} {'cases':>6} {'agree':>6} {'bias':>9} {'MAPE':>9} {'median':>9} {'p95':>9} {'worst':>9}"
    for name, s in groups.items():
        if s.cases:
            figures = " ".join(f"{percent(x):>9}" for x in (s.bias, s.mape, s.median, s.p95, s.worst))
            yield f"{name:10} {s.cases:>6} {s.agreeing:>6} {figures}"
    for name, of_groups in estimates.items() if whole else ():
        for group, s in of_groups.items():
            if s.cases:
                figures = " ".join(f"{percent(x):>9}" for x in (s.bias, s.mape, s.median, s.p95, s.worst))
                yield f"{group:10} {s.cases:>6} {s.agreeing:>6} {figures}  closed form of {name}, held to nothing"
    t = file.tolerance
    means = f"MAPE {t.mape:.2%}, p95 {t.p95:.2%}, " if whole else ""
    yield f"tolerance ({means}worst {t.worst:.2%}): {'holds' if held else 'does NOT hold'}"
