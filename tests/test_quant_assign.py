"""Bits from memory limits: the published table, the rules by hand, and the exact optimiser against brute force."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import InputError
from hwsim.quant import assign, branching, exact
from hwsim.quant.assign import Bits, Limits, Requantizer, Scheme, assign_by_rules
from hwsim.quant.branching import Flow, Step, assign_flow
from hwsim.quant.chain import Kind, Layer, branch_of, chain_of, short_names
from hwsim.quant.exact import assign_exactly, assign_flow_exactly
from hwsim.quant.graphs import flow_of
from hwsim.quant.proxy import LARGEST_COST, Proxy, flow_noise_proxy, noise_proxy, read_flow_proxy, read_proxy
from hwsim.workload.store import load_workload
from tests.test_schedule_extract import op, traced

BYTE = 8
PAPER = Limits(2_048_000 * BYTE, 512_000 * BYTE)
BINARY = Limits(2_097_152 * BYTE, 524_288 * BYTE)
MEBIBYTE = 2**20


def net(size: str) -> tuple[Layer, ...]:
    """The chain of mobilenet-v1-WIDTH-RESOLUTION for the literature's RESOLUTION_WIDTH."""
    resolution, width = size.split("_")
    return chain_of(load_workload(f"mobilenet-v1-{width}-{resolution}"))


# --- the published table ----------------------------------------------------------------------------------------

WIDE_CUTS = "pw7 4, pw8 4, pw9 4, pw10 4, pw12 4, pw13 2, fc 2"
TABLE = {
    "224_1.0": (568.7, 4_209_088, 1_204_224, "conv0 4, dw1 4, pw1 2, pw2 4, dw3 4, pw3 4", WIDE_CUTS,
                1_939_504, 1_984_884, 401_408),
    "224_0.75": (325.4, 2_568_144, 903_168, "dw1 4, pw1 4, dw3 4", "pw13 4, fc 4", 1_931_272, 1_978_532, 451_584),
    "224_0.5": (149.5, 1_319_648, 602_112, "pw1 4", "", 1_346_248, 1_381_588, 401_408),
    "224_0.25": (41.0, 463_600, 301_056, "", "", 479_104, 498_180, 301_056),
    "160_1.0": (290.7, 4_209_088, 614_400, "pw1 4", WIDE_CUTS, 1_937_304, 1_984_884, 409_600),
    "160_0.75": (166.4, 2_568_144, 460_800, "", "pw13 4, fc 4", 1_930_456, 1_978_532, 460_800),
    "160_0.5": (76.5, 1_319_648, 307_200, "", "", 1_346_096, 1_381_588, 307_200),
    "160_0.25": (21.1, 463_600, 153_600, "", "", 479_104, 498_180, 153_600),
}  # fmt: skip
"""Millions of MACs, weights, RAM at 8 bits, outputs cut, weights cut, flash under PL and PC, RAM: what the procedures
of arXiv 1905.13082 give under its limits of 2 MB and 512 kB."""


def cut(layers: tuple[Layer, ...], widths: tuple[int, ...]) -> str:
    return ", ".join(f"{layer.name} {w}" for layer, w in zip(layers, widths, strict=True) if w < 8)


@pytest.mark.parametrize("size", TABLE)
def test_the_published_bits(size: str) -> None:
    macs, weights, at_8_bits, outputs, weights_cut, flash_pl, flash_pc, ram = TABLE[size]
    layers = net(size)
    assert round(sum(layer.macs for layer in layers) / 1e6, 1) == macs
    assert sum(layer.weights for layer in layers) == weights
    widest = Bits.widest(len(layers))
    assert max(assign.ram_bits(layers, widest, i) for i in range(len(layers))) == at_8_bits * BYTE
    for scheme, flash in ((Scheme.PL, flash_pl), (Scheme.PC, flash_pc)):
        plan = assign_by_rules(layers, PAPER, scheme)
        assert plan.fits
        assert cut(layers, plan.bits.values[1:]) == outputs
        assert cut(layers, plan.bits.weights) == weights_cut
        assert (plan.flash_bits, plan.ram_bits) == (flash * BYTE, ram * BYTE)


def test_binary_limits_change_one_layer() -> None:
    """With 2 MiB and 512 KiB pw10 of the 1.0-width networks stays at 8 bits under PL; nothing else changes."""
    for size in TABLE:
        layers = net(size)
        for scheme in Scheme:
            decimal, binary = (assign_by_rules(layers, limits, scheme) for limits in (PAPER, BINARY))
            assert binary.bits.values == decimal.bits.values
            pairs = zip(layers, decimal.bits.weights, binary.bits.weights, strict=True)
            differ = [layer.name for layer, before, after in pairs if before != after]
            wide = size.endswith("1.0") and scheme is Scheme.PL
            assert differ == (["pw10"] if wide else []), (size, scheme)
            assert not wide or binary.bits.weights[[layer.name for layer in layers].index("pw10")] == 8


