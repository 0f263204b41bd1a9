"""Tables and picture of docs/benchmarks.md, from results.json alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import zigzag
from benchmarks.peers.cases import SCALESIM, ZIGZAG
from benchmarks.peers.work import ARRAYS, NETWORKS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks_peers.svg"
MIB_BITS = 8 << 20
BEGIN, END = "<!-- {}: from benchmarks/peers/results.json -->", "<!-- end of {} -->"
SHORT = {"resnet18": "ResNet-18", "mobilenet": "MobileNetV1", "bert-layer": "BERT layer", "gpt2-step": "GPT-2 step"}

Results = Mapping[str, Any]
Row = Sequence[str]


def table(header: Row, rows: Iterable[Row]) -> str:
    """A Markdown table; what is under all but the first two columns stands right."""
    lines = [header, ["---", "---", *["--:"] * (len(header) - 2)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def peer(results: Results, tool: str, network: str, side: int) -> dict[str, Any]:
    """A peer's row."""
    keys = {"tool": tool, "network": network, "side": side}
    found: dict[str, Any] = next(r for r in results["peers"] if keys.items() <= r.items())
    return found


def hwsim(results: Results, like: str, network: str, side: int) -> dict[str, Any]:
    """hwsim's row on the design that has a peer's hardware."""
    keys = {"like": like, "network": network, "side": side}
    found: dict[str, Any] = next(r for r in results["hwsim"] if keys.items() <= r.items())
    return found


def every() -> list[tuple[str, int]]:
    """Networks and arrays, in the order of the tables."""
    return [(network, side) for network in NETWORKS for side in ARRAYS]


def whole(value: float) -> str:
    """An integer with separators."""
    return f"{round(value):,}"


def signed(value: float) -> str:
    """An integer with its sign."""
    return f"{round(value):+,}" if round(value) else "0"


def mebibytes(bits: float) -> str:
    """Bits in MiB."""
    return f"{bits / MIB_BITS:,.0f}"


def seconds(value: float) -> str:
    """Seconds to about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


# --- tables -----------------------------------------------------------------------------------------------------------


def work_table(results: Results) -> str:
    """The networks."""
    rows = [
        (n["title"], f"`{n['trace']}`", whole(n["macs"] / 1e6), whole(n["products"]), whole(n["distinct"]))
        for n in results["networks"].values()
    ]
    return table(("network", "trace", "M MACs", "products", "distinct"), rows)


def cycles_table(results: Results) -> str:
    """Compute cycles against SCALE-Sim's."""
    rows = []
    for network, side in every():
        r = peer(results, SCALESIM, network, side)
        answered = f"{r['answered']} of {r['distinct']}"
        rows.append((SHORT[network], str(side), answered, whole(r["cycles"]), whole(r["our_cycles"]),
                     signed(r["from_zero"]), signed(r["unexplained"])))  # fmt: skip
    header = ("network", "array", "layers it finished", "SCALE-Sim", "hwsim", "counted from zero", "unexplained")
    return table(header, rows)


def dataflow_table(results: Results) -> str:
    """Small products in all dataflows."""
    rows = [
        (c["dataflow"], c["product"], whole(c["cycles"]), whole(c["our_cycles"]), signed(c["from_zero"]),
         signed(c["drain"]), signed(c["unexplained"]))
        for c in results["checks"]["dataflows"]
    ]  # fmt: skip
    header = ("dataflow", "M x N x K", "SCALE-Sim", "hwsim", "counted from zero", "drain it leaves out", "unexplained")
    return table(header, rows)


def padded_table(results: Results) -> str:
    """Convolutions that SCALE-Sim rounds up."""
    rows = [
        (c["product"], f"{c['output']}²", f"{c['their_output']}²", whole(c["cycles"]), whole(c["our_cycles"]),
         signed(c["rounding"]), signed(c["unexplained"]))
        for c in results["checks"]["padded"]
    ]  # fmt: skip
    header = ("layer", "PyTorch's output", "its output", "SCALE-Sim", "hwsim", "rows too many", "unexplained")
    return table(header, rows)


def time_table(results: Results) -> str:
    """What a run takes."""
    rows = []
    for network, side in every():
        theirs = [peer(results, tool, network, side) for tool in (SCALESIM, ZIGZAG)]
        mine = hwsim(results, ZIGZAG, network, side)["usage"]
        took = [f"{seconds(r['cpu_s'])}{'*' if r['refused'] else ''} ({seconds(r['whole_cpu_s'])})" for r in theirs]
        memory = [mebibytes(r["peak_bits"]) for r in theirs]
        own = f"{seconds(mine['cpu_s'])} ({seconds(mine['wall_s'])})"
        rows.append((SHORT[network], str(side), *took, own, *memory, mebibytes(mine["peak_bits"])))
    header = ("network", "array", "SCALE-Sim s", "ZigZag s", "hwsim s", "SCALE-Sim MiB", "ZigZag MiB", "hwsim MiB")
    return table(header, rows)


