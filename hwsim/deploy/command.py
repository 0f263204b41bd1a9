"""The command `hwsim deploy`. What it needs is imported when it runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hwsim.errors import EXIT_BOUND_FAILED, EXIT_OK
from hwsim.quant.commands import Size


@click.command("deploy")
@click.option("-a", "--accelerator", required=True, metavar="NAME", help="What to deploy to, for instance mcu.")
@click.option("-w", "--workload", required=True, metavar="NET", help="A shipped network, or MODULE:FUNCTION.")
@click.option("--part", required=True, metavar="PART", help="The part: its flash and RAM are the limits.")
@click.option(
    "--parts",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.yaml",
    help="A table of parts of your own.",
)
@click.option("--flash", "flash_bits", type=Size(), help="Flash the network may take. Default: all of the part's.")
@click.option("--ram", "ram_bits", type=Size(), help="RAM it may take, its stack included. Default: all of the part's.")
@click.option(
    "--out", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Write the files here."
)
@click.option(
    "--weights",
    type=click.Choice(["8", "4", "2"]),
    help="Bits of all weights. Default: as many as fit, by the published rules.",
)
@click.option(
    "--scheme",
    default="pc",
    show_default=True,
    type=click.Choice(["pl", "pc", "tqt"]),
    help="One scale of weights a layer, or one a channel; tqt: powers of two.",
)
@click.option(
    "--samples",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npy",
    help="Images to take ranges from: batch x channels x height x width.",
)
@click.option("--force", is_flag=True, help="Replace an earlier deployment in DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def deploy_command(
    accelerator: str, workload: str, part: str, parts: Path | None, flash_bits: int | None, ram_bits: int | None,
    folder: Path, weights: str | None, scheme: str, samples: Path | None, force: bool, as_json: bool,
) -> int:  # fmt: skip
    """Write C sources, a memory plan and a report that put a network on a microcontroller."""
    from hwsim.deploy.folder import check_folder, write_folder
    from hwsim.deploy.plugin import Request, Target, find_deployer
    from hwsim.quant.assign import Scheme

    deployer = find_deployer(accelerator)
    target = Target(part, parts, flash_bits, ram_bits)
    deployer.check(target)
    check_folder(folder, force=force)
    import hwsim.quant.training  # noqa: F401  says so where PyTorch is missing
    from hwsim.deploy.source import find_source

    found, chosen = find_source(workload, samples), Scheme(scheme)
    image = found.samples[0].numpy().transpose(1, 2, 0)
    request = Request(lambda bits: found.make(bits, chosen), found.widest(chosen), image, target, chosen,
                      int(weights or 0), found.notes)  # fmt: skip
    answer = deployer.deploy(request)
    written = [] if answer.overflows else write_folder(answer.files, folder, force=force)
    if as_json:
        over = [{"memory": o.memory, "layer": o.layer, "over_bytes": o.over_bits // 8, "reason": o.reason}
                for o in answer.overflows]  # fmt: skip
        document = {**answer.report, "fits": not over, "overflows": over, "written": [str(path) for path in written]}
        click.echo(json.dumps({"schema_version": 1, **document}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join([*answer.lines, *(f"wrote {path}" for path in written)]), nl=bool(written))
    for overflow in answer.overflows:
        click.echo(f"error: does not fit {overflow}", err=True)
    return EXIT_BOUND_FAILED if answer.overflows else EXIT_OK
