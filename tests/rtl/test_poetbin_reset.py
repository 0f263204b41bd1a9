"""The input and the output register of the PoET-BiN circuit under pauses and resets at any time, clock by clock.

What must be seen is worked out vector by vector from the architecture page, without registers.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from hwsim.cosim.toolchain import available

HDL = Path(__file__).parents[2] / "rtl_models" / "poetbin" / "hdl"
CYCLES = 3_000
INPUTS, WIDTH = 6, 4  # three scores of two bits; the second beat has two bits that mean nothing

BENCH = """
module bench;
    logic clk = 0, reset, in_valid;
    logic [{port} - 1:0] in_data;
    logic [{width} + 1:0] drive[0:{cycles} - 1];
    wire [5:0] vector, out_scores;
    wire settled, out_valid, class_valid;
    wire [1:0] out_class;
    logic [5:0] kept[{inside} + 1];
    always @* kept[0] = vector;
    for (genvar i = 0; i < {inside}; i++) always @(posedge clk) kept[i + 1] <= kept[i];
    poetbin_input #(.INPUTS(6), .WIDTH({port}), .BEATS({beats})) entry (.*);
    poetbin_output #(.CLASSES(3), .SCORE_BITS(2), .INSIDE({inside}), .ARGMAX(1)) result (
        .scores(kept[{inside}]), .*
    );
    initial begin
        $readmemb("drive.txt", drive);
        for (int t = 0; t < {cycles}; t++) begin
            {{reset, in_valid, in_data}} = drive[t];
            #1 $display("%b %b %b %b", out_valid, out_scores, class_valid, out_class);
            clk = 1; #1 clk = 0; #1;
        end
    end
endmodule
"""


class Cycle(NamedTuple):
    """What stands on the port in one cycle."""

    reset: bool
    valid: bool
    bits: tuple[int, ...]


def largest(vector: tuple[int, ...]) -> int:
    """The class of the largest of the signed scores, the lowest of equal ones."""
    scores = [vector[2 * c] - 2 * vector[2 * c + 1] for c in range(3)]
    return scores.index(max(scores))


def results(cycles: list[Cycle], beats: int, inside: int) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """Scores by the cycle in which they stand on the port, and classes: a reset in any cycle from a vector's first
    beat to the one before its result forgets it."""
    scores, classes, taken = {}, {}, []
    for t, now in enumerate(cycles):
        if now.reset:
            taken = []
        elif now.valid:
            taken.append(now.bits)
        if len(taken) < beats:
            continue
        vector, taken = sum(taken, ())[:INPUTS], []
        out = t + 2 + inside
        if not any(c.reset for c in cycles[t:out]):
            scores[out] = vector
            if not any(c.reset for c in cycles[t : out + 1]):
                classes[out + 1] = largest(vector)
    return scores, classes


@pytest.mark.parametrize(("beats", "inside"), [(1, 0), (1, 1), (2, 0), (2, 3)])
def test_a_reset_forgets_what_is_under_way_and_results_are_held(tmp_path: Path, beats: int, inside: int) -> None:
    if "icarus" not in available():
        pytest.skip("Icarus is not installed")
    rng, width = random.Random(beats * 10 + inside), INPUTS if beats == 1 else WIDTH
    cycles = [Cycle(True, False, (0,) * width)] * 3
    cycles += [Cycle(rng.random() < 0.06, rng.random() < 0.6, tuple(rng.choices((0, 1), k=width)))
               for _ in range(CYCLES - 3)]  # fmt: skip
    lines = (f"{c.reset:d}{c.valid:d}{''.join(map(str, reversed(c.bits)))}" for c in cycles)
    (tmp_path / "drive.txt").write_text("\n".join(lines), encoding="ascii")
    sizes = {"port": width, "width": width, "beats": beats, "inside": inside, "cycles": CYCLES}
    (tmp_path / "bench.sv").write_text(BENCH.format(**sizes), encoding="ascii")
    sources = [str(HDL / f"poetbin_{part}.sv") for part in ("input", "output", "argmax")]
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", "bench", "bench.sv", *sources], cwd=tmp_path, check=True)
    seen = subprocess.run(["vvp", "-n", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    scores, classes = results(cycles, beats, inside)
    assert len(scores) > 300 and len(classes) > 300
    held: tuple[int, ...] = ()
    for t, line in enumerate(seen.splitlines()[:CYCLES]):
        out_valid, out_scores, class_valid, out_class = line.split()
        if t < 3:
            continue
        assert (out_valid, class_valid) == (str(int(t in scores)), str(int(t in classes))), t
        held = scores.get(t, () if cycles[t - 1].reset else held)  # what a reset leaves in the register is not said
        assert not held or out_scores == "".join(map(str, reversed(held))), t
        assert t not in classes or int(out_class, 2) == classes[t], t
    print(f"{len(scores)} results, {len(classes)} classes, {sum(c.reset for c in cycles)} cycles of reset")
