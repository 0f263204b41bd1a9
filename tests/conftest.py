"""What every test shares: seeds, caches, how deep to look, and what the run says at its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
DEEP = os.environ.get("HWSIM_DEEP") == "1"
CI = os.environ.get("CI") == "true"

# Compiled kernels are kept from one run to the next; subprocesses inherit the place.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))
# So are circuits that were built.
os.environ.setdefault("HWSIM_CACHE_DIR", str(ROOT / ".pytest_cache" / "hwsim"))

# A shell without job control starts background commands with SIGINT ignored, and every program they start ignores it
# too: the tests that interrupt one would wait for nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("dev", max_examples=100, **_SHARED)
settings.register_profile("ci", max_examples=100, derandomize=True, **_SHARED)
settings.register_profile("deep", max_examples=2000, **_SHARED)
settings.load_profile("deep" if DEEP else "ci" if CI else "dev")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def deep() -> bool:
    """Whether HWSIM_DEEP=1 asks for the large counts."""
    return DEEP


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failed run: whatever it needs belongs in the environment."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = terminal is not None and terminal.stats.get("skipped")
    if CI and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passing tests printed (the counts they ran), which workers would otherwise swallow."""
    told = [r for r in terminalreporter.stats.get("passed", []) if r.when == "call" and r.capstdout.strip()]
    if told:
        terminalreporter.section("printed by passing tests")
    for report in sorted(told, key=lambda r: r.nodeid):
        terminalreporter.write_line(report.nodeid)
        for line in report.capstdout.strip().splitlines():
            terminalreporter.write_line(f"    {line}")
    skipped = len(terminalreporter.stats.get("skipped", []))
    if CI and skipped:
        terminalreporter.section("skipped in CI")
        terminalreporter.write_line(f"{skipped} skipped: CI skips nothing, so this run fails")
