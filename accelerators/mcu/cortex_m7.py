"""The dual-issue pipeline of the Cortex-M7: cycles from executed instructions by class.

    cycles = ordinary * issue + products * product + loop exits * exit + divisions * divide

Two instructions may issue a cycle, in order (Arm, Cortex-M7 Technical Reference Manual, DDI 0489: six stages, dual
issue), so that an ordinary instruction takes half a cycle at best. Arm publishes no instruction timings. That products
and other SIMD instructions are issued in the first place of a pair only, and that shifted operands are due a cycle
early, others have measured (list of dual-issue restrictions, posts tagged CortexM7, mastodawn.com); a product thus
takes a cycle at least, plus what its operands keep it waiting, since they are mostly just loaded or just unpacked. A
loop is left through a branch that the predictor expects to be taken; the cost of that is bounded by the depth of the
pipeline and a fetch.

`issue`, `product` and `exit` are what the documents leave open. They are fitted to six profiled layers
(`accelerators.mcu.m7`), within the bounds of the design's fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwsim.pure import ceil_div, pure

if TYPE_CHECKING:
    from accelerators.mcu.design import Design


@pure
def ordinary(task: Any) -> int:
    """Instructions that pair freely: moves, sums, loads, stores, branches.

    A multiple transfer counts once, however many words it moves: half a cycle for each further word would be 1.4 % of
    MobileNetV1 0.25-160.
    """
    return (
        task.alu
        + task.load
        + task.store
        + task.load_multiple
        + task.store_multiple
        + task.predicate
        + task.branch_taken
        + task.branch_not_taken
        + task.jump
        + task.call
        + task.returns
    )


@pure
def products(task: Any) -> int:
    """Instructions of the one pipe that multiplies and works on halves and bytes."""
    return task.multiply + task.dot + task.simd  # type: ignore[no-any-return]


@pure
def cycles(design: Design, task: Any) -> int:
    """Cycles of a task's instructions, caches always hit."""
    milli = (
        ordinary(task) * design.issue_millicycles
        + products(task) * design.product_millicycles
        + task.branch_not_taken * design.exit_millicycles
    )
    return ceil_div(milli, 1000) + task.divide * design.divide_cycles
