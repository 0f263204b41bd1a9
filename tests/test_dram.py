"""DRAM: the table, the closed forms, and the command-level machine that is their oracle."""

from __future__ import annotations

from pathlib import Path

import dram_twin as twin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import dram, dram_machine
from hwsim.dram import Dram
from hwsim.errors import InputError
from hwsim.table import EVIDENCE
from hwsim.timing.compile import compile_pure

PARTS = {name: dram.part(name) for name in dram.part_names()}
parts = st.sampled_from(list(PARTS.values()))
writes = st.integers(0, 1)


# --- the table ----------------------------------------------------------------------------------------------------


def test_peaks_are_the_standards_bandwidths() -> None:
    gigabytes = {name: dram.peak_bits_per_s(d) / 8e9 for name, d in PARTS.items()}
    assert gigabytes == {
        "ddr4-2400": 19.2, "lpddr4-3200": 6.4, "ddr3-1066": 4.264, "lpddr4-1066": 2.132, "lpddr4-3733": 7.464,
        "hbm2": 32.0, "gddr5x": 45.6,
    }  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_every_figure_has_source_evidence_and_range(name: str) -> None:
    figures = dram.part_figures(name)
    assert set(figures) == set(Dram._fields)
    for figure in figures.values():
        assert figure.source and figure.evidence in EVIDENCE
        assert figure.low <= figure.value <= figure.high
        assert figure.where.file.endswith("tables/dram.yaml") and figure.where.line > 1


def test_activation_energies_follow_from_the_currents() -> None:
    """V * (IDD0 * tRC - IDD3N * tRAS - IDD2N * tRP), in clocks over GHz."""
    ddr4 = 8 * 1.2 * (48 * 55 - 43 * 39 - 34 * 16) / 1.2
    lpddr4 = (1.8 * (3.5 * 97 - 2.25 * 68 - 2 * 29) + 1.1 * (45 * 97 - 30 * 68 - 27 * 29)) / 1.6
    assert PARTS["ddr4-2400"].activate_pj == pytest.approx(ddr4, rel=1e-12)
    assert PARTS["lpddr4-3200"].activate_pj == pytest.approx(lpddr4, rel=1e-12)
    assert dram.part_figures("ddr4-2400")["activate_pj"].low == pytest.approx(ddr4 / 2)


def test_read_energies_follow_from_the_currents() -> None:
    """pJ per bit is milliwatts over gigabits per second."""
    assert PARTS["ddr4-2400"].read_pj_per_bit == pytest.approx(8 * 1.2 * (135 - 43) / 153.6 + 3.7)
    assert PARTS["lpddr4-3200"].write_pj_per_bit == pytest.approx(1.1 * (210 - 30) / 51.2 + 3.2)
    assert PARTS["ddr4-2400"].refresh_pj == pytest.approx(8 * 1.2 * (250 - 43) * 420 / 1.2)
    assert PARTS["lpddr4-3200"].background_w == pytest.approx(1.8 * 2.25e-3 + 1.1 * 30e-3)


def test_energies_beside_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """Random 64-byte accesses against Jouppi et al. (ISCA 2021, table 2); streams against the sources named."""

    def random_pj_per_bit(d: Dram) -> float:
        return dram.transfer_pj(d, 1, 512_000, 1000) / 512_000

    def streamed_pj_per_bit(d: Dram) -> float:
        return dram.transfer_pj(d, 1, 1 << 27, 1) / (1 << 27)

    lines = [
        ("DDR4, random 64 B", random_pj_per_bit(PARTS["ddr4-2400"]), 1300 / 64, 1300 / 64),
        ("HBM2, random 64 B", random_pj_per_bit(PARTS["hbm2"]), 250 / 64, 450 / 64),
        ("HBM2, streamed (O'Connor et al. 2017: 3.92)", streamed_pj_per_bit(PARTS["hbm2"]), 3.92, 3.92),
        ("LPDDR4, streamed (Dally et al. 2020: about 4)", streamed_pj_per_bit(PARTS["lpddr4-3200"]), 4.0, 4.0),
        ("GDDR5X, random 64 B; published for GDDR6", random_pj_per_bit(PARTS["gddr5x"]), 350 / 64, 480 / 64),
    ]
    with capsys.disabled():
        print("\nDRAM pJ per bit beside published figures:")
        for what, ours, low, high in lines:
            print(f"  {what:48} {ours:6.2f}   published {low:.1f} to {high:.1f}")
    for what, ours, low, high in lines:
        assert low / 2.2 <= ours <= high * 2.2, what


