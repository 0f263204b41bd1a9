"""Start-up: processor time of whole commands in new processes, beside an interpreter that does nothing.

    python benchmarks/startup.py

Processor time and not wall time, so that a busy machine does not decide it. The two figures to hold are 150 ms for
`hwsim --help` and 1 s for the Transformer from its file.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

RUNS = 5
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "hwsim --help": ["-m", "hwsim", "--help"],
    "hwsim explain optimus": ["-m", "hwsim", "explain", "optimus"],
    "hwsim run optimus": ["-m", "hwsim", "run", "-a", "optimus", "-w", "transformer-base", "--json"],
    "hwsim run optimus --no-interval":
        ["-m", "hwsim", "run", "-a", "optimus", "-w", "transformer-base", "--no-interval", "--json"],
}  # fmt: skip


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run in a new process."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print median and fastest of each command, and the ratio to the empty interpreter."""
    floor = 0.0
    for name, arguments in COMMANDS.items():
        times = sorted(cpu_seconds(arguments) for _ in range(RUNS))
        middle = statistics.median(times)
        floor = floor or middle
        print(f"{name:32} median {middle * 1e3:6.0f} ms, fastest {times[0] * 1e3:6.0f} ms, {middle / floor:5.1f} x")


if __name__ == "__main__":
    main()
