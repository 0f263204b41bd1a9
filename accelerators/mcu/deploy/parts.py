"""The parts that networks are deployed to (parts.yaml), or a table of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerators.mcu.toolchain import Isa
from hwsim.document import Checker, read_yaml, suggestion
from hwsim.errors import bad_input
from hwsim.units import QuantityError, parse_integer

TABLE = Path(__file__).with_name("parts.yaml")
CORES = {"cortex-m4": Isa.ARMV7EM, "cortex-m7": Isa.ARMV7EM, "rv32imac": Isa.RV32IM, "rv32im": Isa.RV32IM,
         "cv32e40p": Isa.XPULP}  # fmt: skip
"""Cores that there are kernels for."""
KEYS = ("summary", "core", "flash", "ram", "clock", "evidence", "source")
QUANTITIES = {"flash": "flash_bits", "ram": "ram_bits", "clock": "clock_khz"}


@dataclass(frozen=True, slots=True)
class Part:
    """One microcontroller."""

    name: str
    summary: str
    core: str
    flash_bits: int
    ram_bits: int
    clock_khz: int
    evidence: str
    source: str

    @property
    def isa(self) -> Isa:
        """The instruction set of its kernels."""
        return CORES[self.core]


def read_parts(path: Path = TABLE) -> dict[str, Part]:
    """Every part of a table. Raises InputError with all that is wrong with it."""
    document = read_yaml(path)
    check = Checker(document)
    raw = check.keys((), document.data, "a table of parts", ("parts",)) or {}
    given = check.mapping(("parts",), raw.get("parts"), "parts") or {}
    parts = {name: _part(check, name, value) for name, value in given.items()}
    check.raise_problems()
    return {name: part for name, part in parts.items() if part}


def find_part(name: str, path: Path = TABLE) -> Part:
    """One part by name. Raises InputError for one that is not in the table."""
    parts = read_parts(path)
    if name not in parts:
        remedy = f"{suggestion(name, list(parts))} There are {', '.join(parts) or 'none'}.".strip()
        raise bad_input("part", name, "no such part is known", remedy, key="--part")
    return parts[name]


def _part(check: Checker, name: str, value: Any) -> Part | None:
    path = ("parts", name)
    raw = check.keys(path, value, "a part", KEYS)
    if raw is None or any(key not in raw for key in KEYS):
        return None
    texts = {key: check.text(path, raw, key) for key in ("summary", "source")}
    core = check.choice((*path, "core"), raw["core"], {name: name for name in CORES})
    evidence = check.choice((*path, "evidence"), raw["evidence"], {e: e for e in ("cited", "recalled")})
    sizes = {field: _quantity(check, (*path, key), raw[key], field) for key, field in QUANTITIES.items()}
    found: dict[str, Any] = {"name": name, "core": core, "evidence": evidence, **texts, **sizes}
    return Part(**found) if all(item is not None for item in found.values()) else None


def _quantity(check: Checker, path: tuple[str, ...], value: Any, field: str) -> int | None:
    try:
        found = parse_integer(str(value), field)
    except QuantityError as bad:
        check.fail(path, bad.code, value, bad.rule, bad.remedy)
        return None
    if found <= 0:
        check.fail(path, "range", value, "must be more than 0")
    return found