PART = """parts:
  mine:
    summary: a part of my own
    organisation: {source: me, evidence: assumed, clock_khz: 1000000, width_bits: 32, burst_bits: 256, burst_cycles: 4,
                   row_bits: 8192, banks: 8, groups: 1, channel_capacity_bits: 1073741824}
    timing: {source: me, evidence: assumed, rcd_cycles: 15, rp_cycles: 15, ras_cycles: 34, cl_cycles: 15,
             cwl_cycles: 10, ccd_s_cycles: 4, ccd_l_cycles: 4, rrd_s_cycles: 6, rrd_l_cycles: 6, faw_cycles: 30,
             wr_cycles: 15, wtr_s_cycles: 8, wtr_l_cycles: 8, rtp_cycles: 8, rfc_cycles: 260, refi_cycles: 3900}
    energy: {source: me, evidence: assumed, activate_pj: 1000, read_pj_per_bit: {value: 5, range: [4, 7]},
             write_pj_per_bit: 5, refresh_pj: 20000, background_w: 0.05}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, PART)
    assert dram.part(path) == dram.part(f"{path}#mine")
    assert dram.part(path).read_pj_per_bit == 5.0
    assert dram.part_figures(path)["read_pj_per_bit"].high == 7.0
    two = write(tmp_path, PART + PART[PART.index("  mine:") :].replace("mine:", "other:", 1))
    assert dram.part(f"{two}#other") == dram.part(f"{two}#mine")
    with pytest.raises(InputError, match=r"this table has several entries; name one dram"):
        dram.part(two)


AT = "parts.mine"
WRONG = [
    ("banks: 8", "banks: 6, x: 1", f"mine.yaml:5:46: [unknown-key] {AT}.organisation.x: got 'x'; organisation has no"),
    (
        "banks: 8",
        "banks: 0",
        f"mine.yaml:5:43: [range] {AT}.organisation.banks: got 0; must be an integer from 1 to 256.",
    ),
    ("banks: 8", "banks: 8.5", f"mine.yaml:5:43: [type] {AT}.organisation.banks: got 8.5; must be an integer from 1"),
    ("banks: 8", "banks: eight", f"mine.yaml:5:43: [type] {AT}.organisation.banks: got 'eight'; must be an integer"),
    (
        "groups: 1",
        "groups: 3",
        f"mine.yaml:5:54: [geometry] {AT}.organisation.groups: got 3; must divide banks: the bank groups share the "
        "banks evenly.",
    ),
    (
        "rcd_cycles: 15, ",
        "",
        f"mine.yaml:6:13: [missing-key] {AT}.timing.rcd_cycles: got nothing; timing needs the key rcd_cycles.",
    ),
    (
        "refi_cycles: 3900",
        "refi_cycles: 290",
        f"mine.yaml:8:108: [geometry] {AT}.timing.refi_cycles: got 290; must exceed the 298 cycles that one "
        "refresh takes.",
    ),
    (
        "range: [4, 7]",
        "range: [6, 7]",
        f"mine.yaml:9:99: [range] {AT}.energy.read_pj_per_bit.range: got a list of 2; a range is [low, high] around "
        "the value 5, each a number from 0 to 1000000000.",
    ),
    (
        "energy: {source: me,",
        "energy: {",
        f"mine.yaml:9:47: [source] {AT}.energy.activate_pj: got nothing; every figure needs a source, its own or its "
        'mapping\'s. Write where the number is from: source: "...".',
    ),
    (
        "energy: {source: me, evidence: assumed",
        "energy: {source: me, evidence: sure",
        f"mine.yaml:9:55: [evidence] {AT}.energy.activate_pj: got 'sure'; every figure needs its evidence: one of "
        "verified, computed, simulated, recalled, assumed.",
    ),
    ("    energy:", "    currents:", f"[unknown-key] {AT}.currents.activate_pj: got 'activate_pj'; currents has no"),
    ("    energy:", "    energies:", f"mine.yaml:9:5: [unknown-key] {AT}.energies: got 'energies'; a DRAM part has no"),
    ("parts:", "part:", "mine.yaml:1:1: [missing-key] parts: got nothing; a DRAM table needs the key parts."),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_what_is_wrong_with_a_table_is_said_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PART
    with pytest.raises(InputError) as caught:
        dram.part(write(tmp_path, PART.replace(old, new, 1)))
    assert message in str(caught.value)


def test_an_unknown_part_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        dram.part("hbm3")
    assert str(caught.value) == "[unknown-dram] got 'hbm3'; no dram has this name. Did you mean hbm2?"


# --- the machine --------------------------------------------------------------------------------------------------


def stream(d: Dram, addresses: np.ndarray, write_flags: np.ndarray | int = 0) -> tuple[np.ndarray, ...]:
    bank, row = dram_machine.locate(d, np.asarray(addresses, dtype=np.int64))
    return bank, row, np.broadcast_to(np.asarray(write_flags, dtype=np.int64), bank.shape).copy()


def channel_bursts(d: Dram) -> int:
    return d.channel_capacity_bits // d.burst_bits


def test_every_burst_has_a_place_of_its_own() -> None:
    for d in PARTS.values():
        span = 4 * d.banks * d.row_bits // d.burst_bits
        bank, row = dram_machine.locate(d, np.arange(span))
        per_row = d.row_bits // d.burst_bits
        assert len(set(zip(bank, row, strict=True))) == span // per_row
        counts = np.unique(np.stack([bank, row]), axis=1, return_counts=True)[1]
        assert (counts == per_row).all()


@pytest.mark.parametrize("name", PARTS)
def test_machine_equals_the_twin_command_by_command(name: str, deep: bool) -> None:
    """Mixed reads and writes, near and far, with refresh due early: the same commands in the same clocks."""
    d = PARTS[name]._replace(refi_cycles=PARTS[name].rfc_cycles * 2)
    rng = np.random.default_rng(7)
    for case in range(400 if deep else 60):
        near = rng.integers(0, 4 * d.banks * d.row_bits // d.burst_bits, 8)
        addresses = (near[rng.integers(0, 8, 10)][:, None] + np.arange(rng.integers(1, 5))).ravel()
        flags = (rng.random(len(addresses)) < rng.choice([0.0, 0.3, 1.0])).astype(np.int64)
        window, due = int(rng.integers(1, 9)), int(rng.choice([-1, 0, 60, 200]))
        bank, row, flags = stream(d, addresses, flags)
        ran = dram_machine.run(d, bank, row, flags, window, due, trace=True)
        names = [dram_machine.COMMANDS[c] for c in ran.commands[:, 1]]
        commands = [(int(t), n, int(b), int(r)) for (t, _, b, r), n in zip(ran.commands, names, strict=True)]
        bursts = list(zip(bank.tolist(), row.tolist(), flags.tolist(), strict=True))
        assert commands == [tuple(c) for c in twin.serve(d, bursts, window, due)], case
        assert ran.activates == names.count("ACT") and ran.refreshes == names.count("REF")


def _prepared(d: Dram, rule: twin.Rule) -> tuple[dram_machine.Channel, int, int, int]:
    """A channel where nothing but `rule` is in the way: (channel, clock of `before`, its bank, bank of `after`)."""
    channel, start = dram_machine.new_channel(d), 100_000
    other = d.groups if rule.scope == "group" and d.banks > d.groups else 1
    second = 0 if rule.scope == "bank" else other
    if rule.before != "ACT":
        dram_machine.activate(d, channel, 0, 0, 0)
    if rule.after in (*twin.COLUMN, "PRE") and second:
        dram_machine.activate(d, channel, second, 0, 1_000)
    if rule.before == "ACT":
        dram_machine.activate(d, channel, 0, 0, start)
    elif rule.before == "PRE":
        dram_machine.precharge(d, channel, 0, start)
    elif rule.before == "REF":
        dram_machine.precharge(d, channel, 0, 1_000)
        dram_machine.refresh(d, channel, start)
    else:
        dram_machine.access(d, channel, 0, int(rule.before == "WR"), start)
    return channel, start, 0, second


def _may(d: Dram, channel: dram_machine.Channel, after: str, bank: int, clock: int) -> bool:
    if after == "ACT":
        return bool(dram_machine.may_activate(d, channel, bank, clock))
    if after == "PRE":
        return bool(dram_machine.may_precharge(d, channel, bank, clock))
    if after == "REF":
        return bool(dram_machine.may_refresh(d, channel, clock))
    return bool(dram_machine.may_access(d, channel, bank, int(after == "WR"), clock))


@pytest.mark.parametrize("name", PARTS)
def test_illegal_a_clock_before_legal_on_the_clock(name: str) -> None:
    """Each constraint alone, every other one lengthened out of nobody's way: illegal at n - 1, legal at n."""
    d = PARTS[name]
    tried = 0
    for rule in twin.rules(d):
        alike = (r for r in twin.rules(d) if (r.before, r.after) == (rule.before, rule.after))
        if max(r.cycles for r in alike if r.scope in (rule.scope, "channel")) > rule.cycles:
            continue  # a stricter rule always hides this one in this part
        channel, start, _, bank = _prepared(d, rule)
        assert not _may(d, channel, rule.after, bank, start + rule.cycles - 1), rule
        assert _may(d, channel, rule.after, bank, start + rule.cycles), rule
        tried += 1
    channel = dram_machine.new_channel(d)
    for i in range(4):
        dram_machine.activate(d, channel, i, 0, 50_000 + i)
    assert not dram_machine.may_activate(d, channel, 5, 50_000 + d.faw_cycles - 1)
    assert dram_machine.may_activate(d, channel, 5, 50_000 + d.faw_cycles) or d.rrd_l_cycles + 3 > d.faw_cycles
    assert tried >= 14


