"""Bad sweep files: each curated one says exactly what is wrong and where; no mutant crashes, hangs or slips through."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mutate import Mutator
from test_bad_files import assert_placed, strict_yaml

from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.sweep import subjects
from hwsim.sweep.file import StudyFile, read_study
from hwsim.sweep.resolve import Resolver
from hwsim.sweep.schema import sweep_schema
from hwsim.sweep.space import Space
from hwsim.workload.family import load_network

BAD = Path(__file__).parent / "bad_sweeps"
GOOD = ("good.yaml", "good_wandb.yaml")
MUTANTS = 20_000 if os.environ.get("HWSIM_DEEP") == "1" else 1_000
SECONDS_PER_FILE = 5

OVERRIDES = {
    "macs": "--set macs: [override] macs: got 'macs'; an override is KEY=VALUE, KEY=VALUE,VALUE or "
    "KEY=range(LOW,HIGH). For example macs=256,512 or macs=range(1,9).",
    "macs=0": "--set macs=0: [range] macs: got 0; must be an integer from 1 to 1048576.",
    "macs=1,0": "--set macs=1,0: [range] macs: got 0; must be an integer from 1 to 1048576.",
    "macs=range(1)": "--set macs=range(1): [override] macs: got 'range(1)'; must be range(LOW,HIGH) or "
    "range(LOW,HIGH,STEP). Both ends are part of the range.",
    "clock=100,200 MHz": "--set clock=100,200 MHz: [unit] clock: got 100; a unit is needed here. "
    "Write for example 100 MHz.",
    "mac=3": "--set mac=3: [unknown-key] mac: got 'mac'; no accelerator of this study has such a key. "
    "Did you mean macs?",
    "bind.n=0": "--set bind.n=0: [range] bind.n: got 0; must be from 1 to 4096.",
    "method=gird": "--set method=gird: [choice] method: got 'gird'; must be one of grid, random, sobol, asha, halving, "
    "tpe, nsgaii, nsgaiii, cmaes. Did you mean grid?",
    "accelerator=optimos": "--set accelerator=optimos: [unknown-design] accelerator: got 'optimos'; no installed "
    "design has this name. Did you mean optimus?",
    "macs=010": "--set macs=010: [ambiguous] macs: got '010'; YAML readers disagree about this number, time or date. "
    'Write a plain decimal number, or quote it if it is a text: "010".',
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The curated files' folder as working directory, so that messages are short; designs are read once."""
    monkeypatch.chdir(BAD)
    monkeypatch.setattr(subjects, "load_design", lru_cache(load_design))
    monkeypatch.setattr(subjects, "load_network", lru_cache(load_network))


def curated() -> list[str]:
    return sorted(p.name for p in BAD.glob("*.yaml") if p.name not in GOOD)


def expected(name: str) -> list[str]:
    lines = (BAD / "messages.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(f"{name}:")]


@pytest.mark.parametrize("name", curated())
def test_a_curated_bad_sweep_says_what_is_wrong(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read_study(name)
    assert [str(p) for p in caught.value.problems] == expected(name)
    assert expected(name)
    assert_placed(caught.value.problems)
    assert time.perf_counter() - start < SECONDS_PER_FILE


def test_every_message_is_about_a_file_and_there_are_enough() -> None:
    about = {line.partition(":")[0] for line in (BAD / "messages.txt").read_text(encoding="utf-8").splitlines()}
    assert about == set(curated())
    print(f"{len(about)} curated bad sweep files")
    assert len(about) >= 40


@pytest.mark.parametrize("text", OVERRIDES)
def test_a_bad_override_says_what_is_wrong(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_study("good.yaml", [text])
    assert [str(p) for p in caught.value.problems] == [OVERRIDES[text]]


def test_the_command_line_prints_the_same_messages() -> None:
    for name, command in (("many.yaml", "check"), ("unit_missing.yaml", "explain"), ("wandb_goal.yaml", "check")):
        done = subprocess.run([sys.executable, "-m", "hwsim", command, name], check=False, capture_output=True,
                              text=True, timeout=60)  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [f"error: {line}" for line in expected(name)]


# --- mutants ----------------------------------------------------------------------------------------------------


def judge(raw: bytes, read: StudyFile, validator: jsonschema.Draft202012Validator) -> None:
    """An accepted mutant is valid to the published schema, says what its text says, and has points that resolve."""
    data = strict_yaml(raw)
    assert not [e.message for e in validator.iter_errors(data)]
    study = read.study
    if "space" in data:
        judge_native(data, study)
    space = Space(study, read.subjects)
    assert len({a.key for a in space.axes}) == len(space.axes)
    resolver = Resolver(study, read.subjects)
    for u in (0.0, 0.37, 0.999999):
        point = space.sample([u] * len(space.axes))
        assert len(resolver.hash(point)) == 64
        space.excludes(point)
    if space.size:
        assert list(space.at(space.size - 1)) == list(space.chunk(space.size - 1, space.size)[0])


def judge_native(data: dict[str, Any], study: Any) -> None:
    assert {o.figure: o.direction.value for o in study.objectives} == data["objectives"]
    assert [p.key for p in study.parameters] == list(data["space"])
    for parameter in study.parameters:
        raw = data["space"][parameter.key]
        body = {"values": raw} if isinstance(raw, list) else raw
        if "values" in body and not any(" " in str(v) for v in body["values"]):
            assert list(parameter.values) == body["values"]
        assert bool(parameter.when) == ("when" in body)
    assert (study.budget, study.seed) == (data.get("budget", 0), data.get("seed", 0))
    assert study.bind == data.get("bind", {})


def test_no_mutant_crashes_hangs_or_slips_through(tmp_path: Path) -> None:
    rng = random.Random(31)
    validator = jsonschema.Draft202012Validator(sweep_schema())
    accepted, codes, changes, slowest = 0, Counter[str](), Counter[str](), 0.0
    for name in GOOD:
        mutator = Mutator((BAD / name).read_text(encoding="utf-8"), is_json=False)
        for _ in range(MUTANTS // len(GOOD)):
            mutant = mutator.mutant(rng)
            changes.update(mutant.changes)
            file = tmp_path / "mutant.yaml"
            file.write_bytes(mutant.raw)
            start = time.perf_counter()
            try:
                read = read_study(file)
            except InputError as bad:
                codes.update({p.code for p in bad.problems})
                assert_placed(bad.problems)
            except Exception as crash:
                raise AssertionError(f"{mutant.changes}: {mutant.raw!r}") from crash
            else:
                accepted += 1
                try:
                    judge(mutant.raw, read, validator)
                except Exception as wrong:
                    raise AssertionError(f"{mutant.changes}: {mutant.raw!r}") from wrong
            slowest = max(slowest, time.perf_counter() - start)
    print(f"{MUTANTS} mutants of {len(GOOD)} good sweeps: {accepted} accepted and valid, the rest refused with "
          f"{len(codes)} codes, slowest {slowest:.2f} s")  # fmt: skip
    assert slowest < SECONDS_PER_FILE
    assert 30 < accepted < MUTANTS / 2
    assert len(codes) > 20