def latency_table(results: Results) -> str:
    """ZigZag's cycles and hwsim's, by cause."""
    rows = []
    for network, side in every():
        r, mine = peer(results, ZIGZAG, network, side), hwsim(results, ZIGZAG, network, side)["answer"]
        waits = r["stall"] + r["onloading"] + r["offloading"]
        memory = mine["product_cycles"] - r["loops"]["our_array_cycles"] - waits
        short = r["below_own_bound"]
        rows.append((SHORT[network], str(side), whole(r["cycles"]), whole(mine["cycles"]),
                     signed(r["loops"]["mapping"]), signed(r["loops"]["fill"]), signed(memory),
                     signed(mine["other_cycles"]), f"{short['products']} of {r['distinct']}",
                     whole(short["cycles"])))  # fmt: skip
    header = ("network", "array", "ZigZag", "hwsim", "loops", "fill, skew", "memory", "other operators",
              "layers below its bound", "cycles below")  # fmt: skip
    return table(header, rows)


def their_dram_bits(row: Mapping[str, Any]) -> int:
    """Bits through DRAM that a peer counts."""
    if row["tool"] == SCALESIM:
        return sum(8 * n for name, n in row["accesses"].items() if name.startswith("dram"))
    return zigzag.DRAM_WORD_BITS * sum(sum(ways.values()) for ways in row["dram_words"].values())


def at_their_prices(traffic: Mapping[str, Mapping[str, int]], macs: int) -> float:
    """Picojoules of hwsim's own counts at the prices of ZigZag's example: DRAM, SRAM of inputs and outputs, MACs."""
    dram, sram = zigzag.MEMORIES["dram"], zigzag.MEMORIES["sram_2MB"]
    found = macs * zigzag.MAC_PJ
    found += (traffic["dram"]["read"] * dram.r_cost + traffic["dram"]["write"] * dram.w_cost) / zigzag.DRAM_WORD_BITS
    for level in ("inputs", "outputs"):
        words = {way: bits / zigzag.SRAM_WORD_BITS for way, bits in traffic[level].items()}
        found += words["read"] * sram.r_cost + words["write"] * sram.w_cost
    return found


def energy_table(results: Results) -> str:
    """Energies: ZigZag's, hwsim's counts at its prices, and hwsim's own."""
    rows = []
    for network, side in every():
        r, mine = peer(results, ZIGZAG, network, side), hwsim(results, ZIGZAG, network, side)["answer"]
        parts = (
            r["memory_pj"]["dram"],
            r["memory_pj"]["sram_2MB"],
            r["memory_pj"]["rf_128B"] + r["memory_pj"]["rf_2B"],
        )
        same = at_their_prices(mine["traffic_bits"], mine["macs"])
        rows.append((SHORT[network], str(side), *(f"{pj / 1e6:,.1f}" for pj in (r["energy_pj"], *parts, same)),
                     f"{mine['energy_j'] * 1e6:,.1f}"))  # fmt: skip
    header = ("network", "array", "ZigZag µJ", "its DRAM", "its SRAM", "its registers", "hwsim's counts, its prices",
              "hwsim's own")  # fmt: skip
    return table(header, rows)


def traffic_table(results: Results) -> str:
    """Bits through DRAM for products alone, which is what the peers are given, and for all operators."""
    rows = []
    for network, side in every():
        cells = []
        for tool in (SCALESIM, ZIGZAG):
            own = hwsim(results, tool, network, side)["answer"]
            whole_run = sum(own["traffic_bits"]["dram"].values())
            cells += [their_dram_bits(peer(results, tool, network, side)), own["product_dram_bits"], whole_run]
        rows.append((SHORT[network], str(side), *(f"{bits / MIB_BITS:,.1f}" for bits in cells)))
    both = ("hwsim, products", "all operators")
    return table(("network", "array", "SCALE-Sim", *both, "ZigZag", *both), rows)