def test_a_busy_bank_and_an_open_row_are_not_activated() -> None:
    d = PARTS["ddr4-2400"]
    channel = dram_machine.new_channel(d)
    dram_machine.activate(d, channel, 3, 7, 0)
    assert not dram_machine.may_activate(d, channel, 3, 10_000)
    assert not dram_machine.may_precharge(d, channel, 2, 10_000)
    assert not dram_machine.may_access(d, channel, 2, 0, 10_000)
    assert not dram_machine.may_refresh(d, channel, 10_000)


# --- closed forms beside the machine ------------------------------------------------------------------------------


def summary(errors: list[float]) -> str:
    e, size = np.array(errors), np.abs(errors)
    return (f"{len(e):4} streams: bias {e.mean():+6.2%}, median {np.median(size):6.2%}, "
            f"p95 {np.percentile(size, 95):6.2%}, worst {size.max():6.2%}")  # fmt: skip


def error(d: Dram, addresses: np.ndarray, runs: int, flag: int, refresh_at: int = -1) -> float:
    bank, row, flags = stream(d, addresses, flag)
    ran = dram_machine.run(d, bank, row, flags, dram.WINDOW_BURSTS, refresh_at)
    closed = dram.transfer_cycles(d, 1, len(addresses) * d.burst_bits, runs, int(refresh_at >= 0), flag)
    return closed / ran.cycles - 1


