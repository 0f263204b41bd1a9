"""The published figures of OPTIMUS beside the model's: python -m accelerators.optimus.reproduce [--write].

Prints the tables of README.md; with --write it puts them there, between the two markers.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from accelerators.optimus import closed_form
from accelerators.optimus.design import LogitsRows, WeightFormat
from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError
from hwsim.evaluation import PJ_PER_J, Evaluation, Job, evaluate
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload

README = Path(__file__).with_name("README.md")
BEGIN = "<!-- begin: python -m accelerators.optimus.reproduce -->"
END = "<!-- end -->"

LENGTHS = (10, 20, 30, 40, 50)
USUAL = 30
"""Tokens of a sentence in the tables of one length: the middle of the range, source and target alike."""

PUBLISHED = {"latency": 16.01, "throughput": 19.00, "energy efficiency": 19.01, "power": 1.0005}
"""Ratios to the baseline hardware: abstract of the paper, and 19.01 / 19.00."""

PUBLISHED_LATENCY = {"i7-6900k": 41.62, "titan-xp": 24.23}
"""Latency ratios to a CPU and a GPU: abstract of the paper."""

PUBLISHED_UTILISATION = {
    (512, 512, 256): (0.988, 0.991, 0.995, 0.995, 0.995, 0.999),
    (512, 512, 512): (0.809, 0.984, 0.991, 0.991, 0.991, 0.999),
    (512, 512, 1024): (0.405, 0.809, 0.984, 0.984, 0.984, 0.984),
    (2048, 512, 1024): (0.987, 0.991, 0.995, 0.995, 0.995, 0.999),
    (512, 2048, 1024): (0.451, 0.902, 0.993, 0.997, 0.997, 0.997),
}
"""An independent simulation of the assignment on Bernoulli masks of density 0.25, by ways."""

WAYS = (1, 2, 4, 8, 16, 64)

Changes = Mapping[str, Any]


class Feature(NamedTuple):
    """One mechanism: its name, and the fields that take it away."""

    name: str
    without: Changes


FEATURES = (
    Feature("decode cache", {"decode_cache": False}),
    Feature("SA-RCSC (else RCSC)", {"weight_format": WeightFormat.RCSC}),
    Feature("load overlap", {"load_overlap": False}),
    Feature("on-chip intermediates", {"intermediates_on_chip": False}),
    Feature("input window 128, rate 8 (else 2, 1)", {"window": 2, "rate": 1}),
)
BASELINE_LACKS = FEATURES[:3]


def _merged(features: Iterable[Feature]) -> dict[str, Any]:
    return {key: value for feature in features for key, value in feature.without.items()}


class Bench:
    """Runs of one shipped design on the Transformer, with fields and bindings moved."""

    def __init__(self, design: str, workload: str = "transformer-base") -> None:
        self.file: DesignFile = load_design(design)
        self.workload: Workload = load_workload(workload)
        self._latencies: dict[tuple[Any, ...], float] = {}

    def run(self, changes: Changes | None = None, tokens: int = USUAL, density: float | None = None) -> Evaluation:
        """One evaluation with `changes` to the design's fields, at `tokens` source and target tokens."""
        design, named = self.file.replaced(changes or {})
        given: dict[str, float] = {"n": tokens, "m": tokens}
        if density is not None:
            given["density"] = density
        parts = resolve_parts(named)
        return evaluate(Job(self.file.model, design, parts, self.workload, resolve_binding(self.workload, given)))

    def latency_s(self, changes: Changes | None = None, tokens: int = USUAL, density: float | None = None) -> float:
        """Seconds of `run` with the same arguments; each is run once."""
        key = (tuple(sorted((changes or {}).items())), tokens, density)
        if key not in self._latencies:
            self._latencies[key] = self.run(changes, tokens, density).latency_s
        return self._latencies[key]


def chip_energy_j(e: Evaluation) -> float:
    """Joules of the chip alone: everything but the DRAM."""
    times_run = [0] * len(e.program.tasks)
    for task in e.program.task:
        times_run[task] += 1
    on_chip = [i for i, component in enumerate(e.names.components) if component != "dram"]
    dynamic_pj = sum(n * sum(row[i] for i in on_chip) for n, row in zip(times_run, e.dynamic_pj, strict=True))
    static_w = sum(watts for component, watts in e.static_w.items() if component != "dram")
    return dynamic_pj / PJ_PER_J + static_w * e.latency_s


