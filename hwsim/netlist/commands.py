"""The command `hwsim netlist`: what a network of look-up tables takes, and what it answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.errors import EXIT_OK, bad_input

if TYPE_CHECKING:
    from hwsim.netlist.netlist import Netlist

TITLES = {
    "luts": "LUTs",
    "live_luts": "LUTs that reach an output",
    "lut6": "6-input tables",
    "muxes": "multiplexers beside them",
    "inputs_used": "inputs used",
    "outputs": "outputs",
    "depth": "depth in LUTs",
}


@click.command("netlist")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("--run", "run", metavar="VECTORS", help="Print the outputs for each line of 0 and 1; - for stdin.")
@click.option("--simplify", "simplified_to", type=click.Path(path_type=Path), metavar="OUT",
              help="Write the simplified network (.json or .json.gz).")  # fmt: skip
@click.option("--verilog", "verilog_to", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.v",
              help="Write the network, as it is, as a Verilog module.")  # fmt: skip
@click.option("--style", type=click.Choice(["plain", "lut6"]), default="plain", show_default=True,
              help="Verilog: constant tables, or LUT6 primitives with wide multiplexers.")  # fmt: skip
@click.option("--top", metavar="NAME", help="Verilog: name of the module. Default: made of the file's name.")
@click.option("--opaque", is_flag=True, help="Simplify as if LUTs were primitives: drop unused ones, touch no other.")
def netlist_command(
    file: Path, as_json: bool, run: str | None, simplified_to: Path | None, verilog_to: Path | None, style: str,
    top: str | None, opaque: bool,
) -> int:  # fmt: skip
    """Count what a network of look-up tables takes, before and after simplification; or run it."""
    from hwsim.netlist.document import read, write
    from hwsim.netlist.simplify import simplify

    if as_json and run is not None:
        raise bad_input("usage", "--json and --run", "outputs are printed as lines of 0 and 1", "Drop one of the two.")
    netlist = read(file)
    simplified = None if run is not None and not simplified_to else simplify(netlist, opaque=opaque)
    if simplified_to and simplified:
        write(simplified, simplified_to)
    if verilog_to:
        _write_verilog(netlist, verilog_to, style, top or file)
    if run is not None:
        _print_answers(netlist, run)
    elif simplified:
        _print_report(netlist, simplified, as_json)
    return EXIT_OK


def _write_verilog(netlist: Netlist, out: Path, style: str, name: str | Path) -> None:
    """`name` is the module's, or the file that it is named after."""
    from hwsim.netlist.verilog import default_name, verilog

    text = verilog(netlist, top=default_name(name) if isinstance(name, Path) else name, style=style)
    try:
        out.write_text(text, encoding="ascii")
    except OSError as error:
        raise bad_input("write", str(out), f"the file cannot be written ({error.strerror})",
                        "Name a file that can be written.", key="--verilog") from None  # fmt: skip
    click.echo(f"wrote {out}", err=True)


def _print_report(netlist: Netlist, simplified: Netlist, as_json: bool) -> None:
    from hwsim.netlist.statistics import report

    document = report(netlist, simplified)
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join(_lines(document)))


def _lines(document: dict[str, Any]) -> Iterator[str]:
    width = max(map(len, TITLES.values()))
    yield f"{'':{width}} {'as it is':>10} {'simplified':>10}"
    for key, title in TITLES.items():
        yield f"{title:{width}} {document[key]:>10,} {document['simplified'][key]:>10,}"


def _print_answers(netlist: Netlist, run: str) -> None:
    from hwsim.document import shown_path
    from hwsim.netlist.vectors import STDIN, answers, opened

    if run != "-":
        with opened(run) as stream:
            _write_all(answers(netlist, stream, shown_path(run)))
    elif sys.stdin is None:
        raise bad_input("missing-file", "a closed stdin", "vectors are read from it", "Name a file.", key="--run")
    else:
        # Unbuffered, so that what has arrived on a pipe is answered without waiting for more.
        _write_all(answers(netlist, getattr(sys.stdin.buffer, "raw", sys.stdin.buffer), STDIN))


def _write_all(blocks: Iterator[bytes]) -> None:
    for block in blocks:
        sys.stdout.write(block.decode("ascii"))
        sys.stdout.flush()
