"""Networks by a particle swarm in groups: each group is a Bundle kind, a particle its channel plan and its pools.

The paper's search as it is known: particles of a group follow the best of their own group, since a Bundle kind is no
number that one could move along; fitness = accuracy + alpha (estimate - target), alpha < 0. How far a particle moves is
not known of the paper: it is the constricted swarm of Clerc and Kennedy (IEEE Trans. Evol. Comput. 6(1), 2002; chi
0.7298 for phi 4.1), with the group's best as the social term.

Nothing of Optuna or cmaes fits: neither has a swarm (Optuna's own list of samplers has none), nor groups that share a
budget without sharing positions. Everything random comes from one `random.Random(seed)`, in one order.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from accelerators.skynet.structure import Structure

CONSTRICTION = 0.7298
ATTRACTION = 2.05
"""Clerc and Kennedy's constriction for two attractions of 2.05."""


@dataclass(frozen=True)
class Space:
    """What is searched: Bundles of one of `kinds`, with channels in multiples of `step` up to `most`, and `pools`."""

    kinds: tuple[str, ...]
    bundles: int = 5
    step: int = 16
    most: int = 512
    pools: int = 3
    activation: str = "relu"

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """The lowest and highest value of each coordinate: log2 of channels, then places of pools."""
        channels = (math.log2(self.step), math.log2(self.most))
        return [channels] * self.bundles + [(1.0, float(self.bundles))] * self.pools

    def drawn(self, rng: random.Random) -> list[float]:
        """A position, uniform within the bounds."""
        return [rng.uniform(low, high) for low, high in self.bounds]

    def structure(self, kind: str, position: Sequence[float]) -> Structure:
        """The network at a position: the nearest one that the space has."""
        steps = [round(2**x / self.step) * self.step for x in position[: self.bundles]]
        channels = tuple(min(max(c, self.step), self.most) for c in steps)
        return Structure(kind, channels, self.places(position[self.bundles :]), activation=self.activation)

    def places(self, wanted: Sequence[float]) -> tuple[int, ...]:
        """Different Bundles for the pools, each as near to what is wanted as the ones before leave room for."""
        found: list[int] = []
        for left, x in zip(range(len(wanted) - 1, -1, -1), sorted(wanted), strict=True):
            lowest = found[-1] + 1 if found else 1
            found.append(min(max(round(x), lowest), self.bundles - left))
        return tuple(found)


class Fit(NamedTuple):
    """How a network did: its accuracy by the measure, milliseconds a frame, and both in one number."""

    accuracy: float
    frame_ms: float
    fitness: float


Judge = Callable[[Sequence[Structure]], list[Fit]]
"""Fits of networks, which must not depend on when they are asked for, nor with which others."""


@dataclass
class Particle:
    """A place, how it moves, and the best it has seen."""

    position: list[float]
    velocity: list[float]
    best: list[float] = field(default_factory=list)
    best_fitness: float = -math.inf


@dataclass
class Group:
    """The particles of one Bundle kind, and their best."""

    kind: str
    particles: list[Particle]
    best: list[float] = field(default_factory=list)
    best_fitness: float = -math.inf


class Step(NamedTuple):
    """One evaluation of a swarm."""

    iteration: int
    structure: Structure
    fit: Fit


def swarm(space: Space, judge: Judge, particles: int, iterations: int, seed: int) -> Iterator[Step]:
    """Every evaluation in order: `iterations` of `particles` in each group, an iteration at a time."""
    rng = random.Random(seed)
    groups = [Group(kind, [_particle(space, rng) for _ in range(particles)]) for kind in space.kinds]
    pairs = [(group, particle) for group in groups for particle in group.particles]
    for iteration in range(iterations):
        if iteration:
            for group, particle in pairs:
                _move(space, group, particle, rng)
        structures = [space.structure(group.kind, particle.position) for group, particle in pairs]
        for (group, particle), structure, fit in zip(pairs, structures, judge(structures), strict=True):
            _note(group, particle, fit.fitness)
            yield Step(iteration, structure, fit)


def random_search(space: Space, judge: Judge, seed: int) -> Iterator[Step]:
    """Independent networks, drawn as the swarm's first ones are, without end."""
    rng = random.Random(seed)
    while True:
        structure = space.structure(rng.choice(space.kinds), space.drawn(rng))
        yield Step(0, structure, judge([structure])[0])


def _particle(space: Space, rng: random.Random) -> Particle:
    return Particle(space.drawn(rng), [0.0] * len(space.bounds))


def _note(group: Group, particle: Particle, fitness: float) -> None:
    """Keep what was best; the earlier of equals."""
    if fitness > particle.best_fitness:
        particle.best, particle.best_fitness = list(particle.position), fitness
    if fitness > group.best_fitness:
        group.best, group.best_fitness = list(particle.position), fitness


def _move(space: Space, group: Group, particle: Particle, rng: random.Random) -> None:
    """One step; a particle that would leave the space stops at its border."""
    for i, (low, high) in enumerate(space.bounds):
        x = particle.position[i]
        own = ATTRACTION * rng.random() * (particle.best[i] - x)
        social = ATTRACTION * rng.random() * (group.best[i] - x)
        velocity = CONSTRICTION * (particle.velocity[i] + own + social)
        moved = min(max(x + velocity, low), high)
        particle.velocity[i] = velocity if moved == x + velocity else 0.0
        particle.position[i] = moved


# --- two searches at equal cost -----------------------------------------------------------------------------------


class Contest(NamedTuple):
    """The best fitness of both searches after as many different networks."""

    networks: int
    swarm: float
    random: float


def contest(space: Space, judge: Judge, particles: int, iterations: int, seed: int) -> Contest:
    """A swarm, and random search over as many different networks as the swarm saw, from the same seed."""
    seen: dict[Structure, float] = {}
    for step in swarm(space, judge, particles, iterations, seed):
        seen[step.structure] = step.fit.fitness
    drawn: dict[Structure, float] = {}
    for step in random_search(space, judge, seed):
        drawn[step.structure] = step.fit.fitness
        if len(drawn) == len(seen):
            break
    return Contest(len(seen), max(seen.values()), max(drawn.values()))
