"""docs/validation.md: how far each model is from its circuit, over all cases, from a fresh run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.cosim.case import CaseFile
from hwsim.cosim.circuit import CAUSES
from hwsim.cosim.compare import Spread, Verdict, estimate_spreads, summary
from hwsim.cosim.golden import number, versions_text

TEN = 10

_HEAD = """# Validation against RTL

Written by `hwsim validate`, which runs every case of every installed circuit and drops none. An error is the model's
total cycles over the circuit's, less one. Bias is the mean of the errors; MAPE, median, p95 and worst are of their
absolute values. *Fitted* families were there while the model was written; those *held out* were not to be looked at,
and each circuit says how that was kept.
"""


@dataclass(frozen=True, slots=True)
class Validation:
    """One circuit with the verdicts of all its cases, in their order, and the tools they came from."""

    file: CaseFile
    verdicts: tuple[Verdict, ...]
    simulator: str
    versions: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """Whether every case agrees and all errors are within the tolerance."""
        each = all(v.within(self.file.tolerance) for v in self.verdicts)
        return each and summary(self.verdicts)["all"].holds(self.file.tolerance)


def percent(value: float) -> str:
    """A fraction as a percentage of three decimals; a dash for none."""
    return "-" if math.isnan(value) else f"{value:.3%}"


def markdown(found: Sequence[Validation]) -> str:
    """The page. The same verdicts give the same text."""
    return "\n".join([_HEAD, *(line for one in found for line in _section(one))]).rstrip() + "\n"


def _section(one: Validation) -> list[str]:
    return [
        f"## {one.file.circuit.name}",
        "",
        f"The model `{one.file.circuit.model}` against {len(one.verdicts)} cases on {one.simulator} "
        f"({versions_text(one.versions)}). {_conclusion(one)}",
        "",
        *([one.file.split, ""] if one.file.split else []),
        *_spreads(one),
        "",
        *_tolerance(one),
        "",
        *_by_cause(one),
        "",
        *_estimates(one),
        *_worst(one),
        "",
        *_disagreeing(one),
        *_deep(one),
    ]


def _deep(one: Validation) -> list[str]:
    """What the circuit says of its table of `validate --deep`."""
    lines: Callable[[], list[str]] | None = getattr(one.file.circuit, "deep_lines", None)
    return [*lines(), ""] if lines else []


def _conclusion(one: Validation) -> str:
    agreeing = sum(v.agrees for v in one.verdicts)
    every = "every case" if agreeing == len(one.verdicts) else f"{agreeing} of {len(one.verdicts)} cases"
    held = "The tolerance holds." if one.holds else "**The tolerance does not hold.**"
    return f"Outputs, counts and exact counters are equal on {every}. {held}"


def _spreads(one: Validation) -> list[str]:
    return [
        "| families | cases | agreeing | bias | MAPE | median | p95 | worst |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_spread_line(name, s) for name, s in summary(one.verdicts).items()),
    ]


def _spread_line(name: str, s: Spread) -> str:
    figures = (percent(x) for x in (s.bias, s.mape, s.median, s.p95, s.worst))
    return f"| {name} | {s.cases} | {s.agreeing} | {' | '.join(figures)} |"


def _tolerance(one: Validation) -> list[str]:
    t = one.file.tolerance
    return [f"Tolerance: MAPE {percent(t.mape)}, p95 {percent(t.p95)}, worst {percent(t.worst)}, because {t.reason}."]


def _by_cause(one: Validation) -> list[str]:
    """For total and each cause: on how many cases both sides say the same, and where they are furthest apart."""
    run = [v for v in one.verdicts if v.rtl is not None and not any(map(math.isnan, v.rtl))]
    if not run:
        return []
    rows = []
    for at, cause in enumerate(("total", *CAUSES)):
        off = {v.case.name: v.model[at] - v.rtl[at] for v in run if v.rtl is not None}
        near = sum(abs(cycles) < 1 for cycles in off.values())
        name = max(off, key=lambda case: abs(off[case]))
        rows.append(f"| {cause} | {near} of {len(run)} | {round(off[name], 2):+g} ({name}) |")
    heads = ["| cycles | less than one apart | furthest apart, model less RTL |", "| --- | ---: | --- |"]
    return [*heads, *rows]


def _estimates(one: Validation) -> list[str]:
    """The errors of coarser forms of the model, which no tolerance holds."""
    lines = []
    for name, groups in estimate_spreads(one.verdicts).items():
        lines += [f"The closed form of `{name}` against the circuit, reported and held to nothing:", ""]
        lines += ["| families | cases | equal | bias | MAPE | median | p95 | worst |",
                  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
        lines += [*(_spread_line(group, s) for group, s in groups.items()), ""]
    return lines


def _worst(one: Validation) -> list[str]:
    ranked = sorted((v for v in one.verdicts if v.error is not None), key=lambda v: (-abs(v.error or 0), v.case.name))
    rows = [_worst_line(v) for v in ranked[:TEN]]
    heads = ["| case | family | error | model | RTL | differs most in |", "| --- | --- | ---: | ---: | ---: | --- |"]
    return [f"The {len(rows)} worst cases:", "", *heads, *rows]


def _worst_line(v: Verdict) -> str:
    assert v.rtl is not None and v.error is not None
    family = f"{v.case.family}{' (held out)' if v.case.held_out else ''}"
    return (f"| {v.case.name} | {family} | {percent(v.error)} | {number(round(v.model.total, 2))} | "
            f"{number(v.rtl.total)} | {main_cause(v)} |")  # fmt: skip


def main_cause(v: Verdict) -> str:
    """The cause whose cycles differ most between the two sides, and by how many; "" where none does."""
    if v.rtl is None or any(map(math.isnan, v.rtl)):
        return ""
    off = {cause: m - r for cause, m, r in zip(CAUSES, v.model[1:], v.rtl[1:], strict=True)}
    cause = max(off, key=lambda name: abs(off[name]))
    return f"{cause} ({round(off[cause], 2):+g} cycles)" if off[cause] else ""


def _disagreeing(one: Validation) -> list[str]:
    wrong = [v for v in one.verdicts if not v.agrees]
    if not wrong:
        return []
    return ["Cases that do not agree:", "", *(f"- {v.case.name}: {disagreement(v)}" for v in wrong), ""]


def disagreement(v: Verdict) -> str:
    """What is wrong with a case, in a line."""
    if v.failure:
        return f"failed: {v.failure.partition(chr(10))[0]}"
    parts = []
    if v.timed_out:
        parts.append(f"not done after {v.cycles} cycles")
    if v.first_word:
        w = v.first_word
        got = "undefined" if w.got is None else f"{w.got:#x}"
        parts.append(f"{w.memory}[{w.address}] is {got}, expected {w.expected:#x}")
    if v.first_count:
        c = v.first_count
        parts.append(f"{c.name}: model {c.model}, RTL {'undefined' if c.rtl is None else c.rtl}")
    if v.error is None:
        parts.append("no total of cycles")
    return "; ".join(parts)