@pytest.mark.parametrize("size", ["224_1.0", "160_1.0"])
def test_the_widest_network_cannot_meet_one_megabyte(size: str) -> None:
    plan = assign_by_rules(net(size), replace(PAPER, flash_bits=1_024_000 * BYTE), Scheme.PL)
    assert set(plan.bits.weights) == {2}
    if size == "224_1.0":
        assert plan.flash_bits == 1_155_112 * BYTE
        assert [str(o) for o in plan.overflows] == [
            "flash: 131112 bytes too many with the weights of pw13 at 2 bits; that layer takes 271372 of 1155112 bytes"
        ]
    assert not plan.fits


def size_mebibytes(layers: tuple[Layer, ...], kind: Requantizer, width: int, *, all_hidden: bool = False) -> float:
    """Weights and auxiliary parameters of a network with one width and one requantizer throughout."""
    total = 0
    for i, layer in enumerate(layers):
        last = i == len(layers) - 1 and not all_hidden
        extra = assign.auxiliary_bits(kind, layer.channels, width, last=last)
        total += assign.tensor_bits(layer.weights, width) + extra
    return total / BYTE / MEBIBYTE


def test_sizes_of_the_full_network() -> None:
    """224_1.0 in MiB: the column that the formulas give, which the paper's sizes round to."""
    layers = net("224_1.0")
    sizes = {
        (Requantizer.PL_FB, 8, False): 4.060, (Requantizer.PL_FB, 4, False): 2.053,
        (Requantizer.PL_ICN, 4, False): 2.105, (Requantizer.PL_ICN, 4, True): 2.110,
        (Requantizer.PC_ICN, 4, False): 2.118, (Requantizer.PC_ICN, 4, True): 2.121,
        (Requantizer.PC_THRESHOLDS, 4, False): 2.360,
    }  # fmt: skip
    for (kind, width, hidden), wanted in sizes.items():
        assert round(size_mebibytes(layers, kind, width, all_hidden=hidden), 3) == wanted, kind
    weights = sum(layer.weights for layer in layers)
    assert round(4 * weights / MEBIBYTE, 2) == 16.06
    print(f"{len(sizes)} sizes as published")


def test_the_authors_chart_of_memory() -> None:
    """At 8 bits activations reach 1.20 MB and weights run from 0.47 to 4.25 MB, within 2 %."""
    small, large = net("224_0.25"), net("224_1.0")
    widest = Bits.widest(len(large))
    ram = max(assign.ram_bits(large, widest, i) for i in range(len(large))) / BYTE / 1e6
    weights = [assign.flash_bits(layers, widest, Scheme.PL) / BYTE / 1e6 for layers in (small, large)]
    assert [ram, *weights] == pytest.approx([1.20, 0.47, 4.25], rel=0.02)


def test_what_is_no_chain() -> None:
    """Two readers of one value make no sum, but no chain either."""
    heads = traced(op("p", "conv2d", "x", "y"), op("q", "conv2d", "x", "z"), outputs="y z", channels={})
    assert branch_of(heads) == ("x", "every value must have one reader, and this has p, q,")
    total = traced(op("p", "conv2d", "x", "y"), op("s", "elementwise", "y other", "z"), inputs="x other", outputs="z",
                   channels={})  # fmt: skip
    assert branch_of(total) == ("s", "every operator must read one value, and this reads 2,")
    row = traced(op("p", "conv2d", "x", "y"), op("q", "conv2d", "y", "z"), outputs="z", channels={})
    assert branch_of(row) is None


def test_layers_are_named_by_what_tells_them_apart() -> None:
    assert short_names(["conv0.conv", "dw1.conv", "fc"]) == ["conv0", "dw1", "fc"]
    assert short_names(["blocks.0", "blocks.1", "fc"]) == ["blocks.0", "blocks.1", "fc"]


# --- the rules --------------------------------------------------------------------------------------------------


def chain(*sizes: tuple[int, int, int, int]) -> tuple[Layer, ...]:
    """Layers of (weights, inputs, outputs, channels)."""
    return tuple(Layer(f"l{i}", Kind.CONV, w, x, y, c, w * y) for i, (w, x, y, c) in enumerate(sizes))


def values(limit: int, *sizes: tuple[int, int]) -> tuple[tuple[int, ...], bool]:
    """By both procedures, of chains and of networks that branch."""
    layers = chain(*((8, x, y, 1) for x, y in sizes))
    found = assign.cut_values(layers, limit * BYTE)
    assert branching.cut_values(as_flow(layers), limit * BYTE) == found[0]
    return found


