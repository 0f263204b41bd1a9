"""Run ZigZag once through its own API; started with ZigZag's interpreter, knows nothing of hwsim.

    python drive_zigzag.py JOB.json...

Each job in turn leaves the seconds since the start in `seconds.json` beside its file. A job names `workload`,
`accelerator` and `mapping` (YAML files), `opt`, `lpf_limit`, and the folder `out`, into which ZigZag writes a JSON file
a layer.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

from zigzag.api import get_hardware_performance_zigzag  # noqa: E402 - its import is part of what is measured


def run(job: dict[str, Any]) -> None:
    """Run one job."""
    get_hardware_performance_zigzag(
        job["workload"], job["accelerator"], job["mapping"], opt=job["opt"], lpf_limit=job["lpf_limit"],
        dump_folder=job["out"], pickle_filename=str(Path(job["out"]) / "all.pickle"), loma_show_progress_bar=False,
    )  # fmt: skip


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(json.loads(Path(name).read_text()))
        Path(name).with_name("seconds.json").write_text(json.dumps(time.perf_counter() - STARTED))
