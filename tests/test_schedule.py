"""`hwsim schedule` and the shipped irregular networks: what is joined, what is counted, what is drawn."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hwsim import cli
from hwsim.schedule.extract import Rules, from_workload
from hwsim.schedule.graph import peak_bits
from hwsim.schedule.order import kahn, search
from hwsim.schedule.place import overlaps
from hwsim.schedule.plan import ORDERS, PLACEMENTS, Options, plan
from hwsim.workload.store import load_workload
from workloads import randwire

NETWORKS = ("darts-v2-cell", "darts-v2-stack", "nasnet-a-stack", "randwire-ws32")
MAP_BITS = 48 * 28 * 28 * 32
SECONDS = 60


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run_command(["schedule", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_traced_darts_cell_is_the_reference_cell() -> None:
    graph = next(iter(load_workload("darts-v2-cell").graphs.values()))
    found = {}
    for rules in (Rules(), Rules(copy_concat=True)):
        nodes = from_workload(graph, {}, rules)
        assert len(nodes) == 29
        found[rules.copy_concat] = search(nodes).peak_bits // MAP_BITS
        assert peak_bits(nodes, kahn(nodes)) // MAP_BITS == {False: 7, True: 8}[rules.copy_concat]
    assert found == {False: 6, True: 8}


@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_networks_are_ordered_and_placed(name: str) -> None:
    """Every figure is checked against another; the bound of a minute is SERENITY's claim."""
    started = time.perf_counter()
    for rewritten in (False, True):
        found = plan(load_workload(name), {}, options=Options(rewrite=rewritten))
        assert found.schedule.proven
        assert found.schedule.peak_bits <= found.other.peak_bits
        assert found.schedule.peak_bits <= found.placement.arena_bits
        assert overlaps(found.graph, found.schedule.order, found.placement) == []
        kb = found.schedule.peak_bits / 8000
        print(f"{name}{' rewritten' if rewritten else ''}: {len(found.graph)} nodes, {kb:.1f} kB, "
              f"Kahn {found.other.peak_bits / 8000:.1f} kB")  # fmt: skip
    assert time.perf_counter() - started < SECONDS


def test_ordinary_networks_are_extracted_whole() -> None:
    for name, graph, sizes in (("efficientnet-lite0", "network", {}), ("transformer-base", "decoder_step",
                               {"q": 1, "p": 29, "n": 30}), ("minilm-l6", "encoder", {"n": 16})):  # fmt: skip
        traced = load_workload(name).graphs[graph]
        fused, apart = (from_workload(traced, sizes, Rules(fuse=f)) for f in (True, False))
        assert len(fused) <= len(apart) <= len(traced.ops) + len(traced.inputs)
        assert search(fused).peak_bits <= search(apart).peak_bits


def test_efficientnets_peak_is_its_widest_depthwise_layer() -> None:
    """96 channels of 112 x 112 in, 96 of 56 x 56 out, in fp32: the paddings and norms between them hold nothing."""
    nodes = from_workload(load_workload("efficientnet-lite0").graphs["network"], {})
    assert search(nodes).peak_bits == 96 * (112**2 + 56**2) * 32


def test_both_placements_of_a_plan_are_aligned_alike() -> None:
    found = plan(load_workload("darts-v2-cell"), {}, options=Options(align_bits=8 * 4096, place="best-fit"))
    for placement in (found.placement, found.other_placement):
        assert (placement.align_bits, placement.method) == (8 * 4096, "best-fit")
        assert not any(at % (8 * 4096) for at in placement.offset_bits.values())


def test_in_place_and_resident_inputs_move_the_peak_as_they_should() -> None:
    for name in ("darts-v2-cell", "darts-v2-stack", "randwire-ws32"):
        graph = next(iter(load_workload(name).graphs.values()))
        usual, over, resident = (
            search(from_workload(graph, {}, r)).peak_bits
            for r in (Rules(), Rules(in_place=True), Rules(resident_inputs=True))
        )
        assert over <= usual <= resident


@pytest.mark.parametrize("seed", range(20))
def test_small_worlds_are_drawn_by_their_seed(seed: int) -> None:
    edges = randwire.watts_strogatz(32, 4, 0.75, seed)
    assert edges == randwire.watts_strogatz(32, 4, 0.75, seed)
    assert len(set(edges)) == len(edges) == 32 * 4 // 2
    assert all(0 <= a < b < 32 for a, b in edges)
    assert edges != randwire.watts_strogatz(32, 4, 0.75, seed + 1)
    assert len(randwire.watts_strogatz(32, 4, 0.0, seed)) == 64