def test_cutting_values_by_hand() -> None:
    assert values(100, (50, 50), (50, 50)) == ((8, 8, 8), False)
    assert values(75, (50, 50), (50, 10)) == ((8, 4, 8), False)
    # The first layer yields at equal widths although its output is the smaller one.
    assert values(95, (60, 40), (40, 10)) == ((8, 4, 8), False)
    # The second layer's output may not go below its input, whose own layer fits: the way back lowers the input.
    assert values(70, (10, 60), (60, 20), (20, 5)) == ((8, 4, 8, 8), False)
    # A layer as wide as its input and no smaller yields its output; a larger one does not yield its input.
    assert values(75, (10, 50), (50, 50), (50, 10)) == ((8, 8, 4, 8), False)
    assert values(60, (5, 50), (50, 100), (100, 5)) == ((8, 4, 2, 8), False)
    # The network's output stays at 8 bits.
    assert values(60, (10, 30), (30, 40)) == ((8, 4, 8), False)


def test_the_rules_may_end_where_bits_would_do() -> None:
    """The first layer's output stops at 4 bits, below its input's 8; the exact method goes on to 2."""
    layers = chain((8, 60, 40, 1), (8, 40, 10, 1))
    limits = Limits(10_000 * BYTE, 72 * BYTE)
    plan = assign_by_rules(layers, limits, Scheme.PC)
    assert [str(o) for o in plan.overflows] == [
        "RAM: 8 bytes too many for l0 with its input at 8 bits and its output at 4; the rules cut no further"
    ]
    assert assign_exactly(layers, limits, Scheme.PC, noise_proxy(layers)).bits.values == (8, 2, 8)
    impossible = assign_exactly(layers, replace(limits, ram_bits=64 * BYTE), Scheme.PC, noise_proxy(layers))
    assert [str(o) for o in impossible.overflows] == [
        "RAM: 6 bytes too many for l0 with its input at 8 bits and its output at 2; no tensor of it can be narrower"
    ]


def test_cutting_weights_takes_the_first_of_the_largest() -> None:
    layers = chain((1000, 1, 1, 1), (960, 1, 1, 1), (1040, 1, 1, 1), (700, 1, 1, 1))
    eight = (8,) * 5
    total = assign.flash_bits(layers, Bits((8,) * 4, eight), Scheme.PC) // BYTE

    def cut_to(limit: int) -> tuple[int, ...]:
        return assign.cut_weights(layers, eight, limit * BYTE, Scheme.PC)

    assert cut_to(total) == (8, 8, 8, 8)
    assert cut_to(total - 1) == (4, 8, 8, 8)
    assert cut_to(total - 501) == (4, 4, 8, 8)
    assert cut_to(total - 981) == (4, 4, 4, 8)
    assert cut_to(0) == (2, 2, 2, 2)


def test_five_percent_of_all_weights_are_the_slack() -> None:
    """A difference of exactly 5 % of the sum is too much; a little less is not."""
    eight = (8,) * 4
    for first, wanted in ((900, (8, 4, 8)), (901, (4, 8, 8))):
        layers = chain((first, 1, 1, 1), (1000, 1, 1, 1), (100, 1, 1, 1))
        total = assign.flash_bits(layers, Bits((8,) * 3, eight), Scheme.PC)
        assert assign.cut_weights(layers, eight, total - BYTE, Scheme.PC) == wanted


def test_auxiliary_parameters_in_bytes() -> None:
    """7 channels, 4-bit outputs; hidden layers, then the last."""
    kinds, sizes = Requantizer, {last: [assign.auxiliary_bits(kind, 7, 4, last=last) for kind in Requantizer]
                                 for last in (False, True)}  # fmt: skip
    assert [kind.value for kind in kinds] == ["pl+fb", "pl+icn", "pc+icn", "pc+thresholds", "pl+shifts"]
    thresholds = 15 * 2 * 7 + 7 + 8
    assert sizes[False] == [8 * n for n in (4 * 7 + 20, 9 * 7 + 12, 10 * 7 + 8, thresholds, 2 * 7 + 2)]
    assert sizes[True] == [8 * n for n in (4 * 7 + 20, 4 * 7 + 20, 7 * 7 + 4, thresholds, 2 * 7 + 2)]


def test_a_pool_yields_to_nobody_by_the_rules() -> None:
    """Its input and output have one width, which only a layer's step may cut; the exact method cuts it."""
    one, two = (Layer(name, Kind.CONV, 8, 0, 0, 1, 8) for name in ("one", "two"))
    steps = (Step("one", (0,), 1, one), Step("pool", (1,), 2, pools=True), Step("two", (2,), 3, two))
    flow, limits = Flow((1, 40, 40, 1), steps, (3,)), Limits(10**6, 60 * BYTE)
    plan = assign_flow(flow, limits, Scheme.PC)
    assert plan.widths == (8, 8, 8, 8)
    assert [str(o) for o in plan.overflows] == [
        "RAM: 20 bytes too many for pool with its input at 8 bits and its output at 8; the rules cut no further"
    ]
    assert assign_flow_exactly(flow, limits, Scheme.PC, flow_noise_proxy(flow)).widths == (8, 4, 4, 8)


