"""`python -m hwsim.cosim.synthesize SCRIPT`: run a Yosys script in a process of its own.

Yosys ends its process on an error, and its slang front end keeps state from one run to the next.
"""

from __future__ import annotations

import sys

from pyosys import libyosys

if __name__ == "__main__":
    libyosys.run_pass(f"script {sys.argv[1]}")
