"""Workload families: parameters bound like sizes, in a run, in a file, in a sweep; wrong ones told."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwsim.cli import run_command
from hwsim.errors import InputError
from hwsim.simulate import resolve_binding, run
from hwsim.sweep import compiled, resolve
from hwsim.sweep.codec import study_document, study_from
from hwsim.sweep.facts import describe
from hwsim.sweep.file import load_study, read_study
from hwsim.sweep.page_data import command_of
from hwsim.sweep.resolve import Resolver, network_hash
from hwsim.sweep.runner import run_study
from hwsim.sweep.space import Space
from hwsim.sweep.store import Outcome, Store
from hwsim.workload import family, store
from hwsim.workload.family import Family, Network, Parameter, load_network, network_of, parameters_of, weights_of
from hwsim.workload.ir import Workload
from workloads.paradnn import FC, fully_connected

SMALL = {"nodes": 8, "input": 12, "output": 10, "batch": 4}
CHOICES = Family("test-choices", "powers of two", {"layers": Parameter(2, 1, 8, "hidden layers", choices=(1, 2, 4, 8))},
                 fully_connected)  # fmt: skip


class _Point:
    """An entry point that is no package's."""

    def load(self) -> Family:
        return CHOICES


@pytest.fixture
def with_choices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found: Any = {**family.find_families(), CHOICES.name: _Point()}
    monkeypatch.setattr(family, "find_families", lambda: found)
    yield


def out_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run_command(list(words))
    caught = capsys.readouterr()
    return code, caught.out, caught.err


# --- one workload -----------------------------------------------------------------------------------------------


def test_parameters_choose_the_structure_and_sizes_stay_symbols() -> None:
    network = load_network("paradnn-fc")
    assert list(network.parameters) == ["layers"]
    assert list(network.symbols) == ["layers", "nodes", "input", "output", "batch"]
    three, five = network.built({"layers": 3}), network.built({"layers": 5, "nodes": 7})
    assert [len(w.graphs["network"].ops) for w in (three, five)] == [7, 11]
    assert network.built({"layers": 3, "nodes": 9}) is three
    assert "layers" not in three.symbols and parameters_of(three) == {"layers": 3}
    assert three.provenance == {"family": "paradnn-fc", "parameters": "layers=3"}
    assert weights_of(three, SMALL) == 12 * 8 + 8 + 2 * (8 * 8 + 8) + 8 * 10 + 10


def test_a_run_takes_parameters_and_sizes_alike() -> None:
    result = run("titan-xp", "paradnn-fc", bind={"layers": 3, **SMALL}, interval=False)
    assert result.binding == {"layers": 3, **SMALL}
    assert result.macs == 4 * (12 * 8 + 2 * 8 * 8 + 8 * 10)
    assert result.provenance["workload.parameters"] == "layers=3"
    same = run("titan-xp", FC.workload({"layers": 3}), bind=SMALL, interval=False)
    assert dataclasses.replace(same, provenance={}) == dataclasses.replace(result, provenance={})


@pytest.mark.parametrize("train", ["", "adam"])
def test_a_file_of_a_family_runs_like_the_family(tmp_path: Path, train: str) -> None:
    file = tmp_path / "fc.json"
    words = ["--train", "--optimizer", train] if train else []
    assert run_command(["build", "-w", "paradnn-fc", "--bind", "layers=2", *words, "--out", str(file)]) == 0
    a = run("titan-xp", file, bind=SMALL, interval=False)
    b = run("titan-xp", "paradnn-fc", bind={"layers": 2, **SMALL}, interval=False, train=train)
    assert (a.latency_s, a.energy_j, a.macs, a.workload) == (b.latency_s, b.energy_j, b.macs, b.workload)


def test_networks_are_made_of_whatever_is_given() -> None:
    plain = FC.workload({"layers": 2})
    trained = run("titan-xp", plain, bind=SMALL, interval=False, train="sgd")
    for network in (network_of(plain, "sgd"), network_of(plain), load_network("paradnn-fc", "sgd")):
        again = run("titan-xp", network, bind={"layers": 2, **SMALL} if network.family else SMALL, interval=False,
                    train="sgd")  # fmt: skip
        assert (again.latency_s, again.macs) == (trained.latency_s, trained.macs)


def test_what_is_built_is_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "MAX_BUILT", 3)
    network = load_network("paradnn-fc")
    first = network.built({"layers": 1})
    for layers in range(1, 6):
        network.built({"layers": layers})
    assert len(network._built) == 3
    assert network.built({"layers": 1}) == first and network.built({"layers": 1}) is not first


