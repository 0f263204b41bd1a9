"""Who holds a lease, and whether that process still lives.

A process is told apart by its machine, that machine's boot, its PID namespace, its PID and when it started, so that a
PID used again is another process. What another machine's process does cannot be seen from here: there a deadline
decides.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"


@lru_cache(maxsize=1)
def _machine() -> str:
    """This machine since its last boot, as this process sees PIDs."""
    try:
        return f"{_BOOT_ID.read_text().strip()} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When `pid` started, in clock ticks since boot; "" where the system does not tell; None if it does not run."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if _PROC.is_dir() and (_PROC / "self").exists() else _signalled(pid)
    except OSError:
        return ""
    return None if fields[0] in ("Z", "X") else fields[19]


def _signalled(pid: int) -> str | None:
    """As `_started`, where there is no /proc: signal 0 asks whether the process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def this_process() -> str:
    """The name under which this process holds leases."""
    pid = os.getpid()
    return f"{_machine()}|{pid}|{_started(pid) or ''}"


def is_alive(owner: str) -> bool | None:
    """Whether the process of that name runs; None where that cannot be seen from here."""
    machine, pid, started = owner.rsplit("|", 2)
    if machine != _machine():
        return None
    return _started(int(pid)) == started