def test_a_tensor_takes_whole_bytes() -> None:
    assert [assign.tensor_bits(5, width) for width in (8, 4, 2)] == [40, 24, 16]


# --- the exact optimiser ----------------------------------------------------------------------------------------


def brute_force(layers: tuple[Layer, ...], limits: Limits, scheme: Scheme, proxy: Proxy) -> float | None:
    """The least loss of all assignments, by looking at every one."""
    best = None
    for weights in itertools.product((8, 4, 2), repeat=len(layers)):
        for inner in itertools.product((8, 4, 2), repeat=len(layers) - 1):
            bits = Bits(weights, (8, *inner, 8))
            ram = max(assign.ram_bits(layers, bits, i) for i in range(len(layers)))
            if ram <= limits.ram_bits and assign.flash_bits(layers, bits, scheme) <= limits.flash_bits:
                loss = proxy.loss(bits)
                best = loss if best is None else min(best, loss)
    return best


def random_cost(rng: random.Random) -> dict[int, float]:
    two, four, eight = sorted((rng.random() * 10 for _ in range(3)), reverse=True)
    return {8: eight, 4: four, 2: two}


def random_case(rng: random.Random) -> tuple[tuple[Layer, ...], Limits, Scheme, Proxy]:
    count = rng.randint(1, 4)
    sizes = [rng.randint(1, 90) for _ in range(count + 1)]
    layers = chain(*((rng.randint(1, 400), sizes[i], sizes[i + 1], rng.randint(1, 9)) for i in range(count)))
    scheme = rng.choice(list(Scheme))
    widest = Bits.widest(count)
    flash = assign.flash_bits(layers, widest, scheme) // BYTE
    ram = max(assign.ram_bits(layers, widest, i) for i in range(count)) // BYTE
    limits = Limits(int(flash * rng.uniform(0.3, 1.1)) * BYTE, int(ram * rng.uniform(0.4, 1.1)) * BYTE)

    proxy = Proxy(tuple(random_cost(rng) for _ in layers), tuple(random_cost(rng) for _ in layers[1:]))
    return layers, limits, scheme, proxy


def test_exact_is_brute_force_and_never_worse_than_the_rules(deep: bool) -> None:
    rng = random.Random(11)
    count, feasible, beaten = 2000 if deep else 150, 0, 0
    for _ in range(count):
        layers, limits, scheme, proxy = random_case(rng)
        plan, rules = assign_exactly(layers, limits, scheme, proxy), assign_by_rules(layers, limits, scheme)
        best = brute_force(layers, limits, scheme, proxy)
        assert plan.fits == (best is not None)
        assert plan.fits or not rules.fits
        if best is None:
            assert plan.overflows and all(o.over_bits > 0 for o in plan.overflows)
            continue
        assert plan.flash_bits <= limits.flash_bits and plan.ram_bits <= limits.ram_bits
        assert proxy.loss(plan.bits) == pytest.approx(best, rel=1e-9)
        feasible += 1
        beaten += not rules.fits or proxy.loss(rules.bits) > best * (1 + 1e-9)
    assert feasible > count // 3 and beaten
    print(f"{count} networks, {feasible} that fit: all as by brute force; the rules were beaten on {beaten}")


def test_one_cost_that_forbids_a_width_does_not_drown_the_others() -> None:
    """The largest cost that a proxy may have, beside costs of about 1."""
    rng, feasible = random.Random(3), 0
    for _ in range(60):
        layers, limits, scheme, proxy = random_case(rng)
        proxy = replace(proxy, weights=({**proxy.weights[0], 2: LARGEST_COST}, *proxy.weights[1:]))
        plan, best = assign_exactly(layers, limits, scheme, proxy), brute_force(layers, limits, scheme, proxy)
        assert plan.fits == (best is not None)
        if best is not None and best < LARGEST_COST:
            assert proxy.loss(plan.bits) == pytest.approx(best, rel=1e-12)
            feasible += 1
    assert feasible > 10


