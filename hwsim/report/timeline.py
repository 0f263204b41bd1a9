"""The run as a trace that Perfetto opens: a track for each unit and port, a counter for each memory level.

The first track holds one slice, the whole run: its length is the latency, within which every other slice lies. The
second cuts it into the layers that were exposed, end to end. A unit may fall silent before it ends, because the last
result still has to leave its pipeline.

Perfetto counts time in whole nanoseconds and has no finer unit (a ClockSnapshot's `unit_multiplier_ns` only makes it
coarser), while the engine counts picoseconds. Every timestamp is therefore the picosecond count itself: 1 ns on
Perfetto's axis stands for 1 ps, which the name of the process says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (  # type: ignore[import-untyped]
    Trace,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)

from hwsim.report.text import plain, quantity
from hwsim.report.views import PS_PER_S, merge_runs
from hwsim.result import LayerResult, Occupancy, Result, Slice

MAX_SLICES = 200_000
PROCESS_UUID = 1
SEQUENCE = 1
WHOLE_RUN = "whole run"
FRONTIER = "latency by layer"
TIME_NOTE = "1 ns shown = 1 ps"
_BATCH = 4096
_NEEDS_NAMES = TracePacket.SequenceFlags.SEQ_NEEDS_INCREMENTAL_STATE
_NEW_NAMES = TracePacket.SequenceFlags.SEQ_INCREMENTAL_STATE_CLEARED


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the trace holds: slices of each track in order of start, and what was merged, in words."""

    tracks: dict[str, list[Slice]]
    notes: tuple[str, ...]


def _by_track(result: Result) -> dict[str, list[Slice]]:
    tracks: dict[str, list[Slice]] = {t.name: [] for t in result.tracks}
    for s in result.slices:
        tracks.setdefault(s.track, []).append(s)
    for slices in tracks.values():
        slices.sort(key=lambda s: (s.start_ps, s.end_ps))
    return tracks


def _checked(tracks: dict[str, list[Slice]]) -> dict[str, list[Slice]]:
    """The tracks, when no two slices of one overlap; Perfetto would silently close the wrong one."""
    for name, slices in tracks.items():
        for a, b in pairwise(slices):
            if b.start_ps < a.end_ps:
                raise ValueError(f"slices of track {name!r} overlap at {b.start_ps} ps: {a.name!r} and {b.name!r}")
    return tracks


def arrange(result: Result, most: int = MAX_SLICES) -> Timeline:
    """Slices by track; above `most` of them, each run of one layer on a track is drawn as at most two.

    Raises ValueError when two slices of a track overlap: one thing cannot do two things at once.
    """
    tracks = _checked(_by_track(result))
    before = sum(map(len, tracks.values()))
    if before <= most:
        return Timeline(tracks, ())
    merged = {name: merge_runs(slices) for name, slices in tracks.items()}
    after = sum(map(len, merged.values()))
    note = (f"timeline: {before:,} slices were merged to {after:,}: each run of one layer on a track shows all its "
            "waiting, then all its work; the sums are exact")  # fmt: skip
    return Timeline(merged, (note,))