def test_three_quarters_of_the_edges_are_rewired() -> None:
    """Of 64 edges of a ring 16 are left on average, and hardly one that is drawn anew is one of the ring's."""
    ring = {(min(i, (i + d) % 32), max(i, (i + d) % 32)) for i in range(32) for d in (1, 2)}
    left = [len(ring & {*randwire.watts_strogatz(32, 4, 0.75, seed)}) for seed in range(200)]
    assert 15 < sum(left) / 200 < 22


# --- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("where", PLACEMENTS)
def test_json_holds_the_whole_answer(capsys: pytest.CaptureFixture[str], order: str, where: str) -> None:
    code, out, err = call(capsys, "-w", "darts-v2-cell", "--order", order, "--place", where, "--align", "64",
                          "--scratchpad", "1 MiB", "--json")  # fmt: skip
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["schema_version"] == 1
    assert found["peak_bits"] == max(step["live_bits"] for step in found["order"])
    assert found["lower_bound_bits"] <= found["peak_bits"] <= found["placement"]["arena_bits"]
    assert found["proven_optimal"] == (found["peak_bits"] == found["lower_bound_bits"])
    assert all(at % 512 == 0 for at in found["placement"]["offsets_bits"].values())
    assert found["traffic"]["streamed_nodes"] == 0
    assert order != "dp" or (found["peak_bits"], found["proven_optimal"]) == (903_168 * 8, True)


def test_text_says_what_is_proven(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "-w", "darts-v2-cell")
    assert code == 0
    assert out.splitlines()[-3:] == [
        "peak of live tensors 882 KiB (dp): no order stays below",
        "breadth first on the graph as given 1 MiB, 1.17 times as much",
        "arena 882 KiB (greedy): no arena is smaller",
    ]


def test_the_picture_shows_every_tensor_of_both_orders(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "memory.svg"
    code, out, _ = call(capsys, "-w", "darts-v2-cell", "--picture", str(path), "--json")
    assert code == 0
    picture = ET.parse(path).getroot()
    tips = [t.text or "" for t in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert len(tips) == 2 * sum(step["size_bits"] > 0 for step in json.loads(out)["order"])
    assert len([x for x in picture.iter() if x.get("class") == "peak"]) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-w", "transformer-base"),
         "error: [graph] --graph: got 'no graph'; the workload transformer-base has the graphs encoder, cross_kv, "
         "decoder_step, logits. Name one of them: --graph NAME.\n"),
        (("-w", "transformer-base", "--graph", "encode"), "got 'encode'; the workload transformer-base has the graphs"),
        (("-w", "darts-v2-cel"), "darts-v2-cel"),
        (("-w", "darts-v2-cell", "--bind", "n=1"), "no such symbol"),
        (("-w", "darts-v2-cell", "--align", "0"), "--align"),
        (("-w", "darts-v2-cell", "--order", "best"), "--order"),
        (("-w", "darts-v2-cell", "--scratchpad", "64"), "a unit is needed here"),
        (("-w", "darts-v2-cell", "--scratchpad", "64 KB"), "Write 64 KiB or 64 kB."),
        (("-w", "darts-v2-cell", "--scratchpad", "0 KiB"), "got '0 KiB'; a scratchpad holds at least one bit"),
        (("-w", "darts-v2-cell", "--scratchpad", "-1 KiB"), "got '-1 KiB'; a scratchpad holds at least one bit"),
        (("-w", "darts-v2-cell", "--scratchpad", "1e300 KiB"), "a scratchpad holds at most 1 TiB"),
        (("-w", "darts-v2-cell", "--seconds", "nan"), "[range] --seconds: got 'nan'; must be a number of seconds"),
        (("-w", "darts-v2-cell", "--picture", "memory.png"),
         "error: [write] --picture: got 'memory.png'; the picture is an SVG file. Name a file FILE.svg.\n"),
        (("-w", "darts-v2-cell", "--picture", "/proc/nothing/memory.svg"), "the picture can't be written"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert text in err


def test_a_later_call_of_a_repeated_graph_is_the_one_planned(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "-w", "transformer-base", "--graph", "decoder_step", "--bind", "n=7,m=5", "--json")
    assert code == 0
    assert json.loads(out)["binding"] == {"n": 7, "p": 4, "q": 1}