# --- wrong ones -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"layers": 0}, "--bind layers=0: [range] layers: got 0; must be from 1 to 256. Bind it: --bind "
                        "layers=NUMBER."),
        ({"layers": 1.5}, "--bind layers=1.5: [type] layers: got 1.5; must be a whole number. Bind it: --bind "
                          "layers=NUMBER."),
        ({"layer": 2}, "--bind layer=2: [unknown-symbol] layer: got 2; the family paradnn-fc has no such parameter or "
                       "symbol (it has: layers, nodes, input, output, batch). Did you mean layers?"),
        ({"zzz": 2}, "--bind zzz=2: [unknown-symbol] zzz: got 2; the family paradnn-fc has no such parameter or symbol "
                     "(it has: layers, nodes, input, output, batch). Leave it out or correct its name."),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_one_clear_message(given: dict[str, float], text: str) -> None:
    with pytest.raises(InputError) as error:
        run("titan-xp", "paradnn-fc", bind=given)
    assert str(error.value) == text


def test_choices_are_told(with_choices: None) -> None:
    network = load_network("test-choices")
    assert resolve_binding(network, {"layers": 4})["layers"] == 4
    with pytest.raises(InputError) as error:
        resolve_binding(network, {"layers": 3})
    assert str(error.value) == (
        "--bind layers=3: [choice] layers: got 3; must be one of 1, 2, 4, 8. Bind it: --bind layers=NUMBER."
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-w", "paradnn-fd"], "error: [unknown-workload] got 'paradnn-fd'; no installed workload has this name. Did "
                               "you mean paradnn-fc?"),
        (["-w", "paradnn-fc", "--optimizer", "adam"], "error: [optimizer] --optimizer: got 'adam'; only a training "
                                                      "step has an optimizer. Add --train."),
        (["-w", "gpt2-small", "--train"], "error: [training] --train: got 'gpt2-small'; this workload has no training "
                                          "step: its schedule generates token by token. Trace the network on whole "
                                          "sequences."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [["run", "-a", "titan-xp"], ["compare", "-a", "titan-xp"], ["build"], ["schedule"]])
