"""hwsim: what a network costs on an accelerator, and which accelerator it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwsim.version import __version__

if TYPE_CHECKING:
    from hwsim.simulate import run as run

__all__ = ["__version__", "run"]


def __getattr__(name: str) -> Any:
    """`hwsim.run`, imported when first asked for: the command line's `--help` should not wait for the engine."""
    if name == "run":
        from hwsim.simulate import run

        return run
    raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
