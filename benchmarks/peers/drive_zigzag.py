"""Run ZigZag once through its own API; started with ZigZag's interpreter, knows nothing of hwsim.

    python drive_zigzag.py JOB.json

The job names `workload`, `accelerator` and `mapping` (YAML files), `opt`, `lpf_limit`, and the folder `out`, into which
ZigZag writes a JSON file a layer.
"""

import json
import sys
from pathlib import Path

from zigzag.api import get_hardware_performance_zigzag


def main() -> None:
    """Run the job that the first argument names."""
    job = json.loads(Path(sys.argv[1]).read_text())
    get_hardware_performance_zigzag(
        job["workload"], job["accelerator"], job["mapping"], opt=job["opt"], lpf_limit=job["lpf_limit"],
        dump_folder=job["out"], pickle_filename=str(Path(job["out"]) / "all.pickle"), loma_show_progress_bar=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
