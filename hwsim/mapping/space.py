"""What a model offers a mapper, and a model whose tasks are mapped.

A model that leaves a choice has an attribute `mapping` of this protocol. For each type of task that may be mapped,
`mapped` names the type that stands in its place: a NamedTuple whose first field is the task itself and whose others
are those of `Choice`. It is a task like any other, with a kernel of its own among the model's, so that a mapping is
counted, timed and priced by what every run is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hwsim.errors import bad_input
from hwsim.model import Program
from hwsim.workload.ir import Workload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Space(Protocol):
    """The choices of one model."""

    mapped: Mapping[type, type]
    """Type of a task -> type of it with a choice."""
    Choice: type
    """NamedTuple of integers."""

    def default(self, design: Any, task: Any) -> Any:
        """The Choice that the model takes by itself."""
        ...

    def choices(self, design: Any, task: Any) -> NDArray[np.int64]:
        """Every Choice that is worth looking at for latency, energy or their product, as rows of its fields."""
        ...

    def broken(self, design: Any, task: Any, choice: Any) -> str:
        """The rule that a Choice breaks on this design, or ""."""
        ...

    def words(self, choice: Any) -> dict[str, int | str]:
        """A Choice as JSON."""
        ...

    def read(self, words: Mapping[str, Any]) -> Any:
        """A Choice from JSON. Raises InputError for anything else."""
        ...


def space_of(model: Any) -> Space:
    """The choices of a model. Raises InputError where it leaves none."""
    space = getattr(model, "mapping", None)
    if space is None:
        rule = "this model leaves no choice of tiles or loops"
        raise bad_input("no-mapping", model.name, rule, "Name a design of another model, for instance systolic-32.")
    found: Space = space
    return found


def mapped_task(space: Space, task: Any, choice: Any) -> Any:
    """The task with a choice."""
    return space.mapped[type(task)](task, *choice)


class Mapped:
    """A model with the tasks of its programs replaced where `chosen` has a choice for them. All else is the model's."""

    def __init__(self, model: Any, chosen: Mapping[Any, Any], note: str = "") -> None:
        self._model, self._chosen, self._note = model, chosen, note

    @property
    def unmapped(self) -> Any:
        """The model itself."""
        return self._model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def remarks(self, design: Any, parts: Any, program: Program) -> Sequence[str]:
        """The model's, and where the mapping comes from."""
        own = getattr(self._model, "remarks", None)
        return (*(own(design, parts, program) if own else ()), *([self._note] if self._note else ()))

    def lower(self, workload: Workload, design: Any, binding: Mapping[str, float]) -> Program:
        """The model's program, mapped.

        Raises InputError where a task has no choice, or one that this design cannot keep.
        """
        program: Program = self._model.lower(workload, design, binding)
        space = space_of(self._model)
        for at, task in enumerate(program.tasks):
            if type(task) not in space.mapped:
                continue
            choice = self._chosen.get(task)
            name = program.layers[program.layer[program.task.index(at)]].name
            if choice is None:
                rule = "the mapping has no choice for it: it is of another workload, other sizes or another design"
                raise bad_input("mapping", name, rule, "Map again with `hwsim map`.")
            if broken := space.broken(design, task, choice):
                raise bad_input("mapping", f"{name} {space.words(choice)}", broken, "Map again with `hwsim map`.")
            program.tasks[at] = mapped_task(space, task, choice)
        return program
