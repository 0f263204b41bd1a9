"""Workload files: what is written comes back, what is read is checked, and the schema says the same."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import InputError
from hwsim.expr import parse as size
from hwsim.workload import schema, store
from hwsim.workload.ir import (
    KINDS,
    Call,
    Disposition,
    Graph,
    Op,
    Phase,
    Repeat,
    Role,
    Symbol,
    Tensor,
    Workload,
)


def chain(length: int) -> Workload:
    """Linear layers one after the other, in two schedules with a generating repeat."""
    tensors = {"x": Tensor("x", (size("q"), size(512)), 32, "float32", Role.INPUT)}
    ops = []
    last = "x"
    for i in range(length):
        role = Role.OUTPUT if i == length - 1 else Role.ACTIVATION
        tensors[f"w{i}"] = Tensor(f"w{i}", (size(512), size(512)), 8, "int8", Role.WEIGHT, 0.25, "0123456789abcdef" * 4)
        tensors[f"y{i}"] = Tensor(f"y{i}", (size("q"), size(512)), 32, "float32", role)
        dims = {"batch": size(1), "m": size("q"), "n": size(512), "k": size(512)}
        ops.append(Op(f"layer.{i}", "matmul", (last, f"w{i}"), (f"y{i}",), dims, {"static": True, "scale": 0.5},
                      f"layers.{i}", "aten.linear.default"))  # fmt: skip
        last = f"y{i}"
    symbols = {
        "n": Symbol(30, 1, 4096, "tokens"),
        "density": Symbol(0.25, 0.01, 1.0, "share of non-zeros", True, "assumed", (0.15, 0.5)),
    }
    decode = Phase("decode", (Call("main", {"q": size("t + 1")}),), Repeat("t", size(1), size("2*n")), True)
    schedules = {"cached": (Phase("encode", (Call("main", {"q": size("n")}),)), decode), "bare": (decode,)}
    graph = Graph("main", tensors, tuple(ops), ("x",), (last,))
    return Workload("chain", "a chain of layers", symbols, {"main": graph}, schedules, {"torch": "2"}, "chain.npz")


SIZES = st.integers(0, 10_000).map(size) | st.sampled_from(
    [size(t) for t in ("n", "n + 1", "2*n*m", "ceil(n, 4)", "min(n, m)")]
)
NAMES = st.text('abc.<>é"\\/_-', min_size=1, max_size=5)
ATTRS = (
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé" ')
)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Valid workloads of every kind of operator, one graph, straight lines of operators with side inputs."""
    names = draw(st.lists(NAMES, min_size=3, max_size=8, unique=True))
    shapes = st.lists(SIZES, max_size=3).map(tuple)
    tensors = {}
    ops: list[Op] = []
    ready: list[str] = []
    for i, name in enumerate(names):
        role = Role.INPUT if i == 0 else draw(st.sampled_from([Role.WEIGHT, Role.STATE, Role.ACTIVATION]))
        role = Role.OUTPUT if i == len(names) - 1 else role
        tensors[name] = Tensor(name, draw(shapes), draw(st.integers(1, 64)), "float32", role,
                               draw(st.floats(0.001, 1.0)))  # fmt: skip
        if role in (Role.ACTIVATION, Role.OUTPUT):
            ops.append(draw(operators(f"op{i}", ready, name, [op.name for op in ops])))
        ready.append(name)
    graph = Graph("g", tensors, tuple(ops), (names[0],), (names[-1],))
    symbols = {"n": Symbol(draw(st.integers(1, 9)), 1, 9, "rows")}
    phase = Phase(
        "run", (Call("g", {"m": size("n*t")} if "m" in graph.symbols else {}),), Repeat("t", size(1), size("n"))
    )
    return Workload(draw(st.sampled_from(["w", "w-1.x_y"])), draw(st.text("ab é\"\n")), symbols, {"g": graph},
                    {"s": (phase,)}, draw(st.dictionaries(NAMES, NAMES, max_size=2)))  # fmt: skip


