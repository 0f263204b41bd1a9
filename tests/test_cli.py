"""The command line as a user types it: results on stdout, talk on stderr, exit codes, one message a mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim import cli

SMALL = ("--bind", "n=4,m=2")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run_command(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_list_names_what_ships(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "list", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"optimus", "optimus-baseline", "i7-6900k", "titan-xp"} <= set(found["designs"])
    assert {"transformer-base", "gpt2-small", "minilm-l6", "efficientnet-lite0"} <= set(found["workloads"])
    assert {"optimus", "roofline"} <= set(found["models"])
    assert {"45nm", "28nm", "16nm", "7nm"} <= set(found["technologies"])


def test_run_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "run", "-a", "optimus", "-w", "transformer-base", *SMALL, "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert answer["accelerator"] == "optimus"
    assert answer["latency_interval_s"][0] <= answer["latency_s"] <= answer["latency_interval_s"][1]


def test_run_prints_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "run", "-a", "titan-xp", "-w", "transformer-base", *SMALL)
    assert code == 0
    assert "titan-xp" in out and "latency" in out.lower()


def test_set_overrides_a_design_value(capsys: pytest.CaptureFixture[str]) -> None:
    question = ("run", "-a", "optimus", "-w", "transformer-base", *SMALL, "--no-interval", "--json")
    _, cached, _ = call(capsys, *question)
    _, full, _ = call(capsys, *question, "--set", "decode_cache=false")
    assert json.loads(full)["design"]["decode_cache"] is False
    assert json.loads(full)["macs"] > json.loads(cached)["macs"]


def test_a_terminal_without_columns_still_gets_the_summary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    code, out, _ = call(capsys, "run", "-a", "i7-6900k", "-w", "transformer-base", *SMALL, "--no-interval")
    assert code == 0
    assert "latency" in out


def test_climb_widens_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "run", "-a", "i7-6900k", "-w", "transformer-base", *SMALL, "--climb", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["latency_interval_s"][0] <= answer["latency_s"] <= answer["latency_interval_s"][1]


def test_report_writes_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = call(
        capsys, "report", "-a", "optimus", "-w", "transformer-base", *SMALL, "--out", str(tmp_path), "--json"
    )
    files = json.loads(out)["files"]
    assert code == 0
    assert all(Path(f).stat().st_size > 0 for f in files)
    assert "report.html" in {Path(f).name for f in files}


def test_explain_says_where_each_value_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "explain", "optimus", "--set", "macs=512", "--json")
    values = {v["key"]: v for v in json.loads(out)["values"]}
    assert code == 0
    assert values["macs"]["place"] == "--set macs=512"
    assert "optimus.yaml:" in values["clock"]["place"]


def test_check_tells_every_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: optimus\nmacss: 4\n")
    code, out, err = call(capsys, "check", "optimus", str(bad), "transformer-base")
    assert code == 2
    assert "optimus: a valid design" in out
    assert f"{bad}:2:1" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("run", "-a", "optimos", "-w", "transformer-base"), "optimos"),
        (("run", "-a", "optimus", "-w", "transformr"), "transformr"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--set", "macs"), "macs"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--set", "macs=-1"), "macs"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--bind", "n"), "must read NAME=NUMBER"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--bind", "n=x"), "must be a plain number"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--bind", "n=1e999"), "must be a plain number"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--bind", "n=2,n=3"), "bound twice"),
        (("run", "-a", "optimus", "-w", "transformer-base", "--bind", "n=2", "--bind", "n=3"), "bound twice"),
        (("explain", "nothing-like-it"), "nothing-like-it"),
        (("check", "nothing-like-it"), "nothing-like-it"),
        (("check", "/nothing/like/it.json"), "/nothing/like/it.json"),
        (("report", "-a", "optimus", "-w", "transformer-base", *SMALL, "--out", "/proc/nothing"), "can't be written"),
    ],
)
def test_a_mistake_is_a_message_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str
) -> None:
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize("target", ["nowhere:nothing", "nothing"])
def test_a_target_that_cannot_be_traced_is_named(capsys: pytest.CaptureFixture[str], target: str) -> None:
    pytest.importorskip("torch")
    code, _, err = call(capsys, "trace", target)
    assert code == 2
    assert "nothing" in err and "Traceback" not in err


def test_mistakes_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "run", "-a", "optimus", "-w", "transformer-base", "--set", "macs=0", "--json")
    (problem,) = json.loads(out)["errors"]
    assert code == 2
    assert problem["key"] == "macs"
    assert problem["got"] in err


def test_mistyped_commands_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "run", "-a", "optimus", "--json")
    (problem,) = json.loads(out)["errors"]
    assert (code, problem["code"]) == (2, "usage")
    assert "--workload" in problem["rule"] and problem["rule"] in err


def test_our_own_bug_asks_for_a_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("not the user's fault")

    monkeypatch.setattr("hwsim.config.load_design", broken)
    code, _, err = call(capsys, "explain", "optimus")
    assert code == 70
    assert "Traceback" not in err
    log = Path(err.rsplit("file ", 1)[1].strip(" .\n"))
    assert "not the user's fault" in log.read_text()
    log.unlink()


def shell(redirection: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`hwsim ARGUMENTS` with a redirection of the shell, which Popen has no words for (a stream that is not there)."""
    script = f'exec "$@" {redirection}'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "hwsim", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **variables}, check=False)


@pytest.mark.parametrize(
    ("redirection", "arguments", "code"),
    [(">&-", ("list",), 0), (">&- 2>&-", ("list",), 0), ("2>&-", ("check", "nowhere.yaml"), 2)],
)
def test_missing_streams_change_no_exit_code(redirection: str, arguments: tuple[str, ...], code: int) -> None:
    done = shell(redirection, *arguments)
    assert (done.returncode, done.stderr) == (code, b"")


def test_a_full_disk_is_told_and_not_our_bug() -> None:
    done = shell(">/dev/full", "list", "--json")
    assert done.returncode == 2
    assert done.stderr == b"error: No space left on device\n"


def test_characters_the_terminal_lacks_are_escaped() -> None:
    run = ("run", "-a", "titan-xp", "-w", "transformer-base", *SMALL, "--no-interval")
    done = shell("", *run, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xb7" in done.stdout


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m hwsim list"
    writer = subprocess.Popen(command.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    assert writer.stdout is not None and writer.stderr is not None
    writer.stdout.close()
    assert writer.wait() == 0
    assert b"Traceback" not in writer.stderr.read()


def test_run_shows_small_networks_layer_by_layer_and_large_ones_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    question = ("run", "--no-interval", "-w", "mobilenet-v1-0.25-160", "-a")
    _, small, _ = call(capsys, *question, "stm32h7")
    _, large, _ = call(capsys, *question, "i7-6900k")
    _, asked, _ = call(capsys, *question, "i7-6900k", "--layers")
    assert "longest groups" in large and "Layers in network order" not in large
    for shown in (small, asked):
        lines = [line.split()[0] for line in shown.splitlines() if line.startswith(" ") and ".conv " in line]
        blocks = [f"{kind}{i}.conv" for i in range(1, 14) for kind in ("dw", "pw")]
        assert lines == ["conv0.conv", *blocks] and "longest groups" not in shown


def test_an_unknown_name_is_told_where_names_are() -> None:
    for arguments in (["run", "-a", "optimus", "-w", "no-such-net"], ["schedule", "-w", "no-such-net"]):
        done = subprocess.run([sys.executable, "-m", "hwsim", *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "no installed workload has this name. Run `hwsim list`" in done.stderr