def test_widths_that_overstep_a_limit_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that takes every limit for a byte larger than it is: what it gives is held against the limits."""
    solve, solved, calls = exact._solve, exact._Program._solved, {"solver": 0, "asked": 0}

    def generous(costs: Any, rows: Any) -> Any:
        calls["solver"] += 1
        return solve(costs, [(row, low, high + 1 if max(row.values()) > 1 else high) for row, low, high in rows])

    def asked(*given: Any) -> Any:
        calls["asked"] += 1
        return solved(*given)

    monkeypatch.setattr(exact, "_solve", generous)
    monkeypatch.setattr(exact._Program, "_solved", asked)
    rng = random.Random(11)
    for _ in range(60):
        layers, limits, scheme, proxy = random_case(rng)
        plan, best = assign_exactly(layers, limits, scheme, proxy), brute_force(layers, limits, scheme, proxy)
        assert plan.fits == (best is not None)
        assert best is None or proxy.loss(plan.bits) == pytest.approx(best, rel=1e-9)
    assert calls["solver"] > calls["asked"]


def test_exact_on_the_published_networks() -> None:
    beaten = []
    for size in TABLE:
        layers = net(size)
        proxy = noise_proxy(layers)
        for scheme in (Scheme.PL, Scheme.PC):
            rules, plan = assign_by_rules(layers, PAPER, scheme), assign_exactly(layers, PAPER, scheme, proxy)
            assert plan.fits and proxy.loss(plan.bits) <= proxy.loss(rules.bits)
            beaten += [size] * (proxy.loss(plan.bits) < proxy.loss(rules.bits))
    assert beaten == ["224_1.0", "224_1.0", "160_1.0", "160_1.0"]


def test_exact_says_how_much_flash_is_missing() -> None:
    """The least flash that any bits take, by brute force, is what the message counts from."""
    layers = chain((30, 5, 5, 3), (40, 5, 5, 2), (50, 5, 5, 4))
    for scheme in Scheme:
        least = min(
            assign.flash_bits(layers, Bits(w, (8, *v, 8)), scheme)
            for w in itertools.product((8, 4, 2), repeat=3)
            for v in itertools.product((8, 4, 2), repeat=2)
        )
        limits = Limits(least - 7 * BYTE, 10**6)
        [overflow] = assign_exactly(layers, limits, scheme, noise_proxy(layers)).overflows
        assert (overflow.memory, overflow.over_bits) == ("flash", 7 * BYTE)


# --- networks that branch ---------------------------------------------------------------------------------------


def random_flow(rng: random.Random) -> Flow:
    """A few steps, each reading one or two earlier values; pools, sums, two inputs and shared widths among them."""
    inputs = rng.randint(1, 2)
    elements = [rng.randint(1, 60) for _ in range(inputs)]
    steps: list[Step] = []
    for i in range(rng.randint(2, 4)):
        out = len(elements)
        reads = tuple(sorted(rng.sample(range(out), min(out, rng.choice((1, 1, 2))))))
        kind = "layer" if not i else rng.choice(("layer", "layer", "sum", "pool"))
        elements.append(rng.randint(1, 60))
        layer = Layer(f"s{i}", Kind.CONV, rng.randint(1, 300), 0, elements[-1], rng.randint(1, 9), 1)
        steps.append(Step(f"s{i}", reads[:1] if kind == "pool" else reads, out, layer if kind == "layer" else None,
                          kind == "pool"))  # fmt: skip
    tied = (tuple(rng.sample(range(inputs, len(elements)), 2)),) if rng.random() < 0.3 else ()
    return Flow(tuple(elements), tuple(steps), (len(elements) - 1,), tuple(range(inputs)), tied)


def least_loss(flow: Flow, limits: Limits, scheme: Scheme, proxy: Proxy) -> float | None:
    """By trying all bits. What lives while a step runs, and what has one width, is worked out here again."""
    best = None
    last = len(flow.elements) - 1
    makes = {step.writes: i for i, step in enumerate(flow.steps)}
    reads = {v: [i for i, step in enumerate(flow.steps) if v in step.reads] for v in range(last)}
    ends = {v: max(reads[v], default=makes.get(v, -1)) for v in range(last)}
    pairs = [(step.reads[0], step.writes) for step in flow.steps if step.pools] + list(flow.tied)
    for widths in itertools.product((8, 4, 2), repeat=len(flow.elements)):
        if any(widths[v] != 8 for v in (*flow.inputs, last)) or any(widths[a] != widths[b] for a, b in pairs):
            continue
        sizes = [-(-count * width // 8) for count, width in zip(flow.elements, widths, strict=True)]
        needed = [sum(size for v, size in enumerate(sizes) if makes.get(v, 0) <= i <= ends.get(v, 99))
                  for i in range(len(flow.steps))]  # fmt: skip
        if max(needed) * BYTE > limits.ram_bits:
            continue
        outputs = [widths[step.writes] for step in flow.steps if step.layer]
        for weights in itertools.product((8, 4, 2), repeat=len(flow.layers)):
            if assign.flash_bits(flow.layers, Bits(weights, (8, *outputs)), scheme) > limits.flash_bits:
                continue
            loss = proxy.sum(weights, [widths[value] for value in flow.free])
            best = loss if best is None else min(best, loss)
    return best


def test_exact_on_random_graphs_is_brute_force_and_never_worse_than_the_rules(deep: bool) -> None:
    rng = random.Random(17)
    count, feasible, beaten = 1500 if deep else 120, 0, 0
    for _ in range(count):
        flow, scheme = random_flow(rng), rng.choice(list(Scheme))
        widest = assign_flow(flow, Limits(1 << 40, 1 << 40), scheme)
        flash, ram = widest.flash_bits * rng.uniform(0.4, 1.1), widest.ram_bits * rng.uniform(0.5, 1.1)
        limits = Limits(int(flash), int(ram))
        proxy = Proxy(tuple(random_cost(rng) for _ in flow.layers), tuple(random_cost(rng) for _ in flow.free))
        plan, rules = assign_flow_exactly(flow, limits, scheme, proxy), assign_flow(flow, limits, scheme)
        best = least_loss(flow, limits, scheme, proxy)
        assert plan.fits == (best is not None)
        assert plan.fits or not rules.fits
        if best is None:
            assert plan.overflows and all(o.over_bits > 0 for o in plan.overflows)
            continue
        assert plan.flash_bits <= limits.flash_bits and plan.ram_bits <= limits.ram_bits
        assert proxy.flow_loss(plan) == pytest.approx(best, rel=1e-9)
        feasible += 1
        beaten += not rules.fits or proxy.flow_loss(rules) > best * (1 + 1e-9)
    assert feasible > count // 3 and beaten
    print(f"{count} graphs, {feasible} that fit: all as by brute force; the rules were beaten on {beaten}")


def as_flow(layers: tuple[Layer, ...]) -> Flow:
    steps = tuple(Step(layer.name, (i,), i + 1, layer) for i, layer in enumerate(layers))
    return Flow((layers[0].inputs, *(layer.outputs for layer in layers)), steps, (len(layers),))


def test_a_chain_as_a_graph_gets_the_bits_of_the_chain() -> None:
    rng = random.Random(23)
    for _ in range(40):
        layers, limits, scheme, proxy = random_case(rng)
        chain_plan, flow_plan = (f(x, limits, scheme, proxy) for f, x in
                                 ((assign_exactly, layers), (assign_flow_exactly, as_flow(layers))))  # fmt: skip
        assert chain_plan.fits == flow_plan.fits
        if chain_plan.fits:
            assert proxy.loss(chain_plan.bits) == pytest.approx(proxy.flow_loss(flow_plan), rel=1e-9)
        ours, theirs = assign_flow(as_flow(layers), limits, scheme), assign_by_rules(layers, limits, scheme)
        assert (ours.weights, ours.widths) == (theirs.bits.weights, theirs.bits.values)
        assert [str(o) for o in ours.overflows if o.memory == "flash"] == [
            str(o) for o in theirs.overflows if o.memory == "flash"]  # fmt: skip


BRANCHING = ("blazeface", "efficientnet-lite0", "darts-v2-cell", "darts-v2-stack", "nasnet-a-stack", "randwire-ws32")


@pytest.mark.parametrize("name", BRANCHING)
def test_networks_that_branch(name: str) -> None:
    """Peaks at 8 bits are those of `hwsim schedule`; the exact method is never worse than the rules."""
    from hwsim.schedule.extract import Rules, from_workload
    from hwsim.schedule.order import search

    network = load_workload(name)
    flow = flow_of(network)
    peak = search(from_workload(next(iter(network.graphs.values())), {}, Rules(resident_inputs=True))).peak_bits
    widest = assign_flow(flow, Limits(1 << 40, 1 << 40), Scheme.PC)
    assert widest.ram_bits * 32 == peak * 8
    assert sum(layer.macs for layer in flow.layers) == network.macs({})
    proxy = flow_noise_proxy(flow)
    narrow = [8 if flow.root[value] in flow.fixed else 2 for value in range(len(flow.elements))]
    least = max(flow.ram_bits(narrow, i) for i in range(len(flow.steps)))
    for share in (0.9, 0.5):
        ram = least + int((widest.ram_bits - least) * share)
        limits = Limits(int(widest.flash_bits * share), ram)
        rules, exact = assign_flow(flow, limits, Scheme.PC), assign_flow_exactly(flow, limits, Scheme.PC, proxy)
        assert exact.fits or not rules.fits
        assert not rules.fits or proxy.flow_loss(exact) <= proxy.flow_loss(rules)
        assert exact.fits, [str(o) for o in exact.overflows]


def test_parts_of_a_concat_have_one_width_and_outputs_keep_eight_bits() -> None:
    flow = flow_of(load_workload("darts-v2-stack"))
    assert (len(flow.inputs), len(flow.outputs), [len(values) for values in flow.tied]) == (2, 1, [4, 4])
    plan = assign_flow_exactly(flow, Limits(1 << 40, 8 * 311_000), Scheme.PC, flow_noise_proxy(flow))
    assert plan.fits and min(plan.widths) < 8
    assert {plan.widths[v] for v in (*flow.inputs, *flow.outputs)} == {8}
    for values in flow.tied:
        assert len({plan.widths[v] for v in values}) == 1


# --- proxies ----------------------------------------------------------------------------------------------------

GOOD_PROXY = """\
layers:
  l0: {weights: {"8": 0, "4": 0.5, "2": 3}, output: {"8": 0, "4": 1, "2": 2}}
  l1: {weights: {"8": 0, "4": 0.25, "2": 1}}