class _Names:
    """Texts numbered once and referred to by number afterwards (Perfetto's interned data)."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.number.setdefault(text, len(self.number) + 1)


@dataclass(frozen=True, slots=True)
class _Tables:
    names: _Names
    categories: _Names
    keys: _Names
    values: _Names


def _describe(uuid: int, name: str, rank: int) -> TracePacket:
    packet = TracePacket(trusted_packet_sequence_id=SEQUENCE)
    track = packet.track_descriptor
    track.uuid, track.name, track.parent_uuid, track.sibling_order_rank = uuid, plain(name), PROCESS_UUID, rank
    track.sibling_merge_behavior = TrackDescriptor.SIBLING_MERGE_BEHAVIOR_NONE
    return packet


def _process(result: Result) -> TracePacket:
    packet = TracePacket(trusted_packet_sequence_id=SEQUENCE)
    track = packet.track_descriptor
    track.uuid, track.process.pid = PROCESS_UUID, 1
    track.process.process_name = f"{plain(result.accelerator)} running {plain(result.workload)} ({TIME_NOTE})"
    track.child_ordering = TrackDescriptor.EXPLICIT
    return packet


def _interned(tables: _Tables) -> TracePacket:
    """The packet that opens the sequence and gives every number its text."""
    packet = TracePacket(trusted_packet_sequence_id=SEQUENCE, sequence_flags=_NEW_NAMES)
    data = packet.interned_data
    for table, field in ((tables.names, data.event_names), (tables.categories, data.event_categories),
                         (tables.keys, data.debug_annotation_names)):  # fmt: skip
        for text, iid in table.number.items():
            field.add(iid=iid, name=text)
    for text, iid in tables.values.number.items():
        data.debug_annotation_string_values.add(iid=iid, str=text.encode())
    return packet


def _about(layer: LayerResult, tables: _Tables) -> TrackEvent:
    """An event that carries what Perfetto shows of a layer when its slice is clicked."""
    event = TrackEvent()
    for key, value in (("operator", layer.op), ("phase", layer.phase), ("limited by", layer.bound)):
        event.debug_annotations.add(name_iid=tables.keys(key), string_value_iid=tables.values(plain(value)))
    for key, number in (("passes", layer.passes), ("MACs executed, all passes", layer.macs_executed)):
        event.debug_annotations.add(name_iid=tables.keys(key), int_value=number)
    return event


def _slice_packets(slices: Sequence[Slice], uuid: int, about: Sequence[TrackEvent], tables: _Tables
                   ) -> Iterator[TracePacket]:  # fmt: skip
    for s in slices:
        begin = TracePacket(timestamp=s.start_ps, trusted_packet_sequence_id=SEQUENCE, sequence_flags=_NEEDS_NAMES)
        event = begin.track_event
        if 0 <= s.layer < len(about):
            event.CopyFrom(about[s.layer])
        event.type, event.track_uuid = TrackEvent.TYPE_SLICE_BEGIN, uuid
        event.name_iid = tables.names(_slice_name(s))
        event.category_iids.append(tables.categories(s.kind))
        yield begin
        end = TracePacket(timestamp=s.end_ps, trusted_packet_sequence_id=SEQUENCE, sequence_flags=_NEEDS_NAMES)
        end.track_event.type, end.track_event.track_uuid = TrackEvent.TYPE_SLICE_END, uuid
        yield end


def _slice_name(s: Slice) -> str:
    return f"{plain(s.name)} (waiting)" if s.kind == "stall" else plain(s.name)


def _counter_packets(level: Occupancy, uuid: int, rank: int) -> Iterator[TracePacket]:
    head = _describe(uuid, f"{level.level} content", rank)
    head.track_descriptor.counter.unit_name = "bit"
    yield head
    for at, bits in zip(level.at_ps, level.bits, strict=True):
        packet = TracePacket(timestamp=at, trusted_packet_sequence_id=SEQUENCE)
        event = packet.track_event
        event.type, event.track_uuid, event.counter_value = TrackEvent.TYPE_COUNTER, uuid, bits
        yield packet


def _packets(result: Result, timeline: Timeline) -> Iterator[TracePacket]:
    tables = _Tables(_Names(), _Names(), _Names(), _Names())
    about = [_about(layer, tables) for layer in result.layers]
    for slices in (result.frontier, *timeline.tracks.values()):
        for s in slices:
            tables.names(_slice_name(s))
            tables.categories(s.kind)
    whole = _whole(result)
    tables.names(_slice_name(whole))
    tables.categories(whole.kind)
    yield _interned(tables)
    yield _process(result)
    tracks: dict[str, Sequence[Slice]] = {WHOLE_RUN: [whole], FRONTIER: result.frontier, **timeline.tracks}
    for rank, (name, slices) in enumerate(tracks.items()):
        uuid = PROCESS_UUID + 1 + rank
        yield _describe(uuid, name, rank)
        yield from _slice_packets(slices, uuid, about, tables)
    for rank, level in enumerate(result.occupancy, len(tracks)):
        yield from _counter_packets(level, PROCESS_UUID + 1 + rank, rank)


def _whole(result: Result) -> Slice:
    """The run as one slice, named by its cycles."""
    name = f"{result.cycles:,} cycles at {quantity(result.clock_hz, 'Hz')}"
    return Slice(WHOLE_RUN, name, -1, 0, round(result.latency_s.value * PS_PER_S), "run")


def _write(packets: Iterator[TracePacket], out: BinaryIO) -> None:
    """Packets in batches: traces joined end to end are one trace, and no batch is large."""
    batch = Trace()
    for packet in packets:
        batch.packet.append(packet)
        if len(batch.packet) == _BATCH:
            out.write(batch.SerializeToString())
            batch = Trace()
    out.write(batch.SerializeToString())


def write(result: Result, path: Path, most: int = MAX_SLICES) -> tuple[str, ...]:
    """Write the trace of `result` to `path`; answers with the notes on what was merged.

    Slices are named by layer and categorised "busy" or "stall"; their sums a track are those of Result.tracks.
    """
    timeline = arrange(result, most)
    with path.open("wb") as out:
        _write(_packets(result, timeline), out)
    return timeline.notes
