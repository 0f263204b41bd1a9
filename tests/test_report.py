"""The report says what the Result says, keeps its sums, stays inert whatever a name holds, and never changes a byte."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent
from rich.console import Console
from sample_result import build

from hwsim.model import Violation
from hwsim.report import page, plots, tables, terminal, text, timeline, views, write_report
from hwsim.result import Interval, LayerResult, Occupancy, Result, Slice
from hwsim.simulate import run as run_workload

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "[red]bold[/red] [link=file:///etc/passwd]x[/link]",
    "\x1b[31mred\x1b]0;title\x07",
    '=HYPERLINK("http://x";"y")',
    "right\u202eto left",
    "half \ud800 a pair",
    'a,b;"c"\nd\r\n',
    "&amp;&lt;&#x41;",
    "x" * 5000,
)
RUNS = {"sample": build(), "infeasible": build(feasible=False), "hostile": build(names=HOSTILE), "small": build(1, 1)}
REAL = {
    "optimus": ("optimus", "transformer-base", "closed"),
    "optimus-events": ("optimus", "transformer-base", "events"),
    "i7-6900k": ("i7-6900k", "transformer-base", "closed"),
}


@pytest.fixture(params=[*RUNS, *REAL], scope="module")
def result(request: pytest.FixtureRequest) -> Result:
    """Each of the runs that everything must hold for: made up, and of the shipped designs."""
    if request.param in RUNS:
        return RUNS[request.param]
    design, workload, fidelity = REAL[request.param]
    return run_workload(design, workload, bind={"n": 8, "m": 3}, fidelity=fidelity)


def empty() -> Result:
    """A run of a network in which every operator is free."""
    nothing = Interval(0.0, 0.0, 0.0)
    return replace(
        build(1, 1), layers=(), tracks=(), slices=(), occupancy=(), roofs=(), cycles=0, latency_s=nothing,
        energy_j=nothing, throughput_per_s=0.0, power_w=0.0, macs=0, macs_executed=0, flops=0, utilisation=0.0,
        energy_breakdown_j={}, area_breakdown_mm2={}, traffic_bits={}, memory_peak_bits={}, memory_capacity_bits={},
        time_to_first_token_s=None, time_per_token_s=None, design=(), notes=(), free_ops={},
    )  # fmt: skip


# --- text -------------------------------------------------------------------------------------------------------

SCALE = {"f": -15, "p": -12, "n": -9, "µ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}


@given(st.floats(1e-15, 1e15, exclude_max=True))
def test_a_quantity_reads_back_within_half_of_its_last_digit(value: float) -> None:
    number, unit = text.quantity(value, "s").split(" ")
    assert math.isclose(float(number) * 10.0 ** SCALE[unit.removesuffix("s")], value, rel_tol=5.1e-3)
    assert len(number.replace(".", "").lstrip("0")) <= 3 or value >= 999.5e12
    assert 1 <= float(number) < 1000 or value < 1e-15 or value >= 999.5e12


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 s"), (0.00321, "3.21 ms"), (999.6, "1 ks"), (-2.5e-7, "-250 ns"), (float("inf"), "inf s"), (1, "1 s")],
)
def test_quantities(value: float, shown: str) -> None:
    assert text.quantity(value, "s") == shown


def test_ranges_name_the_unit_once_where_it_is_one() -> None:
    assert text.quantity_pair(1.5e-3, 9e-3, "s") == "1.5 to 9 ms"
    assert text.quantity_pair(1.5e-4, 9e-3, "s") == "150 µs to 9 ms"


@pytest.mark.parametrize(
    ("bits", "shown"), [(0, "0"), (1, "1 bit"), (8, "1 B"), (8 * 1024, "1 KiB"), (8 * 3 * 2**19, "1.5 MiB")]
)
def test_memory_sizes(bits: int, shown: str) -> None:
    assert text.memory(bits) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(200_000, "kHz", "200 MHz"), (65536, "bit", "8 KiB"), (1024, "", "1024"), (True, "", "true"), (None, "", ""),
     (2.5, "pJ/whatever", "2.5 pJ/whatever"), (0.9, "V", "900 mV"), ("sa_rcsc", "", "sa_rcsc")],
)  # fmt: skip
def test_design_values_read_as_in_the_file(value: object, unit: str, shown: str) -> None:
    assert text.value_text(value, unit) == shown


@given(st.text())
def test_plain_text_is_printable_and_harmless_text_is_untouched(raw: str) -> None:
    shown = text.plain(raw)
    assert shown.isprintable()
    if raw.isprintable() and len(raw) <= 80:
        assert shown == raw


# --- groups and series ------------------------------------------------------------------------------------------


def test_groups_keep_every_sum(result: Result) -> None:
    for groups in (views.families(result.layers, few=0), views.group_layers(result.layers, lambda x: x.op)):
        assert sum(g.layers for g in groups) == len(result.layers)
        for name in ("macs", "macs_executed", "cycles"):
            assert sum(getattr(g, name) for g in groups) == sum(getattr(x, name) for x in result.layers)
        assert math.isclose(sum(g.exposed_s for g in groups), result.latency_s.value)
        assert math.isclose(sum(g.energy_j for g in groups), result.energy_j.value)
        for g in groups:
            assert math.isclose(sum(g.bounds.values()), g.exposed_s)
            assert math.isclose(sum(g.energy_breakdown_j.values()), g.energy_j)


def test_families_join_numbered_siblings_only() -> None:
    assert views.family("encoder.layers.3.ffn") == "encoder.layers.*.ffn"
    assert views.family("linear_12") == "linear_*"
    assert views.family("conv2d") == "conv2d"
    assert views.family("h3.x4") == "h3.x4"
    groups = views.families(build(blocks=6).layers)
    assert all(len({x.phase for x in build(blocks=6).layers if views.family(x.name) == g.label}) <= 1 for g in groups)


def covered_slowly(intervals: list[tuple[int, int]], span: int, bins: int) -> list[float]:
    """The share of each bin that intervals cover, interval by interval and bin by bin."""
    shares = []
    for b in range(bins):
        low, high = span * b / bins, span * (b + 1) / bins
        shares.append(sum(max(0.0, min(high, e) - max(low, s)) for s, e in intervals) / (high - low))
    return shares


def test_binned_utilisation_equals_the_slow_twin_and_the_tracks(result: Result) -> None:
    bins, span = 37, views.span_ps(result)
    series = {s.track: s for s in views.utilisation(result, bins)}
    for track in result.tracks:
        s = series[track.name]
        for kind, shares, seconds in (("busy", s.busy, track.busy_s), ("stall", s.stall, track.stall_s)):
            spans = [(x.start_ps, x.end_ps) for x in result.slices if (x.track, x.kind) == (track.name, kind)]
            assert shares == pytest.approx(covered_slowly(spans, span, bins), abs=1e-9)
            assert shares.sum() * span / bins / 1e12 == pytest.approx(seconds, rel=1e-9, abs=1e-15)


def test_a_track_that_only_waits_is_drawn_too() -> None:
    run = RUNS["small"]
    waiting = replace(run, slices=tuple(replace(s, kind="stall") for s in run.slices))
    assert [s.track for s in views.utilisation(waiting)] == [t.name for t in run.tracks]
    assert all(s.busy.sum() == 0 < s.stall.sum() for s in views.utilisation(waiting))


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 100)), min_size=1, max_size=200), st.integers(1, 20))
@settings(max_examples=500)
@example([(t, 0) for t in range(9)] + [(9, 1), (700, 0)], 10)
@example([(t, 5) for t in range(9)] + [(9, 1), (701, 0)], 10)
def test_thinned_occupancy_is_the_highest_within_each_bin(steps: list[tuple[int, int]], bins: int) -> None:
    content = dict(sorted(steps))
    run = replace(RUNS["small"], latency_s=Interval(1e-9, 1e-9, 1e-9), slices=(),
                  occupancy=(Occupancy("sram", 100, tuple(content), tuple(content.values())),))  # fmt: skip
    (fill,) = views.fills(run, bins)
    assert fill.peak_bits == max(content.values()) == max(fill.bits)
    assert fill.thinned == (len(content) > bins)
    assert len(fill.at_ps) <= min(bins, 1000) or not fill.thinned
    if not fill.thinned:
        assert (fill.at_ps, fill.bits) == (tuple(content), tuple(content.values()))
        return
    held = [0] * 1000
    for at, bits in content.items():
        held[at:] = [bits] * (1000 - at)
    for at, bits in zip(fill.at_ps, fill.bits, strict=True):
        b = math.ceil(at * bins / 1000)
        starts_with = held[b * 1000 // bins]
        assert bits == max([starts_with, *(held[t] for t in range(1000) if t * bins // 1000 == b)])


def test_roofline_points_follow_from_the_layers(result: Result) -> None:
    groups = views.families(result.layers)
    roof = views.roofline(result, groups)
    assert (
        roof.level == "dram"
        and roof.bits_per_s > 0
        and len(roof.points) + roof.without_ops == len(groups)
        and roof.points
    )
    for p in roof.points:
        seconds = max(p.group.exposed_s, p.group.busy_s)
        assert p.ops_per_s * seconds == pytest.approx(2 * p.group.macs_executed)
        bits = p.group.traffic_bits.get("dram", 0)
        assert p.ops_per_bit == (2 * p.group.macs_executed / bits if bits else math.inf)


def test_a_layer_that_ran_beside_another_is_timed_by_its_work() -> None:
    run = RUNS["small"]
    hidden = replace(run.layers[0], busy_s=3e-6, exposed_s=1e-6)
    (p,) = views.roofline(replace(run, layers=(hidden,)), views.families([hidden])).points
    assert p.ops_per_s == pytest.approx(2 * hidden.macs_executed / 3e-6)


# --- the timeline -----------------------------------------------------------------------------------------------


def read_trace(path: Path) -> tuple[dict[str, list[tuple[str, str, int, int]]], dict[str, list[tuple[int, int]]]]:
    """Slices (name, category, start, end) and counter samples by track name, as a reader of the format sees them.

    Follows perfetto's own rules: interned texts by number after the packet that defines them; an END closes the
    innermost open slice of its track.
    """
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    names, categories, tracks, counters = {}, {}, {}, set()
    opened: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    slices: dict[str, list[tuple[str, str, int, int]]] = {}
    samples: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for packet in trace.packet:
        assert packet.trusted_packet_sequence_id
        names |= {n.iid: n.name for n in packet.interned_data.event_names}
        categories |= {n.iid: n.name for n in packet.interned_data.event_categories}
        if packet.HasField("track_descriptor"):
            d = packet.track_descriptor
            assert d.uuid not in tracks
            tracks[d.uuid] = d.name or d.process.process_name
            if d.HasField("counter"):
                counters.add(d.uuid)
            elif d.parent_uuid:
                assert d.parent_uuid in tracks
                slices[d.name] = []
        if packet.HasField("track_event"):
            e = packet.track_event
            if e.type == TrackEvent.TYPE_COUNTER:
                assert e.track_uuid in counters
                samples[tracks[e.track_uuid]].append((packet.timestamp, e.counter_value))
            elif e.type == TrackEvent.TYPE_SLICE_BEGIN:
                assert packet.sequence_flags & TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
                opened[e.track_uuid].append((names[e.name_iid], categories[e.category_iids[0]], packet.timestamp))
            else:
                name, category, start = opened[e.track_uuid].pop()
                slices[tracks[e.track_uuid]].append((name, category, start, packet.timestamp))
    assert not any(opened.values())
    return slices, samples


def check_trace(result: Result, path: Path) -> int:
    """The trace's slices never overlap and add up to the Result's tracks and cycles, to the picosecond; their number.

    The whole run is one slice as long as the latency; every other lies within it.
    """
    slices, samples = read_trace(path)
    ((name, kind, start, latency_ps),) = slices.pop("whole run")
    assert (kind, start, latency_ps) == ("run", 0, round(result.latency_s.value * 1e12))
    assert name.startswith(f"{result.cycles:,} cycles") and round(latency_ps * result.clock_hz / 1e12) == result.cycles
    frontier = slices.pop("latency by layer")
    assert sum(end - start for _, _, start, end in frontier) == (latency_ps if result.frontier else 0)
    assert all(a[3] == b[2] for a, b in pairwise(frontier))
    assert list(slices) == [text.plain(t.name) for t in result.tracks]
    for track in result.tracks:
        seen = slices[text.plain(track.name)]
        assert all(a[3] <= b[2] for a, b in pairwise(seen))
        for kind, seconds in (("busy", track.busy_s), ("stall", track.stall_s)):
            assert sum(end - start for _, k, start, end in seen if k == kind) == round(seconds * 1e12)
        assert all(s[2] >= 0 and s[3] <= latency_ps for s in seen)
        assert sum((track.busy_s, track.stall_s, track.idle_s)) == pytest.approx(latency_ps / 1e12, rel=1e-12)
    assert samples == {f"{o.level} content": list(zip(o.at_ps, o.bits, strict=True)) for o in result.occupancy}
    return sum(map(len, slices.values()))


def test_the_timeline_sums_to_the_result(result: Result, tmp_path: Path) -> None:
    assert timeline.write(result, tmp_path / "t") == ()
    assert check_trace(result, tmp_path / "t") == len(result.slices)


def test_a_link_in_the_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.html").symlink_to(outside)
    written = write_report(RUNS["sample"], folder)
    assert outside.read_text() == "mine"
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in written)


def test_a_report_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    write_report(RUNS["sample"], tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    (tmp_path / "design.csv").unlink()
    (tmp_path / "design.csv").mkdir()
    with pytest.raises(OSError, match=r"design\.csv"):
        write_report(RUNS["sample"], tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before["report.html"]
    assert not list(tmp_path.glob(".writing-*"))


def test_every_slice_is_named_by_its_layer(tmp_path: Path) -> None:
    run = RUNS["sample"]
    timeline.write(run, tmp_path / "t")
    slices, _ = read_trace(tmp_path / "t")
    assert set(slices) == {"whole run", "latency by layer", *(s.track for s in run.slices)}
    for track, seen in list(slices.items())[2:]:
        drawn = sorted((s for s in run.slices if s.track == track), key=lambda s: s.start_ps)
        assert [n.removesuffix(" (waiting)") for n, *_ in seen] == [run.layers[s.layer].name for s in drawn]
        assert all(n.endswith(" (waiting)") == (k == "stall") for n, k, *_ in seen)


def test_a_long_timeline_is_merged_without_losing_a_picosecond(tmp_path: Path) -> None:
    run = in_pieces(RUNS["sample"], 7)
    notes = timeline.write(run, tmp_path / "t", most=1000)
    count = check_trace(run, tmp_path / "t")
    assert count <= len(RUNS["sample"].slices) < 1000 < len(run.slices)
    assert len(notes) == 1 and f"{len(run.slices):,} slices were merged to {count:,}" in notes[0]


def in_pieces(run: Result, pieces: int) -> Result:
    """`run` with every slice cut into pieces, as chunk by chunk timing would give them."""
    cut = []
    for s in run.slices:
        edges = sorted({s.start_ps + (s.end_ps - s.start_ps) * i // pieces for i in range(pieces + 1)})
        cut += [replace(s, start_ps=a, end_ps=b) for a, b in pairwise(edges)]
    return replace(run, slices=tuple(cut))


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_merged_runs_keep_start_end_busy_and_stalled_time(seed: int, count: int) -> None:
    rng, at, track = random.Random(seed), 0, []
    for _ in range(count):
        at += rng.choice([0, 0, rng.randrange(50)])
        end, layer = at + rng.randrange(1, 100), rng.randrange(2)
        track.append(Slice("array", f"l{layer}", layer, at, end, rng.choice(["busy", "stall"])))
        at = end
    merged = views.merge_runs(track)
    assert all(a.end_ps <= b.start_ps for a, b in pairwise(merged))
    assert merged[-1].end_ps == track[-1].end_ps or merged[-1].kind == "stall"
    for layer in range(2):
        for kind in ("busy", "stall"):
            assert spent(merged, layer, kind) == spent(track, layer, kind)
    runs = 1 + sum(a.layer != b.layer for a, b in pairwise(track))
    assert len(merged) <= 2 * runs


def spent(slices: list[Slice], layer: int, kind: str) -> int:
    """Picoseconds of one kind in one layer."""
    return sum(s.end_ps - s.start_ps for s in slices if (s.layer, s.kind) == (layer, kind))


def test_slices_that_overlap_are_refused(tmp_path: Path) -> None:
    run = RUNS["small"]
    twice = replace(run, slices=(*run.slices, replace(run.slices[0], name="again")))
    with pytest.raises(ValueError, match=r"slices of track '.*' overlap at \d+ ps"):
        timeline.write(twice, tmp_path / "t")


# --- tables -----------------------------------------------------------------------------------------------------


def read_csv(content: str) -> list[dict[str, str]]:
    """Rows of a CSV text by their heads."""
    return list(csv.DictReader(io.StringIO(content)))


def test_layers_csv_holds_every_figure_in_full(result: Result) -> None:
    rows = read_csv(tables.layers_csv(result))
    assert len(rows) == len(result.layers)
    for row, x in zip(rows, result.layers, strict=True):
        assert row["name"] in (x.name, f"'{x.name}")
        assert (float(row["exposed_s"]), float(row["energy_j"])) == (x.exposed_s, x.energy_j)
        assert (int(row["macs"]), int(row["cycles"]), row["bound"]) == (x.macs, x.cycles, x.bound)
        parts = [float(v) for k, v in row.items() if k.startswith("energy_j.")]
        assert math.isclose(sum(parts), x.energy_j)
        assert {k: int(row[f"traffic_bits.{k}"]) for k in x.traffic_bits} == x.traffic_bits
    assert math.isclose(sum(float(r["exposed_s"]) for r in rows), result.latency_s.value)


def test_energy_and_design_csv(result: Result) -> None:
    energy = {r["component"]: float(r["energy_j"]) for r in read_csv(tables.energy_csv(result))}
    assert energy == result.energy_breakdown_j
    assert sum(float(r["share"]) for r in read_csv(tables.energy_csv(result))) == pytest.approx(1)
    design = read_csv(tables.design_csv(result))
    assert [(r["key"], r["unit"], r["source"]) for r in design] == [(v.key, v.unit, v.source) for v in result.design]


@given(
    st.text()
    | st.builds(str.__add__, st.sampled_from("=+-@\t\r'"), st.text())
    | st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
)
def test_no_text_cell_starts_a_formula_and_numbers_are_untouched(value: object) -> None:
    shown = tables.cell(value)
    if isinstance(value, str):
        assert not str(shown).startswith(("=", "+", "-", "@", "\t", "\r"))
        assert str(shown).removeprefix("'") == value.removeprefix("'")
    elif not isinstance(value, bool):
        assert shown == value


def test_the_data_frame_is_the_csv() -> None:
    frame = tables.layers_frame(RUNS["sample"])
    assert list(frame.columns) == next(csv.reader(io.StringIO(tables.layers_csv(RUNS["sample"]))))
    assert frame["exposed_s"].sum() == pytest.approx(RUNS["sample"].latency_s.value)
    assert frame.groupby("op")["macs"].sum()["matmul"] == sum(x.macs for x in RUNS["sample"].layers if x.op == "matmul")


# --- the page ---------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Elements, attributes and text of a page; the text of tables' cells apart."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


ALLOWED = {
    "html", "head", "meta", "link", "title", "style", "body", "header", "main", "section", "h1", "h2", "h3", "p",
    "span", "dl", "dt", "dd", "div", "ul", "li", "strong", "table", "thead", "tbody", "tr", "th", "td", "details",
    "summary",
    "svg", "rect", "text", "line", "path", "circle",
}  # fmt: skip


def test_the_page_holds_no_script_no_handler_and_no_address(result: Result) -> None:
    elements = Reader(page.html(result)).elements
    assert {tag for tag, _ in elements} <= ALLOWED
    for tag, attributes in elements:
        assert not any(name.startswith("on") or name in {"src", "srcdoc", "style"} for name in attributes)
        assert attributes.get("href", "data:,") == "data:,", tag
    assert len(elements) > 300


def test_the_policy_admits_the_style_sheet_by_its_hash_and_nothing_else(result: Result) -> None:
    content = page.html(result)
    (style,) = re.findall(r"<style>(.*?)</style>", content, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        a["content"] for tag, a in Reader(content).elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
                      "form-action 'none'")  # fmt: skip
    assert "url(" not in style and "@import" not in style


def test_hostile_names_stand_in_the_page_as_text() -> None:
    texts = Reader(page.html(RUNS["hostile"])).texts
    for name in HOSTILE:
        assert any(text.plain(name, 100) == t for t in texts), name


def test_every_picture_is_sound_xml_with_finite_coordinates(result: Result) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page.html(result), re.DOTALL)
    assert len(drawings) == 3 + bool(result.slices) + bool(result.occupancy)
    for drawing in drawings:
        for element in ET.fromstring(drawing).iter():
            for name, value in element.attrib.items():
                assert not re.search(r"\b(nan|inf)\b", value), (name, value)
                if name in {"width", "height", "r"}:
                    assert float(value) >= 0


def test_the_page_shows_what_the_result_says(result: Result) -> None:
    told = " ".join(Reader(page.html(result)).texts)
    assert text.quantity(result.latency_s.value, "s") in told
    assert text.quantity(result.energy_j.value, "J") in told
    assert f"{result.cycles:,} cycles at {text.quantity(result.clock_hz, 'Hz')}" in told
    assert {page.accuracy_of(result, figure) for figure in ("latency_s", "energy_j", "area_mm2")} <= set(
        Reader(page.html(result)).texts
    )
    for v in result.design:
        assert v.key in told and v.source in told and v.place in told
        assert text.value_text(v.value, v.unit) in told
    for part in (*result.notes, *result.free_ops, *result.free_ops.values(), *result.provenance.values()):
        assert part in told
    assert ("not feasible" in told) == (not result.feasible)
    assert all(v.lever in told and f"{text.digits(v.demand / v.bound)} times" in told for v in result.violations)


def test_sizes_stand_as_they_were_bound() -> None:
    """Figures are rounded; what the user bound is not."""
    bound = replace(RUNS["small"], binding={"n": 1024, "density": 0.12345})
    assert page.lead_of(bound).startswith("n = 1024, density = 0.12345  ")


@pytest.mark.parametrize(
    ("violation", "shown"),
    [
        (Violation("sram holds too little", 3 * 2**23, 2**23, "bits", "sram capacity"),
         "sram holds too little: needs 3 MiB, has 1 MiB (3 times). Mend it with: sram capacity"),
        (Violation("too few ports", 5, 0, "ports", ""), "too few ports: needs 5 ports, has 0 ports"),
    ],
)  # fmt: skip
def test_a_violation_says_how_far_over_and_what_mends_it(violation: Violation, shown: str) -> None:
    assert page.violation_text(violation) == shown


def test_bars_are_drawn_to_scale() -> None:
    run = RUNS["sample"]
    groups = views.families(run.layers)[: page.TOP_GROUPS]
    chart = ET.fromstring(str(page.html(run)).split('<section id="layers">')[1].split("</p>")[1].split("</div>")[0]
                          .split('<div class="scroll">')[1])  # fmt: skip
    drawn = [e for e in chart if e.tag == "rect" and any("exposed" in (t.text or "") for t in e)]
    assert len(drawn) == len(groups)
    scale = float(drawn[0].attrib["width"]) / groups[0].exposed_s
    for bar, g in zip(drawn, groups, strict=True):
        assert float(bar.attrib["width"]) == pytest.approx(max(g.exposed_s * scale, 0.5), rel=1e-3, abs=0.06)


def test_a_run_in_which_nothing_costs_anything_still_reports(tmp_path: Path) -> None:
    run = empty()
    assert all(path.stat().st_size for path in write_report(run, tmp_path))
    assert "Nothing in this run takes time or energy." in page.html(run)
    assert terminal_text(run)


def worst(run: Result, count: int, unit: str) -> Result:
    """`run` with `count` of everything there can be many of, every text 400 times `unit` and told apart."""
    long = unit * 400
    layers: list[LayerResult] = []
    while len(layers) < count:
        i = len(layers)
        x = run.layers[i % len(run.layers)]
        parts = {f"{k}{i % 30}{long}": joules for k, joules in x.energy_breakdown_j.items()}
        layers.append(replace(x, name=f"{chr(97 + i % 26)}{i}x{long}", op=f"{i % 90}{long}", phase=f"{i % 9}{long}",
                              bound=f"{i % 50}{long}", energy_breakdown_j=parts))  # fmt: skip
    many = range(count)
    tracks, slices = [], []
    for i in range(30):
        tracks.append(replace(run.tracks[0], name=f"{i}{long}"))
        slices += [replace(s, track=tracks[-1].name) for s in run.slices if s.track == run.tracks[0].name]
    jagged = tuple((i * 7919) % 1000 for i in range(2000))
    held = tuple(Occupancy(f"{i}{long}", 1000, tuple(i * 10**6 for i in range(2000)), jagged) for i in range(30))
    return replace(
        run, layers=tuple(layers), tracks=tuple(tracks), slices=tuple(slices), occupancy=held,
        free_ops={f"{i}{long}": long for i in many}, notes=(long,) * count,
        provenance={f"{i}{long}": long for i in many},
        design=tuple(replace(run.design[0], key=f"{i}{long}", source=long, place=long) for i in many),
        violations=(Violation(long, 3, 2, "bits", long),) * count, feasible=False,
        energy_breakdown_j={f"{i}{long}": 1.0 for i in many}, area_breakdown_mm2={f"{i}{long}": 1.0 for i in many},
        memory_capacity_bits={f"{i}{long}": i for i in many}, accelerator=long, workload=long, model=long,
        binding={f"{i}{long}": 1.0 for i in many},
    )  # fmt: skip


@pytest.mark.parametrize("unit", ["a", "<", "'", "\U0010ffff", "\U0001f600"])
def test_the_page_stays_below_a_megabyte(unit: str) -> None:
    size = len(page.html(worst(RUNS["sample"], 2000, unit)).encode())
    print(f"page of 2,000 of everything, texts of 400 times {unit!a}: {size:,} bytes")
    assert size <= 1_000_000


# --- the terminal -----------------------------------------------------------------------------------------------


def terminal_text(run: Result, width: int = 80, colour: bool = False) -> str:
    """What the summary prints on a terminal of `width` columns."""
    out = io.StringIO()
    terminal.summary(run, Console(file=out, width=width, force_terminal=colour, highlight=False))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_summary_fits_and_holds_no_control_character(result: Result, width: int) -> None:
    told = terminal_text(result, width)
    assert all(len(line) <= width for line in told.splitlines())
    assert all(c == "\n" or c.isprintable() for c in told)
    assert text.quantity(result.latency_s.value, "s") in told
    assert ("NOT FEASIBLE" in told) == (not result.feasible)


def test_names_are_not_read_as_markup() -> None:
    named = replace(RUNS["small"], accelerator=HOSTILE[4], workload=HOSTILE[5], notes=HOSTILE[:7],
                    energy_breakdown_j={HOSTILE[4]: 1.0, HOSTILE[5]: 2.0})  # fmt: skip
    assert terminal_text(named, 120).count(HOSTILE[4][:20]) == 3
    coloured = terminal_text(named, 120, colour=True)
    assert set(re.findall(r"\x1b\[[0-9;]*(.)", coloured)) == {"m"} and "\x1b]" not in coloured
    assert "\x1b[31mred" not in coloured and r"\x1b[31mred" in coloured


# --- the whole --------------------------------------------------------------------------------------------------


def test_the_report_is_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    here = write_report(RUNS["hostile"], tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from test_report import RUNS; from hwsim.report import write_report;"
        "write_report(RUNS['hostile'], Path(sys.argv[1]))"
    )
    seeded = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=seeded, timeout=120)
    assert [p.name for p in here] == ["report.html", "layers.csv", "energy.csv", "design.csv", "result.json",
                                      "timeline.perfetto-trace"]  # fmt: skip
    for path in here:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name


def test_result_json_is_the_document_of_the_run(result: Result, tmp_path: Path) -> None:
    write_report(result, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result.as_json()))


def test_a_report_of_a_hundred_thousand_slices(tmp_path: Path) -> None:
    run = in_pieces(RUNS["sample"], 230)
    begun = time.process_time()
    written = write_report(run, tmp_path)
    spent_s = time.process_time() - begun
    sizes = ", ".join(f"{p.name} {p.stat().st_size:,}" for p in written)
    print(f"{len(run.slices):,} slices: {spent_s:.1f} s of processor time; bytes: {sizes}")
    assert len(run.slices) > 100_000
    assert check_trace(run, tmp_path / "timeline.perfetto-trace") == len(run.slices)


@pytest.mark.parametrize("suffix", plots.FORMATS)
def test_pictures_for_papers_are_the_same_bytes_twice(suffix: str, tmp_path: Path) -> None:
    first = plots.save(RUNS["hostile"], tmp_path / "a", suffix)
    second = plots.save(RUNS["hostile"], tmp_path / "b", suffix)
    assert [p.name for p in first] == [f"layers.{suffix}", f"roofline.{suffix}"]
    for a, b in zip(first, second, strict=True):
        assert a.stat().st_size > 2000 and a.read_bytes() == b.read_bytes()


def test_an_unknown_picture_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'exe' is none of png, svg, pdf"):
        plots.save(RUNS["small"], tmp_path, "exe")
