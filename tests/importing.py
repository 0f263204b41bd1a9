"""What the tests of all importers share: edited copies of good files, mutants of them, and runs of what came out."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mutate import TEXT_CHANGES

from hwsim.cli import run_command
from hwsim.errors import InputError
from hwsim.importers.notes import Imported
from hwsim.workload import store
from hwsim.workload.ir import Op, Workload

FILES = Path(__file__).parent / "importers"
DEEP = os.environ.get("HWSIM_DEEP") == "1"
NUMBERS = ["0", "-1", "1", "3", "1.5", "1e9", "1e400", "99999999999999999999", "x", "", "2:4", "true", "[1]", "{a: 1}"]
TOKEN = re.compile(rb"[A-Za-z0-9_.]+")


def copied(folder: str, to: Path) -> Path:
    """A copy of the good files of one format."""
    return Path(shutil.copytree(FILES / folder, to / folder))


def edited(path: Path, old: str, new: str) -> None:
    """Put `new` where `old` stands, which it does."""
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1))


def messages(read: Callable[[], Any]) -> list[str]:
    """The messages that reading ends with."""
    with pytest.raises(InputError) as caught:
        read()
    return [str(p) for p in caught.value.problems]


def ops_of(workload: Workload | None) -> tuple[Op, ...]:
    assert workload is not None
    (graph,) = workload.graphs.values()
    return graph.ops


def sizes(op: Op) -> dict[str, int]:
    return op.sizes({})


def layers_of_run(design: Path, workload: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The layers of a run of two files, as `hwsim run --json` prints them; both files pass `hwsim check`."""
    assert run_command(["check", str(design), str(workload)]) == 0
    capsys.readouterr()
    assert run_command(["run", "-a", str(design), "-w", str(workload), "--no-interval", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return [layer for layer in found["layers"] if layer["op"] in ("matmul", "conv2d")]


# --- mutants ----------------------------------------------------------------------------------------------------


def token(rng: random.Random, raw: bytes) -> bytes:
    """Put another number, another word of the file, or nothing, in place of a word."""
    words = list(TOKEN.finditer(raw))
    if not words:
        return raw
    word = rng.choice(words)
    other = rng.choice([*NUMBERS, rng.choice(words)[0].decode("latin-1")]).encode("latin-1")
    return raw[: word.start()] + other + raw[word.end() :]


def blob(rng: random.Random, raw: bytes) -> bytes:
    """Lose, repeat or overwrite a stretch of bytes."""
    at = rng.randrange(len(raw))
    end = min(len(raw), at + rng.choice([1, 2, 8, 64]))
    middle = rng.choice([b"", raw[at:end] * 2, bytes(rng.randrange(256) for _ in range(end - at))])
    return raw[:at] + middle + raw[end:]


def mutated(rng: random.Random, raw: bytes, *, text: bool = True) -> bytes:
    """One change, or two."""
    changes = [*[token] * 4, *TEXT_CHANGES] if text else [blob]
    for _ in range(rng.choice([1, 1, 1, 2])):
        raw = rng.choice(changes)(rng, raw) or b"\n"
    return raw


def try_mutants(
    files: Sequence[Path], read: Callable[[], Imported], count: int, *, seed: int, text: bool = True
) -> Counter[str]:
    """Read so many mutants of each file; each is refused by messages, or makes a workload and a design that stand."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    for path in files:
        good = path.read_bytes()
        for _ in range(count * (20 if DEEP else 1)):
            path.write_bytes(raw := mutated(rng, good, text=text))
            try:
                made = read()
            except InputError as bad:
                found["refused"] += 1
                assert all(str(p).isprintable() and len(str(p)) < 2000 for p in bad.problems), raw
            except Exception as failure:
                raise AssertionError(f"{path.name}: {raw!r}") from failure
            else:
                found["accepted"] += 1
                if made.workload is not None:
                    store.parse(store.dumps(made.workload), "mutant")
        path.write_bytes(good)
    return found