def test_commands_tell_what_is_wrong(
    command: list[str], words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = out_of(capsys, *command, *words)
    assert (code, err) == (2, text + "\n")


def test_a_family_that_breaks_its_word_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def load(self) -> Family:
            raise ImportError("no module of that name")

    found: Any = {"broken": Broken()}
    monkeypatch.setattr(family, "find_families", lambda: found)
    assert list(family.summaries()) == [("broken", "cannot be loaded: no module of that name")]


# --- commands ---------------------------------------------------------------------------------------------------


def test_lists_and_checks_name_families(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = out_of(capsys, "list", "--json")
    assert json.loads(out)["families"]["paradnn-fc"] == "ParaDnn: fully connected hidden layers (layers)"
    assert out_of(capsys, "check", "paradnn-lstm") == (0, "paradnn-lstm: a valid family\n", "")


def test_build_counts_what_it_built(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["build", "-w", "paradnn-fc", "--bind", "layers=4,nodes=32,input=2000,output=1000,batch=64"]
    _, out, _ = out_of(capsys, *words, "--train")
    assert re.search(r"39 operators, 100,200 weights, 14,925,824 MACs", out)
    _, out, _ = out_of(capsys, *words, "--json")
    document = json.loads(out)
    assert (document["parameters"], document["macs"]) == ({"layers": 4}, 64 * (2000 * 32 + 3 * 32 * 32 + 32 * 1000))


def test_compare_and_schedule_take_a_training_step(capsys: pytest.CaptureFixture[str]) -> None:
    bound = ["-w", "paradnn-fc", "--bind", "layers=2,nodes=8,input=12,output=10,batch=4", "--train"]
    code, out, _ = out_of(capsys, "compare", "-a", "titan-xp", "-b", "i7-6900k", *bound, "--json")
    assert code == 0 and json.loads(out)
    code, out, _ = out_of(capsys, "schedule", *bound)
    assert code == 0 and "paradnn-fc-training network" in out


# --- sweeps -----------------------------------------------------------------------------------------------------

SWEEP = """\
study: depth
accelerators: [titan-xp, i7-6900k]
workloads: [paradnn-fc, paradnn-rnn]
space:
  bind.layers: [1, 2, 5]
  bind.batch: [4, 16]
  bind.nodes: {values: [8, 32], when: workload == 'paradnn-fc'}
objectives: {latency_s: minimize}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    file = tmp_path / "depth.yaml"
    file.write_text(SWEEP)
    return file


def rows(path: Path) -> list[Outcome]:
    with Store(path) as opened:
        return list(opened.trials(opened.chosen()))


@pytest.mark.parametrize("train", ["", "rmsprop"])
def test_a_sweep_over_parameters_is_run_by_run(
    sweep: Path, tmp_path: Path, train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each point by itself, and by compiled code: the same figures."""
    study = load_study(sweep, ["train=rmsprop"] if train else [])
    run_study(study, tmp_path / "plain.db", engine="serial")
    monkeypatch.setattr(compiled, "COMPILED_FROM", 1)
    run_study(study, tmp_path / "fast.db", engine="serial")
    plain, fast = rows(tmp_path / "plain.db"), rows(tmp_path / "fast.db")
    assert len(plain) == 36
    for a, b in zip(plain, fast, strict=True):
        assert (a.row.point, a.row.status, a.row.assignment) == (b.row.point, b.row.status, b.row.assignment)
        assert a.row.metrics.keys() == b.row.metrics.keys()
        assert all(value == pytest.approx(b.row.metrics[key], rel=1e-12) for key, value in a.row.metrics.items())
    for one in plain[::5]:
        given = dict(one.row.assignment)
        design, name = str(given.pop("accelerator")), str(given.pop("workload"))
        bound = {k.removeprefix("bind."): float(v) for k, v in given.items()}
        result = run(design, name, bind=bound, interval=False, train=train)
        assert one.row.metrics["latency_s"] == result.latency_s.value
        assert one.row.metrics["macs"] == result.macs
    points = {o.row.point for o in plain}
    assert len(points) == len(plain)
    print(f"{len(plain)} points{f' of training with {train}' if train else ''}, plain and compiled alike")


def test_points_are_told_apart_by_parameters_and_training(sweep: Path) -> None:
    plain, trained, again = (load_study(sweep, o) for o in ([], ["train=adam"], ["train=adam"]))
    first = Space(plain).at(0)
    hashes = {Resolver(plain).hash(first), Resolver(trained).hash(first),
              Resolver(plain).hash({**first, "bind.layers": 2})}  # fmt: skip
    assert len(hashes) == 3 and Resolver(again).hash(first) in hashes
    assert resolve.resolver_of(plain) is not resolve.resolver_of(trained)
    assert study_from(study_document(trained)) == trained
    networks = [load_network("paradnn-fc", train) for train in ("", "sgd")]
    assert len({network_hash(n) for n in [*networks, load_network("resnet18")]}) == 3


def test_facts_and_the_report_say_that_it_trains(sweep: Path, tmp_path: Path) -> None:
    found = read_study(sweep, ["train=momentum"])
    lines = list(describe(found.study, found.subjects, measure=False).lines())
    assert "  workloads: paradnn-fc, paradnn-rnn, a training step with momentum" in lines
    run_study(found.study, tmp_path / "a.db", engine="serial")
    words = command_of(found.study, rows(tmp_path / "a.db")[0].row, {})
    assert words.startswith("hwsim report -a titan-xp -w paradnn-fc --train --optimizer momentum")
    assert "--bind layers=1" in words


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("train=adm", "[choice] train: got 'adm'; must be one of"),
        ("bind.layers=0", "[range] bind.layers: got 0; must be from 1 to"),
        ("bind.layer=3", "[unknown-key] bind.layer: got 'layer'; no workload of this study has such a key. Did you "
                         "mean bind.layers?"),
    ],
)  # fmt: skip
def test_a_sweep_with_a_wrong_parameter_is_one_message(sweep: Path, override: str, text: str) -> None:
    with pytest.raises(InputError) as error:
        load_study(sweep, [override])
    assert text in str(error.value) and len(error.value.problems) == 1, str(error.value)


def test_a_sweep_tells_choices(sweep: Path, with_choices: None) -> None:
    sweep.write_text(SWEEP.replace("[paradnn-fc, paradnn-rnn]", "[test-choices]"))
    with pytest.raises(InputError, match=re.escape("got 5; must be one of 1, 2, 4, 8")):
        load_study(sweep)


def test_workloads_without_a_family_have_no_parameters() -> None:
    plain = store.load_workload("resnet18")
    network = load_network("resnet18")
    assert network == Network("resnet18", workload=plain) and network.parameters == {}
    assert parameters_of(plain) == {} and isinstance(network.built({}), Workload)
    assert network.own({"batch": 4}) == {"batch": 4}
