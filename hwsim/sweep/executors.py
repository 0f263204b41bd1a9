"""Who does the work: this process, a pool of worker processes, or a Dask cluster, behind one small interface.

An order is a JSON document that `hwsim.sweep.work.Bench.handle` answers with another. An executor never writes to the
store and decides nothing: it says which orders were answered, and over which a worker died.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from hwsim.errors import bad_input
from hwsim.sweep.codec import canonical, study_document
from hwsim.sweep.study import Study

if TYPE_CHECKING:
    from hwsim.sweep.work import Bench

Order = dict[str, Any]
Reply = dict[str, Any]

START_TRIES = 3
"""Workers that may die before one gets to work; then something is wrong with the installation, not with a point."""
LOG_BYTES = 4000
READ_BYTES = 1 << 20
DASK_QUEUE = 2
"""Orders in the queue for each thread of a Dask cluster, so that none waits for the next."""
DASK_POLL_S = 0.005


class Done(NamedTuple):
    """An order that came to its end: answered, or, with `death` saying how, lost with its worker."""

    key: Any
    reply: Reply | None
    death: str = ""


class Executor(Protocol):
    """Takes orders, gives back answers."""

    def room(self) -> int:
        """How many more orders can be put to work now."""
        ...

    def submit(self, key: Hashable, order: Order) -> None:
        """Take an order; only as many as there is room for."""
        ...

    def wait(self, seconds: float) -> list[Done]:
        """What ended; waits for the first of them, at most so long."""
        ...

    def stop(self) -> None:
        """End every worker; what is under way is dropped."""
        ...


# --- this process -----------------------------------------------------------------------------------------------


class SerialExecutor:
    """Does each order itself, when waited for."""

    def __init__(self, study: Study) -> None:
        from hwsim.sweep.work import Bench

        self._bench: Bench = Bench(study)
        self._waiting: list[tuple[Hashable, Order]] = []

    def room(self) -> int:
        """One order at a time."""
        return 1 - len(self._waiting)

    def submit(self, key: Hashable, order: Order) -> None:
        """Take an order."""
        self._waiting.append((key, order))

    def wait(self, seconds: float) -> list[Done]:
        """Do the order, however long it takes."""
        return [Done(*self._do(*self._waiting.pop()))] if self._waiting else []

    def _do(self, key: Hashable, order: Order) -> tuple[Hashable, Reply]:
        return key, self._bench.handle(order)

    def stop(self) -> None:
        """Nothing runs between calls."""
        self._waiting.clear()


# --- worker processes -------------------------------------------------------------------------------------------


class Worker(Protocol):
    """A worker process: lines go to its `send`, lines come from the file descriptor `reader`."""

    reader: int

    def send(self, line: bytes) -> None:
        """Give it a line. Raises OSError when it is dead."""
        ...

    def end(self) -> str:
        """Make it end, if it has not; how it ended, with what it last said on stderr."""
        ...


class ProcessWorker:
    """`python -m hwsim.sweep.worker`, with its standard streams as pipes; it ends when its input does."""

    def __init__(self) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed in end()
        command = [sys.executable, "-m", "hwsim.sweep.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self.reader = self._output.fileno()

    def send(self, line: bytes) -> None:
        """Write one line to its standard input."""
        self._input.write(line)
        self._input.flush()

    def end(self) -> str:
        """Kill it unless it is dead already."""
        with contextlib.suppress(OSError):
            self._input.close()
        self._output.close()
        try:
            self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_BYTES))
        said = self._log.read().decode(errors="replace").strip()
        self._log.close()
        return f"{exit_text(code)}\n{said}".strip()


def exit_text(code: int) -> str:
    """How a process ended, by its return code as `subprocess` gives it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