@st.composite
def operators(draw: st.DrawFn, name: str, ready: list[str], output: str, earlier: list[str]) -> Op:
    kind = draw(st.sampled_from(list(KINDS)))
    disposition, reason, into = Disposition.MODELLED, "", ""
    if kind == "unsupported":
        disposition, reason = Disposition.UNSUPPORTED, "unknown"
    elif kind == "view" or draw(st.booleans()):
        disposition, reason = Disposition.FREE, "no data moves"
    elif earlier and draw(st.booleans()):
        disposition, reason, into = Disposition.FUSED, "an epilogue", draw(st.sampled_from(earlier))
    inputs = tuple(draw(st.lists(st.sampled_from(ready), min_size=1, max_size=3)))
    dims = {d: draw(SIZES) for d in KINDS[kind]}
    attrs = draw(st.dictionaries(NAMES, ATTRS, max_size=2))
    return Op(
        name, kind, inputs, (output,), dims, attrs, draw(st.text("ab.", max_size=3)), "aten", disposition, reason, into
    )


VALIDATOR = jsonschema.Draft202012Validator(schema.workload_schema())


@given(workloads())
def test_workloads_come_back_as_they_were(workload: Workload) -> None:
    text = store.dumps(workload)
    again = store.parse(text)
    assert again == workload
    assert list(again.graphs["g"].tensors) == list(workload.graphs["g"].tensors)
    assert store.dumps(again) == text
    assert list(VALIDATOR.iter_errors(json.loads(text))) == []


def test_the_chain_comes_back_and_keeps_its_order() -> None:
    workload = chain(3)
    text = store.dumps(workload)
    again = store.parse(text)
    assert again == workload
    assert list(again.schedules) == ["cached", "bare"]
    assert again.macs({"n": 30}, "bare") == 3 * 512 * 512 * sum(t + 1 for t in range(1, 61))


def test_files_read_well_in_a_diff() -> None:
    lines = store.dumps(chain(3)).splitlines()
    for i in range(3):
        assert sum(f'"name": "layer.{i}"' in line for line in lines) == 1
        assert sum(line.strip().startswith(f'"w{i}": {{"shape"') for line in lines) == 1
    assert not any('"disposition"' in line or '"into"' in line for line in lines), "defaults are left out"
    assert max(map(len, lines)) < 400


def test_write_is_all_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    store.write(chain(2), file)
    before = file.read_text()
    assert store.read(file) == chain(2)
    broken = dataclasses.replace(chain(2), schedules={})
    with pytest.raises(InputError, match="at least one schedule"):
        store.write(broken, file)
    assert file.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["chain.json"]
    with pytest.raises(InputError, match="unwritable-file"):
        store.write(chain(2), tmp_path / "no folder" / "chain.json")


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for target in (pipe, tmp_path):
        with pytest.raises(InputError, match="a regular file is needed here"):
            store.write(chain(1), target)
    assert pipe.is_fifo()


def test_masks_lie_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    store.write(chain(1), file)
    with pytest.raises(InputError) as caught:
        store.load_workload(file)
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if '"masks"' in text)
    assert str(caught.value) == (
        f"{file}:{line}:11: [missing-file] masks: got 'chain.npz'; there is no such file beside the workload."
    )
    (tmp_path / "chain.npz").touch()
    loaded = store.load_workload(file)
    assert store.mask_path(loaded) == (tmp_path / "chain.npz").resolve()
    assert store.dumps(loaded) == file.read_text(), "the text does not depend on the folder"
    assert store.mask_path(dataclasses.replace(loaded, masks="")) is None