def random_runs(d: Dram, rng: np.random.Generator, runs: int, bursts: int) -> np.ndarray:
    start = rng.integers(0, channel_bursts(d) - bursts, runs)
    return (start[:, None] + np.arange(bursts)).ravel()


@pytest.fixture(scope="module")
def measured(deep: bool) -> dict[str, list[float]]:
    """Relative error of the closed form, stream by stream, for five kinds of stream on every part."""
    rng = np.random.default_rng(20)
    found: dict[str, list[float]] = {k: [] for k in ("sequential", "with refresh", "random", "strided", "in a row")}
    for d in PARTS.values():
        row = d.groups * d.row_bits // d.burst_bits
        for _ in range(60 if deep else 10):
            flag = int(rng.integers(0, 2))
            n, start = int(rng.integers(200, 4000)), int(rng.integers(0, channel_bursts(d) - 10**6))
            found["sequential"].append(error(d, start + np.arange(n), 1, flag))
            long = start + np.arange(int(rng.integers(8, 12)) * d.refi_cycles // dram.column_cycles(d))
            found["with refresh"].append(error(d, long, 1, flag, int(rng.integers(0, d.refi_cycles))))
        for _ in range(250 if deep else 30):
            flag, bursts = int(rng.integers(0, 2)), int(2 ** rng.uniform(0, 9))
            runs = max(8, 4000 // bursts)
            found["random"].append(error(d, random_runs(d, rng, runs, bursts), runs, flag))
            far = row * int(rng.integers(1, 64)) + int(rng.integers(0, row))
            near = bursts + int(rng.integers(1, row))
            for kind, stride in (("strided", max(far, bursts)), ("in a row", near)):
                strided = (np.arange(runs)[:, None] * stride + np.arange(bursts)).ravel()
                found[kind].append(error(d, strided % channel_bursts(d), runs, flag))
    return found


def test_closed_form_beside_the_machine(measured: dict[str, list[float]], capsys: pytest.CaptureFixture[str]) -> None:
    """Sequential streams within a few percent; random runs, which the closed form is about, within 15 %."""
    what = {
        "sequential": "one run, no refresh",
        "with refresh": "one run over 8 to 12 refresh intervals",
        "random": "runs of 1 to 512 bursts at random",
        "strided": "runs at a regular stride beyond a row",
        "in a row": "runs at a stride within a row: rows stay open, the closed form counts them as closed",
    }
    with capsys.disabled():
        print("\nDRAM closed form beside the command-level machine (reads and writes, all parts):")
        for kind, errors in measured.items():
            print(f"  {kind:12} {summary(errors)}   ({what[kind]})")
    size = {kind: np.abs(errors) for kind, errors in measured.items()}
    assert np.percentile(size["sequential"], 95) < 0.02
    assert size["sequential"].max() < 0.06
    assert size["with refresh"].max() < 0.03
    assert abs(np.mean(measured["random"])) < 0.03
    assert np.median(size["random"]) < 0.03
    assert np.percentile(size["random"], 95) < 0.10
    assert size["random"].max() < 0.20


def test_regular_strides_cost_no_more_than_random_ones_by_much(measured: dict[str, list[float]]) -> None:
    """A stride meets the banks in turn, which is better than at random, or the same bank again, which is worse: the
    closed form does not know which, and holds for the middle."""
    assert np.median(np.abs(measured["strided"])) < 0.15
    assert min(measured["strided"]) > -0.70
    assert min(measured["in a row"]) > -0.25


def test_activations_beside_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    errors = []
    for d in PARTS.values():
        for bursts in (1, 2, 3, 4, 7, 16, 50, 200, 900):
            runs = max(20, 8000 // bursts)
            bank, row, flags = stream(d, random_runs(d, rng, runs, bursts))
            ran = dram_machine.run(d, bank, row, flags, dram.WINDOW_BURSTS)
            errors.append(dram.activations(d, 1, runs * bursts * d.burst_bits, runs) / ran.activates - 1)
    with capsys.disabled():
        print(f"\nDRAM row activations beside the machine: {summary(errors)}")
    assert np.abs(errors).max() < 0.08


# --- closed forms by themselves -----------------------------------------------------------------------------------

bit_counts = st.integers(1, 1 << 45)
run_counts = st.integers(1, 1 << 20)


def test_no_bits_take_no_time() -> None:
    for d in PARTS.values():
        assert dram.transfer_ps(d, 4, 0, 0, 1) == 0
        assert dram.activations(d, 4, 0, 0) == 0


def test_one_run_streams_at_the_peak_of_all_channels() -> None:
    for d in PARTS.values():
        for channels in (1, 2, 8):
            bits = channels * d.burst_bits * 10_000
            seconds = dram.transfer_ps(d, channels, bits, 1, 0) / 1e12
            assert bits / seconds == pytest.approx(channels * dram.peak_bits_per_s(d), rel=0.02)


@given(parts, st.integers(1, 64), bit_counts, run_counts, writes)
def test_never_beyond_the_peak_and_refresh_only_costs(d: Dram, channels: int, bits: int, runs: int, flag: int) -> None:
    without = dram.transfer_ps(d, channels, bits, runs, 0, flag)
    assert without * channels * dram.peak_bits_per_s(d) >= bits * 10**12
    assert dram.transfer_ps(d, channels, bits, runs, 1, flag) >= without


@given(parts, st.integers(1, 64), bit_counts, st.integers(0, 1 << 40), run_counts, writes)
def test_more_bits_are_never_faster(d: Dram, channels: int, bits: int, more: int, runs: int, flag: int) -> None:
    runs = min(runs, bits)
    less = dram.transfer_ps(d, channels, bits, runs, 1, flag)
    assert dram.transfer_ps(d, channels, bits + more, runs, 1, flag) >= less


@given(parts, st.integers(0, 30), st.integers(0, 10), st.integers(1, 5), writes)
def test_cutting_a_stream_in_more_runs_is_never_faster(d: Dram, size: int, cuts: int, more: int, flag: int) -> None:
    bits = d.burst_bits << size
    whole = dram.transfer_ps(d, 1, bits, 1 << cuts, 1, flag)
    assert dram.transfer_ps(d, 1, bits, 1 << (cuts + more), 1, flag) >= whole


@given(parts, st.integers(0, 6), st.integers(1, 1 << 40), writes)
def test_more_channels_are_never_slower(d: Dram, doublings: int, bits: int, flag: int) -> None:
    few = dram.transfer_ps(d, 1 << doublings, bits, 1, 1, flag)
    assert dram.transfer_ps(d, 2 << doublings, bits, 1, 1, flag) <= few


def test_plain_and_compiled_agree_without_leaving_64_bits() -> None:
    """Up to 2^45 bits on one channel: compiled code raises OverflowError where an integer would leave 64 bits."""
    compiled = compile_pure(dram.transfer_ps)
    opened = compile_pure(dram.activations)
    rng = np.random.default_rng(11)
    for _ in range(4000):
        d = list(PARTS.values())[rng.integers(len(PARTS))]
        bits, channels = int(2 ** rng.uniform(0, 45)), int(rng.integers(1, 65))
        runs = min(bits, int(2 ** rng.uniform(0, 35)))
        refresh, flag = (int(x) for x in rng.integers(0, 2, 2))
        args = (d, channels, bits, runs, refresh, flag)
        assert compiled(*args) == dram.transfer_ps(*args)
        assert opened(d, channels, bits, runs) == dram.activations(d, channels, bits, runs)


def test_first_access_is_the_datasheets_latency() -> None:
    """tRCD + CL + burst: 16 + 16 + 4 clocks of 1.2 GHz."""
    assert dram.first_access_ps(PARTS["ddr4-2400"]) == 30_000


def test_idle_power_is_background_and_refresh() -> None:
    d = PARTS["lpddr4-3200"]
    refresh_w = d.refresh_pj * 1e-12 / (6246 / 1.6e9)
    assert dram.idle_w(d, 2) == pytest.approx(2 * (d.background_w + refresh_w))
