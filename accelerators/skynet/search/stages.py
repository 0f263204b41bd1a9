"""The three stages in order: Bundles, networks, features with engines. Each leaves its file in the folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from accelerators.skynet.search import engines, folder, picture
from accelerators.skynet.search.cost import MILLI, Cost, Engine, refusal
from accelerators.skynet.search.engines import Candidate, Described
from accelerators.skynet.search.measure import Measure
from accelerators.skynet.search.measures import Measures
from accelerators.skynet.search.swarm import Fit, Judge, Space, Step, swarm
from accelerators.skynet.structure import KINDS, PUBLISHED, Structure, units
from hwsim.errors import bad_input
from hwsim.sweep.pareto import pareto_front
from hwsim.sweep.runner import Told
from hwsim.sweep.study import Direction

Report = Callable[[str, int, int], None]
"""Told of a stage: what it does, how many are done, of how many."""
REFERENCE = "skynet-c"
SLACK = 2.0
"""Kinds whose network takes more than this times the target are left out: narrower networks come nearer, but not to a
quarter."""


@dataclass(frozen=True)
class Plan:
    """What a search is asked for. alpha: fitness a millisecond beyond target_ms, below 0."""

    design: str = "skynet-ultra96"
    seed: int = 0
    target_ms: float = 25.0
    alpha: float = -0.01
    groups: int = 3
    particles: int = 8
    iterations: int = 20
    bundles: int = 5
    most: int = 512
    finalists: int = 4
    ports: tuple[int, ...] = (128,)


class Bundle(NamedTuple):
    """A Bundle kind: what its network of SkyNet A's plan costs, and how good it is; or why it is refused."""

    kind: str
    why: str
    cost: Cost | None = None
    accuracy: float = 0.0


# --- stage 1 ----------------------------------------------------------------------------------------------------


def bundles(engine: Engine, measure: Measure, report: Report) -> list[Bundle]:
    """Every candidate: a network of SkyNet A's channels and pools made of nothing else, on the engine."""
    refused = {kind: refusal(engine, kind) for kind in KINDS}
    sketches = {kind: Structure(kind, PUBLISHED["skynet-a"].channels) for kind in KINDS if not refused[kind]}
    report("bundles", 0, len(sketches))
    measured = dict(zip(sketches, measure.of_all(list(sketches.values())), strict=True))
    report("bundles", len(sketches), len(sketches))
    return [
        Bundle(kind, refused[kind]) if refused[kind]
        else Bundle(kind, "", engine.cost(sketches[kind]), measured[kind])
        for kind in KINDS
    ]  # fmt: skip


def chosen(found: Sequence[Bundle], plan: Plan) -> list[Bundle]:
    """The kinds on the front of accuracy and time that are not hopelessly slow, at most `plan.groups`: the fastest.

    Raises InputError where none is left.
    """
    most_s = SLACK * plan.target_ms / MILLI
    able = [(b, b.cost) for b in found if b.cost is not None and b.cost.frame_s <= most_s]
    if not able:
        rule = f"no Bundle kind makes a network of SkyNet A's channels in {SLACK} times as long"
        raise bad_input("target", f"{plan.target_ms:g} ms", rule, "Give more time.", key="--target-ms")
    goals = np.array([(b.accuracy, cost.frame_s) for b, cost in able])
    on = pareto_front(goals, (Direction.MAXIMIZE, Direction.MINIMIZE))
    kept = [pair for pair, good in zip(able, on, strict=True) if good]
    return [b for b, _ in sorted(kept, key=lambda pair: pair[1].frame_s)][: plan.groups]


def bundle_rows(found: Sequence[Bundle], kept: Sequence[Bundle]) -> list[dict[str, object]]:
    """As bundles.csv has them."""
    return [
        {"kind": b.kind, "units": ", ".join(units(b.kind)), "frame_ms": MILLI * b.cost.frame_s if b.cost else "",
         "energy_mj": MILLI * b.cost.energy_j if b.cost else "", "macs": b.cost.macs if b.cost else "",
         "accuracy": b.accuracy if b.cost else "", "group": int(b in kept), "refused": b.why}
        for b in found
    ]  # fmt: skip


# --- stage 2 ----------------------------------------------------------------------------------------------------


