"""The commands of the benchmark; see the package's text."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import checks, collect, environments, ours, report, sweep
from benchmarks.peers.cases import HERE, VERSIONS, Case, Limits, Store, cases, measure_all, start_up
from benchmarks.peers.work import ARRAYS, NETWORKS
from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, InputError

INTERRUPTED = 130


def say(text: str) -> None:
    """Progress, at once."""
    print(text, flush=True)


def install(options: argparse.Namespace) -> None:
    """Make what environments are missing."""
    for tool in options.tools:
        packages = environments.install(options.envs, tool)
        say(f"{tool}: {len(packages)} packages in {options.envs / tool}")


def run(options: argparse.Namespace) -> None:
    """Measure the peers where they were not yet, and hwsim anew."""
    store = Store(options.results)
    interpreters = {tool: environments.interpreter(options.envs, tool) for tool in options.tools}
    store.put("machine", collect.machine())
    store.put("packages", {tool: environments.packages(options.envs, tool) for tool in options.tools})
    for tool, interpreter in interpreters.items():
        store.put(collect.start_key(tool), start_up(tool, interpreter, options.results / "start.log"))
    for name, like, side in itertools.product(options.networks, options.tools, options.arrays):
        store.put(collect.our_key(name, like, side), measured(name, like, side))
    wanted = cases(options.tools, options.networks, options.arrays) + small_cases(options)
    measure_all(wanted, store, interpreters, Limits(options.time_limit, options.memory_limit << 33), say)


def measured(name: str, like: str, side: int) -> dict[str, Any]:
    """One run of hwsim."""
    record = ours.measure(NETWORKS[name], like, side)
    usage, cycles = record["usage"], record["answer"]["cycles"]
    say(f"hwsim {name} {side}x{side} like {like}: {cycles:,} cycles, {usage['wall_s']:.1f} s")
    return {"network": name, **record}


def anew(options: argparse.Namespace) -> None:
    """Measure hwsim's runs in results.json again, and leave the peers' as they are."""
    del options
    results = collect.read()
    results["hwsim"] = [measured(r["network"], r["like"], r["side"]) for r in results["hwsim"]]
    collect.write(results)


def small_cases(options: argparse.Namespace) -> list[Case]:
    """The checks beside the networks, of the tools that are run."""
    every = [*checks.dataflow_cases(), *(case for _, case in checks.padded_cases())]
    return [case for case in every if case.tool in options.tools]


def rates(options: argparse.Namespace) -> None:
    """Measure points a second."""
    store = Store(options.results)
    found = store.get("sweep") or {}
    found["hwsim"] = sweep.our_rates(options.results)
    found["study"] = sweep.our_study()
    warm, cold = found["hwsim"]["warm"]["wall_s"], found["study"]["usage"]["wall_s"]
    say(f"hwsim: 1,000 points in {warm:.3f} s warm, in {cold:.1f} s with `hwsim sweep`")
    store.put("sweep", found)
    for tool in options.tools:
        found[tool] = sweep.peer_rate(tool, environments.interpreter(options.envs, tool), options.seconds)
        say(f"{tool}: {found[tool]['points']} points in {found[tool]['seconds']:.0f} s")
        store.put("sweep", found)


def gather(options: argparse.Namespace) -> None:
    """Write results.json."""
    collect.write(collect.everything(Store(options.results)))


def docs(options: argparse.Namespace) -> None:
    """Write what docs/benchmarks.md shows of results.json, and the picture."""
    del options
    results = collect.read()
    report.write_page(results)
    report.write_picture(results)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="hwsim beside SCALE-Sim and ZigZag")
    parser.add_argument("--envs", type=Path, default=HERE / ".envs", help="where the peers' environments are")
    parser.add_argument("--results", type=Path, default=HERE / ".runs", help="where measured cases are kept")
    parser.add_argument("--tool", dest="tools", action="append", choices=VERSIONS, help="one peer; again for another")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("install").set_defaults(act=install)
    runs = commands.add_parser("run")
    runs.set_defaults(act=run)
    runs.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    runs.add_argument("--arrays", nargs="+", type=int, choices=ARRAYS, default=list(ARRAYS))
    runs.add_argument("--time-limit", type=float, default=Limits.time_s, help="seconds a case")
    runs.add_argument("--memory-limit", type=int, default=Limits.memory_bits >> 33, help="GiB a case")
    swept = commands.add_parser("sweep")
    swept.set_defaults(act=rates)
    swept.add_argument("--seconds", type=float, default=sweep.PEER_LIMIT_S, help="a peer")
    commands.add_parser("ours").set_defaults(act=anew)
    commands.add_parser("collect").set_defaults(act=gather)
    commands.add_parser("docs").set_defaults(act=docs)
    options = parser.parse_args(words)
    options.tools = options.tools or list(VERSIONS)
    return options


def main() -> int:
    """Do what the command line asks."""
    options = arguments()
    try:
        options.act(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
