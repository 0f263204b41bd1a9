"""Files of other tools as designs and workloads of our own.

An importer carries over what means the same here, names what it leaves out and why, and refuses what it cannot carry.
"""
