"""Run SCALE-Sim once through its own class; started with SCALE-Sim's interpreter, knows nothing of hwsim.

    python drive_scalesim.py JOB.json...

Each job in turn leaves the seconds since the start in `seconds.json` beside its file. A job names `config`,
`topology`, `layout`, whether the topology holds GEMMs (`gemm`), and the folder `out`, below which SCALE-Sim writes its
reports. Its command line would write traces of every cycle, whatever `-s` says.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

from scalesim.scale_sim import scalesim  # noqa: E402 - its import is part of what is measured


def run(job: dict[str, Any]) -> None:
    """Run one job."""
    tool = scalesim(
        save_disk_space=True, verbose=False, config=job["config"], topology=job["topology"], layout=job["layout"],
        input_type_gemm=job["gemm"],
    )  # fmt: skip
    tool.run_scale(top_path=job["out"])


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(json.loads(Path(name).read_text()))
        Path(name).with_name("seconds.json").write_text(json.dumps(time.perf_counter() - STARTED))
