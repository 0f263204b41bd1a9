"""Sweeps through the runner: what the store holds, what comes out of it, who did the work."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from sweep_campaigns import STUDY

from hwsim import cli
from hwsim.errors import InputError
from hwsim.evaluation import Job
from hwsim.simulate import run
from hwsim.sweep import compiled, exports, ledger, runner, work
from hwsim.sweep.codec import canonical, row_check, study_document, study_from
from hwsim.sweep.executors import DaskExecutor
from hwsim.sweep.metrics import metrics_of
from hwsim.sweep.owner import is_alive, this_process
from hwsim.sweep.pareto import pareto_front
from hwsim.sweep.progress import ProgressLine, described, duration
from hwsim.sweep.runner import Progress, Summary, run_study
from hwsim.sweep.store import Outcome, Store
from hwsim.sweep.study import Direction, Objective, Parameter, Study

FILE = """\
study: tiny
accelerator: titan-xp
workload: minilm-l6
objectives: {latency_s: minimize, power_w: minimize}
constraints: [clock > 1000000]
space:
  macs_per_cycle: [1000, 2000, 3000]
  clock: [1 GHz, 1.1 GHz, 1.2 GHz]
"""


def changed(study: Study, **changes: object) -> Study:
    return dataclasses.replace(study, **changes)  # type: ignore[arg-type]


def done(study: Study, path: Path, **how: object) -> Summary:
    return run_study(study, path, **{"engine": "serial", **how})  # type: ignore[arg-type]


def outcomes(path: Path) -> list[Outcome]:
    with Store(path) as store:
        return list(store.trials(store.chosen()))


def csv_of(path: Path, study: str | None = None) -> bytes:
    out = path.with_suffix(".csv")
    with Store(path) as store:
        exports.write_csv(store, store.chosen(study), out)
    return out.read_bytes()


def code_of(call: object, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.problems[0].code


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    done(STUDY, tmp_path / "finished.db")
    return tmp_path / "finished.db"


# --- what is in it ----------------------------------------------------------------------------------------------


def test_every_row_is_what_a_single_run_says(finished: Path) -> None:
    rows = outcomes(finished)
    assert [o.trial for o in rows] == list(range(20))
    ran = [o.row for o in rows if o.row.metrics]
    for row in ran:
        sets = [f"macs_per_cycle={row.assignment['macs_per_cycle']}", f"clock={row.assignment['clock']} kHz"]
        single = run("titan-xp", "minilm-l6", overrides=sets, interval=False)
        wanted = metrics_of(single)
        assert row.metrics.keys() == wanted.keys()
        assert all(value == pytest.approx(wanted[name], rel=1e-12) for name, value in row.metrics.items())
    excluded = [o.row for o in rows if o.row.why == "constraint: clock > 1000000"]
    slow = [o.row for o in rows if o.row.why == "constraint: latency_s < 0.002"]
    assert len(ran) + len(excluded) == 20 and len(excluded) == 4 and slow
    assert all(row.status == "infeasible" and row.metrics["latency_s"] >= 0.002 for row in slow)
    assert not any(row.metrics for row in excluded)


def test_the_summary_adds_up_and_names_the_front(tmp_path: Path) -> None:
    study = changed(STUDY, objectives=(Objective("latency_s"), Objective("power_w"), Objective("clock")))
    summary = done(study, tmp_path / "a.db")
    rows = [o for o in outcomes(tmp_path / "a.db") if o.goals]
    beaten = {
        a.trial for a in rows for b in rows
        if all(y <= x for x, y in zip(a.goals, b.goals, strict=True)) and a.goals != b.goals
    }  # fmt: skip
    assert (summary.points, summary.feasible + summary.infeasible, summary.failed, summary.reused) == (20, 20, 0, 0)
    assert summary.feasible == len(rows)
    assert {o.trial for o in summary.front} == {o.trial for o in rows} - beaten
    again = done(study, tmp_path / "a.db")
    assert (again.reused, again.points_per_second) == (20, 0.0)
    assert again.front == summary.front


def test_a_changed_space_reuses_what_still_matches(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    done(STUDY, path)
    wider = changed(STUDY, parameters=(Parameter("macs_per_cycle", values=(500, 2000, 3000)), STUDY.parameters[1]),
                    constraints=())  # fmt: skip
    summary = done(wider, path)
    # Of 15 points, 5 have a new number of units and 2 a clock that the first study excluded.
    assert (summary.points, summary.reused) == (15, 8)
    done(wider, tmp_path / "fresh.db")
    assert csv_of(path) == csv_of(tmp_path / "fresh.db")
    assert done(STUDY, path).reused == 20
    assert csv_of(path) == csv_of_new(STUDY, tmp_path / "first.db")


def csv_of_new(study: Study, path: Path) -> bytes:
    done(study, path)
    return csv_of(path)


def test_one_two_and_four_workers_export_the_same(tmp_path: Path) -> None:
    found = set()
    for workers in (1, 2, 4):
        path = tmp_path / f"{workers}.db"
        done(STUDY, path, engine="process", workers=workers)
        found.add(csv_of(path))
    assert len(found) == 1


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_sampled_points_do_not_depend_on_who_runs_them(tmp_path: Path, method: str) -> None:
    study = changed(STUDY, method=method, budget=30, seed=7)
    done(study, tmp_path / "a.db")
    done(study, tmp_path / "b.db", engine="process", workers=2)
    assert csv_of(tmp_path / "a.db") == csv_of(tmp_path / "b.db")
    assert done(changed(study, seed=8), tmp_path / "c.db").points == 30
    assert csv_of(tmp_path / "c.db") != csv_of(tmp_path / "a.db")


@pytest.mark.parametrize("method", ["tpe", "asha"])
def test_a_search_stops_and_goes_on(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "COMMIT_S", 0.0)
    options = {"rungs": ["closed", "events"]} if method == "asha" else {}
    study = changed(STUDY, method=method, options=options, budget=80, seed=5, objectives=STUDY.objectives[:1])

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a.db"
    with pytest.raises(KeyboardInterrupt):
        done(study, path, engine="process", workers=2, on_progress=stop)
    before = outcomes(path)
    assert 0 < len(before) < 80
    summary = done(study, path)
    after = outcomes(path)
    assert set(map(repr, before)) <= set(map(repr, after))
    # ASHA proposes each of the 20 configurations once, and promotes a quarter of those that ran.
    assert summary.points == len(after) == {"tpe": 80, "asha": 24}[method]
    with Store(path) as store:
        store.check()


def test_the_front_of_a_ladder_is_of_its_top_rung(tmp_path: Path) -> None:
    """Lower rungs are of shorter runs, which look better and answer another question."""
    options = {"resource": "n", "min": 4, "max": 16, "eta": 4}
    study = changed(STUDY, method="asha", options=options, budget=80, seed=5, objectives=STUDY.objectives[:1])
    summary = done(study, tmp_path / "a.db")
    found = outcomes(tmp_path / "a.db")
    least = min(o.goals[0] for o in found if o.goals and o.rung == 1)
    assert min(o.goals[0] for o in found if o.goals) < least
    assert [(o.rung, o.goals[0]) for o in summary.front] == [(1, least)]


def test_a_point_that_raises_fails_and_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = work.evaluate_plain, []

    def faulty(job: Job) -> object:
        if job.design.clock_khz == 1_200_000:
            calls.append(job)
            raise ZeroDivisionError("a count divides by zero")
        return plain(job)

    monkeypatch.setattr(work, "evaluate_plain", faulty)
    summary = done(STUDY, tmp_path / "a.db")
    assert summary.failed == 4
    assert len(calls) == 12  # three tries each
    failed = [o.row for o in outcomes(tmp_path / "a.db") if o.row.status == "failed"]
    assert {row.why for row in failed} == {"ZeroDivisionError: a count divides by zero"}
    with Store(tmp_path / "a.db") as store:
        logs = [row[0] for row in store.db.rows("SELECT log FROM incident")]
    assert len(logs) == 4 and all("in faulty" in str(log) for log in logs)
    monkeypatch.undo()
    assert done(STUDY, tmp_path / "a.db").failed == 4
    assert done(STUDY, tmp_path / "a.db", retry_failed=True).failed == 0
    done(STUDY, tmp_path / "b.db")
    assert csv_of(tmp_path / "a.db") == csv_of(tmp_path / "b.db")


# --- compiled, and large ----------------------------------------------------------------------------------------


@pytest.fixture
def compiled_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILED_FROM", 1)


MIXED = changed(
    STUDY,
    accelerators=("titan-xp", "i7-6900k"),
    parameters=(Parameter("macs_per_cycle", values=(16, 64, 1000, 3000)),
                Parameter("cache", values=(2**20, 2**24)),
                Parameter("clock", low=1_000_000, high=1_400_000, step=100_000)),
)  # fmt: skip


def same_but_for_rounding(a: Outcome, b: Outcome) -> bool:
    plain = [dataclasses.replace(o, goals=(), row=dataclasses.replace(o.row, metrics={})) for o in (a, b)]
    figures = a.row.metrics, b.row.metrics
    return plain[0] == plain[1] and figures[0].keys() == figures[1].keys() and all(
        type(x) is type(figures[1][k]) and x == pytest.approx(figures[1][k], rel=1e-12) for k, x in figures[0].items()
    )  # fmt: skip


def test_compiled_rows_are_the_plain_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = done(MIXED, tmp_path / "plain.db")
    monkeypatch.setattr(compiled, "COMPILED_FROM", 1)
    fast = done(MIXED, tmp_path / "fast.db")
    a, b = outcomes(tmp_path / "plain.db"), outcomes(tmp_path / "fast.db")
    assert len(a) == len(b) == 80
    assert all(same_but_for_rounding(x, y) for x, y in zip(a, b, strict=True))
    assert (plain.feasible, plain.infeasible) == (fast.feasible, fast.infeasible)
    assert 0 < plain.feasible < 80
    # Above keep_rows the same points are counted, and a choice of the same rows is kept.
    monkeypatch.setattr(ledger, "SAMPLE", 8)
    monkeypatch.setattr(ledger, "TOP", 3)
    large = done(changed(MIXED, keep_rows=10), tmp_path / "large.db")
    assert (large.points, large.feasible, large.infeasible) == (80, fast.feasible, fast.infeasible)
    assert large.front == tuple(dataclasses.replace(o, kept=kept) for o, kept in zip(
        fast.front, [o.kept for o in large.front], strict=True))  # fmt: skip


def test_a_ledger_keeps_the_same_rows_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SAMPLE", 6)
    monkeypatch.setattr(ledger, "TOP", 4)
    monkeypatch.setattr(ledger, "BLOCK", 7)
    study = changed(STUDY, keep_rows=5, objectives=(Objective("latency_s"), Objective("power_w")), constraints=())
    found = []
    for chunk in (3, 8, 100):
        monkeypatch.setattr(ledger, "CHUNK", chunk)
        path = tmp_path / f"{chunk}.db"
        summary = done(study, path)
        assert (summary.points, summary.feasible) == (20, 20)
        found.append((csv_of(path), [(o.trial, o.kept) for o in outcomes(path)]))
        with Store(path) as store:
            store.check()
    assert found[0] == found[1] == found[2]
    done(changed(study, keep_rows=1000), tmp_path / "all.db")
    rows = outcomes(tmp_path / "all.db")
    kept = dict(found[0][1])
    by_latency = sorted(rows, key=lambda o: (o.goals[0], o.trial))[:4]
    front = pareto_front([o.goals for o in rows])
    first: dict[tuple[float, ...], int] = {}
    for o, on in zip(rows, front, strict=True):
        if on:
            first.setdefault(o.goals, o.trial)
    assert {t for t, why in kept.items() if "top 0" in why} == {o.trial for o in by_latency}
    assert {t for t, why in kept.items() if "front" in why} == set(first.values())
    assert any("sample" in why for why in kept.values())


# --- out of it --------------------------------------------------------------------------------------------------


def test_csv_reads_back_exactly(finished: Path) -> None:
    csv_of(finished)
    with finished.with_suffix(".csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    rows = outcomes(finished)
    assert [line["point"] for line in lines] == [o.row.point for o in rows]
    for line, o in zip(lines, rows, strict=True):
        assert int(line["design.clock"]) == o.row.assignment["clock"]
        for name, value in o.row.metrics.items():
            assert float(line[f"result.{name}"]) == value
    assert all(line["result.latency_s"] == "" for line in lines if line["why"] == "constraint: clock > 1000000")


def test_pandas_and_sqlite_open_it_untouched(finished: Path) -> None:
    with sqlite3.connect(finished) as connection:
        frame = pd.read_sql("SELECT * FROM result", connection)
        kinds = {row[2] for table in ("point", "trial", "study", "piece") for row in connection.execute(
            f"PRAGMA table_info({table})")}  # fmt: skip
        assert connection.execute("SELECT DISTINCT typeof(latency_s), typeof(cycles) FROM point").fetchall() == [
            ("real", "integer")]  # fmt: skip
    connection.close()
    assert kinds == {"INTEGER", "REAL", "TEXT"}
    assert len(frame) == 20
    assert frame.latency_s.dropna().min() == min(o.goals[0] for o in outcomes(finished) if o.goals)
    assert [json.loads(text)["clock"] for text in frame.assignment] == [
        o.row.assignment["clock"] for o in outcomes(finished)]  # fmt: skip
    assert list(finished.parent.glob("finished.db-*")) == []


def test_parquet_holds_what_csv_holds(finished: Path) -> None:
    csv_of(finished)
    out = finished.with_suffix(".parquet")
    with Store(finished) as store:
        assert exports.write_parquet(store, store.chosen(), out) == 20
    a, b = (
        pd.read_parquet(out),
        pd.read_csv(
            finished.with_suffix(".csv"),
        ),
    )
    assert list(a.columns) == list(b.columns)
    assert a["design.clock"].dtype == "int64"
    for name in a.columns:
        assert a[name].dropna().tolist() == b[name].dropna().tolist() or a[name].fillna("").tolist() == b[name].fillna(
            "").tolist(), name  # fmt: skip


def test_optuna_takes_the_points_once(finished: Path) -> None:
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{finished.with_suffix('.optuna')}"
    with Store(finished) as store:
        assert exports.write_optuna(store, store.chosen(), url) == 20
        assert exports.write_optuna(store, store.chosen(), url) == 0
    study = optuna.load_study(study_name="campaign", storage=url)
    rows = outcomes(finished)
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert sorted(tuple(t.values) for t in complete) == sorted(o.goals for o in rows if o.goals)
    assert {t.params["clock"] for t in study.trials} == {o.row.assignment["clock"] for o in rows}
    assert [d.name.lower() for d in study.directions] == ["minimize", "maximize"]


def test_salvage_saves_what_is_whole(finished: Path, tmp_path: Path) -> None:
    wanted = csv_of(finished)
    broken, new = tmp_path / "broken.db", tmp_path / "new.db"
    data = bytearray(finished.read_bytes())
    with sqlite3.connect(finished) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'point'").fetchone()
        (point,) = connection.execute("SELECT point FROM point LIMIT 1 OFFSET 7").fetchone()
    connection.close()
    assert root > 1
    at = data.find(point.encode())
    while at >= 0:
        data[at] ^= 1
        at = data.find(point.encode(), at + 1)
    broken.write_bytes(data)
    assert code_of(csv_of, broken) == "store-damaged"
    assert exports.salvage(broken, new) == 15
    summary = done(STUDY, new)
    assert summary.reused == 15
    assert csv_of(new) == wanted
    assert code_of(exports.salvage, broken, new) == "write"


def test_what_is_no_store_is_left_alone(tmp_path: Path, finished: Path) -> None:
    other, text, empty = tmp_path / "other.db", tmp_path / "text.db", tmp_path / "empty.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    text.write_text("not a database at all, but long enough to be taken for one by its size\n" * 20)
    empty.touch()
    before = other.read_bytes(), text.read_bytes()
    assert code_of(Store, tmp_path / "absent.db") == "no-store"
    assert code_of(Store, empty) == "no-store"
    assert code_of(Store, other, True) == "no-store"
    assert code_of(Store, text, True) == "store-damaged"
    assert code_of(Store, tmp_path, True) == "store-open"
    assert code_of(Store, tmp_path / "no" / "folder.db", True) == "store-open"
    assert (other.read_bytes(), text.read_bytes()) == before
    with sqlite3.connect(finished) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert code_of(Store, finished) == "store-version"
    with Store(tmp_path / "new.db", create=True) as store:
        assert code_of(store.chosen) == "unknown-study"


def test_a_point_never_changes(finished: Path) -> None:
    with Store(finished) as store:
        study = store.chosen()
        one = next(o for o in store.trials(study) if o.goals)
        assert store.add(study, [one]) == 0
        metrics = {**one.row.metrics, "latency_s": one.row.metrics["latency_s"] * 1.001}
        other = dataclasses.replace(one, row=dataclasses.replace(one.row, metrics=metrics))
        with pytest.raises(RuntimeError, match="two computations of the point"):
            store.add(study, [other])
        elsewhere = dataclasses.replace(one, row=dataclasses.replace(one.row, point="f" * 64))
        with pytest.raises(RuntimeError, match="is already the point"):
            store.add(study, [elsewhere])
        store.check()


# --- workers ----------------------------------------------------------------------------------------------------


def test_dask_survives_a_worker(tmp_path: Path) -> None:
    """Four worker processes, one killed on the way: the same export."""
    wanted = csv_of_new(STUDY, tmp_path / "serial.db")
    killed: list[int] = []
    made: list[DaskExecutor] = []

    def cluster(study: Study) -> DaskExecutor:
        made.append(DaskExecutor(study, 4))
        return made[0]

    def kill(progress: Progress) -> None:
        pids = made[0]._client.run(os.getpid)
        if not killed:
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    path = tmp_path / "dask.db"
    summary = run_study(STUDY, path, executor=cluster, on_progress=kill)
    print(f"dask: {summary.points} points, {len(killed)} of 4 workers killed")
    assert killed and summary.failed == 0
    assert csv_of(path) == wanted


def test_a_lease_tells_the_living_from_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        machine = this_process().rsplit("|", 2)[0]
        started = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        name = f"{machine}|{other.pid}|{started}"
        assert is_alive(this_process()) is True
        assert is_alive(name) is True
        assert is_alive(f"{machine}|{other.pid}|1") is False  # the number used again
        assert is_alive(f"elsewhere|{other.pid}|{started}") is None
        other.kill()
        other.wait()
        assert is_alive(name) is False


# --- the commands -----------------------------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run_command([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_sweep_and_export_print_what_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, db = tmp_path / "tiny.yaml", tmp_path / "tiny.db"
    file.write_text(FILE)
    code, out, _ = call(capsys, "sweep", file, "--store", db, "--engine", "serial", "--json")
    answer = json.loads(out)
    assert code == 0
    assert [answer[k] for k in ("points", "feasible", "infeasible", "failed", "reused")] == [9, 6, 3, 0, 0]
    assert answer["points_per_second"] > 0
    assert answer["front"] and set(answer["front"][0]["objectives"]) == {"latency_s", "power_w"}
    code, out, _ = call(capsys, "sweep", file, "--store", db, "--set", "macs_per_cycle=1000,2000,4000", "--json")
    assert (code, json.loads(out)["reused"]) == (0, 4)
    code, out, _ = call(capsys, "sweep", file, "--store", db)
    assert code == 0
    assert out.startswith("tiny: 9 points, 6 feasible, 3 infeasible, 0 failed, 9 reused; 0 points/s\nPareto front of ")
    code, out, _ = call(capsys, "export", db, "--csv", tmp_path / "t.csv", "--json")
    assert json.loads(out)["written"] == {str(tmp_path / "t.csv"): 9}
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 10
    code, _, err = call(capsys, "export", db)
    assert code == 2 and "nothing to write was named" in err
    code, _, err = call(capsys, "export", tmp_path / "none.db", "--csv", tmp_path / "u.csv")
    assert code == 2 and "there is no such store" in err
    code, _, err = call(capsys, "export", db, "--csv", tmp_path / "t.csv", "--study", "other")
    assert code == 2 and "it has: tiny" in err
    code, _, err = call(capsys, "export", db, "--csv", tmp_path / "no" / "t.csv")
    assert code == 2 and "the export can't be written" in err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_ctrl_c_leaves_a_store_that_continues(tmp_path: Path, how: signal.Signals) -> None:
    file, db = tmp_path / "many.yaml", tmp_path / "many.db"
    file.write_text(FILE.replace("[1000, 2000, 3000]", "{range: [1, 2000]}"))
    command = [str(Path(sys.executable).with_name("hwsim")), "sweep", str(file), "--store", str(db), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        until = time.monotonic() + 60
        while not (db.exists() and stored(db)) and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, how) if how is signal.SIGINT else os.kill(process.pid, how)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the results so far are in {db}; the same command continues\n" in said
    with Store(db) as store:
        study = store.chosen()
        before = store.counts(study).all
        assert 0 < before < 6000
        assert store.db.rows("SELECT 1 FROM piece WHERE owner IS NOT NULL") == []
        store.check()


def stored(path: Path) -> bool:
    try:
        with Store(path) as store:
            return bool(store.db.rows("SELECT 1 FROM trial LIMIT 1"))
    except InputError:
        return False


def test_workers_that_cannot_start_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sqlite3.py").write_text("raise SystemExit('no such library here')\n")
    with pytest.raises(RuntimeError, match=r"sweep workers do not start: ended with exit code 1\nno such library here"):
        done(STUDY, tmp_path / "a.db", engine="process")


def test_progress_says_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1024, 4096, 512.0, 0.0123, 7500.0)
    line = "1,024 of 4,096 points (25%), 512 points/s, best latency_s 0.0123, 2 h 5 min left"
    assert described(progress, "latency_s") == line
    assert [duration(s) for s in (0.2, 59.6, 3600, 90_000)] == ["0 s", "1 min", "1 h", "1 d 1 h"]
    told = ProgressLine("latency_s")
    told._spoke = -100.0
    told(progress)
    told(progress)
    told.close()
    assert capsys.readouterr().err == line + "\n"


# --- written down -----------------------------------------------------------------------------------------------


def test_a_study_survives_json() -> None:
    study = changed(STUDY, options={"rungs": ["closed", "events"]}, bind={"n": 4.0}, seed=3)
    again = study_from(json.loads(canonical(study_document(study))))
    assert again == study
    assert again.objectives[1].direction is Direction.MAXIMIZE


def test_a_seal_tells_values_that_compare_equal_apart() -> None:
    assert len({row_check(x) for x in (1, 1.0, "1", None, True, -0.0, 0.0)}) == 7
