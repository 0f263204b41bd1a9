"""The command `hwsim map`. What it needs is imported when it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hwsim.mapping.plan import Plan


def map_command_line(
    accelerator: str, workload: str, overrides: tuple[str, ...], bind: Mapping[str, float], train: str, objective: str,
    out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Search, print and write."""
    from hwsim.config import load_design
    from hwsim.mapping.plan import plan

    found = plan(load_design(accelerator, overrides), workload, objective, bind, train)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **found.as_json()}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join(lines_of(found)))
    if out:
        found.write(out)
        click.echo(f"wrote {out}", err=True)


def lines_of(plan: Plan) -> Iterator[str]:
    """The plan for people: a line a product, then the sums."""
    from hwsim.mapping.search import OBJECTIVES
    from hwsim.mapping.space import space_of
    from hwsim.report.text import plain, quantity

    space = space_of(plan.file.model)
    yield f"{plan.file.name} mapping {plan.workload} for {plan.objective}"
    yield f"  {'product':34} {'runs':>5} {'latency':>10} {'energy':>10} {'of default':>10}  choice"
    for line in plan.lines:
        found = line.found
        more = f" +{len(line.layers) - 1}" if len(line.layers) > 1 else ""
        share = found.priced.of(plan.objective) / found.default_priced.of(plan.objective)
        choice = " ".join(f"{key} {value}" for key, value in space.words(found.choice).items())
        latency, energy = quantity(found.priced.latency_ps / 1e12, "s"), quantity(found.priced.energy_pj / 1e12, "J")
        name = plain(line.layers[0], 34 - len(more)) + more
        yield f"  {name:34} {line.runs:5} {latency:>10} {energy:>10} {share:10.2%}  {choice}"
    shares = [f"{o} {plan.total(o) / plan.total(o, default=True):.2%}" for o in OBJECTIVES]
    yield f"  all products, each by itself, of the default's: {', '.join(shares)}"
    times = sorted(line.found.seconds for line in plan.lines)
    if times:
        tried, run = (sum(getattr(line.found, key) for line in plan.lines) for key in ("choices", "run"))
        yield (f"  {tried:,} choices bounded, {run:,} run; none of the others is cheaper; "
               f"{quantity(times[len(times) // 2], 's')} a product (median)")  # fmt: skip