"""


def test_a_proxy_from_a_file(tmp_path: Path) -> None:
    layers = chain((8, 4, 4, 1), (8, 4, 4, 1))
    path = tmp_path / "proxy.yaml"
    path.write_text(GOOD_PROXY)
    proxy = read_proxy(path, layers)
    assert proxy.loss(Bits((4, 2), (8, 4, 8))) == 2.5
    as_json = tmp_path / "proxy.json"
    table = {"layers": {"l0": {"weights": {"8": 0, "4": 0.5, "2": 3}, "output": {"8": 0, "4": 1, "2": 2}},
                        "l1": {"weights": {"8": 0, "4": 0.25, "2": 1}}}}  # fmt: skip
    as_json.write_text(json.dumps(table))
    assert read_proxy(as_json, layers) == proxy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: {}\n", "{path}:1:9: [missing-key] layers.l0: got nothing; the proxy gives a cost for every layer of "
         "the network."),
        (GOOD_PROXY.replace("l1", "l2"), '{path}:3:3: [unknown-key] layers.l2: got \'l2\'; the network has no such '
         "layer. Known: l0, l1."),
        (GOOD_PROXY.replace("0.25", "-1"), '{path}:3:31: [range] layers.l1.weights.4: got -1; a cost is at least 0 and '
         "at most 1,000,000,000."),
        (GOOD_PROXY.replace("0.25", "1e308"), '{path}:3:31: [range] layers.l1.weights.4: got 1e+308; a cost is at '
         "least 0 and at most 1,000,000,000."),
        (GOOD_PROXY.replace(', "2": 1}}', "}}"), "{path}:3:17: [missing-key] layers.l1.weights.2: got nothing; a cost "
         "by width needs the key 2."),
        (GOOD_PROXY.replace('"8": 0, "4": 0.25', '8: 0, "4": 0.25'),
         '{path}:3:18: [key] layers.l1.weights.8: got \'8\'; '
         'keys are text. Quote it: "8".'),
    ],
)  # fmt: skip
def test_bad_proxies(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_proxy(path, chain((8, 4, 4, 1), (8, 4, 4, 1)))
    assert str(caught.value).splitlines()[0] == message.format(path=path)


def test_a_proxy_of_a_network_that_branches(tmp_path: Path) -> None:
    """A sum has an output alone, what leaves the network weights alone."""
    layer = Layer("a", Kind.CONV, 8, 4, 4, 1, 1)
    steps = (Step("a", (0,), 1, layer), Step("sum", (0, 1), 2), Step("b", (2,), 3, layer),
             Step("end", (3,), 4, pools=True))  # fmt: skip
    flow = Flow((4, 4, 4, 4, 2), steps, (4,))
    costs = {"8": 0, "4": 1, "2": 2}
    path = tmp_path / "proxy.json"
    path.write_text(json.dumps({"layers": {"a": {"weights": costs, "output": costs}, "sum": {"output": costs},
                                           "b": {"weights": costs}}}))  # fmt: skip
    proxy = read_flow_proxy(path, flow)
    assert proxy.sum((4, 2), (2, 8)) == 1 + 2 + 2 + 0
    path.write_text(json.dumps({"layers": {"a": {"weights": costs}, "end": {"output": costs}}}))
    with pytest.raises(InputError) as caught:
        read_flow_proxy(path, flow)
    assert [problem.code for problem in caught.value.problems] == ["unknown-key", "missing-key", "missing-key",
                                                                    "missing-key"]  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from hwsim.cli import run_command

    code = run_command(["quantize", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code, out, err = command(capsys, *arguments, "--json")
    return code, json.loads(out), err


WIDE = ("-w", "mobilenet-v1-1.0-224")


def test_quantize_by_rules(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, err = asked(capsys, *WIDE, "--flash", "2048000", "--ram", "512 kB", "--scheme", "pc")
    assert (code, err, found["fits"]) == (0, "", True)
    assert (found["flash_bytes"], found["ram_bytes"]) == (1_984_884, 401_408)
    assert (found["flash_limit_bytes"], found["ram_limit_bytes"]) == (2_048_000, 512_000)
    assert sum(layer["flash_bytes"] for layer in found["layers"]) == found["flash_bytes"]
    assert max(layer["ram_bytes"] for layer in found["layers"]) == found["ram_bytes"]
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in net("224_1.0")]
    assert found["layers"][0] == {
        "name": "conv0", "kind": "conv", "weight_bits": 8, "input_bits": 8, "output_bits": 4, "requantizer": "pc+icn",
        "weight_bytes": 864, "auxiliary_bytes": 328, "flash_bytes": 1192, "ram_bytes": 351_232,
    }  # fmt: skip


def test_quantize_exactly_and_as_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sizes = ("--flash", "2 MB", "--ram", "512 KiB")
    rules, exact = (asked(capsys, *WIDE, *sizes, "--method", method)[1] for method in ("rules", "exact"))
    assert exact["loss"] < rules["loss"]
    code, out, _ = command(capsys, "-w", "mobilenet-v1-0.25-160", *sizes)
    assert code == 0
    assert out.splitlines()[:4] == [
        "mobilenet-v1-0.25-160 fits: method rules, scheme pl",
        "  flash    479,104 of  2,000,000 bytes",
        "  RAM      153,600 of    524,288 bytes",
        "  loss  0.000839233 (4^-bits)",
    ]
    assert len(out.splitlines()) == 5 + 28


def test_quantize_a_network_that_branches(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ("-w", "efficientnet-lite0", "--flash", "2 MiB", "--ram", "512 KiB", "--scheme", "pc")
    code, rules, err = asked(capsys, *sizes)
    assert (code, err, rules["fits"]) == (0, "", True)
    assert sum(layer["flash_bytes"] for layer in rules["layers"]) == rules["flash_bytes"] <= 2 << 20
    assert max(layer["ram_bytes"] for layer in rules["layers"]) == rules["ram_bytes"] <= 512 << 10
    found = {layer["name"]: layer for layer in rules["layers"]}
    assert found["_blocks.2.add"]["weight_bits"] is None and found["_blocks.2.add"]["kind"] == "add"
    assert set(found["_blocks.2.add"]["reads"]) == {"_blocks.1._project_conv", "_blocks.2._project_conv"}
    exact = asked(capsys, *sizes, "--method", "exact")[1]
    assert exact["fits"] and exact["loss"] < rules["loss"]
    code, out, err = command(capsys, "-w", "efficientnet-lite0", "--flash", "2 MiB", "--ram", "300 KiB")
    assert code == 1 and "efficientnet-lite0 does not fit" in out
    assert err.splitlines()[0] == (
        "error: does not fit RAM: 44032 bytes too many for _conv_stem.conv2d with its input at 8 bits and its output "
        "at 4; the rules cut no further"
    )


def test_quantize_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, err = asked(capsys, *WIDE, "--flash", "1024000", "--ram", "152000")
    assert (code, found["fits"]) == (1, False)
    assert [o["layer"] for o in found["overflows"]] == ["conv0", "dw1", "pw1", "dw2", "dw3", "pw3", "pw13"]
    assert err.splitlines()[0] == (
        "error: does not fit RAM: 98880 bytes too many for conv0 with its input at 8 bits and its output at 2; "
        "no tensor of it can be narrower"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-w", "gpt2-small", "--flash", "1 MB", "--ram", "1 MB"),
         "error: [not-quantizable] gpt2-small: got '4 calls of graphs'; the network must be one graph that runs once "
         "for its bits to be chosen. Take a network of layers with weights, for instance mobilenet-v1-0.5-160."),
        (("-w", "minilm-l6", "--flash", "1 MB", "--ram", "1 MB"),
         "error: [not-quantizable] minilm-l6: got 'the sizes n'; all sizes must be fixed for its bits to be chosen. "
         "Take a network of layers with weights, for instance mobilenet-v1-0.5-160."),
        ((*WIDE, "--flash", "1 MQ", "--ram", "1 MB"),
         "error: [unit] --flash: got '1 MQ'; must have one of these units: bit or B, alone or with k, M, G, T, Ki, Mi, "
         'Gi or Ti before it. Write bytes, or a unit: 2048000, "2 MB", "512 KiB".'),
        ((*WIDE, "--flash", "1 MB", "--ram", "3 bit"),
         "error: [range] --ram: got '3 bit'; must be a whole number of bytes and at least one. "
         'For instance "512 KiB".'),
        ((*WIDE, "--flash", "-5", "--ram", "1 MB"),
         "error: [range] --flash: got '-5'; must be a whole number of bytes and at least one. "
         'For instance "512 KiB".'),
        ((*WIDE, "--flash", "1e400", "--ram", "1 MB"),
         "error: [range] --flash: got '1e400'; must be at most 1 TiB. For instance \"512 KiB\"."),
        ((*WIDE, "--flash", "1 MB", "--ram", "0"),
         "error: [range] --ram: got '0'; must be a whole number of bytes and at least one. For instance \"512 KiB\"."),
    ],
)  # fmt: skip
def test_bad_questions(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    code, out, err = command(capsys, *arguments)
    assert (code, out, err.strip()) == (2, "", message)


def test_choosing_by_rules_needs_no_numpy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from hwsim.cli import run_command; "
        "assert run_command(['quantize', '-w', 'mobilenet-v1-0.25-160', '--flash', '1 MB', '--ram', '1 MB']) == 0; "
        "assert not {'numpy', 'scipy', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
