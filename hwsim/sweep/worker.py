"""A worker process: a study on its first line of input, then an order a line, and an answer a line on its output."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from typing import BinaryIO

from hwsim.sweep.codec import canonical, study_from
from hwsim.sweep.work import Bench


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Answer orders until there are no more, which is also how the death of whoever gives them shows."""
    bench = Bench(study_from(json.loads(orders.readline())), parent=os.getppid())
    _say(answers, {"ready": True})
    for line in orders:
        _say(answers, bench.handle(json.loads(line)))


def _say(answers: BinaryIO, message: dict[str, object]) -> None:
    answers.write(canonical(message).encode() + b"\n")
    answers.flush()


def main() -> None:
    """Serve standard input; what anything else prints goes to stderr. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
