"""What an accelerator brings so that networks can be deployed to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hwsim.errors import bad_input
from hwsim.quant.assign import Bits, Overflow, Scheme

if TYPE_CHECKING:
    from hwsim.quant.formats import Reals
    from hwsim.quant.network import Network

ENTRY_POINT_GROUP = "hwsim.deployers"


@dataclass(frozen=True, slots=True)
class Target:
    """A part by name, the table it is in (None: the accelerator's own), and how much of its memories may be taken, for
    None all."""

    part: str
    parts: Path | None = None
    flash_bits: int | None = None
    ram_bits: int | None = None


@dataclass(frozen=True)
class Request:
    """What is asked for: `make` gives the integer network at some bits, `widest` is that at 8 bits throughout.

    `image` is one real input, height x width x channels; `notes` go into the report. All weights have `weight_bits`
    unless that is 0.
    """

    make: Callable[[Bits], Network]
    widest: Network
    image: Reals
    target: Target
    scheme: Scheme
    weight_bits: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """Texts by file name, and the report as plain data and as lines; or what does not fit, and nothing else."""

    files: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    overflows: tuple[Overflow, ...] = ()


class Deployer(Protocol):
    """The object that an entry point names."""

    def check(self, target: Target) -> None:
        """Raise InputError if there is no such part, or it has less memory: before any work is done."""

    def deploy(self, request: Request) -> Answer:
        """The files for a part. Raises InputError for what the part has no kernels for."""


def find_deployer(name: str) -> Deployer:
    """The deployer of an accelerator. Raises InputError for an accelerator that has none."""
    points = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in points:
        known = ", ".join(sorted(points)) or "none"
        raise bad_input("accelerator", name, f"networks can be deployed to: {known}", "Name one of these.",
                        key="--accelerator")  # fmt: skip
    found: Deployer = points[name].load()
    return found
