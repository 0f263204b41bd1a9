"""Makes the circuits of tests/rtl/circuits known as installed ones are, for the tests of a module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

CIRCUITS = Path(__file__).resolve().parent / "rtl" / "circuits"
ACCUMULATOR = CIRCUITS / "accumulator"


def installed() -> Iterator[None]:
    """Put them on the path while the generator lives."""
    before = os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(CIRCUITS))
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (str(CIRCUITS), before) if p)
    yield
    sys.path.remove(str(CIRCUITS))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
