"""Building and running a circuit: one build a parameter set, kept on disk; one simulator process for all its runs.

    built = build(hdl, {"macs": 16}, "verilator")
    observations = run(built, stimuli, ["cycles_total"])

The tools are called directly rather than through cocotb's runner: the runner takes tools and settings from this
process's own environment, prints where we report, and cannot give up on a simulation that hangs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hwsim.cosim.circuit import Event, Generated, Hdl, Image, Stimulus
from hwsim.cosim.toolchain import Toolchain, cocotb_folder, find_program, gpi_library, require
from hwsim.errors import InputError, Problem, Where, bad_input

T = TypeVar("T")
R = TypeVar("R")

CACHE_VERSION = 1
CACHE_VARIABLE = "HWSIM_CACHE_DIR"
BUILD_S = 1200
"""A build that takes longer is given up."""
STARTUP_S = 60
SLOWEST_CYCLES_PER_S = 500
"""Icarus was measured at 400 to 30,000 cycles/s on circuits from a whole core down to a small array."""
LOG_TAIL_LINES = 12

TIMESCALE = "1ns/1ps"
SEED = 1
"""Of the values that Verilator gives to state before its reset: it has no X, so a wrong read shows as noise."""

_VERILATOR_OPTIONS = (
    "--cc", "--exe", "--vpi", "--timing", "--assert", "-O3", "--x-assign", "fast", "--x-initial", "unique",
    "--timescale", TIMESCALE, "-Wno-fatal", "-Wno-lint", "-Wno-style", "--prefix", "Vtop", "-Mdir", "obj", "-o", "sim",
)  # fmt: skip
_OPTIMISE = ("OPT_FAST=-O1",)
"""-O2 takes twice as long to compile and was not measurably faster: what a circuit costs is its memories."""
_ICARUS_OPTIONS = ("-g2012",)
_FAILED = re.compile(r"^(?:\[\d+\] )?(?:ERROR|FATAL|%Error|%Fatal)\b.*", re.MULTILINE)

_DUMP = """`timescale 1ns/1ps
module hwsim_dump;
    string file;
    initial if ($value$plusargs("hwsim_waves=%s", file)) begin
        $dumpfile(file);
        $dumpvars(0, TOP);
    end
endmodule
"""


class Observation(NamedTuple):
    """What one run of the circuit did.

    counters   by name, as read when it was done; None where bits are undefined
    memories   the words it left, as many as were expected of it; None for a word with undefined bits or none written
    events     its log, when it was traced
    cycles     from the first cycle after start to `done`, by the clock
    timed_out  whether it was given up after `Stimulus.limit` cycles
    seconds    of wall time between start and done
    """

    counters: Mapping[str, int | None]
    memories: Mapping[str, Sequence[int | None]]
    events: tuple[Event, ...]
    cycles: int
    timed_out: bool
    seconds: float
    waves: Path | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A circuit ready to run, for one set of parameters. `seconds` is what the build took, 0 from the cache."""

    hdl: Hdl
    parameters: Mapping[str, int]
    toolchain: Toolchain
    program: Path
    seconds: float = 0.0
    waves: bool = False

    @property
    def simulator(self) -> str:
        """The simulator it was built for."""
        return self.toolchain.simulator


def _failure(code: str, got: str, rule: str, remedy: str = "", file: str = "") -> InputError:
    return InputError((Problem(code, Where(file), got, rule, remedy),))


# --- child processes --------------------------------------------------------------------------------------------


class _Pool:
    """What one call of `in_parallel` has running. Once `stopped`, it starts no further program."""

    stopped = False


class _Stopped(Exception):
    """The pool of this thread was stopped. No failure of a program: nothing is to be tried again."""


_CHILDREN: dict[subprocess.Popen[bytes], tuple[_Pool, ...]] = {}
"""Programs that run, with the pools they run for: the one of `in_parallel`, and those it was called from."""
_THREAD = threading.local()


def stop_children(pool: _Pool | None = None) -> None:
    """End every simulator and compiler this process has started (for `pool`), with all they have started."""
    for child, pools in tuple(_CHILDREN.items()):
        if pool is None or pool in pools:
            _kill(child)


def _pools() -> tuple[_Pool, ...]:
    return getattr(_THREAD, "pools", ())


def _check_not_stopped() -> None:
    if any(pool.stopped for pool in _pools()):
        raise _Stopped


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _execute(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, timeout_s: float
) -> int | None:
    """Run one program in `folder`, its output appended to `log`: its exit code, or None if it took too long."""
    _check_not_stopped()
    with log.open("ab") as out:
        child = subprocess.Popen(
            list(command), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    _CHILDREN[child] = _pools()
    try:
        code = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _kill(child)
        _reap(child)
        _CHILDREN.pop(child, None)
    _check_not_stopped()
    return code


def _reap(child: subprocess.Popen[bytes]) -> None:
    """Take the exit code of a program that was killed. Its own `wait` is not asked: two interrupts at once may have
    left the lock in it held for ever."""
    if child.returncode is None:
        with contextlib.suppress(ChildProcessError):
            _, status = os.waitpid(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)


def in_parallel(work: Callable[[T], R], items: Sequence[T], jobs: int | None = None) -> Iterator[tuple[int, R]]:
    """(index, work(item)) of every item as it finishes, `jobs` at a time (default: one a processor).

    When anything is raised, by work or by the caller, the child processes of all others are ended.
    """
    if not items:
        return
    workers = min(jobs or os.cpu_count() or 1, len(items))
    mine = _Pool()
    pools = (*_pools(), mine)
    pool = ThreadPoolExecutor(workers, "hwsim-rtl", lambda: setattr(_THREAD, "pools", pools))
    futures: dict[Future[R], int] = {pool.submit(work, item): i for i, item in enumerate(items)}
    pending = set(futures)
    try:
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield futures[future], future.result()
    finally:
        mine.stopped = True
        while any(not future.done() for future in pending):
            # Who asks a second time, as `timeout` and the impatient do, must not leave programs behind.
            with contextlib.suppress(KeyboardInterrupt):
                pool.shutdown(wait=False, cancel_futures=True)
                stop_children(mine)
                wait(pending, timeout=0.05)
        pool.shutdown()


# --- building ---------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where builds are kept: below HWSIM_CACHE_DIR, or else the platform's folder for a user's caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute() / "rtl"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hwsim" / "rtl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim" / "rtl"


def build(hdl: Hdl, parameters: Mapping[str, int], simulator: str, *, waves: bool = False) -> Built:
    """The circuit of `hdl` built for `parameters`, from the cache where the same was built before.

    What is the same: the text of sources, headers beside them included, parameters, options and tools. `waves` makes
    a build that can write them (Icarus' always can).

    Raises InputError when the simulator is missing and, with the end of its log, when it refuses the sources.
    """
    toolchain = require(simulator)
    waves = waves and simulator == "verilator"
    sources = _sources(hdl)
    _check_parameters(hdl, parameters)
    key = _key(hdl, parameters, toolchain, sources, waves)
    entry = cache_folder() / key
    started = time.perf_counter()
    if not _whole(entry):
        _make_entry(entry, hdl, parameters, toolchain, sources, waves)
        seconds = time.perf_counter() - started
    else:
        seconds = 0.0
    return Built(hdl, dict(parameters), toolchain, entry / "sim", seconds, waves)


def _check_parameters(hdl: Hdl, parameters: Mapping[str, int]) -> None:
    if set(parameters) != set(hdl.parameters):
        wanted = ", ".join(hdl.parameters) or "no parameters"
        raise bad_input("parameters", sorted(parameters), f"{hdl.top} is built for {wanted}", "Give each of them once.")


def _sources(hdl: Hdl) -> dict[str, bytes]:
    """File name -> text of the sources in their order, then of the headers beside them."""
    folders = dict.fromkeys(source.parent for source in hdl.sources)
    headers = [h for folder in folders for h in sorted((*folder.glob("*.svh"), *folder.glob("*.vh")))]
    found: dict[str, bytes] = {}
    for path in (*hdl.compiled, *(h for h in headers if h not in hdl.sources)):
        if path.name in found:
            raise _failure("sources", path.name, "two sources have the same file name", "Rename one.", _place(path))
        try:
            found[path.name] = path.read_bytes()
        except OSError as error:
            raise _failure("missing-file", str(path), f"the source cannot be read ({error.strerror})") from None
    return found


def _place(source: Path | Generated) -> str:
    return "" if isinstance(source, Generated) else str(source)


def _key(
    hdl: Hdl, parameters: Mapping[str, int], toolchain: Toolchain, sources: Mapping[str, bytes], waves: bool
) -> str:
    options = {"verilator": (*_VERILATOR_OPTIONS, *_OPTIMISE, *toolchain.make), "icarus": (*_ICARUS_OPTIONS, _DUMP)}
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in sources.items()}
    said = [CACHE_VERSION, toolchain.identity, options[toolchain.simulator], waves, hdl.top,
            [s.name for s in hdl.compiled], list(digests.items()), sorted(_plain(parameters).items())]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _plain(parameters: Mapping[str, int]) -> dict[str, int]:
    return {name: int(value) for name, value in parameters.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _whole(entry: Path) -> bool:
    """Whether a cache entry is there and undamaged."""
    try:
        files = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))["files"]
        return all(_digest(entry / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _make_entry(
    entry: Path, hdl: Hdl, parameters: Mapping[str, int], toolchain: Toolchain, sources: Mapping[str, bytes],
    waves: bool,
) -> None:  # fmt: skip
    """Build into a temporary folder and move the result into the cache in one step."""
    make = _build_verilator if toolchain.simulator == "verilator" else _build_icarus
    with _temporary_folder() as folder:
        (folder / "src").mkdir()
        for name, text in sources.items():
            (folder / "src" / name).write_bytes(text)
        program = make(folder, hdl, _plain(parameters), toolchain, waves)
        about = {"top": hdl.top, "parameters": _plain(parameters), **toolchain.versions}
        try:
            _install(entry, {"sim": program}, about)
        except OSError as error:
            raise _failure("write", str(entry), f"the build cache cannot be written ({error.strerror})",
                           f"Set {CACHE_VARIABLE} to a folder that can be.") from None  # fmt: skip


def _install(entry: Path, files: Mapping[str, Path], about: Mapping[str, object]) -> None:
    """Make `entry` of copies of `files`. Another process may be at the same: whoever is second finds it done."""
    manifest = {"files": {name: _digest(path) for name, path in files.items()}, **about}
    entry.parent.mkdir(parents=True, exist_ok=True)
    stage = entry.parent / f".{entry.name}.{uuid.uuid4().hex}"
    stage.mkdir()
    try:
        for name, path in files.items():
            shutil.copy2(path, stage / name)
        (stage / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _put(stage, entry)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _put(stage: Path, entry: Path) -> None:
    for _ in range(10):
        try:
            stage.rename(entry)
            return
        except OSError:
            if _whole(entry):
                return
            # What is in the way is damaged. It is moved aside first: two processes may both find it so.
            with contextlib.suppress(OSError):
                aside = stage.with_name(f"{stage.name}.old")
                entry.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
    stage.rename(entry)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hwsim-rtl-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        if len(str(folder).split()) > 1:
            raise _failure("build", str(folder), "make cannot build in a folder with spaces in its name",
                           "Set TMPDIR to another folder.")  # fmt: skip
        yield folder


def _tool(command: Sequence[str], folder: Path, toolchain: Toolchain, what: str) -> None:
    """One step of a build. Raises InputError with the end of its output when it fails."""
    log = folder / "build.log"
    code = _execute(command, folder, toolchain.environment, log, BUILD_S)
    if code is None:
        raise _failure("build", f"nothing after {BUILD_S} s", f"{what} did not end")
    if code:
        raise _failure("build", _tail(log), f"{what} failed", "Mend the sources; lines are those of the files named.")


def _build_icarus(folder: Path, hdl: Hdl, parameters: Mapping[str, int], toolchain: Toolchain, waves: bool) -> Path:
    (folder / "dump.sv").write_text(_DUMP.replace("TOP", hdl.top), encoding="utf-8")
    (folder / "options.f").write_text(f"+timescale+{TIMESCALE}\n", encoding="utf-8")
    given = [f"-P{hdl.top}.{name}={value}" for name, value in parameters.items()]
    command = [str(toolchain.program), *_ICARUS_OPTIONS, "-Isrc", "-f", "options.f", "-s", hdl.top, "-s", "hwsim_dump",
               *given, "-o", "sim", *_relative(hdl), "dump.sv"]  # fmt: skip
    _tool(command, folder, toolchain, "iverilog")
    return folder / "sim"


def _relative(hdl: Hdl) -> list[str]:
    """The sources to compile, as they lie in a build's folder. Headers are only included."""
    return [f"src/{source.name}" for source in hdl.compiled if source.suffix not in (".svh", ".vh")]


def _build_verilator(folder: Path, hdl: Hdl, parameters: Mapping[str, int], toolchain: Toolchain, waves: bool) -> Path:
    # Only the ports are opened to the simulator's interface: signals inside stay free for the optimiser.
    visible = f'`verilator_config\npublic_flat_rw -module "{hdl.top}" -var "*"\n'
    (folder / "ports.vlt").write_text(visible, encoding="utf-8")
    libraries = cocotb_folder() / "libs"
    main = cocotb_folder() / "share" / "lib" / "verilator" / "verilator.cpp"
    given = [f"-G{name}={value}" for name, value in parameters.items()]
    tracing = ["--trace-vcd"] if waves else []
    command = [str(toolchain.program), *_VERILATOR_OPTIONS, *tracing, "--top-module", hdl.top, "-Isrc", *given,
               "-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator", str(main), "ports.vlt",
               *_relative(hdl)]  # fmt: skip
    _tool(command, folder, toolchain, "verilator")
    objects = _runtime(toolchain, waves)
    _take_runtime(objects, folder / "obj")
    make = find_program("make", toolchain.environment["PATH"], "Verilator")
    jobs = max(1, (os.cpu_count() or 1) // 2)
    _tool([str(make), f"-j{jobs}", "-C", "obj", "-f", "Vtop.mk", *toolchain.make, *_OPTIMISE], folder, toolchain,
          "the C++ compiler")  # fmt: skip
    _keep_runtime(objects, folder / "obj")
    return folder / "obj" / "sim"


# Most of a build is Verilator's own library, the same for every circuit. Its objects are kept too.


def _runtime(toolchain: Toolchain, waves: bool) -> Path:
    said = [CACHE_VERSION, toolchain.identity, toolchain.make, waves]
    return cache_folder() / f"runtime-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]}"


def _take_runtime(objects: Path, target: Path) -> None:
    """Put the library's objects where make looks for them, newer than what they are made of."""
    if _whole(objects):
        for path in objects.glob("*.o"):
            shutil.copyfile(path, target / path.name)


def _keep_runtime(objects: Path, built: Path) -> None:
    made = {path.name: path for path in built.glob("verilated*.o")}
    if made and not _whole(objects):
        with contextlib.suppress(OSError):
            _install(objects, made, {})


Job = tuple[Hdl, Mapping[str, int], str]


def build_all(jobs: Sequence[Job], workers: int | None = None, *, waves: bool = False) -> list[Built]:
    """`build` of every (hdl, parameters, simulator), several at a time, in their order.

    Raises InputError for the first that fails; the others are ended.
    """
    built: dict[int, Built] = {}
    # The first one alone leaves the library that all others share.
    for part in (range(min(1, len(jobs))), range(1, len(jobs))):
        indices = list(part)
        for i, one in in_parallel(lambda i: build(*jobs[i], waves=waves), indices, workers):
            built[indices[i]] = one
    return [built[i] for i in range(len(jobs))]


# --- running ----------------------------------------------------------------------------------------------------


def run(
    built: Built, stimuli: Sequence[Stimulus], counters: Sequence[str], *, trace: bool = False,
    waves: bool | Path = False, wall_s: float | None = None,
) -> list[Observation]:  # fmt: skip
    """What the circuit does under each stimulus, in one simulator process.

    trace    also read the circuit's log of events
    waves    write them into this folder (True: a new temporary one), a process and a file a stimulus: FST from Icarus,
             VCD from Verilator
    wall_s   give the process up after this long; the default allows SLOWEST_CYCLES_PER_S to the limits of all stimuli

    Raises InputError when the simulator crashes, hangs, an assertion in the circuit fails, or a port is missing: with
    the end of its log.
    """
    if waves is False:
        return _run(built, stimuli, counters, trace, None, wall_s)
    folder = Path(tempfile.mkdtemp(prefix="hwsim-waves-")) if waves is True else Path(waves)
    folder.mkdir(parents=True, exist_ok=True)
    if built.simulator == "verilator" and not built.waves:
        built = build(built.hdl, built.parameters, built.simulator, waves=True)
    ending = "vcd" if built.simulator == "verilator" else "fst"
    files = [folder.absolute() / f"run{i}.{ending}" for i in range(len(stimuli))]
    return [o for s, file in zip(stimuli, files, strict=True) for o in _run(built, [s], counters, trace, file, wall_s)]


Group = tuple[Built, Sequence[Stimulus], Sequence[str]]


def run_all(groups: Sequence[Group], workers: int | None = None, **how: Any) -> list[list[Observation]]:
    """`run` of every (built, stimuli, counters), several at a time, in their order; `how` goes to `run`.

    Raises InputError for the first that fails; the others are ended.
    """
    found = dict(in_parallel(lambda group: run(*group, **how), groups, workers))
    return [found[i] for i in range(len(groups))]


def _run(
    built: Built, stimuli: Sequence[Stimulus], counters: Sequence[str], trace: bool, waves: Path | None,
    wall_s: float | None,
) -> list[Observation]:  # fmt: skip
    if not stimuli:
        return []
    with _temporary_folder() as folder:
        _write_stimuli(folder, stimuli, counters)
        log = folder / "simulator.log"
        allowed_s = STARTUP_S + sum(s.limit for s in stimuli) / SLOWEST_CYCLES_PER_S if wall_s is None else wall_s
        environment = {**built.toolchain.environment, "COCOTB_TOPLEVEL": built.hdl.top,
                       "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
                       "HWSIM_COSIM_PLAN": str(folder / "plan.json")}  # fmt: skip
        code = _execute(_command(built, folder, trace, waves), folder, environment, log, allowed_s)
        lines = _results(folder)
        _check_run(built, code, lines, len(stimuli), log, allowed_s)
        return [_observation(folder, i, s, line, trace, waves)
                for i, (s, line) in enumerate(zip(stimuli, lines, strict=True))]  # fmt: skip


def _command(built: Built, folder: Path, trace: bool, waves: Path | None) -> list[str]:
    arguments = [f"+images={folder}", *(["+trace"] if trace else [])]
    if built.simulator == "verilator":
        vcd = ["--trace", "--trace-file", str(waves)] if waves else []
        return [str(built.program), *vcd, "+verilator+rand+reset+2", f"+verilator+seed+{SEED}", *arguments]
    vvp = find_program("vvp", built.toolchain.environment["PATH"], "Icarus Verilog", "iverilog")
    dump = ["-fst", f"+hwsim_waves={waves}"] if waves else ["-none"]
    return [str(vvp), "-n", "-m", gpi_library("vpi", "icarus"), str(built.program), *dump, *arguments]


def _write_stimuli(folder: Path, stimuli: Sequence[Stimulus], counters: Sequence[str]) -> None:
    runs = []
    for i, stimulus in enumerate(stimuli):
        for name, image in stimulus.memories.items():
            (folder / f"{i}.{name}.hex").write_text(_hex(name, image), encoding="ascii")
        registers = {name: int(value) for name, value in stimulus.registers.items()}
        runs.append({"case_id": i, "registers": registers, "limit": int(stimulus.limit)})
    plan = {"results": str(folder / "results.jsonl"), "counters": list(counters), "runs": runs}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def words_of(image: Image) -> list[int]:
    """The words of an image as plain integers, whatever sequence or array holds them."""
    words = image.words
    return words.tolist() if hasattr(words, "tolist") else list(map(int, words))


def _hex(name: str, image: Image) -> str:
    """An image as $readmemh reads it. Raises InputError for a word that does not fit its width."""
    words = words_of(image)
    wrong = next((i for i, w in enumerate(words) if not 0 <= w < 1 << image.width_bits), None)
    if wrong is not None:
        raise bad_input("image", words[wrong], f"word {wrong} of {name} has {image.width_bits} bits, unsigned")
    return "".join(f"{word:x}\n" for word in words) or "// nothing\n"


def _results(folder: Path) -> list[dict[str, Any]]:
    """The lines that the drive wrote, up to one it may have been ended in."""
    try:
        lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _check_run(
    built: Built, code: int | None, lines: Sequence[Mapping[str, Any]], runs: int, log: Path, allowed_s: float
) -> None:
    """Raise InputError unless every run has its results and nothing failed."""
    top, at = built.hdl.top, f"run {len(lines)} of {runs}"
    refused = next((line["error"] for line in lines if "error" in line), None)
    if refused:
        raise _failure("ports", top, refused, "See the contract of a circuit's ports.")
    if code is None:
        raise _failure("simulation", _tail(log), f"{built.simulator} was given up after {allowed_s:.0f} s in {at}",
                       "A loop that takes no time hangs a simulator; so may a very long run.")  # fmt: skip
    said = _FAILED.search(log.read_text(encoding="utf-8", errors="replace"))
    if said:
        raise _failure("assertion", _tail(log), f"{top} reported an error: {said[0]}")
    if code or len(lines) != runs:
        ended = f"ended with code {code}" if code >= 0 else f"died of signal {-code}"
        raise _failure("simulation", _tail(log), f"{built.simulator} {ended} in {at}, before all were done")


def _tail(log: Path) -> str:
    """The last lines of a program's output."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return "no output"
    return "\n".join(["the log, which ends with", *(f"    {line}" for line in lines[-LOG_TAIL_LINES:])])


def _observation(
    folder: Path, i: int, stimulus: Stimulus, line: Mapping[str, Any], trace: bool, waves: Path | None
) -> Observation:
    memories = {name: _read_words(folder / f"{i}.{name}.out", len(words_of(image)))
                for name, image in stimulus.expected.items()}  # fmt: skip
    events = _read_events(folder / f"{i}.trace") if trace else ()
    return Observation(line["counters"], memories, events, line["cycles"], line["timed_out"], line["seconds"], waves)


def _read_words(path: Path, count: int) -> list[int | None]:
    """The first `count` words of a file that $writememh wrote; None for those undefined or not there."""
    found: list[int | None] = [None] * count
    at = 0
    for word in _memory_words(path):
        if word.startswith("@"):
            at = int(word[1:], 16)
            continue
        if at < count:
            found[at] = int(word, 16) if set(word) <= _HEX else None
        at += 1
    return found


_HEX = frozenset("0123456789abcdefABCDEF")


def _memory_words(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        yield from line.partition("//")[0].split()


def _read_events(path: Path) -> tuple[Event, ...]:
    """The events of a trace file, in its order. Raises InputError for a line that is none."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ()
    return tuple(_event(line) for line in text.splitlines() if line.strip())


def _event(line: str) -> Event:
    cycle, name, *numbers = (*line.split(), "")
    try:
        return Event(int(cycle), name, tuple(int(n) for n in numbers if n))
    except ValueError:
        raise _failure("trace", line, "an event reads: cycle name number ...",
                       "A number with undefined bits (x) is none.") from None  # fmt: skip


# --- lint -------------------------------------------------------------------------------------------------------


def lint(hdl: Hdl, parameters: Mapping[str, int]) -> list[str]:
    """What Verilator -Wall says of the sources with their waivers: a text a warning, none when they are clean.

    Raises InputError when Verilator is missing.
    """
    toolchain = require("verilator")
    _check_parameters(hdl, parameters)
    given = [f"-G{name}={value}" for name, value in _plain(parameters).items()]
    includes = [f"-I{folder}" for folder in dict.fromkeys(s.parent.absolute() for s in hdl.sources)]
    files = [str(p.absolute()) for p in (*hdl.waivers, *hdl.sources) if p.suffix not in (".svh", ".vh")]
    made = [source.name for source in hdl.generated if source.suffix not in (".svh", ".vh")]
    command = [str(toolchain.program), "--lint-only", "--timing", "--timescale", TIMESCALE, "-Wall", "-Wno-fatal",
               "--top-module", hdl.top, *includes, *given, *files, *made]  # fmt: skip
    with _temporary_folder() as folder:
        for source in hdl.generated:
            (folder / source.name).write_bytes(source.read_bytes())
        log = folder / "lint.log"
        _execute(command, folder, toolchain.environment, log, BUILD_S)
        return _messages(log.read_text(encoding="utf-8", errors="replace").splitlines())


def _messages(lines: Iterable[str]) -> list[str]:
    """A program's output as messages: each begins with % and runs to the next."""
    found: list[str] = []
    for line in lines:
        if line.startswith("%"):
            found.append(line)
        elif found and line.startswith(" "):
            found[-1] += f"\n{line}"
    return found
