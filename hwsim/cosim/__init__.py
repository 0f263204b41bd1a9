"""Models held against circuits: cases, simulators, and the comparison.

A *circuit* (rtl_models/<name>/bench.py, entry point group `hwsim.circuits`) says how a case becomes a run of the
hardware description and what the model is asked in its place; everything else is the same for every circuit.
"""