def test_masks_are_no_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.npz").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    store.write(chain(1), folder / "chain.json")
    (folder / "chain.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(InputError, match="a link would lead out of the folder"):
        store.load_workload(folder / "chain.json")


def test_installed_workloads_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = tmp_path / "some_nets", tmp_path / "some_nets-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('looking for workloads imports nothing')\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-nets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hwsim.workloads]\nnets = some_nets\n")
    store.write(dataclasses.replace(chain(1), masks=""), package / "my_chain.json")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert store.find_workloads()["my-chain"] == package / "my_chain.json"
    assert store.load_workload("my-chain").name == "chain"
    assert store.summary_of(package / "my_chain.json") == "a chain of layers"
    with pytest.raises(InputError) as caught:
        store.load_workload("my-chian")
    assert str(caught.value) == (
        "[unknown-workload] got 'my-chian'; no installed workload has this name. Did you mean my-chain?"
    )


def test_every_shipped_workload_is_valid() -> None:
    paths = store.find_workloads()
    for path in paths.values():
        workload = store.read(path)
        assert store.dumps(workload) == path.read_text(encoding="utf-8"), f"{path}: written by another version"
        assert list(VALIDATOR.iter_errors(json.loads(path.read_text(encoding="utf-8")))) == []
    print(f"{len(paths)} shipped workloads")


def test_the_published_schema_is_current() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.workload_schema())
    assert schema.PUBLISHED.read_text(encoding="utf-8") == schema.text(), (
        "run: python -m hwsim.workload.schema hwsim/schemas/workload.schema.json"
    )


def test_the_schema_can_be_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    subprocess.run([sys.executable, "-m", "hwsim.workload.schema", str(file)], check=True)
    assert file.read_text(encoding="utf-8") == schema.text()


def _changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(store.dumps(chain(2)))
    inner: Any = data
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return data


OP = ("graphs", "main", "ops", 0)
SCHEMA_REFUSES = [
    (("schema",), "hwsim/workload/2"), (("name",), "a b"), (("summary",), 3), (("extra",), 1), (("graphs",), {}),
    (("masks",), "../x.npz"), (("symbols", "9"), {}), (("symbols", "n", "default"), 0.5),
    (("symbols", "density", "default"), 0), (("symbols", "n", "uncertain"), [1]), (("symbols", "n", "meaning"), ""),
    (("graphs", "main", "tensors", "x", "bits"), 0), (("graphs", "main", "tensors", "x", "role"), "result"),
    (("graphs", "main", "tensors", "x", "density"), 1.5), (("graphs", "main", "tensors", "x", "shape", 0), -1),
    (("graphs", "main", "tensors", "x", "shape", 0), "n; m"), (("graphs", "main", "tensors", "x", "content"), "abc"),
    ((*OP, "kind"), "matmull"), ((*OP, "dims", "rows"), 1), ((*OP, "dims"), {"batch": 1}), ((*OP, "outputs"), []),
    ((*OP, "disposition"), "free"), ((*OP, "into"), "layer.1"), ((*OP, "attrs"), {"a": [1]}), ((*OP, "name"), ""),
    (("schedules", "cached"), []), (("schedules", "cached", 0, "calls"), []),
    (("schedules", "cached", 1, "repeat", "last"), None), (("schedules", "cached", 1, "generates"), 1),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), SCHEMA_REFUSES)
def test_the_schema_and_the_reader_refuse_the_same(path: tuple[str | int, ...], value: Any) -> None:
    data = _changed(path, value)
    assert list(VALIDATOR.iter_errors(data))
    with pytest.raises(InputError):
        store.parse(json.dumps(data))


def test_a_large_file_is_read(tmp_path: Path) -> None:
    """Prints what 400 operators take: reading should not be what a run spends its time on."""
    file = tmp_path / "big.json"
    store.write(chain(400), file)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        workload = store.read(file)
        times.append(time.perf_counter() - start)
    assert len(workload.graphs["main"].ops) == 400
    print(f"400 operators in {min(times) * 1e3:.1f} ms")


def test_import_is_light() -> None:
    code = "import hwsim.workload.store, sys; print(*sorted(m for m in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "numba", "torch", "pandas", "matplotlib", "yaml"} & set(out)