class _Seat:
    """A place in the pool: its worker, the order that worker is on, and the part of a line read so far."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.ready = False
        self.key: Hashable | None = None
        self.read = bytearray()

    @property
    def idle(self) -> bool:
        return self.ready and self.key is None


class ProcessExecutor:
    """A pool of worker processes, one order each at a time, so that a death is laid to the right one.

    `start` makes a worker. Raises RuntimeError when workers die before they are ready.
    """

    def __init__(self, study: Study, workers: int, start: Callable[[], Worker] = ProcessWorker) -> None:
        self._study = canonical(study_document(study)).encode() + b"\n"
        self._start, self._failures = start, 0
        self._selector = selectors.DefaultSelector()
        self._seats: list[_Seat] = []
        for _ in range(workers):
            self._seat()

    def _seat(self) -> None:
        worker = self._start()
        seat = _Seat(worker)
        self._seats.append(seat)
        self._selector.register(worker.reader, selectors.EVENT_READ, seat)
        with contextlib.suppress(OSError):  # dead already: its end of the pipe will say so
            worker.send(self._study)

    def room(self) -> int:
        """Workers that wait for something to do."""
        return sum(seat.idle for seat in self._seats)

    def submit(self, key: Hashable, order: Order) -> None:
        """Give an order to an idle worker."""
        seat = next(seat for seat in self._seats if seat.idle)
        seat.key = key
        with contextlib.suppress(OSError):
            seat.worker.send(canonical(order).encode() + b"\n")

    def wait(self, seconds: float) -> list[Done]:
        """Read what workers say; those that died are replaced."""
        done: list[Done] = []
        for event, _ in self._selector.select(seconds):
            seat: _Seat = event.data
            data = os.read(seat.worker.reader, READ_BYTES)
            if data:
                done += self._heard(seat, data)
            else:
                done += self._died(seat)
        return done

    def _heard(self, seat: _Seat, data: bytes) -> list[Done]:
        seat.read += data
        if not data.endswith(b"\n"):
            return []
        message = json.loads(bytes(seat.read))
        seat.read.clear()
        if not seat.ready:
            seat.ready, self._failures = True, 0
            return []
        key, seat.key = seat.key, None
        return [Done(key, message)]

    def _died(self, seat: _Seat) -> list[Done]:
        self._selector.unregister(seat.worker.reader)
        self._seats.remove(seat)
        how = seat.worker.end()
        if not seat.ready:
            self._failures += 1
            if self._failures >= START_TRIES:
                raise RuntimeError(f"sweep workers do not start: {how}")
        self._seat()
        return [Done(seat.key, None, how)] if seat.key is not None else []

    def stop(self) -> None:
        """End all workers."""
        for seat in self._seats:
            self._selector.unregister(seat.worker.reader)
            seat.worker.end()
        self._seats.clear()
        self._selector.close()


# --- many machines ----------------------------------------------------------------------------------------------


class DaskExecutor:
    """A Dask cluster: the one whose scheduler is at `address`, or worker processes on this machine.

    Results come back through the scheduler, so that its workers need no file system in common with the store.
    """

    def __init__(self, study: Study, workers: int, address: str = "") -> None:
        try:
            import distributed
        except ImportError:
            raise bad_input("engine", "dask", "this engine needs the package distributed",
                            "Install it: pip install 'hwsim[cluster]'.", key="--engine") from None  # fmt: skip
        self._study = canonical(study_document(study))
        self._library: Any = distributed
        self._cluster: Any = None
        if not address:
            self._cluster = self._library.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        self._client: Any = self._connected(address or self._cluster)
        self._orders: dict[Any, Hashable] = {}

    def _connected(self, where: Any) -> Any:
        try:
            return self._library.Client(where, timeout=30, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise bad_input("scheduler", str(where), f"no Dask scheduler answers there ({error})",
                            "Start one with `dask scheduler`; it prints its address.",
                            key="--scheduler") from None  # fmt: skip

    def room(self) -> int:
        """A few orders for each thread there is now; machines may come and go."""
        threads: int = sum(self._client.nthreads().values())
        return max(DASK_QUEUE, DASK_QUEUE * threads) - len(self._orders)

    def submit(self, key: Hashable, order: Order) -> None:
        """Send an order to the scheduler."""
        from hwsim.sweep.work import handle_text

        future = self._client.submit(handle_text, self._study, canonical(order), pure=False, retries=0)
        self._orders[future] = key

    def wait(self, seconds: float) -> list[Done]:
        """Wait for the first future that ends."""
        if not self._orders:
            return []
        until = time.monotonic() + seconds
        while not any(future.done() for future in self._orders) and time.monotonic() < until:
            time.sleep(DASK_POLL_S)
        return [self._ended(future) for future in list(self._orders) if future.done()]

    def _ended(self, future: Any) -> Done:
        key = self._orders.pop(future)
        if future.status == "finished":
            return Done(key, json.loads(future.result()))
        error = future.exception() if future.status == "error" else future.status
        if isinstance(error, self._library.KilledWorker):
            return Done(key, None, "killed each Dask worker that took it")
        return Done(key, None, f"lost by the Dask cluster: {error!r}")

    def stop(self) -> None:
        """Drop what is under way and leave the cluster; one of our own is ended."""
        self._client.cancel(list(self._orders))
        self._orders.clear()
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


ENGINES = ("process", "dask", "serial")


def executor_of(engine: str, study: Study, workers: int, scheduler: str = "") -> Executor:
    """The executor called so, with that many workers. Raises InputError for names there are not."""
    if workers < 1:
        raise bad_input("workers", workers, "must be at least 1", key="--workers")
    if engine == "serial":
        return SerialExecutor(study)
    if engine == "process":
        return ProcessExecutor(study, workers)
    if engine == "dask":
        return DaskExecutor(study, workers, scheduler)
    raise bad_input("engine", engine, f"must be one of {', '.join(ENGINES)}", key="--engine")
