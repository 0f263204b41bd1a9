"""Bad files: each curated one says exactly what is wrong and where; no mutant crashes, hangs or slips through.

A mutant that is accepted has to be valid to judges that share no code with the readers: PyYAML or json with YAML 1.2's
scalars, jsonschema with the published schema, and the small checkers below.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import re
import subprocess
import sys
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mutate import Mutant, Mutator

from hwsim import dram, energy
from hwsim.config import Range, design_schema, find_designs, load_design
from hwsim.errors import InputError, Problem
from hwsim.workload import store
from hwsim.workload.schema import PUBLISHED

BAD = Path(__file__).parent / "bad"
PLUG_IN = BAD / "plug_in"
MESSAGES = BAD / "messages.txt"
MUTANTS = 40_000 if os.environ.get("HWSIM_DEEP") == "1" else 2_400
SECONDS_PER_FILE = 5
TABLES = {"technology": energy.read_table, "dram": dram.read_table}

READERS: dict[str, Callable[[Path], Any]] = {"design": load_design, "workload": store.read, **TABLES}


@pytest.fixture(autouse=True)
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sample plug-in, installed; the curated files' folder as working directory, so that messages are short."""
    monkeypatch.syspath_prepend(str(PLUG_IN))
    monkeypatch.chdir(BAD)
    yield
    for name in [name for name in sys.modules if name.startswith("sample_accel")]:
        del sys.modules[name]


# --- curated files ----------------------------------------------------------------------------------------------


def curated() -> list[Path]:
    return sorted(p for p in BAD.iterdir() if p.name.partition("_")[0] in READERS)


def expected(name: str) -> list[str]:
    """The messages about one file, in the order they are printed."""
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(f"{name}:")]


@pytest.mark.parametrize("path", curated(), ids=lambda path: path.name)
def test_a_curated_bad_file_says_what_is_wrong(path: Path) -> None:
    kind = path.name.partition("_")[0]
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        READERS[kind](Path(path.name))
    assert [str(p) for p in caught.value.problems] == expected(path.name)
    assert expected(path.name)
    assert_placed(caught.value.problems)
    assert time.perf_counter() - start < SECONDS_PER_FILE


def test_every_message_is_about_a_file_and_there_are_enough() -> None:
    names = {path.name for path in curated()}
    about = {line.partition(":")[0] for line in MESSAGES.read_text(encoding="utf-8").splitlines()}
    assert about == names
    kinds = Counter(name.partition("_")[0] for name in names)
    print(f"{len(names)} curated bad files: {dict(kinds)}")
    assert len(names) >= 60
    assert min(kinds[kind] for kind in READERS) >= 5


def test_the_good_neighbours_are_accepted() -> None:
    """What the bad files were made from is fine, so each is refused for its one fault."""
    assert load_design(PLUG_IN / "sample_accel" / "sample_wide.yaml").name == "sample-wide"
    assert store.read("good_workload.json").name == "tiny"
    for kind, read in TABLES.items():
        assert read(BAD / f"good_{kind}.yaml")


COMMAND = [
    ("design_unknown_key.yaml", "check"), ("design_octal.yaml", "check"), ("design_boolean_yes.yaml", "explain"),
    ("design_many.yaml", "explain"), ("design_tag.yaml", "check"), ("design_anchor.yaml", "explain"),
    ("design_not_utf8.yaml", "check"), ("design_utf16.yaml", "check"), ("design_nul.yaml", "run"),
    ("design_empty.yaml", "run"), ("design_rule_across_fields.yaml", "run"), ("design_too_deep.yaml", "check"),
    ("design_unknown_model.yaml", "check"), ("workload_kind.json", "check"), ("workload_nan.json", "check"),
    ("workload_cut.json", "check"), ("workload_deep.json", "check"), ("workload_surrogate.json", "check"),
    ("workload_dims_code.json", "check"), ("workload_input_too_early.json", "check"), ("workload_empty.json", "check"),
]  # fmt: skip