def judge(engine: Engine, measure: Measure, plan: Plan) -> Judge:
    """Fitness on the engine; each network is judged once."""
    known: dict[Structure, Fit] = {}

    def judged(structures: Sequence[Structure]) -> list[Fit]:
        new = [s for s in dict.fromkeys(structures) if s not in known]
        for structure, accuracy in zip(new, measure.of_all(new), strict=True):
            frame_ms = MILLI * engine.cost(structure).frame_s
            known[structure] = Fit(accuracy, frame_ms, accuracy + plan.alpha * (frame_ms - plan.target_ms))
        return [known[s] for s in structures]

    return judged


def networks(engine: Engine, measure: Measure, plan: Plan, kinds: Sequence[str], report: Report) -> list[Step]:
    """Every evaluation of the swarm."""
    space = Space(tuple(kinds), plan.bundles, most=plan.most)
    total = len(kinds) * plan.particles * plan.iterations
    found: list[Step] = []
    for step in swarm(space, judge(engine, measure, plan), plan.particles, plan.iterations, plan.seed):
        found.append(step)
        report("networks", len(found), total)
    return found


def finalists(steps: Sequence[Step], count: int) -> list[Step]:
    """The fittest, and others of the front of accuracy and time, as far apart in time as there are."""
    distinct = list({step.structure: step for step in reversed(steps)}.values())[::-1]
    goals = np.array([(s.fit.accuracy, s.fit.frame_ms) for s in distinct])
    on = pareto_front(goals, (Direction.MAXIMIZE, Direction.MINIMIZE))
    able = sorted((s for s, kept in zip(distinct, on, strict=True) if kept), key=lambda s: s.fit.frame_ms)
    kept = [max(able, key=lambda s: s.fit.fitness)]
    while len(kept) < min(count, len(able)):
        rest = [s for s in able if s not in kept]
        kept.append(max(rest, key=lambda s: min(abs(np.log(s.fit.frame_ms / k.fit.frame_ms)) for k in kept)))
    return sorted(kept, key=lambda s: s.fit.frame_ms)


def network_rows(steps: Sequence[Step]) -> list[dict[str, object]]:
    """As networks.csv has them."""
    return [{"iteration": s.iteration, "structure": s.structure.text, **s.fit._asdict()} for s in steps]


# --- stage 3 ----------------------------------------------------------------------------------------------------


def candidates(found: Sequence[Step], measure: Measure) -> list[Candidate]:
    """The finalists with each set of features, by name."""
    named = {
        f"n{number}-b{structure.last}": structure
        for number, step in enumerate(found, 1)
        for structure in engines.featured(step.structure)
    }
    measured = measure.of_all(list(named.values()))
    return [Candidate(name, one, value) for (name, one), value in zip(named.items(), measured, strict=True)]


def reference(engine: Engine, measure: Measure) -> dict[str, object]:
    """SkyNet C on the engine as its file has it, as a row of designs.csv."""
    structure = PUBLISHED[REFERENCE]
    one = Candidate(REFERENCE, structure, measure.of(structure))
    d = engine.design
    fields = {key: getattr(d, engines.KEYS.get(key, key)) for key in engines.VARIED}
    share = engines.bit_share(d.feature_bits, d.weight_bits)
    cost = engine.cost(structure)
    made = engines.Designed(one, fields, one.accuracy * share, cost.frame_s, cost.energy_j)
    return Described(made, engine, cost).row()


def search(plan: Plan, measures: Measures, out: Path, workers: int, report: Report, told: Told) -> None:
    """All three stages into `out`, which `folder.opened` has opened. Raises InputError for what cannot be searched."""
    engine = Engine.named(plan.design)
    found = bundles(engine, measures.kinds, report)
    groups = chosen(found, plan)
    folder.write_csv(out / "bundles.csv", bundle_rows(found, groups))
    steps = networks(engine, measures.networks, plan, [b.kind for b in groups], report)
    folder.write_csv(out / "networks.csv", network_rows(steps))
    able = candidates(finalists(steps, plan.finalists), measures.designs)
    file = engines.write_study(out, plan.design, able, plan.ports)
    study, rows = engines.sweep(file, out / "engine.db", workers, told)
    designs = engines.designed(rows, able)
    if not designs:
        raise bad_input("no-design", plan.design, "no engine of the space fits the device", "Name another design.")
    best = engines.front(designs)
    table = [reference(engine, measures.designs), *(Described.on(engine, design).row() for design in best)]
    folder.write_csv(out / "designs.csv", table)
    picture.save(study, rows, designs, best, out / "designs.svg")
    report("designs", len(best), len(best))
