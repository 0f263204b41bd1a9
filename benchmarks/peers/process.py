"""Run one command in a process of its own, and say what it took."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

POLL_S = 0.02
KIB = 1024
SHOWN = 500
"""Characters of a failed command's last words that are kept."""


@dataclass(frozen=True)
class Usage:
    """What a command took from its start to its exit.

    status        "ok", "failed", "over time" or "over memory"
    wall_s, cpu_s the clock, and user plus system time of it and of the children it waited for
    peak_bits     the most memory that was resident in one process of it; Linux counts what the starting process had
                  resident, some 35 MiB, as the least
    message       its last words, where it failed
    """

    status: str
    wall_s: float
    cpu_s: float
    peak_bits: int
    message: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def run(
    command: Sequence[object], log: Path, *, time_limit_s: float = 0, memory_limit_bits: int = 0,
    output: Path | None = None, folder: Path | None = None,
) -> Usage:  # fmt: skip
    """Run `command` (no shell) in `folder`, its errors into `log` and its output there too or into `output`; a limit of
    0 is none.

    The memory limit is of addresses, as `ulimit -v`. Numerical libraries get one thread. On Ctrl-C the command ends as
    well.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    with log.open("wb") as errors, (output or Path(os.devnull)).open("wb") as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out if output else errors,
            stderr=errors, env={**os.environ, **threads}, cwd=folder, start_new_session=True,
        )  # fmt: skip
        if memory_limit_bits:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (memory_limit_bits // 8, memory_limit_bits // 8))
        code, late, usage = _waited(process, started, time_limit_s)
        wall = time.perf_counter() - started
    words = last_words(log)
    status = "over time" if late else "ok" if code == 0 else "over memory" if "MemoryError" in words else "failed"
    peak = usage.ru_maxrss * KIB * 8
    return Usage(status, wall, usage.ru_utime + usage.ru_stime, peak, "" if status == "ok" else words)


def _waited(process: subprocess.Popen[bytes], started: float, limit_s: float) -> tuple[int, bool, Any]:
    """Its exit code, whether it was ended for being late, and its resources."""
    late = False
    try:
        while True:
            pid, state, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(state)
                return process.returncode, late, usage
            if limit_s and not late and time.perf_counter() - started > limit_s:
                late = True
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(POLL_S)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        os.wait4(process.pid, 0)
        process.returncode = -signal.SIGKILL
        raise


def last_words(log: Path) -> str:
    """The end of what a command printed."""
    return log.read_text(errors="replace")[-SHOWN:].strip()
