"""A comparison divides each difference without rest, names what moved, and shows nothing that acts."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from sample_result import build

from hwsim.cli import run_command
from hwsim.result import Interval, Result
from hwsim.simulate import run
from hwsim.sweep.compare import Comparison, compare, print_comparison, verdict

SIZES = {"n": 8, "m": 4}


def printed(c: Comparison) -> str:
    out = io.StringIO()
    print_comparison(c, Console(file=out, width=100))
    return out.getvalue()


@pytest.fixture(scope="module")
def pair() -> tuple[Result, Result]:
    return tuple(run(d, "transformer-base", bind=SIZES, interval=False) for d in ("optimus-baseline", "optimus"))


def assert_no_rest(c: Comparison) -> int:
    """Every list of causes sums to its figure's difference, the largest first; how many causes there are."""
    causes = 0
    for figure, by in (("latency_s", c.time_s), ("energy_j", c.energy_j), ("area_mm2", c.area_mm2)):
        whole = c.figure(figure)
        for parts in by.values():
            assert sum(x.a for x in parts) == pytest.approx(whole.a, rel=1e-9)
            assert sum(x.b for x in parts) == pytest.approx(whole.b, rel=1e-9)
            sizes = [abs(x.difference) for x in parts]
            assert sizes == sorted(sizes, reverse=True)
            causes += len(parts)
    return causes


def test_causes_divide_the_difference_without_rest(pair: tuple[Result, Result]) -> None:
    causes = assert_no_rest(compare(*pair))
    across = run("i7-6900k", "transformer-base", bind=SIZES, interval=False)
    causes += assert_no_rest(compare(pair[1], across)) + assert_no_rest(compare(across, pair[0]))
    print(f"{causes} causes in three comparisons")


def test_two_ways_round_are_opposite(pair: tuple[Result, Result]) -> None:
    there, back = compare(*pair), compare(pair[1], pair[0])
    assert {x.name: x.difference for x in there.time_s["layer"]} == {
        x.name: -x.difference for x in back.time_s["layer"]
    }
    assert [(c.key, c.b, c.a) for c in there.changes] == [(c.key, c.a, c.b) for c in back.changes]


def test_what_was_asked_differently_is_named(pair: tuple[Result, Result]) -> None:
    assert {(c.key, c.a, c.b) for c in compare(*pair).changes} == {
        ("decode_cache", "false", "true"), ("weight_format", "rcsc", "sa_rcsc"), ("load_overlap", "false", "true"),
    }  # fmt: skip
    longer = run("optimus", "transformer-base", bind={"n": 9, "m": 4}, interval=False)
    assert [(c.key, c.a, c.b) for c in compare(pair[1], longer).changes] == [("bind.n", "8", "9")]


def test_one_change_is_found_where_it_was_made() -> None:
    base = build()
    layers = list(base.layers)
    slower = replace(layers[3], exposed_s=layers[3].exposed_s + 1.0, bound="dram")
    layers[3] = slower
    latency = base.latency_s.value + 1.0
    moved = replace(base, layers=tuple(layers), latency_s=Interval(latency, latency, latency))
    c = compare(base, moved, ("one", "other"))
    assert c.time_s["layer"][0].difference == pytest.approx(1.0)
    assert c.time_s["layer"][0].name == "encode: encoder.layers.*.out_proj"
    assert c.time_s["limit"][0].name == "dram"
    assert "other is" in verdict(c) and "slower; 100.0 % of the difference (+1 s) is encode: encoder" in verdict(c)
    assert c.changes == () and c.energy_j["component"][0].difference == 0


def test_equal_runs_differ_in_nothing(pair: tuple[Result, Result]) -> None:
    same = compare(pair[0], pair[0])
    assert verdict(same) == "" and "Nothing differs." in printed(same)


def test_a_figure_that_was_zero_has_no_ratio() -> None:
    base = build()
    free = replace(base, energy_j=Interval(0.0, 0.0, 0.0), energy_breakdown_j={}, layers=())
    text = verdict(compare(free, base))
    assert "takes more energy" in text and "times more energy" not in text


def test_hostile_names_reach_no_terminal() -> None:
    names = ("\x1b[31mred\x1b]0;title\x07", "[red]bold[/red]", "right\u202eto left", "<script>")
    shown = printed(compare(build(names=names), replace(build(), accelerator="\x1b[2J[bold]x"), ("[a]\x1b", "b\x07")))
    assert not {"\x1b", "\x07", "\u202e"} & set(shown) and "[bold]" not in shown.replace("[bold]x", "")
    assert "[a]" in shown


def test_the_command_and_its_document(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "-a", "optimus", "-w", "transformer-base", "--bind", "n=8,m=4", "--set-b", "sets=16"]
    assert run_command(asked) == 0
    told = capsys.readouterr().out
    assert "optimus sets=16 against optimus" in told and "Energy by component" in told
    assert run_command([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["changes"] == [{"key": "sets", "a": "64", "b": "16"}]
    layers = document["time_s"]["by_layer"]
    whole = document["figures"]["latency_s"]["difference"]
    assert sum(x["difference"] for x in layers) == pytest.approx(whole) and whole != 0
    assert run_command(["compare", "-a", "optimus", "-b", "no-such", "-w", "transformer-base"]) == 2
