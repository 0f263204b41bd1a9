"""What can happen to a sweep's store, counted: kills, simultaneous starts, failing writes, damaged bytes, workers that
die. The campaigns run in a process of their own (`sweep_campaigns.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

DEEP = os.environ.get("HWSIM_DEEP") == "1"
CAMPAIGNS = Path(__file__).with_name("sweep_campaigns.py")
SEED = 20


def campaign(name: str, count: int, folder: Path) -> dict[str, int]:
    """Run a campaign, print its counts, and hand them over; absent counts are 0."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGNS), name, str(count), str(folder), str(SEED)],
        capture_output=True, text=True, check=False, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    tally: dict[str, int] = json.loads(done.stdout)
    print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in tally.items()))
    assert tally["lost"] == tally["duplicated"] == tally["exports different"] == 0
    assert tally.get("stuck", 0) == tally.get("errors", 0) == 0
    assert tally["exports"] > 0
    return tally


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    tally = campaign("kills", 1000 if DEEP else 170, tmp_path)
    assert tally["kills"] >= (1000 if DEEP else 170)
    assert min(tally["kills of a whole run"], tally["kills of a worker"]) > 10


def test_kills_inside_store_creation(tmp_path: Path) -> None:
    tally = campaign("creation", 150 if DEEP else 30, tmp_path)
    assert tally["kills"] >= 30
    assert tally["journals left"] > 0, "no kill fell inside a transaction"


def test_simultaneous_first_starts_share_the_work(tmp_path: Path) -> None:
    tally = campaign("starts", 50, tmp_path)
    assert tally["rounds of 2"] == tally["rounds of 4"] == tally["rounds of 8"] == 50


def test_every_statement_may_find_the_disk_full(tmp_path: Path) -> None:
    tally = campaign("statements", 0, tmp_path)
    assert tally["failed"] > 50
    assert tally["other errors"] == 0


def test_files_may_stop_growing_anywhere(tmp_path: Path) -> None:
    tally = campaign("full", 200 if DEEP else 40, tmp_path)
    assert tally["refused"] > 20


def test_points_that_kill_are_set_aside_with_their_log(tmp_path: Path) -> None:
    tally = campaign("poison", 0, tmp_path)
    assert tally["failed"] == tally["aside"] == tally["logs"] == tally["again"] == 2
    assert tally["mended"] > 0


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Thirty minutes with HWSIM_DEEP=1, else long enough to see a leak of a few KiB a study."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGNS), "soak", str(1800 if DEEP else 120), str(tmp_path), str(SEED)],
        capture_output=True, text=True, check=False, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    tally: dict[str, int] = json.loads(done.stdout)
    print("soak: " + ", ".join(f"{n} {what}" for what, n in tally.items()))
    assert tally["studies"] > 20
    assert tally["KiB at most"] - tally["KiB after a fifth"] < 8 * 1024
    assert tally["open files"] < 20
    assert tally["children left"] == 0


def test_damage_is_detected_or_harmless(tmp_path: Path) -> None:
    flips = 5000 if DEEP else 500
    done = subprocess.run(
        [sys.executable, str(CAMPAIGNS), "damage", str(flips), str(tmp_path), str(SEED)],
        capture_output=True, text=True, check=False, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    tally: dict[str, int] = json.loads(done.stdout)
    print("damage: " + ", ".join(f"{n} {what}" for what, n in tally.items()))
    for what, count in (("flips", flips), ("truncations", flips // 5)):
        assert tally[what] == count
        assert tally.get(f"{what} detected", 0) + tally.get(f"{what} harmless", 0) == count
        assert tally[f"{what} detected"] > count // 10