# --- tables -----------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mac_ratios(bench: Bench) -> str:
    """MACs of both schedules and their ratios, exact."""
    rows = []
    for n in (10, 20, 30, 50):
        sizes = {"n": n, "m": n}
        cached, last, every = (
            bench.workload.macs(sizes, name) for name in ("cached", "recompute", "recompute_all_logits")
        )
        rows.append([str(n), f"{cached:,}", f"{last:,}", f"{last / cached:.2f}", f"{every / cached:.2f}"])
    return table(("n = m", "MACs, cached", "MACs, recomputed", "ratio, last row of logits", "ratio, all rows"), rows)


def utilisation() -> str:
    """Utilisation of the assignment in closed form, by shape and ways, beside the simulated one."""
    rows = []
    for (height, width, macs), simulated in PUBLISHED_UTILISATION.items():
        nnz = height * width // 4
        cells = []
        for ways, other in zip(WAYS, simulated, strict=True):
            cycles = closed_form.balanced_cycles(WeightFormat.SA_RCSC, nnz, height, width, macs, macs // ways)
            cells.append(f"{nnz / (macs * cycles):.3f} ({other:.3f})")
        rows.append([f"{height} x {width}", str(macs), *cells])
    return table(("matrix", "MACs", *(f"{w} way{'s' * (w > 1)}" for w in WAYS)), rows)


def headline(ours: Bench, base: Bench) -> str:
    """The four published ratios to the baseline beside the model's, over sentences of all lengths."""
    pairs = [(ours.run(tokens=n), base.run(tokens=n)) for n in LENGTHS]
    latency = sum(b.latency_s / o.latency_s for o, b in pairs) / len(pairs)
    throughput = sum(b.latency_s for _, b in pairs) / sum(o.latency_s for o, _ in pairs)
    energy = sum(chip_energy_j(b) for _, b in pairs) / sum(chip_energy_j(o) for o, _ in pairs)
    with_dram = sum(b.energy_j for _, b in pairs) / sum(o.energy_j for o, _ in pairs)
    at = next(pair for n, pair in zip(LENGTHS, pairs, strict=True) if n == USUAL)
    rows = [
        [f"latency, {USUAL} tokens", f"{at[1].latency_s / at[0].latency_s:.2f}", ""],
        ["latency, mean of the ratios", f"{latency:.2f}", f"{PUBLISHED['latency']:.2f}"],
        ["throughput, tokens over total time", f"{throughput:.2f}", f"{PUBLISHED['throughput']:.2f}"],
        ["energy efficiency, chip", f"{energy:.2f}", f"{PUBLISHED['energy efficiency']:.2f}"],
        ["energy efficiency, chip and DRAM", f"{with_dram:.2f}", ""],
        ["power, chip (baseline / OPTIMUS)", f"{energy / throughput:.3f}", f"{PUBLISHED['power']:.4f}"],
    ]
    return table(("OPTIMUS over the baseline", "model", "published"), rows)


def size(ours: Bench) -> str:
    """Power and area beside the recalled ones."""
    e = ours.run()
    area = sum(e.job.model.area_mm2(e.job.design, e.job.parts))
    rows = [
        ["chip power, W", f"{chip_energy_j(e) / e.latency_s:.2f}", "0.73"],
        ["chip and DRAM, W", f"{e.energy_j / e.latency_s:.1f}", ""],
        ["area, mm2", f"{area:.2f}", "5.2"],
    ]
    return table((f"OPTIMUS, {USUAL} tokens", "model", "recalled"), rows)


def processors(ours: Bench) -> str:
    """Latency of the roofline processors over OPTIMUS."""
    rows = []
    for name, published in PUBLISHED_LATENCY.items():
        ratio = Bench(name).latency_s() / ours.latency_s()
        rows.append([name, f"{ratio:.1f}", f"{published:.2f}"])
    return table(("latency over OPTIMUS", "model", "published"), rows)


def intermediates(ours: Bench) -> str:
    """DRAM bits beyond weights and table rows, with intermediates on and off chip."""
    rows = []
    for name, changes in (("on chip", {}), ("off chip", FEATURES[3].without)):
        e = ours.run(changes)
        read, written = off_chip_intermediate_bits(e)
        rows.append([name, f"{read:,}", f"{written:,}"])
    return table(("intermediates", "DRAM bits read for them", "DRAM bits written"), rows)


def off_chip_intermediate_bits(e: Evaluation) -> tuple[int, int]:
    """(read, written) DRAM bits that are neither stored weights nor rows of embedding tables."""
    at = {name: i for i, name in enumerate(e.names.fields)}
    read = written = 0
    for task in e.program.task:
        read += e.counts[task][at["fetched_bits"]]
        written += e.counts[task][at["dram_write_bits"]]
    return read, written


def ablation(ours: Bench) -> str:
    """Latency over full OPTIMUS: each mechanism taken away alone, each present alone, and none, by length."""
    full = [ours.latency_s({}, n) for n in LENGTHS]
    cases: list[tuple[str, Changes]] = [("all", {})]
    cases += [(f"all but {f.name}", f.without) for f in FEATURES]
    cases += [(f"only {f.name}", _merged(other for other in FEATURES if other is not f)) for f in FEATURES]
    cases += [("none", _merged(FEATURES)), ("the published pair's baseline", _merged(BASELINE_LACKS))]
    cases += [("all, stored as CSC", {"weight_format": WeightFormat.CSC})]
    cases += [("all, stored dense", {"weight_format": WeightFormat.DENSE})]
    rows = []
    for name, changes in cases:
        times = [ours.latency_s(changes, n) for n in LENGTHS]
        rows.append([name, *(f"{t / f:.2f}" for t, f in zip(times, full, strict=True)), f"{times[2] * 1e3:.2f}"])
    head = ("mechanisms", *(f"n = m = {n}" for n in LENGTHS), f"ms at {USUAL}")
    return table(head, rows)


def combinations(ours: Bench) -> str:
    """Latency over full OPTIMUS for every subset of the three mechanisms the baseline lacks."""
    full = ours.latency_s()
    rows = []
    for taken in itertools.product((False, True), repeat=len(BASELINE_LACKS)):
        lacking = [f for f, gone in zip(BASELINE_LACKS, taken, strict=True) if gone]
        rows.append([*("off" if gone else "on" for gone in taken), f"{ours.latency_s(_merged(lacking)) / full:.2f}"])
    return table((*(f.name for f in BASELINE_LACKS), "latency over OPTIMUS"), rows)


def steps(ours: Bench, base: Bench) -> str:
    """From the baseline to OPTIMUS, one mechanism after the other, and the factor each one brings."""
    before = base.latency_s()
    rows = [["baseline", f"{before * 1e3:.2f}", ""]]
    for have in range(1, len(BASELINE_LACKS) + 1):
        now = ours.latency_s(_merged(BASELINE_LACKS[have:]))
        rows.append([f"+ {BASELINE_LACKS[have - 1].name.split(' (')[0]}", f"{now * 1e3:.2f}", f"{before / now:.2f}"])
        before = now
    return table((f"{USUAL} tokens", "latency, ms", "factor"), rows)


# --- the interval -----------------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """One way to read what the paper leaves open about the baseline: changes to `optimus-baseline`."""

    name: str
    changes: Changes


READINGS = (
    Reading("logits of all rows", {"logits_rows": LogitsRows.ALL}),
    Reading("it overlaps loads", {"load_overlap": True}),
    Reading("it has SA-RCSC", {"weight_format": WeightFormat.SA_RCSC}),
    Reading("it stores CSC", {"weight_format": WeightFormat.CSC}),
    Reading("it stores dense weights", {"weight_format": WeightFormat.DENSE}),
    Reading("its intermediates leave the chip", {"intermediates_on_chip": False}),
    Reading("its decoder is cached", {"decode_cache": True}),
)


class Pair:
    """OPTIMUS and its baseline on the same hardware: shared values move together."""

    def __init__(self, ours: Bench, base: Bench) -> None:
        self.ours, self.base = ours, base

    def unknowns(self) -> dict[str, tuple[Any, Any]]:
        """Every uncertain value of the pair, with the ends of its range; the density of the workload is "density"."""
        ends = {v.key: (v.low, v.high) for v in self.ours.file.values if v.low is not None}
        symbols = self.ours.workload.symbols
        logits = {"logits_rows": (LogitsRows.LAST, LogitsRows.ALL)}
        return ends | logits | {name: s.uncertain for name, s in symbols.items() if s.uncertain}

    def at(self, values: Changes) -> float | None:
        """Latency of the baseline over that of OPTIMUS with unknowns set; None where that is an impossible design."""
        shared = {k: v for k, v in values.items() if k != "density"}
        density = values.get("density")
        try:
            return self.base.latency_s(shared, density=density) / self.ours.latency_s(shared, density=density)
        except InputError:
            return None


class Range(NamedTuple):
    """The ratio over the unknowns: each alone (key, at its low end, at its high end), and all together."""

    nominal: float
    alone: tuple[tuple[str, float | None, float | None], ...]
    low: float
    high: float


def interval(pair: Pair, known: frozenset[str] = frozenset()) -> Range:
    """Each unknown to each end alone; then, the strongest first, every unknown kept at the end that moves the ratio
    further down (and, in a second walk, up). The interval is what those designs really gave, so it is an inner one.
    Those in `known` stay as they are.
    """
    nominal = pair.at({})
    assert nominal is not None
    unknowns = {key: ends for key, ends in pair.unknowns().items() if key not in known}
    alone = [(key, pair.at({key: low}), pair.at({key: high})) for key, (low, high) in unknowns.items()]
    alone.sort(key=lambda row: (-_spread(nominal, row), row[0]))
    order = [row[0] for row in alone]
    return Range(nominal, tuple(alone), _walked(pair, order, -1), _walked(pair, order, 1))


def _spread(nominal: float, row: tuple[str, float | None, float | None]) -> float:
    values = [nominal] + [v for v in row[1:] if v is not None]
    return max(values) / min(values)


def _walked(pair: Pair, order: Sequence[str], direction: int) -> float:
    chosen: dict[str, Any] = {}
    best = pair.at(chosen)
    assert best is not None
    unknowns = pair.unknowns()
    for key in order:
        for end in unknowns[key]:
            ratio = pair.at(chosen | {key: end})
            if ratio is not None and ratio * direction > best * direction:
                best, chosen = ratio, chosen | {key: end}
    return best


def _cell(value: float | None) -> str:
    return "impossible" if value is None else f"{value:.2f}"


KNOWN = (
    ("all unknowns", frozenset()),
    ("1024 MACs", frozenset({"macs"})),
    ("1024 MACs, matched weight supply", frozenset({"macs", "dram_channels"})),
    ("1024 MACs, matched supply, logits of the last row", frozenset({"macs", "dram_channels", "logits_rows"})),
)


def span(pair: Pair) -> str:
    """The interval of the ratio, with more and more taken as known."""
    rows = []
    for name, known in KNOWN:
        found = interval(pair, known)
        rows.append([name, f"{found.low:.2f}", f"{found.nominal:.2f}", f"{found.high:.2f}", str(PUBLISHED["latency"])])
    return table((f"latency ratio, {USUAL} tokens", "lowest", "as decided", "highest", "published"), rows)


def unknowns_table(found: Range, pair: Pair) -> str:
    """The ratio at both ends of every unknown, the strongest first."""
    units = {v.key: v.unit for v in pair.ours.file.values}
    rows = []
    for key, low, high in found.alone:
        ends = " to ".join(_end(value) for value in pair.unknowns()[key])
        rows.append([key, f"{ends} {units.get(key, '')}".strip(), _cell(low), _cell(high)])
    return table(("unknown (alone)", "range", "ratio at the low end", "at the high end"), rows)


def _end(value: Any) -> str:
    return value.name.lower() if isinstance(value, LogitsRows) else f"{value:,}"


def readings_table(pair: Pair) -> str:
    """The ratio under every other reading of the baseline."""
    ours = pair.ours.latency_s()
    rows = [["as decided", f"{pair.base.latency_s() / ours:.2f}"]]
    rows += [[r.name, f"{pair.base.latency_s(r.changes) / ours:.2f}"] for r in READINGS]
    return table(("the baseline", "latency over OPTIMUS"), rows)


# --- the whole --------------------------------------------------------------------------------------------------


def report() -> str:
    """Every table, as it stands in README.md between the markers."""
    ours, base = Bench("optimus"), Bench("optimus-baseline")
    pair = Pair(ours, base)
    sections = (
        ("Ratios to the baseline", headline(ours, base)),
        ("The interval", span(pair) + "\n\n" + unknowns_table(interval(pair), pair)),
        ("Other readings of the baseline", readings_table(pair)),
        ("From the baseline to OPTIMUS", steps(ours, base)),
        ("The three mechanisms the baseline lacks, in every combination", combinations(ours)),
        ("Ablation", "Latency over full OPTIMUS.\n\n" + ablation(ours)),
        ("MACs of decode caching", mac_ratios(ours)),
        ("Utilisation by ways", "Closed form, and in brackets an independent simulation.\n\n" + utilisation()),
        ("Intermediates", intermediates(ours)),
        ("Power and area", size(ours)),
        ("Processors", processors(ours)),
    )
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in sections)


def readme_part(text: str) -> str:
    """What stands between the markers of a README."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def write(path: Path = README) -> None:
    """Put the report between the markers of `path`."""
    text = path.read_text(encoding="utf-8")
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    path.write_text(f"{head}{BEGIN}\n\n{report()}\n\n{END}{tail}", encoding="utf-8")


def main() -> None:
    """Print the report, or write it into README.md."""
    parser = argparse.ArgumentParser(description="The published figures of OPTIMUS beside the model's")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    if parser.parse_args().write:
        write()
    else:
        print(report())


if __name__ == "__main__":
    main()