def test_the_command_line_prints_the_same_messages() -> None:
    """Exit code 2, the messages on stderr, and never a traceback, from processes of their own."""
    path = os.pathsep.join(filter(None, (str(PLUG_IN), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"}
    for name, command in COMMAND:
        arguments = {"check": ["check", name], "explain": ["explain", "-a", name],
                     "run": ["run", "-a", name, "-w", "good_workload.json"]}[command]  # fmt: skip
        done = subprocess.run([sys.executable, "-m", "hwsim", *arguments], env=environment, cwd=BAD, check=False,
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        assert done.returncode == 2, (name, done)
        assert done.stdout == "", name
        assert done.stderr.splitlines() == [f"error: {line}" for line in expected(name)], name
        assert "Traceback" not in done.stderr
    print(f"{len(COMMAND)} curated bad files through the command line")


# --- what every message has -------------------------------------------------------------------------------------

WITHOUT_KEY = {
    "syntax",
    "empty",
    "encoding",
    "character",
    "too-deep",
    "key",
    "alias",
    "anchor",
    "tag",
    "too-large",
    "tab",
}
"""Problems of the text, met before there are keys."""


def assert_placed(problems: tuple[Problem, ...]) -> None:
    """Each problem has a file, a line, a column, a key path (but for those of the text or the root), on one line."""
    for p in problems:
        assert p.where.file, p
        assert p.where.line > 0, p
        assert p.where.col > 0, p
        assert p.where.key or p.code in WITHOUT_KEY or p.code == "type", p
        assert p.got, p
        assert p.rule, p
        text = str(p)
        assert text.isprintable(), p
        assert len(text) < 1500, p


# --- judges -----------------------------------------------------------------------------------------------------


class StrictLoader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2's core schema and without duplicate keys."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {}


class StrictCLoader(yaml.CSafeLoader):
    """The same over libyaml's scanner."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {}


def _strict_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), "duplicate keys"
    assert all(isinstance(key, str) for key in keys), "keys are text"
    return dict(zip(keys, [loader.construct_object(value, deep=True) for _, value in node.value], strict=True))


CORE_SCALARS = (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
)
for _loader in (StrictLoader, StrictCLoader):
    _loader.add_constructor("tag:yaml.org,2002:map", _strict_mapping)
    _loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))
    _loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
    for _tag, _pattern, _first in CORE_SCALARS:
        _loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def strict_yaml(raw: bytes) -> Any:
    """The data of a YAML text, by a reader that shares nothing with ours; fails on what may not be accepted."""
    text = raw.decode("utf-8-sig")
    # PyYAML's own scanner ends a plain scalar of a flow mapping at "?", which YAML 1.2 (7.3.3) and libyaml do not.
    loader = StrictCLoader if "?" in text else StrictLoader
    events = list(yaml.parse(text, Loader=loader))
    assert sum(isinstance(e, yaml.DocumentStartEvent) for e in events) == 1
    assert not any(isinstance(e, yaml.AliasEvent) or getattr(e, "anchor", None) for e in events)
    assert not any(getattr(e, "tag", None) for e in events)
    data = loader(text).get_single_data()
    assert_finite(data)
    return data


def strict_json(raw: bytes) -> Any:
    """The data of a JSON text, with duplicate keys and infinities refused."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in found}) == len(found), "duplicate keys"
        return dict(found)

    data = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=pairs)
    assert_finite(data)
    return data


def assert_finite(data: Any) -> None:
    """Numbers are finite and 64 bits wide; texts hold no control characters."""
    if isinstance(data, dict | list):
        for inner in [*data, *data.values()] if isinstance(data, dict) else data:
            assert_finite(inner)
    elif isinstance(data, float):
        assert math.isfinite(data)
    elif isinstance(data, int):
        assert abs(data) < 2**63
    elif isinstance(data, str):
        data.encode()
        assert not any(ord(c) < 32 and c not in "\n\t" for c in data)
        assert "\u202e" not in data


SI = {"f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
BASES = {"Hz": 1, "s": 1, "J": 1, "W": 1, "V": 1, "A": 1, "bit": 1, "B": 8, "bit/s": 1, "B/s": 8, "m": 1}
FIELD_UNITS = {
    "_bits_per_s": 1, "_khz": 10**3, "_hz": 1, "_ps": Fraction(1, 10**12), "_ns": Fraction(1, 10**9),
    "_us": Fraction(1, 10**6), "_w": 1,
    "_mm2": Fraction(1, 10**6), "_bits": 1, "_pj": Fraction(1, 10**12), "_s": 1, "_v": 1, "_nm": Fraction(1, 10**9),
}  # fmt: skip


def quantity(text: str, field: str) -> Fraction:
    """A quantity in the field's own unit: by its own grammar and table."""
    found = re.fullmatch(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\S+)\s*", text)
    assert found, text
    suffix = next(s for s in FIELD_UNITS if field.endswith(s))
    return Fraction(found[1]) * _scale(found[2]) / FIELD_UNITS[suffix]


def _scale(unit: str) -> Fraction:
    square = re.fullmatch(r"([num]|µ|μ|c)m2", unit)
    if square:
        return (Fraction(1, 100) if square[1] == "c" else Fraction(10) ** SI[square[1]]) ** 2
    binary = re.fullmatch(r"(Ki|Mi|Gi|Ti)(bit|B)(/s)?", unit)
    if binary:
        return Fraction(1024 ** (1 + ["Ki", "Mi", "Gi", "Ti"].index(binary[1])) * BASES[binary[2]])
    base = next(b for b in sorted(BASES, key=len, reverse=True) if unit.endswith(b) and unit[: -len(b)] in SI)
    return Fraction(10) ** SI[unit[: -len(base)]] * BASES[base]


@lru_cache(maxsize=8)
def design_validator(design: type, tables: tuple[str, ...]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(design_schema(design, tables))


def judge_design(raw: bytes, file: Any) -> None:
    """An accepted design is valid, and every value is the one its text stands for."""
    data = strict_yaml(raw)
    errors = [e.message for e in design_validator(type(file.design), tuple(file.named)).iter_errors(data)]
    assert not errors
    given = judge_group(data, file.design)
    unused = set(data) - given - {"model", "summary", *file.named}
    assert not unused
    assert not list(getattr(file.design, "problems", list)())
    for key in (*file.named, "summary"):
        read = file.summary if key == "summary" else file.named[key]
        assert read == (data[key]["value"] if isinstance(data[key], dict) else data[key])


def judge_group(data: dict[str, Any], design: Any) -> set[str]:
    """Check the values of one dataclass; the YAML keys they came from."""
    hints = typing.get_type_hints(type(design), include_extras=True)
    used = set()
    for field in dataclasses.fields(design):
        value = getattr(design, field.name)
        suffix = next((s for s in FIELD_UNITS if field.name.endswith(s)), "")
        key = field.name if dataclasses.is_dataclass(value) else field.name.removesuffix(suffix)
        if key not in data:
            continue
        used.add(key)
        if dataclasses.is_dataclass(value):
            assert judge_group(data[key], value) == set(data[key])
        else:
            judge_value(data[key], field.name, value, hints[field.name])
    return used


def judge_value(raw: Any, field: str, value: Any, hint: Any) -> None:
    parts = raw if isinstance(raw, dict) else {"value": raw}
    kind = typing.get_args(hint)[0] if typing.get_args(hint) else hint
    limits = next((a for a in typing.get_args(hint)[1:] if isinstance(a, Range)), None)

    def read(text: Any) -> Any:
        if hasattr(kind, "__members__"):
            return kind[text.upper()]
        exact = quantity(text, field) if isinstance(text, str) else text
        assert kind is not int or exact == int(exact)
        return kind(exact)

    assert value == read(parts["value"])
    ends = [read(end) for end in parts.get("range", [])]
    assert not ends or ends[0] <= value <= ends[1]
    for number in [value, *ends] if limits else []:
        assert limits.low <= number <= limits.high


@lru_cache(maxsize=1)
def workload_validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def names_in(size: Any) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", size)) - {"min", "max", "ceil"} if isinstance(size, str) else set()


def judge_workload(raw: bytes, workload: Any) -> None:
    """An accepted workload is valid by the schema and by the rules that the schema cannot state."""
    data = strict_json(raw)
    errors = [e.message for e in workload_validator().iter_errors(data)]
    assert not errors
    sizes = {name for name, s in data.get("symbols", {}).items() if not s.get("ratio")}
    for s in data.get("symbols", {}).values():
        low, high = s.get("uncertain", [s["default"]] * 2)
        assert s["low"] <= low <= s["default"] <= high <= s["high"]
    used = {name: judge_graph(graph) for name, graph in data["graphs"].items()}
    for phases in data["schedules"].values():
        assert len({p["name"] for p in phases}) == len(phases)
        for phase in phases:
            judge_phase(phase, used, sizes)
    assert set(workload.graphs) == set(data["graphs"])
    for name, graph in data["graphs"].items():
        assert [op.name for op in workload.graphs[name].ops] == [op["name"] for op in graph["ops"]]


def judge_phase(phase: dict[str, Any], used: dict[str, set[str]], sizes: set[str]) -> None:
    scope = set(sizes)
    if "repeat" in phase:
        assert phase["repeat"]["symbol"] not in sizes
        assert names_in(phase["repeat"]["first"]) | names_in(phase["repeat"]["last"]) <= sizes
        scope.add(phase["repeat"]["symbol"])
    for call in phase["calls"]:
        bind = call.get("bind", {})
        assert set(bind) <= used[call["graph"]] <= scope | set(bind)
        assert all(names_in(size) <= scope for size in bind.values())


def judge_graph(graph: dict[str, Any]) -> set[str]:
    """Check the wiring of one graph; the symbols it uses."""
    tensors, ops = graph["tensors"], graph["ops"]
    ready = {name for name, t in tensors.items() if t["role"] in ("input", "weight", "state")}
    names = [op["name"] for op in ops]
    assert len(set(names)) == len(names)
    made: set[str] = set()
    for op in ops:
        assert set(op["inputs"]) <= ready
        assert op.get("into", op["name"] + "x") != op["name"]
        assert not op.get("into") or op["into"] in names
        for name in op["outputs"]:
            assert tensors[name]["role"] not in ("input", "weight")
            assert name not in made
            made.add(name)
        ready |= made
    assert set(tensors) == ready
    assert set(graph["outputs"]) <= ready
    assert (
        {n for n, t in tensors.items() if t["role"] == "input"}
        <= set(graph["inputs"])
        <= ready - made | {n for n, t in tensors.items() if t["role"] == "state"}
    )
    used = [names_in(size) for t in tensors.values() for size in t["shape"]]
    return set().union(*used, *(names_in(size) for op in ops for size in op.get("dims", {}).values()))


def judge_table(raw: bytes, table: Any) -> None:
    """An accepted table: legal evidence, ranges round their values, every figure a finite number."""
    data = strict_yaml(raw)
    judge_figures(data)
    figures = [f for entry in table.values() for f in entry.values()] if isinstance(table, dict) else []
    assert all(math.isfinite(f.value) for f in figures if hasattr(f, "value"))


def judge_figures(data: Any) -> None:
    if isinstance(data, list):
        for inner in data:
            judge_figures(inner)
    if isinstance(data, dict):
        assert data.get("evidence", "assumed") in ("verified", "computed", "simulated", "recalled", "assumed")
        if "range" in data and "value" in data:
            low, high = data["range"]
            assert low <= data["value"] <= high
        for inner in data.values():
            judge_figures(inner)


JUDGES = {"design": judge_design, "workload": judge_workload, "technology": judge_table, "dram": judge_table}


# --- mutants ----------------------------------------------------------------------------------------------------


def good_files() -> list[tuple[str, Path, int]]:
    """(kind, file, share) of the good files that mutants are made of: our samples and everything shipped."""
    tables = Path(energy.__file__).parent / "tables"
    shipped = [("design", path, 4) for path in find_designs().values() if path.parent.parent != PLUG_IN]
    nets = sorted(store.find_workloads().values(), key=lambda path: path.stat().st_size)
    return [
        ("design", PLUG_IN / "sample_accel" / "sample_wide.yaml", 24),
        ("workload", BAD / "good_workload.json", 32),
        *shipped,
        *[("workload", path, 1) for path in nets[:2]],
        ("technology", tables / "technology.yaml", 8),
        ("dram", tables / "dram.yaml", 8),
    ]


@dataclasses.dataclass
class Tally:
    """What became of the mutants of one kind."""

    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    codes: Counter[str] = dataclasses.field(default_factory=Counter)


def try_mutant(kind: str, mutant: Mutant, file: Path, tally: Tally) -> None:
    """Read one mutant as its kind; it is refused in full, or accepted and valid."""
    file.write_bytes(mutant.raw)
    start = time.perf_counter()
    try:
        read = READERS[kind](file)
    except InputError as bad:
        tally.refused += 1
        tally.codes.update({p.code for p in bad.problems})
        assert_placed(bad.problems)
    else:
        tally.accepted += 1
        JUDGES[kind](mutant.raw, read)
    tally.slowest_s = max(tally.slowest_s, time.perf_counter() - start)


def test_no_mutant_crashes_hangs_or_slips_through(tmp_path: Path) -> None:
    rng = random.Random(20240229)
    sources = [(kind, Mutator(p.read_text(encoding="utf-8"), is_json=p.suffix == ".json"), share)
               for kind, p, share in good_files()]  # fmt: skip
    shares = sum(share for _, _, share in sources)
    tallies = {kind: Tally() for kind in READERS}
    changes: Counter[str] = Counter()
    for kind, mutator, share in sources:
        for _ in range(-(-MUTANTS * share // shares)):
            mutant = mutator.mutant(rng)
            changes.update(mutant.changes)
            file = tmp_path / ("f.json" if kind == "workload" else "f.yaml")
            try:
                try_mutant(kind, mutant, file, tallies[kind])
            except Exception as failure:
                kept = tmp_path / f"failed_{kind}{file.suffix}"
                kept.write_bytes(mutant.raw)
                raise AssertionError(f"{kind} mutant {mutant.changes}, kept as {kept}") from failure
    for kind, tally in tallies.items():
        print(f"{kind}: {tally.refused} mutants refused, {tally.accepted} accepted and valid, "
              f"slowest {tally.slowest_s:.2f} s, {len(tally.codes)} codes")  # fmt: skip
        assert tally.refused > 50
        assert tally.slowest_s < SECONDS_PER_FILE
    print(f"changes: {dict(changes.most_common())}")
    total = sum(t.accepted + t.refused for t in tallies.values())
    print(f"{total} mutants of {len(sources)} good files")
    assert total >= 2_000
    assert tallies["design"].accepted > 50
    assert tallies["workload"].accepted > 50
    assert min(changes.values()) >= 10
