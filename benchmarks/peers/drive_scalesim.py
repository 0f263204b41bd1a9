"""Run SCALE-Sim once through its own class; started with SCALE-Sim's interpreter, knows nothing of hwsim.

    python drive_scalesim.py JOB.json

The job names `config`, `topology`, `layout`, whether the topology holds GEMMs (`gemm`), and the folder `out`, below
which SCALE-Sim writes its reports. Its command line would write traces of every cycle, whatever `-s` says.
"""

import json
import sys
from pathlib import Path

from scalesim.scale_sim import scalesim


def main() -> None:
    """Run the job that the first argument names."""
    job = json.loads(Path(sys.argv[1]).read_text())
    tool = scalesim(
        save_disk_space=True, verbose=False, config=job["config"], topology=job["topology"], layout=job["layout"],
        input_type_gemm=job["gemm"],
    )  # fmt: skip
    tool.run_scale(top_path=job["out"])


if __name__ == "__main__":
    main()