def rate_table(results: Results) -> str:
    """Points a second."""
    own, study = results["sweep"]["hwsim"], results["sweep"]["study"]
    compiled, cold = own["peak_bits"], {"wall_s": own["cold_s"], "cpu_s": own["first"]["cpu_s"]}
    measured = [
        ("hwsim, compiled, warm", "1,000 points, one thread", own["points"], own["warm"], compiled),
        ("hwsim, compiled, warm", "1,000 points, two threads", own["points"], own["warm_two"], compiled),
        ("hwsim, compiled, warm", "100,000 points, one thread", own["many_points"], own["many"], compiled),
        ("hwsim, compiled, warm", "100,000 points, two threads", own["many_points"], own["many_two"], compiled),
        ("hwsim, compiled, whole process", "1,000 points, one thread", own["points"], cold, compiled),
        ("`hwsim sweep`, whole process", "1,000 points, one process", study["points"], study["usage"],
         study["usage"]["peak_bits"]),
    ]  # fmt: skip
    for tool, title in ((ZIGZAG, "ZigZag"), (SCALESIM, "SCALE-Sim")):
        r = results["sweep"][tool]
        share = r["seconds"] / r["usage"]["wall_s"]
        took = {"wall_s": r["seconds"], "cpu_s": share * r["usage"]["cpu_s"]}
        on = f"{r['points']} point{'s' * (r['points'] != 1)}, one process"
        measured.append((f"{title}, its largest arrays", on, r["points"], took, r["usage"]["peak_bits"]))
    rows = [_rate(tool, on, points, took, peak, own["points"]) for tool, on, points, took, peak in measured]
    header = ("tool", "measured on", "points/s on the clock", "points/s of processor time", "1,000 points", "most MiB")
    return table(header, rows)


def _rate(tool: str, on: str, points: int, took: Mapping[str, float], peak: int, wanted: int) -> Row:
    if points == 0:
        return tool, on, f"none in {took['wall_s']:.0f} s", "-", "-", mebibytes(peak)
    rates = [points / took[clock] for clock in ("wall_s", "cpu_s")]
    shown = [whole(rate) if rate >= 100 else f"{rate:.3f}" for rate in rates]
    return tool, on, *shown, duration(wanted / rates[0]) + ("*" if points < wanted else ""), mebibytes(peak)


def duration(took_s: float) -> str:
    """Seconds, or hours where those say more."""
    return f"{took_s / 3600:.1f} h" if took_s > 3600 else f"{took_s:.3f} s" if took_s < 1 else f"{took_s:.1f} s"


TABLES = {
    "work": work_table, "cycles": cycles_table, "dataflows": dataflow_table, "padded": padded_table,
    "times": time_table, "latency": latency_table, "energy": energy_table, "traffic": traffic_table,
    "rates": rate_table,
}  # fmt: skip


# --- the page ---------------------------------------------------------------------------------------------------------


def filled(page: str, results: Results) -> str:
    """The page with every table as the results have it. Raises ValueError for a table the page has no place for."""
    for name, make in TABLES.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no place for the table {name!r}: {begin} ... {end}")
        page = f"{before}{begin}\n{make(results)}{end}{after}"
    return page


def write_page(results: Results, path: Path = PAGE) -> None:
    """Write the tables into the page."""
    path.write_text(filled(path.read_text(encoding="utf-8"), results), encoding="utf-8")


# --- the picture ------------------------------------------------------------------------------------------------------

SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "hwsim", "font.size": 9, "axes.spines.top": False,
            "axes.spines.right": False}  # fmt: skip
COLOURS = {"SCALE-Sim": "#b9770e", "ZigZag": "#7d3c98", "hwsim": "#1f618d"}


def write_picture(results: Results, path: Path = PICTURE) -> None:
    """Processor time and memory of one network on one design, by tool."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(7.6, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        _bars(upper, results, "cpu_s", 1)
        _bars(lower, results, "peak_bits", MIB_BITS)
        _name_networks(lower)
        upper.set_ylabel("processor time, s")
        lower.set_ylabel("most memory, MiB")
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
        figure.savefig(path, metadata={"Date": None})


def _places() -> list[float]:
    return [i + i // len(ARRAYS) * 0.6 for i in range(len(every()))]


def _bars(axes: Any, results: Results, what: str, unit: float) -> None:
    places = _places()
    for k, (name, colour) in enumerate(COLOURS.items()):
        values = [_value(results, name, network, side, what) / unit for network, side in every()]
        axes.bar([p + (k - 1) * 0.27 for p in places], values, 0.25, color=colour, label=name)
    axes.set_yscale("log")
    axes.set_xticks(places, [str(side) for _, side in every()])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _name_networks(axes: Any) -> None:
    places = _places()
    for i, network in enumerate(NETWORKS):
        middle = places[i * len(ARRAYS) + 1]
        axes.annotate(SHORT[network], (middle, 0), (0, -26), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="center", weight="bold")  # fmt: skip


def _value(results: Results, name: str, network: str, side: int, what: str) -> float:
    if name == "hwsim":
        return float(hwsim(results, ZIGZAG, network, side)["usage"][what])
    tool = SCALESIM if name == "SCALE-Sim" else ZIGZAG
    return float(peer(results, tool, network, side)[what])
