"""How far a sweep is, on stderr: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from hwsim.sweep.runner import Progress

LINE_S = 0.2
LOG_LINE_S = 10.0
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class ProgressLine:
    """Prints each Progress it is called with, unless it just did. No thread: workers may be forked from here."""

    def __init__(self, figure: str, stream: TextIO | None = None) -> None:
        self._figure, self._stream = figure, stream or sys.stderr
        self._live = self._stream.isatty()
        self._spoke = 0.0 if self._live else time.monotonic()
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if now - self._spoke < (LINE_S if self._live else LOG_LINE_S):
            return
        self._spoke = now
        line = described(progress, self._figure)
        if self._live:
            self._stream.write(f"\r{line:{self._width}}")
            self._width = len(line)
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """End the live line."""
        if self._live and self._width:
            self._stream.write(f"\r{'':{self._width}}\r")
            self._stream.flush()


def described(progress: Progress, figure: str) -> str:
    """`1,024 of 4,096 points (25 %), 512 points/s, best latency_s 0.0123, 6 s left`."""
    share = progress.done / progress.points if progress.points else 1.0
    parts = [f"{progress.done:,} of {progress.points:,} points ({share:.0%})", f"{progress.per_second:,.4g} points/s"]
    if progress.best is not None:
        parts.append(f"best {figure} {progress.best:.6g}")
    if progress.left_s is not None:
        parts.append(f"{duration(progress.left_s)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as the two largest units that apply: `2 h 5 min`."""
    rest, parts = round(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
